"""Elementwise arithmetic.

Every function takes Tensors, arrays, nested lists or Python scalars, broadcasts, and returns a Tensor. Dtypes follow
NumPy's rules: Python scalars are weak, so float32 stays float32. The same goes for exponentials, trigonometry,
rounding and selection.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.graph import Rule, elementwise
from ..engine.record import Handle, Tensor, TensorLike, binary, operand, quiet, record, unary
from ..errors import DTypeError
from .complexes import real_only
from .views import no_gradient

__all__ = [
    "abs",
    "add",
    "cbrt",
    "copysign",
    "divide",
    "fabs",
    "float_power",
    "floor_divide",
    "fmod",
    "hypot",
    "ldexp",
    "multiply",
    "negative",
    "nextafter",
    "positive",
    "power",
    "reciprocal",
    "remainder",
    "rsqrt",
    "sqrt",
    "square",
    "subtract",
]


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


def derivative_of_power(function: Any, x: Any, y: Any, by_x: int, by_y: int) -> Any:
    """The derivative of x^y, ``by_x`` times by x and ``by_y`` times by y, of arrays or Tensors.

    It is x^(y - by_x) times a polynomial in log(x) whose coefficients are polynomials in y. On Tensors it is an
    operation of its own, whose derivatives are the next of the family: so all orders, and mixed ones, are exact at
    x = 0 too, where a product of x^(y - 1) with y = 0, or of x with log(x), is 0 times an infinity.
    """
    if not (isinstance(x, Handle) or isinstance(y, Handle)):
        return _derivative_of_power(function, x, y, by_x, by_y)

    def d_x(xp: Any, g: Any, x: Any, y: Any) -> Any:
        return g * derivative_of_power(function, x, y, by_x + 1, by_y)

    def d_y(xp: Any, g: Any, x: Any, y: Any) -> Any:
        return g * derivative_of_power(function, x, y, by_x, by_y + 1)

    def forward(x: Any, y: Any) -> Any:
        return _derivative_of_power(function, x, y, by_x, by_y)

    return record("derivative of power", quiet(forward), (x, y), (d_x, d_y))


elementwise.add("derivative of power")


def _derivative_of_power(function: Any, x: Any, y: Any, by_x: int, by_y: int) -> Any:
    if (by_x, by_y) == (1, 0):  # 0 for y = 0. (Times 1, because booleans are not subtracted.)
        return y * function(x, y * 1 - (y != 0))
    falling = np.poly1d([1.0])  # y (y - 1) ... of by_x factors
    for k in range(by_x):
        falling = falling * np.poly1d([1.0, -k])
    # By Leibniz: the coefficient of log(x)^n is comb(by_y, n) times a derivative of that.
    rows = [math.comb(by_y, n) * falling.deriv(by_y - n) for n in range(by_y + 1)]
    coefficients = [_at(row.coeffs, y) for row in rows]
    zero = x == 0
    base = np.where(zero, 1, x)
    powers = function(base, y * 1 - by_x)
    total = coefficients[-1]
    if by_y:
        log = np.log(base + 0j if powers.dtype.kind == "c" else base)
        for c in reversed(coefficients[:-1]):
            total = total * log + c
    # At 0 the highest power of the logarithm whose coefficient is not zero decides; all powers yield to x^y.
    limit: Any = 0
    for n, c in enumerate(coefficients):
        limit = np.where(c == 0, limit, c * ((-np.inf) ** n if n else 1.0))
    rest = np.real(y) - by_x
    limit = np.where((rest > 0) | (limit == 0), 0, np.where(rest < 0, limit * np.inf, limit))
    if not by_x:  # a constant, by the convention at 0^0
        limit = np.where(rest == 0, 0, limit)
    return np.where(zero, limit, powers * total).astype(powers.dtype, copy=False)


def _at(coefficients: Any, y: Any) -> Any:
    total: Any = 0.0
    for c in coefficients.tolist():
        total = total * y + c
    return total


def _power_dx(xp: Any, g: Any, x: Any, y: Any) -> Any:
    return g * derivative_of_power(np.power, x, y, 1, 0)


def _by_exponent(function: Any) -> Rule:
    def d_y(xp: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
        if isinstance(out, Handle):
            return g * derivative_of_power(function, x, y, 0, 1)
        # x^y log(x): at x = 0, where log(x) is infinite, this is 0 for y >= 0 (the limit for y > 0).
        if out.dtype.kind == "c":
            return g * out * xp.log(xp.where((x == 0) & (xp.real(y) >= 0), 1, x) + 0j)
        return g * out * xp.log(xp.where((x == 0) & (y >= 0), 1, x))

    return d_y


@binary(quiet(np.power), _power_dx, _by_exponent(np.power))
def power(x: TensorLike, y: TensorLike, /) -> Tensor:
    """Power, ``x ** y``. The gradient for x at y = 0 is 0; for y it is NaN where x < 0.

    At x = 0 the gradient for y is 0 if y >= 0, and -inf if y < 0. At ``0 ** 0`` all derivatives with respect to y alone
    are 0.

    >>> import tensorgrad as tg
    >>> tg.power(tg.Tensor([1.0, 2.0]), 3.0)
    Tensor([1., 8.], dtype=float64)
    """


def _float_power_dx(xp: Any, g: Any, x: Any, y: Any) -> Any:
    return g * derivative_of_power(np.float_power, x, y, 1, 0)


@binary(quiet(np.float_power), _float_power_dx, _by_exponent(np.float_power))
def float_power(x: TensorLike, y: TensorLike, /) -> Tensor:
    """Power, ``x ** y``, in at least float64, also for integers; the gradients are those of :func:`power`.

    >>> import tensorgrad as tg
    >>> tg.float_power([2, 4], -1)
    Tensor([0.5 , 0.25], dtype=float64)
    """


@unary(np.negative, lambda xp, g: -g)
def negative(x: TensorLike, /) -> Tensor:
    """Negative, ``-x``.

    >>> import tensorgrad as tg
    >>> tg.negative([1.0, -2.0])
    Tensor([-1.,  2.], dtype=float64)
    """


def _copied(a: Any) -> Any:
    try:
        return np.positive(a)
    except TypeError:  # it takes no booleans
        return np.copy(a)


@unary(_copied, lambda xp, g: g)
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
    """Absolute value, or the magnitude of a complex number; the gradient at 0 is 0.

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
    """Square root; the gradient is inf at 0, and NaN below.

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


@unary(quiet(lambda a: np.divide(1, np.sqrt(a))), lambda xp, g, out: -0.5 * g * out * out * out)
def rsqrt(x: TensorLike, /) -> Tensor:
    """Reciprocal of the square root; inf at 0, where the gradient is -inf.

    >>> import tensorgrad as tg
    >>> tg.rsqrt([4.0, 0.25])
    Tensor([0.5, 2. ], dtype=float64)
    """


@unary(real_only("cbrt", np.cbrt), lambda xp, g, out: g / (3 * out * out))
def cbrt(x: TensorLike, /) -> Tensor:
    """Cube root, also of negative numbers; the gradient at 0 is inf.

    >>> import tensorgrad as tg
    >>> tg.cbrt([8.0, -27.0])
    Tensor([ 2., -3.], dtype=float64)
    """


@unary(real_only("fabs", np.fabs), lambda xp, g, x: g * xp.sign(x))
def fabs(x: TensorLike, /) -> Tensor:
    """Absolute value of real numbers, always in floating point; the gradient at 0 is 0.

    >>> import tensorgrad as tg
    >>> tg.fabs([1, -2])
    Tensor([1., 2.], dtype=float64)
    """


def share_of_hypot(x: Any, y: Any) -> Any:
    """``x / hypot(x, y)``, and 0 at the origin, of arrays or Tensors.

    On Tensors an operation of its own: the derivative of the quotient is a difference that cancels where x is large.
    """
    if not (isinstance(x, Handle) or isinstance(y, Handle)):
        return _share(x, np.hypot(x, y))

    def d_x(xp: Any, g: Any, x: Any, y: Any) -> Any:
        across = share_of_hypot(y, x)
        return over_radius(xp, g * across, xp.hypot(x, y)) * across

    def d_y(xp: Any, g: Any, x: Any, y: Any) -> Any:
        return -over_radius(xp, g * share_of_hypot(x, y), xp.hypot(x, y)) * share_of_hypot(y, x)

    return record("share of hypot", quiet(lambda x, y: _share(x, np.hypot(x, y))), (x, y), (d_x, d_y))


elementwise.add("share of hypot")


def _share(x: Any, radius: Any) -> Any:
    return x / np.where(radius == 0, 1, radius)


def over_radius(xp: Any, g: Any, radius: Any) -> Any:
    """``g / radius``, and 0 at the origin."""
    zero = radius == 0
    return xp.where(zero, 0, g / xp.where(zero, 1, radius))


def _hypot_dx(xp: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    return g * (share_of_hypot(x, y) if isinstance(out, Handle) else _share(x, out))


def _hypot_dy(xp: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    return g * (share_of_hypot(y, x) if isinstance(out, Handle) else _share(y, out))


@binary(quiet(real_only("hypot", np.hypot)), _hypot_dx, _hypot_dy)
def hypot(x: TensorLike, y: TensorLike, /) -> Tensor:
    """``sqrt(x * x + y * y)`` without overflow; where both are 0, both gradients are 0.

    >>> import tensorgrad as tg
    >>> tg.hypot([3.0, 3e200], [4.0, 4e200])
    Tensor([5.e+000, 5.e+200], dtype=float64)
    """


@binary(real_only("nextafter", np.nextafter), lambda xp, g: g, lambda xp, g: xp.zeros_like(g))
def nextafter(x: TensorLike, y: TensorLike, /) -> Tensor:
    """The next number after ``x`` in the direction of ``y``; the gradient is that of ``x`` itself.

    >>> import tensorgrad as tg
    >>> float(tg.nextafter(1.0, 2.0)) - 1.0
    2.220446049250313e-16
    """


def _d_copysign(xp: Any, g: Any, x: Any, out: Any) -> Any:
    return g * xp.sign(x) * xp.sign(out)


@binary(real_only("copysign", np.copysign), _d_copysign, lambda xp, g: xp.zeros_like(g))
def copysign(x: TensorLike, y: TensorLike, /) -> Tensor:
    """The magnitude of x with the sign of y; the gradient for x is 0 at 0, that for y is 0 everywhere.

    >>> import tensorgrad as tg
    >>> tg.copysign([1.0, -2.0], -1.0)
    Tensor([-1., -2.], dtype=float64)
    """


# --- division with a remainder --------------------------------------------------------------------------


@binary(
    quiet(real_only("floor_divide", np.floor_divide)),
    lambda xp, g: xp.zeros_like(g),
    lambda xp, g: xp.zeros_like(g),
)
def floor_divide(x: TensorLike, y: TensorLike, /) -> Tensor:
    """The quotient rounded down, ``x // y``; both gradients are 0 everywhere.

    >>> import tensorgrad as tg
    >>> tg.floor_divide([7.0, -7.0], 2.0)
    Tensor([ 3., -4.], dtype=float64)
    """


@binary(
    quiet(real_only("remainder", np.remainder)),
    lambda xp, g: g,
    lambda xp, g, x, y: -g * xp.floor_divide(x, y),
)
def remainder(x: TensorLike, y: TensorLike, /) -> Tensor:
    """``x % y``, that is ``x - y * floor(x / y)``, with the sign of y; at jumps, the quotient counts as constant.

    >>> import tensorgrad as tg
    >>> tg.remainder([7.0, -7.0], 3.0)
    Tensor([1., 2.], dtype=float64)
    """


@binary(
    quiet(real_only("fmod", np.fmod)),
    lambda xp, g: g,
    lambda xp, g, x, y, out: -g * xp.rint((x - out) / y),
)
def fmod(x: TensorLike, y: TensorLike, /) -> Tensor:
    """``x - y * trunc(x / y)``, with the sign of x; at jumps, the quotient counts as constant.

    >>> import tensorgrad as tg
    >>> tg.fmod([7.0, -7.0], 3.0)
    Tensor([ 1., -1.], dtype=float64)
    """


def ldexp(x: TensorLike, exponents: TensorLike, /) -> Tensor:
    """``x * 2**exponents`` for integer exponents, which get no gradient.

    Raises DTypeError for other exponents.

    >>> import tensorgrad as tg
    >>> tg.ldexp([1.0, 3.0], [4, -1])
    Tensor([16. ,  1.5], dtype=float64)
    """
    powers: Any = exponents if isinstance(exponents, Handle) else operand(exponents, "ldexp")
    dtype = np.result_type(getattr(powers, "dtype", powers))
    if dtype.kind not in "iub":
        raise DTypeError(f"ldexp: exponents must be integers, got {dtype}; write x * tg.exp2(exponents)")

    def d_x(xp: Any, g: Any, y: Any) -> Any:
        return xp.ldexp(g, y)

    return record("ldexp", quiet(real_only("ldexp", np.ldexp)), (x, powers), (d_x, no_gradient))
