"""Norms of vectors and matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.record import Handle, Tensor, TensorLike, record
from ..engine.shapes import Axis, normalised_axes
from ..errors import ShapeError
from ..ops import arithmetic, reductions, shaping
from ..ops.axes import moveaxis
from ..ops.reducing import narrow, wide
from ..ops.tails import in_range
from ..ops.views import shaped
from .factoring import svdvals

__all__ = ["matrix_norm", "norm", "vector_norm"]

_sum: Any = np.add.reduce


def vector_norm(x: TensorLike, /, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Tensor:
    """The p-norm along axes, by default the Euclidean one of all elements.

    ``ord`` is any number p, inf (the largest absolute value), -inf (the smallest) or 0 (the number of nonzero
    elements, with a gradient of 0).

    The gradient at the zero vector is 0, as it is for a negative p if any element is zero. The second derivative for
    an element that is zero is also 0, even for 1 < p < 2, where it is infinite. By this convention the second
    derivative of ``vector_norm(x)**2`` at zero is also 0, not 2: write ``sum(x * x)``. Raises ShapeError for ``inf``
    of no elements.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([3.0, 4.0], requires_grad=True)
    >>> tg.linalg.vector_norm(x).backward()
    >>> x.grad
    array([0.6, 0.8])
    """
    return _p_norm("vector_norm", shaped(x, "vector_norm"), axis, keepdims, ord)


def matrix_norm(x: TensorLike, /, *, keepdims: bool = False, ord: float | str | None = "fro") -> Tensor:
    """The norm of matrices, which are the last two axes: "fro", "nuc", 1, -1, 2, -2, inf or -inf.

    "fro" (or None) is the root of the sum of squares, "nuc" the sum of the singular values, 2 the largest of them and
    -2 the smallest; 1 is the largest sum of absolute values in a column and inf in a row, -1 and -inf are the
    smallest. The gradient at zero is 0. Raises ValueError for another ``ord``.

    >>> import tensorgrad as tg
    >>> tg.linalg.matrix_norm([[3.0, 0.0], [0.0, 4.0]], ord="nuc")
    Tensor(7., dtype=float64)
    """
    source = shaped(x, "matrix_norm")
    return _matrix_norm(
        "matrix_norm", source, normalised_axes((-2, -1), len(source.shape), "matrix_norm"), keepdims, ord
    )


def norm(x: TensorLike, /, ord: float | str | None = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The norm of vectors along one axis (see :func:`vector_norm`), or of matrices along two (:func:`matrix_norm`).

    ``axis=None`` takes all axes, one or two; with ``ord=None`` any number, for the norm of all elements as one vector.
    The gradient at zero is 0, and so is the second derivative of ``norm(x)**2`` there: write ``sum(x * x)`` for a
    smooth function. Raises ShapeError if ``ord`` does not match the number of axes.

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
    if len(axes) == 2:
        return _matrix_norm("norm", source, axes, keepdims, ord)
    raise ShapeError(
        f"norm: ord={ord!r} over axes {axes} of shape {source.shape}: a number needs one or two axes, 'fro' and 'nuc' "
        f"need two; write vector_norm(x, ord=...) for the norm of all elements as one vector"
    )


def _matrix_norm(op: str, x: Any, axes: tuple[int, ...], keepdims: bool, ord: float | str | None) -> Tensor:
    rows, columns = axes
    result: Any
    if ord in (None, "fro"):
        return _p_norm(op, x, axes, keepdims, 2)
    if ord in ("nuc", 2, -2):
        values = svdvals(moveaxis(x, axes, (-2, -1)))
        if ord == "nuc":  # abs gives a value of exactly zero a gradient of 0, so the gradient at zero is 0
            result = reductions.sum(arithmetic.abs(values), axis=-1)
        else:
            result = (_max if ord == 2 else reductions.min)(arithmetic.abs(values), axis=-1)
        if keepdims:
            result = shaping.expand_dims(result, axes)
        return result
    if ord not in (1, -1, np.inf, -np.inf):
        raise ValueError(f"{op}: ord of a matrix must be None, 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}")
    inner, outer = (rows, columns) if ord in (1, -1) else (columns, rows)
    sums = reductions.sum(arithmetic.abs(x), axis=inner, keepdims=True)
    result = (_max if ord in (1, np.inf) else reductions.min)(sums, axis=outer, keepdims=True)
    return result if keepdims else shaping.squeeze(result, axis=axes)


def _max(sizes: Any, axis: Axis, keepdims: bool = False) -> Tensor:
    """The largest size; 0 if there is none."""
    axes = normalised_axes(axis, len(sizes.shape), "max")
    largest = reductions.max if all(sizes.shape[a] for a in axes) else reductions.sum
    return largest(sizes, axis=axis, keepdims=keepdims)


def _count(op: str, x: Any, axis: Axis, keepdims: bool) -> Tensor:
    axes = normalised_axes(axis, len(x.shape), op)

    def forward(a: Any) -> Any:
        return narrow(_sum((a != 0).astype(np.real(wide(a)).dtype), axis=axes, keepdims=keepdims), a)

    return record(op, forward, (x,), (lambda xp, g, x: xp.zeros_like(x),))


def _p_norm(op: str, x: Any, axis: Axis, keepdims: bool, ord: Any) -> Tensor:
    if isinstance(ord, str):
        raise ValueError(f"{op}: ord of a vector must be a number, got {ord!r}")
    if ord == np.inf:
        return _max(arithmetic.abs(x), axis=axis, keepdims=keepdims)
    if ord == -np.inf:
        return reductions.min(arithmetic.abs(x), axis=axis, keepdims=keepdims)
    if ord == 1:
        return reductions.sum(arithmetic.abs(x), axis=axis, keepdims=keepdims)
    if ord == 0:
        return _count(op, x, axis, keepdims)
    axes = normalised_axes(axis, len(x.shape), op)
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))

    def forward(a: Any) -> Any:
        return narrow(in_range(plain, wide(a), axes, keepdims, max(abs(ord), 1.0)), a)

    def plain(w: Any) -> Any:
        if ord != 2:
            return np.power(_sum(np.power(np.abs(w), ord), axis=axes, keepdims=keepdims), 1 / ord)
        if w.dtype.kind == "c":
            return np.sqrt(_sum(np.square(np.real(w)) + np.square(np.imag(w)), axis=axes, keepdims=keepdims))
        return np.sqrt(_sum(np.multiply(w, w), axis=axes, keepdims=keepdims))

    def d_x(xp: Any, g: Any, x: Any, out: Any) -> Any:
        g, x, out = wide(g), wide(x), xp.reshape(wide(out), kept)
        zero = out == 0
        out = xp.where(zero, 1, out)
        g = xp.where(zero, 0, xp.reshape(g, kept))
        conjugate = xp.conj(x) if x.dtype.kind == "c" else x
        if ord == 2:
            # On Tensors, the derivative of g / out would be of the order of out^-2, and can underflow.
            return g * (conjugate / out) if isinstance(out, Handle) else g / out * conjugate
        if x.dtype.kind != "c" and ord > 0 and ord % 2 == 0:
            return g * (x / out) ** (ord - 1)
        return g * xp.sign(conjugate) * xp.where((x == 0) | zero, 1, xp.abs(x) / out) ** (ord - 1)

    return record(op, forward, (x,), (d_x,))
