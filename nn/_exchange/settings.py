"""What a live PyTorch model says beside its arrays: momentum, eps, probabilities, arguments of activations."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import functional
from .._layers import activations as act
from .._layers.attention import MultiheadAttention
from .._layers.dropout import Dropout
from .._layers.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm
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
    Dropout: {"p": "p"},
    GroupNorm: {"eps": "eps"},
    LayerNorm: {"eps": "eps"},
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


def differing(model: Module, source: Any, prefixes: tuple[str, str]) -> tuple[list[Change], list[str]]:
    """What to change in the modules of a model, and what of PyTorch's modules they cannot take over."""
    here, there = prefixes
    others = dict(source.named_modules(remove_duplicate=False))
    changes: list[Change] = []
    wrong: list[str] = []
    for path, module in layers(model):
        kind = next((kind for kind in type(module).__mro__ if kind in _SETTINGS), None)
        full = f"{path}." if path else ""
        place = (there + full[len(here) :]).rstrip(".")
        other = others.get(place) if full.startswith(here) else None
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
        if kind is BatchNorm:
            changes.append(Change(module, "unbiased", True))
    return changes, wrong


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
