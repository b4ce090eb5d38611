"""Repeating and rolling elements, and windows that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..engine.arrays import arange_like
from ..engine.record import Tensor, TensorLike, record
from ..engine.shapes import normalised_axis
from ..engine.staging import array_of, indivisible
from ..errors import DTypeError, ShapeError
from .indexing import gathered
from .keys import index_array
from .reducing import wide
from .shaping import lengths, ravel
from .views import shaped, view

__all__ = ["repeat", "resize", "roll", "sliding_window_view", "tile"]

Shape = tuple[int, ...]


def tile(x: TensorLike, /, reps: int | Sequence[int]) -> Tensor:
    """Copies of an array side by side: ``reps`` along each axis, or along the last ones if there are fewer numbers.

    >>> import tensorgrad as tg
    >>> tg.tile([1.0, 2.0], 2)
    Tensor([1., 2., 1., 2.], dtype=float64)
    """
    source = shaped(x, "tile")
    shape = source.shape
    counts = lengths(reps, "tile")
    if min(counts, default=0) < 0:
        raise ValueError(f"tile: reps must not be negative, got {reps!r}")
    ndim = max(len(shape), len(counts))
    counts = (1,) * (ndim - len(counts)) + counts
    parts = tuple(zip(counts, (1,) * (ndim - len(shape)) + shape))
    apart = tuple(n for pair in parts for n in pair)

    def d_x(xp: Any, g: Any) -> Any:
        return xp.reshape(xp.sum(xp.reshape(wide(g), apart), axis=tuple(range(0, 2 * ndim, 2))), shape)

    return record("tile", lambda a: np.tile(a, counts), (source,), (d_x,))


@indivisible
def _spread(counts: Any, length: int) -> Any:
    """The index that repeats each of ``length`` elements according to its count."""
    return np.repeat(arange_like(length, counts), counts)


def repeat(x: TensorLike, /, repeats: TensorLike, axis: int | None = None) -> Tensor:
    """Each element repeated in a row, along an axis; None flattens first.

    Args:
        x: the array.
        repeats: how many times: an integer, or one for each element of the axis.
        axis: the axis to repeat along.

    Raises:
        ShapeError: there are more or fewer numbers in ``repeats`` than elements.
        DTypeError: ``repeats`` are not integers.
        ValueError: a negative number of repeats.

    >>> import tensorgrad as tg
    >>> tg.repeat([1.0, 2.0], [1, 3])
    Tensor([1., 2., 2., 2.], dtype=float64)
    """
    source = shaped(x, "repeat")
    if axis is None:
        source, axis = ravel(source), 0
    shape = source.shape
    axis = normalised_axis(axis, len(shape), "repeat")
    if isinstance(repeats, int | np.integer):
        return _repeated(source, int(repeats), axis)
    counts = index_array(repeats, "repeat")
    if counts.dtype.kind == "b":
        raise DTypeError("repeat: repeats must be integers, got booleans; write x[mask]")
    if counts.shape not in ((), (1,), (shape[axis],)):
        raise ShapeError(
            f"repeat: got repeats of shape {counts.shape} for axis {axis} of shape {shape}, expected one integer or "
            f"{shape[axis]}"
        )
    try:
        places = _spread(array_of(counts), shape[axis])
    except ValueError as error:
        raise ValueError(f"repeat: {error}") from error
    return gathered("repeat", source, places, axis)


def _repeated(x: Any, count: int, axis: int) -> Tensor:
    if count < 0:
        raise ValueError(f"repeat: repeats must not be negative, got {count}")
    apart = (*x.shape[: axis + 1], count, *x.shape[axis + 1 :])

    def d_x(xp: Any, g: Any) -> Any:
        return xp.sum(xp.reshape(wide(g), apart), axis=axis + 1)

    return record("repeat", lambda a: np.repeat(a, count, axis=axis), (x,), (d_x,))


def roll(x: TensorLike, /, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Tensor:
    """Elements shifted along axes, wrapping from the end to the start; None rolls the flattened array.

    Raises ShapeError if the numbers of shifts and axes differ and neither is one.

    >>> import tensorgrad as tg
    >>> tg.roll([1.0, 2.0, 3.0], 1)
    Tensor([3., 1., 2.], dtype=float64)
    """
    source = shaped(x, "roll")
    forth: Any = lengths(shift, "roll")
    along: Any = None
    if axis is None:
        forth = sum(forth)
    else:
        ndim = len(source.shape)
        along = tuple(normalised_axis(a, ndim, "roll") for a in (axis if isinstance(axis, Sequence) else (axis,)))
        if len(forth) != len(along) and 1 not in (len(forth), len(along)):
            raise ShapeError(f"roll: got {len(forth)} shifts, {shift!r}, for {len(along)} axes, {axis!r}")
        size = max(len(forth), len(along))
        forth, along = (part * size if len(part) == 1 else part for part in (forth, along))
    back = -forth if axis is None else tuple(-n for n in forth)

    def d_x(xp: Any, g: Any) -> Any:
        return xp.roll(g, back, along)

    return record("roll", lambda a: np.roll(a, forth, along), (source,), (d_x,))


def resize(x: TensorLike, /, new_shape: int | Sequence[int]) -> Tensor:
    """The elements in row-major order, cut off or repeated to fill another shape.

    An array without elements gives zeros.

    >>> import tensorgrad as tg
    >>> tg.resize([1.0, 2.0], (2, 3)).data.tolist()
    [[1.0, 2.0, 1.0], [2.0, 1.0, 2.0]]
    """
    source = shaped(x, "resize")
    old = source.shape
    new = lengths(new_shape, "resize")
    if min(new, default=0) < 0:
        raise ValueError(f"resize: lengths must not be negative, got {new}")
    count, total = prod(old), prod(new)
    whole = total // count if count else 0

    def d_x(xp: Any, g: Any) -> Any:
        flat = xp.reshape(wide(g), (total,))
        summed = xp.sum(xp.reshape(flat[: whole * count], (whole, count)), axis=0)
        rest = flat[whole * count :][:count]
        return xp.reshape(summed + xp.concatenate([rest, xp.zeros_like(summed[rest.shape[0] :])]), old)

    return record("resize", lambda a: np.resize(a, new), (source,), (d_x,))


def sliding_window_view(
    x: TensorLike, /, window_shape: int | Sequence[int], axis: int | Sequence[int] | None = None
) -> Tensor:
    """All windows of given lengths along some axes (by default all), without a copy: it cannot be written to.

    The length of an axis that windows slide along becomes their number; the axes of the window follow at the end.
    Windows overlap, so an element gets the sum of the gradients of its places.

    Raises ShapeError if there are more or fewer lengths than axes, and for a window longer than its axis.

    >>> import tensorgrad as tg
    >>> tg.sliding_window_view([1.0, 2.0, 3.0, 4.0], 3).data.tolist()
    [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]
    """
    op = "sliding_window_view"
    source = shaped(x, op)
    shape = source.shape
    window = lengths(window_shape, op)
    if axis is None:
        axes: Shape = tuple(range(len(shape)))
    else:
        axes = tuple(normalised_axis(a, len(shape), op) for a in (axis if isinstance(axis, Sequence) else (axis,)))
    if len(window) != len(axes):
        raise ShapeError(f"{op}: got {len(window)} lengths, {window}, for {len(axes)} axes of shape {shape}")
    slid = list(shape)
    for n, a in zip(window, axes):
        slid[a] -= n - 1
        if n < 0 or slid[a] <= 0:
            raise ShapeError(f"{op}: a window of length {n} does not fit into axis {a} of shape {shape}")

    def d_x(xp: Any, g: Any) -> Any:
        # Row k of a matrix (window, positions) belongs k places to the right. Append as many zeros to each row as
        # there are rows, cut off the last ones, and reshape to rows one shorter: each then starts one place later.
        g = wide(g)
        for a, n in reversed(tuple(zip(axes, window))):
            g = xp.moveaxis(g, -1, a)
            before, after = g.shape[:a], g.shape[a + 2 :]
            length = g.shape[a + 1] + n
            longer = xp.pad(g, [(0, n if i == a + 1 else 0) for i in range(len(g.shape))])
            rows = xp.reshape(longer, (*before, n * length, *after))
            rows = rows[(slice(None),) * a + (slice(0, n * (length - 1)),)]
            g = xp.sum(xp.reshape(rows, (*before, n, length - 1, *after)), axis=a)
        return g

    return view(op, lambda a: np.lib.stride_tricks.sliding_window_view(a, window, axes), source, d_x)
