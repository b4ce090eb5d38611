"""Reordering axes, and reversing the elements along them: views, in constant time."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from ..engine.record import Tensor, TensorLike
from ..engine.shapes import normalised_axes, normalised_axis
from ..errors import ShapeError
from .views import shaped, view

__all__ = [
    "flip",
    "fliplr",
    "flipud",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "rollaxis",
    "rot90",
    "swapaxes",
    "transpose",
]

Shape = tuple[int, ...]


def _permuted(op: str, x: Any, axes: Shape) -> Tensor:
    def d_x(xp: Any, g: Any) -> Any:
        return xp.transpose(g, tuple(sorted(range(len(axes)), key=axes.__getitem__)))

    return view(op, lambda a: np.transpose(a, axes), x, d_x)


def _permutation(axes: Any, shape: Shape, op: str) -> Shape:
    result = normalised_axes(tuple(axes), len(shape), op)
    if len(result) != len(shape):
        raise ShapeError(f"{op}: axes {tuple(axes)} name only {len(result)} of the {len(shape)} axes of shape {shape}")
    return result


def transpose(x: TensorLike, /, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in another order; reversed by default.

    Raises ShapeError if ``axes`` is not a permutation.

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
        raise ShapeError(f"moveaxis: got {len(old)} axes, {source!r}, but {len(new)} positions, {destination!r}")
    rest = iter([axis for axis in range(ndim) if axis not in old])
    origin = dict(zip(new, old))
    axes = tuple(origin[i] if i in origin else next(rest) for i in range(ndim))
    return _permuted("moveaxis", moved, axes)


def rollaxis(x: TensorLike, /, axis: int, start: int = 0) -> Tensor:
    """One axis moved before axis ``start``, counted before the move; the number of axes stands for the end.

    :func:`moveaxis` is easier to read.

    >>> import tensorgrad as tg
    >>> tg.rollaxis([[[1.0, 2.0]]], 2).shape
    (2, 1, 1)
    """
    source = shaped(x, "rollaxis")
    ndim = len(source.shape)
    moved = normalised_axis(axis, ndim, "rollaxis")
    before = ndim if index(start) == ndim else normalised_axis(start, ndim, "rollaxis")
    order = [a for a in range(ndim) if a != moved]
    order.insert(before - (moved < before), moved)
    return _permuted("rollaxis", source, tuple(order))


def _flipped(op: str, x: Any, axes: Shape) -> Tensor:
    return view(op, lambda a: np.flip(a, axes), x, lambda xp, g: xp.flip(g, axes))


def flip(x: TensorLike, /, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """The elements in reverse order along some axes; along all by default.

    >>> import tensorgrad as tg
    >>> tg.flip([1.0, 2.0, 3.0])
    Tensor([3., 2., 1.], dtype=float64)
    """
    source = shaped(x, "flip")
    return _flipped("flip", source, normalised_axes(axis, len(source.shape), "flip"))


def flipud(x: TensorLike, /) -> Tensor:
    """The elements in reverse order along the first axis. Raises ShapeError if there is none.

    >>> import tensorgrad as tg
    >>> tg.flipud([[1.0], [2.0]]).data.tolist()
    [[2.0], [1.0]]
    """
    source = shaped(x, "flipud")
    return _flipped("flipud", source, (normalised_axis(0, len(source.shape), "flipud"),))


def fliplr(x: TensorLike, /) -> Tensor:
    """The elements in reverse order along the second axis. Raises ShapeError if there is none.

    >>> import tensorgrad as tg
    >>> tg.fliplr([[1.0, 2.0]])
    Tensor([[2., 1.]], dtype=float64)
    """
    source = shaped(x, "fliplr")
    return _flipped("fliplr", source, (normalised_axis(1, len(source.shape), "fliplr"),))


def rot90(x: TensorLike, /, k: int = 1, axes: Sequence[int] = (0, 1)) -> Tensor:
    """The array rotated ``k`` times by 90 degrees, from the first of two axes towards the second.

    Raises ShapeError unless ``axes`` are two different axes.

    >>> import tensorgrad as tg
    >>> tg.rot90([[1.0, 2.0], [3.0, 4.0]]).data.tolist()
    [[2.0, 4.0], [1.0, 3.0]]
    """
    source = shaped(x, "rot90")
    plane = normalised_axes(tuple(axes), len(source.shape), "rot90")
    if len(plane) != 2:
        raise ShapeError(f"rot90: expected two axes, got axes={tuple(axes)}")
    turns = index(k) % 4
    return view("rot90", lambda a: np.rot90(a, turns, plane), source, lambda xp, g: xp.rot90(g, -turns, plane))
