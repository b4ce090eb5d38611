"""Rounding and signs: their gradient is zero, and recorded as such."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..record import TensorLike, record, unary
from .complexes import real_only

if TYPE_CHECKING:
    from ..tensor import Tensor


def _d_sign(xp: Any, g: Any, x: Any) -> Any:
    if x.dtype.kind != "c":
        return xp.zeros_like(g)
    # The direction of a complex number turns with what is across it: i times a real multiple of the sign itself.
    out = xp.sign(x)
    return (g - xp.real(g * out) * xp.conj(out)) / xp.where(x == 0, np.inf, xp.abs(x))


@unary(np.sign, _d_sign)
def sign(x: TensorLike, /) -> Tensor:
    """-1, 0 or 1, with a gradient of 0 everywhere; of a complex number ``x / abs(x)``, with a gradient of 0 at 0.

    >>> import tensorgrad as tg
    >>> tg.sign([-3.0, 0.0, 2.0])
    Tensor([-1.,  0.,  1.], dtype=float64)
    """


@unary(real_only("floor", np.floor), lambda xp, g: xp.zeros_like(g))
def floor(x: TensorLike, /) -> Tensor:
    """The next integer below; the gradient is 0 everywhere.

    >>> import tensorgrad as tg
    >>> tg.floor([-1.5, 1.5])
    Tensor([-2.,  1.], dtype=float64)
    """


@unary(real_only("ceil", np.ceil), lambda xp, g: xp.zeros_like(g))
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
