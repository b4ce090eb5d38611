"""The progress of a training run: a bar in a terminal, a line an epoch in a file, a display in a notebook."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from typing import Any, Protocol

import tensorgrad as tg

from .history import History

__all__ = ["Progress", "Redrawn", "facts_of", "progress_for"]


class Progress(Protocol):
    """A display that is told of every step and epoch of a training run."""

    def begin(self, done: int, history: History, note: str) -> None:
        """Called before the first step.

        ``done`` epochs are complete, with their rows in the history, if a checkpoint was resumed; then the note says
        so.
        """

    def step(self) -> None:
        """Called after each update."""

    def epoch(self, history: History) -> None:
        """Called after each epoch, with the history of this run."""

    def close(self, end: str) -> None:
        """Called at the end, with how the run ended; "" if as planned."""


class _Silent:
    def begin(self, done: int, history: History, note: str) -> None:
        pass

    def step(self) -> None:
        pass

    def epoch(self, history: History) -> None:
        pass

    def close(self, end: str) -> None:
        pass


class _Lines:
    """A line an epoch, for a file or a pipe."""

    def __init__(self, stream: Any, epochs: int) -> None:
        self._stream, self._epochs, self._done = stream, epochs, 0

    def begin(self, done: int, history: History, note: str) -> None:
        self._done = done
        if note:
            self._write(note)
            self._write_epoch(history)

    def step(self) -> None:
        pass

    def epoch(self, history: History) -> None:
        self._done += 1
        self._write_epoch(history)

    def close(self, end: str) -> None:
        if end:
            self._write(end)

    def _write_epoch(self, history: History) -> None:
        facts = [*facts_of(history), f"{history['seconds'][-1]:.1f} s"]
        self._write(f"epoch {self._done}/{self._epochs}: {', '.join(facts)}")

    def _write(self, line: str) -> None:
        self._stream.write(tg.words.printable(line, self._stream) + "\n")
        self._stream.flush()


class Redrawn:
    """A display that is redrawn from time to time: counts what has been done. A subclass draws it."""

    INTERVAL = 0.1  # seconds between redraws, at least

    def __init__(self, epochs: int, steps: int | None) -> None:
        self._epochs, self._steps = epochs, steps
        self._done = self._in_epoch = 0
        self._history = History()
        self._began = self._drawn = time.monotonic()

    def begin(self, done: int, history: History, note: str) -> None:
        self._done, self._history = done, history
        self._began = self._drawn = time.monotonic()

    def step(self) -> None:
        self._in_epoch += 1
        self._draw_if_due()

    def epoch(self, history: History) -> None:
        self._history = history
        self._done, self._in_epoch = self._done + 1, 0
        self._draw_if_due()

    def close(self, end: str) -> None:
        self._draw(end)

    def _draw_if_due(self) -> None:
        if time.monotonic() - self._drawn > self.INTERVAL:
            self._draw()
            self._drawn = time.monotonic()

    def _draw(self, end: str = "") -> None:
        raise NotImplementedError


class _Bar(Redrawn):
    """One line of a terminal, never longer than the terminal is wide."""

    def __init__(self, stream: Any, epochs: int, steps: int | None) -> None:
        super().__init__(epochs, steps)
        self._stream, self._drawn_length = stream, 0

    def begin(self, done: int, history: History, note: str) -> None:
        super().begin(done, history, note)
        if note:
            self._stream.write(tg.words.printable(note, self._stream) + "\n")
        self._draw()

    def close(self, end: str) -> None:
        super().close(end)
        self._stream.write("\n")
        self._stream.flush()

    def _draw(self, end: str = "") -> None:
        width = _columns(self._stream) - 1
        line = tg.words.printable(self._line(width, end), self._stream)[:width]  # plain characters may take more room
        self._stream.write("\r" + line.ljust(min(width, self._drawn_length)))
        self._stream.flush()
        self._drawn_length = len(line)

    def _line(self, width: int, end: str) -> str:
        """How far it is, a bar, and as many of the figures as fit."""
        head = end or f"epoch {self._done}/{self._epochs}"
        within = min(1.0, self._in_epoch / self._steps) if self._steps else 0.0
        length = min(30, width // 5)
        if not end and len(head) + 1 + length <= width:
            filled = round(length * min(1.0, (self._done + within) / self._epochs))
            head += " " + "█" * filled + "░" * (length - filled)
        return _fitted(head, [*facts_of(self._history), f"{time.monotonic() - self._began:.1f} s"], width)


def _fitted(line: str, facts: Iterable[str], width: int) -> str:
    for fact in facts:
        if len(line) + 2 + len(fact) <= width:
            line += "  " + fact
    return line[:width]


def _columns(stream: Any) -> int:
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except OSError:
        columns = 0
    return columns or 80  # some terminals do not know theirs


def facts_of(history: History) -> list[str]:
    """The last epoch's figures in words, the losses first, without the time and the gradient."""
    losses = [name for name in ("loss", "val_loss") if name in history]
    others = [name for name in history if name not in (*losses, "lr", "seconds", "grad_norm")]
    rate = ["lr"] if "lr" in history else []
    return [f"{name} {history[name][-1]:.4g}" for name in (*losses, *others, *rate)]


def progress_for(wanted: bool | None, *, epochs: int, steps: int | None) -> Progress:
    """The display for a training run: a silent one, or one that suits the place it runs in.

    Args:
        wanted: True, False, or None: only in a notebook or a terminal.
        epochs: the number of epochs.
        steps: the number of updates in an epoch, if it is known.
    """
    if wanted is False:
        return _Silent()
    if _in_notebook():
        from .notebook import Display

        return Display(epochs, steps)
    stream = sys.stderr
    if stream is None:  # a program without a console
        return _Silent()
    if stream.isatty():
        return _Bar(stream, epochs, steps)
    return _Lines(stream, epochs) if wanted else _Silent()


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")
