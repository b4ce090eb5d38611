"""Reductions along axes, sums along the way, and sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph import Refusal
from ..printer import Printer

__all__ = ["REDUCING"]


def axes_of(axis: Any, ndim: int) -> list[int]:
    """The axes that are reduced, not negative."""
    if axis is None:
        return list(range(ndim))
    return [n % ndim for n in (axis if isinstance(axis, tuple | list) else (axis,))]


def reduced(g: Printer, op: str, name: str, axes: list[int], keepdims: Any, ndim: int) -> str:
    """The node of a reduction; no axes at all leave the array as it is."""
    if not axes:
        return name
    keep = int(bool(keepdims is True or keepdims == 1))
    if op == "ReduceSum":
        return g.add(op, name, g.constant(np.array(axes, np.int64)), keepdims=keep)
    return g.add(op, name, axes=axes, keepdims=keep)


def _reduction(op: str, neutral: float | None, join: str) -> Any:
    """A ufunc's reduce; ``neutral`` is the initial value that changes nothing, ``join`` adds any other one."""

    def form(
        g: Printer,
        a: Any,
        axis: Any = 0,
        dtype: Any = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Any = None,
        where: Any = True,
    ) -> str:
        if where is not True:
            raise Refusal("where= of a reduction; use tg.where first")
        if out is not None:
            raise Refusal("it writes to out=; use the result instead")
        kind, ndim = g.result.dtype, len(g.shape(a))
        if _nothing(g, a, axis) and isinstance(initial, int | float):
            return g.filled(initial, g.shape(g.step.results[0]), kind)
        name = g.cast(g.name(a, kind), kind, np.int32 if kind == np.bool_ else kind)
        result = reduced(g, op, name, axes_of(axis, ndim), keepdims, ndim)
        result = g.cast(result, np.int32 if kind == np.bool_ else kind, kind)
        if initial is None or (isinstance(initial, int | float) and initial == neutral):
            return result
        return g.add(join, result, g.name(initial, kind))

    return form


def _extreme(op: str, least: float) -> Any:
    """The largest or smallest of the elements that are not NaN; NaN if there is none."""

    def form(g: Printer, a: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: Any = False) -> str:
        name, kind, ndim = g.name(a), g.dtype(a), len(g.shape(a))
        if kind.kind != "f":
            return reduced(g, op, name, axes_of(axis, ndim), keepdims, ndim)
        missing = g.add("IsNaN", name)
        found = g.add("Where", missing, g.constant(least, kind), name)
        none = reduced(g, "ReduceMin", g.cast(missing, np.bool_, np.int32), axes_of(axis, ndim), keepdims, ndim)
        result = reduced(g, op, found, axes_of(axis, ndim), keepdims, ndim)
        return g.add("Where", g.cast(none, np.int32, np.bool_), g.constant(np.nan, kind), result)

    return form


def _nothing(g: Printer, a: Any, axis: Any) -> bool:
    """Is there nothing to reduce?"""
    shape = g.shape(a)
    return any(shape[n] == 0 for n in axes_of(axis, len(shape)))


def _some(op: str) -> Any:
    """``all`` and ``any``: the smallest and largest of 0 and 1."""

    def form(g: Printer, a: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: Any = False) -> str:
        ndim = len(g.shape(a))
        if _nothing(g, a, axis):
            return g.filled(op == "ReduceMin", g.shape(g.step.results[0]), np.bool_)
        numbers = g.cast(g.name(a, np.bool_), np.bool_, np.int32)
        return g.cast(reduced(g, op, numbers, axes_of(axis, ndim), keepdims, ndim), np.int32, np.bool_)

    return form


def _any_axis(form: Callable[..., str]) -> Any:
    """The form of a function whose ``axis`` is None by default."""

    def function(g: Printer, a: Any, axis: Any = None, **options: Any) -> str:
        return form(g, a, axis, **{name: value for name, value in options.items() if value is not np._NoValue})

    return function


def _mean(g: Printer, a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False) -> str:
    ndim = len(g.shape(a))
    return reduced(g, "ReduceMean", g.name(a, g.result.dtype), axes_of(axis, ndim), keepdims, ndim)


def _count(g: Printer, a: Any, axis: Any = None, *, keepdims: Any = False) -> str:
    ndim = len(g.shape(a))
    numbers = g.cast(g.name(a, np.bool_), np.bool_, np.int64)
    return reduced(g, "ReduceSum", numbers, axes_of(axis, ndim), keepdims, ndim)


def _place(op: str, extreme: float) -> Any:
    """The first place of the largest or the smallest element; NaN is more than any."""

    def form(g: Printer, a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> str:
        name = g.name(a)
        if g.dtype(a) == np.bool_:
            name = g.cast(name, np.bool_, np.int32)
        if g.dtype(a).kind == "f":
            name = g.add("Where", g.add("IsNaN", name), g.constant(extreme, g.dtype(a)), name)
        if axis is None:
            name = g.add("Reshape", name, g.constant(np.array([-1])))
        return g.add(op, name, axis=0 if axis is None else axis, keepdims=int(keepdims is True))

    return form


def _cumsum(g: Printer, a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> str:
    name = g.name(a, g.result.dtype)
    if axis is None:
        name, axis = g.add("Reshape", name, g.constant(np.array([-1]))), 0
    return g.add("CumSum", name, g.constant(np.int64(axis)))


def _accumulated(g: Printer, a: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> str:
    return _cumsum(g, a, axis, dtype, out)


def _sorted(place: int) -> Any:
    def form(g: Printer, a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> str:
        name = g.name(a)
        if axis is None:
            raise Refusal("sorting with axis=None; flatten with reshape(-1) first, and write axis=0")
        length = g.integers(g.shape(a)[axis : axis + 1 or None])
        return g.add_many("TopK", 2, name, length, axis=axis, largest=0, sorted=1)[place]

    return form


_sum = _reduction("ReduceSum", 0, "Add")
_prod = _reduction("ReduceProd", 1, "Mul")
_max = _reduction("ReduceMax", -np.inf, "Max")
_min = _reduction("ReduceMin", np.inf, "Min")
_all, _any = _some("ReduceMin"), _some("ReduceMax")

REDUCING: dict[Any, Any] = {
    np.add.reduce: _sum,
    np.multiply.reduce: _prod,
    np.maximum.reduce: _max,
    np.minimum.reduce: _min,
    np.fmax.reduce: _extreme("ReduceMax", -np.inf),
    np.fmin.reduce: _extreme("ReduceMin", np.inf),
    np.logical_and.reduce: _all,
    np.logical_or.reduce: _any,
    np.add.accumulate: _accumulated,
    np.sum: _any_axis(_sum),
    np.prod: _any_axis(_prod),
    np.max: _any_axis(_max),
    np.min: _any_axis(_min),
    np.all: _any_axis(_all),
    np.any: _any_axis(_any),
    np.mean: _any_axis(_mean),
    np.count_nonzero: _count,
    np.argmax: _place("ArgMax", np.inf),
    np.argmin: _place("ArgMin", -np.inf),
    np.cumsum: _cumsum,
    np.sort: _sorted(0),
    np.argsort: _sorted(1),
}
