"""Losses between two arrays of the same shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tensorgrad as tg

from ._shared import (
    check_probabilities,
    checked_reduction,
    operand,
    plain_array,
    reduced,
    require_same_shape,
    subtracted,
)

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "gaussian_nll_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "poisson_nll_loss",
    "quantile_loss",
    "smooth_l1_loss",
]


@tg.scope(None, "mse_loss")
def mse_loss(prediction: tg.TensorLike, target: tg.TensorLike, *, reduction: str = "mean") -> tg.Tensor:
    """Squared error, ``(prediction - target)²``.

    Raises ShapeError unless both have the same shape: (N,) against (N, 1) would silently compare all pairs.
    With ``reduction="none"`` the result has that shape; with "mean" and "sum" it is a scalar.

    >>> import nn
    >>> nn.functional.mse_loss([1.0, 2.0], [1.0, 4.0]).item()
    2.0
    """
    difference = subtracted(prediction, target, "mse_loss")
    return reduced(tg.square(difference), reduction, "mse_loss")


@tg.scope(None, "l1_loss")
def l1_loss(prediction: tg.TensorLike, target: tg.TensorLike, *, reduction: str = "mean") -> tg.Tensor:
    """Absolute error. Shapes and errors as in :func:`mse_loss`.

    >>> import nn
    >>> nn.functional.l1_loss([1.0, 2.0], [1.0, 4.0]).item()
    1.0
    """
    return reduced(tg.abs(subtracted(prediction, target, "l1_loss")), reduction, "l1_loss")


@tg.scope(None, "huber_loss")
def huber_loss(
    prediction: tg.TensorLike, target: tg.TensorLike, *, delta: float = 1.0, reduction: str = "mean"
) -> tg.Tensor:
    """Half the squared error up to an error of delta, and linear beyond (Huber, 1964).

    Shapes and errors as in :func:`mse_loss`; ValueError unless delta is positive.

    >>> import nn
    >>> nn.functional.huber_loss([0.5, 3.0], [0.0, 0.0], reduction="none").data.tolist()
    [0.125, 2.5]
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta!r}")
    error = subtracted(prediction, target, "huber_loss")
    bounded = tg.clip(error, -delta, delta)
    return reduced(bounded * (error - 0.5 * bounded), reduction, "huber_loss")


@tg.scope(None, "smooth_l1_loss")
def smooth_l1_loss(
    prediction: tg.TensorLike, target: tg.TensorLike, *, beta: float = 1.0, reduction: str = "mean"
) -> tg.Tensor:
    """:func:`huber_loss` over ``beta``: the slope beyond an error of beta is 1 (Girshick, 2015).

    ``beta=0`` is :func:`l1_loss`. Shapes and errors as in :func:`mse_loss`; ValueError for a negative beta.

    >>> import nn
    >>> nn.functional.smooth_l1_loss([0.25, 3.0], [0.0, 0.0], beta=0.5, reduction="none").data.tolist()
    [0.0625, 2.75]
    """
    op = "smooth_l1_loss"
    if not beta >= 0:
        raise ValueError(f"{op}: beta must not be negative, got {beta!r}")
    error = subtracted(prediction, target, op)
    if beta == 0:
        return reduced(tg.abs(error), reduction, op)
    bounded = tg.clip(error, -beta, beta)
    return reduced(bounded * (error - 0.5 * bounded) / beta, reduction, op)


@tg.scope(None, "quantile_loss")
def quantile_loss(
    prediction: tg.TensorLike, target: tg.TensorLike, *, q: float = 0.5, reduction: str = "mean"
) -> tg.Tensor:
    """``q (target - prediction)`` for a prediction that is too small, ``(1 - q) (prediction - target)`` else.

    The prediction that makes its mean smallest is the target's q-th quantile (Koenker and Bassett, 1978); it is also
    called the pinball loss. At a prediction that is exact, the slope is the mean of both sides. Shapes and errors as in
    :func:`mse_loss`; ValueError unless q is between 0 and 1.

    >>> import nn
    >>> nn.functional.quantile_loss([1.0, 3.0], [2.0, 2.0], q=0.75, reduction="none").data.tolist()
    [0.75, 0.25]
    """
    if not 0 < q < 1:
        raise ValueError(f"quantile_loss: q must be between 0 and 1, got {q!r}")
    error = tg.negative(subtracted(prediction, target, "quantile_loss"))
    return reduced(tg.maximum(q * error, (q - 1) * error), reduction, "quantile_loss")


