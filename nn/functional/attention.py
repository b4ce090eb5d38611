"""Attention: means of values, weighted by how well their keys match a query."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg

from ._shared import operand, plain_array
from ._spatial import constant
from .layers import dropout

__all__ = ["scaled_dot_product_attention"]


@tg.scope(None, "scaled_dot_product_attention")
def scaled_dot_product_attention(
    query: tg.TensorLike,
    key: tg.TensorLike,
    value: tg.TensorLike,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    rng: np.random.Generator | int | None = None,
) -> tg.Tensor:
    """``softmax(query @ key.T * scale + mask) @ value`` (Vaswani et al., 2017, equation 1).

    Args:
        query: shape (..., L, E).
        key: shape (..., S, E).
        value: shape (..., S, Ev).
        attn_mask: broadcasts to (..., L, S): booleans, True where a query can see a key, or numbers to add to the
            scores, possibly -inf, cast to their dtype. A query that sees no key returns 0, and has no gradient.
        dropout_p: probability of dropping a weight, in [0, 1). It always applies: pass 0 in evaluation.
        is_causal: let the query at i see only the keys up to i. Excludes attn_mask.
        scale: factor of the scores; None for ``1 / sqrt(E)``.
        rng: generator or seed for the dropout; None draws a fresh seed.

    Returns:
        Shape (..., L, Ev).

    Raises:
        ShapeError: query and key differ in features, keys and values in number, or the mask does not broadcast.
        ValueError: is_causal together with attn_mask; dropout_p outside [0, 1).

    >>> import nn
    >>> nn.functional.scaled_dot_product_attention([[9.0], [-9.0]], [[9.0], [-9.0]], [[1.0], [0.0]])
    Tensor([[1.], [0.]], dtype=float64)
    """
    op = "scaled_dot_product_attention"
    q, k, v = operand(query), operand(key), operand(value)
    _check_shapes(op, q.shape, k.shape, v.shape)
    if is_causal and attn_mask is not None:
        raise ValueError(f"{op}: is_causal=True is itself a mask; merge it into attn_mask, or pass only one of the two")
    scaled = tg.multiply(q, q.shape[-1] ** -0.5 if scale is None else scale)
    scores = tg.matmul(scaled, tg.swapaxes(k, -1, -2))
    seen: Any = None  # does a query see any key?
    if is_causal:
        visible = np.tri(q.shape[-2], k.shape[-2], dtype=bool)
        scores = tg.where(constant(visible, q), scores, -np.inf)
    elif attn_mask is not None:
        scores, seen = _masked(op, scores, operand(attn_mask))
    weights = tg.softmax(scores, axis=-1)
    if seen is not None:
        weights = tg.where(seen, weights, 0.0)
    if dropout_p:
        weights = dropout(weights, dropout_p, rng=rng)
    return tg.matmul(weights, v)


def _masked(op: str, scores: tg.Tensor, mask: Any) -> tuple[tg.Tensor, Any]:
    """Mask the scores, keeping fully hidden rows finite; also return which rows are not fully hidden."""
    fits = len(mask.shape) <= len(scores.shape) and all(
        m in (1, n) for m, n in zip(mask.shape[::-1], scores.shape[::-1])
    )
    if not fits:
        raise tg.ShapeError(
            f"{op}: attn_mask has shape {mask.shape}, expected one that broadcasts to {scores.shape}, the shape of "
            "the scores (..., queries, keys)"
        )
    plain = plain_array(mask)
    visible = plain if plain.dtype.kind == "b" else plain != -np.inf
    if not mask.shape:
        visible = visible[None]
    seen = np.any(visible, axis=-1, keepdims=True)
    if plain.dtype.kind == "b":
        return tg.where(visible | ~seen, scores, -np.inf), seen
    return scores + tg.astype(tg.where(seen, mask, 0.0), scores.dtype), seen


def _check_shapes(op: str, q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...]) -> None:
    if min(len(q), len(k), len(v)) < 2:
        raise tg.ShapeError(
            f"{op}: expected query (..., L, E), key (..., S, E) and value (..., S, Ev), got {q}, {k} and {v}"
        )
    if q[-1] != k[-1]:
        raise tg.ShapeError(f"{op}: query has {q[-1]} features, but key has {k[-1]} (shapes {q} and {k})")
    if k[-2] != v[-2]:
        raise tg.ShapeError(f"{op}: got {k[-2]} keys for {v[-2]} values (shapes {k} and {v})")
