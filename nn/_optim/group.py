"""Groups of parameters with their options, and checks of the options."""

from __future__ import annotations

import math
from typing import Any

import tensorgrad as tg

from .._checks import number

__all__ = ["ParamGroup", "require", "require_betas", "require_members", "require_rates", "require_within"]

_SWITCHES = ["weight_decay", "decoupled_weight_decay", "momentum", "dampening", "nesterov", "centered", "amsgrad"]


class ParamGroup(dict[str, Any]):
    """Parameters ("params") and the options they are updated with, which can be changed between steps."""

    scheduled: tuple[float | None, float] = (None, 0.0)  # the learning rate that a schedule has set, and its base

    @property
    def in_use(self) -> tuple[str, ...]:
        """The names of the options in use, of those that decide what is computed."""
        return tuple(filter(self.get, _SWITCHES))  # a compiled step asks this in every run


def require(me: str, name: str, value: Any, condition: Any, expected: str) -> None:
    """Raise ValueError about an option unless the condition holds."""
    if not condition:
        raise ValueError(f"{me}: {name} must be {expected}, got {value!r}")


def require_members(me: str, groups: list[ParamGroup], old: list[ParamGroup]) -> None:
    """Raise unless the members of new groups are leaves with real numbers, in no old group, and each given once."""
    known = {id(param) for group in old for param in group["params"]}
    seen: set[int] = set()
    for i, param in enumerate((param for group in groups for param in group["params"]), len(known)):
        if not isinstance(param, tg.Tensor):
            raise TypeError(f"{me}: params[{i}] must be a Parameter, got {type(param).__name__}")
        name = f"params[{i}]" + (f" ({param.name!r})" if param.name else "")
        if not param.is_leaf:
            raise tg.GraphError(f"{me}: {name} is the result of an operation; give the leaf it was computed from")
        if param.dtype.kind != "f":
            raise tg.DTypeError(f"{me}: {name} must have a floating-point dtype, got {param.dtype}")
        if id(param) in known or id(param) in seen:
            how = "is already in a group" if id(param) in known else "is given twice"
            raise ValueError(f"{me}: {name} {how}; it would be updated twice per step")
        seen.add(id(param))


def require_rates(me: str, group: ParamGroup) -> None:
    """Raise ValueError unless the learning rate and the weight decay are finite and not negative."""
    for name in ("lr", "weight_decay"):
        number(me, name, group[name], 0)


def require_betas(me: str, betas: Any) -> None:
    """Raise ValueError unless the weights of two running means are in [0, 1)."""
    require(me, "betas", betas, isinstance(betas, tuple | list) and len(betas) == 2, "two numbers in [0, 1)")
    for beta in betas:
        require_within(me, "betas", beta, below=1)


def require_within(me: str, name: str, value: Any, *, most: float = math.inf, below: float = math.inf) -> float:
    """The value as a float, if it is from 0 up to ``most``, or to just below ``below``. Raises ValueError."""
    given = number(me, name, value)
    if not 0 <= given <= most or given >= below:
        require(me, name, value, False, f"in [0, {most:g}]" if below == math.inf else f"in [0, {below:g})")
    return given
