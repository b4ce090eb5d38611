"""Diagonals of matrices, and the triangles above and below them."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from ..engine.record import Tensor, TensorLike, record
from ..engine.shapes import normalised_axes
from ..errors import ShapeError
from .reductions import sum
from .shaping import ravel
from .views import shaped, view

__all__ = ["diag", "diagflat", "diagonal", "trace", "tril", "triu"]


def diagonal(x: TensorLike, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The diagonals of the matrices along two axes, as a new last axis: a view.

    ``offset`` counts to the right of the main diagonal, or below it if negative. Raises ShapeError unless there are
    two different axes.

    >>> import tensorgrad as tg
    >>> tg.diagonal([[1.0, 2.0], [3.0, 4.0]])
    Tensor([1., 4.], dtype=float64)
    """
    return _diagonal("diagonal", shaped(x, "diagonal"), index(offset), axis1, axis2)


def _diagonal(op: str, x: Any, offset: int, axis1: int, axis2: int) -> Tensor:
    shape = x.shape
    first, second = normalised_axes((axis1, axis2), len(shape), op)
    m, n = shape[first], shape[second]
    batch = tuple(length for i, length in enumerate(shape) if i not in (first, second))
    length = max(0, min(m, n - offset) if offset >= 0 else min(m + offset, n))
    start = offset if offset >= 0 else -offset * n
    # Row by row, the elements of a diagonal are n + 1 apart.
    key = (Ellipsis, slice(start, start + (length - 1) * (n + 1) + 1, n + 1) if length else slice(0, 0))

    def d_x(xp: Any, g: Any) -> Any:
        flat = xp.scatter(g, key, (*batch, m * n))
        return xp.moveaxis(xp.reshape(flat, (*batch, m, n)), (-2, -1), (first, second))

    return view(op, lambda a: np.diagonal(a, offset, first, second), x, d_x)


def diag(x: TensorLike, /, k: int = 0) -> Tensor:
    """For a vector, the matrix with it on a diagonal and zeros elsewhere; for a matrix, its diagonal.

    Raises ShapeError for any other number of axes.

    >>> import tensorgrad as tg
    >>> tg.diag([1.0, 2.0]).data.tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    """
    source = shaped(x, "diag")
    if len(source.shape) == 2:
        return _diagonal("diagonal", source, index(k), 0, 1)
    if len(source.shape) != 1:
        raise ShapeError(
            f"diag: expected a vector or a matrix, got shape {source.shape}; write diagonal(x, axis1=, axis2=)"
        )
    return record("diag", lambda a: np.diag(a, k), (source,), (lambda xp, g: xp.diagonal(g, k),))


def diagflat(x: TensorLike, /, k: int = 0) -> Tensor:
    """The matrix with all elements of an array on a diagonal, and zeros elsewhere.

    >>> import tensorgrad as tg
    >>> tg.diagflat([[1.0], [2.0]]).data.tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    """
    return diag(ravel(x), k)


def trace(x: TensorLike, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The sum along the :func:`diagonal` of the matrices along two axes.

    >>> import tensorgrad as tg
    >>> tg.trace([[1.0, 2.0], [3.0, 4.0]])
    Tensor(5., dtype=float64)
    """
    return sum(_diagonal("diagonal", shaped(x, "trace"), index(offset), axis1, axis2), axis=-1)


def _triangle(op: str, function: Any, x: TensorLike, k: int) -> Tensor:
    source = shaped(x, op)
    if not source.shape:
        raise ShapeError(f"{op}: expected matrices, got an array without axes")

    def d_x(xp: Any, g: Any) -> Any:
        return getattr(xp, op)(g, k)

    return record(op, lambda a: function(a, k), (source,), (d_x,))


def tril(x: TensorLike, /, k: int = 0) -> Tensor:
    """Matrices with zeros above the ``k``-th diagonal.

    >>> import tensorgrad as tg
    >>> tg.tril([[1.0, 2.0], [3.0, 4.0]]).data.tolist()
    [[1.0, 0.0], [3.0, 4.0]]
    """
    return _triangle("tril", np.tril, x, k)


def triu(x: TensorLike, /, k: int = 0) -> Tensor:
    """Matrices with zeros below the ``k``-th diagonal.

    >>> import tensorgrad as tg
    >>> tg.triu([[1.0, 2.0], [3.0, 4.0]]).data.tolist()
    [[1.0, 2.0], [0.0, 4.0]]
    """
    return _triangle("triu", np.triu, x, k)
