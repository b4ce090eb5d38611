"""Padding: an array with more elements around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import index
from typing import Any, Literal

import numpy as np

from ..engine.arrays import arange_like
from ..engine.record import Handle, Tensor, TensorLike, record
from ..engine.shapes import normalised_axis
from ..errors import DTypeError, ShapeError
from .arithmetic import add, multiply
from .indexing import getitem
from .joining import concatenate
from .reducing import wide
from .reductions import max, mean, min
from .shaping import broadcast_to
from .sorting import sort
from .views import shaped

__all__ = ["pad"]

Widths = tuple[tuple[int, int], ...]
Key = tuple[Any, ...]


def pad(
    x: TensorLike,
    /,
    pad_width: Any,
    mode: str = "constant",
    *,
    constant_values: Any = 0,
    end_values: Any = 0,
    stat_length: Any = None,
    reflect_type: Literal["even", "odd"] = "even",
) -> Tensor:
    """An array with more elements before and after those along each axis.

    Args:
        x: the array.
        pad_width: how many: an integer, a pair (before, after), a pair for each axis, or a dict keyed by axis.
        mode: "constant"; "edge", the outermost element; "reflect" and "symmetric", mirrored without and with the
            edge; "wrap", from the other end; "linear_ramp", from the edge to ``end_values``; "maximum", "minimum",
            "mean" or "median" of the ``stat_length`` elements next to the edge. Ties in a maximum, minimum or
            median split the gradient evenly.
        constant_values: for "constant": a number, a pair, or a pair for each axis. They carry no gradient.
        end_values: for "linear_ramp", likewise.
        stat_length: for the last four, likewise; None takes the whole axis.
        reflect_type: for "reflect" and "symmetric": "odd" subtracts the mirrored elements from twice the edge.

    Raises:
        ValueError: a negative width, or an unknown mode; "empty" is not supported, because its values are undefined,
            nor is a function, because it writes in place.
        ShapeError: ``pad_width`` does not match the axes, or there is nothing to pad with.

    >>> import tensorgrad as tg
    >>> tg.pad([1.0, 2.0, 3.0], (1, 2), "reflect")
    Tensor([2., 1., 2., 3., 2., 1.], dtype=float64)
    """
    source = shaped(x, "pad")
    shape = source.shape
    widths = _pairs("pad_width", _by_axis(pad_width, len(shape)), len(shape), index)
    if any(n < 0 for pair in widths for n in pair):
        raise ValueError(f"pad: pad_width must not be negative, got {pad_width!r}; crop with x[...] instead")
    if reflect_type not in ("even", "odd"):
        raise ValueError(f"pad: reflect_type must be 'even' or 'odd', got {reflect_type!r}")
    if mode == "constant":
        return _surrounded(source, widths, _pairs("constant_values", constant_values, len(shape), _number))
    if mode not in _INDEXED and mode not in _COMPUTED:
        raise ValueError(
            f"pad: mode must be one of constant, {', '.join((*_INDEXED, *_COMPUTED))}; got {mode!r}, which "
            f"has no derivative here"
        )
    for axis, pair in enumerate(widths):
        if shape[axis] == 0 and any(pair):
            raise ShapeError(f"pad: axis {axis} of shape {shape} is empty, so mode {mode!r} has nothing to pad it with")
    result: Any = source
    if reflect_type == "odd" and mode in ("reflect", "symmetric") and any(map(any, widths)):
        for axis, pair in enumerate(widths):
            result = _odd(result, axis, pair, mode) if any(pair) else result
        return result
    if mode in _INDEXED:
        return _mirrored(source, widths, mode)
    ends = _pairs("end_values", end_values, len(shape), _number)
    taken = _pairs("stat_length", stat_length, len(shape), _count)
    for axis, pair in enumerate(widths):
        if any(pair):
            result = _computed(result, axis, pair, mode, ends[axis], taken[axis])
    if isinstance(result, Handle):
        return result  # type: ignore[return-value]
    return _surrounded(result, widths, ((0, 0),) * len(shape))


def _by_axis(pad_width: Any, ndim: int) -> Any:
    if not isinstance(pad_width, Mapping):
        return pad_width
    pairs: list[Any] = [(0, 0)] * ndim
    for axis, width in pad_width.items():
        pairs[normalised_axis(axis, ndim, "pad")] = width if hasattr(width, "__len__") else (width, width)
    return pairs


def _pairs(name: str, given: Any, ndim: int, convert: Callable[[Any], Any]) -> Any:
    """Expand a number, a pair, or a pair for each axis to a pair for each axis."""
    if isinstance(given, Handle) and given.node is not None and given.node.requires_grad:
        raise TypeError(f"pad: {name} carries no gradient, got a Tensor that requires one; use concatenate instead")
    try:
        pairs = np.broadcast_to(np.asarray(given, dtype=object), (ndim, 2))
    except ValueError as error:
        raise ShapeError(
            f"pad: {name} must be a number, a pair, or a pair for each of {ndim} axes; got {given!r}"
        ) from error
    try:
        return tuple((convert(before), convert(after)) for before, after in pairs)
    except TypeError as error:
        raise TypeError(f"pad: {name} must contain numbers, got {given!r} ({error})") from error


def _number(value: Any) -> Any:
    if isinstance(value, int | float | complex):
        return value
    return value.item()


def _count(value: Any) -> int | None:
    return None if value is None else index(value)


def _inside(widths: Widths, shape: tuple[int, ...]) -> Key:
    return tuple(slice(before, before + n) for (before, _), n in zip(widths, shape))


def _surrounded(x: Any, widths: Widths, values: Any) -> Tensor:
    inside = _inside(widths, x.shape)

    def forward(a: Any) -> Any:
        return np.pad(a, widths, constant_values=values) if widths else np.copy(a)

    def d_x(xp: Any, g: Any) -> Any:
        return g[inside]

    return record("pad", forward, (x,), (d_x,))


# --- elements from elsewhere ----------------------------------------------------------------------------

_INDEXED = ("edge", "reflect", "symmetric", "wrap")


def _runs(places: list[int], start: int) -> list[tuple[slice, int, int]]:
    """Cut a list of indices into runs of constant step: (slice of the result, first index, step)."""
    runs = []
    i = 0
    while i < len(places):
        step = places[i + 1] - places[i] if i + 1 < len(places) else 1
        step = step if abs(step) <= 1 else 1
        j = i + 1
        while j < len(places) and places[j] - places[j - 1] == step:
            j += 1
        runs.append((slice(start + i, start + j), places[i], step))
        i = j
    return runs


def _mirrored(x: Any, widths: Widths, kind: Any) -> Tensor:
    shape = x.shape
    runs = []
    for (before, after), n in zip(widths, shape):
        places = np.pad(np.arange(n), (before, after), mode=kind).tolist()
        runs.append(_runs(places[:before], 0) + _runs(places[before + n :], before + n))

    def d_x(xp: Any, g: Any) -> Any:
        g = wide(g)
        for axis, ((before, _), n) in enumerate(zip(widths, shape)):
            left = (slice(None),) * axis
            total = g[(*left, slice(before, before + n))]
            for where, first, step in runs[axis]:
                part = g[(*left, where)]
                if step == 0:
                    part = xp.sum(part, axis=axis, keepdims=True)
                elif step < 0:
                    part = xp.flip(part, axis)
                length = part.shape[axis]
                begin = first - length + 1 if step < 0 else first
                around = [(0, 0)] * len(shape)
                around[axis] = (begin, n - begin - length)
                total = total + xp.pad(part, around)
            g = total
        return g

    return record("pad", lambda a: np.pad(a, widths, mode=kind) if widths else np.copy(a), (x,), (d_x,))


def _odd(x: Any, axis: int, pair: tuple[int, int], mode: str) -> Tensor:
    """Mirror at both edges, in position and in value, as often as needed: each time, twice the edge is added."""
    n = x.shape[axis]
    even = _mirrored(x, tuple(pair if a == axis else (0, 0) for a in range(len(x.shape))), mode)
    if n == 1:
        return even
    period = 2 * n - 2 if mode == "reflect" else 2 * n
    places = arange_like(n + sum(pair), x) - pair[0]
    rounds = places // period
    back = places - rounds * period >= n
    left = (slice(None),) * axis
    first, last = getitem(x, (*left, slice(0, 1))), getitem(x, (*left, slice(n - 1, n)))

    def column(factors: Any) -> Any:
        return np.reshape(factors.astype(x.dtype), (-1,) + (1,) * (len(x.shape) - axis - 1))

    added = add(multiply(last, column(2 * rounds + 2 * back)), multiply(first, column(-2 * rounds)))
    return add(multiply(even, column(1 - 2 * back)), added)


# --- elements that are computed -------------------------------------------------------------------------

_COMPUTED = ("linear_ramp", "maximum", "minimum", "mean", "median")


def _median(x: Any, axis: int, keepdims: bool) -> Tensor:
    n = x.shape[axis]
    middle = (slice(None),) * axis + (slice((n - 1) // 2, n // 2 + 1),)
    return mean(getitem(sort(x, axis), middle), axis, keepdims=keepdims)


_STATISTICS: dict[str, Callable[..., Any]] = {"maximum": max, "minimum": min, "mean": mean, "median": _median}


def _computed(x: Any, axis: int, widths: tuple[int, int], mode: str, ends: Any, taken: Any) -> Any:
    if x.dtype.kind not in "fc":
        raise DTypeError(f"pad: mode {mode!r} computes numbers, which {x.dtype} would round; write x.astype(float)")
    if x.dtype.kind == "c" and mode in ("maximum", "minimum", "median"):
        raise DTypeError(f"pad: complex numbers have no order, so there is no {mode} to pad with")
    before, after = widths
    left = (slice(None),) * axis
    n = x.shape[axis]
    sides = []
    for width, end, length, first in ((before, ends[0], taken[0], True), (after, ends[1], taken[1], False)):
        shape = (*x.shape[:axis], width, *x.shape[axis + 1 :])
        if mode == "linear_ramp":
            edge = getitem(x, (*left, slice(0, 1) if first else slice(n - 1, n)))
            steps = arange_like(width, x) if first else width - 1 - arange_like(width, x)
            ramp = np.reshape(steps / width if width else steps, (width,) + (1,) * (len(shape) - axis - 1))
            ramp = ramp.astype(x.dtype)
            sides.append(add(multiply(edge, ramp), multiply(1 - ramp, end)))
            continue
        if length is not None and length < 1:
            raise ValueError(f"pad: stat_length must be at least 1 for mode {mode!r}, got {length}")
        count = n if length is None or length > n else length
        part = getitem(x, (*left, slice(0, count) if first else slice(n - count, n)))
        sides.append(broadcast_to(_STATISTICS[mode](part, axis, keepdims=True), shape))
    return concatenate([sides[0], x, sides[1]], axis=axis)
