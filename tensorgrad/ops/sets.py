"""Arrays as sets. Values carry a gradient, which goes to the first element of each value; places and counts do not."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..engine.record import Tensor, TensorLike
from ..engine.shapes import normalised_axis
from ..engine.staging import array_of
from .compare import array_operand
from .indexing import getitem, take
from .joining import concatenate
from .selection import maximum
from .shaping import ravel
from .views import shaped

__all__ = [
    "intersect1d",
    "isin",
    "setdiff1d",
    "setxor1d",
    "union1d",
    "unique",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
]


class UniqueAllResult(NamedTuple):
    """The result of :func:`unique_all`, as in NumPy."""

    values: Tensor
    indices: Any  # of the first element of each value, in the flattened array
    inverse_indices: Any  # of the value of each element
    counts: Any


class UniqueCountsResult(NamedTuple):
    """The result of :func:`unique_counts`, as in NumPy."""

    values: Tensor
    counts: Any


class UniqueInverseResult(NamedTuple):
    """The result of :func:`unique_inverse`, as in NumPy."""

    values: Tensor
    inverse_indices: Any


def _distinct(op: str, x: TensorLike, axis: int | None, equal_nan: bool) -> UniqueAllResult:
    source = shaped(x, op)
    if axis is not None:
        axis = normalised_axis(axis, len(source.shape), op)
    _, first, inverse, counts = np.unique(array_of(source), True, True, True, axis=axis, equal_nan=equal_nan)
    values = take(ravel(source) if axis is None else source, first, axis=axis or 0)
    return UniqueAllResult(values, first, inverse, counts)


def unique(
    x: TensorLike,
    /,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
) -> Any:
    """The distinct elements in ascending order, or with ``axis`` the distinct parts along it.

    Returns the values, or a tuple of the values and what was asked for: where each came first, which of them each
    element is, and how often they occur, as plain arrays. ``equal_nan`` counts NaN once.

    >>> import tensorgrad as tg
    >>> tg.unique([3.0, 1.0, 3.0], return_counts=True)
    (Tensor([1., 3.], dtype=float64), array([1, 2]))
    """
    values, *others = _distinct("unique", x, axis, equal_nan)
    asked = [part for part, wanted in zip(others, (return_index, return_inverse, return_counts)) if wanted]
    return (values, *asked) if asked else values


def unique_all(x: TensorLike, /) -> UniqueAllResult:
    """The distinct elements, where each came first, which of them each element is, and how often they occur.

    Every NaN is a value of its own, as the array API standard has it.

    >>> import tensorgrad as tg
    >>> tg.unique_all([3.0, 1.0, 3.0]).indices
    array([1, 0])
    """
    return _distinct("unique_all", x, None, False)


def unique_counts(x: TensorLike, /) -> UniqueCountsResult:
    """The distinct elements, and how often they occur. Every NaN is a value of its own.

    >>> import tensorgrad as tg
    >>> tg.unique_counts([3.0, 1.0, 3.0]).counts
    array([1, 2])
    """
    found = _distinct("unique_counts", x, None, False)
    return UniqueCountsResult(found.values, found.counts)


def unique_inverse(x: TensorLike, /) -> UniqueInverseResult:
    """The distinct elements, and which of them each element is. Every NaN is a value of its own.

    >>> import tensorgrad as tg
    >>> tg.unique_inverse([3.0, 1.0, 3.0]).inverse_indices
    array([1, 0, 1])
    """
    found = _distinct("unique_inverse", x, None, False)
    return UniqueInverseResult(found.values, found.inverse_indices)


def unique_values(x: TensorLike, /) -> Tensor:
    """The distinct elements, in ascending order. Every NaN is a value of its own.

    >>> import tensorgrad as tg
    >>> tg.unique_values([3.0, 1.0, 3.0])
    Tensor([1., 3.], dtype=float64)
    """
    return _distinct("unique_values", x, None, False).values


def union1d(x: TensorLike, y: TensorLike, /) -> Tensor:
    """What is in one array or the other, distinct and in ascending order.

    >>> import tensorgrad as tg
    >>> tg.union1d([3.0, 1.0], [1.0, 2.0])
    Tensor([1., 2., 3.], dtype=float64)
    """
    both = concatenate([ravel(shaped(x, "union1d")), ravel(shaped(y, "union1d"))])
    return _distinct("union1d", both, None, True).values


def _kept(op: str, x: TensorLike, y: TensorLike, inside: bool) -> Tensor:
    values = _distinct(op, x, None, True).values
    return getitem(values, np.isin(array_of(values), array_of(shaped(y, op)), invert=not inside))


def intersect1d(x: TensorLike, y: TensorLike, /) -> Tensor:
    """What is in both arrays, distinct and in ascending order; both get half of the gradient.

    >>> import tensorgrad as tg
    >>> tg.intersect1d([3.0, 1.0], [1.0, 2.0])
    Tensor([1.], dtype=float64)
    """
    return maximum(_kept("intersect1d", x, y, True), _kept("intersect1d", y, x, True))  # equals, which share evenly


def setdiff1d(x: TensorLike, y: TensorLike, /) -> Tensor:
    """What is in the first array and not in the second, distinct and in ascending order.

    >>> import tensorgrad as tg
    >>> tg.setdiff1d([3.0, 1.0], [1.0, 2.0])
    Tensor([3.], dtype=float64)
    """
    return _kept("setdiff1d", x, y, False)


def setxor1d(x: TensorLike, y: TensorLike, /) -> Tensor:
    """What is in exactly one of two arrays, distinct and in ascending order.

    >>> import tensorgrad as tg
    >>> tg.setxor1d([3.0, 1.0], [1.0, 2.0])
    Tensor([2., 3.], dtype=float64)
    """
    parts = [_kept("setxor1d", x, y, False), _kept("setxor1d", y, x, False)]
    return _distinct("setxor1d", concatenate(parts), None, True).values


def isin(x: TensorLike, values: TensorLike, /, *, invert: bool = False) -> Any:
    """Whether each element is among the values: a plain array of booleans.

    >>> import tensorgrad as tg
    >>> tg.isin(tg.Tensor([3.0, 1.0]), [1.0, 2.0])
    array([False,  True])
    """
    return np.isin(array_operand(x, "isin"), array_operand(values, "isin"), invert=invert)
