"""Interpolation, convolution, polynomials and covariance."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad import ShapeError

from .rows import C, Case, K, R, Refusal, S, Sample, positive, seed, u

seed("numerics")

KNOTS = np.array([-1.5, -0.5, 0.25, 1.0])


def fitted(polyfit: Any) -> Any:
    """A fit at distinct points."""
    return lambda x, y, deg: polyfit(x + np.cumsum(x * 0 + 1), y, deg)


def vectors() -> tuple[Sample, ...]:
    lengths = ((5, 3), (3, 5), (4, 2), (2, 4), (4, 4), (1, 3), (3, 1), (1, 1))
    return tuple(S(u(n), u(m), more=(mode,)) for n, m in lengths for mode in ("full", "same", "valid"))


def not_vectors(name: str) -> Refusal:
    return R(lambda: getattr(tg, name)(np.ones((2, 2)), np.ones(2)), ShapeError, name, "(2, 2)", "(2,)")


def bad_mode(name: str) -> Refusal:
    return R(lambda: getattr(tg, name)(np.ones(2), np.ones(2), "half"), ValueError, name, "'half'")


CASES: tuple[Case, ...] = (
    C(
        "interp",
        np.interp,
        S([-0.9, 0.1, 0.7, 0.2], KNOTS, u(4)),
        S([[-2.0, 0.3], [3.0, -1.0]], KNOTS, u(4)),
        S([-2.0, 0.3, 3.0], KNOTS, u(4), more=(7.0, -7.0)),
        S(0.6, KNOTS, u(4)),
        S([0.3, 5.0, -4.1], [0.5, 2.25, 1.0], u(3), period=3.0),
        S([-1.0, 0.5, 3.0], [0.5], [2.0]),
        S(u(0), KNOTS, u(4)),
        method="central",
        kinks=(K(S([-0.5, 1.0, 2.0, -9.0], more=(KNOTS, [0.0, 1.0, 4.0, 1.0])), [4.0, -4.0, 0.0, 0.0]),),
        refusals=(
            R(lambda: tg.interp(0.5, [0.0, 1.0], [1.0]), ShapeError, "interp", "(2,)", "(1,)"),
            R(lambda: tg.interp(0.5, [1.0, 0.0], [1.0, 2.0]), ValueError, "interp", "increasing"),
            R(lambda: tg.interp(0.5, [0.0, 1.0], [1.0, 2.0], period=0), ValueError, "interp", "period"),
        ),
    ),
    C(
        "convolve",
        np.convolve,
        *vectors(),
        method="complex",
        refusals=(not_vectors("convolve"), bad_mode("convolve")),
    ),
    C(
        "correlate",
        np.correlate,
        *vectors(),
        method="central",
        refusals=(not_vectors("correlate"), bad_mode("correlate")),
    ),
    C(
        "polyval",
        np.polyval,
        S(u(4), u(2, 3)),
        S(u(1), u()),
        S(u(3), u(0)),
        S(u(0), u(2)),
        method="complex",
        refusals=(R(lambda: tg.polyval(np.ones((2, 2)), 1.0), ShapeError, "polyval", "(2, 2)"),),
    ),
    C(
        "polyfit",
        fitted(np.polyfit),
        S(np.array([-1.0, -0.3, 0.4, 1.0, 1.7]), u(5), more=(2,)),
        S(np.array([-1.0, -0.3, 0.4, 1.0, 1.7]), u(5, 2), more=(1,)),
        S(np.array([-1.0, 0.4, 1.7]), u(3), more=(2,)),
        S(u(4), u(4), more=(0,)),
        op=fitted(tg.polyfit),
        method="central",
        refusals=(
            R(lambda: tg.polyfit(np.ones(3), np.ones(2), 1), ShapeError, "polyfit", "(3,)", "(2,)"),
            R(lambda: tg.polyfit([1.0, 2.0], [1.0, 2.0], 2), ShapeError, "polyfit", "degree 2", "2"),
            R(lambda: tg.polyfit([1.0, 2.0], [1.0, 2.0], 1, [1.0]), ShapeError, "polyfit", "(1,)"),
        ),
    ),
    C(
        "cov",
        np.cov,
        S(u(3, 5)),
        S(u(5)),
        S(u(3, 5), rowvar=False),
        S(u(2, 4), u(1, 4)),
        S(u(3, 5), bias=True),
        S(u(3, 5), ddof=2),
        method="central",
        refusals=(
            R(lambda: tg.cov(np.ones((2, 2, 2))), ShapeError, "cov", "(2, 2, 2)"),
            R(lambda: tg.cov(np.ones((2, 1))), ShapeError, "cov", "1 observations"),
        ),
    ),
    C(
        "corrcoef",
        np.corrcoef,
        S(u(3, 6)),
        S(u(6, 3), rowvar=False),
        S(u(6), u(6) + positive(6)),
        method="central",
        refusals=(R(lambda: tg.corrcoef(np.ones((2, 2, 2))), ShapeError, "cov", "(2, 2, 2)"),),
    ),
    # --- polynomials by their coefficients, and counts
    C("polyadd", np.polyadd, S(u(3), u(2)), S(u(2), u(3)), S(u(2), u(2)), S(u(), u(2)), method="complex"),
    C("polysub", np.polysub, S(u(3), u(2)), S(u(2), u(3)), S(u(2), u(2)), method="complex"),
    C(
        "polymul",
        np.polymul,
        S(u(3), u(2)),
        S(u(1), u(3)),
        method="complex",
        kinks=(K(S([0.0, 2.0], [3.0]), [3.0, 3.0], [2.0]),),  # a leading zero has a gradient
        refusals=(R(lambda: tg.polymul(np.ones((2, 2)), [1.0]), ShapeError, "polymul", "(2, 2)"),),
    ),
    C(
        "polyder",
        np.polyder,
        S(u(4)),
        S(u(4), m=2),
        S(u(3), m=0),
        S(u(2), m=3),
        method="complex",
        refusals=(R(lambda: tg.polyder([1.0], -1), ValueError, "polyder", "-1"),),
    ),
    C(
        "polyint",
        np.polyint,
        S(u(3)),
        S(u(3), m=2),
        S(u(3), m=2, k=[3.0, 4.0]),
        S(u(2), m=2, k=5.0),
        method="complex",
        refusals=(R(lambda: tg.polyint([1.0], 2, [1.0, 2.0, 3.0]), ShapeError, "polyint", "3", "2"),),
    ),
    C(
        "polyint",
        lambda x, k: np.polyint(x, 1, k),
        S(u(3), u(1)),
        op=lambda x, k: tg.polyint(x, 1, k),
        method="complex",
    ),
    C(
        "poly",
        np.poly,
        S(u(3)),
        S(u(1)),
        method="complex",
        refusals=(R(lambda: tg.poly(np.eye(2)), ShapeError, "poly"),),
    ),
    C(
        "bincount",
        lambda w, **more: np.bincount([0, 3, 0], w, **more),
        S(u(3)),
        S(u(3), minlength=6),
        op=lambda w, **more: tg.bincount([0, 3, 0], w, **more),
        method="central",
        float32=False,
        refusals=(
            R(lambda: tg.bincount([0, 1], [1.0]), ShapeError, "bincount", "(2,)", "(1,)"),
            R(lambda: tg.bincount([-1], [1.0]), ValueError, "bincount", "negative"),
        ),
    ),
)
