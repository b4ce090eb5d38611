"""Models written as ONNX files, compared with onnxruntime."""

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
    """The largest difference from the model's output, relative to its largest output."""
    (got,) = session.run(None, {"input": x})
    with tg.no_grad():
        want = model(x).data
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    return np.abs(got - want).max() / max(1.0, np.abs(want).max())


STANDARDISED = "ReduceMean Sub Mul ReduceMean Add Sqrt Div"
PROJECTED = " ".join(["MatMul Add Reshape Transpose"] * 3)
ATTENDED = "Mul Transpose MatMul Softmax MatMul Transpose Reshape MatMul Add"

# Name: shape of a sample, module, operations of ONNX.
LAYERS = {
    "linear": ((3,), nn.Linear(3, 4), "Gemm"),
    "linear without bias": ((3,), nn.Linear(3, 4, bias=False), "MatMul"),
    "linear of rows": ((2, 3), nn.Linear(3, 4), "MatMul Add"),
    "batch norm": ((3,), nn.BatchNorm(3, eps=1e-3), "BatchNormalization"),
    "batch norm, not affine": ((3,), nn.BatchNorm(3, affine=False), "BatchNormalization"),
    "batch norm of signals": ((3, 5), nn.BatchNorm(3), "BatchNormalization"),
    "batch norm of images": ((3, 5, 2), nn.BatchNorm(3), "BatchNormalization"),
    "layer norm": ((3,), nn.LayerNorm(3), f"{STANDARDISED} Mul Add"),
    "layer norm of two axes": ((4, 2, 3), nn.LayerNorm((2, 3), eps=1e-2), f"{STANDARDISED} Mul Add"),
    "layer norm without bias": ((4, 3), nn.LayerNorm(3, bias=False), f"{STANDARDISED} Mul"),
    "layer norm, not affine": ((4, 3), nn.LayerNorm(3, affine=False), STANDARDISED),
    "rms norm": ((4, 3), nn.RMSNorm(3), "Mul ReduceMean Add Sqrt Div Mul"),
    "rms norm of two axes": ((2, 3), nn.RMSNorm((2, 3), eps=1e-2, affine=False), "Mul ReduceMean Add Sqrt Div"),
    "batch norm of signals, by the batch": (
        (4, 5),
        nn.BatchNorm(4, track_running_stats=False),
        "Slice Mul Sub ReduceMean Reshape Sub Mul ReduceMean Add Sqrt Div Reshape Mul Add",
    ),
    "batch norm of images, by the batch": (
        (4, 3, 2),
        nn.BatchNorm(4, affine=False, track_running_stats=False),
        "Slice Mul Sub ReduceMean Reshape Sub Mul ReduceMean Add Sqrt Div Reshape Mul",
    ),
    "group norm": (
        (4,),
        nn.GroupNorm(2, 4),
        "Reshape ReduceMean Sub Mul ReduceMean Add Sqrt Div Reshape Mul Add",
    ),
    "group norm of images": (
        (4, 3, 2),
        nn.GroupNorm(2, 4, eps=1e-3),
        "Reshape ReduceMean Sub Mul ReduceMean Add Sqrt Div Reshape Mul Add",
    ),
    "group norm, not affine": (
        (4, 3),
        nn.GroupNorm(4, 4, affine=False),
        "Reshape ReduceMean Sub Mul ReduceMean Add Sqrt Div Reshape",
    ),
    "standardize": ((3,), nn.Standardize(3), "Sub Div"),
    "standardize images": ((3, 5, 2), nn.Standardize(3), "Sub Div"),
    "conv1d": ((4, 9), nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), "Conv"),
    "conv1d, same": ((4, 9), nn.Conv1d(4, 6, 4, padding="same", dilation=2, bias=False), "Conv"),
    "conv2d": ((2, 9, 8), nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), "Conv"),
    "conv2d, same": ((2, 5, 6), nn.Conv2d(2, 3, (3, 4), padding="same"), "Conv"),
    "conv2d, valid": ((2, 5, 6), nn.Conv2d(2, 3, 2, padding="valid"), "Conv"),
    "conv transpose 1d": (
        (4, 5),
        nn.ConvTranspose1d(4, 6, 3, 3, 2, 1, 2, dilation=2),
        "ConvTranspose",
    ),
    "conv transpose 2d": ((3, 4, 5), nn.ConvTranspose2d(3, 2, (3, 2), 2, (1, 0), bias=False), "ConvTranspose"),
    "adaptive avg pool 1d": ((3, 8), nn.AdaptiveAvgPool1d(4), "Reshape ReduceMean"),
    "adaptive avg pool, windows of two sizes": ((3, 9), nn.AdaptiveAvgPool1d(4), "Gather Reshape Where ReduceSum Div"),
    "adaptive avg pool 2d": ((3, 4, 6), nn.AdaptiveAvgPool2d((None, 2)), "Reshape ReduceMean"),
    "adaptive avg pool to one": ((3, 5, 7), nn.AdaptiveAvgPool2d(1), "Reshape ReduceMean Reshape ReduceMean"),
    "encoder": (
        (5, 6),
        nn.TransformerEncoderLayer(6, 3, 8),
        f"{PROJECTED} {ATTENDED} Add {STANDARDISED} Mul Add MatMul Add Relu MatMul Add Add {STANDARDISED} Mul Add",
    ),
    "encoder, norm first": (
        (5, 6),
        nn.TransformerEncoderLayer(6, 2, 8, activation="tanh", norm_first=True),
        f"{STANDARDISED} Mul Add {PROJECTED} {ATTENDED} Add {STANDARDISED} Mul Add MatMul Add Tanh MatMul Add Add",
    ),
    "identity": ((3,), nn.Identity(), "Identity"),
    "dropout of signals": ((3, 2), nn.Dropout1d(0.5), "Identity"),
    "dropout of images": ((3, 2, 2), nn.Dropout2d(0.5), "Identity"),
    "max pool 1d": ((3, 9), nn.MaxPool1d(3, stride=2, padding=1), "MaxPool"),
    "max pool 2d": ((3, 9, 8), nn.MaxPool2d((3, 2), stride=(1, 2), padding=(1, 0), dilation=(2, 1)), "MaxPool"),
    "avg pool 1d": ((3, 9), nn.AvgPool1d(3), "AveragePool"),
    "avg pool 2d": ((3, 9, 8), nn.AvgPool2d((3, 2), stride=(2, 1), padding=(1, 0)), "AveragePool"),
    "avg pool 2d, inside": ((3, 9, 8), nn.AvgPool2d(3, 2, 1, count_include_pad=False), "AveragePool Mul"),
    "flatten": ((3, 4, 2), nn.Flatten(), "Reshape"),
    "flatten in between": ((3, 4, 2, 2), nn.Flatten(1, -2), "Reshape"),
    "flatten the batch, too": ((3, 4, 2), nn.Flatten(0, 1), "Reshape"),
    "embedding": ((4,), nn.Embedding(7, 3, padding_idx=0), "Gather"),
    "embedding of one number": ((), nn.Embedding(7, 3), "Gather"),
    "attention": ((5, 6), nn.MultiheadAttention(6, 3, dropout=0.5), f"{PROJECTED} {ATTENDED}"),
    "attention of images": (
        (2, 5, 6),
        nn.MultiheadAttention(6, 2, bias=False),
        f"{PROJECTED} {ATTENDED}".replace(" Add", ""),
    ),
    "residual": ((3,), nn.Residual(nn.Tanh()), "Tanh Add"),
    "residual with a shortcut": ((3,), nn.Residual(nn.Linear(3, 2), nn.Linear(3, 2)), "Gemm Gemm Add"),
    "dropout": ((3,), nn.Dropout(0.5), "Identity"),
    "relu": ((3,), nn.ReLU(), "Relu"),
    "leaky relu": ((3,), nn.LeakyReLU(0.2), "LeakyRelu"),
    "prelu": ((3, 5), nn.PReLU(), "PRelu"),
    "prelu by feature": ((3,), nn.PReLU(3), "PRelu"),
    "prelu by channel": ((3, 5, 2), nn.PReLU(3), "PRelu"),
    "elu": ((3,), nn.ELU(0.5), "Elu"),
    "selu": ((3,), nn.SELU(), "Selu"),
    "gelu": ((3,), nn.GELU(), "Mul Erf Add Mul Mul"),
    "gelu by tanh": ((3,), nn.GELU("tanh"), "Mul Mul Mul Add Mul Sigmoid Mul"),
    "silu": ((3,), nn.SiLU(), "Sigmoid Mul"),
    "mish": ((3,), nn.Mish(), "Min Exp Add Mul Add Div Mul"),
    "softplus": ((3,), nn.Softplus(), "Softplus"),
    "softplus, steeper": ((3,), nn.Softplus(2.5), "Mul Softplus Div"),
    "softplus, straight above a threshold": ((3,), nn.Softplus(threshold=0.25), "Mul Softplus Div Greater Where"),
    "softplus, steeper and straight": ((3,), nn.Softplus(2.5, 0.25), "Mul Softplus Div Greater Where"),
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
    "standardised": ((3,), nn.Sequential(nn.Standardize(3), nn.MLP([3, 4, 2])), "Sub Div Gemm Relu Gemm"),
    "images": (
        (1, 8, 8),
        nn.Sequential(
            nn.Conv2d(1, 4, 3, padding="same", bias=False),
            nn.BatchNorm(4),
            nn.ReLU(),
            nn.Residual(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.SiLU())),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64, 3),
        ),
        "Conv BatchNormalization Relu Conv Reshape ReduceMean Sub Mul ReduceMean Add Sqrt Div Reshape Mul Add Sigmoid "
        "Mul Add MaxPool Reshape Gemm",
    ),
    "words": (
        (5,),
        nn.Sequential(
            nn.Embedding(7, 6),
            nn.Residual(nn.Sequential(nn.LayerNorm(6), nn.MultiheadAttention(6, 2, dropout=0.1))),
            nn.Residual(nn.Sequential(nn.LayerNorm(6), nn.MLP([6, 8, 6], activation=nn.GELU))),
            nn.Flatten(),
            nn.Linear(30, 2),
        ),
        f"Gather {STANDARDISED} Mul Add {PROJECTED} {ATTENDED} Add {STANDARDISED} Mul Add MatMul Add Mul Erf Add Mul "
        "Mul MatMul Add Add Reshape Gemm",
    ),
}


