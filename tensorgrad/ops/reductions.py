"""Reductions along axes.

``axis`` is an integer, a tuple of them, or None for all axes. As in NumPy, float16 is accumulated in float32,
and the mean of integers is float64.
"""

from __future__ import annotations

from math import prod as product
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..engine.record import Handle, Tensor, TensorLike, record
from ..engine.shapes import Axis, normalised_axes, normalised_axis
from ..engine.staging import array_of, indivisible
from ..errors import ShapeError
from .arithmetic import abs as magnitude
from .arithmetic import add, divide, multiply, sqrt, square, subtract
from .axes import transpose
from .complexes import real_only
from .selection import maximum, minimum
from .selection import where as choose
from .shaping import astype, broadcast_to, reshape
from .tails import in_range, log_total
from .views import shaped

__all__ = ["average", "logsumexp", "max", "mean", "min", "prod", "ptp", "std", "sum", "var"]

Shape = tuple[int, ...]

_sum: Any = np.add.reduce  # what np.sum calls, without its overhead
_product: Any = np.multiply.reduce


class Reduced:
    """The static facts of one reduction: shapes before and after, and how many numbers become one."""

    __slots__ = ("axes", "axis", "count", "keepdims", "kept", "op", "shape")

    def __init__(self, op: str, x: Any, axis: Axis, keepdims: bool) -> None:
        self.op = op
        self.shape = shape = x.shape
        self.keepdims = keepdims
        if axis is None:
            self.axis: Shape | None = None
            self.axes: Shape = tuple(range(len(shape)))
            self.kept: Shape = (1,) * len(shape)
            self.count = product(shape)
        elif isinstance(axis, int):
            a = normalised_axis(axis, len(shape), op)
            self.axis = self.axes = (a,)
            self.kept = (*shape[:a], 1, *shape[a + 1 :])
            self.count = shape[a]
        else:
            self.axis = self.axes = axes = normalised_axes(axis, len(shape), op)
            self.kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
            self.count = product(shape[a] for a in axes)

    def nonempty(self) -> None:
        """Raise ShapeError if there is nothing to reduce."""
        if self.count == 0 and product(self.kept) != 0:
            along = "" if self.axis is None else f" along axis {self.axis}"
            raise ShapeError(
                f"{self.op}: shape {self.shape} has no elements{along}, and the {self.op} of no elements is undefined"
            )

    def spread(self, xp: Any, reduced: Any) -> Any:
        """A reduced array with its reduced axes restored, so that it broadcasts with the original."""
        return xp.reshape(reduced, self.kept)

    def shaped(self, kept: Any) -> Any:
        """An array that was reduced with ``keepdims=True``, without the axes that should not be kept."""
        return kept if self.keepdims else np.squeeze(kept, axis=self.axes)

    def sum(self, array: Any, keepdims: bool) -> Any:
        """The sum of an array, accumulated in float32 or better."""
        if array.dtype == np.float16:
            return _sum(array, axis=self.axis, dtype=np.float32, keepdims=keepdims)
        return _sum(array, axis=self.axis, keepdims=keepdims)


def wide(array: Any) -> Any:
    """Cast float16 to float32 and integers to float64, the dtypes that a mean is computed in.

    Also for gradients, and for Tensors: float16 cannot hold 70,000 to divide by.

    >>> wide(np.ones(2, dtype=np.float16)).dtype, wide(np.ones(2, dtype=int)).dtype
    (dtype('float32'), dtype('float64'))
    """
    if array.dtype == np.float16:
        return array.astype(np.float32)
    return array if array.dtype.kind in "fc" else array.astype(np.float64)


def narrow(result: Any, like: Any) -> Any:
    """Cast a result computed with :func:`wide` back to float16 if the operand was float16.

    >>> narrow(np.ones(2, dtype=np.float32), np.ones(2, dtype=np.float16)).dtype
    dtype('float16')
    """
    return result.astype(np.float16) if like.dtype == np.float16 else result


def _given(op: str, x: TensorLike, dtype: DTypeLike | None, where: Any, neutral: TensorLike) -> Any:
    """What is left to reduce: in ``dtype``, with the neutral element where ``where`` does not hold."""
    source = shaped(x, op)
    if dtype is not None:
        source = astype(source, dtype)
    if where is None:
        return source
    mask = array_of(shaped(where, op))
    fits = len(mask.shape) <= len(source.shape)
    if not (fits and all(m in (1, n) for m, n in zip(mask.shape[::-1], source.shape[::-1]))):
        raise ShapeError(f"{op}: where= of shape {mask.shape} does not broadcast to the shape of x, {source.shape}")
    return choose(mask, source, neutral)


