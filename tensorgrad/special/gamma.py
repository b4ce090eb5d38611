"""The gamma function, its logarithm and derivatives, beta functions, incomplete ones, and zeta.

The incomplete functions have no closed-form derivative with respect to their parameters (``a`` and ``b``), nor zeta
with respect to its exponent: if a gradient is needed for one, GraphError names it, instead of a NaN or a zero.
"""

from __future__ import annotations

import math
from operator import index
from typing import Any

import numpy as np

from ..engine.graph import elementwise
from ..engine.record import Tensor, TensorLike, binary, record, unary
from ..engine.staging import indivisible
from ..ops.complexes import real_only
from ..ops.views import shaped
from ._scipy import no_closed_form, scipy

__all__ = [
    "beta",
    "betainc",
    "betaln",
    "digamma",
    "gamma",
    "gammainc",
    "gammaincc",
    "gammaln",
    "multigammaln",
    "polygamma",
    "zeta",
]

_gammaln = scipy("gammaln")
_zeta = scipy("zeta")


@unary(real_only("gamma", scipy("gamma")), lambda xp, g, x, out: g * out * xp.special.digamma(x))
def gamma(x: TensorLike, /) -> Tensor:
    """Gamma function.

    >>> import tensorgrad as tg
    >>> tg.special.gamma([0.5, 5.0])
    Tensor([ 1.77245385, 24.        ], dtype=float64)
    """


@unary(_gammaln, lambda xp, g, x: g * xp.special.digamma(x))
def gammaln(x: TensorLike, /) -> Tensor:
    """Logarithm of the absolute value of the gamma function.

    >>> import tensorgrad as tg
    >>> tg.special.gammaln([0.5, 1000.0])
    Tensor([5.72364943e-01, 5.90522042e+03], dtype=float64)
    """


@unary(real_only("digamma", scipy("digamma")), lambda xp, g, x: g * xp.special.zeta(2.0, x))
def digamma(x: TensorLike, /) -> Tensor:
    """Derivative of the logarithm of the gamma function.

    >>> import tensorgrad as tg
    >>> tg.special.digamma([1.0, 2.0])
    Tensor([-0.57721566,  0.42278434], dtype=float64)
    """


def polygamma(n: int, x: TensorLike, /) -> Tensor:
    """The n-th derivative of :func:`digamma`, for an integer n >= 0.

    >>> import tensorgrad as tg
    >>> tg.special.polygamma(1, [1.0, 2.0])
    Tensor([1.64493407, 0.64493407], dtype=float64)
    """
    try:
        order = index(n)
    except TypeError as error:
        raise TypeError(f"polygamma: n must be an integer, got {type(n).__name__}; x comes second") from error
    if order < 0:
        raise ValueError(f"polygamma: n must not be negative, got {order}")
    if order == 0:
        return digamma(x)
    factor = math.factorial(order) * (-1.0) ** (order + 1)

    def forward(a: Any) -> Any:
        return factor * _zeta(order + 1.0, a)

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        return g * (-factor * (order + 1)) * xp.special.zeta(order + 2.0, x)

    return record("polygamma", forward, (shaped(x, "polygamma"),), (d_x,))


def multigammaln(x: TensorLike, d: int, /) -> Tensor:
    """Logarithm of the multivariate gamma function of d dimensions. Raises ValueError if x <= (d - 1) / 2.

    >>> import tensorgrad as tg
    >>> tg.special.multigammaln([2.0], 2)
    Tensor([0.45158271], dtype=float64)
    """
    count = index(d)
    if count < 1:
        raise ValueError(f"multigammaln: d, the number of dimensions, must be at least 1, got {count}")
    constant = 0.25 * count * (count - 1) * math.log(math.pi)

    def forward(a: Any) -> Any:
        _check_multigammaln(a, count)
        total = _gammaln(a)
        for j in range(1, count):
            total = total + _gammaln(a - j / 2)
        return total + constant

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        total = xp.special.digamma(x)
        for j in range(1, count):
            total = total + xp.special.digamma(x - j / 2)
        return g * total

    return record("multigammaln", forward, (shaped(x, "multigammaln"),), (d_x,))


@indivisible
def _check_multigammaln(a: Any, count: int) -> None:
    if np.any(a <= (count - 1) / 2):
        raise ValueError(f"multigammaln: in {count} dimensions x must be above {(count - 1) / 2}, got a smaller one")


def zeta(x: TensorLike, /, q: TensorLike | None = None) -> Tensor:
    """Hurwitz zeta function, the sum of ``(k + q) ** -x`` over k >= 0; Riemann's (q = 1) without q.

    Raises GraphError if a gradient for x is needed.

    >>> import tensorgrad as tg
    >>> tg.special.zeta(2.0, [1.0, 2.0])
    Tensor([1.64493407, 0.64493407], dtype=float64)
    """
    if q is None:
        return record("zeta", _zeta, (shaped(x, "zeta"),), (no_closed_form("zeta", "x"),))
    return record("zeta", _zeta, (x, q), (no_closed_form("zeta", "x"), _d_zeta))