def test_a_batch_norm_of_flat_features_by_the_batch_is_exported(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4, track_running_stats=False), nn.ReLU())
    _, session = exported(randomised(model), tmp_path)
    for batch in (2, 33):
        assert error(session, model.eval(), sample(model, (3,), batch)) <= TOLERANCE


def sample(model, shape, batch):
    """A batch of random inputs, or of rows of the table for a model that begins with an Embedding."""
    rng = np.random.default_rng(batch)
    if any(isinstance(module, nn.Embedding) for module in model.modules()):
        return rng.integers(0, 7, (batch, *shape))
    return rng.normal(scale=3.0, size=(batch, *shape)).astype(np.float32)


@pytest.mark.parametrize("name", {**LAYERS, **MODELS})
def test_onnxruntime_gives_the_same(name, tmp_path):
    shape, model, expected = {**LAYERS, **MODELS}[name]
    proto, session = exported(randomised(model), tmp_path, input_shape=shape)
    assert ops(proto) == expected.split()
    model.eval()
    for batch in (1, 4, 33):
        assert error(session, model, sample(model, shape, batch)) <= TOLERANCE


def test_extreme_inputs_give_the_same(tmp_path):
    x = np.array([[-1e4, -100.0, -0.0, 0.0, 100.0, 1e4]], np.float32)
    for name in ("softplus", "softplus, steeper", "mish", "silu", "gelu", "gelu by tanh", "elu", "selu", "sigmoid"):
        model = LAYERS[name][1]
        _, session = exported(model, tmp_path, input_shape=(6,))
        assert error(session, model.eval(), x) <= TOLERANCE, name


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.ReLU(), nn.Dropout(0.1), nn.Residual(nn.Linear(3, 3))), (3,)),
        (nn.Standardize(3), (3,)),
        (nn.LayerNorm((2, 3)), (2, 3)),
        (nn.RMSNorm(3), (3,)),
        (nn.GroupNorm(2, 4), (4,)),
    ],
)
def test_the_shape_follows_from_the_first_layer_that_tells_it(model, shape, tmp_path):
    proto, _ = exported(randomised(model), tmp_path)
    batch, *axes = proto.graph.input[0].type.tensor_type.shape.dim
    assert batch.dim_param == "batch"
    assert tuple(axis.dim_value for axis in axes) == shape


