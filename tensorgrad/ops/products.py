"""Products of matrices and vectors."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..engine.record import Handle, Tensor, TensorLike, record
from ..engine.shapes import broadcast_error
from ..errors import ShapeError
from .arithmetic import multiply
from .axes import moveaxis
from .shaping import reshape
from .sparse import is_sparse, sparse_product
from .views import shaped

__all__ = ["dot", "matmul", "outer"]

Shape = tuple[int, ...]


# Rules for each combination of numbers of axes. The engine sums over batches that were broadcast.


def _d_x_matrices(xp: Any, g: Any, y: Any) -> Any:
    return xp.matmul(g, xp.transpose(y))


def _d_y_matrices(xp: Any, g: Any, x: Any) -> Any:
    return xp.matmul(xp.transpose(x), g)


def _d_x_batches(xp: Any, g: Any, y: Any) -> Any:
    return xp.matmul(g, xp.swapaxes(y, -1, -2))


def _d_y_batches(xp: Any, g: Any, x: Any) -> Any:
    return xp.matmul(xp.swapaxes(x, -1, -2), g)


def _d_y_shared(xp: Any, g: Any, x: Any) -> Any:
    # One matrix for all batches: a single product, instead of one per batch and their sum.
    count = prod(x.shape[:-1])
    rows = xp.reshape(x, (count, x.shape[-1]))
    return xp.matmul(xp.transpose(rows), xp.reshape(g, (count, g.shape[-1])))


def _d_x_row(xp: Any, g: Any, y: Any) -> Any:
    return xp.reshape(xp.matmul(y, g[..., None]), y.shape[:-1])


def _d_y_row(xp: Any, g: Any, x: Any) -> Any:
    return x[:, None] * g[..., None, :]


def _d_x_column(xp: Any, g: Any, y: Any) -> Any:
    return g[..., None] * y


def _d_y_column(xp: Any, g: Any, x: Any) -> Any:
    return xp.reshape(xp.matmul(xp.swapaxes(x, -1, -2), g[..., None]), (*x.shape[:-2], x.shape[-1]))


def _d_x_vectors(xp: Any, g: Any, y: Any) -> Any:
    return g * y


def _d_y_vectors(xp: Any, g: Any, x: Any) -> Any:
    return g * x


_MATRICES = (_d_x_matrices, _d_y_matrices)
_SHARED = (_d_x_batches, _d_y_shared)
_BATCHES = (_d_x_batches, _d_y_batches)
_ROW = (_d_x_row, _d_y_row)
_COLUMN = (_d_x_column, _d_y_column)
_VECTORS = (_d_x_vectors, _d_y_vectors)
_DENSE = (Handle, np.ndarray)


def _product(op: str, forward: Any, x: Any, y: Any) -> Tensor:
    a: Shape = x.shape
    b: Shape = y.shape
    if not a or not b:
        raise ShapeError(f"{op}: shapes {a} and {b}: both need at least one axis; write x * y to scale")
    inner = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner:
        raise ShapeError(
            f"{op}: shapes {a} and {b} do not match: {a[-1]} != {inner} (the last axis of the first is summed "
            f"with the {'second to last' if len(b) > 1 else 'only'} axis of the second)"
        )
    if len(a) == 2 and len(b) == 2:
        rules = _MATRICES
    elif len(a) == 1:
        rules = _VECTORS if len(b) == 1 else _ROW
    elif len(b) == 1:
        rules = _COLUMN
    else:
        rules = _SHARED if len(b) == 2 else _BATCHES
        error = broadcast_error(op, a[:-2], b[:-2])
        if error is not None:
            raise ShapeError(f"{op}: shapes {a} and {b} do not match in their batches: {error}")
    return record(op, forward, (x, y), rules)


def matmul(x: TensorLike, y: TensorLike, /) -> Tensor:
    """Matrix product, ``x @ y``: (..., n, k) by (..., k, m) gives (..., n, m); batches broadcast.

    A vector stands for a row on the left and a column on the right, and its axis is left out of the result.
    Either may be a sparse matrix of SciPy's, which is a constant; the other gets its gradient. Raises ShapeError if
    the inner lengths differ.

    >>> import tensorgrad as tg
    >>> tg.matmul([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
    Tensor([3., 7.], dtype=float64)
    """
    if not (isinstance(x, _DENSE) and isinstance(y, _DENSE)) and (is_sparse(x) or is_sparse(y)):
        return sparse_product(x, y)
    return _product("matmul", np.matmul, shaped(x, "matmul"), shaped(y, "matmul"))


def dot(x: TensorLike, y: TensorLike, /) -> Tensor:
    """NumPy's dot: the sum of products over the last axis of x and the second to last (or only) axis of y.

    For vectors and matrices it is :func:`matmul`; a scalar scales the other; with more axes, x's remaining axes
    come first in the result, then y's. Raises ShapeError if the lengths differ.

    >>> import tensorgrad as tg
    >>> tg.dot([1.0, 2.0], [3.0, 4.0])
    Tensor(11., dtype=float64)
    """
    left, right = shaped(x, "dot"), shaped(y, "dot")
    a: Shape = left.shape
    b: Shape = right.shape
    if not a or not b:
        return multiply(left, right)
    if len(b) <= 2:
        return _product("dot", np.dot, left, right)
    if a[-1] != b[-2]:
        raise ShapeError(f"dot: shapes {a} and {b} do not match: {a[-1]} != {b[-2]}")
    columns = reshape(moveaxis(right, -2, 0), (b[-2], prod(b[:-2]) * b[-1]))
    return reshape(_product("dot", np.dot, left, columns), a[:-1] + b[:-2] + b[-1:])


def outer(x: TensorLike, y: TensorLike, /) -> Tensor:
    """Every element of x times every element of y, as a matrix.

    >>> import tensorgrad as tg
    >>> tg.outer([1.0, 2.0], [3.0, 4.0]).data.tolist()
    [[3.0, 4.0], [6.0, 8.0]]
    """
    left, right = shaped(x, "outer"), shaped(y, "outer")
    a: Shape = left.shape
    b: Shape = right.shape

    def d_x(xp: Any, g: Any, y: Any) -> Any:
        return xp.reshape(xp.matmul(g, xp.reshape(y, (-1,))), a)

    def d_y(xp: Any, g: Any, x: Any) -> Any:
        return xp.reshape(xp.matmul(xp.reshape(x, (-1,)), g), b)

    return record("outer", np.outer, (left, right), (d_x, d_y))
