"""Layers beside PyTorch's: values, and the gradients of inputs and parameters; what they refuse; the penalty."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn._layers.activations import ACTIVATIONS

F64 = {"dtype": np.float64}


# --- beside PyTorch -------------------------------------------------------------------------------------


class Pair(NamedTuple):
    """A layer of ours, PyTorch's, and the arrays of the latter under our names (of the parameters, or gradients)."""

    id: str
    ours: Callable[[], nn.Module]
    peer: Callable[[Any], Any]
    shape: tuple[int, ...]
    arrays: Callable[[dict[str, Any]], dict[str, Any]] = lambda arrays: arrays


def affine(arrays):
    return {{"weight": "gamma", "bias": "beta"}[name]: array for name, array in arrays.items()}


def kernel(arrays):
    return {{"weight": "W", "bias": "b"}[name]: array for name, array in arrays.items()}


def matrix(arrays):
    return {name: array.T for name, array in kernel(arrays).items()}


def heads(arrays):
    found = {}
    for kind, ours in (("weight", "W"), ("bias", "b")):
        if f"in_proj_{kind}" in arrays:
            parts = np.split(arrays[f"in_proj_{kind}"], 3)
            for name, array in zip(("query", "key", "value"), parts, strict=True):
                found[f"{name}_proj.{ours}"] = array.T
            found[f"out_proj.{ours}"] = arrays[f"out_proj.{kind}"].T
    return found


