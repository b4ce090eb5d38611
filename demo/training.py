"""The data, and a training run that prints one line."""

from __future__ import annotations

import sys
import time
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import nn


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


class Run(NamedTuple):
    """A training run: its name, what was trained, its history, and the monitor that watched it."""

    title: str
    model: nn.Model
    history: nn.History
    monitor: nn.GradientMonitor


class Line(nn.Callback):
    """One line for the whole run, rewritten after each epoch in a terminal."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.begun = time.perf_counter()
        self.terminal = sys.stdout.isatty()

    def on_epoch_end(self, fit: nn.Fit) -> None:
        if self.terminal:
            print("\r" + self.text(fit), end="", flush=True)

    def on_fit_end(self, fit: nn.Fit) -> None:
        print(("\r" if self.terminal else "") + self.text(fit))

    def text(self, fit: nn.Fit) -> str:
        """The line, after as many epochs as are done."""
        seconds = time.perf_counter() - self.begun
        return (
            f"  {self.title:28}epoch {fit.epoch:2}/{fit.epochs} {seconds:5.1f} s   loss {fit.row['loss']:.4f}"
            f"   test accuracy {fit.row['val_accuracy']:.4f}"
        )


def train(title: str, network: nn.Module, data: Data, *, epochs: int, seed: int = 0) -> Run:
    """Train with AdamW and cross-entropy, watched by a monitor."""
    optimizer = nn.AdamW(nn.no_decay(network), lr=2e-3, weight_decay=1e-2)
    model = nn.Model(network, optimizer=optimizer, metrics=["accuracy"], rng=seed)
    monitor = nn.GradientMonitor(model, verbose=False)
    history = model.fit(
        data.X_train,
        data.y_train,
        epochs=epochs,
        batch_size=64,
        validation_data=(data.X_test, data.y_test),
        callbacks=[monitor, Line(title)],
        progress=False,
    )
    return Run(title, model, history, monitor)
