"""Random draws, differentiable in their parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad import DTypeError, ShapeError

from .rows import (
    C,
    Case,
    R,
    S,
    positive,
    public,
    seed,
    u,
)

seed("random")


def proportions(alpha: Any, size: Any = ()) -> Any:
    size = (*np.atleast_1d(np.asarray(size, dtype=int)), *alpha.shape)
    larger = np.random.default_rng([7, 0]).standard_gamma(alpha + 1, size)
    parts = larger * np.exp(-np.random.default_rng([7, 1]).standard_exponential(size) / alpha)
    return parts / parts.sum(axis=-1, keepdims=True)


CASES: tuple[Case, ...] = (
    C(
        "random.normal",
        lambda loc, scale: loc + scale * np.random.default_rng(7).standard_normal(np.broadcast(loc, scale).shape),
        S(u(2, 3), positive(3)),
        S(u(), positive(2)),
        op=lambda loc, scale: tg.random.normal(loc, scale, rng=7),
        method="complex",
        refusals=(
            R(lambda: tg.random.normal(rng=None), TypeError, "normal", "rng", "NoneType"),  # type: ignore[arg-type]
            R(lambda: tg.random.normal(np.ones(2), np.ones(3), rng=0), ShapeError, "normal", "(2,)", "(3,)"),
        ),
    ),
    C(
        "random.uniform",
        lambda low, high: low + (high - low) * np.random.default_rng(7).random(np.broadcast(low, high).shape),
        S(u(2, 3), positive(3)),
        S(u(), positive(2)),
        op=lambda low, high: tg.random.uniform(low, high, rng=7),
        method="complex",
        refusals=(R(lambda: tg.random.uniform(rng="a"), TypeError, "uniform", "rng", "str"),),  # type: ignore[arg-type]
    ),
    *(
        C(
            f"random.{name}",
            lambda loc, scale, name=name: (
                loc + scale * getattr(np.random.default_rng(7), name)(size=np.broadcast(loc, scale).shape)
            ),
            S(u(2, 3), positive(3)),
            S(u(), positive(2)),
            op=lambda loc, scale, name=name: public(f"random.{name}")(loc, scale, rng=7),
            method="complex",
            refusals=(R(lambda name=name: public(f"random.{name}")(rng=1.5), TypeError, name, "rng", "float"),),
        )
        for name in ("laplace", "gumbel", "logistic")
    ),
    C(
        "random.exponential",
        lambda scale: scale * np.random.default_rng(7).standard_exponential(scale.shape),
        S(positive(2, 3)),
        S(positive()),
        op=lambda scale: tg.random.exponential(scale, rng=7),
        method="complex",
    ),
    C(
        "random.permutation",
        lambda x, axis=0: np.take(x, np.random.default_rng(7).permutation(x.shape[axis]), axis),
        S(u(5)),
        S(u(3, 2)),
        S(u(2, 4), axis=-1),
        op=lambda x, axis=0: tg.random.permutation(x, axis, rng=7),
        method="complex",
        refusals=(R(lambda: tg.random.permutation(np.ones(2), 1, rng=0), ShapeError, "permutation", "axis 1"),),
    ),
    C(
        "random.bernoulli",
        lambda p: (np.random.default_rng(7).random(p.shape) < p).astype(float),
        S([0.2, 0.5, 0.9]),
        S(0.5),
        op=lambda p: tg.random.bernoulli(p, rng=7).data,
        orders=0,
        refusals=(R(lambda: tg.random.bernoulli(1.5, rng=0), ValueError, "bernoulli", "1.5"),),
    ),
    # Their gradient is that of the quantile, which tests/test_random.py checks; draws follow it only on average.
    C(
        "random.gamma",
        lambda shape, scale: (
            scale * np.random.default_rng(7).standard_gamma(shape, np.broadcast(shape, scale).shape or None)
        ),
        S(positive(2, 3), positive(3)),
        S(positive(), positive(2)),
        S(positive(), positive()),
        S(positive(0), positive()),
        op=lambda shape, scale: tg.random.gamma(shape, scale, rng=7),
        method="central",
        honest=False,
        refusals=(
            R(lambda: tg.random.gamma([1.0, 0.0], rng=0), ValueError, "gamma", "0."),
            R(lambda: tg.random.gamma(1j, rng=0), DTypeError, "gamma", "complex"),
            R(lambda: tg.random.gamma(np.ones(2), np.ones(3), rng=0), ShapeError, "gamma", "(2,)", "(3,)"),
            R(lambda: tg.random.gamma(1.0, rng=None), TypeError, "gamma", "NoneType"),  # type: ignore[arg-type]
        ),
    ),
    C(
        "random.dirichlet",
        proportions,
        S(positive(3)),
        S(positive(2, 3), size=(2,)),
        S(positive(2), size=3),
        op=lambda alpha, size=None: tg.random.dirichlet(alpha, size, rng=7),
        method="central",
        honest=False,
        refusals=(
            R(lambda: tg.random.dirichlet([1.0, -1.0], rng=0), ValueError, "dirichlet", "-1."),
            R(lambda: tg.random.dirichlet(1.0, rng=0), ShapeError, "dirichlet", "axis -1"),
            R(lambda: tg.random.dirichlet([1j], rng=0), DTypeError, "dirichlet", "complex128"),
        ),
    ),
)
