"""What layers and losses have in common: operands, reductions, and the checks of both."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

import tensorgrad as tg


def _array(value: Any) -> Any:
    """The array of a Tensor, an array or a list."""
    return tg.array_of(value if hasattr(value, "shape") else np.asarray(value))


def _operand(value: Any) -> Any:
    """The value, if it has a shape; a list is made an array."""
    return value if hasattr(value, "shape") else np.asarray(value)


def _difference(prediction: Any, target: Any, op: str) -> tg.Tensor:
    prediction, target = _operand(prediction), _operand(target)
    _same_shape(prediction, target, op)
    return tg.subtract(prediction, target)


def _same_shape(prediction: Any, target: Any, op: str, *, names: tuple[str, str] = ("prediction", "target")) -> None:
    if prediction.shape != target.shape:
        raise tg.ShapeError(
            f"{op}: {names[0]} has shape {prediction.shape} and {names[1]} {target.shape}, expected the same; write "
            f"{names[1]}.reshape{prediction.shape}, or index the {names[0]}"
        )


@tg.indivisible
def _check_probabilities(p: Any, *, op: str, instead: str) -> None:
    wrong = ~((p >= 0) & (p <= 1))
    if np.any(wrong):
        position = tuple(np.argwhere(wrong)[0].tolist())
        raise ValueError(
            f"{op}: {p[position]} at position {position} is no probability in [0, 1]; for logits use {instead}"
        )


def _reduced(loss: tg.Tensor, reduction: str, op: str) -> tg.Tensor:
    checked_reduction(reduction, op)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return tg.sum(loss)
    if not loss.size:
        raise tg.ShapeError(f"{op}: empty batch (shape {loss.shape}) has no mean loss")
    return tg.mean(loss)


def checked_reduction(reduction: str, op: str, *, batchmean: bool = False) -> str:
    """The reduction, if it is one. Raises ValueError."""
    if reduction not in ("mean", "sum", "none") and not (batchmean and reduction == "batchmean"):
        names = "'mean', 'sum', 'none' or 'batchmean'" if batchmean else "'mean', 'sum' or 'none'"
        raise ValueError(f"{op}: reduction is {names}, got {reduction!r}")
    return reduction


def checked_probability(p: float, op: str, name: str = "p") -> float:
    """The probability of dropping, if it is in [0, 1). Raises ValueError."""
    if not isinstance(p, Real) or isinstance(p, bool) or not 0 <= p < 1:
        raise ValueError(f"{op}: {name}, the probability of dropping, must be in [0, 1), got {p!r}")
    return float(p)
