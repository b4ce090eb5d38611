"""The course of a training run, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

__all__ = ["History"]


class History:
    """One row per epoch: losses, metrics, learning rate, norm of the gradient, seconds.

    ``history["loss"]`` is a column as a list; ``"val_loss"`` and the like are for the validation data. A column has
    NaN where an epoch has no value. The gradients are those of an epoch's last batch, as the optimiser saw them.

    Attributes:
        columns: the columns, by name.
        gradients: the norms of each parameter's gradient, by its path.
        stopped: why the last fit ended early: "early stopping", "Ctrl-C", or "".

    >>> import nn
    >>> history = nn.History()
    >>> history.append({"loss": 1.0})
    >>> history.append({"loss": 0.5, "val_loss": 0.75})
    >>> history["val_loss"], history.best("loss")
    ([nan, 0.75], 1)
    """

    def __init__(self) -> None:
        self.columns: dict[str, list[float]] = {}
        self.gradients: dict[str, list[float]] = {}
        self.stopped = ""

    def append(self, row: Mapping[str, float], gradients: Mapping[str, float] | None = None) -> None:
        """Add an epoch."""
        epochs = len(self)
        for table, new in ((self.columns, row), (self.gradients, gradients or {})):
            values = {name: float(value) for name, value in new.items()}
            for name in values:
                table.setdefault(name, [math.nan] * epochs)
            for name, column in table.items():
                column.append(values.get(name, math.nan))

    def __len__(self) -> int:
        """The number of epochs."""
        return max(map(len, self.columns.values()), default=0)

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.columns:
            raise KeyError(f"{name!r} is not a column of this history; it has {', '.join(self.columns) or 'none yet'}")
        return self.columns[name]

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
        last = ", ".join(f"{name} {column[-1]:.4g}" for name, column in self.columns.items())
        ended = f"; stopped by {self.stopped}" if self.stopped else ""
        return f"History({len(self)} epochs; last: {last}{ended})"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in ("epoch", *self.columns))
        epochs = range(len(self))
        shown = [*epochs] if len(self) <= 20 else [*epochs[:5], None, *epochs[-14:]]
        rows = []
        for epoch in shown:
            cells = ["⋯"] * (1 + len(self.columns))
            if epoch is not None:
                cells = [str(epoch + 1), *(f"{column[epoch]:.4g}" for column in self.columns.values())]
            rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"

    def plot(self) -> Any:
        """Draw the learning curves with matplotlib (extra ``notebook``): losses, metrics, rate and gradient.

        Validation curves are dashed. Returns the figure.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: there is no epoch yet.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("history.plot needs matplotlib: pip install 'tensorgrad-np[notebook]'") from error
        if not len(self):
            raise ValueError("history.plot: there is no epoch yet; call fit first")
        own = [name for name in self.columns if not name.startswith("val_") and name not in ("lr", "seconds")]
        own += ["lr"] if "lr" in self.columns else []
        figure, panels = plt.subplots(1, len(own), figsize=(3.6 * len(own), 3.2), layout="constrained", squeeze=False)
        epochs = range(1, len(self) + 1)
        mark = "o" if len(self) == 1 else None
        for axes, name in zip(panels[0], own, strict=True):
            axes.plot(epochs, self[name], color="#2f6fb3", marker=mark, label="training")
            if f"val_{name}" in self.columns:
                axes.plot(epochs, self[f"val_{name}"], "--", color="#d1495b", marker=mark, label="validation")
                axes.legend()
            positive = all(value > 0 for value in self[name] if not math.isnan(value))
            if positive and name in ("loss", "grad_norm", "lr"):
                axes.set_yscale("log")
            axes.set(title=name.replace("_", " "), xlabel="epoch")
            axes.grid(alpha=0.3)
        return figure
