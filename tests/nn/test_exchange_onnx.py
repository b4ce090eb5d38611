"""Models written as ONNX files, beside onnxruntime."""

import os
import sys

import numpy as np
import pytest

import nn
import tensorgrad as tg

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

TOLERANCE = 1e-6  # of the largest output, or of 1 where that is smaller


def randomised(model, seed=0):
    """The model with random weights and statistics."""
    rng = np.random.default_rng(seed)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        low, high = (0.5, 2.0) if name.endswith(("running_var", "scale")) else (-0.7, 0.7)
        tensor.data[...] = rng.uniform(low, high, tensor.shape)
    return model


def exported(model, folder, **kwargs):
    path = folder / "model.onnx"
    nn.to_onnx(model, path, **kwargs)
    return onnx.load(path), onnxruntime.InferenceSession(path)


def ops(proto):
    return [node.op_type for node in proto.graph.node]


def error(session, model, x):
    """The largest difference from what the model gives, relative to its largest output."""
    (got,) = session.run(None, {"input": x})
    with tg.no_grad():
        want = model(x).data
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    return np.abs(got - want).max() / max(1.0, np.abs(want).max())


# Name: shape of a sample, module, operations of ONNX.
LAYERS = {
    "linear": ((3,), nn.Linear(3, 4), "Gemm"),
    "linear without bias": ((3,), nn.Linear(3, 4, bias=False), "MatMul"),
    "linear of rows": ((2, 3), nn.Linear(3, 4), "MatMul Add"),
    "batch norm": ((3,), nn.BatchNorm(3, eps=1e-3), "BatchNormalization"),
    "batch norm, not affine": ((3,), nn.BatchNorm(3, affine=False), "BatchNormalization"),
    "batch norm of signals": ((3, 5), nn.BatchNorm(3), "BatchNormalization"),
    "batch norm of images": ((3, 5, 2), nn.BatchNorm(3), "BatchNormalization"),
    "dropout": ((3,), nn.Dropout(0.5), "Identity"),
    "relu": ((3,), nn.ReLU(), "Relu"),
    "leaky relu": ((3,), nn.LeakyReLU(0.2), "LeakyRelu"),
    "prelu": ((3, 5), nn.PReLU(), "PRelu"),
    "prelu by feature": ((3,), nn.PReLU(3), "PRelu"),
    "prelu by channel": ((3, 5, 2), nn.PReLU(3), "PRelu"),
    "elu": ((3,), nn.ELU(0.5), "Elu"),
    "selu": ((3,), nn.SELU(), "Selu"),
    "gelu": ((3,), nn.GELU(), "Mul Erf Add Mul Mul"),
    "gelu by tanh": ((3,), nn.GELU("tanh"), "Mul Mul Add Mul Mul Tanh Add Mul Mul"),
    "silu": ((3,), nn.SiLU(), "Sigmoid Mul"),
    "mish": ((3,), nn.Mish(), "Softplus Tanh Mul"),
    "softplus": ((3,), nn.Softplus(), "Softplus"),
    "softplus, steeper": ((3,), nn.Softplus(2.5), "Mul Softplus Div"),
    "softsign": ((3,), nn.Softsign(), "Softsign"),
    "hardtanh": ((3,), nn.Hardtanh(-0.5, 0.75), "Clip"),
    "sigmoid": ((3,), nn.Sigmoid(), "Sigmoid"),
    "tanh": ((3,), nn.Tanh(), "Tanh"),
    "softmax": ((3, 4), nn.Softmax(1), "Softmax"),
    "log softmax": ((3, 4), nn.LogSoftmax(), "LogSoftmax"),
}
MODELS = {
    "mlp": ((3,), nn.MLP([3, 8, 8, 2]), "Gemm Relu Gemm Relu Gemm"),
    "mlp with norm and dropout": (
        (3,),
        nn.MLP([3, 8, 2], norm="batch", dropout=0.5, activation="tanh"),
        "MatMul BatchNormalization Tanh Gemm",
    ),
    "nested": (
        (3,),
        nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.MLP([3, 4]), nn.Tanh()), nn.MLP([4, 2]), nn.Dropout(0.1)),
        "Gemm Tanh Gemm",
    ),
}


@pytest.mark.parametrize("name", {**LAYERS, **MODELS})
def test_onnxruntime_gives_the_same(name, tmp_path):
    shape, model, expected = {**LAYERS, **MODELS}[name]
    proto, session = exported(randomised(model), tmp_path, input_shape=shape)
    assert ops(proto) == expected.split()
    model.eval()
    for batch in (1, 4, 33):
        x = np.random.default_rng(batch).normal(scale=3.0, size=(batch, *shape)).astype(np.float32)
        assert error(session, model, x) <= TOLERANCE


def test_extreme_inputs_give_the_same(tmp_path):
    x = np.array([[-1e4, -100.0, -0.0, 0.0, 100.0, 1e4]], np.float32)
    for name in ("softplus", "softplus, steeper", "mish", "silu", "gelu", "gelu by tanh", "elu", "selu", "sigmoid"):
        model = LAYERS[name][1]
        _, session = exported(model, tmp_path, input_shape=(6,))
        assert error(session, model.eval(), x) <= TOLERANCE, name


