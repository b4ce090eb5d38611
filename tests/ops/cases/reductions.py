"""Reductions along axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

import tensorgrad as tg
from tensorgrad import DTypeError, ShapeError

from .rows import (
    INF,
    MASK,
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


def _shuffled(n: int) -> Any:
    """Well separated numbers, in random order."""
    return 7 * np.arange(n) % 11 + np.linspace(0.1, 0.3, n)


def quantile(name: str, oracle: Any, scale: float, lengths: tuple[int, ...] = ()) -> Case:
    op = public(name)

    def q(*numbers: float) -> Any:
        return [scale * n for n in numbers] if len(numbers) > 1 else scale * numbers[0]

    levels = q(0.0, 0.1, 0.25, 0.5, 0.8, 1.0)
    by_method = [S(0.4 * _shuffled(n), more=(levels,), method=method) for n in lengths for method in METHODS]
    return C(
        name,
        oracle,
        S(u(2, 3), more=(q(0.3),)),
        S(u(2, 3), more=(q(0.3),), axis=0, keepdims=True),
        S(u(2, 3, 2), more=(q(0.3, 0.6),), axis=(2, 0)),
        S(u(2, 3), more=(q(0.0, 1.0),), axis=-1, keepdims=True),
        S(u(), more=(q(0.5),)),
        S(u(0, 3), more=(q(0.5),), axis=1),
        *by_method,
        method="central",
        kinks=(
            K(S([1.0, 2.0, 2.0, 5.0], more=(q(0.5),)), [0, 0.5, 0.5, 0]),
            K(S([1.0, 2.0, 2.0, 5.0], more=(q(0.9),), method="lower"), [0, 0.5, 0.5, 0]),
            K(S([3.0, 3.0, 3.0], more=(q(0.25),)), [1 / 3] * 3),
            K(S([1.0, NAN, 2.0], more=(q(1.0),)), [0, 0, 1] if "nan" in name else [0, 1, 0]),
        ),
        refusals=(
            R(lambda: op(np.ones(2), 1.5 * scale), ValueError, name, "between 0 and 1"),
            R(lambda: op(np.ones(2), 0.5, method="no"), ValueError, name, "'no'", "linear"),
            R(lambda: op(np.ones((2, 0)), 0.5, axis=1), ShapeError, name, "(2, 0)"),
            R(lambda: op(np.ones(2), tg.Tensor(0.5)), DTypeError, name, "q must be a plain number"),
            R(lambda: op(np.array([1j]), 0.5), DTypeError, name, "complex128"),
            *out_of_axes(name, lambda x, axis: op(x, 0.5, axis=axis)),
        ),
    )


NAN = np.nan
HOLES = S([[1.0, NAN, 3.0], [NAN, NAN, NAN]], axis=1)
ONES = [[1, 0, 1], [0, 0, 0]]
METHODS = (
    *("linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf", "averaged_inverted_cdf"),
    *("interpolated_inverted_cdf", "hazen", "weibull", "median_unbiased", "normal_unbiased"),
    # NumPy 2.0.0 took the odd one of two that are equally close, where Hyndman and Fan take the even one.
    *(("closest_observation",) if np.lib.NumpyVersion(np.__version__) >= "2.0.1" else ()),
)

CASES: tuple[Case, ...] = (
    # --- reductions
    reduced(
        "sum",
        np.sum,
        empty=True,
        method="complex",
        samples=(S(u(2, 3), axis=1, initial=2.5, where=MASK), S(u(2, 3), where=MASK[0], keepdims=True)),
        refusals=(R(lambda: tg.sum([1.0, 2.0], where=MASK), ShapeError, "sum", "where=", "(2,)"),),
    ),
    reduced(
        "mean",
        np.mean,
        method="complex",
        samples=(S(u(2, 3), axis=1, where=MASK), S(u(2, 3), where=MASK[0], keepdims=True)),
        refusals=(R(lambda: tg.mean([1.0], where=[False]), ShapeError, "mean", "where=", "(1,)"),),
    ),
    reduced(
        "prod",
        np.prod,
        empty=True,
        method="complex",
        samples=(
            S([2.0, 0.0, 3.0, 5.0, 7.0]),
            S([[2.0, 0.0, 3.0], [0.0, 0.0, 4.0]], axis=1),
            S(u(2, 3), axis=0, initial=2.5, where=MASK),
        ),
        kinks=(K(S([2.0, 0.0, 4.0]), [0.0, 8.0, 0.0]), K(S([0.0, 0.0, 4.0]), [0.0, 0.0, 0.0])),
    ),
    reduced(
        "max",
        np.max,
        method="central",
        samples=(
            S(u(2, 3), axis=1, initial=0.25, where=MASK),
            S(u(2, 3), initial=9.0),
            S(u(2, 0), axis=1, initial=9.0),
        ),
        kinks=(K(S([1.0, 3.0, 3.0]), [0.0, 0.5, 0.5]), K(S([1, np.nan]), [0, 1])),
    ),
    reduced(
        "min",
        np.min,
        method="central",
        samples=(S(u(2, 3), axis=0, initial=0.25, where=MASK),),
        kinks=(K(S([[1.0, 1.0], [2.0, 0.0]], axis=1), [[0.5, 0.5], [0, 1]]),),
    ),
    reduced(
        "var",
        np.var,
        method="central",
        samples=(S(u(4), ddof=1), S(u(2, 3), axis=0, correction=1), S(u(2, 3), axis=1, ddof=0.5, where=MASK)),
        kinks=(K(S([0.5] * 4), [0.0] * 4), K(S([3.0]), [0.0])),
        refusals=(R(lambda: tg.var([1.0], ddof=1), ShapeError, "var", "ddof=1", "(1,)"),),
    ),
    reduced(
        "std",
        np.std,
        method="central",
        samples=(S(u(4), ddof=1), S(u(2, 3), axis=1, correction=1), S(u(3, 3), where=MASK[0])),
        kinks=(
            K(S([[0.5, 0.5, 2.0]], where=[True, True, False]), [[0.0] * 3]),
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
    reduced("ptp", np.ptp, method="central", kinks=(K(S([1.0, 3.0, 3.0, 1.0]), [-0.5, 0.5, 0.5, -0.5]),)),
    C(
        "average",
        lambda x, w, **rest: np.average(x, weights=w, **rest),
        S(u(2, 3), u(2, 3, low=0.5)),
        S(u(2, 3), u(3, low=0.5), axis=-1),
        S(u(2, 3, 2), u(2, 2, low=0.5), axis=(2, 0)),
        S(u(2, 3), u(2, 3, low=0.5), axis=0, keepdims=True),
        S(u(2, 3), u(2, low=0.5), axis=0, returned=True),
        op=lambda x, w, **rest: tg.average(x, weights=w, **rest),
        method="complex",
        refusals=(
            R(lambda: tg.average(np.ones((2, 3)), weights=np.ones(3)), ShapeError, "average", "(3,)", "(2, 3)"),
            R(lambda: tg.average(np.ones(2), weights=[1.0, -1.0]), ZeroDivisionError, "average"),
            R(lambda: tg.average(np.ones((2, 0)), axis=1), ShapeError, "average", "(2, 0)"),
        ),
    ),
    # --- ignoring NaN
    reduced("nansum", np.nansum, empty=True, method="complex", kinks=(K(HOLES, ONES),)),
    reduced("nanmean", np.nanmean, method="complex", kinks=(K(HOLES, [[0.5, 0, 0.5], [0, 0, 0]]),)),
    reduced("nanprod", np.nanprod, empty=True, method="complex", kinks=(K(HOLES, [[3, 0, 1], [0, 0, 0]]),)),
    reduced(
        "nanmax",
        np.nanmax,
        method="central",
        kinks=(K(HOLES, [[0, 0, 1], [0, 0, 0]]), K(S([2, NAN, 2]), [0.5, 0, 0.5])),
    ),
    reduced(
        "nanmin",
        np.nanmin,
        method="central",
        kinks=(K(HOLES, [[1, 0, 0], [0, 0, 0]]), K(S([2, NAN, 2]), [0.5, 0, 0.5])),
    ),
    reduced(
        "nanvar",
        np.nanvar,
        method="complex",
        samples=(S(u(2, 3), axis=1, ddof=1),),
        kinks=(K(HOLES, [[-1, 0, 1], [0, 0, 0]]),),
    ),
    reduced(
        "nanstd",
        np.nanstd,
        method="central",
        samples=(S(u(2, 3), axis=1, ddof=1),),
        kinks=(K(HOLES, [[-0.5, 0, 0.5], [0, 0, 0]]), K(S([0.1, 0.1, NAN, 0.1]), [0.0] * 4)),
    ),
    # --- quantiles
    reduced(
        "median",
        np.median,
        method="central",
        kinks=(K(S([1.0, 2.0, 2.0, 5.0]), [0, 0.5, 0.5, 0]), K(S([1, NAN]), [0, 1])),
    ),
    quantile("quantile", np.quantile, 1, (1, 4, 10)),
    quantile("percentile", np.percentile, 100),
    reduced(
        "nanmedian",
        np.nanmedian,
        method="central",
        kinks=(K(HOLES, [[0.5, 0, 0.5], [0, 0, 0]]), K(S([2, NAN, 2]), [0.5, 0, 0.5])),
    ),
    quantile("nanquantile", np.nanquantile, 1, (5,)),
    quantile("nanpercentile", np.nanpercentile, 100),
)
