"""Pooling: the maximum or the mean of windows of signals and images."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

import tensorgrad as tg

from ._spatial import Lengths, batch_of, columns, constant, each, fitting, narrow, reach, wide

__all__ = ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "avg_pool1d", "avg_pool2d", "max_pool1d", "max_pool2d"]


def max_pool1d(
    x: tg.TensorLike,
    kernel_size: Lengths,
    stride: Lengths | None = None,
    padding: Lengths = 0,
    dilation: Lengths = 1,
) -> tg.Tensor:
    """:func:`max_pool2d` along one axis: x of shape (N, C, length) or (C, length).

    >>> import nn
    >>> nn.functional.max_pool1d([[[1.0, 3.0, 2.0, 0.0]]], 2)
    Tensor([[[3., 2.]]], dtype=float64)
    """
    return _largest("max_pool1d", 1, x, kernel_size, stride, padding, dilation)


def max_pool2d(
    x: tg.TensorLike,
    kernel_size: Lengths,
    stride: Lengths | None = None,
    padding: Lengths = 0,
    dilation: Lengths = 1,
) -> tg.Tensor:
    """The largest element of each window; tied elements share the gradient evenly.

    Args:
        x: shape (N, C, height, width), or (C, height, width) for one sample.
        kernel_size: size of a window. Here and below, an integer or one for each axis.
        stride: step from one window to the next; None for the kernel size.
        padding: how much minus infinity to add on each side, at most half a window.
        dilation: step from one element of a window to the next.

    Returns:
        Shape (N, C, height', width'), or (C, height', width') for one sample.

    Raises:
        ShapeError: x has the wrong number of axes, or is smaller than a window.
        ValueError: a number is too small, or padding is more than half a window.

    >>> import numpy as np, nn
    >>> nn.functional.max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2).data.tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """
    return _largest("max_pool2d", 2, x, kernel_size, stride, padding, dilation)


def avg_pool1d(
    x: tg.TensorLike,
    kernel_size: Lengths,
    stride: Lengths | None = None,
    padding: Lengths = 0,
    *,
    count_include_pad: bool = True,
) -> tg.Tensor:
    """:func:`avg_pool2d` along one axis: x of shape (N, C, length) or (C, length).

    >>> import nn
    >>> nn.functional.avg_pool1d([[[1.0, 3.0, 2.0, 0.0]]], 2)
    Tensor([[[2., 1.]]], dtype=float64)
    """
    return _averaged("avg_pool1d", 1, x, kernel_size, stride, padding, count_include_pad)


def avg_pool2d(
    x: tg.TensorLike,
    kernel_size: Lengths,
    stride: Lengths | None = None,
    padding: Lengths = 0,
    *,
    count_include_pad: bool = True,
) -> tg.Tensor:
    """The mean of each window.

    Args:
        x: shape (N, C, height, width), or (C, height, width) for one sample.
        kernel_size: size of a window. Here and below, an integer or one for each axis.
        stride: step from one window to the next; None for the kernel size.
        padding: how many zeros to add on each side, at most half a window.
        count_include_pad: count those zeros in the mean.

    Returns:
        Shape (N, C, height', width'), or (C, height', width') for one sample.

    Raises:
        ShapeError: x has the wrong number of axes, or is smaller than a window.
        ValueError: a number is too small, or padding is more than half a window.

    >>> import numpy as np, nn
    >>> nn.functional.avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2).data.tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """
    return _averaged("avg_pool2d", 2, x, kernel_size, stride, padding, count_include_pad)


def adaptive_avg_pool1d(x: tg.TensorLike, output_size: int | tuple[int | None, ...] | None) -> tg.Tensor:
    """:func:`adaptive_avg_pool2d` along one axis: x of shape (N, C, length) or (C, length).

    >>> import nn
    >>> nn.functional.adaptive_avg_pool1d([[[1.0, 3.0, 2.0, 0.0]]], 2)
    Tensor([[[2., 1.]]], dtype=float64)
    """
    return _adapted("adaptive_avg_pool1d", 1, x, output_size)


def adaptive_avg_pool2d(x: tg.TensorLike, output_size: int | tuple[int | None, ...] | None) -> tg.Tensor:
    """The means of windows that are laid out so that the result has a given size, whatever the size of x.

    Window i of n along an axis goes from ``floor(i * length / n)`` to ``ceil((i + 1) * length / n)``.

    Args:
        x: shape (N, C, height, width), or (C, height, width) for one sample.
        output_size: height and width of the result: an integer or one for each axis; None keeps that of x.

    Returns:
        Shape (N, C, height', width'), or (C, height', width') for one sample.

    Raises:
        ShapeError: x has the wrong number of axes, or an axis without elements.
        ValueError: a number is too small.

    >>> import numpy as np, nn
    >>> nn.functional.adaptive_avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), (1, 2)).data.tolist()
    [[[[6.5, 8.5]]]]
    """
    return _adapted("adaptive_avg_pool2d", 2, x, output_size)


def _windows(
    op: str, count: int, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, fill: float
) -> tuple[Any, dict[str, tuple[int, ...]]]:
    kernel = each(kernel_size, count, op, "kernel_size")
    strides = kernel if stride is None else each(stride, count, op, "stride")
    pads, dilations = each(padding, count, op, "padding", 0), each(dilation, count, op, "dilation")
    spans = reach(kernel, dilations)
    if any(2 * p > span for p, span in zip(pads, spans)):
        raise ValueError(
            f"{op}: padding must be at most half of a window's span {spans}, so that no window is all padding; got "
            f"{padding!r}"
        )
    pairs = tuple((p, p) for p in pads)
    fitting(op, x, spans, pairs)
    windows = tg.strided_windows(x, kernel, stride=strides, dilation=dilations, padding=pairs, fill=fill)
    return columns(windows, count), {"kernel": kernel, "stride": strides, "padding": pads}


def _largest(op: str, count: int, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> tg.Tensor:
    given, single = batch_of(x, count, op)
    fill = -np.inf if given.dtype.kind == "f" else int(np.iinfo(given.dtype).min)
    windows, _ = _windows(op, count, given, kernel_size, stride, padding, dilation, fill)
    result = tg.max(windows, axis=0)
    return result[0] if single else result


def _averaged(
    op: str, count: int, x: Any, kernel_size: Any, stride: Any, padding: Any, count_include_pad: bool
) -> tg.Tensor:
    given, single = batch_of(x, count, op)
    windows, facts = _windows(op, count, given, kernel_size, stride, padding, 1, 0.0)
    result = tg.mean(windows, axis=0)
    result = result[0] if single else result
    if count_include_pad or not any(facts["padding"]):
        return result
    inside: list[Any] = [
        [min(i * s - p + k, n) - max(i * s - p, 0) for i in range(number)]
        for number, n, k, s, p in zip(
            result.shape[-count:], given.shape[2:], facts["kernel"], facts["stride"], facts["padding"]
        )
    ]
    within: Any = reduce(np.multiply.outer, map(np.asarray, inside))
    share = int(np.prod(facts["kernel"])) / within
    return result * constant(np.asarray(share, result.dtype), given)


def output_lengths(output_size: Any, count: int, op: str) -> tuple[int | None, ...]:
    """Return one length per axis, or None to keep it. Raises unless each is an integer of at least 1, or None."""
    given = tuple(output_size) if hasattr(output_size, "__iter__") else (output_size,) * count
    checked = each(tuple(1 if n is None else n for n in given), count, op, "output_size")
    return tuple(None if old is None else new for old, new in zip(given, checked))


def _adapted(op: str, count: int, x: Any, output_size: Any) -> tg.Tensor:
    lengths = output_lengths(output_size, count, op)
    given, single = batch_of(x, count, op)
    if 0 in given.shape[2:]:
        raise tg.ShapeError(f"{op}: x of shape {given.shape} has an axis without elements")
    result: Any = wide(given)
    for axis, length in enumerate(lengths, start=2):
        if length is not None:
            result = _means(result, axis, length)
    result = narrow(tg.asarray(result), given)
    return result[0] if single else result


def _means(x: Any, axis: int, count: int) -> Any:
    """The means of ``count`` windows along an axis."""
    length, before, after = x.shape[axis], x.shape[:axis], x.shape[axis + 1 :]
    if length % count == 0:
        return tg.mean(tg.reshape(x, (*before, count, length // count, *after)), axis=axis + 1)
    starts = np.arange(count) * length // count
    sizes = -(-(np.arange(count) + 1) * length // count) - starts
    offsets = np.arange(sizes.max())
    places = np.minimum(starts[:, None] + offsets, length - 1)
    trailing = (1,) * len(after)
    inside = np.reshape(offsets < sizes[:, None], (*places.shape, *trailing))
    parts = tg.reshape(tg.take(x, constant(places.ravel(), x), axis=axis), (*before, *places.shape, *after))
    dtype = x.dtype if x.dtype.kind == "f" else np.float64
    sums = tg.sum(tg.where(constant(inside, x), parts, 0), axis=axis + 1)
    return sums / constant(np.reshape(sizes, (count, *trailing)).astype(dtype), x)
