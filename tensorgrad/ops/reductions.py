"""Reductions along axes.

``axis`` is an integer, a tuple of them, or None for all axes. As in NumPy, float16 is accumulated in float32,
and the mean of integers is float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..engine.arrays import reduced
from ..engine.mode import silenced
from ..engine.record import Tensor, TensorLike, record
from ..engine.shapes import Axis
from ..engine.staging import array_of, indivisible
from ..errors import ShapeError
from .arithmetic import add, divide, multiply, subtract
from .axes import transpose
from .complexes import real_only
from .reducing import counted, half_dtype, in_dtype, masked_to, narrow, reduction, wide
from .selection import maximum, minimum
from .shaping import astype, broadcast_to, reshape
from .tails import log_total
from .views import shaped

__all__ = ["average", "logsumexp", "max", "mean", "min", "prod", "ptp", "sum"]

Shape = tuple[int, ...]

_sum: Any = np.add.reduce  # what np.sum calls, without its overhead
_product: Any = np.multiply.reduce


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
        total = sum(masked_to("sum", x, dtype, where, 0), axis, keepdims=keepdims)
        return in_dtype(total if initial is None else add(total, initial), dtype)
    source = shaped(x, "sum")
    facts = reduction("sum", source, axis, keepdims)

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
        kept = masked_to("mean", x, dtype, where, 0)
        total = sum(wide(kept), axis, keepdims=keepdims)
        return in_dtype(divide(total, counted("mean", kept, axis, keepdims, where, 0)), dtype or half_dtype(kept))
    if dtype is not None:
        return in_dtype(mean(astype(shaped(x, "mean"), dtype), axis, keepdims=keepdims), dtype)
    source = shaped(x, "mean")
    facts = reduction("mean", source, axis, keepdims)
    facts.nonempty()

    def forward(a: Any) -> Any:
        return narrow(np.true_divide(facts.sum(a if a.dtype.kind in "fc" else wide(a), keepdims), facts.count), a)

    def d_x(xp: Any, g: Any) -> Any:
        return xp.broadcast_to(facts.spread(xp, wide(g) / facts.count), facts.shape)

    return record("mean", forward, (source,), (d_x,))


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
        product = product_over("prod", masked_to("prod", x, dtype, where, 1), axis, keepdims)
        return in_dtype(product if initial is None else multiply(product, initial), dtype)
    return product_over("prod", x, axis, keepdims)


def product_over(op: str, x: TensorLike, axis: Axis, keepdims: bool) -> Tensor:
    """:func:`prod`, under the name of an operation that is built on it."""
    source = shaped(x, op)
    facts = reduction(op, source, axis, keepdims)
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


def extremum(op: str, ufunc: np.ufunc, x: TensorLike, axis: Axis, keepdims: bool, ignore_nan: bool = False) -> Tensor:
    """The largest or smallest element along axes; ties split the gradient evenly."""
    source = shaped(x, op)
    facts = reduction(op, source, axis, keepdims)
    facts.nonempty()

    def d_x(xp: Any, g: Any, x: Any, out: Any) -> Any:
        taken = x == facts.spread(xp, out)
        if not ignore_nan:  # NaN is unequal to itself: where there is one, it is the result
            taken = taken | (x != x)
        ties = _sum(taken, axis=facts.axis, keepdims=True)
        g = wide(g)
        return xp.where(taken, facts.spread(xp, g) / ties.astype(g.dtype), 0)

    def forward(a: Any) -> Any:
        return reduced(ufunc, a, facts.axis, keepdims)

    return record(op, real_only(op, forward), (source,), (d_x,))


def bounded(
    op: str, over: Any, pair: Any, x: TensorLike, axis: Axis, keepdims: bool, initial: Any, where: Any
) -> Tensor:
    """The extremum of ``initial`` and those elements that ``where`` leaves."""
    if initial is None:
        raise ValueError(f"{op}: where= may leave no element, so it needs an initial= to begin with")
    source = shaped(x, op)
    if source.dtype.kind in "iu":  # what stands for an element that is left out must not tie with ``initial``
        limits = np.iinfo(source.dtype)
        last: float = limits.min if op.endswith("max") else limits.max
    else:
        last = -np.inf if op.endswith("max") else np.inf
    kept = masked_to(op, source, None, where, last)
    facts = reduction(op, kept, axis, keepdims)
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
        return bounded("max", max, maximum, x, axis, keepdims, initial, where)
    return extremum("max", np.maximum, x, axis, keepdims)


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
        return bounded("min", min, minimum, x, axis, keepdims, initial, where)
    return extremum("min", np.minimum, x, axis, keepdims)


def logsumexp(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` along axes, without overflow.

    If all elements are -inf, the result is -inf and the gradient 0. Raises ShapeError if there are no elements.

    >>> import tensorgrad as tg
    >>> tg.logsumexp([1000.0, 1000.0])
    Tensor(1000.69314718, dtype=float64)
    """
    source = shaped(x, "logsumexp")
    facts = reduction("logsumexp", source, axis, keepdims)
    facts.nonempty()

    def forward(a: Any) -> Any:
        w = wide(a)
        with silenced():
            top = reduced(np.maximum, w, facts.axis, keepdims=True)
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
    reduction("ptp", source, axis, keepdims).nonempty()
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
    facts = reduction("average", source, axis, keepdims)
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
