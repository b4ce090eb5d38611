"""How much there is to read in a formula, and which names it needs."""

from __future__ import annotations

from collections.abc import Iterable

from .atoms import Call, Group, Largest, Poly, Ref, Total
from .tree import Function, Node, Number, Power, Product, Reduced, Sum, Sym
from .values import Symbol

__all__ = ["cost", "needed", "parts_of", "symbols_in"]


def cost(node: Node) -> float:
    """How much there is to read in an expression."""
    if isinstance(node, Number):
        return 0.5
    if isinstance(node, Sym):
        return 2.0
    if isinstance(node, Sum):
        return sum(1.0 + cost(n) for _, n in node.terms)
    if isinstance(node, Product):
        return (node.number not in (1, -1)) + sum(map(cost, (*node.above, *node.below))) + len(node.below) * 0.5
    if isinstance(node, Power):
        return 1.5 + cost(node.base)
    if isinstance(node, Function):
        return 2.0 + sum(map(cost, node.args))
    return 2.0 + cost(node.inner) if isinstance(node, Reduced) else 0.0


def needed(polys: Iterable[Poly]) -> list[Symbol]:
    """The symbols on which these formulas depend, each after those that its own definition needs."""
    order: dict[Symbol, None] = {}
    entered: set[Symbol] = set()
    stack = [(s, False) for poly in polys for s in sorted(symbols_in(poly), key=lambda s: -s.number)]
    stack.sort(key=lambda item: -item[0].number)
    while stack:
        symbol, done = stack.pop()
        if symbol in order:
            continue
        if done:
            order[symbol] = None
            continue
        assert symbol not in entered, f"{symbol.text} is defined by itself"  # waiting below, so an ancestor
        entered.add(symbol)
        stack.append((symbol, True))
        inner = {s for poly in parts_of(symbol) for s in symbols_in(poly)} - order.keys()
        stack += [(s, False) for s in sorted(inner, key=lambda s: -s.number)]
    return list(order)


def parts_of(symbol: Symbol) -> list[Poly]:
    """The formulas in a symbol's definition."""
    if isinstance(symbol.definition, Poly):
        return [symbol.definition]
    return [value.poly for value in symbol.definition.args] if symbol.definition is not None else []


def symbols_in(poly: Poly) -> set[Symbol]:
    """The symbols that occur in a polynomial."""
    found: set[Symbol] = set()
    stack = [poly]
    while stack:
        for mono in stack.pop().terms:
            for atom, _ in mono:
                if isinstance(atom, Ref):
                    found.add(atom.symbol)
                elif isinstance(atom, Call):
                    stack += atom.args
                elif isinstance(atom, Group | Total | Largest):
                    stack.append(atom.inner)
    return found
