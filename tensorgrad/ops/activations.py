"""Activation functions, each stable for numbers of any size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.graph import elementwise
from ..engine.record import Tensor, TensorLike, quiet, record, scalar_like, unary
from ..engine.shapes import normalised_axis
from ..errors import ShapeError
from .arithmetic import multiply, negative
from .complexes import real_only, refuse_complex
from .reductions import narrow, wide
from .splitting import split
from .views import shaped

__all__ = [
    "gelu",
    "glu",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softsign",
    "tanhshrink",
]


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
    quiet(lambda a: np.reciprocal(np.exp(-a) + scalar_like(1.0, a))),
    lambda xp, g, out: g * (out * (scalar_like(1.0, out) - out)),
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


def softmin(x: TensorLike, /, axis: int = -1) -> Tensor:
    """:func:`softmax` of ``-x`` along an axis.

    >>> import tensorgrad as tg
    >>> tg.softmin([0.0, 0.0, 1000.0])
    Tensor([0.5, 0.5, 0. ], dtype=float64)
    """
    return softmax(negative(shaped(x, "softmin")), axis)


# --- smooth rectifiers ----------------------------------------------------------------------------------


def _d_silu(xp: Any, g: Any, x: Any) -> Any:
    s = 1 / (1 + xp.exp(-x))
    return g * (s * (1 + x * (1 - s)))


@unary(quiet(lambda a: a / (1 + np.exp(-a))), _d_silu)
def silu(x: TensorLike, /) -> Tensor:
    """``x * sigmoid(x)``, also called swish (Elfwing et al., 2018).

    >>> import tensorgrad as tg
    >>> tg.silu([-10000.0, 0.0, 1.0, 10000.0])
    Tensor([-0.00000000e+00, 0.00000000e+00, 7.31058579e-01, 1.00000000e+04], dtype=float64)
    """


def _mish(a: Any) -> Any:
    with np.errstate(all="ignore"):
        w = wide(a)
        power = np.exp(np.minimum(w, _FAR))
        even = power * (power + 2)
        return narrow(w * (even / (even + 2)), a)


# tanh(log(1 + e)) = n / (n + 2), with e = exp(x) and n = e (e + 2); its distance from 1 is 2 / (n + 2). Beyond
# _FAR it is 1 to the last bit, and e stays small enough to be squared in float32.
_FAR = 40


def _d_mish(xp: Any, g: Any, x: Any) -> Any:
    x = wide(x)
    power = xp.exp(xp.where(x > _FAR, _FAR, x))
    even = power * (power + 2)
    rest = 2 / (even + 2)
    t = even / (even + 2)
    return wide(g) * (t + x * (power / (1 + power)) * rest * (1 + t))


@unary(real_only("mish", _mish), _d_mish)
def mish(x: TensorLike, /) -> Tensor:
    """``x * tanh(softplus(x))`` (Misra, 2019).

    >>> import tensorgrad as tg
    >>> tg.mish([0.0, 1.0, 10000.0])
    Tensor([0.00000000e+00, 8.65098388e-01, 1.00000000e+04], dtype=float64)
    """


_ROOT_HALF = math.sqrt(0.5)
_ROOT_2_PI = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


def _erf() -> Any:
    try:
        from scipy.special import erf
    except ImportError as error:
        raise ImportError(
            "gelu: approximate='none' needs SciPy: pip install \"tensorgrad-np[special]\"; or write approximate='tanh'"
        ) from error
    return erf


def gelu(x: TensorLike, /, approximate: str = "none") -> Tensor:
    """``x`` times the probability that a standard normal number is below it (Hendrycks and Gimpel, 2016).

    ``approximate="none"`` takes the error function from SciPy; "tanh" is the authors' approximation, within
    0.0005 of it, and needs none. Raises ValueError for any other, and ImportError without SciPy.

    >>> import tensorgrad as tg
    >>> tg.gelu([-10000.0, 1.0], approximate="tanh")
    Tensor([-0.      ,  0.841192], dtype=float64)
    """
    source = shaped(x, "gelu")
    if approximate == "none":
        erf = _erf()

        def exact(a: Any) -> Any:
            w = wide(a)
            return narrow(0.5 * w * (1 + erf(w * _ROOT_HALF)), a)

        return record("gelu", exact, (source,), (_d_gelu,))
    if approximate != "tanh":
        raise ValueError(f"gelu: approximate is 'none' or 'tanh', got {approximate!r}")

    def near(a: Any) -> Any:
        with np.errstate(all="ignore"):
            w = wide(a)
            return narrow(0.5 * w * (1 + np.tanh(_ROOT_2_PI * w * (1 + _CUBIC * (w * w)))), a)

    return record("gelu", near, (source,), (_d_gelu_tanh,))


def _d_gelu(xp: Any, g: Any, x: Any) -> Any:
    x = wide(x)
    below = 0.5 * (1 + xp.special.erf(x * _ROOT_HALF))
    return wide(g) * (below + x * ((0.5 * _ROOT_2_PI) * xp.exp(-0.5 * (x * x))))


def _d_gelu_tanh(xp: Any, g: Any, x: Any) -> Any:
    x = wide(x)
    square = _CUBIC * (x * x)
    t = xp.tanh(_ROOT_2_PI * x * (1 + square))
    return wide(g) * (0.5 * (1 + t) * (1 + _ROOT_2_PI * x * (1 - t) * (1 + 3 * square)))


# --- others ---------------------------------------------------------------------------------------------


def _d_softsign(xp: Any, g: Any, x: Any) -> Any:
    size = 1 + xp.abs(x)
    return g / size / size


@unary(real_only("softsign", lambda a: a / (1 + np.abs(a))), _d_softsign)
def softsign(x: TensorLike, /) -> Tensor:
    """``x / (1 + abs(x))``. Its second derivative jumps at 0, where it is taken as 0.

    >>> import tensorgrad as tg
    >>> tg.softsign([-1.0, 0.0, 3.0])
    Tensor([-0.5 ,  0.  ,  0.75], dtype=float64)
    """


@unary(lambda a: a - np.tanh(a), lambda xp, g, x: g * xp.square(xp.tanh(x)))
def tanhshrink(x: TensorLike, /) -> Tensor:
    """``x - tanh(x)``.

    >>> import tensorgrad as tg
    >>> tg.tanhshrink([0.0, 1.0])
    Tensor([0.        , 0.23840584], dtype=float64)
    """


def glu(x: TensorLike, /, axis: int = -1) -> Tensor:
    """Gated linear unit: the first half along an axis times the :func:`sigmoid` of the second (Dauphin et al., 2017).

    Raises ShapeError where the axis cannot be halved.

    >>> import tensorgrad as tg
    >>> tg.glu([1.0, 2.0, 0.0, 1000.0])
    Tensor([0.5, 2. ], dtype=float64)
    """
    source = shaped(x, "glu")
    axis = normalised_axis(axis, len(source.shape), "glu")
    if source.shape[axis] % 2:
        raise ShapeError(
            f"glu: axis {axis} of shape {source.shape} has length {source.shape[axis]}, expected an even one: two "
            f"halves"
        )
    values, gates = split(source, 2, axis)
    return multiply(values, sigmoid(gates))


elementwise.update(("gelu", "leaky_relu"))
