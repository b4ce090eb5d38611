"""One training step of eight networks: tensorgrad eager and compiled, and its peers.

The networks are those of ``_nets.py``, with the same weights and data everywhere. Each measurement runs in a process of
its own on one core; the kinds alternate. Figures are the minimum over the rounds of a process's blocks of about 5 ms.
The mean loss of the first steps is compared, so that a kind that did other work shows. The row "products" is the matrix
products of a step alone, by NumPy.

    python benchmarks/train_step.py [--nets tiny small] [--kinds "tensorgrad native" "JAX jit"] [--rounds 3] [--quick]
"""

from __future__ import annotations

import argparse
import math
import time
from itertools import islice
from typing import Any

from _harness import Result, alternate, parser_of, pin, report_to_parent, save, shown, summary, timed
from _nets import KINDS, NETS, batches

# What the networks must show, as ratios of minima: docs/performance.md marks each.
BARS = {
    ("tensorgrad native", "JAX jit"): (0.25, 0.50, 0.90, 0.90, 0.98, 0.55, 0.65),
    ("tensorgrad native", "products"): (2.2, 1.5, 1.12, 1.07, 1.08, 1.5, 2.1),
    ("tensorgrad native", "PyTorch eager"): (0.07, 0.22, 0.75, 0.95, 0.93, 0.25, 0.27),
    ("tensorgrad numpy", "PyTorch eager"): (0.40, 0.55, 1.00, 1.02),
    ("tensorgrad eager", "PyTorch eager"): (0.90, 0.90, 1.00, 1.00),
}

SLOW = ("torch.compile", "MyGrad", "autograd", "tinygrad")  # to start, or at all: measured in one round


def measure(kind: str, name: str, quick: bool) -> Result:
    """Seconds per step, and the mean loss of the first steps."""
    net = NETS[name]
    stream = batches(net)
    begin = time.perf_counter()
    step = KINDS[kind](net)
    losses = [step(*batch) for batch in islice(stream, 4 if name == "large" else 40)]
    if kind in ("tensorgrad auto", "tensorgrad eager"):  # until native code has taken over, here that of the update
        end, left = time.perf_counter() + 3.0, 24
        while left > 0 or time.perf_counter() < end:
            step(*next(stream))
            left -= 1
    prepared = list(islice(stream, 4 if name == "large" else 64))
    turn = [0]

    def next_step() -> None:
        step(*prepared[turn[0] % len(prepared)])
        turn[0] += 1

    warm = time.perf_counter() - begin
    seconds = 0.3 if quick else 0.8
    return {**timed(next_step, seconds), "loss": math.fsum(losses) / len(losses), "warm": warm}


def differ(runs: list[Result], reference: list[Result], name: str) -> bool:
    """Whether a kind's losses are not those of the reference; masks of dropout are random."""
    one, other = ([r["loss"] for r in each if "loss" in r] for each in (runs, reference))
    if not one or not other or math.isnan(one[0]):
        return False
    return abs(one[0] - other[0]) > (0.1 if NETS[name].dropout else 5e-3) * abs(other[0])


def table(name: str, results: dict[str, list[Result]]) -> None:
    """Print the figures of one network."""
    print(f"\n{name}: {NETS[name].sizes}, batch {NETS[name].batch}")
    print(f"{'':20}{'min':>12}{'median':>12}{'to PyTorch':>12}{'to JAX':>9}{'to products':>13}{'loss':>10}")
    peers = [summary(results.get(peer, [])) for peer in ("PyTorch eager", "JAX jit", "products")]
    for kind, runs in results.items():
        least = summary(runs)
        if least is None:
            print(f"{kind:20}  {runs[-1]['failed'] if runs else 'not measured'}")
            continue
        ratios = "".join(f"{least / p:{w}.2f}" if p else " " * w for p, w in zip(peers, (12, 9, 13), strict=True))
        mark = "  <- another loss" if differ(runs, results.get("tensorgrad eager", []), name) else ""
        print(f"{kind:20}{shown(least):>12}{shown(summary(runs, 'median')):>12}{ratios}{runs[0]['loss']:10.4f}{mark}")


def main() -> None:
    """Run the processes, alternating, and print the tables."""
    parser = parser_of(__doc__, list(KINDS))
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    options: argparse.Namespace = parser.parse_args()
    if options.measure:
        pin(options.cores)
        report_to_parent(measure(options.measure, options.nets[0], options.quick))
        return
    results: dict[str, Any] = {}
    for name in options.nets:
        results[name] = alternate(__file__, options, "--nets", name, once=SLOW)
        table(name, results[name])
        save("train_step", results, options)


if __name__ == "__main__":
    main()
