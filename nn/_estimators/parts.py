"""What the estimators hang into a training run, and the rows of a sparse matrix as arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._training.callbacks import Callback, Fit
from .._training.model import Model

__all__ = ["Data", "DenseRows", "Lines", "ValidationScores", "dense"]


class Data(NamedTuple):
    """Checked inputs (an array or a CSR matrix), targets as the loss takes them, and weights of the rows or None."""

    X: Any
    y: Any
    weight: Any

    def part(self, rows: Any) -> Data:
        """Some of the rows."""
        return Data(*(None if a is None else a[rows] for a in self))


class DenseRows:
    """The rows of a CSR matrix, made dense when they are read. All other rows stay sparse."""

    def __init__(self, X: Any) -> None:
        self._X = X
        self.shape = X.shape
        self.dtype = X.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> Any:
        return self._X[rows].toarray()


def dense(X: Any) -> Any:
    """X itself, or the rows of a sparse matrix to be read a batch at a time."""
    return DenseRows(X) if hasattr(X, "tocsr") else X


class ValidationScores(Callback):
    """Scores the validation data after each epoch: accuracy or r2."""

    def __init__(self, held: Data, score: Callable[[Model, Data], float]) -> None:
        self._held, self._score = held, score
        self.scores: list[float] = []

    def on_epoch_end(self, fit: Fit) -> None:
        with np.errstate(all="ignore"):  # of a diverging model
            self.scores.append(self._score(fit.model, self._held))


class Lines(Callback):
    """Prints a line for each epoch, wherever the output goes."""

    def on_epoch_end(self, fit: Fit) -> None:
        shown = {name: value for name, value in fit.row.items() if name not in ("lr", "grad_norm", "seconds")}
        text = ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
        print(f"epoch {fit.epoch}/{fit.epochs}: {text}, {fit.row['seconds']:.2g} s", flush=True)
