"""A convolution and its two gradients, compared with PyTorch.

One square convolution in float32 for each row: batch, channels, outputs, side of the image, side of the window,
padding. The sum of the result times constants is differentiated, forward and back, with gradients for images and
weights, which are first compared, to 1e-3 of the largest. Both run in this process, alternating, on one thread.
Figures are milliseconds of processor time; ratios are ours to PyTorch's. Pin the process to one core:

    taskset -c 1 python benchmarks/conv.py [--rounds 20]
"""

from __future__ import annotations

import argparse
from typing import Any

from _gradients import compared  # first: it sets the threads

# isort: split
import numpy as np

import tensorgrad as tg

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

        def ours(x: Any, w: Any, padding: int = padding, g: Any = g) -> Any:
            return tg.conv(x, w, padding=padding) * g

        def theirs(x: Any, w: Any, padding: int = padding, g: Any = g) -> Any:
            return torch.nn.functional.conv2d(x, w, padding=padding) * torch.from_numpy(g)

        (best, middle), (their_best, their_middle) = compared(
            ours, theirs, (x, w), rounds=rounds, rtol=1e-7, atol=1e-3, torch=torch
        )
        print(f"{row!s:>30} {best:10.3f} {middle:8.3f} {their_best:10.3f} {their_middle:8.3f} {best / their_best:7.2f}")


if __name__ == "__main__":
    main()
