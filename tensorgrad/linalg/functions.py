"""Functions of matrices: powers, exponential, square root, condition, rank; and products of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import Any

import numpy as np

from ..engine.mode import silenced
from ..engine.record import Handle, Tensor, TensorLike, record
from ..engine.staging import indivisible
from ..errors import ShapeError
from ..ops import arithmetic, indexing, products
from ..ops.reducing import wide
from ..ops.views import no_gradient, shaped
from .factoring import svdvals
from .matrices import diagonal, guarded, matrices, narrowed, square, transposed
from .norms import matrix_norm
from .solving import inv

__all__ = ["cond", "expm", "matrix_power", "matrix_rank", "multi_dot", "sqrtm"]

Shape = tuple[int, ...]


# --- products -------------------------------------------------------------------------------------------


def multi_dot(arrays: Sequence[TensorLike], /) -> Tensor:
    """The product of two or more matrices, in the order that needs the fewest multiplications.

    The first may be a row vector, the last a column vector. Raises ShapeError if shapes do not match.

    >>> import tensorgrad as tg
    >>> tg.linalg.multi_dot([[1.0, 2.0], [[1.0], [1.0]], [[2.0]]])
    Tensor([6.], dtype=float64)
    """
    factors = [shaped(array, "multi_dot") for array in arrays]
    shapes: list[Shape] = [factor.shape for factor in factors]
    count = len(factors)
    if count < 2:
        raise ShapeError(f"multi_dot: got {count} arrays, expected at least two")
    for i, shape in enumerate(shapes):
        if len(shape) != 2 and not (len(shape) == 1 and i in (0, count - 1)):
            raise ShapeError(
                f"multi_dot: array {i} has shape {shape}, expected a matrix, or a vector in the first or last place"
            )
    for i in range(count - 1):
        if shapes[i][-1] != shapes[i + 1][0]:
            raise ShapeError(
                f"multi_dot: arrays {i} and {i + 1} of shapes {shapes[i]} and {shapes[i + 1]} do not match: "
                f"{shapes[i][-1]} != {shapes[i + 1][0]}"
            )
    lengths = [1 if len(shapes[0]) == 1 else shapes[0][0], *(shape[0] for shape in shapes[1:])]
    lengths.append(1 if len(shapes[-1]) == 1 else shapes[-1][1])
    cuts = _cheapest(lengths)

    def product(first: int, last: int) -> Any:
        if first == last:
            return factors[first]
        cut = cuts[first, last]
        return products.matmul(product(first, cut), product(cut + 1, last))

    return product(0, count - 1)


def _cheapest(lengths: list[int]) -> dict[tuple[int, int], int]:
    """Where to cut each run of factors in two (Cormen et al., matrix-chain multiplication)."""
    count = len(lengths) - 1
    costs = {(i, i): 0 for i in range(count)}
    cuts = {}
    for width in range(1, count):
        for i in range(count - width):
            j = i + width
            choices = [
                (costs[i, k] + costs[k + 1, j] + lengths[i] * lengths[k + 1] * lengths[j + 1], k) for k in range(i, j)
            ]
            costs[i, j], cuts[i, j] = min(choices)
    return cuts


def matrix_power(x: TensorLike, n: int, /) -> Tensor:
    """Square matrices (..., m, m) to the power of an integer n; for a negative n, powers of their inverses.

    Raises ShapeError if they are not square, numpy.linalg.LinAlgError if an inverse does not exist.

    >>> import tensorgrad as tg
    >>> tg.linalg.matrix_power([[1.0, 1.0], [0.0, 1.0]], 3).data.tolist()
    [[1.0, 3.0], [0.0, 1.0]]
    """
    source = square(x, "matrix_power")
    try:
        n = index(n)
    except TypeError as error:
        raise TypeError(f"matrix_power: the exponent must be an integer, got {n!r}") from error
    if n == 0:
        unit = lambda a: np.zeros_like(a) + diagonal(a.shape[-1], a).astype(a.dtype)  # noqa: E731
        return record("matrix_power", unit, (source,), (lambda xp, g: xp.zeros_like(g),))
    if n < 0:
        source, n = inv(source), -n
    if n == 1:
        return arithmetic.positive(source)
    power: Any = source
    result: Any = None
    while n:
        if n & 1:
            result = power if result is None else products.matmul(result, power)
        n >>= 1
        power = products.matmul(power, power) if n else power
    return result


# --- analytic functions ---------------------------------------------------------------------------------


def _analytic(op: str, function: Callable[[Any], Any], x: Any) -> Any:
    """An analytic function of square matrices, for arrays or Tensors.

    Its derivative is a block of the same function of a matrix twice as large (Higham 2008, theorem 3.6):
    f([[A, E], [0, A]]) has the derivative at A in the direction E in its upper right corner. So all derivatives come
    from the function itself.
    """
    if not isinstance(x, Handle):
        return function(x)
    n = x.data.shape[-1]

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        g, back = wide(g), transposed(xp, wide(x))
        upper = xp.concatenate([back, g], axis=-1)
        lower = xp.concatenate([xp.zeros_like(back), back], axis=-1)
        return _analytic(op, function, xp.concatenate([upper, lower], axis=-2))[..., :n, n:]

    return record(op, lambda a: narrowed(function(wide(a)), a), (x,), (d_x,))


# Coefficients of the numerator of the Padé approximant of degree 13 to exp, and the norm up to which it is accurate
# (Higham 2005).
_PADE = (
    *(64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0),
    *(10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0),
)
_REACH = 5.371920351148152


@indivisible
@silenced()  # overflow gives inf, as everywhere
def _expm(a: Any) -> Any:
    """Scaling by powers of 2, the Padé approximant, and squaring."""
    if 0 in a.shape:
        return np.copy(a)
    norm = np.max(np.sum(np.abs(a), axis=-2), axis=-1)
    ratio = np.where(np.isfinite(norm) & (norm > _REACH), norm / _REACH, 1)
    times = np.ceil(np.log2(ratio))[..., None, None]
    a = a / np.exp2(times).astype(norm.dtype)
    unit = diagonal(a.shape[-1], a)
    a2 = np.matmul(a, a)
    a4 = np.matmul(a2, a2)
    a6 = np.matmul(a4, a2)
    b = _PADE
    u = np.matmul(a6, b[13] * a6 + b[11] * a4 + b[9] * a2) + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * unit
    u = np.matmul(a, u.astype(a.dtype))
    v = np.matmul(a6, b[12] * a6 + b[10] * a4 + b[8] * a2) + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * unit
    v = v.astype(a.dtype)
    result = np.linalg.solve(v - u, v + u)
    for k in range(int(np.max(times).item())):
        result = np.where(k < times, np.matmul(result, result), result)
    return result


def expm(x: TensorLike, /) -> Tensor:
    """The exponential of square matrices (..., n, n).

    Raises ShapeError if they are not square.

    >>> import tensorgrad as tg
    >>> tg.linalg.expm([[0.0, 1.0], [0.0, 0.0]]).data.tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    return _recorded("expm", _expm, x)


