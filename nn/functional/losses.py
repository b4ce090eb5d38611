"""Losses between two arrays of one shape."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg

from ._shared import _array, _difference, _operand, _reduced, _same_shape

__all__ = ["binary_cross_entropy", "binary_cross_entropy_with_logits", "huber_loss", "l1_loss", "mse_loss"]


def mse_loss(prediction: tg.TensorLike, target: tg.TensorLike, *, reduction: str = "mean") -> tg.Tensor:
    """Squared error, ``(prediction - target)²``.

    Raises ShapeError unless both have the same shape: (N,) against (N, 1) would silently compare all pairs.
    Under ``reduction="none"`` the result has that shape; "mean" and "sum" make a scalar.

    >>> import nn
    >>> nn.functional.mse_loss([1.0, 2.0], [1.0, 4.0]).item()
    2.0
    """
    difference = _difference(prediction, target, "mse_loss")
    return _reduced(tg.square(difference), reduction, "mse_loss")


def l1_loss(prediction: tg.TensorLike, target: tg.TensorLike, *, reduction: str = "mean") -> tg.Tensor:
    """Absolute error. Shapes and errors as in :func:`mse_loss`.

    >>> import nn
    >>> nn.functional.l1_loss([1.0, 2.0], [1.0, 4.0]).item()
    1.0
    """
    return _reduced(tg.abs(_difference(prediction, target, "l1_loss")), reduction, "l1_loss")


def huber_loss(
    prediction: tg.TensorLike, target: tg.TensorLike, *, delta: float = 1.0, reduction: str = "mean"
) -> tg.Tensor:
    """Half the squared error up to an error of delta, growing linearly beyond (Huber, 1964).

    Shapes and errors as in :func:`mse_loss`; ValueError unless delta is positive.

    >>> import nn
    >>> nn.functional.huber_loss([0.5, 3.0], [0.0, 0.0], reduction="none").data.tolist()
    [0.125, 2.5]
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta!r}")
    error = _difference(prediction, target, "huber_loss")
    bounded = tg.clip(error, -delta, delta)
    return _reduced(bounded * (error - 0.5 * bounded), reduction, "huber_loss")


def binary_cross_entropy(p: tg.TensorLike, target: tg.TensorLike, *, reduction: str = "mean") -> tg.Tensor:
    """``-(t log p + (1 - t) log(1 - p))`` of probabilities. Logarithms are bounded by -100, as PyTorch does.

    Better behaved on logits: :func:`binary_cross_entropy_with_logits`. Shapes and errors as in
    :func:`mse_loss`; ValueError for p outside [0, 1] or NaN.

    >>> import nn
    >>> round(nn.functional.binary_cross_entropy([0.5], [1.0]).item(), 6)
    0.693147
    """
    op = "binary_cross_entropy"
    p, target = _operand(p), _operand(target)
    _same_shape(p, target, op)
    _check_probabilities(_array(p))
    log_p = tg.maximum(tg.log(p), -100.0)
    log_q = tg.maximum(tg.log1p(tg.negative(p)), -100.0)
    return _reduced(-(log_p * target + tg.subtract(1, target) * log_q), reduction, op)


def binary_cross_entropy_with_logits(
    logits: tg.TensorLike, target: tg.TensorLike, *, reduction: str = "mean"
) -> tg.Tensor:
    """Cross-entropy of ``sigmoid(logits)``, exact for logits of any size.

    Shapes and errors as in :func:`mse_loss`.

    >>> import nn
    >>> nn.functional.binary_cross_entropy_with_logits([1e4, -1e4], [1.0, 1.0], reduction="none").data.tolist()
    [0.0, 10000.0]
    """
    op = "binary_cross_entropy_with_logits"
    logits, target = _operand(logits), _operand(target)
    _same_shape(logits, target, op)
    # Two softplus rather than one and a product: neither end cancels, and there is no kink at 0.
    return _reduced(
        tg.softplus(tg.negative(logits)) * target + tg.softplus(logits) * tg.subtract(1, target),
        reduction,
        op,
    )


@tg.indivisible
def _check_probabilities(p: Any) -> None:
    wrong = ~((p >= 0) & (p <= 1))
    if np.any(wrong):
        position = tuple(np.argwhere(wrong)[0].tolist())
        raise ValueError(
            f"binary_cross_entropy: {p[position]} at position {position} is no probability in [0, 1]; for logits use "
            "binary_cross_entropy_with_logits"
        )
