"""Training on several processes: the cost of a sum, of a step, and of more processes than this machine has.

    python benchmarks/parallel.py [--rounds 5] [--picture docs/parallel.png] [--data GIGABYTES]

Needs mpi4py and mpiexec (``pip install 'tensorgrad-np[mpi-local]'``). The program starts itself, in 1, 2 and 4
processes with one BLAS thread each; rounds alternate, and figures are minima and medians over them.

The model of a step with N processes is ``compute(batch / N) + sum(bytes, N)``. The first is measured in one process
with that many rows. The second is ``latency * ceil(log2 N) + 2 (N - 1) / N * bytes / bandwidth``, the bound of a ring
(Patarasuk and Yuan, 2009), with latency and bandwidth fitted to sums of two processes. If there are more processes
than cores, they take turns: compute is multiplied by processes / cores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

import nn
import nn.parallel
import tensorgrad as tg

NETS = {"medium": ((784, 256, 128, 10), 128), "large": ((1024, 2048, 2048, 1000), 512)}
SIZES = (1, 1_000, 100_000, 1_000_000, 10_000_000)  # elements of float32
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def least(function: Callable[[], Any], comm: Any, seconds: float = 1.0) -> float:
    """The shortest of the runs in so many seconds, at least three, in this process; all begin at once."""
    durations: list[float] = []
    runs = 3
    while len(durations) < runs:
        comm.barrier()
        began = time.perf_counter()
        function()
        durations.append(time.perf_counter() - began)
        if len(durations) == 3:
            mean = float(comm.all_sum(np.array(sum(durations)))) / (3 * comm.size)
            runs = max(3, min(1000, int(seconds / mean)))  # the same in each process
    return min(durations)


def step_of(net: str, rows: int, comm: Any) -> Callable[[], Any]:
    """A step of AdamW on some rows, with its gradients summed over the processes."""
    sizes, _ = NETS[net]
    rng = np.random.default_rng(comm.rank)
    network = nn.parallel.DataParallel(nn.MLP(sizes, norm="batch", rng=0), comm)
    optimizer = nn.AdamW(network.parameters())
    X, y = rng.normal(size=(rows, sizes[0])).astype(np.float32), rng.integers(0, sizes[-1], rows)

    def step(X: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = network.backward(nn.functional.cross_entropy(network(X), y), len(y))
        optimizer.step()
        return loss

    compiled = tg.compile(step, backend="numpy")  # the same code in every call
    compiled(X, y)
    return lambda: compiled(X, y)


def worker(what: str, file: str) -> None:
    """What each process does; rank 0 writes the result."""
    comm = nn.parallel.init(timeout=300)
    net, batches = what.split(":")
    found: dict[str, Any] = {"sums": {}, "steps": {}}
    for size in SIZES if comm.size > 1 else ():
        array = np.ones(size, np.float32)
        found["sums"][size] = least(lambda array=array: comm.all_sum(array), comm, 0.1)
    for rows in batches.split(","):
        found["steps"][rows] = least(step_of(net, -(-int(rows) // comm.size), comm), comm)
    if comm.rank == 0:
        with open(file, "w") as out:
            json.dump(found, out)


def measured(what: str, processes: int) -> dict[str, Any]:
    """The result of some processes of this program."""
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "result.json")
        command = [sys.executable, "-m", "nn.parallel", "-n", str(processes), "--oversubscribe"]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        subprocess.run([*command, __file__, "--worker", what, "--file", file], check=True, env=environment)
        with open(file) as given:
            result: dict[str, Any] = json.load(given)
    return result


def sum_model(sums: dict[str, float]) -> tuple[float, float]:
    """Latency in seconds and bandwidth in bytes a second, from sums of two processes."""
    sizes = np.array([4.0 * int(size) for size in sums])
    times = np.array(list(sums.values()))
    # Relative errors count alike for small and large arrays; 2 (N - 1) / N is 1 for two.
    design = np.column_stack([np.ones_like(sizes), sizes]) / times[:, None]
    latency, inverse = np.linalg.lstsq(design, np.ones_like(times), rcond=None)[0]
    return float(latency), float(1 / inverse)


def sum_time(size: float, processes: int, latency: float, bandwidth: float) -> float:
    """Seconds of a sum over processes, as a model."""
    if processes == 1:
        return 0.0
    return latency * math.ceil(math.log2(processes)) + 2 * (processes - 1) / processes * size / bandwidth


def draw(file: str, points: dict[str, dict[int, float]], computes: dict[str, Any], model: tuple[float, float]) -> None:
    """Efficiency over processes: the model as lines, what was measured as points."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    many = [2**k for k in range(11)]
    for k, (net, (fixed, per_row, size, rows)) in enumerate(computes.items()):
        # Weak scaling: each process keeps its rows, on a core of its own.
        alone = fixed + per_row * rows
        line = [alone / (alone + sum_time(size, n, *model)) for n in many]
        axes.plot(many, line, color=f"C{k}", label=f"{net}, {size / 4:,.0f} parameters, {rows} rows a process")
        for n, seconds in points[net].items():
            # More processes than cores take turns: what they would need with a core each is not known, so the point is
            # the efficiency of the cores, and hollow.
            efficiency = points[net][1] * max(1, n / CORES) / seconds
            axes.plot(n, efficiency, "o", color=f"C{k}", fillstyle="full" if n <= CORES else "none")
    axes.set_xscale("log", base=2)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("processes, each with a core and the same number of rows")
    axes.set_ylabel("efficiency: step of 1 / step of N")
    axes.legend(frameon=False)
    figure.savefig(file, dpi=120)


