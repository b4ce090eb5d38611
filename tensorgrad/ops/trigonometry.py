"""Trigonometric and hyperbolic functions, and their inverses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..record import TensorLike, quiet, unary

if TYPE_CHECKING:
    from ..tensor import Tensor


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


@unary(np.tanh, lambda xp, g, out: g - g * out * out)
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
