"""Functions that return booleans, counts or positions: plain arrays, without a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.record import TensorLike
from ..engine.shapes import Axis, normalised_axes, normalised_axis
from .compare import array_operand, compared
from .complexes import refuse_complex
from .reducing import reduction
from .views import shaped

__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "isinf",
    "isnan",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "signbit",
]

_any: Any = np.logical_or.reduce
_all: Any = np.logical_and.reduce
_count: Any = np.add.reduce


def isnan(x: TensorLike, /) -> Any:
    """Whether each element is NaN.

    >>> import tensorgrad as tg
    >>> tg.isnan(tg.Tensor([1.0, float("nan")]))
    array([False,  True])
    """
    return np.isnan(array_operand(x, "isnan"))


def isinf(x: TensorLike, /) -> Any:
    """Whether each element is infinite, of either sign.

    >>> import tensorgrad as tg
    >>> tg.isinf(tg.Tensor([1.0, float("-inf")]))
    array([False,  True])
    """
    return np.isinf(array_operand(x, "isinf"))


def signbit(x: TensorLike, /) -> Any:
    """Whether each element is negative, -0.0 included.

    >>> import tensorgrad as tg
    >>> tg.signbit(tg.Tensor([1.0, -0.0]))
    array([False,  True])
    """
    refuse_complex("signbit", x)
    return np.signbit(array_operand(x, "signbit"))


def logical_and(x: TensorLike, y: TensorLike, /) -> Any:
    """Whether both are nonzero, elementwise.

    >>> import tensorgrad as tg
    >>> tg.logical_and(tg.Tensor([0.0, 2.0]), [True, True])
    array([False,  True])
    """
    return compared("logical_and", np.logical_and, x, y)


def logical_or(x: TensorLike, y: TensorLike, /) -> Any:
    """Whether at least one is nonzero, elementwise.

    >>> import tensorgrad as tg
    >>> tg.logical_or(tg.Tensor([0.0, 2.0]), False)
    array([False,  True])
    """
    return compared("logical_or", np.logical_or, x, y)


def logical_xor(x: TensorLike, y: TensorLike, /) -> Any:
    """Whether exactly one is nonzero, elementwise.

    >>> import tensorgrad as tg
    >>> tg.logical_xor(tg.Tensor([0.0, 2.0]), True)
    array([ True, False])
    """
    return compared("logical_xor", np.logical_xor, x, y)


def logical_not(x: TensorLike, /) -> Any:
    """Whether each element is zero.

    >>> import tensorgrad as tg
    >>> tg.logical_not(tg.Tensor([0.0, 2.0]))
    array([ True, False])
    """
    return np.logical_not(array_operand(x, "logical_not"))


def _over(op: str, x: TensorLike, axis: Axis) -> tuple[Any, Any]:
    array = array_operand(shaped(x, op), op)
    return array, None if axis is None else normalised_axes(axis, np.ndim(array), op)


def any(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False, where: TensorLike | None = None) -> Any:
    """Whether any element along the axes is nonzero, of those where ``where`` holds.

    >>> import tensorgrad as tg
    >>> tg.any(tg.Tensor([[0.0, 2.0], [0.0, 0.0]]), axis=1)
    array([ True, False])
    """
    array, axes = _over("any", x, axis)
    if where is not None:
        return _any(array, axis=axes, keepdims=keepdims, where=array_operand(where, "any"))
    return _any(array, axis=axes, keepdims=keepdims)


def all(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False, where: TensorLike | None = None) -> Any:
    """Whether all elements along the axes are nonzero, of those where ``where`` holds.

    >>> import tensorgrad as tg
    >>> tg.all(tg.Tensor([[1.0, 2.0], [0.0, 1.0]]), axis=1)
    array([ True, False])
    """
    array, axes = _over("all", x, axis)
    if where is not None:
        return _all(array, axis=axes, keepdims=keepdims, where=array_operand(where, "all"))
    return _all(array, axis=axes, keepdims=keepdims)


def count_nonzero(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Number of nonzero elements along the axes.

    >>> import tensorgrad as tg
    >>> tg.count_nonzero(tg.Tensor([[1.0, 2.0], [0.0, 1.0]]), axis=1)
    array([2, 1])
    """
    array, axes = _over("count_nonzero", x, axis)
    return _count(np.not_equal(array, 0), axis=axes, dtype=np.intp, keepdims=keepdims)


def _position(op: str, function: Callable[..., Any], x: TensorLike, axis: int | None, keepdims: bool) -> Any:
    refuse_complex(op, x)
    array, _ = _over(op, x, None)
    if axis is not None:
        axis = normalised_axis(axis, np.ndim(array), op)
    reduction(op, array, axis, keepdims).nonempty()
    return function(array, axis=axis, keepdims=keepdims)


def argmax(x: TensorLike, /, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """Index of the largest element along the axis, the first of several; None counts in row-major order.

    Raises ShapeError if there are no elements.

    >>> import tensorgrad as tg
    >>> tg.argmax(tg.Tensor([[1.0, 2.0], [3.0, 1.0]]), axis=1)
    array([1, 0])
    """
    return _position("argmax", np.argmax, x, axis, keepdims)


def argmin(x: TensorLike, /, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """Index of the smallest element along the axis, the first of several; None counts in row-major order.

    Raises ShapeError if there are no elements.

    >>> import tensorgrad as tg
    >>> tg.argmin(tg.Tensor([[1.0, 2.0], [3.0, 1.0]]), axis=1)
    array([0, 1])
    """
    return _position("argmin", np.argmin, x, axis, keepdims)
