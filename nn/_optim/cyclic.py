"""Cycles of the learning rate, up and down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from .._checks import count, number
from .group import require, require_within
from .optimizer import Optimizer
from .scheduler import LRScheduler, checked_rates, require_momentum, set_momentum

__all__ = ["CyclicLR"]

_MODES = ("triangular", "triangular2", "exp_range")


class CyclicLR(LRScheduler):
    """Go up from ``base_lr`` to ``max_lr`` and down again along straight lines, again and again (Smith, 2017).

    The optimiser's own learning rates are not used. Momentum (beta1 of Adam and its variants) goes the other way.

    Args:
        optimizer: the optimiser whose learning rates are set.
        base_lr: the lowest rate; one number, or one per group.
        max_lr: the highest rate; likewise.
        step_size_up: the number of steps on the way up.
        step_size_down: the number of steps on the way down; None for as many as up.
        mode: all cycles are alike ("triangular"), each rises half as far as the one before ("triangular2"), or the rise
            is multiplied by ``gamma`` after every step ("exp_range").
        gamma: that factor.
        cycle_momentum: change the momentum, too.
        base_momentum: the momentum at the highest rate.
        max_momentum: the momentum at the lowest rate.

    Raises:
        ValueError: an argument is out of range, or the optimiser has no momentum to change.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([1.0])], momentum=0.9)
    >>> schedule = nn.CyclicLR(optimizer, 0.1, 0.5, step_size_up=2, mode="triangular2")
    >>> for _ in range(8):
    ...     print(round(optimizer.lr, 3), end=" ")
    ...     schedule.step()
    0.1 0.3 0.5 0.3 0.1 0.2 0.3 0.2
    """

    _by_group = ("min_lrs", "max_lrs")

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        *,
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
    ) -> None:
        super().__init__(optimizer)
        self.min_lrs: Any = base_lr
        self.max_lrs: Any = max_lr
        self.step_size_up = step_size_up
        self.step_size_down = step_size_up if step_size_down is None else step_size_down
        self.mode = mode
        self.gamma = gamma
        self.cycle_momentum = cycle_momentum
        self.base_momentum = base_momentum
        self.max_momentum = max_momentum
        self._start()

    def _check(self) -> None:
        super()._check()
        me = "CyclicLR"
        self.min_lrs = checked_rates(self, "base_lr", self.min_lrs)
        self.max_lrs = checked_rates(self, "max_lr", self.max_lrs)
        self.step_size_up = count(me, "step_size_up", self.step_size_up)
        self.step_size_down = count(me, "step_size_down", self.step_size_down)
        require(me, "mode", self.mode, self.mode in _MODES, ", ".join(map(repr, _MODES)))
        self.gamma = number(me, "gamma", self.gamma, 0)
        self.base_momentum = require_within(me, "base_momentum", self.base_momentum, below=1)
        self.max_momentum = require_within(me, "max_momentum", self.max_momentum, below=1)
        require_momentum(self, self.cycle_momentum)

    def _set(self, epoch: int) -> None:
        super()._set(epoch)
        if self.cycle_momentum:
            set_momentum(self.optimizer, self._between(self.max_momentum, self.base_momentum, epoch))

    def _lr(self, position: int, base: float, epoch: int) -> float:
        return self._between(self.min_lrs[position], self.max_lrs[position], epoch)

    def _between(self, first: float, peak: float, epoch: int) -> float:
        """Interpolate between the value at the ends of a cycle and that at its peak."""
        cycle, place = divmod(epoch, self.step_size_up + self.step_size_down)
        up = place <= self.step_size_up
        share = place / self.step_size_up if up else 1 - (place - self.step_size_up) / self.step_size_down
        scale = {"triangular": 1.0, "triangular2": math.ldexp(1.0, -cycle)}.get(self.mode)
        return first + (peak - first) * share * (self.gamma**epoch if scale is None else scale)
