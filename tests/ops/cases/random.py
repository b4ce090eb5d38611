"""Random draws, differentiable in their parameters."""

from __future__ import annotations

import numpy as np

import tensorgrad as tg
from tensorgrad import ShapeError

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
)
