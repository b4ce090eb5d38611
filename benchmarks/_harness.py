"""What the benchmarks share: processes of their own, pinned to a core, that alternate; files of results; the machine.

Each script is two programs. Called by a user it starts itself again for every kind that it compares, with ``--measure
KIND``; that process measures one kind and prints JSON. Rounds alternate between kinds, so that a machine that is busy
for a while slows all of them down, and a figure is the minimum or the median over rounds.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path("build/bench")
PACKAGES = (
    *("numpy", "llvmlite", "torch", "jax", "optax", "tinygrad", "mygrad", "autograd"),
    *("scikit-learn", "scipy"),
)

Result = dict[str, Any]


def parser_of(description: str | None, kinds: Sequence[str]) -> argparse.ArgumentParser:
    """The options that all scripts have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="processes of each kind")
    parser.add_argument("--cores", type=int, default=1, help="how many cores, and threads, a process may use")
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=list(kinds), help="compare only these")
    parser.add_argument("--quick", action="store_true", help="less work in each process, for a busy machine")
    parser.add_argument("--measure", choices=kinds, help="measure one kind in this process, and print JSON")
    return parser


def environment(cores: int) -> dict[str, str]:
    """As many threads as cores, for every BLAS; and modules load as they do for users, from their bytecode."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, str(cores)), "PYTHONDONTWRITEBYTECODE": ""}


def pin(cores: int) -> None:
    """Keep this process on its last cores, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])


def report_to_parent(result: Any) -> None:
    """Print a measurement as the last line, where :func:`alternate` reads it."""
    print(json.dumps(result))


def run(script: str, kind: str, options: argparse.Namespace, *more: str, env: dict[str, str] | None = None) -> Result:
    """Measure a kind in a process of its own: what it printed, or ``{"failed": why}``."""
    command = [sys.executable, script, "--measure", kind, "--cores", str(options.cores), *more]
    command += ["--quick"] if options.quick else []
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=400, env=env or environment(options.cores)
        )
    except subprocess.TimeoutExpired:
        return {"failed": "took more than 400 seconds"}
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line and not line.startswith(" ")]
        return {"failed": lines[-1][:200] if lines else f"exit status {done.returncode}"}
    found: Result = json.loads(done.stdout.splitlines()[-1])
    return found


def alternate(
    script: str, options: argparse.Namespace, *more: str, once: Sequence[str] = ()
) -> dict[str, list[Result]]:
    """The results of each kind, round by round. A kind that fails is not started again; its list ends in the reason.

    Those in ``once`` run in the first round only, because they take long to start.
    """
    results: dict[str, list[Result]] = {kind: [] for kind in options.kinds}
    for _ in range(options.rounds):
        for kind, runs in results.items():
            if not runs or ("failed" not in runs[-1] and kind not in once):
                runs.append(run(script, kind, options, *more))
    return results


def timed(step: Callable[[], Any], seconds: float, block: float = 0.005) -> dict[str, float]:
    """Seconds a call in blocks of about 5 ms: the minimum and the median. The first call is not counted."""
    start = time.perf_counter()
    step()
    count = max(1, int(block / max(time.perf_counter() - start, 1e-7)))
    blocks: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(blocks) < 3:
        begin = time.perf_counter()
        for _ in range(count):
            step()
        blocks.append((time.perf_counter() - begin) / count)
    return {"min": min(blocks), "median": statistics.median(blocks)}


def summary(runs: list[Result], figure: str = "min") -> float | None:
    """The least of the rounds' minima, or the median of their medians; None if the kind did not run."""
    values = [r[figure] for r in runs if figure in r]
    if not values:
        return None
    return min(values) if figure == "min" else statistics.median(values)


def shown(seconds: float | None) -> str:
    """Microseconds, or milliseconds from ten of them."""
    if seconds is None:
        return "–"
    return f"{seconds * 1e3:,.1f} ms" if seconds >= 0.01 else f"{seconds * 1e6:,.0f} µs"


def save(name: str, results: Any, options: argparse.Namespace) -> None:
    """Keep the raw results, from which ``_report.py`` writes the page: "name.json", or "name-2.json" on two cores."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    settings = {"rounds": options.rounds, "cores": options.cores, "quick": options.quick}
    text = json.dumps({"machine": machine(), "settings": settings, "results": results}, indent=1)
    (RESULTS / f"{name if options.cores == 1 else f'{name}-{options.cores}'}.json").write_text(text)


def machine() -> dict[str, str]:
    """The processor and the versions of what is compared."""
    name = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    found = {"processor": name or platform.machine(), "system": platform.system(), "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
