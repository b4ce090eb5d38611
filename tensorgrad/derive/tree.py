"""From a polynomial to the expression that a person would write: common factors in front, means, quotients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .algebra import mul
from .atoms import Atom, Call, Exponent, Group, Label, Largest, Monomial, Poly, Ref, Total, single
from .sums import opened

__all__ = ["Function", "Node", "Number", "Power", "Product", "Reduced", "Sum", "Sym", "atoms_of", "rebuilt", "tree"]


@dataclass(frozen=True)
class Number:
    """A number, or its square root."""

    value: Fraction
    labels = frozenset[Label]()


@dataclass(frozen=True)
class Sym:
    """A symbol with labels for its axes."""

    symbol: Any
    axes: tuple[Label | None, ...]

    @property
    def labels(self) -> frozenset[Label]:
        """The labels that occur."""
        return frozenset(a for a in self.axes if a is not None)


@dataclass(frozen=True)
class Sum:
    """Terms with signs."""

    terms: tuple[tuple[int, Node], ...]

    @property
    def labels(self) -> frozenset[Label]:
        """The labels that occur."""
        return frozenset().union(*(n.labels for _, n in self.terms))


@dataclass(frozen=True)
class Product:
    """``number * above / below``."""

    number: Fraction
    above: tuple[Node, ...]
    below: tuple[Node, ...]

    @property
    def labels(self) -> frozenset[Label]:
        """The labels that occur."""
        return frozenset().union(*(n.labels for n in (*self.above, *self.below)))


@dataclass(frozen=True)
class Power:
    """A positive power."""

    base: Node
    exponent: Exponent

    @property
    def labels(self) -> frozenset[Label]:
        """The labels that occur."""
        return self.base.labels


@dataclass(frozen=True)
class Function:
    """An elementwise function."""

    name: str
    args: tuple[Node, ...]

    @property
    def labels(self) -> frozenset[Label]:
        """The labels that occur."""
        return frozenset().union(*(n.labels for n in self.args))


@dataclass(frozen=True)
class Reduced:
    """``sum``, ``mean`` or ``max`` over labels."""

    kind: str
    inner: Node
    bound: tuple[Label, ...]

    @property
    def labels(self) -> frozenset[Label]:
        """The labels that are left."""
        return self.inner.labels - frozenset(self.bound)


Node = Number | Sym | Sum | Product | Power | Function | Reduced


def rebuilt(node: Node, change: Callable[[Node], Node]) -> Node:
    """The expression with each of its parts changed; a number or a symbol has none."""
    if isinstance(node, Sum):
        return Sum(tuple((sign, change(part)) for sign, part in node.terms))
    if isinstance(node, Product):
        above = tuple(change(part) for part in node.above)
        return Product(node.number, above, tuple(change(part) for part in node.below))
    if isinstance(node, Power):
        return Power(change(node.base), node.exponent)
    if isinstance(node, Function):
        return Function(node.name, tuple(change(part) for part in node.args))
    return Reduced(node.kind, change(node.inner), node.bound) if isinstance(node, Reduced) else node


def atoms_of(node: Node) -> list[Sym]:
    """All symbols in an expression, as often as they occur."""
    if isinstance(node, Sym):
        return [node]
    if isinstance(node, Sum):
        parts: tuple[Node, ...] = tuple(n for _, n in node.terms)
    elif isinstance(node, Product):
        parts = (*node.above, *node.below)
    elif isinstance(node, Power):
        parts = (node.base,)
    elif isinstance(node, Function):
        parts = node.args
    elif isinstance(node, Reduced):
        parts = (node.inner,)
    else:
        parts = ()
    return [atom for part in parts for atom in atoms_of(part)]


_ROLES = {"upstream": 0, "backward": 0, "input": 1, "constant": 1, "forward": 1}


def _rank(atom: Atom) -> tuple[Any, ...]:
    if isinstance(atom, Ref):
        return (0, _ROLES[atom.symbol.role], atom.symbol.number)
    kinds = {Call: 1, Group: 2, Largest: 3, Total: 4}
    return (kinds[type(atom)], 0, 0)


def count_of(bound: tuple[Label, ...]) -> int:
    """The number of elements that are summed."""
    count = 1
    for label in bound:
        count *= label[1]
    return count


def tree(poly: Poly) -> Node:
    """The expression for a polynomial."""
    if not poly.terms:
        return Number(Fraction(0))
    if len(poly.terms) == 1:
        mono, c = next(iter(poly.terms.items()))
        return _product(mono, c)
    common, c = _common(poly)
    if not common and c == 1:
        return _sum(poly)
    inverse = Poly({tuple((a, -e) for a, e in common): 1 / c})
    rest = mul(inverse, poly)
    if len(rest.terms) == 1 or _common(rest)[0]:  # it has simplified
        return _sum(poly)
    return _product(common, c, _sum(rest))


def _common(poly: Poly) -> tuple[Monomial, Fraction]:
    """The factors and the number that all terms share."""
    exponents: dict[Atom, Exponent] | None = None
    for mono in poly.terms:
        here = dict(mono)
        if exponents is None:
            exponents = here
            continue
        shared: dict[Atom, Exponent] = {}
        for atom, e in exponents.items():
            other = here.get(atom, 0)
            if e > 0 and other > 0:
                shared[atom] = min(e, other)
            elif e < 0 and other < 0:
                shared[atom] = max(e, other)
        exponents = shared
    sizes = {abs(c) for c in poly.terms.values()}
    number = sizes.pop() if len(sizes) == 1 else Fraction(1)
    if all(c < 0 for c in poly.terms.values()):
        number = -number
    return tuple((exponents or {}).items()), number


def _sum(poly: Poly) -> Sum:
    def order(item: tuple[Monomial, Fraction]) -> tuple[Any, ...]:
        mono, c = item
        sums = sum(_weight(a) for a, _ in mono)
        return (c < 0, not mono, sums, len(mono), [_rank(a) for a, _ in sorted(mono, key=lambda p: _rank(p[0]))])

    terms = sorted(poly.terms.items(), key=order)
    return Sum(tuple((1 if c > 0 else -1, _product(mono, abs(c))) for mono, c in terms))


def _product(mono: Monomial, c: Fraction, rest: Sum | None = None) -> Node:
    above: list[Node] = []
    below: list[Node] = []
    for atom, e in sorted(mono, key=lambda pair: _rank(pair[0])):
        if isinstance(atom, Total) and e == 1 and c.denominator != 1:
            n = count_of(atom.bound)
            if n > 1 and (c * n).denominator * n <= c.denominator and not _is_contraction(atom):
                c *= n
                above.append(_reduced("mean", atom))
                continue
        node = _node(atom)
        size = e if e > 0 else -e
        (above if e > 0 else below).append(node if size == 1 else _powered(node, size))
    if rest is not None:
        above.append(rest)
    if c == 1 and len(above) == 1 and not below:
        return above[0]
    if not above and not below:
        return Number(c)
    return Product(c, tuple(above), tuple(below))


def _powered(node: Node, e: Exponent) -> Node:
    return Function("sqrt", (node,)) if e == Fraction(1, 2) else Power(node, e)


def _node(atom: Atom) -> Node:
    if isinstance(atom, Ref):
        return Sym(atom.symbol, atom.axes)
    if isinstance(atom, Call):
        return Function(atom.name, tuple(map(tree, atom.args)))
    if isinstance(atom, Group):
        return tree(atom.inner)
    assert isinstance(atom, Total | Largest)
    return _reduced("sum" if isinstance(atom, Total) else "max", atom)


def _reduced(kind: str, atom: Total | Largest) -> Reduced:
    inner, labels = opened(atom)
    return Reduced(kind, tree(inner), labels)


def _is_contraction(atom: Total) -> bool:
    """Whether a sum has factors that vary along different axes, so that it is a matrix product."""
    term = single(atom.inner)
    if term is None:
        return False
    mono = term[0]
    return len(mono) > 1 and all(a.labels != atom.inner.labels for a, _ in mono)


def _weight(atom: Atom) -> int:
    """Where a term with this factor stands: matrix products first, sums last."""
    if isinstance(atom, Total):
        return -1 if _is_contraction(atom) else 1
    if isinstance(atom, Ref) and not atom.symbol.given and isinstance(atom.symbol.definition, Poly):
        inner = [a for mono in atom.symbol.definition.terms for a, _ in mono]
        return -1 if len(inner) == 1 and isinstance(inner[0], Total) and _is_contraction(inner[0]) else 0
    return 0
