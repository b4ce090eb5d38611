"""What is left of 1 where a function has all but reached it: slopes and logarithms that keep their digits there.

``1 - tanh(x)**2`` is 0 from x = 20 on, where the slope is 2e-17; ``1 / cosh(x)**2`` keeps it, and costs an exponential
for each number. Of many numbers only those are computed so that need it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ..engine.arrays import reduced
from ..engine.mode import silenced
from ..engine.record import Handle
from ..engine.staging import indivisible

__all__ = [
    "MANY",
    "in_one_piece",
    "in_range",
    "log_if_close",
    "log_of",
    "log_total",
    "over_one_and_exp",
    "root_of_many",
    "scaled",
    "scaled_if_needed",
    "slope_of_sigmoid",
    "slope_of_tanh",
]

MANY = 4096  # numbers from which on it pays to look which of them are in a tail
_NEAR = 0.97  # there the difference from 1 has lost five binary digits


def _with_tail(slope: Any, tail: Any, exact: Callable[[Any], Any], x: Any) -> Any:
    slope[tail] = exact(x[tail])
    return slope


def _slope_of_tanh(x: Any, out: Any) -> Any:
    power = np.exp(-2 * np.abs(x))
    return 4 * power / np.square(1 + power), None


@indivisible(straight_line=_slope_of_tanh)
def slope_of_tanh(x: Any, out: Any) -> Any:
    """``1 / cosh(x)**2`` of many real numbers x whose hyperbolic tangent is ``out``.

    >>> float(slope_of_tanh(np.array([20.0]), np.array([1.0]))[0])
    1.69934e-17
    """
    slope = 1 - out * out
    if reduced(np.maximum, out, None) > _NEAR or reduced(np.minimum, out, None) < -_NEAR:
        return _with_tail(slope, np.abs(out) > _NEAR, lambda part: np.square(1 / np.cosh(part)), x)
    return slope


def _slope_of_sigmoid(x: Any, out: Any) -> Any:
    return _slope_on_the_right(np.abs(x)), None


@indivisible(straight_line=_slope_of_sigmoid)
def slope_of_sigmoid(x: Any, out: Any) -> Any:
    """``sigmoid(x) * sigmoid(-x)`` of many real numbers x whose sigmoid is ``out``.

    >>> float(slope_of_sigmoid(np.array([40.0]), np.array([1.0]))[0])
    4.24835e-18
    """
    slope = out * (1 - out)
    if reduced(np.maximum, out, None) > _NEAR:
        return _with_tail(slope, out > _NEAR, _slope_on_the_right, x)
    return slope


def _slope_on_the_right(x: Any) -> Any:
    power = np.exp(-x)
    return power / np.square(1 + power)


def _root_of_many(x: Any) -> Any:
    size = np.abs(x)
    return np.where(size < 2 / np.finfo(x.dtype).eps ** 0.5, np.sqrt(1 + x * x), size), None


@indivisible(straight_line=_root_of_many)
def root_of_many(x: Any) -> Any:
    """``sqrt(1 + x * x)`` of many real numbers: by hypot, which takes longer, where a square overflows.

    >>> root_of_many(np.array([0.0, -1e200])).tolist()
    [1.0, 1e+200]
    """
    with silenced():
        root = np.sqrt(1 + x * x)
    return root if reduced(np.maximum, root, None) < np.inf else np.hypot(x, 1.0)


def over_one_and_exp(xp: Any, g: Any, x: Any) -> Any:
    """``g / (1 + exp(x))``, whose derivatives keep their digits at both ends.

    >>> over_one_and_exp(np, 1.0, np.zeros(1)).tolist()
    [0.5]
    """
    down: Any = x
    return g * xp.sigmoid(-down) if isinstance(x, Handle) else g / (1 + xp.exp(x))


def log_total(shifted: Any, axis: Any) -> Any:
    """``log(sum(exp(shifted)))`` along axes, of numbers the largest of which is 0: to all digits where others are tiny.

    >>> float(log_total(np.array([0.0, -40.0]), (0,))[0])
    4.24835e-18
    """
    powers = np.exp(shifted)
    total = np.add.reduce(powers, axis=axis, keepdims=True)
    return (log_of if in_one_piece(shifted) else log_if_close)(total, shifted, powers, axis)


def in_range(plain: Callable[[Any], Any], w: Any, axes: Any, keepdims: bool, degree: float = 2) -> Any:
    """``plain(w)``, a size along axes made of powers of that degree: scaled first where they overflow or underflow.

    >>> in_range(lambda w: np.sqrt(np.sum(w * w)), np.array([3e200, 4e200]), (0,), False).item()
    5e+200
    """
    with silenced():
        if in_one_piece(w):
            return scaled(plain, w, axes, keepdims)
        return scaled_if_needed(w, plain, axes, keepdims, degree)


@indivisible(
    formula=lambda w, plain, axes, keepdims, degree: plain(w),
    straight_line=lambda w, plain, axes, keepdims, degree: (scaled(plain, w, axes, keepdims), None),
)
def scaled_if_needed(w: Any, plain: Any, axes: Any, keepdims: bool, degree: float) -> Any:
    """:func:`scaled`, or ``plain(w)`` where nothing overflows or underflows."""
    result = plain(w)
    low = _least(result.dtype, degree)
    well = low <= result < np.inf if not result.shape else bool(np.all((result >= low) & (result < np.inf)))
    return result if well else scaled(plain, w, axes, keepdims)


@cache
def _least(dtype: Any, degree: float) -> float:
    """Down to where powers of that degree keep their digits."""
    limits = np.finfo(dtype)
    return float(limits.tiny / limits.eps) ** (1 / degree)


def scaled(plain: Any, w: Any, axes: Any, keepdims: bool) -> Any:
    """``plain(w)``, computed of numbers divided by the largest.

    >>> scaled(lambda w: np.sqrt(np.sum(w * w)), np.array([3e200, 4e200]), (0,), False).item()
    5e+200
    """
    size = reduced(np.maximum, np.abs(w), axes, keepdims=True, initial=0)
    size = np.where((size > 0) & (size < np.inf), size, 1)
    return plain(w / size) * (size if keepdims else np.squeeze(size, axis=axes))


def in_one_piece(array: Any) -> bool:
    """Is it a batch, of which no element is looked at by itself?"""
    return hasattr(array, "__each__")


def log_of(total: Any, shifted: Any, powers: Any, axis: Any) -> Any:
    """``log(total)``, the total of powers of ``shifted``, to all digits where it is close to 1."""
    rest = np.add.reduce(np.where(shifted == 0, 0, powers), axis=axis, keepdims=True)
    return np.where((total >= 1) & (total < _WON), np.log1p(rest), np.log(total))


@indivisible(
    formula=lambda total, shifted, powers, axis: np.log(total),
    straight_line=lambda *arguments: (log_of(*arguments), None),
)
def log_if_close(total: Any, shifted: Any, powers: Any, axis: Any) -> Any:
    """:func:`log_of`, or simply the logarithm where no total is close to 1."""
    least = total.item() if total.size == 1 else reduced(np.minimum, total, None, initial=np.inf)
    if least < _WON:
        return log_of(total, shifted, powers, axis)
    return np.log(total)


_WON = 1.03  # a total below it is 1, the largest, and little else
