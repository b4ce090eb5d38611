"""The learning-rate range test: train while the rate grows, and see where the loss falls fastest."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import tensorgrad as tg

from .data import Casts, Rows
from .dry_run import dry_run, generators_kept
from .scores import nothing_counts
from .stepping import Group, check_step, grouped, stepper
from .streams import Stream

if TYPE_CHECKING:
    from .model import Model

__all__ = ["LRCurve", "range_test"]

_MEMORY = 0.95  # weight of the earlier losses in the smoothed one
_TOO_HIGH = 4.0  # the test ends when the smoothed loss is so many times the lowest


@dataclass(frozen=True, repr=False)
class LRCurve:
    """The result of :meth:`nn.Model.lr_find`.

    Attributes:
        lrs: the learning rate of each update, growing by a constant factor.
        losses: the loss of the batch before that update.
        smoothed: its running mean.
        diverged: whether the test ended early, because the loss became too large or was not finite.
    """

    lrs: Sequence[float]
    losses: Sequence[float]
    smoothed: Sequence[float]
    diverged: bool

    @property
    def suggestion(self) -> float | None:
        """The rate at which the loss falls fastest over the logarithm of the rate; None if it never falls.

        The slope at a rate is that of a straight line through the losses of the nearest fifth of the updates.
        """
        half = max(1, len(self.losses) // 10)
        offsets = np.arange(-half, half + 1)
        if len(self.losses) < len(offsets):
            return None
        slopes = np.correlate(np.asarray(self.losses), offsets / (offsets @ offsets), "valid")
        steepest = int(np.argmin(slopes))
        return self.lrs[steepest + half] if slopes[steepest] < 0 else None

    def plot(self) -> Any:
        """Draw the loss over the learning rate with matplotlib (extra ``notebook``). Returns the figure.

        Raises ImportError if matplotlib is not installed.
        """
        try:
            from .curves import rate_curve
        except ImportError as error:
            raise ImportError("lr_find(...).plot needs matplotlib: pip install 'tensorgrad-np[notebook]'") from error
        return rate_curve(self)

    def __repr__(self) -> str:
        ended = ", then the loss diverged" if self.diverged else ""
        rate = "none: the loss never fell" if self.suggestion is None else f"{self.suggestion:.3g}"
        rates = f" from {self.lrs[0]:.3g} to {self.lrs[-1]:.3g}" if self.lrs else ""
        return f"LRCurve({len(self.lrs)} updates{rates}{ended}; suggestion {rate})"


def range_test(model: Model, data: Rows | Stream, *, start: float, stop: float, steps: int, batch_size: int) -> LRCurve:
    """Run :meth:`nn.Model.lr_find`, with its arguments already checked."""
    trial = copy.deepcopy(model)
    if trial.ema is not None:
        trial.ema.restore()
        trial.ema = None
    with generators_kept(model):  # a stream may draw from them
        return _tested(trial, data, start=start, stop=stop, steps=steps, batch_size=batch_size)


def _tested(trial: Model, data: Rows | Stream, *, start: float, stop: float, steps: int, batch_size: int) -> LRCurve:
    check_step(trial, False, None)
    step, casts = stepper(trial, False), Casts(trial.network)
    dry_run(trial, [data])
    trial.train()
    lrs: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    mean = 0.0
    for i, group in zip(range(steps), _endless(data, trial, batch_size), strict=False):
        lr = start * (stop / start) ** (i / (steps - 1))
        trial.optimizer.lr = lr
        try:
            ((loss, _),) = step(group, casts)
        except tg.NonFiniteError:
            return LRCurve(lrs, losses, smoothed, True)
        value = loss.item()
        mean = _MEMORY * mean + (1 - _MEMORY) * value
        smooth = mean / (1 - _MEMORY ** (i + 1))
        if not math.isfinite(smooth):
            return LRCurve(lrs, losses, smoothed, True)
        lrs.append(lr)
        losses.append(value)
        smoothed.append(smooth)
        lowest = min(smoothed)
        if smooth > lowest + (_TOO_HIGH - 1) * abs(lowest):
            return LRCurve(lrs, losses, smoothed, True)
    return LRCurve(lrs, losses, smoothed, False)


def _endless(data: Rows | Stream, trial: Model, batch_size: int) -> Iterator[Group]:
    while True:
        useful = False
        for group in grouped(data.groups(batch_size, rng=trial.rng), trial.loss):
            if group.batches:
                useful = True
                yield group
        if not useful:
            raise nothing_counts(data.by)
