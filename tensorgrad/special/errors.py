"""The error function, its relatives, and the normal distribution."""

from __future__ import annotations

import math

from ..engine.record import Tensor, TensorLike, unary
from ._scipy import scipy

__all__ = ["erf", "erfc", "erfcx", "erfinv", "log_ndtr", "ndtr", "ndtri"]

_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)
_ROOT_TWO_PI = math.sqrt(2 * math.pi)
_ROOT_HALF = math.sqrt(0.5)


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


@unary(scipy("erfcx"), lambda xp, g, x, out: g * (2 * x * out - _TWO_OVER_ROOT_PI))
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
