"""``FNNClassifier.fit`` against scikit-learn's ``MLPClassifier``, with the same layers, batch size and epochs.

Both get standardised digits in float32, ReLU, Adam with a learning rate of 0.001 and no penalty; neither stops early.
"FNNClassifier" finds its kernels on disk, as after a long fit; "FNNClassifier, cold" finds none. The last is
``nn.Model.fit`` on the same network without compiled steps, which ``FNNClassifier`` uses. Each measurement runs in a
process of its own on one core; the kinds alternate. Figures are seconds of ``fit``: of the process's first, and the
minimum and median of the others; the ratios of minima, for the cold kind of its first fit to the minimum; and the
accuracy on a held-out quarter.

    python benchmarks/estimator.py [--rounds 3] [--quick]
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from _harness import Result, alternate, parser_of, pin, report_to_parent, run, save, summary
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import nn
import tensorgrad.compiler.tiers

WARM, COLD = "FNNClassifier", "FNNClassifier, cold"
# Hidden layers and batch size: scikit-learn's defaults first; then the ratios that the fit must not exceed.
SIZES: dict[str, tuple[tuple[int, ...], int, dict[str, float]]] = {
    "(100,) batch 200": ((100,), 200, {WARM: 0.55, COLD: 0.83}),
    "(64, 32) batch 32": ((64, 32), 32, {WARM: 0.30, COLD: 0.68}),
    "(128, 128) batch 64": ((128, 128), 64, {WARM: 0.42, COLD: 0.70}),
    "(512, 512, 256) batch 128": ((512, 512, 256), 128, {}),
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
    WARM: _ours,
    COLD: _ours,
    "Model, eager": Eager,
}


def measure(kind: str, size: str, quick: bool, fill: bool = False) -> Result:
    """Seconds of fit: the first, and the minimum and median of those after it.

    With ``fill``, the first fit leaves its kernels on disk, as one that runs for seconds does.
    """
    warnings.simplefilter("ignore", ConvergenceWarning)
    if fill:
        tensorgrad.compiler.tiers.START = tensorgrad.compiler.tiers.SWITCH = 0.0
    if kind == COLD:
        os.environ["TENSORGRAD_CACHE"] = ""
    X, y = load_digits(return_X_y=True)
    X = ((X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-6)).astype(np.float32)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    hidden, batch, _ = SIZES[size]
    gc.collect()  # of what the imports made, which would fall into one of the fits
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


def ratio(kind: str, runs: dict[str, list[Result]]) -> float | None:
    """The ratio of a kind's least time to scikit-learn's, or of a cold fit's."""
    theirs, ours = summary(runs.get("scikit-learn", [])), summary(runs[kind], "first" if kind == COLD else "min")
    return ours / theirs if ours and theirs else None


def main() -> None:
    """Run the processes, alternating, and print the table."""
    parser = parser_of(__doc__, list(COMPARED))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--fill", action="store_true", help="leave kernels on disk")
    options = parser.parse_args()
    if options.measure:
        pin(options.cores)
        report_to_parent(measure(options.measure, options.sizes[0], options.quick, options.fill))
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TENSORGRAD_CACHE"] = folder
        _compare(options)


def _compare(options: argparse.Namespace) -> None:
    results: dict[str, Any] = {}
    print(f"{'':27}{'':20}{'first':>8}{'min':>8}{'median':>8}{'ratio':>7}{'bar':>6}{'accuracy':>10}")
    for size in options.sizes[: 3 if options.quick else None]:
        if WARM in options.kinds:
            run(__file__, WARM, options, "--sizes", size, "--fill")
        runs = results[size] = alternate(__file__, options, "--sizes", size)
        for kind, each in runs.items():
            least = summary(each)
            if least is None:
                print(f"{size:27}{kind:20}  {each[-1]['failed']}")
                continue
            first, median = min(r["first"] for r in each if "first" in r), summary(each, "median")
            found, bar = ratio(kind, runs), SIZES[size][2].get(kind, "")
            shown = f"{found:7.2f}" if found else f"{'':7}"
            print(f"{size:27}{kind:20}{first:8.3f}{least:8.3f}{median:8.3f}{shown}{bar:>6}{each[0]['score']:10.3f}")
        save("estimator", results, options)


if __name__ == "__main__":
    main()
