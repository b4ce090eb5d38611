"""Reading and writing by index."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...compiler.variables import Variable
from ...engine.arrays import scatter
from ..graph import Refusal
from ..printer import Printer
from ..runs import Varying
from .elementwise import onto
from .shaping import cut, reshaped

__all__ = ["INDEXING"]

_LAST = np.iinfo(np.int64).max


class _Key(NamedTuple):
    """An index, sorted out: what it does to each axis of the array."""

    slices: list[tuple[int, Any, Any, int]]  # axis, start, stop, step
    integers: list[tuple[int, Any]]  # axis, place
    arrays: list[tuple[int, Any]]  # axis, indices
    new: list[int]  # axes of the result that are new
    together: bool  # are the arrays on neighbouring axes, without an integer or a new axis among them?


def _key(g: Printer, index: Any, ndim: int) -> _Key:
    parts = list(index) if isinstance(index, tuple) else [index]
    taken = sum(1 for part in parts if part is not None and part is not Ellipsis)
    if not any(part is Ellipsis for part in parts):
        parts.append(Ellipsis)
    place = next(i for i, part in enumerate(parts) if part is Ellipsis)
    parts[place : place + 1] = [slice(None)] * (ndim - taken)
    key = _Key([], [], [], [], True)
    axis = result = 0
    advanced: list[int] = []
    for i, part in enumerate(parts):
        if part is None:
            key.new.append(result)
            result += 1
            continue
        if isinstance(part, slice):
            if (part.start, part.stop, part.step) != (None, None, None):
                key.slices.append((axis, *_bounds(g, part)))
            result += 1
        elif (isinstance(part, int | np.integer) and not isinstance(part, bool)) or isinstance(part, Varying):
            key.integers.append((axis, part))
        else:
            if g.dtype(part).kind == "b" or isinstance(part, bool):
                raise Refusal("a boolean mask: the shape of the result depends on values; use tg.where")
            key.arrays.append((axis, part))
            advanced.append(i)
        axis += 1
    neighbours = advanced == list(range(advanced[0], advanced[-1] + 1)) if advanced else True
    return key._replace(together=neighbours and not (advanced and key.integers))


def _bounds(g: Printer, part: slice) -> tuple[Any, Any, int]:
    step = 1 if part.step is None else part.step
    if isinstance(step, Varying) or any(isinstance(end, Variable) for end in (part.start, part.stop, step)):
        raise Refusal("the ends of a slice depend on values")
    if step > 0:
        return (0 if part.start is None else part.start), (_LAST if part.stop is None else part.stop), step
    return (-1 if part.start is None else part.start), (-_LAST if part.stop is None else part.stop), step


def _getitem(g: Printer, a: Any, index: Any) -> str:
    ndim = len(g.shape(a))
    key = _key(g, index, ndim)
    name = g.name(a)
    if key.slices:
        parts = (g.integers([s[i] for s in key.slices]) for i in (1, 2, 0, 3))
        name = g.add("Slice", name, *parts)
    if len(key.arrays) > 1 or (key.arrays and not key.together):
        return _several(g, name, key, ndim)
    if key.arrays:
        (axis, places) = key.arrays[0]
        name = g.add("Gather", name, g.name(places, np.int64), axis=axis)
    for axis, place in key.integers[::-1]:
        name = g.add("Gather", name, _place(g, place), axis=axis)
    if key.new:
        if key.arrays:
            return reshaped(g, name, g.shape(g.step.results[0]))
        name = g.add("Unsqueeze", name, g.constant(np.array(key.new)))
    return name


def _place(g: Printer, place: Any) -> str:
    return g.number(place, np.dtype(np.int64)) if isinstance(place, Varying) else g.constant(np.int64(place))


def _several(g: Printer, name: str, key: _Key, ndim: int) -> str:
    """Several arrays of indices: the axes they are for come first, and GatherND reads along them."""
    if key.new:
        raise Refusal("an index with several arrays and a new axis; index first, and add the axis afterwards")
    chosen = {**dict(key.arrays), **dict(key.integers)}
    axes = sorted(chosen)
    if axes != list(range(axes[0], axes[-1] + 1)):
        raise Refusal("arrays of indices with a slice between them; use swapaxes first")
    rest = [axis for axis in range(ndim) if axis not in chosen]
    shape = np.broadcast_shapes(
        *(np.shape(g.comparison.values[p][0]) for _, p in key.arrays if isinstance(p, Variable))
    )
    named = [g.constant(np.int64(p)) if isinstance(p, int) else g.name(p, np.int64) for _, p in sorted(chosen.items())]
    whole = named[0]
    for other in named[1:]:
        whole = g.add("Add", whole, g.add("Mul", other, g.constant(np.int64(0))))
    size = g.add("Shape", whole)
    parts = [g.add("Unsqueeze", g.add("Expand", part, size), g.constant(np.array([-1]))) for part in named]
    found = g.add("GatherND", g.add("Transpose", name, perm=[*axes, *rest]), g.add("Concat", *parts, axis=-1))
    before = axes[0]
    if not before:
        return found
    count = len(shape)
    order = [*range(count, count + before), *range(count), *range(count + before, count + len(rest))]
    return g.add("Transpose", found, perm=order)


def _setitem(g: Printer, a: Any, index: Any, value: Any) -> str:
    ndim, dtype = len(g.shape(a)), g.dtype(a)
    mask = index[0] if isinstance(index, tuple) and len(index) == 1 else index
    if isinstance(mask, Variable) and g.dtype(mask) == np.bool_ and g.shape(mask) == g.shape(a) and not g.shape(value):
        return g.add("Where", g.name(mask), g.name(value, dtype), g.name(a))
    key = _key(g, index, ndim)
    if key.arrays or key.new or any(step != 1 for *_, step in key.slices):
        raise Refusal("it writes at an index other than integers and slices with step 1; use tg.where")
    ends = [(axis, start, stop) for axis, start, stop, _ in key.slices]
    for axis, place in key.integers:
        if isinstance(place, Varying):
            raise Refusal("it writes at a place that depends on the size of the batch")
        ends.append((axis, place, place + 1 if place != -1 else _LAST))
    name, given = g.name(a), g.name(value, dtype)
    if key.integers:
        kept = [axis for axis in range(ndim) if axis not in dict(key.integers)]
        missing = len(kept) - len(g.shape(value))
        if missing > 0:
            given = g.add("Unsqueeze", given, g.constant(np.arange(missing)))
        given = g.add("Unsqueeze", given, g.constant(np.array([axis for axis, _ in key.integers])))
    return _put(g, name, sorted(ends, key=lambda end: end[0]), given)


def _put(g: Printer, name: str, ends: Sequence[tuple[int, Any, Any]], value: str) -> str:
    """The array with a value inside some ends: what is before, the rest by recursion, what is after."""
    if not ends:
        return g.add("Expand", value, g.add("Shape", name))
    (axis, start, stop), *rest = ends
    middle = _put(g, cut(g, name, axis, start, stop), rest, value)
    parts = [] if start == 0 else [cut(g, name, axis, 0, start)]
    parts.append(middle)
    if stop != _LAST:
        parts.append(cut(g, name, axis, stop, _LAST))
    return parts[0] if len(parts) == 1 else g.add("Concat", *parts, axis=axis)


def _copyto(g: Printer, dst: Any, src: Any, casting: Any = None, where: Any = True) -> str:
    if where is True:
        return onto(g, g.name(src), g.dtype(src), (src,), dst)
    condition = g.name(where, np.bool_)
    return g.add("Where", condition, g.name(src, g.dtype(dst)), g.name(dst))


def _take(g: Printer, a: Any, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> str:
    if mode != "raise":
        raise Refusal(f"np.take with mode={mode!r}; use tg.take")
    name = g.name(a)
    if axis is None:
        name, axis = g.add("Reshape", name, g.constant(np.array([-1]))), 0
    return g.add("Gather", name, g.name(indices, np.int64), axis=axis)


def _take_along_axis(g: Printer, arr: Any, indices: Any, axis: Any = -1) -> str:
    if axis is None:
        raise Refusal("take_along_axis with axis=None; flatten with reshape(-1) first, and write axis=0")
    ndim = len(g.shape(arr))
    axis %= ndim
    if any(m != n for i, (m, n) in enumerate(zip(g.shape(arr), g.shape(indices))) if i != axis):
        raise Refusal("take_along_axis of shapes that broadcast; write broadcast_to first")
    return g.add("GatherElements", g.name(arr), g.name(indices, np.int64), axis=axis)


def _scatter(g: Printer, values: Any, index: Any, shape: Any) -> str:
    """Zeros with values at an index of slices and integers."""
    wanted = g.shape(g.step.results[0])
    zeros = g.filled(0, wanted, g.result.dtype)
    key = _key(g, index, len(wanted))
    if key.arrays or key.new or key.integers or any(step != 1 for *_, step in key.slices):
        raise Refusal("it adds up values at an index other than slices with step 1")
    return _put(g, zeros, [(axis, start, stop) for axis, start, stop, _ in key.slices], g.name(values))


INDEXING: dict[Any, Any] = {
    operator.getitem: _getitem,
    operator.setitem: _setitem,
    np.copyto: _copyto,
    np.take: _take,
    np.take_along_axis: _take_along_axis,
    scatter.__wrapped__: _scatter,  # type: ignore[attr-defined]
}
