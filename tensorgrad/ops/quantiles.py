"""Medians and other quantiles along axes.

A quantile is computed from one or two order statistics, the elements at certain places of the sorted array. The
places follow from shapes alone, unless NaN is ignored. The gradient of an order statistic goes to the element it was
taken from, and is split evenly among ties.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.mode import silenced
from ..engine.record import Handle, Tensor, TensorLike, record
from ..engine.shapes import Axis
from ..errors import DTypeError
from .complexes import refuse_complex
from .reducing import Reduced, reduction, wide
from .views import no_gradient, shaped

__all__ = ["median", "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile"]

_sum: Any = np.add.reduce

# Hyndman and Fan (1996), doi:10.1080/00031305.1996.10473566: the place is n q + alpha + q (1 - alpha - beta) - 1
_ALPHA_BETA = {
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
_OTHERS = (
    "linear",
    "lower",
    "higher",
    "midpoint",
    "nearest",
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
)


def _places(method: str, n: Any, q: float) -> tuple[Any, Any, Any]:
    """For n sorted elements: the lower and the upper place, and the weight of the upper. n may be an array."""
    last = np.maximum(n - 1, 0)
    if method in _ALPHA_BETA:
        alpha, beta = _ALPHA_BETA[method]
        place = n * q + (alpha + q * (1 - alpha - beta)) - 1
    elif method in ("inverted_cdf", "averaged_inverted_cdf"):
        place = n * q - 1
    elif method == "closest_observation":
        place = n * q - 1.5
    else:
        place = last * q
    low = np.floor(place)
    weight = place - low
    if method == "lower":
        weight = weight * 0
    elif method == "higher":
        weight = np.ceil(weight)
    elif method == "midpoint":
        weight = 0.5 * np.ceil(weight)
    elif method == "nearest":
        weight = np.rint(place) - low
    elif method == "inverted_cdf":
        weight = np.ceil(weight)
    elif method == "averaged_inverted_cdf":
        weight = np.where(weight == 0, 0.5, 1.0) if np.ndim(n) else (0.5 if weight == 0 else 1.0)
    elif method == "closest_observation":
        weight = 1.0 - (weight == 0) * (low % 2 == 1)
    low = low.astype(np.intp)
    return np.clip(low, 0, last), np.clip(low + 1, 0, last), weight


def _facts_of(op: str, x: TensorLike, q: Any, axis: Axis, keepdims: bool, method: str) -> tuple[Any, Reduced, Any]:
    refuse_complex(op, x)
    if isinstance(q, Handle) or hasattr(q, "__traced_call__") or hasattr(q, "__traced_number__"):
        raise DTypeError(f"{op}: q must be a plain number or array, and gets no gradient; write t.data or t.item()")
    numbers = np.asarray(q, dtype=np.float64)
    if not ((numbers >= 0) & (numbers <= 1)).all():
        raise ValueError(f"{op}: quantiles must be between 0 and 1 (percentiles between 0 and 100)")
    if method not in _ALPHA_BETA and method not in _OTHERS:
        raise ValueError(f"{op}: got method={method!r}, expected one of {', '.join((*_OTHERS, *_ALPHA_BETA))}")
    source = shaped(x, op)
    facts = reduction(op, source, axis, keepdims)
    facts.nonempty()
    return source, facts, numbers


def _sorted_last(a: Any, facts: Reduced, kth: list[int] | None) -> Any:
    """The reduced axes merged into the last one and sorted, at least at the places ``kth``. NaN comes last."""
    rest = tuple(i for i in range(len(facts.shape)) if i not in facts.axes)
    outer = tuple(facts.shape[i] for i in rest)
    flat = np.reshape(np.transpose(a, (*rest, *facts.axes)), (*outer, facts.count))
    return np.sort(flat, axis=-1) if kth is None else np.partition(flat, kth, axis=-1)


def _statistics(source: Any, facts: Reduced, forward: Any, ignore_nan: bool) -> Tensor:
    """Record order statistics of a source, stacked along a new first axis."""

    def d_x(xp: Any, g: Any, x: Any, out: Any) -> Any:
        g = wide(g)
        total = None
        for i in range(out.shape[0]):
            taken = x == out[i]
            if not ignore_nan:  # where there is NaN, it is the result
                taken = taken | (x != x)
            ties = _sum(taken, axis=facts.axis, dtype=np.intp, keepdims=True)
            part = xp.where(taken, g[i] / ties.astype(g.dtype), 0)
            total = part if total is None else total + part
        return total

    return record("order_statistics", forward, (source,), (d_x,))


def _between(low: Any, high: Any, weight: Any) -> Any:
    way = high - low
    return low + way * weight if weight < 0.5 else high - way * (1 - weight)


def _quantile(op: str, x: TensorLike, q: Any, axis: Axis, keepdims: bool, method: str) -> Tensor:
    source, facts, numbers = _facts_of(op, x, q, axis, keepdims, method)
    places = [
        tuple(v.item() if hasattr(v, "item") else v for v in _places(method, np.float64(facts.count), p))
        for p in numbers.flat
    ]
    # Only places with a weight.
    needed = sorted({int(k) for low, high, w in places for k, share in ((low, 1 - w), (high, w)) if share}) or [0]
    row = {k: i for i, k in enumerate(needed)}
    pairs = [(row.get(int(low)), row.get(int(high)), float(w)) for low, high, w in places]
    kept = tuple(n for i, n in enumerate(facts.shape) if i not in facts.axes) if not keepdims else facts.kept
    shape = (*numbers.shape, *kept)
    discrete = method in ("lower", "higher", "nearest", "inverted_cdf", "closest_observation")

    def statistics(a: Any) -> Any:
        ordered = _sorted_last(a, facts, sorted({*needed, facts.count - 1}))
        found = np.stack([ordered[..., k] for k in needed])
        if a.dtype.kind == "f":
            found = np.where(np.isnan(ordered[..., -1]), np.nan, found).astype(a.dtype, copy=False)
        return np.reshape(found, (len(needed), *facts.kept))

    def forward(s: Any) -> Any:
        w = s if discrete or s.dtype.kind == "f" else s.astype(np.float64)
        results = []
        with silenced():
            for low, high, weight in pairs:
                alone = high if low is None else low if high is None else None
                if alone is None and weight in (0.0, 1.0):
                    alone = high if weight else low
                results.append(w[alone] if alone is not None else _between(w[low], w[high], weight))
        return np.reshape(np.stack(results), shape) if results else np.zeros_like(w, shape=shape)

    def d_statistics(xp: Any, g: Any) -> Any:
        g = xp.reshape(g, (len(pairs), *facts.kept))
        parts: list[Any] = [None] * len(needed)
        for i, (low, high, weight) in enumerate(pairs):
            for k, share in ((low, 1 - weight), (high, weight)):
                if share and k is not None:
                    part = g[i] * share
                    parts[k] = part if parts[k] is None else parts[k] + part
        return xp.stack([xp.zeros_like(g[0]) if part is None else part for part in parts])

    found = _statistics(source, facts, statistics, ignore_nan=False)
    return record(op, forward, (found,), (d_statistics,))


def _nan_quantile(op: str, x: TensorLike, q: Any, axis: Axis, keepdims: bool, method: str) -> Tensor:
    source, facts, numbers = _facts_of(op, x, q, axis, keepdims, method)
    if source.dtype.kind != "f":
        return _quantile(op, x, q, axis, keepdims, method)
    kept = tuple(n for i, n in enumerate(facts.shape) if i not in facts.axes) if not keepdims else facts.kept
    shape = (*numbers.shape, *kept)

    def places(a: Any, p: float) -> Any:
        count = _sum(a == a, axis=facts.axis, dtype=np.intp, keepdims=True)
        return _places(method, count, p)

    def statistics(a: Any) -> Any:
        ordered = _sorted_last(a, facts, None)
        found = []
        for p in numbers.flat:
            for k in places(a, p)[:2]:
                index = np.reshape(k, (*ordered.shape[:-1], 1))
                found.append(np.reshape(np.take_along_axis(ordered, index, -1), facts.kept))
        return np.stack(found)

    weights = record(
        "weights",
        lambda a: np.stack([_weight(places(a, p), a) for p in numbers.flat]),
        (_plain(source),),
        (no_gradient,),
    )

    def forward(s: Any, w: Any) -> Any:
        low, high = s[0::2], s[1::2]
        with silenced():
            mixed = np.where(w < 0.5, low + (high - low) * w, high - (high - low) * (1 - w))
            mixed = np.where(w == 0, low, np.where(w == 1, high, mixed))
        return np.reshape(mixed.astype(s.dtype, copy=False), shape)

    def d_statistics(xp: Any, g: Any, y: Any) -> Any:
        g = xp.reshape(g, y.shape)
        both = xp.stack([g * (1 - y), g * y], axis=1)
        return xp.reshape(both, (2 * y.shape[0], *y.shape[1:]))

    found = _statistics(source, facts, statistics, ignore_nan=True)
    return record(op, forward, (found, weights), (d_statistics, no_gradient))


def _weight(places: Any, like: Any) -> Any:
    return (places[2] + np.zeros_like(places[0])).astype(like.dtype)


def _plain(source: Any) -> Any:
    return source.detach() if isinstance(source, Handle) else source  # type: ignore[attr-defined]


def median(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Middle element along axes, or the mean of the middle two of an even number; NaN if any element is NaN.

    Elements equal to the middle one share its gradient evenly. Raises ShapeError if there are no elements.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 5.0, 2.0, 2.0, 2.0], requires_grad=True)
    >>> tg.median(x).backward()
    >>> x.grad.round(2).tolist()
    [0.0, 0.0, 0.33, 0.33, 0.33]
    """
    return _quantile("median", x, 0.5, axis, keepdims, "linear")


