"""Lion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import tensorgrad as tg

from .group import ParamGroup, require_betas, require_rates
from .moments import average_in
from .optimizer import Optimizer, Rule
from .parts import Run

__all__ = ["Lion"]


class Lion(Optimizer):
    """Steps of lr up or down, by the sign of a mean of gradients (Chen et al., 2023, algorithm 2).

    ``p -= lr * sign(beta1 * m + (1 - beta1) * g)``, then ``m = beta2 * m + (1 - beta2) * g``. Its state is one array
    per parameter, where Adam has two. It needs a learning rate 3 to 10 times smaller than Adam's.

    Args:
        params: parameters, or groups: dicts with "params" and options of their own.
        lr: learning rate.
        betas: weights of the old mean, in the step and in the new mean, in [0, 1).
        weight_decay: in addition to the step, ``p -= lr * weight_decay * p``.
        skip_nonfinite: a step with a gradient that is not finite changes nothing, instead of raising an error.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one is given twice.
        TypeError: something is not a parameter.

    >>> import nn
    >>> w = nn.Parameter([1.0, 1.0, 1.0])
    >>> optimizer = nn.Lion([w], lr=0.1)
    >>> w.grad = [1e-3, 0.0, -1e3]
    >>> optimizer.step()
    >>> w.data
    array([0.9, 1. , 1.1])
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

    def _check(self, group: ParamGroup) -> None:
        require_rates("Lion", group)
        require_betas("Lion", group["betas"])

    def _slots(self, group: ParamGroup) -> dict[str, float]:
        return {"m": 0.0}

    def _rule(self, group: ParamGroup, run: Run) -> Rule:
        beta1, take1, beta2, take2, lr = tg.host(
            lambda: (group["betas"][0], 1 - group["betas"][0], group["betas"][1], 1 - group["betas"][1], group["lr"]),
            early=True,
        )

        def update(g: Any, u: Any, w: Any, m: Any) -> None:
            np.multiply(m, beta1, out=u)
            np.multiply(g, take1, out=w)
            np.add(u, w, out=u)
            np.sign(u, out=u)
            np.multiply(u, lr, out=u)
            average_in(m, g, beta2, take2, w)

        return update

    def _decoupled(self, group: ParamGroup) -> bool:
        return True
