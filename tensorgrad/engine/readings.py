"""How a backward walk evaluates the rules, and repairs gradients that are not finite.

This is the reading for arrays: NumPy's, a compiler's traced ones, or another library's (see
:mod:`tensorgrad.engine.arrays`). For the one on Tensors, which gives the gradient a graph of its own, see
:mod:`tensorgrad.namespaces`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..errors import NeedsEager
from .arrays import arange_like, array_functions, finite
from .graph import Rule
from .mode import current
from .record import Handle
from .staging import indivisible, only_if_not_finite
from .walk import Reading

__all__ = ["ARRAYS", "all_finite", "make_repair", "require_finite"]


# A gradient that is exactly zero contributes the constant zero, whose derivatives are all zero. A local derivative that
# is exactly zero passes nothing on, but it may vary: its contribution has the value zero, and the history of the
# gradient that the rule returned. The local derivative of an elementwise rule is the gradient it returns for ones. With
# any other rule, an element of the gradient is settled if it stays the same for any finite numbers in place of those
# that are not finite: first one number for all, which keeps equal elements equal (the maximum, and its position), then
# a different one for each, which keeps matrices nonsingular. Rules run on arrays for this, so that derivatives of any
# order never see a stand-in.
_STAND_INS = (0.61803, -1.32472)


def _stand_ins(like: Any, number: float, apart: bool) -> Any:
    if not apart:
        return np.full_like(like, number)
    order = np.reshape(arange_like(math.prod(like.shape), like), like.shape)
    return (number * (1 + np.cos(number * order * order) / 2)).astype(like.dtype)


class _Trials:
    """Runs of a rule that is not elementwise with stand-ins, to see where its gradient is settled, and where dead."""

    def __init__(self, rule: Rule, g: Any, args: tuple[Any, ...], gradient: Any) -> None:
        self.rule, self.g, self.args, self.gradient = rule, g, args, gradient

    def run(self, apart: bool, number: float | None = None, *, zeros: bool = False, moved: bool = False) -> Any:
        """The gradient with stand-ins; with ``zeros``, for zeros of ``g`` as well, with ``moved``, for other values."""
        number = _STAND_INS[0] if number is None else number

        def saved(array: Any) -> Any:
            if not hasattr(array, "dtype") or array.dtype.kind not in "fc":
                return array
            if not finite(array):
                array = np.where(np.isfinite(array), array, _stand_ins(array, number, apart))
            return (1.1 * array + 0.3).astype(array.dtype) if moved else array  # keeps equality and order

        g = self.g
        if zeros or not finite(g):  # a rule is linear in g, so equal elements need not stay equal
            g = np.where(np.isfinite(g) & ((g != 0) | (not zeros)), g, _stand_ins(g, number, True))
        try:
            return self.rule(array_functions, g, *map(saved, self.args))
        except np.linalg.LinAlgError:  # a matrix became singular
            return np.full_like(self.gradient, np.nan)

    def settled(self) -> tuple[Any, Any]:
        """Where the gradient does not depend on the stand-ins, and its value there."""
        limits = np.finfo(self.gradient.dtype)
        value, known, depends = self.gradient, np.False_, np.False_
        for apart in (False, True):
            first, second = (self.run(apart, number) for number in _STAND_INS)
            # Next to a large number, a stand-in may be lost to rounding; one that is larger still is not.
            third = self.run(apart, _STAND_INS[0] * float(limits.max * limits.eps))
            same = (first == second) & ((first == third) | np.isnan(third))
            depends = depends | (np.isfinite(first) & np.isfinite(second) & ~same)
            value = np.where(same & ~known, first, value)
            known = known | same
        return known & ~depends, value

    def dead(self) -> Any:
        """Where only zeros of ``g`` contribute: the gradient is zero for any saved values, but not for any ``g``."""
        if not _any(self.g == 0):
            return False
        # For equal numbers a local derivative may be zero (a deviation from the mean), so let them differ as well.
        reached = (self.run(False, zeros=True) != 0) | (self.run(True, zeros=True) != 0)
        zero = False
        for apart in (False, True):
            moved = self.run(apart, moved=True)
            zero = zero | (moved == 0)
            for trial in (self.run(apart), moved):
                reached = reached & ((trial == 0) | ~np.isfinite(trial))
        return zero & reached


def _plain(value: Any) -> Any:
    return value.data if isinstance(value, Handle) else value


def _any(places: Any) -> bool:
    return bool(getattr(places, "whole", places).any())  # all elements of a batch of arrays


def make_repair(functions: Any, settled: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    """``Reading.repair`` for rules evaluated with these functions.

    ``settled(gradient, places, value)`` returns the gradient with the value in these places, and with its history.
    """

    def repaired(rule: Rule, g: Any, args: tuple[Any, ...], gradient: Any, elementwise: bool) -> Any:
        array = _plain(gradient)
        if finite(array):
            return gradient
        faulty = ~np.isfinite(array)
        zeros = np.zeros_like(array)
        g, args = _plain(g), tuple(map(_plain, args))
        if not _any(g != 0):
            return functions.where(faulty, zeros, gradient)
        if elementwise:
            gradient = functions.where(faulty & (g == 0), zeros, gradient)
            return settled(gradient, faulty & (rule(array_functions, np.ones_like(g), *args) == 0), zeros)
        trials = _Trials(rule, g, args, array)
        dead = faulty & trials.dead()
        if _any(dead):
            gradient = functions.where(dead, zeros, gradient)
        places, value = trials.settled()
        return settled(gradient, faulty & ~dead & places, value)

    return repaired


@indivisible
@only_if_not_finite(returns=None)
def require_finite(*gradients: Any) -> None:
    """Break a compiled run off if a gradient is not finite."""
    if not all(map(finite, gradients)):
        raise NeedsEager("a gradient was not finite and had to be repaired")


def all_finite(gradients: Iterable[Any]) -> bool:
    """Whether all these gradients are finite; a compiled step checks this in every run."""
    if current().tracer is None:
        return all(map(finite, gradients))
    require_finite(*gradients)  # a compiled step cannot walk twice
    return True


def _settled(gradient: Any, places: Any, value: Any) -> Any:
    return np.where(places, value, gradient)


ARRAYS = Reading(array_functions, None, make_repair(array_functions, _settled), all_finite)