@tg.scope(None, "binary_cross_entropy")
def binary_cross_entropy(
    p: tg.TensorLike, target: tg.TensorLike, *, weight: tg.TensorLike | None = None, reduction: str = "mean"
) -> tg.Tensor:
    """``-weight (t log p + (1 - t) log(1 - p))`` of probabilities.

    The weight broadcasts to the shape of p, and is cast to its dtype; "mean" divides by the number of elements, as in
    PyTorch. Logarithms are at least -100 and their slope at most 1e12, as in PyTorch, so that a wrong probability of
    exactly 0 or 1 still has a gradient. Numerically better on logits: :func:`binary_cross_entropy_with_logits`. Shapes
    and errors as in :func:`mse_loss`; ValueError for p outside [0, 1] or NaN.

    >>> import nn
    >>> round(nn.functional.binary_cross_entropy([0.5], [1.0]).item(), 6)
    0.693147
    """
    op = "binary_cross_entropy"
    p, target = operand(p), operand(target)
    require_same_shape(p, target, op)
    check_probabilities(plain_array(p), op=op, instead="binary_cross_entropy_with_logits")
    log_p = _bounded(tg.log(p), p)
    log_q = _bounded(tg.log1p(tg.negative(p)), tg.subtract(1, p))
    loss = -(log_p * target + tg.subtract(1, target) * log_q)
    return reduced(_rescaled(loss, weight, op, "weight"), reduction, op)


def _bounded(logarithm: tg.Tensor, p: Any) -> tg.Tensor:
    """Return the logarithm of p, at least -100, with a slope of 1e12 where p is less than 1e-12."""
    values = plain_array(p)
    least = max(1e-12, float(np.finfo(logarithm.dtype).tiny))  # 1e-12 is too small for float16
    steep = tg.subtract(p, values) / least + np.maximum(plain_array(logarithm), -100.0)
    return tg.where(values < least, steep, logarithm)


@tg.scope(None, "binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(
    logits: tg.TensorLike,
    target: tg.TensorLike,
    *,
    weight: tg.TensorLike | None = None,
    pos_weight: tg.TensorLike | None = None,
    reduction: str = "mean",
) -> tg.Tensor:
    """Cross-entropy of ``sigmoid(logits)``, exact for logits of any magnitude.

    Args:
        logits: any shape.
        target: probabilities, of the same shape.
        weight: factors of the losses; broadcasts to the shape of the logits, and is cast to their dtype.
        pos_weight: how much more a target of 1 counts than a target of 0; broadcasts to the shape of the logits, and
            is cast to their dtype.
        reduction: "mean" over all elements, whatever their weights, "sum" or "none".

    Raises ShapeError if shapes do not match, or for the mean over an empty batch.

    >>> import nn
    >>> nn.functional.binary_cross_entropy_with_logits([1e4, -1e4], [1.0, 1.0], reduction="none").data.tolist()
    [0.0, 10000.0]
    """
    op = "binary_cross_entropy_with_logits"
    logits, target = operand(logits), operand(target)
    require_same_shape(logits, target, op)
    # Two softplus rather than one and a product: no cancellation at either end, and no kink at 0.
    positive = _rescaled(tg.softplus(tg.negative(logits)) * target, pos_weight, op, "pos_weight")
    loss = positive + tg.softplus(logits) * tg.subtract(1, target)
    return reduced(_rescaled(loss, weight, op, "weight"), reduction, op)


def _rescaled(loss: tg.Tensor, weight: Any, op: str, name: str) -> tg.Tensor:
    """Return the losses times the weight, if there is one."""
    if weight is None:
        return loss
    weight = operand(weight)
    axes = len(weight.shape)
    if axes > len(loss.shape) or any(own not in (1, n) for own, n in zip(weight.shape, loss.shape[-axes:])):
        raise tg.ShapeError(f"{op}: {name} has shape {weight.shape}, expected one that broadcasts to {loss.shape}")
    return loss * tg.astype(weight, loss.dtype)


# --- distributions --------------------------------------------------------------------------------------


