"""Convolution layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .. import functional, init
from .._checks import count
from ..functional._spatial import Lengths, each
from .weighted import Weighted

__all__ = ["Conv1d", "Conv2d"]


class _Conv(Weighted):
    """A convolution over ``_axes`` axes; b has one number per output channel."""

    _axes: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Lengths,
        stride: Lengths = 1,
        padding: Lengths | str = 0,
        dilation: Lengths = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        init: init.Init = "he_normal",
        dtype: DTypeLike = np.float32,
        rng: init.Seed = None,
    ) -> None:
        super().__init__()
        op = type(self).__name__
        self.in_channels = count(op, "in_channels", in_channels)
        self.out_channels = count(op, "out_channels", out_channels)
        self.kernel_size = each(kernel_size, self._axes, op, "kernel_size")
        self.stride = each(stride, self._axes, op, "stride")
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(f"{op}: padding must be 'same', 'valid' or integers, got {padding!r}")
        self.padding = padding if isinstance(padding, str) else each(padding, self._axes, op, "padding", 0)
        self.dilation = each(dilation, self._axes, op, "dilation")
        self.groups = count(op, "groups", groups)
        for name, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                raise ValueError(f"{op}: groups={groups} does not divide {name}={channels}")
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self._make(shape, self.out_channels, bias=bias, l1=l1, l2=l2, init=init, dtype=dtype, rng=rng)

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        convolve = functional.conv1d if self._axes == 1 else functional.conv2d
        stride, padding, dilation = (tg.watch(self, name) for name in ("stride", "padding", "dilation"))
        return convolve(x, self.W, self.b, stride, padding, dilation, self.groups)

    def extra_repr(self) -> str:
        usual = {"stride": (1,) * self._axes, "padding": (0,) * self._axes, "dilation": (1,) * self._axes, "groups": 1}
        others = "".join(f", {n}={getattr(self, n)!r}" for n, value in usual.items() if getattr(self, n) != value)
        return f"in={self.in_channels}, out={self.out_channels}, kernel_size={self.kernel_size}{others}" + self._shown()

    def brief(self) -> str:
        kernel = "×".join(map(str, self.kernel_size))
        return f"{type(self).__name__} {self.in_channels}→{self.out_channels}, {kernel}"


class Conv1d(_Conv):
    """:class:`Conv2d` along one axis: x (N, in_channels, length) or (in_channels, length).

    W has the shape (out_channels, in_channels / groups, width).

    >>> import numpy as np, nn
    >>> nn.Conv1d(3, 8, 5, padding="same", rng=0)(np.ones((2, 3, 20), np.float32)).shape
    (2, 8, 20)
    """

    _axes = 1


class Conv2d(_Conv):
    """Cross-correlation of images with learned kernels.

    Shapes: x (N, in_channels, height, width), W (out_channels, in_channels / groups, kernel height, kernel width), b
        (out_channels,), result (N, out_channels, height', width'); one sample has no axis N.

    Args:
        in_channels: number of channels of x.
        out_channels: number of kernels.
        kernel_size: here and below, an integer or one for each axis.
        stride: step from one position of the kernel to the next.
        padding: zeros on each side; "valid" is 0, "same" (with stride 1) keeps height and width.
        dilation: step from one element of the kernel to the next.
        groups: number of groups of channels, each with its own share of the outputs.
        bias: add b, initially zero.
        l1: weight of ``sum(abs(W))`` in :func:`penalty`.
        l2: weight of ``sum(W²)`` there.
        init: as in :class:`Linear`.
        dtype: of the parameters.
        rng: generator or seed for W; None draws a fresh seed.

    Raises:
        ShapeError: x has the wrong number of channels or axes, or is smaller than the kernel.
        ValueError: a number is too small, or groups does not divide the channels.

    >>> import numpy as np, nn
    >>> nn.Conv2d(1, 4, 3, stride=2, rng=0)(np.ones((2, 1, 9, 9), np.float32)).shape
    (2, 4, 4, 4)
    """

    _axes = 2
