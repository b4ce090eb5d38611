"""L-BFGS, using SciPy: ``pip install "tensorgrad-np[special]"``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import accumulate, pairwise
from typing import Any, TypeVar

import numpy as np

import tensorgrad as tg

from .._checks import count, number
from .group import ParamGroup
from .optimizer import Optimizer

__all__ = ["LBFGS"]

R = TypeVar("R")
_OUT_OF_ITERATIONS = 1  # in SciPy's result, also for evaluations


class LBFGS(Optimizer):
    """Steps in directions that take the curvature into account, with a line search along each (Byrd et al., 1995).

    For losses without noise: on all the data, or on one large batch per step. Each :meth:`step` runs SciPy's L-BFGS-B
    from the current parameters, in float64, with an empty history; no state is kept between steps. There is no
    learning rate.

    Args:
        params: parameters, in one group.
        max_iter: the most directions per step.
        max_eval: the most evaluations of the loss per step, roughly; by default a quarter more than ``max_iter``.
        tolerance_grad: a step ends when no element of the gradient is larger than this.
        tolerance_change: a step ends when the loss falls by less than this, relative to the larger of itself and 1.
        history_size: how many pairs of steps and gradient changes approximate the curvature.
        skip_nonfinite: a step with a loss or gradient that is not finite changes nothing, instead of raising an error.

    Attributes:
        losses: the smallest loss so far after each direction of the last step.
        converged: whether the last step ended before ``max_iter`` and ``max_eval``: at a tolerance, or where the line
            search finds no smaller loss.

    Raises:
        ValueError: an option is out of range, there are no parameters or several groups, or one is given twice.
        TypeError: something is not a parameter.

    >>> import nn
    >>> w = nn.Parameter([-1.0, 2.0])
    >>> optimizer = nn.LBFGS([w], max_iter=100)
    >>> def closure():
    ...     loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()  # the loss before
    104.0
    >>> w.data.round(4)
    array([1., 1.])
    >>> optimizer.converged, optimizer.losses[-1] < 1e-6
    (True, True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        skip_nonfinite: bool = False,
    ) -> None:
        options: dict[str, Any] = {"max_iter": max_iter, "max_eval": max_eval, "history_size": history_size}
        options |= {"tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change}
        super().__init__(params, options, skip_nonfinite=skip_nonfinite)
        self.losses: list[float] = []
        self.converged = False

    def _add(self, groups: list[ParamGroup]) -> None:
        if (total := len(self.param_groups) + len(groups)) > 1:
            raise ValueError(
                f"LBFGS: params must be in one group, got {total}: a direction involves all of them; write "
                "model.parameters()"
            )
        super()._add(groups)

    def _check(self, group: ParamGroup) -> None:
        for name in ("max_iter", "max_eval", "history_size"):
            if name != "max_eval" or group[name] is not None:
                count("LBFGS", name, group[name])
        for name in ("tolerance_grad", "tolerance_change"):
            number("LBFGS", name, group[name], 0)

    def _progress(self) -> list[str]:
        return super()._progress()[1:]  # it does not count its steps

    def _slots(self, group: ParamGroup) -> dict[str, float]:
        return {}

    def step(self, closure: Callable[[], R] | None = None) -> R | None:
        """Run up to ``max_iter`` iterations, and leave the parameters at the best point found.

        Args:
            closure: computes the loss, calls ``backward()`` on it, and returns it; it is called many times, each time
                with the gradients reset.

        Returns:
            The first result of ``closure``.

        Raises:
            ImportError: SciPy is not installed.
            TypeError: there is no closure, or it does not return a loss.
            NonFiniteError: a loss or gradient is NaN or infinite. No parameter was changed. With ``skip_nonfinite``
                such a step is counted in ``skipped``, and changes nothing.
            GraphError: a parameter was replaced in its module, or cast, since the optimiser was made.
        """
        if closure is None:
            raise TypeError("LBFGS.step: it needs a closure that computes the loss, calls backward() and returns it")
        try:
            from scipy import optimize
        except ImportError as error:
            raise ImportError('LBFGS needs SciPy: pip install "tensorgrad-np[special]"') from error
        (group,) = self.param_groups
        self._check(group)
        for bucket in self._buckets:
            bucket.require_known(self._by)
        search, losses = _Search(self, closure), []
        options = {
            "maxiter": group["max_iter"],
            "maxfun": group["max_eval"] or max(1, group["max_iter"] * 5 // 4),
            "maxcor": group["history_size"],
            "gtol": group["tolerance_grad"],
            "ftol": group["tolerance_change"],
        }
        try:
            ended = optimize.minimize(
                search.evaluate,
                search.start,
                jac=True,
                method="L-BFGS-B",
                options=options,
                callback=lambda x: losses.append(search.least),
            )
        except tg.NonFiniteError:
            search.put(search.start)
            if not self.skip_nonfinite:
                raise
            self.skipped += 1
        except BaseException:
            search.put(search.start)
            raise
        else:
            search.put(search.best)
            self.losses, self.converged = losses, ended.status != _OUT_OF_ITERATIONS
        return search.first


class _Search:
    """The loss as a function of all parameters, concatenated in float64."""

    def __init__(self, optimizer: LBFGS, closure: Callable[[], Any]) -> None:
        self.optimizer = optimizer
        self.closure = closure
        self.params = optimizer.param_groups[0]["params"]
        self.places = list(pairwise(accumulate((param.size for param in self.params), initial=0)))
        self.start = np.concatenate([param.data for param in self.params], axis=None).astype(np.float64)
        self.best, self.least = self.start, math.inf
        self.first: Any = None
        self.calls = 0

    def put(self, x: Any) -> None:
        """Write a point into the parameters."""
        with tg.uninterrupted():
            for param, (a, b) in zip(self.params, self.places, strict=True):
                tg.writes_to(param, by="optimizer.step() of LBFGS")[...] = x[a:b].reshape(param.shape)

    def evaluate(self, x: Any) -> tuple[float, Any]:
        """The loss and the gradient at a point."""
        self.put(x)
        self.optimizer.zero_grad()
        loss = self.closure()
        self.calls += 1
        if self.calls == 1:
            self.first = loss
        if loss is None:
            raise TypeError("LBFGS.step: the closure must return the loss, got None")
        value = loss.item() if isinstance(loss, tg.Tensor) else float(loss)
        if not math.isfinite(value):
            raise tg.NonFiniteError(
                f"LBFGS.step: the loss is {value} at evaluation {self.calls} of the step; no parameter was changed"
            )
        gradient = np.zeros_like(x)
        for i, (param, (a, b)) in enumerate(zip(self.params, self.places, strict=True)):
            if param.grad is None:
                continue
            gradient[a:b] = np.ravel(tg.array_of(param.grad))
            if bad := int(np.count_nonzero(~np.isfinite(gradient[a:b]))):
                raise tg.NonFiniteError(
                    f"LBFGS.step: the gradient of {param.name or f'parameter {i}'!r}, shape {param.shape}, holds NaN "
                    f"or infinity in {bad} of {param.size} places at evaluation {self.calls} of the step; no parameter "
                    "was changed"
                )
        if value < self.least:
            self.best, self.least = np.array(x), value
        return value, gradient