PAIRS = [
    Pair("linear", lambda: nn.Linear(4, 3, **F64), lambda t: t.Linear(4, 3), (5, 2, 4), matrix),
    Pair("conv1d", lambda: nn.Conv1d(2, 3, 3, **F64), lambda t: t.Conv1d(2, 3, 3), (2, 2, 9), kernel),
    Pair(
        "conv1d-all",
        lambda: nn.Conv1d(4, 6, 3, 2, 2, 2, 2, False, **F64),
        lambda t: t.Conv1d(4, 6, 3, 2, 2, 2, 2, False),
        (2, 4, 11),
        kernel,
    ),
    Pair(
        "conv1d-same",
        lambda: nn.Conv1d(2, 2, 4, padding="same", dilation=2, **F64),
        lambda t: t.Conv1d(2, 2, 4, padding="same", dilation=2),
        (3, 2, 10),
        kernel,
    ),
    Pair("conv2d", lambda: nn.Conv2d(3, 4, 3, **F64), lambda t: t.Conv2d(3, 4, 3), (2, 3, 6, 7), kernel),
    Pair(
        "conv2d-all",
        lambda: nn.Conv2d(4, 8, (3, 2), (2, 1), (1, 2), (1, 2), 4, **F64),
        lambda t: t.Conv2d(4, 8, (3, 2), (2, 1), (1, 2), (1, 2), 4),
        (2, 4, 7, 6),
        kernel,
    ),
    Pair("max_pool1d", lambda: nn.MaxPool1d(3, 2, 1), lambda t: t.MaxPool1d(3, 2, 1), (2, 3, 9)),
    Pair("max_pool2d", lambda: nn.MaxPool2d(2), lambda t: t.MaxPool2d(2), (2, 3, 6, 5)),
    Pair(
        "max_pool2d-all",
        lambda: nn.MaxPool2d((3, 2), (1, 2), (1, 0), (2, 1)),
        lambda t: t.MaxPool2d((3, 2), (1, 2), (1, 0), (2, 1)),
        (2, 2, 8, 6),
    ),
    Pair("avg_pool1d", lambda: nn.AvgPool1d(3, 2, 1), lambda t: t.AvgPool1d(3, 2, 1), (2, 3, 9)),
    Pair(
        "avg_pool2d",
        lambda: nn.AvgPool2d((3, 2), padding=1, count_include_pad=False),
        lambda t: t.AvgPool2d((3, 2), padding=1, count_include_pad=False),
        (2, 3, 6, 5),
    ),
    Pair("flatten", lambda: nn.Flatten(), lambda t: t.Flatten(), (2, 3, 4, 5)),
    Pair("flatten-some", lambda: nn.Flatten(-3, -2), lambda t: t.Flatten(-3, -2), (2, 3, 4, 5)),
    Pair("layer_norm", lambda: nn.LayerNorm(4, **F64), lambda t: t.LayerNorm(4), (5, 3, 4), affine),
    Pair(
        "layer_norm-two",
        lambda: nn.LayerNorm((3, 4), eps=0.1, **F64),
        lambda t: t.LayerNorm((3, 4), eps=0.1),
        (5, 3, 4),
        affine,
    ),
    Pair(
        "layer_norm-plain",
        lambda: nn.LayerNorm(4, affine=False),
        lambda t: t.LayerNorm(4, elementwise_affine=False),
        (5, 4),
    ),
    Pair("rms_norm", lambda: nn.RMSNorm(4, **F64), lambda t: t.RMSNorm(4), (5, 3, 4), affine),
    Pair("rms_norm-eps", lambda: nn.RMSNorm(4, eps=0.1, **F64), lambda t: t.RMSNorm(4, eps=0.1), (5, 4), affine),
    Pair("group_norm", lambda: nn.GroupNorm(2, 4, **F64), lambda t: t.GroupNorm(2, 4), (3, 4, 2, 3), affine),
    Pair(
        "group_norm-flat",
        lambda: nn.GroupNorm(2, 6, eps=0.1, affine=False),
        lambda t: t.GroupNorm(2, 6, eps=0.1, affine=False),
        (3, 6),
    ),
    Pair("batch_norm-2d", lambda: nn.BatchNorm(3, **F64), lambda t: t.BatchNorm2d(3), (4, 3, 2, 5), affine),
    Pair(
        "attention",
        lambda: nn.MultiheadAttention(6, 3, **F64),
        lambda t: t.MultiheadAttention(6, 3, batch_first=True),
        (2, 5, 6),
        heads,
    ),
    Pair(
        "attention-bare",
        lambda: nn.MultiheadAttention(6, 2, bias=False, **F64),
        lambda t: t.MultiheadAttention(6, 2, bias=False, batch_first=True),
        (2, 5, 6),
        heads,
    ),
    Pair("relu", nn.ReLU, lambda t: t.ReLU(), (5, 4)),
    Pair("leaky_relu", lambda: nn.LeakyReLU(0.2), lambda t: t.LeakyReLU(0.2), (5, 4)),
    Pair("prelu", lambda: nn.PReLU(**F64), lambda t: t.PReLU(), (5, 4, 3), lambda a: {"slope": a["weight"]}),
    Pair("prelu-each", lambda: nn.PReLU(4, **F64), lambda t: t.PReLU(4), (5, 4, 3), lambda a: {"slope": a["weight"]}),
    Pair("elu", lambda: nn.ELU(0.7), lambda t: t.ELU(0.7), (5, 4)),
    Pair("selu", nn.SELU, lambda t: t.SELU(), (5, 4)),
    Pair("gelu", nn.GELU, lambda t: t.GELU(), (5, 4)),
    Pair("gelu-tanh", lambda: nn.GELU("tanh"), lambda t: t.GELU("tanh"), (5, 4)),
    Pair("silu", nn.SiLU, lambda t: t.SiLU(), (5, 4)),
    Pair("mish", nn.Mish, lambda t: t.Mish(), (5, 4)),
    Pair("softplus", nn.Softplus, lambda t: t.Softplus(threshold=100), (5, 4)),
    Pair("softplus-beta", lambda: nn.Softplus(2.5), lambda t: t.Softplus(2.5, threshold=100), (5, 4)),
    Pair("softsign", nn.Softsign, lambda t: t.Softsign(), (5, 4)),
    Pair("hardtanh", lambda: nn.Hardtanh(-0.5, 0.25), lambda t: t.Hardtanh(-0.5, 0.25), (5, 4)),
    Pair("sigmoid", nn.Sigmoid, lambda t: t.Sigmoid(), (5, 4)),
    Pair("tanh", nn.Tanh, lambda t: t.Tanh(), (5, 4)),
    Pair("softmax", lambda: nn.Softmax(0), lambda t: t.Softmax(0), (5, 4)),
    Pair("log_softmax", nn.LogSoftmax, lambda t: t.LogSoftmax(-1), (5, 4)),
]


