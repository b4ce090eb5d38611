"""How a backward walk reads the rules: on arrays, for numbers, or on Tensors, for a graph of its own.

Arrays are NumPy's, a compiler's traced ones, or another library's: see :mod:`tensorgrad.engine.arrays`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .. import fft, linalg, ops, special
from ..errors import NonFiniteError
from .arrays import array_functions, dead, finite, numbers
from .graph import Node, Rule
from .mode import current
from .record import Handle, handle
from .staging import indivisible
from .walk import Reading

__all__ = ["ARRAYS", "TENSORS"]


# A gradient that is exactly zero contributes zero, and so does a local derivative that is. Of an elementwise rule the
# local derivative is what it makes of ones. Of any other rule, a gradient is what it should be if it stays the same
# whatever finite numbers stand in for those that are not finite: one for all, which leaves equal what was equal (the
# largest element, and where it stands), or one for each, which leaves matrices regular.
_STAND_INS = (0.61803, -1.32472)


def _stand_ins(like: Any, number: float, apart: bool) -> Any:
    if not apart:
        return np.full_like(like, number)
    order = np.reshape(numbers(math.prod(like.shape), like), like.shape)
    return (number + np.cos(number * order * order)).astype(like.dtype)


def _plain(value: Any) -> Any:
    return value.data if isinstance(value, Handle) else value


def _mender(functions: Any, ones: Callable[[Any], Any]) -> Callable[..., Any]:
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


def _finite_arrays(gradients: Iterable[Any]) -> bool:
    if current().tracer is None:
        return all(map(finite, gradients))
    _require_finite(*gradients)  # a compiled step cannot walk twice
    return True


def _wrapped(array: Any, source: Any) -> Any:
    if not hasattr(array, "dtype"):
        return array  # a Python scalar
    return handle(array, source if isinstance(source, Node) else None)


class _TensorFunctions:
    """Attribute access to the operations, as ``array_functions`` has NumPy's: ``xp.exp``, ``xp.linalg.inv``."""

    fft = fft
    linalg = linalg
    special = special

    def __getattr__(self, name: str) -> Any:
        function = getattr(ops, name)
        setattr(self, name, function)
        return function


tensor_functions = _TensorFunctions()

ARRAYS = Reading(array_functions, None, _mender(array_functions, np.ones_like), _finite_arrays)
TENSORS = Reading(
    tensor_functions,
    _wrapped,
    _mender(tensor_functions, lambda g: handle(np.ones_like(g.data), None)),
    lambda gradients: _finite_arrays(g.data for g in gradients),
)
