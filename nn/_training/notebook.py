"""The progress of a training run in a notebook. Only a notebook imports this file."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from html import escape

import tensorgrad as tg

from .history import History
from .progress import Redrawn, facts_of

__all__ = ["Display", "curve"]


class Display(Redrawn):
    """A notebook display, whose last state is stored with the notebook.

    Where HTML is not shown, there is a plain line of text. Where it is sanitised, the text in it stays readable.
    """

    INTERVAL = 0.25
    _note = ""

    def begin(self, done: int, history: History, note: str) -> None:
        from IPython.display import display

        super().begin(done, history, note)
        self._note = note
        self._handle = display(self._bundle(""), raw=True, display_id=True)

    def _draw(self, end: str = "") -> None:
        self._handle.update(self._bundle(end), raw=True)

    def _bundle(self, end: str) -> dict[str, str]:
        line = f"{end or f'epoch {self._done} of {self._epochs}'}, {time.monotonic() - self._began:.1f} s"
        line = tg.words.escaped(f"{self._note}; {line}" if self._note else line)
        text = tg.words.escaped(", ".join([line, *facts_of(self._history)]))
        return {"text/html": self._html(line), "text/plain": text}

    def _html(self, line: str) -> str:
        share = self._done + (min(1.0, self._in_epoch / self._steps) if self._steps else 0.0)
        facts = "".join(
            f"<td style='padding:0 1em'>{escape(tg.words.escaped(name))}<br><b>{column[-1]:.4g}</b></td>"
            for name, column in self._history.items()
            if name != "seconds"
        )
        curves: dict[str, Sequence[float]] = {
            name: self._history[name] for name in ("loss", "val_loss") if name in self._history
        }
        full = min(100.0, 100 * share / self._epochs)
        label = f"aria-label='training' aria-valuemin='0' aria-valuemax='100' aria-valuenow='{full:.0f}'"
        bar = (
            f"<div role='progressbar' {label} style='width:20em;height:0.5em;background:#8884'>"
            f"<div style='width:{full:.1f}%;height:100%;background:#2f6fb3'></div></div>"
        )
        return f"<div>{escape(line)}</div>{bar}<table><tr>{facts}<td>{curve(curves)}</td></tr></table>"


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
    label = escape(tg.words.escaped(", ".join(known)), quote=True)
    return f'<svg width="{width}" height="{height}" role="img" aria-label="{label}">{"".join(lines)}</svg>'
