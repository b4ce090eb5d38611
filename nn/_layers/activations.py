"""Activations as modules: elementwise functions, and softmax."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .._checks import count, integer, number
from .._module import Module
from .._parameter import Parameter

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "GELU",
    "SELU",
    "Hardtanh",
    "LeakyReLU",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
]


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
        self.negative_slope = number("LeakyReLU", "negative_slope", negative_slope)

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return tg.leaky_relu(x, tg.watch(self, "negative_slope"))

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class PReLU(Module):
    """x where positive, ``slope * x`` elsewhere, with a learned slope (He et al., 2015).

    Shapes: x (N, C, ...) for one slope per channel, any shape for a single slope; result like x.

    Args:
        num_parameters: number of slopes: 1, or the number of channels (axis 1 of x).
        init: the initial slope.
        dtype: of the slope.

    Raises:
        ShapeError: x has a different number of channels.

    >>> import numpy as np, nn
    >>> nn.PReLU()(np.array([-1.0, 2.0], np.float32)).data
    array([-0.25,  2.  ], dtype=float32)
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, dtype: DTypeLike = np.float32) -> None:
        super().__init__()
        self.num_parameters = count("PReLU", "num_parameters", num_parameters)
        self.slope = Parameter(np.full(self.num_parameters, number("PReLU", "init", init), dtype), name="slope")

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return tg.prelu(x, self.slope)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class ELU(Module):
    """x where positive, ``alpha * (exp(x) - 1)`` elsewhere (Clevert et al., 2015).

    >>> import nn
    >>> nn.ELU(0.5)([-10000.0, 2.0])
    Tensor([-0.5,  2. ], dtype=float64)
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = number("ELU", "alpha", alpha)

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return tg.elu(x, tg.watch(self, "alpha"))

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class SELU(Module):
    """:class:`ELU` scaled so that mean 0 and variance 1 are a fixed point (Klambauer et al., 2017).

    Initialise the weights before it with "lecun_normal", for which the scale was derived.

    >>> import nn
    >>> nn.SELU()([-10000.0, 1.0])
    Tensor([-1.75809934,  1.05070099], dtype=float64)
    """

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return tg.selu(x)


class GELU(Module):
    """x times the probability that a standard normal number is below it (Hendrycks and Gimpel, 2016).

    Args:
        approximate: "none" uses the error function from SciPy; "tanh" is the authors' approximation, within 0.0005
            of it, and needs only NumPy.

    Raises:
        ValueError: approximate is neither.
        ImportError: "none" is called without SciPy.

    >>> import nn
    >>> nn.GELU("tanh")([-10000.0, 1.0])
    Tensor([-0.      ,  0.841192], dtype=float64)
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate must be 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return tg.gelu(x, tg.watch(self, "approximate"))

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """``x * sigmoid(x)``, also called swish (Elfwing et al., 2018).

    >>> import nn
    >>> nn.SiLU()([0.0, 1.0])
    Tensor([0.        , 0.73105858], dtype=float64)
    """

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return tg.silu(x)


class Mish(Module):
    """``x * tanh(log(1 + exp(x)))`` (Misra, 2019).

    >>> import nn
    >>> nn.Mish()([0.0, 1.0])
    Tensor([0.        , 0.86509839], dtype=float64)
    """

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return tg.mish(x)


class Softplus(Module):
    """``log(1 + exp(beta * x)) / beta``, a smooth :class:`ReLU`; exact for large x.

    Args:
        beta: positive; the larger, the closer to ReLU.
        threshold: x itself is the result where ``beta * x`` is above it: in PyTorch 20; None for no threshold.

    Raises:
        ValueError: beta is not positive.

    >>> import nn
    >>> nn.Softplus()([-10000.0, 0.0, 10000.0])
    Tensor([0.00000000e+00, 6.93147181e-01, 1.00000000e+04], dtype=float64)
    """

    threshold: float | None = None  # older files have none

    def __init__(self, beta: float = 1.0, threshold: float | None = None) -> None:
        super().__init__()
        self.beta = number("Softplus", "beta", beta)
        if self.beta <= 0:
            raise ValueError(f"Softplus: beta must be positive, got {beta!r}")
        self.threshold = None if threshold is None else number("Softplus", "threshold", threshold)

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return tg.softplus(x, tg.watch(self, "beta"), tg.watch(self, "threshold"))

    def extra_repr(self) -> str:
        return f"beta={self.beta}" + ("" if self.threshold is None else f", threshold={self.threshold}")


class Softsign(Module):
    """``x / (1 + abs(x))``, elementwise.

    >>> import nn
    >>> nn.Softsign()([-1.0, 3.0])
    Tensor([-0.5 ,  0.75], dtype=float64)
    """

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return tg.softsign(x)


class Hardtanh(Module):
    """x clipped to ``[min_val, max_val]``; the gradient is 1 at the edges.

    Raises:
        ValueError: min_val is not below max_val.

    >>> import nn
    >>> nn.Hardtanh()([-2.0, 0.5, 2.0])
    Tensor([-1. ,  0.5,  1. ], dtype=float64)
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        super().__init__()
        self.min_val, self.max_val = number("Hardtanh", "min_val", min_val), number("Hardtanh", "max_val", max_val)
        if self.min_val >= self.max_val:
            raise ValueError(f"Hardtanh: min_val must be below max_val, got {min_val!r} and {max_val!r}")

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return tg.hardtanh(x, tg.watch(self, "min_val"), tg.watch(self, "max_val"))

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


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
        self.axis = integer(type(self).__name__, "axis", axis)

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return tg.softmax(x, axis=tg.watch(self, "axis"))

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


class LogSoftmax(Softmax):
    """The logarithm of :class:`Softmax`, exact even where that rounds to 0.

    >>> import nn
    >>> nn.LogSoftmax()([0.0, 1000.0])
    Tensor([-1000.,     0.], dtype=float64)
    """

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return tg.log_softmax(x, axis=tg.watch(self, "axis"))


# Activations that the description of a model can name; each can be created without arguments.
ACTIVATIONS: dict[str, type[Module]] = {
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "prelu": PReLU,
    "elu": ELU,
    "selu": SELU,
    "gelu": GELU,
    "silu": SiLU,
    "mish": Mish,
    "softplus": Softplus,
    "softsign": Softsign,
    "hardtanh": Hardtanh,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
}
