"""What one recorded elementwise operation costs, forward and backward, beside PyTorch eager.

Both run in this process, in alternation, on the same numbers: a chain of 100 operations on a leaf of 8 float32
numbers is recorded and gone back through. Figures are microseconds per operation, ratios are ours to PyTorch's.

    python benchmarks/per_op.py [--rounds 200] [--size 8]
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import tensorgrad as tg

CHAIN = 100

OPERATIONS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "x + y": (lambda x, y: x + y, lambda x, y: x + y),
    "x * y": (lambda x, y: x * y, lambda x, y: x * y),
    "x * 0.5": (lambda x, y: x * 0.5, lambda x, y: x * 0.5),
    "x - y": (lambda x, y: x - y, lambda x, y: x - y),
    "x / y": (lambda x, y: x / y, lambda x, y: x / y),
    "-x": (lambda x, y: -x, lambda x, y: -x),
    "tanh(x)": (lambda x, y: x.tanh(), lambda x, y: x.tanh()),
    "exp(-x)": (lambda x, y: (-x).exp(), lambda x, y: (-x).exp()),
    "sin(x)": (lambda x, y: x.sin(), lambda x, y: x.sin()),
    "relu(x)": (lambda x, y: x.relu(), lambda x, y: x.relu()),
    "sigmoid(x)": (lambda x, y: x.sigmoid(), lambda x, y: x.sigmoid()),
}
PER_CALL = {"exp(-x)": 2}  # operations in one call


def timed(operation: Callable[[Any, Any], Any], x: Any, y: Any, seed: Any) -> tuple[float, float]:
    """Seconds for recording the chain, and for going back."""
    x.grad = y.grad = None
    result = x
    start = time.perf_counter()
    for _ in range(CHAIN):
        result = operation(result, y)
    middle = time.perf_counter()
    result.backward(seed)
    return middle - start, time.perf_counter() - middle


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--size", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    a = rng.uniform(0.5, 1.5, options.size).astype(np.float32)
    b = rng.uniform(0.9, 1.1, options.size).astype(np.float32)
    ones = np.ones_like(a)
    ours = (tg.Tensor(a, requires_grad=True), tg.Tensor(b, requires_grad=True), ones)
    theirs = (
        torch.tensor(a, requires_grad=True),
        torch.tensor(b, requires_grad=True),
        torch.from_numpy(ones),
    )
    print(f"numpy {np.__version__}, torch {torch.__version__}, {options.size} float32 numbers, {options.rounds} rounds")
    print("microseconds per operation: record + backward; ratio to PyTorch")
    print(f"{'operation':12}{'tensorgrad min':>18}{'median':>15}{'torch min':>18}{'median':>15}{'min':>8}{'median':>8}")
    ratios_min, ratios_median = [], []
    for name, (our_operation, their_operation) in OPERATIONS.items():
        gc.collect()
        times: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
        for _ in range(options.rounds):
            times["ours"].append(timed(our_operation, *ours))
            times["theirs"].append(timed(their_operation, *theirs))
        scale = 1e6 / CHAIN / PER_CALL.get(name, 1)
        cells, both = [], []
        for side in ("ours", "theirs"):
            forward, back = zip(*times[side], strict=True)
            for pick in (min, statistics.median):
                cells.append(f"{pick(forward) * scale:6.2f} + {pick(back) * scale:5.2f}")
            both.append([sum(pair) for pair in times[side]])
        ratio_min = min(both[0]) / min(both[1])
        ratio_median = statistics.median(both[0]) / statistics.median(both[1])
        ratios_min.append(ratio_min)
        ratios_median.append(ratio_median)
        print(f"{name:12}{cells[0]:>18}{cells[1]:>15}{cells[2]:>18}{cells[3]:>15}{ratio_min:8.2f}{ratio_median:8.2f}")
    print(
        f"geometric mean of the ratios: {statistics.geometric_mean(ratios_min):.2f} (minima), "
        f"{statistics.geometric_mean(ratios_median):.2f} (medians); worst {max(ratios_median):.2f}"
    )


if __name__ == "__main__":
    main()
