"""Reductions that ignore NaN: NaN elements have a gradient of exactly 0, even if all elements are NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..engine.arrays import reduced
from ..engine.mode import silenced
from ..engine.record import Handle, Tensor, TensorLike, record
from ..engine.shapes import Axis
from ..engine.staging import array_of
from ..errors import DTypeError
from .arithmetic import add, divide, multiply
from .logic import isnan
from .reducing import Reduced, half_dtype, in_dtype, masked_to, narrow, reduction, wide
from .reductions import bounded, extremum, product_over
from .selection import fmax, fmin
from .selection import where as choose
from .variance import root, squared_deviations
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
    return choose(isnan(source), value, source)


def nansum(
    x: TensorLike,
    /,
    axis: Axis = None,
    *,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    initial: TensorLike | None = None,
    where: TensorLike | None = None,
) -> Tensor:
    """Sum along axes, ignoring NaN. Other arguments are those of :func:`sum`.

    >>> import tensorgrad as tg
    >>> tg.nansum([1.0, float("nan"), 2.0])
    Tensor(3., dtype=float64)
    """
    if dtype is not None or where is not None or initial is not None:
        total = nansum(masked_to("nansum", x, dtype, where, 0), axis, keepdims=keepdims)
        return in_dtype(total if initial is None else add(total, initial), dtype)
    source = shaped(x, "nansum")
    facts = reduction("nansum", source, axis, keepdims)

    def forward(a: Any) -> Any:
        return narrow(facts.sum(np.where(a != a, 0, a), keepdims), a)

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        return xp.where(x != x, 0, facts.spread(xp, g))

    return record("nansum", forward, (source,), (d_x,))


def nanprod(
    x: TensorLike,
    /,
    axis: Axis = None,
    *,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    initial: TensorLike | None = None,
    where: TensorLike | None = None,
) -> Tensor:
    """Product along axes, ignoring NaN; its gradient is exact even where elements are zero.

    Other arguments are those of :func:`prod`.

    >>> import tensorgrad as tg
    >>> tg.nanprod([3.0, float("nan"), 2.0])
    Tensor(6., dtype=float64)
    """
    kept = masked_to("nanprod", filled(x, "nanprod", 1), dtype, where, 1)
    product = product_over("nanprod", kept, axis, keepdims)
    return in_dtype(product if initial is None else multiply(product, initial), dtype)


def nanmax(
    x: TensorLike,
    /,
    axis: Axis = None,
    *,
    keepdims: bool = False,
    initial: TensorLike | None = None,
    where: TensorLike | None = None,
) -> Tensor:
    """Largest element along axes, ignoring NaN (NaN if all are NaN); ties split the gradient evenly.

    Other arguments are those of :func:`max`. Raises ShapeError if there are no elements and no ``initial``.

    >>> import tensorgrad as tg
    >>> tg.nanmax([1.0, float("nan"), 2.0])
    Tensor(2., dtype=float64)
    """
    if where is not None or initial is not None:
        return bounded("nanmax", nanmax, fmax, x, axis, keepdims, initial, where)
    return extremum("nanmax", np.fmax, x, axis, keepdims, ignore_nan=True)


def nanmin(
    x: TensorLike,
    /,
    axis: Axis = None,
    *,
    keepdims: bool = False,
    initial: TensorLike | None = None,
    where: TensorLike | None = None,
) -> Tensor:
    """Smallest element along axes, ignoring NaN (NaN if all are NaN); ties split the gradient evenly.

    Other arguments are those of :func:`min`. Raises ShapeError if there are no elements and no ``initial``.

    >>> import tensorgrad as tg
    >>> tg.nanmin([1.0, float("nan"), 2.0])
    Tensor(1., dtype=float64)
    """
    if where is not None or initial is not None:
        return bounded("nanmin", nanmin, fmin, x, axis, keepdims, initial, where)
    return extremum("nanmin", np.fmin, x, axis, keepdims, ignore_nan=True)


def _left(op: str, x: TensorLike, dtype: DTypeLike | None, where: Any) -> Any:
    """What is left to average: in ``dtype``, with NaN, which is ignored, where ``where`` does not hold."""
    if dtype is not None and np.dtype(dtype).kind not in "fc":
        raise DTypeError(f"{op}: dtype={np.dtype(dtype)} cannot hold NaN; pass a floating-point dtype")
    return masked_to(op, x, dtype, where, np.nan)


def _counted(x: Any, facts: Reduced) -> tuple[Any, Any]:
    """A mask of NaN elements, and the number of others: plain arrays, even for Tensors."""
    hole = x != x
    count = _sum(np.logical_not(hole), axis=facts.axis, dtype=np.intp, keepdims=True)
    return hole, count.astype(x.real.dtype if x.dtype.kind == "c" else x.dtype)


def nanmean(
    x: TensorLike,
    /,
    axis: Axis = None,
    *,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    where: TensorLike | None = None,
) -> Tensor:
    """Arithmetic mean along axes, ignoring NaN; NaN if all are NaN.

    The elements are cast to ``dtype`` first; those where ``where`` does not hold are ignored as well. Raises ShapeError
    if there are no elements, DTypeError for a ``dtype`` that cannot hold NaN.

    >>> import tensorgrad as tg
    >>> tg.nanmean([1.0, float("nan"), 2.0])
    Tensor(1.5, dtype=float64)
    """
    source = _left("nanmean", x, dtype, where)
    facts = reduction("nanmean", source, axis, keepdims)
    facts.nonempty()

    def forward(a: Any) -> Any:
        w = wide(a)
        hole, count = _counted(w, facts)
        with silenced():
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
    with silenced():
        centred, count = _deviations(np, wide(a), facts)
        freedom = count - ddof
        squares = _sum(np.square(centred), axis=facts.axis, keepdims=True)
        return facts.shaped(np.where(freedom > 0, squares, np.nan) / freedom)


def _around(x: Any, axis: Axis, ddof: float, keepdims: bool, centre: Any) -> Tensor:
    """The variance around a mean that is given."""
    total = nansum(squared_deviations(wide(x), centre), axis, keepdims=keepdims)
    freedom = np.sum(~isnan(array_of(x)), axis=axis, keepdims=keepdims) - ddof
    return in_dtype(divide(total, np.where(freedom > 0, freedom, np.nan).astype(total.dtype)), half_dtype(x))


def nanvar(
    x: TensorLike,
    /,
    axis: Axis = None,
    *,
    dtype: DTypeLike | None = None,
    ddof: float = 0,
    correction: float = 0,
    keepdims: bool = False,
    where: TensorLike | None = None,
    mean: TensorLike | None = None,
) -> Tensor:
    """Variance along axes, ignoring NaN; NaN if at most ``ddof`` elements are not NaN.

    Other arguments are those of :func:`var`. Raises ShapeError if there are no elements.

    >>> import tensorgrad as tg
    >>> tg.nanvar([1.0, float("nan"), 3.0])
    Tensor(1., dtype=float64)
    """
    source, ddof = _left("nanvar", x, dtype, where), correction or ddof
    if mean is not None:
        return _around(source, axis, ddof, keepdims, mean)
    facts = reduction("nanvar", source, axis, keepdims)
    facts.nonempty()

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        centred, count = _deviations(xp, wide(x), facts)
        freedom = count - ddof
        scale = np.where(freedom > 0, 2 / freedom, 0).astype(freedom.dtype)
        return facts.spread(xp, wide(g)) * scale * centred

    return record("nanvar", lambda a: narrow(_spread(a, facts, ddof), a), (source,), (d_x,))


def nanstd(
    x: TensorLike,
    /,
    axis: Axis = None,
    *,
    dtype: DTypeLike | None = None,
    ddof: float = 0,
    correction: float = 0,
    keepdims: bool = False,
    where: TensorLike | None = None,
    mean: TensorLike | None = None,
) -> Tensor:
    """Standard deviation along axes, the square root of :func:`nanvar`; its gradient for equal elements is 0.

    Other arguments are those of :func:`std`. Raises ShapeError if there are no elements.

    >>> import tensorgrad as tg
    >>> tg.nanstd([1.0, float("nan"), 3.0])
    Tensor(1., dtype=float64)
    """
    source, ddof = _left("nanstd", x, dtype, where), correction or ddof
    if mean is not None:
        return root(_around(source, axis, ddof, keepdims, mean))
    facts = reduction("nanstd", source, axis, keepdims)
    facts.nonempty()

    def d_x(xp: Any, g: Any, x: Any, out: Any) -> Any:
        # As in std: rounding can give equal elements a deviation that is not quite zero.
        centred, count = _deviations(xp, wide(x), facts)
        values = x.data if isinstance(x, Handle) else x
        low, high = (reduced(ufunc, values, facts.axis, keepdims=True) for ufunc in (np.fmin, np.fmax))
        out = facts.spread(xp, wide(out))
        flat = (low == high) | (out == 0) | (out != out)
        scaled = facts.spread(xp, wide(g)) / (xp.where(flat, 1, out) * (count - ddof))
        return xp.where(flat, 0, scaled) * centred

    return record("nanstd", lambda a: narrow(np.sqrt(_spread(a, facts, ddof)), a), (source,), (d_x,))
