"""How a backward walk reads the rules: on arrays, for numbers, or on Tensors, for a graph of its own.

Arrays are NumPy's, a compiler's traced ones, or another library's: see :mod:`tensorgrad.arrays`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import fft, linalg, ops, special
from .arrays import array_functions, dead, finite
from .errors import NonFiniteError
from .graph import Node, Rule
from .mode import current
from .record import Handle, handle
from .staging import indivisible
from .walk import Reading

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["ARRAYS", "TENSORS"]


# A gradient that is exactly zero contributes zero, and so does a local derivative that is. Of an elementwise rule the
# local derivative is what it makes of ones. Of any other rule, a gradient is what it should be if it stays the same
# whatever finite numbers stand in for those that are not finite.
_STAND_INS = (0.61803, -1.32472)


def _mended_arrays(rule: Rule, g: Any, args: tuple[Any, ...], gradient: Any, elementwise: bool) -> Any:
    if finite(gradient):
        return gradient
    if elementwise:
        return np.where(dead(g, rule(array_functions, np.ones_like(g), *args), gradient), 0, gradient)

    def replaced(value: Any, number: float) -> Any:
        if not _may_be_infinite(value):
            return value
        return np.where(np.isfinite(value), value, np.full_like(value, number))

    found = _with_stand_ins(lambda n: rule(array_functions, replaced(g, n), *(replaced(arg, n) for arg in args)))
    if found is None:
        return gradient
    first, second = found
    return np.where(np.isfinite(gradient) | (first != second), gradient, first)


def _mended_tensors(rule: Rule, g: Tensor, args: tuple[Any, ...], gradient: Tensor, elementwise: bool) -> Tensor:
    if finite(gradient.data):
        return gradient
    if elementwise:
        local = rule(tensor_functions, handle(np.ones_like(g.data), None), *args)
        return ops.where(dead(g.data, local.data, gradient.data), 0, gradient)

    def replaced(value: Any, number: float) -> Any:
        if not isinstance(value, Handle) or not _may_be_infinite(value.data):
            return value
        return ops.where(np.isfinite(value.data), value, np.full_like(value.data, number))

    found = _with_stand_ins(lambda n: rule(tensor_functions, replaced(g, n), *(replaced(arg, n) for arg in args)))
    if found is None:
        return gradient
    first, second = found
    return ops.where(np.isfinite(gradient.data) | (first.data != second.data), gradient, first)


def _with_stand_ins(gradient_with: Callable[[float], Any]) -> tuple[Any, Any] | None:
    """A gradient with each of the stand-ins; None where the rule has none (a matrix became singular)."""
    try:
        return gradient_with(_STAND_INS[0]), gradient_with(_STAND_INS[1])
    except np.linalg.LinAlgError:
        return None


def _may_be_infinite(value: Any) -> bool:
    return hasattr(value, "dtype") and value.dtype.kind in "fc" and not finite(value)


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

ARRAYS = Reading(array_functions, None, _mended_arrays, _finite_arrays)
TENSORS = Reading(
    tensor_functions, _wrapped, _mended_tensors, lambda gradients: _finite_arrays(g.data for g in gradients)
)
