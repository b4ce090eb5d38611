"""Callbacks that write the history to files."""

from __future__ import annotations

import csv
import io
import os
from typing import Any

from .._checks import AnyPath, file_name
from .._files.atomic import replace_file
from .callbacks import Callback, Fit, require_folder

__all__ = ["CSVLog", "TensorBoard"]


class CSVLog(Callback):
    """Write the history of a training run to a CSV file, a line as each epoch ends.

    The first column is ``epoch``, counted from 1; the others are those of the history, at full precision. A value that
    an epoch does not have is ``nan``. A run that :class:`nn.Checkpoint` resumes goes on in the file, without the epochs
    that were not saved; any other run replaces it.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: there is no such folder; raised before training begins.

    >>> import tempfile, numpy as np, nn
    >>> model = nn.Model(nn.MLP([2, 1], rng=0), loss="mse", rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     history = model.fit(np.eye(2), np.ones((2, 1)), epochs=2, callbacks=[nn.CSVLog(f"{folder}/log.csv")])
    ...     with open(f"{folder}/log.csv") as file:
    ...         print(file.readline(), end="")
    epoch,loss,lr,grad_norm,seconds
    """

    def __init__(self, path: AnyPath) -> None:
        self.path = file_name("CSVLog", path)

    def on_fit_begin(self, fit: Fit) -> None:
        require_folder("CSVLog", self.path)
        self._columns: list[str] = []

    def on_epoch_end(self, fit: Fit) -> None:
        if not fit.main:
            return
        if self._columns == list(fit.history):
            with open(self.path, "a", encoding="utf-8", newline="") as file:
                file.write(_lines(fit, len(fit.history) - 1))
            return
        self._columns = list(fit.history)
        text = _line(["epoch", *self._columns]) + _lines(fit, 0)
        replace_file(self.path, lambda file: file.write(text.encode()))


def _lines(fit: Fit, first: int) -> str:
    """The rows from ``first`` on."""
    rows = zip(*fit.history.values(), strict=True)
    numbered = [(epoch, *row) for epoch, row in enumerate(rows, 1) if epoch > first]
    return "".join(map(_line, numbered))


def _line(values: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


class TensorBoard(Callback):
    """Write the history of a training run for TensorBoard, a point as each epoch ends (extra ``tensorboard``).

    Each column is a chart of its own name, over the epochs counted from 1.

    Args:
        log: the folder to write to, which is made; or a writer with ``add_scalar(name, value, step)`` and ``flush()``,
            such as ``torch.utils.tensorboard.SummaryWriter``, which stays open.

    Raises:
        TypeError: ``log`` is something else.
        ImportError: tensorboardX is not installed, and ``log`` is a folder; raised before training begins.

    >>> import numpy as np, nn
    >>> class Printer:
    ...     def add_scalar(self, name, value, step):
    ...         print(step, name)
    ...
    ...     def flush(self):
    ...         pass
    >>> model = nn.Model(nn.MLP([2, 1], rng=0), loss="mse", rng=0)
    >>> history = model.fit(np.eye(2), np.ones((2, 1)), epochs=1, callbacks=[nn.TensorBoard(Printer())])
    1 loss
    1 lr
    1 grad_norm
    1 seconds
    """

    def __init__(self, log: Any) -> None:
        self._own = isinstance(log, str | os.PathLike)
        if not self._own and not (hasattr(log, "add_scalar") and hasattr(log, "flush")):
            raise TypeError(
                f"TensorBoard: log must be a folder, or a writer with add_scalar and flush, got {type(log).__name__}"
            )
        self.log = os.fspath(log) if self._own else log

    def on_fit_begin(self, fit: Fit) -> None:
        if not self._own:
            self._writer = self.log
        if not self._own or not fit.main:
            return
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError("TensorBoard needs tensorboardX: pip install 'tensorgrad-np[tensorboard]'") from error
        self._writer = SummaryWriter(self.log)

    def on_epoch_end(self, fit: Fit) -> None:
        if not fit.main:
            return
        for name, value in fit.row.items():
            self._writer.add_scalar(name, value, fit.epoch)
        self._writer.flush()

    def on_fit_end(self, fit: Fit) -> None:
        if self._own and fit.main:
            self._writer.close()
