"""Factorisations: Cholesky, QR and singular values.

Singular vectors of complex matrices are determined up to a common factor of absolute value 1, which LAPACK chooses. A
gradient is right for a result that does not depend on it, such as the product of the three factors of :func:`svd`.
The formulas are for ``dL/dx + i dL/dy``, as they are published: the rules conjugate on the way in and on the way out
(see :mod:`tensorgrad.ops.complexes`).
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, overload

import numpy as np

from ..engine.arrays import is_foreign
from ..engine.mode import current
from ..engine.record import Tensor, TensorLike, record, tensor_of
from ..engine.staging import array_of
from ..errors import GraphError
from ..ops import axes, complexes, indexing
from ..ops.reducing import wide
from .lapack import cholesky_factor
from .matrices import (
    OPERATIONS,
    adjoint,
    conjugate,
    diagonal,
    guarded,
    matrices,
    mirrored,
    narrowed,
    one_triangle,
    over_gaps,
    real_part,
    square,
    transposed,
)
from .solving import solved_triangle

__all__ = ["QRResult", "SVDResult", "cholesky", "qr", "svd", "svdvals"]


# --- Cholesky -------------------------------------------------------------------------------------------

_cholesky = guarded("cholesky", cholesky_factor, "is not positive definite")


def cholesky(x: TensorLike, /, *, upper: bool = False) -> Tensor:
    """The lower triangles L of positive definite matrices ``x = L @ L.conj().T``.

    With ``upper``, the upper triangles ``L.conj().T``, from x's upper triangle. The gradient lives in the triangle of x
    that is read (Murray 2016). Raises ShapeError if the matrices are not square, numpy.linalg.LinAlgError if one is not
    positive definite.

    >>> import tensorgrad as tg
    >>> tg.linalg.cholesky([[4.0, 0.0], [2.0, 5.0]]).data.tolist()
    [[2.0, 0.0], [1.0, 2.0]]
    """
    source = square(x, "cholesky")
    if upper:
        return adjoint(OPERATIONS, cholesky(adjoint(OPERATIONS, source)))

    def d_x(xp: Any, g: Any, out: Any) -> Any:
        back = adjoint(xp, wide(out))
        inner = mirrored(xp, xp.matmul(back, conjugate(xp, wide(g))))
        half = solved_triangle(back, inner, lower=False)
        outer = solved_triangle(back, adjoint(xp, half), lower=False)
        return one_triangle(xp, conjugate(xp, outer) / 2, lower=True)

    return record("cholesky", lambda a: narrowed(_cholesky(wide(a)), a), (source,), (d_x,))


# --- QR -------------------------------------------------------------------------------------------------


class QRResult(NamedTuple):
    """The result of :func:`qr`, as in NumPy."""

    Q: Tensor
    R: Tensor


_qr = guarded("qr", lambda a: tuple(np.linalg.qr(a)))
_complete_qr = guarded("qr", lambda a: tuple(np.linalg.qr(a, "complete")))


def qr(x: TensorLike, /, mode: Literal["reduced", "complete", "r"] = "reduced") -> Any:
    """``x = Q @ R`` with orthonormal columns in Q and an upper triangular R; mode "r" returns R alone.

    For x of shape (..., m, n) and k = min(m, n), Q is (..., m, k) and R is (..., k, n); mode "complete" has m in place
    of k. The diagonal of R is real. The gradient (Walter and Lehmann 2018; Roberts and Roberts 2020 for complex
    numbers) needs the first k columns of x to be linearly independent. Raises GraphError if a gradient is wanted
    through the complete matrices of an x with m > n, ValueError for NumPy's other modes.

    >>> import tensorgrad as tg
    >>> abs(tg.linalg.qr([[3.0], [4.0]]).R)
    Tensor([[5.]], dtype=float64)
    """
    source = matrices(x, "qr")
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(
            f"qr: mode must be 'reduced', 'complete' or 'r', got {mode!r}; write np.linalg.qr(x.data, {mode!r})"
        )
    m, n = source.shape[-2:]
    k = min(m, n)
    if mode == "complete" and m > n:
        return QRResult(*_without_gradient("qr", source, "mode='reduced'", _complete_qr))

    # One node holds both results side by side, Q transposed: (..., k, m + n).
    def forward(a: Any) -> Any:
        q, r = _qr(wide(a))
        return narrowed(np.concatenate([np.swapaxes(q, -1, -2), r], axis=-1), a)

    def d_x(xp: Any, g: Any, out: Any) -> Any:
        g, out = conjugate(xp, wide(g)), wide(out)
        q, r = transposed(xp, out[..., :m]), out[..., m : m + k]
        d_q, d_r = transposed(xp, g[..., :m]), g[..., m : m + k]
        if n > k:  # the other columns are Q times the rest of R
            d_rest = g[..., m + k :]
            d_q = d_q + xp.matmul(q, xp.matmul(out[..., m + k :], adjoint(xp, d_rest)))
        inner = mirrored(xp, xp.matmul(r, adjoint(xp, d_r)) - xp.matmul(adjoint(xp, d_q), q))
        result = adjoint(xp, solved_triangle(r, adjoint(xp, d_q + xp.matmul(q, inner)), lower=False))
        return conjugate(xp, xp.concatenate([result, xp.matmul(q, d_rest)], axis=-1) if n > k else result)

    packed = record("qr", forward, (source,), (d_x,))
    right = indexing.getitem(packed, (..., slice(m, None)))
    if mode == "r":
        return right
    return QRResult(axes.swapaxes(indexing.getitem(packed, (..., slice(0, m))), -1, -2), right)


def _without_gradient(op: str, x: Any, instead: str, function: Any) -> tuple[Tensor, ...]:
    """Full matrices of a factorisation of an x that is not square. Raises GraphError if a gradient is wanted."""
    if getattr(x, "requires_grad", False) and current().grad:
        raise GraphError(
            f"{op}: the full matrices of x of shape {x.shape} have columns that x does not determine, so they "
            f"have no derivative; write {instead}"
        )
    array = array_of(x)
    return tuple(tensor_of(narrowed(part, array), None) for part in function(wide(array)))


# --- singular values ------------------------------------------------------------------------------------


class SVDResult(NamedTuple):
    """The result of :func:`svd`, as in NumPy."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def _decomposed(a: Any, hermitian: bool) -> tuple[Any, ...]:
    if not hermitian:
        return tuple(np.linalg.svd(a, full_matrices=False))
    if not is_foreign(a):
        return tuple(np.linalg.svd(a, full_matrices=False, hermitian=True))
    # NumPy's own way, for libraries whose svd has no such argument.
    values, vectors = np.linalg.eigh(a)
    order = np.flip(np.argsort(np.abs(values), axis=-1), -1)
    values = np.take_along_axis(values, order, axis=-1)
    vectors = np.take_along_axis(vectors, order[..., None, :], axis=-1)
    right = np.conj(np.swapaxes(vectors * np.sign(values)[..., None, :], -1, -2))
    return vectors, np.abs(values), right


