"""What a click on a card of a page says: the rule of an operation, or the derived backward of a closed module."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from ..derive.parts import part_backward
from ..derive.rules import named_nodes, rule_text
from ..engine.graph import Node
from ..errors import GraphError
from .facts import where
from .graph import Graph
from .groups import Group, operations_in

__all__ = ["Derivatives"]

MOST_RULES = 300  # operations of a page whose rules are written out
MOST_IN_PART = 40  # operations of a closed module whose backward is derived
MOST_DERIVED = 200  # operations in all of these together
MOST_ELEMENTS = 20_000_000  # elements of the arrays for which all of this is computed


class Derivatives:
    """The texts of one page. They take time, so there is an end to it: see the limits above."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.rules = MOST_RULES
        self.derived = MOST_DERIVED
        self.elements = MOST_ELEMENTS

    def of(self, operations: Mapping[str, Node], groups: Mapping[str, Group]) -> dict[str, str]:
        """The texts for the cards of one picture, by the card's id."""
        texts = {id: self.module(group) for id, group in groups.items()}
        return texts | {id: self.operation(node) for id, node in operations.items() if any(node.rules)}

    def _affordable(self, nodes: list[Node]) -> bool:
        elements = 0
        for node in nodes:
            elements += prod(node.shape)
            elements += sum(prod(parent.shape) for parent in node.inputs if isinstance(parent, Node))
        if elements > self.elements:
            return False
        self.elements -= elements
        return True

    def operation(self, node: Node) -> str:
        """What an operation is, and the rule of each input that has a gradient."""
        parents = [p for p in node.inputs if isinstance(p, Node)]
        names = named_nodes(dict.fromkeys([*parents, node]), {node: "out"}, node.scope.path)
        place, line = where(node.code, node.lasti)
        head = f"{names[node]} = {node.op}(…)" + (f"  at {place}" if place else "") + (f": {line}" if line else "")
        if not self.rules or not self._affordable([node]):
            return f"{head}\n\nnot written out: this page is too large; t.explain(loss) prints the rules one by one"
        self.rules -= 1
        rows = []
        for position, (parent, rule) in enumerate(zip(node.inputs, node.rules, strict=True)):
            if rule is not None:
                rows.append((rule_text(node, position, names), str(parent.shape)))
        width = max(len(formula) for formula, _ in rows)
        lines = [f"{formula:<{width}}  # {shape}" for formula, shape in rows]
        if len(set(parents)) < len(parents):
            lines.append("(an input that is given twice: its lines add up)")
        return "\n".join([head, "", *lines])

    def module(self, group: Group) -> str:
        """The derived backward of what a closed card stands for, or why there is none."""
        nodes = list(operations_in(group))
        name = f"{group.path} {group.title}".strip() or group.kind
        try:
            return f"{name}\n\n{self._derived(group, nodes)}"
        except GraphError as error:
            return f"{name}\n\nno derived backward: {error}"

    def _derived(self, group: Group, nodes: list[Node]) -> str:
        if group.times > 1:
            raise GraphError(f"it stands for {group.times} equal parts; each of them has one")
        if len(nodes) > MOST_IN_PART:
            raise GraphError(
                f"it has {len(nodes):,} operations, and a formula of more than {MOST_IN_PART} is hard to read; what is "
                f"inside has its own"
            )
        if len(nodes) > self.derived or not self._affordable(nodes):
            raise GraphError("this page is too large; draw a smaller part, or call tg.derive with the function")
        self.derived -= len(nodes)
        inside = set(nodes)
        roots = self.graph.roots
        users = self.graph.consumers
        results = [n for n in nodes if n in roots or any(user not in inside for user in users.get(n, ()))]
        return part_backward(nodes, results, path=group.path, whole=any(node in roots for node in results))
