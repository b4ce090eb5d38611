"""Trigonometric and hyperbolic functions, their reciprocals and inverses, and angles."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad import ShapeError

from .rows import INF, C, Case, G, K, R, S, binary, positive, real, seed, u, unary

seed("trigonometry")

NAN = np.nan


def between(low: float, high: float) -> Any:
    return lambda *shape: u(*shape, low=low, high=high)


CASES: tuple[Case, ...] = (
    unary("sin", np.sin),
    unary("cos", np.cos),
    unary("tan", np.tan, lambda *shape: u(*shape, low=-1.2, high=1.2)),
    unary("sinh", np.sinh),
    unary("cosh", np.cosh),
    unary("tanh", np.tanh, kinks=(K(S([1e4, -1e4]), [0.0, 0.0]),)),
    unary("arcsin", np.arcsin, lambda *shape: u(*shape, low=-0.9, high=0.9), kinks=(K(S([1.0]), [INF]),)),
    unary("arccos", np.arccos, lambda *shape: u(*shape, low=-0.9, high=0.9), kinks=(K(S([-1.0]), [-INF]),)),
    unary("arctan", np.arctan),
    binary(
        "arctan2",
        np.arctan2,
        method="central",
        kinks=(K(S([0.0, 1e30, 0.0], [0.0, 1e30, -2.0]), [0.0, 5e-31, -0.5], [0.0, -5e-31, 0.0]),),
        guards=(
            G(0.0, 0.0, x=0, y=0, xx=0, xy=0, yy=0),
            G(0.0, 2.0, x=0.5, y=0, xx=0, xy=-0.25, yy=0, xxx=-0.25, xyy=0.25),
            G(1e8, 1.0, x=1e-16, y=-1e-8, xx=-2e-24, xy=1e-16),
        ),
    ),
    unary("arcsinh", np.arcsinh),
    unary("arccosh", np.arccosh, between(1.2, 3.0), kinks=(K(S([1.0, -2.0]), [INF, NAN]),)),
    unary("arctanh", np.arctanh, between(-0.8, 0.8), kinks=(K(S([1.0]), [INF]),)),
    unary("deg2rad", np.deg2rad, method="central", refusals=(real("deg2rad"),)),
    unary("rad2deg", np.rad2deg, method="central", refusals=(real("rad2deg"),)),
    C(
        "unwrap",
        np.unwrap,
        S([0.0, 2.0, 5.0, 8.5, -6.0]),
        S([[0.0, 2.0, 5.0], [6.0, -3.0, 1.0]], axis=0),
        S([[0.0, 2.0, 5.0], [6.0, -3.0, 1.5]], discont=4.0),
        S([0.0, 90.0, 180.5, -89.0], period=360.0),
        S(u(0, 3), axis=0),
        method="central",
        refusals=(R(lambda: tg.unwrap(np.ones(3), axis=1), ShapeError, "unwrap", "axis 1"), real("unwrap")),
    ),
    # --- reciprocals
    unary("csc", lambda x: 1 / np.sin(x), between(0.4, 2.6), kinks=(K(S([0.0]), [-INF]),)),
    unary("sec", lambda x: 1 / np.cos(x), between(-1.2, 1.2)),
    unary("cot", lambda x: 1 / np.tan(x), between(0.4, 2.6), kinks=(K(S([0.0]), [-INF]),)),
    unary("csch", lambda x: 1 / np.sinh(x), positive, kinks=(K(S([0.0, 1000.0]), [-INF, 0.0]),)),
    unary("sech", lambda x: 1 / np.cosh(x), kinks=(K(S([0.0, 1000.0]), [0.0, 0.0]),)),
    unary("coth", lambda x: 1 / np.tanh(x), positive, kinks=(K(S([0.0, 1000.0]), [-INF, 0.0]),)),
    unary("arccsc", lambda x: np.arcsin(1 / x), between(1.2, 3.0), kinks=(K(S([1.0, -2.0]), [-INF, -0.5 / 3**0.5]),)),
    unary("arcsec", lambda x: np.arccos(1 / x), between(1.2, 3.0), kinks=(K(S([1.0, -2.0]), [INF, 0.5 / 3**0.5]),)),
    unary("arccot", lambda x: np.pi / 2 - np.arctan(x), kinks=(K(S([0.0]), [-1.0]),)),
    unary("arccsch", lambda x: np.arcsinh(1 / x), positive, kinks=(K(S([0.0, -1.0]), [-INF, -(0.5**0.5)]),)),
    unary("arcsech", lambda x: np.arccosh(1 / x), between(0.2, 0.8), kinks=(K(S([0.0, 1.0]), [-INF, -INF]),)),
    unary("arccoth", lambda x: np.arctanh(1 / x), between(1.2, 3.0), kinks=(K(S([1.0]), [INF]),)),
)
