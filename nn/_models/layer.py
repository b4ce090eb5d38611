"""One layer of a multi-layer perceptron, described and built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from .._checks import count, number, probability
from .._layers.activations import ACTIVATIONS, PReLU
from .._layers.dropout import Dropout
from .._layers.linear import Linear
from .._layers.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from .._module import Module
from ..init import Initializer, resolved

__all__ = ["Layer", "Spec", "made"]

# A name, a name with options, or a function that makes the module.
Spec = str | Mapping[str, Any] | Callable[..., Any]

# The class of each norm, and its argument for the number of features.
_NORMS: dict[str, tuple[type[Module], str]] = {
    "batch": (BatchNorm, "num_features"),
    "layer": (LayerNorm, "normalized_shape"),
    "rms": (RMSNorm, "normalized_shape"),
    "group": (GroupNorm, "num_channels"),
}
# Small features at first, which training then changes more, and outputs close to 0, so that the first loss is close to
# that of a guess, ln(classes): both are worth some accuracy, see docs/quality.md. The layers between keep the size of
# the gradient at any depth.
_FIRST_INIT = {"name": "glorot_uniform", "gain": 0.5}
_LAST_INIT = "glorot_uniform"
# Other activations use He initialisation: about half of their results are close to 0.
_USUAL_INIT = {
    "selu": "lecun_normal",
    "sigmoid": "lecun_normal",
    "softsign": "glorot_normal",
    "hardtanh": "glorot_normal",
    "tanh": "glorot_normal",
}


@dataclass(frozen=True)
class Layer:
    """One layer of an :class:`nn.MLP`: Linear, norm, activation and dropout, in this order.

    ``activation``, ``norm`` and ``init`` are given as a name ("relu"), a name with options
    (``{"name": "leaky_relu", "negative_slope": 0.2}``), or a function that makes them (``nn.Tanh``).

    Args:
        units: number of output features.
        activation: "relu", "leaky_relu", "prelu", "elu", "selu", "gelu", "silu", "mish", "softplus", "softsign",
            "hardtanh", "sigmoid" or "tanh"; None for none. "auto" is "relu" in a hidden layer, and none in the last.
        norm: "batch", "layer", "rms" or "group" (which needs ``num_groups``), or a function
            ``(num_features, dtype=)``; None for none. Before a batch norm the Linear has no bias, since subtracting
            the batch's mean would cancel it.
        dropout: probability of dropping after the activation.
        init: of the weights, as in :class:`nn.Linear`. None: He (normal) for most activations, Glorot for tanh,
            softsign and hardtanh, LeCun for sigmoid, selu and no activation. The last layer of an MLP gets Glorot
            (uniform) instead, and the first, where that would be He, Glorot (uniform) with gain 0.5.
        l1: weight of the sum of the absolute weights in :func:`nn.penalty`.
        l2: likewise, of the squared weights.

    Raises:
        ValueError: a field is out of range, or a name is unknown.

    >>> import nn
    >>> nn.MLP([4, nn.Layer(8, activation="selu", l2=1e-4), nn.Layer(3)])
    MLP(
      (layers): Sequential(
        (0): Linear(in=4, out=8, l2=0.0001)
        (1): SELU()
        (2): Linear(in=8, out=3)
      )
    )
    """

    units: int
    _: KW_ONLY
    activation: Spec | None = "auto"
    norm: Spec | None = None
    dropout: float = 0.0
    init: str | Mapping[str, Any] | Initializer | None = None
    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        count("", "units", self.units)
        for field, table in (("activation", {"auto": None, **ACTIVATIONS}), ("norm", _NORMS)):
            _check_spec(getattr(self, field), table, field)
        probability("", "dropout", self.dropout)
        for field in ("l1", "l2"):
            number("", field, getattr(self, field), 0)
        if self.init is not None:
            resolved(self.init)

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> Self:
        """Make a layer from a plain dict, for example from JSON."""
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in description if name not in known]:
            raise ValueError(f"{unknown[0]!r} is not a field of a layer; write one of {', '.join(known)}")
        if "units" not in description:
            raise ValueError(f"units is missing from {dict(description)}")
        return cls(**description)

    def placed(self, *, first: bool, last: bool) -> Self:
        """Return the layer with the activation that "auto" means at its position, and the initialiser for it."""
        layer = replace(self, activation=None if last else "relu") if self.activation == "auto" else self
        if layer.init is not None:
            return layer
        if last:
            return replace(layer, init=_LAST_INIT)
        return replace(layer, init=_FIRST_INIT) if first and layer.initializer == "he_normal" else layer

    @property
    def initializer(self) -> Any:
        """``init``, or else the usual initialiser for the activation."""
        if self.init is not None:
            return self.init
        name = self._activation_name
        if name is None:
            return "lecun_normal"
        return _USUAL_INIT.get(name, "he_normal") if isinstance(name, str) else "he_normal"

    @property
    def _activation_name(self) -> Any:
        """The activation's name, or the function that makes it; None for no activation."""
        return self.activation["name"] if isinstance(self.activation, Mapping) else self.activation

    def build(self, features: int, *, dtype: DTypeLike, rng: np.random.Generator) -> list[Module]:
        """Make the modules for the given number of input features; weights and dropout draw from ``rng``."""
        norm = self._norm(dtype)
        modules: list[Module] = [
            Linear(
                features,
                self.units,
                bias=not isinstance(norm, BatchNorm),
                init=self.initializer,
                l1=self.l1,
                l2=self.l2,
                dtype=dtype,
                rng=rng,
            )
        ]
        if norm is not None:
            modules.append(norm)
        if self.activation is not None:
            learned = self._activation_name in ("prelu", PReLU)
            modules.append(made(self.activation, ACTIVATIONS, "activation", **({"dtype": dtype} if learned else {})))
        if self.dropout:
            modules.append(Dropout(self.dropout, rng=rng))
        return modules

    def _norm(self, dtype: DTypeLike) -> Module | None:
        if self.norm is None:
            return None
        if callable(self.norm):
            return made(self.norm, {}, "norm", self.units, dtype=dtype)
        _, width = _NORMS[self.norm if isinstance(self.norm, str) else self.norm["name"]]
        classes = {name: kind for name, (kind, _) in _NORMS.items()}
        return made(self.norm, classes, "norm", **{width: self.units}, dtype=dtype)


