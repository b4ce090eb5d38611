"""Windows onto arrays, and their transpose: the parts of convolution, correlation and pooling.

The two functions are transposes of each other, so each is the rule of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from operator import index
from typing import Any, NamedTuple

import numpy as np

from ..errors import ShapeError
from .staging import indivisible

__all__ = ["Grid", "grid", "overlap_add", "strided_windows"]

Shape = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]
Lengths = int | Sequence[int]
Padding = int | Sequence[int] | Sequence[tuple[int, int]]


class Grid(NamedTuple):
    """The positions of windows along the axes they are taken from, one entry per axis."""

    window: Shape  # the number of elements in a window
    stride: Shape  # from one window to the next
    dilation: Shape  # from one element of a window to the next
    padding: Pairs  # before and after
    counts: Shape  # the number of windows


def _each(value: Any, count: int, least: int, op: str, name: str) -> Shape:
    try:
        values = tuple(map(index, value)) if hasattr(value, "__iter__") else (index(value),) * count
    except TypeError as error:
        raise TypeError(f"{op}: {name} must be an integer, or one for each axis, got {value!r}") from error
    if len(values) != count:
        raise ShapeError(f"{op}: {name} {value!r} has {len(values)} entries for {count} axes")
    if any(v < least for v in values):
        raise ValueError(f"{op}: {name} must be at least {least}, got {value!r}")
    return values


def _pairs(padding: Any, count: int, op: str) -> Pairs:
    if hasattr(padding, "__iter__") and any(hasattr(p, "__iter__") for p in padding):
        if len(padding) != count:
            raise ShapeError(f"{op}: padding {padding!r} has {len(padding)} entries for {count} axes")
        before, after = zip(*(_each(p, 2, 0, op, "padding") for p in padding))
        return tuple(zip(before, after))
    return tuple((p, p) for p in _each(padding, count, 0, op, "padding"))


def grid(
    op: str, lengths: Shape, window: Lengths, stride: Lengths, dilation: Lengths, padding: Padding, count: int
) -> Grid:
    """The grid of windows onto the last ``count`` axes, which have these lengths."""
    sizes = _each(window, count, 1, op, "window")
    strides = _each(stride, count, 1, op, "stride")
    dilations = _each(dilation, count, 1, op, "dilation")
    pairs = _pairs(padding, count, op)
    counts = []
    for length, k, s, d, (before, after) in zip(lengths, sizes, strides, dilations, pairs):
        reach = (k - 1) * d + 1
        if reach > length + before + after:
            raise ShapeError(
                f"{op}: a window of {sizes} with dilation {dilations} does not fit into the last axes, of shape "
                f"{lengths} with padding {pairs}: it needs {reach} elements, but there are {length + before + after}"
            )
        counts.append((length + before + after - reach) // s + 1)
    return Grid(sizes, strides, dilations, pairs, tuple(counts))


def strided_windows(a: Any, window: Shape, *, stride: Shape, dilation: Shape, padding: Pairs, fill: float = 0.0) -> Any:
    """Windows onto the last axes of an array: (..., lengths) becomes (..., counts, window), a view without padding.

    >>> strided_windows(np.arange(5), (2,), stride=(2,), dilation=(1,), padding=((0, 0),)).tolist()
    [[0, 1], [2, 3]]
    """
    count = len(window)
    if any(map(any, padding)):
        lengths = a.shape[-count:]
        wider = tuple(n + before + after for n, (before, after) in zip(lengths, padding))
        whole: Any = np.full_like(a, fill, shape=(*a.shape[:-count], *wider))
        whole[(..., *(slice(before, before + n) for n, (before, _) in zip(lengths, padding)))] = a
        a = whole
    reach = tuple((k - 1) * d + 1 for k, d in zip(window, dilation))
    windows: Any = np.lib.stride_tricks.sliding_window_view(a, reach, axis=tuple(range(-count, 0)))
    return windows[(..., *(slice(None, None, step) for step in (*stride, *dilation)))]


@indivisible
def overlap_add(a: Any, lengths: Shape, *, stride: Shape, dilation: Shape, padding: Pairs) -> Any:
    """The sum of all window entries for each element: (..., counts, window) becomes (..., lengths).

    Accumulates float16 in float32.

    >>> overlap_add(np.ones((4, 2)), (5,), stride=(1,), dilation=(1,), padding=((0, 0),)).tolist()
    [1.0, 2.0, 2.0, 2.0, 1.0]
    """
    if a.dtype == np.float16:
        wide = overlap_add(a.astype(np.float32), lengths, stride=stride, dilation=dilation, padding=padding)
        return wide.astype(np.float16)
    count = len(lengths)
    counts, window = a.shape[-2 * count : -count], a.shape[-count:]
    result: Any = np.zeros_like(a, shape=(*a.shape[: -2 * count], *lengths))
    along = [
        [_reached(k * d - before, s, n, length) for k in range(size)]
        for size, d, s, n, length, (before, _) in zip(window, dilation, stride, counts, lengths, padding)
    ]
    for places in product(*map(range, window)):
        found = [spans[k] for spans, k in zip(along, places)]
        part = result[(..., *(target for target, _ in found))]
        np.add(part, a[(..., *(source for _, source in found), *places)], out=part)
    return result


def _reached(start: int, stride: int, count: int, length: int) -> tuple[slice, slice]:
    """Where one element of every window lies on the array, and for which windows it lies outside the padding."""
    first = max(0, -(start // stride))
    last = min(count, (length - 1 - start) // stride + 1)
    if last <= first:
        return slice(0, 0), slice(0, 0)
    begin = start + first * stride
    return slice(begin, begin + (last - first - 1) * stride + 1, stride), slice(first, last)
