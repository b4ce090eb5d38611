"""The demo's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import nn
import tensorgrad as tg

from .training import Data, Run

COLOURS = ("#2f6fb3", "#d1495b", "#3a8f5c")


def learning_curves(runs: Sequence[Run]) -> Any:
    """Loss and accuracy by epoch: training dashed, test solid. The legend is below the curves."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for run, colour in zip(runs, COLOURS, strict=True):
        rows = run.history
        epochs = range(1, len(rows) + 1)
        left.plot(epochs, rows["loss"], "--", color=colour)
        left.plot(epochs, rows["val_loss"], color=colour)
        right.plot(epochs, rows["accuracy"], "--", color=colour)
        right.plot(epochs, rows["val_accuracy"], color=colour, label=f"{run.title}: {rows['val_accuracy'][-1]:.3f}")
    left.set(title="cross-entropy", xlabel="epoch", yscale="log")
    right.set(title="accuracy", xlabel="epoch", ylim=(0, 1.02))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    handles, labels = right.get_legend_handles_labels()
    solid, dashed = (plt.Line2D([], [], color="#666666", linestyle=style) for style in ("-", "--"))
    figure.legend([*handles, solid, dashed], [*labels, "test", "training"], loc="outside lower center", ncols=3)
    return figure


def views(run: Run) -> Any:
    """The monitor's six views of a run."""
    figure = run.monitor.plot()
    figure.suptitle(f"{run.title}; {figure.get_suptitle()}", fontweight="bold")
    return figure


def graph(network: nn.Module, data: Data) -> tg.Drawing:
    """The computation graph of one training step, folded to a card a layer."""
    X = tg.Tensor(data.X_train[:64], name="X")
    labels = tg.Tensor(data.y_train[:64], name="labels")
    loss = nn.functional.cross_entropy(network(X), labels)
    loss.name = "loss"
    return tg.draw(loss, backward=True)


def save(figure: Any, path: Any, dpi: int = 110) -> None:
    """Write a figure of matplotlib, and free it."""
    figure.savefig(path, dpi=dpi)
    plt.close(figure)
