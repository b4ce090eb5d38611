"""Slips in a formula: each edit of an expression that a person may have made, with its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from .algebra import Label
from .plain import plain
from .tree import Function, Node, Number, Power, Product, Reduced, Sum, Sym, count_of, rebuilt

__all__ = ["edits"]

Edit = tuple[str, Node]
_ONE = Number(Fraction(1))
_NOTHING = Number(Fraction(0))


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
    elif isinstance(node, Product):
        yield from _of_product(node)
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
                yield f"{other.symbol.text} stands where {node.symbol.text} belongs", moved
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
    elif (
        node.name not in ("greater", "less", "equal", "greater_equal", "less_equal", "not_equal")
        and len(node.args) == 1
    ):
        yield f"{plain(node)} is computed without {node.name}", node.args[0]


def _of_reduced(node: Reduced, axes: Sequence[Label | None]) -> Iterator[Edit]:
    text = plain(node)
    n = count_of(node.bound)
    if node.kind in ("sum", "mean"):
        other = "mean" if node.kind == "sum" else "sum"
        yield f"{text} is a {other} where it should be a {node.kind}", Reduced(other, node.inner, node.bound)
    if node.kind == "max":
        return
    free = [a for a in axes if a is not None and a not in node.labels]
    for count in range(len(node.bound)):
        for kept in _subsets(node.bound, count):
            left = [b for b in node.bound if b not in kept]
            names: dict[Label, Label] = {}
            for b in left:
                same = [a for a in free if a[1] == b[1] and a not in names.values()]
                if same:
                    names[b] = same[0]
            if len(names) == len(left):
                inner = _renamed(node.inner, names)
                summed: Node = Reduced(node.kind, inner, kept) if kept else inner
                yield f"{text} is not taken over all its axes" if kept else f"{text} is not taken over its axis", summed
                if node.kind == "mean" and not kept:
                    yield f"the {node.kind} {text} is only divided by {n}", Product(Fraction(1, n), (inner,), ())
    for b in node.bound:
        for a in sorted(node.labels):
            if a in axes and len(node.bound) == 1:
                place = [x for x in free if x[1] == b[1]]
                if place:
                    inner = _renamed(node.inner, {b: place[0]})
                    yield f"{text} is taken over the wrong axis", Reduced(node.kind, inner, (a,))
    if node.kind == "mean":
        for a in sorted(node.inner.labels - frozenset(node.bound)):
            wrong = Product(Fraction(1, a[1]), (Reduced("sum", node.inner, node.bound),), ())
            yield f"{text} is divided by {a[1]} instead of {n}", wrong
        if len(node.bound) > 1:
            for b in node.bound:
                wrong = Product(Fraction(1, b[1]), (Reduced("sum", node.inner, node.bound),), ())
                yield f"{text} is divided by {b[1]} instead of {n}", wrong


def _subsets(bound: Sequence[Label], count: int) -> Iterator[tuple[Label, ...]]:
    from itertools import combinations

    yield from combinations(bound, count)


def _in_place_of(other: Sym, node: Sym) -> Sym | None:
    """Another symbol with the labels of this one, if its axes have the same lengths."""
    shape = [None if a is None else a[1] for a in node.axes]
    if [None if a is None else a[1] for a in other.symbol.axes] != shape:
        return None
    return Sym(other.symbol, node.axes)


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
