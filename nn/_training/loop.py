"""The training loop: epochs of steps, what is measured after each, and how it ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import tensorgrad as tg

from .._optim.plateau import ReduceLROnPlateau
from .._optim.scheduler import LRScheduler
from ..parallel.communicator import Communicator
from .callbacks import INTERRUPTED, Callback, Fit
from .checkpoint import Checkpoint
from .compiling import Compile
from .data import Casts, Rows
from .dry_run import check_monitors, columns_of, dry_run, restored_on_error
from .history import History
from .interrupt import first_interrupt
from .progress import Progress, progress_for
from .scores import Scores, evaluated
from .settings import settings_of
from .stepping import Group, Step, check_step, stepper
from .streams import Stream
from .together import agree_on_end, agreed, made_equal, share_model, share_run, surviving, updated

if TYPE_CHECKING:
    from .model import Model

__all__ = ["train"]


def train(
    model: Model,
    sources: Callable[[], tuple[Rows | Stream, Rows | Stream | None]],
    *,
    split: float,
    stratify: bool,
    class_weight: Any,
    epochs: int,
    batch_size: int,
    accumulate: int,
    shuffle: bool,
    drop_last: bool,
    callbacks: Sequence[Callback],
    progress: bool | None,
    compile: Compile,
    on_interrupt: str,
    comm: Communicator | None,
) -> History:
    """Run :meth:`nn.Model.fit`, with its options already checked, on several processes if there is a ``comm``.

    ``sources`` makes the data of the arguments.
    """
    # Checkpoints come last, so that what they save of the other callbacks is of the same epoch.
    fit = Fit(model, sorted(callbacks, key=lambda callback: isinstance(callback, Checkpoint)), epochs, comm=comm)
    divided: dict[str, Any] = {"drop_last": drop_last, "together": accumulate}
    arrived: list[bool] = []

    def interrupt() -> None:
        arrived.append(True)
        fit.interrupt()

    ended = False
    try:
        with first_interrupt(interrupt):
            options = {"batch_size": batch_size, "accumulate": accumulate, "shuffle": shuffle, "drop_last": drop_last}
            fit.settings = settings_of(model, **options)
            check_step(model, compile, comm)
            data, held = _prepared(fit, *sources(), split=split, stratify=stratify, class_weight=class_weight)
            steps = data.updates(batch_size, **divided)
            expected = epochs * steps if isinstance(data, Rows) and steps is not None else 0
            step = stepper(model, compile, accumulate, comm, expected)
            shown = progress_for(progress if fit.main else False, epochs=epochs, steps=steps)
            ends = _begin(fit, [part for part in (held, data) if isinstance(part, Stream)])
            running = _Running(
                fit,
                step,
                Casts(model.network),
                list(model.network.named_parameters()),
                held,
                shown,
                accumulate,
                arrived,
            )
            with _displayed(running), _own_weights(model):
                while fit.epoch < fit.epochs and not ends:
                    drawn = data.groups(batch_size, rng=model.rng if shuffle else None, **divided)
                    ends = _run_epoch(running, agreed(drawn, model.loss, fit, accumulate, comm))
                _end(running)
            ended = True
    except KeyboardInterrupt:
        if arrived or not ended:
            raise  # a second Ctrl-C, or one of someone's own
        arrived.append(True)  # it came when all was done
    if arrived:
        model.history.stopped = fit.history.stopped = fit.stopped = INTERRUPTED
    if fit.stopped == INTERRUPTED and on_interrupt == "raise":
        raise KeyboardInterrupt(f"fit: {_ending(fit)}; the model keeps its weights and its history")
    return fit.history


def _prepared(
    fit: Fit, data: Rows | Stream, held: Rows | Stream | None, *, split: float, stratify: bool, class_weight: Any
) -> tuple[Rows | Stream, Rows | Stream | None]:
    """The data to train and to validate on, after all has been checked that can be before the first step."""
    model, validated = fit.model, held is not None or split > 0
    _check_schedule(model, validated)
    check_monitors(model, validated, fit.callbacks)
    casts = Casts(model.network)
    for rows in (data, held):
        if isinstance(rows, Rows):
            rows.converted(casts.inputs)
            rows.comm = fit.comm
    if fit.comm is not None:
        share_model(model, fit.comm)
    with restored_on_error(model):
        if split and isinstance(data, Rows):
            data, held = data.split(split, np.random.default_rng(model.split_seed()), stratify=stratify)
        if class_weight is not None:
            data.weigh_classes(class_weight, model.loss)
        dry_run(model, [part for part in (held, data) if isinstance(part, Rows)])
    return data, held


def _begin(fit: Fit, streams: list[Stream]) -> bool:
    """Tell the callbacks, and resume what a checkpoint has kept. Returns whether that run has ended."""
    model = fit.model
    model.history.stopped = ""
    for callback in fit.callbacks:
        callback.on_fit_begin(fit)
    for callback in fit.callbacks:
        if isinstance(callback, Checkpoint) and fit.main:
            callback.restore(fit)
    ended = share_run(fit, fit.comm)
    if not fit.epoch and isinstance(model.schedule, LRScheduler) and model.schedule.ended:
        model.schedule.restart()
    if fit.epoch < fit.epochs and not ended:
        # Not before: a stream may draw from a generator that was restored.
        dry_run(model, streams)
    return ended


def _end(running: _Running) -> None:
    """Keep why the run ended, and tell the callbacks."""
    fit, model = running.fit, running.fit.model
    if running.arrived:
        fit.stopped = INTERRUPTED  # a callback may have named another reason since
    model.history.stopped = fit.history.stopped = fit.stopped
    if model.ema is not None:
        model.ema.apply()
    for callback in fit.callbacks:
        callback.on_fit_end(fit)


class _Running(NamedTuple):
    """A training run, and what it needs in every epoch."""

    fit: Fit
    step: Step
    casts: Casts
    parameters: list[tuple[str, Any]]
    held: Rows | Stream | None
    shown: Progress
    accumulate: int
    arrived: list[bool]  # whether Ctrl-C has come


@contextmanager
def _displayed(running: _Running) -> Iterator[None]:
    """Show a training run, and how it ends."""
    fit, shown = running.fit, running.shown
    shown.begin(fit.epoch, fit.history, fit.note)
    end = ""
    try:
        yield
        end = _ending(fit) if fit.stopped else ""
    except KeyboardInterrupt:
        end = f"interrupted after {fit.epoch} of {fit.epochs} epochs"
        raise
    except BaseException as error:
        end = f"failed after {fit.epoch} of {fit.epochs} epochs: {type(error).__name__}"
        raise
    finally:
        shown.close(end)


def _ending(fit: Fit) -> str:
    reason = "" if fit.stopped == INTERRUPTED else f": {fit.stopped}"
    return f"stopped after epoch {fit.epoch} of {fit.epochs}{reason}"


def _own_weights(model: Model) -> tg.restoring:
    """Train on the network's own weights; outside a training run, it has the averaged ones if the model averages."""

    def end() -> None:
        if model.ema is not None:
            model.ema.apply()
        model.optimizer.zero_grad()
        model.eval()

    return tg.restoring(end, None if model.ema is None else model.ema.restore)


