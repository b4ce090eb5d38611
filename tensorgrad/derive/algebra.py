"""Products, powers and functions of polynomials, which simplify."""

from __future__ import annotations

import math
from fractions import Fraction

from .atoms import ONE, ZERO, Atom, Call, Exponent, Group, Monomial, Poly, add, constant, of_atom, scale, single

__all__ = ["call", "inverse_of", "monomial_product", "mul", "power"]

_MANY_TERMS = 64  # a power that has more terms is not multiplied out


def _whole(e: Exponent) -> Exponent:
    return int(e) if e == int(e) else e


def monomial_product(left: Monomial, right: Monomial) -> Poly:
    """The product of two monomials, in which what is not under a power any more is multiplied out."""
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
                return scale(monomial_product(rest, ((atom, left),)) if left else Poly({rest: Fraction(1)}), ratio)
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
        parts += [scale(monomial_product(mono, other), c * d) for other, d in right.terms.items()]
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
        result = monomial_product((), parts)
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
    return scale(mul(monomial_product(parts, tuple(base)), Poly({root: Fraction(1)})), number)


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
