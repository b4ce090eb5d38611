"""Schedules of learning rates. ``step()`` comes after the optimiser's, once an epoch or once an update."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from .optimizer import Optimizer, require

__all__ = [
    "SCHEDULES",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]


class _Stated:
    """Attributes that are plain values, beside the optimiser or the schedules that are acted on."""

    optimizer: Optimizer

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Its own attributes: plain values."""
        return {name: value for name, value in vars(self).items() if name not in ("optimizer", "schedules")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave; the rates themselves are the optimiser's state.

        Raises ValueError for the state of another kind of schedule.
        """
        if state.keys() != self.state_dict().keys():
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: got the attributes {', '.join(state)}, expected "
                f"{', '.join(self.state_dict())}"
            )
        vars(self).update(state)


class _Schedule(_Stated):
    """A rate that is a function of the rate at first and of the number of steps."""

    def __init__(self, optimizer: Optimizer) -> None:
        require(type(self).__name__, "optimizer", optimizer, isinstance(optimizer, Optimizer), "an Optimizer")
        self.optimizer = optimizer
        self.base_lrs: list[float] = []
        for group in optimizer.param_groups:
            if group.base_lr is None:
                group.base_lr = group["lr"]
            self.base_lrs.append(group.base_lr)
        self.steps = 0
        self._apply()

    def step(self) -> None:
        """Count a step, and set the learning rate of each group."""
        self.steps += 1
        self._apply()

    def restart(self) -> None:
        """Begin anew with step 0."""
        self.steps = 0
        self._apply()

    def _apply(self) -> None:
        for i, (group, base) in enumerate(zip(self.optimizer.param_groups, self.base_lrs, strict=True)):
            group["lr"] = self._rate(base, i)

    def _rate(self, base: float, i: int) -> float:
        raise NotImplementedError


class StepLR(_Schedule):
    """The rate times gamma after every ``step_size`` steps.

    All schedules start from the rate that the optimiser had when its first schedule was made.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([0.0])], lr=1.0)
    >>> schedule = nn.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> [(optimizer.lr, schedule.step())[0] for _ in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        require("StepLR", "step_size", step_size, step_size >= 1, "at least 1")
        require("StepLR", "gamma", gamma, gamma >= 0, "a number of at least 0")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def _rate(self, base: float, i: int) -> float:
        return base * self.gamma ** (self.steps // self.step_size)


class MultiStepLR(_Schedule):
    """The rate times gamma at each of some steps.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([0.0])], lr=1.0)
    >>> schedule = nn.MultiStepLR(optimizer, milestones=[1, 3], gamma=0.5)
    >>> [(optimizer.lr, schedule.step())[0] for _ in range(4)]
    [1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        require("MultiStepLR", "milestones", milestones, list(milestones) == sorted(milestones), "in ascending order")
        require("MultiStepLR", "gamma", gamma, gamma >= 0, "a number of at least 0")
        self.milestones, self.gamma = list(milestones), gamma
        super().__init__(optimizer)

    def _rate(self, base: float, i: int) -> float:
        return base * self.gamma ** bisect_right(self.milestones, self.steps)


class ExponentialLR(_Schedule):
    """The rate times gamma after every step.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([0.0])], lr=1.0)
    >>> schedule = nn.ExponentialLR(optimizer, gamma=0.5)
    >>> [(optimizer.lr, schedule.step())[0] for _ in range(3)]
    [1.0, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        require("ExponentialLR", "gamma", gamma, gamma >= 0, "a number of at least 0")
        self.gamma = gamma
        super().__init__(optimizer)

    def _rate(self, base: float, i: int) -> float:
        return base * self.gamma**self.steps


class CosineAnnealingLR(_Schedule):
    """Down to ``eta_min`` over ``T_max`` steps along half a cosine, then up again (Loshchilov and Hutter, 2017).

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([0.0])], lr=1.0)
    >>> schedule = nn.CosineAnnealingLR(optimizer, T_max=2)
    >>> [round((optimizer.lr, schedule.step())[0], 6) for _ in range(3)]
    [1.0, 0.5, 0.0]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        require("CosineAnnealingLR", "T_max", T_max, T_max >= 1, "at least 1")
        require("CosineAnnealingLR", "eta_min", eta_min, eta_min >= 0, "a number of at least 0")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def _rate(self, base: float, i: int) -> float:
        return _cosine(base, self.eta_min, self.steps / self.T_max)


class CosineAnnealingWarmRestarts(_Schedule):
    """Down along half a cosine, then at the full rate again, each time over ``T_mult`` times as many steps.

    (Loshchilov and Hutter, 2017, equation 5.)

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([0.0])], lr=1.0)
    >>> schedule = nn.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> [round((optimizer.lr, schedule.step())[0], 6) for _ in range(4)]
    [1.0, 0.5, 1.0, 0.5]
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> None:
        name = "CosineAnnealingWarmRestarts"
        require(name, "T_0", T_0, isinstance(T_0, int) and T_0 >= 1, "an integer of at least 1")
        require(name, "T_mult", T_mult, isinstance(T_mult, int) and T_mult >= 1, "an integer of at least 1")
        require(name, "eta_min", eta_min, eta_min >= 0, "a number of at least 0")
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer)

    def _rate(self, base: float, i: int) -> float:
        done, length = self.steps, self.T_0
        if self.T_mult == 1:
            done %= length
        while done >= length:
            done -= length
            length *= self.T_mult
        return _cosine(base, self.eta_min, done / length)


