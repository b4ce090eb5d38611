"""A convolution and its two gradients, compared with PyTorch.

One square convolution in float32 for each row: batch, channels, outputs, side of the image, side of the window,
padding. The sum of the result times constants is differentiated, forward and back, with gradients for images and
weights, which are first compared, to 1e-3 of the largest. Both run in this process, alternating, on one thread.
Figures are milliseconds of processor time; ratios are ours to PyTorch's. Pin the process to one core:

    taskset -c 1 python benchmarks/conv.py [--rounds 20]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402 (after the threads are set)

import tensorgrad as tg  # noqa: E402

ROWS = [
    (64, 1, 16, 8, 3, 1),
    (64, 16, 32, 4, 3, 1),
    (64, 16, 32, 8, 3, 1),
    (64, 64, 64, 8, 3, 1),
    (64, 6, 16, 10, 5, 0),
    (32, 1, 32, 28, 3, 1),
    (32, 32, 64, 14, 3, 1),
    (128, 3, 32, 32, 5, 2),
    (8, 64, 64, 56, 3, 1),
    (8, 256, 256, 14, 3, 1),
]


def run(convolve: Callable[..., Any], leaf: Callable[..., Any], arrays: tuple[Any, ...]) -> tuple[float, list[Any]]:
    """Milliseconds, and the gradients."""
    x, w, g = arrays
    start = time.process_time()
    leaves = [leaf(x), leaf(w)]
    (convolve(*leaves) * g).sum().backward()
    return (time.process_time() - start) * 1e3, [np.asarray(t.grad) for t in leaves]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    try:
        import torch
    except ImportError:
        print("there is nothing to compare with: torch is not installed")
        return
    torch.set_num_threads(1)

    print(f"{'':>30} {'ours, ms':>10} {'median':>8} {'PyTorch':>10} {'median':>8} {'ratio':>7}")
    for row in ROWS:
        batch, channels, outputs, side, window, padding = row
        rng = np.random.default_rng(0)
        x = rng.normal(size=(batch, channels, side, side)).astype(np.float32)
        w = (rng.normal(size=(outputs, channels, window, window)) / window).astype(np.float32)
        out = side + 2 * padding - window + 1
        g = rng.normal(size=(batch, outputs, out, out)).astype(np.float32)

        def ours(x: Any, w: Any, padding: int = padding) -> Any:
            return tg.conv(x, w, padding=padding)

        def theirs(x: Any, w: Any, padding: int = padding) -> Any:
            return torch.nn.functional.conv2d(x, w, padding=padding)

        def our_leaf(a: Any) -> Any:
            return tg.Tensor(a, requires_grad=True)

        def their_leaf(a: Any) -> Any:
            return torch.from_numpy(a).requires_grad_()

        sides = ((ours, our_leaf, (x, w, g)), (theirs, their_leaf, (x, w, torch.from_numpy(g))))
        for a, b in zip(*(run(*side)[1] for side in sides), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-3 * np.abs(b).max())
        took: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for times, each in zip(took, sides, strict=True):
                times.append(run(*each)[0])
        (a, b), (c, d) = ((min(times), statistics.median(times)) for times in took)
        print(f"{row!s:>30} {a:10.3f} {b:8.3f} {c:10.3f} {d:8.3f} {a / c:7.2f}")


if __name__ == "__main__":
    main()
