"""Densities of distributions, as in ``scipy.stats``: ``tg.stats.norm.logpdf(x, loc, scale)``.

Each is composed of tensorgrad's operations, so that it has derivatives of any order with respect to all of its
arguments. Arguments broadcast; their names, order and defaults are SciPy's. All but ``norm`` and
``multivariate_normal`` need SciPy, for the gamma function: ``pip install "tensorgrad-np[special]"``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .engine.record import Tensor, TensorLike
from .errors import ShapeError
from .linalg.factoring import cholesky
from .linalg.solving import solve_triangular
from .ops import arithmetic, diagonals, exponential, reductions, selection, shaping
from .ops.axes import moveaxis
from .ops.compare import equal, greater, greater_equal, less_equal
from .ops.views import shaped
from .special.gamma import betaln, gammaln
from .words import public_names

__all__ = ["beta", "gamma", "multivariate_normal", "norm", "t"]
__dir__ = public_names(globals())

_LOG_2PI = math.log(2 * math.pi)


class _Distribution:
    """A distribution: its density, and the logarithm of that."""

    def logpdf(self, x: TensorLike, *shape: TensorLike, **parameters: TensorLike) -> Tensor:
        """The logarithm of the density at x."""
        raise NotImplementedError

    def pdf(self, x: TensorLike, *shape: TensorLike, **parameters: TensorLike) -> Tensor:
        """The density at x. Arguments are those of ``logpdf``."""
        return exponential.exp(self.logpdf(x, *shape, **parameters))


def _standardised(x: TensorLike, loc: TensorLike, scale: TensorLike) -> Tensor:
    return arithmetic.divide(arithmetic.subtract(x, loc), scale)


def _within(inside: Any, density: Any) -> Tensor:
    """-inf outside of the support, with a gradient of zero."""
    return selection.where(inside, density, -math.inf)


class _Normal(_Distribution):
    def logpdf(self, x: TensorLike, loc: TensorLike = 0.0, scale: TensorLike = 1.0) -> Tensor:  # type: ignore[override]
        """``-((x - loc) / scale)**2 / 2 - log(scale) - log(2 pi) / 2``.

        >>> import tensorgrad as tg
        >>> tg.stats.norm.logpdf(1.0, 0.0, 2.0)
        Tensor(-1.73708571, dtype=float64)
        """
        z = _standardised(x, loc, scale)
        return -0.5 * z * z - exponential.log(scale) - 0.5 * _LOG_2PI


def _valid(density: Any, *positive: TensorLike) -> Tensor:
    """NaN where a parameter that has to be positive is not."""
    for parameter in positive:
        density = selection.where(greater(parameter, 0.0), density, math.nan)
    return density


class _Gamma(_Distribution):
    def logpdf(  # type: ignore[override]
        self, x: TensorLike, a: TensorLike, loc: TensorLike = 0.0, scale: TensorLike = 1.0
    ) -> Tensor:
        """``(a - 1) log(z) - z - log(Gamma(a)) - log(scale)`` with ``z = (x - loc) / scale``; -inf for negative z.

        >>> import tensorgrad as tg
        >>> tg.stats.gamma.logpdf(2.0, 3.0)
        Tensor(-1.30685282, dtype=float64)
        """
        z = _standardised(x, loc, scale)
        inside = greater_equal(z, 0.0)
        safe = selection.where(inside, z, 1.0)
        power = exponential.xlogy(arithmetic.subtract(a, 1.0), safe)
        return _valid(_within(inside, power - safe - gammaln(a) - exponential.log(scale)), a, scale)

    def pdf(  # type: ignore[override]
        self, x: TensorLike, a: TensorLike, loc: TensorLike = 0.0, scale: TensorLike = 1.0
    ) -> Tensor:
        """The density at x; where z is 0 as a product, whose derivatives are right there.

        >>> import tensorgrad as tg
        >>> tg.grad(lambda x: tg.stats.gamma.pdf(x, 2.0))(0.0)
        np.float64(1.0)
        """
        z = _standardised(x, loc, scale)
        end = equal(z, 0.0)
        at_end = selection.where(end, z, 1.0) ** arithmetic.subtract(a, 1.0) * exponential.exp(-z - gammaln(a)) / scale
        inner = selection.where(end, arithmetic.add(loc, scale), x)
        return _valid(selection.where(end, at_end, exponential.exp(self.logpdf(inner, a, loc, scale))), a, scale)


class _Beta(_Distribution):
    def logpdf(  # type: ignore[override]
        self, x: TensorLike, a: TensorLike, b: TensorLike, loc: TensorLike = 0.0, scale: TensorLike = 1.0
    ) -> Tensor:
        """``(a - 1) log(z) + (b - 1) log(1 - z) - log(B(a, b)) - log(scale)`` with ``z = (x - loc) / scale``.

        It is -inf where z is outside of [0, 1].

        >>> import tensorgrad as tg
        >>> tg.stats.beta.logpdf(0.25, 2.0, 3.0)
        Tensor(0.52324814, dtype=float64)
        """
        z = _standardised(x, loc, scale)
        inside = greater_equal(z, 0.0) & less_equal(z, 1.0)
        safe = selection.where(inside, z, 0.5)
        low = exponential.xlogy(arithmetic.subtract(a, 1.0), safe)
        high = exponential.xlog1py(arithmetic.subtract(b, 1.0), -safe)
        return _valid(_within(inside, low + high - betaln(a, b) - exponential.log(scale)), a, b, scale)

    def pdf(  # type: ignore[override]
        self, x: TensorLike, a: TensorLike, b: TensorLike, loc: TensorLike = 0.0, scale: TensorLike = 1.0
    ) -> Tensor:
        """The density at x; where z is 0 or 1 as a product, whose derivatives are right there.

        >>> import tensorgrad as tg
        >>> tg.grad(lambda x: tg.stats.beta.pdf(x, 2.0, 2.0))(0.0)
        np.float64(6.0)
        """
        z = _standardised(x, loc, scale)
        end = equal(z, 0.0) | equal(z, 1.0)
        safe = selection.where(end, z, 0.5)
        powers = safe ** arithmetic.subtract(a, 1.0) * (1.0 - safe) ** arithmetic.subtract(b, 1.0)
        at_end = powers * exponential.exp(-betaln(a, b)) / scale
        inner = selection.where(end, arithmetic.add(loc, arithmetic.multiply(scale, 0.5)), x)
        return _valid(selection.where(end, at_end, exponential.exp(self.logpdf(inner, a, b, loc, scale))), a, b, scale)


class _Student(_Distribution):
    def logpdf(  # type: ignore[override]
        self, x: TensorLike, df: TensorLike, loc: TensorLike = 0.0, scale: TensorLike = 1.0
    ) -> Tensor:
        """Student's t with ``df`` degrees of freedom.

        >>> import tensorgrad as tg
        >>> tg.stats.t.logpdf(1.0, 3.0)
        Tensor(-1.57625299, dtype=float64)
        """
        z = _standardised(x, loc, scale)
        freedom = selection.where(greater(df, 0.0), df, 1.0)
        half = freedom * 0.5
        norm = -betaln(half, 0.5) - 0.5 * exponential.log(freedom)
        density = norm - (half + 0.5) * exponential.log1p(z * z / freedom) - exponential.log(scale)
        return _valid(density, df, scale)


class _MultivariateNormal(_Distribution):
    def logpdf(self, x: TensorLike, mean: TensorLike = 0.0, cov: TensorLike = 1.0) -> Tensor:  # type: ignore[override]
        """The normal density of vectors of n numbers: x of shape (..., n), mean (n,), cov (n, n), result (...).

        A number for ``cov`` stands for that multiple of the identity, one for ``mean`` for equal means. The matrix is
        read as symmetric. Raises LinAlgError where it is not positive definite, ShapeError where shapes do not fit.

        >>> import numpy as np, tensorgrad as tg
        >>> tg.stats.multivariate_normal.logpdf([1.0, 2.0], [0.0, 0.0], np.diag([1.0, 4.0]))
        Tensor(-3.53102425, dtype=float64)
        """
        points = shaped(x, "multivariate_normal")
        shape = points.shape
        if not shape:
            raise ShapeError("multivariate_normal: x is one number, expected vectors of shape (..., n)")
        n = shape[-1]
        matrix: Any = shaped(cov, "multivariate_normal")
        if not np.shape(matrix):
            matrix = arithmetic.multiply(np.eye(n), matrix)
        if matrix.shape != (n, n):
            raise ShapeError(f"multivariate_normal: cov has shape {matrix.shape}, expected {(n, n)} for x of {shape}")
        lower = cholesky(matrix)
        centred = shaping.reshape(arithmetic.subtract(points, mean), (-1, n))
        white = solve_triangular(lower, moveaxis(centred, -1, 0), lower=True)
        halves = reductions.sum(exponential.log(diagonals.diagonal(lower)))
        return shaping.reshape(-0.5 * reductions.sum(white * white, axis=0) - halves - 0.5 * n * _LOG_2PI, shape[:-1])


norm = _Normal()
gamma = _Gamma()
beta = _Beta()
t = _Student()
multivariate_normal = _MultivariateNormal()
