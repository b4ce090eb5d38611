"""How a number drawn from the gamma distribution moves with the shape parameter."""

from __future__ import annotations

from functools import cache
from math import factorial
from typing import Any

import numpy as np

from ..engine.mode import silenced
from ..engine.record import Handle, record
from ..engine.staging import indivisible
from ..errors import GraphError
from ._scipy import scipy

__all__ = ["gamma_slope"]

_digamma = scipy("digamma")
_zeta = scipy("zeta")


@cache
def _nodes() -> tuple[tuple[float, float], ...]:
    """Gauss-Legendre points and weights for the interval from 0 to 1."""
    points, weights = np.polynomial.legendre.leggauss(48)
    return tuple(zip(((1 + points) / 2).tolist(), (weights / 2).tolist()))


def _weight(order: int, log: Any, a: Any, trigamma: Any) -> Any:
    """The derivative of this order of the density with respect to its shape, over the density.

    ``log`` is log t - digamma(1 + a).
    """
    if order == 1:
        return log + 1 / a
    return log * log + 2 * log / a - trigamma


def _series(order: int, a: Any, z: Any, log: Any, trigamma: Any) -> Any:
    total = np.zeros_like(z)
    for n in range(20):
        b = a + n
        c = n / (a * b)
        part = log + c if order == 1 else log * log + 2 * c * (log - 1 / b) - trigamma
        total = total + (-z) ** n / factorial(n) * part / b
    return z * np.exp(z) * total


def _integral(order: int, a: Any, z: Any, log: Any, trigamma: Any) -> Any:
    # From 0 to z if that is the smaller part, else from z on, with t = z exp(-v) or z exp(v): the integrand falls
    # monotonically from 1 at v = 0 to below exp(-40) at ``end``.
    lower = z <= a
    sign = np.where(lower, -1.0, 1.0)
    wide = np.sqrt(120 / z)
    end = np.where(wide <= 1, wide, np.where(lower, np.maximum(1, 109 / z), np.maximum(1, np.log1p(160 / z))))
    end = np.minimum(end, 40 / np.maximum(np.abs(z - a), 1e-3))
    end = np.minimum(end, np.where(lower, (40 + z) / a, end))
    total = np.zeros_like(z)
    for point, weight in _nodes():
        v = sign * (point * end)
        total = total + weight * np.exp(a * v - z * np.expm1(v)) * _weight(order, log + v, a, trigamma)
    return -sign * z * end * total


@indivisible
def _moment(a: Any, z: Any, order: int) -> Any:
    """The derivative of this order of the probability below z with respect to the shape a, over the density at z.

    It is 0 at z = 0.
    """
    dtype = z.dtype
    a, z = np.asarray(a, np.float64), np.asarray(z, np.float64)
    some = z > 0
    z = np.where(some, z, 1.0)
    log = np.log(z) - _digamma(1 + a)
    trigamma = _zeta(2.0, 1 + a)
    small = z <= 1
    with silenced():  # infinite numbers and NaN give NaN
        near = _series(order, a, np.where(small, z, 1.0), log, trigamma)
        far = _integral(order, a, np.where(small, 2.0, z), log, trigamma)
    return np.asarray(np.where(some, np.where(small, near, far), 0.0)).astype(dtype)


def _second(a: Any, z: Any) -> Any:
    if not (isinstance(a, Handle) or isinstance(z, Handle)):
        return _moment(a, z, 2)
    return record("gamma_curvature", lambda p, q: _moment(p, q, 2), (a, z), (_refuse, _refuse))


def _refuse(xp: Any, g: Any) -> Any:
    raise GraphError(
        "gamma: draws can be differentiated only twice with respect to the shape, but a third derivative is needed"
    )


def gamma_slope(a: Any, z: Any) -> Any:
    """The derivative of a gamma-distributed number z with respect to the shape a, at a fixed probability below z.

    This is the implicit derivative, minus that of the distribution function with respect to the shape, over the
    density (Figurnov, Mohamed and Mnih, 2018), from a series or an integral without cancellation, to about 1e-12. For
    Tensors it can itself be differentiated, once.

    >>> round(float(gamma_slope(np.array(1.0), np.array(1.0))), 6)
    1.173563
    """
    if not (isinstance(a, Handle) or isinstance(z, Handle)):
        return -_moment(a, z, 1)

    def d_a(xp: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
        return -g * (_second(x, y) + out * (xp.log(xp.where(y > 0, y, 1)) - xp.special.digamma(x)))

    def d_z(xp: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
        y = xp.where(y > 0, y, 1)
        return g * (xp.special.digamma(x) - xp.log(y) - out * ((x - 1) / y - 1))

    return record("gamma_slope", lambda p, q: -_moment(p, q, 1), (a, z), (d_a, d_z))
