"""Triangular solutions and LU factorisations of arrays: SciPy's BLAS and LAPACK for large matrices, if it is installed.

NumPy has only the general ``solve`` and ``inv``, which factor their matrix anew at each call. Everything here has a
second path on NumPy alone: for small matrices, where a stack in one call is quicker, for arrays of other classes, and
where there is no SciPy.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import prod
from typing import Any

import numpy as np

from ..engine.staging import indivisible
from .matrices import diagonal, triangle

__all__ = ["determinant", "factored", "inverse", "is_factored", "log_determinant", "solution", "substituted"]

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
    a = np.where(triangle(a, lower, unit), a, 0)
    if unit:
        a = a + diagonal(a.shape[-1], a)
    if a.shape[-1] <= _BLOCK:
        return np.linalg.solve(a, b)
    known = None
    for rows, others in _blocks(a.shape[-1], lower):
        rest = b[..., rows, :]
        if known is not None:
            rest = rest - np.matmul(a[..., rows, others], known)
        part = np.linalg.solve(a[..., rows, rows], rest)
        known = part if known is None else np.concatenate([known, part] if lower else [part, known], axis=-2)
    return known


def _blocks(n: int, lower: bool) -> Iterator[tuple[slice, slice]]:
    """Which rows to solve for at once, and which are known by then: products of matrices are quicker than solutions."""
    for start in range(0, n, _BLOCK) if lower else reversed(range(0, n, _BLOCK)):
        stop = min(start + _BLOCK, n)
        yield slice(start, stop), slice(0, start) if lower else slice(stop, n)


def _in_place(a: Any, x: Any, lower: bool, unit: bool) -> Any:
    """The solution for one triangle, written over the right-hand sides x, which lie in rows."""
    if x.shape[1] < _BLOCK:
        return _trsm(a, x, lower, unit)
    for rows, known in _blocks(len(a), lower):
        if known.start < known.stop:
            x[rows] -= np.matmul(a[rows, known], x[known])
        x[rows] = _trsm(a[rows, rows], x[rows], lower, unit)
    return x


def _trsm(a: Any, x: Any, lower: bool, unit: bool) -> Any:
    # BLAS takes columns, which are NumPy's rows: x.T @ a.T = b.T needs no copy.
    columns = a.flags.f_contiguous
    solve = _routine("trsm", a.dtype)
    return solve(
        1.0, a if columns else a.T, x.T, side=1, lower=lower == columns, trans_a=columns, diag=unit, overwrite_b=True
    ).T


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
    order = list(range(lu.shape[-1]))
    for i, j in enumerate(lu[-1].real.astype(int).tolist()):
        order[i], order[j] = order[j], order[i]
    return np.array(order)


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
            x = _in_place(lu.T, b[order], lower=True, unit=True)
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
    with np.errstate(all="ignore"):
        return np.prod(np.sign(on), axis=-1) * (1 - 2 * swaps).astype(size.dtype), np.sum(np.log(size), axis=-1)


@indivisible
@np.errstate(all="ignore")  # overflow gives inf, as everywhere
def determinant(lu: Any) -> Any:
    """The determinants of a, of which ``lu`` is a result of :func:`factored`.

    >>> determinant(factored(-np.eye(3))).item()
    -1.0
    """
    if not is_factored(lu):
        return np.linalg.det(lu)
    sign, size = log_determinant(lu)
    return sign * np.exp(size)
