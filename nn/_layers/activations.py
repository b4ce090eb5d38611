"""Activations as modules."""

from __future__ import annotations

import tensorgrad as tg

from .._module import Module

__all__ = ["LeakyReLU", "ReLU", "Sigmoid", "Softmax", "Tanh"]


class ReLU(Module):
    """``max(x, 0)``, elementwise; the gradient at 0 is 0.

    >>> import nn
    >>> nn.ReLU()([-1.0, 2.0])
    Tensor([0., 2.], dtype=float64)
    """

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return tg.relu(x)


class LeakyReLU(Module):
    """x where positive, ``negative_slope * x`` elsewhere.

    >>> import nn
    >>> nn.LeakyReLU(0.1)([-1.0, 2.0])
    Tensor([-0.1,  2. ], dtype=float64)
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = float(negative_slope)

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return tg.leaky_relu(x, tg.watch(self, "negative_slope"))

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``, elementwise.

    >>> import nn
    >>> nn.Sigmoid()([0.0])
    Tensor([0.5], dtype=float64)
    """

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return tg.sigmoid(x)


class Tanh(Module):
    """Hyperbolic tangent, elementwise.

    >>> import nn
    >>> nn.Tanh()([0.0])
    Tensor([0.], dtype=float64)
    """

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return tg.tanh(x)


class Softmax(Module):
    """Positive numbers that add up to 1 along an axis.

    For training, use :class:`CrossEntropyLoss` on the logits instead.

    >>> import nn
    >>> nn.Softmax()([[0.0, 0.0]])
    Tensor([[0.5, 0.5]], dtype=float64)
    """

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return tg.softmax(x, axis=self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"
