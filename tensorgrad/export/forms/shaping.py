"""Functions that rearrange, join, repeat, cast and make arrays."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..graph import Refusal
from ..printer import Printer
from ..runs import Varying

__all__ = ["SHAPING", "reshaped"]

_LAST = np.iinfo(np.int64).max


def reshaped(g: Printer, name: str, shape: Sequence[Any]) -> str:
    """A value in another shape. One length that varies is left to ONNX."""
    varying = [i for i, n in enumerate(shape) if isinstance(n, Varying)]
    if len(varying) == 1 and all(shape[i] for i in range(len(shape)) if i not in varying):
        shape = [-1 if i in varying else n for i, n in enumerate(shape)]
    kept = {"allowzero": 1} if 0 in shape else {}  # else 0 stands for the length that there was
    return g.add("Reshape", name, g.integers(shape), **kept)


def _to_result(g: Printer, a: Any, *args: Any, **kwargs: Any) -> str:
    """Whatever the arguments said: the elements, in their order, in the shape of the result."""
    if kwargs.get("order", "C") not in ("C", "K"):
        raise Refusal("ONNX has only the order 'C'")
    return reshaped(g, g.name(a), g.shape(g.step.results[0]))


def _same(g: Printer, a: Any, *args: Any, **kwargs: Any) -> str:
    return g.name(a)


def _transpose(g: Printer, a: Any, axes: Any = None) -> str:
    ndim = len(g.shape(a))
    order = range(ndim)[::-1] if axes is None else [axis % ndim for axis in axes]
    return g.name(a) if ndim < 2 else g.add("Transpose", g.name(a), perm=list(order))


def _swapaxes(g: Printer, a: Any, axis1: int, axis2: int) -> str:
    order = list(range(len(g.shape(a))))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return g.add("Transpose", g.name(a), perm=order)


def _moveaxis(g: Printer, a: Any, source: Any, destination: Any) -> str:
    ndim = len(g.shape(a))
    numbered = np.broadcast_to(np.empty(()), tuple(range(1, ndim + 1)))  # axis i has length i + 1
    return g.add("Transpose", g.name(a), perm=[n - 1 for n in np.moveaxis(numbered, source, destination).shape])


def _broadcast_to(g: Printer, array: Any, shape: Any, subok: bool = False) -> str:
    return g.add("Expand", g.name(array), g.integers(g.shape(g.step.results[0])))


def _concatenate(
    g: Printer, arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = ""
) -> str:
    names = [g.name(array, g.result.dtype) for array in arrays]
    if axis is None:
        names, axis = [g.add("Reshape", name, g.constant(np.array([-1]))) for name in names], 0
    return names[0] if len(names) == 1 else g.add("Concat", *names, axis=axis)


def _stack(g: Printer, arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: Any = "") -> str:
    place = g.constant(np.array([axis], np.int64))
    names = [g.add("Unsqueeze", g.name(array, g.result.dtype), place) for array in arrays]
    return names[0] if len(names) == 1 else g.add("Concat", *names, axis=axis)


def _flip(g: Printer, m: Any, axis: Any = None) -> str:
    ndim = len(g.shape(m))
    axes = list(range(ndim)) if axis is None else [n % ndim for n in np.atleast_1d(axis).tolist()]
    if not axes:
        return g.name(m)
    starts, ends, steps = ([n] * len(axes) for n in (-1, -_LAST, -1))
    return g.add("Slice", g.name(m), *(g.constant(np.array(part)) for part in (starts, ends, axes, steps)))


def cut(g: Printer, name: str, axis: int, start: Any, stop: Any, step: int = 1) -> str:
    """A slice along one axis."""
    parts = [g.integers([n]) for n in (start, stop, axis, step)]
    return g.add("Slice", name, *parts)


def _roll(g: Printer, a: Any, shift: Any, axis: Any = None) -> str:
    name, shape = g.name(a), g.shape(a)
    if axis is None:
        name = _rolled(g, g.add("Reshape", name, g.constant(np.array([-1]))), 0, shift, prod(shape))
        return reshaped(g, name, shape)
    shifts, axes = np.broadcast_arrays(shift, axis)
    for n, k in zip(axes.ravel().tolist(), shifts.ravel().tolist(), strict=True):
        name = _rolled(g, name, n, k, shape[n])
    return name


def _rolled(g: Printer, name: str, axis: int, shift: Any, length: Any) -> str:
    if isinstance(length, Varying) or isinstance(shift, Varying):
        raise Refusal("it rolls along the axis of the batch")
    if not length or not shift % length:
        return name
    edge = length - shift % length
    return g.add("Concat", cut(g, name, axis, edge, _LAST), cut(g, name, axis, 0, edge), axis=axis)


def _diff(g: Printer, a: Any, n: int = 1, axis: int = -1) -> str:
    name, kind = g.name(a), g.result.dtype
    if kind == np.bool_:
        raise Refusal("np.diff of booleans; cast them to integers first")
    for _ in range(n):
        name = g.add("Sub", cut(g, name, axis, 1, _LAST), cut(g, name, axis, 0, -1))
    return name


def _tile(g: Printer, A: Any, reps: Any) -> str:
    shape, counts = g.shape(A), list(reps) if hasattr(reps, "__iter__") else [reps]
    longest = max(len(shape), len(counts))
    counts = [1] * (longest - len(counts)) + counts
    name = g.name(A)
    if longest > len(shape):
        name = g.add("Unsqueeze", name, g.constant(np.arange(longest - len(shape))))
    return g.add("Tile", name, g.integers(counts))


def _repeat(g: Printer, a: Any, repeats: Any, axis: Any = None) -> str:
    if not isinstance(repeats, int):
        raise Refusal("np.repeat needs the same count for every element; use tg.take")
    name, shape = g.name(a), g.shape(a)
    if axis is None:
        name, shape, axis = g.add("Reshape", name, g.constant(np.array([-1]))), (prod(g.result.shape),), 0
    axis %= len(shape)
    name = g.add("Unsqueeze", name, g.constant(np.array([axis + 1])))
    counts = [repeats if i == axis + 1 else 1 for i in range(len(shape) + 1)]
    return reshaped(g, g.add("Tile", name, g.integers(counts)), g.shape(g.step.results[0]))


def _astype(g: Printer, a: Any, dtype: Any = None, *args: Any, **kwargs: Any) -> str:
    return g.cast(g.name(a), g.dtype(a), g.result.dtype)


def _filled_like(number: float) -> Any:
    def form(g: Printer, a: Any, *args: Any, **kwargs: Any) -> str:
        return g.filled(number, g.shape(g.step.results[0]), g.result.dtype)

    return form


def _full_like(g: Printer, a: Any, fill_value: Any, *args: Any, **kwargs: Any) -> str:
    number = g.plain(fill_value)
    if number is None or number.ndim:
        value = g.name(fill_value, g.result.dtype)
        return g.add("Expand", value, g.integers(g.shape(g.step.results[0])))
    return g.filled(number.item(), g.shape(g.step.results[0]), g.result.dtype)


def _triangle(upper: int) -> Any:
    def form(g: Printer, m: Any, k: int = 0) -> str:
        if g.dtype(m) == np.bool_:
            return g.cast(g.add("Trilu", g.name(m, np.int32), g.constant(np.int64(k)), upper=upper), np.int32, np.bool_)
        return g.add("Trilu", g.name(m), g.constant(np.int64(k)), upper=upper)

    return form


def _pad(g: Printer, array: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0) -> str:
    name, ndim = g.name(array), len(g.shape(array))
    widths = np.broadcast_to(np.asarray(pad_width), (ndim, 2)).tolist()
    if mode == "constant":
        ends = np.broadcast_to(np.asarray(constant_values), (ndim, 2)).tolist()
        for axis, (width, values) in enumerate(zip(widths, ends, strict=True)):
            for side, (count, value) in enumerate(zip(width, values, strict=True)):
                pads = [0] * (2 * ndim)
                pads[axis + side * ndim] = count
                if count:
                    name = g.add("Pad", name, g.constant(np.array(pads)), g.constant(value, g.dtype(array)))
        return name
    for axis, (n, width) in enumerate(zip(g.shape(array), widths, strict=True)):
        if not any(width):
            continue
        if isinstance(n, Varying):
            raise Refusal("it pads the axis of the batch with the batch's own rows")
        places = np.pad(np.arange(n), width, mode=mode)  # type: ignore[call-overload]
        name = g.add("Gather", name, g.constant(places), axis=axis)
    return name


def _rot90(g: Printer, m: Any, k: int = 1, axes: Any = (0, 1)) -> str:
    ndim = len(g.shape(m))
    first, second = (axis % ndim for axis in axes)
    name = g.name(m)
    order = list(range(ndim))
    order[first], order[second] = second, first

    def flipped(value: str, axis: int) -> str:
        return cut(g, value, axis, -1, -_LAST, -1)

    if k % 4 == 0:
        return name
    if k % 4 == 2:
        return flipped(flipped(name, first), second)
    if k % 4 == 1:
        return g.add("Transpose", flipped(name, second), perm=order)
    return flipped(g.add("Transpose", name, perm=order), second)


SHAPING: dict[Any, Any] = {
    np.reshape: _to_result,
    np.ravel: _to_result,
    np.squeeze: _to_result,
    np.expand_dims: _to_result,
    np.atleast_1d: _to_result,
    np.atleast_2d: _to_result,
    np.atleast_3d: _to_result,
    np.copy: _same,
    np.ascontiguousarray: _same,
    np.transpose: _transpose,
    np.swapaxes: _swapaxes,
    np.moveaxis: _moveaxis,
    np.rot90: _rot90,
    np.broadcast_to: _broadcast_to,
    np.concatenate: _concatenate,
    np.stack: _stack,
    np.diff: _diff,
    np.flip: _flip,
    np.roll: _roll,
    np.tile: _tile,
    np.repeat: _repeat,
    np.ndarray.astype: _astype,
    np.asarray: _astype,
    np.zeros_like: _filled_like(0),
    np.empty_like: _filled_like(0),
    np.ones_like: _filled_like(1),
    np.full_like: _full_like,
    np.pad: _pad,
    np.tril: _triangle(0),
    np.triu: _triangle(1),
    np.real: _same,
}
