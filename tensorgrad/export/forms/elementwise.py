"""Functions of one element, or of elements that broadcast."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ...compiler.variables import Variable
from ..graph import Refusal
from ..printer import Printer
from ..runs import Varying
from .composed import COMPOSED, SCIPYS

__all__ = ["ELEMENTWISE", "loop_dtypes"]

# The nodes for a ufunc: from the dtype its operands were cast to and their names.
Lowering = Callable[..., str]


def loop_dtypes(g: Printer, ufunc: np.ufunc, operands: tuple[Any, ...]) -> tuple[np.dtype[Any], ...]:
    """The dtypes that a ufunc casts its operands to, and those of its results."""
    kinds = []
    for leaf in operands:
        first = leaf.values[0] if isinstance(leaf, Varying) else leaf
        weak = not isinstance(leaf, Variable) and type(first) in (int, float)
        kinds.append(type(first) if weak else g.dtype(leaf))
    return ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout))


def _ufunc(ufunc: np.ufunc, lowering: Lowering) -> Any:
    def form(g: Printer, *operands: Any, out: Any = None, dtype: Any = None, where: Any = True, **how: Any) -> str:
        if where is not True:
            raise Refusal("where= keeps what was in the array before; use tg.where")
        dtypes = loop_dtypes(g, ufunc, operands)
        if dtype is not None:
            dtypes = (np.dtype(dtype),) * len(dtypes)
        names = [g.name(leaf, kind) for leaf, kind in zip(operands, dtypes, strict=False)]
        result = lowering(g, dtypes[0], *names)
        return result if out is None else onto(g, result, dtypes[-1], operands, out)

    return form


def onto(g: Printer, name: str, dtype: Any, operands: tuple[Any, ...], target: Any) -> str:
    """A value as it is after it was written to an array: in its dtype and shape."""
    name = g.cast(name, dtype, g.dtype(target))
    got = [np.broadcast_shapes(*shapes) for shapes in zip(*map(g.shapes, operands), strict=True)]
    return name if got == g.shapes(target) else g.add("Expand", name, g.integers(g.shape(target)))


def _node(op: str, boolean: str | None = None) -> Lowering:
    """One node; another one for booleans."""

    def lowering(g: Printer, dtype: Any, *names: str) -> str:
        if dtype == np.bool_ and boolean is not None:
            return g.add(boolean, *names)
        return g.add(op, *names)

    return lowering


def _logical(op: str) -> Lowering:
    def lowering(g: Printer, dtype: Any, *names: str) -> str:
        return g.add(op, *(g.cast(name, dtype, np.bool_) for name in names))

    return lowering


def _scaled(op: str, factor: float) -> Lowering:
    return lambda g, dtype, x: g.add("Mul", g.add(op, x) if op else x, g.constant(factor, dtype))


def _power(g: Printer, base: Any, exponent: Any, out: Any = None) -> str:
    dtypes = loop_dtypes(g, np.power, (base, exponent))
    whole = g.plain(exponent)
    number = whole.item() if whole is not None and whole.size == 1 and not whole.ndim else None
    if number == 2:
        x = g.name(base, dtypes[0])
        result = g.add("Mul", x, x)
    elif number == 0.5 and dtypes[0].kind == "f":
        result = g.add("Sqrt", g.name(base, dtypes[0]))
    elif number == -1 and dtypes[0].kind == "f":
        result = g.add("Reciprocal", g.name(base, dtypes[0]))
    else:
        result = g.add("Pow", g.name(base, dtypes[0]), g.name(exponent, dtypes[1]))
    return result if out is None else onto(g, result, dtypes[-1], (base, exponent), out)


def _where(g: Printer, condition: Any, x: Any = None, y: Any = None) -> str:
    if x is None:
        raise Refusal("the shape of np.where(condition) depends on values")
    dtype = g.result.dtype
    first, second = g.name(x, dtype), g.name(y, dtype)
    if first == second and g.shape(x) == g.shape(g.step.results[0]):
        return first
    return g.add("Where", g.name(condition, np.bool_), first, second)


def _clip(g: Printer, a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, **others: Any) -> str:
    low, high = others.get("min", a_min), others.get("max", a_max)
    dtype = g.result.dtype
    name = g.name(a, dtype)
    if low is not None:
        name = g.add("Max", name, g.name(low, dtype))
    return name if high is None else g.add("Min", name, g.name(high, dtype))


def _nan_to_num(
    g: Printer, x: Any, copy: bool = True, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> str:
    dtype, name = g.dtype(x), g.name(x)
    if dtype.kind != "f":
        return name
    limits = np.finfo(dtype)
    for test, number in (
        (g.add("IsNaN", name), nan),
        (g.add("IsInf", name, detect_negative=0), limits.max if posinf is None else posinf),
        (g.add("IsInf", name, detect_positive=0), limits.min if neginf is None else neginf),
    ):
        name = g.add("Where", test, g.constant(number, dtype), name)
    return name


def _round(g: Printer, a: Any, decimals: int = 0, out: Any = None) -> str:
    name, dtype = g.name(a), g.dtype(a)
    if dtype.kind != "f":
        return name
    if not decimals:
        return g.add("Round", name)
    scale = g.constant(10.0**decimals, dtype)
    return g.add("Div", g.add("Round", g.add("Mul", name, scale)), scale)


def _same(g: Printer, dtype: Any, x: str) -> str:
    return x


_LOWERINGS: dict[np.ufunc, Lowering] = {
    **COMPOSED,
    np.absolute: _node("Abs"),
    np.add: _node("Add", "Or"),
    np.arccos: _node("Acos"),
    np.arccosh: _node("Acosh"),
    np.arcsin: _node("Asin"),
    np.arcsinh: _node("Asinh"),
    np.arctan: _node("Atan"),
    np.arctanh: _node("Atanh"),
    np.bitwise_and: _node("BitwiseAnd", "And"),
    np.bitwise_or: _node("BitwiseOr", "Or"),
    np.bitwise_xor: _node("BitwiseXor", "Xor"),
    np.conjugate: _same,
    np.cos: _node("Cos"),
    np.cosh: _node("Cosh"),
    np.deg2rad: _scaled("", math.pi / 180),
    np.degrees: _scaled("", 180 / math.pi),
    np.divide: _node("Div"),
    np.equal: _node("Equal"),
    np.exp: _node("Exp"),
    np.exp2: lambda g, dtype, x: g.add("Pow", g.constant(2, dtype), x),
    np.fabs: _node("Abs"),
    np.float_power: _node("Pow"),
    np.greater: _node("Greater"),
    np.greater_equal: _node("GreaterOrEqual"),
    np.invert: _node("BitwiseNot", "Not"),
    np.less: _node("Less"),
    np.less_equal: _node("LessOrEqual"),
    np.log: _node("Log"),
    np.log10: _scaled("Log", 1 / math.log(10)),
    np.log2: _scaled("Log", 1 / math.log(2)),
    np.logical_and: _logical("And"),
    np.logical_not: _logical("Not"),
    np.logical_or: _logical("Or"),
    np.logical_xor: _logical("Xor"),
    np.maximum: _node("Max", "Or"),
    np.minimum: _node("Min", "And"),
    np.multiply: _node("Mul", "And"),
    np.negative: _node("Neg"),
    np.positive: _same,
    np.rad2deg: _scaled("", 180 / math.pi),
    np.radians: _scaled("", math.pi / 180),
    np.sign: _node("Sign"),
    np.sin: _node("Sin"),
    np.sinh: _node("Sinh"),
    np.sqrt: _node("Sqrt"),
    np.subtract: _node("Sub"),
    np.tan: _node("Tan"),
    np.tanh: _node("Tanh"),
}
_NEEDS_A_LATER_OPSET = {np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert}


def _boolean_only(ufunc: np.ufunc, lowering: Lowering) -> Lowering:
    def checked(g: Printer, dtype: Any, *names: str) -> str:
        if dtype != np.bool_:
            raise Refusal(f"ONNX has np.{ufunc.__name__} of {dtype} only from opset 18 on")
        return lowering(g, dtype, *names)

    return checked


def _scipys(lowering: Lowering) -> Any:
    """The form of a ufunc of SciPy, found by its name, of one operand."""

    def form(g: Printer, x: Any) -> str:
        dtype = g.result.dtype
        return lowering(g, dtype, g.name(x, dtype))

    return form


ELEMENTWISE: dict[Any, Any] = {
    **{
        ufunc: _ufunc(ufunc, _boolean_only(ufunc, lowering) if ufunc in _NEEDS_A_LATER_OPSET else lowering)
        for ufunc, lowering in _LOWERINGS.items()
    },
    np.power: _power,
    operator.pow: _power,
    np.clip: _clip,
    np.nan_to_num: _nan_to_num,
    np.round: _round,
    np.where: _where,
    **{f"scipy.{name}": _scipys(lowering) for name, lowering in SCIPYS.items()},
}
