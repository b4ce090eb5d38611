"""Steps divided by the size of past gradients: RMSprop, Adagrad, Adadelta."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import tensorgrad as tg

from .._checks import number
from .group import ParamGroup, require_rates, require_within
from .moments import average_in, average_square_in
from .optimizer import Optimizer, Rule
from .parts import Run

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


class RMSprop(Optimizer):
    """Steps divided by the root of a running mean of the squared gradient (Hinton, 2012, lecture 6e).

    ``p -= lr * g / (sqrt(s) + eps)`` with ``s = alpha * s + (1 - alpha) * g²``. The same as PyTorch's.

    Args:
        params: parameters, or groups: dicts with "params" and options of their own.
        lr: learning rate.
        alpha: weight of the old running mean, in [0, 1).
        eps: added to the root; at least the smallest normal number of the dtype.
        momentum: weight of the old step in a running sum of steps, in [0, 1).
        centered: divide by the running standard deviation (Graves, 2013): s minus the square of g's running mean.
        weight_decay: g is the gradient plus ``weight_decay * p``.
        skip_nonfinite: a step with a gradient that is not finite changes nothing, instead of raising an error.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one is given twice.
        TypeError: something is not a parameter.

    >>> import nn
    >>> w = nn.Parameter([1.0, 1.0])
    >>> optimizer = nn.RMSprop([w], lr=0.01, alpha=0.99)
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
        momentum: float = 0.0,
        centered: bool = False,
        weight_decay: float = 0.0,
        skip_nonfinite: bool = False,
    ) -> None:
        options = {"lr": lr, "alpha": alpha, "eps": eps, "momentum": momentum, "centered": centered}
        super().__init__(params, {**options, "weight_decay": weight_decay}, skip_nonfinite=skip_nonfinite)

    def _check(self, group: ParamGroup) -> None:
        require_rates("RMSprop", group)
        number("RMSprop", "eps", group["eps"], 0)
        for name in ("alpha", "momentum"):
            require_within("RMSprop", name, group[name], below=1)

    def _slots(self, group: ParamGroup) -> dict[str, float]:
        used = {"square_avg": True, "grad_avg": group["centered"], "momentum": group["momentum"]}
        return {name: 0.0 for name, wanted in used.items() if wanted}

    def _rule(self, group: ParamGroup, run: Run) -> Rule:
        keep, take, lr, weight, eps = tg.host(
            lambda: (group["alpha"], 1 - group["alpha"], group["lr"], group["momentum"], max(group["eps"], run.least)),
            early=True,
        )

        def update(g: Any, u: Any, w: Any, square_avg: Any, grad_avg: Any = None, momentum: Any = None) -> None:
            average_square_in(square_avg, g, keep, take, u)
            if grad_avg is None:
                np.sqrt(square_avg, out=u)
            else:
                average_in(grad_avg, g, keep, take, u)
                np.multiply(grad_avg, grad_avg, out=u)
                np.subtract(square_avg, u, out=u)
                np.maximum(u, 0, out=u)  # rounding can make the variance negative
                np.sqrt(u, out=u)
            np.add(u, eps, out=u)
            np.divide(g, u, out=u)
            if momentum is not None:
                np.multiply(momentum, weight, out=momentum)
                np.add(momentum, u, out=momentum)
            np.multiply(u if momentum is None else momentum, lr, out=u)

        return update


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients so far (Duchi et al., 2011).

    ``p -= lr_t * g / (sqrt(s) + eps)`` with ``s += g²`` and ``lr_t = lr / (1 + (t - 1) * lr_decay)``, where t is the
    number of updates. The same as PyTorch's.

    Args:
        params: parameters, or groups: dicts with "params" and options of their own.
        lr: learning rate.
        lr_decay: how fast the learning rate falls from update to update.
        eps: added to the root; at least the smallest normal number of the dtype.
        initial_accumulator_value: the initial value of s.
        weight_decay: g is the gradient plus ``weight_decay * p``.
        skip_nonfinite: a step with a gradient that is not finite changes nothing, instead of raising an error.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one is given twice.
        TypeError: something is not a parameter.

    >>> import nn
    >>> w = nn.Parameter([1.0])
    >>> optimizer = nn.Adagrad([w], lr=0.1)
    >>> for _ in range(2):
    ...     w.grad = [3.0]
    ...     optimizer.step()  # 0.1, then 0.1 / sqrt(2)
    >>> w.data.round(3)
    array([0.829])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        *,
        lr_decay: float = 0.0,
        eps: float = 1e-10,
        initial_accumulator_value: float = 0.0,
        weight_decay: float = 0.0,
        skip_nonfinite: bool = False,
    ) -> None:
        options = {"lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay}
        options["initial_accumulator_value"] = initial_accumulator_value
        super().__init__(params, options, skip_nonfinite=skip_nonfinite)

    def _check(self, group: ParamGroup) -> None:
        require_rates("Adagrad", group)
        number("Adagrad", "eps", group["eps"], 0)
        for name in ("lr_decay", "initial_accumulator_value"):
            number("Adagrad", name, group[name], 0)

    def _slots(self, group: ParamGroup) -> dict[str, float]:
        return {"sum": group["initial_accumulator_value"]}

    def _rule(self, group: ParamGroup, run: Run) -> Rule:
        eps, lr = tg.host(
            lambda: (max(group["eps"], run.least), group["lr"] / (1 + (run.t - 1) * group["lr_decay"])),
            early=True,
        )

        def update(g: Any, u: Any, w: Any, sum: Any) -> None:
            np.multiply(g, g, out=u)
            np.add(sum, u, out=sum)
            np.sqrt(sum, out=u)
            np.add(u, eps, out=u)
            np.divide(g, u, out=u)
            np.multiply(u, lr, out=u)

        return update


class Adadelta(Optimizer):
    """Steps in proportion to past steps, divided by the size of the gradients (Zeiler, 2012, algorithm 1).

    ``d = g * sqrt(a + eps) / sqrt(s + eps)`` and ``p -= lr * d``, with running means s of g² and a of d². The same as
    PyTorch's.

    Args:
        params: parameters, or groups: dicts with "params" and options of their own.
        lr: a factor on the step.
        rho: weight of the old running means, in [0, 1).
        eps: added under the roots; the first steps are about its square root in size.
        weight_decay: g is the gradient plus ``weight_decay * p``.
        skip_nonfinite: a step with a gradient that is not finite changes nothing, instead of raising an error.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one is given twice.
        TypeError: something is not a parameter.

    >>> import nn
    >>> w = nn.Parameter([1.0])
    >>> optimizer = nn.Adadelta([w], rho=0.75)
    >>> w.grad = [8.0]
    >>> optimizer.step()
    >>> w.data  # 0.001 / sqrt(0.25)
    array([0.998])
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
        number("Adadelta", "eps", group["eps"], 0)
        require_within("Adadelta", "rho", group["rho"], below=1)

    def _slots(self, group: ParamGroup) -> dict[str, float]:
        return {"square_avg": 0.0, "acc_delta": 0.0}

    def _rule(self, group: ParamGroup, run: Run) -> Rule:
        keep, take, eps, lr = tg.host(
            lambda: (group["rho"], 1 - group["rho"], max(group["eps"], run.least), group["lr"]), early=True
        )

        def update(g: Any, u: Any, w: Any, square_avg: Any, acc_delta: Any) -> None:
            average_square_in(square_avg, g, keep, take, u)
            np.add(square_avg, eps, out=w)
            np.sqrt(w, out=w)
            np.add(acc_delta, eps, out=u)
            np.sqrt(u, out=u)
            np.divide(u, w, out=u)
            np.multiply(u, g, out=u)
            average_square_in(acc_delta, u, keep, take, w)
            np.multiply(u, lr, out=u)

        return update
