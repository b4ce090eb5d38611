"""Variance and standard deviation along axes."""

from __future__ import annotations

from math import prod as product
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..engine.record import Handle, Tensor, TensorLike, record
from ..engine.shapes import Axis
from ..engine.staging import array_of
from ..errors import ShapeError
from .arithmetic import abs as magnitude
from .arithmetic import divide, sqrt, square, subtract
from .reducing import Reduced, counted, half_dtype, in_dtype, masked_to, narrow, reduction, wide
from .reductions import sum
from .selection import where as choose
from .tails import in_range

__all__ = ["std", "var"]

_sum: Any = np.add.reduce  # what np.sum calls, without its overhead


def _freedom(facts: Reduced, ddof: float, correction: float) -> float:
    if correction:
        if ddof:
            raise TypeError(f"{facts.op}: correction= is ddof= in the array API standard; give one of them")
        ddof = correction
    facts.nonempty()
    if facts.count <= ddof and product(facts.kept) != 0:
        raise ShapeError(
            f"{facts.op}: with ddof={ddof} it needs more than {ddof} elements, but shape {facts.shape} has "
            f"{facts.count} along axis {facts.axes}"
        )
    return facts.count - ddof


def _variance(a: Any, facts: Reduced, freedom: float) -> Any:
    a = wide(a)
    centred = np.subtract(a, np.true_divide(_sum(a, axis=facts.axis, keepdims=True), facts.count))
    squares = np.multiply(centred, centred) if centred.dtype.kind != "c" else np.square(np.abs(centred))
    return np.true_divide(_sum(squares, axis=facts.axis, keepdims=facts.keepdims), freedom)


def squared_deviations(x: Tensor, centre: Any) -> Tensor:
    """The squared distances of elements from a centre; real for complex numbers."""
    away = subtract(x, centre)
    return square(magnitude(away)) if away.dtype.kind == "c" else square(away)


def _composed(op: str, x: Any, axis: Axis, ddof: float, keepdims: bool, where: Any, centre: Any) -> Tensor:
    """The variance of some of the elements, or around a mean that is given."""
    kept = wide(masked_to(op, x, None, where, 0))
    mask = True if where is None else where
    if centre is None:
        centre = divide(sum(kept, axis, keepdims=True), counted(op, kept, axis, True, mask, 0))
    total = sum(squared_deviations(kept, centre), axis, keepdims=keepdims, where=where)
    return in_dtype(divide(total, counted(op, kept, axis, keepdims, mask, ddof)), half_dtype(x))


def root(variance: Tensor) -> Tensor:
    """The square root of a variance, with gradient 0 at 0."""
    flat = array_of(variance) == 0
    return choose(flat, 0, sqrt(choose(flat, 1, variance)))


def _flat(xp: Any, x: Any, facts: Reduced) -> Any:
    """Whether all elements are equal."""
    if x.dtype.kind == "c":
        return _flat(xp, xp.real(x), facts) & _flat(xp, xp.imag(x), facts)
    return xp.max(x, axis=facts.axis, keepdims=True) == xp.min(x, axis=facts.axis, keepdims=True)


def _centred(xp: Any, x: Any, facts: Reduced) -> Any:
    x = wide(x)
    centred = x - xp.sum(x, axis=facts.axis, keepdims=True) / facts.count
    return xp.conj(centred) if x.dtype.kind == "c" else centred


def var(
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
    """Variance along axes: the sum of squared deviations from the mean, divided by ``n - ddof``.

    For complex numbers it is real: the squared magnitudes count. ``correction`` is the array API standard's word for
    ``ddof``. The elements are cast to ``dtype`` first; those where ``where`` does not hold are left out. ``mean``
    replaces the mean, and gets a gradient; its shape is that of a mean with ``keepdims=True``. Raises ShapeError
    unless there are more than ``ddof`` elements.

    >>> import tensorgrad as tg
    >>> tg.var([1.0, 2.0, 3.0], ddof=1)
    Tensor(1., dtype=float64)
    """
    source = masked_to("var", x, dtype, None, 0)
    if where is not None or mean is not None:
        ddof = correction or ddof
        return _composed("var", source, axis, ddof, keepdims, where, mean)
    facts = reduction("var", source, axis, keepdims)
    freedom = _freedom(facts, ddof, correction)

    def forward(a: Any) -> Any:
        return narrow(_variance(a, facts, freedom), a)

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        return facts.spread(xp, wide(g) * (2 / freedom)) * _centred(xp, x, facts)

    return record("var", forward, (source,), (d_x,))


def std(
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
    """Standard deviation along axes, the square root of :func:`var`; its gradient for equal elements is 0.

    The other arguments are those of :func:`var`. By this convention the second derivative of ``std(x)**2`` for a
    constant is also 0: write ``var(x)``. Raises ShapeError unless there are more than ``ddof`` elements.

    >>> import tensorgrad as tg
    >>> tg.std([1.0, 2.0, 3.0], ddof=1)
    Tensor(1., dtype=float64)
    """
    source = masked_to("std", x, dtype, None, 0)
    if where is not None or mean is not None:
        ddof = correction or ddof
        return root(_composed("std", source, axis, ddof, keepdims, where, mean))
    facts = reduction("std", source, axis, keepdims)
    freedom = _freedom(facts, ddof, correction)

    def forward(a: Any) -> Any:
        return narrow(in_range(plain, wide(a), facts.axes, keepdims), a)

    def plain(w: Any) -> Any:
        return np.sqrt(_variance(w, facts, freedom))

    def d_x(xp: Any, g: Any, x: Any, out: Any) -> Any:
        # Rounding can give equal elements a deviation that is not quite zero, and a gradient of order one.
        out = facts.spread(xp, wide(out))
        flat = _flat(xp, x, facts) | (out == 0)
        size, g = xp.where(flat, 1, out) * freedom, facts.spread(xp, wide(g))
        if isinstance(out, Handle):  # the derivative of g / size would be of the order of size^-2, and can underflow
            return xp.where(flat, 0, g) * (_centred(xp, x, facts) / size)
        return xp.where(flat, 0, g / size) * _centred(xp, x, facts)

    return record("std", forward, (source,), (d_x,))
