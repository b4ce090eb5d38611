"""Linear equations: solutions, inverses and least squares."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..engine.arrays import is_foreign
from ..engine.record import Handle, Tensor, TensorLike, record
from ..engine.shapes import broadcast_error, normalised_axes
from ..engine.shared import Shared
from ..engine.staging import array_of, indivisible
from ..errors import ShapeError
from ..ops import arithmetic, complexes, indexing, products, reductions, shaping
from ..ops.axes import moveaxis
from ..ops.reducing import wide
from ..ops.views import no_gradient, shaped
from .lapack import factored, inverse, solution, substituted
from .matrices import (
    OPERATIONS,
    adjoint,
    conjugate,
    diagonal,
    guarded,
    matrices,
    mirrored,
    mixed,
    narrowed,
    real_part,
    square,
    transposed,
    triangle,
)

__all__ = ["LstsqResult", "inv", "lstsq", "pinv", "solve", "solve_triangular", "tensorinv", "tensorsolve"]

_SINGULAR = "is singular"


def _equations(op: str, a: TensorLike, b: TensorLike) -> tuple[Any, Any, bool]:
    """The operands of a x = b, and whether b is one vector."""
    x, y = square(a, op), shaped(b, op)
    vector = len(y.shape) == 1
    rows = y.shape[0 if vector else -2] if y.shape else None
    if rows != x.shape[-1]:
        raise ShapeError(
            f"{op}: shapes {x.shape} and {y.shape} do not match: {x.shape[-1]} equations, but {rows or 'no'} "
            f"right-hand sides in {'the vector' if vector else 'the second to last axis'}"
        )
    if not vector:
        error = broadcast_error(op, x.shape[:-2], y.shape[:-2])
        if error is not None:
            raise ShapeError(f"{op}: shapes {x.shape} and {y.shape} do not match in their batches: {error}")
    return x, y, vector


def _outer(xp: Any, left: Any, right: Any) -> Any:
    """The products of matrices with transposed ones; those of single columns are outer products."""
    right = transposed(xp, right)
    return left * right if left.shape[-1] == 1 else xp.matmul(left, right)


def _columns(array: Any, vector: bool) -> Any:
    """Right-hand sides or solutions as matrices, if they are one vector."""
    return array[..., None] if vector else array


def _by_factors(a: Any, lu: Any, b: Any, back: bool) -> Any:
    return solution(lu if type(b) is np.ndarray else a, b, back)


_solve = guarded("solve", _by_factors, _SINGULAR, lambda a: np.linalg.inv(a))


def solve(a: TensorLike, b: TensorLike, /) -> Tensor:
    """The solution x of ``a @ x = b``: a is (..., n, n), b is one vector (n,) or matrices (..., n, k).

    Raises ShapeError if the lengths differ, numpy.linalg.LinAlgError if a matrix is singular.

    >>> import tensorgrad as tg
    >>> tg.linalg.solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 2.0])
    Tensor([1. , 0.5], dtype=float64)
    """
    x, y, vector = _equations("solve", a, b)
    w, r = mixed(array_of(x), array_of(y))
    return _recorded(x, y, factored(w.astype(np.result_type(w, r), copy=False)), vector, back=False)


def _recorded(a: Any, b: Any, lu: Any, vector: bool, back: bool) -> Tensor:
    """The solution of a x = b, or with ``back`` of a.T x = b.

    ``lu`` is a, factored: no variable of its own, so no rule is needed for it.
    """

    def forward(a: Any, b: Any, lu: Any) -> Any:
        w, r = mixed(a, b)
        x = _solve(w, lu, _columns(r, vector), back)
        return narrowed(x[..., 0] if vector else x, a, b)

    def transposed_solution(xp: Any, g: Any, x: Any, z: Any) -> Any:
        x, g = wide(x), _columns(wide(g), vector)
        if isinstance(x, Handle) or isinstance(g, Handle):
            return _recorded(x, g, z, False, not back)
        return _solve(x, z, g, not back)

    both = Shared(transposed_solution)

    def d_a(xp: Any, g: Any, x: Any, z: Any, out: Any) -> Any:
        h, out = both.kept(xp, g, x, z), _columns(wide(out), vector)
        return _outer(xp, out, -h) if back else _outer(xp, -h, out)

    def d_b(xp: Any, g: Any, x: Any, z: Any) -> Any:
        h = both.taken(xp, g, x, z)
        return h[..., 0] if vector else h

    return record("solve", forward, (a, b, lu), (d_a, d_b, no_gradient))


_inv = guarded("inv", lambda a: inverse(factored(a)), _SINGULAR, np.linalg.inv)


def inv(x: TensorLike, /) -> Tensor:
    """The inverse of square matrices (..., n, n).

    Raises ShapeError if they are not square, numpy.linalg.LinAlgError if one is singular.

    >>> import tensorgrad as tg
    >>> tg.linalg.inv([[2.0, 0.0], [0.0, 4.0]]).data.tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """

    def d_x(xp: Any, g: Any, out: Any) -> Any:
        back = transposed(xp, wide(out))
        return -xp.matmul(xp.matmul(back, wide(g)), back)

    return record("inv", lambda a: narrowed(_inv(wide(a)), a), (square(x, "inv"),), (d_x,))


# --- triangles ------------------------------------------------------------------------------------------


_substitute = guarded(
    "solve_triangular",
    substituted,
    "is singular: there is a zero on its diagonal",
    lambda a: np.linalg.inv(diagonal(a.shape[-1], a) * a),
)


def solved_triangle(a: Any, b: Any, lower: bool, unit_diagonal: bool = False) -> Any:
    """The solution, for arrays or Tensors; b consists of matrices."""
    if isinstance(a, Handle) or isinstance(b, Handle):
        return solve_triangular(a, b, lower=lower, unit_diagonal=unit_diagonal)
    return _substitute(a, b, lower, unit_diagonal)


def solve_triangular(a: TensorLike, b: TensorLike, /, *, lower: bool = False, unit_diagonal: bool = False) -> Tensor:
    """The solution x of ``a @ x = b`` for a triangular a: the other triangle is not read.

    Shapes are those of :func:`solve`. With ``unit_diagonal`` the diagonal is taken to be 1, and not read either.
    Elements that are not read get a gradient of 0. Raises ShapeError if the lengths differ, numpy.linalg.LinAlgError
    if there is a zero on a diagonal.

    >>> import tensorgrad as tg
    >>> tg.linalg.solve_triangular([[2.0, 0.0], [1.0, 4.0]], [2.0, 5.0], lower=True)
    Tensor([1., 1.], dtype=float64)
    """
    x, y, vector = _equations("solve_triangular", a, b)

    def forward(a: Any, b: Any) -> Any:
        w, r = mixed(a, b)
        x = solved_triangle(w, _columns(r, vector), lower, unit_diagonal)
        return narrowed(x[..., 0] if vector else x, a, b)

    def transposed_solution(xp: Any, g: Any, x: Any) -> Any:
        return solved_triangle(transposed(xp, wide(x)), _columns(wide(g), vector), not lower, unit_diagonal)

    both = Shared(transposed_solution)

    def d_a(xp: Any, g: Any, x: Any, out: Any) -> Any:
        outer = _outer(xp, -both.kept(xp, g, x), _columns(wide(out), vector))
        return xp.where(triangle(x.shape[-1], x, lower, unit_diagonal), outer, 0)

    def d_b(xp: Any, g: Any, x: Any) -> Any:
        h = both.taken(xp, g, x)
        return h[..., 0] if vector else h

    return record("solve_triangular", forward, (x, y), (d_a, d_b))


# --- least squares --------------------------------------------------------------------------------------


_pinv = guarded(
    "pinv",
    lambda a, rcond, hermitian: (
        np.linalg.pinv(a, rcond, True) if hermitian and not is_foreign(a) else np.linalg.pinv(a, rcond)
    ),
)


def pinv(x: TensorLike, /, rcond: float | None = None, hermitian: bool = False, *, rtol: float | None = None) -> Tensor:
    """The Moore-Penrose pseudo-inverse of matrices (..., m, n): (..., n, m).

    Singular values up to ``rcond`` times the largest count as zero; None is NumPy's default. ``rtol`` is the array API
    standard's word for ``rcond``. With ``hermitian``, x is symmetric or Hermitian, and only its lower triangle is read.
    The gradient is that among matrices of the same rank (Golub and Pereyra 1973): where the rank can change, there is
    none.

    >>> import tensorgrad as tg
    >>> tg.linalg.pinv([[2.0], [0.0]])
    Tensor([[0.5, 0. ]], dtype=float64)
    """
    source = matrices(x, "pinv")
    if hermitian:
        source = mirrored(OPERATIONS, square(source, "pinv"))
    if rcond is None:
        rcond = rtol
    elif rtol is not None:
        raise TypeError("pinv: rtol= is rcond= in the array API standard; give one of them")

    def d_x(xp: Any, g: Any, x: Any, out: Any) -> Any:
        g, x, p = conjugate(xp, wide(g)), wide(x), wide(out)
        back = adjoint(xp, p)
        flow = adjoint(xp, g)
        left = xp.matmul(xp.matmul(flow, p), back)
        right = xp.matmul(xp.matmul(back, p), flow)
        left = left - xp.matmul(xp.matmul(x, p), left)  # the projection first, whose size is not that of x or p
        right = right - xp.matmul(right, xp.matmul(p, x))
        return conjugate(xp, left + right - xp.matmul(xp.matmul(back, g), back))

    return record("pinv", lambda a: narrowed(_pinv(wide(a), rcond, hermitian), a), (source,), (d_x,))


class LstsqResult(NamedTuple):
    """The result of :func:`lstsq`, as in NumPy."""

    solution: Tensor
    residuals: Tensor  # sums of squares; empty if the solution is not unique or is exact
    rank: Any  # an integer, as an array
    singular_values: Any  # of a, as an array


@indivisible
def _lstsq(a: Any, b: Any, rcond: float | None) -> Any:
    return tuple(np.linalg.lstsq(a, b, rcond=rcond))


def lstsq(a: TensorLike, b: TensorLike, /, rcond: float | None = None) -> LstsqResult:
    """The x of least norm that minimises ``sum(abs(b - a @ x)**2)``: a is (m, n), b is (m,) or (m, k).

    Returns the solution, the remaining sums of squares (if m > n and the rank is n), and, without gradient, the rank
    and the singular values of a. The gradient is right if a has full rank (Golub and Pereyra 1973); otherwise there
    is none, and the result holds only among matrices of the same rank. Raises ShapeError if the lengths differ.

    >>> import tensorgrad as tg
    >>> tg.linalg.lstsq([[1.0], [1.0]], [1.0, 2.0]).solution
    Tensor([1.5], dtype=float64)
    """
    x, y = shaped(a, "lstsq"), shaped(b, "lstsq")
    if len(x.shape) != 2 or len(y.shape) not in (1, 2) or x.shape[0] != y.shape[0]:
        raise ShapeError(
            f"lstsq: shapes {x.shape} and {y.shape} do not match, expected (m, n) and (m,) or (m, k); "
            f"write pinv(a) @ b for a batch"
        )
    vector = len(y.shape) == 1
    found: list[Any] = []

    def forward(a: Any, b: Any) -> Any:
        solution, _, rank, values = _lstsq(wide(a), wide(b), rcond)
        found.extend((rank, values))
        return narrowed(solution, a, b)

    def d_b(xp: Any, g: Any, x: Any) -> Any:
        return xp.matmul(transposed(xp, xp.linalg.pinv(wide(x))), wide(g))

    def d_a(xp: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
        g, x, y, out = mixed(conjugate(xp, g), x, y, out)
        if vector:
            g, y, out = g[:, None], y[:, None], out[:, None]
        p = xp.linalg.pinv(x)
        back = adjoint(xp, p)
        h = xp.matmul(back, g)
        left = xp.matmul(y - xp.matmul(x, out), adjoint(xp, xp.matmul(p, h)))
        right = xp.matmul(xp.matmul(back, out), adjoint(xp, g - xp.matmul(adjoint(xp, x), h)))
        return conjugate(xp, left + right - xp.matmul(h, adjoint(xp, out)))

    solution = record("lstsq", forward, (x, y), (d_a, d_b))
    rank, values = found
    if x.shape[0] > x.shape[1] and _full(rank, x.shape[1]):
        rest = arithmetic.subtract(y, products.matmul(x, solution))
        is_complex = rest.dtype.kind == "c"
        squares: Any = complexes.real(rest * complexes.conj(rest)) if is_complex else arithmetic.square(rest)
        residuals = reductions.sum(squares, axis=0, keepdims=vector)
    else:
        residuals = shaping.reshape(real_part(complexes, indexing.getitem(solution, slice(0, 0))), (0,))
    return LstsqResult(solution, residuals, rank, values)


def _full(rank: Any, columns: int) -> bool:
    rank = rank.value if hasattr(rank, "__traced_call__") else rank  # the same in every run: see _lstsq
    return int(rank.item()) == columns


# --- tensors --------------------------------------------------------------------------------------------


def tensorsolve(a: TensorLike, b: TensorLike, /, axes: tuple[int, ...] | None = None) -> Tensor:
    """The x for which ``tensordot(a, x, x.ndim)`` is b: the first axes of a are those of b, the others those of x.

    ``axes`` of a are moved to its end first. Raises ShapeError if the system is not square.

    >>> import numpy as np, tensorgrad as tg
    >>> tg.linalg.tensorsolve(2 * np.eye(6).reshape(6, 2, 3), np.ones(6)).shape
    (2, 3)
    """
    x, y = shaped(a, "tensorsolve"), shaped(b, "tensorsolve")
    if axes is not None:
        last = normalised_axes(axes, len(x.shape), "tensorsolve")
        x = moveaxis(x, last, tuple(range(len(x.shape) - len(last), len(x.shape))))
    shape = x.shape[len(y.shape) :]
    count = prod(y.shape)
    if prod(shape) != count or prod(x.shape) != count * count:
        raise ShapeError(
            f"tensorsolve: shape {x.shape} with b of shape {y.shape} is not a square system: the first "
            f"{len(y.shape)} axes must hold as many elements as the others"
        )
    return shaping.reshape(solve(shaping.reshape(x, (count, count)), shaping.reshape(y, (count,))), shape)


def tensorinv(x: TensorLike, /, ind: int = 2) -> Tensor:
    """The inverse of :func:`tensordot` with x over its last axes; the first ``ind`` axes count as rows.

    Raises ShapeError unless both groups of axes hold the same number of elements.

    >>> import numpy as np, tensorgrad as tg
    >>> tg.linalg.tensorinv(np.eye(6).reshape(2, 3, 6)).shape
    (6, 2, 3)
    """
    source = shaped(x, "tensorinv")
    rows, columns = source.shape[: max(ind, 0)], source.shape[max(ind, 0) :]
    if ind < 1 or prod(rows) != prod(columns):
        raise ShapeError(
            f"tensorinv: shape {source.shape} with ind={ind} is not a square matrix: {prod(rows)} by {prod(columns)}"
        )
    return shaping.reshape(inv(shaping.reshape(source, (prod(rows), prod(columns)))), columns + rows)
