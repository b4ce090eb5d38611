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
    """The lines of a program, one formula a line; beside products of matrices, others are written with a circle."""
    lines = (*program.forward, *program.backward)
    writers = [_Writer(program, line) for line in lines]
    text = "\n".join(map(_line, lines, writers))
    if not any(writer.matrices for writer in writers):
        return text
    return "\n".join(_line(line, _Writer(program, line, r" \odot ")) for line in lines)


def _line(line: Line, writer: _Writer) -> str:
    derivative = line.symbol is None or line.symbol.role == "backward"
    left = symbol_latex(line.text, derivative)
    if line.node is None:
        code = line.code.split("\n")[-1].partition(" = ")[2] or line.code
        return rf"{left} = \mathrm{{{_escaped(code)}}}"
    right = writer.write(line.node)[0]
    note = writer.note()
    return f"{left} = {right}" + (rf"\quad ({note})" if note else "")


def _escaped(code: str) -> str:
    return re.sub(r"([_%&#{}$])", r"\\\1", code).replace(" ", r"\ ")


class _Writer:
    """Writes one formula; a mean is an overline, whose axis is said once, at the end."""

    def __init__(self, program: Program, line: Line, times: str = r" \, ") -> None:
        self.program = program
        self.times = times
        self.matrices = False  # whether there is a product of matrices
        self.axes = [a for a in line.axes if a is not None]
        self.means: list[tuple[int, ...]] = []

    def note(self) -> str:
        """Which axes the means are taken along."""
        known = sorted({p for p in self.means if p})
        if not known:
            return ""
        axes = r",\ ".join(str(a) for p in known for a in p) if len(known) == 1 else ", ".join(map(str, known))
        word = "axis" if known == [known[0][:1]] else "axes"
        return rf"\mathrm{{mean\ over\ {word}\ {axes}}}"

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
        outer = self._outer(node)
        if outer is not None:
            self.matrices = True
            return sign + " ".join(part for part in (number, outer) if part)
        top = self.times.join(self.wrapped(n, MULTIPLY) if len(above) > 1 else self.write(n)[0] for n in above)
        rest = self.times.join(self.wrapped(n, MULTIPLY) for n in after)
        if node.below:
            shown = rf"\dfrac{{{top or '1'}}}{{{below}}}"
            whole = (self.times if self.times.strip() != r"\," else " ").join(part for part in (shown, rest) if part)
            return sign + " ".join(part for part in (number, whole) if part)
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
        if node.name in ("maximum", "minimum"):
            return rf"\{node.name[:3]}\left({inside}\right)", ATOM
        if node.name == "absolute":
            return rf"\left|{inside}\right|", ATOM
        name = rf"\{node.name}" if node.name in _FUNCTIONS else rf"\mathrm{{{_escaped(node.name)}}}"
        return rf"{name}\left({inside}\right)", ATOM

    def _reduced(self, node: Reduced) -> tuple[str, int]:
        product = self._matrix_product(node)
        if product is not None:
            self.matrices = True
            return product, MULTIPLY
        inside = self.write(node.inner)[0]
        places = self._places(node)
        if node.kind == "mean":
            self.means.append(places)
            return rf"\overline{{{inside}}}", ATOM
        at = f"_{{{', '.join(map(str, places))}}}" if places else ""
        if node.kind == "max":
            return rf"\max{at} {self.wrapped(node.inner, MULTIPLY)}", MULTIPLY
        return rf"\sum{at} {self.wrapped(node.inner, MULTIPLY)}", MULTIPLY

    def _matrix_product(self, node: Reduced) -> str | None:
        """The product of two matrices (or of stacks of them, or vectors), each transposed where it has to be."""
        inner = node.inner
        if node.kind != "sum" or len(node.bound) != 1 or not isinstance(inner, Product):
            return None
        if inner.below or inner.number != 1 or len(inner.above) != 2:
            return None
        (k,) = node.bound
        one, other = inner.above
        if not (isinstance(one, Sym) and isinstance(other, Sym) and k in one.labels and k in other.labels):
            return None
        shared = (one.labels & other.labels) - {k}
        rows, columns = one.labels - shared - {k}, other.labels - shared - {k}
        if len(rows) > 1 or len(columns) > 1 or not (rows or columns) or (shared and not (rows and columns)):
            return None
        order = {a: i for i, a in enumerate(self.axes)}
        if not rows or (columns and order.get(min(rows), 0) > order.get(min(columns), 0)):
            one, other = other, one
        left, right = self._factor(one, last=k), self._factor(other, first=k)
        return None if left is None or right is None else rf"{left} \, {right}"

    def _outer(self, node: Product) -> str | None:
        """The product of two vectors along different axes, which is a matrix."""
        if node.below or len(node.above) != 2:
            return None
        one, other = node.above
        if not (isinstance(one, Sym) and isinstance(other, Sym) and len(one.labels) == len(other.labels) == 1):
            return None
        if one.labels == other.labels or not {*one.labels, *other.labels} <= set(self.axes):
            return None
        (i,), (j,) = one.labels, other.labels
        if self.axes.index(i) > self.axes.index(j):
            one, other = other, one
        return rf"{self.wrapped(one, POWER)} \, {self.wrapped(other, POWER)}^{{\top}}"

    def _factor(self, node: Sym, first: Label | None = None, last: Label | None = None) -> str | None:
        """A factor of a matrix product, whose summed axis has to be the first or the last of its matrix."""
        axes = [a for a in node.axes if a is not None][-2:]
        text = self.wrapped(node, POWER)
        if axes[-1 if last else 0] == (last or first):
            return text
        return rf"{text}^{{\top}}" if len(axes) == 2 and (last or first) in axes else None

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
