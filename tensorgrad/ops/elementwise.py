"""Arithmetic, exponentials, trigonometry, rounding, and the choice between values: one number at a time.

Every function takes Tensors, arrays, nested lists or Python scalars, broadcasts, and returns a Tensor. The dtype is
NumPy's: Python scalars are weak, so float32 stays float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..record import TensorLike, binary, record, unary
from .complexes import real_only

if TYPE_CHECKING:
    from ..tensor import Tensor

# Results at a pole are inf or NaN as IEEE 754 has them; NumPy's warning about it would come from inside the engine.
_quiet = np.errstate(all="ignore")


# --- arithmetic -----------------------------------------------------------------------------------------


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
    _quiet(np.divide),
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


@binary(_quiet(np.power), _power_dx, _power_dy)
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


@unary(_quiet(np.sqrt), lambda xp, g, out: 0.5 * g / out)
def sqrt(x: TensorLike, /) -> Tensor:
    """Square root; the gradient at 0 is inf, and NaN below.

    >>> import tensorgrad as tg
    >>> tg.sqrt([4.0, 9.0])
    Tensor([2., 3.], dtype=float64)
    """


@unary(_quiet(np.reciprocal), lambda xp, g, out: -g * out * out)
def reciprocal(x: TensorLike, /) -> Tensor:
    """Reciprocal, ``1 / x``, of floating-point numbers.

    >>> import tensorgrad as tg
    >>> tg.reciprocal([4.0, 0.5])
    Tensor([0.25, 2.  ], dtype=float64)
    """


# --- exponential and logarithm --------------------------------------------------------------------------


@unary(_quiet(np.exp), lambda xp, g, out: g * out)
def exp(x: TensorLike, /) -> Tensor:
    """Exponential.

    >>> import tensorgrad as tg
    >>> tg.exp([0.0, 1.0])
    Tensor([1.        , 2.71828183], dtype=float64)
    """


@unary(_quiet(np.expm1), lambda xp, g, x: g * xp.exp(x))
def expm1(x: TensorLike, /) -> Tensor:
    """``exp(x) - 1``, exact near 0.

    >>> import tensorgrad as tg
    >>> tg.expm1([0.0, 1e-20])
    Tensor([0.e+00, 1.e-20], dtype=float64)
    """


@unary(_quiet(np.log), lambda xp, g, x: g / x)
def log(x: TensorLike, /) -> Tensor:
    """Natural logarithm; -inf at 0, NaN below.

    >>> import tensorgrad as tg
    >>> tg.log([1.0, 10.0])
    Tensor([0.        , 2.30258509], dtype=float64)
    """


@unary(_quiet(np.log1p), lambda xp, g, x: g / (1 + x))
def log1p(x: TensorLike, /) -> Tensor:
    """``log(1 + x)``, exact near 0.

    >>> import tensorgrad as tg
    >>> tg.log1p([0.0, 1e-20])
    Tensor([0.e+00, 1.e-20], dtype=float64)
    """


@binary(
    real_only("logaddexp", _quiet(np.logaddexp)),
    lambda xp, g, x, y: g / (1 + xp.exp(y - x)),
    lambda xp, g, x, y: g / (1 + xp.exp(x - y)),
)
def logaddexp(x: TensorLike, y: TensorLike, /) -> Tensor:
    """``log(exp(x) + exp(y))`` without overflow.

    >>> import tensorgrad as tg
    >>> tg.logaddexp([1000.0], [1000.0])
    Tensor([1000.69314718], dtype=float64)
    """


# --- trigonometric and hyperbolic -----------------------------------------------------------------------


@unary(_quiet(np.sin), lambda xp, g, x: g * xp.cos(x))
def sin(x: TensorLike, /) -> Tensor:
    """Sine of x in radians.

    >>> import tensorgrad as tg
    >>> tg.sin([0.0, 1.0])
    Tensor([0.        , 0.84147098], dtype=float64)
    """


@unary(_quiet(np.cos), lambda xp, g, x: -g * xp.sin(x))
def cos(x: TensorLike, /) -> Tensor:
    """Cosine of x in radians.

    >>> import tensorgrad as tg
    >>> tg.cos([0.0, 1.0])
    Tensor([1.        , 0.54030231], dtype=float64)
    """


@unary(_quiet(np.tan), lambda xp, g, out: g * (1 + out * out))
def tan(x: TensorLike, /) -> Tensor:
    """Tangent of x in radians.

    >>> import tensorgrad as tg
    >>> tg.tan([0.0, 1.0])
    Tensor([0.        , 1.55740772], dtype=float64)
    """


@unary(_quiet(np.sinh), lambda xp, g, x: g * xp.cosh(x))
def sinh(x: TensorLike, /) -> Tensor:
    """Hyperbolic sine.

    >>> import tensorgrad as tg
    >>> tg.sinh([0.0, 1.0])
    Tensor([0.        , 1.17520119], dtype=float64)
    """


@unary(_quiet(np.cosh), lambda xp, g, x: g * xp.sinh(x))
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


@unary(_quiet(np.arcsin), lambda xp, g, x: g / xp.sqrt((1 - x) * (1 + x)))
def arcsin(x: TensorLike, /) -> Tensor:
    """Inverse sine, in radians; NaN outside [-1, 1], and its gradient is inf at the ends.

    >>> import tensorgrad as tg
    >>> tg.arcsin([0.0, 1.0])
    Tensor([0.        , 1.57079633], dtype=float64)
    """


@unary(_quiet(np.arccos), lambda xp, g, x: -g / xp.sqrt((1 - x) * (1 + x)))
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


# --- rounding and sign: their gradient is zero, and recorded as such --------------------------------------


def _d_sign(xp: Any, g: Any, x: Any) -> Any:
    if x.dtype.kind != "c":
        return xp.zeros_like(g)
    # The direction of a complex number turns with what is across it: i times a real multiple of the sign itself.
    out = xp.sign(x)
    return (g - xp.real(g * out) * xp.conj(out)) / xp.where(x == 0, np.inf, xp.abs(x))


@unary(np.sign, _d_sign)
def sign(x: TensorLike, /) -> Tensor:
    """-1, 0 or 1, with a gradient of 0 everywhere; of a complex number ``x / abs(x)``, with a gradient of 0 at 0.

    >>> import tensorgrad as tg
    >>> tg.sign([-3.0, 0.0, 2.0])
    Tensor([-1.,  0.,  1.], dtype=float64)
    """


@unary(real_only("floor", np.floor), lambda xp, g: xp.zeros_like(g))
def floor(x: TensorLike, /) -> Tensor:
    """The next integer below; the gradient is 0 everywhere.

    >>> import tensorgrad as tg
    >>> tg.floor([-1.5, 1.5])
    Tensor([-2.,  1.], dtype=float64)
    """


@unary(real_only("ceil", np.ceil), lambda xp, g: xp.zeros_like(g))
def ceil(x: TensorLike, /) -> Tensor:
    """The next integer above; the gradient is 0 everywhere.

    >>> import tensorgrad as tg
    >>> tg.ceil([-1.5, 1.5])
    Tensor([-1.,  2.], dtype=float64)
    """


def round(x: TensorLike, /, decimals: int = 0) -> Tensor:
    """Round to a number of decimals, halves to even; the gradient is 0 everywhere.

    >>> import tensorgrad as tg
    >>> tg.round([-1.26, 2.5], 1)
    Tensor([-1.3,  2.5], dtype=float64)
    """
    return record("round", lambda a: np.round(a, decimals), (x,), (lambda xp, g: xp.zeros_like(g),))


# --- select ---------------------------------------------------------------------------------------------


def _share(xp: Any, mine: Any, other: Any, out: Any) -> Any:
    # 1 for the one that was taken, 0 for the other, 1/2 each at a tie. NaN compares unequal to itself, so that
    # its share is where its gradient belongs: with the one that is NaN.
    taken = (mine == out) | (mine != mine)
    return taken * xp.where((other == out) | (other != other), 0.5, 1.0)


def _chosen(xp: Any, g: Any, share: Any) -> Any:
    return xp.where(share == 0, 0, g * share.astype(g.dtype))


@binary(
    real_only("maximum", np.maximum),
    lambda xp, g, x, y, out: _chosen(xp, g, _share(xp, x, y, out)),
    lambda xp, g, x, y, out: _chosen(xp, g, _share(xp, y, x, out)),
)
def maximum(x: TensorLike, y: TensorLike, /) -> Tensor:
    """The larger of two; a tie splits its gradient evenly.

    >>> import tensorgrad as tg
    >>> tg.maximum([1.0, 5.0], 3.0)
    Tensor([3., 5.], dtype=float64)
    """


@binary(
    real_only("minimum", np.minimum),
    lambda xp, g, x, y, out: _chosen(xp, g, _share(xp, x, y, out)),
    lambda xp, g, x, y, out: _chosen(xp, g, _share(xp, y, x, out)),
)
def minimum(x: TensorLike, y: TensorLike, /) -> Tensor:
    """The smaller of two; a tie splits its gradient evenly.

    >>> import tensorgrad as tg
    >>> tg.minimum([1.0, 5.0], 3.0)
    Tensor([1., 3.], dtype=float64)
    """


def where(condition: TensorLike, x: TensorLike, y: TensorLike, /) -> Tensor:
    """``x`` where the condition holds and ``y`` elsewhere. What is not taken gets a gradient of exactly zero.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([-1.0, 0.0, 4.0], requires_grad=True)
    >>> y = tg.where(x.data > 0, tg.sqrt(x), 0.0)
    >>> y.sum().backward()
    >>> x.grad.tolist()
    [0.0, 0.0, 0.25]
    """

    def d_condition(xp: Any, g: Any, x: Any) -> Any:
        return xp.zeros_like(g)

    def d_x(xp: Any, g: Any, x: Any) -> Any:
        return xp.where(x, g, 0)

    def d_y(xp: Any, g: Any, x: Any) -> Any:
        return xp.where(x, 0, g)

    return record("where", np.where, (condition, x, y), (d_condition, d_x, d_y))


def clip(x: TensorLike, /, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
    """Bound values from below and above (None: no bound).

    The gradient goes to x inside and on the edges, to the bound outside.

    >>> import tensorgrad as tg
    >>> tg.clip([-2.0, 0.5, 2.0], -1.0, 1.0)
    Tensor([-1. ,  0.5,  1. ], dtype=float64)
    """
    if min is None and max is None:
        return positive(x)
    result: Any = x
    if min is not None:
        result = _bounded(real_only("clip", np.maximum), result, min)
    if max is not None:
        result = _bounded(real_only("clip", np.minimum), result, max)
    return result


def _bounded(forward: Any, x: TensorLike, bound: TensorLike) -> Tensor:
    def d_x(xp: Any, g: Any, x: Any, out: Any) -> Any:
        return xp.where((x == out) | (x != x), g, 0)

    def d_bound(xp: Any, g: Any, x: Any, out: Any) -> Any:
        return xp.where((x == out) | (x != x), 0, g)

    return record("clip", forward, (x, bound), (d_x, d_bound))


@unary(np.zeros_like, lambda xp, g: xp.zeros_like(g))
def zeros_like(x: TensorLike, /) -> Tensor:
    """Zeros with the shape and dtype of ``x``.

    >>> import tensorgrad as tg
    >>> tg.zeros_like([1.0, 2.0])
    Tensor([0., 0.], dtype=float64)
    """