def _half(x: Any) -> DTypeLike | None:
    """float16 for what was computed in float32 on its behalf."""
    return np.float16 if x.dtype == np.float16 else None


def in_dtype(result: Any, dtype: DTypeLike | None) -> Tensor:
    """A result in the dtype that was asked for: sums of small integers and booleans are wider.

    >>> in_dtype(sum([True, True]), np.int8).dtype
    dtype('int8')
    """
    return result if dtype is None else astype(result, dtype, copy=False)


def sum(
    x: TensorLike,
    /,
    axis: Axis = None,
    *,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    initial: TensorLike | None = None,
    where: TensorLike | None = None,
) -> Tensor:
    """Sum along axes; 0 if there are no elements.

    The elements are cast to ``dtype`` first; those where ``where`` does not hold are left out; ``initial`` is added.

    >>> import tensorgrad as tg
    >>> tg.sum([[1.0, 2.0], [3.0, 4.0]], axis=1)
    Tensor([3., 7.], dtype=float64)
    """
    if dtype is not None or where is not None or initial is not None:
        total = sum(_given("sum", x, dtype, where, 0), axis, keepdims=keepdims)
        return in_dtype(total if initial is None else add(total, initial), dtype)
    source = shaped(x, "sum")
    facts = Reduced("sum", source, axis, keepdims)

    def forward(a: Any) -> Any:
        return narrow(facts.sum(a, keepdims), a)

    def d_x(xp: Any, g: Any) -> Any:
        return xp.broadcast_to(facts.spread(xp, g), facts.shape)

    return record("sum", forward, (source,), (d_x,))


def mean(
    x: TensorLike,
    /,
    axis: Axis = None,
    *,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    where: TensorLike | None = None,
) -> Tensor:
    """Arithmetic mean along axes. Raises ShapeError if there are no elements.

    The elements are cast to ``dtype`` first; those where ``where`` does not hold are left out.

    >>> import tensorgrad as tg
    >>> tg.mean([[1.0, 2.0], [3.0, 4.0]], axis=0)
    Tensor([2., 3.], dtype=float64)
    """
    if where is not None:
        kept = _given("mean", x, dtype, where, 0)
        total = sum(wide(kept), axis, keepdims=keepdims)
        return in_dtype(divide(total, _counted("mean", kept, axis, keepdims, where, 0)), dtype or _half(kept))
    if dtype is not None:
        return in_dtype(mean(astype(shaped(x, "mean"), dtype), axis, keepdims=keepdims), dtype)
    source = shaped(x, "mean")
    facts = Reduced("mean", source, axis, keepdims)
    facts.nonempty()

    def forward(a: Any) -> Any:
        return narrow(np.true_divide(facts.sum(a if a.dtype.kind in "fc" else wide(a), keepdims), facts.count), a)

    def d_x(xp: Any, g: Any) -> Any:
        return xp.broadcast_to(facts.spread(xp, wide(g) / facts.count), facts.shape)

    return record("mean", forward, (source,), (d_x,))


@indivisible
def _count_of(op: str, mask: Any, facts: Reduced, ddof: float, dtype: Any) -> Any:
    kept = np.broadcast_to(mask, facts.shape) != 0
    count = _sum(kept, axis=facts.axes, dtype=np.intp, keepdims=True) - ddof
    if np.any(count <= 0):
        raise ShapeError(f"{op}: where= leaves too few of the elements of shape {facts.shape} along axis {facts.axes}")
    shape = tuple(n for i, n in enumerate(facts.kept) if facts.keepdims or i not in facts.axes)
    return np.reshape(count, shape).astype(dtype)


def _counted(op: str, x: Any, axis: Axis, keepdims: bool, where: Any, ddof: float) -> Any:
    """How many elements ``where`` leaves of each that becomes one, less ``ddof``, in the dtype of the result."""
    facts = Reduced(op, x, axis, keepdims)
    dtype = np.empty(0, x.dtype).real.dtype
    return _count_of(op, array_of(shaped(where, op)), facts, ddof, dtype if dtype.kind == "f" else np.float64)


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
    given = _given("var", x, None, where, 0)
    kept = wide(given)
    centre = divide(sum(kept, axis, keepdims=True), _counted("var", kept, axis, True, where, 0))
    squares = square(magnitude(subtract(kept, centre))) if kept.dtype.kind == "c" else square(subtract(kept, centre))
    total = sum(squares, axis, keepdims=keepdims, where=where)
    return in_dtype(divide(total, _counted("var", kept, axis, keepdims, where, ddof)), _half(given))


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


