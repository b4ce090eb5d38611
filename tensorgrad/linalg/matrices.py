"""Shared parts of linear algebra: checks of operands, errors that say which matrix failed, small helpers."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ..engine.arrays import arange_like
from ..engine.staging import indivisible
from ..errors import DTypeError, ShapeError
from ..ops.reducing import narrow, wide
from ..ops.views import shaped

__all__ = [
    "adjoint",
    "below",
    "conjugate",
    "diagonal",
    "guarded",
    "matrices",
    "mixed",
    "narrowed",
    "real_only",
    "square",
    "transposed",
    "triangle",
]

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


def real_only(x: Any, op: str) -> Any:
    """The operand. Raises DTypeError if it is complex."""
    if x.dtype.kind == "c":
        raise DTypeError(
            f"{op}: got {x.dtype}, expected real numbers: for complex ones the result is not an analytic function, and "
            f"tensorgrad has no rule for it; write np.linalg.{op}(x.data) for the values without history"
        )
    return x


def narrowed(result: Any, *operands: Any) -> Any:
    """Cast a result computed with ``wide`` back to float16 if all operands were: LAPACK does not support it.

    >>> narrowed(np.ones(2, dtype=np.float32), np.ones(2, dtype=np.float16)).dtype
    dtype('float16')
    """
    return narrow(result, operands[0]) if all(a.dtype == np.float16 for a in operands) else result


# --- masks ----------------------------------------------------------------------------------------------


def diagonal(n: int, like: Any) -> Any:
    """A mask of the diagonal of an n by n matrix, of the same class of array as ``like``.

    >>> diagonal(2, np.zeros(1)).tolist()
    [[True, False], [False, True]]
    """
    i = arange_like(n, like)
    return i[:, None] == i


def below(n: int, like: Any) -> Any:
    """A mask of the elements below the diagonal.

    >>> below(2, np.zeros(1)).tolist()
    [[False, False], [True, False]]
    """
    i = arange_like(n, like)
    return i[:, None] > i


def triangle(a: Any, lower: bool, unit_diagonal: bool) -> Any:
    """A mask of the elements that a triangular solution reads.

    >>> triangle(np.zeros((2, 2)), lower=True, unit_diagonal=True).tolist()
    [[False, False], [True, False]]
    """
    i = arange_like(a.shape[-1], a)
    rows, columns = (i[:, None], i) if lower else (i, i[:, None])
    return rows > columns if unit_diagonal else rows >= columns


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
