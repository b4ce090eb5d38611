"""Metrics of predicted classes: scores or logits against labels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import tensorgrad as tg

from .._checks import count
from ._shared import Labelled, labelled

__all__ = ["accuracy", "balanced_accuracy", "f1", "log_loss", "precision", "recall", "top_k_accuracy"]


def accuracy(
    prediction: tg.TensorLike,
    target: tg.TensorLike,
    *,
    sample_weight: tg.TensorLike | None = None,
    multilabel: bool = False,
) -> float:
    """The share of labels that the largest score predicts, or of labels 0 and 1 that the sign of a logit predicts.

    Args:
        prediction: scores of shape (batch, classes) or (batch, classes, ...); or, for a target of 0 and 1, logits of
            shape (batch,) or (batch, 1): above 0 means 1.
        target: class numbers of shape (batch, ...); or 0 and 1, of shape (batch,) or (batch, 1).
        sample_weight: shape (batch,).
        multilabel: prediction and target are logits and 0 or 1 of shape (batch, labels), as a row may have several
            labels. A row then is right if all its labels are, as in scikit-learn.

    Raises:
        ShapeError: the shapes do not match, or the batch is empty.
        ValueError: with one logit, labels are not 0 and 1 (or -1 and 1); weights are negative or add up to 0.

    >>> import nn
    >>> nn.metrics.accuracy([[0.1, 2.0], [3.0, 1.0], [0.0, 1.0], [0.0, 1.0]], [1, 0, 0, 1])
    0.75
    >>> nn.metrics.accuracy([2.0, -1.0], [1, 1])
    0.5
    """
    given = labelled(prediction, target, sample_weight, "accuracy", multilabel=multilabel)
    hits = _predicted(given, multilabel) == given.labels
    return float(np.average(hits.all(axis=1) if multilabel else hits, weights=given.weight))


def balanced_accuracy(
    prediction: tg.TensorLike, target: tg.TensorLike, *, sample_weight: tg.TensorLike | None = None
) -> float:
    """The mean over the classes of the share of their samples that are predicted; of classes that occur in the target.

    Arguments and errors as in :func:`accuracy`.

    >>> import nn
    >>> nn.metrics.balanced_accuracy([2.0, 1.0, 3.0, 1.0], [1, 1, 1, 0])
    0.5
    """
    counts = _counted(labelled(prediction, target, sample_weight, "balanced_accuracy"), multilabel=False)
    occurs = counts.actual > 0
    return float(np.mean(counts.hits[occurs] / counts.actual[occurs]))


def precision(
    prediction: tg.TensorLike,
    target: tg.TensorLike,
    *,
    sample_weight: tg.TensorLike | None = None,
    average: str | None = None,
    multilabel: bool = False,
) -> float:
    """The share of samples predicted to be of a class that are of it; 0 if there are none.

    Args:
        prediction: as in :func:`accuracy`.
        target: as in :func:`accuracy`.
        sample_weight: shape (batch,).
        average: "binary" is the value of class 1 of two. "macro" is the mean over the classes that occur in the
            target or are predicted, "weighted" that mean weighted by how often they occur in the target, and "micro"
            counts all classes together. None is "binary" for two classes, that is, one logit or two scores per row,
            and "macro" for more.
        multilabel: as in :func:`accuracy`; the average then is over the labels.

    Raises:
        ShapeError: as in :func:`accuracy`.
        ValueError: also for an unknown average, or "binary" of more than two classes.

    >>> import nn
    >>> nn.metrics.precision([2.0, 1.0, -1.0, 3.0], [1, 0, 1, 1])
    0.6666666666666666
    """
    given = labelled(prediction, target, sample_weight, "precision", multilabel=multilabel)
    counts = _counted(given, multilabel)
    return _averaged(counts, counts.hits, counts.predicted, _average(average, given, multilabel, "precision"))


def recall(
    prediction: tg.TensorLike,
    target: tg.TensorLike,
    *,
    sample_weight: tg.TensorLike | None = None,
    average: str | None = None,
    multilabel: bool = False,
) -> float:
    """The share of samples of a class that are predicted to be of it; 0 if there are none.

    Arguments and errors as in :func:`precision`.

    >>> import nn
    >>> nn.metrics.recall([2.0, 1.0, -1.0, -3.0], [1, 0, 1, 1])
    0.3333333333333333
    """
    given = labelled(prediction, target, sample_weight, "recall", multilabel=multilabel)
    counts = _counted(given, multilabel)
    return _averaged(counts, counts.hits, counts.actual, _average(average, given, multilabel, "recall"))


def f1(
    prediction: tg.TensorLike,
    target: tg.TensorLike,
    *,
    sample_weight: tg.TensorLike | None = None,
    average: str | None = None,
    multilabel: bool = False,
) -> float:
    """The harmonic mean of :func:`precision` and :func:`recall`; 0 if both are.

    Arguments and errors as in :func:`precision`; "macro" and "weighted" are means of the classes' values.

    >>> import nn
    >>> nn.metrics.f1([2.0, 1.0, -1.0, 3.0], [1, 0, 1, 1])
    0.6666666666666666
    """
    given = labelled(prediction, target, sample_weight, "f1", multilabel=multilabel)
    counts = _counted(given, multilabel)
    both = counts.predicted + counts.actual
    return _averaged(counts, 2 * counts.hits, both, _average(average, given, multilabel, "f1"))


def top_k_accuracy(
    prediction: tg.TensorLike, target: tg.TensorLike, *, k: int = 5, sample_weight: tg.TensorLike | None = None
) -> float:
    """The share of labels that are among the k largest scores; of equal scores, the first come first.

    Args:
        prediction: scores of shape (batch, classes) or (batch, classes, ...), for more than k classes.
        target: class numbers of shape (batch, ...).
        k: how many scores count; 1 is :func:`accuracy`.
        sample_weight: shape (batch,).

    Raises:
        ShapeError: the shapes do not match, or the batch is empty.
        IndexError: a label is out of range.
        ValueError: k is not less than the number of classes; weights are negative or add up to 0.

    >>> import nn
    >>> nn.metrics.top_k_accuracy([[0.1, 0.5, 0.4], [0.7, 0.1, 0.2]], [2, 1], k=2)
    0.5
    """
    op = "top_k_accuracy"
    given = labelled(prediction, target, sample_weight, op)
    if count(op, "k", k) >= given.classes:
        raise ValueError(f"{op}: k must be less than the number of classes, {given.classes}, got {k}")
    if given.scores.ndim == 1:
        raise tg.ShapeError(f"{op}: expected scores of shape (batch, classes), got one logit per row; write accuracy")
    places = _places(given, op)[:, None]
    own = np.take_along_axis(given.scores, places, axis=1)
    numbers = np.arange(given.classes)
    behind = (given.scores < own) | ((given.scores == own) & (numbers >= places))  # NaN is behind nothing
    rank = given.classes - np.count_nonzero(behind, axis=1)
    return float(np.average(rank < k, weights=given.weight))


def log_loss(
    prediction: tg.TensorLike,
    target: tg.TensorLike,
    *,
    sample_weight: tg.TensorLike | None = None,
    multilabel: bool = False,
) -> float:
    """The mean negative log-probability of the labels: the cross-entropy, without weights of classes or smoothing.

    Args:
        prediction: logits or log-probabilities, of shapes as in :func:`accuracy`.
        target: as in :func:`accuracy`.
        sample_weight: shape (batch,).
        multilabel: as in :func:`accuracy`; the mean then is over all labels of all rows.

    Raises:
        ShapeError: the shapes do not match, or the batch is empty.
        IndexError: a label is out of range.
        ValueError: as in :func:`accuracy`.

    >>> import nn
    >>> round(nn.metrics.log_loss([[0.0, 0.0], [0.0, 0.0]], [1, 0]), 6)
    0.693147
    """
    given = labelled(prediction, target, sample_weight, "log_loss", multilabel=multilabel)
    scores = np.asarray(given.scores, np.float64)
    if multilabel or scores.ndim == 1:
        losses = np.logaddexp(0.0, np.where(given.labels == 1, -scores, scores))
        return float(np.average(losses.mean(axis=1) if multilabel else losses, weights=given.weight))
    places = _places(given, "log_loss")[:, None]
    own = np.take_along_axis(scores, places, axis=1)[:, 0]
    return float(np.average(np.logaddexp.reduce(scores, axis=1) - own, weights=given.weight))


class _Counts(NamedTuple):
    """By class, the weights of the samples of it that are predicted, of all that are predicted, and of all of it."""

    classes: Any
    hits: Any
    predicted: Any
    actual: Any


def _predicted(given: Labelled, multilabel: bool) -> Any:
    if multilabel or given.scores.ndim == 1:
        return (given.scores > 0).astype(np.int64)
    return np.argmax(given.scores, axis=1)


def _counted(given: Labelled, multilabel: bool) -> _Counts:
    predicted = _predicted(given, multilabel)
    if multilabel:
        arrays = (predicted * given.labels, predicted, given.labels)
        return _Counts(np.arange(given.classes), *(given.weight @ array for array in arrays))
    classes, places = np.unique(np.concatenate([predicted, given.labels]), return_inverse=True)
    found, wanted = np.split(places.reshape(-1), 2)
    size = len(classes)
    hits = np.bincount(wanted, given.weight * (found == wanted), size)
    return _Counts(classes, hits, np.bincount(found, given.weight, size), np.bincount(wanted, given.weight, size))


def _average(average: str | None, given: Labelled, multilabel: bool, op: str) -> str:
    two = given.classes == 2 and not multilabel
    if average is None:
        return "binary" if two else "macro"
    if average not in ("binary", "macro", "micro", "weighted"):
        raise ValueError(f"{op}: average must be 'binary', 'macro', 'micro' or 'weighted', got {average!r}")
    if average == "binary" and not two:
        several = "several labels per row" if multilabel else f"{given.classes} classes"
        raise ValueError(f"{op}: average='binary' is for two classes, got {several}; write average='macro'")
    return average


def _averaged(counts: _Counts, part: Any, whole: Any, average: str) -> float:
    """The quotient part / whole, or 0 where the whole is 0, averaged over the classes."""
    if average == "micro":
        part, whole = part.sum(keepdims=True), whole.sum(keepdims=True)
    quotients = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    if average == "binary":
        return float(quotients[counts.classes == 1].sum())  # 0 if class 1 does not occur
    if average == "weighted":
        return float(counts.actual @ quotients / counts.actual.sum()) if counts.actual.any() else 0.0
    return float(quotients.mean())


def _places(given: Labelled, op: str) -> Any:
    """The labels as integers. Raises IndexError for one that is not a class."""
    labels = given.labels
    wrong = ~((labels >= 0) & (labels < given.classes) & (labels == np.floor(labels)))
    if wrong.any():
        raise IndexError(
            f"{op}: label {labels[wrong][0]} at position {wrong.argmax()} is out of range for {given.classes} classes "
            f"(0 to {given.classes - 1})"
        )
    return labels.astype(np.intp)
