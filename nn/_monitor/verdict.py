"""What the statistics of a step say about a network, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .figures import Figures, decades, slope

__all__ = ["Judged", "Verdict", "judge"]

STEEP, LARGE, HUGE = 0.3, 1.5, 3.0  # decades a layer, and in all
HALF = 0.5
_OF_THE_GRADIENT = ("vanishing", "exploding")


class Judged(NamedTuple):
    """A layer as the rule sees it."""

    path: str
    title: str
    activation: str
    normed: bool
    figures: Figures


class Verdict(NamedTuple):
    """What the statistics of one step say.

    Attributes:
        step: the number of updates before it.
        kind: "healthy", "non-finite", "vanishing", "exploding", "dead", "saturated", "collapsing" (a warning: the
            gradient is fine, but the layers near the output hardly tell the inputs apart), or "no gradient".
        slope: how the gradient of the pre-activations changes from layer to layer towards the input, in decades.
        total: the same from the last judged layer to the first.
        spread_slope: how the spread across the batch changes from layer to layer towards the output.
        why: the measurements that led to it.
        remedy: what to change; "" if healthy.

    >>> import nn
    >>> nn.Verdict(0, "healthy", -0.01, -0.03, -0.02, "gradient -0.01 decades a layer", "").sick
    False
    """

    step: int
    kind: str
    slope: float
    total: float
    spread_slope: float
    why: str
    remedy: str

    @property
    def sick(self) -> bool:
        """Whether training suffers."""
        return self.kind not in ("healthy", "collapsing")

    def __str__(self) -> str:
        text = f"{self.kind.upper()} at step {self.step}: {self.why}"
        return f"{text}\nremedy: {self.remedy}" if self.remedy else text


def _chosen(layers: Sequence[Judged]) -> list[Judged]:
    """The layers with an activation; all, if there are none."""
    return [layer for layer in layers if layer.activation] or list(layers)


def judge(step: int, layers: Sequence[Judged]) -> Verdict:
    """Judge one step by the gradient of the pre-activations, layer by layer.

    With D = slope * (layers - 1) in decades: vanishing or exploding if |slope| >= 0.3 and |D| >= 1.5, or if |D| >= 3;
    vanishing, too, if the first layer's weight gradient has an RMS below 1e-8 and below 1e-5 of the weights', unless
    the last layer's is as small, as at the end of training. Calibrated by ``examples/calibrate_monitor.py``.
    """
    chosen = _chosen(layers)
    gradients = [decades(layer.figures.grad_rms) for layer in chosen]
    spreads = [decades(layer.figures.spread) for layer in chosen]
    gradient_slope, spread_slope = -slope(gradients), slope(spreads)
    total, spread_total = (value * (len(chosen) - 1) for value in (gradient_slope, spread_slope))
    infinite = _first_infinite(layers)
    dead = _worst(chosen, lambda figures: figures.dead)
    saturated = _worst(chosen, lambda figures: figures.saturated)
    cut = [layer for layer in layers[:-1] if layer.figures.grad_rms == 0]
    steep = abs(gradient_slope) >= STEEP and abs(total) >= LARGE
    measured = ""
    if math.isfinite(gradient_slope):
        measured = f"gradient {gradient_slope:+.2f} decades a layer, {total:+.1f} in all"

    def verdict(kind: str, why: str = "", remedy: str = "") -> Verdict:
        said = "; ".join(part for part in ((measured, why) if kind in _OF_THE_GRADIENT else (why, measured)) if part)
        return Verdict(step, kind, gradient_slope, total, spread_slope, said or "fewer than two layers", remedy)

    if infinite is not None:
        return verdict("non-finite", f"NaN or infinity in {_named(infinite)}", _non_finite_remedy(chosen, total))
    if all(not layer.figures.grad_rms > 0 for layer in layers):
        return verdict("no gradient", "the gradient of every layer is 0 or missing", _NO_GRADIENT)
    if cut and dead is not None:
        return verdict("dead", f"{_named(dead)}: {dead.figures.dead:.0%} of the units are 0", _dead_remedy(step))
    if cut or (total < 0 and (steep or -total >= HUGE)) or _is_starved(layers):
        return verdict("vanishing", _spread_text(chosen, spread_slope), _vanishing_remedy(chosen))
    if total > 0 and (steep or total >= HUGE):
        return verdict("exploding", "", _exploding_remedy(chosen, gradient_slope))
    if dead is not None:
        return verdict("dead", f"{_named(dead)}: {dead.figures.dead:.0%} of the units are 0", _dead_remedy(step))
    if saturated is not None:
        why = f"{_named(saturated)}: {saturated.figures.saturated:.0%} of the values are where it is flat"
        return verdict("saturated", why, _SATURATED)
    if spread_total <= -1:
        return verdict("collapsing", _spread_text(chosen, spread_slope), _COLLAPSING)
    return verdict("healthy")


def _first_infinite(layers: Sequence[Judged]) -> Judged | None:
    """The layer where a NaN or infinity arose: forward the first one that has it, backward the last."""
    for layer in layers:
        if not (math.isfinite(layer.figures.act_rms) and math.isfinite(layer.figures.weight_rms)):
            return layer
    return next((layer for layer in reversed(layers) if not layer.figures.finite), None)


def _is_starved(layers: Sequence[Judged]) -> bool:
    """Whether the first layer's weights hardly change, while the last layer's do."""

    def tiny(layer: Judged) -> bool:
        figures = layer.figures
        size = decades(figures.weight_grad_rms)
        return size < -8 and size - decades(figures.weight_rms) < -5

    return len(layers) > 1 and tiny(layers[0]) and not tiny(layers[-1])


def _worst(layers: Sequence[Judged], share: Callable[[Figures], float]) -> Judged | None:
    """The layer with the largest share, if that is half or more."""
    worst = max(layers, key=lambda layer: share(layer.figures), default=None)
    return worst if worst is not None and share(worst.figures) >= HALF else None


def _named(layer: Judged) -> str:
    return f"{layer.path or 'the model'} ({layer.title})"


def _spread_text(layers: Sequence[Judged], spread_slope: float) -> str:
    if not math.isfinite(spread_slope) or spread_slope * (len(layers) - 1) > -1:
        return ""
    last = layers[-1].path or "the model"
    return f"spread {spread_slope:+.2f} decades a layer, so that {last} gives nearly the same for every input"


# --- remedies -----------------------------------------------------------------------------------------

_NO_GRADIENT = "check that the loss depends on the model, and that loss.backward() is called"
_SATURATED = 'smaller weights (init="glorot_normal", standardised inputs), or norm="batch"'
_COLLAPSING = 'norm="batch" or "layer", or nn.Residual blocks; nothing, if the loss falls'


def _vanishing_remedy(layers: Sequence[Judged]) -> str:
    if any(layer.normed for layer in layers):
        return "nn.Residual blocks, or fewer layers"
    if any(layer.activation in ("sigmoid", "tanh") for layer in layers):
        return 'ReLU with init="he_normal", or norm="batch"'
    return 'larger weights: init="he_normal", or norm="batch"'


def _exploding_remedy(layers: Sequence[Judged], gradient_slope: float) -> str:
    if all(layer.normed for layer in layers):
        return (
            f"nn.Residual blocks, or fewer layers: batch norm itself multiplies the gradient by "
            f"{10**gradient_slope:.2f} a layer"
        )
    return 'smaller weights: init="he_normal" (ReLU) or "glorot_normal" (tanh), or norm="batch"'


def _dead_remedy(step: int) -> str:
    later = "" if step == 0 else "a smaller learning rate, "
    return f'{later}activation="leaky_relu", more units a layer, or norm="batch"'


def _non_finite_remedy(layers: Sequence[Judged], total: float) -> str:
    if total >= LARGE:
        return _exploding_remedy(layers, total / max(1, len(layers) - 1))
    return "look for NaN in the data; a smaller learning rate, or clip_norm=1.0"
