"""Shapes and dtypes: the same elements in another arrangement.

Where NumPy returns a view, so does the operation here, in constant time.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from ..errors import DTypeError, ShapeError
from ..record import TensorLike, record
from ..shapes import broadcast_error, normalised_axes, normalised_axis
from .views import shaped, view

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = [
    "astype",
    "broadcast_to",
    "expand_dims",
    "flip",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "ravel",
    "reshape",
    "squeeze",
    "swapaxes",
    "transpose",
]

Shape = tuple[int, ...]


def _lengths(shape: Any, op: str) -> Shape:
    try:
        return tuple(map(index, shape)) if hasattr(shape, "__iter__") else (index(shape),)
    except TypeError as error:
        raise TypeError(f"{op}: a shape is made of integers, got {shape!r}") from error


def reshape(x: TensorLike, /, shape: int | Sequence[int]) -> Tensor:
    """The elements in row-major order, in another shape; one length may be -1: whatever is left.

    Raises ShapeError where the number of elements differs.

    >>> import tensorgrad as tg
    >>> tg.reshape([[1.0, 2.0], [3.0, 4.0]], (4, -1)).shape
    (4, 1)
    """
    source = shaped(x, "reshape")
    old = source.shape
    new = _lengths(shape, "reshape")
    if -1 in new:
        known = -prod(new)
        if new.count(-1) > 1 or known == 0 or prod(old) % known:
            raise ShapeError(
                f"reshape: cannot arrange the {prod(old)} elements of shape {old} as {new}; one length may "
                f"be -1, and the product of the others has to divide the number of elements"
            )
        new = tuple(prod(old) // known if n == -1 else n for n in new)
    elif prod(new) != prod(old):
        raise ShapeError(f"reshape: shape {old} has {prod(old)} elements, shape {new} has {prod(new)}")

    def d_x(xp: Any, g: Any) -> Any:
        return xp.reshape(g, old)

    return view("reshape", lambda a: np.reshape(a, new), source, d_x)


def ravel(x: TensorLike, /) -> Tensor:
    """The elements in row-major order, along one axis.

    >>> import tensorgrad as tg
    >>> tg.ravel([[1.0, 2.0], [3.0, 4.0]])
    Tensor([1., 2., 3., 4.], dtype=float64)
    """
    source = shaped(x, "ravel")
    old = source.shape

    def d_x(xp: Any, g: Any) -> Any:
        return xp.reshape(g, old)

    return view("ravel", np.ravel, source, d_x)


def squeeze(x: TensorLike, /, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """Without axes of length 1: those named, or all of them.

    Raises ShapeError for a named axis of another length.

    >>> import tensorgrad as tg
    >>> tg.squeeze([[[1.0, 2.0]]], axis=0).shape
    (1, 2)
    """
    source = shaped(x, "squeeze")
    old = source.shape
    if axis is None:
        axis = tuple(i for i, n in enumerate(old) if n == 1)
    axes = normalised_axes(axis, len(old), "squeeze")
    for a in axes:
        if old[a] != 1:
            raise ShapeError(f"squeeze: axis {a} of shape {old} has length {old[a]}, and only length 1 can be left out")

    new = tuple(n for i, n in enumerate(old) if i not in axes)

    def d_x(xp: Any, g: Any) -> Any:
        return xp.reshape(g, old)

    return view("squeeze", lambda a: np.reshape(a, new), source, d_x)


def expand_dims(x: TensorLike, /, axis: int | tuple[int, ...]) -> Tensor:
    """With new axes of length 1, at these positions of the result.

    >>> import tensorgrad as tg
    >>> tg.expand_dims([1.0, 2.0], (0, -1)).shape
    (1, 2, 1)
    """
    source = shaped(x, "expand_dims")
    old = source.shape
    count = len(axis) if isinstance(axis, Sequence) else 1
    axes = normalised_axes(axis, len(old) + count, "expand_dims")
    lengths = iter(old)
    new = tuple(1 if i in axes else next(lengths) for i in range(len(old) + count))

    def d_x(xp: Any, g: Any) -> Any:
        return xp.reshape(g, old)

    return view("expand_dims", lambda a: np.reshape(a, new), source, d_x)


def _permuted(op: str, x: Any, axes: Shape) -> Tensor:
    def d_x(xp: Any, g: Any) -> Any:
        return xp.transpose(g, tuple(sorted(range(len(axes)), key=axes.__getitem__)))

    return view(op, lambda a: np.transpose(a, axes), x, d_x)


def _permutation(axes: Any, shape: Shape, op: str) -> Shape:
    result = normalised_axes(tuple(axes), len(shape), op)
    if len(result) != len(shape):
        raise ShapeError(f"{op}: axes {tuple(axes)} name {len(result)} of the {len(shape)} axes of shape {shape}")
    return result


def transpose(x: TensorLike, /, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in another order; reversed by default.

    Raises ShapeError where ``axes`` is not a permutation.

    >>> import tensorgrad as tg
    >>> tg.transpose([[1.0, 2.0]]).shape
    (2, 1)
    """
    source = shaped(x, "transpose")
    if axes is not None:
        return _permuted("transpose", source, _permutation(axes, source.shape, "transpose"))
    return view("transpose", np.transpose, source, lambda xp, g: xp.transpose(g))


