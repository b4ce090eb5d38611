"""Attention and embedding."""

from __future__ import annotations

from typing import Any

import numpy as np

from nn import functional as F
from tensorgrad import DTypeError, ShapeError
from tests.ops.cases.rows import INF, K, R, S, seed, u

from .rows import C, Case

seed("nn.attention")

NAME = "scaled_dot_product_attention"
LETTERS = np.array([[2, 0, 2], [1, 3, 1]])


def attention(
    q: Any, k: Any, v: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False, scale: Any = None
) -> Any:
    """One query at a time."""
    batch = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = (np.broadcast_to(a, (*batch, *a.shape[-2:])) for a in (q, k, v))
    shape = (*batch, q.shape[-2], k.shape[-2])
    added = np.zeros(shape)
    if attn_mask is not None:
        added = np.broadcast_to(np.where(attn_mask, 0, -INF) if attn_mask.dtype == bool else attn_mask, shape)
    weights = np.zeros(shape)
    for index in np.ndindex(shape[:-1]):
        keys = [j for j in range(shape[-1]) if added[(*index, j)] > -INF and not (is_causal and j > index[-1])]
        scores = [
            (q[index] * k[(*index[:-1], j)]).sum() * (q.shape[-1] ** -0.5 if scale is None else scale)
            + added[(*index, j)]
            for j in keys
        ]
        for j, part in zip(keys, np.exp(scores)):
            weights[(*index, j)] = part / np.exp(scores).sum()
    if dropout_p:
        kept = np.random.default_rng(7).random(shape, np.float32) >= dropout_p
        weights = weights * kept / (1 - dropout_p)
    return np.einsum("...ls,...se->...le", weights, v)


def peer(functions: Any, q: Any, k: Any, v: Any, attn_mask: Any = None, **keywords: Any) -> Any:
    return getattr(functions, NAME)(q, k, v, attn_mask, **keywords)


def embedded(weight: Any, indices: Any, padding_idx: int | None = None) -> Any:
    return np.array([[weight[j] for j in row] for row in indices]) if indices.ndim == 2 else weight[int(indices)]


def looked_up(weight: Any, indices: Any, padding_idx: Any = None) -> Any:
    return F.embedding(indices, weight, padding_idx)


MASK = np.array([[True, False, True], [False, False, False]])
ADDED = np.array([[0.5, -INF, 1.0], [-INF, -INF, -INF]])

CASES: tuple[Case, ...] = (
    C(
        NAME,
        attention,
        S(u(2, 3, 4), u(2, 5, 4), u(2, 5, 2)),
        S(u(3, 4), u(3, 4), u(3, 2), is_causal=True),
        S(u(2, 4), u(3, 4), u(3, 2), more=(MASK,)),
        S(u(2, 2, 4), u(3, 4), u(3, 2), more=(ADDED,), scale=0.3),
        S(u(2, 4), u(3, 4), u(3, 2), u(2, 3)),
        peer=peer,
        kinks=(
            K(
                S(u(1, 2), u(3, 2), u(3, 2), more=(np.zeros((1, 3), bool),)),
                np.zeros((1, 2)),
                np.zeros((3, 2)),
                np.zeros((3, 2)),
            ),
        ),
        refusals=(
            R(lambda: getattr(F, NAME)(*map(np.ones, ((2, 3), (4, 2), (4, 1)))), ShapeError, "3 features", "key has 2"),
            R(lambda: getattr(F, NAME)(*map(np.ones, ((2, 3), (4, 3), (5, 1)))), ShapeError, "4 keys", "5 values"),
            R(lambda: getattr(F, NAME)(np.ones(3), np.ones((4, 3)), np.ones((4, 1))), ShapeError, NAME, "(3,)"),
            R(
                lambda: getattr(F, NAME)(*map(np.ones, ((2, 3), (4, 3), (4, 1), (3, 4)))),
                ShapeError,
                "attn_mask has shape (3, 4)",
                "(2, 4)",
            ),
            R(
                lambda: getattr(F, NAME)(*map(np.ones, ((2, 3), (4, 3), (4, 1), (2, 4))), is_causal=True),
                ValueError,
                "is_causal=True",
            ),
            R(lambda: getattr(F, NAME)(*[np.ones((2, 3))] * 3, dropout_p=1.0), ValueError, "dropping", "1.0"),
        ),
    ),
    C(
        NAME,
        attention,
        S(u(3, 4), u(5, 4), u(5, 2), dropout_p=0.25),
        op=lambda *arrays, **keywords: getattr(F, NAME)(*arrays, **keywords, rng=7),
        random=True,
    ),
    C(
        "embedding",
        embedded,
        S(u(4, 3), more=(LETTERS,)),
        S(u(4, 3), more=(np.array(1),)),
        op=looked_up,
        peer=lambda F, weight, indices, *more: F.embedding(indices, weight, *more),
        method="complex",
        kinks=(
            K(S(np.ones((4, 2)), more=(LETTERS, 2)), [[1, 1], [2, 2], [0, 0], [1, 1]]),
            K(S(np.ones((4, 2)), more=(LETTERS, -3)), [[1, 1], [0, 0], [2, 2], [1, 1]]),
        ),
        refusals=(
            R(lambda: F.embedding([[0], [4]], np.ones((4, 2))), IndexError, "embedding: index 4", "(1, 0)", "4 rows"),
            R(lambda: F.embedding([-1], np.ones((4, 2))), IndexError, "embedding: index -1", "(0,)"),
            R(lambda: F.embedding([0.0], np.ones((4, 2))), DTypeError, "embedding", "float64"),
            R(lambda: F.embedding([0], np.ones(4)), ShapeError, "embedding", "(4,)"),
            R(lambda: F.embedding([0], np.ones((4, 2)), 4), IndexError, "padding_idx 4", "4 rows"),
        ),
    ),
)
