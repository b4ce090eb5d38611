"""Variants of Adam: NAdam, with Nesterov momentum, and RAdam, with cautious first steps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

import tensorgrad as tg

from .._checks import number
from .group import ParamGroup, require_betas, require_rates
from .moments import average_in, average_square_in
from .optimizer import Optimizer, Rule
from .parts import Run

__all__ = ["NAdam", "RAdam"]


class NAdam(Optimizer):
    """Adam that looks ahead, as Nesterov momentum does (Dozat, 2016). The same as PyTorch's.

    Args:
        params: parameters, or groups: dicts with "params" and options of their own.
        lr: learning rate.
        betas: weights of the old running means, in [0, 1).
        eps: added to the root; at least the smallest normal number of the dtype.
        weight_decay: added to the gradient as ``weight_decay * p``.
        momentum_decay: how fast the momentum of step t, ``beta1 * (1 - 0.96**(t * momentum_decay) / 2)``, approaches
            beta1.
        decoupled_weight_decay: decay the weights, as :class:`AdamW` does, not the gradient.
        skip_nonfinite: a step with a gradient that is not finite changes nothing, instead of raising an error.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one is given twice.
        TypeError: something is not a parameter.

    >>> import nn
    >>> w = nn.Parameter([1.0, 1.0])
    >>> optimizer = nn.NAdam([w], lr=0.1)
    >>> w.grad = [1e-3, 1e3]
    >>> optimizer.step()
    >>> w.data.round(3)
    array([0.894, 0.894])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        skip_nonfinite: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay}
        options["decoupled_weight_decay"] = decoupled_weight_decay
        super().__init__(params, options, numbers={"mu_product": 1.0}, skip_nonfinite=skip_nonfinite)

    def _check(self, group: ParamGroup) -> None:
        _check_adam("NAdam", group)
        number("NAdam", "momentum_decay", group["momentum_decay"], 0)

    def _slots(self, group: ParamGroup) -> dict[str, float]:
        return {"m": 0.0, "v": 0.0}

    def _rule(self, group: ParamGroup, run: Run) -> Rule:
        def numbers() -> tuple[float, ...]:
            beta1, beta2 = group["betas"]
            mu, ahead = _momentum(group, run.t), _momentum(group, run.t + 1)
            product = run.number("mu_product") * mu
            root = math.sqrt(1 - beta2**run.t)
            now, then = (1 - mu) / (1 - product), ahead / (1 - product * ahead)
            eps = max(group["eps"] * root, run.least)
            return beta1, 1 - beta1, beta2, 1 - beta2, then / now, eps, group["lr"] * now * root

        keep1, take1, keep2, take2, share, eps, rate = tg.host(numbers, early=True)

        def update(g: Any, u: Any, w: Any, m: Any, v: Any) -> None:
            average_in(m, g, keep1, take1, u)
            average_square_in(v, g, keep2, take2, u)
            np.sqrt(v, out=w)
            np.add(w, eps, out=w)
            np.multiply(m, share, out=u)
            np.add(u, g, out=u)
            np.divide(u, w, out=u)
            np.multiply(u, rate, out=u)

        return update

    @staticmethod
    def _advance(group: ParamGroup, run: Run) -> None:
        run.advance(mu_product=run.number("mu_product") * _momentum(group, run.t))


def _momentum(group: ParamGroup, t: int) -> float:
    """The weight of the old mean of the gradients in update t."""
    beta1, _ = group["betas"]
    mu: float = beta1 * (1 - 0.5 * 0.96 ** (t * group["momentum_decay"]))
    return mu


class RAdam(Optimizer):
    """Adam with plain momentum steps while v is a mean of too few gradients (Liu et al., 2020). The same as PyTorch's.

    Args:
        params: parameters, or groups: dicts with "params" and options of their own.
        lr: learning rate.
        betas: weights of the old running means, in [0, 1).
        eps: added to the root; at least the smallest normal number of the dtype.
        weight_decay: added to the gradient as ``weight_decay * p``.
        decoupled_weight_decay: decay the weights, as :class:`AdamW` does, not the gradient.
        skip_nonfinite: a step with a gradient that is not finite changes nothing, instead of raising an error.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one is given twice.
        TypeError: something is not a parameter.

    >>> import nn
    >>> w = nn.Parameter([1.0])
    >>> optimizer = nn.RAdam([w], lr=0.1)
    >>> w.grad = [2.0]
    >>> optimizer.step()
    >>> w.data  # 0.1 * 2: not yet divided by a root
    array([0.8])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        skip_nonfinite: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        options["decoupled_weight_decay"] = decoupled_weight_decay
        super().__init__(params, options, skip_nonfinite=skip_nonfinite)

    def _check(self, group: ParamGroup) -> None:
        _check_adam("RAdam", group)

    def _slots(self, group: ParamGroup) -> dict[str, float]:
        return {"m": 0.0, "v": 0.0}

    def _rule(self, group: ParamGroup, run: Run) -> Rule:
        coming = _Next(group, run)
        rectified = tg.watch(coming, "rectified")

        def numbers() -> tuple[float, ...]:
            beta1, beta2 = group["betas"]
            rate = group["lr"] * _rectification(group, run.t) / (1 - beta1**run.t)
            return beta1, 1 - beta1, beta2, 1 - beta2, max(group["eps"], run.least), rate, coming.rectified

        keep1, take1, keep2, take2, eps, rate, was_rectified = tg.host(numbers, early=True)
        if isinstance(was_rectified, bool):  # a run that is repeated has counted already, after these were asked for
            rectified = was_rectified

        def update(g: Any, u: Any, w: Any, m: Any, v: Any) -> None:
            average_in(m, g, keep1, take1, u)
            average_square_in(v, g, keep2, take2, u)
            if rectified:
                np.sqrt(v, out=u)
                np.add(u, eps, out=u)
                np.divide(m, u, out=u)
            np.multiply(u if rectified else m, rate, out=u)

        return update


class _Next:
    """The next step of a run; a compiled step is traced again when this one is of the other kind."""

    def __init__(self, group: ParamGroup, run: Run) -> None:
        self._group, self._run = group, run

    @property
    def rectified(self) -> bool:
        return _length(self._group, self._run.t) > 5


def _length(group: ParamGroup, t: int) -> float:
    """Roughly how many gradients v is a mean of: rho_t in the paper."""
    beta2 = group["betas"][1]
    return 2 / (1 - beta2) - 1 - 2 * t * beta2**t / (1 - beta2**t)


def _rectification(group: ParamGroup, t: int) -> float:
    """The factor of a step: r_t in the paper, times the correction for v starting at zero; 1 for a plain step."""
    beta2 = group["betas"][1]
    most, length = 2 / (1 - beta2) - 1, _length(group, t)
    if length <= 5:
        return 1.0
    ratio = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
    return math.sqrt(ratio) * math.sqrt(1 - beta2**t)


def _check_adam(me: str, group: ParamGroup) -> None:
    require_rates(me, group)
    require_betas(me, group["betas"])
    number(me, "eps", group["eps"], 0)
