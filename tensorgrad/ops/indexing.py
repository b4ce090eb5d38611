"""Reading by index, and its gradient.

Indices are split in :mod:`tensorgrad.ops.keys`; writing by index is in :mod:`tensorgrad.ops.writing`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.arrays import arange_like, lifted
from ..engine.arrays import scatter as scatter_arrays
from ..engine.record import Tensor, TensorLike, record
from ..engine.shapes import normalised_axis
from ..engine.staging import array_of, indivisible
from ..errors import DTypeError, ShapeError
from .keys import checked_index, index_array, joined_index, split_index, with_index
from .shaping import ravel
from .views import no_gradient, shaped, view

__all__ = ["compress", "extract", "getitem", "scatter", "take", "take_along_axis"]


def getitem(x: TensorLike, key: Any, /) -> Tensor:
    """``x[key]``: slices, integers, None, Ellipsis, arrays of integers (or Tensors of them), boolean masks.

    Elements selected more than once get the sum of their gradients. Slices and integers give a view.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> x[[0, 0, 2]].sum().backward()
    >>> x.grad
    array([2., 0., 1.])
    """
    source = shaped(x, "getitem")
    shape = source.shape
    static, arrays = split_index(key, "getitem")

    def forward(a: Any, *index: Any) -> Any:
        return checked_index("getitem", lambda: lifted(a, *index)[joined_index(static, index)], shape)

    def d_x(xp: Any, g: Any, index: Any) -> Any:
        return xp.scatter(g, joined_index(static, index), shape)

    rule = with_index(len(arrays), d_x)
    if arrays:
        return record("getitem", forward, (source, *arrays), (rule, *[no_gradient] * len(arrays)))
    return view("getitem", forward, source, rule)


def scatter(values: TensorLike, key: Any, shape: tuple[int, ...], /) -> Tensor:
    """Zeros of ``shape`` with ``values`` added at ``key``: values at repeated indices add up.

    >>> import tensorgrad as tg
    >>> scatter(tg.Tensor([1.0, 2.0]), [1, 1], (3,))
    Tensor([0., 3., 0.], dtype=float64)
    """
    static, arrays = split_index(key, "scatter")

    def forward(a: Any, *index: Any) -> Any:
        return checked_index("scatter", lambda: scatter_arrays(a, joined_index(static, index), shape), shape)

    def d_values(xp: Any, g: Any, index: Any) -> Any:
        return g[joined_index(static, index)]

    rule = with_index(len(arrays), d_values)
    return record("scatter", forward, (shaped(values, "scatter"), *arrays), (rule, *[no_gradient] * len(arrays)))


def gathered(op: str, x: Any, places: Any, axis: int | None) -> Tensor:
    """Record an operation that returns the elements at some indices of one axis.

    >>> gathered("take", np.array([1.0, 2.0]), np.array([1, 1]), 0)
    Tensor([2., 2.], dtype=float64)
    """
    shape = x.shape
    before = (slice(None),) * (axis or 0)

    def forward(a: Any, index: Any) -> Any:
        return checked_index(op, lambda: np.take(lifted(a, index), index, axis=axis), shape)

    def d_x(xp: Any, g: Any, y: Any) -> Any:
        if axis is None:
            return xp.reshape(xp.scatter(g, (y,), (int(np.prod(shape)),)), shape)
        return xp.scatter(g, (*before, y), shape)

    return record(op, forward, (x, places), (d_x, no_gradient))


def rearranged(op: str, x: Any, order: Any, axis: int) -> Tensor:
    """Record an operation that puts the elements along an axis in the order of a permutation.

    >>> rearranged("permutation", np.array([1.0, 2.0]), np.array([1, 0]), 0)
    Tensor([2., 1.], dtype=float64)
    """

    def d_x(xp: Any, g: Any, y: Any) -> Any:
        return xp.take(g, xp.argsort(y), axis=axis)

    return record(op, lambda a, index: np.take(lifted(a, index), index, axis=axis), (x, order), (d_x, no_gradient))


def _within(op: str, places: Any, count: int, mode: str) -> Any:
    """Indices that are moved into an axis of ``count`` elements."""
    if mode not in ("wrap", "clip"):
        raise ValueError(f"{op}: mode must be 'raise', 'wrap' or 'clip', got {mode!r}")
    if not count and places.size:
        raise IndexError(f"{op}: there are no elements to take from")
    return np.remainder(places, count) if mode == "wrap" else np.clip(places, 0, count - 1)


def take(x: TensorLike, indices: TensorLike, /, axis: int | None = None, *, mode: str = "raise") -> Tensor:
    """Elements at some indices of one axis; None indexes the flattened array.

    Raises IndexError for an index out of bounds; with ``mode="wrap"`` it counts around the axis, with "clip" it becomes
    the first or last index.

    >>> import tensorgrad as tg
    >>> tg.take([[1.0, 2.0, 3.0]], [2, 0], axis=1)
    Tensor([[3., 1.]], dtype=float64)
    """
    source = shaped(x, "take")
    places = index_array(indices, "take")
    if places.dtype.kind == "b":
        raise DTypeError("take: indices must be integers, got booleans; write x[mask]")
    if axis is not None:
        axis = normalised_axis(axis, len(source.shape), "take")
    if mode != "raise":
        count = int(np.prod(source.shape)) if axis is None else source.shape[axis]
        places = _within("take", array_of(places), count, mode)
    return gathered("take", source, places, axis)


@indivisible
def _chosen(mask: Any) -> Any:
    """The indices at which a condition along one axis holds."""
    return np.flatnonzero(mask)


def compress(condition: TensorLike, x: TensorLike, /, axis: int | None = None) -> Tensor:
    """The parts along an axis for which a condition holds; None flattens first.

    ``condition`` has one axis; parts beyond its end are left out. Raises IndexError if it is too long.

    >>> import tensorgrad as tg
    >>> tg.compress([True, False, True], [[1.0, 2.0, 3.0]], axis=1)
    Tensor([[1., 3.]], dtype=float64)
    """
    source = shaped(x, "compress")
    if axis is None:
        source, axis = ravel(source), 0
    axis = normalised_axis(axis, len(source.shape), "compress")
    mask = array_of(index_array(condition, "compress"))
    if len(mask.shape) != 1:
        raise ShapeError(f"compress: condition must have one axis, got shape {mask.shape}; write x[condition]")
    return gathered("compress", source, _chosen(mask), axis)


def extract(condition: TensorLike, x: TensorLike, /) -> Tensor:
    """The elements for which a condition holds, along one axis; both are flattened first.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tg.extract(x > 2.5, x)
    Tensor([3., 4.], dtype=float64)
    """
    mask = array_of(index_array(condition, "extract"))
    return gathered("extract", ravel(x), _chosen(mask), 0)


def take_along_axis(x: TensorLike, indices: TensorLike, /, axis: int = -1) -> Tensor:
    """One element (or several) along an axis for every position along the others, picked by ``indices``.

    ``indices`` has as many axes as ``x``, and broadcasts with it along all axes but this one. Raises
    IndexError for an index out of bounds.

    >>> import tensorgrad as tg
    >>> tg.take_along_axis([[1.0, 2.0], [3.0, 4.0]], [[1], [0]], axis=1)
    Tensor([[2.],
            [3.]], dtype=float64)
    """
    op = "take_along_axis"
    source = shaped(x, op)
    shape = source.shape
    places = index_array(indices, op)
    if places.dtype.kind == "b":
        raise DTypeError(f"{op}: indices must be integers, got booleans")
    axis = normalised_axis(axis, len(shape), op)
    picked = places.shape
    others = [(m, n) for i, (m, n) in enumerate(zip(shape, picked)) if i != axis]
    if len(picked) != len(shape) or any(m != n and 1 not in (m, n) for m, n in others):
        raise ShapeError(
            f"{op}: indices of shape {picked} do not match an array of shape {shape} along axis {axis}: the "
            f"other axes must agree or have length 1"
        )
    length = shape[axis]
    column = (length,) + (1,) * (len(shape) - axis - 1)

    def forward(a: Any, index: Any) -> Any:
        return checked_index(op, lambda: np.take_along_axis(a, index, axis), shape)

    def d_x(xp: Any, g: Any, y: Any) -> Any:
        if picked[axis] == 1:  # nothing can be picked twice
            along = np.reshape(arange_like(length, y), column)
            return xp.where((y == along) | (y == along - length), g, 0)
        key = tuple(
            y if i == axis else np.reshape(arange_like(n, y) % m, (n,) + (1,) * (len(shape) - i - 1))
            for i, (m, n) in enumerate(zip(shape, g.shape))
        )
        return xp.scatter(g, key, shape)

    return record(op, forward, (source, places), (d_x, no_gradient))
