"""Variance and standard deviation along axes."""

from __future__ import annotations

from math import prod as product
from typing import Any

import numpy as np

from ..engine.record import Handle, Tensor, TensorLike, record
from ..engine.shapes import Axis
from ..engine.staging import array_of
from ..errors import ShapeError
from .arithmetic import abs as magnitude
from .arithmetic import divide, sqrt, square, subtract
from .reducing import Reduced, counted, half_dtype, in_dtype, masked_to, narrow, wide
from .reductions import sum
from .selection import where as choose
from .tails import in_range
from .views import shaped

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


def _variance_where(x: TensorLike, axis: Axis, ddof: float, keepdims: bool, where: TensorLike) -> Tensor:
    given = masked_to("var", x, None, where, 0)
    kept = wide(given)
    centre = divide(sum(kept, axis, keepdims=True), counted("var", kept, axis, True, where, 0))
    squares = square(magnitude(subtract(kept, centre))) if kept.dtype.kind == "c" else square(subtract(kept, centre))
    total = sum(squares, axis, keepdims=keepdims, where=where)
    return in_dtype(divide(total, counted("var", kept, axis, keepdims, where, ddof)), half_dtype(given))


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
    ddof: float = 0,
    correction: float = 0,
    keepdims: bool = False,
    where: TensorLike | None = None,
) -> Tensor:
    """Variance along axes: the sum of squared deviations from the mean, divided by ``n - ddof``.

    For complex numbers it is real: the squared magnitudes count. ``correction`` is the array API standard's word for
    ``ddof``. Elements where ``where`` does not hold are left out. Raises ShapeError unless there are more than
    ``ddof`` elements.

    >>> import tensorgrad as tg
    >>> tg.var([1.0, 2.0, 3.0], ddof=1)
    Tensor(1., dtype=float64)
    """
    if where is not None:
        return _variance_where(x, axis, ddof or correction, keepdims, where)
    source = shaped(x, "var")
    facts = Reduced("var", source, axis, keepdims)
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
    ddof: float = 0,
    correction: float = 0,
    keepdims: bool = False,
    where: TensorLike | None = None,
) -> Tensor:
    """Standard deviation along axes, the square root of :func:`var`; its gradient for equal elements is 0.

    The other arguments are those of :func:`var`. By this convention the second derivative of ``std(x)**2`` for a
    constant is also 0: write ``var(x)``. Raises ShapeError unless there are more than ``ddof`` elements.

    >>> import tensorgrad as tg
    >>> tg.std([1.0, 2.0, 3.0], ddof=1)
    Tensor(1., dtype=float64)
    """
    if where is not None:
        variance = var(x, axis, ddof=ddof, correction=correction, keepdims=keepdims, where=where)
        flat = array_of(variance) == 0  # where the square root has no derivative
        return choose(flat, 0, sqrt(choose(flat, 1, variance)))
    source = shaped(x, "std")
    facts = Reduced("std", source, axis, keepdims)
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
