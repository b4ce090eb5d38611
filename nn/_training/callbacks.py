"""Callbacks: code that runs at set points of a training run."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import tensorgrad as tg

from .._checks import count, number
from .._files.saving import extra_of, format_of, load, save
from ..metrics._shared import LARGER_IS_BETTER

if TYPE_CHECKING:
    from .model import Model

__all__ = ["Callback", "Checkpoint", "EarlyStopping", "Fit"]


@dataclass
class Fit:
    """A training run in progress.

    Attributes:
        model: the model that is being trained.
        callbacks: the callbacks, in the order in which they are called.
        epochs: the epoch count at which the run ends.
        epoch: how many epochs are complete.
        row: the last epoch's row in the history.
        stopped: why the run ends early; "" while it goes on.
    """

    model: Model
    callbacks: Sequence[Callback]
    epochs: int
    epoch: int = 0
    row: dict[str, float] = field(default_factory=dict)
    stopped: str = ""

    def interrupt(self) -> None:
        """End the run after the current step, as Ctrl-C does."""
        self.stopped = "Ctrl-C"


class Callback:
    """Base class of callbacks for :meth:`nn.Model.fit`: override the methods you need.

    >>> import numpy as np, nn
    >>> class Rates(nn.Callback):
    ...     def on_epoch_end(self, fit):
    ...         print(fit.epoch, fit.row["lr"])
    >>> model = nn.Model(nn.MLP([2, 1], rng=0), loss="mse", rng=0)
    >>> history = model.fit(np.zeros((4, 2)), np.zeros((4, 1)), epochs=2, callbacks=[Rates()])
    1 0.001
    2 0.001
    """

    def on_fit_begin(self, fit: Fit) -> None:
        """Called before the first epoch."""

    def on_step_end(self, fit: Fit) -> None:
        """Called after each update of the parameters. ``fit.stopped = "..."`` ends the epoch and the run."""

    def on_epoch_end(self, fit: Fit) -> None:
        """Called after each epoch. ``fit.stopped = "..."`` ends the run."""

    def on_fit_end(self, fit: Fit) -> None:
        """Called at the end, even if the run was stopped early."""

    def state_dict(self) -> dict[str, Any]:
        """The state that :class:`nn.Checkpoint` saves: plain values and arrays."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that :meth:`state_dict` returned."""


