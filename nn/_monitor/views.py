"""The figures of GradientMonitor. The import of this file needs matplotlib (extra ``notebook``)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from .._training.curves import TRAINING, VALIDATION, Curves
from .figures import Figures, decades, histogram

if TYPE_CHECKING:
    from .monitor import GradientMonitor

__all__ = ["drawn"]

_FIRST, _LAST = TRAINING, VALIDATION
_DEFAULT = ("map", "gradient", "spread", "activations", "dead", "updates")
_DEEPEST = -12.0  # of a map of decades: below this, all is alike


def drawn(monitor: GradientMonitor, views: Sequence[str]) -> Any:
    """The figure of :meth:`nn.GradientMonitor.plot`; there is at least one measurement."""
    chosen = list(views) or list(_DEFAULT)
    if unknown := [view for view in chosen if view not in _VIEWS]:
        names = ", ".join(repr(name) for name in _VIEWS)
        raise ValueError(f"GradientMonitor.plot: there is no view {unknown[0]!r}; write some of {names}")
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    figure, panels = plt.subplots(
        rows,
        columns,
        figsize=(4.4 * columns, 3.4 * rows + 0.4),
        layout="constrained",
        squeeze=False,
        FigureClass=Curves,
    )
    for axes in panels.flat[len(chosen) :]:
        axes.set_visible(False)
    for axes, view in zip(panels.flat, chosen, strict=False):
        _VIEWS[view](axes, monitor)
    verdict = monitor.verdict
    assert verdict is not None
    slope = f" (gradient {verdict.slope:+.2f} decades a layer)" if math.isfinite(verdict.slope) else ""
    figure.suptitle(f"step {verdict.step}: {verdict.kind}{slope}", fontweight="bold")
    return figure


def _figures(monitor: GradientMonitor, i: int) -> list[Figures]:
    """The figures of each layer in measurement i, in the order of the layers."""
    known = monitor.measurements[i].figures
    return [known.get(layer.path, Figures()) for layer in monitor.layers]


def _steps(monitor: GradientMonitor) -> list[tuple[int, str, str]]:
    """The first and the latest measurement: index, label and colour."""
    rows = monitor.measurements
    ends = [(0, _FIRST), (-1, _LAST)] if len(rows) > 1 else [(0, _FIRST)]
    return [(i, f"step {rows[i].step}", colour) for i, colour in ends]


def _positive(values: Sequence[float]) -> list[float]:
    return [value if value > 0 and math.isfinite(value) else math.nan for value in values]


def _numbered(axes: Any, monitor: GradientMonitor) -> range:
    """Number the layers along the horizontal axis."""
    axes.set(xlabel="layer (1 is next to the input)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    return range(1, len(monitor.layers) + 1)


def _logarithmic(axes: Any) -> None:
    axes.set_yscale("log")
    if not any(np.isfinite(line.get_ydata()).any() for line in axes.lines):
        axes.set_ylim(1e-5, 1.0)
        axes.text(0.5, 0.5, "nothing measured", transform=axes.transAxes, ha="center", color="0.4")


def _legend(axes: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")


# --- over layers and steps ------------------------------------------------------------------------------


def _map(axes: Any, monitor: GradientMonitor) -> None:
    rows = monitor.measurements
    table = np.array([[decades(figures.grad_rms) for figures in _figures(monitor, i)] for i in range(len(rows))]).T
    table = np.where(np.isfinite(table), np.maximum(table, _DEEPEST), np.where(table == -math.inf, _DEEPEST, math.nan))
    steps = [row.step for row in rows]
    ends = [*steps, steps[-1] + (steps[-1] - steps[-2] if len(steps) > 1 else 1)]
    layers = np.arange(len(table) + 1) + 0.5
    picture = axes.pcolormesh(ends, layers, table, cmap="viridis", rasterized=True)
    axes.invert_yaxis()
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.figure.colorbar(picture, ax=axes)
    axes.set(title="log10 RMS of the gradient", xlabel="step", ylabel="layer")


def _updates(axes: Any, monitor: GradientMonitor) -> None:
    rows, layers = monitor.measurements, monitor.layers
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.92, len(layers)))
    for i, (layer, colour) in enumerate(zip(layers, colours, strict=True)):
        known = [row.figures.get(layer.path, Figures()) for row in rows]
        ratios = _positive([f.update_rms / f.weight_rms if f.weight_rms else math.nan for f in known])
        label = f"layer {i + 1}" if i in (0, len(layers) - 1) else None
        mark = "o" if len(rows) == 1 else None
        axes.plot([row.step for row in rows], ratios, color=colour, marker=mark, label=label, linewidth=1.2)
    _logarithmic(axes)
    axes.axhline(1e-3, color="0.3", linestyle="--", linewidth=1, label="1e-3, usual for Adam")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title="|update| / |weight|", xlabel="step")
    axes.grid(alpha=0.3)
    _legend(axes)


# --- by layer -------------------------------------------------------------------------------------------


def _gradient(axes: Any, monitor: GradientMonitor) -> None:
    numbers = _numbered(axes, monitor)
    for i, label, colour in _steps(monitor):
        values = _positive([figures.grad_rms for figures in _figures(monitor, i)])
        axes.plot(numbers, values, "o-", color=colour, label=label, markersize=4)
    forecast = monitor.forecast
    if forecast is not None:
        # The forecast is relative to the last layer. It is drawn through the last hidden one, where it begins.
        measured = [figures.grad_rms for figures in _figures(monitor, 0)]
        hidden = [k for k, layer in enumerate(forecast.layers) if layer.activation] or [len(measured) - 1]
        scale = measured[hidden[-1]] / forecast.layers[hidden[-1]].gradient
        line = _positive([layer.gradient * scale for layer in forecast.layers])
        axes.plot(numbers, line, "k--", linewidth=1, label=f"forecast {forecast.slope:+.2f} decades a layer")
    _logarithmic(axes)
    axes.set(title="gradient of the pre-activations, RMS")
    _legend(axes)


def _spread(axes: Any, monitor: GradientMonitor) -> None:
    numbers = _numbered(axes, monitor)
    for i, label, colour in _steps(monitor):
        known = _figures(monitor, i)
        axes.plot(numbers, _positive([f.spread for f in known]), "s-", color=colour, label=label, markersize=4)
        axes.plot(numbers, _positive([f.act_rms for f in known]), ":", color=colour, label=f"whole RMS, {label}")
    if monitor.forecast is not None:
        line = _positive([layer.spread for layer in monitor.forecast.layers])
        slope = monitor.forecast.spread_slope
        axes.plot(numbers, line, "k--", linewidth=1, label=f"forecast {slope:+.2f} decades a layer")
    _logarithmic(axes)
    axes.set(title="activations: spread across the batch")
    _legend(axes)


def _dead(axes: Any, monitor: GradientMonitor) -> None:
    known = _figures(monitor, -1)
    places = np.arange(1, len(known) + 1)
    axes.barh(places - 0.2, [f.dead for f in known], 0.38, color=TRAINING, label="dead units")
    axes.barh(places + 0.2, [f.saturated for f in known], 0.38, color=VALIDATION, label="saturated values")
    axes.axvline(0.5, color="0.3", linestyle="--", linewidth=1)
    axes.invert_yaxis()
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(
        title=f"dead and saturated, step {monitor.measurements[-1].step}", xlim=(0, 1), ylabel="layer", xlabel="share"
    )
    _legend(axes)


def _units(axes: Any, monitor: GradientMonitor) -> None:
    layers = monitor.layers
    # A convolution that was called with one sample only has no dead units to count.
    shares = [layer.dead / max(1, layer.measured) if layer.dead is not None else np.zeros(0) for layer in layers]
    table = np.full((len(layers), max(1, *map(len, shares))), math.nan)
    for row, share in zip(table, shares, strict=True):
        row[: len(share)] = share
    edges = np.arange(table.shape[1] + 1) - 0.5, np.arange(len(layers) + 1) + 0.5
    picture = axes.pcolormesh(*edges, table, cmap="Reds", vmin=0, vmax=1, rasterized=True)
    axes.set_facecolor("0.9")
    axes.invert_yaxis()
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.figure.colorbar(picture, ax=axes)
    axes.set(title="dead units: share of the measurements", xlabel="unit", ylabel="layer")


# --- distributions --------------------------------------------------------------------------------------


_NONE = (None, None)


def _ridges(axes: Any, monitor: GradientMonitor, pairs: list[tuple[Any, Any]], *, logarithms: bool = False) -> None:
    """A histogram for each layer, one above the other: the first measurement filled, the latest as a line."""
    steps = _steps(monitor)
    for place, pair in enumerate(pairs, 1):
        for (_, label, colour), values in zip(steps, pair, strict=False):
            found = None if values is None else histogram(values, logarithms=logarithms)
            if found is None:
                continue
            heights = place - 0.85 * np.array(found.counts) / max(found.counts)
            shown = label if place == 1 else None
            if colour is _FIRST:
                axes.fill_between(found.centres, place, heights, color=colour, alpha=0.4, lw=0, label=shown)
            else:
                axes.plot(found.centres, heights, color=colour, linewidth=1, label=shown)
    axes.set(ylim=(len(pairs) + 0.3, 0), ylabel="layer")
    axes.set_yticks(range(1, len(pairs) + 1, -(-len(pairs) // 10)))
    _legend(axes)


def _activations(axes: Any, monitor: GradientMonitor) -> None:
    layers = monitor.layers
    activated = any(layer.activation for layer in layers)  # if so, other layers are of another scale
    _ridges(axes, monitor, [layer.activations if layer.activation or not activated else _NONE for layer in layers])
    axes.set(title="activations other than 0")


def _gradients(axes: Any, monitor: GradientMonitor) -> None:
    _ridges(axes, monitor, [layer.gradients for layer in monitor.layers], logarithms=True)
    axes.set(title="gradients of the pre-activations", xlabel="log10 of the size")


_VIEWS: dict[str, Callable[[Any, GradientMonitor], None]] = {
    "map": _map,
    "gradient": _gradient,
    "spread": _spread,
    "activations": _activations,
    "dead": _dead,
    "updates": _updates,
    "gradients": _gradients,
    "units": _units,
}
