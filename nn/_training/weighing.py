"""What a loss counts: the loss of a batch with sample weights, the divisor of its mean, the labels it leaves out."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

import tensorgrad as tg

from .._checks import integer, number

__all__ = ["class_factors", "class_numbers", "counted", "is_void", "kept", "loss_of", "rows_kept"]


def loss_of(loss: Any, output: Any, y: Any, weight: Any = None) -> tg.Tensor:
    """The loss of a batch; with weights, the mean of the samples' losses times their weights.

    Raises TypeError if the loss cannot be computed per sample, or is not a Tensor; ShapeError if it is not one number.
    """
    if weight is None:
        value = loss(output, y)
        if not isinstance(value, tg.Tensor):
            raise TypeError(f"Model: the loss must return a Tensor, got {type(value).__name__}")
        if value.size != 1:
            raise tg.ShapeError(
                f"Model: the loss must return a single number, got shape {value.shape}; write its mean, .mean()"
            )
        return value
    if not hasattr(loss, "reduction"):
        raise TypeError(f"sample weights need a loss that has a reduction, as those of nn do; got {loss!r}")
    single = copy.copy(loss)
    single.reduction = "none"
    each = single(output, y)
    if each.ndim > 1:
        over = tg.sum if loss.reduction == "batchmean" else tg.mean
        each = over(each, axis=tuple(range(1, each.ndim)))
    total = tg.sum(each * weight.astype(each.dtype, copy=False))
    counting = _counting(loss, y)
    return total / (len(y) if counting is None else _divisor(y, counting[0], ignored=counting[1], dtype=each.dtype))


def counted(loss: Any, y: Any) -> float:
    """The divisor of the mean loss: the number of samples, or the sum of their class weights, without ignored ones."""
    counting = _counting(loss, y)
    return len(y) if counting is None else float(_divisor(y, counting[0], ignored=counting[1], dtype=np.float64))


def kept(loss: Any, y: Any) -> Any:
    """Where labels count in the loss: they are not ignored, nor does their class weigh 0. None for a loss of others."""
    counting = _counting(loss, y)
    return None if counting is None else _label_factors(y, *counting) > 0


def rows_kept(loss: Any, y: Any, weight: Any) -> Any:
    """Where something of a sample counts in the loss, or None for everywhere."""
    labels = kept(loss, y)
    rows = None if labels is None else labels.reshape(len(y), -1).any(axis=1)
    if weight is None:
        return rows
    return weight > 0 if rows is None else rows & (weight > 0)


def is_void(loss: Any, y: Any, weight: Any) -> bool:
    """Whether nothing of a batch counts in the loss: each label is ignored, or its class or its sample weighs 0."""
    rows = rows_kept(loss, y, weight)
    return rows is not None and not rows.any()


def _counting(loss: Any, y: Any) -> tuple[Any, int | None] | None:
    """The weights of the classes and the label that is ignored; None if the loss counts each label as one."""
    if not hasattr(loss, "ignore_index"):  # a weight then is not one of classes
        return None
    weight, ignored = getattr(loss, "weight", None), tg.watch(loss, "ignore_index")
    if (weight is None and ignored is None) or y.dtype.kind not in "iu":
        return None
    return None if weight is None else tg.array_of(weight), ignored


@tg.indivisible
def _divisor(y: Any, weight: Any, *, ignored: int | None, dtype: Any) -> Any:
    share = y.size / len(y)  # labels per sample, if labels have several axes
    return np.asarray(_label_factors(y, weight, ignored).sum() / share, dtype)


def _label_factors(y: Any, weight: Any, ignored: int | None) -> Any:
    """The weight of each label: that of its class, 0 if it is ignored."""
    factors = np.ones(y.shape)
    if weight is not None:
        known = (y >= 0) & (y < weight.shape[0])  # the loss itself refuses others
        factors[known] = weight[y[known]]
    if ignored is not None:
        factors[y == ignored] = 0.0
    return factors


# --- weights by class -----------------------------------------------------------------------------------


def class_numbers(y: Any, by: str, option: str) -> Any:
    """The labels as one class number per row. Raises DTypeError if they are something else."""
    if y.dtype.kind not in "biu" or not (y.ndim == 1 or y.shape[1:] == (1,)):
        raise tg.DTypeError(
            f"{by}: {option} needs one class number (an integer) per row, got y of dtype {y.dtype} and shape {y.shape}"
        )
    return y.reshape(-1)


def class_factors(class_weight: Any, y: Any, loss: Any, by: str) -> Any:
    """The factor of each sample's loss, by its class.

    Args:
        class_weight: a dict of factors by class, 1 for others; or "balanced": ``samples / (classes * count)``, over
            the labels that the loss counts.
        y: class numbers, shape (samples,) or (samples, 1).
        loss: for the label that it ignores.
        by: whose argument it is, for errors.

    Raises:
        DTypeError: y does not hold class numbers.
        ValueError: a class is not an integer, a factor is negative or not finite, or ``class_weight`` is something
            else.
    """
    labels = class_numbers(y, by, "class_weight")
    if isinstance(class_weight, Mapping):
        factors = np.ones(len(labels))
        for label, factor in class_weight.items():
            integer(by, "a class in class_weight", label)
            factors[labels == label] = number(by, f"class_weight[{label!r}]", factor, 0)
        return factors
    if not isinstance(class_weight, str) or class_weight != "balanced":
        raise ValueError(f"{by}: class_weight must be a dict of factors by class, or 'balanced', got {class_weight!r}")
    used = kept(loss, y)
    used = np.ones(len(labels), bool) if used is None else used.reshape(-1)
    classes, places, sizes = np.unique(labels[used], return_inverse=True, return_counts=True)
    factors = np.ones(len(labels))
    factors[used] = (used.sum() / (len(classes) * sizes))[places.reshape(-1)]
    return factors
