"""Callbacks: code that runs at set points of a training run."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._checks import count, number
from .._optim.direction import better_way
from ..parallel.communicator import Communicator
from .history import History

if TYPE_CHECKING:
    from .model import Model

__all__ = ["INTERRUPTED", "Callback", "EarlyStopping", "Fit", "require_folder"]

INTERRUPTED = "Ctrl-C"


@dataclass
class Fit:
    """A training run in progress.

    Attributes:
        model: the model that is being trained.
        callbacks: the callbacks, in the order in which they are called.
        epochs: the epoch count at which the run ends.
        settings: what the run was begun with, by name: the optimiser and its options, the batch size and so on.
        epoch: how many epochs are complete.
        row: the last epoch's row in the history.
        history: all rows of this run, also those before it was resumed.
        stopped: why the run ends early; "" while it goes on.
        note: what the display says before the run, such as that it was resumed.
        comm: the processes that train together, or None.
    """

    model: Model
    callbacks: Sequence[Callback]
    epochs: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    epoch: int = 0
    row: dict[str, float] = field(default_factory=dict)
    history: History = field(default_factory=History)
    stopped: str = ""
    note: str = ""
    comm: Communicator | None = None

    @property
    def main(self) -> bool:
        """Whether this process writes files and prints: rank 0, if there are several."""
        return self.comm is None or self.comm.rank == 0

    def interrupt(self) -> None:
        """End the run after the current step, as Ctrl-C does."""
        self.stopped = INTERRUPTED


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
        mode: whether "min" or "max" is better. "auto" takes "min" for losses and errors, "max" for accuracy, r2 and the
            like.
        restore_best: at the end, go back to the network's parameters and running statistics of the best epoch.
        baseline: a value to beat: what improves on earlier epochs, but not on this, does not count against
            ``patience``.
        start_from_epoch: the number of first epochs that are left out of account.

    Raises:
        ValueError: an argument is out of range, or ``mode`` contradicts the column.
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
        baseline: float | None = None,
        start_from_epoch: int = 0,
    ) -> None:
        self.monitor = monitor
        self.patience = count("EarlyStopping", "patience", patience)
        self.min_delta = number("EarlyStopping", "min_delta", min_delta, 0)
        self.mode = better_way("EarlyStopping", monitor, mode)
        self.restore_best = restore_best
        self.baseline = None if baseline is None else number("EarlyStopping", "baseline", baseline)
        self.start_from_epoch = count("EarlyStopping", "start_from_epoch", start_from_epoch, 0)
        self.on_fit_begin(None)

    def _require_valid(self) -> None:
        """Raise ValueError unless attributes that came from a file can be worked with."""
        names = ("patience", "min_delta", "mode", "restore_best", "baseline", "start_from_epoch")
        if not isinstance(self.monitor, str) or type(self.restore_best) is not bool:
            raise ValueError("EarlyStopping: monitor is not a string, or restore_best is not a bool")
        EarlyStopping(self.monitor, **{name: getattr(self, name) for name in names})
        count("EarlyStopping", "_waited", self._waited, 0)
        if not isinstance(self._best, float) or not isinstance(self._weights, dict | None):
            raise ValueError("EarlyStopping: the best value is not a float, or its weights are not a dict")

    def on_fit_begin(self, fit: Fit | None) -> None:
        self._best, self._waited = math.inf, 0
        self._weights: dict[str, Any] | None = None

    def on_epoch_end(self, fit: Fit) -> None:
        if self.monitor not in fit.row:
            raise KeyError(
                f"EarlyStopping: {self.monitor!r} is not among {', '.join(fit.row)}; give fit validation_data or "
                "validation_split, or monitor another column"
            )
        if fit.epoch <= self.start_from_epoch:
            return
        sign = -1.0 if self.mode == "max" else 1.0
        value = sign * fit.row[self.monitor]
        self._waited += 1
        if value < self._best - self.min_delta:
            self._best = value
            if self.restore_best:
                self._weights = fit.model.network.state_dict()
            if self.baseline is None or value < sign * self.baseline - self.min_delta:
                self._waited = 0
        if self._waited >= self.patience:
            fit.stopped = "early stopping"

    def on_fit_end(self, fit: Fit) -> None:
        if self._weights is not None:
            fit.model.network.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "waited": self._waited, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best, self._waited, self._weights = state["best"], state["waited"], state["weights"]


def require_folder(me: str, path: str) -> None:
    """Raise FileNotFoundError if the folder of a file is not there."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, f"{me}: there is no such folder", folder)
