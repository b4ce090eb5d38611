"""L-BFGS, by SciPy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

import tensorgrad as tg

from .optimizer import Optimizer, ParamGroup, R, Rule, require
from .parts import Run

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """L-BFGS with a line search, ``scipy.optimize.minimize(method="L-BFGS-B")``: extra ``special``.

    For few data and all of them at once, since the loss must be the same function at each call. A step is a whole
    minimisation of up to ``max_iter`` iterations, which begins without curvature; it is best to give one step many.

    Args:
        params: parameters, all in one group.
        max_iter: iterations a step.
        max_eval: evaluations a step; None for ``max_iter * 5 // 4``.
        tolerance_grad: end where no element of the gradient is larger.
        tolerance_change: end where the loss changes by a smaller share.
        history_size: pairs of steps and changes of the gradient that stand for the curvature.

    Raises:
        ValueError: an option is out of range; no parameters, or one twice.
        TypeError: something that is no parameter; a step without a closure.

    >>> import nn
    >>> w = nn.Parameter([-1.5, 2.0])
    >>> optimizer = nn.LBFGS([w], max_iter=100)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
    ...     loss.backward()
    ...     return loss
    >>> _ = optimizer.step(closure)
    >>> w.data.round(3)
    array([1., 1.])
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 10,
    ) -> None:
        options = {
            "max_iter": max_iter,
            "max_eval": max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
        }
        super().__init__(params, options)
        require("LBFGS", "params", self.param_groups, len(self.param_groups) == 1, "in one group")

    def _check(self, group: ParamGroup) -> None:
        for name in ("max_iter", "history_size"):
            require("LBFGS", name, group[name], group[name] >= 1, "at least 1")
        require(
            "LBFGS", "max_eval", group["max_eval"], group["max_eval"] is None or group["max_eval"] >= 1, "at least 1"
        )
        for name in ("tolerance_grad", "tolerance_change"):
            require("LBFGS", name, group[name], group[name] >= 0, "a number of at least 0")

    def _slots(self, group: ParamGroup) -> dict[str, float]:
        return {}

    def _rule(self, group: ParamGroup, run: Run) -> Rule:
        raise AssertionError("LBFGS has a step of its own")

    def step(self, closure: Callable[[], R] | None = None) -> R:
        """Minimise the loss that the closure computes.

        Args:
            closure: clears the gradients, computes the loss, goes back through it, and returns it.

        Returns:
            The loss before the step.

        Raises:
            NonFiniteError: the loss or a gradient is not finite. The parameters are the best that were found before.
            ImportError: SciPy is not installed.
            TypeError: there is no closure.
        """
        if closure is None:
            raise TypeError(
                "LBFGS.step: a closure is missing, which clears the gradients, computes the loss, goes back "
                "through it and returns it; write optimizer.step(closure)"
            )
        try:
            from scipy.optimize import minimize
        except ImportError as error:
            raise ImportError("LBFGS needs SciPy: pip install 'tensorgrad-np[special]'") from error
        (group,) = self.param_groups
        self._check(group)
        search = _Search(group["params"], closure)
        most = group["max_eval"] or group["max_iter"] * 5 // 4
        try:
            minimize(
                search.at,
                search.best,
                jac=True,
                method="L-BFGS-B",
                options={
                    "maxiter": group["max_iter"],
                    "maxfun": most,
                    "gtol": group["tolerance_grad"],
                    "ftol": group["tolerance_change"],
                    "maxcor": group["history_size"],
                },
            )
        finally:
            search.write(search.best)
        return search.first


class _Search:
    """The parameters end to end, and the best that were met."""

    def __init__(self, params: list[Any], closure: Callable[[], Any]) -> None:
        self._params = params
        self._closure = closure
        self._cuts = list(pairwise([0, *accumulate(param.size for param in params)]))
        self.best = np.concatenate([param.data.ravel() for param in params]).astype(np.float64)
        self.first: Any = None
        self._least = np.inf

    def write(self, x: Any) -> None:
        for param, (a, b) in zip(self._params, self._cuts, strict=True):
            tg.writes_to(param, by="optimizer.step() of LBFGS")[...] = x[a:b].reshape(param.shape)

    def at(self, x: Any) -> tuple[float, Any]:
        self.write(x)
        loss = self._closure()
        value = float(loss.item() if isinstance(loss, tg.Tensor) else loss)
        gradient = np.zeros(len(x))
        for param, (a, b) in zip(self._params, self._cuts, strict=True):
            if param.grad is not None:
                gradient[a:b] = np.ravel(tg.array_of(param.grad))
                if not np.isfinite(gradient[a:b]).all():
                    raise tg.NonFiniteError(f"LBFGS.step: the gradient of {param.name!r} holds NaN or infinity")
        if not np.isfinite(value):
            raise tg.NonFiniteError(f"LBFGS.step: the loss is {value}")
        if self.first is None:
            self.first = loss
        if value < self._least:
            self._least, self.best = value, np.array(x)
        return value, gradient
