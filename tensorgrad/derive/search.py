"""The search for the shortest formula: greedy, one substitution at a time.

A substitution replaces a symbol everywhere: by its definition, or by what solving another definition for it gives
(``xhat = xc / sigma`` says that ``xc`` is ``xhat * sigma``). No step divides by what is not provably positive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from .algebra import mul, power
from .atoms import Atom, Call, Exponent, Group, Label, Largest, Monomial, Poly, Ref, Total, add, of_atom, scale, single
from .book import Book
from .cost import cost, needed, symbols_in
from .guesses import guess
from .numpy_text import axes_order
from .plain import plain
from .sums import opened, total, transform
from .tree import tree
from .values import Symbol, Value, reference

__all__ = ["Goal", "Rewrite", "search"]

_STEPS = 24
_SAVING = 0.05
_MUCH = 500_000  # characters of formulas after which a search ends


@dataclass(frozen=True)
class Goal:
    """A formula to print: a gradient, or the definition of a backward symbol."""

    value: Value
    symbol: Symbol | None = None


@dataclass(frozen=True)
class Rewrite:
    """A substitution that has been applied, and what it says: ``xc = sigma * xhat``."""

    title: str
    apply: Callable[[Poly], Poly]
    new: Symbol | None = None  # a symbol that it introduces


def calls_in(poly: Poly, depth: int = 0) -> list[tuple[int, Call]]:
    """The functions in a polynomial with their depth, other than comparisons and roots."""
    found: list[tuple[int, Call]] = []
    for mono in poly.terms:
        for atom, _ in mono:
            inner: tuple[Poly, ...] = ()
            if isinstance(atom, Call):
                inner = atom.args
                if not atom.hot:
                    found.append((depth, atom))
            elif isinstance(atom, Total | Largest):
                inner = (opened(atom)[0],)
            elif isinstance(atom, Group):
                inner = (atom.inner,)
            for part in inner:
                found += calls_in(part, depth + 1)
    return found


class _Search:
    def __init__(self, goals: Sequence[Goal], book: Book, cotangents: dict[Symbol, Value]) -> None:
        self.goals = list(goals)
        self.book = book
        self.cotangents = cotangents
        self.steps: list[Rewrite] = []
        self.work = 0

    def cost(self, polys: Sequence[Poly]) -> float:
        """The cost of formulas, with a part of that of the definitions they need."""
        result = sum(cost(tree(p)) for p in polys)
        own = {g.symbol for g in self.goals}
        for symbol in needed(polys):
            if symbol in own or symbol.definition is None:
                continue
            weight = 0.1 if symbol.given else 0.3
            result += weight * (1.0 + (cost(tree(symbol.definition)) if isinstance(symbol.definition, Poly) else 3.0))
        return result

    def run(self, most: int) -> list[Goal]:
        polys = [g.value.poly for g in self.goals]
        lowest = self.cost(polys)
        for _ in range(most):
            best: tuple[float, Rewrite, list[Poly]] | None = None
            for rewrite in self.candidates(polys):
                self.work += sum(len(p.key) for p in polys)
                if self.work > _MUCH:
                    break
                tried = [rewrite.apply(p) for p in polys]
                if max(len(p.terms) for p in tried) > 40:
                    continue
                c = self.cost(tried)
                if c < lowest - _SAVING and (best is None or c < best[0]):
                    best = (c, rewrite, tried)
            if best is None:
                break
            lowest, rewrite, polys = best
            if rewrite.new is not None:
                rewrite.new.text = self.book.name(rewrite.new.text)
                self.book.symbols.append(rewrite.new)
            self.steps.append(rewrite)
        polys = self.shared(polys)
        for goal, poly in zip(self.goals, polys, strict=True):
            if goal.symbol is not None:
                goal.symbol.definition = poly
        return [Goal(Value(p, g.value.axes), g.symbol) for g, p in zip(self.goals, polys, strict=True)]

    def shared(self, polys: Sequence[Poly]) -> list[Poly]:
        """The formulas with a name for each function, other than a comparison, that they need more than once."""
        polys = list(polys)
        for _ in range(_STEPS):
            own = {g.symbol for g in self.goals}
            forward = [s for s in needed(polys) if s not in own and isinstance(s.definition, Poly)]
            counts = Counter[str]()
            atoms: dict[str, tuple[Call, int]] = {}
            for poly in (*polys, *(s.definition for s in forward)):
                assert isinstance(poly, Poly)
                for depth, atom in calls_in(poly):
                    key = self.book.shape_of(of_atom(atom))[0]
                    if key is not None:
                        counts[key] += 1
                        atoms[key] = (atom, depth)
            repeated = [
                k
                for k, n in counts.items()
                if n > 1 or (atoms[k][0].name == "sigmoid" and k not in self.book.by_definition)
            ]
            if not repeated:
                break
            chosen = min(repeated, key=lambda key: atoms[key][1])
            atom, _ = atoms[chosen]
            value = Value(of_atom(atom), axes_order(tree(of_atom(atom)), ()))
            role = "backward" if any(s.role in ("backward", "upstream") for s in symbols_in(value.poly)) else "forward"
            text = guess(value.poly)
            self.book.let(value, value.shape, text, role)
            self.book.by_definition[chosen][0].kept = True
            polys = [self.recognised(p, goal) for p, goal in zip(polys, self.goals, strict=True)]
            for s in forward:
                assert isinstance(s.definition, Poly)
                shorter = self.book.replaced(s.definition)
                if s not in needed([shorter]):
                    s.definition = shorter
        return polys

    def recognised(self, poly: Poly, goal: Goal) -> Poly:
        """The formula in terms of the symbols there are, but not of the one that it defines."""
        shorter = self.book.recognised(poly)
        return poly if goal.symbol is not None and goal.symbol in needed([shorter]) else shorter

    # --- candidates -------------------------------------------------------------------------------------

    def candidates(self, polys: Sequence[Poly]) -> list[Rewrite]:
        """Every substitution that may be tried now."""
        used = set().union(*(symbols_in(p) for p in polys))
        found = []
        for symbol in self.book.symbols:
            if symbol.role != "forward" or not isinstance(symbol.definition, Poly):
                continue
            if symbol in used and not symbol.given:
                found.append(substitution(symbol, Value(symbol.definition, symbol.axes)))
            found += self.solved(symbol, used)
        found += self.quotients(polys)
        for symbol, value in self.cotangents.items():
            lifted = self.cotangent(symbol, value, polys)
            if lifted is not None:
                found.append(lifted)
        return found

    def solved(self, symbol: Symbol, used: set[Symbol]) -> list[Rewrite]:
        """The definition of a symbol, solved for each symbol in it."""
        definition = symbol.definition
        assert isinstance(definition, Poly)
        found = []
        own = reference(symbol)
        for mono, c in definition.terms.items():
            for atom, e in mono:
                if not isinstance(atom, Ref) or atom.symbol not in used or atom.labels != definition.labels:
                    continue
                if None in atom.axes and any(a is not None for a in atom.axes) and len(set(atom.axes)) < len(atom.axes):
                    continue
                rest = tuple(p for p in mono if p[0] != atom)
                if len(definition.terms) == 1:
                    if any(not a.nonneg and x > 0 for a, x in rest) or (e != 1 and not (atom.nonneg or _root(e))):
                        continue
                    factor = power(Poly({rest: c}), -1) if rest or c != 1 else Poly({(): Fraction(1)})
                    solution = mul(own.poly, factor)
                    if e != 1:
                        if rest or c != 1:
                            continue
                        solution = power(own.poly, 1 / Fraction(e))
                elif e == 1 and not rest:
                    others = Poly({m: k for m, k in definition.terms.items() if m != mono})
                    solution = scale(add(own.poly, scale(others, -1)), 1 / c)
                    if any(isinstance(a, Ref) and a.symbol is atom.symbol for m in others.terms for a, _ in m):
                        continue
                else:
                    continue
                found.append(substitution(atom.symbol, Value(solution, atom.axes)))
        return found

    def quotients(self, polys: Sequence[Poly]) -> list[Rewrite]:
        """New symbols for a large value divided by one that is constant along some axes: what becomes xhat."""
        pairs: dict[tuple[Symbol, str], tuple[Ref, Ref]] = {}

        def look(poly: Poly) -> None:
            for mono in poly.terms:
                for atom, e in mono:
                    if isinstance(atom, Total):
                        look(atom.inner)
                    if not (isinstance(atom, Ref) and e == 1 and atom.symbol.role == "forward"):
                        continue
                    for other, x in mono:
                        if isinstance(other, Ref) and other.nonneg and x < 0 and other.labels < atom.labels:
                            pairs[atom.symbol, other.symbol.text] = (atom, other)

        for poly in polys:
            look(poly)
        found = []
        for atom, other in pairs.values():
            if len(set(atom.axes)) < len(atom.axes):
                continue
            quotient = mul(of_atom(atom), of_atom(other, -1))
            if self.book.found(quotient) is not None:
                continue
            shape = tuple(1 if a is None else a[1] for a in atom.axes)
            text = guess(quotient)
            symbol = Symbol(text, shape, atom.axes, "forward", quotient)
            found.append(
                substitution(atom.symbol, Value(mul(reference(symbol).poly, of_atom(other)), atom.axes), symbol)
            )
        return found

    def cotangent(self, symbol: Symbol, value: Value, polys: Sequence[Poly]) -> Rewrite | None:
        """The gradient of a forward value under a name of its own, for a product that occurs in several terms."""
        term = single(value.poly)
        if term is None or len(term[0]) < 2 or not all(isinstance(a, Ref) for a, _ in term[0]):
            return None
        if value.poly.labels != {a for a in value.axes if a is not None}:
            return None
        text = f"d{symbol.text}"
        if text in self.book.texts or self.book.found(value.poly) is not None:
            return None
        new = Symbol(text, value.shape, value.axes, "backward", value.poly, True)
        pattern = list(term[0])
        title = f"{text} = {_shown(value.poly)}"
        return Rewrite(title, lambda poly: _matched(poly, pattern, term[1], new, value.axes), new)


def _root(e: Exponent) -> bool:
    return not isinstance(e, int)


def substitution(symbol: Symbol, value: Value, new: Symbol | None = None) -> Rewrite:
    """Replace a symbol everywhere by a value with the same axes."""

    def visit(atom: Atom) -> Poly | None:
        return value.at(atom.axes) if isinstance(atom, Ref) and atom.symbol is symbol else None

    return Rewrite(f"{symbol.text} = {_shown(value.poly)}", lambda poly: transform(poly, visit), new)


def _shown(poly: Poly) -> str:
    return plain(tree(poly))


def _matched(
    poly: Poly, pattern: list[tuple[Atom, Exponent]], c: Fraction, new: Symbol, axes: Sequence[Label | None]
) -> Poly:
    """The polynomial with a product replaced by a symbol wherever it is part of a monomial, also inside sums."""

    def monomial(mono: Monomial, k: Fraction) -> Poly:
        factors = []
        for atom, e in mono:
            if isinstance(atom, Total) and e == 1:
                inner, labels = opened(atom)
                factors.append(total(_matched(inner, pattern, c, new, axes), labels))
            else:
                factors.append(Poly({((atom, e),): Fraction(1)}))
        result = mul(*factors)
        term = single(result)
        if term is None:
            return scale(result, k)
        left = dict(term[0])
        names: dict[Label, Label] = {}
        for atom, e in pattern:
            fits = [
                a
                for a, x in left.items()
                if isinstance(a, Ref)
                and isinstance(atom, Ref)
                and a.symbol is atom.symbol
                and (x >= e > 0 or x <= e < 0)
                and all(
                    names.get(p, q) == q
                    for p, q in zip(atom.axes, a.axes, strict=True)
                    if p is not None and q is not None
                )
            ]
            if not fits:
                return scale(result, k)
            found = fits[0]
            assert isinstance(found, Ref)
            assert isinstance(atom, Ref)
            names.update({p: q for p, q in zip(atom.axes, found.axes, strict=True) if p is not None and q is not None})
            left[found] = left[found] - e
        rest = Poly({tuple(sorted(((a, x) for a, x in left.items() if x), key=lambda p: p[0].key)): term[1] * k / c})
        return mul(rest, of_atom(Ref(new, tuple(None if a is None else names[a] for a in axes))))

    return add(*(monomial(m, k) for m, k in poly.terms.items()))


def search(
    goals: Sequence[Goal], book: Book, cotangents: dict[Symbol, Value], most: int = _STEPS
) -> tuple[list[Goal], list[Rewrite]]:
    """Shorter formulas for the goals after at most so many substitutions, and the substitutions that led there."""
    run = _Search(goals, book, cotangents)
    return run.run(most), run.steps
