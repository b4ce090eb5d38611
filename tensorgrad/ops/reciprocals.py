"""Reciprocals of the trigonometric and hyperbolic functions, and their inverses.

For complex numbers, ``sqrt(x * x)`` stands where textbooks have ``abs(x)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine import arrays
from ..engine.record import Tensor, TensorLike, quiet, unary
from .trigonometry import root_of_one_and_square

__all__ = ["arccot", "arccoth", "arccsc", "arccsch", "arcsec", "arcsech", "cot", "coth", "csc", "csch", "sec", "sech"]


def _arccot(a: Any) -> Any:
    # arctan2 is accurate for small angles.
    return np.pi / 2 - np.arctan(a) if np.iscomplexobj(a) else np.arctan2(1, a)


@unary(quiet(lambda a: np.divide(1, np.sin(a))), lambda xp, g, x, out: -g * out * out * xp.cos(x))
def csc(x: TensorLike, /) -> Tensor:
    """Cosecant, ``1 / sin(x)``.

    >>> import tensorgrad as tg
    >>> tg.csc([1.0, 2.0])
    Tensor([1.18839511, 1.09975017], dtype=float64)
    """


@unary(quiet(lambda a: np.divide(1, np.cos(a))), lambda xp, g, x, out: g * out * out * xp.sin(x))
def sec(x: TensorLike, /) -> Tensor:
    """Secant, ``1 / cos(x)``.

    >>> import tensorgrad as tg
    >>> tg.sec([0.0, 1.0])
    Tensor([1.        , 1.85081572], dtype=float64)
    """


@unary(quiet(lambda a: np.divide(np.cos(a), np.sin(a))), lambda xp, g, out: -g * (1 + out * out))
def cot(x: TensorLike, /) -> Tensor:
    """Cotangent, ``cos(x) / sin(x)``.

    >>> import tensorgrad as tg
    >>> tg.cot([1.0, 2.0])
    Tensor([ 0.64209262, -0.45765755], dtype=float64)
    """


@unary(quiet(arrays.csch), lambda xp, g, x, out: -g * out / xp.tanh(x))
def csch(x: TensorLike, /) -> Tensor:
    """Hyperbolic cosecant, ``1 / sinh(x)``.

    >>> import tensorgrad as tg
    >>> tg.csch([1.0, 1000.0])
    Tensor([0.85091813, 0.        ], dtype=float64)
    """


@unary(quiet(arrays.sech), lambda xp, g, x, out: -g * out * xp.tanh(x))
def sech(x: TensorLike, /) -> Tensor:
    """Hyperbolic secant, ``1 / cosh(x)``.

    >>> import tensorgrad as tg
    >>> tg.sech([0.0, 1000.0])
    Tensor([1., 0.], dtype=float64)
    """


@unary(quiet(lambda a: np.divide(1, np.tanh(a))), lambda xp, g, x: -g * xp.square(xp.csch(x)))
def coth(x: TensorLike, /) -> Tensor:
    """Hyperbolic cotangent, ``1 / tanh(x)``.

    >>> import tensorgrad as tg
    >>> tg.coth([1.0, 1000.0])
    Tensor([1.31303529, 1.        ], dtype=float64)
    """


def _size(xp: Any, x: Any) -> Any:
    return xp.sqrt(x * x) if x.dtype.kind == "c" else xp.abs(x)


def _d_arcsec(xp: Any, g: Any, x: Any) -> Any:
    if x.dtype.kind == "c":
        return g / (_size(xp, x) * xp.sqrt((x - 1) * (x + 1)))
    size = xp.abs(x)
    return g / size / (xp.sqrt(size - 1) * xp.sqrt(size + 1))


def _d_arccsch(xp: Any, g: Any, x: Any) -> Any:
    return -g / _size(xp, x) / root_of_one_and_square(xp, x)


@unary(quiet(lambda a: np.arcsin(np.divide(1, a))), lambda xp, g, x: _d_arcsec(xp, -g, x))
def arccsc(x: TensorLike, /) -> Tensor:
    """Inverse cosecant, ``arcsin(1 / x)``; NaN inside (-1, 1), and its gradient is -inf at the ends.

    >>> import tensorgrad as tg
    >>> tg.arccsc([1.0, 2.0])
    Tensor([1.57079633, 0.52359878], dtype=float64)
    """


@unary(quiet(lambda a: np.arccos(np.divide(1, a))), _d_arcsec)
def arcsec(x: TensorLike, /) -> Tensor:
    """Inverse secant, ``arccos(1 / x)``; NaN inside (-1, 1), and its gradient is inf at the ends.

    >>> import tensorgrad as tg
    >>> tg.arcsec([1.0, 2.0])
    Tensor([0.        , 1.04719755], dtype=float64)
    """


@unary(quiet(_arccot), lambda xp, g, x: -g / (1 + x * x))
def arccot(x: TensorLike, /) -> Tensor:
    """Inverse cotangent in (0, pi), ``pi / 2 - arctan(x)``, without a jump at 0.

    >>> import tensorgrad as tg
    >>> tg.arccot([0.0, 1.0])
    Tensor([1.57079633, 0.78539816], dtype=float64)
    """


@unary(quiet(lambda a: np.arcsinh(np.divide(1, a))), _d_arccsch)
def arccsch(x: TensorLike, /) -> Tensor:
    """Inverse hyperbolic cosecant, ``arcsinh(1 / x)``; infinite at 0.

    >>> import tensorgrad as tg
    >>> tg.arccsch([1.0, 2.0])
    Tensor([0.88137359, 0.48121183], dtype=float64)
    """


@unary(quiet(lambda a: np.arccosh(np.divide(1, a))), lambda xp, g, x: -g / (x * xp.sqrt((1 - x) * (1 + x))))
def arcsech(x: TensorLike, /) -> Tensor:
    """Inverse hyperbolic secant, ``arccosh(1 / x)``; NaN outside [0, 1], and its gradient is -inf at the ends.

    >>> import tensorgrad as tg
    >>> tg.arcsech([1.0, 0.5])
    Tensor([0.       , 1.3169579], dtype=float64)
    """


@unary(quiet(lambda a: np.arctanh(np.divide(1, a))), lambda xp, g, x: g / ((1 - x) * (1 + x)))
def arccoth(x: TensorLike, /) -> Tensor:
    """Inverse hyperbolic cotangent, ``arctanh(1 / x)``; NaN inside (-1, 1), infinite at the ends.

    >>> import tensorgrad as tg
    >>> tg.arccoth([2.0, 3.0])
    Tensor([0.54930614, 0.34657359], dtype=float64)
    """
