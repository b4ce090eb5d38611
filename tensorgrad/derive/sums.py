"""Sums and maxima over labels, with canonical names for the labels that they bind; renaming and rebuilding."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction

from .algebra import call, monomial_product, mul, power
from .atoms import (
    Atom,
    Call,
    Exponent,
    Group,
    Label,
    Largest,
    Monomial,
    Poly,
    Ref,
    Total,
    add,
    constant,
    fresh,
    of_atom,
    scale,
    single,
)

__all__ = ["canonical", "largest", "opened", "rename", "total", "transform", "undivided"]


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


def undivided(poly: Poly, labels: Iterable[Label]) -> Poly:
    """The sum over labels as one sum, also where it has several terms, which :func:`total` would take apart."""
    if len(poly.terms) < 2:
        return total(poly, labels)
    wanted = frozenset(labels)
    for label in wanted - poly.labels:
        poly = scale(poly, label[1])
    bound = wanted & poly.labels
    if not bound:
        return poly
    renamed, names, _ = canonical(poly, bound)
    return of_atom(Total(renamed, names))


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
            return (total if len(inner.terms) == 1 else undivided)(inner, (*labels, *bound))
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
        parts.append(scale(monomial_product((), tuple(merged.items())), c))
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
            whole = undivided if len(inner.terms) > 1 else total
            new = whole(changed, labels) if isinstance(atom, Total) else largest(changed, labels)
        elif isinstance(atom, Total) and (only := single(inner)) is not None and len(only[0]) == 1:
            again = total(inner, labels)  # a fact may have been proved since
            new = again if again != of_atom(atom) else None
    if new is not None:
        term = single(new)
        if term is not None and term[1] == 1 and len(term[0]) == 1 and term[0][0][1] == 1:
            further = visit(term[0][0][0])
            return new if further is None else further
        return new
    return visit(atom)
