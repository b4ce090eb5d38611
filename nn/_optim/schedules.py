"""Schedules that set learning rates by the number of steps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .._checks import count, number
from .group import require, require_within
from .optimizer import Optimizer
from .scheduler import LRScheduler, along_cosine, checked_milestones

__all__ = [
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "PolynomialLR",
    "StepLR",
]


class StepLR(LRScheduler):
    """Multiply the learning rate by gamma after every ``step_size`` steps.

    Args:
        optimizer: the optimiser whose learning rates are set.
        step_size: the number of steps with the same rate.
        gamma: the factor.

    Raises:
        ValueError: an argument is out of range.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = nn.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for _ in range(5):
    ...     print(optimizer.lr, end=" ")
    ...     schedule.step()
    1.0 1.0 0.5 0.5 0.25
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        super().__init__(optimizer)
        self.step_size = step_size
        self.gamma = gamma
        self._start()

    def _check(self) -> None:
        super()._check()
        self.step_size = count("StepLR", "step_size", self.step_size)
        self.gamma = number("StepLR", "gamma", self.gamma, 0)

    def _lr(self, position: int, base: float, epoch: int) -> float:
        return base * self.gamma ** (epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """Multiply the learning rate by gamma at each milestone.

    Args:
        optimizer: the optimiser whose learning rates are set.
        milestones: numbers of steps, in order; one that occurs twice counts twice.
        gamma: the factor.

    Raises:
        ValueError: an argument is out of range.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = nn.MultiStepLR(optimizer, [1, 3], gamma=0.5)
    >>> for _ in range(5):
    ...     print(optimizer.lr, end=" ")
    ...     schedule.step()
    1.0 0.5 0.5 0.25 0.25
    """

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1) -> None:
        super().__init__(optimizer)
        self.milestones: Any = milestones
        self.gamma = gamma
        self._start()

    def _check(self) -> None:
        super()._check()
        self.milestones = checked_milestones("MultiStepLR", self.milestones)
        self.gamma = number("MultiStepLR", "gamma", self.gamma, 0)

    def _lr(self, position: int, base: float, epoch: int) -> float:
        return base * self.gamma ** bisect_right(self.milestones, epoch)


