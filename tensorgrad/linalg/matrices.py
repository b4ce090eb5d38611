"""Shared parts of linear algebra: checks of operands, errors that say which matrix failed, small helpers."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..engine.arrays import arange_like
from ..engine.staging import indivisible
from ..errors import ShapeError
from ..ops import axes, complexes, selection
from ..ops.reducing import narrow, wide
from ..ops.views import shaped

__all__ = [
    "OPERATIONS",
    "adjoint",
    "conjugate",
    "diagonal",
    "guarded",
    "matrices",
    "mirrored",
    "mixed",
    "narrowed",
    "one_triangle",
    "over_gaps",
    "real_part",
    "square",
    "transposed",
    "triangle",
]

# The ``xp`` with which the functions below are operations.
OPERATIONS = SimpleNamespace(conj=complexes.conj, real=complexes.real, swapaxes=axes.swapaxes, where=selection.where)

_DIVERGED = "could not be decomposed by LAPACK; does it contain a NaN or an infinity?"


# --- operands -------------------------------------------------------------------------------------------


def matrices(value: Any, op: str) -> Any:
    """An operand with at least two axes, whose last two are those of matrices.

    >>> matrices([[1.0, 2.0]], "pinv").shape
    (1, 2)
    """
    x = shaped(value, op)
    if len(x.shape) < 2:
        raise ShapeError(f"{op}: shape {x.shape} has {len(x.shape)} axes, expected at least two: those of the matrix")
    return x


def square(value: Any, op: str) -> Any:
    """An operand of square matrices.

    >>> square([[1.0, 2.0], [3.0, 4.0]], "inv").shape
    (2, 2)
    """
    x = matrices(value, op)
    rows, columns = x.shape[-2:]
    if rows != columns:
        raise ShapeError(f"{op}: shape {x.shape} has matrices of {rows} by {columns}, expected square ones")
    return x


def narrowed(result: Any, *operands: Any) -> Any:
    """Cast a result computed with ``wide`` back to float16 if all operands were: LAPACK does not support it.

    >>> narrowed(np.ones(2, dtype=np.float32), np.ones(2, dtype=np.float16)).dtype
    dtype('float16')
    """
    return narrow(result, operands[0]) if all(a.dtype == np.float16 for a in operands) else result


# --- masks ----------------------------------------------------------------------------------------------


def _numbers(n: int, like: Any) -> Any:
    return arange_like(n, like).astype(np.int32)  # which are compared in half the time of int64


def diagonal(n: int, like: Any) -> Any:
    """A mask of the diagonal of an n by n matrix, of the same class of array as ``like``.

    >>> diagonal(2, np.zeros(1)).tolist()
    [[True, False], [False, True]]
    """
    i = _numbers(n, like)
    return i[:, None] == i


def triangle(n: int, like: Any, lower: bool, strict: bool = False) -> Any:
    """A mask of one triangle of an n by n matrix, with its diagonal unless ``strict``.

    >>> triangle(2, np.zeros(1), lower=True).tolist()
    [[True, False], [True, True]]
    """
    i = _numbers(n, like)
    rows, columns = (i[:, None], i) if lower else (i, i[:, None])
    return rows > columns if strict else rows >= columns


def transposed(xp: Any, x: Any) -> Any:
    """The matrices transposed.

    >>> transposed(np, np.zeros((4, 2, 3))).shape
    (4, 3, 2)
    """
    return xp.swapaxes(x, -1, -2)


def conjugate(xp: Any, x: Any) -> Any:
    """The complex conjugate; real numbers as they are.

    >>> conjugate(np, np.array([1 + 2j])).tolist()
    [(1-2j)]
    """
    return xp.conj(x) if x.dtype.kind == "c" else x


def adjoint(xp: Any, x: Any) -> Any:
    """The matrices transposed and conjugated.

    >>> adjoint(np, np.array([[1j, 2.0]])).tolist()
    [[-1j], [(2-0j)]]
    """
    return conjugate(xp, transposed(xp, x))


# --- what several rules compute ----------------------------------------------------------------------------


def one_triangle(xp: Any, symmetric: Any, lower: bool) -> Any:
    """The gradient for one triangle, from that for a symmetric or Hermitian matrix: the strict one counts twice.

    >>> one_triangle(np, np.ones((2, 2)), lower=True).tolist()
    [[1.0, 0.0], [2.0, 1.0]]
    """
    n = symmetric.shape[-1]
    if symmetric.dtype.kind == "c":  # the imaginary part of the diagonal is not read
        symmetric = xp.where(diagonal(n, symmetric), xp.real(symmetric), symmetric)
    read, strictly = (triangle(n, symmetric, lower, strict) for strict in (False, True))
    return xp.where(read, symmetric, 0) + xp.where(strictly, symmetric, 0)


def mirrored(xp: Any, lower: Any) -> Any:
    """The symmetric or Hermitian matrices with this lower triangle.

    >>> mirrored(np, np.array([[1.0, 9.0], [2.0, 3.0]])).tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """
    n = lower.shape[-1]
    result = xp.where(triangle(n, lower, lower=True), lower, adjoint(xp, lower))
    return xp.where(diagonal(n, lower), xp.real(lower), result) if lower.dtype.kind == "c" else result


def real_part(xp: Any, x: Any) -> Any:
    """What is real, out of an array that may also hold complex vectors.

    >>> real_part(np, np.array([2 + 0j])).tolist()
    [2.0]
    """
    return xp.real(x) if x.dtype.kind == "c" else x


def over_gaps(xp: Any, turned: Any, gaps: Any, cotangents: tuple[Any, ...], sums: Any = None) -> Any:
    """Divide by the gaps between values; 0 on the diagonal, and where gap and cotangents of the vectors are all 0.

    For singular values it divides by their sums as well: the difference of the squares could overflow.

    >>> over_gaps(np, np.ones((2, 2)), np.array([[0.0, 2.0], [-2.0, 0.0]]), ()).tolist()
    [[0.0, 0.5], [-0.5, 0.0]]
    """
    rest = gaps == 0
    for c in cotangents:
        rest = rest & (c == 0) & (transposed(xp, c) == 0)
    rest = rest | diagonal(gaps.shape[-1], gaps)
    if sums is not None:
        turned = turned / xp.where(rest, 1, sums)
    return xp.where(rest, 0, turned / xp.where(rest, 1, gaps))


# --- errors ---------------------------------------------------------------------------------------------


def guarded(
    op: str, function: Callable[..., Any], what: str = _DIVERGED, probe: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """A function of arrays whose LinAlgError says which matrix of the first array failed, and why.

    ``probe`` is a function of a single matrix that fails if that matrix is to blame.

    >>> guarded("inv", np.linalg.inv, "is singular")(np.zeros((2, 3, 3)))
    Traceback (most recent call last):
    numpy.linalg.LinAlgError: inv: the matrix at index (0,) of the batch of shape (2, 3, 3) is singular
    """

    @indivisible
    def whole(*arrays: Any) -> Any:
        try:
            return function(*arrays)
        except np.linalg.LinAlgError as error:
            shape = arrays[0].shape
            index = _first_failing(probe or (lambda one: function(one, *arrays[1:])), arrays[0])
            where = f"at index {index} of the batch of shape {shape}" if index else f"of shape {shape}"
            raise np.linalg.LinAlgError(f"{op}: the matrix {where} {what}") from error

    return whole


def _first_failing(probe: Callable[..., Any], array: Any) -> tuple[int, ...]:
    batch = array.shape[:-2]
    for index in np.ndindex(batch) if prod(batch) > 1 else ():
        try:
            probe(array[index])
        except np.linalg.LinAlgError:
            return index
    return (0,) * len(batch)


def mixed(*arrays: Any) -> tuple[Any, ...]:
    """Arrays cast by :func:`~tensorgrad.ops.reducing.wide`: none of float16 or of integers.

    >>> [a.dtype.name for a in mixed(np.ones(1, dtype=np.float16), np.ones(1))]
    ['float32', 'float64']
    """
    return tuple(map(wide, arrays))
