"""Convolution as in deep learning (correlation), and its two derivatives, on arrays.

The three functions are one trilinear form of x, w and g, each with one of the three left out, so the rules of each
are the other two. Windows are laid out as columns (im2col), with one matrix product per block. A block is small
enough to stay in the cache, and columns are never kept: they are larger than x by the number of elements in a window.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np

from .staging import indivisible
from .windows import Pairs, Shape, overlap_add, strided_windows

__all__ = ["conv", "conv_input", "conv_weight"]

_BLOCK = 2**18  # how many elements of the columns are made at a time: about the private cache of a core


class _Columns(NamedTuple):
    """The arrangement of windows onto (batch, channels, lengths) as columns: (batch, groups, rows, positions)."""

    batch: int
    inputs: int  # channels per group
    counts: Shape
    window: Shape
    groups: int
    static: dict[str, Any]

    @property
    def rows(self) -> int:
        return self.inputs * prod(self.window)

    @property
    def swapped(self) -> Shape:
        """The permutation of axes that swaps the counts with the axes of a window; its own inverse."""
        count = len(self.counts)
        return (0, 1, *range(2 + count, 2 + 2 * count), *range(2, 2 + count))

    def blocks(self) -> Iterator[slice]:
        step = max(1, _BLOCK // max(1, self.groups * self.rows * prod(self.counts)))
        return (slice(start, start + step) for start in range(0, self.batch, step))

    def of(self, x: Any) -> Iterator[tuple[slice, Any]]:
        windows = strided_windows(x, self.window, **self.static)
        for block in self.blocks():
            part = np.transpose(windows[block], self.swapped)
            yield block, np.reshape(part, (part.shape[0], self.groups, self.rows, prod(self.counts)))

    def added(self, columns: Any, lengths: Shape) -> Any:
        shape = (columns.shape[0], self.groups * self.inputs, *self.window, *self.counts)
        return overlap_add(np.transpose(np.reshape(columns, shape), self.swapped), lengths, **self.static)


def _grouped(g: Any, block: slice, groups: int) -> Any:
    # A copy: BLAS cannot take a broadcast array, such as the gradient of a sum.
    part = np.copy(g[block], order="C")
    return np.reshape(part, (part.shape[0], groups, part.shape[1] // groups, prod(part.shape[2:])))


def _wide(*arrays: Any) -> tuple[Any, ...]:
    """The operands, with float16 cast to float32, and the dtype of the result."""
    dtype = np.result_type(*(a.dtype for a in arrays))
    if dtype == np.float16:
        return (*(a.astype(np.float32) for a in arrays), dtype)
    return (*arrays, dtype)


@indivisible
def conv(x: Any, w: Any, *, stride: Shape, dilation: Shape, padding: Pairs, groups: int) -> Any:
    """Convolve (N, C, lengths) with (O, C / groups, window) to (N, O, counts).

    >>> static = dict(stride=(1,), dilation=(1,), padding=((0, 0),), groups=1)
    >>> conv(np.array([[[1.0, 2.0, 4.0]]]), np.array([[[10.0, 1.0]]]), **static).tolist()
    [[[12.0, 24.0]]]
    """
    x, w, dtype = _wide(x, w)
    window = w.shape[2:]
    counts = tuple(
        (n + before + after - (k - 1) * d - 1) // s + 1
        for n, k, s, d, (before, after) in zip(x.shape[2:], window, stride, dilation, padding)
    )
    static = {"stride": stride, "dilation": dilation, "padding": padding}
    columns = _Columns(x.shape[0], w.shape[1], counts, window, groups, static)
    outs = w.shape[0] // groups
    kernel = np.reshape(w, (groups, outs, columns.rows))
    result = np.empty_like(x, dtype=np.result_type(x.dtype, w.dtype), shape=(x.shape[0], groups, outs, prod(counts)))
    for block, part in columns.of(x):
        np.matmul(kernel, part, out=result[block])
    return np.reshape(result, (x.shape[0], w.shape[0], *counts)).astype(dtype, copy=False)


@indivisible
def conv_input(g: Any, w: Any, lengths: Shape, *, stride: Shape, dilation: Shape, padding: Pairs, groups: int) -> Any:
    """The gradient of :func:`conv` for x: (N, O, counts) and (O, C / groups, window) to (N, C, lengths).

    >>> static = dict(stride=(1,), dilation=(1,), padding=((0, 0),), groups=1)
    >>> conv_input(np.array([[[1.0, 2.0]]]), np.array([[[10.0, 1.0]]]), (3,), **static).tolist()
    [[[10.0, 21.0, 2.0]]]
    """
    g, w, dtype = _wide(g, w)
    static = {"stride": stride, "dilation": dilation, "padding": padding}
    columns = _Columns(g.shape[0], w.shape[1], g.shape[2:], w.shape[2:], groups, static)
    kernel = np.swapaxes(np.reshape(w, (groups, w.shape[0] // groups, columns.rows)), -1, -2)
    shape = (g.shape[0], w.shape[1] * groups, *lengths)
    result: Any = np.empty_like(g, dtype=np.result_type(g.dtype, w.dtype), shape=shape)
    for block in columns.blocks():
        result[block] = columns.added(np.matmul(kernel, _grouped(g, block, groups)), lengths)
    return result.astype(dtype, copy=False)


@indivisible
def conv_weight(x: Any, g: Any, window: Shape, *, stride: Shape, dilation: Shape, padding: Pairs, groups: int) -> Any:
    """The gradient of :func:`conv` for w: (N, C, lengths) and (N, O, counts) to (O, C / groups, window).

    >>> static = dict(stride=(1,), dilation=(1,), padding=((0, 0),), groups=1)
    >>> conv_weight(np.array([[[1.0, 2.0, 4.0]]]), np.array([[[10.0, 1.0]]]), (2,), **static).tolist()
    [[[12.0, 24.0]]]
    """
    x, g, dtype = _wide(x, g)
    inputs, outs = x.shape[1] // groups, g.shape[1]
    static = {"stride": stride, "dilation": dilation, "padding": padding}
    columns = _Columns(x.shape[0], inputs, g.shape[2:], window, groups, static)
    shape = (groups, outs // groups, columns.rows)
    result: Any = np.zeros_like(x, dtype=np.result_type(x.dtype, g.dtype), shape=shape)
    for block, part in columns.of(x):
        products = np.matmul(_grouped(g, block, groups), np.swapaxes(part, -1, -2))
        np.add(result, np.sum(products, axis=0), out=result)
    return np.reshape(result, (outs, inputs, *window)).astype(dtype, copy=False)
