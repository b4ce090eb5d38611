"""Discrete Fourier transforms: a differentiable ``np.fft``.

``n`` and ``s`` are the lengths of the transform (shorter than the axis: its end is cut off; longer: zeros are added),
``norm`` says where the factor 1/n goes: "backward" (the default: to the inverse), "forward", or "ortho" for its square
root on both sides. float32 gives complex64. Unlike in NumPy, the same axis twice is an error.

Every transform is linear, and the matrices of fft and ifft are symmetric: in the convention of
:mod:`tensorgrad.ops.complexes`, which has no conjugates, the gradient of an fft is the fft of the gradient. A real
transform keeps half of the spectrum, since the other half is its conjugate: each element kept stands for two, except
at the ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from .engine.record import Tensor, TensorLike, record
from .engine.shapes import normalised_axes
from .errors import ShapeError
from .ops import complexes
from .ops.complexes import refuse_complex
from .ops.reducing import narrow
from .ops.shaping import require_cpu
from .ops.views import shaped
from .words import public_names

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]
__dir__ = public_names(globals())

Norm = Literal["backward", "ortho", "forward"] | None
Lengths = Sequence[int | None] | None
Axes = Sequence[int] | None
Shape = tuple[int, ...]

# The opposite transform has its factor on the other side.
_OPPOSITE: dict[Norm, Norm] = {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}


class _Facts:
    """The static facts of one transform: its axes, its lengths along them, and the shape of its input."""

    __slots__ = ("axes", "lengths", "shape")

    def __init__(self, op: str, x: Any, s: Any, axes: Any, norm: Norm, half: bool = False) -> None:
        """``half``: the last axis of x has n//2 + 1 elements for a transform of length n."""
        self.shape: Shape = x.shape
        if norm not in _OPPOSITE:
            raise ValueError(f'{op}: norm must be "backward", "ortho" or "forward", got {norm!r}')
        if axes is None and s is not None:
            axes = tuple(range(-len(s), 0))
        self.axes = normalised_axes(axes, len(self.shape), op)
        if not self.axes:
            raise ShapeError(f"{op}: shape {self.shape} and axes={axes!r} leave no axis to transform")
        known = [self.shape[a] for a in self.axes]
        if half:
            known[-1] = 2 * (known[-1] - 1)
        if s is not None:
            if len(s) != len(self.axes):
                raise ShapeError(f"{op}: s={s!r} has {len(s)} lengths for {len(self.axes)} axes")
            taken = [self.shape[a] for a in self.axes]  # what NumPy means by -1
            known = [
                old if new is None else whole if new == -1 else index(new) for old, whole, new in zip(known, taken, s)
            ]
        for axis, n in zip(self.axes, known):
            if n < 1:
                raise ShapeError(
                    f"{op}: a transform along axis {axis} of shape {self.shape} would have length {n}, expected at "
                    f"least 1; set its length with n= or s="
                )
        self.lengths: Shape = tuple(known)

    def cut(self, xp: Any, g: Any) -> Any:
        """The gradient for the transformed part, in the shape of the input: without the zeros that were added.

        Elements of the input that were cut off get zeros.
        """
        part = tuple(slice(0, min(n, m)) if n != m else slice(None) for n, m in zip(g.shape, self.shape))
        if any(n > m for n, m in zip(g.shape, self.shape)):
            g = g[part]
        if any(n < m for n, m in zip(g.shape, self.shape)):
            g = xp.scatter(g, part, self.shape)
        return g

    def weighted(self, xp: Any, spectrum: Any, weight: float) -> Any:
        """Half a spectrum along the last axis of the transform, with a weight on the elements that stand for two."""
        length = self.lengths[-1]
        before = (slice(None),) * self.axes[-1]
        stop = (length + 1) // 2
        parts = [spectrum[(*before, slice(0, 1))], weight * spectrum[(*before, slice(1, stop))]]
        if length % 2 == 0:
            parts.append(spectrum[(*before, slice(stop, None))])
        return xp.concatenate(parts, axis=self.axes[-1])


def _complex(op: str, x: TensorLike, s: Lengths, axes: Axes, norm: Norm, inverse: bool) -> Tensor:
    """A transform of complex numbers: its rule is the transform itself."""
    source = shaped(x, op)
    facts = _Facts(op, source, s, axes, norm)

    def transformed(xp: Any, a: Any) -> Any:
        function = xp.fft.ifftn if inverse else xp.fft.fftn
        return function(a, facts.lengths, facts.axes, norm)

    def d_x(xp: Any, g: Any) -> Any:
        return facts.cut(xp, transformed(xp, g))

    return record(op, lambda a: transformed(np, a), (source,), (d_x,))