def _averaged(model: Model) -> AbstractContextManager[Any]:
    return nullcontext() if model.ema is None else model.ema.applied()


def _run_epoch(running: _Running, groups: Iterable[Group]) -> bool:
    """Train for an epoch, and add it to the history. Returns whether the run ends."""
    fit, model, began = running.fit, running.fit.model, time.perf_counter()
    rate = model.optimizer.param_groups[0].get("lr", math.nan)  # L-BFGS has none
    model.train()
    comm, scores = fit.comm, Scores(model, "fit", fit.comm)
    _run_steps(running, groups, scores)
    fit.row = surviving(scores.means, comm)
    surviving(lambda: made_equal(model, [p for _, p in running.parameters], comm), comm)
    norms = _norms(running.parameters)
    with _averaged(model):
        if running.held is not None:
            measured = surviving(partial(evaluated, model, running.held, comm=comm), comm)
            fit.row |= {f"val_{name}": value for name, value in measured.items()}
        fit.row |= {"lr": rate, "grad_norm": math.hypot(*norms.values()), "seconds": time.perf_counter() - began}
        with tg.uninterrupted():  # also of a second Ctrl-C
            for history in (model.history, fit.history):
                history.append(fit.row, norms)
        if model.schedule is not None and model.schedule_every == "epoch":
            _step_schedule(model.schedule, fit.row)
        fit.epoch += 1
        for callback in fit.callbacks:
            callback.on_epoch_end(fit)
    running.shown.epoch(fit.history)
    ends = surviving(partial(agree_on_end, fit, comm), comm)
    return ends or (comm is None and bool(running.arrived))  # several processes end together


def _run_steps(running: _Running, groups: Iterable[Group], scores: Scores) -> None:
    """Run a step on each group of batches, and collect its losses and predictions."""
    fit, model, comm = running.fit, running.fit.model, running.fit.comm
    watching = [c for c in fit.callbacks if getattr(c.on_step_end, "__func__", None) is not Callback.on_step_end]
    per_step = model.schedule is not None and model.schedule_every == "step"
    for group in groups:
        for batch in group.void:
            scores.add_void(batch)
        if not group.batches:
            continue
        group, results = updated(running.step, group, running.casts, fit, running.accumulate, comm)
        losses = [loss.item() for loss, _ in results]
        for batch, loss, (_, output) in zip(group.batches, losses, results, strict=True):
            scores.add(loss, output, batch)
        if per_step:
            whole = sum(loss * share for loss, share in zip(losses, group.shares, strict=True))
            if comm is not None:
                whole = float(surviving(partial(comm.all_sum, np.array(whole)), comm))
            _step_schedule(model.schedule, {"loss": whole})
        for callback in watching:
            callback.on_step_end(fit)
        running.shown.step()
        if fit.stopped and comm is None:  # several processes end together
            break


def _check_schedule(model: Model, validated: bool) -> None:
    """Raise KeyError if the schedule goes by a column that the history will not have."""
    if not isinstance(model.schedule, ReduceLROnPlateau) or model.schedule.monitor is None:
        return
    names = ["loss"] if model.schedule_every == "step" else columns_of(model, validated)
    if model.schedule.monitor not in names:
        raise KeyError(
            f"fit: the schedule monitors {model.schedule.monitor!r}, which is not among {', '.join(names)}; give fit "
            "validation_data or validation_split, add it to the model's metrics, or monitor another column"
        )


def _step_schedule(schedule: Any, row: dict[str, float]) -> None:
    if isinstance(schedule, ReduceLROnPlateau):
        column = schedule.monitor or ("val_loss" if "val_loss" in row else "loss")
        schedule.step(row[column])
    else:
        schedule.step()


def _norms(parameters: list[tuple[str, Any]]) -> dict[str, float]:
    with tg.silenced():
        return {name: float(np.linalg.norm(tg.array_of(p.grad))) for name, p in parameters if p.grad is not None}
