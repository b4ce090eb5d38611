"""Exponentials and logarithms, one number at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..record import TensorLike, binary, quiet, unary
from .complexes import real_only

if TYPE_CHECKING:
    from ..tensor import Tensor


@unary(quiet(np.exp), lambda xp, g, out: g * out)
def exp(x: TensorLike, /) -> Tensor:
    """Exponential.

    >>> import tensorgrad as tg
    >>> tg.exp([0.0, 1.0])
    Tensor([1.        , 2.71828183], dtype=float64)
    """


@unary(quiet(np.expm1), lambda xp, g, x: g * xp.exp(x))
def expm1(x: TensorLike, /) -> Tensor:
    """``exp(x) - 1``, exact near 0.

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
    """``log(1 + x)``, exact near 0.

    >>> import tensorgrad as tg
    >>> tg.log1p([0.0, 1e-20])
    Tensor([0.e+00, 1.e-20], dtype=float64)
    """


@binary(
    quiet(real_only("logaddexp", np.logaddexp)),
    lambda xp, g, x, y: g / (1 + xp.exp(y - x)),
    lambda xp, g, x, y: g / (1 + xp.exp(x - y)),
)
def logaddexp(x: TensorLike, y: TensorLike, /) -> Tensor:
    """``log(exp(x) + exp(y))`` without overflow.

    >>> import tensorgrad as tg
    >>> tg.logaddexp([1000.0], [1000.0])
    Tensor([1000.69314718], dtype=float64)
    """
