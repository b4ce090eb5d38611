"""Modules with a forward of their own, and with several inputs and outputs, written as ONNX files."""

import warnings

import numpy as np
import pytest

import nn
import tensorgrad as tg

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

TOLERANCE = 1e-6  # of the largest output, or of 1 where that is smaller


def floats(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def session_of(model, folder, *examples, **kwargs):
    path = folder / "model.onnx"
    nn.to_onnx(model, path, *examples, **kwargs)
    return onnxruntime.InferenceSession(path)


def flat(tree):
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, tuple | list):
        return [leaf for part in tree for leaf in flat(part)]
    return [tree]


def compare(session, model, *inputs):
    """Run both on the same inputs, and compare all outputs."""
    names = [value.name for value in session.get_inputs()]
    got = session.run(None, dict(zip(names, flat(inputs), strict=True)))
    with tg.no_grad():
        want = [np.asarray(leaf) for leaf in flat(model.eval()(*inputs))]
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert np.abs(a - b).max() <= TOLERANCE * max(1.0, np.abs(b).max())
    return got


class Gated(nn.Module):
    """Arithmetic, a choice, a softmax, slices, joining and reshaping, and several inputs and outputs."""

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(4, 4, rng=0)
        self.scale = nn.Parameter(np.float32([0.5, 1.0, 1.5, 2.0]))

    def forward(self, x, gate):
        h = tg.where(x > 0, 2 * x - 1, tg.exp(x)) + gate[:, None, :] * self.scale
        weights = tg.softmax(self.project(h).reshape(x.shape[0], -1), axis=-1)
        joined = tg.concatenate([weights, weights[:, ::-2]], axis=1)
        return {"joined": joined, "mean": h.mean(axis=(0, 2)), "per_row": h.sum() / x.shape[0]}


def test_a_forward_of_its_own(tmp_path):
    session = session_of(Gated(), tmp_path, floats(1, 3, 4), floats(1, 4))
    assert [value.name for value in session.get_inputs()] == ["x", "gate"]
    assert [value.shape for value in session.get_inputs()] == [["batch", 3, 4], ["batch", 4]]
    assert [value.name for value in session.get_outputs()] == ["joined", "mean", "per_row"]
    assert [value.shape for value in session.get_outputs()] == [["batch", 18], [3], []]
    for batch in (1, 5, 32):
        compare(session, Gated(), floats(batch, 3, 4), floats(batch, 4, seed=1))


