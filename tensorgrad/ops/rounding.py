"""Rounding and signs: their gradient is zero, and recorded as such."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..record import TensorLike, record, unary

if TYPE_CHECKING:
    from ..tensor import Tensor


@unary(np.sign, lambda xp, g: xp.zeros_like(g))
def sign(x: TensorLike, /) -> Tensor:
    """-1, 0 or 1; the gradient is 0 everywhere.

    >>> import tensorgrad as tg
    >>> tg.sign([-3.0, 0.0, 2.0])
    Tensor([-1.,  0.,  1.], dtype=float64)
    """


@unary(np.floor, lambda xp, g: xp.zeros_like(g))
def floor(x: TensorLike, /) -> Tensor:
    """The next integer below; the gradient is 0 everywhere.

    >>> import tensorgrad as tg
    >>> tg.floor([-1.5, 1.5])
    Tensor([-2.,  1.], dtype=float64)
    """


@unary(np.ceil, lambda xp, g: xp.zeros_like(g))
def ceil(x: TensorLike, /) -> Tensor:
    """The next integer above; the gradient is 0 everywhere.

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


@unary(np.zeros_like, lambda xp, g: xp.zeros_like(g))
def zeros_like(x: TensorLike, /) -> Tensor:
    """Zeros with the shape and dtype of ``x``.

    >>> import tensorgrad as tg
    >>> tg.zeros_like([1.0, 2.0])
    Tensor([0., 0.], dtype=float64)
    """
