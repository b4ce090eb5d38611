"""Schedules one after another."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Self

from .group import require
from .optimizer import Optimizer
from .scheduler import LRScheduler, checked_milestones

__all__ = ["SequentialLR"]


class SequentialLR(LRScheduler):
    """One schedule after another: a warm-up, and then the rest.

    :class:`nn.Model` also makes a warm-up by name: ``{"name": "cosine", "T_max": 95, "warmup": 5}``.

    Args:
        optimizer: the optimiser whose learning rates are set.
        schedulers: schedules of this optimiser.
        milestones: the numbers of steps at which the second, third ... schedule begins, each at its own first step.

    Raises:
        ValueError: there are not as many milestones as changes, or a schedule belongs to another optimiser.
        TypeError: a schedule does not go by the number of steps.

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
                raise ValueError(f"{me}: schedulers[{i}], a {type(schedule).__name__}, belongs to another optimiser")
        self.schedulers = list(schedulers)
        self.milestones: Any = milestones
        self._start()

    def _check(self) -> None:
        super()._check()
        self.milestones = checked_milestones("SequentialLR", self.milestones)
        fine = len(self.milestones) == len(self.schedulers) - 1
        expected = f"one fewer than the {len(self.schedulers)} schedulers"
        require("SequentialLR", "milestones", self.milestones, fine, expected)

    def _take_bases(self) -> None:
        super()._take_bases()
        for schedule in vars(self).get("schedulers", ()):  # not there yet while this one is made
            schedule._take_bases()

    @property
    def ended(self) -> bool:
        return self.schedulers[-1].ended and self.last_epoch >= (self.milestones or [0])[-1]

    def _set(self, epoch: int) -> None:
        for schedule in (self, *self.schedulers):
            schedule._admit_new_groups()
        i = bisect_right(self.milestones, epoch)
        self.schedulers[i]._set(epoch - (self.milestones[i - 1] if i else 0))
        self.last_epoch = epoch

    def __repr__(self) -> str:
        lines = [f"  ({i}): {schedule!r}" for i, schedule in enumerate(self.schedulers)]
        head = f"SequentialLR(milestones={self.milestones}, last_epoch={self.last_epoch}"
        return "\n".join([head, *lines, ")"])

    def state_dict(self) -> dict[str, Any]:
        """Settings and progress of all, as plain values."""
        self._admit_new_groups(strict=False)
        own = {"last_epoch": self.last_epoch, "base_lrs": [*self.base_lrs], "milestones": [*self.milestones]}
        return {**own, "schedulers": [schedule.state_dict() for schedule in self.schedulers]}

    def _with(self, state: Mapping[str, Any]) -> Self:
        named = isinstance(state, Mapping) and "schedulers" in state
        given = state["schedulers"] if named else self.schedulers
        if not isinstance(given, list) or len(given) != len(self.schedulers):
            self._refuse(f"{len(given)} schedulers" if isinstance(given, list) else repr(given), len(self.schedulers))
        other = super()._with(state)
        other.schedulers = [schedule._with(part) for schedule, part in zip(self.schedulers, given, strict=True)]
        return other

    def _take(self, other: Self) -> None:
        for schedule, part in zip(self.schedulers, other.schedulers, strict=True):
            schedule._take(part)
        other.schedulers = self.schedulers
        super()._take(other)
