"""Values in the body of an LLVM function: their operators write its lines."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...engine.mode import silenced

__all__ = ["Body", "Format", "Value", "constant", "declarations", "intrinsic"]

REALS = ("float", "double")


@dataclass(frozen=True)
class Format:
    """A format of floating-point numbers, and what the functions need to know of it.

    Attributes:
        digits: bits of the mantissa that are stored.
        ln2: in two parts, the first with so few bits that its product with an exponent is exact.
        exponential: ``(exp(r) - 1 - r) / r**2`` in r, up to ``ln(2) / 2``; the lowest power first.
        logarithm: ``2 * (atanh(s) / s - 1) / z`` in ``z = s**2``, for ``1 + f`` from ``sqrt(1/2)`` to ``sqrt(2)``.
        tangent: ``(tanh(x) / x - 1) / z`` in ``z = x**2``, for x up to ``NEAR``.
        tail: ``exp(t**2 / 2) * (t + knee) * (1 - ndtr(t))`` in ``(t - knee) / (t + knee)``, for t up to ``far``.
        middle: ``(ndtr(x) - 0.5) / x`` in ``x**2``, for x up to ``MIDDLE``.
        far: beyond it, ``ndtr(-t)`` is 0.
        top: an exponential of more is infinite.
        bottom: an exponential of less is 0.
        small: up to this size, ``expm1(x)``, ``log1p(x)`` and ``tanh(x)`` are x.
        large: from this size on, ``expm1(-x)`` is -1 and ``tanh(x)`` is 1.
    """

    real: str
    whole: str
    digits: int
    bias: int
    ln2: tuple[float, float]
    exponential: tuple[float, ...]
    logarithm: tuple[float, ...]
    tangent: tuple[float, ...]
    tail: tuple[float, ...]
    middle: tuple[float, ...]
    knee: float
    far: float
    top: float
    bottom: float
    small: float
    large: float


@dataclass
class Body:
    """The lines of a function."""

    format: Format
    lines: list[str] = field(default_factory=list)

    def value(self, kind: str, expression: str) -> Value:
        """The value of an expression, which gets a line."""
        name = f"%v{len(self.lines)}"
        self.lines.append(f"  {name} = {expression}")
        return Value(self, kind, name)


@dataclass(frozen=True)
class Value:
    """A floating-point number, an integer of the same size or a truth value, in the body of a function."""

    body: Body
    kind: str
    name: str

    @property
    def format(self) -> Format:
        """The format of the function's numbers."""
        return self.body.format

    def _text(self, other: Value | float) -> str:
        if isinstance(other, Value):
            return other.name
        return constant(other, self.kind) if self.kind in REALS else str(int(other))

    def _binary(self, other: Value | float, name: str, left: bool = True) -> Value:
        sides = [self.name, self._text(other)]
        return self.body.value(self.kind, f"{name} {self.kind} {', '.join(sides if left else sides[::-1])}")

    def __add__(self, other: Value | float) -> Value:
        return self._binary(other, "fadd" if self.kind in REALS else "add")

    def __sub__(self, other: Value | float) -> Value:
        return self._binary(other, "fsub" if self.kind in REALS else "sub")

    def __rsub__(self, other: float) -> Value:
        return self._binary(other, "fsub" if self.kind in REALS else "sub", left=False)

    def __mul__(self, other: Value | float) -> Value:
        return self._binary(other, "fmul")

    def __truediv__(self, other: Value | float) -> Value:
        return self._binary(other, "fdiv")

    def __and__(self, other: Value | int) -> Value:
        return self._binary(other, "and")

    def __or__(self, other: Value | int) -> Value:
        return self._binary(other, "or")

    def __lshift__(self, other: int) -> Value:
        return self._binary(other, "shl")

    def __rshift__(self, other: int) -> Value:
        return self._binary(other, "lshr")

    def reciprocal(self) -> Value:
        """``1 / self``."""
        return self._binary(1.0, "fdiv", left=False)

    def __abs__(self) -> Value:
        return self._call("fabs")

    def _call(self, name: str, *others: Value | float) -> Value:
        given = ", ".join(f"{self.kind} {text}" for text in (self.name, *map(self._text, others)))
        return self.body.value(self.kind, f"call {self.kind} @{intrinsic(name, self.kind)}({given})")

    def fma(self, factor: Value | float, term: Value | float) -> Value:
        """``self * factor + term``, rounded once where the processor can."""
        return self._call("fmuladd", factor, term)

    def with_sign_of(self, other: Value) -> Value:
        """This size with that sign."""
        return self._call("copysign", other)

    def compare(self, test: str, other: Value | float) -> Value:
        """Whether an LLVM comparison such as ``ogt`` holds."""
        kind = "fcmp" if self.kind in REALS else "icmp"
        return self.body.value("i1", f"{kind} {test} {self.kind} {self.name}, {self._text(other)}")

    def choose(self, yes: Value | float, no: Value | float, kind: str) -> Value:
        """One of two values, by this truth value."""
        like = Value(self.body, kind, "")
        sides = f"{kind} {like._text(yes)}, {kind} {like._text(no)}"
        return self.body.value(kind, f"select i1 {self.name}, {sides}")

    def bits(self) -> Value:
        """The bits of a floating-point number, as an integer."""
        whole = self.format.whole
        return self.body.value(whole, f"bitcast {self.kind} {self.name} to {whole}")

    def number(self) -> Value:
        """The floating-point number with these bits."""
        real = self.format.real
        return self.body.value(real, f"bitcast {self.kind} {self.name} to {real}")


def constant(number: float, kind: str) -> str:
    """A floating-point constant in LLVM's notation."""
    with silenced():
        rounded = np.float64(np.float32(number)) if kind == "float" else np.float64(number)
    return f"0x{rounded.view(np.uint64).item():016X}"


def intrinsic(name: str, kind: str) -> str:
    """The name of an LLVM intrinsic for floats or doubles."""
    return f"llvm.{name}.{'f32' if kind == 'float' else 'f64'}"


def declarations() -> list[str]:
    """The intrinsics that functions and nests may call."""
    counts = {
        1: ("sqrt", "fabs", "floor", "ceil", "trunc", "rint"),
        2: ("copysign", "maximum", "minimum"),
        3: ("fmuladd",),
    }
    return [
        f"declare {kind} @{intrinsic(name, kind)}({', '.join([kind] * count)})"
        for kind in REALS
        for count, names in counts.items()
        for name in names
    ]
