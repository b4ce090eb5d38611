"""Polynomials as arrays of coefficients, the highest power first, as ``np.poly1d`` has them.

Leading zeros stay: a coefficient that happens to be zero has a gradient like any other.
"""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from ..engine.arrays import arange_like
from ..engine.record import Tensor, TensorLike
from ..engine.staging import array_of
from ..errors import ShapeError
from .arithmetic import add, divide, multiply, negative, positive
from .indexing import getitem
from .joining import concatenate
from .numerics import convolve
from .padding import pad
from .shaping import atleast_1d, broadcast_to
from .views import shaped

__all__ = ["poly", "polyadd", "polyder", "polyint", "polymul", "polysub"]


def _coefficients(x: TensorLike, op: str) -> Any:
    source = atleast_1d(shaped(x, op))
    if len(source.shape) != 1:
        raise ShapeError(f"{op}: coefficients have one axis, got shape {source.shape}")
    return source


def polyadd(x: TensorLike, y: TensorLike, /) -> Tensor:
    """The sum of two polynomials.

    >>> import tensorgrad as tg
    >>> tg.polyadd([1.0, 2.0, 3.0], [5.0, 6.0])
    Tensor([1., 7., 9.], dtype=float64)
    """
    return _sum("polyadd", _coefficients(x, "polyadd"), _coefficients(y, "polyadd"))


def _sum(op: str, a: Any, b: Any) -> Tensor:
    missing = a.shape[0] - b.shape[0]
    return add(pad(a, (max(-missing, 0), 0)) if missing < 0 else a, pad(b, (missing, 0)) if missing > 0 else b)


def polysub(x: TensorLike, y: TensorLike, /) -> Tensor:
    """The difference of two polynomials.

    >>> import tensorgrad as tg
    >>> tg.polysub([1.0, 2.0, 3.0], [5.0, 6.0])
    Tensor([ 1., -3., -3.], dtype=float64)
    """
    return _sum("polysub", _coefficients(x, "polysub"), negative(_coefficients(y, "polysub")))


def polymul(x: TensorLike, y: TensorLike, /) -> Tensor:
    """The product of two polynomials.

    >>> import tensorgrad as tg
    >>> tg.polymul([1.0, 2.0], [5.0, 6.0])
    Tensor([ 5., 16., 12.], dtype=float64)
    """
    return convolve(_coefficients(x, "polymul"), _coefficients(y, "polymul"))


def _order(m: int, op: str) -> int:
    if index(m) < 0:
        raise ValueError(f"{op}: m must not be negative, got {m}")
    return index(m)


def polyder(x: TensorLike, /, m: int = 1) -> Tensor:
    """The coefficients of the ``m``-th derivative of a polynomial; none of a constant's.

    >>> import tensorgrad as tg
    >>> tg.polyder([1.0, 2.0, 3.0])
    Tensor([2., 2.], dtype=float64)
    """
    source = _coefficients(x, "polyder")
    m = _order(m, "polyder")
    n = source.shape[0]
    kept = getitem(source, slice(0, max(n - m, 0)))
    powers = n - 1 - arange_like(max(n - m, 0), array_of(source))
    for i in range(m):
        kept = multiply(kept, (powers - i).astype(source.dtype))
    return kept if m else positive(kept)


def polyint(x: TensorLike, /, m: int = 1, k: TensorLike | None = None) -> Tensor:
    """The coefficients of the ``m``-th antiderivative of a polynomial, with the integration constants ``k``.

    ``k`` is 0 by default: a number, or one for each of the ``m`` integrations, the first first.

    >>> import tensorgrad as tg
    >>> tg.polyint([2.0, 2.0], k=5.0)
    Tensor([1., 2., 5.], dtype=float64)
    """
    source = _coefficients(x, "polyint")
    m = _order(m, "polyint")
    if k is None:
        constants: Any = np.zeros(m, source.dtype)
    else:
        constants = _coefficients(k, "polyint")
        if constants.shape[0] != m and constants.shape[0] != 1:
            raise ShapeError(f"polyint: got {constants.shape[0]} constants for {m} integrations")
        constants = broadcast_to(constants, (m,))
    result = positive(source)
    for i in range(m):
        n = result.shape[0]
        powers = (n - arange_like(n, array_of(result))).astype(np.result_type(result.dtype, 0.0))
        result = concatenate([divide(result, powers), getitem(constants, slice(i, i + 1))])
    return result


def poly(zeros: TensorLike, /) -> Tensor:
    """The coefficients of the polynomial with these zeros, and a leading coefficient of 1.

    >>> import tensorgrad as tg
    >>> tg.poly([1.0, 2.0])
    Tensor([ 1., -3.,  2.], dtype=float64)
    """
    source = _coefficients(zeros, "poly")
    result: Any = np.ones(1, np.result_type(source.dtype, 0.0))
    for i in range(source.shape[0]):
        factor = concatenate([np.ones(1, result.dtype), negative(getitem(source, slice(i, i + 1)))])
        result = convolve(result, factor)
    return positive(result)
