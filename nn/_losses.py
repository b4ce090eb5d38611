"""Losses as modules: each calls the function of nn.functional that it names, with the options it holds."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorgrad as tg

from . import functional
from ._checks import integer, number
from ._module import Module
from ._parameter import Parameter
from .functional._shared import checked_reduction

__all__ = [
    "LOSSES",
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HingeLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "PoissonNLLLoss",
    "QuantileLoss",
    "SmoothL1Loss",
]


class _Loss(Module):
    options: ClassVar[tuple[str, ...]] = ("reduction",)  # attributes passed to the function under the same names
    batchmean: ClassVar[bool] = False  # is "batchmean" a valid reduction?

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = checked_reduction(reduction, type(self).__name__, batchmean=self.batchmean)

    def _held(self) -> dict[str, Any]:
        return {name: tg.watch(self, name) for name in self.options}

    def _hold_weight(self, name: str, weight: tg.TensorLike | None) -> None:
        if isinstance(weight, str):
            raise ValueError(
                f"{type(self).__name__}: {name} must be numbers, got {weight!r}; did you mean reduction={weight!r}?"
            )
        setattr(self, name, weight)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("weight", "pos_weight"):  # a buffer, or None
            held = name in self._buffers
            if held and value is None:
                delattr(self, name)
            elif not (held or value is None or isinstance(value, Parameter)):
                return self.register_buffer(name, value)
        super().__setattr__(name, value)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.options)


# --- between two arrays of the same shape ---------------------------------------------------------------


class MSELoss(_Loss):
    """Mean squared error: :func:`nn.functional.mse_loss`.

    >>> import nn
    >>> nn.MSELoss()([1.0, 2.0], [1.0, 4.0]).item()
    2.0
    """

    def forward(self, prediction: tg.TensorLike, target: tg.TensorLike) -> tg.Tensor:
        return functional.mse_loss(prediction, target, **self._held())


class L1Loss(_Loss):
    """Mean absolute error: :func:`nn.functional.l1_loss`.

    >>> import nn
    >>> nn.L1Loss()([1.0, 2.0], [1.0, 4.0]).item()
    1.0
    """

    def forward(self, prediction: tg.TensorLike, target: tg.TensorLike) -> tg.Tensor:
        return functional.l1_loss(prediction, target, **self._held())


class HuberLoss(_Loss):
    """Squared error up to an error of delta, and linear beyond: :func:`nn.functional.huber_loss`.

    >>> import nn
    >>> nn.HuberLoss(delta=2.0)([1.0, 5.0], [0.0, 0.0]).item()
    4.25
    """

    options = ("delta", "reduction")

    def __init__(self, *, delta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.delta = number("HuberLoss", "delta", delta)
        if self.delta <= 0:
            raise ValueError(f"HuberLoss: delta must be positive, got {delta!r}")

    def forward(self, prediction: tg.TensorLike, target: tg.TensorLike) -> tg.Tensor:
        return functional.huber_loss(prediction, target, **self._held())


class SmoothL1Loss(_Loss):
    """Absolute error, smoothed below an error of beta: :func:`nn.functional.smooth_l1_loss`.

    >>> import nn
    >>> nn.SmoothL1Loss(beta=2.0)([1.0, 5.0], [0.0, 0.0]).item()
    2.125
    """

    options = ("beta", "reduction")

    def __init__(self, *, beta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.beta = number("SmoothL1Loss", "beta", beta, 0)

    def forward(self, prediction: tg.TensorLike, target: tg.TensorLike) -> tg.Tensor:
        return functional.smooth_l1_loss(prediction, target, **self._held())


class QuantileLoss(_Loss):
    """The loss whose smallest mean is at the q-th quantile: :func:`nn.functional.quantile_loss`.

    >>> import nn
    >>> nn.QuantileLoss(q=0.75)([1.0, 3.0], [2.0, 2.0]).item()
    0.5
    """

    options = ("q", "reduction")

    def __init__(self, *, q: float = 0.5, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.q = number("QuantileLoss", "q", q)
        if not 0 < self.q < 1:
            raise ValueError(f"QuantileLoss: q must be between 0 and 1, got {q!r}")

    def forward(self, prediction: tg.TensorLike, target: tg.TensorLike) -> tg.Tensor:
        return functional.quantile_loss(prediction, target, **self._held())


class HingeLoss(_Loss):
    """How far a prediction falls short of a margin of 1, for targets of 1 or -1: :func:`nn.functional.hinge_loss`.

    >>> import nn
    >>> nn.HingeLoss()([0.5, 2.0], [1.0, 1.0]).item()
    0.25
    """

    def forward(self, prediction: tg.TensorLike, target: tg.TensorLike) -> tg.Tensor:
        return functional.hinge_loss(prediction, target, **self._held())


# --- between scores and classes -------------------------------------------------------------------------


class CrossEntropyLoss(_Loss):
    """Cross-entropy of logits and integer or soft labels: :func:`nn.functional.cross_entropy`.

    The class weights are a buffer, or None.

    >>> import nn
    >>> round(nn.CrossEntropyLoss()([[0.0, 0.0]], [1]).item(), 6)
    0.693147
    """

    options = ("label_smoothing", "ignore_index", "reduction")
    weight: tg.Tensor | None

    def __init__(
        self,
        weight: tg.TensorLike | None = None,
        *,
        label_smoothing: float = 0.0,
        ignore_index: int | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self._hold_weight("weight", weight)
        self.label_smoothing = number("CrossEntropyLoss", "label_smoothing", label_smoothing, 0)
        if self.label_smoothing > 1:
            raise ValueError(f"CrossEntropyLoss: label_smoothing must be in [0, 1], got {label_smoothing!r}")
        self.ignore_index = None if ignore_index is None else integer("CrossEntropyLoss", "ignore_index", ignore_index)

    def forward(self, logits: tg.TensorLike, labels: tg.TensorLike) -> tg.Tensor:
        return functional.cross_entropy(logits, labels, weight=self.weight, **self._held())


class NLLLoss(_Loss):
    """Negative log-probability of the label: :func:`nn.functional.nll_loss`.

    The class weights are a buffer, or None.

    >>> import numpy as np, nn
    >>> round(nn.NLLLoss()(np.log([[0.25, 0.75]]), [1]).item(), 6)
    0.287682
    """

    options = ("ignore_index", "reduction")
    weight: tg.Tensor | None

    def __init__(
        self, weight: tg.TensorLike | None = None, *, ignore_index: int | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction=reduction)
        self._hold_weight("weight", weight)
        self.ignore_index = None if ignore_index is None else integer("NLLLoss", "ignore_index", ignore_index)

    def forward(self, log_probabilities: tg.TensorLike, labels: tg.TensorLike) -> tg.Tensor:
        return functional.nll_loss(log_probabilities, labels, weight=self.weight, **self._held())


class BCELoss(_Loss):
    """Binary cross-entropy of probabilities: :func:`nn.functional.binary_cross_entropy`.

    The weight, which broadcasts to the predictions, is a buffer, or None.

    >>> import nn
    >>> round(nn.BCELoss()([0.5], [1.0]).item(), 6)
    0.693147
    """

    weight: tg.Tensor | None = None  # older files have none

    def __init__(self, weight: tg.TensorLike | None = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self._hold_weight("weight", weight)

    def forward(self, p: tg.TensorLike, target: tg.TensorLike) -> tg.Tensor:
        return functional.binary_cross_entropy(p, target, weight=self.weight, **self._held())


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of logits: :func:`nn.functional.binary_cross_entropy_with_logits`.

    The weight, which broadcasts to the predictions, and the weight of positive targets are buffers, or None.

    >>> import nn
    >>> round(nn.BCEWithLogitsLoss()([0.0], [1.0]).item(), 6)
    0.693147
    """

    weight: tg.Tensor | None = None  # older files have none
    pos_weight: tg.Tensor | None

    def __init__(
        self,
        weight: tg.TensorLike | None = None,
        *,
        pos_weight: tg.TensorLike | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self._hold_weight("weight", weight)
        self._hold_weight("pos_weight", pos_weight)

    def forward(self, logits: tg.TensorLike, target: tg.TensorLike) -> tg.Tensor:
        return functional.binary_cross_entropy_with_logits(
            logits, target, weight=self.weight, pos_weight=self.pos_weight, **self._held()
        )


# --- distributions --------------------------------------------------------------------------------------


class KLDivLoss(_Loss):
    """Kullback-Leibler divergence of log-probabilities from the target: :func:`nn.functional.kl_div`.

    ``reduction="batchmean"`` is the divergence; "mean" also divides by the number of classes.

    >>> import numpy as np, nn
    >>> round(nn.KLDivLoss(reduction="batchmean")(np.log([[0.25, 0.75]]), np.array([[0.5, 0.5]])).item(), 6)
    0.143841
    """

    options = ("log_target", "reduction")
    batchmean = True

    def __init__(self, *, log_target: bool = False, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.log_target = log_target

    def forward(self, prediction: tg.TensorLike, target: tg.TensorLike) -> tg.Tensor:
        return functional.kl_div(prediction, target, **self._held())


class PoissonNLLLoss(_Loss):
    """Negative log-likelihood of counts, by default for the logarithm of the rate.

    It is :func:`nn.functional.poisson_nll_loss`.

    >>> import nn
    >>> nn.PoissonNLLLoss()([0.0], [3.0]).item()
    1.0
    """

    options = ("log_input", "full", "eps", "reduction")

    def __init__(
        self, *, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction=reduction)
        self.log_input = log_input
        self.full = full
        self.eps = number("PoissonNLLLoss", "eps", eps, 0)

    def forward(self, prediction: tg.TensorLike, target: tg.TensorLike) -> tg.Tensor:
        return functional.poisson_nll_loss(prediction, target, **self._held())


class GaussianNLLLoss(_Loss):
    """Negative log-density of the target for a predicted mean and variance: :func:`nn.functional.gaussian_nll_loss`.

    >>> import nn
    >>> round(nn.GaussianNLLLoss()([1.0], [3.0], [2.0]).item(), 6)
    1.346574
    """

    options = ("full", "eps", "reduction")

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full = full
        self.eps = number("GaussianNLLLoss", "eps", eps, 0)

    def forward(self, prediction: tg.TensorLike, target: tg.TensorLike, var: tg.TensorLike) -> tg.Tensor:
        return functional.gaussian_nll_loss(prediction, target, var, **self._held())


LOSSES: dict[str, type[Module]] = {
    "mse": MSELoss,
    "l1": L1Loss,
    "huber": HuberLoss,
    "smooth_l1": SmoothL1Loss,
    "quantile": QuantileLoss,
    "cross_entropy": CrossEntropyLoss,
    "nll": NLLLoss,
    "bce": BCELoss,
    "bce_with_logits": BCEWithLogitsLoss,
    "kl_div": KLDivLoss,
    "hinge": HingeLoss,
    "poisson": PoissonNLLLoss,
    "gaussian_nll": GaussianNLLLoss,
}