def test_every_layer_of_nn_has_a_form():
    containers = {"Module", "MLP", "Sequential"}
    kinds = {kind for kind in vars(nn).values() if isinstance(kind, type) and issubclass(kind, nn.Module)}
    shown = {type(module).__name__ for _, model, _ in LAYERS.values() for module in model.modules()}
    assert {kind.__name__ for kind in kinds if not kind.__name__.endswith("Loss")} - containers == shown


def test_what_the_file_says(tmp_path):
    model = nn.MLP([3, 4, 2], norm="batch", rng=0)
    proto, _ = exported(model, tmp_path)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 17)]
    assert (proto.ir_version, proto.producer_name, proto.producer_version) == (8, "tensorgrad", tg.__version__)
    (given,), (result,) = proto.graph.input, proto.graph.output
    for value, features in ((given, 3), (result, 2)):
        batch, axis = value.type.tensor_type.shape.dim
        assert (batch.dim_param, axis.dim_value) == ("batch", features)
    weights = {array.name: onnx.numpy_helper.to_array(array) for array in proto.graph.initializer}
    assert weights.keys() == model.state_dict().keys()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(weights[name], array)
    assert [node.name for node in proto.graph.node] == [
        "layers.0/MatMul",
        "layers.1/BatchNormalization",
        "layers.2/Relu",
        "layers.3/Gemm",
    ]


def test_float64(tmp_path):
    model = randomised(nn.MLP([3, 4, 2], norm="batch", activation="sigmoid", dtype=np.float64)).eval()
    _, session = exported(model, tmp_path)
    assert error(session, model, np.random.default_rng(0).normal(size=(5, 3))) < 1e-9


def test_a_shared_layer_is_stored_once(tmp_path):
    layer = nn.Linear(2, 2, rng=0)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    proto, session = exported(model, tmp_path)
    assert [array.name for array in proto.graph.initializer] == ["0.W", "0.b"]
    assert error(session, model, np.ones((3, 2), np.float32)) <= TOLERANCE


def test_the_model_is_left_as_it_was(tmp_path):
    model = nn.MLP([3, 4, 2], norm="batch", dropout=0.5, rng=0)
    model.layers[1].eval()
    before, modes = model.state_dict(), [module.training for module in model.modules()]
    states = [m.rng.bit_generator.state for m in model.modules() if isinstance(m, nn.Dropout)]
    exported(model, tmp_path)
    assert [module.training for module in model.modules()] == modes
    assert [m.rng.bit_generator.state for m in model.modules() if isinstance(m, nn.Dropout)] == states
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert all(parameter.requires_grad for parameter in model.parameters())


# --- what is refused ------------------------------------------------------------------------------------


class Half(nn.Module):
    def forward(self, x):
        return x / 2


class Twice(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 2


@pytest.mark.parametrize(
    ("model", "kwargs", "kind", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2), Half()), {}, TypeError, "'1', a Half, has no ONNX form"),
        (nn.Sequential(nn.Tanh(), Twice(2, 2)), {}, TypeError, "'1', a Twice, has no ONNX form"),
        (Twice(2, 2), {}, TypeError, "to_onnx: Twice has no ONNX form"),
        (nn.Tanh(), {}, ValueError, r"does not follow from Tanh\(\); write input_shape="),
        (nn.MLP([3, 4, 2]), {"input_shape": (4,)}, tg.ShapeError, r"layers\.0: Linear\(in=3, out=4\)"),
        (
            nn.Sequential(nn.Linear(2, 2), nn.BatchNorm(2, dtype=np.float64)),
            {},
            tg.DTypeError,
            r"float64 \(1\.gamma\) and float32 \(0\.W\), expected one dtype",
        ),
    ],
)
def test_what_has_no_form_is_named_and_nothing_written(model, kwargs, kind, message, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    with pytest.raises(kind, match=message):
        nn.to_onnx(model, path, **kwargs)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]
    assert all(module.training for module in model.modules())


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        nn.to_onnx(nn.MLP([2, 1]), path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        nn.to_onnx(nn.MLP([2, 1]), tmp_path / "nowhere" / "model.onnx")


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_the_file_has_ordinary_permissions_and_a_link_stays(tmp_path):
    (tmp_path / "real.onnx").touch()
    (tmp_path / "link.onnx").symlink_to("real.onnx")
    nn.to_onnx(nn.MLP([2, 1]), str(tmp_path / "link.onnx"))
    assert (tmp_path / "link.onnx").is_symlink()
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert (tmp_path / "real.onnx").stat().st_mode == ordinary.stat().st_mode
    assert onnx.load(tmp_path / "real.onnx").graph.node


def test_without_onnx_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'tensorgrad-np\[onnx\]'"):
        nn.to_onnx(nn.MLP([2, 1]), tmp_path / "model.onnx")