def quantile(x: TensorLike, /, q: Any, axis: Axis = None, *, method: str = "linear", keepdims: bool = False) -> Tensor:
    """Quantiles along axes: the element below which a fraction q of all lies; NaN if any element is NaN.

    ``q`` is a number in [0, 1] or an array of them, whose axes come first in the result; it is static and gets no
    gradient. ``method`` is any of NumPy's. Equal elements share the gradient of their order statistic evenly. Raises
    ShapeError if there are no elements.

    >>> import tensorgrad as tg
    >>> tg.quantile([1.0, 2.0, 4.0], [0.5, 0.75])
    Tensor([2., 3.], dtype=float64)
    """
    return _quantile("quantile", x, q, axis, keepdims, method)


def percentile(
    x: TensorLike, /, q: Any, axis: Axis = None, *, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """:func:`quantile` with q in [0, 100].

    >>> import tensorgrad as tg
    >>> tg.percentile([1.0, 2.0, 4.0], 75)
    Tensor(3., dtype=float64)
    """
    return _quantile("percentile", x, _hundredth("percentile", q), axis, keepdims, method)


def _hundredth(op: str, q: Any) -> Any:
    return q if isinstance(q, Handle) or hasattr(q, "__traced_call__") else np.true_divide(q, 100)


def nanmedian(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """:func:`median`, ignoring NaN; NaN if all are NaN. NaN elements get a gradient of 0.

    >>> import tensorgrad as tg
    >>> tg.nanmedian([1.0, float("nan"), 2.0])
    Tensor(1.5, dtype=float64)
    """
    return _nan_quantile("nanmedian", x, 0.5, axis, keepdims, "linear")


def nanquantile(
    x: TensorLike, /, q: Any, axis: Axis = None, *, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """:func:`quantile`, ignoring NaN; NaN if all are NaN. NaN elements get a gradient of 0.

    >>> import tensorgrad as tg
    >>> tg.nanquantile([1.0, float("nan"), 2.0, 4.0], 0.75)
    Tensor(3., dtype=float64)
    """
    return _nan_quantile("nanquantile", x, q, axis, keepdims, method)


def nanpercentile(
    x: TensorLike, /, q: Any, axis: Axis = None, *, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """:func:`nanquantile` with q in [0, 100].

    >>> import tensorgrad as tg
    >>> tg.nanpercentile([1.0, float("nan"), 2.0, 4.0], 75)
    Tensor(3., dtype=float64)
    """
    return _nan_quantile("nanpercentile", x, _hundredth("nanpercentile", q), axis, keepdims, method)