def _recorded(op: str, function: Callable[[Any], Any], x: TensorLike) -> Tensor:
    source = square(x, op)
    return _analytic(op, function, source if isinstance(source, Handle) else arithmetic.positive(source))


def _square_root(a: Any) -> Any:
    """The scaled product form of the Denman-Beavers iteration (Higham 2008, equation 6.29)."""
    n = a.shape[-1]
    if 0 in a.shape:
        return np.copy(a)
    unit = diagonal(n, a)
    given = np.all(np.isfinite(a), axis=(-2, -1), keepdims=True)  # of others, and so of gradients, the root is NaN
    a = np.where(given, a, unit)
    x = m = a
    scaled, steps = True, 0
    for _ in range(60):
        inverse = np.linalg.inv(m)
        if scaled:
            mu = np.exp(-np.linalg.slogdet(m)[1] / (2 * n))[..., None, None]
            m, inverse, x = m * mu**2, inverse / mu**2, x * mu
        x = np.matmul(x, unit + inverse) / 2
        m = (unit + (m + inverse) / 2) / 2
        distance = np.max(np.abs(m - unit)).item()
        scaled = scaled and distance > 0.01
        steps = steps + 1 if distance < np.finfo(a.dtype).eps ** 0.5 else 0
        if steps == 2:
            break
    error = np.max(np.abs(np.matmul(x, x) - a), axis=(-2, -1))
    if not np.all(error <= np.finfo(a.dtype).eps ** 0.5 * np.max(np.abs(a), axis=(-2, -1))):
        raise np.linalg.LinAlgError("no convergence")
    return np.where(given, x, np.nan)


