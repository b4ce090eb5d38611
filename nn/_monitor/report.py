"""The table that ``GradientMonitor.report`` returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

import tensorgrad as tg

from .._tables import html_table, text_table
from .figures import Figures
from .forecast import Forecast
from .verdict import Judged, Verdict

__all__ = ["Report"]

_REASONS = {
    "sigmoid": "the slope of a sigmoid is at most 1/4",
    "tanh": "the slope of tanh is at most 1",
    "relu": "ReLU halves the mean square",
}


class Report:
    """One measured step: a row for each layer, and the verdict. Text in a terminal, a table in a notebook.

    Attributes:
        step: the number of updates before it.
        rows: path, title, activation and figures of each layer, from the input to the output.
        verdict: the :class:`nn.Verdict`.
    """

    def __init__(self, step: int, rows: Sequence[Judged], verdict: Verdict, forecast: Forecast | None) -> None:
        self.step = step
        self.rows = list(rows)
        self.verdict = verdict
        self._forecast = forecast

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (row.path or "(model)", row.title, row.activation, *(shown(row.figures) for _, shown in _COLUMNS))
            for row in self.rows
        ]

    def _lines(self) -> list[tuple[str, str]]:
        """What is below the table: a word, and its text."""
        verdict = self.verdict
        first = verdict.why
        theory = self._forecast
        if theory is not None and math.isfinite(theory.slope) and math.isfinite(verdict.slope):
            kinds = {row.activation for row in self.rows if row.activation}
            reason = _REASONS.get(next(iter(kinds)), "") if len(kinds) == 1 else ""
            said = f": {reason}" if reason and verdict.kind == "vanishing" else ""
            first += f" (forecast before training {theory.slope:+.2f}{said})"
        lines = [(verdict.kind.upper(), first)]
        return [*lines, ("remedy", verdict.remedy)] if verdict.remedy else lines

    def __str__(self) -> str:
        table = text_table(_HEAD, self._cells(), left=3)
        lines = self._lines()
        indent = max(len(word) for word, _ in lines) + 2
        below = [f"{word.ljust(indent)}{tg.words.printable(said)}" for word, said in lines]
        return "\n".join([f"step {self.step}", *table, *below])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        below = "".join(f"<div><b>{escape(word)}</b> {escape(said)}</div>" for word, said in self._lines())
        return html_table(_HEAD, self._cells(), caption=f"step {self.step}") + below


def _size(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1e}"


def _ratio(value: float, base: float) -> str:
    return _size(value / base if base else math.nan)


_COLUMNS: list[tuple[str, Callable[[Figures], str]]] = [
    ("act rms", lambda f: _size(f.act_rms)),
    ("spread", lambda f: _size(f.spread)),
    ("grad rms", lambda f: _size(f.grad_rms)),
    ("|dW|/|W|", lambda f: _ratio(f.weight_grad_rms, f.weight_rms)),
    ("update/W", lambda f: _ratio(f.update_rms, f.weight_rms)),
    ("dead", lambda f: f"{f.dead:.0%}"),
    ("sat", lambda f: f"{f.saturated:.0%}"),
]
_HEAD = ("path", "layer", "activation", *(name for name, _ in _COLUMNS))
