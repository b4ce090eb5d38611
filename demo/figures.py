"""The demo's two plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from .training import Run

COLOURS = ("#2f6fb3", "#d1495b", "#3a8f5c")


def learning_curves(runs: Sequence[Run], path: Path) -> None:
    """Loss and accuracy by epoch: training dashed, test solid."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for run, colour in zip(runs, COLOURS, strict=True):
        epochs = range(1, len(run.train_loss) + 1)
        left.plot(epochs, run.train_loss, "--", color=colour, label=f"{run.title}, training")
        left.plot(epochs, run.test_loss, color=colour, label=f"{run.title}, test")
        last = f"{run.title}: {run.test_accuracy[-1]:.3f} at the end"
        right.plot(epochs, run.train_accuracy, "--", color=colour)
        right.plot(epochs, run.test_accuracy, color=colour, label=last)
    left.set(title="Cross-entropy", xlabel="epoch", ylabel="loss", yscale="log")
    right.set(title="Accuracy (solid: test)", xlabel="epoch", ylabel="share of images recognised", ylim=(0, 1.02))
    for axes in (left, right):
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def gradient_flow(runs: Sequence[Run], path: Path) -> None:
    """The RMS gradient of each layer's weights, at the first and at the last step."""
    figure, panels = plt.subplots(1, len(runs), figsize=(14, 4.2), sharey=True, layout="constrained")
    for axes, run, colour in zip(panels, runs, COLOURS, strict=True):
        layers = range(1, len(run.layers) + 1)
        axes.plot(layers, run.first_gradients, "o-", color=colour, label="first step")
        axes.plot(layers, run.last_gradients, "s--", color=colour, alpha=0.55, label="last step")
        axes.set(title=run.title, xlabel="layer, from the input to the output", yscale="log")
        axes.set_xticks(list(layers))
        axes.grid(alpha=0.3)
        axes.legend()
    panels[0].set_ylabel("RMS gradient of the weights")
    figure.suptitle("Where the gradient vanishes")
    figure.savefig(path, dpi=130)
    plt.close(figure)
