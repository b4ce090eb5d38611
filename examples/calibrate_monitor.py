"""Calibrate the verdicts of nn.GradientMonitor: 600 networks whose truth is known, and nine hard ones.

The 30 networks: five pairs of activation and initialisation, 4, 8 and 16 hidden layers of 32, without and with batch
normalisation; on the digits of scikit-learn in float64, ten seeds, batches of 256 and 64. Measured at initialisation.
The table has, for each, the slope of the gradient in decades a layer (mean and range), that of the forecast, the
largest difference between the two over the seeds, and how many verdicts equal the truth.

    python examples/calibrate_monitor.py [--seeds 10]
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits

import nn

NORMAL_001, NORMAL_1 = {"name": "normal", "std": 0.01}, {"name": "normal", "std": 1.0}
# By name: activation, initialisation, and the truth without batch normalisation; with it, all are healthy.
KINDS: dict[str, tuple[str, Any, str]] = {
    "sigmoid LeCun": ("sigmoid", "lecun_normal", "vanishing"),
    "ReLU He": ("relu", "he_normal", "healthy"),
    "ReLU N(0, .01)": ("relu", NORMAL_001, "vanishing"),
    "ReLU N(0, 1)": ("relu", NORMAL_1, "exploding"),
    "tanh LeCun": ("tanh", "lecun_normal", "healthy"),
}
OTHERS = {"tanh N(0, 1)": ("tanh", NORMAL_1, ""), "sigmoid N(0, 1)": ("sigmoid", NORMAL_1, "")}
DEPTHS, BATCHES, WIDTH = (4, 8, 16), (256, 64), 32


def digits() -> tuple[Any, Any]:
    """The digits, each pixel with mean 0 and variance 1."""
    X, y = load_digits(return_X_y=True)
    scale = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(scale > 0, scale, 1.0), y


X, Y = digits()


def network(kind: str, depth: int, norm: str | None, seed: int, width: int = WIDTH) -> nn.MLP:
    """One of the networks."""
    activation, init, _ = {**KINDS, **OTHERS}[kind]
    return nn.MLP([64, *[width] * depth, 10], activation=activation, init=init, norm=norm, dtype=np.float64, rng=seed)


def batch_of(seed: int, rows: int) -> tuple[Any, Any]:
    """A random batch."""
    chosen = np.random.default_rng(seed).permutation(len(X))[:rows]
    return X[chosen], Y[chosen]


def measured(model: nn.Module, x: Any, y: Any) -> nn.GradientMonitor:
    """The monitor after one backward pass, without an update."""
    with nn.GradientMonitor(model, verbose=False) as monitor:
        nn.functional.cross_entropy(model(x), y).backward()
        monitor.step()
    return monitor


def trained(model: nn.Module, steps: int, *, lr: float, rows: int = 256, same: bool = False) -> nn.GradientMonitor:
    """The monitor after some steps of Adam; the last step is measured."""
    optimizer = nn.Adam(model.parameters(), lr=lr)
    monitor = nn.GradientMonitor(model, every=10, verbose=False)
    with monitor:
        for i in range(steps + 1):
            x, y = batch_of(0 if same else i, rows)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            monitor.step()
    return monitor


class Hard(NamedTuple):
    """A network on which a simpler rule fails."""

    name: str
    why: str
    expected: tuple[str, ...]
    make: Callable[[int], nn.GradientMonitor]


def at_start(kind: str, depth: int, norm: str | None = None, width: int = WIDTH) -> Callable[[int], nn.GradientMonitor]:
    """The monitor of a network at initialisation, as a function of the seed."""
    return lambda seed: measured(network(kind, depth, norm, seed, width), *batch_of(seed, 256))


HARD = [
    Hard(
        "ReLU He, batch norm, 64 layers",
        "a small slope, but 63 times",
        ("exploding",),
        at_start("ReLU He", 64, "batch"),
    ),
    Hard("sigmoid, 2 layers", "a steep slope, but once", ("healthy",), at_start("sigmoid LeCun", 2)),
    Hard("ReLU He, 64 layers", "no slope, but dead units", ("dead",), at_start("ReLU He", 64)),
    Hard("ReLU He, 16 layers of 8", "likewise", ("dead",), at_start("ReLU He", 16, width=8)),
    Hard("tanh N(0, 1), 8 layers", "no slope, but flat", ("saturated",), at_start("tanh N(0, 1)", 8)),
    Hard("sigmoid N(0, 1), 8 layers", "likewise", ("saturated",), at_start("sigmoid N(0, 1)", 8)),
    Hard(
        "ReLU He, 4 layers, loss 0",
        "trained: all gradients are tiny",
        ("healthy",),
        lambda seed: trained(network("ReLU He", 4, None, seed), 2000, lr=0.01, rows=64, same=True),
    ),
    Hard("ReLU N(0, .01), 4 layers", "before it recovers", ("vanishing",), at_start("ReLU N(0, .01)", 4)),
    Hard(
        "ReLU N(0, .01), 4 layers, step 50",
        "has recovered; about half of the units of its last layer are dead",
        ("healthy", "dead"),
        lambda seed: trained(network("ReLU N(0, .01)", 4, None, seed), 50, lr=0.001),
    ),
]


def calibrate(seeds: int) -> None:
    """Judge the 30 networks for each seed and batch size, and print a row for each network."""
    print(f"{'network':16}{'batch norm':12}{'depth':>5}  {'gradient, decades a layer':28}", end="")
    print(f"{'forecast':>9}{'off by':>8}{'|D|':>8}  {'truth':11}verdicts")
    equal, wrong, largest = 0, Counter[str](), 0.0
    healthy: list[float] = []
    sick: list[float] = []
    for kind, (_, _, bare_truth) in KINDS.items():
        for norm in (None, "batch"):
            truth = "healthy" if norm else bare_truth
            for depth in DEPTHS:
                verdicts, forecasts, off = [], [], []
                for seed in range(seeds):
                    for rows in BATCHES:
                        monitor = measured(network(kind, depth, norm, seed), *batch_of(seed, rows))
                        verdict, forecast = monitor.verdict, monitor.forecast
                        assert verdict is not None
                        assert forecast is not None
                        verdicts.append(verdict)
                        forecasts.append(forecast.slope)
                        off += [abs(forecast.slope - verdict.slope), abs(forecast.spread_slope - verdict.spread_slope)]
                slopes = [verdict.slope for verdict in verdicts]
                kinds = Counter(verdict.kind for verdict in verdicts)
                equal += kinds[truth]
                wrong += Counter(
                    {f"{truth} called {k} ({kind}, depth {depth})": n for k, n in kinds.items() if k != truth}
                )
                largest = max(largest, *off)
                (healthy if truth == "healthy" else sick).extend(abs(verdict.total) for verdict in verdicts)
                spans = f"{np.mean(slopes):+.3f} ({min(slopes):+.3f} to {max(slopes):+.3f})"
                total = max(abs(verdict.total) for verdict in verdicts)
                said = ", ".join(f"{k} {n}" for k, n in kinds.most_common())
                print(f"{kind:16}{norm or '-':12}{depth:5}  {spans:28}{np.mean(forecasts):+9.3f}", end="")
                print(f"{max(off):8.3f}{total:8.2f}  {truth:11}{said}")
    print(f"\n{equal} of {seeds * 60} equal to the truth; others: {dict(wrong) or 'none'}")
    print(f"|D|: healthy up to {max(healthy):.2f}, sick from {min(sick):.2f}")
    print(f"forecast and measurement (gradient and spread) differ by {largest:.3f} decades a layer at most")


def hard_cases(seeds: int) -> None:
    """Judge the hard networks."""
    print(f"\n{'network':36}{'expected':18}{'slope':>8}{'D':>8}{'spread':>8}  verdicts")
    for hard in HARD:
        verdicts = [hard.make(seed).verdict for seed in range(seeds)]
        kinds = Counter(verdict.kind for verdict in verdicts if verdict)
        means = [math.fsum(row) / seeds for row in zip(*[v[2:5] for v in verdicts if v], strict=True)]
        said = ", ".join(f"{k} {n}" for k, n in kinds.most_common())
        print(f"{hard.name:36}{' or '.join(hard.expected):18}{means[0]:+8.2f}{means[1]:+8.2f}{means[2]:+8.2f}  {said}")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    start = time.perf_counter()
    calibrate(options.seeds)
    hard_cases(options.seeds)
    print(f"{time.perf_counter() - start:.0f} seconds")


if __name__ == "__main__":
    main()
