"""The chain of rules from a result to a Tensor, each with its formula, shapes and source line."""

from __future__ import annotations

from ..engine.frames import place
from ..engine.graph import Freed, Node
from ..engine.walk import latest_root, reaches
from ..errors import GraphError
from ..tensor import Tensor
from .rules import named_nodes, rule_text

__all__ = ["explained"]


def explained(t: Tensor, result: Tensor | None) -> str:
    """The work of :meth:`tensorgrad.Tensor.explain`."""
    if result is not None and not isinstance(result, Tensor):
        raise TypeError(f"explain expects the Tensor that backward() starts from, got {type(result).__name__}")
    start, end = t.node, latest_root() if result is None else result.node
    if result is None and end is None:
        raise GraphError(
            "there was no backward() yet whose Tensor still exists; write x.explain(loss), before or after "
            "loss.backward()"
        )
    nodes = set() if start is None or end is None or not start.requires_grad else reaches(end, [start])
    if start is None or end not in nodes:
        raise GraphError(_unconnected(end, result is None))
    between = sorted(nodes, key=lambda node: -node.birth)
    names = named_nodes(between, {start: "x", end: "out"})
    lines = []
    for node in between:
        if node is start:
            continue
        for position, parent in enumerate(node.inputs):
            if parent in nodes and node.rules[position] is not None:
                formula = rule_text(node, position, names)
                lines.append((formula, str(parent.shape), node.op, place(node.code, node.lasti)))
    if not lines:
        return f"d{names[start]} is what backward() starts with"
    widths = [max(map(len, column)) for column in list(zip(*lines, strict=True))[:3]]
    rows = ("  ".join([*(c.ljust(w) for c, w in zip(line[:3], widths, strict=True)), line[3]]) for line in lines)
    return "\n".join(rows)


def _unconnected(end: Node | None, latest: bool) -> str:
    """Why no path leads from the result to the Tensor."""
    freed = end.saved if end is not None else None
    if isinstance(freed, Freed) and end is not None and not all(_linked(node) for node in _reached(end)):
        return (
            f"backward() at {place(freed.code, freed.lasti)} freed the graph, and a later one dropped its links; call "
            f"explain before that, or compute under `with tg.record_graph():`"
        )
    if latest:
        return (
            "the last backward() did not start from anything that depends on this Tensor; write x.explain(loss) with "
            "the loss"
        )
    return "the result does not depend on this Tensor; tg.why_no_grad(t, result) says where the history ends"


def _linked(node: Node) -> bool:
    return bool(node.inputs) or not node.rules


def _reached(end: Node) -> set[Node]:
    """The nodes that a result is still linked to."""
    found, stack = {end}, [end]
    while stack:
        for parent in stack.pop().inputs:
            if isinstance(parent, Node) and parent not in found:
                found.add(parent)
                stack.append(parent)
    return found