def _from_real(op: str, x: TensorLike, s: Lengths, axes: Axes, norm: Norm) -> Tensor:
    """Half the spectrum of real numbers."""
    source = shaped(x, op)
    refuse_complex(op, source)
    facts = _Facts(op, source, s, axes, norm)

    def d_x(xp: Any, g: Any) -> Any:
        # The real part of sum g_k exp(-i w jk): with conjugates, and half the weight on what irfftn counts twice.
        half = xp.conj(facts.weighted(xp, g, 0.5))
        return facts.cut(xp, xp.fft.irfftn(half, facts.lengths, facts.axes, _OPPOSITE[norm]))

    return record(op, lambda a: np.fft.rfftn(a, facts.lengths, facts.axes, norm), (source,), (d_x,))


def _to_real(op: str, x: TensorLike, s: Lengths, axes: Axes, norm: Norm) -> Tensor:
    """Real numbers from half their spectrum."""
    source = shaped(x, op)
    facts = _Facts(op, source, s, axes, norm, half=True)
    real = source.dtype.kind != "c"

    def d_x(xp: Any, g: Any) -> Any:
        half = xp.fft.rfftn(g, facts.lengths, facts.axes, _OPPOSITE[norm])
        return facts.cut(xp, facts.weighted(xp, xp.real(half) if real else xp.conj(half), 2.0))

    def forward(a: Any) -> Any:
        return narrow(np.fft.irfftn(a, facts.lengths, facts.axes, norm), a)

    return record(op, forward, (source,), (d_x,))


def _length(n: int | None) -> Lengths:
    return None if n is None else (n,)


# --- along one axis -------------------------------------------------------------------------------------


