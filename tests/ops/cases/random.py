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
)
