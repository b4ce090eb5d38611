"""Activation functions, each stable for numbers of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..record import TensorLike, number, quiet, record, unary
from ..shapes import normalised_axis
from .complexes import real_only, refuse_complex
from .reductions import narrow, wide
from .views import shaped

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["leaky_relu", "log_sigmoid", "log_softmax", "relu", "sigmoid", "softmax", "softplus"]


_zeros = {np.dtype(np.float64): np.zeros((), np.float64), np.dtype(np.float32): np.zeros((), np.float32)}


def _relu(a: Any) -> Any:
    zero: Any = _zeros.get(a.dtype) if a.__class__ is np.ndarray else None
    if zero is not None:
        return np.maximum(a, zero)
    refuse_complex("relu", a)
    return np.maximum(a, 0)


def _d_relu(xp: Any, g: Any, out: Any) -> Any:
    # The same either way; a sign costs less of a few numbers, a comparison of many.
    return g * (xp.sign(out) if out.size < 4096 else out > 0)


@unary(_relu, _d_relu)
def relu(x: TensorLike, /) -> Tensor:
    """``max(x, 0)``; the gradient at 0 is 0.

    >>> import tensorgrad as tg
    >>> tg.relu([-1.0, 2.0])
    Tensor([0., 2.], dtype=float64)
    """


def leaky_relu(x: TensorLike, /, alpha: float = 0.01) -> Tensor:
    """``x`` above 0 and ``alpha * x`` up to it, where the gradient is ``alpha``.

    >>> import tensorgrad as tg
    >>> tg.leaky_relu([-1.0, 2.0], alpha=0.1)
    Tensor([-0.1,  2. ], dtype=float64)
    """

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        return xp.where(x > 0, g, alpha * g)

    forward = real_only("leaky_relu", lambda a: np.where(a > 0, a, alpha * a))
    return record("leaky_relu", forward, (shaped(x, "leaky_relu"),), (d_x,))


@unary(
    quiet(lambda a: np.reciprocal(np.exp(-a) + number(1.0, a))),
    lambda xp, g, out: g * (out * (number(1.0, out) - out)),
)
def sigmoid(x: TensorLike, /) -> Tensor:
    """Logistic function, ``1 / (1 + exp(-x))``.

    >>> import tensorgrad as tg
    >>> tg.sigmoid([-10000.0, 0.0, 10000.0])
    Tensor([0. , 0.5, 1. ], dtype=float64)
    """


# With out = softplus(x), the logistic function is exp(x - out): exact at both ends, at any order.


@unary(real_only("softplus", lambda a: np.logaddexp(a, 0)), lambda xp, g, x, out: g * xp.exp(x - out))
def softplus(x: TensorLike, /) -> Tensor:
    """``log(1 + exp(x))``, a smooth :func:`relu`.

    >>> import tensorgrad as tg
    >>> tg.softplus([-10000.0, 0.0, 10000.0])
    Tensor([0.00000000e+00, 6.93147181e-01, 1.00000000e+04], dtype=float64)
    """


@unary(real_only("log_sigmoid", lambda a: -np.logaddexp(-a, 0)), lambda xp, g, x, out: g * xp.exp(out - x))
def log_sigmoid(x: TensorLike, /) -> Tensor:
    """``log(sigmoid(x))``.

    >>> import tensorgrad as tg
    >>> tg.log_sigmoid([-10000.0, 0.0, 10000.0])
    Tensor([-1.00000000e+04, -6.93147181e-01, -0.00000000e+00], dtype=float64)
    """


def softmax(x: TensorLike, /, axis: int = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` along an axis. An element of -inf gets 0; if all are, the result is NaN.

    >>> import tensorgrad as tg
    >>> tg.softmax([0.0, 0.0, 1000.0])
    Tensor([0., 0., 1.], dtype=float64)
    """
    source = shaped(x, "softmax")
    axis = normalised_axis(axis, len(source.shape), "softmax")

    def forward(a: Any) -> Any:
        with np.errstate(all="ignore"):
            w = wide(a)
            powers = np.exp(w - np.maximum.reduce(w, axis=axis, keepdims=True, initial=-np.inf))
            return narrow(powers / np.add.reduce(powers, axis=axis, keepdims=True), a)

    def d_x(xp: Any, g: Any, out: Any) -> Any:
        out = wide(out)
        weighted = wide(g) * out
        return weighted - out * xp.sum(weighted, axis=axis, keepdims=True)

    return record("softmax", forward, (source,), (d_x,))


def log_softmax(x: TensorLike, /, axis: int = -1) -> Tensor:
    """``log(softmax(x))`` along an axis, exact also where the softmax rounds to 0.

    >>> import tensorgrad as tg
    >>> tg.log_softmax([0.0, 1000.0])
    Tensor([-1000.,     0.], dtype=float64)
    """
    source = shaped(x, "log_softmax")
    axis = normalised_axis(axis, len(source.shape), "log_softmax")

    def forward(a: Any) -> Any:
        with np.errstate(all="ignore"):
            w = wide(a)
            shifted = w - np.maximum.reduce(w, axis=axis, keepdims=True, initial=-np.inf)
            return narrow(shifted - np.log(np.add.reduce(np.exp(shifted), axis=axis, keepdims=True)), a)

    def d_x(xp: Any, g: Any, out: Any) -> Any:
        g = wide(g)
        return g - xp.exp(wide(out)) * xp.sum(g, axis=axis, keepdims=True)

    return record("log_softmax", real_only("log_softmax", forward), (source,), (d_x,))
