"""Metrics of predicted numbers: errors, and the share of the variance that is explained."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg

from ..functional._shared import plain_array, require_same_shape
from ._shared import flat, mean, require_batch

__all__ = ["mae", "mse", "r2", "rmse"]


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
    return float(mean(np.abs(error), sample_weight, "mae").mean())


def mse(prediction: tg.TensorLike, target: tg.TensorLike, *, sample_weight: tg.TensorLike | None = None) -> float:
    """Mean squared error. Shapes and errors as in :func:`mae`.

    >>> import nn
    >>> nn.metrics.mse([1.0, 2.0], [1.0, 4.0])
    2.0
    """
    error, _ = _errors(prediction, target, "mse")
    return float(mean(error**2, sample_weight, "mse").mean())


def rmse(prediction: tg.TensorLike, target: tg.TensorLike, *, sample_weight: tg.TensorLike | None = None) -> float:
    """Root mean squared error; for several outputs, the mean of their roots. Shapes and errors as in :func:`mae`.

    >>> import nn
    >>> nn.metrics.rmse([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 8.0])
    2.0
    """
    error, _ = _errors(prediction, target, "rmse")
    return float(np.sqrt(mean(error**2, sample_weight, "rmse")).mean())


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
    spread = mean((wanted - mean(wanted, sample_weight, "r2")) ** 2, sample_weight, "r2")
    left = mean(error**2, sample_weight, "r2")
    constant = spread == 0
    return float(np.where(constant, left == 0, 1 - left / np.where(constant, 1.0, spread)).mean())


def _errors(prediction: Any, target: Any, op: str) -> tuple[Any, Any]:
    """Return the errors of the prediction, and the target: shape (batch, outputs), float64."""
    got, wanted = plain_array(prediction), plain_array(target)
    require_same_shape(got, wanted, op)
    require_batch(got.shape, op)
    wanted = flat(np.asarray(wanted, np.float64))
    return flat(np.asarray(got, np.float64)) - wanted, wanted