def close(got, want, what):
    want = np.asarray(want)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12 * max(1, np.abs(want).max(initial=0)), err_msg=what)


def beside(ours, peer, arrays, inputs, **keywords):
    """Our layer and PyTorch's, with PyTorch's parameters changed to random ones, on the same inputs."""
    import torch

    rng = np.random.default_rng(1)
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=tuple(parameter.shape))))
    given = arrays({name: p.detach().numpy() for name, p in peer.named_parameters()})
    ours.load_state_dict({**{n: b.data for n, b in ours.named_buffers()}, **given})
    leaves = [tg.Tensor(x, requires_grad=True) for x in inputs]
    others = [torch.from_numpy(x.copy()).requires_grad_() for x in inputs]
    mine = ours(*leaves, **{name: value for name, (value, _) in keywords.items()})
    theirs = peer(*others, **{name: value for name, (_, value) in keywords.items()})
    theirs = theirs[0] if isinstance(theirs, tuple) else theirs
    close(mine.data, theirs.detach().numpy(), "value")
    cotangent = rng.normal(size=mine.shape)
    mine.backward(cotangent)
    theirs.backward(torch.from_numpy(cotangent))
    for i, (leaf, other) in enumerate(zip(leaves, others, strict=True)):
        close(leaf.grad, other.grad.numpy(), f"gradient of input {i}")
    gradients = arrays({name: p.grad.numpy() for name, p in peer.named_parameters()})
    assert gradients.keys() == dict(ours.named_parameters()).keys()
    for name, parameter in ours.named_parameters():
        close(parameter.grad, gradients[name], f"gradient of {name}")


@pytest.mark.peer
@pytest.mark.parametrize("pair", [pytest.param(p, id=p.id) for p in PAIRS])
def test_values_and_gradients_are_those_of_pytorch(pair):
    torch = pytest.importorskip("torch")
    if pair.id == "gelu":
        pytest.importorskip("scipy")
    x = np.random.default_rng(0).normal(size=pair.shape)
    inputs = [x, x.copy(), x.copy()] if pair.id.startswith("attention") else [x]
    beside(pair.ours(), pair.peer(torch.nn).double(), pair.arrays, inputs)


@pytest.mark.peer
@pytest.mark.parametrize("kind", ["matrix", "batch", "added", "none"])
def test_attention_of_other_lengths_with_a_mask_is_that_of_pytorch(kind):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    query, key, value = (rng.normal(size=(3, n, 4)) for n in (5, 7, 7))
    mask = rng.random((3, 5, 7) if kind == "batch" else (5, 7)) < 0.6
    mask[..., 0] = True
    if kind == "added":
        mask = rng.normal(size=(5, 7))
    hidden = torch.from_numpy(mask if kind == "added" else ~mask)  # PyTorch's booleans say what is hidden
    if kind == "batch":
        hidden = hidden.repeat_interleave(2, dim=0)
    masks = {} if kind == "none" else {"mask": (mask, None), "attn_mask": (None, hidden)}
    ours = nn.MultiheadAttention(4, 2, dtype=np.float64)
    peer = torch.nn.MultiheadAttention(4, 2, batch_first=True).double()

    class Renamed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.peer = peer

        def forward(self, *inputs, mask=None):
            return peer(*inputs, attn_mask=mask, need_weights=False)

    def arrays(given):
        return heads({name.removeprefix("peer."): array for name, array in given.items()})

    masks = {"mask": (mask, hidden)} if masks else {}
    beside(ours, Renamed(), arrays, [query, key, value], **masks)


