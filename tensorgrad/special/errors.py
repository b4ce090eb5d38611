"""The error function, its relatives, and the normal distribution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.graph import elementwise
from ..engine.mode import silenced
from ..engine.record import Handle, Tensor, TensorLike, record, unary
from ._scipy import scipy

__all__ = ["erf", "erfc", "erfcx", "erfinv", "log_ndtr", "ndtr", "ndtri"]

_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)
_ROOT_TWO_PI = math.sqrt(2 * math.pi)
_ROOT_HALF = math.sqrt(0.5)
_erfcx = scipy("erfcx")


@unary(scipy("erf"), lambda xp, g, x: g * _TWO_OVER_ROOT_PI * xp.exp(-x * x))
def erf(x: TensorLike, /) -> Tensor:
    """Error function, 2/sqrt(pi) times the integral of exp(-t²) from 0 to x.

    >>> import tensorgrad as tg
    >>> tg.special.erf([0.0, 1.0])
    Tensor([0.        , 0.84270079], dtype=float64)
    """


@unary(scipy("erfc"), lambda xp, g, x: -g * _TWO_OVER_ROOT_PI * xp.exp(-x * x))
def erfc(x: TensorLike, /) -> Tensor:
    """``1 - erf(x)``, accurate even where it is small.

    >>> import tensorgrad as tg
    >>> tg.special.erfc([0.0, 10.0])
    Tensor([1.00000000e+00, 2.08848758e-45], dtype=float64)
    """


def _falling(x: Any, order: int) -> Any:
    """``exp(x²)`` times the repeated integral of erfc of that order (DLMF 7.18), of arrays or Tensors.

    :func:`erfcx` is the one of order 0. The derivative of each is the next times ``-2 (order + 1)``, a product: the
    difference ``2 x erfcx(x) - 2 / sqrt(pi)`` cancels where x is large.
    """
    if not isinstance(x, Handle):
        return _falling_of(x, order)

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        return g * (-2.0 * (order + 1)) * _falling(x, order + 1)

    return record("integral of erfcx", lambda a: _falling_of(a, order), (x,), (d_x,))


elementwise.add("integral of erfcx")

_APART = 2.0  # below, the recurrence upwards keeps its digits


def _falling_of(x: Any, order: int) -> Any:
    first = _erfcx(x)
    if not order:
        return first
    near = x < _APART
    with silenced():
        # E[n] = (E[n - 2] - 2 x E[n - 1]) / 2n, with E[-1] = 2 / sqrt(pi)
        low = np.where(near, x, 0)
        before: Any = _TWO_OVER_ROOT_PI
        here = np.where(near, first, 1)
        for n in range(1, order + 1):
            before, here = here, (before - 2 * low * here) / (2 * n)
        # E[n] / E[n - 1] as the continued fraction of the same recurrence, from far up.
        high = np.where(near, _APART, x)
        last = order + 40
        ratio = 1 / (high + np.sqrt(high * high + 2 * last + 2))
        falling: Any = first
        for n in range(last, 0, -1):
            ratio = 1 / (2 * high + 2 * (n + 1) * ratio)
            if n <= order:
                falling = falling * ratio
    return np.where(near, here, falling).astype(first.dtype, copy=False)


@unary(_erfcx, lambda xp, g, x: -2 * g * _falling(x, 1))
def erfcx(x: TensorLike, /) -> Tensor:
    """``exp(x²) erfc(x)``: the complementary error function, scaled so that it does not underflow.

    >>> import tensorgrad as tg
    >>> tg.special.erfcx([0.0, 100.0])
    Tensor([1.        , 0.00564161], dtype=float64)
    """


@unary(scipy("erfinv"), lambda xp, g, out: g / _TWO_OVER_ROOT_PI * xp.exp(out * out))
def erfinv(x: TensorLike, /) -> Tensor:
    """Inverse of :func:`erf`: infinite at -1 and 1, as is its gradient, and NaN outside.

    >>> import tensorgrad as tg
    >>> tg.special.erfinv([0.0, 0.5])
    Tensor([0.        , 0.47693628], dtype=float64)
    """


@unary(scipy("ndtr"), lambda xp, g, x: g / _ROOT_TWO_PI * xp.exp(-0.5 * x * x))
def ndtr(x: TensorLike, /) -> Tensor:
    """Cumulative distribution function of the standard normal distribution.

    >>> import tensorgrad as tg
    >>> tg.special.ndtr([0.0, 1.0])
    Tensor([0.5       , 0.84134475], dtype=float64)
    """


# The density over the distribution function: both vanish to the left, but their ratio is a constant over erfcx.
@unary(scipy("log_ndtr"), lambda xp, g, x: g * (2 / _ROOT_TWO_PI) / xp.special.erfcx(-_ROOT_HALF * x))
def log_ndtr(x: TensorLike, /) -> Tensor:
    """``log(ndtr(x))``, accurate even far to the left.

    >>> import tensorgrad as tg
    >>> tg.special.log_ndtr([0.0, -100.0])
    Tensor([-6.93147181e-01, -5.00552421e+03], dtype=float64)
    """


@unary(scipy("ndtri"), lambda xp, g, out: g * _ROOT_TWO_PI * xp.exp(0.5 * out * out))
def ndtri(x: TensorLike, /) -> Tensor:
    """Inverse of :func:`ndtr`, the quantiles of the standard normal distribution: infinite at 0 and 1.

    >>> import tensorgrad as tg
    >>> tg.special.ndtri([0.5, 0.975])
    Tensor([0.        , 1.95996398], dtype=float64)
    """
