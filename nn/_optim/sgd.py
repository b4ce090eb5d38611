"""Gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import tensorgrad as tg

from .group import ParamGroup, require, require_rates, require_within
from .moments import average_in
from .optimizer import Optimizer, Rule
from .parts import Run

__all__ = ["SGD"]


class SGD(Optimizer):
    """Gradient descent: ``p -= lr * d``, where d is the gradient, or a running sum of gradients.

    With momentum, ``b = momentum * b + (1 - dampening) * g`` (the first b is g); d is b, or ``g + momentum * b`` with
    ``nesterov``. The same as PyTorch's.

    Args:
        params: parameters, or groups: dicts with "params" and options of their own.
        lr: learning rate.
        momentum: weight of the old running sum, in [0, 1).
        dampening: the share of a new gradient that the running sum leaves out.
        nesterov: look ahead (needs momentum, and no dampening).
        weight_decay: g is the gradient plus ``weight_decay * p``.
        skip_nonfinite: a step with a gradient that is not finite changes nothing, instead of raising an error.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one is given twice.
        TypeError: something is not a parameter.

    >>> import nn
    >>> w = nn.Parameter([1.0])
    >>> optimizer = nn.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data
    array([0.8])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        *,
        momentum: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        skip_nonfinite: bool = False,
    ) -> None:
        options = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
        }
        super().__init__(params, options, skip_nonfinite=skip_nonfinite)

    def _check(self, group: ParamGroup) -> None:
        require_rates("SGD", group)
        momentum = require_within("SGD", "momentum", group["momentum"], below=1)
        dampening = require_within("SGD", "dampening", group["dampening"], most=1)
        fine = not group["nesterov"] or (momentum and not dampening)
        require("SGD", "nesterov", group["nesterov"], fine, "False without momentum, or with dampening")

    def _slots(self, group: ParamGroup) -> dict[str, float]:
        return {"momentum": 0.0} if group["momentum"] else {}

    def _rule(self, group: ParamGroup, run: Run) -> Rule:
        dampening, nesterov = group["dampening"], group["nesterov"]
        take = tg.host(lambda: 1.0 if run.t == 1 else 1 - group["dampening"], early=True)
        lr = tg.host(lambda: group["lr"], early=True)
        if not group["momentum"]:
            return lambda g, u, w: np.multiply(g, lr, out=u)
        keep = tg.host(lambda: group["momentum"], early=True)

        def update(g: Any, u: Any, w: Any, momentum: Any) -> None:
            if dampening:
                average_in(momentum, g, keep, take, u)
            else:
                np.multiply(momentum, keep, out=momentum)
                np.add(momentum, g, out=momentum)
            if nesterov:
                np.multiply(momentum, keep, out=u)
                np.add(u, g, out=u)
                np.multiply(u, lr, out=u)
            else:
                np.multiply(momentum, lr, out=u)

        return update
