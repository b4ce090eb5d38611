"""Arrays as sets, and the bits of integers."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad import DTypeError

from .rows import C, Case, K, R, S, seed, u

seed("sets")


def bits(name: str) -> Case:
    """The operation of float64 samples as integers."""
    op = getattr(tg, name)
    return C(
        name,
        lambda x, y: getattr(np, name)(x.astype(int), y.astype(int)),
        S([6, 3, 12], [1, 2, 3]),
        S([[5], [9]], [1, 2, 0]),
        op=lambda x, y: op(x.astype(int), y.astype(int)),
        orders=0,
        refusals=(R(lambda: op(np.ones(2), 1), DTypeError, name, "float64"),),
    )


def of_one(name: str, part: Any = lambda found: found, **rest: Any) -> Case:
    ours, theirs = getattr(tg, name), getattr(np, name)
    return C(
        name,
        lambda *args, **options: part(theirs(*args, **options)),
        S(u(5)),
        S(u(2, 3)),
        S([2.0]),
        op=lambda *args, **options: part(ours(*args, **options)),
        method="central",
        kinks=(K(S([3.0, 1.0, 3.0, 1.0, 1.0]), [1.0, 1.0, 0.0, 0.0, 0.0]),),  # to the first of each value
        **rest,
    )


def of_two(name: str, **rest: Any) -> Case:
    return C(name, getattr(np, name), S(u(5), u(3)), S(u(2, 3), u(1)), method="central", **rest)


CASES: tuple[Case, ...] = (
    of_one("unique"),
    of_one("unique_values"),
    of_one("unique_all", lambda found: found[0]),
    of_one("unique_counts", lambda found: found[0]),
    of_one("unique_inverse", lambda found: found[0]),
    of_two("union1d", kinks=(K(S([1.0, 2.0], [2.0, 3.0]), [1.0, 1.0], [0.0, 1.0]),)),
    C(
        "setdiff1d",
        np.setdiff1d,
        S(u(5), more=(np.array([1.0, 2.0]),)),
        S(u(2, 3), more=(np.array(0.5),)),
        method="central",
        kinks=(K(S([1.0, 2.0, 1.0], more=(np.array([2.0, 3.0]),)), [1.0, 0.0, 0.0]),),
    ),
    of_two("setxor1d", kinks=(K(S([1.0, 2.0], [2.0, 3.0]), [1.0, 0.0], [0.0, 1.0]),)),
    # What is in both is so at isolated points only: the gradient is that of the element, taken from both.
    C(
        "intersect1d",
        np.intersect1d,
        S([3.0, 0.0, 2.0], [0.0, 5.0, 0.0]),
        honest=False,
        kinks=(K(S([3.0, 1.0, 2.0], [1.0, 3.0, 3.0]), [0.5, 0.5, 0.0], [0.5, 0.5, 0.0]),),
    ),
    C("isin", np.isin, S([3.0, 1.0, 2.0], [1.0, 3.0]), S([[3.0, 1.0]], [1.0], invert=True), orders=0),
    bits("bitwise_and"),
    bits("bitwise_or"),
    bits("bitwise_xor"),
    bits("bitwise_left_shift"),
    bits("bitwise_right_shift"),
    C(
        "bitwise_invert",
        lambda x: np.bitwise_invert(x.astype(int)),
        S([6, 3, 0]),
        op=lambda x: tg.bitwise_invert(x.astype(int)),
        orders=0,
        refusals=(R(lambda: tg.bitwise_invert(np.ones(2)), DTypeError, "bitwise_invert", "float64"),),
    ),
)
