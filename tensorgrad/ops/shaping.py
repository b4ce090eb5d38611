"""The same elements with another shape or dtype.

Where NumPy returns a view, so do the operations here, in constant time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from operator import index
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..engine.record import Handle, Tensor, TensorLike, record, tensor_of
from ..engine.shapes import broadcast_error, normalised_axes
from ..engine.staging import array_of
from ..errors import DTypeError, ShapeError
from .arithmetic import positive
from .axes import transpose
from .views import shaped, view

__all__ = [
    "astype",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "broadcast_to",
    "expand_dims",
    "ravel",
    "reshape",
    "squeeze",
]

Shape = tuple[int, ...]


def lengths(shape: Any, op: str) -> Shape:
    """A shape as a tuple of integers.

    >>> lengths(3, "reshape")
    (3,)
    """
    try:
        return tuple(map(index, shape)) if hasattr(shape, "__iter__") else (index(shape),)
    except TypeError as error:
        raise TypeError(f"{op}: expected integers, got {shape!r}") from error


def require_cpu(device: str | None) -> None:
    """Raise ValueError for a device that is not here.

    >>> require_cpu("cpu")
    """
    if device not in (None, "cpu"):
        raise ValueError(f"device is 'cpu' or None, got {device!r}")


def _by_columns(op: str, x: Any, order: str) -> bool:
    """Whether ``order`` reads and writes the first axis fastest."""
    if order not in ("C", "F", "A"):
        advice = "; write 'C' or 'F', which do not depend on the layout in memory" if order == "K" else ""
        raise ValueError(f"{op}: order must be 'C' (rows), 'F' (columns) or 'A', got {order!r}{advice}")
    return order == "F" or (order == "A" and array_of(x).flags.fnc)


def reshape(x: TensorLike, /, shape: int | Sequence[int], order: str = "C", *, copy: bool | None = None) -> Tensor:
    """The elements in row-major order, in another shape; one length may be -1, to be inferred.

    With ``order="F"`` they are read and written in column-major order, with "A" in that of the memory. ``copy`` True
    always copies, False never does. Raises ShapeError if the number of elements differs, ValueError if only a copy can
    have the new shape and ``copy`` is False, or for another ``order``.

    >>> import tensorgrad as tg
    >>> tg.reshape([[1.0, 2.0], [3.0, 4.0]], (4, -1)).shape
    (4, 1)
    """
    source = shaped(x, "reshape")
    old = source.shape
    new = lengths(shape, "reshape")
    if order != "C" and _by_columns("reshape", source, order):
        return transpose(reshape(transpose(source), new[::-1], copy=copy))
    if -1 in new:
        known = -prod(new)
        if new.count(-1) > 1 or known == 0 or prod(old) % known:
            raise ShapeError(
                f"reshape: cannot reshape the {prod(old)} elements of shape {old} to {new}; one length may "
                f"be -1, and the product of the others must divide the number of elements"
            )
        new = tuple(prod(old) // known if n == -1 else n for n in new)
    elif prod(new) != prod(old):
        raise ShapeError(f"reshape: shape {old} has {prod(old)} elements, shape {new} has {prod(new)}")

    def d_x(xp: Any, g: Any) -> Any:
        return xp.reshape(g, old)

    result = view("reshape", lambda a: np.reshape(a, new), source, d_x)
    if copy is None:
        return result
    copied = not np.may_share_memory(array_of(result), array_of(source))
    if copied and prod(old) and not copy:
        raise ValueError(f"reshape: shape {old} cannot become {new} without a copy; leave copy=False out")
    return positive(result) if copy and not copied else result


def ravel(x: TensorLike, /, order: str = "C") -> Tensor:
    """The elements in row-major order, along one axis; ``order`` is that of :func:`reshape`.

    >>> import tensorgrad as tg
    >>> tg.ravel([[1.0, 2.0], [3.0, 4.0]])
    Tensor([1., 2., 3., 4.], dtype=float64)
    """
    source = shaped(x, "ravel")
    if order != "C" and _by_columns("ravel", source, order):
        return ravel(transpose(source))
    old = source.shape

    def d_x(xp: Any, g: Any) -> Any:
        return xp.reshape(g, old)

    return view("ravel", np.ravel, source, d_x)


def squeeze(x: TensorLike, /, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """The array without axes of length 1: those named, or all of them.

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
            raise ShapeError(f"squeeze: axis {a} of shape {old} has length {old[a]}; only length 1 can be removed")

    new = tuple(n for i, n in enumerate(old) if i not in axes)

    def d_x(xp: Any, g: Any) -> Any:
        return xp.reshape(g, old)

    return view("squeeze", lambda a: np.reshape(a, new), source, d_x)


