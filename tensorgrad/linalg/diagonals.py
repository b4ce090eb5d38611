"""Diagonals and traces of matrices along the last two axes, as the array API standard has them."""

from __future__ import annotations

from numpy.typing import DTypeLike

from ..engine.record import Tensor, TensorLike
from ..ops import diagonals
from ..ops.shaping import astype
from .matrices import matrices

__all__ = ["diagonal", "trace"]


def diagonal(x: TensorLike, /, *, offset: int = 0) -> Tensor:
    """The diagonals of matrices (..., m, n), as a new last axis: a view.

    ``offset`` counts to the right of the main diagonal, or below it if negative. Raises ShapeError for fewer than two
    axes.

    >>> import tensorgrad as tg
    >>> tg.linalg.diagonal([[1.0, 2.0], [3.0, 4.0]])
    Tensor([1., 4.], dtype=float64)
    """
    return diagonals.diagonal(matrices(x, "diagonal"), offset, -2, -1)


def trace(x: TensorLike, /, *, offset: int = 0, dtype: DTypeLike | None = None) -> Tensor:
    """The sums along the :func:`diagonal` of matrices (..., m, n).

    Raises ShapeError for fewer than two axes.

    >>> import tensorgrad as tg
    >>> tg.linalg.trace([[1.0, 2.0], [3.0, 4.0]])
    Tensor(5., dtype=float64)
    """
    source = matrices(x, "trace")
    return diagonals.trace(source if dtype is None else astype(source, dtype), offset, -2, -1)
