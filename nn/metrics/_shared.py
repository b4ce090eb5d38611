"""What the metrics have in common: checks of shapes and weights, and means over samples."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

import tensorgrad as tg

from ..functional._shared import label_misfit, plain_array, require_same_shape

__all__ = ["Labelled", "flat", "labelled", "mean", "require_batch", "weights"]


class Labelled(NamedTuple):
    """Scores, labels and weights, one row per label.

    Attributes:
        scores: shape (rows, classes); (rows,) for one logit per row.
        labels: shape (rows,); 0 and 1 for one logit per row.
        weight: float64 of shape (rows,).
    """

    scores: Any
    labels: Any
    weight: Any

    @property
    def classes(self) -> int:
        """The number of classes."""
        return 2 if self.scores.ndim == 1 else int(self.scores.shape[1])


def flat(values: Any) -> Any:
    """The values with all axes but the first as one: shape (samples, values)."""
    return values.reshape(len(values), math.prod(values.shape[1:]))


def require_batch(shape: tuple[int, ...], op: str) -> None:
    """Raise ShapeError unless a prediction has a first axis, and something along it."""
    if not shape:
        raise tg.ShapeError(f"{op}: expected a prediction of shape (batch, ...), got (); write [prediction]")
    if 0 in shape:
        raise tg.ShapeError(f"{op}: an empty batch (shape {shape}) has no mean")


def weights(weight: Any, rows: int, op: str) -> Any:
    """The weights of the samples as float64, or ones for None.

    Raises:
        ShapeError: there is not one per sample.
        ValueError: one is negative or NaN, or they add up to 0.
    """
    if weight is None:
        return np.ones(rows)
    factors = np.asarray(plain_array(weight), np.float64)
    if factors.shape != (rows,):
        raise tg.ShapeError(f"{op}: sample_weight has shape {factors.shape}, expected {(rows,)}: one per sample")
    if not (factors.min() >= 0 and factors.sum() > 0):
        raise ValueError(
            f"{op}: sample_weight must not be negative and must add up to more than 0, got {factors.min()} to "
            f"{factors.max()}"
        )
    return factors


def mean(values: Any, weight: Any, op: str) -> Any:
    """The mean over the samples, for each output."""
    if weight is None:
        return np.mean(values, axis=0)
    factors = weights(weight, len(values), op)
    return factors @ values / factors.sum()


def labelled(prediction: Any, target: Any, weight: Any, op: str, *, multilabel: bool = False) -> Labelled:
    """Check scores and labels, and bring them into rows; with ``multilabel`` both keep the shape (rows, labels).

    Raises:
        ShapeError: the shapes do not match, or the batch is empty.
        ValueError: with one logit per label, labels are not 0 and 1 (or -1 and 1); or the weights are wrong.
    """
    scores, labels = plain_array(prediction), plain_array(target)
    shape = scores.shape
    require_batch(shape, op)
    if multilabel:
        if len(shape) != 2:
            raise tg.ShapeError(f"{op}: with multilabel=True, expected logits of shape (batch, labels), got {shape}")
        require_same_shape(scores, labels, op)
        return Labelled(scores, _positive(labels, op), weights(weight, len(scores), op))
    binary = shape[1:] in ((), (1,))
    if labels.shape != shape[:1] + shape[2:] and not (binary and labels.shape == (shape[0], 1)):
        raise tg.ShapeError(label_misfit(labels, shape, op, several="write multilabel=True"))
    factors = weights(weight, len(scores), op)
    if binary:
        return Labelled(scores.reshape(-1), _positive(labels.reshape(-1), op), factors)
    if labels.ndim > 1:
        factors = np.repeat(factors, labels[0].size)
        scores, labels = np.moveaxis(scores, 1, -1).reshape(-1, shape[1]), labels.reshape(-1)
    return Labelled(scores, labels, factors)


def _positive(labels: Any, op: str) -> Any:
    """Labels of two classes as 0 and 1, whether they are 0 and 1 or -1 and 1."""
    known = np.unique(labels)
    if not (np.isin(known, (0, 1)).all() or np.isin(known, (-1, 1)).all()):
        raise ValueError(
            f"{op}: with one logit per label, labels must be 0 and 1, or -1 and 1, got {known[:5].tolist()}; for "
            "predicted labels, write np.mean(predicted == labels)"
        )
    return (labels == 1).astype(np.int64)
