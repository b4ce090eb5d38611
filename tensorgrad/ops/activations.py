"""Activation functions, numerically stable for numbers of any magnitude."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine import arrays
from ..engine.arrays import is_foreign, reduced
from ..engine.graph import elementwise
from ..engine.mode import silenced
from ..engine.record import Handle, Tensor, TensorLike, quiet, record, scalar_like, unary
from ..engine.shapes import normalised_axis
from ..engine.staging import indivisible
from ..errors import ShapeError
from .arithmetic import divide, multiply, negative
from .compare import greater
from .complexes import real_only, refuse_complex
from .reducing import narrow, wide
from .selection import where
from .splitting import split
from .tails import MANY, in_one_piece, log_of, log_total, slope_of_sigmoid
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
    return g * xp.sign(out)


@unary(_relu, _d_relu)
def relu(x: TensorLike, /) -> Tensor:
    """``max(x, 0)``; the gradient at 0 is 0.

    >>> import tensorgrad as tg
    >>> tg.relu([-1.0, 2.0])
    Tensor([0., 2.], dtype=float64)
    """


def leaky_relu(x: TensorLike, /, alpha: float = 0.01) -> Tensor:
    """``x`` above 0 and ``alpha * x`` elsewhere; the gradient at 0 is ``alpha``.

    >>> import tensorgrad as tg
    >>> tg.leaky_relu([-1.0, 2.0], alpha=0.1)
    Tensor([-0.1,  2. ], dtype=float64)
    """

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        return xp.where(x > 0, g, alpha * g)

    forward = real_only("leaky_relu", lambda a: np.where(a > 0, a, alpha * a))
    return record("leaky_relu", forward, (shaped(x, "leaky_relu"),), (d_x,))


def _d_sigmoid(xp: Any, g: Any, x: Any, out: Any) -> Any:
    # 1 - out loses all digits where out rounds to 1; the sigmoid of -x keeps them, and costs more of many numbers.
    if out.dtype.kind == "c":
        return g * (out * (1 - out))
    if out.size < MANY and out.__class__ is np.ndarray:
        return g * (out / (np.exp(x) + scalar_like(1.0, out)))
    if isinstance(out, Handle):
        return g * (out * xp.sigmoid(-x))
    if out.size < MANY or in_one_piece(out):
        return g * (out / (xp.exp(x) + 1))
    return g * slope_of_sigmoid(x, out)


@unary(quiet(arrays.sigmoid), _d_sigmoid)
def sigmoid(x: TensorLike, /) -> Tensor:
    """Logistic function, ``1 / (1 + exp(-x))``.

    >>> import tensorgrad as tg
    >>> tg.sigmoid([-10000.0, 0.0, 10000.0])
    Tensor([0. , 0.5, 1. ], dtype=float64)
    """


# With out = softplus(x), the logistic function is exp(x - out), accurate at both ends. Its derivatives are not.


def _d_softplus(xp: Any, g: Any, x: Any, out: Any) -> Any:
    if isinstance(out, Handle):
        return g * xp.sigmoid(x)
    return g * xp.exp(x - out)


def _d_log_sigmoid(xp: Any, g: Any, x: Any, out: Any) -> Any:
    if isinstance(out, Handle):
        return g * xp.sigmoid(-x)
    return g * xp.exp(out - x)


@unary(real_only("softplus", lambda a: np.logaddexp(a, 0)), _d_softplus)
def _softplus(x: TensorLike, /) -> Tensor: ...


def softplus(x: TensorLike, /, beta: float = 1.0, threshold: float | None = None) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``, a smooth :func:`relu`; exact for x of any magnitude.

    Args:
        x: any shape.
        beta: positive; the larger, the closer to relu.
        threshold: x itself is the result where ``beta * x`` is above it, with a jump there, as in PyTorch, whose
            default is 20; None for no threshold, and no jump.

    Raises:
        ValueError: beta is not positive.

    >>> import tensorgrad as tg
    >>> tg.softplus([-10000.0, 0.0, 10000.0])
    Tensor([0.00000000e+00, 6.93147181e-01, 1.00000000e+04], dtype=float64)
    >>> tg.softplus([0.0, 3.0], beta=2.0, threshold=5.0)
    Tensor([0.34657359, 3.        ], dtype=float64)
    """
    if beta == 1 and threshold is None:
        return _softplus(x)
    if not beta > 0:
        raise ValueError(f"softplus: beta must be positive, got {beta!r}")
    source = shaped(x, "softplus")
    scaled = multiply(source, beta)
    smooth = divide(_softplus(scaled), beta)
    return smooth if threshold is None else where(greater(scaled, threshold), source, smooth)


@unary(real_only("log_sigmoid", lambda a: -np.logaddexp(-a, 0)), _d_log_sigmoid)
def log_sigmoid(x: TensorLike, /) -> Tensor:
    """``log(sigmoid(x))``.

    >>> import tensorgrad as tg
    >>> tg.log_sigmoid([-10000.0, 0.0, 10000.0])
    Tensor([-1.00000000e+04, -6.93147181e-01, -0.00000000e+00], dtype=float64)
    """


