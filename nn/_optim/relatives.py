"""Relatives of Adam: NAdam looks ahead, RAdam warms up, Lion takes signs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

import tensorgrad as tg

from .moments import average_in, average_square_in
from .optimizer import Optimizer, ParamGroup, Rule, require, require_betas, require_rates
from .parts import Run

__all__ = ["Lion", "NAdam", "RAdam"]


class _Relative(Optimizer):
    def _check(self, group: ParamGroup) -> None:
        me = type(self).__name__
        require_rates(me, group)
        require_betas(me, group["betas"])
        for name in ("eps", "momentum_decay"):
            if name in group:
                require(me, name, group[name], group[name] >= 0, "a number of at least 0")

    def _slots(self, group: ParamGroup) -> dict[str, float]:
        return {"m": 0.0, "v": 0.0}


class NAdam(_Relative):
    """Adam with Nesterov's momentum, whose weight grows to beta1 (Dozat, 2016, as PyTorch reads it).

    Args:
        params: parameters, or groups: dicts of "params" and options of their own.
        lr: learning rate.
        betas: weights of the old running means of the gradient and of its square, in [0, 1).
        eps: added to the root.
        weight_decay: added to the gradient as ``weight_decay * p``, or taken off the weights.
        momentum_decay: how quickly the weight grows; in step t it is ``beta1 * (1 - 0.96**(t * momentum_decay) / 2)``.
        decoupled_weight_decay: take ``lr * weight_decay * p`` off the weights, as AdamW does.
        skip_nonfinite: let a step with a gradient that is not finite change nothing, instead of raising.

    Raises:
        ValueError: an option is out of range; no parameters, or one twice.
        TypeError: something that is no parameter.

    >>> import nn
    >>> w = nn.Parameter([1.0])
    >>> optimizer = nn.NAdam([w], lr=0.1)
    >>> w.grad = [1.0]
    >>> optimizer.step()
    >>> w.data.round(4)
    array([0.8944])
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
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, options, numbers={"mu_product": 1.0}, skip_nonfinite=skip_nonfinite)

    def _rule(self, group: ParamGroup, run: Run) -> Rule:
        keep1, take1, keep2, take2, eps, rate_g, rate_m = tg.host(lambda: _nadam_numbers(group, run))

        def update(g: Any, u: Any, w: Any, m: Any, v: Any) -> None:
            average_in(m, g, keep1, take1, u)
            average_square_in(v, g, keep2, take2, u)
            np.sqrt(v, out=w)
            np.add(w, eps, out=w)
            np.multiply(m, rate_m, out=u)
            np.divide(u, w, out=u)
            np.divide(g, w, out=w)
            np.multiply(w, rate_g, out=w)
            np.add(u, w, out=u)

        return update


