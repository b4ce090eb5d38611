"""Names for values that have none in the user's code."""

from __future__ import annotations

from fractions import Fraction

from .atoms import Atom, Call, Group, Poly, Ref, Total, single
from .book import is_reference

__all__ = ["guess"]


def guess(poly: Poly) -> str:
    """What a textbook calls a value: mu, xc, var, sigma, xhat, p; "t" otherwise."""
    term = single(poly)
    if term is None:
        return _guess_sum(poly)
    mono, c = term
    if len(mono) == 1:
        atom, e = mono[0]
        if isinstance(atom, Total) and e == 1 and c * _count_of(atom) == 1:
            inner = single(atom.inner)
            if inner is not None and len(inner[0]) == 1 and isinstance(inner[0][0][0], Ref):
                symbol, exponent = inner[0][0][0].symbol, inner[0][0][1]
                if exponent == 1:
                    return "mu" if symbol.role == "input" else f"mean_{symbol.text}"
                if exponent == 2 and symbol.facts:
                    return "var"
        if e == Fraction(1, 2) and isinstance(atom, Ref | Group) and _is_variance(atom):
            return "sigma"
        if isinstance(atom, Call):
            return {"sigmoid": "p", "exp": "e", "equal": "onehot"}.get(atom.name, "t")
        return "r" if isinstance(e, Fraction) else "t"
    deviations = [
        a for a, e in mono if isinstance(a, Ref) and e == 1 and a.symbol.facts and a.symbol.text.endswith("c")
    ]
    inverse = [a for a, e in mono if e == -1 or (isinstance(e, Fraction) and e < 0)]
    if len(mono) == 2 and len(deviations) == len(inverse) == 1:
        return f"{deviations[0].symbol.text[:-1]}hat"
    if len(mono) == 2 and any(isinstance(a, Total) and e == -1 for a, e in mono):
        return "p"
    return "t"


def _count_of(atom: Total) -> int:
    count = 1
    for label in atom.bound:
        count *= label[1]
    return count


def _is_variance(atom: Ref | Group) -> bool:
    poly = atom.symbol.definition if isinstance(atom, Ref) else atom.inner
    if not isinstance(poly, Poly):
        return False
    names = [a.symbol.text for m in poly.terms for a, _ in m if isinstance(a, Ref)]
    return any(name.startswith("var") for name in names) or (
        isinstance(atom, Ref) and atom.symbol.text.startswith("var")
    )


def _guess_sum(poly: Poly) -> str:
    if len(poly.terms) != 2:
        return "t"
    parts = {c: mono[0][0] for mono, c in poly.terms.items() if len(mono) == 1 and mono[0][1] == 1}
    whole: Atom | None = parts.get(Fraction(1))
    if isinstance(whole, Ref):
        text = str(whole.symbol.text)
        for mono, c in poly.terms.items():
            if len(mono) != 1 or c >= 0:
                continue
            mean = mono[0][0]
            if isinstance(mean, Ref) and isinstance(mean.symbol.definition, Poly):
                inner = single(mean.symbol.along(mean.axes))
                if inner is None or len(inner[0]) != 1:
                    continue
                mean = inner[0][0][0]
            if isinstance(mean, Total) and whole.symbol is is_reference(mean.inner):
                return f"{text}c"
    if () in poly.terms and any(m and isinstance(m[0][0], Ref) and m[0][0].symbol.text == "var" for m in poly.terms):
        return "var_eps"
    squares = [c for m, c in poly.terms.items() if len(m) == 1 and m[0][1] == 2]
    return "var" if squares == [-1] else "t"
