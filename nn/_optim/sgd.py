"""Gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import tensorgrad as tg

from .optimizer import Optimizer, ParamGroup, Run, require, require_rates

__all__ = ["SGD"]


class SGD(Optimizer):
    """Gradient descent: ``p -= lr * d``, where d is the gradient, or a running sum of gradients.

    With momentum, ``b = momentum * b + g``; d is b, or ``g + momentum * b`` with ``nesterov``. The same as
    PyTorch's.

    Args:
        params: parameters, or groups: dicts of "params" and options of their own.
        lr: learning rate.
        momentum: weight of the old running sum, in [0, 1).
        nesterov: look ahead (needs momentum).
        weight_decay: g is the gradient plus ``weight_decay * p``.

    Raises:
        ValueError: an option is out of range; no parameters, or one twice.
        TypeError: something that is no parameter.

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
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        self.slots = ("momentum",)
        options = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
        super().__init__(params, options)

    def _check(self, group: ParamGroup) -> None:
        require_rates("SGD", group)
        momentum = group["momentum"]
        require("SGD", "momentum", momentum, 0 <= momentum < 1, "in [0, 1)")
        require("SGD", "nesterov", group["nesterov"], momentum or not group["nesterov"], "False without momentum")

    def _update(self, group: ParamGroup, run: Run, g: Any, weights: Any, scratch: Any, *state: Any) -> None:
        _, with_momentum, nesterov = group.branches
        tg.host(run.advance)
        if weights is not None:
            np.multiply(weights, tg.host(lambda: group["weight_decay"]), out=weights)
            np.add(g, weights, out=g)
        lr = tg.host(lambda: group["lr"])
        if not with_momentum:
            np.multiply(g, lr, out=g)
            return
        (buffer,) = state
        momentum = tg.host(lambda: group["momentum"])
        np.multiply(buffer, momentum, out=buffer)
        np.add(buffer, g, out=buffer)
        if nesterov:
            np.multiply(buffer, momentum, out=scratch)
            np.add(g, scratch, out=g)
            np.multiply(g, lr, out=g)
        else:
            np.multiply(buffer, lr, out=g)
