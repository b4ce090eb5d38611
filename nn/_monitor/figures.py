"""Statistics of arrays: a few numbers in place of each array."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Figures", "Histogram", "decades", "histogram", "rms", "sample", "slope", "spread"]

_SAMPLE = 1024  # values, at most
_BINS = 48


class Figures(NamedTuple):
    """What is known of one layer at one step; NaN where there is nothing to measure.

    Attributes:
        act_rms: the root mean square of the layer's results, after its activation.
        spread: that of their deviation from the mean over the batch: what tells one sample from another.
        grad_rms: that of the gradient of the pre-activations, which are the results of the weighted layer.
        weight_rms: that of the weights.
        weight_grad_rms: that of their gradient.
        update_rms: that of the change of the weights in this step.
        dead: the share of the units that are 0 for the whole batch.
        saturated: the share of the values where a sigmoid or tanh is flat.
        finite: whether all that was measured is finite.
    """

    act_rms: float = math.nan
    spread: float = math.nan
    grad_rms: float = math.nan
    weight_rms: float = math.nan
    weight_grad_rms: float = math.nan
    update_rms: float = math.nan
    dead: float = math.nan
    saturated: float = math.nan
    finite: bool = True


class Histogram(NamedTuple):
    """Counts of the values other than 0, in bins of equal width; ``zeros`` is the share of zeros."""

    low: float
    high: float
    counts: tuple[int, ...]
    zeros: float

    @property
    def centres(self) -> list[float]:
        """The middle of each bin."""
        width = (self.high - self.low) / len(self.counts)
        return [self.low + (i + 0.5) * width for i in range(len(self.counts))]


def rms(array: Any) -> float:
    """The root mean square of an array's elements, also where their squares leave the range of float32.

    >>> rms(np.full(4, 1e-30, np.float32)) / 1e-30
    1.0
    """
    flat = array.ravel()
    if not flat.size:
        return math.nan
    total = float(np.dot(flat, flat)) if flat.dtype.kind == "f" else 0.0
    if not 1e-20 < total < 1e30:
        flat = flat.astype(np.float64)
        total = float(np.dot(flat, flat))
    if total < 1e-280 or total == math.inf:  # the squares leave the range of float64, too
        largest = float(np.max(np.abs(flat)))
        if largest in (0.0, math.inf):
            return largest
        flat = flat / largest
        return largest * math.sqrt(float(np.dot(flat, flat)) / flat.size)
    return math.sqrt(total / flat.size)


def spread(array: Any) -> float:
    """The RMS of an array's deviation from its mean over axis 0, the batch; NaN for a single sample."""
    return rms(array - np.add.reduce(array, axis=0) / array.dtype.type(len(array))) if len(array) > 1 else math.nan


def sample(array: Any) -> Any:
    """A copy of about a thousand of an array's values, evenly spaced: what a histogram is made of."""
    flat = array.ravel()
    return flat[:: max(1, -(-flat.size // _SAMPLE))].copy()


def histogram(values: Any, *, logarithms: bool = False) -> Histogram | None:
    """The histogram of values, or of log10 of their sizes; None if none is finite and other than 0.

    >>> histogram(np.array([0.0, 1.0, 100.0]), logarithms=True).high
    2.0
    """
    kept = values[np.isfinite(values) & (values != 0)]
    if not kept.size:
        return None
    kept = np.log10(np.abs(kept).astype(np.float64)) if logarithms else kept.astype(np.float64)
    low, high = float(kept.min()), float(kept.max())
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    counts, _ = np.histogram(kept, _BINS, (low, high))
    return Histogram(low, high, tuple(counts.tolist()), float(np.count_nonzero(values == 0)) / values.size)


def decades(value: float) -> float:
    """log10 of a size; -inf for 0, NaN for NaN.

    >>> decades(0.01), decades(0.0)
    (-2.0, -inf)
    """
    if value == 0:
        return -math.inf
    return math.log10(value) if value > 0 else math.nan


def slope(values: list[float]) -> float:
    """The slope of the least-squares line through values at 0, 1, 2, ...; those not finite are left out.

    >>> slope([1.0, 3.0, math.nan, 7.0])
    2.0
    """
    known = [(i, value) for i, value in enumerate(values) if math.isfinite(value)]
    if len(known) < 2:
        return math.nan
    mean_i, mean = (sum(column) / len(known) for column in zip(*known, strict=True))
    products = [((i - mean_i) * (value - mean), (i - mean_i) ** 2) for i, value in known]
    top, bottom = (sum(column) for column in zip(*products, strict=True))
    return top / bottom
