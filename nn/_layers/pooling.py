"""Pooling layers, and Flatten for their result."""

from __future__ import annotations

from math import prod

import tensorgrad as tg

from .. import functional
from .._checks import integer
from .._module import Module
from ..functional._shared import operand
from ..functional._spatial import Lengths, each
from ..functional.pooling import output_lengths

__all__ = ["AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AvgPool1d", "AvgPool2d", "Flatten", "MaxPool1d", "MaxPool2d"]


class _Pool(Module):
    """Windows over ``_axes`` axes."""

    _axes: int

    def __init__(self, kernel_size: Lengths, stride: Lengths | None = None, padding: Lengths = 0) -> None:
        super().__init__()
        op = type(self).__name__
        self.kernel_size = each(kernel_size, self._axes, op, "kernel_size")
        self.stride = self.kernel_size if stride is None else each(stride, self._axes, op, "stride")
        self.padding = each(padding, self._axes, op, "padding", 0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size)):
            raise ValueError(f"{op}: padding must be at most half of kernel_size={kernel_size!r}, got {padding!r}")

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _MaxPool(_Pool):
    def __init__(
        self, kernel_size: Lengths, stride: Lengths | None = None, padding: Lengths = 0, dilation: Lengths = 1
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.dilation = each(dilation, self._axes, type(self).__name__, "dilation")

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        pool = functional.max_pool1d if self._axes == 1 else functional.max_pool2d
        return pool(x, *(tg.watch(self, name) for name in ("kernel_size", "stride", "padding", "dilation")))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, dilation={self.dilation}"


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: Lengths,
        stride: Lengths | None = None,
        padding: Lengths = 0,
        *,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.count_include_pad = count_include_pad

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        pool = functional.avg_pool1d if self._axes == 1 else functional.avg_pool2d
        sizes = (tg.watch(self, name) for name in ("kernel_size", "stride", "padding"))
        return pool(x, *sizes, count_include_pad=tg.watch(self, "count_include_pad"))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, count_include_pad={self.count_include_pad}"


class MaxPool1d(_MaxPool):
    """:class:`MaxPool2d` along one axis: x of shape (N, C, length) or (C, length).

    >>> import nn
    >>> nn.MaxPool1d(2)([[[1.0, 3.0, 2.0, 0.0]]])
    Tensor([[[3., 2.]]], dtype=float64)
    """

    _axes = 1


class MaxPool2d(_MaxPool):
    """The largest element of each window; tied elements share the gradient evenly.

    Shapes: x (N, C, height, width), result (N, C, height', width'); one sample has no axis N.

    Args:
        kernel_size: size of a window. Here and below, an integer or one for each axis.
        stride: step from one window to the next; None for the kernel size.
        padding: how much minus infinity to add on each side, at most half of kernel_size.
        dilation: step from one element of a window to the next.

    Raises:
        ShapeError: x has the wrong number of axes, or is smaller than a window.
        ValueError: a number is too small, or padding is more than half of kernel_size.

    >>> import numpy as np, nn
    >>> nn.MaxPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4)).data.tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """

    _axes = 2


class AvgPool1d(_AvgPool):
    """:class:`AvgPool2d` along one axis: x of shape (N, C, length) or (C, length).

    >>> import nn
    >>> nn.AvgPool1d(2)([[[1.0, 3.0, 2.0, 0.0]]])
    Tensor([[[2., 1.]]], dtype=float64)
    """

    _axes = 1


class AvgPool2d(_AvgPool):
    """The mean of each window.

    Shapes: x (N, C, height, width), result (N, C, height', width'); one sample has no axis N.

    Args:
        kernel_size: size of a window. Here and below, an integer or one for each axis.
        stride: step from one window to the next; None for the kernel size.
        padding: how many zeros to add on each side, at most half of kernel_size.
        count_include_pad: count those zeros in the mean.

    Raises:
        ShapeError: x has the wrong number of axes, or is smaller than a window.
        ValueError: a number is too small, or padding is more than half of kernel_size.

    >>> import numpy as np, nn
    >>> nn.AvgPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4)).data.tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """

    _axes = 2


class _AdaptiveAvgPool(Module):
    """Means of a given number of windows over ``_axes`` axes."""

    _axes: int

    def __init__(self, output_size: int | tuple[int | None, ...] | None) -> None:
        super().__init__()
        self.output_size = output_lengths(output_size, self._axes, type(self).__name__)

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        pool = functional.adaptive_avg_pool1d if self._axes == 1 else functional.adaptive_avg_pool2d
        return pool(x, tg.watch(self, "output_size"))

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """:class:`AdaptiveAvgPool2d` along one axis: x of shape (N, C, length) or (C, length).

    >>> import nn
    >>> nn.AdaptiveAvgPool1d(2)([[[1.0, 3.0, 2.0, 0.0]]])
    Tensor([[[2., 1.]]], dtype=float64)
    """

    _axes = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The means of windows that are laid out so that the result has a given size, whatever the size of x.

    ``AdaptiveAvgPool2d(1)`` is the mean of each channel. Window i of n along an axis goes from
    ``floor(i * length / n)`` to ``ceil((i + 1) * length / n)``.

    Shapes: x (N, C, height, width), result ``(N, C, *output_size)``; one sample has no axis N.

    Args:
        output_size: height and width of the result: an integer or one for each axis; None keeps that of x.

    Raises:
        ShapeError: x has the wrong number of axes, or an axis without elements.
        ValueError: a number is too small.

    >>> import numpy as np, nn
    >>> nn.AdaptiveAvgPool2d((1, None))(np.arange(16.0).reshape(1, 1, 4, 4)).data.tolist()
    [[[[6.0, 7.0, 8.0, 9.0]]]]
    """

    _axes = 2


class Flatten(Module):
    """Several axes merged into one: by default all but the batch axis.

    Args:
        start_axis: the first of them; negative counts from the end.
        end_axis: the last of them.

    Raises:
        ShapeError: x does not have these axes, or they are in the wrong order.

    >>> import numpy as np, nn
    >>> nn.Flatten()(np.ones((2, 3, 4, 5))).shape
    (2, 60)
    """

    def __init__(self, start_axis: int = 1, end_axis: int = -1) -> None:
        super().__init__()
        self.start_axis = integer("Flatten", "start_axis", start_axis)
        self.end_axis = integer("Flatten", "end_axis", end_axis)

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        given = operand(x)
        shape, n = given.shape, len(given.shape)
        axes = tg.watch(self, "start_axis"), tg.watch(self, "end_axis")
        start, end = (axis + n if axis < 0 else axis for axis in axes)
        if not 0 <= start <= end < n:
            raise tg.ShapeError(f"Flatten: expected x with axes {axes[0]} to {axes[1]}, got shape {shape}")
        return tg.reshape(given, (*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :]))

    def extra_repr(self) -> str:
        return f"start_axis={self.start_axis}, end_axis={self.end_axis}"
