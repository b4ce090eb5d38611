# mypy: disable-error-code="empty-body"
"""Piecewise activation functions: linear, exponential or constant pieces, joined at edges.

At an edge the slope is that from the left, as for :func:`relu`, or, if the function is a :func:`clip`, that from
inside; each docstring says which. All of them pass NaN through.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.graph import elementwise
from ..engine.mode import silenced
from ..engine.record import Tensor, TensorLike, operand, record, unary
from ..engine.shapes import normalised_axis
from ..errors import ShapeError
from .complexes import real_only
from .sampling import drawn
from .shaping import reshape
from .views import shaped

__all__ = [
    "celu",
    "elu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "prelu",
    "relu6",
    "rrelu",
    "selu",
    "softshrink",
    "threshold",
]

# --- exponential below 0, linear above ------------------------------------------------------------------


def _exponential(op: str, x: TensorLike, above: float, height: float, rate: float) -> Tensor:
    """``above * x`` above 0 and ``height * (exp(rate * x) - 1)`` elsewhere."""

    def forward(a: Any) -> Any:
        with silenced():
            return np.where(a > 0, above * a, height * np.expm1(rate * np.minimum(a, 0)))

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        low = xp.where(x > 0, 0, x)
        return g * xp.where(x > 0, above, (height * rate) * xp.exp(rate * low))

    return record(op, real_only(op, forward), (shaped(x, op),), (d_x,))


def elu(x: TensorLike, /, alpha: float = 1.0) -> Tensor:
    """``x`` above 0 and ``alpha * (exp(x) - 1)`` elsewhere; the gradient at 0 is ``alpha`` (Clevert et al., 2015).

    >>> import tensorgrad as tg
    >>> tg.elu([-10000.0, 0.0, 2.0])
    Tensor([-1.,  0.,  2.], dtype=float64)
    """
    return _exponential("elu", x, 1.0, alpha, 1.0)


_SELU_SCALE = 1.0507009873554804934193349852946
_SELU_ALPHA = 1.6732632423543772848170429916717


def selu(x: TensorLike, /) -> Tensor:
    """:func:`elu` scaled so that mean 0 and variance 1 are a fixed point (Klambauer et al., 2017).

    The gradient at 0 is that from the left, 1.758.

    >>> import tensorgrad as tg
    >>> tg.selu([-10000.0, 0.0, 1.0])
    Tensor([-1.75809934,  0.        ,  1.05070099], dtype=float64)
    """
    return _exponential("selu", x, _SELU_SCALE, _SELU_SCALE * _SELU_ALPHA, 1.0)


def celu(x: TensorLike, /, alpha: float = 1.0) -> Tensor:
    """``x`` above 0 and ``alpha * (exp(x / alpha) - 1)`` elsewhere: smooth for every alpha (Barron, 2017).

    Raises ValueError for ``alpha=0``.

    >>> import tensorgrad as tg
    >>> tg.celu([-10000.0, 0.0, 2.0], alpha=0.5)
    Tensor([-0.5,  0. ,  2. ], dtype=float64)
    """
    if alpha == 0:
        raise ValueError("celu: alpha must not be 0")
    return _exponential("celu", x, 1.0, alpha, 1 / alpha)


# --- linear below 0, linear above -----------------------------------------------------------------------


def _leaky(op: str, x: Any, slope: Any) -> Tensor:
    """``x`` above 0 and ``slope * x`` elsewhere; the slope may be an array, and may require a gradient."""

    def d_x(xp: Any, g: Any, x: Any, y: Any) -> Any:
        return xp.where(x > 0, g, y * g)

    def d_slope(xp: Any, g: Any, x: Any) -> Any:
        return g * xp.where(x > 0, 0, x)

    forward = real_only(op, lambda a, s: np.where(a > 0, a, s * a))
    return record(op, forward, (x, slope), (d_x, d_slope))


def prelu(x: TensorLike, weight: TensorLike, /, axis: int = 1) -> Tensor:
    """``x`` above 0 and ``weight * x`` elsewhere; the gradient for x at 0 is the weight (He et al., 2015).

    Args:
        x: any shape.
        weight: the slope, one number, or one for each channel: shape (channels,).
        axis: the channel axis of x, if the weight has more than one number.

    Raises:
        ShapeError: the weight has more than one axis, or does not have one number for each channel.

    >>> import tensorgrad as tg
    >>> tg.prelu([[-1.0, -1.0], [2.0, 2.0]], [0.1, 0.5]).data.tolist()
    [[-0.1, -0.5], [2.0, 2.0]]
    """
    source = shaped(x, "prelu")
    slope = weight if hasattr(weight, "shape") else operand(weight, "prelu")
    shape = getattr(slope, "shape", ())
    if len(shape) > 1:
        raise ShapeError(f"prelu: weight has shape {shape}, expected one number, or (channels,)")
    if shape == (1,):
        slope = reshape(slope, ())
    elif shape:
        axis = normalised_axis(axis, len(source.shape), "prelu")
        if source.shape[axis] != shape[0]:
            raise ShapeError(
                f"prelu: weight has shape {shape}, expected ({source.shape[axis]},): one number for each channel "
                f"along axis {axis} of shape {source.shape}; write axis=... if the channels are elsewhere"
            )
        slope = reshape(slope, (-1,) + (1,) * (len(source.shape) - axis - 1))
    return _leaky("prelu", source, slope)


def rrelu(
    x: TensorLike,
    /,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    *,
    rng: np.random.Generator | int | None = None,
) -> Tensor:
    """``x`` above 0 and a slope times x elsewhere: random per element in training, else its mean (Xu et al., 2015).

    Args:
        x: any shape.
        lower: the lower end of the slopes, which are uniform.
        upper: their upper end.
        training: whether to draw the slopes.
        rng: the generator to draw from, or a seed; needed in training.

    Raises:
        TypeError: there is no generator in training.
        ValueError: lower is above upper.

    >>> import tensorgrad as tg
    >>> tg.rrelu([-2.0, 2.0], lower=0.25, upper=0.75)
    Tensor([-1.,  2.], dtype=float64)
    """
    source = shaped(x, "rrelu")
    if not lower <= upper:
        raise ValueError(f"rrelu: lower must not be above upper, got {lower!r} and {upper!r}")
    if not training:
        return _leaky("rrelu", source, (lower + upper) / 2)
    return _leaky("rrelu", source, drawn("rrelu", lambda generator, n: generator.uniform(lower, upper, n), source, rng))


# --- constant somewhere ---------------------------------------------------------------------------------


def _clipped(op: str, x: TensorLike, low: float, high: float) -> Tensor:
    def d_x(xp: Any, g: Any, x: Any, out: Any) -> Any:
        return xp.where((x == out) | (x != x), g, 0)

    forward = real_only(op, lambda a: np.minimum(np.maximum(a, low), high))
    return record(op, forward, (shaped(x, op),), (d_x,))


def hardtanh(x: TensorLike, /, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """:func:`clip` to ``[min_val, max_val]``; the gradient is 1 inside and on the edges.

    Raises ValueError if ``min_val`` is above ``max_val``.

    >>> import tensorgrad as tg
    >>> tg.hardtanh([-2.0, 0.5, 2.0])
    Tensor([-1. ,  0.5,  1. ], dtype=float64)
    """
    if not min_val <= max_val:
        raise ValueError(f"hardtanh: min_val must not be above max_val, got {min_val!r} and {max_val!r}")
    return _clipped("hardtanh", x, min_val, max_val)


def relu6(x: TensorLike, /) -> Tensor:
    """:func:`clip` to ``[0, 6]``; the gradient is 1 inside and on the edges.

    >>> import tensorgrad as tg
    >>> tg.relu6([-1.0, 3.0, 7.0])
    Tensor([0., 3., 6.], dtype=float64)
    """
    return _clipped("relu6", x, 0.0, 6.0)


@unary(
    real_only("hardsigmoid", lambda a: np.minimum(np.maximum(a + 3, 0), 6) / 6),
    lambda xp, g, x: xp.where((x < -3) | (x > 3), 0, g / 6),
)
def hardsigmoid(x: TensorLike, /) -> Tensor:
    """``x / 6 + 1 / 2``, clipped to [0, 1]; the gradient is 1 / 6 inside and on the edges (Courbariaux et al., 2015).

    >>> import tensorgrad as tg
    >>> tg.hardsigmoid([-4.0, 0.0, 4.0])
    Tensor([0. , 0.5, 1. ], dtype=float64)
    """


def _d_hardswish(xp: Any, g: Any, x: Any) -> Any:
    return g * xp.where(x < -3, 0, xp.where(x > 3, 1, x / 3 + 0.5))


@unary(real_only("hardswish", lambda a: a * (np.minimum(np.maximum(a + 3, 0), 6) / 6)), _d_hardswish)
def hardswish(x: TensorLike, /) -> Tensor:
    """``x`` times :func:`hardsigmoid`; at its edges, -3 and 3, the slope is that from inside (Howard et al., 2019).

    >>> import tensorgrad as tg
    >>> tg.hardswish([-4.0, 1.5, 4.0])
    Tensor([-0.   ,  1.125,  4.   ], dtype=float64)
    """


def _cut(op: str, forward: Any, x: TensorLike, inside: Any) -> Tensor:
    """Record a function whose gradient is 0 where ``inside(xp, x)`` holds and 1 elsewhere."""

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        return xp.where(inside(xp, x), 0, g)

    return record(op, real_only(op, forward), (shaped(x, op),), (d_x,))


def _check_lambd(lambd: float, op: str) -> None:
    if not lambd >= 0:
        raise ValueError(f"{op}: lambd must not be negative, got {lambd!r}")


def softshrink(x: TensorLike, /, lambd: float = 0.5) -> Tensor:
    """0 up to a distance of ``lambd`` from 0, where the gradient is 0; beyond, x moved towards 0 by ``lambd``.

    >>> import tensorgrad as tg
    >>> tg.softshrink([-2.0, 0.5, 2.0])
    Tensor([-1.5,  0. ,  1.5], dtype=float64)
    """
    _check_lambd(lambd, "softshrink")

    def forward(a: Any) -> Any:
        return a - np.minimum(np.maximum(a, -lambd), lambd)

    return _cut("softshrink", forward, x, lambda xp, x: xp.abs(x) <= lambd)


def hardshrink(x: TensorLike, /, lambd: float = 0.5) -> Tensor:
    """0 up to a distance of ``lambd`` from 0, where the gradient is 0; beyond, x.

    >>> import tensorgrad as tg
    >>> tg.hardshrink([-2.0, 0.5, 2.0])
    Tensor([-2.,  0.,  2.], dtype=float64)
    """
    _check_lambd(lambd, "hardshrink")
    return _cut(
        "hardshrink",
        lambda a: np.where(np.abs(a) <= lambd, 0, a),
        x,
        lambda xp, x: xp.abs(x) <= lambd,
    )


def threshold(x: TensorLike, /, threshold: float, value: float) -> Tensor:
    """``x`` above the threshold and ``value`` elsewhere, where the gradient is 0.

    >>> import tensorgrad as tg
    >>> tg.threshold([-1.0, 0.5, 2.0], 1.0, -7.0)
    Tensor([-7., -7.,  2.], dtype=float64)
    """
    return _cut("threshold", lambda a: np.where(a <= threshold, value, a), x, lambda xp, x: x <= threshold)


elementwise.update(("celu", "elu", "prelu", "rrelu", "selu"))
