"""Rounding and signs. Gradients that are zero are recorded as such: leaves get zeros, not None."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..engine.record import Tensor, TensorLike, binary, quiet, record, unary
from .complexes import real_only
from .shaping import astype, require_cpu

__all__ = [
    "ceil",
    "floor",
    "frac",
    "heaviside",
    "rint",
    "round",
    "sign",
    "straight_through_round",
    "trunc",
    "zeros_like",
]


def _d_sign(xp: Any, g: Any, x: Any) -> Any:
    if x.dtype.kind != "c":
        return xp.zeros_like(g)
    # Only a change perpendicular to a complex number turns it: i times a real multiple of the sign itself.
    out = xp.sign(x)
    return (g - xp.real(g * out) * xp.conj(out)) / xp.where(x == 0, np.inf, xp.abs(x))


@unary(np.sign, _d_sign)
def sign(x: TensorLike, /) -> Tensor:
    """-1, 0 or 1, with a gradient of 0 everywhere; for a complex number ``x / abs(x)``, with a gradient of 0 at 0.

    >>> import tensorgrad as tg
    >>> tg.sign([-3.0, 0.0, 2.0])
    Tensor([-1.,  0.,  1.], dtype=float64)
    """


@unary(real_only("floor", np.floor), lambda xp, g: xp.zeros_like(g))
def floor(x: TensorLike, /) -> Tensor:
    """Round down to an integer; the gradient is 0 everywhere.

    >>> import tensorgrad as tg
    >>> tg.floor([-1.5, 1.5])
    Tensor([-2.,  1.], dtype=float64)
    """


@unary(real_only("ceil", np.ceil), lambda xp, g: xp.zeros_like(g))
def ceil(x: TensorLike, /) -> Tensor:
    """Round up to an integer; the gradient is 0 everywhere.

    >>> import tensorgrad as tg
    >>> tg.ceil([-1.5, 1.5])
    Tensor([-1.,  2.], dtype=float64)
    """


def round(x: TensorLike, /, decimals: int = 0) -> Tensor:
    """Round to a number of decimals, halves to even; the gradient is 0 everywhere.

    >>> import tensorgrad as tg
    >>> tg.round([-1.26, 2.5], 1)
    Tensor([-1.3,  2.5], dtype=float64)
    """
    return record("round", lambda a: np.round(a, decimals), (x,), (lambda xp, g: xp.zeros_like(g),))


@unary(real_only("trunc", np.trunc), lambda xp, g: xp.zeros_like(g))
def trunc(x: TensorLike, /) -> Tensor:
    """Round towards 0 to an integer; the gradient is 0 everywhere.

    >>> import tensorgrad as tg
    >>> tg.trunc([-1.5, 1.5])
    Tensor([-1.,  1.], dtype=float64)
    """


@unary(real_only("rint", np.rint), lambda xp, g: xp.zeros_like(g))
def rint(x: TensorLike, /) -> Tensor:
    """Round to the nearest integer, halves to even; the gradient is 0 everywhere.

    >>> import tensorgrad as tg
    >>> tg.rint([-1.6, 2.5])
    Tensor([-2.,  2.], dtype=float64)
    """


@unary(real_only("straight_through_round", np.rint), lambda xp, g: g)
def straight_through_round(x: TensorLike, /) -> Tensor:
    """Round to the nearest integer, halves to even, with the gradient of ``x`` itself: for training quantised values.

    That is not the derivative, which is 0, but the straight-through estimator of Bengio, Léonard and Courville
    (2013, arXiv:1308.3432).

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([0.4, 1.6], requires_grad=True)
    >>> y = tg.straight_through_round(x)
    >>> (y * y).sum().backward()
    >>> y.data.tolist(), x.grad.tolist()
    ([0.0, 2.0], [0.0, 4.0])
    """


@unary(quiet(real_only("frac", lambda a: a - np.trunc(a))), lambda xp, g: g)
def frac(x: TensorLike, /) -> Tensor:
    """``x - trunc(x)``, with the sign of x; the gradient is 1, even where it jumps.

    >>> import tensorgrad as tg
    >>> tg.frac([-1.5, 2.25])
    Tensor([-0.5 ,  0.25], dtype=float64)
    """


def _d_middle(xp: Any, g: Any, x: Any) -> Any:
    return xp.where(x == 0, g, 0)


@binary(real_only("heaviside", np.heaviside), lambda xp, g: xp.zeros_like(g), _d_middle)
def heaviside(x: TensorLike, middle: TensorLike, /) -> Tensor:
    """0 below 0, 1 above, and ``middle`` at 0. The gradient for x is 0 everywhere, that for ``middle`` is 1 at 0.

    >>> import tensorgrad as tg
    >>> tg.heaviside([-3.0, 0.0, 2.0], 0.5)
    Tensor([0. , 0.5, 1. ], dtype=float64)
    """


def zeros_like(x: TensorLike, /, *, dtype: DTypeLike | None = None, device: str | None = None) -> Tensor:
    """Zeros with the shape and dtype of ``x``, or another dtype.

    >>> import tensorgrad as tg
    >>> tg.zeros_like([1.0, 2.0])
    Tensor([0., 0.], dtype=float64)
    """
    if device is not None:
        require_cpu(device)
    result = _zeros(x)
    return result if dtype is None else astype(result, dtype)


_zeros: Any = unary(np.zeros_like, lambda xp, g: xp.zeros_like(g))(zeros_like)