_sqrtm = guarded(
    "sqrtm", _square_root, "has no principal square root of its dtype: an eigenvalue is zero or a negative real number"
)


def sqrtm(x: TensorLike, /) -> Tensor:
    """The principal square root of square matrices (..., n, n): ``root @ root`` is x.

    That of a real matrix is real. Raises ShapeError if the matrices are not square, numpy.linalg.LinAlgError if an
    eigenvalue is zero or a negative real number.

    >>> import tensorgrad as tg
    >>> tg.linalg.sqrtm([[4.0, 0.0], [0.0, 9.0]]).data.tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    return _recorded("sqrtm", _sqrtm, x)


# --- condition and rank ---------------------------------------------------------------------------------


def cond(x: TensorLike, /, p: float | str | None = None) -> Tensor:
    """Condition numbers of matrices (..., m, n): the norm of each times the norm of its inverse.

    ``p`` is an order of :func:`matrix_norm`; None and 2 take the ratio of the largest to the smallest singular value,
    which is infinite for a singular matrix, and -2 that of the smallest to the largest. Raises ShapeError for no
    elements; any other p raises ShapeError for matrices that are not square, numpy.linalg.LinAlgError for singular
    ones.

    >>> import tensorgrad as tg
    >>> tg.linalg.cond([[2.0, 0.0], [0.0, 4.0]])
    Tensor(2., dtype=float64)
    """
    source = matrices(x, "cond")
    if 0 in source.shape[-2:]:
        raise ShapeError(f"cond: matrices of shape {source.shape} have no elements")
    if p in (None, 2, -2):
        values = svdvals(source)
        largest, smallest = indexing.getitem(values, (..., 0)), indexing.getitem(values, (..., -1))
        return arithmetic.divide(smallest, largest) if p == -2 else arithmetic.divide(largest, smallest)
    order: Any = p
    source = square(source, "cond")
    return arithmetic.multiply(matrix_norm(source, ord=order), matrix_norm(inv(source), ord=order))


def matrix_rank(
    x: TensorLike, /, tol: float | None = None, hermitian: bool = False, *, rtol: float | None = None
) -> Any:
    """Number of singular values of matrices (..., m, n) larger than ``tol``: integers, as a plain array.

    ``rtol`` is ``tol`` divided by the largest singular value. None takes NumPy's default, the longer side times the
    machine epsilon. With ``hermitian``, x is symmetric or Hermitian, and only its lower triangle is read. The rank of a
    vector or a number is 1, or 0 if it is zero.

    >>> import tensorgrad as tg
    >>> tg.linalg.matrix_rank([[1.0, 2.0], [2.0, 4.0]])
    array(1)
    """
    source = shaped(x, "matrix_rank")
    vector = len(source.shape) < 2
    if hermitian and not vector:
        source = square(source, "matrix_rank")

    def forward(a: Any) -> Any:
        return np.any(a != 0).astype(int) if vector else np.linalg.matrix_rank(wide(a), tol, hermitian, rtol=rtol)

    return record("matrix_rank", forward, (source,), (no_gradient,)).data
