"""Where we win and where we lose: a training step over batch sizes and widths, against JAX and the products alone.

Two hidden layers of one width, ReLU, cross-entropy, AdamW, float32, without norm. One process of its own for each kind
measures all cells whose products take less than a quarter of a second; the kinds alternate.

    python benchmarks/sweep.py [--rounds 2] [--quick]
"""

from __future__ import annotations

import time
from itertools import islice

from _harness import Result, alternate, parser_of, pin, report_to_parent, save, timed
from _nets import KINDS, Net, batches, products, square

BATCHES = (1, 8, 64, 512, 4096)
WIDTHS = (16, 64, 256, 1024, 4096)
COMPARED = ("tensorgrad native", "JAX jit", "products")
LONGEST = 0.25  # seconds of products


def measure(kind: str, quick: bool) -> Result:
    """The least seconds per step in each cell, by "batch x width"."""
    cells: Result = {}
    for width in WIDTHS:
        for batch in BATCHES:
            net = square(width, batch)
            if flops(net) > (1e9 if quick else 2e10) or (quick and width > 1024):
                continue
            start = time.perf_counter()
            if flops(net) > 1e9:
                alone = products(net)
                alone(None, None)
                if time.perf_counter() - start > 4 * LONGEST:
                    continue
            step = KINDS[kind](net)
            prepared = list(islice(batches(net), 3))
            for X, y in prepared:
                step(X, y)
            X, y = prepared[0]
            cells[f"{batch} x {width}"] = timed(lambda step=step, X=X, y=y: step(X, y), 0.05 if quick else 0.15)["min"]
    return cells


def flops(net: Net) -> float:
    """The floating-point operations of a step's products, roughly."""
    width = net.sizes[1]
    return 6.0 * net.batch * (2 * width * width + 10 * width)


def main() -> None:
    """Run the processes, alternating, and print two tables of ratios."""
    parser = parser_of(__doc__, COMPARED)
    parser.set_defaults(rounds=2)
    options = parser.parse_args()
    if options.measure:
        pin(options.cores)
        report_to_parent(measure(options.measure, options.quick))
        return
    if options.quick:
        options.rounds = 1
    results = alternate(__file__, options)
    save("sweep", results, options)
    for peer in COMPARED[1:]:
        if "failed" in results[peer][-1]:
            print(f"{peer}: {results[peer][-1]['failed']}")
            continue
        print(f"\nratio of ours to {peer}; batches down, widths across")
        print(f"{'':6}" + "".join(f"{width:8}" for width in WIDTHS))
        for batch in BATCHES:
            print(f"{batch:6}" + "".join(_ratio(results, peer, f"{batch} x {width}") for width in WIDTHS))


def _ratio(results: dict[str, list[Result]], peer: str, cell: str) -> str:
    ours, theirs = ([r[cell] for r in results[kind] if cell in r] for kind in (COMPARED[0], peer))
    return f"{min(ours) / min(theirs):8.2f}" if ours and theirs else f"{'':8}"


if __name__ == "__main__":
    main()
