"""Groups of parameters with their options, and checks of the options."""

from __future__ import annotations

import math
from typing import Any

from .._checks import number

__all__ = ["ParamGroup", "require", "require_betas", "require_rates", "require_within"]

_SWITCHES = ["weight_decay", "decoupled_weight_decay", "momentum", "dampening", "nesterov", "centered", "amsgrad"]


class ParamGroup(dict[str, Any]):
    """Parameters ("params") and the options they are updated with, which can be changed between steps."""

    scheduled: tuple[float | None, float] = (None, 0.0)  # the learning rate that a schedule has set, and its base

    @property
    def branches(self) -> tuple[bool, ...]:
        """Whether each of the options that decide what is computed is in use."""
        return tuple(bool(self.get(name)) for name in _SWITCHES)


def require(me: str, name: str, value: Any, condition: Any, expected: str) -> None:
    """Raise ValueError about an option unless the condition holds."""
    if not condition:
        raise ValueError(f"{me}: {name} must be {expected}, got {value!r}")


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
