"""The loss of a batch with sample weights, and the divisor of its mean."""

from __future__ import annotations

import copy
from typing import Any

import tensorgrad as tg

__all__ = ["counted", "loss_of"]


def loss_of(loss: Any, output: Any, y: Any, weight: Any = None) -> tg.Tensor:
    """The loss of a batch; with weights, the mean of the samples' losses times their weights.

    Raises TypeError if the loss cannot be computed per sample, or is not a Tensor.
    """
    if weight is None:
        value = loss(output, y)
        if not isinstance(value, tg.Tensor):
            raise TypeError(f"Model: the loss must return a Tensor, got {type(value).__name__}")
        return value
    if not hasattr(loss, "reduction"):
        raise TypeError(f"sample weights need a loss that has a reduction, as those of nn do; got {loss!r}")
    single = copy.copy(loss)
    single.reduction = "none"
    each = single(output, y)
    if each.ndim > 1:
        over = tg.sum if loss.reduction == "batchmean" else tg.mean
        each = over(each, axis=tuple(range(1, each.ndim)))
    return tg.sum(each * weight.astype(each.dtype, copy=False)) / counted(loss, y)


def counted(loss: Any, y: Any) -> float:
    """The divisor of the mean loss: the number of samples, or the sum of their class weights, without ignored ones."""
    if not hasattr(loss, "ignore_index"):  # a weight then is not one of classes
        return len(y)
    weight, ignored = getattr(loss, "weight", None), loss.ignore_index
    if (weight is None and ignored is None) or y.dtype.kind not in "iu":
        return len(y)
    kept = y[y != ignored] if ignored is not None else y
    share = y.size / len(y)  # labels per sample, if labels have several axes
    return float(kept.size if weight is None else weight.data[kept].sum()) / share
