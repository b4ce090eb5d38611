"""Sums of products."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad import ShapeError

from .rows import (
    C,
    Case,
    R,
    Refusal,
    S,
    Sample,
    public,
    seed,
    u,
)

seed("products")


def einsum(function: Any) -> Any:
    return lambda *args: function(args[-1], *args[:-1])


def matmul_pairs(*pairs: tuple[tuple[int, ...], tuple[int, ...]]) -> tuple[Sample, ...]:
    return tuple(S(u(*a), u(*b)) for a, b in pairs)


def mismatch(name: str) -> Refusal:
    return R(lambda: public(name)(np.ones((4, 5)), np.ones((3, 2))), ShapeError, name, "(4, 5)", "(3, 2)", "5 != 3")


CASES: tuple[Case, ...] = (
    # --- products
    C(
        "matmul",
        np.matmul,
        *matmul_pairs(
            ((2, 3), (3, 4)),
            ((3,), (3,)),
            ((3,), (3, 2)),
            ((2, 3), (3,)),
            ((3,), (2, 3, 2)),
            ((2, 2, 3), (3,)),
            ((2, 2, 3), (3, 2)),
            ((2, 3), (2, 3, 2)),
            ((2, 1, 2, 3), (3, 3, 2)),
            ((0, 3), (3, 2)),
            ((2, 0), (0, 2)),
            ((2, 3, 0), (0, 4)),
            ((2, 0, 3), (3, 4)),
            ((0, 2, 3), (3, 4)),
        ),
        method="complex",
        refusals=(
            mismatch("matmul"),
            R(
                lambda: tg.matmul(np.ones((4, 5)), np.ones(3)),
                ShapeError,
                "matmul",
                "(4, 5)",
                "(3,)",
                "5 != 3",
            ),
            R(
                lambda: tg.matmul(np.ones((2, 4, 5)), np.ones((3, 5, 1))),
                ShapeError,
                "matmul",
                "(2, 4, 5)",
                "2 and 3",
            ),
            R(lambda: tg.matmul(2.0, np.ones(3)), ShapeError, "matmul", "()", "x * y"),
        ),
    ),
    C(
        "dot",
        np.dot,
        *matmul_pairs(
            ((2, 3), (3, 4)),
            ((3,), (3,)),
            ((3,), (3, 2)),
            ((2, 2, 3), (3,)),
            ((2, 2, 3), (3, 2)),
            ((2, 3), (2, 3, 2)),
            ((3,), (2, 3, 2)),
            ((), (3,)),
            ((2,), ()),
        ),
        method="complex",
        refusals=(
            mismatch("dot"),
            R(lambda: tg.dot(np.ones(4), np.ones((2, 3, 2))), ShapeError, "dot", "4 != 3"),
        ),
    ),
    C("outer", np.outer, *matmul_pairs(((2,), (3,)), ((2, 2), (3,)), ((), (2,))), method="complex"),
    C(
        "einsum",
        einsum(np.einsum),
        S(u(2, 3), u(3, 2), more=("ij,jk->ik",)),
        S(u(2, 3), u(3), more=("ij,j",)),
        S(u(3), u(3), more=("i,i->",)),
        S(u(3, 3), more=("ii->i",)),
        S(u(3, 3), more=("ii",)),
        S(u(2, 3), more=("ij->ji",)),
        S(u(2, 3), more=("ij->j",)),
        S(u(2, 3), more=("ba",)),
        S(u(2, 2, 3), u(2, 3, 2), more=("...ij,...jk->...ik",)),
        S(u(2, 2, 3), u(3, 2), more=("...ij,jk",)),
        S(u(2, 3), u(2, 3), more=("i...,i...->...",)),
        S(u(2, 3), u(3, 2), u(2, 2), more=("ij,jk,kl->il",)),
        S(u(2), u(3), u(2), u(3), more=("i,j,i,j->ij",)),
        S(u(2, 3), u(2), more=("ij,i->i",)),
        S(u(2, 2), u(2, 2), more=("ii,ij->j",)),
        S(u(2, 2, 2), more=("iii->i",)),
        S(u(1, 3), u(2, 3), more=("ij,ij->ij",)),
        S(u(), u(2), more=(",i->i",)),
        op=einsum(tg.einsum),
        method="complex",
        refusals=(
            R(
                lambda: tg.einsum("ij,jk", np.ones((2, 3)), np.ones((2, 3))),
                ShapeError,
                "einsum",
                "'j'",
                "3 and 2",
            ),
            R(lambda: tg.einsum("ij", np.ones(3)), ShapeError, "einsum", "'ij'", "(3,)"),
            R(lambda: tg.einsum("i,j", np.ones(3)), ShapeError, "einsum", "2 terms", "1"),
            R(lambda: tg.einsum("i->j", np.ones(3)), ValueError, "einsum", "i->j"),
            R(lambda: tg.einsum("i1", np.ones((3, 3))), ValueError, "einsum", "'1'"),
            R(lambda: tg.einsum(np.ones(3), [0]), TypeError, "einsum", "ij,jk->ik"),
        ),
    ),
)
