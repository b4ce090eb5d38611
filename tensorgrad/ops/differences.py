"""Differences of neighbours along an axis, and what is made of them."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from ..record import TensorLike, record
from ..shapes import normalised_axis
from .arithmetic import positive
from .views import shaped

if TYPE_CHECKING:
    from ..tensor import Tensor


Shape = tuple[int, ...]


def diff(x: TensorLike, /, n: int = 1, axis: int = -1) -> Tensor:
    """Differences of neighbours along an axis, ``n`` times over.

    >>> import tensorgrad as tg
    >>> tg.diff([1.0, 4.0, 9.0])
    Tensor([3., 5.], dtype=float64)
    """
    source = shaped(x, "diff")
    axis = normalised_axis(axis, len(source.shape), "diff")
    n = index(n)
    if n < 0:
        raise ValueError(f"diff: n counts how often to take differences, got {n}")
    if n == 0:
        return positive(source)
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