class EarlyStopping(Callback):
    """End a training run that no longer improves, and go back to the best weights (Prechelt, 1998).

    Args:
        monitor: a column of the history.
        patience: the run ends after this many epochs without improvement.
        min_delta: smaller improvements do not count.
        mode: whether "min" or "max" is better. "auto" takes "max" for accuracy, r2, F1 and the like of
            :mod:`nn.metrics`, "min" for losses and errors.
        restore_best: at the end, go back to the network's parameters and running statistics of the best epoch.

    Raises:
        ValueError: an argument is out of range.
        KeyError: the history has no such column.

    >>> import numpy as np, nn
    >>> model = nn.Model(nn.MLP([1, 1], rng=0), loss="mse", optimizer={"name": "sgd", "lr": 0.0}, rng=0)
    >>> stop = nn.EarlyStopping(monitor="loss", patience=2)
    >>> model.fit(np.ones((4, 1)), np.ones((4, 1)), epochs=50, callbacks=[stop]).stopped
    'early stopping'
    >>> len(model.history)
    3
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"EarlyStopping: mode must be 'auto', 'min' or 'max', got {mode!r}")
        self.monitor = monitor
        self.patience = count("EarlyStopping", "patience", patience)
        self.min_delta = number("EarlyStopping", "min_delta", min_delta, 0)
        self.mode = mode
        self.restore_best = restore_best
        self.on_fit_begin(None)

    def on_fit_begin(self, fit: Fit | None) -> None:
        self._best, self._waited = math.inf, 0
        self._weights: dict[str, Any] | None = None

    def on_epoch_end(self, fit: Fit) -> None:
        if self.monitor not in fit.row:
            raise KeyError(
                f"EarlyStopping: {self.monitor!r} is not among {', '.join(fit.row)}; give fit validation_data or "
                "validation_split, or monitor another column"
            )
        value = fit.row[self.monitor]
        larger = self.mode == "max" or (self.mode == "auto" and self.monitor.endswith(LARGER_IS_BETTER))
        value = -value if larger else value
        if value < self._best - self.min_delta:
            self._best, self._waited = value, 0
            if self.restore_best:
                self._weights = fit.model.network.state_dict()
            return
        self._waited += 1
        if self._waited >= self.patience:
            fit.stopped = "early stopping"

    def on_fit_end(self, fit: Fit) -> None:
        if self._weights is not None:
            fit.model.network.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "waited": self._waited, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best, self._waited, self._weights = state["best"], state["waited"], state["weights"]


class Checkpoint(Callback):
    """Save the training run every few epochs, so that it can resume after a crash, bit for bit.

    The file is written by :func:`nn.save`: ``nn.load(path).model`` is the model at that point, with the weights of the
    last epoch. The file also holds the state of the other callbacks, and is never half-written. An epoch cut short by
    Ctrl-C is not saved: a resumed run repeats all of it.

    Args:
        path: ends in ".npz" or ".safetensors".
        every: number of epochs between saves.
        resume: continue from the file, if there is one: the same program, run again, ends like one that was never
            interrupted. What the file holds, such as the learning rate, overrides what the program says; a run that
            has ended is not repeated. Remove the file to start over.

    Raises:
        ValueError: the path has another ending, or ``every`` is less than 1.
        FileNotFoundError: there is no such folder; raised before training begins.
        CheckpointError: the file does not fit the model, or the other callbacks that have a state; nothing was changed.

    >>> import tempfile, numpy as np, nn
    >>> def train(epochs):
    ...     model = nn.Model(nn.MLP([2, 4, 1], dropout=0.5, rng=0), loss="mse", rng=0)
    ...     keep = nn.Checkpoint(f"{folder}/run.npz", resume=True)
    ...     model.fit(np.eye(2), np.ones((2, 1)), epochs=epochs, callbacks=[keep])
    ...     return model.history["loss"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     part, whole = train(3), train(6)
    >>> len(whole), whole[:3] == part
    (6, True)
    """

    def __init__(self, path: str | os.PathLike[str], *, every: int = 1, resume: bool = False) -> None:
        self.path = os.fspath(path)
        format_of(self.path, "Checkpoint")
        self.every = count("Checkpoint", "every", every)
        self.resume = resume

    def on_fit_begin(self, fit: Fit) -> None:
        folder = os.path.dirname(os.path.abspath(self.path))
        if not os.path.isdir(folder):
            raise FileNotFoundError(errno.ENOENT, "Checkpoint: there is no such folder", folder)

    def restore(self, fit: Fit) -> None:
        """Continue from the file, if ``resume`` is set and there is one."""
        if not self.resume or not os.path.exists(self.path):
            return
        others = self._others(fit)
        kinds = [type(callback).__name__ for callback in others]
        saved = extra_of(self.path)
        found = saved.get("callbacks") if isinstance(saved, dict) and "epoch" in saved else None
        if found is None or [kind for kind, _ in found] != kinds:
            kept = [kind for kind, _ in found or []]
            what = "no training run" if found is None else f"a training run with the callbacks {kept}"
            raise tg.CheckpointError(
                f"Checkpoint: {self.path!r} holds {what}, expected one with {kinds}; remove the file to start over"
            )
        load(self.path, model=fit.model)
        fit.epoch, fit.stopped = saved["epoch"], saved["stopped"]
        for callback, (_, state) in zip(others, saved["callbacks"], strict=True):
            callback.load_state_dict(state)

    def on_epoch_end(self, fit: Fit) -> None:
        if fit.stopped == "Ctrl-C" or (fit.epoch % self.every and fit.epoch != fit.epochs and not fit.stopped):
            return
        states = [(type(callback).__name__, callback.state_dict()) for callback in self._others(fit)]
        save(self.path, fit.model, extra={"epoch": fit.epoch, "stopped": fit.stopped, "callbacks": states})

    def _others(self, fit: Fit) -> list[Callback]:
        """The callbacks that have a state to save; the others may change between runs."""
        plain = Callback.state_dict
        return [callback for callback in fit.callbacks if getattr(callback.state_dict, "__func__", None) is not plain]
