"""Elementwise exponentials and logarithms, and functions built from them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.record import Tensor, TensorLike, binary, quiet, unary
from .complexes import real_only
from .tails import over_one_and_exp

__all__ = [
    "exp",
    "exp2",
    "expm1",
    "i0",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "sinc",
    "xlog1py",
    "xlogy",
]

_LN2 = math.log(2)
_LN10 = math.log(10)


@unary(quiet(np.exp), lambda xp, g, out: g * out)
def exp(x: TensorLike, /) -> Tensor:
    """Exponential.

    >>> import tensorgrad as tg
    >>> tg.exp([0.0, 1.0])
    Tensor([1.        , 2.71828183], dtype=float64)
    """


@unary(quiet(np.expm1), lambda xp, g, x: g * xp.exp(x))
def expm1(x: TensorLike, /) -> Tensor:
    """``exp(x) - 1``, accurate near 0.

    >>> import tensorgrad as tg
    >>> tg.expm1([0.0, 1e-20])
    Tensor([0.e+00, 1.e-20], dtype=float64)
    """


@unary(quiet(np.log), lambda xp, g, x: g / x)
def log(x: TensorLike, /) -> Tensor:
    """Natural logarithm; -inf at 0, NaN below.

    >>> import tensorgrad as tg
    >>> tg.log([1.0, 10.0])
    Tensor([0.        , 2.30258509], dtype=float64)
    """


@unary(quiet(np.log1p), lambda xp, g, x: g / (1 + x))
def log1p(x: TensorLike, /) -> Tensor:
    """``log(1 + x)``, accurate near 0.

    >>> import tensorgrad as tg
    >>> tg.log1p([0.0, 1e-20])
    Tensor([0.e+00, 1.e-20], dtype=float64)
    """


@binary(
    quiet(real_only("logaddexp", np.logaddexp)),
    lambda xp, g, x, y: over_one_and_exp(xp, g, y - x),
    lambda xp, g, x, y: over_one_and_exp(xp, g, x - y),
)
def logaddexp(x: TensorLike, y: TensorLike, /) -> Tensor:
    """``log(exp(x) + exp(y))`` without overflow.

    >>> import tensorgrad as tg
    >>> tg.logaddexp([1000.0], [1000.0])
    Tensor([1000.69314718], dtype=float64)
    """


@unary(quiet(np.exp2), lambda xp, g, out: g * out * _LN2)
def exp2(x: TensorLike, /) -> Tensor:
    """``2 ** x``.

    >>> import tensorgrad as tg
    >>> tg.exp2([0.0, 3.0])
    Tensor([1., 8.], dtype=float64)
    """


@unary(quiet(np.log2), lambda xp, g, x: g / (x * _LN2))
def log2(x: TensorLike, /) -> Tensor:
    """Logarithm to base 2; -inf at 0, NaN below.

    >>> import tensorgrad as tg
    >>> tg.log2([1.0, 8.0])
    Tensor([0., 3.], dtype=float64)
    """


@unary(quiet(np.log10), lambda xp, g, x: g / (x * _LN10))
def log10(x: TensorLike, /) -> Tensor:
    """Logarithm to base 10; -inf at 0, NaN below.

    >>> import tensorgrad as tg
    >>> tg.log10([1.0, 1000.0])
    Tensor([0., 3.], dtype=float64)
    """


@binary(
    quiet(real_only("logaddexp2", np.logaddexp2)),
    lambda xp, g, x, y: over_one_and_exp(xp, g, _LN2 * (y - x)),
    lambda xp, g, x, y: over_one_and_exp(xp, g, _LN2 * (x - y)),
)
def logaddexp2(x: TensorLike, y: TensorLike, /) -> Tensor:
    """``log2(2**x + 2**y)`` without overflow.

    >>> import tensorgrad as tg
    >>> tg.logaddexp2([1000.0], [1000.0])
    Tensor([1001.], dtype=float64)
    """


# --- products with a logarithm --------------------------------------------------------------------------
#
# x log(y) is 0 at x = 0 even where the logarithm is infinite or NaN: there it counts as a constant, with gradient 0.


def _times(op: str, log: Any, one: float) -> Any:
    def forward(x: Any, y: Any) -> Any:
        out = x * log(np.where((x == 0) & (y == y), one, y))
        return out.astype(np.result_type(x, y, 0.0), copy=False)  # np.where made a scalar a float64

    return quiet(real_only(op, forward))


def _xlogy_dx(xp: Any, g: Any, x: Any, y: Any) -> Any:
    dead = (x == 0) & (y <= 0)
    return xp.where(dead, 0, g * xp.log(xp.where(dead, 1, y)))


def _xlogy_dy(xp: Any, g: Any, x: Any, y: Any) -> Any:
    dead = (x == 0) & (y <= 0)
    return xp.where(dead, 0, g * (x / xp.where(dead, 1, y)))


@binary(_times("xlogy", np.log, 1), _xlogy_dx, _xlogy_dy)
def xlogy(x: TensorLike, y: TensorLike, /) -> Tensor:
    """``x * log(y)``, and 0 where x is 0, for any y but NaN.

    Where x is 0 and y is not positive, all gradients are 0, so that of ``xlogy(p, p)`` is never infinite.

    >>> import tensorgrad as tg
    >>> tg.xlogy([0.0, 2.0], [0.0, 1.0])
    Tensor([0., 0.], dtype=float64)
    """


def _xlog1py_dx(xp: Any, g: Any, x: Any, y: Any) -> Any:
    dead = (x == 0) & (y <= -1)
    return xp.where(dead, 0, g * xp.log1p(xp.where(dead, 0, y)))


def _xlog1py_dy(xp: Any, g: Any, x: Any, y: Any) -> Any:
    dead = (x == 0) & (y <= -1)
    return xp.where(dead, 0, g * (x / (1 + xp.where(dead, 0, y))))


@binary(_times("xlog1py", np.log1p, 0), _xlog1py_dx, _xlog1py_dy)
def xlog1py(x: TensorLike, y: TensorLike, /) -> Tensor:
    """``x * log1p(y)``, and 0 where x is 0, for any y but NaN.

    Where x is 0 and y is not above -1, all gradients are 0.

    >>> import tensorgrad as tg
    >>> tg.xlog1py([0.0, 2.0], [-1.0, 1e-20])
    Tensor([0.e+00, 2.e-20], dtype=float64)
    """


# --- others ---------------------------------------------------------------------------------------------


def _sinc(a: Any) -> Any:
    z = np.multiply(np.pi, a)
    zero = z == 0
    return np.where(zero, 1, np.sin(z) / np.where(zero, 1, z))


def _d_sinc(xp: Any, g: Any, x: Any) -> Any:
    # Far from 0 it is (cos(z) - sin(z) / z) / x, z = pi x. Near 0 that is a difference of nearly equal numbers; nine
    # terms of its series, the sum of (-1)^k 2k z^(2k-1) / (2k+1)! for k > 0, give full precision for |z| < 1.
    z = np.pi * x
    near = xp.abs(z) < 1
    square = xp.where(near, z * z, 0)
    series = xp.zeros_like(square)
    for k in range(9, 0, -1):
        series = series * square + (-1) ** k * 2 * k / math.factorial(2 * k + 1)
    far = xp.where(near, 1, z)
    return g * np.pi * xp.where(near, series * z, (xp.cos(far) - xp.sin(far) / far) / far)


@unary(quiet(_sinc), _d_sinc)
def sinc(x: TensorLike, /) -> Tensor:
    """``sin(pi x) / (pi x)``, and 1 at 0, with derivatives of any order there.

    >>> import tensorgrad as tg
    >>> tg.sinc([0.0, 0.5])
    Tensor([1.        , 0.63661977], dtype=float64)
    """


def _i0(a: Any) -> Any:
    if getattr(a, "dtype", None) == np.float16:
        return np.i0(a.astype(np.float32)).astype(np.float16)
    return np.i0(a)


@unary(quiet(real_only("i0", _i0)), lambda xp, g, x: g * xp.special.i1(x))
def i0(x: TensorLike, /) -> Tensor:
    """Modified Bessel function of the first kind, of order 0. Its gradient, the function of order 1, needs SciPy.

    >>> import tensorgrad as tg
    >>> tg.i0([0.0, 1.0])
    Tensor([1.        , 1.26606588], dtype=float64)
    """
