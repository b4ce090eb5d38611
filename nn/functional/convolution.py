"""Convolution and transposed convolution of signals and images."""

from __future__ import annotations

from typing import Any

import tensorgrad as tg

from ._shared import operand
from ._spatial import Lengths, batch_of, each, fitting, paddings, reach

__all__ = ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"]


def conv1d(
    x: tg.TensorLike,
    weight: tg.TensorLike,
    bias: tg.TensorLike | None = None,
    stride: Lengths = 1,
    padding: Lengths | str = 0,
    dilation: Lengths = 1,
    groups: int = 1,
) -> tg.Tensor:
    """:func:`conv2d` along one axis: x (N, C, length), weight (O, C / groups, width), result (N, O, length').

    Or x (C, length), one sample, with a result (O, length').

    >>> import nn
    >>> nn.functional.conv1d([[[1.0, 2.0, 4.0]]], [[[-1.0, 1.0]]])
    Tensor([[[1., 2.]]], dtype=float64)
    """
    return _convolved("conv1d", 1, x, weight, bias, stride, padding, dilation, groups)


def conv2d(
    x: tg.TensorLike,
    weight: tg.TensorLike,
    bias: tg.TensorLike | None = None,
    stride: Lengths = 1,
    padding: Lengths | str = 0,
    dilation: Lengths = 1,
    groups: int = 1,
) -> tg.Tensor:
    """Cross-correlation of images with kernels, which networks call convolution: the kernel is not flipped.

    Args:
        x: shape (N, C, height, width), or (C, height, width) for one sample.
        weight: shape (O, C / groups, kernel height, kernel width).
        bias: shape (O,); None for 0.
        stride: step from one position of the kernel to the next. Here and below, an integer or one for each axis.
        padding: zeros on each side; "valid" is 0, "same" (with stride 1) keeps height and width, with the larger
            half at the end if it is odd.
        dilation: step from one element of the kernel to the next.
        groups: number of groups of channels, each with its own share of the outputs.

    Returns:
        Shape (N, O, height', width'), or (O, height', width') for one sample.

    Raises:
        ShapeError: channels, groups or bias do not match, or the kernel is larger than the padded image.
        ValueError: stride, padding or dilation is invalid, or "same" is given with a stride above 1.

    >>> import numpy as np, nn
    >>> nn.functional.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))).data.tolist()
    [[[[4.0, 4.0], [4.0, 4.0]]]]
    """
    return _convolved("conv2d", 2, x, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    x: tg.TensorLike,
    weight: tg.TensorLike,
    bias: tg.TensorLike | None = None,
    stride: Lengths = 1,
    padding: Lengths = 0,
    output_padding: Lengths = 0,
    groups: int = 1,
    dilation: Lengths = 1,
) -> tg.Tensor:
    """:func:`conv_transpose2d` along one axis: x (N, C, length) or (C, length), weight (C, O / groups, width).

    >>> import nn
    >>> nn.functional.conv_transpose1d([[[1.0, 2.0]]], [[[10.0, 1.0]]])
    Tensor([[[10., 21.,  2.]]], dtype=float64)
    """
    return _transposed("conv_transpose1d", 1, x, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    x: tg.TensorLike,
    weight: tg.TensorLike,
    bias: tg.TensorLike | None = None,
    stride: Lengths = 1,
    padding: Lengths = 0,
    output_padding: Lengths = 0,
    groups: int = 1,
    dilation: Lengths = 1,
) -> tg.Tensor:
    """The transpose of :func:`conv2d`, as in its vjp: every element of x adds a scaled kernel to the result.

    Args:
        x: shape (N, C, height, width), or (C, height, width) for one sample.
        weight: shape (C, O / groups, kernel height, kernel width).
        bias: shape (O,); None for 0.
        stride: step from one kernel to the next in the result. Here and below, an integer or one for each axis.
        padding: how much to cut off on each side of the result.
        output_padding: how much less to cut off at the end; smaller than the stride.
        groups: number of groups of channels, each with its own share of the outputs.
        dilation: step from one element of the kernel to the next.

    Returns:
        Shape (N, O, height', width'), or (O, height', width') for one sample, where height' is
        ``(height - 1) * stride - 2 * padding + dilation * (kernel height - 1) + output_padding + 1``.

    Raises:
        ShapeError: channels, groups or bias do not match, or padding leaves nothing of the result.
        ValueError: stride, padding, output_padding or dilation is invalid.

    >>> import numpy as np, nn
    >>> nn.functional.conv_transpose2d(np.ones((1, 1, 1, 2)), np.ones((1, 1, 1, 2))).data.tolist()
    [[[[1.0, 2.0, 1.0]]]]
    """
    return _transposed("conv_transpose2d", 2, x, weight, bias, stride, padding, output_padding, groups, dilation)


