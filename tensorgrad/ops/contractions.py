"""Products over chosen axes, of vectors along an axis, and of every element with every other."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..engine.arrays import arange_like, is_foreign
from ..engine.record import Tensor, TensorLike, record
from ..engine.shapes import broadcast_error, normalised_axes, normalised_axis
from ..errors import ShapeError
from .arithmetic import multiply, subtract
from .axes import moveaxis
from .complexes import conj
from .indexing import getitem
from .joining import concatenate
from .shaping import ravel
from .views import shaped

__all__ = ["cross", "inner", "kron", "matvec", "tensordot", "vander", "vdot", "vecdot", "vecmat"]

Shape = tuple[int, ...]


# --- over axes ------------------------------------------------------------------------------------------


def _paired(axes: Any, a: Shape, b: Shape) -> tuple[Shape, Shape]:
    """The axes of each operand that are summed over, in pairs."""
    if isinstance(axes, Sequence):
        if len(axes) != 2:
            raise ShapeError(f"tensordot: axes must be a number or a pair, (x's axes, y's axes), got {axes!r}")
        return normalised_axes(axes[0], len(a), "tensordot"), normalised_axes(axes[1], len(b), "tensordot")
    if not 0 <= axes <= min(len(a), len(b)):
        raise ShapeError(f"tensordot: shapes {a} and {b} do not both have {axes} axes to sum over")
    return tuple(range(len(a) - axes, len(a))), tuple(range(axes))


def _back(xp: Any, result: Any, names: Sequence[int]) -> Any:
    """Put the axes of a gradient, which are in the order ``names``, back in the operand's order."""
    return xp.transpose(result, tuple(sorted(range(len(names)), key=names.__getitem__)))


def _contracted(op: str, x: Any, y: Any, left: Shape, right: Shape) -> Tensor:
    a: Shape = x.shape
    b: Shape = y.shape
    if len(left) != len(right):
        raise ShapeError(f"{op}: got {len(left)} axes of the first, {left}, but {len(right)} of the second, {right}")
    for i, j in zip(left, right):
        if a[i] != b[j]:
            raise ShapeError(
                f"{op}: shapes {a} and {b} do not match: {a[i]} != {b[j]} (axis {i} of the first is summed with "
                f"axis {j} of the second)"
            )
    rest_a = tuple(i for i in range(len(a)) if i not in left)
    rest_b = tuple(j for j in range(len(b)) if j not in right)
    first = tuple(range(len(rest_a)))
    last = tuple(range(len(rest_a), len(rest_a) + len(rest_b)))

    # The remaining axes of an operand come in that operand's order.
    def d_x(xp: Any, g: Any, y: Any) -> Any:
        result = xp.tensordot(g, y, (last, rest_b))
        return _back(xp, result, (*rest_a, *(left[right.index(j)] for j in sorted(right))))

    def d_y(xp: Any, g: Any, x: Any) -> Any:
        result = xp.tensordot(x, g, (rest_a, first))
        return _back(xp, result, (*(right[left.index(i)] for i in sorted(left)), *rest_b))

    return record(op, lambda a, b: np.tensordot(a, b, (left, right)), (x, y), (d_x, d_y))


def tensordot(x: TensorLike, y: TensorLike, /, axes: int | Sequence[Any] = 2) -> Tensor:
    """Sum of products over pairs of axes: x's other axes come first in the result, then y's.

    ``axes`` is the number of x's last axes paired with y's first, or two sequences: x's axes and y's. Raises
    ShapeError if paired axes differ in length.

    >>> import tensorgrad as tg
    >>> tg.tensordot([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0]], axes=([1], [1]))
    Tensor([[ 5.],
            [11.]], dtype=float64)
    """
    left, right = shaped(x, "tensordot"), shaped(y, "tensordot")
    return _contracted("tensordot", left, right, *_paired(axes, left.shape, right.shape))


def inner(x: TensorLike, y: TensorLike, /) -> Tensor:
    """Sum of products over the last axis of each; a scalar scales the other.

    Raises ShapeError if the lengths differ.

    >>> import tensorgrad as tg
    >>> tg.inner([1.0, 2.0], [[3.0, 4.0], [5.0, 6.0]])
    Tensor([11., 17.], dtype=float64)
    """
    left, right = shaped(x, "inner"), shaped(y, "inner")
    if not left.shape or not right.shape:
        return multiply(left, right)
    return _contracted("inner", left, right, (len(left.shape) - 1,), (len(right.shape) - 1,))


