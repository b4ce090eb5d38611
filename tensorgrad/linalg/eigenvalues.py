"""Eigenvalues and eigenvectors.

Operations on a symmetric matrix, or a Hermitian one, read one triangle, as in NumPy, and the gradient is the
derivative of exactly that function: it lives in the triangle that is read, counts an off-diagonal element for both of
its places, and is 0 in the other triangle. Through a symmetric expression such as ``a @ a.T`` it is the same as a
symmetric gradient.

Complex eigenvectors are determined up to a factor of absolute value 1, which LAPACK chooses. A gradient is right for a
result that does not depend on it, such as the projection ``v @ v.conj().T`` onto an eigenvector. The formulas are for
``dL/dx + i dL/dy``, as they are published: the rules conjugate on the way in and on the way out (see
:mod:`tensorgrad.ops.complexes`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..engine.record import Tensor, TensorLike, record
from ..ops import complexes, indexing
from ..ops.reducing import wide
from .matrices import (
    adjoint,
    conjugate,
    diagonal,
    guarded,
    narrowed,
    one_triangle,
    over_gaps,
    real_part,
    square,
)

__all__ = ["EigResult", "EighResult", "eig", "eigh", "eigvals", "eigvalsh"]


# --- eigenvalues of symmetric matrices ------------------------------------------------------------------


class EighResult(NamedTuple):
    """The result of :func:`eigh`, as in NumPy."""

    eigenvalues: Tensor
    eigenvectors: Tensor


_eigh = guarded("eigh", lambda a, lower: tuple(np.linalg.eigh(a, "L" if lower else "U")))
_eigvalsh = guarded("eigvalsh", lambda a, lower: np.linalg.eigvalsh(a, "L" if lower else "U"))


def _reads_lower(UPLO: str, op: str) -> bool:
    if UPLO not in ("L", "U", "l", "u"):
        raise ValueError(f"{op}: UPLO must be 'L' or 'U', got {UPLO!r}")
    return UPLO in ("L", "l")


def eigh(x: TensorLike, /, UPLO: str = "L") -> EighResult:
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
        w, v = real_part(xp, out[..., 0]), out[..., 1:]
        inner = xp.matmul(adjoint(xp, v), g[..., 1:])
        inner = over_gaps(xp, inner - adjoint(xp, inner), w[..., None, :] - w[..., :, None], (inner,)) / 2
        inner = xp.where(diagonal(w.shape[-1], w), g[..., :1], inner)
        result = xp.matmul(xp.matmul(v, inner), adjoint(xp, v))
        return one_triangle(xp, conjugate(xp, result), lower)

    packed = record("eigh", forward, (source,), (d_x,))
    values = real_part(complexes, indexing.getitem(packed, (..., 0)))
    return EighResult(values, indexing.getitem(packed, (..., slice(1, None))))


def eigvalsh(x: TensorLike, /, UPLO: str = "L") -> Tensor:
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
        return one_triangle(xp, conjugate(xp, result), lower)

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
        inner = over_gaps(xp, turned, xp.conj(w[..., None, :] - w[..., :, None]), (inner,))
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
