"""Windows over the last axes, sums of windows, and convolution.

What is called convolution here is correlation in signal processing: the kernel is not flipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

from ..engine import convolutions
from ..engine import windows as arrays
from ..engine.record import Tensor, TensorLike, record
from ..engine.windows import Grid, Lengths, Padding, Shape, grid
from ..errors import ShapeError
from .views import shaped, view

__all__ = ["conv", "conv_input", "conv_weight", "overlap_add", "strided_windows"]


def _count(value: Any) -> int:
    return len(value) if isinstance(value, Sequence) else 1


def strided_windows(
    x: TensorLike,
    window: Lengths,
    /,
    *,
    stride: Lengths = 1,
    dilation: Lengths = 1,
    padding: Padding = 0,
    fill: float = 0.0,
) -> Tensor:
    """Windows over the last axes, one axis for each entry of ``window``: (..., lengths) becomes (..., counts, window).

    Consecutive windows are ``stride`` apart, and the elements of a window ``dilation`` apart. ``padding`` first puts
    that many elements of value ``fill`` around the array (an integer, one per axis, or (before, after) per axis);
    without it, the result is a view that cannot be written to. A convolution is a sum of products with the windows.
    Raises ShapeError if a window does not fit.

    >>> import tensorgrad as tg
    >>> tg.strided_windows([1.0, 2.0, 3.0, 4.0, 5.0], 3, stride=2).data.tolist()
    [[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]
    """
    op = "strided_windows"
    source = shaped(x, op)
    count = _count(window)
    if not 0 < count <= len(source.shape):
        raise ShapeError(f"{op}: cannot take windows of {count} axes from an array of shape {source.shape}")
    lengths = source.shape[-count:]
    facts = grid(op, lengths, window, stride, dilation, padding, count)
    sizes = facts.window
    static: dict[str, Any] = {"stride": facts.stride, "dilation": facts.dilation, "padding": facts.padding}

    def d_x(xp: Any, g: Any) -> Any:
        return xp.overlap_add(g, lengths, **static)

    return view(op, lambda a: arrays.strided_windows(a, sizes, **static, fill=fill), source, d_x)


def overlap_add(
    windows: TensorLike,
    lengths: Lengths,
    /,
    *,
    stride: Lengths = 1,
    dilation: Lengths = 1,
    padding: Padding = 0,
) -> Tensor:
    """Windows put back where :func:`strided_windows` takes them from, and summed: its transpose.

    (..., counts, window) becomes (..., lengths), with as many lengths as a window has axes. Elements in the padding
    are dropped. Raises ShapeError if the number of windows does not match the lengths.

    >>> import tensorgrad as tg
    >>> tg.overlap_add([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]], 5, stride=2)
    Tensor([1., 1., 2., 1., 1.], dtype=float64)
    """
    op = "overlap_add"
    source = shaped(windows, op)
    shape = source.shape
    count = _count(lengths)
    if not 0 < 2 * count <= len(shape):
        raise ShapeError(
            f"{op}: {count} lengths need windows of at least {2 * count} axes (..., counts, window), got shape {shape}"
        )
    ends = tuple(map(index, lengths)) if isinstance(lengths, Sequence) else (index(lengths),)
    window = shape[-count:]
    facts = grid(op, ends, window, stride, dilation, padding, count)
    if shape[-2 * count : -count] != facts.counts:
        raise ShapeError(
            f"{op}: got {shape[-2 * count : -count]} windows of {window} (shape {shape}), expected {facts.counts} for "
            f"lengths {ends} with stride {facts.stride}, dilation {facts.dilation} and padding {facts.padding}"
        )
    static: dict[str, Any] = {"stride": facts.stride, "dilation": facts.dilation, "padding": facts.padding}

    def d_x(xp: Any, g: Any) -> Any:
        return xp.strided_windows(g, window, **static)

    return record(op, lambda a: arrays.overlap_add(a, ends, **static), (source,), (d_x,))


# --- convolution: one trilinear form, free in the result, in x or in w -----------------------------------


def _channels(op: str, images: Any, w: Any, groups: int) -> None:
    """Raise ShapeError unless (N, channels, ...) and (O, channels / groups, ...) have equally many axes, at least 3."""
    if len(images.shape) < 3 or len(images.shape) != len(w.shape):
        raise ShapeError(
            f"{op}: expected shapes (batch, channels, lengths) and (outputs, channels / groups, window) with one "
            f"length for each axis of the window, got {images.shape} and {w.shape}"
        )
    if index(groups) < 1 or w.shape[0] % groups:
        raise ShapeError(f"{op}: {groups} groups do not divide the {w.shape[0]} outputs of w, of shape {w.shape}")


def _static(facts: Grid, groups: int) -> dict[str, Any]:
    return {"stride": facts.stride, "dilation": facts.dilation, "padding": facts.padding, "groups": groups}


def _check_shape(op: str, what: str, got: Shape, expected: Shape) -> None:
    if got != expected:
        raise ShapeError(f"{op}: {what} has shape {got}, expected {expected}")


def conv(
    x: TensorLike,
    w: TensorLike,
    /,
    *,
    stride: Lengths = 1,
    dilation: Lengths = 1,
    padding: Padding = 0,
    groups: int = 1,
) -> Tensor:
    """Sums of products of w with the windows over x, for any number of axes after the first two.

    x has shape (N, C, lengths), w has (O, C / groups, window), the result (N, O, counts). Stride, dilation and
    padding are those of :func:`strided_windows`. Each group of outputs sees only its own group of channels. Raises
    ShapeError if shapes do not match.

    >>> import tensorgrad as tg
    >>> tg.conv([[[1.0, 2.0, 4.0]]], [[[-1.0, 1.0]]])
    Tensor([[[1., 2.]]], dtype=float64)
    """
    op = "conv"
    source, kernel = shaped(x, op), shaped(w, op)
    _channels(op, source, kernel, groups)
    if source.shape[1] != kernel.shape[1] * groups:
        raise ShapeError(
            f"{op}: x has {source.shape[1]} channels, w expects {kernel.shape[1] * groups} (x of shape "
            f"{source.shape}, w of shape {kernel.shape}, groups={groups})"
        )
    lengths, window = source.shape[2:], kernel.shape[2:]
    static = _static(grid(op, lengths, window, stride, dilation, padding, len(window)), groups)

    def d_x(xp: Any, g: Any, y: Any) -> Any:
        return xp.conv_input(g, y, lengths, **static)

    def d_w(xp: Any, g: Any, x: Any) -> Any:
        return xp.conv_weight(x, g, window, **static)

    return record(op, lambda a, b: convolutions.conv(a, b, **static), (source, kernel), (d_x, d_w))


def conv_input(
    g: TensorLike,
    w: TensorLike,
    lengths: Lengths,
    /,
    *,
    stride: Lengths = 1,
    dilation: Lengths = 1,
    padding: Padding = 0,
    groups: int = 1,
) -> Tensor:
    """The gradient of :func:`conv` with respect to x, given that of its result: transposed convolution.

    g has shape (N, O, counts), w has (O, C / groups, window), the result (N, C, lengths). Raises ShapeError if
    shapes do not match.

    >>> import tensorgrad as tg
    >>> tg.conv_input([[[1.0, 2.0]]], [[[10.0, 1.0]]], 3)
    Tensor([[[10., 21.,  2.]]], dtype=float64)
    """
    op = "conv_input"
    source, kernel = shaped(g, op), shaped(w, op)
    _channels(op, source, kernel, groups)
    window = kernel.shape[2:]
    ends = tuple(map(index, lengths)) if isinstance(lengths, Sequence) else (index(lengths),)
    facts = grid(op, ends, window, stride, dilation, padding, len(window))
    _check_shape(op, "g", source.shape, (source.shape[0], kernel.shape[0], *facts.counts))
    static = _static(facts, groups)

    def d_g(xp: Any, g: Any, y: Any) -> Any:
        return xp.conv(g, y, **static)

    def d_w(xp: Any, g: Any, x: Any) -> Any:
        return xp.conv_weight(g, x, window, **static)

    return record(op, lambda a, b: convolutions.conv_input(a, b, ends, **static), (source, kernel), (d_g, d_w))


def conv_weight(
    x: TensorLike,
    g: TensorLike,
    window: Lengths,
    /,
    *,
    stride: Lengths = 1,
    dilation: Lengths = 1,
    padding: Padding = 0,
    groups: int = 1,
) -> Tensor:
    """The gradient of :func:`conv` with respect to w, given that of its result: x correlated with it.

    x has shape (N, C, lengths), g has (N, O, counts), the result (O, C / groups, window). Raises ShapeError if
    shapes do not match.

    >>> import tensorgrad as tg
    >>> tg.conv_weight([[[1.0, 2.0, 4.0]]], [[[10.0, 1.0]]], 2)
    Tensor([[[12., 24.]]], dtype=float64)
    """
    op = "conv_weight"
    source, given = shaped(x, op), shaped(g, op)
    if len(source.shape) < 3 or len(source.shape) != len(given.shape):
        raise ShapeError(
            f"{op}: expected shapes (batch, channels, lengths) and (batch, outputs, counts), got {source.shape} and "
            f"{given.shape}"
        )
    if index(groups) < 1 or source.shape[1] % groups or given.shape[1] % groups:
        raise ShapeError(
            f"{op}: {groups} groups do not divide the {source.shape[1]} channels of x and the {given.shape[1]} of g "
            f"(shapes {source.shape} and {given.shape})"
        )
    lengths: Shape = source.shape[2:]
    facts = grid(op, lengths, window, stride, dilation, padding, len(lengths))
    _check_shape(op, "g", given.shape, (source.shape[0], given.shape[1], *facts.counts))
    static = _static(facts, groups)

    def d_x(xp: Any, g: Any, y: Any) -> Any:
        return xp.conv_input(y, g, lengths, **static)

    def d_g(xp: Any, g: Any, x: Any) -> Any:
        return xp.conv(x, g, **static)

    return record(op, lambda a, b: convolutions.conv_weight(a, b, facts.window, **static), (source, given), (d_x, d_g))