def kron(x: TensorLike, y: TensorLike, /) -> Tensor:
    """Kronecker product: every element of x becomes a block, that element times y.

    >>> import tensorgrad as tg
    >>> tg.kron([1.0, 10.0], [1.0, 2.0])
    Tensor([ 1.,  2., 10., 20.], dtype=float64)
    """
    left, right = shaped(x, "kron"), shaped(y, "kron")
    a: Shape = left.shape
    b: Shape = right.shape
    ndim = max(len(a), len(b))
    wide_a = (1,) * (ndim - len(a)) + a
    wide_b = (1,) * (ndim - len(b)) + b
    blocks = tuple(n for pair in zip(wide_a, wide_b) for n in pair)
    even, odd = tuple(range(0, 2 * ndim, 2)), tuple(range(1, 2 * ndim, 2))
    every = tuple(range(ndim))

    def d_x(xp: Any, g: Any, y: Any) -> Any:
        return xp.reshape(xp.tensordot(xp.reshape(g, blocks), xp.reshape(y, wide_b), (odd, every)), a)

    def d_y(xp: Any, g: Any, x: Any) -> Any:
        return xp.reshape(xp.tensordot(xp.reshape(x, wide_a), xp.reshape(g, blocks), (every, even)), b)

    return record("kron", np.kron, (left, right), (d_x, d_y))


# --- of vectors -----------------------------------------------------------------------------------------


def _check_pair(op: str, x: Any, y: Any, vectors: tuple[int, int]) -> None:
    """Raise ShapeError if the operands do not match; ``vectors`` counts the axes of each that are multiplied."""
    a: Shape = x.shape
    b: Shape = y.shape
    for shape, count in ((a, vectors[0]), (b, vectors[1])):
        if len(shape) < count:
            raise ShapeError(f"{op}: shapes {a} and {b}: {shape} has {len(shape)} axes, but needs {count}")
    n = a[-1]
    m = b[-2] if vectors == (1, 2) else b[-1]
    if n != m:
        raise ShapeError(f"{op}: shapes {a} and {b} do not match: {n} != {m}")
    error = broadcast_error(op, a[: len(a) - vectors[0]], b[: len(b) - vectors[1]])
    if error is not None:
        raise ShapeError(f"{op}: shapes {a} and {b} do not match in their batches: {error}")


def _conjugated(x: Any) -> Any:
    return conj(x) if x.dtype.kind == "c" else x


def vecdot(x: TensorLike, y: TensorLike, /, *, axis: int = -1) -> Tensor:
    """Sum of products of vectors along one axis of each; all other axes broadcast. A complex x is conjugated.

    Raises ShapeError if the lengths differ.

    >>> import tensorgrad as tg
    >>> tg.vecdot([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
    Tensor([3., 7.], dtype=float64)
    """
    left, right = shaped(x, "vecdot"), shaped(y, "vecdot")
    if axis != -1 and left.shape and right.shape:
        left = moveaxis(left, normalised_axis(axis, len(left.shape), "vecdot"), -1)
        right = moveaxis(right, normalised_axis(axis, len(right.shape), "vecdot"), -1)
    _check_pair("vecdot", left, right, (1, 1))

    def forward(a: Any, b: Any) -> Any:
        if is_foreign(a):
            return np.sum(np.multiply(a, b), axis=-1)
        return np.vecdot(np.conj(a) if a.dtype.kind == "c" else a, b)  # vecdot conjugates a again

    def d_x(xp: Any, g: Any, y: Any) -> Any:
        return g[..., None] * y

    def d_y(xp: Any, g: Any, x: Any) -> Any:
        return g[..., None] * x

    return record("vecdot", forward, (_conjugated(left), right), (d_x, d_y))


def vdot(x: TensorLike, y: TensorLike, /) -> Tensor:
    """Sum of the products of all elements, in row-major order. A complex x is conjugated.

    Raises ShapeError if the numbers of elements differ.

    >>> import tensorgrad as tg
    >>> tg.vdot([[1.0, 2.0]], [3.0, 4.0])
    Tensor(11., dtype=float64)
    """
    left, right = shaped(x, "vdot"), shaped(y, "vdot")
    if prod(left.shape) != prod(right.shape):
        raise ShapeError(
            f"vdot: shapes {left.shape} and {right.shape} have {prod(left.shape)} and {prod(right.shape)} elements"
        )
    return vecdot(ravel(left), ravel(right))


def matvec(x: TensorLike, y: TensorLike, /) -> Tensor:
    """Matrices times vectors: (..., m, n) by (..., n) gives (..., m); batches broadcast.

    Raises ShapeError if the lengths differ.

    >>> import tensorgrad as tg
    >>> tg.matvec([[1.0, 2.0], [3.0, 4.0]], [[1.0, 1.0], [1.0, 0.0]]).data.tolist()
    [[3.0, 7.0], [1.0, 3.0]]
    """
    left, right = shaped(x, "matvec"), shaped(y, "matvec")
    _check_pair("matvec", left, right, (2, 1))

    def d_x(xp: Any, g: Any, y: Any) -> Any:
        return g[..., :, None] * y[..., None, :]

    def d_y(xp: Any, g: Any, x: Any) -> Any:
        return xp.matmul(xp.swapaxes(x, -1, -2), g[..., None])[..., 0]

    return record("matvec", lambda a, b: np.matmul(a, b[..., None])[..., 0], (left, right), (d_x, d_y))


