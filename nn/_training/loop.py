"""The training loop: epochs of steps, what is measured after each, and how it ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import tensorgrad as tg

from .._layers.penalty import penalty
from .._optim.clipping import clip_grad_norm_, clip_grad_value_
from .._optim.lbfgs import LBFGS
from .._optim.plateau import ReduceLROnPlateau
from .callbacks import Callback, Checkpoint, Fit
from .data import Batch, Casts, Rows, Stream
from .history import History
from .interrupt import first_interrupt
from .progress import Progress, progress_for
from .scores import Scores, evaluated
from .weighing import loss_of

if TYPE_CHECKING:
    from .model import Model

__all__ = ["train"]


def train(
    model: Model,
    data: Rows | Stream,
    held: Rows | Stream | None,
    *,
    split: float,
    epochs: int,
    batch_size: int,
    shuffle: bool,
    drop_last: bool,
    callbacks: Sequence[Callback],
    progress: bool | None,
    compile: bool,
) -> History:
    """Run :meth:`nn.Model.fit`, with its arguments already checked."""
    step = _stepper(model, compile)
    casts = Casts(model.network)
    for rows in (data, held):
        if isinstance(rows, Rows):
            rows.converted(casts.inputs)
    if split and isinstance(data, Rows):
        data, held = data.split(split, np.random.default_rng(model.split_seed()))
    shown = progress_for(progress, epochs=epochs, steps=data.steps(batch_size, drop_last))
    # Checkpoints come last, so that what they save of the other callbacks is of the same epoch.
    fit = Fit(model, sorted(callbacks, key=lambda callback: isinstance(callback, Checkpoint)), epochs)
    model.history.stopped = ""
    for callback in fit.callbacks:
        callback.on_fit_begin(fit)
    for callback in fit.callbacks:
        if isinstance(callback, Checkpoint):
            callback.restore(fit)
    running = _Running(fit, step, casts, list(model.network.named_parameters()), held, shown)
    shown.begin(fit.epoch)
    try:
        with first_interrupt(fit.interrupt):
            while fit.epoch < fit.epochs and not fit.stopped:
                batches = data.batches(batch_size, rng=model.rng if shuffle else None, drop_last=drop_last)
                _run_epoch(running, batches)
        model.history.stopped = fit.stopped
        for callback in fit.callbacks:
            callback.on_fit_end(fit)
    finally:
        shown.close()
        model.optimizer.zero_grad()
        model.eval()
    return model.history


class _Running(NamedTuple):
    """A training run, and what it needs in every epoch."""

    fit: Fit
    step: Callable[..., tuple[Any, Any]]
    casts: Casts
    parameters: list[tuple[str, Any]]
    held: Rows | Stream | None
    shown: Progress


def _run_epoch(running: _Running, batches: Iterable[Batch]) -> None:
    fit, model, began = running.fit, running.fit.model, time.perf_counter()
    rate = model.optimizer.param_groups[0].get("lr", math.nan)  # L-BFGS has none
    model.train()
    fit.row = _run_steps(running, batches)
    if running.held is not None:
        scores = evaluated(model, running.held)
        fit.row |= {f"val_{name}": value for name, value in scores.items()}
    norms = _norms(running.parameters)
    fit.row |= {"lr": rate, "grad_norm": math.hypot(*norms.values()), "seconds": time.perf_counter() - began}
    model.history.append(fit.row, norms)
    if model.schedule is not None and model.schedule_every == "epoch":
        _step_schedule(model.schedule, fit.row)
    fit.epoch += 1
    for callback in fit.callbacks:
        callback.on_epoch_end(fit)
    running.shown.epoch(model.history)


def _run_steps(running: _Running, batches: Iterable[Batch]) -> dict[str, float]:
    """Run a step on each batch. Returns the means of loss and metrics."""
    fit, step, casts = running.fit, running.step, running.casts
    model, scores = fit.model, Scores(fit.model)
    watching = [c for c in fit.callbacks if getattr(c.on_step_end, "__func__", None) is not Callback.on_step_end]
    per_step = model.schedule is not None and model.schedule_every == "step"
    for batch in batches:
        given = (casts.inputs(batch.X), casts.targets(batch.y))
        result, output = step(*given) if batch.weight is None else step(*given, batch.weight)
        loss = result.item()
        scores.add(loss, output, batch)
        if per_step:
            _step_schedule(model.schedule, {"loss": loss})
        for callback in watching:
            callback.on_step_end(fit)
        running.shown.step(loss)
        if fit.stopped:
            break
    return scores.means()


def _stepper(model: Model, compiled: bool) -> Callable[..., tuple[Any, Any]]:
    """A function (X, y) or (X, y, weight) that does one update.

    It returns the batch's loss without the penalty, and the network's output.
    """
    network, optimizer = model.network, model.optimizer
    learned = {id(p) for p in network.parameters() if p.requires_grad}
    if learned and not learned & {id(p) for group in optimizer.param_groups for p in group["params"]}:
        raise ValueError(
            "fit: the optimiser has none of the network's parameters; write "
            f"nn.{type(optimizer).__name__}(model.network.parameters())"
        )
    if compiled and (isinstance(optimizer, LBFGS) or optimizer.skip_nonfinite):
        kind = type(optimizer).__name__
        raise ValueError(
            f"fit: compile=True needs an optimiser whose steps are all alike, got {kind}; leave compile out"
        )
    penalised = penalty(network) is not None

    def step(X: Any, y: Any, weight: Any = None) -> tuple[Any, Any]:
        kept: list[Any] = []

        def closure() -> tg.Tensor:
            optimizer.zero_grad()
            output = network(X)
            loss = loss_of(model.loss, output, y, weight)
            kept[:] = loss, output
            extra = penalty(network) if penalised else None
            total = loss if extra is None else loss + extra
            total.backward()
            clip_value, clip_norm = tg.watch(model, "clip_value"), tg.watch(model, "clip_norm")
            if clip_value is not None:
                clip_grad_value_(network.parameters(), clip_value)
            if clip_norm is not None:
                clip_grad_norm_(network.parameters(), clip_norm)
            return total

        optimizer.step(closure)
        return kept[0], kept[1]

    return tg.compile(step) if compiled else step


def _step_schedule(schedule: Any, row: dict[str, float]) -> None:
    if isinstance(schedule, ReduceLROnPlateau):
        schedule.step(row.get("val_loss", row["loss"]))
    else:
        schedule.step()


def _norms(parameters: list[tuple[str, Any]]) -> dict[str, float]:
    with np.errstate(all="ignore"):
        return {name: float(np.linalg.norm(tg.array_of(p.grad))) for name, p in parameters if p.grad is not None}
