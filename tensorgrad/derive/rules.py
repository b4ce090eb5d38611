"""The rule of one input of an operation as a formula, from its node alone, also after ``backward()`` has freed it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from ..compiler.array import TracedArray
from ..compiler.variables import Variable
from ..engine.arrays import array_functions
from ..engine.graph import Freed, Given, Node, sources
from ..engine.mode import silenced
from ..errors import GraphError
from .atoms import Poly, Ref
from .book import Book
from .calls import Unliftable
from .cost import needed
from .lift import Lifter
from .numpy_text import ATOM, Expr, Printer
from .program import Program
from .recording import Recorded, Recording, Watched, name_after
from .sums import total, transform
from .tree import tree
from .values import Code, Symbol, Value, reference

__all__ = ["FAILURES", "Local", "identifier", "local_rule", "named_nodes", "own_name", "rule_text"]

# What working out a formula may raise, beside GraphError, for values or arrays that it does not fit.
FAILURES = (ArithmeticError, ValueError, TypeError, IndexError, AttributeError, Unliftable)


@dataclass
class Local:
    """The rule of one input: its formula over the axes of what it returns, and the symbol of the gradient it gets."""

    value: Value
    upstream: Symbol


def identifier(text: str) -> str:
    """A label as a name in Python.

    >>> identifier("net.0.W"), identifier("0.W"), identifier("loss")
    ('net_0_W', 'W_0', 'loss')
    """
    parts = re.sub(r"\W", ".", text).split(".")
    if parts[0][:1].isdigit() and len(parts) > 1:
        parts = [parts[-1], *parts[:-1]]
    joined = "_".join(parts)
    return joined if f"d{joined}".isidentifier() else "v"


def own_name(node: Any, path: str = "") -> str | None:
    """The label of a node's Tensor, below the path of a module, or the name of the result in the code."""
    if not isinstance(node, Node):
        return None
    if node.label:
        return identifier(node.label.removeprefix(f"{path}.") if path else node.label)
    return name_after(node.code, node.lasti) if node.code is not None else None


def named_nodes(nodes: Iterable[Node], given: Mapping[Node, str] | None = None, path: str = "") -> dict[Any, str]:
    """A name for each node: its own, or the one given for it, or its operation, with a number where it is taken.

    Of different operations in a row that one line called, such as those of a function of this library, only the last
    has the name that the result was assigned to.
    """
    order = sorted(nodes, key=lambda n: n.birth)
    names: dict[Any, str] = {}
    taken: set[str] = set()
    for _, group in groupby(order, key=lambda n: (n.code, n.lasti)):
        run = list(group)
        composed = len({node.op for node in run}) > 1
        for node in run:
            own = node.label is not None or not composed or node is run[-1]
            text = (own_name(node, path) if own else None) or (given or {}).get(node) or identifier(node.op)
            tried, k = text, 2
            while tried in taken:
                tried, k = f"{text}{k}", k + 1
            names[node] = tried
            taken.add(tried)
    return names


def _saved(node: Node, position: int) -> tuple[Any, ...] | None:
    """What the rule of one input is given; ones of the same shape if it was freed. None if nothing is known of it."""
    rule, saved = node.rules[position], node.saved
    assert rule is not None
    if not isinstance(saved, Freed):
        return saved[position]
    found: list[Any] = []
    for source in sources(rule, node):
        if isinstance(source, Node | Given):
            found.append(np.ones(source.shape, source.dtype))
        elif source is None:
            return None
        else:
            found.append(source)
    return tuple(found)


def local_rule(node: Node, position: int, names: Mapping[Any, str]) -> Local:
    """What the rule of one input computes, in terms of the gradient, the inputs and the result.

    Raises GraphError if it has no formula, one of FAILURES if it cannot be worked out for such values.
    """
    rule = node.rules[position]
    assert rule is not None
    saved = _saved(node, position)
    if saved is None:
        raise GraphError(f"backward() has freed what {node.op} saved")
    trace = Recording()
    book = Book()
    inputs: dict[Variable, Value] = {}

    def traced(value: Any, text: str, role: str) -> tuple[Any, Symbol | None]:
        if not isinstance(value, np.ndarray):
            return value, None
        made = trace.traced(np.asarray(value, dtype=np.float64) if value.dtype.kind == "f" else value, "argument")
        symbol = book.input(text, made.variable.value, role)
        inputs[made.variable] = reference(symbol)
        return made, symbol

    g, upstream = traced(np.ones(node.shape), f"d{names[node]}", "upstream")
    assert upstream is not None
    args = []
    for k, (value, source) in enumerate(zip(saved, sources(rule, node), strict=True)):
        if isinstance(source, int | float):
            args.append(source)  # not the array that stands for it
            continue
        text = names.get(source) or own_name(source) or ("c" if k == 0 else f"c{k + 1}")
        args.append(traced(value, text, "input")[0])
    with Watched(trace, None), silenced():
        result = rule(array_functions, g, *args)
    if not isinstance(result, TracedArray):
        raise GraphError(f"the rule of {node.op} does not depend on its gradient")
    lifter = Lifter(Recorded(trace, 0, [], {}, result.variable, None), book, {}, False, ())
    lifter.role = "backward"
    lifter.values.update(inputs)
    for instruction in trace.instructions:
        lifter.step(instruction)
    value = lifter.value(result.variable)
    parent = node.inputs[position]
    axes = value.axes[max(len(value.axes) - len(parent.shape), 0) :]
    return Local(Value(_opened(_unbroadcast(value, parent.shape)), axes), upstream)


def rule_text(node: Node, position: int, names: Mapping[Any, str]) -> str:
    """What the rule of one input assigns, as NumPy: ``dx = dz * y``. If it has no formula, the text says so."""
    parent = node.inputs[position]
    target = f"d{names[parent]}"
    try:
        local = local_rule(node, position, names)
        poly = local.value.poly
        if any(isinstance(symbol.definition, Code) for symbol in needed([poly])):
            program = Program([], [(target, local.value, parent.shape)])  # with a line for each call that is kept
            lines = [line.code for line in (*program.forward, *program.backward)]
            return "; ".join(lines).replace("\n", "; ")
        printer = Printer(lambda sym, axes: Expr(sym.symbol.text, ATOM, sym.axes))
        return f"{target} = {printer.expr(tree(poly), local.value.axes).text}"
    except (GraphError, *FAILURES):
        return f"{target} = the rule of {node.op}, which has no formula"


def _unbroadcast(value: Value, shape: tuple[int, ...]) -> Poly:
    """The sum over the axes along which an input was broadcast."""
    axes = list(value.axes)
    extra = len(axes) - len(shape)
    bound = [a for a in axes[: max(extra, 0)] if a is not None]
    bound += [a for a, n in zip(axes[max(extra, 0) :], shape, strict=True) if a is not None and n == 1]
    return total(value.poly, bound)


def _opened(poly: Poly) -> Poly:
    """The formula with the definitions of what has no name."""

    def visit(atom: Any) -> Poly | None:
        if isinstance(atom, Ref) and isinstance(atom.symbol.definition, Poly):
            return atom.symbol.along(atom.axes)
        return None

    for _ in range(8):
        further = transform(poly, visit)
        if further == poly:
            break
        poly = further
    return poly
