"""RMSprop, Adagrad and Adadelta: steps divided by the size of the gradients so far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import tensorgrad as tg

from .moments import average_in, average_square_in
from .optimizer import Optimizer, ParamGroup, Rule, require, require_rates
from .parts import Run

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


class RMSprop(Optimizer):
    """The gradient over the root of a running mean of its square (Tieleman and Hinton, 2012, lecture 6e).

    ``v = alpha * v + (1 - alpha) * g**2``, ``p -= lr * g / (sqrt(v) + eps)``. The same as PyTorch's.

    Args:
        params: parameters, or groups: dicts of "params" and options of their own.
        lr: learning rate.
        alpha: weight of the old running mean, in [0, 1).
        eps: added to the root.
        weight_decay: g is the gradient plus ``weight_decay * p``.
        momentum: weight of the old running sum of steps, in [0, 1); 0 for none.
        centered: subtract the square of a running mean of the gradient from v.
        skip_nonfinite: let a step with a gradient that is not finite change nothing, instead of raising.

    Raises:
        ValueError: an option is out of range; no parameters, or one twice.
        TypeError: something that is no parameter.

    >>> import nn
    >>> w = nn.Parameter([1.0, 1.0])
    >>> optimizer = nn.RMSprop([w], lr=0.01)
    >>> w.grad = [1e-3, 1e3]
    >>> optimizer.step()
    >>> w.data.round(3)
    array([0.9, 0.9])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        skip_nonfinite: bool = False,
    ) -> None:
        options = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
        }
        super().__init__(params, options, skip_nonfinite=skip_nonfinite)

    def _check(self, group: ParamGroup) -> None:
        require_rates("RMSprop", group)
        for name in ("alpha", "momentum"):
            require("RMSprop", name, group[name], 0 <= group[name] < 1, "in [0, 1)")
        require("RMSprop", "eps", group["eps"], group["eps"] >= 0, "a number of at least 0")

    def _slots(self, group: ParamGroup) -> dict[str, float]:
        names = ["v", *(["mean"] if group["centered"] else []), *(["momentum"] if group["momentum"] else [])]
        return dict.fromkeys(names, 0.0)

    def _rule(self, group: ParamGroup, run: Run) -> Rule:
        tg.host(run.advance)
        keep, take = tg.host(lambda: (group["alpha"], 1 - group["alpha"]))
        lr, eps, inertia = tg.host(lambda: (group["lr"], group["eps"], group["momentum"]))

        def update(g: Any, u: Any, w: Any, v: Any, mean: Any = None, momentum: Any = None) -> None:
            average_square_in(v, g, keep, take, u)
            if mean is None:
                np.sqrt(v, out=u)
            else:
                average_in(mean, g, keep, take, u)
                np.multiply(mean, mean, out=u)
                np.subtract(v, u, out=u)
                np.sqrt(u, out=u)
            np.add(u, eps, out=u)
            np.divide(g, u, out=u)
            if momentum is not None:
                np.multiply(momentum, inertia, out=momentum)
                np.add(momentum, u, out=momentum)
                u[...] = momentum
            np.multiply(u, lr, out=u)

        return update


class Adagrad(Optimizer):
    """The gradient over the root of the sum of all its squares so far (Duchi et al., 2011).

    Args:
        params: parameters, or groups: dicts of "params" and options of their own.
        lr: learning rate.
        lr_decay: in step t, from 1, the rate is ``lr / (1 + (t - 1) * lr_decay)``.
        weight_decay: g is the gradient plus ``weight_decay * p``.
        initial_accumulator_value: what the sum of squares starts from.
        eps: added to the root.
        skip_nonfinite: let a step with a gradient that is not finite change nothing, instead of raising.

    Raises:
        ValueError: an option is out of range; no parameters, or one twice.
        TypeError: something that is no parameter.

    >>> import nn
    >>> w = nn.Parameter([1.0])
    >>> optimizer = nn.Adagrad([w], lr=0.1)
    >>> w.grad = [3.0]
    >>> optimizer.step()
    >>> w.data.round(6)
    array([0.9])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        *,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        skip_nonfinite: bool = False,
    ) -> None:
        options = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
        }
        super().__init__(params, options, skip_nonfinite=skip_nonfinite)

    def _check(self, group: ParamGroup) -> None:
        require_rates("Adagrad", group)
        for name in ("lr_decay", "initial_accumulator_value", "eps"):
            require("Adagrad", name, group[name], group[name] >= 0, "a number of at least 0")

    def _slots(self, group: ParamGroup) -> dict[str, float]:
        return {"sum": group["initial_accumulator_value"]}

    def _rule(self, group: ParamGroup, run: Run) -> Rule:
        lr = tg.host(lambda: group["lr"] / (1 + (run.advance() - 1) * group["lr_decay"]))
        eps = tg.host(lambda: group["eps"])

        def update(g: Any, u: Any, w: Any, sum: Any) -> None:
            np.multiply(g, g, out=u)
            np.add(sum, u, out=sum)
            np.sqrt(sum, out=u)
            np.add(u, eps, out=u)
            np.divide(g, u, out=u)
            np.multiply(u, lr, out=u)

        return update


class Adadelta(Optimizer):
    """Steps in the units of the parameters: running means of steps over those of gradients (Zeiler, 2012).

    Args:
        params: parameters, or groups: dicts of "params" and options of their own.
        lr: a factor of the steps.
        rho: weight of the old running means, in [0, 1).
        eps: added to both means before their roots; without it nothing would ever move.
        weight_decay: g is the gradient plus ``weight_decay * p``.
        skip_nonfinite: let a step with a gradient that is not finite change nothing, instead of raising.

    Raises:
        ValueError: an option is out of range; no parameters, or one twice.
        TypeError: something that is no parameter.

    >>> import nn
    >>> w = nn.Parameter([1.0])
    >>> optimizer = nn.Adadelta([w])
    >>> w.grad = [1.0]
    >>> optimizer.step()
    >>> w.data.round(4)
    array([0.9968])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        *,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        skip_nonfinite: bool = False,
    ) -> None:
        options = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, options, skip_nonfinite=skip_nonfinite)

    def _check(self, group: ParamGroup) -> None:
        require_rates("Adadelta", group)
        require("Adadelta", "rho", group["rho"], 0 <= group["rho"] < 1, "in [0, 1)")
        require("Adadelta", "eps", group["eps"], group["eps"] > 0, "positive")

    def _slots(self, group: ParamGroup) -> dict[str, float]:
        return {"v": 0.0, "steps": 0.0}

    def _rule(self, group: ParamGroup, run: Run) -> Rule:
        tg.host(run.advance)
        keep, take, eps, lr = tg.host(lambda: (group["rho"], 1 - group["rho"], group["eps"], group["lr"]))

        def update(g: Any, u: Any, w: Any, v: Any, steps: Any) -> None:
            average_square_in(v, g, keep, take, u)
            np.add(v, eps, out=w)
            np.sqrt(w, out=w)
            np.add(steps, eps, out=u)
            np.sqrt(u, out=u)
            np.divide(u, w, out=u)
            np.multiply(u, g, out=u)
            average_square_in(steps, u, keep, take, w)
            np.multiply(u, lr, out=u)

        return update
