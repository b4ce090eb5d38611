"""Helpers shared by layers and losses: operands and reductions, and checks of both."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tensorgrad as tg

__all__ = [
    "check_probabilities",
    "checked_reduction",
    "label_misfit",
    "library_of",
    "operand",
    "plain_array",
    "reduced",
    "require_same_shape",
    "subtracted",
]


def library_of(array: Any) -> Any:
    """An array of another library as it is, to give to ``like=``; None for NumPy's, traced and batched ones."""
    own = isinstance(array, np.ndarray) or hasattr(array, "__traced_call__") or hasattr(array, "__each__")
    return None if own else array


def plain_array(value: Any) -> Any:
    """Return the array inside a Tensor, an array itself, or a list as an array."""
    return tg.array_of(value if hasattr(value, "shape") else np.asarray(value))


def operand(value: Any) -> Any:
    """Return the value itself if it has a shape, else (a list) as an array."""
    return value if hasattr(value, "shape") else np.asarray(value)


def subtracted(prediction: Any, target: Any, op: str) -> tg.Tensor:
    """Return the prediction minus the target. Raises ShapeError unless both have the same shape."""
    prediction, target = operand(prediction), operand(target)
    require_same_shape(prediction, target, op)
    return tg.subtract(prediction, target)


def require_same_shape(
    prediction: Any, target: Any, op: str, *, names: tuple[str, str] = ("prediction", "target")
) -> None:
    """Raise ShapeError if two operands have different shapes."""
    if prediction.shape != target.shape:
        raise tg.ShapeError(
            f"{op}: {names[0]} has shape {prediction.shape} and {names[1]} {target.shape}, expected equal shapes; "
            f"write {names[1]}.reshape{prediction.shape}, or index the {names[0]}"
        )


def label_misfit(
    labels: Any, shape: tuple[int, ...], op: str, several: str = "use binary_cross_entropy_with_logits"
) -> str:
    """Return the message for labels that are not one per row of scores of the given shape.

    For rows with several labels it says ``several``: argmax would lose them.
    """
    wanted = shape[:1] + shape[2:] if len(shape) > 1 else ()
    hint = "pass scores and labels of the same batch"
    if labels.shape == shape:
        axis = min(1, len(shape) - 1)
        hint = f"write labels.argmax(axis={axis}) for one-hot labels"
        if np.isin(labels, (0, 1)).all() and (np.sum(labels, axis=axis) > 1).any():
            hint = f"{several} for several labels per row"
    elif labels.size == math.prod(wanted):
        hint = f"write labels.reshape{wanted}"
    return (
        f"{op}: labels have shape {labels.shape}, expected {wanted}: one integer per row of scores of shape {shape}; "
        f"{hint}"
    )


@tg.indivisible
def check_probabilities(p: Any, *, op: str, instead: str) -> None:
    """Raise ValueError if a number is outside [0, 1]."""
    wrong = ~((p >= 0) & (p <= 1))
    if np.any(wrong):
        position = tuple(np.argwhere(wrong)[0].tolist())
        raise ValueError(
            f"{op}: {p[position]} at position {position} is not a probability in [0, 1]; for logits use {instead}"
        )


def reduced(loss: tg.Tensor, reduction: str, op: str) -> tg.Tensor:
    """Reduce the losses. Raises ValueError for an unknown reduction, ShapeError for the mean of an empty batch."""
    checked_reduction(reduction, op)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return tg.sum(loss)
    if not loss.size:
        raise tg.ShapeError(f"{op}: an empty batch (shape {loss.shape}) has no mean loss")
    return tg.mean(loss)


def checked_reduction(reduction: str, op: str, *, batchmean: bool = False) -> str:
    """Return the reduction. Raises ValueError if it is unknown."""
    if reduction not in ("mean", "sum", "none") and not (batchmean and reduction == "batchmean"):
        names = "'mean', 'sum', 'none' or 'batchmean'" if batchmean else "'mean', 'sum' or 'none'"
        raise ValueError(f"{op}: reduction must be {names}, got {reduction!r}")
    return reduction