def _convolved(
    op: str,
    count: int,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> tg.Tensor:
    given, kernel, single = _operands(op, count, x, weight, groups)
    channels, outputs = given.shape[1], kernel.shape[0]
    if channels != kernel.shape[1] * groups:
        raise tg.ShapeError(
            f"{op}: x has {channels} channels, but weight expects {kernel.shape[1] * groups} (weight of shape "
            f"{kernel.shape}, groups={groups})"
        )
    strides, dilations = each(stride, count, op, "stride"), each(dilation, count, op, "dilation")
    spans = reach(kernel.shape[2:], dilations)
    pairs = paddings(op, padding, spans, strides)
    fitting(op, given, spans, pairs)
    result = tg.conv(given, kernel, stride=strides, dilation=dilations, padding=pairs, groups=groups)
    return _biased(op, result, bias, outputs, single)


def _transposed(
    op: str,
    count: int,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> tg.Tensor:
    given, kernel, single = _operands(op, count, x, weight, groups)
    if given.shape[1] != kernel.shape[0]:
        raise tg.ShapeError(
            f"{op}: x has {given.shape[1]} channels, but weight expects {kernel.shape[0]} (weight of shape "
            f"{kernel.shape}: channels, outputs / groups, kernel)"
        )
    strides, dilations = each(stride, count, op, "stride"), each(dilation, count, op, "dilation")
    pads = each(padding, count, op, "padding", 0)
    extra = each(output_padding, count, op, "output_padding", 0)
    if any(e >= s for e, s in zip(extra, strides)):
        raise ValueError(f"{op}: output_padding must be smaller than the stride, got {output_padding!r} and {stride!r}")
    spans = reach(kernel.shape[2:], dilations)
    lengths = tuple(
        (n - 1) * s - 2 * p + span + e for n, s, p, span, e in zip(given.shape[2:], strides, pads, spans, extra)
    )
    if any(n < 1 for n in lengths):
        raise tg.ShapeError(
            f"{op}: padding {pads} leaves nothing of the result, whose lengths would be {lengths} (x of shape "
            f"{given.shape}, weight of shape {kernel.shape})"
        )
    pairs = tuple((p, p) for p in pads)
    result = tg.conv_input(given, kernel, lengths, stride=strides, dilation=dilations, padding=pairs, groups=groups)
    return _biased(op, result, bias, kernel.shape[1] * groups, single)


def _operands(op: str, count: int, x: Any, weight: Any, groups: int) -> tuple[Any, Any, bool]:
    (given, single), kernel = batch_of(x, count, op), operand(weight)
    if len(kernel.shape) != count + 2:
        order = "channels, outputs / groups" if "transpose" in op else "outputs, channels / groups"
        raise tg.ShapeError(f"{op}: expected weight with {count + 2} axes ({order}, kernel), got shape {kernel.shape}")
    if groups < 1 or kernel.shape[0] % groups:
        raise tg.ShapeError(f"{op}: groups={groups} does not divide the first axis of weight of shape {kernel.shape}")
    return given, kernel, single


def _biased(op: str, result: tg.Tensor, bias: Any, outputs: int, single: bool) -> tg.Tensor:
    """Add the bias, and drop the batch axis that was added for one sample."""
    result = result[0] if single else result
    if bias is None:
        return result
    given = operand(bias)
    if given.shape != (outputs,):
        raise tg.ShapeError(f"{op}: bias has shape {given.shape}, expected {(outputs,)}: one number per output")
    return result + tg.reshape(given, (outputs, *(1,) * (len(result.shape) - (1 if single else 2))))
