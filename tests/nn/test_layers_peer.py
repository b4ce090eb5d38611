"""Layers compared with PyTorch's: values, and the gradients of inputs and parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import nn
import tensorgrad as tg

F64 = {"dtype": np.float64}


class Pair(NamedTuple):
    """A layer of ours, PyTorch's, and the latter's arrays (parameters or gradients) under our names."""

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
    for name in ("query", "key", "value"):  # where their widths differ
        if f"{name[0]}_proj_weight" in arrays:
            found[f"{name}_proj.W"] = arrays[f"{name[0]}_proj_weight"].T
            found["out_proj.W"] = arrays["out_proj.weight"].T
    return found


def encoder(arrays):
    found = {}
    for part, layout in (("self_attn", heads), ("linear", matrix), ("norm", affine)):
        for prefix in dict.fromkeys(name.split(".")[0] for name in arrays if name.startswith(part)):
            own = {n.removeprefix(f"{prefix}."): a for n, a in arrays.items() if n.startswith(f"{prefix}.")}
            found |= {f"{prefix}.{name}": array for name, array in layout(own).items()}
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
    Pair(
        "conv_transpose1d",
        lambda: nn.ConvTranspose1d(4, 3, 3, **F64),
        lambda t: t.ConvTranspose1d(4, 3, 3),
        (2, 4, 5),
        kernel,
    ),
    Pair(
        "conv_transpose1d-all",
        lambda: nn.ConvTranspose1d(4, 6, 3, 3, 2, 1, 2, False, 2, **F64),
        lambda t: t.ConvTranspose1d(4, 6, 3, 3, 2, 1, 2, False, 2),
        (2, 4, 5),
        kernel,
    ),
    Pair(
        "conv_transpose2d",
        lambda: nn.ConvTranspose2d(3, 4, 3, 2, **F64),
        lambda t: t.ConvTranspose2d(3, 4, 3, 2),
        (2, 3, 4, 3),
        kernel,
    ),
    Pair(
        "conv_transpose2d-all",
        lambda: nn.ConvTranspose2d(4, 2, (3, 2), (2, 3), (1, 0), (1, 2), 2, True, (1, 2), **F64),
        lambda t: t.ConvTranspose2d(4, 2, (3, 2), (2, 3), (1, 0), (1, 2), 2, True, (1, 2)),
        (2, 4, 3, 4),
        kernel,
    ),
    Pair(
        "conv_transpose2d-one",
        lambda: nn.ConvTranspose2d(3, 4, 3, 2, **F64),
        lambda t: t.ConvTranspose2d(3, 4, 3, 2),
        (3, 4, 3),
        kernel,
    ),
    Pair("adaptive_avg_pool1d", lambda: nn.AdaptiveAvgPool1d(4), lambda t: t.AdaptiveAvgPool1d(4), (2, 3, 10)),
    Pair("adaptive_avg_pool1d-one", lambda: nn.AdaptiveAvgPool1d(5), lambda t: t.AdaptiveAvgPool1d(5), (3, 10)),
    Pair("adaptive_avg_pool1d-more", lambda: nn.AdaptiveAvgPool1d(7), lambda t: t.AdaptiveAvgPool1d(7), (2, 3, 5)),
    Pair("adaptive_avg_pool2d", lambda: nn.AdaptiveAvgPool2d(1), lambda t: t.AdaptiveAvgPool2d(1), (2, 3, 4, 5)),
    Pair(
        "adaptive_avg_pool2d-each",
        lambda: nn.AdaptiveAvgPool2d((3, None)),
        lambda t: t.AdaptiveAvgPool2d((3, None)),
        (2, 3, 7, 5),
    ),
    Pair("adaptive_avg_pool2d-one", lambda: nn.AdaptiveAvgPool2d(2), lambda t: t.AdaptiveAvgPool2d(2), (3, 5, 6)),
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
    Pair("conv1d-one", lambda: nn.Conv1d(2, 3, 3, **F64), lambda t: t.Conv1d(2, 3, 3), (2, 9), kernel),
    Pair("conv2d-one", lambda: nn.Conv2d(3, 4, 3, 2, **F64), lambda t: t.Conv2d(3, 4, 3, 2), (3, 6, 7), kernel),
    Pair("max_pool1d-one", lambda: nn.MaxPool1d(3, 2, 1), lambda t: t.MaxPool1d(3, 2, 1), (3, 9)),
    Pair("max_pool2d-one", lambda: nn.MaxPool2d(2), lambda t: t.MaxPool2d(2), (3, 6, 5)),
    Pair("avg_pool1d-one", lambda: nn.AvgPool1d(3, 2, 1), lambda t: t.AvgPool1d(3, 2, 1), (3, 9)),
    Pair("avg_pool2d-one", lambda: nn.AvgPool2d(2), lambda t: t.AvgPool2d(2), (3, 6, 5)),
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
        "layer_norm-no-bias",
        lambda: nn.LayerNorm(4, bias=False, **F64),
        lambda t: t.LayerNorm(4, bias=False),
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
        "attention-one",
        lambda: nn.MultiheadAttention(6, 3, **F64),
        lambda t: t.MultiheadAttention(6, 3, batch_first=True),
        (5, 6),
        heads,
    ),
    Pair(
        "attention-bare",
        lambda: nn.MultiheadAttention(6, 2, bias=False, **F64),
        lambda t: t.MultiheadAttention(6, 2, bias=False, batch_first=True),
        (2, 5, 6),
        heads,
    ),
    Pair(
        "encoder",
        lambda: nn.TransformerEncoderLayer(6, 3, 8, 0.0, **F64),
        lambda t: t.TransformerEncoderLayer(6, 3, 8, 0.0, batch_first=True),
        (2, 5, 6),
        encoder,
    ),
    Pair(
        "encoder-first",
        lambda: nn.TransformerEncoderLayer(6, 2, 8, 0.0, "gelu", 0.1, True, **F64),
        lambda t: t.TransformerEncoderLayer(6, 2, 8, 0.0, "gelu", 0.1, True, True),
        (2, 5, 6),
        encoder,
    ),
    Pair(
        "encoder-one",
        lambda: nn.TransformerEncoderLayer(6, 2, 8, 0.0, **F64),
        lambda t: t.TransformerEncoderLayer(6, 2, 8, 0.0, batch_first=True),
        (5, 6),
        encoder,
    ),
    Pair("identity", nn.Identity, lambda t: t.Identity(), (5, 4)),
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
    Pair("softplus-threshold", lambda: nn.Softplus(2.5, 0.5), lambda t: t.Softplus(2.5, 0.5), (5, 4)),
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
    """Run our layer and PyTorch's, with PyTorch's parameters replaced by random ones, on the same inputs."""
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
    if pair.id in ("gelu", "encoder-first"):
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
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("widths", [{"kdim": 3, "vdim": 5}, {"kdim": 3}, {"vdim": 5}, {"kdim": 4, "vdim": 4}])
def test_attention_to_keys_and_values_of_other_widths_is_that_of_pytorch(widths, bias):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    ours = nn.MultiheadAttention(4, 2, bias=bias, **widths, dtype=np.float64)
    assert (ours.kdim, ours.vdim) == (widths.get("kdim", 4), widths.get("vdim", 4))
    peer = torch.nn.MultiheadAttention(4, 2, bias=bias, **widths, batch_first=True).double()
    inputs = [rng.normal(size=(3, n, width)) for n, width in ((5, 4), (7, ours.kdim), (7, ours.vdim))]
    beside(ours, peer, heads, inputs)


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
