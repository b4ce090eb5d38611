"""Polynomials over atoms with axis labels: what a derived gradient is made of.

A **label** is one axis: a number and its length. A polynomial is a sum of monomials with exact rational coefficients;
a monomial is a product of atoms with exponents. An atom knows the labels it varies along, so broadcasting, reshaping
by 1, transposing, ``keepdims`` and matrix products leave no trace in a formula: "constant along the axis" means that
the label does not occur. Everything is immutable, is compared by a key, and is built by the functions here, which
simplify.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
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
    "call",
    "canonical",
    "constant",
    "fresh",
    "inverse_of",
    "largest",
    "mul",
    "of_atom",
    "opened",
    "power",
    "rename",
    "scale",
    "single",
    "total",
    "transform",
]

Label = tuple[int, int]  # (number, length); those that a sum binds have negative numbers
Exponent = int | Fraction
Monomial = tuple[tuple["Atom", Exponent], ...]

_numbers = itertools.count(1)
_MANY_TERMS = 64  # a power that has more terms is not multiplied out


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


def _whole(e: Exponent) -> Exponent:
    return int(e) if e == int(e) else e


def _product(left: Monomial, right: Monomial) -> Poly:
    exponents = dict(left)
    for atom, e in right:
        exponents[atom] = exponents.get(atom, 0) + e
    plain: list[tuple[Atom, Exponent]] = []
    more = ONE
    for atom, e in exponents.items():
        if e == 0:
            continue
        e = _whole(e)
        if atom.hot and e > 0:
            e = 1
        if isinstance(atom, Group) and isinstance(e, int) and _expands(atom.inner, e):
            more = mul(more, power(atom.inner, e))
        else:
            plain.append((atom, e))
    product = Poly({tuple(sorted(plain, key=lambda pair: pair[0].key)): Fraction(1)})
    return product if more is ONE else mul(product, more)


def _expands(inner: Poly, e: Exponent) -> bool:
    if inner.number is not None:
        return isinstance(e, int)
    return isinstance(e, int) and e > 0 and len(inner.terms) ** e <= _MANY_TERMS


def _ratio(poly: Poly, other: Poly) -> Fraction | None:
    """The number c with ``poly == c * other``."""
    if poly.terms.keys() != other.terms.keys():
        return None
    ratios = {c / other.terms[mono] for mono, c in poly.terms.items()}
    return ratios.pop() if len(ratios) == 1 else None


def _cancelled(mono: Monomial, poly: Poly) -> Poly | None:
    """``mono * poly`` where the monomial divides by that sum."""
    for atom, e in mono:
        if isinstance(atom, Group) and e < 0:
            ratio = _ratio(poly, atom.inner)
            if ratio is not None:
                rest = tuple((a, x) for a, x in mono if a != atom)
                left = _whole(e + 1)
                return scale(_product(rest, ((atom, left),)) if left else Poly({rest: Fraction(1)}), ratio)
    return None


def mul(*polys: Poly) -> Poly:
    """The product; a sum cancels against the same sum in a denominator before it is multiplied out."""
    result = ONE
    for poly in polys:
        result = _times(result, poly)
    return result


def _times(left: Poly, right: Poly) -> Poly:
    if not left or not right:
        return ZERO
    for one, other in ((left, right), (right, left)):
        number = one.number
        if number is not None:
            return scale(other, number)
    parts: list[Poly] = []
    if len(right.terms) > 1:
        whole = {mono: product for mono in left.terms if (product := _cancelled(mono, right)) is not None}
        if whole:
            parts = [scale(product, left.terms[mono]) for mono, product in whole.items()]
            left = Poly({mono: c for mono, c in left.terms.items() if mono not in whole})
    if len(left.terms) > 1:
        whole = {mono: product for mono in right.terms if (product := _cancelled(mono, left)) is not None}
        if whole:
            parts += [scale(product, right.terms[mono]) for mono, product in whole.items()]
            right = Poly({mono: c for mono, c in right.terms.items() if mono not in whole})
    for mono, c in left.terms.items():
        parts += [scale(_product(mono, other), c * d) for other, d in right.terms.items()]
    return add(*parts)


def _number_power(c: Fraction, e: Exponent) -> tuple[Fraction, Monomial]:
    """``c ** e`` for c > 0 as a rational number times a root."""
    if isinstance(e, int):
        return c**e, ()
    whole = math.floor(e)
    if e - whole == Fraction(1, 2):
        root = Fraction(math.isqrt(c.numerator), math.isqrt(c.denominator))
        if root * root == c:
            return c**whole * root, ()
    parts: list[tuple[Atom, Exponent]] = []
    if c.numerator != 1:
        parts.append((Group(constant(c.numerator)), e))
    if c.denominator != 1:
        parts.append((Group(constant(c.denominator)), -e))
    return Fraction(1), tuple(sorted(parts, key=lambda p: p[0].key))


def power(poly: Poly, e: Exponent) -> Poly:
    """``poly ** e`` for a number e; ``(a ** p) ** r`` becomes ``a ** (p * r)`` only if a is provably not negative.

    Raises ZeroDivisionError for a negative power of zero.
    """
    e = _whole(e)
    if e == 0:
        return ONE
    if e == 1:
        return poly
    if not poly:
        if e < 0:
            raise ZeroDivisionError("division by zero")
        return ZERO
    term = single(poly)
    if term is not None:
        return _monomial_power(*term, e)
    if isinstance(e, int) and _expands(poly, e):
        return mul(*[poly] * e)
    common, content, rest = _content(poly, e)
    sigmoid = _sigmoid(rest, e)
    if sigmoid is None:
        sigmoid = Poly({((Group(rest), e),): Fraction(1)})
    number, root = _number_power(content, e)
    outer = Poly({root: number}) if root else constant(number)
    return mul(outer, _monomial_power(common, Fraction(1), e) if common else ONE, sigmoid)


def _content(poly: Poly, e: Exponent) -> tuple[Monomial, Fraction, Poly]:
    """Common factors of a sum that may be taken out of its power, and what is left."""
    leading = next(abs(c) for mono, c in poly.terms.items() if mono)
    exponents: dict[Atom, Exponent] | None = None
    for mono in poly.terms:
        here = dict(mono)
        if exponents is None:
            exponents = here
        else:
            exponents = {a: min(x, here[a]) for a, x in exponents.items() if a in here and (x > 0) == (here[a] > 0)}
    common = tuple((a, x) for a, x in (exponents or {}).items() if isinstance(e, int) or a.nonneg)
    inverse = tuple((a, -x) for a, x in common)
    rest = Poly({mono: c / leading for mono, c in poly.terms.items()})
    if common:
        rest = mul(Poly({tuple(sorted(inverse, key=lambda p: p[0].key)): Fraction(1)}), rest)
    return tuple(sorted(common, key=lambda p: p[0].key)), leading, rest


def _sigmoid(poly: Poly, e: Exponent) -> Poly | None:
    """``1 / (1 + exp(-u))`` is ``sigmoid(u)``, and ``1 / (1 + exp(u))`` is ``1 - sigmoid(u)``."""
    if not isinstance(e, int) or e > 0 or len(poly.terms) != 2 or poly.terms.get(()) != 1:
        return None
    mono, c = next((m, c) for m, c in poly.terms.items() if m)
    if c != 1 or len(mono) != 1 or mono[0][1] != 1:
        return None
    atom = mono[0][0]
    if not isinstance(atom, Call) or atom.name != "exp":
        return None
    return power(call("sigmoid", scale(atom.args[0], -1)), -e)


def _monomial_power(mono: Monomial, c: Fraction, e: Exponent) -> Poly:
    if isinstance(e, int):
        parts = tuple((a, _whole(x * e)) for a, x in mono)
        result = _product((), parts)
        return scale(result, c**e)
    out: list[tuple[Atom, Exponent]] = []
    wrapped: list[tuple[Atom, Exponent]] = []
    for a, x in mono:
        (out if a.nonneg or not isinstance(x, int) else wrapped).append((a, _whole(x)))
    if c < 0 or len(wrapped) > 1 or (wrapped and wrapped[0][1] % 2 == 0):
        inner = Poly({tuple(wrapped): c if c < 0 else Fraction(1)})
        base: list[tuple[Atom, Exponent]] = [(Group(inner), e)]
        c = abs(c) if c > 0 else Fraction(1)
    else:
        base = [(a, _whole(x * e)) for a, x in wrapped]
    number, root = _number_power(c, e)
    parts = tuple((a, _whole(x * e)) for a, x in out)
    return scale(mul(_product(parts, tuple(base)), Poly({root: Fraction(1)})), number)


_FLIPPED = {
    "greater": "less_equal",
    "less_equal": "greater",
    "less": "greater_equal",
    "greater_equal": "less",
    "equal": "not_equal",
    "not_equal": "equal",
}
_ODD = {"sin", "tan", "sinh", "tanh", "arctan", "arcsin", "arcsinh", "arctanh", "sign"}
_EVEN = {"cos", "cosh", "absolute", "fabs"}


def _leading_negative(poly: Poly) -> bool:
    return bool(poly.terms) and next(iter(poly.terms.values())) < 0


def call(name: str, *args: Poly, hot: bool = False) -> Poly:
    """An elementwise function of polynomials; signs are taken out of odd and even functions."""
    first = args[0]
    if name == "sigmoid" and _leading_negative(first):
        return add(ONE, scale(call("sigmoid", scale(first, -1)), -1))
    if name in _ODD and _leading_negative(first):
        return scale(call(name, scale(first, -1)), -1)
    if name in _EVEN and _leading_negative(first):
        return call(name, scale(first, -1))
    if name in ("exp", "cosh") and not first:
        return ONE
    if name == "log" and first.number == 1:
        return ZERO
    if name == "sign":
        term = single(first)
        if term is not None and len(term[0]) == 1 and term[1] > 0:
            inner = term[0][0][0]
            if isinstance(inner, Call) and inner.name == "maximum" and inner.args[1].number == 0:
                return call("greater", inner.args[0], ZERO, hot=True)
    if name == "logical_not":
        return inverse_of(first)
    return of_atom(Call(name, args, hot))


def inverse_of(condition: Poly) -> Poly:
    """1 where a condition does not hold."""
    term = single(condition)
    if term is not None and term[1] == 1 and len(term[0]) == 1:
        atom = term[0][0][0]
        if isinstance(atom, Call) and atom.name in _FLIPPED:
            return of_atom(Call(_FLIPPED[atom.name], atom.args, True))
        if isinstance(atom, Call) and atom.name == "logical_not":
            return atom.args[0]
    return of_atom(Call("logical_not", (condition,), True))


# --- sums over labels -----------------------------------------------------------------------------------


def total(poly: Poly, labels: Iterable[Label]) -> Poly:
    """The sum over labels: split into terms, what does not vary taken out, independent factors summed separately."""
    wanted = frozenset(labels)
    if not wanted:
        return poly
    parts = []
    for mono, c in poly.terms.items():
        outside = tuple((a, e) for a, e in mono if not a.labels & wanted)
        inside = [(a, e) for a, e in mono if a.labels & wanted]
        occurring = frozenset().union(*(a.labels for a, _ in inside)) & wanted
        for label in wanted - occurring:
            c = c * label[1]
        result = Poly({outside: c})
        for atoms in _components(inside, wanted):
            bound = frozenset().union(*(a.labels for a, _ in atoms)) & wanted
            result = mul(result, _total_of(atoms, bound))
        parts.append(result)
    return add(*parts)


def _components(pairs: list[tuple[Atom, Exponent]], wanted: frozenset[Label]) -> list[Monomial]:
    """Factors grouped so that no two groups share a label that is summed over."""
    groups: list[tuple[frozenset[Label], list[tuple[Atom, Exponent]]]] = []
    for pair in pairs:
        labels = pair[0].labels & wanted
        joined = [pair]
        apart = []
        for group in groups:
            if group[0] & labels:
                labels |= group[0]
                joined = group[1] + joined
            else:
                apart.append(group)
        groups = [*apart, (labels, joined)]
    return [tuple(sorted(group, key=lambda p: p[0].key)) for _, group in groups]


def _total_of(mono: Monomial, bound: frozenset[Label]) -> Poly:
    if len(mono) == 1:
        atom, e = mono[0]
        if isinstance(atom, Total) and e == 1:  # a sum of sums is one sum
            inner, labels = opened(atom)
            return total(inner, (*labels, *bound))
        if isinstance(atom, Ref) and e == 1:
            known = atom.symbol.sum_along(tuple(i for i, a in enumerate(atom.axes) if a in bound))
            if known is not None:
                return constant(known)
    renamed, names, _ = canonical(Poly({mono: Fraction(1)}), bound)
    return of_atom(Total(renamed, names))


def opened(atom: Total | Largest) -> tuple[Poly, tuple[Label, ...]]:
    """The inside of a sum with labels of its own, so that anything may be put into it."""
    labels = tuple(fresh(b[1]) for b in atom.bound)
    return rename(atom.inner, dict(zip(atom.bound, labels, strict=True))), labels


def canonical(poly: Poly, bound: Iterable[Label]) -> tuple[Poly, tuple[Label, ...], tuple[Label, ...]]:
    """The polynomial with labels renamed so that equal ones have equal keys, the new labels, and the old ones."""
    labels = sorted(bound)
    base = -64 * (poly.height + 1)
    if len(labels) > 1:
        marks = {label: (-2, label[1]) for label in labels}
        signatures = {label: rename(poly, {**marks, label: (-1, label[1])}).key for label in labels}
        labels.sort(key=lambda label: (signatures[label], label))
        tied = [list(group) for _, group in itertools.groupby(labels, key=lambda label: signatures[label])]
        orders = itertools.islice(itertools.product(*(itertools.permutations(group) for group in tied)), 24)
        candidates = [list(itertools.chain(*order)) for order in orders]
    else:
        candidates = [labels]
    best: tuple[str, Poly, tuple[Label, ...], tuple[Label, ...]] | None = None
    for order in candidates:
        names = tuple((base - i, label[1]) for i, label in enumerate(order))
        renamed = rename(poly, dict(zip(order, names, strict=True)))
        if best is None or renamed.key < best[0]:
            best = (renamed.key, renamed, names, tuple(order))
    assert best is not None
    return best[1:]


def largest(poly: Poly, labels: Iterable[Label]) -> Poly:
    """The maximum over labels."""
    bound = [label for label in labels if label in poly.labels]
    if not bound:
        return poly
    renamed, names, _ = canonical(poly, bound)
    return of_atom(Largest(renamed, names))


# --- rebuilding -----------------------------------------------------------------------------------------


def rename(poly: Poly, names: Mapping[Label, Label]) -> Poly:
    """The polynomial with other labels; all at once, so that labels can be exchanged."""
    if not any(label in names for label in poly.labels):
        return poly
    parts = []
    for mono, c in poly.terms.items():
        pairs = []
        for atom, e in mono:
            pairs.append((_renamed(atom, names), e))
        merged: dict[Atom, Exponent] = {}
        for atom, e in pairs:
            merged[atom] = merged.get(atom, 0) + e
        parts.append(scale(_product((), tuple(merged.items())), c))
    return add(*parts)


def _renamed(atom: Atom, names: Mapping[Label, Label]) -> Atom:
    if not any(label in names for label in atom.labels):
        return atom
    if isinstance(atom, Ref):
        return Ref(atom.symbol, tuple(None if a is None else names.get(a, a) for a in atom.axes))
    if isinstance(atom, Call):
        return Call(atom.name, tuple(rename(a, names) for a in atom.args), atom.hot)
    if isinstance(atom, Group):
        return Group(rename(atom.inner, names))
    assert isinstance(atom, Total | Largest)
    inner, labels = opened(atom) if any(b in names.values() for b in atom.bound) else (atom.inner, atom.bound)
    renamed, bound, _ = canonical(rename(inner, names), labels)
    return type(atom)(renamed, bound)


def transform(poly: Poly, visit: Callable[[Atom], Poly | None]) -> Poly:
    """Rebuild a polynomial from the inside out; ``visit(atom)`` returns what replaces an atom, or None to keep it."""
    parts = []
    changed = False
    for mono, c in poly.terms.items():
        factors = []
        for atom, e in mono:
            new = _transformed(atom, visit)
            changed = changed or new is not None
            factors.append(Poly({((atom, e),): Fraction(1)}) if new is None else power(new, e))
        parts.append((factors, c))
    if not changed:
        return poly
    return add(*(scale(mul(*factors), c) for factors, c in parts))


# They jump, so what they are given must stay equal to the last bit: x == max(x) is not x == sigma * (max(x) / sigma).
_JUMPING = {"sign", "floor", "ceil", "trunc", "rint", "heaviside", "floor_divide", "remainder", "fmod"}


def _transformed(atom: Atom, visit: Callable[[Atom], Poly | None]) -> Poly | None:
    new: Poly | None = None
    if isinstance(atom, Call) and (atom.hot or atom.name in _JUMPING):
        return visit(atom)
    if isinstance(atom, Call):
        args = tuple(transform(a, visit) for a in atom.args)
        if args != atom.args:
            new = call(atom.name, *args, hot=atom.hot)
    elif isinstance(atom, Group):
        inner = transform(atom.inner, visit)
        if inner != atom.inner:
            return inner
    elif isinstance(atom, Total | Largest):
        inner, labels = opened(atom)
        changed = transform(inner, visit)
        if changed is not inner and changed != inner:
            new = total(changed, labels) if isinstance(atom, Total) else largest(changed, labels)
        elif isinstance(atom, Total) and len(single(inner)[0]) == 1:  # type: ignore[index]
            again = total(inner, labels)  # a fact may have been proved since
            new = again if again != of_atom(atom) else None
    if new is not None:
        term = single(new)
        if term is not None and term[1] == 1 and len(term[0]) == 1 and term[0][0][1] == 1:
            further = visit(term[0][0][0])
            return new if further is None else further
        return new
    return visit(atom)
