"""Losses and metrics over many batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._evaluation import evaluating
from ..metrics import METRICS
from .data import Batch, Casts, Rows, Stream
from .weighing import counted, loss_of

if TYPE_CHECKING:
    from .model import Model

__all__ = ["EVALUATION_ROWS", "Scores", "evaluated"]

EVALUATION_ROWS = 1024  # per batch, when no graph is recorded


class Scores:
    """Collects losses, and predictions if there are metrics, batch by batch."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._loss = self._count = 0.0
        self._outputs: list[tuple[Any, Any, Any]] = []

    def add(self, loss: float, output: Any, batch: Batch) -> None:
        """Add a batch: its mean loss, and the network's output."""
        count = counted(self._model.loss, batch.y)
        self._loss += loss * count
        self._count += count
        if self._model.metrics:
            # A copy: a compiled step may overwrite its own memory.
            self._outputs.append((np.array(output.data), batch.y, batch.weight))

    def means(self) -> dict[str, float]:
        """The mean loss, and the metrics of all predictions together."""
        return {"loss": self._loss / self._count, **self._measured()}

    def _measured(self) -> dict[str, float]:
        if not self._model.metrics:
            return {}
        prediction, target, weight = zip(*self._outputs, strict=True)
        given = (np.concatenate(prediction), np.concatenate(target))
        joined = None
        if any(part is not None for part in weight):
            parts = zip(weight, target, strict=True)
            joined = np.concatenate([np.ones(len(y)) if part is None else part for part, y in parts])
        return {name: METRICS[name](*given, sample_weight=joined) for name in self._model.metrics}


def evaluated(model: Model, data: Rows | Stream, batch_size: int = EVALUATION_ROWS) -> dict[str, float]:
    """Loss and metrics of a model in evaluation mode, over all the data."""
    casts, scores = Casts(model.network), Scores(model)
    with evaluating(model):
        for batch in data.batches(batch_size):
            output, loss = model.network(casts.inputs(batch.X)), 0.0
            if counted(model.loss, batch.y):  # otherwise all labels are ignored
                loss = loss_of(model.loss, output, casts.targets(batch.y), batch.weight).item()
            scores.add(loss, output, batch)
    return scores.means()