def made(spec: Spec, table: Mapping[str, Callable[..., Any]], field: str, *given: Any, **options: Any) -> Any:
    """Call the function given as a name, a name with options, or itself, with the arguments.

    Raises ValueError, with the field's name, for an unknown name or option.
    """
    _check_spec(spec, table, field)
    if isinstance(spec, str):
        make: Callable[..., Any] = table[spec]
    elif isinstance(spec, Mapping):
        make = table[spec["name"]]
        if taken := options.keys() & spec.keys():
            raise ValueError(f"{field} {spec!r}: {min(taken)!r} is already set; leave it out")
        options.update({key: value for key, value in spec.items() if key != "name"})
    else:
        make = spec
    try:
        return make(*given, **options)
    except TypeError as error:
        raise ValueError(f"{field} {spec!r}: {error}") from error


def _check_spec(spec: Any, table: Mapping[str, Any], field: str) -> None:
    if isinstance(spec, Module):
        kind = type(spec).__name__
        raise ValueError(
            f"{field} is created for each layer, got the module {spec!r}; write {kind}, a name, or a function"
        )
    if spec is None or callable(spec):
        return
    name = spec.get("name") if isinstance(spec, Mapping) else spec
    if not isinstance(name, str):
        raise ValueError(f"{field} must be a name, a dict with 'name' and options, or a function, got {spec!r}")
    if name not in table:
        raise ValueError(f"{field} {name!r} is not one of {', '.join(table)}")
