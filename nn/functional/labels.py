"""Class labels, and the losses that compare scores with them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from ._shared import _array, _check_probabilities, _operand, _reduced, checked_reduction

__all__ = ["cross_entropy", "focal_loss", "multi_margin_loss", "nll_loss", "one_hot", "softmax_focal_loss"]


def one_hot(labels: Any, num_classes: int, *, dtype: DTypeLike = np.float32) -> Any:
    """An array with a further axis: 1 at the label, 0 elsewhere. Raises IndexError for a label out of range.

    >>> import nn
    >>> nn.functional.one_hot([1, 0], 3)
    array([[0., 1., 0.],
           [1., 0., 0.]], dtype=float32)
    """
    given = _array(labels)
    _check_label_dtype(given, "one_hot")
    return _hot(given, classes=int(num_classes), op="one_hot").astype(dtype)


def cross_entropy(logits: tg.TensorLike, labels: Any, *, reduction: str = "mean") -> tg.Tensor:
    """Minus the logarithm of the probability that ``softmax(logits)`` gives to the label.

    Args:
        logits: shape (batch, classes), of any size. A logit of -inf is a class of probability 0; a row that
            holds +inf or NaN, or nothing but -inf, gives NaN.
        labels: integers of shape (batch,), from 0.
        reduction: "mean" or "sum" over the batch, or "none" for shape (batch,).

    Raises:
        DTypeError: labels are not integers.
        ShapeError: logits have not two axes, labels are not one a row, or the batch is empty.
        IndexError: a label is negative or not smaller than the number of classes.

    >>> import nn
    >>> nn.functional.cross_entropy([[1e4, -1e4], [0.0, 0.0]], [1, 0], reduction="none").data.round(6).tolist()
    [20000.0, 0.693147]
    """
    given, labels = _checked_labels(logits, labels, "cross_entropy")
    return _picked(tg.log_softmax(given), labels, reduction, "cross_entropy")


def nll_loss(log_probabilities: tg.TensorLike, labels: Any, *, reduction: str = "mean") -> tg.Tensor:
    """Minus the log-probability of the label: :func:`cross_entropy` after ``tg.log_softmax``.

    Shapes and errors as there.

    >>> import numpy as np, nn
    >>> round(nn.functional.nll_loss(np.log([[0.25, 0.75]]), [1]).item(), 6)
    0.287682
    """
    given, labels = _checked_labels(log_probabilities, labels, "nll_loss")
    return _picked(given, labels, reduction, "nll_loss")


def focal_loss(
    probabilities: tg.TensorLike, labels: Any, *, alpha: float = 1.0, gamma: float = 0.0, reduction: str = "mean"
) -> tg.Tensor:
    """``-alpha (1 - p)^gamma log(p)``, with p the label's probability: what is easy counts less (Lin et al., 2017).

    Better behaved on logits: :func:`softmax_focal_loss`.

    Args:
        probabilities: shape (batch, classes).
        labels: integers of shape (batch,), from 0.
        alpha: a factor.
        gamma: how much less; 0 is :func:`nll_loss` of the logarithms.
        reduction: "mean" or "sum" over the batch, or "none" for shape (batch,).

    Raises ValueError for a negative gamma and what is no probability; other errors as in :func:`cross_entropy`.

    >>> import nn
    >>> round(nn.functional.focal_loss([[0.25, 0.75]], [1], gamma=2.0).item(), 6)
    0.01798
    """
    op = "focal_loss"
    given, labels = _checked_labels(probabilities, labels, op)
    _check_probabilities(_array(given), op=op, instead="softmax_focal_loss")
    p = _own(given, labels, op)
    return _reduced(_focal(tg.log(p), 1 - p, alpha, gamma, op), reduction, op)


def softmax_focal_loss(
    logits: tg.TensorLike, labels: Any, *, alpha: float = 1.0, gamma: float = 0.0, reduction: str = "mean"
) -> tg.Tensor:
    """:func:`focal_loss` of ``softmax(logits)``, exact for logits of any size.

    >>> import nn
    >>> nn.functional.softmax_focal_loss([[1e4, -1e4]], [1], gamma=2.0).item()
    20000.0
    """
    op = "softmax_focal_loss"
    given, labels = _checked_labels(logits, labels, op)
    log_p = _own(tg.log_softmax(given), labels, op)
    return _reduced(_focal(log_p, -tg.expm1(log_p), alpha, gamma, op), reduction, op)


def _focal(log_p: tg.Tensor, rest: tg.Tensor, alpha: float, gamma: float, op: str) -> tg.Tensor:
    if not gamma >= 0:
        raise ValueError(f"{op}: gamma is not negative, got {gamma!r}")
    return -alpha * (rest**gamma * log_p)


def multi_margin_loss(
    scores: tg.TensorLike,
    labels: Any,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: tg.TensorLike | None = None,
    reduction: str = "mean",
) -> tg.Tensor:
    """What each other class lacks to be a margin below the label's, to the power p, summed, over the classes.

    Args:
        scores: shape (batch, classes).
        labels: integers of shape (batch,), from 0.
        p: 1 or 2.
        margin: by which the label's score should be the largest.
        weight: of each class, shape (classes,).
        reduction: "mean" or "sum" over the batch, or "none" for shape (batch,).

    Raises ValueError for another p, ShapeError for weights of another shape; other errors as in
    :func:`cross_entropy`. At the margin the gradient is 0.

    >>> import nn
    >>> nn.functional.multi_margin_loss([[0.5, 1.0, 2.0]], [1]).item()
    0.8333333333333334
    """
    op = "multi_margin_loss"
    if p not in (1, 2):
        raise ValueError(f"{op}: p is 1 or 2, got {p!r}")
    given, labels = _checked_labels(scores, labels, op)
    classes = given.shape[1]
    hot = _hot(labels, classes=classes, op=op)
    own = tg.sum(tg.where(hot, given, 0.0), axis=1, keepdims=True)
    lacking = tg.relu(tg.subtract(given, own) + margin)
    if p == 2:
        lacking = tg.square(lacking)
    if weight is not None:
        factors = _operand(weight)
        if factors.shape != (classes,):
            raise tg.ShapeError(f"{op}: weight has shape {factors.shape}, expected ({classes},): one for each class")
        lacking = lacking * tg.sum(tg.where(hot, factors, 0.0), axis=1, keepdims=True)
    return _reduced(tg.sum(tg.where(hot, 0.0, lacking), axis=1) / classes, reduction, op)


def _checked_labels(scores: Any, labels: Any, op: str) -> tuple[Any, Any]:
    scores, labels = _operand(scores), _array(labels)
    shape = scores.shape
    if len(shape) != 2:
        raise tg.ShapeError(f"{op}: expected scores of shape (batch, classes), got {shape}")
    _check_label_dtype(labels, op)
    if labels.shape != shape[:1]:
        hint = "labels.argmax(axis=1) for one-hot labels" if labels.shape == shape else "labels.reshape(-1)"
        raise tg.ShapeError(
            f"{op}: labels have shape {labels.shape}, expected {shape[:1]}: one integer for each row of {shape}; "
            f"write {hint}"
        )
    if not shape[0]:
        raise tg.ShapeError(f"{op}: empty batch (shape {shape}) has no mean loss")
    return scores, labels


def _check_label_dtype(labels: Any, op: str) -> None:
    if labels.dtype.kind not in "iu":
        raise tg.DTypeError(
            f"{op}: labels are class numbers, expected integers, got {labels.dtype}; write labels.astype(np.int64)"
        )


@tg.indivisible
def _hot(labels: Any, *, classes: int, op: str) -> Any:
    """Where the last axis of the result is the label's."""
    hot = labels[..., None] == np.arange(classes, like=labels)
    if np.count_nonzero(hot) != labels.size:
        wrong = np.argwhere((labels < 0) | (labels >= classes))[0]
        position = tuple(wrong.tolist())
        raise IndexError(
            f"{op}: label {labels[position]} at position {', '.join(map(str, position))} is out of range for "
            f"{classes} classes (0 to {classes - 1})"
        )
    return hot


def _own(scores: Any, labels: Any, op: str) -> tg.Tensor:
    """Of each row, the score of its label."""
    # Selection, not a product: a score of -inf for another class leaves no NaN.
    return tg.sum(tg.where(_hot(labels, classes=scores.shape[1], op=op), scores, 0.0), axis=1)


def _picked(log_p: Any, labels: Any, reduction: str, op: str) -> tg.Tensor:
    # Selection, not a product: a log-probability of -inf on another class leaves no NaN.
    hot = _hot(labels, classes=log_p.shape[1], op=op)
    chosen = tg.where(hot, log_p, 0.0)
    checked_reduction(reduction, op)
    if reduction == "none":
        return -tg.sum(chosen, axis=1)
    return tg.sum(chosen) * (-1.0 if reduction == "sum" else -1.0 / labels.shape[0])