def vecmat(x: TensorLike, y: TensorLike, /) -> Tensor:
    """Vectors times matrices: (..., n) by (..., n, m) gives (..., m); batches broadcast. A complex x is conjugated.

    Raises ShapeError if the lengths differ.

    >>> import tensorgrad as tg
    >>> tg.vecmat([1.0, 1.0], [[1.0, 2.0], [3.0, 4.0]])
    Tensor([4., 6.], dtype=float64)
    """
    left, right = shaped(x, "vecmat"), shaped(y, "vecmat")
    _check_pair("vecmat", left, right, (1, 2))

    def d_x(xp: Any, g: Any, y: Any) -> Any:
        return xp.matmul(y, g[..., None])[..., 0]

    def d_y(xp: Any, g: Any, x: Any) -> Any:
        return x[..., :, None] * g[..., None, :]

    forward = lambda a, b: np.matmul(a[..., None, :], b)[..., 0, :]  # noqa: E731
    return record("vecmat", forward, (_conjugated(left), right), (d_x, d_y))


def cross(
    x: TensorLike,
    y: TensorLike,
    /,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Tensor:
    """Cross products of vectors of 3 elements along ``axisa`` of x and ``axisb`` of y; all other axes broadcast.

    The results lie along ``axisc``; ``axis`` sets all three. A vector of 2 elements lies in a plane: its third element
    is 0, and the product of two such vectors is the third element alone. Raises ShapeError for other lengths.

    >>> import tensorgrad as tg
    >>> tg.cross([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    Tensor([0., 0., 1.], dtype=float64)
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    given_x, given_y = shaped(x, "cross"), shaped(y, "cross")
    left = moveaxis(given_x, normalised_axis(axisa, len(given_x.shape), "cross"), -1)
    right = moveaxis(given_y, normalised_axis(axisb, len(given_y.shape), "cross"), -1)
    a, b = left.shape, right.shape
    if a[-1] not in (2, 3) or b[-1] not in (2, 3):
        raise ShapeError(f"cross: vectors must have 2 or 3 elements, got {a[-1]} and {b[-1]} (shapes {a} and {b})")
    error = broadcast_error("cross", a[:-1], b[:-1])
    if error is not None:
        raise ShapeError(f"cross: shapes {a} and {b} do not match in their batches: {error}")
    if a[-1] == b[-1] == 2:
        one, two = (..., 0), (..., 1)
        return subtract(
            multiply(getitem(left, one), getitem(right, two)), multiply(getitem(left, two), getitem(right, one))
        )

    def d_x(xp: Any, g: Any, y: Any) -> Any:
        return xp.cross(y, g)

    def d_y(xp: Any, g: Any, x: Any) -> Any:
        return xp.cross(g, x)

    result = record("cross", np.cross, (_in_3d(left), _in_3d(right)), (d_x, d_y))
    return result if axisc == -1 else moveaxis(result, -1, normalised_axis(axisc, len(result.shape), "cross"))


def _in_3d(vectors: Any) -> Any:
    """Vectors of 3 elements: a missing third one is 0."""
    if vectors.shape[-1] == 3:
        return vectors
    third = multiply(getitem(vectors, (..., slice(0, 1))), 0)
    return concatenate([vectors, third], axis=-1)


# --- powers ---------------------------------------------------------------------------------------------


def vander(x: TensorLike, /, N: int | None = None, increasing: bool = False) -> Tensor:
    """Rows of powers of the elements of a vector, descending from N - 1; N defaults to the vector's length.

    Raises ShapeError for more than one axis.

    >>> import tensorgrad as tg
    >>> tg.vander([2.0, 3.0], 3)
    Tensor([[4., 2., 1.],
            [9., 3., 1.]], dtype=float64)
    """
    source = shaped(x, "vander")
    if len(source.shape) != 1:
        raise ShapeError(f"vander: shape {source.shape} has {len(source.shape)} axes, expected one")
    count = source.shape[0] if N is None else N

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        if count < 2:
            return xp.zeros_like(x)
        degrees = arange_like(count, x).astype(x.dtype)[1:]
        below = xp.vander(x, count - 1, increasing)
        if increasing:
            return xp.sum(g[:, 1:] * degrees * below, axis=1)
        return xp.sum(g[:, :-1] * np.flip(degrees) * below, axis=1)

    def forward(a: Any) -> Any:
        return np.vander(a, count, increasing).astype(a.dtype, copy=False)  # NumPy's is never narrower than int

    return record("vander", forward, (source,), (d_x,))
