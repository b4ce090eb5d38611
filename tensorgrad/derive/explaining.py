"""The chain of rules from a result to a Tensor, each with its formula, shapes and source line."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiler.array import TracedArray
from ..compiler.variables import Variable
from ..engine.arrays import array_functions
from ..engine.frames import place
from ..engine.graph import Freed, Node, sources
from ..engine.walk import reaches
from ..errors import GraphError
from ..tensor import Tensor
from .algebra import Poly, Ref, total, transform
from .book import Book
from .lift import Lifter
from .numpy_text import ATOM, Expr, Printer
from .recording import Recorded, Recording, Watched, name_after
from .tree import tree
from .values import Value, reference

__all__ = ["explained"]


def explained(t: Tensor, result: Tensor) -> str:
    """The work of :func:`tensorgrad.explain`."""
    for value in (t, result):
        if not isinstance(value, Tensor):
            raise TypeError(f"explain expects Tensors, got {type(value).__name__}")
    start, end = t.node, result.node
    if end is not None and isinstance(end.saved, Freed):
        raise GraphError(
            f"backward() at {place(end.saved.code, end.saved.lasti)} freed the graph; call explain before it, or write "
            f"backward(retain_graph=True) there"
        )
    nodes = set() if start is None or end is None or not start.requires_grad else reaches(end, [start])
    if start is None or not nodes or end not in nodes:
        raise GraphError(
            "the result does not depend on this Tensor; tg.why_no_grad(t, result) says where the history ends"
        )
    order = sorted(nodes, key=lambda node: -node.birth)
    names = _names(order, start, end)
    lines = []
    for node in order:
        if node is start:
            continue
        for position, parent in enumerate(node.inputs):
            if parent in nodes and node.rules[position] is not None:
                formula = _formula(node, position, names) or f"the rule of {node.op}, which has no formula"
                lines.append(
                    (f"d{names[parent]} = {formula}", str(parent.shape), node.op, place(node.code, node.lasti))
                )
    widths = [max(len(line[k]) for line in lines) for k in range(3)]
    rows = ("  ".join([*(c.ljust(w) for c, w in zip(line[:3], widths, strict=True)), line[3]]) for line in lines)
    return "\n".join(rows)


def _names(order: list[Node], start: Node, end: Node) -> dict[Any, str]:
    """A name for each node: its label, its name in the code, or its operation with a number."""
    names: dict[Any, str] = {}
    taken: set[str] = set()
    for node in reversed(order):
        text = _own_name(node) or ("x" if node is start else "out" if node is end else node.op)
        tried, k = text, 2
        while tried in taken:
            tried, k = f"{text}{k}", k + 1
        names[node] = tried
        taken.add(tried)
    return names


def _own_name(node: Any) -> str | None:
    """The label of a node's Tensor, or the name of the result in the code."""
    if not isinstance(node, Node):
        return None
    return node.label or (name_after(node.code, node.lasti) if node.code is not None else None)


def _formula(node: Node, position: int, names: dict[Any, str]) -> str | None:
    """What the rule of one input computes, in terms of the gradient, the inputs and the result."""
    rule = node.rules[position]
    assert rule is not None
    saved: Any = node.saved
    trace = Recording()
    book = Book()
    inputs: dict[Variable, Value] = {}

    def traced(value: Any, text: str, role: str) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        made = trace.traced(np.asarray(value, dtype=np.float64) if value.dtype.kind == "f" else value, "argument")
        inputs[made.variable] = reference(book.input(text, made.variable.value, role))
        return made

    g = traced(np.ones(node.shape), f"d{names[node]}", "upstream")
    args = []
    for k, (value, source) in enumerate(zip(saved[position], sources(rule, node), strict=True)):
        text = names.get(source) or _own_name(source) or ("c" if k == 0 else f"c{k + 1}")
        args.append(traced(value, text, "input"))
    try:
        with Watched(trace, None):
            result = rule(array_functions, g, *args)
        if not isinstance(result, TracedArray):
            return None
        recorded = Recorded(trace, 0, [], {}, result.variable, None)
        lifter = Lifter(recorded, book, {}, False, ())
        lifter.role = "backward"
        lifter.values.update(inputs)
        for instruction in trace.instructions:
            lifter.step(instruction)
        value = lifter.value(result.variable)
        parent = node.inputs[position]
        axes = value.axes[max(len(value.axes) - len(parent.shape), 0) :]
        printer = Printer(lambda sym, target: Expr(sym.symbol.text, ATOM, sym.axes))
        return printer.expr(tree(_opened(_unbroadcast(value, parent.shape))), axes).text
    except (GraphError, ArithmeticError, ValueError):
        return None


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
