"""Sorting and partitioning, and functions that return indices: plain arrays, without a gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import Any, Literal

import numpy as np

from ..engine.arrays import is_foreign
from ..engine.record import Handle, Tensor, TensorLike, record
from ..engine.shapes import normalised_axis
from ..engine.staging import array_of, indivisible
from ..errors import ShapeError
from .complexes import refuse_complex
from .indexing import getitem
from .keys import index_array
from .shaping import ravel
from .views import no_gradient, shaped

__all__ = ["argpartition", "argsort", "nonzero", "partition", "searchsorted", "sort", "topk"]


def _ordered(x: Any, op: str) -> Any:
    """An operand whose elements have an order."""
    source = shaped(x, op)
    refuse_complex(op, source)
    return source


@indivisible
def _averaged(g: Any, ordered: Any, axis: int) -> Any:
    """``g`` averaged over each run of equal values of a sorted array."""
    ordered, g = np.moveaxis(ordered, axis, -1), np.moveaxis(g, axis, -1)
    starts = np.ones_like(ordered, dtype=bool)
    starts[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    if not bool(np.all(starts)):
        first = np.flatnonzero(starts)
        counts = np.diff(np.concatenate([first, np.full_like(first, ordered.size, shape=(1,))]))
        flat = np.ravel(g)
        flat = flat.astype(np.float32) if flat.dtype == np.float16 else flat
        means = (np.add.reduceat(flat, first) / counts).astype(g.dtype)
        g = np.reshape(np.repeat(means, counts), g.shape)
    return np.copy(np.moveaxis(g, -1, axis))


def _average_ties(g: Any, ordered: Any, axis: int) -> Any:
    """The same, differentiable for Tensors: averaging is a symmetric linear map, so it is its own rule."""
    if not isinstance(g, Handle):
        return _averaged(g, ordered, axis)
    values = ordered.data if isinstance(ordered, Handle) else ordered

    def d_g(xp: Any, g: Any, y: Any) -> Any:
        return _average_ties(g, y, axis)

    return record("average_ties", lambda a, b: _averaged(a, b, axis), (g, values), (d_g, no_gradient))


def _stable_order(xp: Any, x: Any, axis: int) -> Any:
    return xp.argsort(x, axis=axis, **_if_own(x, True))


def _if_own(x: Any, stable: bool) -> dict[str, Any]:
    """The argument that says how to sort; arrays of other libraries are always sorted stably."""
    return {} if is_foreign(x) else {"stable": stable}


def _reordered(op: str, forward: Callable[[Any], Any], x: Any, axis: int, ordered: bool) -> Tensor:
    """Record an operation that puts the elements along an axis in another order, by value."""

    def d_x(xp: Any, g: Any, x: Any, out: Any) -> Any:
        if not ordered:
            order = _stable_order(xp, out, axis)
            g, out = xp.take_along_axis(g, order, axis=axis), xp.take_along_axis(out, order, axis=axis)
        ranks = np.argsort(_stable_order(xp, x, axis), axis=axis)
        return xp.take_along_axis(_average_ties(g, out, axis), ranks, axis=axis)

    return record(op, forward, (x,), (d_x,))


def sort(x: TensorLike, /, axis: int | None = -1, *, stable: bool = True, descending: bool = False) -> Tensor:
    """The elements in ascending order along an axis; None flattens first.

    Equal elements share their gradients evenly, so it makes no difference whether they keep their order (``stable``).
    Raises DTypeError for complex numbers, which have no order.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([3.0, 1.0, 1.0], requires_grad=True)
    >>> (tg.sort(x) * [1.0, 3.0, 5.0]).sum().backward()
    >>> x.grad
    array([5., 2., 2.])
    """
    source = _ordered(x, "sort")
    if axis is None:
        source, axis = ravel(source), 0
    axis = normalised_axis(axis, len(source.shape), "sort")
    result = _reordered("sort", lambda a: np.sort(a, axis=axis, **_if_own(a, stable)), source, axis, True)
    return getitem(result, _backwards(axis)) if descending else result


def _backwards(axis: int) -> tuple[Any, ...]:
    return (*(slice(None),) * axis, slice(None, None, -1))


def partition(x: TensorLike, /, kth: int | Sequence[int], axis: int | None = -1) -> Tensor:
    """The k-th smallest element (or several) in its place along an axis, with smaller ones before it; None flattens.

    Equal elements share their gradients evenly. Raises ShapeError if ``kth`` is out of bounds for the axis.

    >>> import tensorgrad as tg
    >>> float(tg.partition([3.0, 1.0, 2.0], 1)[1])
    2.0
    """
    source = _ordered(x, "partition")
    if axis is None:
        source, axis = ravel(source), 0
    axis = normalised_axis(axis, len(source.shape), "partition")
    places = _kth("partition", kth, source.shape, axis)
    return _reordered("partition", lambda a: np.partition(a, places, axis=axis), source, axis, False)


def _kth(op: str, kth: Any, shape: tuple[int, ...], axis: int) -> Any:
    places = [index(k) for k in kth] if hasattr(kth, "__len__") else [index(kth)]
    n = shape[axis]
    for k in places:
        if not -n <= k < n:
            raise ShapeError(f"{op}: kth {k} is out of bounds for axis {axis} of shape {shape}, which has {n} elements")
    return places


def topk(x: TensorLike, /, k: int, axis: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Tensor, Any]:
    """The ``k`` largest (or smallest) elements along an axis, and their indices.

    The values come in order, whatever ``sorted`` says; the first of equal elements comes first. Their gradient is
    that of :func:`sort`: equal elements share it evenly, including those that were left out.

    Returns:
        The values, a Tensor, and their indices, a plain array.

    Raises:
        ShapeError: the axis has fewer than ``k`` elements.

    >>> import tensorgrad as tg
    >>> values, indices = tg.topk([1.0, 3.0, 2.0], 2)
    >>> values, indices
    (Tensor([3., 2.], dtype=float64), array([1, 2]))
    """
    source = _ordered(x, "topk")
    axis = normalised_axis(axis, len(source.shape), "topk")
    if not 0 <= index(k) <= source.shape[axis]:
        raise ShapeError(
            f"topk: cannot take {k} of the {source.shape[axis]} elements of axis {axis} of shape {source.shape}"
        )
    first = (*(slice(None),) * axis, slice(0, index(k)))
    values = getitem(sort(source, axis, descending=largest), first)
    return values, argsort(source, axis, descending=largest)[first]


# --- places ---------------------------------------------------------------------------------------------


@indivisible
def _places(a: Any, axis: int, stable: bool, descending: bool) -> Any:
    if not descending:
        return np.argsort(a, axis=axis, **_if_own(a, stable))
    # Sort the reversed array and reverse the result, so that equal elements keep their order.
    places = np.flip(np.argsort(np.flip(a, axis), axis=axis, **_if_own(a, stable)), axis)
    return a.shape[axis] - 1 - places


def argsort(x: TensorLike, /, axis: int | None = -1, *, stable: bool = True, descending: bool = False) -> Any:
    """The indices that sort an array along an axis; None flattens first.

    >>> import tensorgrad as tg
    >>> tg.argsort([3.0, 1.0, 2.0])
    array([1, 2, 0])
    """
    array = array_of(_ordered(x, "argsort"))
    if axis is None:
        array, axis = np.ravel(array), 0
    return _places(array, normalised_axis(axis, len(array.shape), "argsort"), stable, descending)


def argpartition(x: TensorLike, /, kth: int | Sequence[int], axis: int | None = -1) -> Any:
    """The indices that :func:`partition` an array along an axis; None flattens first.

    >>> import tensorgrad as tg
    >>> int(tg.argpartition([3.0, 1.0, 2.0], 0)[0])
    1
    """
    array = array_of(_ordered(x, "argpartition"))
    if axis is None:
        array, axis = np.ravel(array), 0
    axis = normalised_axis(axis, len(array.shape), "argpartition")
    return np.argpartition(array, _kth("argpartition", kth, array.shape, axis), axis=axis)


def searchsorted(
    x: TensorLike, values: TensorLike, /, side: Literal["left", "right"] = "left", sorter: TensorLike | None = None
) -> Any:
    """The indices at which to insert values into a sorted array so that it stays sorted.

    ``sorter`` holds the indices that sort the array, if it is not sorted. Raises ShapeError unless the array has
    exactly one axis.

    >>> import tensorgrad as tg
    >>> tg.searchsorted([1.0, 2.0, 3.0], [1.5, 3.0])
    array([1, 2])
    """
    array, sought = (array_of(_ordered(a, "searchsorted")) for a in (x, values))
    if len(array.shape) != 1:
        raise ShapeError(f"searchsorted: the sorted array must have one axis, got shape {array.shape}")
    order = None if sorter is None else array_of(index_array(sorter, "searchsorted"))
    return np.searchsorted(array, sought, side=side, sorter=order)


def nonzero(x: TensorLike, /) -> tuple[Any, ...]:
    """The indices of nonzero elements, one array for each axis. Raises ShapeError if there is no axis.

    >>> import tensorgrad as tg
    >>> tg.nonzero([0.0, 2.0, 3.0])
    (array([1, 2]),)
    """
    array = array_of(shaped(x, "nonzero"))
    if not array.shape:
        raise ShapeError("nonzero: an array without axes has no indices; write x != 0")
    return np.nonzero(array)
