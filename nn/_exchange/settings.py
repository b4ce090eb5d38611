"""The settings of a live PyTorch model, in addition to its arrays.

Momentum, eps, probabilities and arguments of activations are copied; what decides how a layer computes, such as a
stride, must be equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from .._checks import probability
from .._layers import activations as act
from .._layers.attention import MultiheadAttention
from .._layers.containers import Identity, ModuleDict, ModuleList, Sequential
from .._layers.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from .._layers.dropout import Dropout, Dropout1d, Dropout2d
from .._layers.embedding import Embedding
from .._layers.linear import Linear
from .._layers.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from .._layers.pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AvgPool1d,
    AvgPool2d,
    Flatten,
    MaxPool1d,
    MaxPool2d,
)
from .._layers.recurrent import GRU, LSTM
from .._layers.transformer import TransformerEncoderLayer
from .._module import Module
from ..functional._spatial import paddings, reach
from .layouts import layers

__all__ = ["Change", "differing"]


class Change(NamedTuple):
    """An attribute of a module and its new value."""

    module: Module
    name: str
    value: Any


# The attributes to copy, by their names here, with PyTorch's names. The kinds without any are only told apart.
_SETTINGS: dict[type[Module], dict[str, str]] = {
    AdaptiveAvgPool1d: {},
    AdaptiveAvgPool2d: {},
    AvgPool1d: {},
    AvgPool2d: {},
    BatchNorm: {"momentum": "momentum", "eps": "eps"},
    Conv1d: {},
    Conv2d: {},
    ConvTranspose1d: {},
    ConvTranspose2d: {},
    Dropout: {"p": "p"},
    Dropout1d: {"p": "p"},
    Dropout2d: {"p": "p"},
    Embedding: {},
    Flatten: {"start_axis": "start_dim", "end_axis": "end_dim"},
    GRU: {"dropout": "dropout"},
    GroupNorm: {"eps": "eps"},
    Identity: {},
    LSTM: {"dropout": "dropout"},
    LayerNorm: {"eps": "eps"},
    Linear: {},
    MaxPool1d: {},
    MaxPool2d: {},
    MultiheadAttention: {"dropout": "dropout"},
    RMSNorm: {"eps": "eps"},
    TransformerEncoderLayer: {},
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
    act.Softplus: {"beta": "beta", "threshold": "threshold"},
    act.Softsign: {},
    act.Tanh: {},
}

# The attributes that decide what a layer computes, and must be equal. Both libraries use the same names.
_CONVOLUTION = ("stride", "dilation", "groups")
_TRANSPOSED = (*_CONVOLUTION, "padding", "output_padding")
_RECURRENT = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "bidirectional")
_POOL = ("kernel_size", "stride", "padding")
_EQUAL: dict[type[Module], tuple[str, ...]] = {
    AdaptiveAvgPool1d: ("output_size",),
    AdaptiveAvgPool2d: ("output_size",),
    AvgPool1d: (*_POOL, "count_include_pad"),
    AvgPool2d: (*_POOL, "count_include_pad"),
    Conv1d: _CONVOLUTION,
    Conv2d: _CONVOLUTION,
    ConvTranspose1d: _TRANSPOSED,
    ConvTranspose2d: _TRANSPOSED,
    Embedding: ("padding_idx",),
    GRU: _RECURRENT,
    GroupNorm: ("num_groups", "num_channels"),
    LSTM: _RECURRENT,
    LayerNorm: ("normalized_shape",),
    MaxPool1d: (*_POOL, "dilation"),
    MaxPool2d: (*_POOL, "dilation"),
    MultiheadAttention: ("num_heads",),
    RMSNorm: ("normalized_shape",),
    TransformerEncoderLayer: ("norm_first",),
}
# Options of PyTorch's layers that the layers here lack, with the values that fit.
_ALWAYS = {
    "add_zero_attn": False,
    "ceil_mode": False,
    "divisor_override": None,
    "max_norm": None,
    "padding_mode": "zeros",
    "proj_size": 0,
    "return_indices": False,
}
# Modules of PyTorch, without tensors, that need no counterpart here.
_HARMLESS = {"Identity", "ModuleDict", "ModuleList", "Sequential", "Loss"}


def differing(model: Module, source: Any, prefixes: tuple[str, str]) -> tuple[list[Change], list[str]]:
    """The changes to make in a model's modules, and a list of what in PyTorch's modules does not fit them."""
    here, there = prefixes
    others = dict(source.named_modules(remove_duplicate=False))
    changes: list[Change] = []
    wrong: list[str] = []
    places: set[str] = set()
    for path, module in layers(model):
        full = f"{path}." if path else ""
        if not full.startswith(here):
            continue
        place = (there + full[len(here) :]).rstrip(".")
        if not isinstance(module, Sequential | ModuleList | ModuleDict):
            places.add(place)
        kind = next((kind for kind in type(module).__mro__ if kind in _SETTINGS), None)
        other = others.get(place)
        if kind is None or other is None:
            continue
        if kind.__name__ not in _names(other):
            wrong.append(f"{place}: class {type(other).__name__}, expected {kind.__name__}")
            continue
        wrong += [f"{place}.{text}" for text in _unequal(kind, module, other)]
        for name, theirs in _SETTINGS[kind].items():
            try:
                changes.append(Change(module, name, _converted(kind, name, getattr(other, theirs))))
            except ValueError as error:
                wrong.append(f"{place}.{theirs}: {error}")
        if kind is BatchNorm:
            changes.append(Change(module, "unbiased", True))
    return changes, wrong + _without_place(others, places)


def _names(other: Any) -> set[str]:
    """The names of a PyTorch module's class and its bases."""
    return {base.__name__.lstrip("_") for base in type(other).__mro__}


