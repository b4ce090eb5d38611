"""Class labels, and the losses that compare scores with them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from ._shared import _array, _operand, checked_reduction

__all__ = ["cross_entropy", "nll_loss", "one_hot"]


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


def _picked(log_p: Any, labels: Any, reduction: str, op: str) -> tg.Tensor:
    # Selection, not a product: a log-probability of -inf on another class leaves no NaN.
    hot = _hot(labels, classes=log_p.shape[1], op=op)
    chosen = tg.where(hot, log_p, 0.0)
    checked_reduction(reduction, op)
    if reduction == "none":
        return -tg.sum(chosen, axis=1)
    return tg.sum(chosen) * (-1.0 if reduction == "sum" else -1.0 / labels.shape[0])
