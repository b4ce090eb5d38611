"""Measures of how good predictions are, as plain numbers without a graph.

Each takes a prediction, a target and, optionally, a weight for each sample (along the first axis), and returns a
float. ``METRICS`` has them by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import tensorgrad as tg

from .functional._shared import label_misfit, plain_array, require_same_shape

__all__ = ["METRICS", "accuracy", "mae", "mse", "r2", "rmse"]


def accuracy(prediction: tg.TensorLike, target: tg.TensorLike, *, sample_weight: tg.TensorLike | None = None) -> float:
    """The share of labels that the largest score predicts, or of labels 0 and 1 that the sign of a logit predicts.

    Args:
        prediction: scores of shape (batch, classes) or (batch, classes, ...); or, for a target of 0 and 1, logits of
            shape (batch,) or (batch, 1): above 0 means 1.
        target: class numbers of shape (batch, ...); or 0 and 1, of shape (batch,) or (batch, 1).
        sample_weight: shape (batch,).

    Raises:
        ShapeError: the shapes do not match, or the batch is empty.
        ValueError: with one logit, labels are not 0 and 1 (or -1 and 1); weights are negative or add up to 0.

    >>> import nn
    >>> nn.metrics.accuracy([[0.1, 2.0], [3.0, 1.0], [0.0, 1.0], [0.0, 1.0]], [1, 0, 0, 1])
    0.75
    >>> nn.metrics.accuracy([2.0, -1.0], [1, 1])
    0.5
    """
    scores, labels = plain_array(prediction), plain_array(target)
    shape = scores.shape
    _require_batch(shape, "accuracy")
    binary = shape[1:] in ((), (1,))
    if labels.shape != shape[:1] + shape[2:] and not (binary and labels.shape == (shape[0], 1)):
        raise tg.ShapeError(label_misfit(labels, shape, "accuracy"))
    if binary:
        hits = (scores > 0).reshape(-1) == _positive(labels.reshape(-1))
    else:
        hits = np.argmax(scores, axis=1) == labels
    return float(_mean(_flat(hits), sample_weight, "accuracy").mean())


def _positive(labels: Any) -> Any:
    """Return where labels of two classes are the second class: 1, not 0 or -1."""
    known = np.unique(labels)
    if not (np.isin(known, (0, 1)).all() or np.isin(known, (-1, 1)).all()):
        raise ValueError(
            f"accuracy: with one logit per row, labels must be 0 and 1, or -1 and 1, got {known[:5].tolist()}; for "
            "predicted labels, write np.mean(predicted == labels)"
        )
    return labels == 1


def mae(prediction: tg.TensorLike, target: tg.TensorLike, *, sample_weight: tg.TensorLike | None = None) -> float:
    """Mean absolute error.

    Args:
        prediction: shape (batch, ...).
        target: the same shape.
        sample_weight: shape (batch,).

    Raises:
        ShapeError: the shapes differ, or the batch is empty.
        ValueError: weights are negative or add up to 0.

    >>> import nn
    >>> nn.metrics.mae([1.0, 2.0], [1.0, 4.0])
    1.0
    """
    error, _ = _errors(prediction, target, "mae")
    return float(_mean(np.abs(error), sample_weight, "mae").mean())


def mse(prediction: tg.TensorLike, target: tg.TensorLike, *, sample_weight: tg.TensorLike | None = None) -> float:
    """Mean squared error. Shapes and errors as in :func:`mae`.

    >>> import nn
    >>> nn.metrics.mse([1.0, 2.0], [1.0, 4.0])
    2.0
    """
    error, _ = _errors(prediction, target, "mse")
    return float(_mean(error**2, sample_weight, "mse").mean())


def rmse(prediction: tg.TensorLike, target: tg.TensorLike, *, sample_weight: tg.TensorLike | None = None) -> float:
    """Root mean squared error; for several outputs, the mean of their roots. Shapes and errors as in :func:`mae`.

    >>> import nn
    >>> nn.metrics.rmse([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 8.0])
    2.0
    """
    error, _ = _errors(prediction, target, "rmse")
    return float(np.sqrt(_mean(error**2, sample_weight, "rmse")).mean())


def r2(prediction: tg.TensorLike, target: tg.TensorLike, *, sample_weight: tg.TensorLike | None = None) -> float:
    """The share of the target's variance that is explained: 1 is perfect, 0 is what predicting its mean achieves.

    For several outputs, the mean of their scores. An output whose target is constant scores 1 if it is predicted
    exactly and 0 if not, as in scikit-learn. Shapes and errors as in :func:`mae`; also ShapeError for fewer than two
    samples.

    >>> import nn
    >>> nn.metrics.r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.7857142857142857
    """
    error, wanted = _errors(prediction, target, "r2")
    if len(error) < 2:
        raise tg.ShapeError(f"r2: expected at least 2 samples, got {len(error)}: a single one has no variance")
    spread = _mean((wanted - _mean(wanted, sample_weight, "r2")) ** 2, sample_weight, "r2")
    left = _mean(error**2, sample_weight, "r2")
    constant = spread == 0
    return float(np.where(constant, left == 0, 1 - left / np.where(constant, 1.0, spread)).mean())


METRICS: dict[str, Callable[..., float]] = {"accuracy": accuracy, "mae": mae, "mse": mse, "r2": r2, "rmse": rmse}


def _errors(prediction: Any, target: Any, op: str) -> tuple[Any, Any]:
    """Return the errors of the prediction, and the target: shape (batch, outputs), float64."""
    got, wanted = plain_array(prediction), plain_array(target)
    require_same_shape(got, wanted, op)
    _require_batch(got.shape, op)
    wanted = _flat(np.asarray(wanted, np.float64))
    return _flat(np.asarray(got, np.float64)) - wanted, wanted


def _flat(values: Any) -> Any:
    return values.reshape(len(values), math.prod(values.shape[1:]))


def _mean(values: Any, weight: Any, op: str) -> Any:
    """Return the mean over the samples, for each output."""
    if not values.size:
        raise tg.ShapeError(f"{op}: an empty batch (shape {values.shape}) has no mean")
    if weight is None:
        return np.mean(values, axis=0)
    factors = np.asarray(plain_array(weight), np.float64)
    if factors.shape != values.shape[:1]:
        raise tg.ShapeError(
            f"{op}: sample_weight has shape {factors.shape}, expected {values.shape[:1]}: one per sample"
        )
    total = factors.sum()
    if not (factors.min() >= 0 and total > 0):
        raise ValueError(
            f"{op}: sample_weight must not be negative and must add up to more than 0, got {factors.min()} to "
            f"{factors.max()}"
        )
    return factors @ values / total


def _require_batch(shape: tuple[int, ...], op: str) -> None:
    if not shape:
        raise tg.ShapeError(f"{op}: expected a prediction of shape (batch, ...), got (); write [prediction]")


__dir__ = tg.words.public_names(globals())