def expand_dims(x: TensorLike, /, axis: int | tuple[int, ...]) -> Tensor:
    """The array with new axes of length 1, at these positions of the result.

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


def broadcast_to(x: TensorLike, /, shape: int | Sequence[int]) -> Tensor:
    """The array repeated along new axes and axes of length 1, without a copy: the result cannot be written to.

    Raises ShapeError if the shapes do not broadcast.

    >>> import tensorgrad as tg
    >>> tg.broadcast_to([1.0, 2.0], (3, 2)).shape
    (3, 2)
    """
    source = shaped(x, "broadcast_to")
    old = source.shape
    new = lengths(shape, "broadcast_to")
    fits = len(old) <= len(new) and all(n in (1, m) for n, m in zip(old[::-1], new[::-1]))
    if not fits:
        error = broadcast_error("broadcast_to", old, new)
        raise error or ShapeError(f"broadcast_to: shape {old} cannot be broadcast to {new}, which is smaller")
    # The engine sums a gradient over the axes its input was broadcast along.
    return view("broadcast_to", lambda a: np.broadcast_to(a, new), source, lambda xp, g: g)


def broadcast_arrays(*arrays: TensorLike) -> tuple[Tensor, ...]:
    """Arrays broadcast to their common shape, without a copy: the results cannot be written to.

    Raises ShapeError if the shapes do not broadcast.

    >>> import tensorgrad as tg
    >>> [part.shape for part in tg.broadcast_arrays([1.0, 2.0], [[3.0]])]
    [(1, 2), (1, 2)]
    """
    parts = [shaped(array, "broadcast_arrays") for array in arrays]
    error = broadcast_error("broadcast_arrays", *(part.shape for part in parts))
    if error is not None:
        raise error
    shape = np.broadcast_shapes(*(part.shape for part in parts))
    return tuple(broadcast_to(part, shape) for part in parts)


def _at_least(arrays: tuple[TensorLike, ...], op: str, change: Callable[[Shape], Shape]) -> Any:
    parts = [shaped(array, op) for array in arrays]
    results = tuple(reshape(part, change(part.shape)) for part in parts)
    return results[0] if len(results) == 1 else results


def atleast_1d(*arrays: TensorLike) -> Any:
    """The array with at least one axis. Several arrays give a tuple.

    >>> import tensorgrad as tg
    >>> tg.atleast_1d(2.0).shape
    (1,)
    """
    return _at_least(arrays, "atleast_1d", lambda shape: shape or (1,))


def atleast_2d(*arrays: TensorLike) -> Any:
    """The array with at least two axes; new ones come first. Several arrays give a tuple.

    >>> import tensorgrad as tg
    >>> tg.atleast_2d([1.0, 2.0, 3.0]).shape
    (1, 3)
    """
    return _at_least(arrays, "atleast_2d", lambda shape: (1,) * (2 - len(shape)) + shape)


def atleast_3d(*arrays: TensorLike) -> Any:
    """The array with at least three axes: (n,) becomes (1, n, 1), (m, n) becomes (m, n, 1). Several give a tuple.

    >>> import tensorgrad as tg
    >>> tg.atleast_3d([1.0, 2.0, 3.0]).shape
    (1, 3, 1)
    """

    def change(shape: Shape) -> Shape:
        return (1, *(shape or (1,)), 1) if len(shape) < 2 else shape + (1,) * (3 - len(shape))

    return _at_least(arrays, "atleast_3d", change)


def astype(x: TensorLike, dtype: DTypeLike, /, *, copy: bool = True, device: str | None = None) -> Tensor:
    """A copy with another dtype. The gradient comes back in the old one; integers and booleans carry none.

    With ``copy=False`` an array that has the dtype is returned as it is.

    Raises DTypeError if an imaginary part would be lost.

    >>> import tensorgrad as tg
    >>> tg.astype([1.5, 2.5], "float32")
    Tensor([1.5, 2.5], dtype=float32)
    """
    wanted = np.dtype(dtype)
    source = shaped(x, "astype")
    if device is not None:
        require_cpu(device)
    if not copy and source.dtype == wanted:
        return source if isinstance(source, Handle) else tensor_of(source, None)  # type: ignore[return-value]
    if source.dtype.kind == "c" and wanted.kind in "fiu":
        raise DTypeError(
            f"astype: {source.dtype} to {wanted} would lose the imaginary part; write tg.real(x) first, or tg.abs(x)"
        )
    return record("astype", lambda a: a.astype(wanted), (source,), (lambda xp, g: g,))
