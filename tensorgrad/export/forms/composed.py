"""Functions of elements that are several nodes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph import Graph

__all__ = ["COMPOSED", "SCIPYS"]


def _not_equal(g: Graph, dtype: Any, a: str, b: str) -> str:
    return g.add("Xor", a, b) if dtype == np.bool_ else g.add("Not", g.add("Equal", a, b))


def _square(g: Graph, dtype: Any, x: str) -> str:
    return g.add("Mul", x, x)


def _reciprocal(g: Graph, dtype: Any, x: str) -> str:
    return g.add("Reciprocal", x) if dtype.kind == "f" else g.add("Div", g.constant(1, dtype), x)


def _expm1(g: Graph, dtype: Any, x: str) -> str:
    """``exp(x) - 1 = tanh(x / 2) * (exp(x) + 1)``, to all digits."""
    half = g.add("Tanh", g.add("Mul", x, g.constant(0.5, dtype)))
    return g.add("Mul", half, g.add("Add", g.add("Exp", x), g.constant(1, dtype)))


def _log1p(g: Graph, dtype: Any, x: str) -> str:
    """``log(u) * x / (u - 1)`` with ``u = 1 + x``, which makes up for the rounding of u; x where u is 1."""
    one = g.constant(1, dtype)
    u = g.add("Add", x, one)
    plain = g.add("Log", u)
    rest = g.add("Sub", u, one)
    inside = g.add("Less", g.add("Abs", x), g.constant(0.5, dtype))
    near = g.add("Div", x, g.add("Where", g.add("Equal", rest, g.constant(0, dtype)), one, rest))
    mended = g.add("Where", g.add("Equal", rest, g.constant(0, dtype)), x, g.add("Mul", plain, near))
    return g.add("Where", inside, mended, plain)


def _logaddexp(g: Graph, dtype: Any, a: str, b: str) -> str:
    """``max(a, b) + log(1 + exp(-abs(a - b)))``; equal infinities have no difference."""
    gap = g.add("Where", g.add("Equal", a, b), g.constant(0, dtype), g.add("Abs", g.add("Sub", a, b)))
    return g.add("Add", g.add("Max", a, b), _log1p(g, dtype, g.add("Exp", g.add("Neg", gap))))


def _logaddexp2(g: Graph, dtype: Any, a: str, b: str) -> str:
    ln2 = g.constant(math.log(2), dtype)
    return g.add("Div", _logaddexp(g, dtype, g.add("Mul", a, ln2), g.add("Mul", b, ln2)), ln2)


def _hypot(g: Graph, dtype: Any, a: str, b: str) -> str:
    a, b = g.add("Abs", a), g.add("Abs", b)
    large, small = g.add("Max", a, b), g.add("Min", a, b)
    plain = g.add("Or", g.add("Equal", large, g.constant(0, dtype)), g.add("IsInf", large))
    ratio = g.add("Div", small, g.add("Where", plain, g.constant(1, dtype), large))
    root = g.add("Sqrt", g.add("Add", g.add("Mul", ratio, ratio), g.constant(1, dtype)))
    return g.add("Where", plain, large, g.add("Mul", large, root))


def _isfinite(g: Graph, dtype: Any, x: str) -> str:
    return g.add("Not", g.add("Or", _isnan(g, dtype, x), _isinf(g, dtype, x)))


def _isnan(g: Graph, dtype: Any, x: str) -> str:
    return g.add("IsNaN", x if dtype.kind == "f" else g.cast(x, dtype, np.float32))


def _isinf(g: Graph, dtype: Any, x: str) -> str:
    return g.add("IsInf", x if dtype.kind == "f" else g.cast(x, dtype, np.float32))


def _trunc(g: Graph, dtype: Any, x: str) -> str:
    return g.add("Mul", g.add("Sign", x), g.add("Floor", g.add("Abs", x)))


def _whole(op: str) -> Callable[..., str]:
    """Rounding, which leaves integers alone."""
    return lambda g, dtype, x: g.add(op, x) if dtype.kind == "f" else x


def _fmod(g: Graph, dtype: Any, a: str, b: str) -> str:
    return g.add("Mod", a, b, fmod=1)


def _remainder(g: Graph, dtype: Any, a: str, b: str) -> str:
    if dtype.kind != "f":
        return g.add("Mod", a, b)
    rest, zero = g.add("Mod", a, b, fmod=1), g.constant(0, dtype)
    wrong = g.add("Less", g.add("Mul", g.add("Sign", rest), g.add("Sign", b)), zero)
    return g.add("Add", rest, g.add("Where", wrong, b, zero))


def _floor_divide(g: Graph, dtype: Any, a: str, b: str) -> str:
    quotient = g.add("Div", g.add("Sub", a, _remainder(g, dtype, a, b)), b)
    return quotient if dtype.kind != "f" else g.add("Round", quotient)


def _extreme(op: str) -> Callable[..., str]:
    """The larger or smaller; where one is NaN, the other."""

    def lowering(g: Graph, dtype: Any, a: str, b: str) -> str:
        if dtype.kind != "f":
            return g.add(op, a, b)
        other = g.add("Where", g.add("IsNaN", b), a, g.add(op, a, b))
        return g.add("Where", g.add("IsNaN", a), b, other)

    return lowering


def _heaviside(g: Graph, dtype: Any, x: str, middle: str) -> str:
    zero = g.constant(0, dtype)
    step = g.cast(g.add("Greater", x, zero), np.bool_, dtype)
    return g.add("Where", g.add("IsNaN", x), x, g.add("Where", g.add("Equal", x, zero), middle, step))


def _signbit(g: Graph, dtype: Any, x: str) -> str:
    zero = g.constant(0, dtype)
    if dtype.kind != "f":
        return g.add("Less", x, zero)
    return g.add("Less", g.add("Where", g.add("Equal", x, zero), g.add("Reciprocal", x), x), zero)


def _copysign(g: Graph, dtype: Any, x: str, y: str) -> str:
    size = g.add("Abs", x)
    return g.add("Where", _signbit(g, dtype, y), g.add("Neg", size), size)


def _arctan2(g: Graph, dtype: Any, y: str, x: str) -> str:
    """The angle from the quotient of the smaller and the larger, and from the quadrant."""
    size_x, size_y = g.add("Abs", x), g.add("Abs", y)
    large, small = g.add("Max", size_x, size_y), g.add("Min", size_x, size_y)
    one, zero = g.constant(1, dtype), g.constant(0, dtype)
    both = g.add("And", g.add("IsInf", x), g.add("IsInf", y))
    ratio = g.add("Div", small, g.add("Where", g.add("Equal", large, zero), one, large))
    angle = g.add("Atan", g.add("Where", both, one, ratio))
    steep = g.add("Greater", size_y, size_x)
    angle = g.add("Where", steep, g.add("Sub", g.constant(math.pi / 2, dtype), angle), angle)
    left = g.add("Where", _signbit(g, dtype, x), g.add("Sub", g.constant(math.pi, dtype), angle), angle)
    return _copysign(g, dtype, left, y)


def _cbrt(g: Graph, dtype: Any, x: str) -> str:
    size = g.add("Pow", g.add("Abs", x), g.constant(1 / 3, dtype))
    return g.add("Mul", g.add("Sign", x), size)


def _ndtr(g: Graph, dtype: Any, x: str) -> str:
    curve = g.add("Erf", g.add("Mul", x, g.constant(math.sqrt(0.5), dtype)))
    return g.add("Mul", g.add("Add", curve, g.constant(1, dtype)), g.constant(0.5, dtype))


def _erfc(g: Graph, dtype: Any, x: str) -> str:
    return g.add("Sub", g.constant(1, dtype), g.add("Erf", x))


# The nodes of a ufunc, from the dtype that its operands are cast to and their names.
COMPOSED: dict[np.ufunc, Callable[..., str]] = {
    np.arctan2: _arctan2,
    np.cbrt: _cbrt,
    np.ceil: _whole("Ceil"),
    np.copysign: _copysign,
    np.expm1: _expm1,
    np.floor: _whole("Floor"),
    np.floor_divide: _floor_divide,
    np.fmax: _extreme("Max"),
    np.fmin: _extreme("Min"),
    np.fmod: _fmod,
    np.heaviside: _heaviside,
    np.hypot: _hypot,
    np.isfinite: _isfinite,
    np.isinf: _isinf,
    np.isnan: _isnan,
    np.log1p: _log1p,
    np.logaddexp: _logaddexp,
    np.logaddexp2: _logaddexp2,
    np.not_equal: _not_equal,
    np.reciprocal: _reciprocal,
    np.remainder: _remainder,
    np.rint: _whole("Round"),
    np.signbit: _signbit,
    np.square: _square,
    np.trunc: _trunc,
}
# The same for SciPy's ufuncs of one operand, by name.
SCIPYS: dict[str, Callable[..., str]] = {
    "erf": lambda g, dtype, x: g.add("Erf", x),
    "erfc": _erfc,
    "expit": lambda g, dtype, x: g.add("Sigmoid", x),
    "ndtr": _ndtr,
}
