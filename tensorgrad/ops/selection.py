"""Elementwise choice between values."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.record import Tensor, TensorLike, binary, record
from .arithmetic import positive
from .complexes import real_only, refuse_complex

__all__ = ["clip", "fmax", "fmin", "lerp", "maximum", "minimum", "nan_to_num", "where"]


def _share(xp: Any, mine: Any, other: Any, out: Any) -> Any:
    # 1 for the one that was taken, 0 for the other, 1/2 each at a tie. NaN is unequal to itself, so the share goes
    # where the gradient belongs: to the operand that is NaN.
    taken = (mine == out) | (mine != mine)
    return taken * xp.where((other == out) | (other != other), 0.5, 1.0)


def _chosen(xp: Any, g: Any, share: Any) -> Any:
    return xp.where(share == 0, 0, g * share.astype(g.dtype))


@binary(
    real_only("maximum", np.maximum),
    lambda xp, g, x, y, out: _chosen(xp, g, _share(xp, x, y, out)),
    lambda xp, g, x, y, out: _chosen(xp, g, _share(xp, y, x, out)),
)
def maximum(x: TensorLike, y: TensorLike, /) -> Tensor:
    """The larger of two; a tie splits its gradient evenly.

    >>> import tensorgrad as tg
    >>> tg.maximum([1.0, 5.0], 3.0)
    Tensor([3., 5.], dtype=float64)
    """


@binary(
    real_only("minimum", np.minimum),
    lambda xp, g, x, y, out: _chosen(xp, g, _share(xp, x, y, out)),
    lambda xp, g, x, y, out: _chosen(xp, g, _share(xp, y, x, out)),
)
def minimum(x: TensorLike, y: TensorLike, /) -> Tensor:
    """The smaller of two; a tie splits its gradient evenly.

    >>> import tensorgrad as tg
    >>> tg.minimum([1.0, 5.0], 3.0)
    Tensor([1., 3.], dtype=float64)
    """


def _number_share(xp: Any, mine: Any, other: Any, out: Any) -> Any:
    # As above, but NaN is never taken unless both are NaN: then each gets half.
    taken = (mine == out) | (out != out)
    return taken * xp.where((other == out) | (out != out), 0.5, 1.0)


@binary(
    real_only("fmax", np.fmax),
    lambda xp, g, x, y, out: _chosen(xp, g, _number_share(xp, x, y, out)),
    lambda xp, g, x, y, out: _chosen(xp, g, _number_share(xp, y, x, out)),
)
def fmax(x: TensorLike, y: TensorLike, /) -> Tensor:
    """The larger of two, or the other one if one is NaN; a tie splits its gradient evenly.

    >>> import tensorgrad as tg
    >>> tg.fmax([1.0, float("nan")], 3.0)
    Tensor([3., 3.], dtype=float64)
    """


@binary(
    real_only("fmin", np.fmin),
    lambda xp, g, x, y, out: _chosen(xp, g, _number_share(xp, x, y, out)),
    lambda xp, g, x, y, out: _chosen(xp, g, _number_share(xp, y, x, out)),
)
def fmin(x: TensorLike, y: TensorLike, /) -> Tensor:
    """The smaller of two, or the other one if one is NaN; a tie splits its gradient evenly.

    >>> import tensorgrad as tg
    >>> tg.fmin([1.0, float("nan")], 3.0)
    Tensor([1., 3.], dtype=float64)
    """


def where(condition: TensorLike, x: TensorLike, y: TensorLike, /) -> Tensor:
    """``x`` where the condition holds and ``y`` elsewhere. Elements not taken get a gradient of exactly zero.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([-1.0, 0.0, 4.0], requires_grad=True)
    >>> y = tg.where(x.data > 0, tg.sqrt(x), 0.0)
    >>> y.sum().backward()
    >>> x.grad.tolist()
    [0.0, 0.0, 0.25]
    """

    def d_condition(xp: Any, g: Any, x: Any) -> Any:
        return xp.zeros_like(g)

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        return xp.where(x, g, 0)

    def d_y(xp: Any, g: Any, x: Any) -> Any:
        return xp.where(x, 0, g)

    return record("where", np.where, (condition, x, y), (d_condition, d_x, d_y))


def clip(x: TensorLike, /, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
    """Bound values from below and above (None: no bound).

    The gradient goes to x inside and on the edges, to the bound outside.

    >>> import tensorgrad as tg
    >>> tg.clip([-2.0, 0.5, 2.0], -1.0, 1.0)
    Tensor([-1. ,  0.5,  1. ], dtype=float64)
    """
    if min is None and max is None:
        return positive(x)
    result: Any = x
    if min is not None:
        result = _bounded(real_only("clip", np.maximum), result, min)
    if max is not None:
        result = _bounded(real_only("clip", np.minimum), result, max)
    return result


def _bounded(forward: Any, x: TensorLike, bound: TensorLike) -> Tensor:
    def d_x(xp: Any, g: Any, x: Any, out: Any) -> Any:
        return xp.where((x == out) | (x != x), g, 0)

    def d_bound(xp: Any, g: Any, x: Any, out: Any) -> Any:
        return xp.where((x == out) | (x != x), 0, g)

    return record("clip", forward, (x, bound), (d_x, d_bound))


def nan_to_num(
    x: TensorLike, /, *, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """Replace NaN and infinities with numbers: by default 0, and the largest and smallest of the dtype.

    Replaced elements get a gradient of exactly 0.

    >>> import tensorgrad as tg
    >>> tg.nan_to_num([1.0, float("nan"), float("inf")], posinf=9.0)
    Tensor([1., 0., 9.], dtype=float64)
    """
    refuse_complex("nan_to_num", x)

    def forward(a: Any) -> Any:
        return np.nan_to_num(a, nan=nan, posinf=posinf, neginf=neginf)

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        return xp.where(xp.isfinite(x), g, 0)

    return record("nan_to_num", forward, (x,), (d_x,))


def lerp(start: TensorLike, end: TensorLike, weight: TensorLike, /) -> Tensor:
    """Linear interpolation from ``start`` to ``end``: ``start + weight * (end - start)``, exact at both ends.

    All three broadcast and get gradients.

    >>> import tensorgrad as tg
    >>> tg.lerp([0.0, 10.0], [1.0, 20.0], 0.25)
    Tensor([ 0.25, 12.5 ], dtype=float64)
    """

    def forward(a: Any, b: Any, t: Any) -> Any:
        way = b - a
        out = np.where(t < 0.5, a + t * way, b - way * (1 - t))
        return out.astype(np.result_type(a, b, t, 0.0), copy=False)

    def d_start(xp: Any, g: Any, z: Any) -> Any:
        return g * (1 - z)

    def d_end(xp: Any, g: Any, z: Any) -> Any:
        return g * z

    def d_weight(xp: Any, g: Any, x: Any, y: Any) -> Any:
        return g * (y - x)

    return record("lerp", forward, (start, end, weight), (d_start, d_end, d_weight))