def test_one_inside_a_sequence_in_a_model_and_subclassed(tmp_path):
    class Half(nn.Module):
        def forward(self, x):
            return x / 2

    class Twice(nn.Linear):
        def forward(self, x):
            return super().forward(x) * 2

    network = nn.Sequential(nn.Linear(3, 4, rng=0), Half(), nn.Residual(Twice(4, 4, rng=1)))
    for number, model in enumerate((network, nn.Model(network, loss="mse"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        session = session_of(model, folder)
        compare(session, network, floats(7, 3))


RECURRENT = {
    "lstm": nn.LSTM(3, 4, rng=0),
    "lstm of two layers": nn.LSTM(3, 4, num_layers=2, bidirectional=True, rng=0),
    "lstm without bias": nn.LSTM(3, 4, bias=False, rng=0),
    "gru": nn.GRU(3, 4, rng=0),
    "gru of two layers": nn.GRU(3, 4, num_layers=2, bidirectional=True, rng=0),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers(name, tmp_path):
    layer = RECURRENT[name]
    layer.batch_first = False
    session = session_of(layer, tmp_path, floats(5, 1, 3), batch_axis=1)
    assert session.get_inputs()[0].shape == [5, "batch", 3]
    for batch in (1, 6):
        compare(session, layer, floats(5, batch, 3))
    layer.batch_first = True
    session = session_of(layer, tmp_path, input_shape=(5, 3))
    compare(session, layer, floats(6, 5, 3))


def test_a_state_is_an_input_and_an_output(tmp_path):
    layer = nn.LSTM(3, 4, batch_first=True, rng=0)
    state = (floats(1, 1, 4), floats(1, 1, 4))
    session = session_of(layer, tmp_path, floats(1, 5, 3), state, batch_axis=(0, 1, 1))
    assert [value.name for value in session.get_inputs()] == ["x", "state_0", "state_1"]
    assert [value.name for value in session.get_outputs()] == ["output_0", "output_1_0", "output_1_1"]
    compare(session, layer, floats(6, 5, 3), (floats(1, 6, 4, seed=1), floats(1, 6, 4, seed=2)))


def test_attention_with_a_mask_for_the_whole_batch(tmp_path):
    class Causal(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(6, 2, rng=0)

        def forward(self, x, mask):
            return self.attention(x, mask=mask)

    mask = np.tril(np.ones((5, 5), bool))
    session = session_of(Causal(), tmp_path, floats(1, 5, 6), mask, batch_axis=(0, None))
    assert session.get_inputs()[1].shape == [5, 5]
    compare(session, Causal(), floats(4, 5, 6), mask)


def test_encoder_layer_with_words_and_positions(tmp_path):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places = nn.Embedding(9, 6, rng=0), nn.Embedding(5, 6, rng=1)
            self.layer = nn.TransformerEncoderLayer(6, 2, 8, rng=2)

        def forward(self, tokens):
            return self.layer(self.words(tokens) + self.places(np.arange(tokens.shape[1])))

    session = session_of(Encoder(), tmp_path, np.zeros((1, 5), np.int64))
    compare(session, Encoder(), np.random.default_rng(0).integers(0, 9, (3, 5)))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_one_hot(tmp_path, shape, dtype):
    class OneHot(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 2, rng=0)

        def forward(self, labels):
            hot = nn.functional.one_hot(labels, 5)
            return {"hot": tg.asarray(hot), "layer": self.layer(hot)}

    session = session_of(OneHot(), tmp_path, np.zeros((1, *shape), dtype))
    compare(session, OneHot(), np.random.default_rng(0).integers(0, 5, (7, *shape)).astype(dtype))


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"ignore_index": 1}, {"reduction": "none"}])
def test_cross_entropy(tmp_path, options):
    class Loss(nn.Module):
        def forward(self, logits, labels):
            return nn.functional.cross_entropy(logits, labels, **options)

    labels = np.random.default_rng(0).integers(0, 4, 6)
    session = session_of(Loss(), tmp_path, floats(1, 4), np.zeros(1, np.int64))
    compare(session, Loss(), floats(6, 4), labels)


def test_float64(tmp_path):
    model = Gated().to(np.float64)
    session = session_of(model, tmp_path, floats(1, 3, 4, dtype=np.float64), floats(1, 4, dtype=np.float64))
    got = compare(session, model, floats(6, 3, 4, dtype=np.float64), floats(6, 4, dtype=np.float64))
    assert got[0].dtype == np.float64


def test_weights_of_several_dtypes_need_an_example(tmp_path):
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.BatchNorm(3, dtype=np.float64), nn.Linear(3, 2, rng=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # it computes in float64
        session = session_of(model, tmp_path, floats(1, 2))
        compare(session, model, floats(5, 2))


def test_the_batch_in_arrays_that_the_forward_makes(tmp_path):
    class Made(nn.Module):
        def forward(self, x):
            n = x.shape[0]
            counted = np.arange(n, dtype=np.float32)[:, None] * 2 + 1
            square = x @ x.T + np.eye(n, dtype=np.float32)
            return x * counted + tg.zeros((n, 3), dtype=np.float32), tg.asarray(np.tile([1.0, 2.0], (n, 1))), square

    session = session_of(Made(), tmp_path, floats(1, 3))
    for batch in (2, 7):
        compare(session, Made(), floats(batch, 3))


def test_writes_in_place(tmp_path):
    class Shifted(nn.Module):
        def forward(self, x):
            result = tg.array_of(x * 0)
            result[:, 1:] = tg.array_of(x)[:, :-1]
            result[0, 0] = 7
            result[result < -1] = -1
            np.multiply(result, 2, out=result)
            return tg.Tensor(result)

    session = session_of(Shifted(), tmp_path, floats(1, 3))
    compare(session, Shifted(), floats(6, 3))


def test_what_is_stored_and_counted_is_put_back(tmp_path):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", np.zeros(1, np.float32))
            self.last = None

        def forward(self, x):
            tg.writes_to(self.count, "count")[...] += 1
            self.last = x * 2
            self.new = x
            return self.last + self.count

    model = Counting()
    session_of(model, tmp_path, floats(1, 3))
    assert model.count.data == 0
    assert model.last is None
    assert not hasattr(model, "new")


# --- what is refused ------------------------------------------------------------------------------------


class Rows(nn.Module):
    def forward(self, x):
        return tg.stack([row * 2 for row in x])


class Branch(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class FixedBatch(nn.Module):
    def forward(self, x):
        return x.reshape(2, -1)


class HalfTheBatch(nn.Module):
    def forward(self, x):
        return x[: x.shape[0] // 2]


class Threshold(nn.Module):
    def forward(self, x):
        return x * 2 if x.shape[0] > 4 else x


class Eigenvalues(nn.Module):
    def forward(self, x):
        return tg.linalg.eigvalsh(x[:, :, None] * x[:, None, :])


class Random(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x, 0.5)


class StaleView(nn.Module):
    def forward(self, x):
        array = tg.array_of(x * 1)
        column = array[:, 0]
        array[:, 1] = 0
        return tg.Tensor(column)


class ThroughView(nn.Module):
    def forward(self, x):
        array = tg.array_of(x * 1)
        array[:, 0][...] = 0
        return tg.Tensor(array)


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        (Rows(), ValueError, "depends on the size of the batch.*without a loop over the rows"),
        (Branch(), tg.GraphError, "depends on values .*; use tg.where"),
        (FixedBatch(), ValueError, "runs on a batch of 2, but not of 3.*x.shape.0. or -1"),
        (HalfTheBatch(), TypeError, r"1, 1, 4 for 2, 3, 9 rows in the batch, which is not a multiple"),
        (Threshold(), ValueError, "multiply .* depends on the size of the batch: it is called for some sizes only"),
        (Eigenvalues(), TypeError, "ONNX, opset 17, has no operation for np.linalg.eigvalsh"),
        (Random(), TypeError, "drawn or read anew in every run"),
        (StaleView(), TypeError, r"a view of an array that has been written to since; write x = x.copy\(\)"),
        (ThroughView(), TypeError, "it writes to a view of an array"),
    ],
)
def test_what_has_no_form_names_the_line(model, kind, message, tmp_path):
    with pytest.raises(kind, match=message) as caught:
        nn.to_onnx(model, tmp_path / "model.onnx", floats(2, 3))
    assert not list(tmp_path.iterdir())
    if not isinstance(model, StaleView):
        assert "test_exchange_onnx_forward.py:" in str(caught.value)


@pytest.mark.parametrize(
    ("examples", "kwargs", "kind", "message"),
    [
        ((floats(1, 3),), {"input_shape": (3,)}, TypeError, "got examples and input_shape; write only one"),
        ((floats(1, 3),), {"batch_axis": 2}, tg.ShapeError, r"shape \(1, 3\) has no axis 2 for the batch"),
        ((floats(1, 3),), {"batch_axis": (0, 0)}, ValueError, "batch_axis has 2 entries for 1 inputs"),
        ((floats(0, 3),), {}, tg.ShapeError, "expected one number of them, at least 1"),
        ((floats(2, 3, 4), floats(3, 4)), {}, tg.ShapeError, "the examples have 2 and 3 rows"),
    ],
)
def test_arguments_that_do_not_fit(examples, kwargs, kind, message, tmp_path):
    with pytest.raises(kind, match=message):
        nn.to_onnx(Gated(), tmp_path / "model.onnx", *examples, **kwargs)
    assert not list(tmp_path.iterdir())
