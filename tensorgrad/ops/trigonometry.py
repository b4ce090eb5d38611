"""Trigonometric and hyperbolic functions, their inverses, and angles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.record import Handle, Tensor, TensorLike, binary, quiet, record, unary
from ..engine.shapes import normalised_axis
from .arithmetic import over_radius, share_of_hypot
from .complexes import real_only
from .tails import MANY, in_one_piece, root_of_many, slope_of_tanh
from .views import shaped

__all__ = [
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cos",
    "cosh",
    "deg2rad",
    "rad2deg",
    "sin",
    "sinh",
    "tan",
    "tanh",
    "unwrap",
]


@unary(quiet(np.sin), lambda xp, g, x: g * xp.cos(x))
def sin(x: TensorLike, /) -> Tensor:
    """Sine of x in radians.

    >>> import tensorgrad as tg
    >>> tg.sin([0.0, 1.0])
    Tensor([0.        , 0.84147098], dtype=float64)
    """


@unary(quiet(np.cos), lambda xp, g, x: -g * xp.sin(x))
def cos(x: TensorLike, /) -> Tensor:
    """Cosine of x in radians.

    >>> import tensorgrad as tg
    >>> tg.cos([0.0, 1.0])
    Tensor([1.        , 0.54030231], dtype=float64)
    """


@unary(quiet(np.tan), lambda xp, g, out: g * (1 + out * out))
def tan(x: TensorLike, /) -> Tensor:
    """Tangent of x in radians.

    >>> import tensorgrad as tg
    >>> tg.tan([0.0, 1.0])
    Tensor([0.        , 1.55740772], dtype=float64)
    """


@unary(quiet(np.sinh), lambda xp, g, x: g * xp.cosh(x))
def sinh(x: TensorLike, /) -> Tensor:
    """Hyperbolic sine.

    >>> import tensorgrad as tg
    >>> tg.sinh([0.0, 1.0])
    Tensor([0.        , 1.17520119], dtype=float64)
    """


@unary(quiet(np.cosh), lambda xp, g, x: g * xp.sinh(x))
def cosh(x: TensorLike, /) -> Tensor:
    """Hyperbolic cosine.

    >>> import tensorgrad as tg
    >>> tg.cosh([0.0, 1.0])
    Tensor([1.        , 1.54308063], dtype=float64)
    """


def _d_tanh(xp: Any, g: Any, x: Any, out: Any) -> Any:
    # 1 - out^2 loses all digits where out rounds to 1; 1 / cosh(x)^2 keeps them, and costs more of many numbers.
    if out.dtype.kind == "c":
        return g - g * out * out
    if out.size < MANY and not isinstance(out, Handle):
        power = xp.cosh(x)
        return g / power / power
    if isinstance(out, Handle) or in_one_piece(out):
        return g * xp.square(xp.sech(x))
    return g * slope_of_tanh(x, out)


@unary(np.tanh, _d_tanh)
def tanh(x: TensorLike, /) -> Tensor:
    """Hyperbolic tangent.

    >>> import tensorgrad as tg
    >>> tg.tanh([0.0, 1.0])
    Tensor([0.        , 0.76159416], dtype=float64)
    """


@unary(quiet(np.arcsin), lambda xp, g, x: g / xp.sqrt((1 - x) * (1 + x)))
def arcsin(x: TensorLike, /) -> Tensor:
    """Inverse sine, in radians; NaN outside [-1, 1], and its gradient is inf at the ends.

    >>> import tensorgrad as tg
    >>> tg.arcsin([0.0, 1.0])
    Tensor([0.        , 1.57079633], dtype=float64)
    """


@unary(quiet(np.arccos), lambda xp, g, x: -g / xp.sqrt((1 - x) * (1 + x)))
def arccos(x: TensorLike, /) -> Tensor:
    """Inverse cosine, in radians; NaN outside [-1, 1], and its gradient is -inf at the ends.

    >>> import tensorgrad as tg
    >>> tg.arccos([1.0, 0.0])
    Tensor([0.        , 1.57079633], dtype=float64)
    """


@unary(np.arctan, lambda xp, g, x: g / (1 + x * x))
def arctan(x: TensorLike, /) -> Tensor:
    """Inverse tangent, in radians.

    >>> import tensorgrad as tg
    >>> tg.arctan([0.0, 1.0])
    Tensor([0.        , 0.78539816], dtype=float64)
    """


def _arctan2_dx(xp: Any, g: Any, x: Any, y: Any) -> Any:
    return over_radius(xp, g, xp.hypot(x, y)) * share_of_hypot(y, x)


def _arctan2_dy(xp: Any, g: Any, x: Any, y: Any) -> Any:
    return -over_radius(xp, g, xp.hypot(x, y)) * share_of_hypot(x, y)


@binary(real_only("arctan2", np.arctan2), _arctan2_dx, _arctan2_dy)
def arctan2(x: TensorLike, y: TensorLike, /) -> Tensor:
    """Angle of the point with ordinate ``x`` and abscissa ``y`` (NumPy's order), in [-pi, pi].

    At the origin both gradients are 0.

    >>> import tensorgrad as tg
    >>> tg.arctan2([1.0, 1.0], [0.0, -1.0])
    Tensor([1.57079633, 2.35619449], dtype=float64)
    """


def root_of_one_and_square(xp: Any, x: Any) -> Any:
    """``sqrt(1 + x * x)``, of real numbers without overflow."""
    if x.dtype.kind == "c":
        return xp.sqrt(1 + x * x)
    if isinstance(x, Handle) or x.size < MANY or in_one_piece(x):
        return xp.hypot(x, 1.0)
    return root_of_many(x)


@unary(quiet(np.arcsinh), lambda xp, g, x: g / root_of_one_and_square(xp, x))
def arcsinh(x: TensorLike, /) -> Tensor:
    """Inverse hyperbolic sine.

    >>> import tensorgrad as tg
    >>> tg.arcsinh([0.0, 1.0])
    Tensor([0.        , 0.88137359], dtype=float64)
    """


@unary(quiet(np.arccosh), lambda xp, g, x: g / (xp.sqrt(x - 1) * xp.sqrt(x + 1)))
def arccosh(x: TensorLike, /) -> Tensor:
    """Inverse hyperbolic cosine; NaN below 1, and its gradient is inf at 1.

    >>> import tensorgrad as tg
    >>> tg.arccosh([1.0, 2.0])
    Tensor([0.        , 1.3169579], dtype=float64)
    """


@unary(quiet(np.arctanh), lambda xp, g, x: g / ((1 - x) * (1 + x)))
def arctanh(x: TensorLike, /) -> Tensor:
    """Inverse hyperbolic tangent; infinite at -1 and 1, as is its gradient, and NaN outside.

    >>> import tensorgrad as tg
    >>> tg.arctanh([0.0, 0.5])
    Tensor([0.        , 0.54930614], dtype=float64)
    """


# --- angles ---------------------------------------------------------------------------------------------


@unary(real_only("deg2rad", np.deg2rad), lambda xp, g: xp.deg2rad(g))
def deg2rad(x: TensorLike, /) -> Tensor:
    """Convert degrees to radians.

    >>> import tensorgrad as tg
    >>> tg.deg2rad([180.0])
    Tensor([3.14159265], dtype=float64)
    """


@unary(real_only("rad2deg", np.rad2deg), lambda xp, g: xp.rad2deg(g))
def rad2deg(x: TensorLike, /) -> Tensor:
    """Convert radians to degrees.

    >>> import math, tensorgrad as tg
    >>> tg.rad2deg([math.pi])
    Tensor([180.], dtype=float64)
    """


def unwrap(x: TensorLike, /, discont: float | None = None, axis: int = -1, *, period: float = 2 * math.pi) -> Tensor:
    """Angles along an axis without jumps: at each jump between neighbours, whole periods are subtracted.

    A jump is a difference larger than ``discont``, at least half a period. The gradient treats the periods as
    constants.

    >>> import tensorgrad as tg
    >>> tg.unwrap([0.0, 90.0, 180.0, -90.0], period=360.0)
    Tensor([  0.,  90., 180., 270.], dtype=float64)
    """
    source = shaped(x, "unwrap")
    axis = normalised_axis(axis, len(source.shape), "unwrap")

    def forward(a: Any) -> Any:
        return np.unwrap(a, discont, axis=axis, period=period)

    return record("unwrap", quiet(real_only("unwrap", forward)), (source,), (lambda xp, g: g,))
