"""LLVM code for one operation on numbers: what NumPy's functions do with an element."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from .functions import function_of, name_of
from .values import constant, intrinsic

__all__ = ["COMPARISONS", "IN_MEMORY", "LOGICAL", "OPERATIONS", "REDUCTIONS", "TYPES", "Lines", "code_of"]

TYPES = {"f4": "float", "f8": "double", "b1": "i1", "i4": "i32", "i8": "i64"}
IN_MEMORY = {**TYPES, "b1": "i8"}
COMPARISONS = {
    np.greater: ("ogt", "sgt"),
    np.greater_equal: ("oge", "sge"),
    np.less: ("olt", "slt"),
    np.less_equal: ("ole", "sle"),
    np.equal: ("oeq", "eq"),
    np.not_equal: ("une", "ne"),
}
LOGICAL: dict[Any, str] = {
    np.logical_and: "and",
    np.logical_or: "or",
    np.logical_xor: "xor",
    np.logical_not: "not",
    np.bitwise_and: "and",
    np.bitwise_or: "or",
    np.bitwise_xor: "xor",
    np.invert: "not",
}
_INTRINSICS: dict[Any, str] = {
    np.sqrt: "sqrt",
    np.absolute: "fabs",
    np.fabs: "fabs",
    np.copysign: "copysign",
    np.floor: "floor",
    np.ceil: "ceil",
    np.trunc: "trunc",
    np.rint: "rint",
}
OPERATIONS = {
    *(np.add, np.subtract, np.multiply, np.divide, np.negative, np.positive, np.square, np.reciprocal, np.sign),
    *(np.maximum, np.minimum, np.isfinite, np.isnan, np.isinf),
    *(*COMPARISONS, *LOGICAL, *_INTRINSICS),
}
REDUCTIONS = {np.add: 0.0, np.maximum: float("-inf"), np.minimum: float("inf"), np.multiply: 1.0}


@cache
def code_of(dtype: Any) -> str:
    """The kind and size of a dtype, as in ``f4``."""
    return np.dtype(dtype).str[1:]


class Lines:
    """The lines of a function.

    Attributes:
        used: the exponentials and the like that they call, and for which type.
        block: the block that the last line is in.
    """

    def __init__(self) -> None:
        self.used: set[tuple[np.ufunc, str]] = set()
        self.lines: list[str] = []
        self.block = "entry"
        self._serial = 0

    def next(self) -> int:
        """A number that no other name has."""
        self._serial += 1
        return self._serial

    def emit(self, line: str) -> None:
        """Add a line."""
        self.lines.append(f"  {line}")

    def assign(self, expression: str) -> str:
        """The name of a new value."""
        name = f"%v{self.next()}"
        self.emit(f"{name} = {expression}")
        return name

    def label(self, name: str) -> None:
        """Begin a block."""
        self.lines.append(f"{name}:")
        self.block = name

    def operation(self, ufunc: Any, x: list[str], dtype: np.dtype[Any], flags: str) -> str:
        """The name of the result of a ufunc, or of np.where; ``flags`` are for floating-point arithmetic."""
        kind = TYPES[code_of(dtype)]
        real = dtype.kind == "f"
        prefix = f"f{{}} {flags}{kind}" if real else f"{{}} {kind}"
        if ufunc in COMPARISONS:
            real_test, whole_test = COMPARISONS[ufunc]
            return self.assign(f"{f'fcmp {real_test}' if real else f'icmp {whole_test}'} {kind} {x[0]}, {x[1]}")
        if ufunc is np.where:
            return self.assign(f"select i1 {x[0]}, {kind} {x[1]}, {kind} {x[2]}")
        if ufunc in (np.add, np.subtract, np.multiply):
            name = {np.add: "add", np.subtract: "sub", np.multiply: "mul"}[ufunc]
            return self.assign(f"{prefix.format(name)} {x[0]}, {x[1]}")
        if ufunc is np.square:
            return self.assign(f"{prefix.format('mul')} {x[0]}, {x[0]}")
        if ufunc is np.divide:
            return self.assign(f"fdiv {kind} {x[0]}, {x[1]}")
        if ufunc is np.reciprocal:
            return self.assign(f"fdiv {kind} {constant(1.0, kind)}, {x[0]}")
        if ufunc is np.negative:
            return self.assign(f"fneg {kind} {x[0]}")
        if ufunc is np.positive:
            return x[0]
        if ufunc in _INTRINSICS or function_of(ufunc) is not None:
            name = name_of(ufunc, kind)
            if ufunc not in _INTRINSICS:
                self.used.add((ufunc, kind))
            else:
                name = intrinsic(_INTRINSICS[ufunc], kind)
            return self.assign(f"call {kind} @{name}({', '.join(f'{kind} {each}' for each in x)})")
        if ufunc in (np.maximum, np.minimum):  # a NaN wins; the sign of zero is open, as in NumPy
            name = intrinsic("maximum" if ufunc is np.maximum else "minimum", kind)
            return self.assign(f"call nsz {kind} @{name}({kind} {x[0]}, {kind} {x[1]})")
        if ufunc is np.sign:
            zero, one, less = (constant(number, kind) for number in (0.0, 1.0, -1.0))
            up, down, missing = (self.assign(f"fcmp {test} {kind} {x[0]}, {zero}") for test in ("ogt", "olt", "uno"))
            made = self.assign(f"select i1 {down}, {kind} {less}, {kind} {zero}")
            made = self.assign(f"select i1 {up}, {kind} {one}, {kind} {made}")
            return self.assign(f"select i1 {missing}, {kind} {x[0]}, {kind} {made}")
        if ufunc is np.isnan:
            return self.assign(f"fcmp uno {kind} {x[0]}, {x[0]}")
        if ufunc is np.isfinite:
            rest = self.assign(f"fsub {kind} {x[0]}, {x[0]}")
            return self.assign(f"fcmp ord {kind} {rest}, {rest}")
        if ufunc is np.isinf:
            size = self.assign(f"call {kind} @{intrinsic('fabs', kind)}({kind} {x[0]})")
            return self.assign(f"fcmp oeq {kind} {size}, {constant(np.inf, kind)}")
        if LOGICAL[ufunc] == "not":
            return self.assign(f"xor i1 {x[0]}, true")
        return self.assign(f"{LOGICAL[ufunc]} i1 {x[0]}, {x[1]}")

    def cast(self, value: str, old: np.dtype[Any], new: np.dtype[Any]) -> str:
        """The name of a value as a number of another dtype."""
        if old == new:
            return value
        a, b = TYPES[code_of(old)], TYPES[code_of(new)]
        if new.kind == "b":
            test = "fcmp une" if old.kind == "f" else "icmp ne"
            return self.assign(f"{test} {a} {value}, {'0.0' if old.kind == 'f' else '0'}")
        if new.kind == "f":
            how = {"f": "fpext" if new.itemsize > old.itemsize else "fptrunc", "b": "uitofp"}.get(old.kind, "sitofp")
        else:
            how = {"b": "zext", "f": "fptosi"}.get(old.kind, "sext" if new.itemsize > old.itemsize else "trunc")
        return self.assign(f"{how} {a} {value} to {b}")

    def constant(self, value: Any, dtype: np.dtype[Any]) -> str:
        """A constant in LLVM's notation."""
        if dtype.kind == "b":
            return "true" if value else "false"
        if dtype.kind != "f":
            return str(int(value))
        return constant(value, TYPES[code_of(dtype)])
