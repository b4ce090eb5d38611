"""How long the first steps take: tracing and compiling, with an empty cache on disk and with what the last run left.

Each measurement runs in a process of its own. "first step" is the time of the first call; "second" that of the next
one, which compiles native code where the first has only traced. "loop" is a Runge-Kutta integration of as many steps,
whose gradient is compiled: the time should grow with the length of the program, and no faster.

    python benchmarks/compile_time.py [--quick]
"""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

import numpy as np
from _harness import Result, environment, parser_of, pin, report_to_parent, run, save
from _nets import KINDS, NETS, batches

COMPARED = ("tensorgrad numpy", "tensorgrad native", "JAX jit", "torch.compile")
LOOPS = (50, 100, 200)


def measure(kind: str, name: str) -> Result:
    """Seconds of the first calls of a step, after the libraries have been loaded."""
    if name.startswith("loop "):
        return loop(kind, int(name.removeprefix("loop ")))
    net = NETS[name]
    batch = next(batches(net))
    if kind == "torch.compile":
        import torch._inductor  # noqa: F401
    elif kind == "tensorgrad native":
        import llvmlite.binding  # noqa: F401

        import tensorgrad.compiler.native.code  # noqa: F401
    other = "tensorgrad numpy" if kind.startswith("tensorgrad") else kind.replace("torch.compile", "PyTorch eager")
    KINDS[other](NETS["tiny"])(*next(batches(NETS["tiny"])))
    step = KINDS[kind](net)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        step(*batch)
        times.append(time.perf_counter() - start)
    return {"first": times[0], "second": times[1], "compiling": times[0] + times[1] - 2 * min(times[2:])}


def loop(kind: str, steps: int) -> Result:
    """Seconds of the first two calls of a gradient through an integration."""
    start = np.array([1.0, 0.5])
    if kind.startswith("tensorgrad"):
        import tensorgrad as tg

        xp: Any = tg
        call: Any = tg.compile(tg.grad(lambda y: integrated(xp, y, steps)), backend=kind.split()[1])
    elif kind == "JAX jit":
        import jax

        xp = jax.numpy
        call = jax.jit(jax.grad(lambda y: integrated(xp, y, steps)))
    else:
        raise NotImplementedError("no such row")
    begin = time.perf_counter()
    for _ in range(2):
        np.asarray(call(start))
    return {"compiling": time.perf_counter() - begin}


def integrated(xp: Any, y: Any, steps: int) -> Any:
    """Classical Runge-Kutta for a pendulum, written as a loop in Python."""

    def slope(y: Any) -> Any:
        return xp.stack([y[1], -xp.sin(y[0]) - 0.1 * y[1]])

    h = 0.05
    for _ in range(steps):
        a = slope(y)
        b = slope(y + h / 2 * a)
        c = slope(y + h / 2 * b)
        y = y + h / 6 * (a + 2 * b + 2 * c + slope(y + h * c))
    return (y * y).sum()


def main() -> None:
    """Run the processes, and print the table."""
    parser = parser_of(__doc__, COMPARED)
    parser.add_argument("--what", nargs="+", default=["tiny", "medium", *(f"loop {n}" for n in LOOPS)])
    parser.set_defaults(rounds=2)
    options = parser.parse_args()
    if options.measure:
        pin(options.cores)
        report_to_parent(measure(options.measure, options.what[0]))
        return
    results: dict[str, Any] = {}
    print(f"{'seconds of compiling':22}{'':20}{'cold':>8}{'warm':>8}")
    for what in options.what[: 3 if options.quick else None]:
        results[what] = {kind: {"cold": [], "warm": []} for kind in options.kinds}
        for _ in range(1 if options.quick else options.rounds):
            for kind in options.kinds:
                with tempfile.TemporaryDirectory() as folder:
                    kept = {
                        name: os.path.join(folder, name) for name in ("TENSORGRAD_CACHE", "TORCHINDUCTOR_CACHE_DIR")
                    }
                    env = {**environment(options.cores), **kept}
                    for state in ("cold", "warm"):
                        results[what][kind][state].append(run(__file__, kind, options, "--what", what, env=env))
        for kind, runs in results[what].items():
            print(f"{what:22}{kind:20}" + "".join(_least(runs[state]) for state in ("cold", "warm")))
        save("compile_time", results, options)


def _least(runs: list[Result]) -> str:
    known = [r["compiling"] for r in runs if "compiling" in r]
    return f"{min(known):8.3f}" if known else f"  {runs[-1]['failed'][:40]}"


if __name__ == "__main__":
    main()
