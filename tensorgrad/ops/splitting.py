"""Splitting arrays, inserting elements, and deleting them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from operator import index
from typing import Any

import numpy as np

from ..engine.arrays import arange_like, is_foreign
from ..engine.record import Tensor, TensorLike
from ..engine.shapes import normalised_axis
from ..engine.staging import array_of, indivisible
from ..errors import DTypeError, ShapeError
from .axes import moveaxis
from .indexing import gathered, getitem, rearranged
from .joining import joined
from .keys import index_array
from .shaping import astype, broadcast_to, ravel, reshape
from .views import shaped

__all__ = ["array_split", "delete", "dsplit", "hsplit", "insert", "split", "unstack", "vsplit"]


def split(x: TensorLike, /, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Consecutive parts along an axis: a number of equal parts, or parts cut before given positions.

    Raises ShapeError if the length cannot be divided evenly.

    >>> import tensorgrad as tg
    >>> [part.data.tolist() for part in tg.split([1.0, 2.0, 3.0], [1])]
    [[1.0], [2.0, 3.0]]
    """
    return _split("split", x, indices_or_sections, axis, True)


def _split(op: str, x: TensorLike, indices_or_sections: Any, axis: int, even: bool) -> list[Tensor]:
    source = shaped(x, op)
    axis = normalised_axis(axis, len(source.shape), op)
    length = source.shape[axis]
    if isinstance(indices_or_sections, Sequence | np.ndarray):
        cuts = [0, *map(index, indices_or_sections), length]
    else:
        count = index(indices_or_sections)
        if count < 1 or (even and length % count):
            raise ShapeError(
                f"{op}: axis {axis} of shape {source.shape} has length {length} and cannot be split into {count} "
                "equal parts" + (f"; array_split(..., {count}) makes unequal ones" if count > 0 else "")
            )
        size, longer = divmod(length, count)
        cuts = [0, *accumulate([size + 1] * longer + [size] * (count - longer))]
    before = (slice(None),) * axis
    return [getitem(source, (*before, slice(start, stop))) for start, stop in pairwise(cuts)]


