"""Bessel functions, of the first kind and modified, without a closed-form derivative with respect to the order."""

from __future__ import annotations

from typing import Any

from ..engine.record import Tensor, TensorLike, binary, unary
from ..ops.complexes import real_only
from ._scipy import no_closed_form, scipy

__all__ = ["i0", "i0e", "i1", "i1e", "iv", "ive", "j0", "j1", "jv"]

# Derivatives use the functions of neighbouring order (DLMF 10.6.1, 10.29.1): nothing is divided by x, so 0 is not a
# special case.


@unary(scipy("j0"), lambda xp, g, x: -g * xp.special.j1(x))
def j0(x: TensorLike, /) -> Tensor:
    """Bessel function of the first kind of order 0.

    >>> import tensorgrad as tg
    >>> tg.special.j0([0.0, 1.0])
    Tensor([1.        , 0.76519769], dtype=float64)
    """


@unary(scipy("j1"), lambda xp, g, x: 0.5 * g * (xp.special.j0(x) - xp.special.jv(2.0, x)))
def j1(x: TensorLike, /) -> Tensor:
    """Bessel function of the first kind of order 1.

    >>> import tensorgrad as tg
    >>> tg.special.j1([0.0, 1.0])
    Tensor([0.        , 0.44005059], dtype=float64)
    """


def _d_jv(xp: Any, g: Any, x: Any, y: Any) -> Any:
    return 0.5 * g * (xp.special.jv(x - 1, y) - xp.special.jv(x + 1, y))


@binary(scipy("jv"), no_closed_form("jv", "v"), _d_jv)
def jv(v: TensorLike, z: TensorLike, /) -> Tensor:
    """Bessel function of the first kind of real order v. Raises GraphError if a gradient for v is needed.

    >>> import tensorgrad as tg
    >>> tg.special.jv(2, [0.0, 1.0])
    Tensor([0.        , 0.11490348], dtype=float64)
    """


@unary(scipy("i0"), lambda xp, g, x: g * xp.special.i1(x))
def i0(x: TensorLike, /) -> Tensor:
    """Modified Bessel function of order 0.

    >>> import tensorgrad as tg
    >>> tg.special.i0([0.0, 1.0])
    Tensor([1.        , 1.26606588], dtype=float64)
    """


@unary(scipy("i1"), lambda xp, g, x: 0.5 * g * (xp.special.i0(x) + xp.special.iv(2.0, x)))
def i1(x: TensorLike, /) -> Tensor:
    """Modified Bessel function of order 1.

    >>> import tensorgrad as tg
    >>> tg.special.i1([0.0, 1.0])
    Tensor([0.       , 0.5651591], dtype=float64)
    """


def _d_iv(xp: Any, g: Any, x: Any, y: Any) -> Any:
    return 0.5 * g * (xp.special.iv(x - 1, y) + xp.special.iv(x + 1, y))


@binary(scipy("iv"), no_closed_form("iv", "v"), _d_iv)
def iv(v: TensorLike, z: TensorLike, /) -> Tensor:
    """Modified Bessel function of real order v. Raises GraphError if a gradient for v is needed.

    >>> import tensorgrad as tg
    >>> tg.special.iv(2, [0.0, 1.0])
    Tensor([0.        , 0.13574767], dtype=float64)
    """


@unary(scipy("i0e"), lambda xp, g, x, out: g * (xp.special.i1e(x) - xp.sign(x) * out))
def i0e(x: TensorLike, /) -> Tensor:
    """``exp(-abs(x)) i0(x)``, without overflow; the gradient at 0 is 0.

    >>> import tensorgrad as tg
    >>> tg.special.i0e([0.0, 1000.0])
    Tensor([1.        , 0.01261724], dtype=float64)
    """


def _d_i1e(xp: Any, g: Any, x: Any, out: Any) -> Any:
    return g * (0.5 * (xp.special.i0e(x) + xp.special.ive(2.0, x)) - xp.sign(x) * out)


@unary(scipy("i1e"), _d_i1e)
def i1e(x: TensorLike, /) -> Tensor:
    """``exp(-abs(x)) i1(x)``, without overflow.

    >>> import tensorgrad as tg
    >>> tg.special.i1e([0.0, 1000.0])
    Tensor([0.        , 0.01261093], dtype=float64)
    """


def _d_ive(xp: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    return g * (0.5 * (xp.special.ive(x - 1, y) + xp.special.ive(x + 1, y)) - xp.sign(y) * out)


@binary(real_only("ive", scipy("ive")), no_closed_form("ive", "v"), _d_ive)
def ive(v: TensorLike, z: TensorLike, /) -> Tensor:
    """``exp(-abs(z)) iv(v, z)``, without overflow. Raises GraphError if a gradient for v is needed.

    >>> import tensorgrad as tg
    >>> tg.special.ive(2, [0.0, 1000.0])
    Tensor([0.        , 0.01259202], dtype=float64)
    """
