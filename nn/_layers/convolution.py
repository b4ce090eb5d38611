"""Convolution layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .. import functional, init
from .._checks import count
from .._parameter import Parameter
from ..functional._spatial import Lengths, each
from .weighted import Weighted

__all__ = ["Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d"]


class _Windowed(Weighted):
    """A layer with a kernel over ``_axes`` axes; b has one number per output channel."""

    _axes: int
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]
    groups: int

    def _size(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Lengths,
        stride: Lengths,
        padding: Lengths | str,
        dilation: Lengths,
        groups: int,
    ) -> None:
        """Check and set the sizes."""
        op = type(self).__name__
        self.in_channels = count(op, "in_channels", in_channels)
        self.out_channels = count(op, "out_channels", out_channels)
        self.kernel_size = each(kernel_size, self._axes, op, "kernel_size")
        self.stride = each(stride, self._axes, op, "stride")
        self.padding = padding if isinstance(padding, str) else each(padding, self._axes, op, "padding", 0)
        self.dilation = each(dilation, self._axes, op, "dilation")
        self.groups = count(op, "groups", groups)
        for name, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                raise ValueError(f"{op}: groups={groups} does not divide {name}={channels}")

    @property
    def _usual(self) -> dict[str, object]:
        """The settings that the repr leaves out."""
        ones, zeros = (1,) * self._axes, (0,) * self._axes
        return {"stride": ones, "padding": zeros, "dilation": ones, "groups": 1}

    def extra_repr(self) -> str:
        others = "".join(f", {n}={getattr(self, n)!r}" for n, value in self._usual.items() if getattr(self, n) != value)
        return f"in={self.in_channels}, out={self.out_channels}, kernel_size={self.kernel_size}{others}" + self._shown()

    def brief(self) -> str:
        kernel = "×".join(map(str, self.kernel_size))
        return f"{type(self).__name__} {self.in_channels}→{self.out_channels}, {kernel}"


class _Conv(_Windowed):
    """A convolution."""

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
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(f"{type(self).__name__}: padding must be 'same', 'valid' or integers, got {padding!r}")
        self._size(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self._make(shape, self.out_channels, bias=bias, l1=l1, l2=l2, init=init, dtype=dtype, rng=rng)

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        convolve = functional.conv1d if self._axes == 1 else functional.conv2d
        stride, padding, dilation = (tg.watch(self, name) for name in ("stride", "padding", "dilation"))
        return convolve(x, self.W, self.b, stride, padding, dilation, self.groups)


class _ConvTranspose(_Windowed):
    """A transposed convolution."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Lengths,
        stride: Lengths = 1,
        padding: Lengths = 0,
        output_padding: Lengths = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Lengths = 1,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        init: init.Init = "he_normal",
        dtype: DTypeLike = np.float32,
        rng: init.Seed = None,
    ) -> None:
        super().__init__()
        op = type(self).__name__
        if isinstance(padding, str):
            raise ValueError(f"{op}: padding must be integers, got {padding!r}; it is cut off each side of the result")
        self._size(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        self.output_padding = each(output_padding, self._axes, op, "output_padding", 0)
        if any(extra >= step for extra, step in zip(self.output_padding, self.stride)):
            raise ValueError(
                f"{op}: output_padding must be smaller than the stride, got {output_padding!r} and {stride!r}"
            )
        # Drawn like a kernel that maps the input's channels to the outputs, as initialisers count n_in and n_out.
        inputs, outputs = self.in_channels // self.groups, self.out_channels // self.groups
        shape = (self.out_channels, inputs, *self.kernel_size)
        self._make(shape, self.out_channels, bias=bias, l1=l1, l2=l2, init=init, dtype=dtype, rng=rng)
        by_group = self.W.data.reshape(self.groups, outputs, inputs, *self.kernel_size).swapaxes(1, 2)
        self.W = Parameter(by_group.reshape(self.in_channels, outputs, *self.kernel_size), name="W")

    @property
    def _usual(self) -> dict[str, object]:
        return {**super()._usual, "output_padding": (0,) * self._axes}

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        convolve = functional.conv_transpose1d if self._axes == 1 else functional.conv_transpose2d
        names = ("stride", "padding", "output_padding", "groups", "dilation")
        return convolve(x, self.W, self.b, *(tg.watch(self, name) for name in names))


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


class ConvTranspose1d(_ConvTranspose):
    """:class:`ConvTranspose2d` along one axis: x (N, in_channels, length) or (in_channels, length).

    W has the shape (in_channels, out_channels / groups, width).

    >>> import numpy as np, nn
    >>> nn.ConvTranspose1d(3, 8, 4, stride=2, padding=1, rng=0)(np.ones((2, 3, 20), np.float32)).shape
    (2, 8, 40)
    """

    _axes = 1


class ConvTranspose2d(_ConvTranspose):
    """The transpose of :class:`Conv2d`, which enlarges images: every element of x adds a scaled kernel to the result.

    Shapes: x (N, in_channels, height, width), W (in_channels, out_channels / groups, kernel height, kernel width), b
        (out_channels,), result (N, out_channels, height', width'), where height' is ``(height - 1) * stride
        - 2 * padding + dilation * (kernel height - 1) + output_padding + 1``; one sample has no axis N.

    Args:
        in_channels: number of channels of x.
        out_channels: number of channels of the result.
        kernel_size: here and below, an integer or one for each axis.
        stride: step from one kernel to the next in the result.
        padding: how much to cut off on each side of the result.
        output_padding: how much less to cut off at the end; smaller than the stride.
        groups: number of groups of channels, each with its own share of the outputs.
        bias: add b, initially zero.
        dilation: step from one element of the kernel to the next.
        l1: weight of ``sum(abs(W))`` in :func:`penalty`.
        l2: weight of ``sum(W²)`` there.
        init: as in :class:`Linear`; called for the shape ``(out_channels, in_channels / groups, *kernel_size)``.
        dtype: of the parameters.
        rng: generator or seed for W; None draws a fresh seed.

    Raises:
        ShapeError: x has the wrong number of channels or axes, or padding leaves nothing of the result.
        ValueError: a number is too small, output_padding is too large, or groups does not divide the channels.

    >>> import numpy as np, nn
    >>> nn.ConvTranspose2d(4, 1, 3, stride=2, rng=0)(np.ones((2, 4, 4, 4), np.float32)).shape
    (2, 1, 9, 9)
    """

    _axes = 2
