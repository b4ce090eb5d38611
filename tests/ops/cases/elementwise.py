"""Arithmetic, exponentials and logarithms, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

import tensorgrad as tg
from tensorgrad import DTypeError, ShapeError

from .rows import INF, C, Case, G, K, R, S, binary, positive, real, seed, u, unary

seed("elementwise")

NAN = np.nan


def sequence(function: Any) -> Any:
    """A function of a sequence of arrays that broadcast."""
    return lambda *arrays: function(np.stack(np.broadcast_arrays(*arrays)), axis=0)


LN2 = np.log(2.0)
POWERS = (
    G(2.0, 0.0, x=0, y=LN2, xx=0, xy=0.5, yy=LN2**2, xxy=-0.25, xyy=LN2, yyy=LN2**3),
    G(2.0, 1.0, x=1, xx=0, xy=1 + LN2, yy=2 * LN2**2, xxy=0.5, xyy=LN2 * (2 + LN2)),
    G(0.0, 0.0, x=0, y=0, xx=0, xy=INF, yy=0, xxx=0, xxy=-INF, xyy=-INF),
    G(0.0, 1.0, x=1, y=0, xx=0, xy=-INF, yy=0, xxx=0, xxy=INF),
    G(0.0, 2.0, x=0, y=0, xx=2, xy=0, yy=0, xxx=0, xxy=-INF, xyy=0),
    G(0.0, 3.0, x=0, y=0, xx=0, xy=0, yy=0, xxx=6, xxy=0, xyy=0),
    G(0.0, 0.5, x=INF, y=0, xx=-INF, xy=-INF, yy=0),
    G(0.0, -1.0, x=-INF, y=-INF, xx=INF, xy=INF, yy=INF),
    G(-2.0, 2.0, x=-4, xx=2, xxx=0),
    G(-2.0, 0.0, x=0, xx=0),
)

CASES: tuple[Case, ...] = (
    # --- arithmetic
    binary("add", np.add),
    binary("subtract", np.subtract),
    binary("multiply", np.multiply),
    binary("divide", np.divide, right=positive),
    binary(
        "power",
        np.power,
        positive,
        kinks=(
            K(S([0.0, 0.0, 0.0], [0.0, 2.0, 0.5]), [0.0, 0.0, INF], [0.0, 0.0, 0.0]),
            K(S([-1.0], [0.5]), [np.nan], [np.nan]),
            K(S([-2.0, 4.0], [2.0, 0.0]), [-4.0, 0.0], [np.nan, np.log(4.0)]),
            K(S([0.0], [-1.0]), [-INF], [-INF]),
            K(S([3.0, 3.0], more=(np.array([True, False]),)), [1.0, 0.0]),
        ),
        guards=POWERS,
    ),
    unary("negative", np.negative),
    unary("positive", np.positive),
    unary("abs", np.abs, method="central", kinks=(K(S([0.0, -0.0, -2.0, 3.0]), [0.0, 0.0, -1.0, 1.0]),)),
    unary("square", np.square),
    unary("sqrt", np.sqrt, positive, kinks=(K(S([0.0, -1.0]), [INF, np.nan]),)),
    unary("reciprocal", np.reciprocal, positive, kinks=(K(S([0.0]), [-INF]),)),
    binary(
        "float_power",
        np.float_power,
        positive,
        float32=False,
        kinks=(K(S([0.0, -2.0], [0.0, 2.0]), [0.0, -4.0], [0.0, NAN]),),
        guards=POWERS,
    ),
    unary("rsqrt", lambda x: 1 / np.sqrt(x), positive, kinks=(K(S([0.0]), [-INF]),)),
    unary(
        "cbrt", np.cbrt, positive, method="central", kinks=(K(S([0.0, -8.0]), [INF, 1 / 12]),), refusals=(real("cbrt"),)
    ),
    unary("fabs", np.fabs, method="central", kinks=(K(S([0.0, -2.0]), [0.0, -1.0]),), refusals=(real("fabs"),)),
    binary(
        "hypot",
        np.hypot,
        method="central",
        kinks=(K(S([0.0, 0.0, 3e30], [0.0, -2.0, 4e30]), [0.0, 0.0, 0.6], [0.0, -1.0, 0.8]),),
        guards=(
            G(0.0, 0.0, x=0, xx=0, xy=0),
            G(0.0, 2.0, x=0, y=1, xx=0.5, xy=0, yy=0, xxy=-0.25),
            G(1e8, 1.0, x=1, y=1e-8, xx=1e-24, xy=-1e-16, yy=1e-8),
        ),
    ),
    binary(
        "copysign",
        np.copysign,
        method="central",
        kinks=(K(S([0.0, 2.0, -2.0], [-1.0, -0.0, -1.0]), [0.0, -1.0, 1.0], [0.0] * 3),),
    ),
    binary("nextafter", np.nextafter, method="central", float32=False),
    binary(
        "floor_divide",
        np.floor_divide,
        right=positive,
        method="central",
        kinks=(K(S([4.0, 1.0], [2.0, 0.0]), [0.0, 0.0], [0.0, 0.0]),),
    ),
    binary(
        "remainder",
        np.remainder,
        right=positive,
        method="central",
        kinks=(K(S([4.0, -7.0, 7.0], [2.0, 3.0, -3.0]), [1.0] * 3, [-2.0, 3.0, 3.0]),),
    ),
    binary(
        "fmod",
        np.fmod,
        right=positive,
        method="central",
        kinks=(K(S([4.0, -7.0, 7.0], [2.0, 3.0, -3.0]), [1.0] * 3, [-2.0, 2.0, 2.0]),),
    ),
    C(
        "ldexp",
        np.ldexp,
        S(u(2, 3), more=(np.array([1, -2, 0]),)),
        S(u(), more=(3,)),
        S(u(0, 3), more=(1,)),
        method="central",
        refusals=(R(lambda: tg.ldexp(1.0, 0.5), DTypeError, "ldexp", "float64", "exp2"),),
    ),
    C(
        "add_sequence",
        sequence(np.sum),
        S(u(2, 3), u(3), u(2, 1), u()),
        S(u(2, 3)),
        S(u(0, 3), u(3)),
        method="complex",
        refusals=(
            R(lambda: tg.add_sequence(), TypeError, "add_sequence", "at least one"),
            R(lambda: tg.add_sequence(np.ones(2), np.ones(3)), ShapeError, "add_sequence", "(2,)", "(3,)"),
        ),
    ),
    C(
        "multiply_sequence",
        sequence(np.prod),
        S(u(2, 3), u(3), u(2, 1), u()),
        S(u(2, 3)),
        S(u(0, 3), u(3)),
        method="complex",
        kinks=(K(S([0.0, 0.0], [0.0, 3.0], [5.0, 7.0]), [0.0, 21.0], [0.0, 0.0], [0.0, 0.0]),),
        refusals=(
            R(lambda: tg.multiply_sequence(), TypeError, "multiply_sequence", "at least one"),
            R(lambda: tg.multiply_sequence(np.ones(2), np.ones(3)), ShapeError, "multiply_sequence", "(2,)", "(3,)"),
        ),
    ),
    # --- exponential and logarithm
    unary("exp", np.exp),
    unary("expm1", np.expm1, kinks=(K(S([-50.0, 0.0]), [np.exp(-50.0), 1.0]),)),
    unary("log", np.log, positive, kinks=(K(S([0.0]), [INF]),)),
    unary("log1p", np.log1p, positive, kinks=(K(S([-1.0]), [INF]),)),
    binary("logaddexp", np.logaddexp, method="central"),
    unary("exp2", np.exp2),
    unary("log2", np.log2, positive, kinks=(K(S([0.0]), [INF]),)),
    unary("log10", np.log10, positive, kinks=(K(S([0.0]), [INF]),)),
    binary("logaddexp2", np.logaddexp2, method="central", kinks=(K(S([1e4, 5.0], [0.0, 5.0]), [1, 0.5], [0, 0.5]),)),
    binary(
        "xlogy",
        scipy.special.xlogy,
        right=positive,
        method="central",
        kinks=(K(S([0.0, 0.0, 0.0, 2.0], [0.0, -1.0, 4.0, 0.0]), [0, 0, np.log(4.0), -INF], [0, 0, 0, INF]),),
        guards=(
            G(0.0, 2.0, x=LN2, y=0, xx=0, xy=0.5, yy=0, xyy=-0.25),
            G(0.0, 0.0, x=0, y=0, xx=0, xy=0, yy=0),
            G(0.0, -1.0, x=0, y=0, xx=0, xy=0, yy=0),
            G(2.0, 1.0, x=0, y=2, xx=0, xy=1, yy=-2, xyy=-1),
        ),
    ),
    binary(
        "xlog1py",
        scipy.special.xlog1py,
        right=positive,
        method="central",
        kinks=(K(S([0.0, 0.0, 2.0], [-1.0, 3.0, -1.0]), [0, np.log(4.0), -INF], [0, 0, INF]),),
        guards=(
            G(0.0, 1.0, x=LN2, y=0, xx=0, xy=0.5, yy=0, xyy=-0.25),
            G(0.0, -1.0, x=0, y=0, xx=0, xy=0, yy=0),
            G(2.0, 0.0, x=0, y=2, xx=0, xy=1, yy=-2, xyy=-1),
        ),
    ),
    unary(
        "sinc",
        np.sinc,
        kinks=(K(S([0.0, 1e-8, 1.0]), [0.0, -(np.pi**2) / 3e8, -1.0]),),
        guards=(G(0.0, x=0, xx=-(np.pi**2) / 3, xxx=0, xxxx=np.pi**4 / 5), G(1.0, x=-1, xx=2, xxx=np.pi**2 - 6)),
    ),
    unary("i0", np.i0, method="central", kinks=(K(S([0.0]), [0.0]),), refusals=(real("i0"),)),
)
