"""Activation functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

from tensorgrad import ShapeError

from .rows import (
    INF,
    C,
    Case,
    K,
    R,
    S,
    public,
    seed,
    u,
    unary,
)

seed("activations")


def along_last(function: Any) -> Any:
    """SciPy's function with our default axis; it does not take empty arrays."""
    return lambda x, axis=-1: function(x, axis) if x.size else x.copy()


def loop_softplus(x: Any) -> Any:
    return np.vectorize(lambda v: v + np.log1p(np.exp(-v)) if v > 0 else np.log1p(np.exp(v)), otypes=[x.dtype])(x)


CASES: tuple[Case, ...] = (
    # --- activations
    unary(
        "sigmoid",
        scipy.special.expit,
        kinks=(K(S([1e4, -1e4]), [0.0, 0.0]), K(S([0.0]), [0.25])),
    ),
    unary(
        "relu",
        lambda x: np.maximum(x, 0),
        method="central",
        kinks=(K(S([0.0, -0.0, -1.0, 2.0]), [0, 0, 0, 1]),),
    ),
    unary(
        "leaky_relu",
        lambda x: np.where(x > 0, x, 0.01 * x),
        method="central",
        kinks=(
            K(S([0.0, -1.0, 2.0]), [0.01, 0.01, 1.0]),
            K(S([0.0, -1.0, 2.0], alpha=0.2), [0.2, 0.2, 1.0]),
        ),
    ),
    unary("softplus", loop_softplus, method="central", kinks=(K(S([1e4, -1e4]), [1.0, 0.0]),)),
    unary("log_sigmoid", scipy.special.log_expit, method="central", kinks=(K(S([1e4, -1e4]), [0.0, 1.0]),)),
    *(
        C(
            name,
            oracle,
            S(u(2, 3)),
            S(u(2, 3), axis=0),
            S(u(2, 3, 2), axis=1),
            S(u(0, 3)),
            S(u(2, 0)),
            method="central",
            kinks=kinks,
            refusals=(R(lambda name=name: public(name)(np.ones(3), axis=1), ShapeError, name, "axis 1"),),
        )
        for name, oracle, kinks in (
            ("softmax", along_last(scipy.special.softmax), (K(S([1e4, -1e4, -INF]), [0.0, 0.0, 0.0]),)),
            ("log_softmax", along_last(scipy.special.log_softmax), (K(S([1e4, 0.0]), [-1.0, 1.0]),)),
        )
    ),
)
