"""Rounding, selection, comparison and logic."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad import DTypeError, ShapeError

from .rows import INF, MASK, C, Case, K, R, S, binary, compared, out_of_axes, public, real, seed, u, unary

seed("selection")

NAN = np.nan


def zero_gradient(name: str, oracle: Any, **rest: Any) -> Case:
    return unary(name, oracle, lambda *shape: u(*shape) + 0.01, method="central", **rest)


def oracle_safe(x: Any, condition: Any) -> Any:
    return np.where(condition, np.log(np.where(condition, x, 1.0)), -x)


def asked(name: str, oracle: Any, *samples: Any, **rest: Any) -> Case:
    return C(name, oracle, *samples, orders=0, **rest)


def position(name: str, oracle: Any) -> Case:
    return asked(
        name,
        oracle,
        S(u(2, 3)),
        S(u(2, 3), axis=0),
        S(u(2, 3), axis=-1, keepdims=True),
        S([1.0, NAN, 1.0]),
        S(u()),
        refusals=(
            R(lambda: public(name)(np.ones((2, 0)), axis=1), ShapeError, name, "(2, 0)"),
            R(lambda: public(name)(np.ones(2), axis=1), ShapeError, name, "axis 1"),
            real(name),
        ),
    )


def counted(name: str, oracle: Any) -> Case:
    x = np.array([[0.0, 2.0, NAN], [0.0, 0.0, 0.0]])
    return asked(
        name,
        oracle,
        S(x),
        S(x, axis=0),
        S(x, axis=(0, -1), keepdims=True),
        S(u(2, 0), axis=1),
        S(0.0),
        refusals=out_of_axes(name, lambda x, axis: public(name)(x, axis=axis)),
    )


CASES: tuple[Case, ...] = (
    # --- rounding and sign
    zero_gradient("sign", np.sign, kinks=(K(S([0.0, 2.0]), [0.0, 0.0]),)),
    zero_gradient("floor", np.floor, kinks=(K(S([1.0, 1.5]), [0.0, 0.0]),)),
    zero_gradient("ceil", np.ceil, kinks=(K(S([1.0, 1.5]), [0.0, 0.0]),)),
    C("round", np.round, S(u(2, 3)), S(u(3), more=(1,)), S(u()), kinks=(K(S([0.5]), [0.0]),)),
    unary("zeros_like", np.zeros_like),
    zero_gradient("trunc", np.trunc, kinks=(K(S([1.0, -1.5]), [0.0, 0.0]),), refusals=(real("trunc"),)),
    zero_gradient("rint", np.rint, kinks=(K(S([0.5, 1.5]), [0.0, 0.0]),), refusals=(real("rint"),)),
    zero_gradient(
        "frac", lambda x: x - np.trunc(x), kinks=(K(S([0.0, 1.0, -1.5]), [1.0] * 3),), refusals=(real("frac"),)
    ),
    unary(
        "straight_through_round",
        np.rint,
        method="central",
        honest=False,
        kinks=(K(S([0.5, 1.2, -3.0]), [1.0, 1.0, 1.0]),),
        refusals=(real("straight_through_round"),),
    ),
    binary("heaviside", np.heaviside, method="central", kinks=(K(S([0.0, 2.0], [0.5, 0.5]), [0, 0], [1, 0]),)),
    # --- select
    binary("maximum", np.maximum, method="central", kinks=(K(S([1.0, 2.0], [1.0, 3.0]), [0.5, 0], [0.5, 1]),)),
    binary("minimum", np.minimum, method="central", kinks=(K(S([1.0, 2.0], [1.0, 3.0]), [0.5, 1], [0.5, 0]),)),
    C(
        "where",
        lambda x, y, mask: np.where(mask, x, y),
        S(u(2, 3), u(2, 3), more=(MASK,)),
        S(u(), u(3), more=(MASK,)),
        S(u(2, 1), u(3), more=(True,)),
        S(u(2, 0), u(2, 1), more=(np.ones((2, 1), dtype=bool),)),
        op=lambda x, y, mask: tg.where(mask, x, y),
        method="complex",
        refusals=(R(lambda: tg.where(MASK, np.ones(2), 0.0), ShapeError, "where", "(2, 3)", "(2,)"),),
    ),
    C(
        "clip",
        np.clip,
        S(u(2, 3), more=(-1.0, 1.0)),
        S(u(2, 3), more=(None, 0.5)),
        S(u(), more=(0.5, None)),
        S(u(2, 3), u(3, low=-2.0, high=-1.0), u(2, 1, low=1.0, high=2.0)),
        method="central",
        kinks=(K(S([-1.0, 1.0, -2.0, 2.0, 0.0], more=(-1.0, 1.0)), [1, 1, 0, 0, 1]),),
        refusals=(R(lambda: tg.clip(np.ones(2), np.ones(3), 2.0), ShapeError, "clip", "(2,)", "(3,)"),),
    ),
    binary(
        "fmax",
        np.fmax,
        method="central",
        kinks=(K(S([1.0, NAN, 2.0, NAN], [1.0, 3.0, NAN, NAN]), [0.5, 0, 1, 0.5], [0.5, 1, 0, 0.5]),),
    ),
    binary(
        "fmin",
        np.fmin,
        method="central",
        kinks=(K(S([1.0, NAN, 2.0, 3.0], [1.0, 3.0, NAN, 1.0]), [0.5, 0, 1, 0], [0.5, 1, 0, 1]),),
    ),
    C(
        "nan_to_num",
        np.nan_to_num,
        S(u(2, 3)),
        S(u()),
        S(u(0, 3)),
        method="central",
        kinks=(K(S([1.0, NAN, INF, -INF], nan=2.0, posinf=3.0), [1.0, 0.0, 0.0, 0.0]),),
        refusals=(real("nan_to_num"),),
    ),
    C(
        "lerp",
        lambda a, b, t: a + t * (b - a),
        S(u(2, 3), u(2, 3), u(2, 3)),
        S(u(2, 1), u(3), u()),
        S(u(), u(), u()),
        S(u(0, 3), u(3), u()),
        method="complex",
        kinks=(K(S([1.0, 1.0], [3.0, 3.0], [0.0, 1.0]), [1, 0], [0, 1], [2, 2]),),
        refusals=(R(lambda: tg.lerp(np.ones(2), np.ones(3), 0.5), ShapeError, "lerp", "(2,)", "(3,)"),),
    ),
    C(
        "select",
        lambda x, y, a, b: np.select([a, b], [x, y], 2.0),
        S(u(2, 3), u(2, 3), more=(MASK, ~MASK)),
        S(u(), u(3), more=(MASK, MASK)),
        S(u(2, 3), u(), more=(MASK[0], np.zeros((2, 1), dtype=bool))),
        op=lambda x, y, a, b: tg.select([a, b], [x, y], 2.0),
        method="complex",
        refusals=(
            R(lambda: tg.select([MASK], [1.0, 2.0]), ValueError, "select", "1 conditions", "2 choices"),
            R(lambda: tg.select([[0, 1]], [1.0]), DTypeError, "select", "int64"),
            R(lambda: tg.select([MASK], [np.ones(2)]), ShapeError, "select", "(2, 3)", "(2,)"),
        ),
    ),
    C(
        "choose",
        lambda x, y, numbers, **rest: np.choose(numbers, [x, y], **rest),
        S(u(3), u(3), more=(np.array([0, 1, 1]),)),
        S(u(2, 1), u(), more=(np.array([0, 1, 1]),)),
        S(u(3), u(3), more=(np.array([-1, 5, 2]),), mode="wrap"),
        S(u(3), u(3), more=(np.array([-1, 5, 0]),), mode="clip"),
        op=lambda x, y, numbers, **rest: tg.choose(numbers, [x, y], **rest),
        method="complex",
        refusals=(
            R(lambda: tg.choose([0, 2], [1.0, 2.0]), IndexError, "choose", "0 to 1", "wrap"),
            R(lambda: tg.choose([0.5], [1.0]), DTypeError, "choose", "float64"),
            R(lambda: tg.choose([0], [1.0], mode="no"), ValueError, "choose", "'no'"),
            R(lambda: tg.choose([0, 0], [np.ones(3)]), ShapeError, "choose", "(2,)", "(3,)"),
        ),
    ),
    C(
        "piecewise",
        lambda x, a: np.piecewise(x, [a, ~a], [np.sin, lambda x: x * x]),
        S(u(2, 3), more=(MASK,)),
        S(u(3), more=(MASK[0],)),
        op=lambda x, a: tg.piecewise(x, [a, ~a], [tg.sin, lambda x: x * x]),
        method="central",
        kinks=(K(S([-4.0, 4.0, 0.0], more=(np.array([False, True, False]),)), [-8.0, np.cos(4.0), 0.0]),),
        refusals=(
            R(lambda: tg.piecewise(np.ones(2), [[True, False]], []), ValueError, "piecewise", "0 functions"),
            R(lambda: tg.piecewise(np.ones(2), [np.ones(3, dtype=bool)], [1.0]), ShapeError, "piecewise", "(3,)"),
        ),
    ),
    C(
        "safe_where",
        oracle_safe,
        S([[1.0, -2.0, 3.0], [-0.5, 2.0, -1.0]], more=(MASK,)),
        S([1.0, 2.0, -3.0], more=(np.array([True, True, False]),)),
        op=lambda x, condition: tg.safe_where(condition, tg.log, lambda x: -x, x),
        method="central",
        kinks=(K(S([0.0, 2.0], more=(np.array([False, True]),)), [-1.0, 0.5]),),
        refusals=(R(lambda: tg.safe_where(True, tg.log, 0.0), TypeError, "safe_where", "inputs"),),
    ),
    # --- comparisons and logic
    *map(compared, ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")),
    *map(compared, ("logical_and", "logical_or", "logical_xor")),
    asked("logical_not", np.logical_not, S([0.0, 2.0, NAN]), S(0.0)),
    asked("isfinite", np.isfinite, S([1.0, INF, NAN]), S(2.0)),
    asked("isnan", np.isnan, S([1.0, INF, NAN]), S(2.0)),
    asked("isinf", np.isinf, S([1.0, INF, NAN, -INF]), S(2.0)),
    asked("signbit", np.signbit, S([1.0, -0.0, -INF]), S(2.0), refusals=(real("signbit"),)),
    counted("any", np.any),
    counted("all", np.all),
    counted("count_nonzero", lambda x, **rest: np.asarray(np.count_nonzero(x, **rest))),
    position("argmax", np.argmax),
    position("argmin", np.argmin),
)
