"""The names of a derivation: which values have one, what is known about them, and how a formula is recognised again."""

from __future__ import annotations

import itertools
import keyword
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from .algebra import mul, power
from .atoms import Atom, Call, Label, Largest, Poly, Ref, Total, add, of_atom, scale, single
from .sums import canonical, total, transform
from .values import Code, Symbol, Value, axes_for, reference

__all__ = ["Book", "Fact", "is_reference", "shape_of"]

_RESERVED = {"np", "scipy", *keyword.kwlist}
_MANY_AXES = 4


class Fact:
    """A sum that is a number: ``sum of symbol along axes is value``, and the definitions that prove it."""

    def __init__(self, symbol: Symbol, axes: tuple[int, ...], value: Fraction, proof: str) -> None:
        self.symbol, self.axes, self.value, self.proof = symbol, axes, value, proof

    def within(self, other: Fact) -> bool:
        """Whether it is about some of the other's axes, so that the other follows."""
        return set(self.axes) < set(other.axes)

    def __str__(self) -> str:
        axes = str(self.axes[0]) if len(self.axes) == 1 else str(self.axes)
        return f"{self.symbol.text}.sum({axes}) is {self.value}"


class Book:
    """All symbols, by name and by definition."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.symbols: list[Symbol] = []
        self.texts = set(taken) | _RESERVED
        self.by_definition: dict[str, tuple[Symbol, Fraction, tuple[int, ...]]] = {}
        self.shapes: dict[str, tuple[str | None, Fraction, tuple[Label, ...]]] = {}
        self.outlines: set[tuple[int, int, frozenset[int]]] = set()  # of the definitions, to rule others out quickly
        self.facts: list[Fact] = []

    def name(self, text: str) -> str:
        """A name that is not taken yet, as close to ``text`` as possible."""
        text = "".join(c if c.isalnum() or c == "_" else "_" for c in text)
        if not text.isidentifier():
            text = f"v{text}"
        for k in itertools.count(1):
            tried = text if k == 1 else f"{text}_{k}" if text[-1].isdigit() else f"{text}{k}"
            if tried not in self.texts:
                self.texts.add(tried)
                return tried
        raise AssertionError

    def rename(self, symbol: Symbol, text: str) -> None:
        """Give a symbol a better name."""
        self.texts.discard(symbol.text)
        symbol.text = self.name(text)

    def input(self, text: str, value: Any, role: str = "input") -> Symbol:
        """A symbol without a definition for an array."""
        symbol = Symbol(self.name(text), value.shape, axes_for(value.shape), role, given=True, origin=text)
        symbol.hot = symbol.nonneg = value.dtype.kind == "b"
        symbol.integer = value.dtype.kind in "iu"
        self.symbols.append(symbol)
        return symbol

    def define(self, text: str, value: Value | Code, shape: tuple[int, ...], role: str, given: bool = False) -> Symbol:
        """A new symbol for a value, or for the result of a call that is kept as it is."""
        if isinstance(value, Code):
            symbol = Symbol(self.name(text), shape, axes_for(shape), role, value, given)
        else:
            value = value.renewed()
            axes = tuple(a if a in value.poly.labels else None for a in value.axes)
            symbol = Symbol(self.name(text), shape, axes, role, value.poly, given, value.poly.nonneg)
            term = single(value.poly)
            symbol.hot = term is not None and term[1] == 1 and all(a.hot for a, _ in term[0])
            self._index(symbol)
        self.symbols.append(symbol)
        return symbol

    def shape_of(self, poly: Poly) -> tuple[str | None, Fraction, tuple[Label, ...]]:
        """:func:`shape_of`, remembered."""
        known = self.shapes.get(poly.key)
        if known is None:
            known = self.shapes[poly.key] = shape_of(poly)
        return known

    # --- recognising ------------------------------------------------------------------------------------

    def _index(self, symbol: Symbol) -> None:
        assert isinstance(symbol.definition, Poly)
        key, c, labels = self.shape_of(symbol.definition)
        if key is not None and len(labels) == sum(a is not None for a in symbol.axes):
            order = tuple(labels.index(a) if a is not None else -1 for a in symbol.axes)
            self.outlines.add(_outline(symbol.definition))
            self.by_definition.setdefault(key, (symbol, c, order))

    def found(self, poly: Poly) -> Poly | None:
        """The symbol that is defined as this polynomial, up to a factor."""
        if not poly.terms or _outline(poly) not in self.outlines:
            return None
        key, c, labels = self.shape_of(poly)
        known = self.by_definition.get(key) if key is not None else None
        if known is None:
            return None
        symbol, own, order = known
        axes = tuple(None if i < 0 else labels[i] for i in order)
        return scale(of_atom(Ref(symbol, axes)), c / own)

    def recognised(self, poly: Poly) -> Poly:
        """The polynomial with every sum, function and group that has a name replaced by it."""
        whole = self.found(poly)
        if whole is not None:
            return whole
        return _identities(transform(poly, self._seen), self)

    def replaced(self, poly: Poly) -> Poly:
        """The polynomial with every sum and function inside that has a name replaced by it."""
        return transform(poly, self._seen)

    def _seen(self, atom: Atom) -> Poly | None:
        return self.found(of_atom(atom)) if isinstance(atom, Call | Total | Largest) else None

    # --- facts ------------------------------------------------------------------------------------------

    def prove(self, symbol: Symbol) -> None:
        """Find the axes along which the sum of a symbol is a number."""
        if not isinstance(symbol.definition, Poly):
            return
        positions = [i for i, a in enumerate(symbol.axes) if a is not None]
        if len(positions) > _MANY_AXES:
            return
        for count in range(1, len(positions) + 1):
            for chosen in itertools.combinations(positions, count):
                self._prove_along(symbol, chosen)

    def _prove_along(self, symbol: Symbol, chosen: tuple[int, ...]) -> None:
        labels = [a for i in chosen if (a := symbol.axes[i]) is not None]
        poly = symbol.definition
        assert isinstance(poly, Poly)
        used: list[str] = [symbol.text]
        for _ in range(3):
            value = total(poly, labels).number
            if value is not None:
                symbol.facts[chosen] = value
                self.facts.append(Fact(symbol, chosen, value, f"by the definition of {' and '.join(used)}"))
                return
            opened = self._opened(poly, used)
            if opened is poly or len(opened.terms) > 64:
                return
            poly = opened

    def opened(self, poly: Poly) -> Poly:
        """The polynomial with the definitions of forward symbols that are not the user's own in their place."""

        def visit(atom: Atom) -> Poly | None:
            if not isinstance(atom, Ref) or atom.symbol.given or not isinstance(atom.symbol.definition, Poly):
                return None
            return atom.symbol.along(atom.axes) if atom.symbol.role == "forward" else None

        return transform(poly, visit)

    def _opened(self, poly: Poly, used: list[str]) -> Poly:
        def visit(atom: Atom) -> Poly | None:
            if isinstance(atom, Ref) and atom.symbol.role == "forward" and isinstance(atom.symbol.definition, Poly):
                if atom.symbol.text not in used:
                    used.append(atom.symbol.text)
                return atom.symbol.along(atom.axes)
            return None

        return transform(poly, visit)

    def let(self, value: Value, shape: tuple[int, ...], text: str, role: str) -> Value:
        """The value as a symbol: one that is known, or a new one."""
        known = self.found(value.poly)
        if known is not None:
            return Value(known, value.axes)
        symbol = self.define(text, value, shape, role)
        return Value(reference(symbol, value.axes).poly, value.axes)