_svd = guarded("svd", _decomposed)
_full_svd = guarded("svd", lambda a: tuple(np.linalg.svd(a)))
_svdvals = guarded("svdvals", lambda a: np.linalg.svd(a, compute_uv=False))


@overload
def svd(
    x: TensorLike, /, full_matrices: bool = True, compute_uv: Literal[True] = True, hermitian: bool = False
) -> SVDResult: ...
@overload
def svd(
    x: TensorLike, /, full_matrices: bool = True, *, compute_uv: Literal[False], hermitian: bool = False
) -> Tensor: ...
def svd(x: TensorLike, /, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """``x = U @ diag(S) @ Vh``: orthonormal columns in U, orthonormal rows in Vh, descending singular values in S.

    For x of shape (..., m, n) and k = min(m, n), U is (..., m, k) and Vh is (..., k, n) without ``full_matrices``.
    With it, U and Vh are square, and have a derivative only for square x. ``compute_uv=False`` gives S alone, as
    :func:`svdvals` does. With ``hermitian``, x is symmetric or Hermitian, and only its lower triangle is read.

    Singular vectors of a repeated or zero singular value are LAPACK's choice and have no derivative: a gradient
    through them is inf, NaN or very large (Giles 2008, Townsend 2016). Complex ones have one in what does not depend
    on their common phases, such as ``U @ diag(f(S)) @ Vh``. Raises ShapeError for a Hermitian x that is not square,
    GraphError if a gradient is wanted through the full matrices of an x that is not square.

    >>> import tensorgrad as tg
    >>> tg.linalg.svd([[3.0, 0.0], [0.0, -4.0]]).S
    Tensor([4., 3.], dtype=float64)
    """
    source = matrices(x, "svd")
    if hermitian:
        source = mirrored(OPERATIONS, square(source, "svd"))
    if not compute_uv:
        return svdvals(source)
    m, n = source.shape[-2:]
    if full_matrices and m != n:
        return SVDResult(*_without_gradient("svd", source, "full_matrices=False", _full_svd))
    k = min(m, n)
    x_is_complex = source.dtype.kind == "c"

    # One node holds the three results, one above the other: U, S, and Vh transposed.
    def forward(a: Any) -> Any:
        u, s, vh = _svd(wide(a), hermitian)
        return narrowed(np.concatenate([u, s[..., None, :], np.swapaxes(vh, -1, -2)], axis=-2), a)

    def d_x(xp: Any, g: Any, out: Any) -> Any:
        g, out = wide(g), wide(out)
        u, s, v = out[..., :m, :], real_part(xp, out[..., m, :]), conjugate(xp, out[..., m + 1 :, :])
        d_u, d_s, d_v = conjugate(xp, g[..., :m, :]), real_part(xp, g[..., m : m + 1, :]), g[..., m + 1 :, :]
        left, right = xp.matmul(adjoint(xp, u), d_u), xp.matmul(adjoint(xp, v), d_v)
        row, column = s[..., None, :], s[..., :, None]
        turned_u, turned_v = left - adjoint(xp, left), right - adjoint(xp, right)
        inner = over_gaps(xp, turned_u * row + column * turned_v, row - column, (left, right), row + column)
        if x_is_complex:  # on the diagonal, the phase between the vectors of a pair
            d_s = d_s + _scaled(xp, turned_u - turned_v, row) / 4
        inner = xp.where(diagonal(k, s), d_s, inner)
        back = adjoint(xp, v)
        result = xp.matmul(xp.matmul(u, inner), back)
        if m > k:
            result = result + xp.matmul(_scaled(xp, d_u - xp.matmul(u, left), row), back)
        if n > k:
            result = result + xp.matmul(u, adjoint(xp, _scaled(xp, d_v - xp.matmul(v, right), row)))
        return conjugate(xp, result)

    packed = record("svd", forward, (source,), (d_x,))
    rows = indexing.getitem(packed, (..., slice(m + 1, None), slice(None)))
    return SVDResult(
        indexing.getitem(packed, (..., slice(0, m), slice(None))),
        real_part(complexes, indexing.getitem(packed, (..., m, slice(None)))),
        axes.swapaxes(rows, -1, -2),
    )


def _scaled(xp: Any, vectors: Any, s: Any) -> Any:
    rest = (s == 0) & (vectors == 0)
    return xp.where(rest, 0, vectors / xp.where(rest, 1, s))


def svdvals(x: TensorLike, /) -> Tensor:
    """Singular values of matrices (..., m, n), descending.

    For repeated singular values the gradient depends on a choice of vectors, except in functions that treat them
    alike, such as a sum; it is always finite.

    >>> import tensorgrad as tg
    >>> tg.linalg.svdvals([[3.0, 0.0], [0.0, -4.0]])
    Tensor([4., 3.], dtype=float64)
    """
    source = matrices(x, "svdvals")

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        u, _, vh = xp.linalg.svd(wide(x), full_matrices=False)
        return conjugate(xp, xp.matmul(u * wide(g)[..., None, :], vh))

    return record("svdvals", lambda a: narrowed(_svdvals(wide(a)), a), (source,), (d_x,))
