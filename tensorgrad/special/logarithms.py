"""The logistic function and its inverse, entropies, and integrals of exponentials and logarithms."""

from __future__ import annotations

from typing import Any

from ..engine.record import Tensor, TensorLike, binary, unary
from ..ops.complexes import real_only
from ._scipy import scipy

__all__ = ["entr", "exp1", "expit", "logit", "rel_entr", "spence"]


@unary(scipy("expit"), lambda xp, g, x, out: g * out * xp.special.expit(-x))
def expit(x: TensorLike, /) -> Tensor:
    """Logistic function, ``1 / (1 + exp(-x))``: SciPy's name for :func:`tensorgrad.sigmoid`.

    Its gradient is accurate even where it rounds to 1.

    >>> import tensorgrad as tg
    >>> tg.special.expit([0.0, 1000.0])
    Tensor([0.5, 1. ], dtype=float64)
    """


@unary(scipy("logit"), lambda xp, g, x: g / (x * (1 - x)))
def logit(x: TensorLike, /) -> Tensor:
    """``log(x / (1 - x))``, the inverse of :func:`expit`: infinite at 0 and 1, NaN outside.

    >>> import tensorgrad as tg
    >>> tg.special.logit([0.5, 0.75])
    Tensor([0.        , 1.09861229], dtype=float64)
    """


@unary(scipy("entr"), lambda xp, g, x: -g * (xp.log(x) + 1))
def entr(x: TensorLike, /) -> Tensor:
    """``-x log(x)``; 0 at 0, with a gradient of inf, and -inf below.

    >>> import tensorgrad as tg
    >>> tg.special.entr([0.0, 0.5])
    Tensor([0.        , 0.34657359], dtype=float64)
    """


def _d_rel_entr_x(xp: Any, g: Any, x: Any, y: Any) -> Any:
    return g * (xp.log(x) - xp.log(y) + 1)


def _d_rel_entr_y(xp: Any, g: Any, x: Any, y: Any) -> Any:
    zero = (x == 0) & (y == 0)  # where the result is 0, and nothing is known of its neighbours
    return xp.where(zero, 0, -g * x / xp.where(zero, 1, y))


@binary(scipy("rel_entr"), _d_rel_entr_x, _d_rel_entr_y)
def rel_entr(x: TensorLike, y: TensorLike, /) -> Tensor:
    """``x log(x / y)``, a term of the relative entropy; 0 at x = 0, where the gradient for y is 0.

    >>> import tensorgrad as tg
    >>> tg.special.rel_entr([0.0, 0.5], 0.25)
    Tensor([0.        , 0.34657359], dtype=float64)
    """


@unary(scipy("exp1"), lambda xp, g, x: -g * xp.exp(-x) / x)
def exp1(x: TensorLike, /) -> Tensor:
    """Exponential integral E1, the integral of ``exp(-t) / t`` from x to infinity.

    >>> import tensorgrad as tg
    >>> tg.special.exp1([0.5, 1.0])
    Tensor([0.55977359, 0.21938393], dtype=float64)
    """


def _d_spence(xp: Any, g: Any, x: Any) -> Any:
    # log(x) / (1 - x). Near 1, where derivatives of the quotient suffer cancellation: log(x) = 2 arctanh(w) with
    # w = t / (2 + t) and t = x - 1, and the series of that.
    t = x - 1
    near = xp.abs(t) < 0.5
    close = xp.where(near, t, 0)
    w = close / (2 + close)
    square = w * w
    series = xp.zeros_like(t)
    for k in range(35, 0, -2):
        series = 1 / k + square * series
    away = xp.where(near, 1, t)
    return -g * xp.where(near, 2 * series / (2 + close), xp.log(xp.where(near, 1, x)) / away)


@unary(real_only("spence", scipy("spence")), _d_spence)
def spence(x: TensorLike, /) -> Tensor:
    """Spence's function, the integral of ``log(t) / (1 - t)`` from 1 to x: the dilogarithm of 1 - x.

    >>> import tensorgrad as tg
    >>> tg.special.spence([0.0, 1.0])
    Tensor([1.64493407, 0.        ], dtype=float64)
    """
