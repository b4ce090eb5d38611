"""Schedules one after another."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from .optimizer import Optimizer, require
from .scheduler import LRScheduler, require_milestones

__all__ = ["SequentialLR"]


class SequentialLR(LRScheduler):
    """One schedule after another: a warm-up, and then the rest.

    Args:
        optimizer: whose learning rates are set.
        schedulers: schedules of this optimiser.
        milestones: the numbers of steps at which the second, third ... begins, from its own first step.

    Raises:
        ValueError: there are not as many milestones as changes; a schedule is of another optimiser.
        TypeError: a schedule is not one by the number of steps.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> warm_up = nn.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> decay = nn.ExponentialLR(optimizer, gamma=0.5)
    >>> schedule = nn.SequentialLR(optimizer, [warm_up, decay], milestones=[2])
    >>> for _ in range(5):
    ...     print(optimizer.lr, end=" ")
    ...     schedule.step()
    0.5 0.75 1.0 0.5 0.25
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]) -> None:
        me = "SequentialLR"
        super().__init__(optimizer)
        for i, schedule in enumerate(schedulers):
            if not isinstance(schedule, LRScheduler):
                raise TypeError(
                    f"{me}: schedulers[{i}] must be a schedule by the number of steps, got {type(schedule).__name__}"
                )
            if schedule.optimizer is not optimizer:
                raise ValueError(f"{me}: schedulers[{i}] is a {type(schedule).__name__} of another optimiser")
        given = list(milestones)
        fine = len(given) == len(schedulers) - 1
        require(me, "milestones", milestones, fine, f"one fewer than the {len(schedulers)} schedulers")
        require_milestones(me, given)
        self.schedulers = list(schedulers)
        self.milestones = given
        self._set(0)

    def _set(self, epoch: int) -> None:
        i = bisect_right(self.milestones, epoch)
        self.schedulers[i]._set(epoch - (self.milestones[i - 1] if i else 0))
        self.last_epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """Settings and progress of all, as plain values."""
        own = {"last_epoch": self.last_epoch, "base_lrs": [*self.base_lrs], "milestones": [*self.milestones]}
        return {**own, "schedulers": [schedule.state_dict() for schedule in self.schedulers]}

    def _require_fit(self, state: Mapping[str, Any]) -> None:
        super()._require_fit(state)
        given = state["schedulers"]
        if len(given) != len(self.schedulers):
            self._refuse(f"{len(given)} schedulers", len(self.schedulers))
        for schedule, part in zip(self.schedulers, given, strict=True):
            schedule._require_fit(part)

    def _take(self, state: Mapping[str, Any]) -> None:
        for schedule, part in zip(self.schedulers, state["schedulers"], strict=True):
            schedule._take(part)
        super()._take({name: value for name, value in state.items() if name != "schedulers"})
