"""Figures of training runs. The import of this file needs matplotlib (extra ``notebook``)."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from .history import History
    from .lr_finder import LRCurve

__all__ = ["TRAINING", "VALIDATION", "Curves", "learning_curves", "rate_curve"]

TRAINING, VALIDATION = "#2f6fb3", "#d1495b"


class Curves(Figure):
    """A figure of pyplot that a notebook shows once.

    A cell's last value is shown, and so are the figures that are open when a cell ends. This one is closed in pyplot
    when it is shown as a value.
    """

    def _ipython_display_(self) -> None:
        from IPython.display import display

        plt.close(self)
        shell = sys.modules["IPython"].get_ipython()
        data: dict[str, Any] = {}
        metadata: dict[str, Any] = {}
        for mime, formatter in shell.display_formatter.formatters.items():
            made = formatter(self) if formatter.enabled else None
            if isinstance(made, tuple):  # with its size, say
                made, metadata[mime] = made
            if made is not None:
                data[mime] = made
        display(data, metadata=metadata, raw=True)


def learning_curves(history: History) -> Any:
    """The figure of :meth:`nn.History.plot`; there is at least one epoch."""
    own = [name for name in history if not name.startswith("val_") and name not in ("lr", "seconds")]
    own += ["lr"] if "lr" in history else []
    figure, panels = plt.subplots(
        1, len(own), figsize=(3.6 * len(own), 3.2), layout="constrained", squeeze=False, FigureClass=Curves
    )
    epochs = range(1, len(history) + 1)
    mark = "o" if len(history) == 1 else None
    for axes, name in zip(panels[0], own, strict=True):
        axes.plot(epochs, history[name], color=TRAINING, marker=mark, label="training")
        if f"val_{name}" in history:
            axes.plot(epochs, history[f"val_{name}"], "--", color=VALIDATION, marker=mark, label="validation")
            axes.legend()
        positive = all(value > 0 for value in history[name] if not math.isnan(value))
        if positive and name in ("loss", "grad_norm", "lr"):
            axes.set_yscale("log")
        axes.set(title=name.replace("_", " "), xlabel="epoch")
        axes.grid(alpha=0.3)
    return figure


def rate_curve(curve: LRCurve) -> Any:
    """The figure of a learning-rate range test."""
    figure, axes = plt.subplots(figsize=(4.8, 3.2), layout="constrained", FigureClass=Curves)
    axes.plot(curve.lrs, curve.losses, color=TRAINING, alpha=0.3, label="loss")
    axes.plot(curve.lrs, curve.smoothed, color=TRAINING, label="smoothed")
    if curve.suggestion is not None:
        axes.axvline(curve.suggestion, color=VALIDATION, linestyle="--", label=f"suggestion: {curve.suggestion:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", title="learning-rate range test")
    axes.legend()
    axes.grid(alpha=0.3)
    return figure
