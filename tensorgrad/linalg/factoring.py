"""Factorisations: Cholesky, QR, eigenvalues, singular values.

Operations on a symmetric matrix, or a Hermitian one, read one triangle, as in NumPy, and the gradient is the
derivative of exactly that function: it lives in the triangle that is read, counts an off-diagonal element for both of
its places, and is 0 in the other triangle. Through a symmetric expression such as ``a @ a.T`` it is the same as a
symmetric gradient.

Complex eigenvectors and singular vectors are determined up to a factor of absolute value 1, which LAPACK chooses. A
gradient is right for a result that does not depend on it: the projection ``v @ v.conj().T`` onto an eigenvector, the
product of the three factors of :func:`svd`. The formulas are for ``dL/dx + i dL/dy``, as they are published: the rules
conjugate on the way in and on the way out (see :mod:`tensorgrad.ops.complexes`).
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from ..engine.mode import current
from ..engine.record import Tensor, TensorLike, record, tensor_of
from ..engine.staging import array_of
from ..errors import GraphError
from ..ops import axes, complexes, indexing
from ..ops.reducing import wide
from .matrices import (
    adjoint,
    below,
    conjugate,
    diagonal,
    guarded,
    matrices,
    narrowed,
    real_only,
    square,
    transposed,
    triangle,
)
from .solving import solved_triangle

__all__ = [
    "EigResult",
    "EighResult",
    "QRResult",
    "SVDResult",
    "cholesky",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "qr",
    "svd",
    "svdvals",
]


def _one_triangle(xp: Any, symmetric: Any, lower: bool) -> Any:
    """The gradient for one triangle, from that for a symmetric or Hermitian matrix: the strict one counts twice."""
    if symmetric.dtype.kind == "c":  # the imaginary part of the diagonal is not read
        symmetric = xp.where(diagonal(symmetric.shape[-1], symmetric), xp.real(symmetric), symmetric)
    read, strictly = (triangle(symmetric, lower, without_diagonal) for without_diagonal in (False, True))
    return xp.where(read, symmetric, 0) + xp.where(strictly, symmetric, 0)


# --- Cholesky -------------------------------------------------------------------------------------------

_cholesky = guarded("cholesky", np.linalg.cholesky, "is not positive definite")


def cholesky(x: TensorLike, /, *, upper: bool = False) -> Tensor:
    """The lower triangles L of positive definite matrices ``x = L @ L.T``; with ``upper``, L.T from x's upper triangle.

    The gradient lives in the triangle of x that is read (Murray 2016). Raises ShapeError if the matrices are not
    square, numpy.linalg.LinAlgError if one is not positive definite, DTypeError for complex numbers.

    >>> import tensorgrad as tg
    >>> tg.linalg.cholesky([[4.0, 0.0], [2.0, 5.0]]).data.tolist()
    [[2.0, 0.0], [1.0, 2.0]]
    """
    source = real_only(square(x, "cholesky"), "cholesky")
    if upper:
        return axes.swapaxes(cholesky(axes.swapaxes(source, -1, -2)), -1, -2)

    def d_x(xp: Any, g: Any, out: Any) -> Any:
        out = wide(out)
        back = transposed(xp, out)
        inner = xp.matmul(back, wide(g))
        inner = xp.where(triangle(inner, lower=True, unit_diagonal=False), inner, transposed(xp, inner))
        half = solved_triangle(back, inner, lower=False)
        outer = solved_triangle(back, transposed(xp, half), lower=False)
        return _one_triangle(xp, outer / 2, lower=True)

    return record("cholesky", lambda a: narrowed(_cholesky(wide(a)), a), (source,), (d_x,))


# --- QR -------------------------------------------------------------------------------------------------


class QRResult(NamedTuple):
    """The result of :func:`qr`, as in NumPy."""

    Q: Tensor
    R: Tensor


_qr = guarded("qr", lambda a: tuple(np.linalg.qr(a)))


def qr(x: TensorLike, /, mode: Literal["reduced", "r"] = "reduced") -> Any:
    """``x = Q @ R`` with orthonormal columns in Q and an upper triangular R; mode "r" returns R alone.

    For x of shape (..., m, n) and k = min(m, n), Q is (..., m, k) and R is (..., k, n). The gradient (Walter and
    Lehmann 2018) needs the first k columns of x to be linearly independent. Raises ValueError for NumPy's other
    modes, DTypeError for complex numbers.

    >>> import tensorgrad as tg
    >>> abs(tg.linalg.qr([[3.0], [4.0]]).R)
    Tensor([[5.]], dtype=float64)
    """
    source = real_only(matrices(x, "qr"), "qr")
    if mode not in ("reduced", "r"):
        raise ValueError(f"qr: mode must be 'reduced' or 'r', got {mode!r}; write np.linalg.qr(x.data, {mode!r})")
    m, n = source.shape[-2:]
    k = min(m, n)

    # One node holds both results side by side, Q transposed: (..., k, m + n).
    def forward(a: Any) -> Any:
        q, r = _qr(wide(a))
        return narrowed(np.concatenate([np.swapaxes(q, -1, -2), r], axis=-1), a)

    def d_x(xp: Any, g: Any, out: Any) -> Any:
        g, out = wide(g), wide(out)
        q, r = transposed(xp, out[..., :m]), out[..., m : m + k]
        d_q, d_r = transposed(xp, g[..., :m]), g[..., m : m + k]
        if n > k:  # the other columns are Q times the rest of R
            d_rest = g[..., m + k :]
            d_q = d_q + xp.matmul(q, xp.matmul(out[..., m + k :], transposed(xp, d_rest)))
        inner = xp.matmul(r, transposed(xp, d_r)) - xp.matmul(transposed(xp, d_q), q)
        inner = xp.where(below(k, inner) | diagonal(k, inner), inner, transposed(xp, inner))
        result = transposed(xp, solved_triangle(r, transposed(xp, d_q + xp.matmul(q, inner)), lower=False))
        return xp.concatenate([result, xp.matmul(q, d_rest)], axis=-1) if n > k else result

    packed = record("qr", forward, (source,), (d_x,))
    right = indexing.getitem(packed, (..., slice(m, None)))
    if mode == "r":
        return right
    return QRResult(axes.swapaxes(indexing.getitem(packed, (..., slice(0, m))), -1, -2), right)


# --- eigenvalues of symmetric matrices ------------------------------------------------------------------


class EighResult(NamedTuple):
    """The result of :func:`eigh`, as in NumPy."""

    eigenvalues: Tensor
    eigenvectors: Tensor


_eigh = guarded("eigh", lambda a, lower: tuple(np.linalg.eigh(a, "L" if lower else "U")))
_eigvalsh = guarded("eigvalsh", lambda a, lower: np.linalg.eigvalsh(a, "L" if lower else "U"))


def _reads_lower(UPLO: str, op: str) -> bool:
    if UPLO not in ("L", "U"):
        raise ValueError(f"{op}: UPLO must be 'L' or 'U', got {UPLO!r}")
    return UPLO == "L"


def eigh(x: TensorLike, /, UPLO: Literal["L", "U"] = "L") -> EighResult:
    """Ascending eigenvalues, and eigenvectors in columns, of symmetric or Hermitian matrices (..., n, n).

    The gradient lives in the triangle of x that is read (Giles 2008; Boeddeker et al. 2017 for complex numbers).
    Eigenvectors of a repeated eigenvalue are LAPACK's choice and have no derivative: a gradient through them is inf,
    NaN or very large, as is the second derivative of such an eigenvalue. Complex eigenvectors have one in what does
    not depend on their phases, such as ``v @ v.conj().T``. Raises ShapeError if the matrices are not square.

    >>> import tensorgrad as tg
    >>> tg.linalg.eigh([[2.0, 0.0], [0.0, 1.0]]).eigenvalues
    Tensor([1., 2.], dtype=float64)
    """
    source = square(x, "eigh")
    lower = _reads_lower(UPLO, "eigh")

    # One node holds both results: the eigenvalues are the first column.
    def forward(a: Any) -> Any:
        values, vectors = _eigh(wide(a), lower)
        return narrowed(np.concatenate([values[..., None], vectors], axis=-1), a)

    def d_x(xp: Any, g: Any, out: Any) -> Any:
        g, out = wide(g), wide(out)
        g = conjugate(xp, g)
        w, v = _real(xp, out[..., 0]), out[..., 1:]
        inner = xp.matmul(adjoint(xp, v), g[..., 1:])
        inner = _over_gaps(xp, inner - adjoint(xp, inner), w[..., None, :] - w[..., :, None], (inner,)) / 2
        inner = xp.where(diagonal(w.shape[-1], w), g[..., :1], inner)
        result = xp.matmul(xp.matmul(v, inner), adjoint(xp, v))
        return _one_triangle(xp, conjugate(xp, result), lower)

    packed = record("eigh", forward, (source,), (d_x,))
    values = _real(complexes, indexing.getitem(packed, (..., 0)))
    return EighResult(values, indexing.getitem(packed, (..., slice(1, None))))


def _real(xp: Any, x: Any) -> Any:
    """What is real, out of an array that also holds complex vectors."""
    return xp.real(x) if x.dtype.kind == "c" else x


def _over_gaps(xp: Any, turned: Any, gaps: Any, cotangents: tuple[Any, ...], sums: Any = None) -> Any:
    """Divide by the gaps between values; 0 on the diagonal, and where gap and cotangents of the vectors are all 0.

    For singular values it divides by their sums as well: the difference of the squares could overflow.
    """
    rest = gaps == 0
    for c in cotangents:
        rest = rest & (c == 0) & (transposed(xp, c) == 0)
    rest = rest | diagonal(gaps.shape[-1], gaps)
    if sums is not None:
        turned = turned / xp.where(rest, 1, sums)
    return xp.where(rest, 0, turned / xp.where(rest, 1, gaps))


def eigvalsh(x: TensorLike, /, UPLO: Literal["L", "U"] = "L") -> Tensor:
    """Eigenvalues of symmetric or Hermitian matrices (..., n, n), ascending.

    The gradient lives in the triangle of x that is read. For repeated eigenvalues it depends on a choice of
    eigenvectors, except in functions that treat them alike, such as a sum; it is always finite. Raises ShapeError if
    the matrices are not square.

    >>> import tensorgrad as tg
    >>> tg.linalg.eigvalsh([[2.0, 0.0], [0.0, 1.0]])
    Tensor([1., 2.], dtype=float64)
    """
    source = square(x, "eigvalsh")
    lower = _reads_lower(UPLO, "eigvalsh")

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        _, v = xp.linalg.eigh(wide(x), UPLO)
        result = xp.matmul(v * wide(g)[..., None, :], adjoint(xp, v))
        return _one_triangle(xp, conjugate(xp, result), lower)

    return record("eigvalsh", lambda a: narrowed(_eigvalsh(wide(a), lower), a), (source,), (d_x,))


# --- eigenvalues of other matrices ----------------------------------------------------------------------


class EigResult(NamedTuple):
    """The result of :func:`eig`, as in NumPy."""

    eigenvalues: Tensor
    eigenvectors: Tensor


_eig = guarded("eig", lambda a: tuple(np.linalg.eig(a)))
_eigvals = guarded("eigvals", lambda a: np.linalg.eigvals(a))


def _complex(a: Any) -> Any:
    """An array as complex numbers, whether or not all of them happen to be real."""
    return a.astype(np.result_type(a.dtype, np.complex64))


def eig(x: TensorLike, /) -> EigResult:
    """Eigenvalues of square matrices (..., n, n), in no order, and eigenvectors of length 1 in columns.

    Both are always complex, unlike NumPy's, whose dtype depends on the values. The gradient (Boeddeker et al. 2017)
    is right for distinct eigenvalues, in what does not depend on the phases of the eigenvectors. For a repeated
    eigenvalue a gradient through its vectors is NaN, inf or very large; where eigenvectors coincide, so that the
    matrix cannot be diagonalised, every gradient is NaN. Raises ShapeError if the matrices are not square; write
    :func:`eigh` for symmetric and Hermitian ones.

    >>> import tensorgrad as tg
    >>> tg.linalg.eig([[0.0, 1.0], [-1.0, 0.0]]).eigenvalues
    Tensor([0.+1.j, 0.-1.j], dtype=complex128)
    """
    source = square(x, "eig")

    # One node holds both results: the eigenvalues are the first column.
    def forward(a: Any) -> Any:
        values, vectors = _eig(wide(a))
        return _complex(np.concatenate([values[..., None], vectors], axis=-1))

    def d_x(xp: Any, g: Any, out: Any) -> Any:
        g, w, v = xp.conj(g), out[..., 0], out[..., 1:]
        back = adjoint(xp, v)
        inner = xp.matmul(back, g[..., 1:])
        on = diagonal(w.shape[-1], w)
        # Vectors keep their length: what a gradient has along them does not count.
        along = xp.sum(xp.where(on, xp.real(inner), 0), axis=-1)
        turned = inner - xp.matmul(back, v) * along[..., None, :]
        inner = _over_gaps(xp, turned, xp.conj(w[..., None, :] - w[..., :, None]), (inner,))
        inner = xp.where(on, g[..., :1], inner)
        return xp.conj(_between_vectors(xp, v, xp.matmul(inner, back)))

    packed = record("eig", forward, (source,), (d_x,))
    return EigResult(indexing.getitem(packed, (..., 0)), indexing.getitem(packed, (..., slice(1, None))))


def _between_vectors(xp: Any, v: Any, right: Any) -> Any:
    """The solution y of ``v.conj().T @ y = right``; NaN where two of the unit vectors in v coincide."""
    n, back = v.shape[-1], adjoint(xp, v)
    on = diagonal(n, v)
    alike = (xp.abs(xp.matmul(back, v)) > 1 - 8 * np.finfo(v.dtype).eps) & ~on
    lost = xp.any(alike, axis=(-2, -1), keepdims=True)
    return xp.where(lost, np.nan, xp.linalg.solve(xp.where(lost, on, back), right))


def eigvals(x: TensorLike, /) -> Tensor:
    """Eigenvalues of square matrices (..., n, n), complex, in no order.

    For repeated eigenvalues the gradient depends on a choice of eigenvectors, except in functions that treat them
    alike, such as a sum; where eigenvectors coincide, so that the matrix cannot be diagonalised, it is NaN. Raises
    ShapeError if the matrices are not square; write :func:`eigvalsh` for symmetric and Hermitian ones.

    >>> import tensorgrad as tg
    >>> tg.linalg.eigvals([[0.0, 1.0], [-1.0, 0.0]])
    Tensor([0.+1.j, 0.-1.j], dtype=complex128)
    """

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        _, v = xp.linalg.eig(wide(x))
        return conjugate(xp, _between_vectors(xp, v, xp.conj(g)[..., :, None] * adjoint(xp, v)))

    return record("eigvals", lambda a: _complex(_eigvals(wide(a))), (square(x, "eigvals"),), (d_x,))


# --- singular values ------------------------------------------------------------------------------------


class SVDResult(NamedTuple):
    """The result of :func:`svd`, as in NumPy."""

    U: Tensor
    S: Tensor
    Vh: Tensor


_svd = guarded("svd", lambda a: tuple(np.linalg.svd(a, full_matrices=False)))
_full_svd = guarded("svd", lambda a: tuple(np.linalg.svd(a)))
_svdvals = guarded("svdvals", lambda a: np.linalg.svd(a, compute_uv=False))


def svd(x: TensorLike, /, full_matrices: bool = True) -> SVDResult:
    """``x = U @ diag(S) @ Vh``: orthonormal columns in U, orthonormal rows in Vh, descending singular values in S.

    For x of shape (..., m, n) and k = min(m, n), U is (..., m, k) and Vh is (..., k, n) without ``full_matrices``.
    With it, U and Vh are square, and have a derivative only for square x.

    Singular vectors of a repeated or zero singular value are LAPACK's choice and have no derivative: a gradient
    through them is inf, NaN or very large (Giles 2008, Townsend 2016). Complex ones have one in what does not depend
    on their common phases, such as ``U @ diag(f(S)) @ Vh``. Raises GraphError if a gradient is wanted through the full
    matrices of an x that is not square.

    >>> import tensorgrad as tg
    >>> tg.linalg.svd([[3.0, 0.0], [0.0, -4.0]]).S
    Tensor([4., 3.], dtype=float64)
    """
    source = matrices(x, "svd")
    m, n = source.shape[-2:]
    if full_matrices and m != n:
        if getattr(source, "requires_grad", False) and current().grad:
            raise GraphError(
                f"svd: the full matrices of x of shape {source.shape} have columns that x does not determine, so they "
                f"have no derivative; write full_matrices=False"
            )
        array = array_of(source)
        return SVDResult(*(tensor_of(narrowed(part, array), None) for part in _full_svd(wide(array))))
    k = min(m, n)
    x_is_complex = source.dtype.kind == "c"

    # One node holds the three results, one above the other: U, S, and Vh transposed.
    def forward(a: Any) -> Any:
        u, s, vh = _svd(wide(a))
        return narrowed(np.concatenate([u, s[..., None, :], np.swapaxes(vh, -1, -2)], axis=-2), a)

    def d_x(xp: Any, g: Any, out: Any) -> Any:
        g, out = wide(g), wide(out)
        u, s, v = out[..., :m, :], _real(xp, out[..., m, :]), conjugate(xp, out[..., m + 1 :, :])
        d_u, d_s, d_v = conjugate(xp, g[..., :m, :]), _real(xp, g[..., m : m + 1, :]), g[..., m + 1 :, :]
        left, right = xp.matmul(adjoint(xp, u), d_u), xp.matmul(adjoint(xp, v), d_v)
        row, column = s[..., None, :], s[..., :, None]
        turned_u, turned_v = left - adjoint(xp, left), right - adjoint(xp, right)
        inner = _over_gaps(xp, turned_u * row + column * turned_v, row - column, (left, right), row + column)
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
        _real(complexes, indexing.getitem(packed, (..., m, slice(None)))),
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
