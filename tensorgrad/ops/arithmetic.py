"""Arithmetic, one number at a time.

Every function takes Tensors, arrays, nested lists or Python scalars, broadcasts, and returns a Tensor. The dtype is
NumPy's: Python scalars are weak, so float32 stays float32. The same goes for exponentials, trigonometry, rounding and
selection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..record import TensorLike, binary, quiet, unary

if TYPE_CHECKING:
    from ..tensor import Tensor


@binary(np.add, lambda xp, g: g, lambda xp, g: g)
def add(x: TensorLike, y: TensorLike, /) -> Tensor:
    """Sum, ``x + y``.

    >>> import tensorgrad as tg
    >>> tg.add(tg.Tensor([1.0, 2.0]), 3.0)
    Tensor([4., 5.], dtype=float64)
    """


@binary(np.subtract, lambda xp, g: g, lambda xp, g: -g)
def subtract(x: TensorLike, y: TensorLike, /) -> Tensor:
    """Difference, ``x - y``.

    >>> import tensorgrad as tg
    >>> tg.subtract(tg.Tensor([1.0, 2.0]), 3.0)
    Tensor([-2., -1.], dtype=float64)
    """


@binary(np.multiply, lambda xp, g, y: g * y, lambda xp, g, x: g * x)
def multiply(x: TensorLike, y: TensorLike, /) -> Tensor:
    """Product, ``x * y``.

    >>> import tensorgrad as tg
    >>> tg.multiply(tg.Tensor([1.0, 2.0]), 3.0)
    Tensor([3., 6.], dtype=float64)
    """


@binary(
    quiet(np.divide),
    lambda xp, g, y: g / y,
    lambda xp, g, y, out: -g * out / y,
)
def divide(x: TensorLike, y: TensorLike, /) -> Tensor:
    """Quotient, ``x / y``. Division by zero gives inf or NaN, as in IEEE 754.

    >>> import tensorgrad as tg
    >>> tg.divide(tg.Tensor([1.0, 2.0]), 4.0)
    Tensor([0.25, 0.5 ], dtype=float64)
    """


def _power_dx(xp: Any, g: Any, x: Any, y: Any) -> Any:
    # y x^(y-1), which at y = 0 is 0 also for x = 0, where x^(y-1) is infinite.
    # (Times 1, because booleans are not subtracted.)
    return g * y * x ** (y * 1 - (y != 0))


def _power_dy(xp: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    # x^y log(x), which at x = 0 is 0 for y >= 0 (the limit for y > 0), where log(x) is infinite.
    if out.dtype.kind == "c":
        return g * out * xp.log(xp.where((x == 0) & (xp.real(y) >= 0), 1, x) + 0j)
    return g * out * xp.log(xp.where((x == 0) & (y >= 0), 1, x))


@binary(quiet(np.power), _power_dx, _power_dy)
def power(x: TensorLike, y: TensorLike, /) -> Tensor:
    """Power, ``x ** y``. The gradient for x at y = 0 is 0; for y it is NaN where x < 0.

    At x = 0 the gradient for y is 0 if y >= 0, and -inf below.

    >>> import tensorgrad as tg
    >>> tg.power(tg.Tensor([1.0, 2.0]), 3.0)
    Tensor([1., 8.], dtype=float64)
    """


@unary(np.negative, lambda xp, g: -g)
def negative(x: TensorLike, /) -> Tensor:
    """Negative, ``-x``.

    >>> import tensorgrad as tg
    >>> tg.negative([1.0, -2.0])
    Tensor([-1.,  2.], dtype=float64)
    """


@unary(np.positive, lambda xp, g: g)
def positive(x: TensorLike, /) -> Tensor:
    """A copy, ``+x``.

    >>> import tensorgrad as tg
    >>> tg.positive([1.0, -2.0])
    Tensor([ 1., -2.], dtype=float64)
    """


def _d_abs(xp: Any, g: Any, x: Any) -> Any:
    return g * (xp.conj(xp.sign(x)) if x.dtype.kind == "c" else xp.sign(x))


@unary(np.absolute, _d_abs)
def abs(x: TensorLike, /) -> Tensor:
    """Absolute value, of a complex number its magnitude; the gradient at 0 is 0.

    >>> import tensorgrad as tg
    >>> tg.abs([1.0, -2.0])
    Tensor([1., 2.], dtype=float64)
    """


@unary(np.square, lambda xp, g, x: 2 * g * x)
def square(x: TensorLike, /) -> Tensor:
    """Square, ``x * x``.

    >>> import tensorgrad as tg
    >>> tg.square([1.0, -2.0])
    Tensor([1., 4.], dtype=float64)
    """


@unary(quiet(np.sqrt), lambda xp, g, out: 0.5 * g / out)
def sqrt(x: TensorLike, /) -> Tensor:
    """Square root; the gradient at 0 is inf, and NaN below.

    >>> import tensorgrad as tg
    >>> tg.sqrt([4.0, 9.0])
    Tensor([2., 3.], dtype=float64)
    """


@unary(quiet(np.reciprocal), lambda xp, g, out: -g * out * out)
def reciprocal(x: TensorLike, /) -> Tensor:
    """Reciprocal, ``1 / x``, of floating-point numbers.

    >>> import tensorgrad as tg
    >>> tg.reciprocal([4.0, 0.5])
    Tensor([0.25, 2.  ], dtype=float64)
    """