def _d_zeta(xp: Any, g: Any, x: Any, y: Any) -> Any:
    return -g * x * xp.special.zeta(x + 1, y)


# --- beta and incomplete functions ----------------------------------------------------------------------


def _d_beta(xp: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    return g * out * (xp.special.digamma(x) - xp.special.digamma(x + y))


def _d_beta_y(xp: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    return _d_beta(xp, g, y, x, out)


@binary(scipy("beta"), _d_beta, _d_beta_y)
def beta(a: TensorLike, b: TensorLike, /) -> Tensor:
    """Beta function, ``gamma(a) gamma(b) / gamma(a + b)``.

    >>> import tensorgrad as tg
    >>> tg.special.beta([1.0, 2.0], 3.0)
    Tensor([0.33333333, 0.08333333], dtype=float64)
    """


def _d_betaln(xp: Any, g: Any, x: Any, y: Any) -> Any:
    return g * (xp.special.digamma(x) - xp.special.digamma(x + y))


def _d_betaln_y(xp: Any, g: Any, x: Any, y: Any) -> Any:
    return _d_betaln(xp, g, y, x)


@binary(scipy("betaln"), _d_betaln, _d_betaln_y)
def betaln(a: TensorLike, b: TensorLike, /) -> Tensor:
    """Logarithm of the absolute value of the beta function.

    >>> import tensorgrad as tg
    >>> tg.special.betaln([1.0, 1000.0], 1000.0)
    Tensor([   -6.90775528, -1388.48260164], dtype=float64)
    """


# Densities are products, whose derivatives are right to any order also where a power is 0; but their factors can
# overflow where they do not, and then they are computed in logarithms.
_MODERATE = 30.0  # a logarithm whose exponential can be multiplied without a thought


def _d_gammainc(xp: Any, g: Any, x: Any, y: Any) -> Any:
    rest = -y - xp.special.gammaln(x)
    log = (x - 1) * xp.log(xp.where(y == 0, 1, y))
    product = (y == 0) | ((log < _MODERATE) & (rest > -_MODERATE))
    base = xp.where(product, y, 1)
    return g * xp.where(product, xp.power(base, x - 1) * xp.exp(xp.where(product, rest, 0)), xp.exp(log + rest))


def _d_gammaincc(xp: Any, g: Any, x: Any, y: Any) -> Any:
    return -_d_gammainc(xp, g, x, y)


@binary(scipy("gammainc"), no_closed_form("gammainc", "a"), _d_gammainc)
def gammainc(a: TensorLike, x: TensorLike, /) -> Tensor:
    """Regularised lower incomplete gamma function. Raises GraphError if a gradient for a is needed.

    >>> import tensorgrad as tg
    >>> tg.special.gammainc(1.0, [0.0, 1.0])
    Tensor([0.        , 0.63212056], dtype=float64)
    """


@binary(scipy("gammaincc"), no_closed_form("gammaincc", "a"), _d_gammaincc)
def gammaincc(a: TensorLike, x: TensorLike, /) -> Tensor:
    """Regularised upper incomplete gamma function. Raises GraphError if a gradient for a is needed.

    >>> import tensorgrad as tg
    >>> tg.special.gammaincc(1.0, [0.0, 1.0])
    Tensor([1.        , 0.36787944], dtype=float64)
    """


def betainc(a: TensorLike, b: TensorLike, x: TensorLike, /) -> Tensor:
    """Regularised incomplete beta function. Raises GraphError if a gradient for a or b is needed.

    >>> import tensorgrad as tg
    >>> tg.special.betainc(1.0, 2.0, [0.0, 0.5])
    Tensor([0.  , 0.75], dtype=float64)
    """

    def d_x(xp: Any, g: Any, x: Any, y: Any, z: Any) -> Any:
        end = (z == 0) | (z == 1)
        rest = -xp.special.betaln(x, y)
        inner = xp.where(end, 0.5, z)
        left, right = (x - 1) * xp.log(inner), (y - 1) * xp.log1p(-inner)
        product = end | ((left < _MODERATE) & (right < _MODERATE) & (rest < _MODERATE))
        base = xp.where(product, z, 0.5)
        power = xp.power(base, x - 1) * xp.power(1 - base, y - 1)
        return g * xp.where(product, power * xp.exp(rest), xp.exp(left + right + rest))

    return record(
        "betainc",
        scipy("betainc"),
        (a, b, x),
        (no_closed_form("betainc", "a"), no_closed_form("betainc", "b"), d_x),
    )


elementwise.update(("betainc", "multigammaln", "polygamma", "zeta"))
