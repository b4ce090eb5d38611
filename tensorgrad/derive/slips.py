"""Slips in the lines of a printed function, and what it computes with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..engine.mode import silenced
from .program import Line, Program
from .tree import Node as Tree
from .tree import Sym, rebuilt
from .values import Code, Symbol

__all__ = ["FACTOR", "coded", "confusable", "evaluated", "expanded", "kept_slips", "likely"]

FACTOR = " factor"  # the upstream gradient of a scalar, for which the printed function has no argument


def confusable(program: Program) -> list[Sym]:
    """Symbols that may stand in the wrong place: the upstream gradient, forward values, other gradients."""
    found = [Sym(s, s.axes) for s in (*program.inputs, *program.symbols) if s not in program.inlined]
    for text, value, shape in program.outputs:
        symbol = Symbol(text, shape, value.axes, "backward")
        if all(s.symbol.text != text for s in found):
            found.append(Sym(symbol, value.axes))
    return found


def expanded(node: Tree, program: Program) -> Tree:
    """The expression with what has no line of its own written out."""
    if isinstance(node, Sym):
        inside = node.symbol in program.inlined and not isinstance(node.symbol.definition, Code)
        return expanded(program.definition(node), program) if inside else node
    return rebuilt(node, lambda part: expanded(part, program))


def coded(program: Program, line: Line, node: Tree) -> str | None:
    """The line with another expression; None if the expression makes no sense there."""
    try:
        expr = program.printer.expr(node, line.axes)
    except (ValueError, IndexError, KeyError, AssertionError):
        return None
    if len(expr.axes) > len(line.axes):
        return None
    return f"{line.text} = np.broadcast_to({expr.text}, {line.shape})"


def likely(slip: str) -> bool:
    """Whether a slip is plain enough to be looked for together with another."""
    if slip.endswith((" too many", " once too often")):
        return False
    return slip.startswith(("the term", "the sign")) or "is divided by" in slip or "where it should be a" in slip


def kept_slips(line: Line) -> Iterator[tuple[str, str]]:
    """Slips in the text of a line: an index that occurs twice, and arrays reshaped where they have to be turned."""
    match = re.fullmatch(r"(.*\n)?np\.add\.at\((\w+), (.*)\)", line.code, re.DOTALL)
    if match:
        before, name, rest = match.groups()
        index, put = _parted(rest)
        text = "an index that occurs twice is only counted once: += keeps one of them; write np.add.at"
        yield text, f"{before or ''}{name}[{index}] += {put}"
    for turned in re.finditer(r"(\w+)(\.T\b|\.swapaxes\([^)]*\)|\.transpose\([^)]*\))", line.code):
        name, how = turned.groups()
        for text, new in (
            (f"{name} is reshaped where its axes have to be exchanged", f"{name}.reshape({name}{how}.shape)"),
            (f"{name} is not transposed", name),
        ):
            yield text, line.code[: turned.start()] + new + line.code[turned.end() :]


def _parted(text: str) -> tuple[str, str]:
    """Two arguments of a call, parted at the first comma outside brackets."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c in "([") - (c in ")]")
        if c == "," and depth == 0:
            return text[:i], text[i + 2 :]
    return text, ""


def evaluated(spaces: list[dict[str, Any]], code: str, after: Sequence[Line], target: str) -> Callable[[int], Any]:
    """The value of a variable in each draw after a line has been replaced."""
    text = "\n".join([code, *(line.code for line in after)])

    def value(k: int) -> Any:
        space = dict(spaces[k])
        with silenced():
            exec(text, space)
        return space[target] * space[FACTOR]

    return value
