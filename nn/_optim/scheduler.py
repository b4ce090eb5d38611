"""The base classes of learning-rate schedules."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, Self

import numpy as np

import tensorgrad as tg

from .._checks import count, number
from .group import require
from .optimizer import Optimizer

__all__ = [
    "LRScheduler",
    "Scheduler",
    "along_cosine",
    "checked_milestones",
    "checked_rates",
    "require_momentum",
    "set_momentum",
]


class Scheduler:
    """Base class of all schedules: an optimiser, and plain values that are their whole state."""

    optimizer: Optimizer
    _not_state: tuple[str, ...] = ("optimizer",)  # attributes that are not plain values
    _by_group: tuple[str, ...] = ()  # attributes that are a list with a number for each group

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__}: optimizer must be an Optimizer, got {type(optimizer).__name__}")
        optimizer._groups_with_lr()  # raises if there is no learning rate
        self.optimizer = optimizer
        self.last_epoch = 0

    @property
    def ended(self) -> bool:
        """Whether it has brought the rate down to its end; the next fit of an :class:`nn.Model` then begins it anew."""
        return False

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group of the optimiser."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def __repr__(self) -> str:
        settings = {name: value for name, value in vars(self).items() if name not in ("optimizer", "last_epoch")}
        shown = {**settings, "last_epoch": self.last_epoch, "lr": self.get_last_lr()}
        return f"{type(self).__name__}({', '.join(f'{name}={_shown(value)}' for name, value in shown.items())})"

    def _admit_new_groups(self, *, strict: bool = True) -> None:
        """Extend what is listed by group for those that the optimiser has gained.

        Raises ValueError if ``strict`` and groups have different values, so that none follows for a new one.
        """
        total = len(self.optimizer.param_groups)
        short = {name: values for name in self._by_group if len(values := getattr(self, name)) < total}
        unclear = [name for name, values in short.items() if len(set(values)) > 1]
        if unclear and strict:
            raise ValueError(
                f"{type(self).__name__}: {unclear[0]} has {len(short[unclear[0]])} different values, and the optimiser "
                f"now has {total} groups; make the schedule after adding groups"
            )
        for name in short.keys() - set(unclear):
            setattr(self, name, short[name] + short[name][:1] * (total - len(short[name])))

    def state_dict(self) -> dict[str, Any]:
        """Settings and progress, as plain values.

        >>> import nn
        >>> schedule = nn.StepLR(nn.SGD([nn.Parameter([1.0])], lr=0.5), step_size=10)
        >>> schedule.step()
        >>> schedule.state_dict()
        {'last_epoch': 1, 'base_lrs': [0.5], 'step_size': 10, 'gamma': 0.1}
        """
        self._admit_new_groups(strict=False)
        return {name: copy.deepcopy(value) for name, value in vars(self).items() if name not in self._not_state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state, settings included, returned by :meth:`state_dict` of a schedule of the same class.

        A schedule by the number of steps also sets the learning rates of that point. Raises ValueError if the state
        does not fit; nothing is changed then.
        """
        other = self._with(state)
        with tg.uninterrupted():
            self._take(other)

    def _with(self, state: Mapping[str, Any]) -> Self:
        """A copy with another state. Raises ValueError if the state does not fit."""
        own = set(vars(self)) - set(self._not_state)
        if isinstance(state, Mapping):  # one of an earlier version lacks what a class has gained since
            state = {**{name: getattr(type(self), name) for name in own if hasattr(type(self), name)}, **state}
        if not isinstance(state, Mapping) or set(state) != own:
            self._refuse(sorted(map(str, state)) if isinstance(state, Mapping) else repr(state), sorted(own))
        other = copy.copy(self)
        vars(other).update(copy.deepcopy(dict(state)))
        try:
            other._check()
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}.load_state_dict: nothing was loaded: {error}") from error
        return other

    def _check(self) -> None:
        """Convert settings and progress to plain values. Raises ValueError if one is out of range."""
        self.last_epoch = count(type(self).__name__, "last_epoch", self.last_epoch, 0)

    def _refuse(self, got: Any, expected: Any) -> NoReturn:
        raise ValueError(f"{type(self).__name__}.load_state_dict: nothing was loaded: got {got}, expected {expected}")

    def _take(self, other: Self) -> None:
        vars(self).update(vars(other))