def _outline(poly: Poly) -> tuple[int, int, frozenset[int]]:
    """What equal polynomials share whatever their labels, and is cheap to find."""
    numbers = set()
    stack = [poly]
    while stack:
        for mono in stack.pop().terms:
            for atom, _ in mono:
                if isinstance(atom, Ref):
                    numbers.add(atom.symbol.number)
                elif isinstance(atom, Call):
                    stack += atom.args
                else:
                    stack.append(atom.inner)  # type: ignore[attr-defined]
    return len(poly.terms), len(poly.labels), frozenset(numbers)


def shape_of(poly: Poly) -> tuple[str | None, Fraction, tuple[Label, ...]]:
    """A key that equal polynomials share whatever their labels and their common factor; that factor, and the labels."""
    if not poly.terms or len(poly.labels) > 6:
        return None, Fraction(1), ()
    if len(poly.terms) == 1:
        mono, _ = next(iter(poly.terms.items()))
        if not mono or (len(mono) == 1 and isinstance(mono[0][0], Ref) and mono[0][1] == 1):
            return None, Fraction(1), ()
    renamed, _, order = canonical(poly, poly.labels)
    c = next(iter(renamed.terms.values()))
    return scale(renamed, 1 / c).key, c, order


def _identities(poly: Poly, book: Book) -> Poly:
    """``1 / cosh(u)**2`` as ``1 - tanh(u)**2`` where tanh(u) has a name."""
    parts = []
    changed = False
    for mono, c in poly.terms.items():
        part = Poly({(): c})
        for atom, e in mono:
            factor = Poly({((atom, e),): Fraction(1)})
            if isinstance(atom, Call) and atom.name == "cosh" and isinstance(e, int) and e < 0 and e % 2 == 0:
                known = book.found(of_atom(Call("tanh", atom.args)))
                if known is not None:
                    changed = True
                    factor = power(add(Poly({(): Fraction(1)}), scale(power(known, 2), -1)), -e // 2)
            part = mul(part, factor)
        parts.append(part)
    return add(*parts) if changed else poly


def is_reference(poly: Poly) -> Symbol | None:
    """The symbol, if a polynomial is a number times one."""
    term = single(poly)
    if term is None or len(term[0]) != 1 or term[0][0][1] != 1 or not isinstance(term[0][0][0], Ref):
        return None
    return term[0][0][0].symbol
