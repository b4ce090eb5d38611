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
    return lambda *args, **options: function(args[-1], *args[:-1], **options)


def matmul_pairs(*pairs: tuple[tuple[int, ...], tuple[int, ...]]) -> tuple[Sample, ...]:
    return tuple(S(u(*a), u(*b)) for a, b in pairs)


def mismatch(name: str) -> Refusal:
    return R(lambda: public(name)(np.ones((4, 5)), np.ones((3, 2))), ShapeError, name, "(4, 5)", "(3, 2)", "5 != 3")


EPSILON = np.zeros((3, 3, 3))
for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    EPSILON[k, i, j], EPSILON[k, j, i] = 1, -1


def levi_civita(x: Any, y: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None) -> Any:
    """Cross products by the Levi-Civita symbol, because NumPy warns about vectors of 2 elements."""
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = np.moveaxis(x, axisa, -1), np.moveaxis(y, axisb, -1)
    part = EPSILON[:, : x.shape[-1], : y.shape[-1]]
    z = np.einsum("kij,...i,...j->...k", part, x, y)
    return z[..., 2] if x.shape[-1] == y.shape[-1] == 2 else np.moveaxis(z, -1, axisc)


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
        S(u(2, 2), u(2, 3), u(3), more=("ii,ij,j",)),
        S(u(2, 3), u(1, 3), u(3), more=("...i,...i,i->...",)),
        S(u(2, 3), u(3, 2), u(2), more=("ij,jk,k->",), optimize=False),
        S(u(2, 3), u(3, 2), u(2), more=("ij,jk,k->i",), optimize="optimal"),
        S(u(2, 3), u(2), more=("ij,i->i",)),
        S(u(2, 2), u(2, 2), more=("ii,ij->j",)),
        S(u(2, 2, 2), more=("iii->i",)),
        S(u(1, 3), u(2, 3), more=("ij,ij->ij",)),
        S(u(), u(2), more=(",i->i",)),
        # an axis of length 1 that is broadcast, kept or summed over
        S(u(1, 3), u(4), more=("ij,i->j",)),
        S(u(1, 3), u(4), more=("ij,i->",)),
        S(u(1, 3), u(4), more=("ij,i",)),
        S(u(3, 1), u(3, 4), more=("ij,ij->i",)),
        S(u(3, 1), u(3, 4), more=("ij,ij->",)),
        S(u(1), u(4), more=("i,i->",)),
        S(u(1), u(4), more=("i,i->i",)),
        S(u(1, 1), u(2, 4), more=("ij,ij->",)),
        S(u(2, 1), u(4, 3), more=("ij,jk->ik",)),
        S(u(2, 4), u(1, 3), more=("ij,jk->ik",)),
        S(u(1, 2, 3), u(4, 3, 2), more=("bij,bjk->ik",)),
        S(u(1, 2, 3), u(4, 3, 2), more=("...ij,...jk->...ik",)),
        S(u(1, 3), u(4), u(1), more=("ij,i,i->j",)),
        S(u(1, 3), u(4), u(4), more=("ij,i,i->j",)),
        S(u(1, 1), u(4), more=("ii,i->",)),
        S(u(4), u(1, 1), more=("i,ii->i",)),
        S(u(1, 3), u(1), more=("ij,i->j",)),
        S(u(1, 3), u(4, 1), more=("ij,ij->j",)),
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
            R(lambda: tg.einsum(np.ones(3), "i"), TypeError, "einsum", "ij,jk->ik"),
        ),
    ),
    # --- over axes, of vectors, outer products
    C(
        "tensordot",
        np.tensordot,
        S(u(2, 3, 2), u(3, 2, 4)),
        S(u(2, 3), u(3, 4), axes=1),
        S(u(2), u(3), axes=0),
        S(u(2, 3, 4), u(4, 2, 3), more=(((0, -2), (1, 2)),)),
        S(u(2, 3, 4), u(4, 2, 3), more=(((2, 0, 1), (0, 1, 2)),)),
        S(u(2, 3), u(4, 3), more=((1, 1),)),
        S(u(2, 0), u(0, 3), axes=1),
        method="complex",
        refusals=(
            R(lambda: tg.tensordot(np.ones((2, 3)), np.ones((3, 2))), ShapeError, "tensordot", "2 != 3"),
            R(lambda: tg.tensordot(np.ones(3), np.ones(3)), ShapeError, "tensordot", "(3,)", "2 axes"),
            R(
                lambda: tg.tensordot(np.ones((2, 3)), np.ones((3, 2)), ((0, 1), (0,))),
                ShapeError,
                "tensordot",
                "2 axes",
                "1 of",
            ),
            R(lambda: tg.tensordot(np.ones(3), np.ones(3), (0, 0, 0)), ShapeError, "tensordot", "(0, 0, 0)"),
        ),
    ),
    C(
        "inner",
        np.inner,
        *matmul_pairs(((3,), (3,)), ((2, 3), (4, 3)), ((2, 2, 3), (3,)), ((), (2,)), ((0, 2), (3, 2))),
        method="complex",
        refusals=(R(lambda: tg.inner(np.ones((2, 3)), np.ones(2)), ShapeError, "inner", "3 != 2"),),
    ),
    C(
        "kron",
        np.kron,
        *matmul_pairs(((2,), (3,)), ((2, 3), (3, 2)), ((2,), (3, 2)), ((2, 1, 2), (2,)), ((), (2,)), ((0, 2), (1, 3))),
        method="complex",
    ),
    C(
        "vecdot",
        lambda x, y, axis=-1: np.sum(np.moveaxis(x, axis, -1) * np.moveaxis(y, axis, -1), axis=-1),
        *matmul_pairs(((3,), (3,)), ((2, 3), (3,)), ((2, 1, 3), (4, 3)), ((0, 3), (3,)), ((2, 0), (0,))),
        S(u(3, 2), u(3, 2), axis=0),
        S(u(4, 3, 2), u(3, 2), axis=-2),
        method="central",
        refusals=(
            R(lambda: tg.vecdot(np.ones((4, 5)), np.ones(3)), ShapeError, "vecdot", "(4, 5)", "5 != 3"),
            R(lambda: tg.vecdot(np.ones((4, 5)), np.ones((3, 5))), ShapeError, "vecdot", "4 and 3"),
            R(lambda: tg.vecdot(1.0, np.ones(3)), ShapeError, "vecdot", "()", "needs 1"),
            R(lambda: tg.vecdot(np.ones((3, 2)), np.ones(3), axis=1), ShapeError, "vecdot", "axis 1"),
        ),
    ),
    C(
        "vdot",
        np.vdot,
        *matmul_pairs(((3,), (3,)), ((2, 3), (3, 2)), ((), ()), ((0,), (2, 0))),
        method="central",
        refusals=(R(lambda: tg.vdot(np.ones((2, 3)), np.ones(5)), ShapeError, "vdot", "(2, 3)", "6 and 5"),),
    ),
    C(
        "matvec",
        lambda x, y: np.einsum("...ij,...j->...i", x, y),
        *matmul_pairs(((2, 3), (3,)), ((2, 3), (4, 3)), ((4, 2, 3), (3,)), ((4, 1, 2, 3), (2, 3)), ((0, 2), (2,))),
        method="complex",
        refusals=(
            R(lambda: tg.matvec(np.ones((2, 3)), np.ones(2)), ShapeError, "matvec", "3 != 2"),
            R(lambda: tg.matvec(np.ones(3), np.ones(3)), ShapeError, "matvec", "needs 2"),
        ),
    ),
    C(
        "vecmat",
        lambda x, y: np.einsum("...i,...ij->...j", x, y),
        *matmul_pairs(((2,), (2, 3)), ((4, 2), (2, 3)), ((2,), (4, 2, 3)), ((4, 1, 2), (2, 2, 3)), ((2,), (2, 0))),
        method="central",
        refusals=(R(lambda: tg.vecmat(np.ones(3), np.ones((2, 3))), ShapeError, "vecmat", "3 != 2"),),
    ),
    C(
        "cross",
        levi_civita,
        *matmul_pairs(((3,), (3,)), ((2, 3), (3,)), ((2, 1, 3), (4, 3)), ((0, 3), (3,)), ((2,), (2,)), ((4, 2), (2,))),
        S(u(4, 2), u(3)),
        S(u(3), u(4, 2)),
        S(u(3, 4), u(4, 3), axisa=0),
        S(u(3, 4), u(3, 4), axis=0),
        S(u(4, 3), u(3, 4), axisb=-2, axisc=0),
        method="complex",
        refusals=(
            R(lambda: tg.cross(np.ones(4), np.ones(3)), ShapeError, "cross", "4 and 3"),
            R(lambda: tg.cross(np.ones((2, 3)), np.ones((4, 3))), ShapeError, "cross", "(2, 3)", "2 and 4"),
            R(lambda: tg.cross(1.0, np.ones(3)), ShapeError, "cross", "axis -1"),
        ),
    ),
    C(
        "vander",
        np.vander,
        S(u(3)),
        S(u(3), more=(4,)),
        S(u(2), N=3, increasing=True),
        S([0.0, 1.0], more=(4,)),
        *(S(u(2), more=(n,)) for n in (0, 1, 2)),
        S(u(0)),
        method="complex",
        refusals=(R(lambda: tg.vander(np.ones((2, 2))), ShapeError, "vander", "(2, 2)"),),
    ),
)
