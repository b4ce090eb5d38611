"""Running sums and products along an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError
from ..record import TensorLike, record
from ..shapes import normalised_axis
from .reductions import narrow, wide
from .shaping import ravel
from .views import shaped

if TYPE_CHECKING:
    from ..tensor import Tensor


def cumsum(x: TensorLike, /, axis: int | None = None) -> Tensor:
    """Running sum along an axis; None flattens first.

    >>> import tensorgrad as tg
    >>> tg.cumsum([1.0, 2.0, 3.0])
    Tensor([1., 3., 6.], dtype=float64)
    """
    source = shaped(x, "cumsum")
    if axis is None:
        return _running("cumsum", ravel(source), 0, False)
    return _running("cumsum", source, normalised_axis(axis, len(source.shape), "cumsum"), False)


def cumulative_sum(x: TensorLike, /, *, axis: int | None = None, include_initial: bool = False) -> Tensor:
    """Running sum along an axis, which may be left out where there is only one; optionally starting with 0.

    >>> import tensorgrad as tg
    >>> tg.cumulative_sum([1.0, 2.0, 3.0], include_initial=True)
    Tensor([0., 1., 3., 6.], dtype=float64)
    """
    source = shaped(x, "cumulative_sum")
    if axis is None:
        if len(source.shape) != 1:
            raise ShapeError(f"cumulative_sum: shape {source.shape} has {len(source.shape)} axes; say which, axis=...")
        axis = 0
    return _running(
        "cumulative_sum", source, normalised_axis(axis, len(source.shape), "cumulative_sum"), include_initial
    )


def _running(op: str, x: Any, axis: int, include_initial: bool) -> Tensor:
    before = (slice(None),) * axis
    initial = (*x.shape[:axis], 1, *x.shape[axis + 1 :])

    def forward(a: Any) -> Any:
        sums = narrow(np.cumsum(a.astype(np.float32) if a.dtype == np.float16 else a, axis=axis), a)
        if include_initial:
            sums = np.concatenate([np.zeros_like(sums, shape=initial), sums], axis=axis)
        return sums

    def d_x(xp: Any, g: Any) -> Any:
        if include_initial:
            g = g[(*before, slice(1, None))]
        return xp.flip(xp.cumsum(xp.flip(wide(g), axis), axis), axis)

    return record(op, forward, (x,), (d_x,))
