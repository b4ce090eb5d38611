"""One training step of the digits MLP: tensorgrad eager, in debug mode and compiled, and PyTorch eager.

The same model everywhere: 64-128-128-10 with batch normalisation and ReLU, cross-entropy, AdamW, batches of 64,
float32, the data of scikit-learn's ``load_digits``, one thread. Each measurement runs in a process of its own; the
kinds alternate. Figures are microseconds per step: the minimum and the median of a process's blocks of 50 steps. Ratios
are to PyTorch eager, pair by pair.

    python benchmarks/train_step.py [--processes 5] [--steps 1000]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

KINDS = ("torch eager", "tensorgrad eager", "tensorgrad debug", "tensorgrad compiled")
SIZES = (64, 128, 128, 10)
BATCH = 64
LR = 2e-3
DECAY = 1e-2
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def batches() -> Iterator[tuple[Any, Any]]:
    """An endless stream of shuffled mini-batches."""
    import numpy as np
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    X = ((X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-6)).astype(np.float32)
    rng = np.random.default_rng(0)
    while True:
        order = rng.permutation(len(X))
        for start in range(0, len(X) - BATCH + 1, BATCH):
            part = order[start : start + BATCH]
            yield X[part], y[part]


def tensorgrad_step(how: str) -> Callable[[Any, Any], float]:
    """The step as users would write it."""
    import nn
    import tensorgrad as tg

    model = nn.MLP(SIZES, activation="relu", norm="batch", init="he_normal", rng=0)
    optimizer = nn.AdamW(model.parameters(), lr=LR, weight_decay=DECAY)
    criterion = nn.CrossEntropyLoss()

    def step(X: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(X), y)
        loss.backward()
        optimizer.step()
        return loss

    run = {"eager": lambda f: f, "debug": tg.debug(), "compiled": tg.compile}[how](step)
    return lambda X, y: run(X, y).item()


def torch_step() -> Callable[[Any, Any], float]:
    """The same step in PyTorch, with arrays passed without a copy."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for n_in, n_out in pairwise(SIZES[:-1]):
        linear = torch.nn.Linear(n_in, n_out, bias=False)  # as in nn.MLP: the norm would cancel a bias
        layers += [linear, torch.nn.BatchNorm1d(n_out), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(*SIZES[-2:]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=DECAY)
    criterion = torch.nn.CrossEntropyLoss()

    def step(X: Any, y: Any) -> float:
        optimizer.zero_grad()
        loss = criterion(model(torch.from_numpy(X)), torch.from_numpy(y))
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def measure(kind: str, steps: int) -> dict[str, float]:
    """Seconds per step in blocks of 50, after 50 steps of warm-up, and the final loss."""
    step = torch_step() if kind == "torch eager" else tensorgrad_step(kind.rpartition(" ")[2])
    stream = batches()
    prepared = [next(stream) for _ in range(steps + 50)]
    for X, y in prepared[:50]:
        step(X, y)
    blocks = []
    loss = 0.0
    for start in range(50, steps + 50, 50):
        begin = time.perf_counter()
        for X, y in prepared[start : start + 50]:
            loss = step(X, y)
        blocks.append((time.perf_counter() - begin) / 50)
    return {"min": min(blocks), "median": statistics.median(blocks), "loss": loss}


def main() -> None:
    """Run the processes, alternating, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--kind", choices=KINDS, help="measure one kind in this process and print JSON")
    options = parser.parse_args()
    if options.kind:
        print(json.dumps(measure(options.kind, options.steps)))
        return
    results: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for _ in range(options.processes):
        for kind in KINDS:
            command = [sys.executable, __file__, "--kind", kind, "--steps", str(options.steps)]
            done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **THREADS})
            if done.returncode:
                sys.exit(f"{kind} failed:\n{done.stderr}")
            results[kind].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"microseconds per step, {options.processes} processes of {options.steps} steps each, one thread")
    print(f"{'':22}{'min':>9}{'median':>9}{'ratio of minima':>18}{'of medians':>12}{'loss at the end':>18}")
    for kind in KINDS:
        runs = results[kind]
        peers = results["torch eager"]
        ratios = {
            figure: statistics.median(a[figure] / b[figure] for a, b in zip(runs, peers, strict=True))
            for figure in ("min", "median")
        }
        print(
            f"{kind:22}{min(r['min'] for r in runs) * 1e6:9.0f}"
            f"{statistics.median(r['median'] for r in runs) * 1e6:9.0f}"
            f"{ratios['min']:18.2f}{ratios['median']:12.2f}{statistics.median(r['loss'] for r in runs):18.4f}"
        )


if __name__ == "__main__":
    main()
