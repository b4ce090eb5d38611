"""The data, and a training loop written out in full."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import nn
import tensorgrad as tg

BATCH = 64


class Data(NamedTuple):
    """Images (n, 64) float32, standardised with the training statistics; labels (n,) int64."""

    X_train: Any
    X_test: Any
    y_train: Any
    y_test: Any


def digits(seed: int = 0) -> Data:
    """scikit-learn's 1,797 images of 8x8 pixels, split 80/20 with equal shares of every digit."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=seed)
    mean = X_train.mean(axis=0)
    deviation = X_train.std(axis=0)
    deviation[deviation == 0] = 1.0  # pixels that are white on every image
    scaled = [((part - mean) / deviation).astype(np.float32) for part in (X_train, X_test)]
    return Data(*scaled, y_train, y_test)


@dataclass
class Run:
    """The record of one training run: a value per epoch, and the RMS gradient of each layer's weights."""

    title: str
    layers: list[str] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    first_gradients: list[float] = field(default_factory=list)
    last_gradients: list[float] = field(default_factory=list)


def train(title: str, model: nn.Module, data: Data, *, epochs: int, seed: int, verbose: bool = False) -> Run:
    """Train with AdamW and cross-entropy; print a line per epoch if ``verbose``."""
    # Weights decay; biases and the parameters of norms do not.
    decaying = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decaying, "weight_decay": 1e-2}, {"params": others, "weight_decay": 0.0}]
    optimizer = nn.AdamW(groups, lr=2e-3)
    rng = np.random.default_rng(seed)
    weights = [(name.removesuffix(".W"), p) for name, p in model.named_parameters() if name.endswith("W")]
    run = Run(title, layers=[name for name, _ in weights])

    @tg.compile
    def step(X: Any, y: Any) -> tg.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(X), y)
        loss.backward()
        optimizer.step()
        return loss

    def gradients() -> list[float]:
        return [float(np.sqrt(np.mean(np.square(p.grad)))) for _, p in weights]

    bar = tqdm(range(epochs), desc=title, unit="epoch", file=sys.stdout, disable=None if verbose else True)
    for epoch in bar:
        model.train()
        order = rng.permutation(len(data.X_train))
        # The few images that do not fill a batch are left for another epoch: one shape, one compiled program.
        for start in range(0, len(order) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            step(data.X_train[batch], data.y_train[batch])
            if not run.first_gradients:
                run.first_gradients = gradients()
        model.eval()
        for X, y, losses, accuracies in (
            (data.X_train, data.y_train, run.train_loss, run.train_accuracy),
            (data.X_test, data.y_test, run.test_loss, run.test_accuracy),
        ):
            with tg.no_grad():
                scores = model(X)
                losses.append(nn.functional.cross_entropy(scores, y).item())
            accuracies.append(float(np.mean(scores.data.argmax(axis=1) == y)))
        if verbose:
            bar.write(
                f"{title}  epoch {epoch + 1:2}  train loss {run.train_loss[-1]:.4f} accuracy "
                f"{run.train_accuracy[-1]:.4f}   test loss {run.test_loss[-1]:.4f} accuracy "
                f"{run.test_accuracy[-1]:.4f}"
            )
    run.last_gradients = gradients()
    return run
