"""Metrics of the order into which scores bring the samples, whatever the threshold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tensorgrad as tg

from ._shared import labelled

__all__ = ["average_precision", "roc_auc"]


def roc_auc(
    prediction: tg.TensorLike,
    target: tg.TensorLike,
    *,
    sample_weight: tg.TensorLike | None = None,
    multilabel: bool = False,
) -> float:
    """The area under the ROC curve: how probable it is that a sample of the class has a larger score than another.

    Equal scores count half. For more than two classes, the mean over the classes of each against the rest, by the
    probabilities of a softmax; for several labels, the mean over the labels. Classes that all samples or none of them
    have are left out; if no others remain, the result is NaN.

    Args:
        prediction: logits or log-probabilities of shape (batch, classes) or (batch, classes, ...); or for a target of
            0 and 1 any scores of shape (batch,) or (batch, 1).
        target: class numbers of shape (batch, ...); or 0 and 1, of shape (batch,) or (batch, 1).
        sample_weight: shape (batch,).
        multilabel: as in :func:`nn.metrics.accuracy`.

    Raises:
        ShapeError: the shapes do not match, or the batch is empty.
        ValueError: with one score, labels are not 0 and 1 (or -1 and 1); weights are negative or add up to 0.

    >>> import nn
    >>> nn.metrics.roc_auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    return _mean(_area, prediction, target, sample_weight, multilabel, "roc_auc")


def average_precision(
    prediction: tg.TensorLike,
    target: tg.TensorLike,
    *,
    sample_weight: tg.TensorLike | None = None,
    multilabel: bool = False,
) -> float:
    """The mean of the precision over the recall: the area under the precision-recall curve as a step function.

    Arguments and errors as in :func:`roc_auc`, and so is the mean over several classes.

    >>> import nn
    >>> round(nn.metrics.average_precision([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]), 6)
    0.833333
    """
    return _mean(_precision, prediction, target, sample_weight, multilabel, "average_precision")


def _mean(measure: Callable[..., float], prediction: Any, target: Any, weight: Any, multilabel: bool, op: str) -> float:
    """The measure of the positive class, or its mean over the classes that some samples have, but not all."""
    given = labelled(prediction, target, weight, op, multilabel=multilabel)
    scores, labels = np.asarray(given.scores, np.float64), given.labels
    if np.isnan(scores).any():
        return float("nan")
    if multilabel:
        columns = [(scores[:, i], labels[:, i] == 1) for i in range(given.classes)]
    elif scores.ndim == 1:
        columns = [(scores, labels == 1)]
    elif given.classes == 2:
        with tg.silenced():
            columns = [(scores[:, 1] - scores[:, 0], labels == 1)]
    else:
        logs = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        columns = [(logs[:, i], labels == i) for i in range(given.classes)]
    values = []
    for order, positive in columns:
        kinds, places = np.unique(order, return_inverse=True)
        inside = np.bincount(places.reshape(-1), given.weight * positive, len(kinds))
        outside = np.bincount(places.reshape(-1), given.weight * ~positive, len(kinds))
        if inside.any() and outside.any():
            values.append(measure(inside, outside))
    return float(np.mean(values)) if values else float("nan")


def _area(positive: Any, negative: Any) -> float:
    """The area, from the weights of both kinds at each score, in ascending order."""
    below = np.cumsum(negative) - negative
    return float(positive @ (below + negative / 2) / (positive.sum() * negative.sum()))


def _precision(positive: Any, negative: Any) -> float:
    hits, others = np.cumsum(positive[::-1]), np.cumsum(negative[::-1])
    found = hits + others
    shares = np.divide(hits, found, out=np.zeros(len(hits)), where=found > 0)
    return float(positive[::-1] @ shares / positive.sum())
