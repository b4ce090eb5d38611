"""Expressions as LaTeX that MathJax and matplotlib's mathtext show."""

from __future__ import annotations

import re
from fractions import Fraction

from .atoms import Label
from .numpy_text import axes_order
from .program import Line, Program
from .tree import Function, Node, Number, Power, Product, Reduced, Sum, Sym
from .values import Code

__all__ = ["latex", "symbol_latex"]

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
).split()
_ACCENTS = {"hat": r"\hat", "bar": r"\bar", "tilde": r"\tilde"}
_FUNCTIONS = {"exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan"}
_COMPARED = {
    "greater": ">",
    "greater_equal": r"\geq",
    "less": "<",
    "less_equal": r"\leq",
    "equal": "=",
    "not_equal": r"\neq",
}
ADD, MULTIPLY, POWER, ATOM = range(4)


def symbol_latex(text: str, derivative: bool = False) -> str:
    r"""A name: Greek letters, ``xhat`` as a hat, digits and what follows an underscore as an index.

    >>> symbol_latex("gamma"), symbol_latex("xhat"), symbol_latex("w1")
    ('\\gamma', '\\hat{x}', 'w_{1}')
    """
    if derivative and len(text) > 1 and text.startswith("d"):
        return rf"\mathrm{{d}}{symbol_latex(text[1:])}"
    head, _, tail = text.partition("_")
    match = re.fullmatch(r"([A-Za-z]+?)(\d+)", head)
    if match:
        head, index = match.groups()
        tail = f"{index},{tail}" if tail else index
    for name, accent in _ACCENTS.items():
        if head.endswith(name) and head != name and len(head) - len(name) <= 5:
            base = symbol_latex(head[: -len(name)])
            return f"{accent}{{{base}}}" + (_index(tail) if tail else "")
    if head in _GREEK:
        base = f"\\{head}"
    elif len(head) == 1:
        base = head
    else:
        base = rf"\mathrm{{{head}}}"
    return base + (_index(tail) if tail else "")


def _index(text: str) -> str:
    inside = text.replace("_", ",")
    return f"_{{{inside}}}" if re.fullmatch(r"[\d,]+|.", inside) else rf"_{{\mathrm{{{inside}}}}}"


def latex(program: Program) -> str:
    """The lines of a program, one formula a line."""
    return "\n".join(_line(line, program) for line in (*program.forward, *program.backward))


def _line(line: Line, program: Program) -> str:
    derivative = line.symbol is None or line.symbol.role == "backward"
    left = symbol_latex(line.text, derivative)
    if line.node is None:
        code = line.code.split("\n")[-1].partition(" = ")[2] or line.code
        return rf"{left} = \mathrm{{{_escaped(code)}}}"
    writer = _Writer(program, line)
    right = writer.write(line.node)[0]
    note = writer.note()
    return f"{left} = {right}" + (rf"\quad ({note})" if note else "")


def _escaped(code: str) -> str:
    return re.sub(r"([_%&#{}$])", r"\\\1", code).replace(" ", r"\ ")


