"""One cycle of the learning rate, up and down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from .._checks import count, number
from .group import require, require_within
from .optimizer import Optimizer
from .scheduler import LRScheduler, along_cosine, checked_rates, require_momentum, set_momentum

__all__ = ["OneCycleLR"]


class OneCycleLR(LRScheduler):
    """Go up from ``max_lr / div_factor`` to ``max_lr``, then down to far below the start (Smith and Topin, 2018).

    The optimiser's own learning rates are not used. Momentum (beta1 of Adam and its variants) goes the other way.

    Args:
        optimizer: the optimiser whose learning rates are set.
        max_lr: the highest rate; one number, or one per group.
        total_steps: the number of steps in all; one more is an error.
        pct_start: the share of them on the way up, in [0, 1].
        anneal_strategy: go along a cosine ("cos") or a straight line ("linear").
        cycle_momentum: change the momentum, too.
        base_momentum: the momentum at the highest rate.
        max_momentum: the momentum at the beginning and at the end.
        div_factor: the highest rate divided by the first.
        final_div_factor: the first rate divided by the last.
        three_phase: come back down to the first rate in as many steps as up, and only then go on to the last.

    Raises:
        ValueError: an argument is out of range, the optimiser has no momentum to change, or there is one step too many.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([1.0])], momentum=0.9)
    >>> schedule = nn.OneCycleLR(optimizer, 1.0, total_steps=5, pct_start=0.6, anneal_strategy="linear")
    >>> for _ in range(5):
    ...     print(round(optimizer.lr, 3), round(optimizer.param_groups[0]["momentum"], 3))
    ...     schedule.step()
    0.04 0.95
    0.52 0.9
    1.0 0.85
    0.5 0.9
    0.0 0.95
    """

    _by_group = ("max_lrs",)

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int,
        *,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        super().__init__(optimizer)
        self.max_lrs: Any = max_lr
        self.total_steps = total_steps
        self.pct_start = pct_start
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        self.base_momentum = base_momentum
        self.max_momentum = max_momentum
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor
        self.three_phase = three_phase
        self._start()

    def _check(self) -> None:
        super()._check()
        me = "OneCycleLR"
        self.max_lrs = checked_rates(self, "max_lr", self.max_lrs)
        self.total_steps = count(me, "total_steps", self.total_steps)
        self._require_step(self.last_epoch)
        self.pct_start = require_within(me, "pct_start", self.pct_start, most=1)
        fine = self.anneal_strategy in ("cos", "linear")
        require(me, "anneal_strategy", self.anneal_strategy, fine, "'cos' or 'linear'")
        self.base_momentum = require_within(me, "base_momentum", self.base_momentum, below=1)
        self.max_momentum = require_within(me, "max_momentum", self.max_momentum, below=1)
        self.div_factor = number(me, "div_factor", self.div_factor)
        self.final_div_factor = number(me, "final_div_factor", self.final_div_factor)
        for name, factor in {"div_factor": self.div_factor, "final_div_factor": self.final_div_factor}.items():
            require(me, name, factor, factor > 0, "a finite number above 0")
        require_momentum(self, self.cycle_momentum)

    @property
    def ended(self) -> bool:
        return self.last_epoch >= self.total_steps

    def _require_step(self, epoch: int) -> None:
        if epoch > self.total_steps:
            raise ValueError(f"OneCycleLR: step {epoch} is beyond the last of total_steps={self.total_steps}")

    def _set(self, epoch: int) -> None:
        self._require_step(epoch)
        super()._set(epoch)
        if not self.cycle_momentum:
            return
        low, high = self.base_momentum, self.max_momentum
        set_momentum(self.optimizer, self._between([high, low, high, high], epoch))

    def _lr(self, position: int, base: float, epoch: int) -> float:
        top = self.max_lrs[position]
        first = top / self.div_factor
        last = first / self.final_div_factor
        return self._between([first, top, first, last] if self.three_phase else [first, top, last], epoch)

    def _between(self, values: list[float], epoch: int) -> float:
        """Interpolate at ``epoch`` between values that are reached at the ends of the phases."""
        peak, end = self.pct_start * self.total_steps - 1, float(self.total_steps - 1)
        ends = [0.0, peak, 2 * peak, end] if self.three_phase else [0.0, peak, end]
        i = next((i for i in range(1, len(ends) - 1) if epoch <= ends[i]), len(ends) - 1)
        start, stop = ends[i - 1 : i + 1]
        share = min(1.0, (epoch - start) / (stop - start)) if stop > start else 1.0
        if self.anneal_strategy == "cos":
            return along_cosine(values[i - 1], values[i], share)
        return values[i - 1] + (values[i] - values[i - 1]) * share
