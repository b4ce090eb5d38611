"""Cards and edges, read from the nodes of a graph as far as a view opens it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..engine.graph import ArraySummary, Leaf, Node, elementwise
from .facts import data_of
from .graph import Graph
from .groups import Group, operations_in
from .leafcards import SYMBOLS, LeafReader
from .levels import PLAIN, View
from .marks import mark_birth_of_nan, mark_freed, mark_unreached
from .picture import Card, Edge, Line, Picture
from .style import number, shape_text, short

__all__ = ["Reader", "inside_of"]

# Operations that broadcast their inputs, but are not elementwise in the engine's sense.
_BROADCASTING = {"add_sequence", "broadcast_to", "choose", "clip", "ldexp", "lerp", "where"}
_OPERANDS = {  # of operations whose operands cannot be exchanged
    "subtract": ("left", "right"),
    "matmul": ("left", "right"),
    "divide": ("numerator", "denominator"),
    "power": ("base", "exponent"),
}
_FEW_LINES = 4  # parameters that a closed module lists one by one


class Reader(LeafReader):
    """Makes the cards of one view, in order of creation."""

    def picture(self) -> Picture:
        """The cards and edges."""
        graph = self.graph
        for unit, home in zip(self.units, self.homes, strict=True):
            made = self.operation(unit) if isinstance(unit, Node) else self.module(unit)
            home.cards.append(made)
        for key, source in graph.sources.items():
            if source.node in graph.roots and not source.users:
                self.source_card(key)
        for place, cluster in enumerate(self.page.within()):
            cluster.id = f"c{place}"
        mark_birth_of_nan(self)
        mark_freed(self)
        if not self.partial:
            mark_unreached(self)
        hidden = sum(card.count for card in self.cards if card.kind in ("module", "function", "fold", "part"))
        if hidden and not self.partial:
            total = len(self.place)
            self.notes.append(f"{hidden:,} of {total:,} operations are folded; open them with depth= or expand=")
        if len(graph.roots) == 1 and not graph.scalars:
            for card in self.cards:
                card.called = "loss"
        ops = Counter(node.op for node in graph.ops)
        leaves = sum(source.kind == "parameter" for source in graph.sources.values())
        return Picture(self.cards, self.edges, self.page, self.notes, ops, leaves)

    def operation(self, node: Node) -> Card:
        """One card for an operation, its result, and the leaves that only it uses."""
        graph = self.graph
        path = node.scope.path
        tails: list[tuple[int, Any, Card]] = []
        lines: list[Line] = []
        operands: list[str] = []
        for position, value in enumerate(node.inputs):
            if isinstance(value, Node) and not isinstance(value, Leaf):
                tails.append((position, value, self.tail(value)))
            elif isinstance(value, Leaf) or (node, position) in graph.given:
                key = value if isinstance(value, Leaf) else graph.given[node, position]
                source = graph.sources[key]
                if self.is_card(key):
                    tails.append((position, value, self.source_card(key)))
                elif source.kind == "constant" and source.shape == () and source.data is not None:
                    operands.append(_operand(node, position, number(source.data.item())))
                else:
                    lines.append(self.line(key, node, position))
            else:
                operands.append(_operand(node, position, number(value, 6)))
        card = self.card("op", node.op, name=short(node.label or "", 24), shape=node.shape, path=path, count=1)
        self.of_unit.append(card)
        self.operations[card.id] = node
        card.lines, card.operands = lines, ", ".join(operands)
        card.root = node in graph.roots
        card.faded = node in graph.faded
        value = data_of(node.value)
        if value is not None and not isinstance(value, ArraySummary) and not value.shape:
            card.value = number(value.item())
        card.gradient = graph.measures.of(node)
        title = node.scope.title
        scope = f"{path}{' ' if path and title else ''}{title}"
        named = f"{node.label} = {node.op}" if node.label else node.op
        card.tip.append(f"{scope} · {named}" if scope else named)
        self.facts(node, card, value)
        card.tip += [fact for line in lines for fact in line.tip.split("\n")]
        several = len(tails) > 1
        for position, parent, tail in tails:
            self.edge(node, position, parent, tail, card, several)
        return card

    def module(self, group: Group) -> Card:
        """One card for a closed module, function, run of equal parts or stretch of operations."""
        graph = self.graph
        nodes = list(operations_in(group))
        start, stop = group.start, group.stop
        own: dict[Any, None] = {}
        tails: list[tuple[Node, int, Any, Card]] = []
        drawn: set[str] = set()
        last = None
        for node in nodes:
            if node in graph.roots or any(
                not start <= self.place[user] < stop for user in graph.consumers.get(node, ())
            ):
                last = node
            for position, value in enumerate(node.inputs):
                if isinstance(value, Node) and not isinstance(value, Leaf):
                    at = self.place[value]
                    if not start <= at < stop:
                        tails.append((node, position, value, self.tail(value)))
                elif isinstance(value, Leaf) or (node, position) in graph.given:
                    key = value if isinstance(value, Leaf) else graph.given[node, position]
                    source = graph.sources[key]
                    if self.is_card(key):
                        tails.append((node, position, value, self.source_card(key)))
                    elif source.kind == "parameter":
                        own[key] = None
        last = last if last is not None else nodes[-1]
        title, _, _ = group.title.partition(" · ")
        name, kind = short(title, 60), group.kind
        head = group.path if kind in ("module", "fold") and group.path else name
        card = self.card(kind, short(head, 60) or kind, shape=last.shape, path=group.path, count=len(nodes))
        self.of_unit.append(card)
        self.groups[card.id] = group
        card.name = name if name != card.title else ""
        if last.label or last in graph.roots:
            card.root = last in graph.roots
            card.tip.append(f"its result is {last.label!r}" if last.label else "its result is drawn")
        card.times = group.times
        card.faded = all(node in graph.faded for node in nodes)
        value = data_of(last.value)
        if value is not None and not isinstance(value, ArraySummary) and not value.shape:
            card.value = number(value.item())
        card.gradient = graph.measures.of_all(nodes, last)
        self._parameters(card, group, own)
        ops = Counter(node.op for node in nodes)
        parts = ", ".join(f"{n:,} {op}" for op, n in ops.most_common(6)) + (", …" if len(ops) > 6 else "")
        card.tip[:0] = [f"{group.path} {group.title}".strip() or kind, f"{len(nodes):,} operations: {parts}"]
        self.facts(last, card, value)
        card.tip += [fact for line in card.lines for fact in line.tip.split("\n")]
        for node, position, parent, tail in tails:
            if tail.id not in drawn:
                drawn.add(tail.id)
                self.edge(node, position, parent, tail, card, False)
        return card

    def _parameters(self, card: Card, group: Group, own: Mapping[Any, None]) -> None:
        """The parameters of a closed module: each a line, or their number and the range of their gradients."""
        again = [key for key in own if key in self.shown]
        own = {key: None for key in own if key not in self.shown}
        if again:
            names = [self.graph.sources[key].label or "a parameter" for key in again]
            card.tip.append(f"also uses {', '.join(names[:6])}{', …' if len(names) > 6 else ''}")
        if not own:
            return
        if len(own) <= _FEW_LINES:
            card.lines = [self.line(key, None, 0) for key in own]
            if group.path:
                card.lines = [line._replace(name=_below(group.path, line.name)) for line in card.lines]
            return
        sources = [self.graph.sources[key] for key in own]
        self.shown.update(own)
        size = sum(math.prod(source.shape or ()) for source in sources)
        card.summary = f"{size:,} params"
        found = [g for source in sources if source.node is not None and (g := self.graph.measures.of(source.node))]
        with_value = sorted((g for g in found if g.rms is not None and g.rms == g.rms), key=lambda g: g.rms or 0.0)
        broken = [g for g in found if g.rms is not None and g.rms != g.rms]
        missing = [g for g in found if g.rms is None]
        if broken:
            card.range = (broken[0],)
        elif with_value:
            low, high = with_value[0], with_value[-1]
            card.range = (low,) if low.text == high.text else (low, high)
        if missing:
            text = f"{len(missing)} of {len(found)}: {missing[0].text}" if with_value or broken else missing[0].text
            card.range = (*card.range, missing[0]._replace(text=text))

    def edge(self, node: Node, position: int, parent: Any, tail: Card, head: Card, several: bool) -> None:
        """Add the edge of one input of an operation; ``several`` if other operands have edges, too."""
        style, label = "solid", ""
        rule = node.rules[position] if position < len(node.rules) else None
        if not isinstance(parent, Node) or not parent.requires_grad or rule is None:
            style = "dotted"
        elif _is_broadcast(node, parent):
            style, label = "dashed", "broadcast"
        names = _OPERANDS.get(node.op)
        if names is not None and several and position < 2:
            label = f"{names[position]}, {label}" if label else names[position]
        elif not label and tail.kind == "op" and head.kind == "op" and tail.shape != head.shape and tail.shape:
            label = shape_text(tail.shape)
        flow = {
            "solid": "",
            "dashed": ", broadcast: its gradient is summed",
            "dotted": ", no gradient flows",
        }[style]
        of = f" of {len(node.inputs)}" if len(node.inputs) > 1 else ""
        tip = f"{tail.name or tail.title} {tail.text} → {node.op}: input {position + 1}{of}{flow}"
        self.edges.append(Edge(tail.id, head.id, style, label, tip))


def inside_of(graph: Graph, group: Group) -> Reader:
    """A reader of what a closed module holds, with what enters it and its closed parts; of equal parts, the first."""
    page = Group("inside")
    page.items = group.items[: len(group.items) // group.times]
    view = View(page, lambda _: False)
    if len(page.items) > PLAIN:
        view = graph.plan.smaller(view)
    return Reader(graph, view)


def _below(path: str, name: str) -> str:
    first = path.partition(" … ")[0]
    return name[len(first) + 1 :] if name.startswith(f"{first}.") else name


def _operand(node: Node, position: int, text: str) -> str:
    """A number among the inputs of an operation, as text in its card."""
    symbol = SYMBOLS.get(node.op)
    if symbol is None or len(node.inputs) != 2:
        return text if len(node.inputs) == 2 else f"input {position + 1}: {text}"
    return f"{symbol} {text}" if position else f"{text} {symbol}"


def _is_broadcast(node: Node, parent: Node) -> bool:
    if node.op in elementwise or node.op in _BROADCASTING:
        return parent.shape != node.shape
    if node.op == "matmul" and len(parent.shape) >= 2:
        return parent.shape[:-2] != node.shape[:-2] and len(node.shape) > 2
    return False
