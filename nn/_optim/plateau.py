"""A learning rate that falls when a metric stops improving."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import tensorgrad as tg

from .._checks import count, number
from .direction import better_way
from .group import require, require_within
from .optimizer import Optimizer
from .scheduler import Scheduler, checked_rates

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(Scheduler):
    """Multiply the learning rate by a factor when a metric has not improved for a while. The same as PyTorch's.

    Args:
        optimizer: the optimiser whose learning rates are set.
        mode: "min" if a lower metric is better, "max" if a higher one is; "auto" goes by ``monitor``, and is "min"
            without one.
        factor: what the rate is multiplied by, in [0, 1).
        patience: the number of steps without improvement that are tolerated.
        threshold: smaller improvements do not count.
        threshold_mode: whether ``threshold`` is relative to the best metric ("rel") or absolute ("abs").
        cooldown: the number of steps that do not count after the rate has fallen.
        min_lr: the lowest rate; one number, or one per group.
        eps: a rate that would fall by less than this stays as it is.
        monitor: the column of the history whose values :meth:`nn.Model.fit` gives to :meth:`step`, such as
            "val_accuracy"; None is "val_loss", or "loss" without validation data.

    Attributes:
        mode: "min" or "max".
        best: the best metric so far.
        num_bad_epochs: the number of steps since then.

    Raises:
        ValueError: an argument is out of range, or the mode does not fit the monitored column.

    >>> import nn
    >>> optimizer = nn.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = nn.ReduceLROnPlateau(optimizer, patience=1)
    >>> for loss in (0.5, 0.4, 0.4, 0.4):
    ...     schedule.step(loss)
    ...     print(optimizer.lr, end=" ")
    1.0 1.0 1.0 0.1
    """

    _by_group = ("min_lrs",)
    monitor: str | None = None  # in files of earlier versions, too

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["auto", "min", "max"] = "auto",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
        monitor: str | None = None,
    ) -> None:
        super().__init__(optimizer)
        me = "ReduceLROnPlateau"
        require(me, "monitor", monitor, monitor is None or isinstance(monitor, str), "the name of a column, or None")
        self.monitor = monitor
        self.mode: str = mode
        if monitor is not None:
            self.mode = better_way(me, monitor, mode)
        elif mode == "auto":
            self.mode = "min"
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.min_lrs: Any = min_lr
        self.eps = eps
        self.best = math.inf if self.mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self._check()

    def _check(self) -> None:
        super()._check()
        me = "ReduceLROnPlateau"
        require(me, "mode", self.mode, self.mode in ("min", "max"), "'min' or 'max'")
        self.factor = require_within(me, "factor", self.factor, below=1)
        self.patience = count(me, "patience", self.patience, 0)
        self.cooldown = count(me, "cooldown", self.cooldown, 0)
        self.threshold = number(me, "threshold", self.threshold, 0)
        require(me, "threshold_mode", self.threshold_mode, self.threshold_mode in ("rel", "abs"), "'rel' or 'abs'")
        self.min_lrs = checked_rates(self, "min_lr", self.min_lrs)
        self.eps = number(me, "eps", self.eps, 0)
        require(me, "best", self.best, isinstance(self.best, float) and not math.isnan(self.best), "a float")
        self.num_bad_epochs = count(me, "num_bad_epochs", self.num_bad_epochs, 0)
        self.cooldown_counter = count(me, "cooldown_counter", self.cooldown_counter, 0)

    def step(self, metric: Any) -> None:
        """Record a metric, a number or a Tensor of one; NaN never counts as an improvement."""
        value = metric.item() if isinstance(metric, tg.Tensor) else float(metric)
        self.last_epoch += 1
        better = self._is_better(value)
        if better:
            self.best = value
        self.num_bad_epochs = 0 if better else self.num_bad_epochs + 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if math.isinf(self.best):  # a share of infinity can be NaN
            return sign * value > sign * self.best
        if self.threshold_mode == "abs":
            return sign * value > sign * self.best + self.threshold
        return sign * value > sign * self.best * (1 + sign * self.threshold)

    def _reduce(self) -> None:
        self._admit_new_groups()
        for group, lowest in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            lr = max(group["lr"] * self.factor, lowest)
            if group["lr"] - lr > self.eps:
                group["lr"] = lr
