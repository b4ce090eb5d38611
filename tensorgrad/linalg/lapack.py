"""Triangular solutions, Cholesky and LU factorisations of arrays, for large matrices with SciPy's BLAS and LAPACK.

NumPy has only the general ``solve`` and ``inv``, which factor their matrix anew at each call. Everything here has a
second path on NumPy alone: for small matrices, where a stack in one call is quicker, for arrays of other classes, and
where there is no SciPy.
"""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any

import numpy as np

from ..engine.mode import silenced
from ..engine.staging import indivisible
from .matrices import diagonal, triangle

__all__ = [
    "cholesky_factor",
    "determinant",
    "factored",
    "inverse",
    "is_factored",
    "log_determinant",
    "solution",
    "substituted",
]

_LARGE = 48  # rows from which on a call of SciPy for each matrix is quicker than one of NumPy for a stack
_BLOCK = 64  # rows of a triangle that are solved at once; matrix products connect the blocks


@cache
def _routine(name: str, dtype: Any) -> Any:
    """A function of BLAS or LAPACK for a dtype; None if there is none, or no SciPy."""
    try:
        from scipy.linalg import blas, lapack
    except ImportError:
        return None
    letter = {"f": "s", "d": "d", "F": "c", "D": "z"}.get(dtype.char, "")
    return getattr(blas, letter + name, None) or getattr(lapack, letter + name, None)


def _by_scipy(*arrays: Any) -> bool:
    """Are these arrays of one dtype whose matrices, the first array's, are large enough for SciPy?"""
    first = arrays[0]
    return (
        all(type(a) is np.ndarray and a.dtype == first.dtype and a.dtype.isnative for a in arrays)
        and first.shape[-1] >= _LARGE
        and all(prod(a.shape) > 0 for a in arrays)
        and _routine("trsm", first.dtype) is not None
    )


def _stacked(function: Any, *arrays: Any) -> Any:
    """What a function of matrices gives for stacks of them, which broadcast."""
    if all(a.ndim == 2 for a in arrays):
        return function(*arrays)
    batch = np.broadcast_shapes(*(a.shape[:-2] for a in arrays))
    whole = [np.broadcast_to(a, batch + a.shape[-2:]) for a in arrays]
    parts = [function(*(a[index] for a in whole)) for index in np.ndindex(batch)]
    return np.reshape(np.stack(parts), batch + parts[0].shape)


# --- triangles ------------------------------------------------------------------------------------------


@indivisible
def substituted(a: Any, b: Any, lower: bool, unit: bool) -> Any:
    """The solutions x of ``a @ x = b`` for triangular a, whose other triangle is not read, and matrices b.

    With ``unit`` the diagonal is taken to be 1. Raises LinAlgError if there is a zero on it.

    >>> substituted(np.array([[2.0, 9.0], [1.0, 4.0]]), np.array([[2.0], [5.0]]), lower=True, unit=False).tolist()
    [[1.0], [1.0]]
    """
    if _by_scipy(a, b):
        if not unit and not np.all(np.diagonal(a, 0, -2, -1)):
            raise np.linalg.LinAlgError("Singular matrix")
        return _stacked(lambda a, b: _in_place(a, np.array(b, order="C"), lower, unit), a, b)
    a = np.where(triangle(a.shape[-1], a, lower, unit), a, 0)
    if unit:
        a = a + diagonal(a.shape[-1], a)
    return _by_halves(a, b, lower)


