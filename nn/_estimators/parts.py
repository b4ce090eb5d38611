"""Checked data of the estimators, and what they hang into a training run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorgrad as tg

from .._training.callbacks import Callback, Fit
from .._training.model import Model

__all__ = ["Data", "ValidationScores"]


class Data(NamedTuple):
    """Checked inputs (an array or a CSR matrix), targets as the loss takes them, and weights of the rows or None."""

    X: Any
    y: Any
    weight: Any

    def part(self, rows: Any) -> Data:
        """Some of the rows."""
        return Data(*(None if a is None else a[rows] for a in self))


class ValidationScores(Callback):
    """Scores the validation data after each epoch: accuracy or r2."""

    def __init__(self, held: Data, score: Callable[[Model, Data], float]) -> None:
        self._held, self._score = held, score
        self.scores: list[float] = []

    def on_epoch_end(self, fit: Fit) -> None:
        with tg.silenced():  # of a diverging model
            self.scores.append(self._score(fit.model, self._held))