def fft(x: TensorLike, /, n: int | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """Discrete Fourier transform along an axis. Raises ShapeError for a length below 1 or an axis out of bounds.

    >>> import tensorgrad as tg
    >>> tg.fft.fft([1.0, 0.0, 0.0])
    Tensor([1.+0.j, 1.+0.j, 1.+0.j], dtype=complex128)
    """
    return _complex("fft", x, _length(n), (axis,), norm, False)


def ifft(x: TensorLike, /, n: int | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """Inverse of :func:`fft`.

    >>> import tensorgrad as tg
    >>> tg.fft.ifft([2.0, 0.0])
    Tensor([1.+0.j, 1.+0.j], dtype=complex128)
    """
    return _complex("ifft", x, _length(n), (axis,), norm, True)


def rfft(x: TensorLike, /, n: int | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """The first n//2 + 1 elements of the :func:`fft` of real numbers: the others are their conjugates.

    Raises DTypeError for complex numbers.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    >>> (abs(tg.fft.rfft(x)) ** 2).sum().backward()
    >>> x.grad
    array([12., 20., 20., 28.])
    """
    return _from_real("rfft", x, _length(n), (axis,), norm)


def irfft(x: TensorLike, /, n: int | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """Inverse of :func:`rfft`: n real numbers, by default an even count, 2 * (length - 1).

    The imaginary part of the first element, and for an even n of the last one, is ignored.

    >>> import tensorgrad as tg
    >>> tg.fft.irfft([2.0, 0.0])
    Tensor([1., 1.], dtype=float64)
    """
    return _to_real("irfft", x, _length(n), (axis,), norm)


def hfft(x: TensorLike, /, n: int | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """The real spectrum of a signal with Hermitian symmetry, whose first half is x.

    >>> import tensorgrad as tg
    >>> tg.fft.hfft([1.0, 1.0])
    Tensor([2., 0.], dtype=float64)
    """
    return _to_real("hfft", complexes.conj(x), _length(n), (axis,), _swapped("hfft", norm))


def ihfft(x: TensorLike, /, n: int | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """Inverse of :func:`hfft`. Raises DTypeError for complex numbers.

    >>> import tensorgrad as tg
    >>> tg.fft.ihfft([2.0, 0.0]).real
    Tensor([1., 1.], dtype=float64)
    """
    return complexes.conj(_from_real("ihfft", x, _length(n), (axis,), _swapped("ihfft", norm)))


# --- along several axes ---------------------------------------------------------------------------------


def fft2(x: TensorLike, /, s: Lengths = None, axes: Axes = (-2, -1), norm: Norm = None) -> Tensor:
    """Discrete Fourier transform along two axes.

    >>> import tensorgrad as tg
    >>> tg.fft.fft2([[1.0, 0.0], [0.0, 0.0]]).real.data.tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    return _complex("fft2", x, s, axes, norm, False)


def ifft2(x: TensorLike, /, s: Lengths = None, axes: Axes = (-2, -1), norm: Norm = None) -> Tensor:
    """Inverse of :func:`fft2`.

    >>> import tensorgrad as tg
    >>> tg.fft.ifft2([[4.0, 0.0], [0.0, 0.0]]).real.data.tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    return _complex("ifft2", x, s, axes, norm, True)


def rfft2(x: TensorLike, /, s: Lengths = None, axes: Axes = (-2, -1), norm: Norm = None) -> Tensor:
    """Discrete Fourier transform of real numbers along two axes; only half is kept along the last.

    >>> import tensorgrad as tg
    >>> tg.fft.rfft2([[1.0, 0.0, 0.0, 0.0]]).shape
    (1, 3)
    """
    return _from_real("rfft2", x, s, axes, norm)


def irfft2(x: TensorLike, /, s: Lengths = None, axes: Axes = (-2, -1), norm: Norm = None) -> Tensor:
    """Inverse of :func:`rfft2`.

    >>> import tensorgrad as tg
    >>> tg.fft.irfft2([[4.0, 0.0, 0.0]]).data.tolist()
    [[1.0, 1.0, 1.0, 1.0]]
    """
    return _to_real("irfft2", x, s, axes, norm)


def fftn(x: TensorLike, /, s: Lengths = None, axes: Axes = None, norm: Norm = None) -> Tensor:
    """Discrete Fourier transform along several axes, by default all (with ``s``, the last ones).

    Raises ShapeError if ``s`` and ``axes`` have different lengths, or an axis is named twice.

    >>> import tensorgrad as tg
    >>> tg.fft.fftn([[[1.0, 0.0]]]).real.data.tolist()
    [[[1.0, 1.0]]]
    """
    return _complex("fftn", x, s, axes, norm, False)


def ifftn(x: TensorLike, /, s: Lengths = None, axes: Axes = None, norm: Norm = None) -> Tensor:
    """Inverse of :func:`fftn`.

    >>> import tensorgrad as tg
    >>> tg.fft.ifftn([[[2.0, 0.0]]]).real.data.tolist()
    [[[1.0, 1.0]]]
    """
    return _complex("ifftn", x, s, axes, norm, True)


def rfftn(x: TensorLike, /, s: Lengths = None, axes: Axes = None, norm: Norm = None) -> Tensor:
    """Discrete Fourier transform of real numbers along several axes; only half is kept along the last of them.

    >>> import tensorgrad as tg
    >>> tg.fft.rfftn([[[1.0, 0.0, 0.0, 0.0]]]).shape
    (1, 1, 3)
    """
    return _from_real("rfftn", x, s, axes, norm)


def irfftn(x: TensorLike, /, s: Lengths = None, axes: Axes = None, norm: Norm = None) -> Tensor:
    """Inverse of :func:`rfftn`.

    >>> import tensorgrad as tg
    >>> tg.fft.irfftn([[[2.0, 0.0]]]).data.tolist()
    [[[1.0, 1.0]]]
    """
    return _to_real("irfftn", x, s, axes, norm)


def _swapped(op: str, norm: Norm) -> Norm:
    if norm not in _OPPOSITE:
        raise ValueError(f'{op}: norm must be "backward", "ortho" or "forward", got {norm!r}')
    return _OPPOSITE[norm]


# --- order and frequencies ------------------------------------------------------------------------------


def fftshift(x: TensorLike, /, axes: int | Sequence[int] | None = None) -> Tensor:
    """The elements of a spectrum in order of frequency, with zero in the middle.

    >>> import tensorgrad as tg
    >>> tg.fft.fftshift([0.0, 1.0, -1.0])
    Tensor([-1.,  0.,  1.], dtype=float64)
    """
    source = shaped(x, "fftshift")
    along = normalised_axes(axes, len(source.shape), "fftshift")
    return record(
        "fftshift", lambda a: np.fft.fftshift(a, along), (source,), (lambda xp, g: xp.fft.ifftshift(g, along),)
    )


def ifftshift(x: TensorLike, /, axes: int | Sequence[int] | None = None) -> Tensor:
    """Inverse of :func:`fftshift`.

    >>> import tensorgrad as tg
    >>> tg.fft.ifftshift([-1.0, 0.0, 1.0])
    Tensor([ 0.,  1., -1.], dtype=float64)
    """
    source = shaped(x, "ifftshift")
    along = normalised_axes(axes, len(source.shape), "ifftshift")
    return record(
        "ifftshift", lambda a: np.fft.ifftshift(a, along), (source,), (lambda xp, g: xp.fft.fftshift(g, along),)
    )


def fftfreq(n: int, /, d: float = 1.0, *, dtype: DTypeLike | None = None, device: str | None = None) -> Any:
    """The frequencies of an :func:`fft` of n samples with spacing d, in cycles per unit of d: a plain array.

    >>> import tensorgrad as tg
    >>> tg.fft.fftfreq(4).tolist()
    [0.0, 0.25, -0.5, -0.25]
    """
    require_cpu(device)
    return np.fft.fftfreq(n, d).astype(np.float64 if dtype is None else dtype, copy=False)


def rfftfreq(n: int, /, d: float = 1.0, *, dtype: DTypeLike | None = None, device: str | None = None) -> Any:
    """The frequencies of an :func:`rfft` of n samples with spacing d, in cycles per unit of d: a plain array.

    >>> import tensorgrad as tg
    >>> tg.fft.rfftfreq(4).tolist()
    [0.0, 0.25, 0.5]
    """
    require_cpu(device)
    return np.fft.rfftfreq(n, d).astype(np.float64 if dtype is None else dtype, copy=False)
