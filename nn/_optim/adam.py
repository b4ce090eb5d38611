"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import tensorgrad as tg

from .optimizer import Optimizer, ParamGroup, Run, require, require_rates

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam: steps of about lr, whatever the size of the gradients (Kingma and Ba, 2015, algorithm 1).

    ``m`` and ``v`` are running means of the gradient and of its square, corrected for their start at zero
    with t, the number of updates: ``p -= lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)``.

    Args:
        params: parameters, or groups: dicts of "params" and options of their own.
        lr: learning rate.
        betas: weights of the old running means, in [0, 1).
        eps: added to the root.
        weight_decay: added to the gradient as ``weight_decay * p``; :class:`AdamW` decays the weights
            themselves.

    Raises:
        ValueError: an option is out of range; no parameters, or one twice.
        TypeError: something that is no parameter.

    >>> import nn
    >>> w = nn.Parameter([1.0, 1.0])
    >>> optimizer = nn.Adam([w], lr=0.1)
    >>> w.grad = [1e-4, 1e4]
    >>> optimizer.step()
    >>> w.data.round(3)
    array([0.9, 0.9])
    """

    _decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.slots = ("m", "v")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def _check(self, group: ParamGroup) -> None:
        me = type(self).__name__
        require_rates(me, group)
        betas = group["betas"]
        fine = isinstance(betas, tuple | list) and len(betas) == 2 and all(0 <= beta < 1 for beta in betas)
        require(me, "betas", betas, fine, "two numbers in [0, 1)")
        require(me, "eps", group["eps"], group["eps"] >= 0, "a number of at least 0")

    def _update(self, group: ParamGroup, run: Run, g: Any, weights: Any, scratch: Any, *state: Any) -> None:
        m, v = state
        # The corrections are two numbers: m̂ / (sqrt(v̂) + eps) = rate / lr * m / (sqrt(v) + shifted eps).
        rate = tg.host(lambda: _rate(group, run.advance()))
        eps = tg.host(lambda: group["eps"] * math.sqrt(1 - group["betas"][1] ** run.t))
        beta2 = tg.host(lambda: group["betas"][1])
        if weights is not None:
            np.multiply(weights, tg.host(self._decay_of(group)), out=weights)
            if not self._decoupled:
                np.add(g, weights, out=g)
        np.subtract(g, m, out=scratch)
        np.multiply(scratch, tg.host(lambda: 1 - group["betas"][0]), out=scratch)
        np.add(m, scratch, out=m)
        np.multiply(g, g, out=g)
        np.multiply(g, tg.host(lambda: 1 - group["betas"][1]), out=g)
        np.multiply(v, beta2, out=v)
        np.add(v, g, out=v)
        np.sqrt(v, out=g)
        np.add(g, eps, out=g)
        np.divide(m, g, out=g)
        np.multiply(g, rate, out=g)
        if weights is not None and self._decoupled:
            np.add(g, weights, out=g)

    def _decay_of(self, group: ParamGroup) -> Callable[[], float]:
        if self._decoupled:
            return lambda: group["lr"] * group["weight_decay"]
        return lambda: group["weight_decay"]


class AdamW(Adam):
    """Adam that decays the weights, not the gradients: ``p -= lr * weight_decay * p`` beside Adam's step.

    (Loshchilov and Hutter, 2019, algorithm 2, as PyTorch reads it.) Biases and norm parameters are usually
    left out, with a group of their own. Arguments and errors are those of :class:`Adam`.

    >>> import nn
    >>> model = nn.MLP([4, 8, 3], norm="batch", rng=0)
    >>> weights = [p for p in model.parameters() if p.ndim > 1]
    >>> others = [p for p in model.parameters() if p.ndim == 1]
    >>> optimizer = nn.AdamW([{"params": weights}, {"params": others, "weight_decay": 0.0}], lr=1e-3)
    >>> [group["weight_decay"] for group in optimizer.param_groups]
    [0.01, 0.0]
    """

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr, betas=betas, eps=eps, weight_decay=weight_decay)


def _rate(group: ParamGroup, t: int) -> float:
    beta1, beta2 = group["betas"]
    return group["lr"] * math.sqrt(1 - beta2**t) / (1 - beta1**t)