@pytest.mark.parametrize("model", [nn.LayerNorm(3, eps=0.0), nn.RMSNorm(3, eps=0.0), nn.GroupNorm(1, 3, eps=0.0)])
def test_without_eps_a_constant_sample_gives_zero(model, tmp_path):
    _, session = exported(model, tmp_path)
    (got,) = session.run(None, {"input": np.array([[0, 0, 0], [1, 2, 4]], np.float32)})
    np.testing.assert_array_equal(got[0], np.zeros(3))
    assert error(session, model, np.array([[1, 2, 4]], np.float32)) <= TOLERANCE


def test_batch_norm_without_eps(tmp_path):
    model = nn.BatchNorm(2, eps=0.0)
    model.running_var.data[...] = [0.0, 4.0]
    _, session = exported(model, tmp_path)
    (got,) = session.run(None, {"input": np.array([[0, 3]], np.float32)})
    np.testing.assert_array_equal(got, [[0.0, 1.5]])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(
    "model", [nn.RMSNorm(4), nn.RMSNorm(4, eps=0.0), nn.GroupNorm(2, 4, eps=0.0), nn.GroupNorm(2, 4)]
)
def test_float16_as_wide_as_here(model, scale, tmp_path):
    model = model.to(np.float16)
    x = (np.array([[1, 2, 3, -4], [0, 0, 0, 0]]) * scale).astype(np.float16)
    _, session = exported(model, tmp_path)
    (got,) = session.run(None, {"input": x})
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, model(x).data, rtol=4e-3, atol=0)


