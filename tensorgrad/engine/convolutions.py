"""Convolution as in deep learning (correlation), and its two derivatives, on arrays.

The three functions are one trilinear form of x, w and g, each with one of the three left out, so the rules of each
are the other two. Windows are laid out as columns (im2col), with one matrix product per block. A block is small
enough to stay in the cache, and columns are never kept: they are larger than x by the number of elements in a window.

There are two layouts, since much of the time goes into the copy to columns, which is fast where it finds long runs of
consecutive elements. Wide images with few channels have them along a row of the image, and each image has a product
of its own. Small images with many channels have them along the channels, and all images of a block share a product.
The sum of windows that :func:`conv_input` ends with gains nothing from the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from .staging import indivisible
from .windows import Pairs, Shape, overlap_add, strided_windows

__all__ = ["conv", "conv_input", "conv_weight"]

_BLOCK = 2**18  # how many elements of the columns are made at a time: about the private cache of a core


@dataclass(frozen=True)
class _Columns:
    """The windows onto (batch, channels, lengths) as columns, of shape (products, groups, rows, positions).

    Each image of the batch has a product of its own; a row is a channel and a place in the window.
    """

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
        windows = np.transpose(strided_windows(x, self.window, **self.static), self.swapped)
        for block in self.blocks():
            part = windows[block]
            yield block, np.reshape(part, (part.shape[0], self.groups, self.rows, prod(self.counts)))

    def added(self, columns: Any, lengths: Shape) -> Any:
        shape = (columns.shape[0], self.groups * self.inputs, *self.window, *self.counts)
        return overlap_add(np.transpose(np.reshape(columns, shape), self.swapped), lengths, **self.static)

    def outputs(self, g: Any) -> Any:
        """(batch, outputs, counts) as an operand of shape (products, groups, outputs / groups, positions)."""
        # A copy: BLAS cannot take a broadcast array, such as the gradient of a sum.
        whole = np.copy(g, order="C")
        return np.reshape(whole, (whole.shape[0], self.groups, whole.shape[1] // self.groups, prod(self.counts)))

    def multiply(self, kernel: Any, columns: Any, into: Any) -> None:
        """Write the products to ``into``, of shape (images, outputs, counts)."""
        shape = (*columns.shape[:2], kernel.shape[-2], columns.shape[-1])
        np.matmul(kernel, columns, out=np.reshape(into, shape))

    def kernel(self, w: Any) -> Any:
        """(outputs, channels / groups, window) as an operand of shape (groups, outputs / groups, rows)."""
        return np.reshape(w, (self.groups, w.shape[0] // self.groups, self.rows))

    def weights(self, kernel: Any) -> Any:
        """The inverse of :meth:`kernel`."""
        return np.reshape(kernel, (-1, self.inputs, *self.window))


class _ChannelsLast(_Columns):
    """One product for all images of a block, and one group; a row is a place in the window and a channel."""

    def of(self, x: Any) -> Iterator[tuple[slice, Any]]:
        last = np.moveaxis(np.copy(np.moveaxis(x, 1, -1), order="C"), -1, 1)
        windows = np.moveaxis(strided_windows(last, self.window, **self.static), 1, -1)
        for block in self.blocks():
            yield block, np.transpose(np.reshape(windows[block], (-1, self.rows)))[None, None]

    def outputs(self, g: Any) -> Any:
        return np.transpose(np.reshape(np.copy(np.moveaxis(g, 1, -1), order="C"), (-1, g.shape[1])))[None, None]

    def multiply(self, kernel: Any, columns: Any, into: Any) -> None:
        products = np.matmul(np.transpose(columns[0, 0]), np.transpose(kernel[0]))
        into[...] = np.moveaxis(np.reshape(products, (into.shape[0], *self.counts, -1)), -1, 1)

    def kernel(self, w: Any) -> Any:
        return np.reshape(np.moveaxis(w, 1, -1), (1, w.shape[0], self.rows))

    def weights(self, kernel: Any) -> Any:
        return np.copy(np.moveaxis(np.reshape(kernel, (-1, *self.window, self.inputs)), -1, 1), order="C")


def _columns(batch: int, inputs: int, counts: Shape, window: Shape, groups: int, static: dict[str, Any]) -> _Columns:
    """The faster layout (``benchmarks/conv.py``): channels last where its runs are longer and images share products."""
    images = _BLOCK // max(1, inputs * prod(window) * prod(counts))
    last = groups == 1 and prod(window) > 1 and min(images, batch) > 1 and inputs * window[-1] > 2 * counts[-1]
    return (_ChannelsLast if last else _Columns)(batch, inputs, counts, window, groups, static)


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
    columns = _columns(x.shape[0], w.shape[1], counts, window, groups, static)
    kernel = columns.kernel(w)
    shape = (x.shape[0], w.shape[0], *counts)
    result: Any = np.empty_like(x, dtype=np.result_type(x.dtype, w.dtype), order="C", shape=shape)
    for block, part in columns.of(x):
        columns.multiply(kernel, part, result[block])
    return result.astype(dtype, copy=False)


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
    kernel = np.swapaxes(columns.kernel(w), -1, -2)
    shape = (g.shape[0], w.shape[1] * groups, *lengths)
    result: Any = np.empty_like(g, dtype=np.result_type(g.dtype, w.dtype), order="C", shape=shape)
    for block in columns.blocks():
        result[block] = columns.added(np.matmul(kernel, columns.outputs(g[block])), lengths)
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
    columns = _columns(x.shape[0], inputs, g.shape[2:], window, groups, static)
    shape = (groups, outs // groups, columns.rows)
    result: Any = np.zeros_like(x, dtype=np.result_type(x.dtype, g.dtype), shape=shape)
    for block, part in columns.of(x):
        products = np.matmul(columns.outputs(g[block]), np.swapaxes(part, -1, -2))
        np.add(result, np.sum(products, axis=0), out=result)
    return columns.weights(result).astype(dtype, copy=False)
