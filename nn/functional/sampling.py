"""Images taken apart, put together, and sampled between their pixels."""

from __future__ import annotations

from math import prod
from operator import index
from typing import Any

import numpy as np

import tensorgrad as tg

from ._shared import operand
from ._spatial import Lengths, batch_of, constant, each, fitting, images, narrow, reach, wide

__all__ = ["fold", "grid_sample", "interpolate", "pixel_shuffle", "unfold"]

Step = tuple[int, float]


def pixel_shuffle(x: tg.TensorLike, upscale_factor: int) -> tg.Tensor:
    """Channels rearranged into space: (..., C * r * r, H, W) becomes (..., C, H * r, W * r) (Shi et al., 2016).

    Raises ShapeError unless r * r divides the number of channels.

    >>> import numpy as np, nn
    >>> nn.functional.pixel_shuffle(np.arange(4.0).reshape(1, 4, 1, 1), 2).data.tolist()
    [[[[0.0, 1.0], [2.0, 3.0]]]]
    """
    given = operand(x)
    r = index(upscale_factor)
    if r < 1:
        raise ValueError(f"pixel_shuffle: upscale_factor must be at least 1, got {upscale_factor!r}")
    if len(given.shape) < 3 or given.shape[-3] % (r * r):
        raise tg.ShapeError(
            f"pixel_shuffle: expected x of shape (..., channels, height, width) with channels a multiple of {r} * {r}, "
            f"got {given.shape}"
        )
    *batch, channels, height, width = given.shape
    n = len(batch)
    parts = tg.reshape(given, (*batch, channels // (r * r), r, r, height, width))
    order = (*range(n + 1), n + 3, n + 1, n + 4, n + 2)
    return tg.reshape(tg.transpose(parts, order), (*batch, channels // (r * r), height * r, width * r))


def unfold(
    x: tg.TensorLike,
    kernel_size: Lengths,
    dilation: Lengths = 1,
    padding: Lengths = 0,
    stride: Lengths = 1,
) -> tg.Tensor:
    """Windows of images as columns (im2col).

    Args:
        x: shape (N, C, height, width), or (C, height, width) for one sample.
        kernel_size: size of a window. Here and below, an integer or one for each axis.
        dilation: step from one element of a window to the next.
        padding: how many zeros to add on each side.
        stride: step from one window to the next.

    Returns:
        Shape (N, C * elements of a window, windows), or without N for one sample.

    Raises:
        ShapeError: x has the wrong number of axes, or is smaller than a window.
        ValueError: a number is too small.

    >>> import numpy as np, nn
    >>> nn.functional.unfold(np.arange(4.0).reshape(1, 1, 2, 2), (1, 2)).data.tolist()
    [[[0.0, 2.0], [1.0, 3.0]]]
    """
    op = "unfold"
    given, single = batch_of(x, 2, op)
    kernel, strides, dilations, pairs = _window(op, kernel_size, dilation, padding, stride)
    fitting(op, given, reach(kernel, dilations), pairs)
    windows = tg.strided_windows(given, kernel, stride=strides, dilation=dilations, padding=pairs)
    n, c, *counts = windows.shape[:4]
    shape = (c * prod(kernel), prod(counts)) if single else (n, c * prod(kernel), prod(counts))
    return tg.reshape(tg.transpose(windows, (0, 1, 4, 5, 2, 3)), shape)


def fold(
    x: tg.TensorLike,
    output_size: Lengths,
    kernel_size: Lengths,
    dilation: Lengths = 1,
    padding: Lengths = 0,
    stride: Lengths = 1,
) -> tg.Tensor:
    """Columns put back where :func:`unfold` takes them from, and summed where they overlap (col2im).

    Args:
        x: shape (N, C * elements of a window, windows), or without N for one sample.
        output_size: height and width of the result. Here and below, an integer or one for each axis.
        kernel_size: size of a window.
        dilation: step from one element of a window to the next.
        padding: how many zeros were on each side.
        stride: step from one window to the next.

    Returns:
        Shape (N, C, height, width), or (C, height, width) for one sample.

    Raises:
        ShapeError: x does not have two or three axes, or has the wrong number of elements or windows.
        ValueError: a number is too small.

    >>> import numpy as np, nn
    >>> nn.functional.fold(np.ones((1, 2, 3)), (1, 4), (1, 2)).data.tolist()
    [[[[1.0, 2.0, 2.0, 1.0]]]]
    """
    op = "fold"
    given = operand(x)
    single = len(given.shape) == 2
    if single:
        given = tg.expand_dims(given, 0)
    kernel, strides, dilations, pairs = _window(op, kernel_size, dilation, padding, stride)
    lengths = each(output_size, 2, op, "output_size")
    spans = reach(kernel, dilations)
    counts = tuple(
        max(0, (n + before + after - span) // s + 1)
        for n, span, s, (before, after) in zip(lengths, spans, strides, pairs)
    )
    elements = prod(kernel)
    if len(given.shape) != 3 or given.shape[1] % elements or given.shape[2] != prod(counts):
        raise tg.ShapeError(
            f"{op}: expected x of shape (batch, channels * {elements}, {prod(counts)}) for {prod(counts)} windows of "
            f"{kernel} on {lengths}, got {operand(x).shape}"
        )
    channels = given.shape[1] // elements
    windows = tg.reshape(given, (given.shape[0], channels, *kernel, *counts))
    result = tg.overlap_add(
        tg.transpose(windows, (0, 1, 4, 5, 2, 3)), lengths, stride=strides, dilation=dilations, padding=pairs
    )
    return result[0] if single else result


def _window(op: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> tuple[Any, Any, Any, Any]:
    return (
        each(kernel_size, 2, op, "kernel_size"),
        each(stride, 2, op, "stride"),
        each(dilation, 2, op, "dilation"),
        tuple((p, p) for p in each(padding, 2, op, "padding", 0)),
    )


# --- interpolation --------------------------------------------------------------------------------------


def interpolate(
    x: tg.TensorLike,
    size: Lengths | None = None,
    scale_factor: float | tuple[float, ...] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> tg.Tensor:
    """Signals and images resized.

    Args:
        x: shape (N, C, length) or (N, C, height, width); one sample has no axis N. With three axes, x is one image if
            the mode is "bilinear", or if size or scale_factor has two numbers, and a batch of signals otherwise.
        size: lengths of the result. An integer, or one for each axis.
        scale_factor: instead of size: a number, or one for each axis, to multiply the lengths by, rounding down.
        mode: "nearest" takes the pixel at or before; "linear", for signals, and "bilinear", for images, interpolate
            linearly between pixels.
        align_corners: for the linear modes: keep the centres of the outermost pixels in place (True), or their outer
            edges (False).

    Raises:
        ShapeError: x has the wrong number of axes, or an axis without elements.
        ValueError: both or neither of size and scale_factor are given; mode is unknown or does not match x.

    >>> import nn
    >>> nn.functional.interpolate([[[1.0, 2.0]]], size=4).data.tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    >>> nn.functional.interpolate([[[1.0, 2.0]]], size=3, mode="linear", align_corners=True).data.tolist()
    [[[1.0, 1.5, 2.0]]]
    """
    op = "interpolate"
    given = operand(x)
    count = _spatial_axes(given.shape, size, scale_factor, mode)
    single = len(given.shape) == count + 1
    if single:
        given = tg.expand_dims(given, 0)
    if count not in (1, 2) or len(given.shape) != count + 2 or 0 in given.shape[2:]:
        raise tg.ShapeError(
            f"{op}: expected x of shape (batch, channels, length), or with height and width, or one sample without the "
            f"batch axis, got {operand(x).shape}"
        )
    straight = {1: "linear", 2: "bilinear"}[count]
    if mode not in ("nearest", straight):
        raise ValueError(
            f"{op}: mode for x of shape {operand(x).shape} must be 'nearest' or {straight!r}, got {mode!r}"
        )
    if align_corners and mode == "nearest":
        raise ValueError(f"{op}: align_corners is for mode {straight!r}, got mode 'nearest'")
    lengths, steps = _sizes(op, given.shape[2:], size, scale_factor)
    result = wide(given) if mode != "nearest" else given
    for axis, (old, new, step) in enumerate(zip(given.shape[2:], lengths, steps), start=2):
        if mode == "nearest":
            result = _nearest(result, axis, old, new, step)
        else:
            result = _straight(result, axis, old, new, step, align_corners)
    result = narrow(result, given)
    return result[0] if single else result


def _spatial_axes(shape: tuple[int, ...], size: Any, scale_factor: Any, mode: str) -> int:
    """How many axes of x are resized. With three axes, x is either one image or a batch of signals."""
    if len(shape) != 3:
        return max(1, len(shape) - 2)
    numbers = [len(tuple(given)) for given in (size, scale_factor) if hasattr(given, "__iter__")]
    return 2 if mode == "bilinear" or (mode == "nearest" and 2 in numbers) else 1


def _sizes(op: str, old: tuple[int, ...], size: Any, scale_factor: Any) -> tuple[tuple[int, ...], list[Step]]:
    """Return the lengths of the result, and how far apart its pixels are in x, as a quotient."""
    if (size is None) == (scale_factor is None):
        raise ValueError(f"{op}: write size=... or scale_factor=..., got size={size!r}, scale_factor={scale_factor!r}")
    if size is not None:
        lengths = each(size, len(old), op, "size")
        return lengths, list(zip(old, lengths))
    factors = tuple(scale_factor) if hasattr(scale_factor, "__iter__") else (scale_factor,) * len(old)
    if len(factors) != len(old) or not all(f > 0 for f in factors):
        raise ValueError(
            f"{op}: scale_factor must be a positive number, or one for each of {len(old)} axes, got {factors}"
        )
    lengths = tuple(int(n * f) for n, f in zip(old, factors))
    if 0 in lengths:
        raise ValueError(f"{op}: scale_factor {factors} leaves nothing of lengths {old}")
    return lengths, [(1, f) for f in factors]


def _nearest(x: Any, axis: int, old: int, new: int, step: Step) -> Any:
    if step[1] * old == step[0] * new and new % old == 0:  # copies side by side, whose gradient is a sum
        times = new // old
        spread = tg.broadcast_to(tg.expand_dims(x, axis + 1), (*x.shape[: axis + 1], times, *x.shape[axis + 1 :]))
        return tg.reshape(spread, (*x.shape[:axis], new, *x.shape[axis + 1 :]))
    places = np.minimum(np.floor(np.arange(new) * step[0] / step[1]).astype(np.intp), old - 1)
    return tg.take(x, constant(places, x), axis=axis)


def _straight(x: Any, axis: int, old: int, new: int, step: Step, align_corners: bool) -> Any:
    if align_corners:
        places = np.arange(new) * ((old - 1) / (new - 1) if new > 1 else 0.0)
    else:
        places = np.maximum((np.arange(new) + 0.5) * step[0] / step[1] - 0.5, 0.0)
    first = np.minimum(places.astype(np.intp), old - 1)
    second = np.minimum(first + 1, old - 1)
    share = np.reshape(places - first, (new, *(1,) * (len(x.shape) - axis - 1)))
    share = constant(share.astype(np.result_type(x.dtype, np.float16)), x)
    near, far = (tg.take(x, constant(i, x), axis=axis) for i in (first, second))
    return near * (1 - share) + far * share


def grid_sample(
    x: tg.TensorLike,
    grid: tg.TensorLike,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = False,
) -> tg.Tensor:
    """Images sampled at positions between their pixels (Jaderberg et al., 2015).

    Differentiable with respect to the images and, with "bilinear", the positions. At a position exactly on a pixel, the
    derivative with respect to the position is the one towards larger coordinates; with "nearest" it is 0.

    Args:
        x: shape (N, C, height, width).
        grid: shape (N, height', width', 2): x and y of the position, from -1 (left, top) to 1 (right, bottom).
        mode: "bilinear" interpolates between the four pixels around; "nearest" takes the closest pixel, and of two as
            close the one with an even index.
        padding_mode: values outside the image: "zeros", "border" for its outermost pixels, or "reflection" for its
            mirror images: in the centres of the outermost pixels with align_corners, else in their outer edges.
        align_corners: -1 and 1 are the centres of the outermost pixels (True) or their outer edges (False).

    Returns:
        Shape (N, C, height', width').

    Raises:
        ShapeError: x does not have four axes or has no pixels, or the grid does not match it.
        ValueError: mode or padding_mode is unknown.

    >>> import nn
    >>> nn.functional.grid_sample([[[[1.0, 3.0]]]], [[[[0.0, 0.0]]]]).item()
    2.0
    """
    op = "grid_sample"
    given, places = images(x, 2, op), operand(grid)
    if mode not in ("bilinear", "nearest"):
        raise ValueError(f"{op}: mode must be 'bilinear' or 'nearest', got {mode!r}")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"{op}: padding_mode must be 'zeros', 'border' or 'reflection', got {padding_mode!r}")
    n, c, height, width = given.shape
    if len(places.shape) != 4 or places.shape[0] != n or places.shape[3] != 2 or not height * width:
        raise tg.ShapeError(
            f"{op}: expected a grid of shape ({n}, height', width', 2), and x with pixels, got a grid of shape "
            f"{places.shape} and x of shape {given.shape}"
        )
    count = prod(places.shape[1:3])
    pixels = tg.reshape(wide(given), (n, c, height * width))
    flat = tg.reshape(wide(places), (n, 1, count, 2))
    neighbours = _around if mode == "bilinear" else _closest
    columns = neighbours(_coordinate(flat[..., 0], width, padding_mode, align_corners), width)
    rows = neighbours(_coordinate(flat[..., 1], height, padding_mode, align_corners), height)
    result: Any = 0.0
    for row, row_share, row_inside in rows:
        for column, column_share, column_inside in columns:
            read = tg.take_along_axis(pixels, row * width + column, axis=-1)
            result = result + tg.where(row_inside & column_inside, read, 0.0) * (row_share * column_share)
    return narrow(tg.reshape(result, (n, c, *places.shape[1:3])), given, places)


def _coordinate(place: Any, length: int, padding_mode: str, align_corners: bool) -> Any:
    """Return the position along one axis in pixels, brought into the image unless the padding is zeros."""
    at = (place + 1) * ((length - 1) / 2) if align_corners else ((place + 1) * length - 1) / 2
    if padding_mode == "reflection":
        at = _reflected(at, 0.0, length - 1.0) if align_corners else _reflected(at, -0.5, length - 0.5)
    return at if padding_mode == "zeros" else tg.clip(at, 0.0, float(length - 1))


def _reflected(at: Any, low: float, high: float) -> Any:
    """Return where a position is after as many reflections at both ends as it takes."""
    if low == high:
        return tg.zeros_like(at) + low
    span = high - low
    times = np.floor((tg.array_of(at) - low) / span)
    odd = times % 2
    # Each reflection keeps the distance from an end, so that the slope is 1 or -1.
    return tg.subtract(at, low) * (1 - 2 * odd) + np.where(odd != 0, high + times * span, low - times * span)


def _closest(at: Any, length: int) -> list[tuple[Any, Any, Any]]:
    """Return the pixel closest to a position, as :func:`_around` does; the share is 1, with a gradient of 0."""
    number = np.rint(tg.array_of(at))
    inside = (number >= 0) & (number < length)
    return [(np.where(inside, number, 0).astype(np.intp), tg.zeros_like(at) + 1.0, inside)]


def _around(at: Any, length: int) -> list[tuple[Any, Any, Any]]:
    """Return the two pixels next to a position along one axis: index, share, and whether the pixel exists."""
    below = np.floor(tg.array_of(at))
    share = tg.subtract(at, below)
    found = []
    for number, part in ((below, 1 - share), (below + 1, share)):
        inside = (number >= 0) & (number < length)
        found.append((np.where(inside, number, 0).astype(np.intp), part, inside))
    return found