class LRScheduler(Scheduler):
    """Base class of schedules by the number of steps: each learning rate is a function of it.

    A schedule is made after the optimiser, sets its learning rates for the first step at once, and those for the next
    with every :meth:`step`. It starts from the rates that the optimiser was made with, even if another schedule has
    changed them since. A rate that is set by hand in between is overwritten at the next step.

    A subclass defines ``_lr``, and ``_check`` for its settings; when it has set them, it calls ``_start``.

    Attributes:
        optimizer: the optimiser whose learning rates are set.
        last_epoch: how many steps there have been.
        base_lrs: the learning rate that each group starts from.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer)
        self._take_bases()

    def _take_bases(self) -> None:
        """Start from the rates of the optimiser, but not from those that a schedule has set."""
        self.base_lrs: list[float] = []
        self._find_base_lrs()

    def _admit_new_groups(self, *, strict: bool = True) -> None:
        super()._admit_new_groups(strict=strict)
        self._find_base_lrs()

    def _find_base_lrs(self) -> None:
        """Add the rates that further groups start from."""
        for group in self.optimizer.param_groups[len(self.base_lrs) :]:
            scheduled, base = group.scheduled
            self.base_lrs.append(base if group["lr"] == scheduled else group["lr"])

    def _start(self) -> None:
        """Check the settings, and set the values for the first step."""
        self._check()
        self._set(0)

    def restart(self) -> None:
        """Begin anew: set the learning rates for the first step, from rates that were set by hand since, if any."""
        self._take_bases()
        self._set(0)

    def step(self) -> None:
        """Set the learning rates for the next step; call this after the optimiser's step."""
        self._set(self.last_epoch + 1)

    def _set(self, epoch: int) -> None:
        """Set the values that hold after ``epoch`` steps."""
        self._admit_new_groups()
        rates = [self._lr(i, base, epoch) for i, base in enumerate(self.base_lrs)]
        self.last_epoch = epoch
        for group, base, lr in zip(self.optimizer.param_groups, self.base_lrs, rates, strict=True):
            group["lr"] = lr
            group.scheduled = (lr, base)

    def _lr(self, position: int, base: float, epoch: int) -> float:
        """The learning rate after ``epoch`` steps for the group at a position, which starts from ``base``."""
        raise NotImplementedError(f"{type(self).__name__} must define _lr")

    def _check(self) -> None:
        super()._check()
        self.base_lrs = checked_rates(self, "base_lrs", self.base_lrs)

    def _take(self, other: Self) -> None:
        other._set(other.last_epoch)
        super()._take(other)


def set_momentum(optimizer: Optimizer, momentum: float) -> None:
    """Set the momentum, or beta1, of all groups."""
    for group in optimizer.param_groups:
        if "momentum" in group:
            group["momentum"] = momentum
        else:
            group["betas"] = (momentum, group["betas"][1])


def require_momentum(schedule: Scheduler, cycle_momentum: bool) -> None:
    """Raise ValueError if the momentum is to be changed, and the optimiser has none."""
    group = schedule.optimizer.param_groups[0]
    able = "momentum" in group or "betas" in group
    expected = f"False with {type(schedule.optimizer).__name__}, which has no momentum"
    require(type(schedule).__name__, "cycle_momentum", cycle_momentum, able or not cycle_momentum, expected)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if callable(value):
        return str(getattr(value, "__qualname__", type(value).__name__))
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def along_cosine(first: float, last: float, share: float) -> float:
    """The value at a share of the way from the first to the last, along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


def checked_rates(schedule: Scheduler, name: str, rates: Any) -> list[float]:
    """A learning rate for each group, given one per group or one number for all. Raises ValueError."""
    me, groups = type(schedule).__name__, len(schedule.optimizer.param_groups)
    each = list(rates) if isinstance(rates, list | tuple | np.ndarray) else [rates] * groups
    require(me, name, rates, len(each) == groups, f"one number, or {groups}, one per group")
    return [number(me, name, rate, 0) for rate in each]


def checked_milestones(me: str, milestones: Any) -> list[int]:
    """Numbers of steps as a list. Raises ValueError unless they are integers of at least 1, in order."""
    expected = "integers of at least 1, in order"
    require(me, "milestones", milestones, isinstance(milestones, Iterable), expected)
    whole = [count(me, "milestones", m) for m in milestones]
    require(me, "milestones", whole, whole == sorted(whole), expected)
    return whole
