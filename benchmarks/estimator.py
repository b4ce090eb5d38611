"""``FNNClassifier.fit`` against scikit-learn's ``MLPClassifier``, with the same layers, batch size and epochs.

Both get standardised digits in float32, ReLU, Adam with a learning rate of 0.001 and no penalty; neither stops early.
The third is ``nn.Model.fit`` on the same network without compiled steps, which ``FNNClassifier`` uses. One thread, all
alternating in one process after a short fit of each. Figures are the seconds ``fit`` takes (minimum and median), the
ratio to scikit-learn, and the accuracy on a held-out quarter.

    python benchmarks/estimator.py [--repeats 7] [--epochs 20]
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits  # a dependency of scikit-learn

import nn

# Hidden layers and batch size: scikit-learn's defaults first.
SIZES: tuple[tuple[tuple[int, ...], int], ...] = (
    ((100,), 200),
    ((128, 128), 64),
    ((256, 128), 64),
    ((512, 256), 64),
    ((512, 512, 256), 128),
)


class Eager:
    """``Model.fit`` as a classifier."""

    def __init__(self, hidden: tuple[int, ...], batch: int, epochs: int) -> None:
        self._model = nn.Model(nn.MLP([64, *hidden, 10], rng=0), optimizer={"name": "adam", "lr": 1e-3}, rng=0)
        self._options: dict[str, Any] = {"batch_size": batch, "epochs": epochs, "progress": False}

    def fit(self, X: Any, y: Any) -> None:
        self._model.fit(X, y, **self._options)

    def score(self, X: Any, y: Any) -> float:
        return nn.metrics.accuracy(self._model.predict(X), y)


def classifiers(hidden: tuple[int, ...], batch: int, epochs: int) -> dict[str, Any]:
    """The three classifiers, with the same settings."""
    return {
        "scikit-learn": MLPClassifier(
            hidden, batch_size=batch, max_iter=epochs, alpha=0.0, tol=0.0, n_iter_no_change=epochs, random_state=0
        ),
        "FNNClassifier": nn.FNNClassifier(hidden, batch_size=batch, epochs=epochs, random_state=0),
        "Model, eager": Eager(hidden, batch, epochs),
    }


def main() -> None:
    """Run the fits, alternating, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, y = load_digits(return_X_y=True)
    X = ((X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-6)).astype(np.float32)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    print(f"seconds of fit, {options.epochs} epochs of {len(X_train)} digits, {options.repeats} repeats, one thread")
    print(f"{'hidden':18}{'batch':>6}  {'':14}{'min':>8}{'median':>9}{'ratio':>8}{'accuracy':>10}")
    for hidden, batch in SIZES:
        for classifier in classifiers(hidden, batch, 2).values():
            classifier.fit(X_train, y_train)
        seconds: dict[str, list[float]] = {}
        accuracy = {}
        for _ in range(options.repeats):
            for name, classifier in classifiers(hidden, batch, options.epochs).items():
                start = time.perf_counter()
                classifier.fit(X_train, y_train)
                seconds.setdefault(name, []).append(time.perf_counter() - start)
                accuracy[name] = classifier.score(X_test, y_test)
        for name, times in seconds.items():
            ratio = statistics.median(a / b for a, b in zip(times, seconds["scikit-learn"], strict=True))
            print(
                f"{hidden!s:18}{batch:6}  {name:14}{min(times):8.3f}{statistics.median(times):9.3f}{ratio:8.2f}"
                f"{accuracy[name]:10.3f}"
            )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
