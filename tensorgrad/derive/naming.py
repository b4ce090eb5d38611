"""Which values of a run get a name, and which: those of the user's code, of a textbook, or none."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from ..compiler.variables import Variable
from .algebra import mul, power
from .atoms import Call, Group, Poly, Ref, of_atom, single
from .book import Book, is_reference
from .cost import cost, needed
from .guesses import guess
from .promises import Promise
from .recording import Recorded
from .tree import tree
from .values import Symbol, Value, reference

__all__ = ["Naming", "array_shape", "simple"]

_MANY_TERMS = 24  # a gradient with more terms gets a name
_PRODUCTS = [np.matmul, np.dot, np.tensordot, np.einsum, np.outer, np.inner]  # their operands are kept whole
_FACTORED = [*_PRODUCTS, np.multiply, np.square, operator.pow, operator.mul]


def array_shape(variable: Variable) -> tuple[int, ...]:
    """The shape of a variable's array."""
    return tuple(np.shape(variable.value))


def simple(poly: Poly) -> bool:
    """A number times one atom that is not a sum: what may be multiplied in a matrix product as it is."""
    term = single(poly)
    return term is not None and len(term[0]) == 1 and isinstance(term[0][0][0], Ref) and term[0][0][1] == 1


class Naming:
    """The state of a lift, and the names that it gives; ``values`` holds what each variable is."""

    def __init__(
        self, recorded: Recorded, book: Book, inputs: dict[int, str], facts: bool, promises: Sequence[Promise]
    ) -> None:
        self.recorded = recorded
        self.book = book
        self.inputs = inputs
        self.facts = facts
        self.linear = True  # whether sums are taken apart in the backward
        self.promises = promises
        self.values: dict[Variable, Value] = {}
        self.stale: set[Variable] = set()
        self.role = "forward"
        self.results = {m.variable: m.op for m in recorded.made}
        self.reads = Counter(v for i in recorded.trace.instructions for v in set(i.reads))
        self.of_variable: dict[Variable, Symbol] = {}
        instructions = recorded.trace.instructions
        self.copied = {i.results[0]: i.args[0] for i in instructions if i.function is np.copy}
        self.factors = {v for i in instructions if i.function in _PRODUCTS for v in i.reads}
        self.multiplied = {v for i in instructions if i.function in _FACTORED for v in i.reads}
        self.names_of_cotangents: dict[str, Symbol] = {}
        self.cotangents: dict[Symbol, Value] = {}

    def named(self, variable: Variable, value: Value) -> Value:
        """A forward value as a symbol, if it has a name or is more than a product of others."""
        text = self.recorded.names.get(variable)
        is_out = variable is self.recorded.out
        symbol = is_reference(value.poly)
        if text is None and len(value.poly.terms) > 1:
            value = self.shortened(value)
            symbol = is_reference(value.poly)
        if symbol is not None or (not value.poly.labels and value.poly.number is not None):
            term = single(value.poly)
            if text is not None and term is not None and term[1] != 1 and value.poly.number is None:
                pass  # a multiple of a symbol, under a name of its own
            else:
                if symbol is not None and not symbol.given and symbol.role == "forward" and (text or is_out):
                    self.book.rename(symbol, text or "out")
                    symbol.given = True
                return value
        term = single(value.poly)
        if text is None:
            squared = term is None and variable in self.multiplied
            if variable not in self.results and self.reads[variable] < 2 and not squared:
                return value
            if term is not None and not is_out:
                product = all(isinstance(a, Ref) and isinstance(e, int) for a, e in term[0])
                if product and not guess(value.poly).endswith("hat"):
                    return value
                root = self.root(value)
                if root is not None:
                    return root
            if variable not in self.results and not squared and (term is None or not isinstance(term[0][0][0], Call)):
                return value
        guessed = "out" if is_out else guess(value.poly)
        made = self.book.define(text or guessed, value, array_shape(variable), "forward", text is not None)
        self.of_variable[variable] = made
        made.kept = is_out
        axis = self.recorded.trace.one_hot.get(variable)
        if axis is not None:
            made.kept = True
            made.facts[axis,] = Fraction(1)
        if self.facts:
            self.book.prove(made)
        return Value(reference(made, value.axes).poly, value.axes)

    def shortened(self, value: Value) -> Value:
        """The value in terms of earlier ones, if a sum has fewer terms, or no more, then."""
        poly = value.poly
        for _ in range(3):
            opened = self.book.opened(poly)
            if opened == poly or len(opened.terms) > _MANY_TERMS:
                break
            poly = opened
            if len(poly.terms) <= len(value.poly.terms) and self.reading(poly) < self.reading(value.poly):
                value = Value(self.book.recognised(poly), value.axes)
        return value

    def reading(self, poly: Poly) -> float:
        """The cost of a formula with those of the definitions that it needs, but not of the user's own."""
        names = [s for s in needed([poly]) if s.role == "forward" and not s.given]
        return cost(tree(poly)) + sum(
            cost(tree(s.definition)) if isinstance(s.definition, Poly) else 4.0 for s in names
        )

    def root(self, value: Value) -> Value | None:
        """``c * u**-0.5`` as the inverse of a symbol for ``sqrt(u)``."""
        term = single(value.poly)
        assert term is not None
        rooted = [(a, e) for a, e in term[0] if isinstance(e, Fraction) and e < 0 and isinstance(a, Ref | Group)]
        if len(rooted) != 1 or rooted[0][1] != Fraction(-1, 2) or not rooted[0][0].labels:
            return None
        atom, e = rooted[0]
        rest = Poly({tuple(p for p in term[0] if p[0] != atom): term[1]})
        sigma = Value(of_atom(atom, -e), value.axes)
        shape = tuple(1 if a is None or a not in atom.labels else a[1] for a in value.axes)
        root = self.book.let(sigma, shape, guess(sigma.poly), "forward")
        return Value(mul(rest, power(root.poly, -1)), value.axes)

    def received(self, variable: Variable, value: Value) -> Value:
        """A backward value; large ones get a name, and gradients of forward values are remembered."""
        owner = self.recorded.cotangents.get(variable)
        if len(value.poly.terms) > _MANY_TERMS:
            value = self.book.let(value, array_shape(variable), "g", "backward")
        if owner is None:
            return value
        symbol = self.of_variable.get(owner)
        if symbol is None:
            return value
        self.cotangents[symbol] = value
        source = self.copied.get(variable)
        if source in self.factors and not simple(value.poly) and value.poly.number is None:
            before = len(self.book.symbols)
            value = self.book.let(value, array_shape(variable), f"d{symbol.text}", "backward")
            if len(self.book.symbols) > before:
                self.book.symbols[-1].given = symbol.given
            self.values[source] = value
            return value
        known = is_reference(value.poly)
        if known is not None and known.role == "backward" and not known.given:
            whole = len(known.axes) == len(value.axes) and value.poly == reference(known, value.axes).poly
            if symbol.given and whole:
                self.book.rename(known, f"d{symbol.text}")
                known.given = True
        elif symbol.given or value.key not in self.names_of_cotangents:
            self.names_of_cotangents[value.key] = symbol
        return value

    def let(self, value: Value, shape: tuple[int, ...]) -> Value:
        """A value as a symbol, for an operand of a product that must not be multiplied out."""
        if self.role == "forward":
            return self.book.let(value, shape, guess(value.poly), "forward")
        owner = self.names_of_cotangents.get(value.key)
        before = len(self.book.symbols)
        result = self.book.let(value, shape, "g" if owner is None else f"d{owner.text}", "backward")
        if owner is not None and len(self.book.symbols) > before:
            self.book.symbols[-1].given = owner.given
        return result