class Memory(nn.Callback):
    """The most memory that the process itself takes, in bytes: pages of a mapped file are the system's to drop."""

    def __init__(self) -> None:
        self.peak, self.steps = 0, 0

    def on_step_end(self, fit: Any) -> None:
        """Look at every twentieth step."""
        self.steps += 1
        if self.steps % 20 == 1:
            with open("/proc/self/status") as file:
                own = next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))
            self.peak = max(self.peak, own * 1024)


def write_rows(X: Any, rank: int, rows: Any) -> None:
    """Fill rows of a file, a piece at a time. The pieces are alike but for a shift: drawing all would take longest."""
    piece = np.random.default_rng(rank).random((16384, X.shape[1]), np.float32)
    for start in range(rows.start, rows.stop, len(piece)):
        stop = min(start + len(piece), rows.stop)
        X[start:stop] = np.roll(piece, start // len(piece), axis=1)[: stop - start]
        X.flush()


def train_on_disk(gigabytes: float) -> None:
    """Train for an epoch on a file, of which each process writes a part, and then reads its rows of each batch."""
    comm = nn.parallel.init(timeout=600)
    features, rows = 1024, int(gigabytes * 1e9) // 4096
    folder = comm.broadcast(tempfile.mkdtemp() if comm.rank == 0 else None)
    path = os.path.join(folder, "X.npy")
    try:
        if comm.rank == 0:
            np.lib.format.open_memmap(path, "w+", np.float32, (rows, features))
        comm.barrier()
        began = time.perf_counter()
        own = range(rows * comm.rank // comm.size, rows * (comm.rank + 1) // comm.size)
        write_rows(np.load(path, mmap_mode="r+"), comm.rank, own)
        comm.barrier()
        written = time.perf_counter() - began
        X = np.load(path, mmap_mode="r")
        y = np.arange(rows) % 10
        model = nn.Model(nn.MLP([features, 64, 10], rng=0), rng=0)
        memory = Memory()
        began = time.perf_counter()
        model.fit(X, y, epochs=1, batch_size=4096, parallel=comm, progress=False, callbacks=[memory])
        seconds = time.perf_counter() - began
        peaks = " and ".join(f"{peak / 1e6:.0f}" for peak in comm.gather(memory.peak))
        if comm.rank == 0:
            print(
                f"{gigabytes:g} GB, {rows:,} rows of {features} float32, {comm.size} processes: written in "
                f"{written:.1f} s, an epoch in {seconds:.1f} s, {gigabytes / seconds:.2f} GB/s; memory of a process at "
                f"its peak {peaks} MB"
            )
    finally:
        comm.barrier()
        if comm.rank == 0:
            os.remove(path)
            os.rmdir(folder)


def main() -> None:
    """Measure and print, or be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nets", nargs="+", default=list(NETS), choices=list(NETS))
    parser.add_argument("--picture", help="a file for the picture")
    parser.add_argument("--data", type=float, metavar="GB", help="train on a file of this size, in 2 processes")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker == "data":
        train_on_disk(float(given.file))
    elif given.worker:
        worker(given.worker, given.file)
    elif given.data:
        command = [sys.executable, "-m", "nn.parallel", "-n", "2", "--oversubscribe", __file__]
        subprocess.run([*command, "--worker", "data", "--file", str(given.data)], check=True)
    else:
        report(given)


def report(given: argparse.Namespace) -> None:
    """Measure, and print the tables."""
    sums: dict[tuple[int, int], list[float]] = {(n, size): [] for n in (2, 4) for size in SIZES}
    steps: dict[tuple[str, int, int], list[float]] = {}
    for _ in range(given.rounds):
        for net in given.nets:
            batch = NETS[net][1]
            # The same batch divided, a batch for each, and what one process needs for its part alone.
            runs = {1: (batch, batch // 2, batch // 4), 2: (batch, 2 * batch), 4: (batch, 4 * batch)}
            for n, batches in runs.items():
                result = measured(f"{net}:{','.join(map(str, batches))}", n)
                for size, seconds in result["sums"].items():
                    sums[n, int(size)].append(seconds)
                for rows, seconds in result["steps"].items():
                    steps.setdefault((net, n, int(rows)), []).append(seconds)
    print(f"{CORES} cores, {given.rounds} rounds\n\nall_sum of float32, ms (minimum, median)")
    for (n, size), times in sums.items():
        print(f"  {n} processes  {size:>10,}  {1e3 * min(times):9.4f}  {1e3 * statistics.median(times):9.4f}")
    model = sum_model({str(size): min(sums[2, size]) for size in SIZES})
    print(f"\nlatency {1e6 * model[0]:.1f} us, bandwidth {model[1] / 1e9:.2f} GB/s")
    best = {key: min(times) for key, times in steps.items()}
    weak: dict[str, dict[int, float]] = {}
    computes: dict[str, Any] = {}
    for net in given.nets:
        sizes, batch = NETS[net]
        size = 4.0 * sum(a * b + b for a, b in pairwise(sizes)) + 4.0 * sum(sizes[1:-1])
        print(f"\n{net}: ms a step (minimum, median), and efficiency")
        for (of, n, rows), times in steps.items():
            if of != net:
                continue
            line = f"  {n} processes, {rows // n:4d} rows each  {1e3 * min(times):9.3f} "
            line += f"{1e3 * statistics.median(times):9.3f}"
            if n > 1:
                paper = best[net, 1, rows // n] * max(1, n / CORES) + sum_time(size, n, *model)  # they share cores
                ideal = best[net, 1, batch] * (rows / batch) / min(n, CORES)
                line += f"   on paper {1e3 * paper:9.3f}   efficiency {ideal / min(times):.2f}"
            print(line)
        weak[net] = {n: best[net, n, n * batch] for n in (1, 2, 4)}
        slope = (best[net, 1, batch] - best[net, 1, batch // 4]) / (batch - batch // 4)
        computes[net] = (best[net, 1, batch] - slope * batch, slope, size, batch)
    if given.picture:
        draw(given.picture, weak, computes, model)


if __name__ == "__main__":
    main()