def _unequal(kind: type[Module], module: Any, other: Any) -> Iterator[str]:
    """Yield messages on what makes a PyTorch layer compute something other than the layer here."""
    for name in _EQUAL.get(kind, ()):
        ours, theirs = getattr(module, name), getattr(other, name)
        if isinstance(ours, tuple) and not isinstance(theirs, tuple | list):
            theirs = (theirs,) * len(ours)
        if ours != theirs:
            yield f"{name}: is {theirs!r}, expected {ours!r}"
    for name, ours in _ALWAYS.items():
        if getattr(other, name, ours) != ours:
            yield f"{name}: is {getattr(other, name)!r}, expected {ours!r}"
    if kind is BatchNorm and (module.momentum is None) != (other.momentum is None):
        yield f"momentum: is {other.momentum!r}, expected {'None' if module.momentum is None else 'a number'}"
    if kind is TransformerEncoderLayer:
        called = getattr(other.activation, "__name__", type(other.activation).__name__)
        if called.lower() != type(module.activation).__name__.lower():
            yield f"activation: is {called}, expected {type(module.activation).__name__}"
    if isinstance(module, Conv1d | Conv2d) and _padded(module, other.padding) != _padded(module, module.padding):
        yield f"padding: is {other.padding!r}, expected {module.padding!r}"


def _padded(layer: Conv1d | Conv2d, padding: Any) -> Any:
    """The numbers of zeros before and after each axis."""
    if isinstance(padding, str) and padding == "same" and any(step != 1 for step in layer.stride):
        return None
    return paddings("from_torch", padding, reach(layer.kernel_size, layer.dilation), layer.stride)


def _without_place(others: dict[str, Any], places: set[str]) -> list[str]:
    """List PyTorch's modules that compute something where there is none here; those with tensors show by name."""
    return [
        f"{place}: class {type(other).__name__}, but there is nothing at that path here"
        for place, other in others.items()
        if place not in places
        and not any(True for _ in other.children())
        and not other.state_dict()
        and not _HARMLESS & _names(other)
    ]


def _converted(kind: type[Module], name: str, value: Any) -> Any:
    if name == "momentum":
        return None if value is None else 1.0 - value
    if name in ("p", "dropout"):
        return probability(kind.__name__, "p", value)
    if name == "axis" and value is None:
        raise ValueError("is None, for which PyTorch guesses an axis; set a number")
    return value
