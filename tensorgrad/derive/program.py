"""The printed function: definitions, gradients, names, shapes in comments, and the function itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .atoms import Label, Poly
from .book import Fact, is_reference
from .cost import needed
from .numpy_text import ATOM, Expr, Printer, hot
from .tree import Node, Sym, atoms_of, tree
from .values import Code, Symbol, Value, reference

__all__ = ["Line", "Program"]

Axes = tuple[Label | None, ...]


@dataclass(frozen=True)
class Line:
    """One definition of the printed function: the symbol's name, the expression for LaTeX, the code, the shape."""

    text: str
    node: Node | None
    code: str
    shape: tuple[int, ...]
    axes: Axes
    symbol: Symbol | None


def is_whole(symbol: Symbol, value: Value) -> bool:
    """Whether a value is a symbol with its own axes."""
    return len(symbol.axes) == len(value.axes) and value.poly == reference(symbol, value.axes).poly


class Program:
    """A backward as Python source.

    ``outputs`` are the gradients' names, formulas and shapes; ``inputs`` the arguments in their order.
    """

    def __init__(
        self,
        inputs: Sequence[Symbol],
        outputs: Sequence[tuple[str, Value, tuple[int, ...]]],
        facts: Sequence[Fact] = (),
    ) -> None:
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.facts = list(facts)
        self.renamed: dict[Symbol, str] = {}
        polys = [value.poly for _, value, _ in outputs]
        everything = needed(polys)
        self.symbols = [s for s in everything if s.definition is not None]
        self.extra = [s for s in everything if s.definition is None and s not in self.inputs]
        self.inlined: set[Symbol] = set()
        self._choose_inlined(polys)
        self.dropped: dict[Symbol, int] = {}
        self.printer = Printer(self._symbol)
        self.forward = [self._line(s) for s in self.symbols if s.role == "forward" and s not in self.inlined]
        self.backward = self._backward()
        self.source = self._source()

    # --- what gets a line -------------------------------------------------------------------------------

    def _choose_inlined(self, polys: list[Poly]) -> None:
        counts: dict[Symbol, int] = {}
        for poly in (*polys, *(s.definition for s in self.symbols if isinstance(s.definition, Poly))):
            for sym in atoms_of(tree(poly)):
                counts[sym.symbol] = counts.get(sym.symbol, 0) + 1
        for symbol in self.symbols:
            if isinstance(symbol.definition, Code):
                for value in symbol.definition.args:
                    for sym in atoms_of(tree(value.poly)):
                        counts[sym.symbol] = counts.get(sym.symbol, 0) + 1
        for symbol in self.symbols:
            if symbol.given or symbol.kept or counts.get(symbol, 0) != 1:
                continue
            code = symbol.definition
            if not isinstance(code, Code) or not (code.args or "{" in code.template):
                self.inlined.add(symbol)

    def _symbol(self, sym: Sym, target: Axes) -> Expr:
        symbol = sym.symbol
        if symbol in self.inlined and isinstance(symbol.definition, Code):
            return Expr(symbol.definition.template, ATOM, sym.axes)
        if symbol in self.inlined:
            return self.printer.expr(self.definition(sym), target)
        return Expr(self.renamed.get(symbol, symbol.text), ATOM, sym.axes[self.dropped.get(symbol, 0) :])

    def definition(self, sym: Sym) -> Node:
        """The expression that a symbol stands for."""
        return tree(sym.symbol.along(sym.axes))

    def _line(self, symbol: Symbol) -> Line:
        if isinstance(symbol.definition, Code):
            args = []
            for value in symbol.definition.args:
                shape = value.shape
                args.append(self.printer.exact(tree(value.poly), value.axes, shape))
            owners = {f"p{k}": a if a.isidentifier() else f"({a})" for k, a in enumerate(args)}
            text = self.renamed.get(symbol, symbol.text)
            lines = symbol.definition.template.format(*args, name=text, **owners).split("\n")
            if len(lines) == 1:
                lines = [f"{text} = {lines[0]}"]
            return Line(text, None, "\n".join(lines), symbol.shape, symbol.axes, symbol)
        node = tree(symbol.along(symbol.axes))
        expr = self.printer.expr(node, symbol.axes)
        self.dropped[symbol] = len(symbol.axes) - len(expr.axes)
        shape = tuple(1 if a is None else a[1] for a in expr.axes)
        text = self.renamed.get(symbol, symbol.text)
        code = f"{text} = {'1.0 * ' if hot(node) and symbol.role == 'backward' else ''}{expr.text}"
        return Line(text, node, code, shape, expr.axes, symbol)

    def _backward(self) -> list[Line]:
        """Named gradients, each followed by the results that need no later ones."""
        named = [s for s in self.symbols if s.role == "backward" and s not in self.inlined]
        waiting: list[tuple[str, Value, tuple[int, ...], set[Symbol]]] = []
        owned: dict[Symbol, int] = {}
        for k, (text, value, shape) in enumerate(self.outputs):
            symbol = is_reference(value.poly)
            same = symbol is not None and is_whole(symbol, value)
            free = symbol in named and symbol not in owned
            if symbol is None or not same or not free or symbol.shape != shape:
                continue
            if all(a is not None or n == 1 for a, n in zip(symbol.axes, shape, strict=True)):
                owned[symbol] = k
                self.renamed[symbol] = text
        for k, (text, value, shape) in enumerate(self.outputs):
            if k not in owned.values():
                uses = {s for s in needed([value.poly]) if s in named}
                waiting.append((text, value, shape, uses))
        lines: list[Line] = []
        done: set[Symbol] = set()

        def ready() -> None:
            for item in list(waiting):
                if item[3] <= done and (item[3] or not named):
                    lines.append(self._output(*item[:3]))
                    waiting.remove(item)

        for symbol in named:
            ready()
            lines.append(self._line(symbol))
            done.add(symbol)
        ready()
        lines += [self._output(*item[:3]) for item in waiting]
        return lines

    def _output(self, text: str, value: Value, shape: tuple[int, ...]) -> Line:
        node = tree(value.poly)
        exact = self.printer.exact(node, value.axes, shape)
        if hot(node):
            exact = f"1.0 * ({exact})"
        return Line(text, node, f"{text} = {exact}", shape, value.axes, None)

    # --- source -----------------------------------------------------------------------------------------

    def _source(self) -> str:
        names = [s.text for s in (*self.inputs, *self.extra)]
        head = f"def backward({', '.join(names)}):"
        rows: list[tuple[str, str | None]] = []
        for part, lines in (("forward", self.forward), ("backward", self.backward)):
            if part == "backward" and self.forward:
                rows.append(("    # backward", None))
            for line in lines:
                *before, last = line.code.split("\n")
                rows += [(f"    {row}", None) for row in before]
                rows.append((f"    {last}", str(line.shape)))
        width = max((len(row) for row, comment in rows if comment is not None), default=0)
        body = [row if comment is None else f"{row:<{width}}  # {comment}" for row, comment in rows]
        result = ", ".join(text for text, _, _ in self.outputs)
        return "\n".join([head, *body, f"    return {result}"]) + "\n"

    def function(self) -> Callable[..., Any]:
        """The printed function, compiled."""
        space: dict[str, Any] = {"np": np}
        if "special." in self.source:
            from scipy import special

            space["special"] = special
        exec(compile(self.source, "<derived backward>", "exec"), space)  # the text printed above, and nothing else
        made: Callable[..., Any] = space.pop("backward")
        return made