class ExponentialLR(LRScheduler):
    """Multiply the learning rate by gamma after every step.

    Args:
        optimizer: the optimiser whose learning rates are set.
        gamma: the factor.

    Raises:
        ValueError: gamma is negative or not finite.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = nn.ExponentialLR(optimizer, gamma=0.5)
    >>> for _ in range(4):
    ...     print(optimizer.lr, end=" ")
    ...     schedule.step()
    1.0 0.5 0.25 0.125
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        super().__init__(optimizer)
        self.gamma = gamma
        self._start()

    def _check(self) -> None:
        super()._check()
        self.gamma = number("ExponentialLR", "gamma", self.gamma, 0)

    def _lr(self, position: int, base: float, epoch: int) -> float:
        return base * self.gamma**epoch


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the learning rate down to ``eta_min``, and up again (Loshchilov and Hutter, 2017, equation 5).

    Args:
        optimizer: the optimiser whose learning rates are set.
        T_max: the number of steps on the way down.
        eta_min: the lowest rate.

    Raises:
        ValueError: an argument is out of range.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = nn.CosineAnnealingLR(optimizer, T_max=3)
    >>> for _ in range(4):
    ...     print(round(optimizer.lr, 2), end=" ")
    ...     schedule.step()
    1.0 0.75 0.25 0.0
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        super().__init__(optimizer)
        self.T_max = T_max
        self.eta_min = eta_min
        self._start()

    def _check(self) -> None:
        super()._check()
        self.T_max = count("CosineAnnealingLR", "T_max", self.T_max)
        self.eta_min = number("CosineAnnealingLR", "eta_min", self.eta_min, 0)

    @property
    def ended(self) -> bool:
        return self.last_epoch >= self.T_max

    def _lr(self, position: int, base: float, epoch: int) -> float:
        return along_cosine(base, self.eta_min, epoch / self.T_max)


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine down to ``eta_min``, again and again from the top (Loshchilov and Hutter, 2017).

    Args:
        optimizer: the optimiser whose learning rates are set.
        T_0: the number of steps in the first cycle.
        T_mult: how many times longer each cycle is than the one before.
        eta_min: the lowest rate.

    Raises:
        ValueError: an argument is out of range.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = nn.CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
    >>> for _ in range(7):
    ...     print(round(optimizer.lr, 2), end=" ")
    ...     schedule.step()
    1.0 0.5 1.0 0.85 0.5 0.15 1.0
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> None:
        super().__init__(optimizer)
        self.T_0 = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self._start()

    def _check(self) -> None:
        super()._check()
        self.T_0 = count("CosineAnnealingWarmRestarts", "T_0", self.T_0)
        self.T_mult = count("CosineAnnealingWarmRestarts", "T_mult", self.T_mult)
        self.eta_min = number("CosineAnnealingWarmRestarts", "eta_min", self.eta_min, 0)

    def _lr(self, position: int, base: float, epoch: int) -> float:
        length = self.T_0
        if self.T_mult == 1:
            epoch %= length
        while epoch >= length:
            epoch -= length
            length *= self.T_mult
        return along_cosine(base, self.eta_min, epoch / length)


class LinearLR(LRScheduler):
    """A straight line from ``start_factor`` times the learning rate to ``end_factor`` times it: a warm-up.

    Args:
        optimizer: the optimiser whose learning rates are set.
        start_factor: in (0, 1].
        end_factor: in [0, 1].
        total_iters: the number of steps on the way; after them, the rate stays the same.

    Raises:
        ValueError: an argument is out of range.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = nn.LinearLR(optimizer, start_factor=0.2, total_iters=4)
    >>> for _ in range(6):
    ...     print(round(optimizer.lr, 2), end=" ")
    ...     schedule.step()
    0.2 0.4 0.6 0.8 1.0 1.0
    """

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        super().__init__(optimizer)
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        self._start()

    def _check(self) -> None:
        super()._check()
        self.start_factor = number("LinearLR", "start_factor", self.start_factor)
        require("LinearLR", "start_factor", self.start_factor, 0 < self.start_factor <= 1, "in (0, 1]")
        self.end_factor = require_within("LinearLR", "end_factor", self.end_factor, most=1)
        self.total_iters = count("LinearLR", "total_iters", self.total_iters)

    @property
    def ended(self) -> bool:
        return self.last_epoch >= self.total_iters and self.end_factor < self.start_factor

    def _lr(self, position: int, base: float, epoch: int) -> float:
        share = min(epoch, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * share)


class PolynomialLR(LRScheduler):
    """A power of a straight line, from the learning rate down to 0: ``lr * (1 - step / total_iters) ** power``.

    Args:
        optimizer: the optimiser whose learning rates are set.
        total_iters: the number of steps on the way; after them, the rate stays 0.
        power: 1 for a straight line.

    Raises:
        ValueError: an argument is out of range.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = nn.PolynomialLR(optimizer, total_iters=4, power=2.0)
    >>> for _ in range(6):
    ...     print(optimizer.lr, end=" ")
    ...     schedule.step()
    1.0 0.5625 0.25 0.0625 0.0 0.0
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0) -> None:
        super().__init__(optimizer)
        self.total_iters = total_iters
        self.power = power
        self._start()

    def _check(self) -> None:
        super()._check()
        self.total_iters = count("PolynomialLR", "total_iters", self.total_iters)
        self.power = number("PolynomialLR", "power", self.power, 0)

    @property
    def ended(self) -> bool:
        return self.last_epoch >= self.total_iters

    def _lr(self, position: int, base: float, epoch: int) -> float:
        return base * (1 - min(epoch, self.total_iters) / self.total_iters) ** self.power


class LambdaLR(LRScheduler):
    """The learning rate times a function of the number of steps.

    The function is not part of :meth:`state_dict`: load a state into a schedule that was made with the same one.

    Args:
        optimizer: the optimiser whose learning rates are set.
        lr_lambda: takes the number of steps so far and returns a factor; or a list of functions, one per group.

    Raises:
        TypeError: lr_lambda is not a function, or a list of them.
        ValueError: there are not as many functions as groups, or a factor is negative or not finite.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = nn.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    >>> for _ in range(3):
    ...     print(round(optimizer.lr, 2), end=" ")
    ...     schedule.step()
    1.0 0.5 0.33
    """

    _not_state = ("optimizer", "lr_lambdas")
    _by_group = ("lr_lambdas",)

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]]
    ) -> None:
        super().__init__(optimizer)
        groups = len(optimizer.param_groups)
        functions: list[Any] = list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda] * groups
        for function in functions:
            if not callable(function):
                raise TypeError(f"LambdaLR: lr_lambda must be a function, or a list of them, got {function!r}")
        fine = len(functions) == groups
        require("LambdaLR", "lr_lambda", lr_lambda, fine, f"one function, or {groups}, one per group")
        self.lr_lambdas = functions
        self._start()

    def _lr(self, position: int, base: float, epoch: int) -> float:
        return base * number("LambdaLR", f"the factor at step {epoch}", self.lr_lambdas[position](epoch), 0)
