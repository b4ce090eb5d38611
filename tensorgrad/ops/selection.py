"""The choice between values, one number at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..record import TensorLike, binary, record
from .arithmetic import positive
from .complexes import real_only

if TYPE_CHECKING:
    from ..tensor import Tensor


def _share(xp: Any, mine: Any, other: Any, out: Any) -> Any:
    # 1 for the one that was taken, 0 for the other, 1/2 each at a tie. NaN compares unequal to itself, so that
    # its share is where its gradient belongs: with the one that is NaN.
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


def where(condition: TensorLike, x: TensorLike, y: TensorLike, /) -> Tensor:
    """``x`` where the condition holds and ``y`` elsewhere. What is not taken gets a gradient of exactly zero.

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
