"""Losses with a margin.

At the margin the gradient is 0, like that of ``tg.relu`` at 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg

from ._shared import operand, plain_array, reduced, require_same_shape

__all__ = [
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "hinge_loss",
    "margin_ranking_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
]


@tg.scope(None, "hinge_loss")
def hinge_loss(prediction: tg.TensorLike, target: tg.TensorLike, *, reduction: str = "mean") -> tg.Tensor:
    """``max(0, 1 - target * prediction)``: the loss of a support vector machine, as in ``sklearn.metrics.hinge_loss``.

    The target is 1 or -1. Shapes and errors as in :func:`mse_loss`; ValueError for any other target.

    >>> import nn
    >>> nn.functional.hinge_loss([0.5, 2.0, 0.0], [1.0, 1.0, -1.0], reduction="none").data.tolist()
    [0.5, 0.0, 1.0]
    """
    prediction, target = _signed(prediction, target, "hinge_loss")
    return reduced(tg.relu(1 - tg.multiply(target, prediction)), reduction, "hinge_loss")


@tg.scope(None, "soft_margin_loss")
def soft_margin_loss(prediction: tg.TensorLike, target: tg.TensorLike, *, reduction: str = "mean") -> tg.Tensor:
    """``log(1 + exp(-target * prediction))``, for a target of 1 or -1.

    Shapes and errors as in :func:`hinge_loss`.

    >>> import nn
    >>> nn.functional.soft_margin_loss([1e4, -1e4], [1.0, 1.0], reduction="none").data.tolist()
    [0.0, 10000.0]
    """
    prediction, target = _signed(prediction, target, "soft_margin_loss")
    return reduced(tg.softplus(-tg.multiply(target, prediction)), reduction, "soft_margin_loss")


@tg.scope(None, "hinge_embedding_loss")
def hinge_embedding_loss(
    prediction: tg.TensorLike, target: tg.TensorLike, *, margin: float = 1.0, reduction: str = "mean"
) -> tg.Tensor:
    """The prediction, a distance, where the target is 1; ``max(0, margin - prediction)`` where it is -1.

    Shapes and errors as in :func:`hinge_loss`.

    >>> import nn
    >>> nn.functional.hinge_embedding_loss([0.25, 0.25], [1.0, -1.0], reduction="none").data.tolist()
    [0.25, 0.75]
    """
    op = "hinge_embedding_loss"
    prediction, target = _signed(prediction, target, op)
    return reduced(
        tg.where(plain_array(target) > 0, prediction, tg.relu(tg.subtract(margin, prediction))), reduction, op
    )


@tg.scope(None, "margin_ranking_loss")
def margin_ranking_loss(
    x1: tg.TensorLike, x2: tg.TensorLike, target: tg.TensorLike, *, margin: float = 0.0, reduction: str = "mean"
) -> tg.Tensor:
    """``max(0, margin - target * (x1 - x2))``: a target of 1 says that x1 should rank above x2, and -1 below.

    All have the same shape; errors as in :func:`hinge_loss`.

    >>> import nn
    >>> nn.functional.margin_ranking_loss([1.0, 1.0], [3.0, 3.0], [1.0, -1.0], reduction="none").data.tolist()
    [2.0, 0.0]
    """
    op = "margin_ranking_loss"
    x1, x2 = operand(x1), operand(x2)
    require_same_shape(x1, x2, op, names=("x1", "x2"))
    difference, target = _signed(tg.subtract(x1, x2), target, op)
    return reduced(tg.relu(margin - target * difference), reduction, op)


@tg.scope(None, "triplet_margin_loss")
def triplet_margin_loss(
    anchor: tg.TensorLike,
    positive: tg.TensorLike,
    negative: tg.TensorLike,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> tg.Tensor:
    """``max(0, margin + d(anchor, positive) - d(anchor, negative))``, where d is the distance.

    Args:
        anchor: shape (..., features).
        positive: the same shape.
        negative: the same shape.
        margin: by how much the negative should be farther away.
        p: order of the norm of the difference that is the distance, over the last axis.
        eps: added to each difference, as in PyTorch.
        swap: use the negative's distance from the positive where that is less (Balntas et al., 2016).
        reduction: "mean", "sum", or "none" for shape (...).

    Raises:
        ShapeError: the shapes differ or have no axis, or the mean is over an empty batch.

    >>> import nn
    >>> round(nn.functional.triplet_margin_loss([[0.0, 0.0]], [[0.0, 3.0]], [[2.0, 0.0]]).item(), 4)
    2.0
    """
    op = "triplet_margin_loss"
    given, alike, other = operand(anchor), operand(positive), operand(negative)
    require_same_shape(given, alike, op, names=("anchor", "positive"))
    require_same_shape(given, other, op, names=("anchor", "negative"))
    if not given.shape:
        raise tg.ShapeError(f"{op}: expected shape (..., features), got ()")

    def distance(x: Any, y: Any) -> tg.Tensor:
        return tg.linalg.vector_norm(tg.subtract(x, y) + eps, axis=-1, ord=p)

    near, far = distance(given, alike), distance(given, other)
    if swap:
        far = tg.minimum(far, distance(alike, other))
    return reduced(tg.relu(near - far + margin), reduction, op)


@tg.scope(None, "cosine_embedding_loss")
def cosine_embedding_loss(
    x1: tg.TensorLike, x2: tg.TensorLike, target: tg.TensorLike, *, margin: float = 0.0, reduction: str = "mean"
) -> tg.Tensor:
    """``1 - cosine`` of the angle where the target is 1, and ``max(0, cosine - margin)`` where it is -1.

    Args:
        x1: shape (..., features).
        x2: the same shape.
        target: 1 or -1, of shape (...).
        margin: between -1 and 1.
        reduction: "mean", "sum", or "none" for shape (...).

    1e-12 is added to squared lengths, as in PyTorch. Raises ShapeError if shapes do not match, and ValueError for any
    other target.

    >>> import nn
    >>> x1, x2 = [[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [2.0, 0.0]]
    >>> nn.functional.cosine_embedding_loss(x1, x2, [1.0, -1.0], reduction="none").data.round(6).tolist()
    [1.0, 1.0]
    """
    op = "cosine_embedding_loss"
    a, b = operand(x1), operand(x2)
    require_same_shape(a, b, op, names=("x1", "x2"))
    if not a.shape:
        raise tg.ShapeError(f"{op}: expected shape (..., features), got ()")
    lengths = [tg.sqrt(tg.sum(tg.square(x), axis=-1) + 1e-12) for x in (a, b)]
    cosine, target = _signed(tg.sum(tg.multiply(a, b), axis=-1) / lengths[0] / lengths[1], target, op)
    return reduced(tg.where(plain_array(target) > 0, 1 - cosine, tg.relu(cosine - margin)), reduction, op)


def _signed(prediction: Any, target: Any, op: str) -> tuple[Any, Any]:
    prediction, target = operand(prediction), operand(target)
    require_same_shape(prediction, target, op)
    _check_signs(plain_array(target), op=op)
    return prediction, target


@tg.indivisible
def _check_signs(target: Any, *, op: str) -> None:
    wrong = np.abs(target) != 1
    if np.any(wrong):
        position = tuple(np.argwhere(wrong)[0].tolist())
        raise ValueError(
            f"{op}: the target must be 1 or -1, got {target[position]} at position {position}; for 0 and 1 write "
            f"2 * target - 1"
        )