def _halves(n: int, lower: bool) -> tuple[slice, slice]:
    """The half of n unknowns to solve for first, and the other one."""
    halves = slice(0, n // 2), slice(n // 2, n)
    return halves if lower else halves[::-1]


def _by_halves(a: Any, b: Any, lower: bool) -> Any:
    """The solutions by products of matrices, which are quicker than solutions."""
    if a.shape[-1] <= _BLOCK:
        return np.linalg.solve(a, b)
    first, last = _halves(a.shape[-1], lower)
    known = _by_halves(a[..., first, first], b[..., first, :], lower)
    rest = b[..., last, :] - np.matmul(a[..., last, first], known)
    rest = _by_halves(a[..., last, last], rest, lower)
    return np.concatenate([known, rest] if lower else [rest, known], axis=-2)


def _in_place(a: Any, x: Any, lower: bool, unit: bool) -> Any:
    """The solution for one triangle, written over the right-hand sides x, a C-contiguous array."""
    assert x.flags.c_contiguous  # of another one, BLAS would get a copy
    if len(a) > _BLOCK and x.shape[1] >= _BLOCK:
        first, last = _halves(len(a), lower)
        _in_place(a[first, first], x[first], lower, unit)
        _routine("gemm", a.dtype)(-1.0, x[first].T, a[last, first].T, 1.0, x[last].T, overwrite_c=True)
        _in_place(a[last, last], x[last], lower, unit)
        return x
    # BLAS takes Fortran order. Without a copy, x.T @ a.T = b.T is solved, unless x is a single column.
    solve = _routine("trsm", a.dtype)
    columns = bool(a.flags.f_contiguous)
    known = a if columns else a.T
    if x.shape[1] == 1:
        solve(1.0, known, x, side=0, lower=lower == columns, trans_a=not columns, diag=unit, overwrite_b=True)
    else:
        solve(1.0, known, x.T, side=1, lower=lower == columns, trans_a=columns, diag=unit, overwrite_b=True)
    return x


# --- Cholesky factorisations ----------------------------------------------------------------------------


@indivisible
def cholesky_factor(a: Any) -> Any:
    """The lower triangles L of ``a = L @ L.conj().T``, of which only the lower triangle is read.

    Raises LinAlgError if a matrix is not positive definite.

    >>> cholesky_factor(np.array([[4.0, 9.0], [2.0, 5.0]])).tolist()
    [[2.0, 0.0], [1.0, 2.0]]
    """
    if not _by_scipy(a):
        return np.linalg.cholesky(a)
    factor = _routine("potrf", a.dtype)

    def one(a: Any) -> Any:
        upper, failed = factor(a.T)  # rows are LAPACK's columns
        if failed:
            raise np.linalg.LinAlgError("Matrix is not positive definite")
        return upper.T

    return _stacked(one, a)


# --- LU factorisations ----------------------------------------------------------------------------------
#
# For a of shape (..., n, n): (..., n + 1, n). With a.T = P L U, the first n rows hold U.T and, above its diagonal, L.T
# without its diagonal of ones; the last row holds the row that each was swapped with.


@indivisible
def factored(a: Any) -> Any:
    """The LU factorisations of a, whether singular or not; a itself where NumPy's functions are to be used.

    >>> factored(np.eye(2)).shape  # too small to be worth it
    (2, 2)
    """
    return _stacked(_factored, a) if _by_scipy(a) else a


def is_factored(lu: Any) -> bool:
    """Is this an LU factorisation, not the matrix itself?"""
    return bool(lu.shape[-2] > lu.shape[-1])


def _factored(a: Any) -> Any:
    n = len(a)
    lu = np.empty((n + 1, n), a.dtype)
    lu[:n] = a
    _, lu[n], _ = _routine("getrf", a.dtype)(lu[:n].T, overwrite_a=True)
    return lu


def _order(lu: Any) -> Any:
    """The rows of the factored matrix in the order of L U."""
    order = np.arange(lu.shape[-1], dtype=lu.dtype)[:, None]
    return _routine("laswp", lu.dtype)(order, lu[-1].real.astype(np.intc))[:, 0].real.astype(np.intp)


@indivisible
def solution(lu: Any, b: Any, back: bool) -> Any:
    """The solutions x of ``a @ x = b`` for matrices b; of ``a.T @ x = b`` with ``back``.

    ``lu`` is a result of :func:`factored`. Raises LinAlgError if a matrix is singular.

    >>> solution(factored(np.array([[1.0, 1.0], [0.0, 1.0]])), np.array([[3.0], [2.0]]), back=True).tolist()
    [[3.0], [-1.0]]
    """
    if not is_factored(lu):
        return np.linalg.solve(np.swapaxes(lu, -1, -2) if back else lu, b)
    if not np.all(np.diagonal(lu, 0, -2, -1)):
        raise np.linalg.LinAlgError("Singular matrix")
    if b.dtype != lu.dtype:
        dtype = np.result_type(lu, b)
        lu, b = lu.astype(dtype), b.astype(dtype)

    def one(lu: Any, b: Any) -> Any:
        order, lu = _order(lu), lu[:-1]
        if back:
            x = _in_place(lu.T, np.ascontiguousarray(b[order]), lower=True, unit=True)
            return _in_place(lu.T, x, lower=False, unit=False)
        x = _in_place(lu, np.array(b, order="C"), lower=True, unit=False)
        return _in_place(lu, x, lower=False, unit=True)[np.argsort(order)]

    return _stacked(one, lu, b) if prod(b.shape) else np.zeros_like(b, shape=_broadcast(lu, b))


def _broadcast(lu: Any, b: Any) -> tuple[int, ...]:
    return (*np.broadcast_shapes(lu.shape[:-2], b.shape[:-2]), *b.shape[-2:])


@indivisible
def inverse(lu: Any) -> Any:
    """The inverses of a, of which ``lu`` is a result of :func:`factored`. Raises LinAlgError if one is singular.

    >>> inverse(factored(2 * np.eye(2))).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    if not is_factored(lu):
        return np.linalg.inv(lu)
    n = lu.shape[-1]
    getri = _routine("getri", lu.dtype)

    def one(lu: Any) -> Any:
        result, failed = getri(lu[:-1].T, lu[-1].real.astype(np.intc), lwork=_BLOCK * n)
        if failed:
            raise np.linalg.LinAlgError("Singular matrix")
        return result.T

    return _stacked(one, lu)


@indivisible
def log_determinant(lu: Any) -> Any:
    """The signs of the determinants of a, of which ``lu`` is a result of :func:`factored`, and log of their sizes.

    >>> [part.tolist() for part in log_determinant(factored(-np.eye(3)))]
    [-1.0, 0.0]
    """
    if not is_factored(lu):
        return tuple(np.linalg.slogdet(lu))
    n = lu.shape[-1]
    on = np.diagonal(lu, 0, -2, -1)
    swaps = np.sum(lu[..., -1, :] != np.arange(n), axis=-1) % 2
    size = np.abs(on)
    with silenced():
        return np.prod(np.sign(on), axis=-1) * (1 - 2 * swaps).astype(size.dtype), np.sum(np.log(size), axis=-1)


@indivisible
@silenced()  # overflow gives inf, as everywhere
def determinant(lu: Any) -> Any:
    """The determinants of a, of which ``lu`` is a result of :func:`factored`.

    >>> determinant(factored(-np.eye(3))).item()
    -1.0
    """
    if not is_factored(lu):
        return np.linalg.det(lu)
    sign, size = log_determinant(lu)
    return sign * np.exp(size)