@pytest.mark.peer
def test_an_embedding_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    indices = np.array([[1, 4, 1], [0, 2, 4]])
    ours = nn.Embedding(5, 3, padding_idx=-1, dtype=np.float64, rng=0)
    peer = torch.nn.Embedding(5, 3, padding_idx=-1).double()
    assert (ours.W.data[4] == 0).all()
    assert ours.padding_idx == peer.padding_idx == 4
    with torch.no_grad():
        peer.weight.copy_(torch.from_numpy(ours.W.data))
    cotangent = np.random.default_rng(0).normal(size=(2, 3, 3))
    mine, theirs = ours(indices), peer(torch.from_numpy(indices))
    np.testing.assert_array_equal(mine.data, theirs.detach().numpy())
    mine.backward(cotangent)
    theirs.backward(torch.from_numpy(cotangent))
    close(ours.W.grad, peer.weight.grad.numpy(), "gradient")


# --- what needs no peer ---------------------------------------------------------------------------------


def test_every_activation_can_be_made_by_name_and_keeps_shape_and_dtype():
    assert set(ACTIVATIONS) == {
        *("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus"),
        *("softsign", "mish", "hardtanh", "sigmoid", "tanh", "prelu"),
    }
    pytest.importorskip("scipy")
    x = np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3)
    for make in ACTIVATIONS.values():
        y = make()(x)
        assert (y.shape, y.dtype) == (x.shape, x.dtype)
        assert getattr(nn, make.__name__) is make


def test_self_attention_is_the_default_and_needs_a_batch_of_sequences():
    layer = nn.MultiheadAttention(4, 2, dtype=np.float64, rng=0)
    x, other = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    np.testing.assert_array_equal(layer(x).data, layer(x, x, x).data)
    np.testing.assert_array_equal(layer(x, other).data, layer(x, other, other).data)
    past = np.tri(5, dtype=bool)
    changed = x.copy()
    changed[:, 3:] += 1
    before, after = layer(x, mask=past).data, layer(changed, mask=past).data
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] != after[:, 3:]).any()


def test_attention_drops_weights_in_training_only():
    first, second = (nn.MultiheadAttention(4, 2, dropout=0.5, rng=3) for _ in range(2))
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    a, b = first(x).data, first(x).data
    np.testing.assert_array_equal(a, second(x).data)
    assert (a != b).any()
    np.testing.assert_array_equal(first.eval()(x).data, first(x).data)


def test_a_residual_adds_and_its_gradient_has_both_ways():
    inner = nn.Linear(3, 3, dtype=np.float64, rng=0)
    x = tg.Tensor(np.random.default_rng(0).normal(size=(4, 3)), requires_grad=True)
    y = nn.Residual(inner)(x)
    np.testing.assert_allclose(y.data, x.data + x.data @ inner.W.data, rtol=1e-15)
    y.sum().backward()
    np.testing.assert_allclose(x.grad, np.tile(1 + inner.W.data.sum(axis=1), (4, 1)), rtol=1e-14)
    wide = nn.Residual(nn.Linear(3, 5, rng=0), nn.Linear(3, 5, bias=False, rng=1))
    assert [name for name, _ in wide.named_parameters()] == ["module.W", "module.b", "shortcut.W"]
    assert wide(np.ones((4, 3), np.float32)).shape == (4, 5)


