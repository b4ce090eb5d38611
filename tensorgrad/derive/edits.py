"""Slips in a formula: each edit of an expression that a person may have made, with its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from typing import Any

from .atoms import Label, Poly, fresh
from .plain import plain
from .tree import Function, Node, Number, Power, Product, Reduced, Sum, Sym, atoms_of, count_of, rebuilt, tree

__all__ = ["edits"]

Edit = tuple[str, Node]
_ONE = Number(Fraction(1))
_NOTHING = Number(Fraction(0))
_REVERSED = {
    "greater": "less",
    "less": "greater",
    "greater_equal": "less_equal",
    "less_equal": "greater_equal",
    "equal": "not_equal",
    "not_equal": "equal",
}


def edits(node: Node, axes: Sequence[Label | None], others: Sequence[Sym] = ()) -> Iterator[Edit]:
    """All expressions that differ from this one by one slip.

    ``axes`` are the labels of the line's axes; ``others`` are symbols that may have been confused with those in it.
    """
    yield from _own(node, axes, others)
    for build, part in _parts(node):
        for text, edited in edits(part, axes, others):
            yield text, build(edited)


def _parts(node: Node) -> Iterator[tuple[Any, Node]]:
    if isinstance(node, Sum):
        for k, (sign, term) in enumerate(node.terms):

            def in_sum(new: Node, k: int = k, sign: int = sign) -> Node:
                return Sum((*node.terms[:k], (sign, new), *node.terms[k + 1 :]))

            yield in_sum, term
    elif isinstance(node, Product):
        for k, factor in enumerate(node.above):
            yield lambda new, k=k: replace(node, above=(*node.above[:k], new, *node.above[k + 1 :])), factor
        for k, factor in enumerate(node.below):
            yield lambda new, k=k: replace(node, below=(*node.below[:k], new, *node.below[k + 1 :])), factor
    elif isinstance(node, Power):
        yield lambda new: Power(new, node.exponent), node.base
    elif isinstance(node, Function):
        for k, arg in enumerate(node.args):
            yield lambda new, k=k: Function(node.name, (*node.args[:k], new, *node.args[k + 1 :])), arg
    elif isinstance(node, Reduced):
        yield lambda new: Reduced(node.kind, new, node.bound), node.inner


def _own(node: Node, axes: Sequence[Label | None], others: Sequence[Sym]) -> Iterator[Edit]:
    if isinstance(node, Sum):
        yield from _of_sum(node)
        yield from _factors_of_terms(node, axes, others)
    elif isinstance(node, Product):
        yield from _of_product(node)
        yield from _lost_in_terms(node)
    elif isinstance(node, Power):
        yield f"{plain(node)} has lost its exponent", node.base
        yield f"{plain(node)} has the exponent {node.exponent + 1}", Power(node.base, node.exponent + 1)
    elif isinstance(node, Function):
        yield from _of_function(node)
    elif isinstance(node, Reduced):
        yield from _of_reduced(node, axes)
    elif isinstance(node, Sym):
        yield f"{node.symbol.text} is squared", Power(node, 2)
        yield f"{node.symbol.text} is under a square root", Function("sqrt", (node,))
        for other in others:
            if other.symbol is not node.symbol and (moved := _in_place_of(other, node)) is not None:
                yield f"{other.symbol.text} stands where {node.symbol.text} belongs{_meaning(node)}", moved
        turned = _turned(node)
        if turned is not None:
            yield f"{node.symbol.text} is transposed", turned


def _of_sum(node: Sum) -> Iterator[Edit]:
    for k, (sign, term) in enumerate(node.terms):
        text = plain(term)
        rest = (*node.terms[:k], *node.terms[k + 1 :])
        left: Node = Sum(rest) if len(rest) > 1 or (rest and rest[0][0] < 0) else rest[0][1] if rest else _NOTHING
        yield f"the term {'-' if sign < 0 else ''}{text} is missing", left
        flipped = Sum((*node.terms[:k], (-sign, term), *node.terms[k + 1 :]))
        yield f"the sign of the term {'-' if sign < 0 else ''}{text} is wrong", flipped
        if len(node.terms) == 2 and isinstance(term, Number) and k == 0:
            yield f"{plain(node)} is not taken from {text}", node.terms[1][1]


def _with_term(node: Sum, k: int, term: Node) -> Sum:
    """The sum with another term in one place."""
    return Sum((*node.terms[:k], (node.terms[k][0], term), *node.terms[k + 1 :]))


def _factors_of_terms(node: Sum, axes: Sequence[Label | None], others: Sequence[Sym]) -> Iterator[Edit]:
    """One term has a factor, or a divisor, that does not belong there."""
    known = [atom for atom in atoms_of(node) if atom.labels <= node.labels]
    known += [placed for other in others if (placed := _aligned(other, axes)) is not None]
    for factor in dict.fromkeys(known):
        text = factor.symbol.text
        for k, (_, term) in enumerate(node.terms):
            where = f"the term {plain(term)}"
            yield f"{where} has a factor {text} too many", _with_term(node, k, Product(Fraction(1), (term, factor), ()))
            divided = Product(Fraction(1), (term,), (factor,))
            yield f"{where} is divided by {text} once too often", _with_term(node, k, divided)


def _lost_in_terms(node: Product) -> Iterator[Edit]:
    """A factor or divisor of a sum is missing for one of its terms."""
    for place, part in enumerate(node.above):
        if not isinstance(part, Sum):
            continue
        for k, (_, term) in enumerate(part.terms):
            where = f"in the term {plain(term)}"
            multiplied = [f for i, f in enumerate(node.above) if i != place and not isinstance(f, Sum)]
            found: list[Edit] = [
                (f"the factor {plain(f)} is missing {where}", Product(Fraction(1), (term,), (f,))) for f in multiplied
            ]
            found += [
                (f"the division by {plain(f)} is missing {where}", Product(Fraction(1), (term, f), ()))
                for f in node.below
            ]
            for text, changed in found:
                whole = (*node.above[:place], _with_term(part, k, changed), *node.above[place + 1 :])
                yield text, replace(node, above=whole)


def _aligned(sym: Sym, axes: Sequence[Label | None]) -> Sym | None:
    """A symbol with the axes of a line as NumPy broadcasts it there; None if it does not."""
    n = len(sym.symbol.axes)
    if n > len(axes):
        return None
    found: list[Label | None] = []
    for own, there in zip(sym.symbol.axes, axes[len(axes) - n :], strict=True):
        if own is not None and (there is None or own[1] != there[1]):
            return None
        found.append(None if own is None else there)
    return Sym(sym.symbol, tuple(found))


def _of_product(node: Product) -> Iterator[Edit]:
    for k, factor in enumerate(node.above):
        text = plain(factor)
        rest = (*node.above[:k], *node.above[k + 1 :])
        yield f"the factor {text} is missing", replace(node, above=rest or (_ONE,))
        yield f"the factor {text} is there twice", replace(node, above=(*node.above, factor))
        yield f"it divides by {text} where it should multiply", replace(node, above=rest, below=(*node.below, factor))
    for k, factor in enumerate(node.below):
        text = plain(factor)
        rest = (*node.below[:k], *node.below[k + 1 :])
        yield f"the division by {text} is missing", replace(node, below=rest)
        yield f"it divides by {text} twice", replace(node, below=(*node.below, factor))
        yield f"it multiplies by {text} where it should divide", replace(node, above=(*node.above, factor), below=rest)
    if abs(node.number) != 1:
        yield (
            f"the factor {_shown(node.number)} is missing",
            replace(node, number=Fraction(1 if node.number > 0 else -1)),
        )
        yield f"the factor {_shown(node.number)} is there twice", replace(node, number=node.number * abs(node.number))
    yield "the sign is wrong", replace(node, number=-node.number)
    for k, outer in enumerate(node.above):
        if not isinstance(outer, Reduced) or outer.kind == "max":
            continue
        for i, factor in enumerate(node.above):
            if i != k and not isinstance(factor, Reduced):
                rest = tuple(f for j, f in enumerate(node.above) if j not in (i, k))
                names = {a: b for b in outer.bound for a in factor.labels if a[1] == b[1] and a not in outer.labels}
                inside = Product(Fraction(1), (outer.inner, _renamed(factor, names)), ())
                moved = replace(node, above=(*rest, Reduced(outer.kind, inside, outer.bound)))
                yield f"the factor {plain(factor)} stands inside the {outer.kind}", moved


def _of_function(node: Function) -> Iterator[Edit]:
    if node.name == "sqrt":
        (inner,) = node.args
        yield f"the square root of {plain(inner)} is missing", inner
        if isinstance(inner, Sum) and len(inner.terms) == 2 and isinstance(inner.terms[1][1], Number):
            outside = Sum(((1, Function("sqrt", (inner.terms[0][1],))), inner.terms[1]))
            yield f"{plain(inner.terms[1][1])} is added outside the square root", outside
    elif node.name in _REVERSED:
        yield f"{plain(node)} is the wrong way round", Function(_REVERSED[node.name], node.args)
    elif len(node.args) == 1:
        yield f"{plain(node)} is computed without {node.name}", node.args[0]


def _of_reduced(node: Reduced, axes: Sequence[Label | None]) -> Iterator[Edit]:
    text = plain(node)
    n = count_of(node.bound)
    if node.kind in ("sum", "mean"):
        other = "mean" if node.kind == "sum" else "sum"
        yield f"{text} is a {other} where it should be a {node.kind}", Reduced(other, node.inner, node.bound)
    if node.kind == "max":
        return
    yield from _over_other_axes(node, axes)
    if node.kind == "mean":
        for a in sorted(node.inner.labels - frozenset(node.bound)):
            wrong = Product(Fraction(1, a[1]), (Reduced("sum", node.inner, node.bound),), ())
            yield f"{text} is divided by {a[1]} instead of {n}", wrong
        if len(node.bound) > 1:
            for b in node.bound:
                wrong = Product(Fraction(1, b[1]), (Reduced("sum", node.inner, node.bound),), ())
                yield f"{text} is divided by {b[1]} instead of {n}", wrong


def _over_other_axes(node: Reduced, axes: Sequence[Label | None]) -> Iterator[Edit]:
    """The same reduction over every other set of the axes of what is inside, as far as the result can be aligned."""
    text = plain(node)
    n = count_of(node.bound)
    bound = frozenset(node.bound)
    inside = sorted(node.inner.labels)
    for count in range(len(inside) + 1):
        for chosen in combinations(inside, count):
            summed = frozenset(chosen)
            if summed == bound:
                continue
            names = _places(sorted(bound - summed), axes, node.labels - summed)
            if names is None:
                continue
            new = {a: fresh(a[1]) for a in chosen}
            inner: Any = _renamed(node.inner, names | new)
            reduced: Node = Reduced(node.kind, inner, tuple(new.values())) if chosen else inner
            if not chosen:
                yield f"{text} is not taken over {'its axis' if len(bound) == 1 else 'all its axes'}", reduced
                if node.kind == "mean":
                    yield f"the {node.kind} {text} is only divided by {n}", Product(Fraction(1, n), (inner,), ())
            elif summed < bound:
                yield f"{text} is not taken over all its axes", reduced
            elif summed > bound:
                yield f"{text} is taken over {'all' if len(inside) == count else 'too many'} axes", reduced
            else:
                yield f"{text} is taken over the wrong {'axis' if count == 1 else 'axes'}", reduced


def _places(
    labels: Sequence[Label], axes: Sequence[Label | None], taken: frozenset[Label]
) -> dict[Label, Label] | None:
    """Axes of the line, of the same lengths, for labels that are not summed any more; None if it has none."""
    names: dict[Label, Label] = {}
    for label in labels:
        same = [a for a in axes if a is not None and a[1] == label[1] and a not in taken and a not in names.values()]
        if not same:
            return None
        names[label] = same[0]
    return names


def _in_place_of(other: Sym, node: Sym) -> Sym | None:
    """Another symbol with the labels of this one, if its axes have the same lengths."""
    shape = [None if a is None else a[1] for a in node.axes]
    if [None if a is None else a[1] for a in other.symbol.axes] != shape:
        return None
    return Sym(other.symbol, node.axes)


def _meaning(node: Sym) -> str:
    """What a gradient is that has no name in the user's code."""
    symbol = node.symbol
    if symbol.given or symbol.role != "backward" or not isinstance(symbol.definition, Poly):
        return ""
    return f", {symbol.text} = {plain(tree(symbol.along(node.axes)))}"


def _turned(node: Sym) -> Sym | None:
    if len(node.axes) < 2 or None in node.axes[-2:]:
        return None
    a, b = node.axes[-2:]
    assert a is not None
    assert b is not None
    return Sym(node.symbol, (*node.axes[:-2], b, a)) if a[1] == b[1] else None


def _renamed(node: Node, names: Mapping[Label, Label]) -> Node:
    """The expression with other labels."""
    if isinstance(node, Sym):
        return Sym(node.symbol, tuple(None if a is None else names.get(a, a) for a in node.axes))
    changed = rebuilt(node, lambda part: _renamed(part, names))
    if isinstance(changed, Reduced):
        return replace(changed, bound=tuple(names.get(b, b) for b in changed.bound))
    return changed


def _shown(number: Fraction) -> str:
    return str(number) if number.denominator == 1 or number.numerator == 1 else f"{float(number):.6g}"
