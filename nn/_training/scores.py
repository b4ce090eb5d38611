"""Losses and metrics over many batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._evaluation import evaluating
from ..parallel.communicator import Communicator
from .data import Batch, Casts, Rows
from .inputs import called
from .measures import measures
from .streams import Stream
from .weighing import counted, is_void, kept, loss_of

if TYPE_CHECKING:
    from .model import Model

__all__ = ["EVALUATION_ROWS", "Scores", "evaluated", "nothing_counts", "selected"]

EVALUATION_ROWS = 1024  # per batch, when no graph is recorded


class Scores:
    """Collects losses, and predictions if there are metrics, batch by batch.

    Args:
        model: whose loss and metrics these are.
        by: whose data it is, for errors.
        comm: the processes over all of whose batches the means are.
    """

    def __init__(self, model: Model, by: str, comm: Communicator | None = None) -> None:
        self._model, self._by, self._comm = model, by, comm
        self._measures = measures(model.metrics, model.loss)
        self._loss = self._count = 0.0
        self._seen = False  # is there anything that counts?
        self._outputs: list[tuple[Any, Any, Any]] = []

    def add(self, loss: float, output: Any, batch: Batch) -> None:
        """Add a batch: its mean loss, and the network's output."""
        count = counted(self._model.loss, batch.y)
        self._loss += loss * count
        self._count += count
        self._seen = True
        if self._measures:
            # A copy: a compiled step may overwrite its own memory.
            self._outputs.append(selected(self._model.loss, np.array(output.data), batch.y, batch.weight))

    def add_void(self, batch: Batch) -> None:
        """Add a batch of which the loss counts nothing."""
        self._count += counted(self._model.loss, batch.y)

    def means(self) -> dict[str, float]:
        """The mean loss, and the metrics of all predictions together.

        Raises ValueError if nothing counts in any batch.
        """
        loss, count, seen, outputs = self._loss, self._count, float(self._seen), self._outputs
        if self._comm is not None:
            loss, count, seen = self._comm.all_sum(np.array([loss, count, seen], float))
            if self._measures:
                outputs = [output for each in self._comm.gather(outputs) for output in each]
        if not seen:
            raise nothing_counts(self._by)
        return {"loss": float(loss / count), **self._measured(outputs)}

    def _measured(self, outputs: list[tuple[Any, Any, Any]]) -> dict[str, float]:
        if not self._measures:
            return {}
        prediction, target, weight = zip(*outputs, strict=True)
        given = (np.concatenate(prediction), np.concatenate(target))
        joined = None
        if any(part is not None for part in weight):
            parts = zip(weight, target, strict=True)
            joined = np.concatenate([np.ones(len(y)) if part is None else part for part, y in parts])
        return {name: measure(self._model.loss, *given, joined) for name, measure in self._measures.items()}


def nothing_counts(by: str) -> ValueError:
    """The error for data of which a loss counts nothing."""
    return ValueError(
        f"{by}: every sample has weight 0, or every label is ignored or of a class of weight 0, so there is no mean "
        "loss; check sample_weight, and the loss's ignore_index and weight"
    )


def selected(loss: Any, prediction: Any, target: Any, weight: Any) -> tuple[Any, Any, Any]:
    """Predictions, targets and weights without what does not count in the loss.

    If it can ignore labels, of several labels per sample each becomes a row: predictions of shape (rows, classes).
    """
    labels = kept(loss, target)
    if labels is None:
        rows = None if weight is None else weight > 0
        if rows is None or rows.all():
            return prediction, target, weight
        return prediction[rows], target[rows], weight[rows]
    if target.ndim > 1:
        weight = None if weight is None else np.repeat(weight, target[0].size)
        prediction = np.moveaxis(prediction, 1, -1).reshape(-1, prediction.shape[1])
        target, labels = target.reshape(-1), labels.reshape(-1)
    rows = labels if weight is None else labels & (weight > 0)
    return prediction[rows], target[rows], None if weight is None else weight[rows]


def evaluated(
    model: Model, data: Rows | Stream, batch_size: int = EVALUATION_ROWS, comm: Communicator | None = None
) -> dict[str, float]:
    """Loss and metrics of a model in evaluation mode, over all the data, of all processes."""
    casts, scores = Casts(model.network), Scores(model, data.by, comm)
    with evaluating(model):
        for batch in data.batches(batch_size):
            if not len(batch.y) or is_void(model.loss, batch.y, batch.weight):
                scores.add_void(batch)
                continue
            output = called(model.network, casts.inputs(batch.X))
            scores.add(loss_of(model.loss, output, casts.targets(batch.y), batch.weight).item(), output, batch)
    return scores.means()
