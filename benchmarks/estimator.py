"""``FNNClassifier.fit`` against scikit-learn's ``MLPClassifier``, with the same layers, batch size and epochs.

Both get standardised digits in float32, ReLU, Adam with a learning rate of 0.001 and no penalty; neither stops early.
The third is ``nn.Model.fit`` on the same network without compiled steps, which ``FNNClassifier`` uses. Each measurement
runs in a process of its own on one core; the kinds alternate. Figures are seconds of ``fit``: of the process's first,
and the minimum and median of the others; the ratios of minima; and the accuracy on a held-out quarter.

    python benchmarks/estimator.py [--rounds 3] [--quick]
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from _harness import Result, alternate, parser_of, pin, report_to_parent, save, summary
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import nn

# Hidden layers and batch size: scikit-learn's defaults first; then the ratio that the fit must not exceed.
SIZES: dict[str, tuple[tuple[int, ...], int, float | None]] = {
    "(100,) batch 200": ((100,), 200, 0.55),
    "(64, 32) batch 32": ((64, 32), 32, 0.30),
    "(128, 128) batch 64": ((128, 128), 64, 0.42),
    "(512, 512, 256) batch 128": ((512, 512, 256), 128, None),
}


class Eager:
    """``Model.fit`` as a classifier."""

    def __init__(self, hidden: tuple[int, ...], batch: int, epochs: int) -> None:
        self._model = nn.Model(nn.MLP([64, *hidden, 10], rng=0), optimizer={"name": "adam", "lr": 1e-3}, rng=0)
        self._options: dict[str, Any] = {"batch_size": batch, "epochs": epochs, "progress": False, "compile": False}

    def fit(self, X: Any, y: Any) -> None:
        self._model.fit(X, y, **self._options)

    def score(self, X: Any, y: Any) -> float:
        return nn.metrics.accuracy(self._model.predict(X), y)


def _scikit_learn(hidden: tuple[int, ...], batch: int, epochs: int) -> Any:
    return MLPClassifier(
        hidden, batch_size=batch, max_iter=epochs, alpha=0.0, tol=0.0, n_iter_no_change=epochs, random_state=0
    )


def _ours(hidden: tuple[int, ...], batch: int, epochs: int) -> Any:
    return nn.FNNClassifier(hidden, batch_size=batch, epochs=epochs, random_state=0)


COMPARED: dict[str, Callable[[tuple[int, ...], int, int], Any]] = {
    "scikit-learn": _scikit_learn,
    "FNNClassifier": _ours,
    "Model, eager": Eager,
}


def measure(kind: str, size: str, quick: bool) -> Result:
    """Seconds of fit: the first, and the minimum and median of those after it."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, y = load_digits(return_X_y=True)
    X = ((X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-6)).astype(np.float32)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    hidden, batch, _ = SIZES[size]
    times = []
    for _ in range(3 if quick else 5):
        classifier = COMPARED[kind](hidden, batch, 10 if quick else 20)
        start = time.perf_counter()
        classifier.fit(X_train, y_train)
        times.append(time.perf_counter() - start)
    first, *rest = times
    return {
        "first": first,
        "min": min(rest),
        "median": statistics.median(rest),
        "score": classifier.score(X_test, y_test),
    }


def main() -> None:
    """Run the processes, alternating, and print the table."""
    parser = parser_of(__doc__, list(COMPARED))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    options = parser.parse_args()
    if options.measure:
        pin(options.cores)
        report_to_parent(measure(options.measure, options.sizes[0], options.quick))
        return
    results: dict[str, Any] = {}
    print(f"{'':27}{'':14}{'first':>8}{'min':>8}{'median':>8}{'ratio':>7}{'bar':>6}{'accuracy':>10}")
    for size in options.sizes[: 3 if options.quick else None]:
        runs = results[size] = alternate(__file__, options, "--sizes", size)
        theirs = summary(runs.get("scikit-learn", []))
        for kind, each in runs.items():
            least = summary(each)
            if least is None:
                print(f"{size:27}{kind:14}  {each[-1]['failed']}")
                continue
            first, median = min(r["first"] for r in each if "first" in r), summary(each, "median")
            bar = f"{SIZES[size][2] or '':>6}" if kind == "FNNClassifier" else f"{'':6}"
            ratio = f"{least / theirs:7.2f}" if theirs else f"{'':7}"
            print(f"{size:27}{kind:14}{first:8.3f}{least:8.3f}{median:8.3f}{ratio}{bar}{each[0]['score']:10.3f}")
        save("estimator", results, options)


if __name__ == "__main__":
    main()
