"""Replacements for NumPy functions that have no operation of the same name here.

``interop`` looks here first; it finds the other NumPy functions by name among the operations. A function here takes
the same arguments as NumPy's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .engine.frames import place, user_frame
from .engine.record import Handle
from .engine.shapes import normalised_axis
from .engine.staging import array_of, writes_to
from .ops import arithmetic, axes, complexes, indexing, joining, rounding, selection, sets, shaping, tiling, writing
from .ops.views import shaped

__all__ = ["ADAPTERS", "ADVICE", "KEYWORDS", "WRITERS", "add_at", "outer"]


def _creation(name: str) -> Callable[..., Any]:
    """A function of :mod:`tensorgrad.creation`, looked up when called, because that module depends on this one."""

    def create(a: Any, *args: Any, order: str = "K", subok: bool = True, shape: Any = None, **kwargs: Any) -> Any:
        ours = sys.modules[__package__]
        if shape is None:
            return getattr(ours, name)(a, *args, **kwargs)
        dtype = kwargs.pop("dtype", None)
        dtype = array_of(shaped(a, name)).dtype if dtype is None else dtype
        return getattr(ours, name.removesuffix("_like"))(shape, *args, dtype=dtype, **kwargs)

    return create


def _spaced(name: str) -> Callable[..., Any]:
    def create(start: Any, stop: Any, num: int = 50, endpoint: bool = True, **kwargs: Any) -> Any:
        step = kwargs.pop("retstep", False)
        values = getattr(sys.modules[__package__], name)(start, stop, num, endpoint=endpoint, **kwargs)
        if not step:
            return values
        parts = num - 1 if endpoint else num
        return values, arithmetic.divide(arithmetic.subtract(stop, start), parts) if parts > 0 else np.nan

    return create


def _divmod(x: Any, y: Any) -> Any:
    return arithmetic.floor_divide(x, y), arithmetic.remainder(x, y)


def _modf(x: Any) -> Any:
    infinite = np.isinf(array_of(shaped(x, "modf")))
    return selection.where(infinite, arithmetic.copysign(0.0, x), rounding.frac(x)), rounding.trunc(x)


def _angle(z: Any, deg: bool = False) -> Any:
    angle = complexes.angle(z)
    return arithmetic.multiply(angle, 180 / np.pi) if deg else angle


def _intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    values = sets.intersect1d(ar1, ar2)
    if not return_indices:
        return values
    given = [array_of(shaped(ar, "intersect1d")) for ar in (ar1, ar2)]
    _, first, second = np.intersect1d(given[0], given[1], assume_unique=assume_unique, return_indices=True)
    return values, first, second


def _copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    return arithmetic.positive(a)


def _real_if_close(a: Any, tol: float = 100) -> Any:
    source = shaped(a, "real_if_close")
    return complexes.real(source) if np.isrealobj(np.real_if_close(array_of(source), tol)) else source


def _apply_along_axis(func1d: Any, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    source = shaped(arr, "apply_along_axis")
    axis = normalised_axis(axis, len(source.shape), "apply_along_axis")
    last = axes.moveaxis(source, axis, -1)
    batch = last.shape[:-1]
    rows = shaping.reshape(last, (-1, last.shape[-1]))
    parts = joining.stack([shaped(func1d(row, *args, **kwargs), "apply_along_axis") for row in rows])
    found = shaping.reshape(parts, (*batch, *parts.shape[1:]))
    new = len(parts.shape) - 1  # the axes of each result take the place of the axis
    return axes.moveaxis(found, tuple(range(-new, 0)), tuple(range(axis, axis + new))) if new else found


def _apply_over_axes(func: Any, a: Any, axes: Any) -> Any:
    result = shaped(a, "apply_over_axes")
    for axis in np.atleast_1d(axes):
        reduced = func(result, int(axis))
        result = reduced if reduced.ndim == result.ndim else shaping.expand_dims(reduced, int(axis))
    return result


def _trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    source = shaped(filt, "trim_zeros")
    if len(source.shape) != 1:
        raise TypeError(f"np.trim_zeros of a Tensor takes a vector, got shape {source.shape}; index it instead")
    kept = np.flatnonzero(array_of(source))
    first, last = (int(kept[0]), int(kept[-1]) + 1) if kept.size else (source.shape[0], source.shape[0])
    return indexing.getitem(source, slice(first if "f" in trim.lower() else 0, last if "b" in trim.lower() else None))


# --- in-place writes ------------------------------------------------------------------------------------


def _target(a: Any, name: str) -> Any:
    if isinstance(a, Handle):
        return a
    raise TypeError(
        f"{name} cannot write a Tensor with a history to an ndarray, because the history would be lost; write to a "
        f"Tensor, tg.asarray(a), use tg.where or tg.full_like, or t.data for the values only"
    )


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    dst = _target(dst, "np.copyto (also within np.full and np.full_like)")
    if where is True:
        writing.setitem(dst, Ellipsis, src)
        return
    mask = np.broadcast_to(array_of(shaped(where, "copyto")), dst.shape)
    writing.setitem(dst, mask, indexing.getitem(shaping.broadcast_to(src, dst.shape), mask))


def _put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    a = _target(a, "np.put")
    flat: Any = np.ravel(array_of(shaped(ind, "put")))
    places = np.unravel_index(np.ravel_multi_index((flat,), (a.size,), mode), a.shape)  # type: ignore[call-overload]
    writing.setitem(a, places, tiling.resize(v, places[0].shape) if a.shape else v)


def _place(arr: Any, mask: Any, vals: Any) -> None:
    arr = _target(arr, "np.place")
    chosen = np.reshape(array_of(shaped(mask, "place")), arr.shape) != 0
    writing.setitem(arr, chosen, tiling.resize(vals, (int(np.count_nonzero(chosen)),)))


def _putmask(a: Any, mask: Any, values: Any) -> None:
    a = _target(a, "np.putmask")
    chosen = np.reshape(array_of(shaped(mask, "putmask")), a.shape) != 0
    writing.setitem(a, chosen, indexing.getitem(tiling.resize(values, a.shape), chosen))


def add_at(ufunc: np.ufunc, a: Any, indices: Any, b: Any) -> None:
    """``np.add.at`` and ``np.subtract.at``: add values in place; repeated indices accumulate."""
    name = f"np.{ufunc.__name__}.at"
    a = _target(a, name)
    frame = user_frame(sys._getframe(1))
    by = f"{name} at {place(frame.f_code, frame.f_lasti)}"
    if not any(isinstance(t, Handle) and t.node is not None and t.node.requires_grad for t in (a, b)):
        ufunc.at(writes_to(a, by=by), *(array_of(t) if isinstance(t, Handle) else t for t in (indices, b)))
        return
    added = arithmetic.negative(b) if ufunc is np.subtract else b
    writing.write_recorded(a, added, lambda y, v: writing.scatter_add(y, indices, v), "+=", by)


def outer(operation: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """The ``outer`` of a ufunc: the operation on every element of one array with every element of another."""
    left, right = shaped(a, "outer"), shaped(b, "outer")
    return operation(shaping.reshape(left, (*left.shape, *(1,) * len(right.shape))), right)


# --- the tables -----------------------------------------------------------------------------------------

WRITERS: dict[Any, Callable[..., Any]] = {
    np.copyto: _copyto,
    np.place: _place,
    np.put: _put,
    np.putmask: _putmask,
}
"""Functions that write in place: to a Tensor, or to an ndarray if nothing has a history."""

ADAPTERS: dict[Any, Callable[..., Any]] = {
    np.apply_along_axis: _apply_along_axis,
    np.apply_over_axes: _apply_over_axes,
    np.angle: _angle,
    np.copy: _copy,
    np.divmod: _divmod,
    np.empty_like: _creation("empty_like"),
    np.fix: rounding.trunc,
    np.full_like: _creation("full_like"),
    np.intersect1d: _intersect1d,
    np.geomspace: _spaced("geomspace"),
    np.linspace: _spaced("linspace"),
    np.logspace: _spaced("logspace"),
    np.modf: _modf,
    np.ones_like: _creation("ones_like"),
    np.real_if_close: _real_if_close,
    np.trim_zeros: _trim_zeros,
    np.zeros_like: _creation("zeros_like"),
}
"""NumPy functions that are recorded, and the functions that record them."""

_FREE: dict[str, str | None] = {"overwrite_input": None}
KEYWORDS: dict[Any, dict[str, str | None]] = {
    np.argsort: {"kind": None},
    np.clip: {"a_min": "min", "a_max": "max"},
    np.median: _FREE,
    np.nan_to_num: {"copy": None},
    np.nanmedian: _FREE,
    np.nanpercentile: _FREE,
    np.nanquantile: _FREE,
    np.percentile: _FREE,
    np.quantile: _FREE,
    np.sort: {"kind": None},
}
"""NumPy's names for parameters that are named differently here; None if the result does not depend on one."""

ADVICE: dict[Any, str] = {
    np.roots: "differentiate a root r of tg.polyval(t, r) implicitly, by a step of Newton's method from its value",
    np.polydiv: "write tg.polymul and tg.polysub, or divide the values of tg.polyval",
    np.sort_complex: "complex numbers have no order; write t[np.argsort(t.data)] for an order that the values decide",
    np.frexp: "write t / 2.0 ** e with e = np.frexp(t.data)[1]",
    np.spacing: "it only depends on the values; write np.spacing(t.data)",
    np.save: "a file has values but no history; write np.save(path, t.data)",
    np.savez: "a file has values but no history; write np.savez(path, t.data)",
    np.savez_compressed: "a file has values but no history; write np.savez_compressed(path, t.data)",
    np.savetxt: "a file has values but no history; write np.savetxt(path, t.data)",
}
"""What to do instead of calling a function without a rule, if there is specific advice."""