def prod(
    x: TensorLike,
    /,
    axis: Axis = None,
    *,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    initial: TensorLike | None = None,
    where: TensorLike | None = None,
) -> Tensor:
    """Product along axes; 1 if there are no elements. Its gradient is exact even where elements are zero.

    The elements are cast to ``dtype`` first; those where ``where`` does not hold are left out; the product is
    multiplied by ``initial``.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([2.0, 0.0, 4.0], requires_grad=True)
    >>> x.prod().backward()
    >>> x.grad
    array([0., 8., 0.])
    """
    if dtype is not None or where is not None or initial is not None:
        product = product_over("prod", _given("prod", x, dtype, where, 1), axis, keepdims)
        return in_dtype(product if initial is None else multiply(product, initial), dtype)
    return product_over("prod", x, axis, keepdims)


def product_over(op: str, x: TensorLike, axis: Axis, keepdims: bool) -> Tensor:
    """:func:`prod`, under the name of an operation that is built on it."""
    source = shaped(x, op)
    facts = Reduced(op, source, axis, keepdims)
    rest = tuple(i for i in range(len(facts.shape)) if i not in facts.axes)
    order = facts.axes + rest
    moved = tuple(facts.shape[i] for i in order)
    outer = moved[len(facts.axes) :]

    def forward(a: Any) -> Any:
        dtype = np.float32 if a.dtype == np.float16 else None
        return narrow(_product(a, axis=facts.axis, dtype=dtype, keepdims=keepdims), a)

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        # Multiply in pairs, as a tree, and walk back down: the gradient of one factor is that of the pair times
        # the other. There is no division, so zeros are exact; only products, so the next derivative is exact too.
        level = xp.reshape(xp.transpose(wide(x), order), (facts.count, *outer))
        siblings = []
        while level.shape[0] > 1:
            odd = level[-1:] if level.shape[0] % 2 else None
            left, right = level[: level.shape[0] - 1 : 2], level[1::2]
            siblings.append((left, right, odd is not None))
            level = left * right
            if odd is not None:
                level = xp.concatenate([level, odd])
        g = xp.reshape(wide(g), (1, *outer))
        for left, right, odd in reversed(siblings):
            pairs = left.shape[0]
            above = g[:pairs]
            below = xp.reshape(xp.stack([above * right, above * left], axis=1), (2 * pairs, *outer))
            g = xp.concatenate([below, g[pairs:]]) if odd else below
        back = tuple(sorted(range(len(order)), key=order.__getitem__))
        return xp.transpose(xp.reshape(g[: facts.count], moved), back)

    return record(op, forward, (source,), (d_x,))


def extremum(op: str, reduce: Any, x: TensorLike, axis: Axis, keepdims: bool, ignore_nan: bool = False) -> Tensor:
    """The largest or smallest element along axes; ties split the gradient evenly."""
    source = shaped(x, op)
    facts = Reduced(op, source, axis, keepdims)
    facts.nonempty()

    def d_x(xp: Any, g: Any, x: Any, out: Any) -> Any:
        taken = x == facts.spread(xp, out)
        if not ignore_nan:  # NaN is unequal to itself: where there is one, it is the result
            taken = taken | (x != x)
        ties = _sum(taken, axis=facts.axis, keepdims=True)
        g = wide(g)
        return xp.where(taken, facts.spread(xp, g) / ties.astype(g.dtype), 0)

    def forward(a: Any) -> Any:
        return reduce(a, axis=facts.axis, keepdims=keepdims)

    return record(op, real_only(op, forward), (source,), (d_x,))


def _bounded(
    op: str, over: Any, pair: Any, x: TensorLike, axis: Axis, keepdims: bool, initial: Any, where: Any
) -> Tensor:
    if initial is None:
        raise ValueError(f"{op}: where= may leave no element, so it needs an initial= to begin with")
    source = shaped(x, op)
    if source.dtype.kind in "iu":  # what stands for an element that is left out must not tie with ``initial``
        limits = np.iinfo(source.dtype)
        last: float = limits.min if op == "max" else limits.max
    else:
        last = -np.inf if op == "max" else np.inf
    kept = _given(op, source, None, where, last)
    facts = Reduced(op, kept, axis, keepdims)
    if facts.count:
        return pair(over(kept, axis, keepdims=keepdims), initial)
    return add(sum(kept, axis, keepdims=keepdims), initial)  # there is nothing else


def max(
    x: TensorLike,
    /,
    axis: Axis = None,
    *,
    keepdims: bool = False,
    initial: TensorLike | None = None,
    where: TensorLike | None = None,
) -> Tensor:
    """Largest element along axes; ties split the gradient evenly.

    The result is at least ``initial``, if it is given; elements where ``where`` does not hold are left out, which
    needs an ``initial``. Raises ShapeError if there are no elements and no ``initial``.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 3.0, 3.0], requires_grad=True)
    >>> x.max().backward()
    >>> x.grad
    array([0. , 0.5, 0.5])
    """
    if where is not None or initial is not None:
        return _bounded("max", max, maximum, x, axis, keepdims, initial, where)
    return extremum("max", np.maximum.reduce, x, axis, keepdims)


