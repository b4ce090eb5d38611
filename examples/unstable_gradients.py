"""Which remedies help against unstable gradients: every combination, on three real data sets.

Six hidden layers of 64, once for each combination of activation (sigmoid, ReLU), initialisation (LeCun, Glorot, He),
optimiser (SGD, Adam, AdamW), batch normalisation (without, with) and dropout (0, 0.1), on data bundled with
scikit-learn: digits and breast cancer (accuracy) and diabetes (R²). Inputs are standardised with the statistics of the
training part, a quarter is held out for testing, and each seed draws a new split, weights and order.

For each combination and data set, the table shows the test score after the last epoch, averaged over the seeds, and
the mean number of epochs until the test score first reached a bar (in brackets how many seeds reached it, if not all).
A second table shows the means over everything else, one remedy at a time.

    python examples/unstable_gradients.py [--seeds 3] [--epochs 40] [--jobs 2]
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.model_selection import train_test_split

import nn
import tensorgrad as tg

FACTORS = {
    "activation": ("sigmoid", "relu"),
    "init": ("lecun_normal", "glorot_normal", "he_normal"),
    "optimizer": ("sgd", "adam", "adamw"),
    "norm": (None, "batch"),
    "dropout": (0.0, 0.1),
}
RATES = {"sgd": {"lr": 0.02}, "adam": {"lr": 1e-3}, "adamw": {"lr": 1e-3, "weight_decay": 0.01}}
HIDDEN = [64] * 6
BATCH = 32


class Problem(NamedTuple):
    """A data set, and the score at which it counts as learnt."""

    load: Any
    loss: str
    metric: str
    bar: float


PROBLEMS = {
    "digits": Problem(load_digits, "cross_entropy", "accuracy", 0.95),
    "cancer": Problem(load_breast_cancer, "cross_entropy", "accuracy", 0.95),
    "diabetes": Problem(load_diabetes, "mse", "r2", 0.40),
}


class Result(NamedTuple):
    """The test score after the last epoch (NaN: diverged), and the first epoch that reached the bar, or None."""

    score: float
    epochs: int | None


def split(problem: Problem, seed: int) -> tuple[Any, Any, Any, Any]:
    """The training and test parts; real targets have mean 0 and variance 1 in the training part."""
    X, y = problem.load(return_X_y=True)
    classes = problem.loss == "cross_entropy"
    X_train, X_test, y_train, y_test = train_test_split(
        X.astype(np.float32), y, test_size=0.25, random_state=seed, stratify=y if classes else None
    )
    if not classes:
        mean, scale = y_train.mean(), y_train.std()
        y_train, y_test = (((part - mean) / scale).astype(np.float32).reshape(-1, 1) for part in (y_train, y_test))
    return X_train, X_test, y_train, y_test


def run(name: str, remedies: dict[str, Any], seed: int, epochs: int) -> Result:
    """Train one network."""
    problem = PROBLEMS[name]
    X_train, X_test, y_train, y_test = split(problem, seed)
    outputs = 1 if problem.loss == "mse" else int(y_train.max()) + 1
    layers = {key: value for key, value in remedies.items() if key != "optimizer"}
    network = nn.Sequential(
        nn.Standardize(X_train.shape[1]).fit(X_train),
        nn.MLP([X_train.shape[1], *HIDDEN, outputs], **layers, rng=seed),
    )
    optimizer = {"name": remedies["optimizer"], **RATES[remedies["optimizer"]]}
    model = nn.Model(network, loss=problem.loss, optimizer=optimizer, metrics=[problem.metric], rng=seed)
    # The remaining rows would make a batch of three: too few for the statistics of a batch norm.
    data = {"validation_data": (X_test, y_test), "batch_size": BATCH, "drop_last": True}
    try:
        model.fit(X_train, y_train, epochs=epochs, **data, progress=False)
    except tg.NonFiniteError:  # the weights grew without bound
        return Result(math.nan, None)
    history = model.history
    scores = history[f"val_{problem.metric}"]
    reached = next((epoch for epoch, score in enumerate(scores, 1) if score >= problem.bar), None)
    return Result(scores[-1], reached)


def combinations() -> list[dict[str, Any]]:
    """All combinations of the remedies."""
    return [dict(zip(FACTORS, values, strict=True)) for values in itertools.product(*FACTORS.values())]


def cell(results: list[Result]) -> str:
    """The score and epochs of one combination on one data set."""
    score = statistics.fmean(result.score for result in results)
    reached = [result.epochs for result in results if result.epochs is not None]
    epochs = f"{statistics.fmean(reached):.0f}" if reached else "never"
    share = f" ({len(reached)}/{len(results)})" if 0 < len(reached) < len(results) else ""
    return f"{score:6.3f}  {epochs + share:10}"


def label(value: Any) -> str:
    """The name of a remedy in the tables."""
    return {
        None: "-",
        "batch": "batch norm",
        0.0: "-",
        "relu": "ReLU",
        "sgd": "SGD",
        "adam": "Adam",
        "adamw": "AdamW",
    }.get(value, str(value).removesuffix("_normal"))


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    start = time.perf_counter()
    keys = [(name, i, seed) for name in PROBLEMS for i in range(len(combinations())) for seed in range(options.seeds)]
    names, indices, seeds = zip(*keys, strict=True)
    remedies = [combinations()[i] for i in indices]
    with ProcessPoolExecutor(options.jobs) as pool:
        done = pool.map(run, names, remedies, seeds, itertools.repeat(options.epochs), chunksize=4)
        results = dict(zip(keys, done, strict=True))

    bars = ", ".join(f"{name} {problem.metric} {problem.bar}" for name, problem in PROBLEMS.items())
    print(f"{options.seeds} seeds, {options.epochs} epochs; test score at the end, and epochs to reach: {bars}")
    titles = "".join(f"{title:12}" for title in FACTORS)
    print(f"{titles}{''.join(f'{name:20}' for name in PROBLEMS)}")
    for i, combination in enumerate(combinations()):
        cells = [cell([results[name, i, seed] for seed in range(options.seeds)]) for name in PROBLEMS]
        print(f"{''.join(f'{label(value):12}' for value in combination.values())}{'  '.join(cells)}")
    print("\nmeans over everything else")
    for factor, values in FACTORS.items():
        for value in values:
            chosen = [i for i, combination in enumerate(combinations()) if combination[factor] == value]
            cells = [
                cell([results[name, i, seed] for i in chosen for seed in range(options.seeds)]) for name in PROBLEMS
            ]
            print(f"{factor:12}{label(value):48}{'  '.join(cells)}")
    print(f"{time.perf_counter() - start:.0f} seconds")


if __name__ == "__main__":
    main()
