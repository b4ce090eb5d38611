"""Reductions along axes, running sums and differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

import tensorgrad as tg
from tensorgrad import ShapeError

from .rows import (
    INF,
    C,
    Case,
    K,
    R,
    S,
    out_of_axes,
    public,
    seed,
    u,
)

seed("reductions")


def cumulative(x: Any, axis: Any = None, include_initial: bool = False) -> Any:
    sums = np.cumsum(x, axis)
    axis = 0 if axis is None else axis
    return np.insert(sums, 0, 0, axis) if include_initial else sums


def reduced(name: str, oracle: Any, make: Any = u, empty: bool = False, **rest: Any) -> Case:
    """A reduction along axes."""
    op = public(name)
    samples = [
        S(make(2, 3)),
        S(make(2, 3), axis=0),
        S(make(2, 3), axis=-1, keepdims=True),
        S(make(2, 3, 2), axis=(0, -1)),
        S(make(2, 3, 2), axis=(2, 0), keepdims=True),
        S(make(2, 2), axis=None, keepdims=True),
        S(make()),
        S(make(1, 3), axis=0),
        S(make(0, 3), axis=1),
        S(make(3, 2).T, axis=(1,)),
    ]
    refusals = out_of_axes(name, lambda x, axis: op(x, axis=axis))
    if empty:
        samples += [S(make(0, 3)), S(make(2, 0, 3), axis=1)]
    else:
        refusals += (
            R(lambda: op(np.ones((2, 0)), axis=1), ShapeError, name, "(2, 0)"),
            R(lambda: op(np.ones(0)), ValueError, name, "(0,)"),
        )
    rest["refusals"] = (*refusals, *rest.pop("refusals", ()))
    return C(name, oracle, *samples, *rest.pop("samples", ()), **rest)


CASES: tuple[Case, ...] = (
    # --- reductions
    reduced("sum", np.sum, empty=True, method="complex"),
    reduced("mean", np.mean, method="complex"),
    reduced(
        "prod",
        np.prod,
        empty=True,
        method="complex",
        samples=(S([2.0, 0.0, 3.0, 5.0, 7.0]), S([[2.0, 0.0, 3.0], [0.0, 0.0, 4.0]], axis=1)),
        kinks=(K(S([2.0, 0.0, 4.0]), [0.0, 8.0, 0.0]), K(S([0.0, 0.0, 4.0]), [0.0, 0.0, 0.0])),
    ),
    reduced(
        "max",
        np.max,
        method="central",
        kinks=(K(S([1.0, 3.0, 3.0]), [0.0, 0.5, 0.5]), K(S([1, np.nan]), [0, 1])),
    ),
    reduced("min", np.min, method="central", kinks=(K(S([[1.0, 1.0], [2.0, 0.0]], axis=1), [[0.5, 0.5], [0, 1]]),)),
    reduced(
        "var",
        np.var,
        method="central",
        samples=(S(u(4), ddof=1), S(u(2, 3), axis=0, ddof=1)),
        kinks=(K(S([0.5] * 4), [0.0] * 4), K(S([3.0]), [0.0])),
        refusals=(R(lambda: tg.var([1.0], ddof=1), ShapeError, "var", "ddof=1", "(1,)"),),
    ),
    reduced(
        "std",
        np.std,
        method="central",
        samples=(S(u(4), ddof=1), S(u(2, 3), axis=1, ddof=1)),
        kinks=(
            K(S([0.5] * 4), [0.0] * 4),
            K(S([0.1] * 3), [0.0] * 3),
            K(S([[0.7] * 3] * 2, axis=1), [[0.0] * 3] * 2),
        ),
        refusals=(R(lambda: tg.std([1.0], ddof=1), ShapeError, "std", "ddof=1", "(1,)"),),
    ),
    reduced(
        "logsumexp",
        scipy.special.logsumexp,
        method="central",
        kinks=(
            K(S([1e4, 1e4, -1e4]), [0.5, 0.5, 0.0]),
            K(S([-INF, 0.0]), [0.0, 1.0]),
            K(S([[-INF, -INF], [0.0, 0.0]], axis=1), [[0.0, 0.0], [0.5, 0.5]]),
        ),
    ),
    # --- running sums and differences
    C(
        "cumsum",
        np.cumsum,
        S(u(4)),
        S(u(2, 3)),
        S(u(2, 3), axis=0),
        S(u(2, 3), axis=-1),
        S(u(0, 3), axis=1),
        S(u()),
        method="complex",
        refusals=(R(lambda: tg.cumsum(np.ones(3), 1), ShapeError, "cumsum", "axis 1"),),
    ),
    C(
        "cumulative_sum",
        cumulative,
        S(u(4)),
        S(u(4), include_initial=True),
        S(u(2, 3), axis=0, include_initial=True),
        S(u(2, 3), axis=-1),
        S(u(0), include_initial=True),
        method="complex",
        refusals=(R(lambda: tg.cumulative_sum(np.ones((2, 2))), ShapeError, "cumulative_sum", "(2, 2)", "axis="),),
    ),
    C(
        "diff",
        np.diff,
        S(u(4)),
        S(u(4), n=2),
        S(u(4), n=0),
        S(u(2, 3), axis=0),
        S(u(2, 3), n=3),
        S(u(3, 4), n=3, axis=-1),
        S(u(1, 3), axis=0),
        method="complex",
        refusals=(
            R(lambda: tg.diff(np.ones(3), n=-1), ValueError, "diff", "-1"),
            R(lambda: tg.diff(np.ones(3), axis=1), ShapeError, "diff", "axis 1"),
        ),
    ),
)
