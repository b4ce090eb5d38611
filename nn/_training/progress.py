"""The progress of a training run: a bar in a terminal, a bar and curves in a notebook."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Protocol

from .history import History

__all__ = ["Progress", "progress_for"]


class Progress(Protocol):
    """A display that is told of every step and epoch of a training run."""

    def begin(self, done: int) -> None:
        """Called before the first step, with the number of epochs already complete."""

    def step(self, loss: float) -> None:
        """Called after each update."""

    def epoch(self, history: History) -> None:
        """Called after each epoch."""

    def close(self) -> None:
        """Called at the end, however the run ends."""


class _Silent:
    def begin(self, done: int) -> None:
        pass

    def step(self, loss: float) -> None:
        pass

    def epoch(self, history: History) -> None:
        pass

    def close(self) -> None:
        pass


class _Bar:
    """tqdm's bar over all steps, on standard error."""

    def __init__(self, tqdm: Any, epochs: int, steps: int | None) -> None:
        self._tqdm, self._epochs, self._steps = tqdm, epochs, steps
        self._per_epoch = steps is None

    def begin(self, done: int) -> None:
        each, unit = (1, "epoch") if self._steps is None else (self._steps, "step")
        self._bar = self._tqdm(total=self._epochs * each, initial=done * each, unit=unit, dynamic_ncols=True)

    def step(self, loss: float) -> None:
        if not self._per_epoch:
            self._bar.update()

    def epoch(self, history: History) -> None:
        if self._per_epoch:
            self._bar.update()
        row = {name: column[-1] for name, column in history.columns.items() if name not in ("seconds", "grad_norm")}
        self._bar.set_postfix({name: f"{value:.4g}" for name, value in row.items()}, refresh=False)

    def close(self) -> None:
        self._bar.close()


class _Display:
    """A notebook display that is redrawn from time to time; its last state is stored with the notebook."""

    INTERVAL = 0.25  # seconds between redraws, at least

    def __init__(self, display: Any, HTML: Any, epochs: int, steps: int | None) -> None:
        self._display, self._HTML = display, HTML
        self._epochs, self._steps = epochs, steps
        self._history = History()
        self._in_epoch = 0

    def begin(self, done: int) -> None:
        self._done = done
        self._began = self._drawn = time.monotonic()
        self._handle = self._display(self._html(), display_id=True)

    def step(self, loss: float) -> None:
        self._in_epoch += 1
        if time.monotonic() - self._drawn > self.INTERVAL:
            self._draw()

    def epoch(self, history: History) -> None:
        self._history = history
        self._done += 1
        self._in_epoch = 0
        if time.monotonic() - self._drawn > self.INTERVAL:
            self._draw()

    def close(self) -> None:
        self._draw()

    def _draw(self) -> None:
        self._handle.update(self._html())
        self._drawn = time.monotonic()

    def _html(self) -> Any:
        share = self._done + (min(1.0, self._in_epoch / self._steps) if self._steps else 0.0)
        seconds = time.monotonic() - self._began
        columns = self._history.columns
        facts = "".join(
            f"<td style='padding:0 1em'>{escape(name)}<br><b>{column[-1]:.4g}</b></td>"
            for name, column in columns.items()
            if name != "seconds"
        )
        curves: dict[str, list[float]] = {name: columns[name] for name in ("loss", "val_loss") if name in columns}
        return self._HTML(
            f"<progress value='{share:.3f}' max='{self._epochs}' style='width:20em'></progress> "
            f"epoch {self._done} of {self._epochs}, {seconds:.1f} s"
            f"<table><tr>{facts}<td>{curve(curves)}</td></tr></table>"
        )


def curve(columns: Mapping[str, Sequence[float]], *, width: int = 220, height: int = 60) -> str:
    """Draw columns as lines of a small SVG, on a logarithmic scale if all are positive; "" for under two points.

    >>> curve({"loss": [1.0]})
    ''
    >>> print(curve({"loss": [1.0, 0.1, 0.01]}, width=100, height=50))
    <svg width="100" height="50" role="img" aria-label="loss"><polyline fill="none" stroke="#2f6fb3"
    stroke-width="1.5" points="2.0,2.0 50.0,25.0 98.0,48.0"/></svg>
    """
    known = {name: [(i, v) for i, v in enumerate(values) if math.isfinite(v)] for name, values in columns.items()}
    values = [value for points in known.values() for _, value in points]
    if max(map(len, known.values()), default=0) < 2:
        return ""
    scale = math.log10 if min(values) > 0 else float
    low, high = scale(min(values)), scale(max(values))
    last = max(len(column) for column in columns.values()) - 1
    lines = []
    for points, colour in zip(known.values(), ("#2f6fb3", "#d1495b"), strict=False):
        places = (
            (2 + i / last * (width - 4), 2 + (high - scale(v)) / ((high - low) or 1.0) * (height - 4))
            for i, v in points
        )
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        lines.append(f'<polyline fill="none" stroke="{colour}"\nstroke-width="1.5" points="{text}"/>')
    label = escape(", ".join(known), quote=True)
    return f'<svg width="{width}" height="{height}" role="img" aria-label="{label}">{"".join(lines)}</svg>'


def progress_for(wanted: bool | None, *, epochs: int, steps: int | None) -> Progress:
    """The display for a training run: a silent one, or one that suits the place it runs in.

    Args:
        wanted: True, False, or None: only in a notebook or a terminal, and if the packages for it are installed.
        epochs: the number of epochs.
        steps: the number of batches in an epoch, if it is known.

    Raises:
        ImportError: ``wanted`` is True, and tqdm is not installed.
    """
    if wanted is False:
        return _Silent()
    if _in_notebook():
        from IPython.display import HTML, display

        return _Display(display, HTML, epochs, steps)
    if wanted is None and not sys.stderr.isatty():
        return _Silent()
    try:
        from tqdm import tqdm
    except ImportError as error:
        if wanted is None:
            return _Silent()
        raise ImportError("progress=True needs tqdm: pip install 'tensorgrad-np[notebook]'") from error
    return _Bar(tqdm, epochs, steps)


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")
