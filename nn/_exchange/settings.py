"""What a live PyTorch model says beside its arrays.

Momentum, eps, probabilities and arguments of activations are taken over; what decides how a layer computes, such as a
stride, must be equal.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import functional
from .._layers import activations as act
from .._layers.attention import MultiheadAttention
from .._layers.convolution import Conv1d, Conv2d
from .._layers.dropout import Dropout
from .._layers.embedding import Embedding
from .._layers.linear import Linear
from .._layers.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from .._layers.pooling import AvgPool1d, AvgPool2d, Flatten, MaxPool1d, MaxPool2d
from .._module import Module
from .layouts import layers

__all__ = ["Change", "differing"]


class Change(NamedTuple):
    """An attribute of a module and its new value."""

    module: Module
    name: str
    value: Any


# The attributes to read, by their names here, with PyTorch's. A kind without any is told apart from others.
_SETTINGS: dict[type[Module], dict[str, str]] = {
    BatchNorm: {"momentum": "momentum", "eps": "eps"},
    Conv1d: {},
    Conv2d: {},
    AvgPool1d: {},
    AvgPool2d: {},
    Dropout: {"p": "p"},
    Embedding: {},
    Flatten: {},
    GroupNorm: {"eps": "eps"},
    LayerNorm: {"eps": "eps"},
    Linear: {},
    MaxPool1d: {},
    MaxPool2d: {},
    MultiheadAttention: {"dropout": "dropout"},
    RMSNorm: {"eps": "eps"},
    act.ELU: {"alpha": "alpha"},
    act.GELU: {"approximate": "approximate"},
    act.Hardtanh: {"min_val": "min_val", "max_val": "max_val"},
    act.LeakyReLU: {"negative_slope": "negative_slope"},
    act.LogSoftmax: {"axis": "dim"},
    act.Mish: {},
    act.PReLU: {},
    act.ReLU: {},
    act.SELU: {},
    act.SiLU: {},
    act.Sigmoid: {},
    act.Softmax: {"axis": "dim"},
    act.Softplus: {"beta": "beta"},
    act.Softsign: {},
    act.Tanh: {},
}


_CONV = {"stride": "stride", "padding": "padding", "dilation": "dilation", "groups": "groups"}
_POOL = {"kernel_size": "kernel_size", "stride": "stride", "padding": "padding"}
# Likewise, those that must be equal.
_EQUAL: dict[type[Module], dict[str, str]] = {
    AvgPool1d: {**_POOL, "count_include_pad": "count_include_pad"},
    AvgPool2d: {**_POOL, "count_include_pad": "count_include_pad"},
    Conv1d: _CONV,
    Conv2d: _CONV,
    Embedding: {"padding_idx": "padding_idx"},
    Flatten: {"start_axis": "start_dim", "end_axis": "end_dim"},
    GroupNorm: {"num_groups": "num_groups"},
    MaxPool1d: {**_POOL, "dilation": "dilation"},
    MaxPool2d: {**_POOL, "dilation": "dilation"},
    MultiheadAttention: {"num_heads": "num_heads"},
}
# PyTorch's settings that have one value here.
_FIXED: dict[str, Any] = {
    "padding_mode": "zeros",
    "ceil_mode": False,
    "return_indices": False,
    "divisor_override": None,
    "bias_k": None,
    "add_zero_attn": False,
    "max_norm": None,
}


def differing(model: Module, source: Any, prefixes: tuple[str, str]) -> tuple[list[Change], list[str]]:
    """What to change in the modules of a model, and what of PyTorch's modules they cannot take over."""
    here, there = prefixes
    others = dict(source.named_modules(remove_duplicate=False))
    changes: list[Change] = []
    wrong: list[str] = []
    known: set[str] = set()
    for path, module in layers(model):
        kind = next((kind for kind in type(module).__mro__ if kind in _SETTINGS), None)
        full = f"{path}." if path else ""
        place = (there + full[len(here) :]).rstrip(".")
        other = others.get(place) if full.startswith(here) else None
        known.add(place)
        if kind is None or other is None:
            continue
        if kind.__name__ not in {base.__name__.lstrip("_") for base in type(other).__mro__}:
            wrong.append(f"{place}: is a {type(other).__name__}, expected a {kind.__name__}")
            continue
        for name, theirs in _SETTINGS[kind].items():
            try:
                changes.append(Change(module, name, _taken_over(kind, name, getattr(other, theirs))))
            except ValueError as error:
                wrong.append(f"{place}.{theirs}: {error}")
        wrong += [f"{place}.{text}" for text in _unequal(kind, module, other)]
        if kind is BatchNorm:
            changes.append(Change(module, "unbiased", True))
    for place, other in others.items():
        leaf = next(other.children(), None) is None
        if leaf and place not in known and place.startswith(there) and type(other).__name__ != "Identity":
            wrong.append(f"{place}: is a {type(other).__name__}, and there is nothing here at that path")
    return changes, wrong


def _unequal(kind: type[Module], module: Module, other: Any) -> list[str]:
    """The settings of a layer that must be equal and are not, in words."""
    pairs = [(theirs, getattr(module, ours)) for ours, theirs in _EQUAL.get(kind, {}).items()]
    pairs += [(theirs, value) for theirs, value in _FIXED.items() if hasattr(other, theirs)]
    wrong = []
    for name, ours in pairs:
        theirs = getattr(other, name)
        if isinstance(ours, tuple) and not isinstance(theirs, str):
            theirs = tuple(theirs) if isinstance(theirs, tuple | list) else (theirs,) * len(ours)
        if theirs != ours:
            wrong.append(f"{name}: is {theirs!r}, expected {ours!r}")
    return wrong


def _taken_over(kind: type[Module], name: str, value: Any) -> Any:
    if name == "momentum":
        if value is None:
            raise ValueError("is None, a cumulative average, which BatchNorm here lacks; set a number")
        return 1.0 - value
    if name in ("p", "dropout"):
        return functional.checked_probability(value, kind.__name__)
    if name == "axis" and value is None:
        raise ValueError("is None, which PyTorch guesses an axis for; set a number")
    return value
