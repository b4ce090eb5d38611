"""What a derivation calculates with: names with definitions, and values, which are polynomials with axes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from .algebra import power
from .atoms import ONE, ZERO, Exponent, Label, Poly, Ref, constant, fresh, of_atom, scale
from .sums import rename

__all__ = ["Code", "Symbol", "Value", "aligned", "axes_for", "number_of", "reference"]

_count = itertools.count()
_PLACE = 10**9  # labels that stand for positions


@dataclass(frozen=True)
class Value:
    """A polynomial as a function of its axes: a label for each axis, None where the length is 1."""

    poly: Poly
    axes: tuple[Label | None, ...]

    def at(self, axes: Sequence[Label | None]) -> Poly:
        """The polynomial with these labels for the axes."""
        return rename(
            self.poly, {a: b for a, b in zip(self.axes, axes, strict=True) if a is not None and b is not None}
        )

    def renewed(self) -> Value:
        """The same with labels of its own."""
        axes = tuple(None if a is None else fresh(a[1]) for a in self.axes)
        return Value(self.at(axes), axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return tuple(1 if a is None else a[1] for a in self.axes)

    @property
    def key(self) -> str:
        """Equal for equal functions of the axes."""
        places = tuple(None if a is None else (_PLACE + i, a[1]) for i, a in enumerate(self.axes))
        shape = ",".join("1" if a is None else str(a[1]) for a in self.axes)
        return f"{shape}|{self.at(places).key}"


@dataclass(frozen=True)
class Code:
    """A call that is kept as it is, as Python text.

    ``template`` has {0}, {1}, ... for the values of ``args``, or {p0}, {p1}, ... where an index or a method follows.
    With several lines, each but the last is a statement, and the name of the result is ``{name}``.
    """

    template: str
    args: tuple[Value, ...]
    whole: bool = True  # the arguments have to have their full shapes


@dataclass(eq=False)
class Symbol:
    """A name: an input, or a value with a definition.

    Attributes:
        text: the name in the printed function.
        shape: the shape of the value.
        axes: a label for each axis, None where the length is 1 or the value is constant along it.
        role: "input", "upstream", "forward" or "backward".
        definition: a polynomial over ``axes``, a call that is kept as it is, or None for an input.
        given: whether the name is the user's own.
        nonneg: provably not negative. ``hot``: 0 or 1.
        integer: whether it holds integers. ``kept``: it has a line of its own wherever it is used.
        origin: the name of the argument that an input is; ``source``: the array that a constant is.
        facts: known sums, by the positions of the axes.
        cotangent: of which forward symbol this is the gradient.
    """

    text: str
    shape: tuple[int, ...]
    axes: tuple[Label | None, ...]
    role: str
    definition: Poly | Code | None = None
    given: bool = False
    nonneg: bool = False
    hot: bool = False
    integer: bool = False
    kept: bool = False
    origin: str = ""
    source: Any = None
    facts: dict[tuple[int, ...], Fraction] = field(default_factory=dict)
    number: int = field(default_factory=lambda: next(_count))

    def sum_along(self, positions: tuple[int, ...]) -> Fraction | None:
        """The sum along these axes, if it is known to be a number."""
        return self.facts.get(positions)

    def along(self, axes: Sequence[Label | None]) -> Poly:
        """The definition with other labels for the axes."""
        assert isinstance(self.definition, Poly)
        return Value(self.definition, self.axes).at(axes)

    @property
    def size(self) -> int:
        """The number of elements that are kept."""
        size = 1
        for axis in self.axes:
            size *= 1 if axis is None else axis[1]
        return size


def reference(symbol: Symbol, axes: Sequence[Label | None] | None = None) -> Value:
    """A symbol as a value, with its own labels or others."""
    axes = tuple(symbol.axes if axes is None else axes)
    kept = tuple(a if own is not None else None for a, own in zip(axes, symbol.axes, strict=True))
    return Value(of_atom(Ref(symbol, kept)), axes)


def axes_for(shape: Iterable[int]) -> tuple[Label | None, ...]:
    """New labels for a shape."""
    return tuple(None if n == 1 else fresh(n) for n in shape)


def aligned(values: Sequence[Value], shape: tuple[int, ...]) -> tuple[list[Poly], tuple[Label | None, ...]]:
    """The polynomials of values that broadcast together, with the labels of the result's axes."""
    axes: list[Label | None] = [None] * len(shape)
    for i in range(1, len(shape) + 1):
        if shape[-i] != 1:
            axes[-i] = fresh(shape[-i])
    return [value.at(axes[len(axes) - len(value.axes) :]) for value in values], tuple(axes)


def number_of(value: Any) -> Poly:
    """A Python or NumPy number as a polynomial: exact, but 1/6 and sqrt(5) are recognised.

    Raises ValueError for NaN and infinities.
    """
    if isinstance(value, bool | np.bool_):
        return ONE if value else ZERO
    if isinstance(value, int | np.integer):
        return constant(int(value))
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(f"{number} in a formula")
    if number == int(number):
        return constant(int(number))
    simple = Fraction(number).limit_denominator(10**6)
    if float(simple) == number:
        return constant(simple)
    roots: tuple[tuple[float, Exponent], ...] = ((number * number, Fraction(1, 2)), (number**-2, Fraction(-1, 2)))
    for square, e in roots:
        near = round(square)
        if 1 < near < 10**6 and abs(near ** float(e) - abs(number)) <= np.spacing(abs(number)):
            return scale(power(constant(near), e), 1 if number > 0 else -1)
    return constant(Fraction(repr(number)))
