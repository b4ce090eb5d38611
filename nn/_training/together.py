"""A training run on several processes: what they must agree on, so that together they do what one would."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

import tensorgrad as tg

from .._files.saving import load, save
from .._layers.normalization import BatchNorm
from ..parallel.communicator import Communicator, RanksLost
from ..parallel.sync import SyncBatchNorm
from .callbacks import Fit
from .data import Batch, Casts
from .dry_run import buffers_put_back, generators_put_back
from .inputs import mapped
from .stepping import Group, Step, grouped
from .weighing import counted, is_void

if TYPE_CHECKING:
    from .model import Model

__all__ = ["agree_on_end", "agreed", "made_equal", "share_model", "share_run", "surviving", "updated"]

T = TypeVar("T")


def surviving(function: Callable[[], T], comm: Communicator | None) -> T:
    """What a function returns. If processes are lost in it, the others call it again."""
    return function() if comm is None else comm.surviving(function)


def share_model(model: Model, comm: Communicator) -> None:
    """Give every process the model of rank 0: weights, statistics, generators, optimiser."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.npz")
        content = None
        if comm.rank == 0:
            save(path, model)
            with open(path, "rb") as file:
                content = file.read()
        content = comm.broadcast(content)
        if comm.rank:
            with open(path, "wb") as file:
                file.write(content)
            load(path, model=model)


def share_run(fit: Fit, comm: Communicator | None) -> bool:
    """Give every process the run that rank 0 has resumed, if it has. Returns whether that run has ended."""
    if comm is None:
        return bool(fit.stopped)
    epoch, stopped, fit.note = comm.broadcast((fit.epoch, fit.stopped if fit.epoch else "", fit.note))
    if not epoch:
        return False
    fit.stopped = fit.stopped or stopped
    share_model(fit.model, comm)
    states = comm.broadcast([callback.state_dict() for callback in fit.callbacks])
    fit.epoch, fit.history = epoch, fit.model.history.last(epoch)
    if comm.rank:
        for callback, state in zip(fit.callbacks, states, strict=True):
            callback.load_state_dict(state)
    return bool(stopped)


def agreed(
    groups: Iterable[tuple[Batch, ...]], loss: Any, fit: Fit, together: int, comm: Communicator | None
) -> Iterator[Group]:
    """The batches of each update, with their shares in its loss, over all processes.

    A process of which nothing counts in an update still takes part in it, since layers may need it to: with its rows,
    or with none of the kind that it had before. All end when the last of them has no more batches, or when one is
    stopped.
    """
    if comm is None:
        yield from grouped(groups, loss)
        return
    waiting = iter(groups)
    known: Batch | None = None
    while True:
        drawn = next(waiting, ())
        known = drawn[0] if drawn else known
        assert known is not None  # the trial before the first step has read a batch
        group = _dealt(drawn, known, loss, fit, together, comm)
        if group is None:
            return
        yield group


def _dealt(
    drawn: tuple[Batch, ...], known: Batch, loss: Any, fit: Fit, together: int, comm: Communicator
) -> Group | None:
    """The shares of these batches in the next update; None if there is none."""
    while True:
        counts = np.zeros(2 * together + 2)  # of each batch: what the loss counts, and whether it counts anything
        counts[-2:] = bool(drawn), bool(fit.stopped)
        for i, batch in enumerate(drawn):
            counts[2 * i : 2 * i + 2] = counted(loss, batch.y), not _is_silent(loss, batch)
        try:
            *totals, going_on, stopping = comm.all_sum(counts)
            if stopping:
                agree_on_end(fit, comm)
        except RanksLost:
            drawn = tuple(map(_dealt_again, drawn))
            continue
        break
    if stopping or not going_on:
        return None
    number = sum(1 for i in range(together) if totals[2 * i + 1] or i < len(drawn))
    batches = [drawn[i] if i < len(drawn) else _without_rows(known) for i in range(number)]
    total = sum(totals[::2])
    useful = [batch for i, batch in enumerate(batches) if totals[2 * i + 1]]
    return Group(
        tuple(useful),
        tuple(0.0 if _is_silent(loss, batch) else counted(loss, batch.y) / total for batch in useful),
        tuple(batch for i, batch in enumerate(batches) if not totals[2 * i + 1]),
        tuple(batches),
    )


def updated(
    step: Step, group: Group, casts: Casts, fit: Fit, together: int, comm: Communicator | None
) -> tuple[Group, list[tuple[Any, Any]]]:
    """The result of an update. If processes are lost in it, it is done again by the others, from the same state."""
    if comm is None or not comm.elastic:
        return group, step(group, casts)
    model = fit.model
    while True:
        put_back = (generators_put_back(model), buffers_put_back(model))
        try:
            return group, step(group, casts)
        except RanksLost:
            for function in put_back:
                function()
            drawn = tuple(map(_dealt_again, group.drawn))
            again = _dealt(drawn, drawn[0], model.loss, fit, together, comm)
            if again is None:
                raise
            group = again


def _dealt_again(batch: Batch) -> Batch:
    """This process's part of a batch, of which it had another one before processes were lost."""
    return batch if batch.whole is None else batch.whole.own()


def _is_silent(loss: Any, batch: Batch) -> bool:
    """Whether nothing of a batch counts in the loss."""
    return not len(batch.y) or is_void(loss, batch.y, batch.weight)


def _without_rows(batch: Batch) -> Batch:
    none = slice(0)
    weight = None if batch.weight is None else batch.weight[none]
    return Batch(mapped(lambda a: a[none], batch.X), batch.y[none], weight, batch.whole)


def agree_on_end(fit: Fit, comm: Communicator | None) -> bool:
    """Let the run end in every process, for the same reason, if it ends in one of them. Returns whether it does."""
    if comm is None:
        return bool(fit.stopped)
    reasons = comm.gather(fit.stopped)
    stopped = next(filter(None, reasons), "")
    fit.stopped = stopped or fit.stopped  # Ctrl-C may have come since
    return bool(stopped)


def made_equal(model: Model, parameters: Iterable[Any], comm: Communicator | None) -> None:
    """Give batch norms that each process has fed with its own rows the mean of their running statistics.

    Raises RuntimeError if the parameters are not the same bits in every process.
    """
    if comm is None:
        return
    for layer in model.network.modules():
        if isinstance(layer, BatchNorm) and not isinstance(layer, SyncBatchNorm):
            for statistic in (layer.running_mean, layer.running_var):
                if statistic is not None:
                    mean = comm.all_sum(statistic.data) / comm.size
                    tg.writes_to(statistic, "Model.fit")[...] = mean
    comm.require_equal((p.data for p in parameters), "parameters")