def array_split(x: TensorLike, /, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Consecutive parts along an axis, like :func:`split`; if the length does not divide, the first are one longer.

    >>> import tensorgrad as tg
    >>> [part.data.tolist() for part in tg.array_split([1.0, 2.0, 3.0], 2)]
    [[1.0, 2.0], [3.0]]
    """
    return _split("array_split", x, indices_or_sections, axis, False)


def hsplit(x: TensorLike, /, indices_or_sections: int | Sequence[int]) -> list[Tensor]:
    """Parts side by side: :func:`split` along the second axis, or the first if there is only one.

    >>> import tensorgrad as tg
    >>> [part.data.tolist() for part in tg.hsplit([[1.0, 2.0]], 2)]
    [[[1.0]], [[2.0]]]
    """
    source = shaped(x, "hsplit")
    return _split("hsplit", source, indices_or_sections, 0 if len(source.shape) == 1 else 1, True)


def vsplit(x: TensorLike, /, indices_or_sections: int | Sequence[int]) -> list[Tensor]:
    """Parts one below the other: :func:`split` along the first axis of two or more.

    >>> import tensorgrad as tg
    >>> [part.data.tolist() for part in tg.vsplit([[1.0], [2.0]], 2)]
    [[[1.0]], [[2.0]]]
    """
    return _split("vsplit", _of_axes("vsplit", x, 2), indices_or_sections, 0, True)


def dsplit(x: TensorLike, /, indices_or_sections: int | Sequence[int]) -> list[Tensor]:
    """Parts one behind the other: :func:`split` along the third axis.

    >>> import tensorgrad as tg
    >>> [part.data.tolist() for part in tg.dsplit([[[1.0, 2.0]]], 2)]
    [[[[1.0]]], [[[2.0]]]]
    """
    return _split("dsplit", _of_axes("dsplit", x, 3), indices_or_sections, 2, True)


def _of_axes(op: str, x: TensorLike, count: int) -> Any:
    source = shaped(x, op)
    if len(source.shape) < count:
        raise ShapeError(f"{op}: shape {source.shape} has {len(source.shape)} axes, expected at least {count}")
    return source


def unstack(x: TensorLike, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The parts along an axis, which is removed: the inverse of :func:`stack`.

    >>> import tensorgrad as tg
    >>> [part.data.tolist() for part in tg.unstack([[1.0, 2.0], [3.0, 4.0]], axis=1)]
    [[1.0, 3.0], [2.0, 4.0]]
    """
    source = shaped(x, "unstack")
    axis = normalised_axis(axis, len(source.shape), "unstack")
    before = (slice(None),) * axis
    return tuple(getitem(source, (*before, i)) for i in range(source.shape[axis]))


# --- by index -------------------------------------------------------------------------------------------


def _indices(obj: Any, x: Any, axis: int, op: str) -> Any:
    """Indices along an axis as an array, from an integer, a slice, or integers."""
    if isinstance(obj, slice):
        return arange_like(x.shape[axis], x)[obj]
    return index_array(obj, op)


def _within(places: Any, length: int, op: str, last: int) -> Any:
    """Indices counted from the front. Raises IndexError if one is out of bounds."""
    wrong = (places < -length) | (places > last)
    if bool(np.any(wrong)):
        raise IndexError(f"{op}: index {places[wrong][0]} is out of bounds for an axis of length {length}")
    return np.where(places < 0, places + length, places)


@indivisible
def _insertion_order(places: Any, length: int, count: int) -> Any:
    """The order that moves ``count`` elements, appended to ``length`` others, before those at ``places``."""
    front = np.broadcast_to(np.ravel(_within(places, length, "insert", length)), (count,))
    rank = np.concatenate([2 * arange_like(length, places) + 1, 2 * front])
    return np.argsort(rank) if is_foreign(rank) else np.argsort(rank, stable=True)


@indivisible
def _remaining(places: Any, length: int) -> Any:
    """The indices along an axis that are not among ``places``, or not selected by a mask."""
    if places.dtype.kind == "b":
        return np.flatnonzero(~places)
    gone = np.zeros_like(places, dtype=bool, shape=(length,))
    gone[_within(places, length, "delete", length - 1)] = True
    return np.flatnonzero(~gone)


def insert(x: TensorLike, obj: Any, values: TensorLike, /, axis: int | None = None) -> Tensor:
    """Values inserted before the elements at some indices of an axis; None flattens first.

    ``obj`` is an integer, a slice or integers, which index ``x`` itself. ``values`` broadcast to the elements to
    insert; at a single integer, all parts along their axis are inserted. Raises IndexError for an index out of
    bounds, DTypeError if the values cannot be cast to the dtype of ``x`` (casting "same_kind").

    >>> import tensorgrad as tg
    >>> tg.insert([1.0, 2.0, 3.0], [0, 2], [8.0, 9.0])
    Tensor([8., 1., 2., 9., 3.], dtype=float64)
    """
    source, given = shaped(x, "insert"), shaped(values, "insert")
    if axis is None:
        source, axis = ravel(source), 0
    shape = source.shape
    axis = normalised_axis(axis, len(shape), "insert")
    places = _indices(obj, source, axis, "insert")
    if places.dtype.kind == "b":
        raise DTypeError("insert: indices must be integers, got booleans; write np.flatnonzero(mask)")
    if not np.can_cast(given.dtype, source.dtype, "same_kind"):
        raise DTypeError(f"insert: cannot cast values of dtype {given.dtype} to {source.dtype}")
    if given.dtype != source.dtype:
        given = astype(given, source.dtype)
    given = reshape(given, (1,) * (len(shape) - len(given.shape)) + given.shape)
    if not places.shape:
        given = moveaxis(given, 0, axis)
    count = given.shape[axis] if places.size == 1 else places.size
    given = broadcast_to(given, (*shape[:axis], count, *shape[axis + 1 :]))
    order = _insertion_order(array_of(places), shape[axis], count)
    return rearranged("insert", joined("insert", [source, given], axis), order, axis)


def delete(x: TensorLike, obj: Any, /, axis: int | None = None) -> Tensor:
    """The array without the parts at some indices of an axis; None flattens first.

    ``obj`` is an integer, a slice, integers, or a mask of the length of the axis. Raises IndexError for an index out
    of bounds, ShapeError for a mask of another length.

    >>> import tensorgrad as tg
    >>> tg.delete([1.0, 2.0, 3.0], 1)
    Tensor([1., 3.], dtype=float64)
    """
    source = shaped(x, "delete")
    if axis is None:
        source, axis = ravel(source), 0
    shape = source.shape
    axis = normalised_axis(axis, len(shape), "delete")
    places = _indices(obj, source, axis, "delete")
    if places.dtype.kind == "b" and places.shape != (shape[axis],):
        raise ShapeError(f"delete: a mask of shape {places.shape} does not match axis {axis} of shape {shape}")
    return gathered("delete", source, _remaining(array_of(places), shape[axis]), axis)
