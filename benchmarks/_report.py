"""Writes ``docs/performance.md`` and its plots from what the benchmarks have left in ``build/bench``.

python benchmarks/_report.py
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib as mpl
from _harness import RESULTS, Result, shown, summary

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from _nets import NETS
from compile_time import COMPARED as COMPILERS
from estimator import SIZES, ratio
from sweep import BATCHES, WIDTHS
from train_step import BARS, differ

PAGE = Path("docs/performance.md")
PLOTS = {"train_step": "docs/performance-steps.png", "sweep": "docs/performance-sweep.png"}


def main() -> None:
    """Write the page: a section for each file of results that is there."""
    sections = []
    machine: dict[str, str] = {}
    for name, section in SECTIONS.items():
        file = RESULTS / f"{name}.json"
        if file.exists():
            content = json.loads(file.read_text())
            machine |= content["machine"]
            sections.append(section(content["results"], content["settings"]))
    versions = ", ".join(f"{name} {value}" for name, value in machine.items() if name not in ("processor", "system"))
    head = [
        "# Performance",
        "",
        "Made by `make bench-report`. Every figure is measured in a process of its own, pinned to its cores, and the "
        "kinds alternate; a figure is the minimum over all rounds, and a ratio is one of minima.",
        "",
        f"{machine.get('processor', '')}, {machine.get('system', '')}; {versions}.",
    ]
    PAGE.write_text("\n".join([*head, *(f"\n{section}" for section in sections), ""]))
    print(f"wrote {PAGE}")


def rows(header: list[str], body: list[list[str]]) -> str:
    """A table of Markdown, with numbers to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def steps(results: dict[str, dict[str, list[Result]]], settings: dict[str, Any]) -> str:
    """The training steps on one core: times, and ratios with what they must show."""
    kinds = list(dict.fromkeys(kind for runs in results.values() for kind in runs))
    _plot_steps(results)
    notes = [
        f"- {kind}: {runs[kind][-1]['failed']}"
        for kind in kinds
        for runs in list(results.values())[:1]
        if "failed" in runs.get(kind, [{}])[-1]
    ]
    return "\n".join(
        [
            "## A training step",
            "",
            "Forward, backward and AdamW, with the same weights and data everywhere. `†` marks a kind whose losses "
            f"differ from those of eager. One core, {settings['rounds']} rounds.",
            "",
            _times(results),
            "",
            "Ratios, with what they should be at most in parentheses; those above it in bold:",
            "",
            _ratios(results, BARS),
            "",
            f"![Ratios of a step to PyTorch eager]({Path(PLOTS['train_step']).name})",
            *(["", "Not measured:", "", *notes] if notes else []),
        ]
    )


def steps_on_two(results: dict[str, dict[str, list[Result]]], settings: dict[str, Any]) -> str:
    """The training steps on two cores, for which no ratio is promised."""
    return "\n".join(
        [
            "### On two cores",
            "",
            f"Each process has two cores, and every BLAS two threads. {settings['rounds']} rounds.",
            "",
            _times(results),
            "",
            _ratios(results, dict.fromkeys(BARS, ())),
        ]
    )


def _times(results: dict[str, dict[str, list[Result]]]) -> str:
    kinds = list(dict.fromkeys(kind for runs in results.values() for kind in runs))
    return rows(
        ["", *results],
        [[kind, *(_cell(runs.get(kind, []), results, n) for n, runs in results.items())] for kind in kinds],
    )


def _ratios(results: dict[str, dict[str, list[Result]]], all_bars: Mapping[tuple[str, str], tuple[float, ...]]) -> str:
    ratios = []
    for (ours, peer), bars in all_bars.items():
        bar_of = dict(zip(NETS, bars, strict=False))
        line = [f"{ours} to {peer}"]
        for net, runs in results.items():
            one, other = summary(runs.get(ours, [])), summary(runs.get(peer, []))
            if one is None or other is None:
                line.append("–")
                continue
            ratio, bar = one / other, bar_of.get(net)
            text = f"{ratio:.2f}"
            line.append(text if bar is None else f"{text} ({bar:.2f})" if ratio <= bar else f"**{text}** ({bar:.2f})")
        ratios.append(line)
    return rows(["", *results], ratios)


def _cell(runs: list[Result], results: Any, net: str) -> str:
    least = summary(runs)
    mark = " †" if least is not None and differ(runs, results[net].get("tensorgrad eager", []), net) else ""
    return shown(least) + mark


