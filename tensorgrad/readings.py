"""How a backward walk reads the rules: on arrays, for numbers, or on Tensors, for a graph of its own.

Arrays are NumPy's, a compiler's traced ones, or another library's: see :mod:`tensorgrad.arrays`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import fft, linalg, ops, special
from .arrays import array_functions, dead, finite
from .errors import NonFiniteError
from .graph import Node
from .mode import current
from .record import handle
from .staging import indivisible
from .walk import Reading

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["ARRAYS", "TENSORS"]


def _mended_arrays(g: Any, local: Any, gradient: Any) -> Any:
    return np.where(dead(g, local, gradient), 0, gradient)


def _mended_tensors(g: Tensor, local: Tensor, gradient: Tensor) -> Tensor:
    return ops.where(dead(g.data, local.data, gradient.data), 0, gradient)


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


def _ones(g: Tensor) -> Tensor:
    return handle(np.ones_like(g.data), None)


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


ARRAYS = Reading(array_functions, None, np.ones_like, _mended_arrays, _finite_arrays)
TENSORS = Reading(
    _TensorFunctions(), _wrapped, _ones, _mended_tensors, lambda gradients: _finite_arrays(g.data for g in gradients)
)