def _nadam_numbers(group: ParamGroup, run: Run) -> tuple[float, ...]:
    beta1, beta2 = group["betas"]
    t = run.number("t") + 1
    mu, ahead = (beta1 * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"])) for step in (t, t + 1))
    product = run.number("mu_product") * mu
    run.advance(mu_product=product)
    # As in Adam: lr / (sqrt(v / c) + eps) = lr * sqrt(c) / (sqrt(v) + eps * sqrt(c)).
    root = math.sqrt(1 - beta2**t)
    rate = group["lr"] * root
    return (
        *(beta1, 1 - beta1, beta2, 1 - beta2, group["eps"] * root),
        *(rate * (1 - mu) / (1 - product), rate * ahead / (1 - product * ahead)),
    )


class RAdam(_Relative):
    """Adam that takes plain steps until the mean of the squares can be relied on (Liu et al., 2020, algorithm 2).

    Args:
        params: parameters, or groups: dicts of "params" and options of their own.
        lr: learning rate.
        betas: weights of the old running means of the gradient and of its square, in [0, 1).
        eps: added to the root.
        weight_decay: added to the gradient as ``weight_decay * p``, or taken off the weights.
        decoupled_weight_decay: take ``lr * weight_decay * p`` off the weights, as AdamW does.
        skip_nonfinite: let a step with a gradient that is not finite change nothing, instead of raising.

    Raises:
        ValueError: an option is out of range; no parameters, or one twice.
        TypeError: something that is no parameter.

    >>> import nn
    >>> w = nn.Parameter([1.0])
    >>> optimizer = nn.RAdam([w], lr=0.1)
    >>> w.grad = [2.0]
    >>> optimizer.step()
    >>> w.data
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
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, options, skip_nonfinite=skip_nonfinite)

    def _rule(self, group: ParamGroup, run: Run) -> Rule:
        keep1, take1, keep2, take2, eps, adaptive, plain = tg.host(lambda: _radam_numbers(group, run.advance()))

        def update(g: Any, u: Any, w: Any, m: Any, v: Any) -> None:
            average_in(m, g, keep1, take1, u)
            average_square_in(v, g, keep2, take2, u)
            np.sqrt(v, out=u)
            np.add(u, eps, out=u)
            np.divide(adaptive, u, out=u)
            np.add(u, plain, out=u)
            np.multiply(u, m, out=u)

        return update


def _radam_numbers(group: ParamGroup, t: int) -> tuple[float, ...]:
    """Weights of the means, eps, and the rates of the adaptive and of the plain step, one of which is 0."""
    beta1, beta2 = group["betas"]
    correction = 1 - beta2**t
    most = 2 / (1 - beta2) - 1
    length = most - 2 * t * beta2**t / correction
    rate = group["lr"] / (1 - beta1**t)
    adaptive, plain = 0.0, rate
    if length > 5:
        variance = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
        adaptive, plain = rate * math.sqrt(variance * correction), 0.0
    return beta1, 1 - beta1, beta2, 1 - beta2, group["eps"], adaptive, plain


class Lion(_Relative):
    """Steps of lr in the direction of the sign of a mean of gradients (Chen et al., 2023, algorithm 2).

    ``p -= lr * (sign(beta1 * m + (1 - beta1) * g) + weight_decay * p)``, then ``m = beta2 * m + (1 - beta2) * g``.
    Three to ten times smaller a rate than Adam's, and as much larger a weight decay, are usual.

    Args:
        params: parameters, or groups: dicts of "params" and options of their own.
        lr: learning rate.
        betas: weights of the old mean in the step and in the next mean, in [0, 1).
        weight_decay: taken off the weights, as AdamW does.
        skip_nonfinite: let a step with a gradient that is not finite change nothing, instead of raising.

    Raises:
        ValueError: an option is out of range; no parameters, or one twice.
        TypeError: something that is no parameter.

    >>> import nn
    >>> w = nn.Parameter([1.0, 1.0])
    >>> optimizer = nn.Lion([w], lr=0.1)
    >>> w.grad = [1e-3, -1e3]
    >>> optimizer.step()
    >>> w.data
    array([0.9, 1.1])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        skip_nonfinite: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "weight_decay": weight_decay}
        super().__init__(params, options, skip_nonfinite=skip_nonfinite)

    def _slots(self, group: ParamGroup) -> dict[str, float]:
        return {"m": 0.0}

    def _decoupled(self, group: ParamGroup) -> bool:
        return True

    def _rule(self, group: ParamGroup, run: Run) -> Rule:
        tg.host(run.advance)
        keep1, take1, keep2, take2, lr = tg.host(lambda: _lion_numbers(group))

        def update(g: Any, u: Any, w: Any, m: Any) -> None:
            np.multiply(m, keep1, out=u)
            np.multiply(g, take1, out=w)
            np.add(u, w, out=u)
            np.sign(u, out=u)
            np.multiply(u, lr, out=u)
            average_in(m, g, keep2, take2, w)

        return update


def _lion_numbers(group: ParamGroup) -> tuple[float, ...]:
    beta1, beta2 = group["betas"]
    return beta1, 1 - beta1, beta2, 1 - beta2, group["lr"]