@tg.scope(None, "kl_div")
def kl_div(
    prediction: tg.TensorLike, target: tg.TensorLike, *, reduction: str = "mean", log_target: bool = False
) -> tg.Tensor:
    """Kullback-Leibler divergence of the prediction's log-probabilities from the target's probabilities.

    ``target * (log(target) - prediction)``; where the target is 0, the loss and its gradients are 0.

    Args:
        prediction: logarithms of probabilities, any shape.
        target: probabilities of the same shape.
        reduction: "mean" over all elements, "sum", "none", or "batchmean": the sum divided by the length of the
            first axis, which is the divergence proper.
        log_target: the target also holds logarithms.

    Raises:
        ShapeError: the shapes differ, or the mean is over an empty batch.

    >>> import numpy as np, nn
    >>> p, q = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    >>> round(nn.functional.kl_div(np.log(q), p, reduction="batchmean").item(), 6)
    0.143841
    """
    op = "kl_div"
    checked_reduction(reduction, op, batchmean=True)
    prediction, target = operand(prediction), operand(target)
    require_same_shape(prediction, target, op)
    none = plain_array(target) == (-np.inf if log_target else 0)
    target = tg.where(none, 0.0 if log_target else 1.0, target)
    difference = tg.subtract(target if log_target else tg.log(target), tg.where(none, 0.0, prediction))
    loss = tg.where(none, 0.0, (tg.exp(target) if log_target else target) * difference)
    if reduction != "batchmean":
        return reduced(loss, reduction, op)
    if not loss.shape or not loss.shape[0]:
        raise tg.ShapeError(f"{op}: reduction='batchmean' needs a first axis that is not empty, got shape {loss.shape}")
    return tg.sum(loss) / loss.shape[0]


@tg.scope(None, "poisson_nll_loss")
def poisson_nll_loss(
    prediction: tg.TensorLike,
    target: tg.TensorLike,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> tg.Tensor:
    """Negative log-likelihood of the target under a Poisson distribution, up to a term in the target alone.

    Args:
        prediction: the rate, or its logarithm; any shape.
        target: counts, of the same shape.
        log_input: the prediction is the logarithm of the rate.
        full: add Stirling's approximation of ``log(target!)`` where the target is above 1.
        eps: added to a rate before its logarithm is taken.
        reduction: "mean", "sum" or "none".

    Shapes and errors as in :func:`mse_loss`.

    >>> import nn
    >>> nn.functional.poisson_nll_loss([0.0], [3.0]).item()
    1.0
    """
    op = "poisson_nll_loss"
    prediction, target = operand(prediction), operand(target)
    require_same_shape(prediction, target, op)
    if log_input:
        loss = tg.exp(prediction) - tg.multiply(target, prediction)
    else:
        loss = tg.subtract(prediction, target * tg.log(tg.add(prediction, eps)))
    if full:
        many = plain_array(target) > 1
        count = tg.where(many, target, 1.0)
        stirling = count * tg.log(count) - count + 0.5 * tg.log(2 * math.pi * count)
        loss = loss + tg.where(many, stirling, 0.0)
    return reduced(loss, reduction, op)


@tg.scope(None, "gaussian_nll_loss")
def gaussian_nll_loss(
    prediction: tg.TensorLike,
    target: tg.TensorLike,
    var: tg.TensorLike,
    *,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> tg.Tensor:
    """Negative log-likelihood of the target under a normal distribution with predicted mean and variance.

    Args:
        prediction: the mean, any shape.
        target: the same shape.
        var: the variance: one number, or an array of the prediction's shape, whose last axis can be 1 or missing.
        full: add the constant ``log(2 pi) / 2``.
        eps: the smallest variance used. A smaller one still receives the gradient at eps, as in PyTorch, so that it
            can grow again.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: prediction and target differ in shape, the variance does not match, or the mean is over an empty
            batch.
        ValueError: a variance is negative.

    >>> import nn
    >>> round(nn.functional.gaussian_nll_loss([1.0], [3.0], [2.0]).item(), 6)
    1.346574
    """
    op = "gaussian_nll_loss"
    difference = subtracted(prediction, target, op)
    spread = operand(var)
    shape, given = difference.shape, spread.shape
    if given == shape[:-1] and given != shape:
        spread = tg.expand_dims(spread, -1)
    elif given not in (shape, (), (*shape[:-1], 1)):
        raise tg.ShapeError(
            f"{op}: var has shape {given}, expected {shape} like the prediction, the same with the last axis 1 or "
            f"missing, or a single number"
        )
    values = plain_array(spread)
    _check_variance(values)
    used = tg.add(spread, np.maximum(eps - values, 0))
    loss = 0.5 * (tg.log(used) + tg.square(difference) / used)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction, op)


@tg.indivisible
def _check_variance(var: Any) -> None:
    if np.any(var < 0):
        raise ValueError(f"gaussian_nll_loss: a variance must not be negative, got {var[var < 0][0]}")
