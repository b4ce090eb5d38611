"""What schedules of learning rates have in common."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from .optimizer import Optimizer, require

__all__ = ["LRScheduler", "Scheduler", "along_cosine", "require_count", "require_factor", "require_milestones"]


class Scheduler:
    """Base class of all schedules: an optimiser, and plain values that are their whole state."""

    optimizer: Optimizer

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__}: optimizer must be an Optimizer, got {type(optimizer).__name__}")
        optimizer._rated()  # raises where there is no learning rate
        self.optimizer = optimizer
        self.last_epoch = 0

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group of the optimiser."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Settings and progress, as plain values.

        >>> import nn
        >>> schedule = nn.StepLR(nn.SGD([nn.Parameter([1.0])], lr=0.5), step_size=10)
        >>> schedule.step()
        >>> schedule.state_dict()
        {'last_epoch': 1, 'base_lrs': [0.5], 'step_size': 10, 'gamma': 0.1}
        """
        return {name: copy.deepcopy(value) for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave, from a schedule of the same class; settings, too.

        A schedule by the number of steps sets the learning rates as of then. Raises ValueError for a state that does
        not fit; nothing was changed then.
        """
        self._require_fit(state)
        self._take(state)

    def _require_fit(self, state: Mapping[str, Any]) -> None:
        own = set(vars(self)) - {"optimizer"}
        if set(state) != own:
            self._refuse(sorted(state), sorted(own))

    def _refuse(self, got: Any, expected: Any) -> NoReturn:
        raise ValueError(f"{type(self).__name__}.load_state_dict: nothing was loaded: got {got}, expected {expected}")

    def _take(self, state: Mapping[str, Any]) -> None:
        vars(self).update(copy.deepcopy(dict(state)))


class LRScheduler(Scheduler):
    """Base class of schedules by the number of steps: each learning rate is a function of it.

    A schedule is made after the optimiser, sets its learning rates for the first step at once, and those for the next
    with every :meth:`step`. What it starts from are the rates the optimiser was made with, also where another schedule
    has changed them since. A rate that was set by hand meanwhile is overwritten at the next step.

    A subclass defines ``_lr``.

    Attributes:
        optimizer: whose learning rates are set.
        last_epoch: how many steps there have been.
        base_lrs: the learning rate that each group starts from.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer)
        self.base_lrs: list[float] = []
        for group in optimizer.param_groups:
            scheduled, base = group.scheduled
            self.base_lrs.append(base if group["lr"] == scheduled else group["lr"])

    def step(self) -> None:
        """Set the learning rates for the next step. Call it after the optimiser's."""
        self._set(self.last_epoch + 1)

    def _set(self, epoch: int) -> None:
        """Set what holds after so many steps."""
        rates = [self._lr(i, base, epoch) for i, base in enumerate(self.base_lrs)]
        self.last_epoch = epoch
        for group, base, lr in zip(self.optimizer.param_groups, self.base_lrs, rates, strict=True):
            group["lr"] = lr
            group.scheduled = (lr, base)

    def _lr(self, position: int, base: float, epoch: int) -> float:
        """The learning rate of the group at a position, which starts from ``base``, after so many steps."""
        raise NotImplementedError(f"{type(self).__name__} must define _lr")

    def _require_fit(self, state: Mapping[str, Any]) -> None:
        super()._require_fit(state)
        if len(state["base_lrs"]) != len(self.base_lrs):
            self._refuse(f"{len(state['base_lrs'])} groups", len(self.base_lrs))

    def _take(self, state: Mapping[str, Any]) -> None:
        super()._take(state)
        self._set(self.last_epoch)


def along_cosine(first: float, last: float, share: float) -> float:
    """Half a cosine from the first value to the last."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


def require_count(me: str, name: str, value: Any) -> None:
    """Raise ValueError unless a number of steps is an integer of at least 1."""
    require(me, name, value, isinstance(value, int) and value >= 1, "an integer of at least 1")


def require_factor(me: str, name: str, value: Any, low: float = 0.0, high: float = math.inf) -> None:
    """Raise ValueError unless a number is finite and in a range."""
    expected = f"in [{low}, {high}]" if high < math.inf else f"a finite number of at least {low}"
    require(me, name, value, low <= value <= high and value < math.inf, expected)


def require_milestones(me: str, milestones: list[Any]) -> None:
    """Raise ValueError unless numbers of steps are integers of at least 1, in order."""
    whole = all(isinstance(m, int) and m >= 1 for m in milestones)
    require(me, "milestones", milestones, whole and milestones == sorted(milestones), "integers from 1 on, in order")