def permute_dims(x: TensorLike, /, axes: Sequence[int]) -> Tensor:
    """The axes in another order: :func:`transpose` under its name in the array API.

    >>> import tensorgrad as tg
    >>> tg.permute_dims([[1.0, 2.0]], (1, 0)).shape
    (2, 1)
    """
    source = shaped(x, "permute_dims")
    return _permuted("permute_dims", source, _permutation(axes, source.shape, "permute_dims"))


def matrix_transpose(x: TensorLike, /) -> Tensor:
    """The last two axes swapped. Raises ShapeError for fewer than two axes.

    >>> import tensorgrad as tg
    >>> tg.matrix_transpose([[[1.0, 2.0]]]).shape
    (1, 2, 1)
    """
    source = shaped(x, "matrix_transpose")
    if len(source.shape) < 2:
        raise ShapeError(f"matrix_transpose: shape {source.shape} has fewer than two axes")
    return view("matrix_transpose", lambda a: np.swapaxes(a, -1, -2), source, lambda xp, g: xp.swapaxes(g, -1, -2))


def swapaxes(x: TensorLike, /, axis1: int, axis2: int) -> Tensor:
    """Two axes swapped.

    >>> import tensorgrad as tg
    >>> tg.swapaxes([[[1.0, 2.0]]], 0, 2).shape
    (2, 1, 1)
    """
    source = shaped(x, "swapaxes")
    first = normalised_axis(axis1, len(source.shape), "swapaxes")
    second = normalised_axis(axis2, len(source.shape), "swapaxes")
    return view(
        "swapaxes",
        lambda a: np.swapaxes(a, first, second),
        source,
        lambda xp, g: xp.swapaxes(g, first, second),
    )


def moveaxis(x: TensorLike, /, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Some axes moved to other positions; the rest keep their order.

    >>> import tensorgrad as tg
    >>> tg.moveaxis([[[1.0, 2.0]]], -1, 0).shape
    (2, 1, 1)
    """
    moved = shaped(x, "moveaxis")
    ndim = len(moved.shape)
    old = normalised_axes(source, ndim, "moveaxis")
    new = normalised_axes(destination, ndim, "moveaxis")
    if len(old) != len(new):
        raise ShapeError(f"moveaxis: {len(old)} axes to move, {source!r}, but {len(new)} positions, {destination!r}")
    rest = iter([axis for axis in range(ndim) if axis not in old])
    origin = dict(zip(new, old))
    axes = tuple(origin[i] if i in origin else next(rest) for i in range(ndim))
    return _permuted("moveaxis", moved, axes)


def broadcast_to(x: TensorLike, /, shape: int | Sequence[int]) -> Tensor:
    """Repeated along new axes and along axes of length 1, without a copy: the result cannot be written to.

    Raises ShapeError where the shapes do not fit.

    >>> import tensorgrad as tg
    >>> tg.broadcast_to([1.0, 2.0], (3, 2)).shape
    (3, 2)
    """
    source = shaped(x, "broadcast_to")
    old = source.shape
    new = _lengths(shape, "broadcast_to")
    fits = len(old) <= len(new) and all(n in (1, m) for n, m in zip(old[::-1], new[::-1]))
    if not fits:
        error = broadcast_error("broadcast_to", old, new)
        raise error or ShapeError(f"broadcast_to: shape {old} cannot be broadcast to {new}, which is smaller")
    # The engine sums a gradient over the axes its input was broadcast along.
    return view("broadcast_to", lambda a: np.broadcast_to(a, new), source, lambda xp, g: g)


def flip(x: TensorLike, /, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """The elements in reverse order along some axes; along all by default.

    >>> import tensorgrad as tg
    >>> tg.flip([1.0, 2.0, 3.0])
    Tensor([3., 2., 1.], dtype=float64)
    """
    source = shaped(x, "flip")
    axes = normalised_axes(axis, len(source.shape), "flip")
    return view("flip", lambda a: np.flip(a, axes), source, lambda xp, g: xp.flip(g, axes))


def astype(x: TensorLike, dtype: DTypeLike, /) -> Tensor:
    """A copy of another dtype. The gradient comes back in the old one; integers and booleans carry none.

    Raises DTypeError where an imaginary part would be lost.

    >>> import tensorgrad as tg
    >>> tg.astype([1.5, 2.5], "float32")
    Tensor([1.5, 2.5], dtype=float32)
    """
    wanted = np.dtype(dtype)
    source = shaped(x, "astype")
    if source.dtype.kind == "c" and wanted.kind in "fiu":
        raise DTypeError(
            f"astype: {source.dtype} to {wanted} would lose the imaginary part; write tg.real(x) first, or tg.abs(x)"
        )
    return record("astype", lambda a: a.astype(wanted), (source,), (lambda xp, g: g,))
