"""Linear algebra."""

from __future__ import annotations

import numpy as np

import tensorgrad as tg
from tensorgrad import ShapeError

from .rows import (
    INF,
    C,
    Case,
    K,
    R,
    S,
    seed,
    u,
)

seed("linalg")


CASES: tuple[Case, ...] = (
    # --- norms
    C(
        "linalg.norm",
        np.linalg.norm,
        S(u(4)),
        S(u(2, 3)),
        S(u(2, 3), more=("fro",)),
        S(u(2, 3), axis=0),
        S(u(2, 3), more=(2,), axis=-1, keepdims=True),
        S(u(4), more=(1,)),
        S(u(4), more=(3,)),
        S(u(2, 3), more=(INF,), axis=1),
        S(u(2, 3), more=(-INF,), axis=0),
        S(u(2, 3, 2), axis=(0, 2)),
        S(u(2, 3, 2), more=("fro",), axis=(-1, 0), keepdims=True),
        S(u(2, 3, 2), keepdims=True),
        S(u(0)),
        method="central",
        kinks=(
            K(S([0.0, 0.0]), [0.0, 0.0]),
            K(S([0.0, 0.0], more=(1,)), [0.0, 0.0]),
            K(S([0.0, 0.0], more=(3,)), [0.0, 0.0]),
            K(S([0.0, 0.0], more=(INF,)), [0.0, 0.0]),
            K(S([[0.0, 0.0], [3.0, 4.0]], axis=1), [[0.0, 0.0], [0.6, 0.8]]),
        ),
        refusals=(
            R(lambda: tg.linalg.norm(np.ones((2, 2)), 2), ShapeError, "norm", "ord=2", "vector_norm"),
            R(lambda: tg.linalg.norm(np.ones(2), "fro"), ShapeError, "norm", "'fro'"),
            R(lambda: tg.linalg.norm(np.ones(2), 0), ValueError, "norm", "0"),
            R(lambda: tg.linalg.norm(np.ones(2), axis=1), ShapeError, "norm", "axis 1"),
        ),
    ),
    C(
        "linalg.vector_norm",
        np.linalg.vector_norm,
        S(u(2, 3)),
        S(u(2, 3), axis=0),
        S(u(2, 3), axis=(0, 1), ord=1, keepdims=True),
        S(u(2, 3), ord=INF),
        S(u(2, 3), ord=2.5, axis=-1),
        method="central",
        kinks=(K(S([[0.0, 0.0]]), [[0.0, 0.0]]),),
        refusals=(R(lambda: tg.linalg.vector_norm(np.ones(2), ord=-1), ValueError, "vector_norm", "-1"),),
    ),
)
