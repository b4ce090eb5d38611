"""One number at a time: arithmetic, exponentials, trigonometry, rounding, selection, comparison."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad import ShapeError

from .rows import (
    INF,
    MASK,
    C,
    Case,
    K,
    R,
    S,
    binary,
    positive,
    public,
    seed,
    u,
    unary,
)

seed("elementwise")


def compared(name: str) -> Case:
    oracle = getattr(np, name)
    samples = (S([1.0, 2.0], [2.0, 2.0]), S(u(2, 3), u(3)), S(u(), u()))
    refusal = R(lambda: public(name)(np.ones(2), np.ones(3)), ShapeError, name, "(2,)", "(3,)")
    return C(name, oracle, *samples, orders=0, refusals=(refusal,))


def zero_gradient(name: str, oracle: Any, **rest: Any) -> Case:
    return unary(name, oracle, lambda *shape: u(*shape) + 0.01, method="central", **rest)


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
    ),
    unary("negative", np.negative),
    unary("positive", np.positive),
    unary("abs", np.abs, method="central", kinks=(K(S([0.0, -0.0, -2.0, 3.0]), [0.0, 0.0, -1.0, 1.0]),)),
    unary("square", np.square),
    unary("sqrt", np.sqrt, positive, kinks=(K(S([0.0, -1.0]), [INF, np.nan]),)),
    unary("reciprocal", np.reciprocal, positive, kinks=(K(S([0.0]), [-INF]),)),
    # --- exponential and logarithm
    unary("exp", np.exp),
    unary("expm1", np.expm1, kinks=(K(S([-50.0, 0.0]), [np.exp(-50.0), 1.0]),)),
    unary("log", np.log, positive, kinks=(K(S([0.0]), [INF]),)),
    unary("log1p", np.log1p, positive, kinks=(K(S([-1.0]), [INF]),)),
    binary("logaddexp", np.logaddexp, method="central"),
    # --- trigonometric and hyperbolic
    unary("sin", np.sin),
    unary("cos", np.cos),
    unary("tan", np.tan, lambda *shape: u(*shape, low=-1.2, high=1.2)),
    unary("sinh", np.sinh),
    unary("cosh", np.cosh),
    unary("tanh", np.tanh, kinks=(K(S([1e4, -1e4]), [0.0, 0.0]),)),
    unary("arcsin", np.arcsin, lambda *shape: u(*shape, low=-0.9, high=0.9), kinks=(K(S([1.0]), [INF]),)),
    unary("arccos", np.arccos, lambda *shape: u(*shape, low=-0.9, high=0.9), kinks=(K(S([-1.0]), [-INF]),)),
    unary("arctan", np.arctan),
    # --- rounding and sign
    zero_gradient("sign", np.sign, kinks=(K(S([0.0, 2.0]), [0.0, 0.0]),)),
    zero_gradient("floor", np.floor, kinks=(K(S([1.0, 1.5]), [0.0, 0.0]),)),
    zero_gradient("ceil", np.ceil, kinks=(K(S([1.0, 1.5]), [0.0, 0.0]),)),
    C("round", np.round, S(u(2, 3)), S(u(3), more=(1,)), S(u()), kinks=(K(S([0.5]), [0.0]),)),
    unary("zeros_like", np.zeros_like),
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
    # --- comparisons
    *map(compared, ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")),
    C("isfinite", np.isfinite, S([1.0, INF, np.nan]), S(2.0), orders=0),
)
