"""The digits MLP on a GPU through CuPy: correct values, and the time of a step beside PyTorch's.

    python benchmarks/cuda.py [--steps 200]

Needs a GPU, cupy and, for the ratio, torch with CUDA. Gradients are compared with those on the CPU in float64 first;
then both libraries run the same steps in turn, each waiting for the GPU at the end. Figures are the minimum and median
over five rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

import nn
import tensorgrad as tg

SIZES, BATCH, LR, DECAY = (64, 128, 128, 10), 64, 2e-3, 1e-2


def data() -> tuple[Any, Any]:
    """The digits, with mean 0 and variance 1."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return ((X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-6)).astype(np.float32), y


def check(cupy: Any, X: Any, y: Any) -> float:
    """The largest difference between gradients on the GPU and on the CPU, in float64."""
    gradients = []
    for library in (np, cupy):
        model = nn.MLP(SIZES, norm="batch", rng=0, dtype=np.float64).to(library)
        inputs, labels = library.asarray(X[:BATCH].astype(np.float64)), library.asarray(y[:BATCH])
        nn.functional.cross_entropy(model(inputs), labels).backward()
        gradients.append([p.grad if library is np else p.grad.get() for p in model.parameters()])
    return max(float(np.abs(a - b).max()) for a, b in zip(*gradients, strict=True))


def ours(cupy: Any, X: Any, y: Any) -> Callable[[int], float]:
    """Some steps; returns the loss of the last."""
    model = nn.MLP(SIZES, norm="batch", init="he_normal", rng=0).to(cupy)
    optimizer = nn.AdamW(model.parameters(), lr=LR, weight_decay=DECAY)
    X, y = cupy.asarray(X), cupy.asarray(y)

    def run(steps: int) -> float:
        for k in range(steps):
            start = k * BATCH % (len(X) - BATCH)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(X[start : start + BATCH]), y[start : start + BATCH])
            loss.backward()
            optimizer.step()
        cupy.cuda.Stream.null.synchronize()
        return float(tg.array_of(loss))

    return run


def theirs(X: Any, y: Any) -> Callable[[int], float]:
    """The same in PyTorch."""
    import torch

    layers: list[Any] = []
    for n_in, n_out in pairwise(SIZES[:-1]):
        layers += [torch.nn.Linear(n_in, n_out, bias=False), torch.nn.BatchNorm1d(n_out), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(*SIZES[-2:])).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=DECAY)
    inputs, labels = torch.from_numpy(X).cuda(), torch.from_numpy(y).cuda()

    def run(steps: int) -> float:
        for k in range(steps):
            start = k * BATCH % (len(inputs) - BATCH)
            optimizer.zero_grad()
            logits = model(inputs[start : start + BATCH])
            loss = torch.nn.functional.cross_entropy(logits, labels[start : start + BATCH])
            loss.backward()
            optimizer.step()
        torch.cuda.synchronize()
        return float(loss)

    return run


def main() -> None:
    """Check, then measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    given = parser.parse_args()
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        raise SystemExit(f"cuda.py: no GPU that CuPy can use ({type(error).__name__}: {error})") from error
    X, y = data()
    print(f"largest difference of gradients to the CPU, float64: {check(cupy, X, y):.1e}")
    runs: dict[str, Callable[[int], float]] = {"tensorgrad on CuPy": ours(cupy, X, y)}
    try:
        runs["PyTorch"] = theirs(X, y)
    except (ImportError, AssertionError, RuntimeError) as error:
        print(f"PyTorch is left out: {error}")
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(20)
    for _ in range(5):
        for name, run in runs.items():
            began = time.perf_counter()
            loss = run(given.steps)
            times[name].append((time.perf_counter() - began) / given.steps * 1e6)
            print(f"{name}: loss {loss:.4f}")
    for name, taken in times.items():
        print(f"{name:20} {min(taken):9.1f} us a step, median {statistics.median(taken):9.1f}")
    if len(times) == 2:
        first, second = (min(taken) for taken in times.values())
        print(f"ratio {first / second:.2f}")


if __name__ == "__main__":
    main()