def ones(*shape):
    return np.ones(shape)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: nn.Sequential(nn.Residual(nn.Linear(3, 1)))(ones(4, 3)),
            tg.ShapeError,
            r"^0: .*Residual: x has shape \(4, 3\) and the module's result \(4, 1\)",
        ),
        (
            lambda: nn.Residual(nn.Linear(3, 2), nn.Linear(3, 1))(ones(4, 3)),
            tg.ShapeError,
            r"the shortcut's result has shape \(4, 1\) and the module's result \(4, 2\)",
        ),
        (lambda: nn.Residual(nn.ReLU), TypeError, "Residual: module must be a Module, got <class"),
        (lambda: nn.Residual(nn.ReLU(), 3), TypeError, "Residual: shortcut must be a Module, got 3"),
        (lambda: nn.Residual(None), TypeError, "Residual: module must be a Module, got None"),
        (
            lambda: nn.Conv2d(3, 4, 3)(ones(2, 5, 6, 6)),
            tg.ShapeError,
            r"Conv2d\(in=3.*x has 5 channels, weight expects 3",
        ),
        (lambda: nn.Conv2d(3, 4, 3)(ones(3, 6, 6)), tg.ShapeError, r"batch, channels, height, width.*write x\[None\]"),
        (lambda: nn.Conv1d(3, 4, 0), ValueError, "Conv1d: kernel_size is an integer of at least 1"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), ValueError, "Conv2d: kernel_size .*2 axes"),
        (
            lambda: nn.Conv2d(3, 4, 3, padding="full"),
            ValueError,
            "Conv2d: padding is 'same', 'valid' or numbers, got 'full'",
        ),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "Conv2d: groups=2 does not divide in_channels=3"),
        (lambda: nn.Conv1d(4, 3, 3, groups=2), ValueError, "Conv1d: groups=2 does not divide out_channels=3"),
        (lambda: nn.Conv1d(4, 0, 3), ValueError, "Conv1d: out_channels must be an integer of at least 1, got 0"),
        (lambda: nn.Conv2d(1, 1, 3, l2=-1.0), ValueError, "Conv2d: l2 must be a finite number of at least 0, got -1.0"),
        (
            lambda: nn.Linear(2, 2, l1="much"),
            ValueError,
            "Linear: l1 must be a finite number of at least 0, got 'much'",
        ),
        (lambda: nn.Linear(2, True), ValueError, "Linear: out_features must be an integer of at least 1, got True"),
        (lambda: nn.MaxPool2d(0), ValueError, "MaxPool2d: kernel_size"),
        (lambda: nn.AvgPool1d(2)(ones(3, 4)), tg.ShapeError, r"batch, channels, length"),
        (lambda: nn.Flatten(2)(ones(3, 4)), tg.ShapeError, r"axes 2 to -1 in x, got shape \(3, 4\)"),
        (lambda: nn.LayerNorm(3)(ones(4, 5)), tg.ShapeError, r"ends in normalized_shape \(3,\)"),
        (lambda: nn.LayerNorm(0), ValueError, "LayerNorm: normalized_shape must be an integer of at least 1, got 0"),
        (lambda: nn.RMSNorm(()), ValueError, "RMSNorm: normalized_shape must have at least one axis"),
        (lambda: nn.RMSNorm(3, eps=-1), ValueError, "RMSNorm: eps must be a finite number of at least 0, got -1"),
        (lambda: nn.GroupNorm(2, 3), ValueError, "GroupNorm: num_groups=2 does not divide num_channels=3"),
        (lambda: nn.GroupNorm(2, 4)(ones(3, 6)), tg.ShapeError, r"weight has shape \(4,\), expected \(6,\)"),
        (lambda: nn.Embedding(5, 2, 5), ValueError, "Embedding: padding_idx 5 is out of range for 5 rows"),
        (lambda: nn.Embedding(5, 2)([[0, 5]]), IndexError, r"index 5 at position \(0, 1\)"),
        (lambda: nn.Embedding(5, 2)([0.5]), tg.DTypeError, "expected integers, got float64"),
        (lambda: nn.MultiheadAttention(5, 2), ValueError, "num_heads=2 does not divide embed_dim=5"),
        (lambda: nn.MultiheadAttention(4, 2, 1.0), ValueError, r"MultiheadAttention: dropout, .*\[0, 1\), got 1.0"),
        (lambda: nn.MultiheadAttention(4, 2)(ones(2, 3, 5)), tg.ShapeError, r"^query_proj: .*5 != 4"),
        (
            lambda: nn.MultiheadAttention(4, 2)(ones(2, 3, 4), mask=np.ones((2, 3, 4), bool)),
            tg.ShapeError,
            r"attn_mask has shape \(2, 1, 3, 4\), expected one that broadcasts to the scores', \(2, 2, 3, 3\)",
        ),
        (lambda: nn.PReLU(3)(ones(2, 4)), tg.ShapeError, "3"),
        (lambda: nn.GELU("erf"), ValueError, "GELU: approximate is 'none' or 'tanh', got 'erf'"),
        (lambda: nn.Softplus(0.0), ValueError, "Softplus: beta must be positive, got 0.0"),
        (lambda: nn.Hardtanh(1, 1), ValueError, "Hardtanh: min_val must be below max_val, got 1 and 1"),
        (lambda: nn.ELU(float("nan")), ValueError, "ELU: alpha must be a finite number, got nan"),
        (lambda: nn.LeakyReLU("0.1"), ValueError, "LeakyReLU: negative_slope must be a finite number, got '0.1'"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(call, error, text):
    with pytest.raises(error, match=text):
        call()


# --- dropout --------------------------------------------------------------------------------------------


@pytest.mark.promise("G11")
@pytest.mark.parametrize("p", [-0.1, 1.0, 2.0, np.nan])
def test_a_dropout_probability_outside_its_range_is_refused(p):
    with pytest.raises(ValueError, match=r"Dropout: p, the probability of dropping, must be in \[0, 1\), got"):
        nn.Dropout(p)


@pytest.mark.promise("G11")
def test_dropout_is_reproducible_by_its_seed_eager_and_compiled():
    x = np.ones((50, 40), np.float32)
    layers = [nn.Dropout(0.3, rng=7), nn.Dropout(0.3, rng=np.random.default_rng(7)), nn.Dropout(0.3, rng=7)]
    compiled = tg.compile(lambda x: layers[2](x))
    first, second = ([layers[0](x).data, layers[1](x).data, compiled(x).data] for _ in range(2))
    for masks in (first, second):
        np.testing.assert_array_equal(masks[0], masks[1])
        np.testing.assert_array_equal(masks[0], masks[2])
    assert (first[0] != second[0]).any()
    assert (first[0] != nn.Dropout(0.3, rng=8)(x).data).any()
    assert set(np.unique(first[0])) == {np.float32(0), np.float32(1 / 0.7)}


# --- penalty --------------------------------------------------------------------------------------------


def test_the_penalty_is_the_sum_over_weights_and_so_is_its_gradient():
    shared = nn.Linear(3, 3, l2=0.5, dtype=np.float64, rng=1)
    model = nn.Sequential(
        nn.Conv1d(2, 3, 2, l1=0.1, l2=0.2, dtype=np.float64, rng=0), nn.Linear(3, 3, rng=2), shared, nn.ReLU(), shared
    )
    for parameter in model.parameters():
        parameter.data[parameter.data == 0] = 7  # biases, which must not count
    first, second = model[0].W.data, shared.W.data
    value = nn.penalty(model)
    want = 0.1 * np.abs(first).sum() + 0.2 * (first**2).sum() + 0.5 * (second**2).sum()
    assert value.item() == pytest.approx(want, rel=1e-14)
    value.backward()
    np.testing.assert_allclose(model[0].W.grad, 0.1 * np.sign(first) + 0.4 * first, rtol=1e-14)
    np.testing.assert_allclose(shared.W.grad, second, rtol=1e-14)
    assert model[0].b.grad is model[1].W.grad is shared.b.grad is None


def test_no_penalty_is_none_and_a_changed_one_is_noticed_by_a_compiled_step():
    model = nn.Sequential(nn.Linear(2, 2, rng=0), nn.BatchNorm(2))
    assert nn.penalty(model) is None
    model[0].l2 = 1.0
    step = tg.compile(lambda: nn.penalty(model))
    assert step().item() == pytest.approx(float((model[0].W.data ** 2).sum()), rel=1e-6)
    model[0].l2 = 3.0
    assert step().item() == pytest.approx(3 * float((model[0].W.data ** 2).sum()), rel=1e-6)
    assert (repr(model[0]), repr(nn.Linear(1, 1))) == ("Linear(in=2, out=2, l2=3)", "Linear(in=1, out=1)")


# --- compiled -------------------------------------------------------------------------------------------


def image_model():
    rng = np.random.default_rng(0)
    statistics = np.random.default_rng(5).normal(2, 3, (20, 2, 8, 8))
    return nn.Sequential(
        nn.Standardize(2).fit(statistics),
        nn.Conv2d(2, 4, 3, padding="same", l2=1e-3, rng=rng),
        nn.BatchNorm(4),
        nn.PReLU(4),
        nn.MaxPool2d(2),
        nn.Residual(nn.Conv2d(4, 4, 3, padding=1, groups=2, rng=rng)),
        nn.GroupNorm(2, 4),
        nn.AvgPool2d(2, padding=1, count_include_pad=False),
        nn.Flatten(2),
        nn.Conv1d(4, 6, 2, stride=2, rng=rng),
        nn.MaxPool1d(2, 1),
        nn.AvgPool1d(2, 1),
        nn.Flatten(),
        nn.Linear(12, 8, init="orthogonal", l1=1e-3, rng=rng),
        nn.LayerNorm(8),
        *(make() for make in ACTIVATIONS.values()),
        nn.Softplus(2.0),
        nn.Dropout(0.2, rng=rng),
        nn.RMSNorm(8),
        nn.Linear(8, 3, rng=rng),
        nn.LogSoftmax(),
    )


def text_model():
    rng = np.random.default_rng(0)
    return nn.Sequential(
        nn.Embedding(9, 8, padding_idx=0, rng=rng),
        nn.Residual(nn.MultiheadAttention(8, 2, dropout=0.1, rng=rng)),
        nn.LayerNorm((5, 8)),
        nn.Flatten(),
        nn.Linear(40, 3, rng=rng),
        nn.Softmax(),
    )


@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (image_model, lambda rng: rng.normal(2, 3, (6, 2, 8, 8)).astype(np.float32)),
        (text_model, lambda rng: rng.integers(0, 9, (6, 5))),
    ],
)
def test_layers_of_all_kinds_have_equal_bits_compiled(make, draw):
    pytest.importorskip("scipy")

    def training():
        model = make()
        optimizer = nn.AdamW(model.parameters(), lr=1e-2)

        def step(x):
            optimizer.zero_grad()
            loss = (model(x) * np.arange(3, dtype=np.float32)).sum()
            penalty = nn.penalty(model)
            loss = loss if penalty is None else loss + penalty
            loss.backward()
            optimizer.step()
            return loss

        return model, step

    (eager, one), (compiled, other) = training(), training()
    other = tg.compile(other)
    rng = np.random.default_rng(2)
    for _ in range(5):
        x = draw(rng)
        assert one(x).data.tobytes() == other(x).data.tobytes()
    assert other.traces == 1
    for name, array in eager.state_dict().items():
        np.testing.assert_array_equal(array, compiled.state_dict()[name], err_msg=name)
    x = draw(rng)
    forward = tg.compile(lambda x: compiled.eval()(x))
    np.testing.assert_array_equal(forward(x).data, eager.eval()(x).data)