class _Writer:
    """Writes one formula; a mean is an overline, whose axis is said once, at the end."""

    def __init__(self, program: Program, line: Line) -> None:
        self.program = program
        self.axes = [a for a in line.axes if a is not None]
        self.means: list[tuple[int, ...]] = []

    def note(self) -> str:
        """Which axes the means are taken along."""
        known = sorted({p for p in self.means if p})
        if not known:
            return ""
        axes = ", ".join(str(p[0]) if len(p) == 1 else str(p) for p in known)
        return rf"\mathrm{{mean\ over\ axis\ {axes}}}"

    def wrapped(self, node: Node, binds: int) -> str:
        """An expression, in parentheses where it binds less tightly."""
        text, own = self.write(node)
        return text if own >= binds else rf"\left({text}\right)"

    def write(self, node: Node) -> tuple[str, int]:
        """LaTeX, and how tightly it binds."""
        if isinstance(node, Number):
            return _number(node.value), ATOM
        if isinstance(node, Sym):
            symbol = node.symbol
            if symbol in self.program.inlined and isinstance(symbol.definition, Code):
                return rf"\mathrm{{{_escaped(symbol.definition.template)}}}", ATOM
            if symbol in self.program.inlined:
                return self.write(self.program.definition(node))
            text = self.program.renamed.get(symbol, symbol.text)
            return symbol_latex(text, symbol.role in ("upstream", "backward")), ATOM
        if isinstance(node, Sum):
            text = ""
            for k, (sign, term) in enumerate(node.terms):
                mark = "-" if sign < 0 else "+" if k else ""
                text += f" {mark} {self.wrapped(term, MULTIPLY)}" if k else f"{mark}{self.wrapped(term, MULTIPLY)}"
            return text, ADD
        if isinstance(node, Product):
            return self._product(node), MULTIPLY
        if isinstance(node, Power):
            return f"{self.wrapped(node.base, ATOM)}^{{{_number(Fraction(node.exponent))}}}", POWER
        if isinstance(node, Function):
            return self._function(node)
        return self._reduced(node)

    def _product(self, node: Product) -> str:
        sign = "-" if node.number < 0 else ""
        c = abs(node.number)
        below = " ".join(self.wrapped(n, MULTIPLY) for n in node.below)
        above: list[Node] = [n for n in node.above if not isinstance(n, Sum)] if node.below else []
        after = [n for n in node.above if n not in above]
        if not node.below or not above:
            above, after = ([], list(node.above)) if not node.below else (list(node.above), [])
        number = "" if c == 1 else _number(c)
        top = r" \, ".join(self.wrapped(n, MULTIPLY) if len(above) > 1 else self.write(n)[0] for n in above)
        rest = r" \, ".join(self.wrapped(n, MULTIPLY) for n in after)
        if node.below:
            shown = rf"\dfrac{{{top or '1'}}}{{{below}}}"
            return sign + " ".join(part for part in (number, shown, rest) if part)
        return sign + " ".join(part for part in (number, rest) if part)

    def _function(self, node: Function) -> tuple[str, int]:
        if node.name == "sqrt":
            return rf"\sqrt{{{self.write(node.args[0])[0]}}}", ATOM
        if node.name == "sigmoid":
            return rf"\dfrac{{1}}{{1 + e^{{-{self.wrapped(node.args[0], MULTIPLY)}}}}}", ATOM
        if node.name in _COMPARED:
            left, right = (self.write(a)[0] for a in node.args)
            return rf"[{left} {_COMPARED[node.name]} {right}]", ATOM
        inside = ", ".join(self.write(a)[0] for a in node.args)
        if node.name == "absolute":
            return rf"\left|{inside}\right|", ATOM
        name = rf"\{node.name}" if node.name in _FUNCTIONS else rf"\mathrm{{{_escaped(node.name)}}}"
        return rf"{name}\left({inside}\right)", ATOM

    def _reduced(self, node: Reduced) -> tuple[str, int]:
        inside = self.write(node.inner)[0]
        places = self._places(node)
        if node.kind == "mean":
            self.means.append(places)
            return rf"\overline{{{inside}}}", ATOM
        at = f"_{{{', '.join(map(str, places))}}}" if places else ""
        if node.kind == "max":
            return rf"\max{at} {self.wrapped(node.inner, MULTIPLY)}", MULTIPLY
        return rf"\sum{at} {self.wrapped(node.inner, MULTIPLY)}", MULTIPLY

    def _places(self, node: Reduced) -> tuple[int, ...]:
        """The positions of the axes in the largest symbol inside."""
        order: tuple[Label | None, ...] = axes_order(node.inner, ())
        return tuple(sorted(order.index(b) for b in node.bound if b in order))


def _number(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    text = repr(float(value))
    if "e" in text:
        digits, _, exponent = text.partition("e")
        power = f"10^{{{int(exponent)}}}"
        return power if digits == "1" else rf"{digits} \cdot {power}"
    if len(text) <= 6:
        return text
    if len(str(value.numerator)) < 6:
        return rf"\dfrac{{{value.numerator}}}{{{value.denominator}}}"
    return f"{float(value):.6g}"