def test_every_layer_of_nn_has_a_form():
    containers = {"Module", "MLP", "Model", "Sequential"}  # among the models
    containers |= {"ModuleDict", "ModuleList"}  # called in a way of one's own
    containers |= {"GRU", "LSTM"}  # with several results: in test_exchange_onnx_forward.py
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


class Singular(nn.Module):
    def forward(self, x):
        return tg.linalg.svd(x)[1]


class Masked(nn.Linear):
    def forward(self, x):
        return x[x > 0]


@pytest.mark.parametrize(
    ("model", "kwargs", "kind", "message"),
    [
        (
            nn.Sequential(nn.Linear(2, 2), Singular()),
            {"input_shape": (2, 2)},
            TypeError,
            r"1: svd \(called at .*onnx.py:\d+\) has no ONNX form",
        ),
        (Masked(2, 2), {"input_shape": (2,)}, TypeError, r"getitem \(.*onnx.py:\d+\) has no ONNX form: a boolean mask"),
        (Masked(2, 2), {}, ValueError, r"does not follow from Masked.*; write input_shape=.* or give examples"),
        (nn.Linear(2, 2), {"input_shape": 2}, TypeError, "input_shape must be a tuple of lengths, .*, got 2"),
        (nn.Linear(2, 2), {"input_shape": ("2",)}, TypeError, "input_shape must be a tuple of lengths"),
        (nn.Tanh(), {}, ValueError, r"does not follow from Tanh\(\); write input_shape="),
        (nn.Sequential(nn.ReLU(), nn.Embedding(3, 2)), {}, ValueError, r"from Embedding\(3, 2\); write input_shape="),
        (nn.Standardize(2), {}, RuntimeError, r"call fit\(X\)"),
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


def test_swapped_arguments(tmp_path):
    with pytest.raises(TypeError, match=r"model must be a Module, got str; write to_onnx\(model, path\)"):
        nn.to_onnx(str(tmp_path / "model.onnx"), nn.Linear(2, 2))
    assert not list(tmp_path.iterdir())


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