def min(
    x: TensorLike,
    /,
    axis: Axis = None,
    *,
    keepdims: bool = False,
    initial: TensorLike | None = None,
    where: TensorLike | None = None,
) -> Tensor:
    """Smallest element along axes; ties split the gradient evenly.

    The result is at most ``initial``, if it is given; elements where ``where`` does not hold are left out, which
    needs an ``initial``. Raises ShapeError if there are no elements and no ``initial``.

    >>> import tensorgrad as tg
    >>> tg.min([[1.0, 2.0], [3.0, 4.0]], axis=0)
    Tensor([1., 2.], dtype=float64)
    """
    if where is not None or initial is not None:
        return _bounded("min", min, minimum, x, axis, keepdims, initial, where)
    return extremum("min", np.minimum.reduce, x, axis, keepdims)


def logsumexp(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` along axes, without overflow.

    If all elements are -inf, the result is -inf and the gradient 0. Raises ShapeError if there are no elements.

    >>> import tensorgrad as tg
    >>> tg.logsumexp([1000.0, 1000.0])
    Tensor(1000.69314718, dtype=float64)
    """
    source = shaped(x, "logsumexp")
    facts = Reduced("logsumexp", source, axis, keepdims)
    facts.nonempty()

    def forward(a: Any) -> Any:
        w = wide(a)
        with np.errstate(all="ignore"):
            top = np.maximum.reduce(w, axis=facts.axis, keepdims=True)
            top = np.where(np.isfinite(top), top, 0)
            result = log_total(w - top, facts.axis) + top
        return narrow(facts.shaped(result), a)

    def d_x(xp: Any, g: Any, x: Any, out: Any) -> Any:
        # The rounding of a large result is a common factor of all parts, and cancels when divided by their sum.
        x, out = wide(x), wide(out)
        parts = xp.exp(x - facts.spread(xp, xp.where(out == -np.inf, 0, out)))
        total = xp.sum(parts, axis=facts.axis, keepdims=True)
        return facts.spread(xp, wide(g)) / xp.where(total == 0, 1, total) * parts

    return record("logsumexp", real_only("logsumexp", forward), (source,), (d_x,))


def ptp(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Largest minus smallest element along axes ("peak to peak"); ties split each gradient evenly.

    Raises ShapeError if there are no elements.

    >>> import tensorgrad as tg
    >>> tg.ptp([[1.0, 5.0], [3.0, 4.0]], axis=1)
    Tensor([4., 1.], dtype=float64)
    """
    source = shaped(x, "ptp")
    Reduced("ptp", source, axis, keepdims).nonempty()
    return subtract(max(source, axis, keepdims=keepdims), min(source, axis, keepdims=keepdims))


@indivisible
def _refuse_zero(total: Any) -> None:
    if np.any(total == 0):
        raise ZeroDivisionError("average: the weights add up to zero, so the average is undefined")


def average(
    x: TensorLike,
    /,
    axis: Axis = None,
    weights: TensorLike | None = None,
    returned: bool = False,
    *,
    keepdims: bool = False,
) -> Any:
    """Weighted mean along axes; with ``returned=True`` a pair, the mean and the sum of the weights.

    Weights have the shape of x, or that of the axes alone. Both get gradients. Raises ShapeError for weights of
    another shape, and ZeroDivisionError if they add up to zero.

    >>> import tensorgrad as tg
    >>> tg.average([1.0, 4.0], weights=[2.0, 1.0])
    Tensor(2., dtype=float64)
    """
    source = shaped(x, "average")
    facts = Reduced("average", source, axis, keepdims)
    facts.nonempty()
    if weights is None:
        result = mean(source, axis, keepdims=keepdims)
        return (result, result.detach() * 0 + facts.count) if returned else result
    given = shaped(weights, "average")
    if given.shape != facts.shape:
        if axis is None or given.shape != tuple(facts.shape[a] for a in facts.axes):
            raise ShapeError(
                f"average: weights of shape {given.shape} match neither x of shape {facts.shape} nor its axes {axis}"
            )
        order = sorted(range(len(facts.axes)), key=facts.axes.__getitem__)
        places = tuple(n if i in facts.axes else 1 for i, n in enumerate(facts.shape))
        given = broadcast_to(reshape(transpose(given, order), places), facts.shape)
    total = sum(given, axis, keepdims=keepdims)
    _refuse_zero(array_of(total))
    result = divide(sum(multiply(source, given), axis, keepdims=keepdims), total)
    return (result, total) if returned else result