class LinearLR(_Schedule):
    """The rate times a factor that goes from one number to another over some steps: a warm-up, or a way down.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([0.0])], lr=1.0)
    >>> schedule = nn.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> [(optimizer.lr, schedule.step())[0] for _ in range(4)]
    [0.5, 0.75, 1.0, 1.0]
    """

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        require("LinearLR", "start_factor", start_factor, 0 < start_factor <= 1, "in (0, 1]")
        require("LinearLR", "end_factor", end_factor, 0 <= end_factor <= 1, "in [0, 1]")
        require("LinearLR", "total_iters", total_iters, total_iters >= 1, "at least 1")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer)

    def _rate(self, base: float, i: int) -> float:
        share = min(self.steps, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * share)


class OneCycleLR(_Schedule):
    """Up to ``max_lr`` and down to next to nothing, while the momentum goes down and up (Smith and Topin, 2018).

    One step an update. Momentum is "momentum", or the first of "betas".

    Args:
        optimizer: whose rates are set.
        max_lr: the largest rate, or one for each group.
        total_steps: of the whole cycle.
        pct_start: the share of them that the way up takes.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: move the momentum between ``max_momentum`` and ``base_momentum``.
        base_momentum: at the largest rate.
        max_momentum: at the smallest.
        div_factor: the rate begins with ``max_lr / div_factor``,
        final_div_factor: and ends with the first over this.

    Raises:
        ValueError: an argument is out of range, the cycle is over, or the optimiser has no momentum to cycle.

    >>> import nn
    >>> optimizer = nn.AdamW([nn.Parameter([0.0])])
    >>> schedule = nn.OneCycleLR(optimizer, max_lr=1.0, total_steps=10, anneal_strategy="linear", div_factor=10)
    >>> [round((optimizer.lr, schedule.step())[0], 3) for _ in range(5)]
    [0.1, 0.55, 1.0, 0.857, 0.714]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int,
        *,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        me = "OneCycleLR"
        require(me, "total_steps", total_steps, isinstance(total_steps, int) and total_steps >= 1, "at least 1")
        require(me, "pct_start", pct_start, 0 <= pct_start <= 1, "in [0, 1]")
        require(me, "anneal_strategy", anneal_strategy, anneal_strategy in ("cos", "linear"), "'cos' or 'linear'")
        groups = optimizer.param_groups
        rates = list(max_lr) if isinstance(max_lr, Sequence) else [max_lr] * len(groups)
        require(me, "max_lr", max_lr, len(rates) == len(groups), f"one number, or one for each of {len(groups)} groups")
        fits = not cycle_momentum or all("betas" in group or group.get("momentum") for group in groups)
        require(me, "cycle_momentum", cycle_momentum, fits, "False for an optimiser without momentum")
        self.max_lrs = [float(rate) for rate in rates]
        self.total_steps, self.pct_start, self.anneal_strategy = total_steps, pct_start, anneal_strategy
        self.cycle_momentum, self.base_momentum, self.max_momentum = cycle_momentum, base_momentum, max_momentum
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        super().__init__(optimizer)

    def step(self) -> None:
        if self.steps >= self.total_steps:
            raise ValueError(f"OneCycleLR: the cycle of {self.total_steps} steps (total_steps) is over")
        super().step()

    def _apply(self) -> None:
        super()._apply()
        if not self.cycle_momentum:
            return
        momentum = self._between(self.max_momentum, self.base_momentum, self.max_momentum)
        for group in self.optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum

    def _rate(self, base: float, i: int) -> float:
        top = self.max_lrs[i]
        first = top / self.div_factor
        return self._between(first, top, first / self.final_div_factor)

    def _between(self, first: float, top: float, last: float) -> float:
        up, end = self.pct_start * self.total_steps - 1, self.total_steps - 1
        goes_up = self.steps <= up
        start, stop = (first, top) if goes_up else (top, last)
        length = up if goes_up else end - up
        share = (self.steps if goes_up else self.steps - up) / length if length else 1.0
        return start + (stop - start) * share if self.anneal_strategy == "linear" else _cosine(start, stop, share)


class SequentialLR(_Stated):
    """One schedule after the other, each beginning anew at its milestone: a warm-up, then a way down.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([0.0])], lr=1.0)
    >>> parts = [nn.LinearLR(optimizer, 0.5, total_iters=2), nn.ExponentialLR(optimizer, 0.5)]
    >>> schedule = nn.SequentialLR(parts, milestones=[2])
    >>> [(optimizer.lr, schedule.step())[0] for _ in range(4)]
    [0.5, 0.75, 1.0, 0.5]
    """

    def __init__(self, schedules: Sequence[_Schedule], milestones: Sequence[int]) -> None:
        me = "SequentialLR"
        fits = len(schedules) > 1 and all(isinstance(schedule, _Schedule) for schedule in schedules)
        require(me, "schedules", schedules, fits, "two or more schedules that count steps")
        alike = all(schedule.optimizer is schedules[0].optimizer for schedule in schedules)
        require(me, "schedules", schedules, alike, "of one optimiser")
        rising = len(milestones) == len(schedules) - 1 and list(milestones) == sorted(set(milestones))
        require(me, "milestones", milestones, rising, f"{len(schedules) - 1} steps in ascending order")
        self.schedules = list(schedules)
        self.milestones = list(milestones)
        self.steps = 0
        self.schedules[0].restart()

    @property
    def optimizer(self) -> Optimizer:  # type: ignore[override]
        """The optimiser of all its schedules."""
        return self.schedules[0].optimizer

    def step(self) -> None:
        """Count a step, and set the learning rate of each group."""
        self.steps += 1
        current = self.schedules[bisect_right(self.milestones, self.steps)]
        if self.steps in self.milestones:
            current.restart()
        else:
            current.step()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "parts": [schedule.state_dict() for schedule in self.schedules]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        for schedule, part in zip(self.schedules, vars(self).pop("parts"), strict=True):
            schedule.load_state_dict(part)


class ReduceLROnPlateau(_Stated):
    """The rate times a factor, once a figure has not improved for some steps.

    ``step(figure)`` takes it; :class:`nn.Model` gives the loss of the validation data, or of the training.

    Args:
        optimizer: whose rates are set.
        mode: is "min" or "max" of the figure better?
        factor: of the rate, in (0, 1).
        patience: so many steps may pass without improvement.
        threshold: an improvement is by more than this share of the best figure (or this much).
        threshold_mode: "rel" or "abs".
        cooldown: after a reduction, so many steps do not count.
        min_lr: the rate stays at least this.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([0.0])], lr=1.0)
    >>> schedule = nn.ReduceLROnPlateau(optimizer, patience=1)
    >>> [(schedule.step(1.0), optimizer.lr)[1] for _ in range(4)]
    [1.0, 1.0, 0.1, 0.1]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        *,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        me = "ReduceLROnPlateau"
        require(me, "optimizer", optimizer, isinstance(optimizer, Optimizer), "an Optimizer")
        require(me, "mode", mode, mode in ("min", "max"), "'min' or 'max'")
        require(me, "factor", factor, 0 < factor < 1, "in (0, 1)")
        require(me, "patience", patience, patience >= 0, "a number of at least 0")
        require(me, "threshold_mode", threshold_mode, threshold_mode in ("rel", "abs"), "'rel' or 'abs'")
        self.optimizer = optimizer
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.min_lr = cooldown, min_lr
        self.best = math.inf if mode == "min" else -math.inf
        self.waited = self.cooling = 0

    def step(self, figure: float) -> None:
        """Look at a figure, and reduce the rates if it has not improved for too long."""
        if self._improves(float(figure)):
            self.best, self.waited = float(figure), 0
        else:
            self.waited += 1
        if self.cooling:
            self.cooling -= 1
            self.waited = 0
        if self.waited > self.patience:
            for group in self.optimizer.param_groups:
                group["lr"] = min(group["lr"], max(group["lr"] * self.factor, self.min_lr))
            self.cooling, self.waited = self.cooldown, 0

    def _improves(self, figure: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        margin = sign * self.threshold
        bound = self.best * (1 - margin) if self.threshold_mode == "rel" else self.best - margin
        return sign * figure < sign * bound


def _cosine(start: float, stop: float, share: float) -> float:
    return stop + (start - stop) * (1 + math.cos(math.pi * share)) / 2


# Those that can be made from an optimiser and plain values.
SCHEDULES: dict[str, type[_Stated]] = {
    "step": StepLR,
    "multi_step": MultiStepLR,
    "exponential": ExponentialLR,
    "cosine": CosineAnnealingLR,
    "cosine_restarts": CosineAnnealingWarmRestarts,
    "linear": LinearLR,
    "one_cycle": OneCycleLR,
    "plateau": ReduceLROnPlateau,
}