def softmax(x: TensorLike, /, axis: int = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` along an axis. An element of -inf gives 0; if all are -inf, the result is NaN.

    >>> import tensorgrad as tg
    >>> tg.softmax([0.0, 0.0, 1000.0])
    Tensor([0., 0., 1.], dtype=float64)
    """
    source = shaped(x, "softmax")
    axis = normalised_axis(axis, len(source.shape), "softmax")

    def forward(a: Any) -> Any:
        with silenced():
            w = wide(a)
            powers = np.exp(w - reduced(np.maximum, w, axis, keepdims=True, initial=-np.inf))
            return narrow(powers / np.add.reduce(powers, axis=axis, keepdims=True), a)

    def d_x(xp: Any, g: Any, out: Any) -> Any:
        out = wide(out)
        weighted = wide(g) * out
        return weighted - out * xp.sum(weighted, axis=axis, keepdims=True)

    return record("softmax", forward, (source,), (d_x,))


def log_softmax(x: TensorLike, /, axis: int = -1) -> Tensor:
    """``log(softmax(x))`` along an axis, accurate even where the softmax rounds to 0.

    >>> import tensorgrad as tg
    >>> tg.log_softmax([0.0, 1000.0])
    Tensor([-1000.,     0.], dtype=float64)
    """
    source = shaped(x, "log_softmax")
    axis = normalised_axis(axis, len(source.shape), "log_softmax")

    def forward(a: Any) -> Any:
        return _log_softmax(a, axis)

    def d_x(xp: Any, g: Any, out: Any) -> Any:
        g, out = wide(g), wide(out)
        total = xp.sum(g, axis=axis, keepdims=True)
        if isinstance(out, Handle) or in_one_piece(out) or in_one_piece(g):
            # What is left of 1 beside the probability of the winner is -expm1(out), to all digits.
            won = out > -0.5
            lost = xp.where(won, 0, xp.exp(out)) * total
            return xp.where(won, g - total - total * xp.expm1(xp.where(won, out, 0)), g - lost)
        return _spared(g, out, total)

    return record("log_softmax", real_only("log_softmax", forward), (source,), (d_x,))


@quiet
def _log_softmax(a: Any, axis: int) -> Any:
    w = wide(a)
    many = w.ndim == 2 and axis == 1 and 1 < w.shape[1] <= _SHORT and w.shape[0] >= _MANY_ROWS
    if many and not (is_foreign(w) or in_one_piece(w)):
        return narrow(_of_short_rows(w), a)
    return narrow(_less_log_total(w, axis), a)


def _less_log_total(w: Any, axis: int) -> Any:
    shifted = w - reduced(np.maximum, w, axis, keepdims=True, initial=-np.inf)
    return shifted - log_total(shifted, axis)


def _short_form(log: Any) -> Any:
    def form(w: Any) -> Any:
        shifted = w - np.maximum.reduce(w, axis=1, keepdims=True, initial=-np.inf)
        powers = np.exp(shifted)
        return shifted - log(np.add.reduce(powers, axis=1, keepdims=True), shifted, powers, 1)

    return form


_SHORT, _MANY_ROWS = 32, 48  # NumPy takes longer to begin with a row of so few numbers than to reduce it


@indivisible(
    formula=_short_form(lambda total, *others: np.log(total)),
    straight_line=lambda w: (_short_form(log_of)(w), None),
)
def _of_short_rows(w: Any) -> Any:
    # Reductions along columns take a row at a time.
    result = np.empty_like(w)
    result.T[...] = _less_log_total(np.array(w.T, order="C"), 0)
    return result


def _spared_form(g: Any, out: Any, total: Any) -> Any:
    return np.where(out > _WON, g - total - total * np.expm1(out), g - np.exp(out) * total), None


@indivisible(formula=lambda g, out, total: g - np.exp(out) * total, straight_line=_spared_form)
def _spared(g: Any, out: Any, total: Any) -> Any:
    """``g - exp(out) * total``, to all digits where ``exp(out)`` is near 1 and g is the total."""
    won = out > _WON
    if out.size < MANY:
        power = np.where(won, np.expm1(out), np.exp(out))
        return np.where(won, g - total, g) - total * power
    result = g - np.exp(out) * total
    if not np.any(won):
        return result
    total = np.broadcast_to(total, out.shape)[won]
    result[won] = g[won] - total - total * np.expm1(out[won])
    return result


_WON = -0.03  # log-probabilities above it are of a class that has nearly all


def softmin(x: TensorLike, /, axis: int = -1) -> Tensor:
    """:func:`softmax` of ``-x`` along an axis.

    >>> import tensorgrad as tg
    >>> tg.softmin([0.0, 0.0, 1000.0])
    Tensor([0.5, 0.5, 0. ], dtype=float64)
    """
    return softmax(negative(shaped(x, "softmin")), axis)


# --- smooth rectifiers ----------------------------------------------------------------------------------


def _d_silu(xp: Any, g: Any, x: Any) -> Any:
    s = xp.sigmoid(x)
    rest: Any = 1 - s
    if isinstance(x, Handle):
        rest = xp.sigmoid(xp.negative(x))
    return g * (s + x * (s * rest))


@unary(quiet(lambda a: a / (1 + np.exp(-a))), _d_silu)
def silu(x: TensorLike, /) -> Tensor:
    """``x * sigmoid(x)``, also called swish (Elfwing et al., 2018).

    >>> import tensorgrad as tg
    >>> tg.silu([-10000.0, 0.0, 1.0, 10000.0])
    Tensor([-0.00000000e+00, 0.00000000e+00, 7.31058579e-01, 1.00000000e+04], dtype=float64)
    """


def _mish(a: Any) -> Any:
    with silenced():
        w = wide(a)
        power = np.exp(np.minimum(w, _FAR))
        even = power * (power + 2)
        return narrow(w * (even / (even + 2)), a)


# tanh(log(1 + e)) = n / (n + 2), with e = exp(x) and n = e (e + 2); it differs from 1 by 2 / (n + 2). Beyond _FAR
# it is 1 to the last bit; with x capped there, e is still small enough to be squared in float32.
_FAR = 40


def _d_mish(xp: Any, g: Any, x: Any) -> Any:
    x = wide(x)
    if isinstance(x, Handle):
        s = xp.softplus(x)
        return wide(g) * (xp.tanh(s) + x * (xp.sigmoid(x) * xp.square(xp.sech(s))))
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


_ROOT_2_PI = math.sqrt(2 / math.pi)
_CUBIC = 0.044715
_BEYOND = 1000.0


def _ndtr() -> Any:
    try:
        from scipy.special import ndtr
    except ImportError as error:
        raise ImportError(
            "gelu: approximate='none' needs SciPy: pip install \"tensorgrad-np[special]\"; or write approximate='tanh'"
        ) from error
    return ndtr


def gelu(x: TensorLike, /, approximate: str = "none") -> Tensor:
    """``x`` times the probability that a standard normal variable is below x (Hendrycks and Gimpel, 2016).

    ``approximate="none"`` uses SciPy's error function; "tanh" is the authors' approximation, within 0.0005 of the
    exact result, and does not need SciPy. Raises ValueError for any other value, and ImportError without SciPy.

    >>> import tensorgrad as tg
    >>> tg.gelu([-10000.0, 1.0], approximate="tanh")
    Tensor([-0.      ,  0.841192], dtype=float64)
    """
    source = shaped(x, "gelu")
    if approximate == "none":
        ndtr = _ndtr()

        def exact(a: Any) -> Any:
            w = wide(a)
            return narrow(w * ndtr(w), a)

        return record("gelu", exact, (source,), (_d_gelu,))
    if approximate != "tanh":
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")

    def near(a: Any) -> Any:
        with silenced():
            w = wide(a)
            return narrow(w * arrays.sigmoid(2 * _ROOT_2_PI * w * (1 + _CUBIC * (w * w))), a)

    return record("gelu", near, (source,), (_d_gelu_tanh,))


def _d_gelu(xp: Any, g: Any, x: Any) -> Any:
    x = wide(x)
    return wide(g) * (xp.special.ndtr(x) + x * ((0.5 * _ROOT_2_PI) * xp.exp(-0.5 * (x * x))))


def _d_gelu_tanh(xp: Any, g: Any, x: Any) -> Any:
    x = xp.clip(wide(x), -_BEYOND, _BEYOND)  # where it is 0 or 1, and can be cubed in float32
    square = _CUBIC * (x * x)
    bend = 2 * _ROOT_2_PI * x * (1 + square)  # the approximation is x sigmoid(bend)
    s = xp.sigmoid(bend)
    rest = xp.sigmoid(-bend) if isinstance(s, Handle) else 1 - s
    return wide(g) * (s + 2 * _ROOT_2_PI * x * (s * rest) * (1 + 3 * square))


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

    Raises ShapeError if the axis has an odd length.

    >>> import tensorgrad as tg
    >>> tg.glu([1.0, 2.0, 0.0, 1000.0])
    Tensor([0.5, 2. ], dtype=float64)
    """
    source = shaped(x, "glu")
    axis = normalised_axis(axis, len(source.shape), "glu")
    if source.shape[axis] % 2:
        raise ShapeError(
            f"glu: axis {axis} of shape {source.shape} has length {source.shape[axis]}, expected an even length to "
            f"split in half"
        )
    values, gates = split(source, 2, axis)
    return multiply(values, sigmoid(gates))


elementwise.update(("gelu", "leaky_relu"))
