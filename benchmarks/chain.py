"""A chain of a million recorded operations, and back: time and memory per operation, and whether memory is released.

Each library, tensorgrad and PyTorch, runs in a process of its own, because memory is measured per process.

    python benchmarks/chain.py [--length 1000000]
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np


def resident() -> int:
    """The resident memory of this process, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def leaf(library: str) -> Any:
    if library == "tensorgrad":
        import tensorgrad as tg

        return tg.Tensor(1.0, requires_grad=True)
    import torch

    torch.set_num_threads(1)
    return torch.tensor(1.0, dtype=torch.float64, requires_grad=True)


def run(library: str, length: int) -> dict[str, float]:
    """Record the chain, go back through it, and free it."""
    x = leaf(library)
    (x * 1.0000001).backward()
    x.grad = None
    gc.collect()
    gc.disable()
    before = resident()
    start = time.perf_counter()
    y = x
    for _ in range(length):
        y = y * 1.0000001
    recorded, most = time.perf_counter(), resident()
    y.backward()
    done = time.perf_counter()
    gradient = float(x.grad)
    del y
    return {
        "record": (recorded - start) / length * 1e6,
        "back": (done - recorded) / length * 1e6,
        "bytes": (most - before) / length,
        "left": (resident() - before) / length,
        "error": abs(gradient / np.exp(length * np.log1p(1e-7)) - 1),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=1_000_000)
    parser.add_argument("--library", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        print(json.dumps(run(options.library, options.length)))
        return
    print(f"{'':12}{'record us':>10}{'back us':>10}{'bytes/op':>10}{'left/op':>10}{'error':>10}")
    for library in ("tensorgrad", "torch"):
        if importlib.util.find_spec(library) is None:
            print(f"skipping {library}, which is not installed")
            continue
        command = [sys.executable, __file__, "--length", str(options.length), "--library", library]
        done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(
            f"{library:12}{done['record']:10.2f}{done['back']:10.2f}{done['bytes']:10.0f}{done['left']:10.0f}"
            f"{done['error']:10.1e}"
        )


if __name__ == "__main__":
    main()
