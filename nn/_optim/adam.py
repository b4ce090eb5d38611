"""Adam and AdamW."""

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

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam: steps of about lr, whatever the size of the gradients (Kingma and Ba, 2015, algorithm 1).

    ``m`` and ``v`` are running means of the gradient and of its square, corrected for starting at zero; t is the
    number of updates: ``p -= lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)``.

    Args:
        params: parameters, or groups: dicts with "params" and options of their own.
        lr: learning rate.
        betas: weights of the old running means, in [0, 1).
        eps: added to the root; at least the smallest normal number of the dtype.
        weight_decay: added to the gradient as ``weight_decay * p``; :class:`AdamW` decays the weights
            themselves.
        amsgrad: divide by the root of the largest v so far (Reddi et al., 2018); kept as ``v_max``.
        skip_nonfinite: a step with a gradient that is not finite changes nothing, instead of raising an error.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one is given twice.
        TypeError: something is not a parameter.

    >>> import nn
    >>> w = nn.Parameter([1.0, 1.0])
    >>> optimizer = nn.Adam([w], lr=0.1)
    >>> w.grad = [1e-4, 1e4]
    >>> optimizer.step()
    >>> w.data.round(3)
    array([0.9, 0.9])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        skip_nonfinite: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, options, skip_nonfinite=skip_nonfinite)

    def _check(self, group: ParamGroup) -> None:
        me = type(self).__name__
        require_rates(me, group)
        require_betas(me, group["betas"])
        number(me, "eps", group["eps"], 0)

    def _slots(self, group: ParamGroup) -> dict[str, float]:
        return {"m": 0.0, "v": 0.0, "v_max": 0.0} if group["amsgrad"] else {"m": 0.0, "v": 0.0}

    def _rule(self, group: ParamGroup, run: Run) -> Rule:
        keep1, take1, keep2, take2, eps, rate = tg.host(lambda: _numbers(group, run.t, run.least), early=True)

        def update(g: Any, u: Any, w: Any, m: Any, v: Any, v_max: Any = None) -> None:
            average_in(m, g, keep1, take1, u)
            average_square_in(v, g, keep2, take2, u)
            if v_max is not None:
                np.maximum(v_max, v, out=v_max)
            np.sqrt(v if v_max is None else v_max, out=u)
            np.add(u, eps, out=u)
            np.divide(m, u, out=u)
            np.multiply(u, rate, out=u)

        return update


class AdamW(Adam):
    """Adam that decays the weights, not the gradients: ``p -= lr * weight_decay * p`` in addition to Adam's step.

    Loshchilov and Hutter, 2019, algorithm 2, as implemented in PyTorch. Biases and norm parameters are usually exempt,
    in a group of their own. Arguments and errors are those of :class:`Adam`.

    >>> import nn
    >>> model = nn.MLP([4, 8, 3], norm="batch", rng=0)
    >>> weights = [p for p in model.parameters() if p.ndim > 1]
    >>> others = [p for p in model.parameters() if p.ndim == 1]
    >>> optimizer = nn.AdamW([{"params": weights}, {"params": others, "weight_decay": 0.0}], lr=1e-3)
    >>> [group["weight_decay"] for group in optimizer.param_groups]
    [0.01, 0.0]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        skip_nonfinite: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            skip_nonfinite=skip_nonfinite,
        )

    def _decoupled(self, group: ParamGroup) -> bool:
        return True


def _numbers(group: ParamGroup, t: int, least: float) -> tuple[float, ...]:
    """The weights of the means, and eps and the rate at step t.

    The corrections of the means take two numbers: ``lr * m̂ / (sqrt(v̂) + eps) = rate * m / (sqrt(v) + eps * root)``.
    """
    beta1, beta2 = group["betas"]
    root = math.sqrt(1 - beta2**t)
    eps = max(group["eps"] * root, least)
    return beta1, 1 - beta1, beta2, 1 - beta2, eps, group["lr"] * root / (1 - beta1**t)
