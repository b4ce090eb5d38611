"""The course of a training run, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

import tensorgrad as tg

from .._members import Unsearched

__all__ = ["History"]


class History(dict[str, list[float]], Unsearched):
    """One row per epoch: losses, metrics, learning rate, norm of the gradient, seconds.

    A dict from the name of a column to its values, one per epoch: ``"loss"``, and ``"val_loss"`` and the like for the
    validation data. ``pandas.DataFrame(history)`` is the table. As with that, iteration goes over the columns, and
    ``len`` counts the rows, which are epochs. A column has NaN where an epoch has no value. The gradients are those of
    an epoch's last batch, as the optimiser saw them.

    Attributes:
        gradients: the norms of each parameter's gradient, by its path.
        stopped: why the last fit ended early: "early stopping", "Ctrl-C", or "".

    >>> import nn
    >>> history = nn.History()
    >>> history.append({"loss": 1.0})
    >>> history.append({"loss": 0.5, "val_loss": 0.75})
    >>> history["val_loss"], history.best("loss")
    ([nan, 0.75], 1)
    >>> dict(history)
    {'loss': [1.0, 0.5], 'val_loss': [nan, 0.75]}
    """

    def __init__(self) -> None:
        super().__init__()
        self.gradients: dict[str, list[float]] = {}
        self.stopped = ""

    def append(self, row: Mapping[str, float], gradients: Mapping[str, float] | None = None) -> None:
        """Add an epoch."""
        epochs = len(self)
        for table, new in ((self, row), (self.gradients, gradients or {})):
            values = {name: float(value) for name, value in new.items()}
            for name in values:
                table.setdefault(name, [math.nan] * epochs)
            for name, column in table.items():
                column.append(values.get(name, math.nan))

    def __len__(self) -> int:
        """The number of epochs."""
        return max(map(len, self.values()), default=0)

    def __missing__(self, name: str) -> list[float]:
        raise KeyError(f"{name!r} is not a column of this history; it has {', '.join(self) or 'none yet'}")

    def __getstate__(self) -> dict[str, Any]:
        return {"columns": dict(self), **vars(self)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        columns, gradients, stopped = (state[name] for name in ("columns", "gradients", "stopped"))
        if not (_is_table(columns) and _is_table(gradients) and isinstance(stopped, str)):
            raise ValueError("the state of a History is not two tables of numbers, and why the run was stopped")
        self.clear()
        self.update(columns)
        self.gradients, self.stopped = gradients, stopped

    def last(self, epochs: int) -> History:
        """A copy of the last epochs, without the columns that have no value in them.

        >>> import nn
        >>> history = nn.History()
        >>> history.append({"loss": 1.0, "val_loss": 1.5})
        >>> history.append({"loss": 0.5})
        >>> dict(history.last(1))
        {'loss': [0.5]}
        """
        part, first = History(), max(0, len(self) - epochs)
        for own, table in ((part, self), (part.gradients, self.gradients)):
            rows = {name: column[first:] for name, column in table.items()}
            own.update({name: row for name, row in rows.items() if not all(map(math.isnan, row))})
        part.stopped = self.stopped
        return part

    def best(self, name: str, *, largest: bool = False) -> int:
        """The first epoch, counted from 0, with the smallest (or largest) value of a column."""
        sign = -1.0 if largest else 1.0
        known = [(sign * value, epoch) for epoch, value in enumerate(self[name]) if not math.isnan(value)]
        if not known:
            raise ValueError(f"history: {name!r} has no value yet")
        return min(known)[1]

    def __repr__(self) -> str:
        if not len(self):
            return "History(0 epochs)"
        last = ", ".join(f"{name} {column[-1]:.4g}" for name, column in self.items())
        ended = f"; stopped by {self.stopped}" if self.stopped else ""
        return tg.words.printable(f"History({len(self)} epochs; last: {last}{ended})")

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(tg.words.escaped(name))}</th>" for name in ("epoch", *self))
        epochs = range(len(self))
        shown = [*epochs] if len(self) <= 20 else [*epochs[:5], None, *epochs[-14:]]
        rows = []
        for epoch in shown:
            cells = ["⋯"] * (1 + len(self.keys()))
            if epoch is not None:
                cells = [str(epoch + 1), *(f"{column[epoch]:.4g}" for column in self.values())]
            rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"

    def plot(self) -> Any:
        """Draw the learning curves with matplotlib (extra ``notebook``): losses, metrics, rate and gradient.

        Validation curves are dashed. Returns the figure, which a notebook shows once, on the last line of a cell or
        not; in a script, ``matplotlib.pyplot.show()`` shows it.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: there is no epoch yet.
        """
        try:
            from .curves import learning_curves
        except ImportError as error:
            raise ImportError("history.plot needs matplotlib: pip install 'tensorgrad-np[notebook]'") from error
        if not len(self):
            raise ValueError("history.plot: there is no epoch yet; call fit first")
        return learning_curves(self)


def _is_table(table: Any) -> bool:
    """Whether this has columns of numbers, by name."""
    return isinstance(table, dict) and all(
        isinstance(name, str) and isinstance(column, list) and all(isinstance(value, int | float) for value in column)
        for name, column in table.items()
    )
