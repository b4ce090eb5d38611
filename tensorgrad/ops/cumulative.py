"""Running sums and products along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..engine.arrays import accumulated
from ..engine.mode import silenced
from ..engine.record import Tensor, TensorLike, record
from ..engine.shapes import normalised_axis
from ..errors import ShapeError
from .complexes import real_only
from .nan import filled
from .reducing import in_dtype, narrow, wide
from .shaping import astype, ravel
from .tails import over_one_and_exp
from .views import shaped

__all__ = [
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "cumulative_prod",
    "cumulative_sum",
    "logcumsumexp",
    "nancumprod",
    "nancumsum",
]


def cumsum(x: TensorLike, /, axis: int | None = None, *, dtype: DTypeLike | None = None) -> Tensor:
    """Running sum along an axis; None flattens first.

    >>> import tensorgrad as tg
    >>> tg.cumsum([1.0, 2.0, 3.0])
    Tensor([1., 3., 6.], dtype=float64)
    """
    return in_dtype(_running("cumsum", *_along("cumsum", x, axis, True, dtype), False), dtype)


def cumulative_sum(
    x: TensorLike,
    /,
    *,
    axis: int | None = None,
    dtype: DTypeLike | None = None,
    include_initial: bool = False,
) -> Tensor:
    """Running sum along an axis, which may be omitted if there is only one; optionally starting with 0.

    >>> import tensorgrad as tg
    >>> tg.cumulative_sum([1.0, 2.0, 3.0], include_initial=True)
    Tensor([0., 1., 3., 6.], dtype=float64)
    """
    return in_dtype(
        _running("cumulative_sum", *_along("cumulative_sum", x, axis, False, dtype), include_initial), dtype
    )


def _running(op: str, x: Any, axis: int, include_initial: bool) -> Tensor:
    def forward(a: Any) -> Any:
        sums = narrow(np.cumsum(a.astype(np.float32) if a.dtype == np.float16 else a, axis=axis), a)
        return _prepended(np.zeros_like, sums, axis) if include_initial else sums

    def d_x(xp: Any, g: Any) -> Any:
        if include_initial:
            g = g[_part(axis, 1, None)]
        return xp.flip(xp.cumsum(xp.flip(wide(g), axis), axis), axis)

    return record(op, forward, (x,), (d_x,))


def _part(axis: int, start: int | None, stop: int | None) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, slice(start, stop))


def _prepended(first: Any, a: Any, axis: int) -> Any:
    """An array with its initial value in front: ``first`` is np.zeros_like or np.ones_like."""
    shape = (*a.shape[:axis], 1, *a.shape[axis + 1 :])
    return np.concatenate([first(a, shape=shape), a], axis=axis)


def _along(op: str, x: TensorLike, axis: int | None, flatten: bool, dtype: DTypeLike | None = None) -> tuple[Any, int]:
    """An operand, cast to ``dtype``, and the axis to run along; None flattens, or stands for the only axis."""
    source = shaped(x, op)
    if dtype is not None:
        source = astype(source, dtype)
    if axis is None and flatten:
        return ravel(source), 0
    if axis is None:
        if len(source.shape) != 1:
            raise ShapeError(f"{op}: shape {source.shape} has {len(source.shape)} axes; choose one with axis=...")
        axis = 0
    return source, normalised_axis(axis, len(source.shape), op)


def nancumsum(x: TensorLike, /, axis: int | None = None, *, dtype: DTypeLike | None = None) -> Tensor:
    """Running sum along an axis, ignoring NaN; None flattens first. NaN elements get a gradient of 0.

    >>> import tensorgrad as tg
    >>> tg.nancumsum([1.0, float("nan"), 3.0])
    Tensor([1., 1., 4.], dtype=float64)
    """
    return in_dtype(
        _running("nancumsum", *_along("nancumsum", filled(x, "nancumsum", 0), axis, True, dtype), False), dtype
    )


def nancumprod(x: TensorLike, /, axis: int | None = None, *, dtype: DTypeLike | None = None) -> Tensor:
    """Running product along an axis, ignoring NaN; None flattens first. NaN elements get a gradient of 0.

    >>> import tensorgrad as tg
    >>> tg.nancumprod([2.0, float("nan"), 3.0])
    Tensor([2., 2., 6.], dtype=float64)
    """
    source, axis = _along("nancumprod", filled(x, "nancumprod", 1), axis, True, dtype)
    return in_dtype(_running_product("nancumprod", source, axis, False), dtype)


# --- running products and similar -----------------------------------------------------------------------


def _scan_from_end(xp: Any, g: Any, factors: Any, axis: int) -> Any:
    """Solve ``y[i] = g[i] + factors[i] * y[i + 1]`` for y along an axis; there is one factor fewer than elements.

    It takes log2(n) steps instead of n: after each, y[i] has gathered what is less than ``step`` places after it, and
    ``factors[i]`` is the product of that many factors. There is no division, so zeros are exact, and so is the next
    derivative.
    """
    length = g.shape[axis]
    step = 1
    while step < length:
        gathered = g[_part(axis, None, length - step)] + factors * g[_part(axis, step, None)]
        g = xp.concatenate([gathered, g[_part(axis, length - step, None)]], axis=axis)
        if 2 * step < length:
            factors = factors[_part(axis, None, length - 2 * step)] * factors[_part(axis, step, None)]
        step *= 2
    return g


def _running_product(op: str, x: Any, axis: int, include_initial: bool) -> Tensor:
    def forward(a: Any) -> Any:
        products = narrow(np.cumprod(a.astype(np.float32) if a.dtype == np.float16 else a, axis=axis), a)
        return _prepended(np.ones_like, products, axis) if include_initial else products

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        if include_initial:
            g = g[_part(axis, 1, None)]
        x, g = wide(x), wide(g)
        behind = _scan_from_end(xp, g, x[_part(axis, 1, None)], axis)
        first = behind[_part(axis, 0, 1)]
        before = xp.cumprod(x[_part(axis, None, -1)], axis)
        return xp.concatenate([first, before * behind[_part(axis, 1, None)]], axis=axis)

    return record(op, forward, (x,), (d_x,))


def cumprod(x: TensorLike, /, axis: int | None = None, *, dtype: DTypeLike | None = None) -> Tensor:
    """Running product along an axis; None flattens first. Its gradient is exact even where elements are zero.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([2.0, 0.0, 4.0], requires_grad=True)
    >>> tg.cumprod(x).sum().backward()
    >>> x.grad
    array([ 1., 10.,  0.])
    """
    return in_dtype(_running_product("cumprod", *_along("cumprod", x, axis, True, dtype), False), dtype)


def cumulative_prod(
    x: TensorLike,
    /,
    *,
    axis: int | None = None,
    dtype: DTypeLike | None = None,
    include_initial: bool = False,
) -> Tensor:
    """Running product along an axis, which may be omitted if there is only one; optionally starting with 1.

    >>> import tensorgrad as tg
    >>> tg.cumulative_prod([1.0, 2.0, 3.0], include_initial=True)
    Tensor([1., 1., 2., 6.], dtype=float64)
    """
    return in_dtype(
        _running_product("cumulative_prod", *_along("cumulative_prod", x, axis, False, dtype), include_initial), dtype
    )


def logcumsumexp(x: TensorLike, /, axis: int | None = None) -> Tensor:
    """``log(cumsum(exp(x)))`` along an axis, without overflow; None flattens first.

    If all elements so far are -inf, the result is -inf and their gradient 0.

    >>> import tensorgrad as tg
    >>> tg.logcumsumexp([1000.0, 1000.0])
    Tensor([1000.        , 1000.69314718], dtype=float64)
    """
    source, axis = _along("logcumsumexp", x, axis, True)

    def forward(a: Any) -> Any:
        with silenced():
            return narrow(accumulated(np.logaddexp, wide(a), axis), a)

    def d_x(xp: Any, g: Any, x: Any, out: Any) -> Any:
        # Each result is the logaddexp of the previous one and an element: a step passes each of them its share.
        x, out = wide(x), wide(out)
        nothing = out == -np.inf
        this, following = _part(axis, None, -1), _part(axis, 1, None)
        before = nothing[this]
        gap = x[following] - xp.where(before, 0, out[this])
        behind = _scan_from_end(xp, wide(g), xp.where(before, 0, over_one_and_exp(xp, 1, gap)), axis)
        parts = xp.where(nothing[following], 0, xp.where(before, 1, over_one_and_exp(xp, 1, -gap)))
        first = xp.where(nothing[_part(axis, 0, 1)], 0, behind[_part(axis, 0, 1)])
        return xp.concatenate([first, parts * behind[following]], axis=axis)

    return record("logcumsumexp", real_only("logcumsumexp", forward), (source,), (d_x,))


def _running_extremum(op: str, ufunc: np.ufunc, x: TensorLike, axis: int | None) -> Tensor:
    source, along = _along(op, x, axis, True)
    this, following = _part(along, None, -1), _part(along, 1, None)

    def d_x(xp: Any, g: Any, x: Any, out: Any) -> Any:
        # The result is constant over runs of places. Elements of x that equal it share the gradient of each place of
        # the run from their own place on. (NaN is unequal to itself: once there is one, it is the result.)
        g = wide(g)
        taken = (x == out) | (x != x)
        same = ((out[this] == out[following]) | ((out[this] != out[this]) & (out[following] != out[following]))) * 1
        ties = np.flip(_scan_from_end(np, np.flip(taken * 1, along), np.flip(same, along), along), along)
        share = g / np.maximum(ties, 1).astype(g.dtype)
        return xp.where(taken, _scan_from_end(xp, share, same.astype(g.dtype), along), 0)

    return record(op, real_only(op, lambda a: accumulated(ufunc, a, along)), (source,), (d_x,))


def cummax(x: TensorLike, /, axis: int | None = None) -> Tensor:
    """Largest element so far along an axis; None flattens first. Ties split the gradient evenly.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 3.0, 2.0], requires_grad=True)
    >>> tg.cummax(x).sum().backward()
    >>> x.grad
    array([1., 2., 0.])
    """
    return _running_extremum("cummax", np.maximum, x, axis)


def cummin(x: TensorLike, /, axis: int | None = None) -> Tensor:
    """Smallest element so far along an axis; None flattens first. Ties split the gradient evenly.

    >>> import tensorgrad as tg
    >>> tg.cummin([3.0, 1.0, 2.0])
    Tensor([3., 1., 1.], dtype=float64)
    """
    return _running_extremum("cummin", np.minimum, x, axis)
