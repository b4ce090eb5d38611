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

from ..errors import NonFiniteError
from .arrays import arange_like, array_functions, dead, finite
from .graph import Rule
from .mode import current
from .record import Handle
from .staging import indivisible
from .walk import Reading

__all__ = ["ARRAYS", "all_finite", "make_repair"]


# A gradient that is exactly zero contributes zero, and so does a local derivative that is exactly zero. The local
# derivative of an elementwise rule is the gradient it returns for ones. With any other rule, numbers that are not
# finite are replaced with finite ones, twice: where both runs agree, those numbers did not matter, and the result
# stands. The first attempt uses one number throughout, which keeps equal elements equal (the maximum, and where it
# is); the second uses a different number for each element, which keeps matrices nonsingular.
_STAND_INS = (0.61803, -1.32472)


def _stand_ins(like: Any, number: float, apart: bool) -> Any:
    if not apart:
        return np.full_like(like, number)
    order = np.reshape(arange_like(math.prod(like.shape), like), like.shape)
    return (number + np.cos(number * order * order)).astype(like.dtype)


def _plain(value: Any) -> Any:
    return value.data if isinstance(value, Handle) else value


def make_repair(functions: Any, ones: Callable[[Any], Any]) -> Callable[..., Any]:
    """``Reading.repair`` for rules evaluated with these functions; ``ones(g)`` returns ones like a gradient."""

    def repaired(rule: Rule, g: Any, args: tuple[Any, ...], gradient: Any, elementwise: bool) -> Any:
        if finite(_plain(gradient)):
            return gradient
        if elementwise:
            local = rule(functions, ones(g), *args)
            return functions.where(dead(_plain(g), _plain(local), _plain(gradient)), 0, gradient)

        def with_stand_ins(number: float, apart: bool) -> Any:
            def replaced(value: Any) -> Any:
                array = _plain(value)
                if not hasattr(array, "dtype") or array.dtype.kind not in "fc" or finite(array):
                    return value
                return functions.where(np.isfinite(array), value, _stand_ins(array, number, apart))

            return rule(functions, replaced(g), *map(replaced, args))

        for apart in (False, True):
            try:
                first, second = (with_stand_ins(number, apart) for number in _STAND_INS)
            except np.linalg.LinAlgError:  # a matrix became singular
                continue
            settled = np.isfinite(_plain(gradient)) | (_plain(first) != _plain(second))
            gradient = functions.where(settled, gradient, first)
            if finite(_plain(gradient)):
                break
        return gradient

    return repaired


@indivisible
def _require_finite(*gradients: Any) -> None:
    if not all(map(finite, gradients)):
        raise NonFiniteError(
            "a gradient in a compiled step is not finite; call its .function, the uncompiled step, with the "
            "same arguments to see where this comes from"
        )


def all_finite(gradients: Iterable[Any]) -> bool:
    """Whether all these gradients are finite; a compiled step checks this in every run, and raises."""
    if current().tracer is None:
        return all(map(finite, gradients))
    _require_finite(*gradients)  # a compiled step cannot walk twice
    return True


ARRAYS = Reading(array_functions, None, make_repair(array_functions, np.ones_like), all_finite)
