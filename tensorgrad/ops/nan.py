"""Reductions that ignore NaN: NaN elements have a gradient of exactly 0, even if all elements are NaN."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.record import Handle, Tensor, TensorLike, record
from ..engine.shapes import Axis
from .logic import isnan
from .reducing import Reduced, narrow, wide
from .reductions import extremum, product_over
from .selection import where
from .views import shaped

__all__ = ["nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum", "nanvar"]

_sum: Any = np.add.reduce


def filled(x: TensorLike, op: str, value: float) -> Tensor:
    """Replace NaN with a number.

    >>> filled([1.0, float("nan")], "nanprod", 0)
    Tensor([1., 0.], dtype=float64)
    """
    source = shaped(x, op)
    if source.dtype.kind not in "fc":
        return source
    return where(isnan(source), value, source)


def nansum(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Sum along axes, ignoring NaN.

    >>> import tensorgrad as tg
    >>> tg.nansum([1.0, float("nan"), 2.0])
    Tensor(3., dtype=float64)
    """
    source = shaped(x, "nansum")
    facts = Reduced("nansum", source, axis, keepdims)

    def forward(a: Any) -> Any:
        return narrow(facts.sum(np.where(a != a, 0, a), keepdims), a)

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        return xp.where(x != x, 0, facts.spread(xp, g))

    return record("nansum", forward, (source,), (d_x,))


def nanprod(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Product along axes, ignoring NaN; its gradient is exact even where elements are zero.

    >>> import tensorgrad as tg
    >>> tg.nanprod([3.0, float("nan"), 2.0])
    Tensor(6., dtype=float64)
    """
    return product_over("nanprod", filled(x, "nanprod", 1), axis, keepdims)


def nanmax(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Largest element along axes, ignoring NaN (NaN if all are NaN); ties split the gradient evenly.

    Raises ShapeError if there are no elements.

    >>> import tensorgrad as tg
    >>> tg.nanmax([1.0, float("nan"), 2.0])
    Tensor(2., dtype=float64)
    """
    return extremum("nanmax", np.fmax.reduce, x, axis, keepdims, ignore_nan=True)


def nanmin(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Smallest element along axes, ignoring NaN (NaN if all are NaN); ties split the gradient evenly.

    Raises ShapeError if there are no elements.

    >>> import tensorgrad as tg
    >>> tg.nanmin([1.0, float("nan"), 2.0])
    Tensor(1., dtype=float64)
    """
    return extremum("nanmin", np.fmin.reduce, x, axis, keepdims, ignore_nan=True)


def _counted(x: Any, facts: Reduced) -> tuple[Any, Any]:
    """A mask of NaN elements, and the number of others: plain arrays, even for Tensors."""
    hole = x != x
    count = _sum(np.logical_not(hole), axis=facts.axis, dtype=np.intp, keepdims=True)
    return hole, count.astype(x.real.dtype if x.dtype.kind == "c" else x.dtype)


def nanmean(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Arithmetic mean along axes, ignoring NaN; NaN if all are NaN.

    Raises ShapeError if there are no elements.

    >>> import tensorgrad as tg
    >>> tg.nanmean([1.0, float("nan"), 2.0])
    Tensor(1.5, dtype=float64)
    """
    source = shaped(x, "nanmean")
    facts = Reduced("nanmean", source, axis, keepdims)
    facts.nonempty()

    def forward(a: Any) -> Any:
        w = wide(a)
        hole, count = _counted(w, facts)
        with np.errstate(all="ignore"):
            return narrow(facts.shaped(_sum(np.where(hole, 0, w), axis=facts.axis, keepdims=True) / count), a)

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        hole, count = _counted(wide(x), facts)
        return xp.where(hole, 0, facts.spread(xp, wide(g)) / count)

    return record("nanmean", forward, (source,), (d_x,))


def _deviations(xp: Any, x: Any, facts: Reduced) -> tuple[Any, Any]:
    """Deviations from the mean, 0 for NaN elements; and the number of other elements."""
    hole, count = _counted(x, facts)
    x = xp.where(hole, 0, x)
    mean = xp.sum(x, axis=facts.axis, keepdims=True) / np.maximum(count, 1)
    return xp.where(hole, 0, x - mean), count


def _spread(a: Any, facts: Reduced, ddof: float) -> Any:
    with np.errstate(all="ignore"):
        centred, count = _deviations(np, wide(a), facts)
        freedom = count - ddof
        squares = _sum(np.square(centred), axis=facts.axis, keepdims=True)
        return facts.shaped(np.where(freedom > 0, squares, np.nan) / freedom)


def nanvar(x: TensorLike, /, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """Variance along axes, ignoring NaN; NaN if at most ``ddof`` elements are not NaN.

    Raises ShapeError if there are no elements.

    >>> import tensorgrad as tg
    >>> tg.nanvar([1.0, float("nan"), 3.0])
    Tensor(1., dtype=float64)
    """
    source = shaped(x, "nanvar")
    facts = Reduced("nanvar", source, axis, keepdims)
    facts.nonempty()

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        centred, count = _deviations(xp, wide(x), facts)
        freedom = count - ddof
        scale = np.where(freedom > 0, 2 / freedom, 0).astype(freedom.dtype)
        return facts.spread(xp, wide(g)) * scale * centred

    return record("nanvar", lambda a: narrow(_spread(a, facts, ddof), a), (source,), (d_x,))


def nanstd(x: TensorLike, /, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """Standard deviation along axes, the square root of :func:`nanvar`; its gradient for equal elements is 0.

    Raises ShapeError if there are no elements.

    >>> import tensorgrad as tg
    >>> tg.nanstd([1.0, float("nan"), 3.0])
    Tensor(1., dtype=float64)
    """
    source = shaped(x, "nanstd")
    facts = Reduced("nanstd", source, axis, keepdims)
    facts.nonempty()

    def d_x(xp: Any, g: Any, x: Any, out: Any) -> Any:
        # As in std: rounding can give equal elements a deviation that is not quite zero.
        centred, count = _deviations(xp, wide(x), facts)
        values = x.data if isinstance(x, Handle) else x
        low, high = (ufunc.reduce(values, axis=facts.axis, keepdims=True) for ufunc in (np.fmin, np.fmax))
        out = facts.spread(xp, wide(out))
        flat = (low == high) | (out == 0) | (out != out)
        scaled = facts.spread(xp, wide(g)) / (xp.where(flat, 1, out) * (count - ddof))
        return xp.where(flat, 0, scaled) * centred

    return record("nanstd", lambda a: narrow(np.sqrt(_spread(a, facts, ddof)), a), (source,), (d_x,))
