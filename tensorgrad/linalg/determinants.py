"""Determinants, with derivatives that are right for singular matrices, too."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..engine.record import Handle, Tensor, TensorLike, record
from ..engine.staging import array_of, indivisible
from ..ops import complexes, indexing
from ..ops.reducing import wide
from ..ops.views import no_gradient
from .lapack import determinant, factored, inverse, log_determinant
from .matrices import diagonal, narrowed, square, transposed

__all__ = ["SlogdetResult", "det", "slogdet"]


def det(x: TensorLike, /) -> Tensor:
    """Determinants of square matrices (..., n, n).

    All derivatives are exact for singular matrices, too: cofactors are computed from singular values where an inverse
    would be inaccurate. Raises ShapeError if the matrices are not square.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
    >>> tg.linalg.det(x).backward()
    >>> x.grad.round(12).tolist()
    [[4.0, -2.0], [-2.0, 1.0]]
    """
    source = square(x, "det")
    lu = factored(wide(array_of(source)))

    def d_x(xp: Any, g: Any, x: Any, y: Any) -> Any:
        return wide(g)[..., None, None] * _cofactors(wide(x), y)

    return record("det", lambda a, lu: narrowed(determinant(lu), a), (source, lu), (d_x, no_gradient))


class SlogdetResult(NamedTuple):
    """The result of :func:`slogdet`, as in NumPy: the determinant is ``sign * exp(logabsdet)``."""

    sign: Tensor
    logabsdet: Tensor


def slogdet(x: TensorLike, /) -> SlogdetResult:
    """Signs of determinants, and logarithms of their absolute values, which neither overflow nor underflow.

    The sign of a complex determinant is a complex number of absolute value 1; that of a real one has a gradient of 0.
    For a singular matrix the logarithm is -inf and its gradient infinite (or NaN), and ``sign * exp(logabsdet)`` has
    none of the derivatives of the determinant: write ``det(x)`` for those. Raises ShapeError if the matrices are not
    square.

    >>> import tensorgrad as tg
    >>> tg.linalg.slogdet([[2.0, 0.0], [0.0, -4.0]]).sign
    Tensor(-1., dtype=float64)
    """
    source = square(x, "slogdet")
    lu = factored(wide(array_of(source)))

    # One node holds both results side by side.
    def forward(a: Any, lu: Any) -> Any:
        return narrowed(np.stack(tuple(log_determinant(lu)), axis=-1), a)

    def d_x(xp: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
        g, x = wide(g), wide(x)
        slope = size = g[..., 1:, None]
        singular = out[..., 1:, None] == -np.inf
        if x.dtype.kind == "c":  # the sign turns by the imaginary part of trace(inv(x) @ dx)
            size = xp.real(size)
            slope = size + 1j * xp.imag(g[..., :1, None] * wide(out)[..., :1, None])
        infinite = xp.where(size == 0, 0, size * np.inf)
        return xp.where(singular, infinite, slope * transposed(xp, _inverse_unless(xp, singular, x, y)))

    packed = record("slogdet", forward, (source, lu), (d_x, no_gradient))
    logabsdet: Any = indexing.getitem(packed, (..., 1))
    if source.dtype.kind == "c":
        logabsdet = complexes.real(logabsdet)
    return SlogdetResult(indexing.getitem(packed, (..., 0)), logabsdet)


def _inverse_unless(xp: Any, singular: Any, x: Any, lu: Any) -> Any:
    """The inverses of x, for arrays or Tensors, and identity matrices where a mask says that there is none."""
    if not isinstance(x, Handle):
        return _inverse_of(singular, x, lu)
    tensor: Any = x
    return xp.linalg.inv(xp.where(singular, diagonal(tensor.shape[-1], tensor), tensor))


@indivisible
def _inverse_of(singular: Any, x: Any, lu: Any) -> Any:
    return inverse(factored(np.where(singular, diagonal(x.shape[-1], x), x)) if np.any(singular) else lu)


# --- cofactors ------------------------------------------------------------------------------------------
#
# The gradient of det at A is the matrix of its cofactors, det(A) inv(A).T if the inverse exists. With
# A = U diag(s) V.T it is det(U) det(V) U diag(p) V.T, where p[i] is the product of all s but s[i]: there is no
# division, so it holds for every matrix. So does the derivative of the cofactors in the direction H, which in the
# bases U and V (H' = U.T H V) is sum(H'[k, k] p[i, k]) over k != i on the diagonal, and -H'[j, i] p[i, j] elsewhere,
# where p[i, j] is the product of all s but these two.


def _cofactors(x: Any, lu: Any) -> Any:
    """The matrices of cofactors of x, for arrays or Tensors; ``lu`` is x, factored."""
    if not isinstance(x, Handle):
        return _cofactors_of(x, lu)
    return record("cofactors", _cofactors_of, (x, lu), (lambda xp, g, x: _d_cofactors(x, g), no_gradient))


def _d_cofactors(x: Any, *hs: Any) -> Any:
    """The derivative of the cofactors of x in the directions hs: with one, the second derivative of det times it."""
    if not any(isinstance(array, Handle) for array in (x, *hs)):
        return _d_cofactors_of(x, *hs) if len(hs) == 1 else _d_cofactors_more(x, *hs)

    # It is symmetric and linear in the directions, so that its derivatives are of the same kind.
    def d_x(xp: Any, g: Any, *xs: Any) -> Any:
        return _d_cofactors(*xs, g)

    def by(i: int) -> Any:
        return lambda xp, g, *xs: _d_cofactors(*(g if j == i else array for j, array in enumerate(xs)))

    return record("cofactors_derivative", _d_cofactors, (x, *hs), (d_x, *(by(i + 1) for i in range(len(hs)))))


def _inverses(a: Any, lu: Any) -> tuple[Any, Any, Any]:
    """Determinants, inverses, and a mask of inaccurate ones (where the inverse is meaningless)."""
    size = determinant(lu)[..., None, None]
    inverted = _inverse_of(size == 0, a, lu)
    squares = [np.sum(np.square(np.abs(m)), axis=(-1, -2))[..., None, None] for m in (a, inverted)]
    accurate = squares[0] * squares[1] < np.finfo(a.dtype).eps ** -0.5
    return size, inverted, (size == 0) | ~accurate


def _bases(a: Any) -> tuple[Any, Any, Any, Any]:
    """U, s and V.T of A (for complex numbers U.conj() and V.T.conj()), and det(U) det(V).

    If A contains a NaN or an infinity, for which LAPACK fails, s is NaN.
    """
    known = np.all(np.isfinite(a), axis=(-2, -1), keepdims=True)
    u, s, vh = np.linalg.svd(np.where(known, a, 0))
    s = np.where(known[..., 0], s, np.nan)
    if a.dtype.kind == "c":
        u, vh = np.conj(u), np.conj(vh)
    return u, s, vh, np.conj(np.linalg.det(u) * np.linalg.det(vh))[..., None, None]


def _without_one(s: Any) -> Any:
    """For each number along the last axis, the product of all others."""
    one = np.ones_like(s[..., :1])
    before = np.cumprod(np.concatenate([one, s[..., :-1]], axis=-1), axis=-1)
    after = np.cumprod(np.concatenate([one, np.flip(s[..., 1:], -1)], axis=-1), axis=-1)
    return before * np.flip(after, -1)


def _without_two(s: Any) -> Any:
    """For each pair of descending numbers, the product of all others; 0 on the diagonal."""
    n = s.shape[-1]
    larger = s[..., :, None]
    pairs = _without_one(s)[..., None, :] / np.where(larger == 0, 1, larger)
    # If the larger of two is zero, there is another zero among the others, unless these two are the last.
    last = np.prod(s[..., : n - 2], axis=-1)[..., None, None] if n > 1 else 1
    rows, columns = np.nonzero(np.eye(n, k=1))
    corner = np.zeros_like(pairs, shape=(n, n))
    corner[rows[-1:], columns[-1:]] = 1
    pairs = np.triu(np.where(larger == 0, corner * last, pairs), 1)
    return pairs + np.swapaxes(pairs, -1, -2)


@indivisible
def _cofactors_of(a: Any, lu: Any) -> Any:
    if prod(a.shape) == 0:
        return np.zeros_like(a)
    size, inverted, inaccurate = _inverses(a, lu)
    result = size * np.swapaxes(inverted, -1, -2)
    if not np.any(inaccurate):
        return result
    u, s, vh, sign = _bases(a)
    return np.where(inaccurate, sign * np.matmul(u * _without_one(s)[..., None, :], vh), result)


@indivisible
def _d_cofactors_of(a: Any, h: Any) -> Any:
    if prod(a.shape) == 0:
        return np.zeros_like(h)
    size, inverted, inaccurate = _inverses(a, factored(a))
    back = np.swapaxes(inverted, -1, -2)
    part = np.sum(back * h, axis=(-2, -1), keepdims=True)
    result = size * (part * back - np.matmul(np.matmul(back, np.swapaxes(h, -1, -2)), back))
    if not np.any(inaccurate):
        return result
    u, s, vh, sign = _bases(a)
    others = _without_two(s)
    inner = np.matmul(np.matmul(np.swapaxes(u, -1, -2), h), np.swapaxes(vh, -1, -2))
    ends = np.sum(inner * diagonal(a.shape[-1], a), axis=-1)
    ends = np.matmul(others, ends[..., None])
    inner = np.where(diagonal(a.shape[-1], a), ends, -np.swapaxes(inner, -1, -2) * others)
    return np.where(inaccurate, sign * np.matmul(np.matmul(u, inner), vh), result)


@indivisible
def _d_cofactors_more(a: Any, *hs: Any) -> Any:
    """:func:`_d_cofactors` in two directions or more."""
    n, order = a.shape[-1], len(hs)
    if order >= n or prod(a.shape) == 0:  # a polynomial of degree n - 1
        return np.zeros_like(hs[0])
    if order > 2:
        return _from_roots(a, *hs)
    size, inverted, inaccurate = _inverses(a, factored(a))
    back = np.swapaxes(inverted, -1, -2)
    one, two = (np.matmul(back, np.swapaxes(h, -1, -2)) for h in hs)
    p, q = (np.sum(back * h, axis=(-2, -1), keepdims=True) for h in hs)
    both = np.sum(np.matmul(one, back) * hs[1], axis=(-2, -1), keepdims=True)
    result = (p * q - both) * back - q * np.matmul(one, back) - p * np.matmul(two, back)
    result = size * (result + np.matmul(one, np.matmul(two, back)) + np.matmul(two, np.matmul(one, back)))
    return np.where(inaccurate, _from_roots(a, *hs), result) if np.any(inaccurate) else result


def _from_roots(a: Any, *hs: Any) -> Any:
    """The coefficient of t1 t2 ... in the cofactors of ``a + t1 h1 + t2 h2 ...``, by their values at roots of unity."""
    n = a.shape[-1]
    lengths = [np.max(np.abs(m), axis=(-2, -1), keepdims=True) for m in (a, *hs)]
    size = np.where(lengths[0] == 0, 1, lengths[0])
    steps = [h * (size / np.where(length == 0, 1, length)) for h, length in zip(hs, lengths[1:])]
    roots = np.exp(2j * np.pi * np.arange(n) / n)
    points: Any = a
    for step in steps:  # an axis in front for the roots of each direction
        points = points + roots[:, *(None,) * points.ndim] * step
    points = points / size
    total = _cofactors_of(points, factored(points))
    for _ in hs:
        total = np.sum(total * roots.conj()[:, *(None,) * (total.ndim - 1)], axis=0)
    total = total / n ** len(hs) * size ** (n - 1)
    for length in lengths[1:]:
        total = total * (length / size)
    dtype = np.result_type(a, *hs)
    return (total if dtype.kind == "c" else np.real(total)).astype(dtype)
