"""How a backward walk reads the rules, and mends gradients that are not finite.

Here for arrays: NumPy's, a compiler's traced ones, or another library's (see :mod:`tensorgrad.engine.arrays`).
For Tensors, which gives the gradient a graph of its own, see :mod:`tensorgrad.namespaces`.
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

__all__ = ["ARRAYS", "all_finite", "mender"]


# A gradient that is exactly zero contributes zero, and so does a local derivative that is. Of an elementwise rule the
# local derivative is what it makes of ones. Of any other rule, a gradient is what it should be if it stays the same
# whatever finite numbers stand in for those that are not finite: one for all, which leaves equal what was equal (the
# largest element, and where it stands), or one for each, which leaves matrices regular.
_STAND_INS = (0.61803, -1.32472)


def _stand_ins(like: Any, number: float, apart: bool) -> Any:
    if not apart:
        return np.full_like(like, number)
    order = np.reshape(arange_like(math.prod(like.shape), like), like.shape)
    return (number + np.cos(number * order * order)).astype(like.dtype)


def _plain(value: Any) -> Any:
    return value.data if isinstance(value, Handle) else value


def mender(functions: Any, ones: Callable[[Any], Any]) -> Callable[..., Any]:
    """How gradients are mended where rules are read with these functions; ``ones`` makes ones like a gradient."""

    def mended(rule: Rule, g: Any, args: tuple[Any, ...], gradient: Any, elementwise: bool) -> Any:
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

    return mended


@indivisible
def _require_finite(*gradients: Any) -> None:
    if not all(map(finite, gradients)):
        raise NonFiniteError(
            "a gradient in a compiled step is not finite; call its .function, the uncompiled step, with the "
            "same arguments to see where it comes from"
        )


def all_finite(gradients: Iterable[Any]) -> bool:
    """Are all these gradients finite? While a step is compiled, its program asks at every run, and raises."""
    if current().tracer is None:
        return all(map(finite, gradients))
    _require_finite(*gradients)  # a compiled step cannot walk twice
    return True


ARRAYS = Reading(array_functions, None, mender(array_functions, np.ones_like), all_finite)
