"""Norms of vectors and matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import ops
from ..errors import ShapeError
from ..ops.reductions import narrow, wide
from ..ops.views import shaped
from ..record import TensorLike, record
from ..shapes import Axis, normalised_axes

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["norm", "vector_norm"]

_sum: Any = np.add.reduce


def vector_norm(x: TensorLike, /, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Tensor:
    """The p-norm along axes, by default the Euclidean one of all elements; ``ord`` is p > 0, inf or -inf.

    The gradient at the zero vector is 0. So is the second derivative for an element that is zero, also for
    1 < p < 2, where it is infinite. Raises ShapeError for ``inf`` of no elements.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([3.0, 4.0], requires_grad=True)
    >>> tg.linalg.vector_norm(x).backward()
    >>> x.grad
    array([0.6, 0.8])
    """
    return _p_norm("vector_norm", shaped(x, "vector_norm"), axis, keepdims, ord)


def norm(x: TensorLike, /, ord: float | str | None = None, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The norm of a vector (``ord`` None, 1, 2, inf, -inf, or any p > 0) or of a matrix (None or "fro").

    With ``axis=None`` and ``ord=None`` all elements count, in any number of axes. The gradient at zero is 0.
    Raises ShapeError where ``ord`` does not fit the number of axes.

    >>> import tensorgrad as tg
    >>> tg.linalg.norm([[3.0, 0.0], [0.0, 4.0]])
    Tensor(5., dtype=float64)
    """
    source = shaped(x, "norm")
    axes = normalised_axes(axis, len(source.shape), "norm")
    if ord is None and axis is None:
        return _p_norm("norm", source, None, keepdims, 2)
    if len(axes) == 1 and not isinstance(ord, str):
        return _p_norm("norm", source, axes, keepdims, 2 if ord is None else ord)
    if len(axes) == 2 and ord in (None, "fro"):
        return _p_norm("norm", source, axes, keepdims, 2)
    raise ShapeError(
        f"norm: ord={ord!r} over axes {axes} of shape {source.shape}: a number is for one axis, None and "
        f"'fro' for two; write vector_norm(x, ord=...) for the norm of all elements as one vector"
    )


def _p_norm(op: str, x: Any, axis: Axis, keepdims: bool, ord: float) -> Tensor:
    if ord == np.inf:
        return ops.max(ops.abs(x), axis=axis, keepdims=keepdims)
    if ord == -np.inf:
        return ops.min(ops.abs(x), axis=axis, keepdims=keepdims)
    if ord == 1:
        return ops.sum(ops.abs(x), axis=axis, keepdims=keepdims)
    if not ord > 0:
        raise ValueError(f"{op}: ord is a number p > 0, inf or -inf, got {ord!r}")
    axes = normalised_axes(axis, len(x.shape), op)
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))

    def forward(a: Any) -> Any:
        w = wide(a)
        if ord == 2:
            squares = np.multiply(w, w) if w.dtype.kind != "c" else np.square(np.abs(w))
            result = np.sqrt(_sum(squares, axis=axes, keepdims=keepdims))
        else:
            result = np.power(_sum(np.power(np.abs(w), ord), axis=axes, keepdims=keepdims), 1 / ord)
        return narrow(result, a)

    def d_x(xp: Any, g: Any, x: Any, out: Any) -> Any:
        g, x, out = wide(g), wide(x), xp.reshape(wide(out), kept)
        zero = out == 0
        out = xp.where(zero, 1, out)
        g = xp.where(zero, 0, xp.reshape(g, kept))
        conjugate = xp.conj(x) if x.dtype.kind == "c" else x
        if ord == 2:
            return g / out * conjugate
        return g * xp.sign(conjugate) * (xp.abs(x) / out) ** (ord - 1)

    return record(op, forward, (x,), (d_x,))
