"""The memory of a training step: how far the resident size of a process rises above what it had before the model.

Each kind runs in a process of its own. "first" is the peak over building the model and three steps, tracing and
compiling included; "later" is the peak over five steps more. A step of a tiny net comes before, so that LLVM is not
counted; with kernels on disk, only the net that is measured would load it. Linux only: the peak is reset through /proc.

    python benchmarks/memory.py [--nets medium large] [--quick]
"""

from __future__ import annotations

import ctypes.util
import gc
import os
from itertools import islice
from pathlib import Path
from typing import Any

from _harness import Result, alternate, parser_of, pin, report_to_parent, save
from _nets import KINDS, NETS, batches

COMPARED = ("tensorgrad eager", "tensorgrad numpy", "tensorgrad native", "PyTorch eager", "JAX jit")


def resident(field: str) -> int:
    """A field of the process's status in bytes: VmRSS, or VmHWM for the peak."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


def give_back() -> None:
    """Return to the system what importing, tracing and compiling have freed."""
    gc.collect()
    if ctypes.util.find_library("c"):
        ctypes.CDLL(None).malloc_trim(0)


def measure(kind: str, name: str) -> Result:
    """Peaks in bytes above the size before the model was built."""
    net = NETS[name]
    os.environ["TENSORGRAD_CACHE"] = ""
    KINDS[kind](NETS["tiny"])(*next(batches(NETS["tiny"])))  # what importing and starting up needs is not counted
    prepared = list(islice(batches(net), 4))
    give_back()
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    step = KINDS[kind](net)
    for X, y in prepared[:3]:
        step(X, y)
    first = resident("VmHWM") - before
    give_back()
    Path("/proc/self/clear_refs").write_text("5")
    for _ in range(5):
        step(*prepared[3])
    return {"first": first, "later": resident("VmHWM") - before}


def main() -> None:
    """Run the processes and print the table."""
    parser = parser_of(__doc__, COMPARED)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=["medium", "large"])
    parser.set_defaults(rounds=1)
    options = parser.parse_args()
    if options.measure:
        pin(options.cores)
        report_to_parent(measure(options.measure, options.nets[0]))
        return
    results: dict[str, Any] = {}
    print(f"{'MB above the start':22}{'':20}{'first':>9}{'later':>9}{'to eager':>10}")
    for name in options.nets:
        results[name] = alternate(__file__, options, "--nets", name)
        for kind, runs in results[name].items():
            if "failed" in runs[-1]:
                print(f"{name:22}{kind:20}  {runs[-1]['failed']}")
                continue
            first, later = (min(r[what] for r in runs) / 1e6 for what in ("first", "later"))
            eager = results[name].get("tensorgrad eager", [{}])[0].get("later")
            ratio = f"{later * 1e6 / eager:10.2f}" if eager else ""
            print(f"{name:22}{kind:20}{first:9.1f}{later:9.1f}{ratio}")
    save("memory", results, options)


if __name__ == "__main__":
    main()
