"""Losses as modules."""

from __future__ import annotations

import tensorgrad as tg

from . import functional
from ._module import Module

__all__ = ["BCEWithLogitsLoss", "CrossEntropyLoss", "MSELoss"]


class _Loss(Module):
    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = functional.checked_reduction(reduction, type(self).__name__)

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


class MSELoss(_Loss):
    """Mean squared error: :func:`nn.functional.mse_loss`.

    >>> import nn
    >>> nn.MSELoss()([1.0, 2.0], [1.0, 4.0]).item()
    2.0
    """

    def forward(self, prediction: tg.TensorLike, target: tg.TensorLike) -> tg.Tensor:
        return functional.mse_loss(prediction, target, reduction=self.reduction)


class CrossEntropyLoss(_Loss):
    """Cross-entropy of logits and integer labels: :func:`nn.functional.cross_entropy`.

    >>> import nn
    >>> round(nn.CrossEntropyLoss()([[0.0, 0.0]], [1]).item(), 6)
    0.693147
    """

    def forward(self, logits: tg.TensorLike, labels: tg.TensorLike) -> tg.Tensor:
        return functional.cross_entropy(logits, labels, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of logits: :func:`nn.functional.binary_cross_entropy_with_logits`.

    >>> import nn
    >>> round(nn.BCEWithLogitsLoss()([0.0], [1.0]).item(), 6)
    0.693147
    """

    def forward(self, logits: tg.TensorLike, target: tg.TensorLike) -> tg.Tensor:
        return functional.binary_cross_entropy_with_logits(logits, target, reduction=self.reduction)