def _plot_steps(results: dict[str, dict[str, list[Result]]]) -> None:
    shown_kinds = ("tensorgrad eager", "tensorgrad numpy", "tensorgrad native", "JAX jit", "torch.compile", "products")
    figure, axes = plt.subplots(figsize=(8, 3.2), dpi=110)
    width = 0.8 / len(shown_kinds)
    for k, kind in enumerate(shown_kinds):
        heights = []
        for runs in results.values():
            one, other = summary(runs.get(kind, [])), summary(runs.get("PyTorch eager", []))
            heights.append(one / other if one and other else math.nan)
        axes.bar(np.arange(len(results)) + (k - len(shown_kinds) / 2 + 0.5) * width, heights, width, label=kind)
    axes.axhline(1, color="0.3", linewidth=0.8)
    axes.set(yscale="log", ylabel="time / PyTorch eager", xticks=range(len(results)), xticklabels=list(results))
    axes.legend(fontsize=7, ncol=6, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    figure.tight_layout()
    figure.savefig(PLOTS["train_step"])
    plt.close(figure)


def sweep(results: dict[str, list[Result]], settings: dict[str, Any]) -> str:
    """Where we win and where we lose."""
    peers = [kind for kind in list(results)[1:] if "failed" not in results[kind][-1]]
    figure, axes = plt.subplots(1, max(len(peers), 1), figsize=(8, 3.2), dpi=110, squeeze=False)
    for peer, plot in zip(peers, axes[0], strict=False):
        grid = np.full((len(BATCHES), len(WIDTHS)), np.nan)
        for (i, batch), (j, width) in product(enumerate(BATCHES), enumerate(WIDTHS)):
            cell = f"{batch} x {width}"
            ours, theirs = ([r[cell] for r in results[kind] if cell in r] for kind in (next(iter(results)), peer))
            if ours and theirs:
                grid[i, j] = min(ours) / min(theirs)
                plot.text(j, i, f"{grid[i, j]:.2f}", ha="center", va="center", fontsize=8)
        colours = "RdYlGn_r" if peer != "products" else "YlOrRd"
        limits = (-1.5, 1.5) if peer != "products" else (0, 4)
        plot.imshow(np.log2(grid), cmap=colours, vmin=limits[0], vmax=limits[1], aspect="auto")
        plot.set(xticks=range(len(WIDTHS)), xticklabels=WIDTHS, yticks=range(len(BATCHES)), yticklabels=BATCHES)
        plot.set(xlabel="width", ylabel="batch", title=f"native / {peer}")
    figure.tight_layout()
    figure.savefig(PLOTS["sweep"])
    plt.close(figure)
    return "\n".join(
        [
            "## Over batch sizes and widths",
            "",
            "Two hidden layers of one width, ReLU, cross-entropy, AdamW, float32: our native step's time over JAX's "
            "and over that of the matrix products alone.",
            "",
            f"![Ratios over batch sizes and widths]({Path(PLOTS['sweep']).name})",
        ]
    )


def estimators(results: dict[str, dict[str, list[Result]]], settings: dict[str, Any]) -> str:
    """Fits of a classifier."""
    body = []
    for size, runs in results.items():
        for kind, each in runs.items():
            least = summary(each)
            if least is None:
                continue
            found, bar = ratio(kind, runs), SIZES[size][2].get(kind)
            shown = f"{found:.2f}" if found else "–"
            first = min(r["first"] for r in each if "first" in r)
            cells = [f"{first:.3f}", f"{least:.3f}", shown + (f" ({bar:.2f})" if bar else "")]
            body.append([f"{size}, {kind}", *cells, f"{each[0]['score']:.3f}"])
    return "\n".join(
        [
            "## Fitting a classifier",
            "",
            "Seconds of `fit` on the digits, with scikit-learn's `MLPClassifier` beside it: the first fit of a "
            "process, and the fastest of the others; the ratio to scikit-learn, with what it should be at most: of the "
            "first fit if there are no kernels on disk (cold), else of the others.",
            "",
            rows(["", "first", "others", "ratio", "accuracy"], body),
        ]
    )


def compiling(results: dict[str, Any], settings: dict[str, Any]) -> str:
    """Times of compiling, cold and warm."""
    body = []
    for what, runs in results.items():
        line = [what]
        for kind in COMPILERS:
            for state in ("cold", "warm"):
                known = [r["compiling"] for r in runs.get(kind, {}).get(state, []) if "compiling" in r]
                line.append(f"{min(known):.2f}" if known else "–")
        body.append(line)
    header = [f"{kind}, {state}" for kind in COMPILERS for state in ("cold", "warm")]
    loops = " `loop n` is the gradient of a Runge-Kutta integration of n steps."
    return "\n".join(
        [
            "## Compiling",
            "",
            "Seconds until a step runs at full speed, with an empty cache on disk and with what the last process left."
            + (loops if any(what.startswith("loop ") for what in results) else ""),
            "",
            rows(["", *header], body),
        ]
    )


def memory(results: dict[str, dict[str, list[Result]]], settings: dict[str, Any]) -> str:
    """Peaks of memory."""
    body = []
    for net, runs in results.items():
        for kind, each in runs.items():
            known = [r for r in each if "later" in r]
            if known:
                first, later = (min(r[what] for r in known) for what in ("first", "later"))
                eager = [r["later"] for r in runs.get("tensorgrad eager", []) if "later" in r]
                to_eager = f"{later / min(eager):.2f}" if eager else "–"
                body.append([f"{net}, {kind}", f"{first / 1e6:.1f}", f"{later / 1e6:.1f}", to_eager])
    return "\n".join(
        [
            "## Memory",
            "",
            "Peak megabytes above what the process had before the model was built: over the first three steps, "
            "compiling included, and over later ones, whose ratio to eager should be at most 0.8 for a compiled step.",
            "",
            rows(["", "first", "later", "later to eager"], body),
        ]
    )


SECTIONS: dict[str, Callable[[Any, dict[str, Any]], str]] = {
    "train_step": steps,
    "train_step-2": steps_on_two,
    "sweep": sweep,
    "estimator": estimators,
    "compile_time": compiling,
    "memory": memory,
}


if __name__ == "__main__":
    main()
