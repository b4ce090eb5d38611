"""Running sums and products along an axis, and differences of neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad import DTypeError, ShapeError

from .rows import INF, C, Case, K, R, S, positive, public, real, seed, u

seed("cumulative")

NAN = np.nan


def running_sum(x: Any, axis: Any = None, include_initial: bool = False) -> Any:
    sums = np.cumsum(x, axis)
    axis = 0 if axis is None else axis
    return np.insert(sums, 0, 0, axis) if include_initial else sums


def running_product(x: Any, axis: Any = None, include_initial: bool = False) -> Any:
    products = np.cumprod(x, axis)
    axis = 0 if axis is None else axis
    return np.insert(products, 0, 1, axis) if include_initial else products


def running(name: str, oracle: Any, **rest: Any) -> Case:
    return C(
        name,
        oracle,
        S(u(4)),
        S(u(2, 3)),
        S(u(2, 3), axis=0),
        S(u(2, 9), axis=-1),
        S(u(0, 3), axis=1),
        S(u(3, 0), axis=1),
        S(u()),
        *rest.pop("samples", ()),
        refusals=(R(lambda: public(name)(np.ones(3), 1), ShapeError, name, "axis 1"), *rest.pop("refusals", ())),
        **rest,
    )


def flattened(accumulate: Any) -> Any:
    return lambda x, axis=None: accumulate(np.ravel(x) if axis is None else x, axis=0 if axis is None else axis)


CASES: tuple[Case, ...] = (
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
        running_sum,
        S(u(4)),
        S(u(4), include_initial=True),
        S(u(2, 3), axis=0, include_initial=True),
        S(u(2, 3), axis=-1),
        S(u(0), include_initial=True),
        method="complex",
        refusals=(R(lambda: tg.cumulative_sum(np.ones((2, 2))), ShapeError, "cumulative_sum", "(2, 2)", "axis="),),
    ),
    running("nancumsum", np.nancumsum, method="complex", kinks=(K(S([1.0, NAN, 3.0]), [3, 0, 1]),)),
    running("nancumprod", np.nancumprod, method="complex", kinks=(K(S([2.0, NAN, 3.0]), [5, 0, 2]),)),
    running(
        "cumprod",
        np.cumprod,
        method="complex",
        samples=(S([2.0, 0.0, 3.0, 5.0, 7.0]), S([2.0, 0.0, 3.0, 0.0, 7.0, 1.0, 2.0])),
        kinks=(K(S([2.0, 0.0, 4.0]), [1, 10, 0]), K(S([0.0, 0.0, 4.0]), [1, 0, 0])),
    ),
    C(
        "cumulative_prod",
        running_product,
        S(u(4)),
        S(u(4), include_initial=True),
        S(u(2, 3), axis=0, include_initial=True),
        S(u(2, 3), axis=-1),
        S(u(0), include_initial=True),
        method="complex",
        refusals=(R(lambda: tg.cumulative_prod(np.ones((2, 2))), ShapeError, "cumulative_prod", "(2, 2)", "axis="),),
    ),
    running(
        "logcumsumexp",
        flattened(np.logaddexp.accumulate),
        method="central",
        kinks=(
            K(S([1e4, 1e4, -1e4]), [2.0, 1.0, 0.0]),
            K(S([-INF, -INF, 0.0]), [0.0, 0.0, 1.0]),
            K(S([-1000.0, 1000.0]), [1.0, 1.0]),
        ),
        refusals=(real("logcumsumexp"),),
    ),
    running(
        "cummax",
        flattened(np.maximum.accumulate),
        method="central",
        kinks=(
            K(S([1.0, 3.0, 2.0, 3.0, 3.0]), [1, 1 + 1 + 1 / 2 + 1 / 3, 0, 1 / 2 + 1 / 3, 1 / 3]),
            K(S([2.0, NAN, 3.0]), [1, 2, 0]),
        ),
        refusals=(real("cummax"),),
    ),
    running(
        "cummin",
        flattened(np.minimum.accumulate),
        method="central",
        kinks=(K(S([2.0, 1.0, 1.0, 0.0]), [1, 1.5, 0.5, 1]),),
        refusals=(real("cummin"),),
    ),
    # --- differences
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
        S(u(4), prepend=0.5, append=[1.0, 2.0]),
        S(u(2, 3), n=2, axis=0, prepend=0.5),
        method="complex",
        refusals=(
            R(lambda: tg.diff(np.ones(3), n=-1), ValueError, "diff", "-1"),
            R(lambda: tg.diff(np.ones(3), axis=1), ShapeError, "diff", "axis 1"),
        ),
    ),
    C(
        "ediff1d",
        lambda x, end, begin: np.ediff1d(x, end, begin),
        S(u(2, 3), u(2), u()),
        S(u(), u(), u(1)),
        method="complex",
        refusals=(R(lambda: tg.ediff1d([1, 2], 0.5), DTypeError, "ediff1d", "float64", "int64"),),
    ),
    C(
        "trapezoid",
        np.trapezoid,
        S(u(4)),
        S(u(2, 3), dx=0.5, axis=0),
        S(u(2, 3), u(3)),
        S(u(2, 3), u(2), axis=0),
        S(u(2, 3), u(2, 3), axis=-2),
        S(u(1, 3), axis=0),
        method="complex",
        refusals=(
            R(lambda: tg.trapezoid(np.ones((2, 3)), np.ones(2)), ShapeError, "trapezoid", "(2,)", "(2, 3)"),
            R(lambda: tg.trapezoid(1.0), ShapeError, "trapezoid", "axis -1"),
        ),
    ),
    C(
        "gradient",
        np.gradient,
        S(u(2)),
        S(u(5), more=(0.5,)),
        S(u(3, 4)),
        S(u(3, 4), more=(2.0, 0.5)),
        S(u(3, 4), axis=-1, edge_order=2),
        S(u(3, 4), axis=(1, 0), edge_order=2),
        S(u(5), np.cumsum(positive(5))),
        S(u(5), np.cumsum(positive(5)), edge_order=2),
        S(u(3, 4), np.cumsum(positive(3)), np.cumsum(positive(4))),
        S(u(3, 4), 0.5, np.cumsum(positive(4)), edge_order=2),
        method="complex",
        refusals=(
            R(lambda: tg.gradient(np.ones(2), edge_order=2), ShapeError, "gradient", "(2,)", "needs 3"),
            R(lambda: tg.gradient(np.ones(2), edge_order=3), ValueError, "gradient", "3"),
            R(lambda: tg.gradient(np.ones((2, 2)), 1.0, 1.0, 1.0), TypeError, "gradient", "3 spacings"),
            R(lambda: tg.gradient(np.ones(3), np.ones(4)), ShapeError, "gradient", "(4,)", "(3,)"),
            R(lambda: tg.gradient(np.ones(3), axis=1), ShapeError, "gradient", "axis 1"),
        ),
    ),
)
