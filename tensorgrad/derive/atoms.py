"""Atoms, monomials and polynomials with axis labels: what a derived gradient is made of.

A **label** is one axis: a number and its length. A polynomial is a sum of monomials with exact rational coefficients;
a monomial is a product of atoms with exponents. An atom knows the labels it varies along, so broadcasting, reshaping
by 1, transposing, ``keepdims`` and matrix products leave no trace in a formula: "constant along the axis" means that
the label does not occur. Everything is immutable, is compared by a key, and is built by the functions of ``algebra``
and ``sums``, which simplify.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

__all__ = [
    "ONE",
    "ZERO",
    "Atom",
    "Call",
    "Exponent",
    "Group",
    "Label",
    "Largest",
    "Monomial",
    "Poly",
    "Ref",
    "Total",
    "add",
    "constant",
    "fresh",
    "of_atom",
    "scale",
    "single",
]

Label = tuple[int, int]  # (number, length); those that a sum binds have negative numbers
Exponent = int | Fraction
Monomial = tuple[tuple["Atom", Exponent], ...]

_numbers = itertools.count(1)


def fresh(size: int) -> Label:
    """A label that occurs nowhere else."""
    return (next(_numbers), size)


class Atom:
    """A factor of a monomial: ``labels`` are those it varies along; ``height`` counts nested sums.

    ``nonneg`` says that its value is provably not negative, ``hot`` that it is 0 or 1.
    """

    __slots__ = ("_hash", "height", "hot", "key", "labels", "nonneg")
    labels: frozenset[Label]

    def _named(self, key: str, labels: frozenset[Label], height: int, nonneg: bool = False, hot: bool = False) -> None:
        self.key = key
        self._hash = hash(key)
        self.labels = labels
        self.height = height
        self.nonneg = nonneg or hot
        self.hot = hot

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Atom) and self.key == other.key

    def __repr__(self) -> str:
        return self.key


class Ref(Atom):
    """A value with a name; ``axes`` are the labels of its axes, None where the length is 1."""

    __slots__ = ("axes", "symbol")

    def __init__(self, symbol: Any, axes: tuple[Label | None, ...]) -> None:
        self.symbol = symbol
        self.axes = axes
        inside = ",".join("." if a is None else f"{a[0]}:{a[1]}" for a in axes)
        labels = frozenset(a for a in axes if a is not None)
        self._named(f"v{symbol.number}[{inside}]", labels, 0, symbol.nonneg, symbol.hot)


class Total(Atom):
    """The sum of a monomial over the labels ``bound``."""

    __slots__ = ("bound", "inner")

    def __init__(self, inner: Poly, bound: tuple[Label, ...]) -> None:
        self.inner = inner
        self.bound = bound
        names = ",".join(f"{b[0]}:{b[1]}" for b in bound)
        self._named(
            f"S{{{names}|{inner.key}}}", inner.labels - frozenset(bound), inner.height + 1, inner.nonneg and bool(bound)
        )


class Largest(Atom):
    """The largest element of a polynomial's values along the labels ``bound``."""

    __slots__ = ("bound", "inner")

    def __init__(self, inner: Poly, bound: tuple[Label, ...]) -> None:
        self.inner = inner
        self.bound = bound
        names = ",".join(f"{b[0]}:{b[1]}" for b in bound)
        self._named(f"M{{{names}|{inner.key}}}", inner.labels - frozenset(bound), inner.height + 1, inner.nonneg)


_POSITIVE = {"exp", "exp2", "absolute", "fabs", "cosh", "square", "hypot", "sigmoid"}


class Call(Atom):
    """An elementwise function of polynomials; a NumPy name, or ``sigmoid``."""

    __slots__ = ("args", "name")

    def __init__(self, name: str, args: tuple[Poly, ...], hot: bool = False) -> None:
        self.name = name
        self.args = args
        labels = frozenset().union(*(a.labels for a in args))
        height = max((a.height for a in args), default=0)
        nonneg = name in _POSITIVE or (name == "maximum" and any(a.nonneg for a in args))
        self._named(f"{name}({';'.join(a.key for a in args)})", labels, height, nonneg, hot)


class Group(Atom):
    """A sum that is not multiplied out, because it stands under a power."""

    __slots__ = ("inner",)

    def __init__(self, inner: Poly) -> None:
        self.inner = inner
        self._named(f"({inner.key})", inner.labels, inner.height, inner.nonneg)


class Poly:
    """A sum of monomials with rational coefficients."""

    __slots__ = ("_hash", "height", "key", "labels", "nonneg", "terms")

    def __init__(self, terms: dict[Monomial, Fraction]) -> None:
        ordered = sorted(terms.items(), key=lambda item: _key(item[0]))
        self.terms = dict(ordered)
        self.key = "+".join(f"{c}*{_key(m)}" for m, c in ordered)
        self._hash = hash(self.key)
        self.labels: frozenset[Label] = frozenset().union(*(a.labels for m in terms for a, _ in m))
        self.height: int = max((a.height for m in terms for a, _ in m), default=0)
        self.nonneg = all(c > 0 and all(_not_negative(a, e) for a, e in m) for m, c in ordered)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Poly) and self.key == other.key

    def __repr__(self) -> str:
        return self.key or "0"

    def __bool__(self) -> bool:
        return bool(self.terms)

    @property
    def number(self) -> Fraction | None:
        """Its value, if it is a number."""
        if not self.terms:
            return Fraction(0)
        return self.terms.get(()) if len(self.terms) == 1 else None


def _key(mono: Monomial) -> str:
    return "*".join(a.key if e == 1 else f"{a.key}^{e}" for a, e in mono)


def _not_negative(atom: Atom, e: Exponent) -> bool:
    # A power with a fractional exponent is real only where the base is not negative.
    return atom.nonneg or not isinstance(e, int) or e % 2 == 0


ZERO = Poly({})
ONE = Poly({(): Fraction(1)})


def constant(value: Fraction | int) -> Poly:
    """A number as a polynomial."""
    return Poly({(): Fraction(value)}) if value else ZERO


def of_atom(atom: Atom, e: Exponent = 1) -> Poly:
    """One atom as a polynomial."""
    return Poly({((atom, e),): Fraction(1)})


def single(poly: Poly) -> tuple[Monomial, Fraction] | None:
    """The monomial and coefficient of a polynomial that has only one."""
    return next(iter(poly.terms.items())) if len(poly.terms) == 1 else None


def add(*polys: Poly) -> Poly:
    """The sum."""
    terms: dict[Monomial, Fraction] = {}
    for poly in polys:
        for mono, c in poly.terms.items():
            terms[mono] = terms.get(mono, Fraction(0)) + c
    return Poly({mono: c for mono, c in terms.items() if c})


def scale(poly: Poly, factor: Fraction | int) -> Poly:
    """The product with a number."""
    return Poly({mono: c * factor for mono, c in poly.terms.items()}) if factor else ZERO
