"""Differences of neighbours along an axis, and the slopes and integrals built on them."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from ..engine.record import Handle, Tensor, TensorLike, operand, record
from ..engine.shapes import normalised_axes, normalised_axis
from ..errors import DTypeError, ShapeError
from .arithmetic import add, divide, multiply, positive, subtract
from .indexing import getitem
from .joining import concatenate
from .reductions import sum as sum_over
from .shaping import astype, broadcast_to, ravel, reshape
from .views import shaped

__all__ = ["diff", "ediff1d", "gradient", "trapezoid"]


Shape = tuple[int, ...]


def diff(
    x: TensorLike,
    /,
    n: int = 1,
    axis: int = -1,
    prepend: TensorLike | None = None,
    append: TensorLike | None = None,
) -> Tensor:
    """Differences of neighbours along an axis, taken ``n`` times.

    ``prepend`` and ``append`` are joined to the array first: numbers, or arrays that match it along the other axes.

    >>> import tensorgrad as tg
    >>> tg.diff([1.0, 4.0, 9.0])
    Tensor([3., 5.], dtype=float64)
    """
    source = shaped(x, "diff")
    axis = normalised_axis(axis, len(source.shape), "diff")
    n = index(n)
    if n < 0:
        raise ValueError(f"diff: n must not be negative, got {n}")
    if n == 0:
        return positive(source)
    if prepend is not None or append is not None:
        source = concatenate(
            [*_more(source, prepend, axis), source, *_more(source, append, axis)],
            axis=axis,
        )
    shape: Shape = source.shape
    before = (slice(None),) * axis

    def d_x(xp: Any, g: Any) -> Any:
        if shape[axis] <= n:  # no element is left
            return xp.broadcast_to(xp.sum(g, axis=axis, keepdims=True), shape)
        zero = xp.zeros_like(g[(*before, slice(0, 1))])
        for _ in range(n):
            g = -xp.diff(xp.concatenate([zero, g, zero], axis=axis), axis=axis)
        return g

    return record("diff", lambda a: np.diff(a, n, axis), (source,), (d_x,))


def _more(x: Any, values: TensorLike | None, axis: int) -> list[Any]:
    """What is joined to an array before its differences are taken; a number is repeated along the other axes."""
    if values is None:
        return []
    part = shaped(values, "diff")
    return [part if part.shape else broadcast_to(part, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))]


def ediff1d(x: TensorLike, /, to_end: TensorLike | None = None, to_begin: TensorLike | None = None) -> Tensor:
    """Differences of neighbours in the flattened array, with optional numbers before and after them, in x's dtype.

    >>> import tensorgrad as tg
    >>> tg.ediff1d([1.0, 4.0, 9.0], to_begin=0.0)
    Tensor([0., 3., 5.], dtype=float64)
    """
    source = shaped(x, "ediff1d")
    parts = [diff(ravel(source))]
    for name, more, place in (("to_begin", to_begin, 0), ("to_end", to_end, 2)):
        if more is None:
            continue
        part = shaped(more, "ediff1d")
        if not np.can_cast(part.dtype, source.dtype, "same_kind"):
            raise DTypeError(f"ediff1d: {name} of dtype {part.dtype} cannot be cast to the dtype of x, {source.dtype}")
        parts.insert(place, astype(ravel(part), source.dtype))
    return parts[0] if len(parts) == 1 else concatenate(parts)


def trapezoid(y: TensorLike, /, x: TensorLike | None = None, dx: TensorLike = 1.0, axis: int = -1) -> Tensor:
    """Integral along an axis by the trapezoidal rule, at points x or ``dx`` apart; all of them get gradients.

    ``x`` has one axis, or the shape of y.

    >>> import tensorgrad as tg
    >>> tg.trapezoid([1.0, 2.0, 3.0], [0.0, 1.0, 3.0])
    Tensor(6.5, dtype=float64)
    """
    values = shaped(y, "trapezoid")
    axis = normalised_axis(axis, len(values.shape), "trapezoid")
    before = (slice(None),) * axis
    width: Any = dx
    if x is not None:
        places = shaped(x, "trapezoid")
        if len(places.shape) == 1:
            if places.shape[0] != values.shape[axis]:
                raise ShapeError(
                    f"trapezoid: x of shape {places.shape} does not match axis {axis} of y, of shape {values.shape}"
                )
            places = reshape(places, (-1, *(1,) * (len(values.shape) - axis - 1)))
            width = diff(places, axis=0)
        else:
            width = diff(places, axis=axis)
    ends = add(getitem(values, (*before, slice(1, None))), getitem(values, (*before, slice(None, -1))))
    return sum_over(divide(multiply(width, ends), 2.0), axis)


def _spacings(spacing: tuple[Any, ...], shape: Shape, axes: Shape) -> list[Any]:
    """A spacing for each axis: a number, or the differences of its coordinates, shaped to broadcast along it."""
    if len(spacing) == 0:
        spacing = (1.0,)
    if len(spacing) == 1 and np.ndim(spacing[0].data if isinstance(spacing[0], Handle) else spacing[0]) == 0:
        spacing = spacing * len(axes)
    if len(spacing) != len(axes):
        raise TypeError(
            f"gradient: got {len(spacing)} spacings for {len(axes)} axes, expected none, one, or one for each"
        )
    result = []
    for given, axis in zip(spacing, axes):
        step = given if isinstance(given, Handle) else operand(given, "gradient")
        length = getattr(step, "shape", ())
        if length not in ((), (shape[axis],)):
            raise ShapeError(
                f"gradient: coordinates of shape {length} do not match axis {axis} of shape {shape}; expected a number "
                f"or {shape[axis]} coordinates"
            )
        result.append(reshape(diff(step), (-1, *(1,) * (len(shape) - axis - 1))) if length else step)
    return result


def _edge(values: list[Any], steps: list[Any], order: int, uniform: bool) -> Any:
    """The one-sided derivative at values[0], from two or three values that are steps apart."""
    if order == 1:
        return divide(subtract(values[1], values[0]), steps[0])
    if uniform:
        weighted = subtract(multiply(2.0, values[1]), add(multiply(1.5, values[0]), multiply(0.5, values[2])))
        return divide(weighted, steps[0])
    h, k = steps
    both = add(h, k)
    first = multiply(values[0], divide(-add(both, h), multiply(h, both)))
    second = multiply(values[1], divide(both, multiply(h, k)))
    return subtract(add(first, second), multiply(values[2], divide(h, multiply(k, both))))


def _slope(values: Any, axis: int, step: Any, order: int) -> Tensor:
    before = (slice(None),) * axis
    uniform = not getattr(step, "shape", ())

    def part(start: int | None, stop: int | None) -> Any:
        return getitem(values, (*before, slice(start, stop)))

    def width(start: int | None, stop: int | None) -> Any:
        return step if uniform else getitem(step, (slice(start, stop),))

    low, middle, high = part(None, -2), part(1, -1), part(2, None)
    if uniform:
        inner = divide(subtract(high, low), 2.0 * step)
    else:
        h, k = width(None, -1), width(1, None)
        both = add(h, k)
        outer = add(multiply(low, divide(-k, multiply(h, both))), multiply(high, divide(h, multiply(k, both))))
        inner = add(outer, multiply(middle, divide(subtract(k, h), multiply(h, k))))
    length = values.shape[axis]
    firsts = [part(i, i + 1) for i in range(order + 1)]
    lasts = [part(length - 1 - i, length - i) for i in range(order + 1)]
    first = _edge(firsts, [width(i, i + 1) for i in range(order)], order, uniform)
    # Seen from the end, everything runs backwards.
    last = -_edge(lasts, [width(length - 2 - i, length - 1 - i) for i in range(order)], order, uniform)
    return concatenate([first, inner, last], axis=axis)


def gradient(
    f: TensorLike, /, *spacing: TensorLike, axis: int | tuple[int, ...] | None = None, edge_order: int = 1
) -> Any:
    """Slopes of sampled values along axes: central differences inside, one-sided at the edges.

    ``spacing`` is omitted (1), a number, or for each axis a number or its coordinates; it gets gradients just as the
    values do. ``edge_order`` is 1 or 2. Returns a Tensor for one axis and a tuple of them for several. Raises
    ShapeError for fewer than ``edge_order + 1`` values along an axis. (To differentiate a function, see
    :func:`tensorgrad.grad`.)

    >>> import tensorgrad as tg
    >>> tg.gradient([1.0, 4.0, 9.0, 16.0])
    Tensor([3., 4., 6., 7.], dtype=float64)
    """
    values = shaped(f, "gradient")
    axes = normalised_axes(axis, len(values.shape), "gradient")
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: edge_order must be 1 or 2, got {edge_order!r}")
    for a in axes:
        if values.shape[a] < edge_order + 1:
            raise ShapeError(
                f"gradient: shape {values.shape} has {values.shape[a]} values along axis {a}, but edge_order="
                f"{edge_order} needs {edge_order + 1}"
            )
    if values.dtype.kind not in "fc":
        values = astype(values, np.float64)
    steps = _spacings(spacing, values.shape, axes)
    slopes = tuple(_slope(values, a, step, edge_order) for a, step in zip(axes, steps))
    return slopes[0] if len(slopes) == 1 else slopes
