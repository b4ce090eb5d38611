"""Cards and edges, read from the nodes of a graph as far as a view opens it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine.graph import ArraySummary, Constant, Freed, Given, Leaf, Node, ancestors, elementwise
from .facts import data_of, size_text, statistics, where
from .groups import Group, Item, common_path, operations_in
from .leaves import Source, array_given, is_input, source_of
from .levels import Plan, View
from .measures import Measures
from .picture import Card, Cluster, Edge, Gradient, Line, Picture
from .style import number, shape_text, short
from .values import first_nonfinite

__all__ = ["Graph", "Reader", "Wanted"]

# Operations that broadcast their inputs, but are not elementwise in the engine's sense.
_BROADCASTING = {"add_sequence", "broadcast_to", "choose", "clip", "ldexp", "lerp", "where"}
_SYMBOLS = {"add": "+", "subtract": "−", "multiply": "×", "divide": "/", "power": "^", "matmul": "@"}
_OPERANDS = {  # of operations whose operands cannot be exchanged
    "subtract": ("left", "right"),
    "matmul": ("left", "right"),
    "divide": ("numerator", "denominator"),
    "power": ("base", "exponent"),
}
_FEW_LINES = 4  # parameters that a closed module lists one by one


@dataclass
class Wanted:
    """What a user asks of a drawing; see :func:`tensorgrad.draw`."""

    depth: int | None = None
    expand: Any = None
    fold: bool | None = None
    params: str | None = None
    color: str = "grad"
    model: Any = None
    inputs: Mapping[int, Any] = field(default_factory=dict)  # what the function that is drawn was called with, by id


class Graph:
    """The nodes of a drawing, with what is known about each; pictures of it are made by :meth:`picture`."""

    def __init__(self, roots: Mapping[Node, Any], gradients: Mapping[Node, Any] | None, wanted: Wanted) -> None:
        self.roots = roots
        self.wanted = wanted
        live = ancestors(roots)
        cut = [node.cut for node in live if isinstance(node, Constant) and node.cut is not None]
        origins = [origin for each in cut if (origin := each.origin()) is not None]
        everything = ancestors([*live, *origins]) if origins else live
        self.faded = set(everything).difference(live)
        self.nodes = sorted(everything, key=lambda node: node.birth)
        self.consumers: dict[Node, list[Node]] = {}
        for node in self.nodes:
            for parent in node.inputs:
                if isinstance(parent, Node):
                    self.consumers.setdefault(parent, []).append(node)
        self.plan = Plan(self.nodes, self.consumers)
        self.ops = [node for node in self.nodes if not isinstance(node, Leaf)]
        self.scalars = bool(self.ops) and all(node.shape == () for node in self.nodes if not isinstance(node, Constant))
        self.measures = Measures(self.nodes, roots, gradients, wanted.color, self.scalars)
        self.born = first_nonfinite(self.nodes, roots) if self.measures.broken else None
        self.sources: dict[Any, Source] = {}
        self.given: dict[tuple[Node, int], Any] = {}  # the key of a plain array among the inputs
        for node in self.nodes:
            if isinstance(node, Leaf):
                self.sources[node] = source_of(node, self.consumers.get(node, ()), wanted.inputs)
                continue
            for position, value in enumerate(node.inputs):
                if value is None or isinstance(value, Given):
                    self._plain(node, position, value)
        for key, source in self.sources.items():
            if source.node is None and source.kind == "constant" and is_input(source, source.data):
                self.sources[key].kind = "input"

    def _plain(self, node: Node, position: int, value: Given | None) -> None:
        array = array_given(node, position)
        key: Any = (node, position) if array is None else id(array)
        self.given[node, position] = key
        known = self.sources.get(key)
        if known is not None:
            known.users.append(node)
            return
        about = value if value is not None else array
        shape, dtype = (None, None) if about is None else (about.shape, about.dtype)
        self.sources[key] = source = Source(None, shape, dtype, array, [node])
        if id(array) in self.wanted.inputs:
            source.kind = "input"

    def reader(self, view: View | None = None) -> Reader:
        """What makes the cards and edges of a view; by default, of the one that the user asked for."""
        if view is None:
            view = self.plan.view(self.wanted.depth, self.wanted.expand, self.wanted.fold)
        return Reader(self, view)

    def picture(self, view: View | None = None) -> Picture:
        """The cards and edges of a view; by default, of the one that the user asked for."""
        return self.reader(view).picture()


class Reader:
    """Makes the cards of one view, in order of creation."""

    def __init__(self, graph: Graph, view: View) -> None:
        self.graph = graph
        self.place = graph.plan.place
        self.cards: list[Card] = []
        self.edges: list[Edge] = []
        self.notes: list[str] = []
        self.places: dict[tuple[Any, int], tuple[str, str]] = {}  # a cache, because a loop calls from the same line
        self.page = Cluster("")
        self.units: list[Item] = []
        self.homes: list[Cluster] = []
        self._collect(view)
        self.unit_of = np.zeros(len(self.place), np.int64)
        for number_, unit in enumerate(self.units):
            start, stop = self._span(unit)
            self.unit_of[start:stop] = number_
        self.of_unit: list[Card] = []
        self.of_source: dict[Any, Card] = {}
        self.alike: dict[Any, Any] = {}  # the first of equal inputs of a fold
        self.shown: set[Any] = set()  # the leaves that are lines, once the first user has listed them
        self.drawn: set[tuple[str, str]] = set()  # edges between closed modules, which stand for several

    def _span(self, item: Item) -> tuple[int, int]:
        return (self.place[item], self.place[item] + 1) if isinstance(item, Node) else (item.start, item.stop)

    def _collect(self, view: View) -> None:
        stack: list[tuple[Item, Cluster]] = [(item, self.page) for item in reversed(view.page.items)]
        while stack:
            item, home = stack.pop()
            if isinstance(item, Group) and view.is_open(item):
                cluster = Cluster(item.path, short(item.title, 80))
                home.inside.append(cluster)
                stack += [(inner, cluster) for inner in reversed(item.items)]
                continue
            if isinstance(item, Group):
                item.number = len(self.units)
            self.units.append(item)
            self.homes.append(home)

    def card_of(self, node: Node | None) -> Card | None:
        """The card that shows a node, once the picture is made; None if it is a line in another card."""
        if node is None:
            return None
        if node in self.place:
            return self.of_unit[self.unit_of[self.place[node]]]
        return self.of_source.get(node)

    # --- leaves -----------------------------------------------------------------------------------------

    def is_card(self, source: Source) -> bool:
        """Whether a leaf has a card of its own; else it is a line, a number, or inside a closed module."""
        users = {int(self.unit_of[self.place[user]]) for user in source.users}
        if source.kind in ("input", "detached") or not users:
            return True
        only = self.units[next(iter(users))] if len(users) == 1 else None
        if source.kind == "constant" and source.shape == () and not source.label:
            return False
        if self.graph.wanted.params == "nodes" or (self.graph.wanted.params is None and self.graph.scalars):
            return not isinstance(only, Group)
        if source.kind == "parameter":
            return False
        if source.label and all(not user.scope.path for user in source.users):
            return True
        return not isinstance(only, Group) and source.node is None and len(users) > 1

    def source_card(self, key: Any) -> Card:
        """The card of a leaf, made when its first user is."""
        card = self.of_source.get(key)
        if card is not None:
            return card
        source = self.graph.sources[key]
        card = self.together(key, source)
        if card is not None:
            return card
        node = source.node
        own = source.kind not in ("input", "detached")
        path = common_path(user.scope.path for user in source.users) if own else ""
        label = source.label
        local = label.rpartition(".")[2] if path else label  # nn names a parameter by its full path
        plain = "array" if node is None and source.kind == "constant" else source.kind
        card = self.card(source.kind, short(local or label) or plain, shape=source.shape, path=path)
        self.of_source[key] = card
        self._home(source, own).cards.append(card)
        if source.data is not None and not source.data.shape:
            card.value = number(source.data.item())
        if node is not None:
            card.root = node in self.graph.roots
            card.gradient = self.graph.measures.of(node)
            if source.kind == "detached":
                self.detached(card, node)
            full = label if "." in label or not path else f"{path}.{label}".rstrip(".")
            what = "leaf that requires a gradient" if source.kind == "parameter" else source.kind
            card.tip.append(f"{full}: {what}" if full else what)
            self.facts(node, card, source.data)
        else:
            card.tip = [fact for fact in ("an array, not a Tensor", *_about(source)) if fact]
        card.faded = bool(source.users) and all(user in self.graph.faded for user in source.users)
        return card

    def together(self, key: Any, source: Source) -> Card | None:
        """The card of equal inputs of a fold, such as the elements of a sequence, if an earlier one has made it."""
        units = {int(self.unit_of[self.place[user]]) for user in source.users}
        only = self.units[next(iter(units))] if len(units) == 1 else None
        if not isinstance(only, Group) or only.times == 1 or source.kind == "detached":
            return None
        alike = (only.start, source.kind, source.shape)
        first = self.alike.get(alike)
        if first is None:
            self.alike[alike] = key
            return None
        card = self.of_source[key] = self.of_source[first]
        card.times += 1
        begin = short(self.graph.sources[first].label, 16)
        card.title = f"{begin} … {short(source.label, 16)}" if begin else card.title
        card.tip[1:] = [f"{card.times} of {shape_text(source.shape or ())}"]
        card.gradient = None
        return card

    def _home(self, source: Source, own: bool) -> Cluster:
        """The innermost open module in which a leaf is used; the page if it is used in several."""
        if not own or not source.users:
            return self.page
        homes = {id(h): h for user in source.users if (h := self.homes[int(self.unit_of[self.place[user]])])}
        return next(iter(homes.values())) if len(homes) == 1 else self.page

    def detached(self, card: Card, node: Node) -> None:
        """Say where the history of a leaf was cut, and draw what was before it."""
        cut = node.cut  # type: ignore[attr-defined]
        at = where(cut.code, cut.lasti)[0]
        why = "detached" if cut.why.startswith("detach()") else cut.why
        card.title = short(f"{why} at {at}" if at else why, 80)
        card.name = short(node.label or "", 24)
        origin = cut.origin()
        card.tip.append(f"{cut.why}, at {at}: no gradient passes")
        if origin is not None:
            before = self.of_unit[self.unit_of[self.place[origin]]] if origin in self.place else None
            before = before if before is not None else self.source_card(origin)
            self.edges.append(Edge(before.id, card.id, "dotted", "", "cut: no gradient passes"))

    def line(self, key: Any, node: Node | None, position: int) -> Line:
        """A leaf as a line in the card of its user."""
        source = self.graph.sources[key]
        shared = key in self.shown
        self.shown.add(key)
        name = source.label or ("array" if source.node is None else source.kind)
        path = node.scope.path if node is not None else common_path(user.scope.path for user in source.users)
        if path and name.startswith(f"{path}."):
            name = name[len(path) + 1 :]
        text = "" if source.shape is None else shape_text(source.shape)
        if source.data is not None and not source.data.shape:
            text = number(source.data.item())
        gradient = self.graph.measures.of(source.node) if source.node is not None and not shared else None
        symbol = _SYMBOLS.get(node.op) if node is not None and len(node.inputs) == 2 else None
        operand = "" if symbol is None else f"{symbol} {name}" if position else f"{name} {symbol}"
        tip = [f"{source.label or name}: {shape_text(source.shape or ())}"]
        if source.node is not None:
            tip = self.leaf_facts(source)
        return Line(source.kind, short(name), text, gradient, "\n".join(tip), shared, short(operand))

    def leaf_facts(self, source: Source) -> list[str]:
        """The tooltip of a leaf that is a line."""
        node = source.node
        assert node is not None
        card = Card("", source.kind, source.label, shape=node.shape, gradient=self.graph.measures.of(node))
        card.tip.append(f"{source.label or source.kind}: {'leaf that requires a gradient' if node.requires_grad else source.kind}")
        self.facts(node, card, source.data)
        return card.tip

    # --- operations and closed modules ------------------------------------------------------------------

    def card(self, kind: str, title: str, **facts: Any) -> Card:
        card = Card(f"n{len(self.cards)}", kind, title, **facts)
        self.cards.append(card)
        return card

    def picture(self) -> Picture:
        graph = self.graph
        for unit, home in zip(self.units, self.homes, strict=True):
            made = self.operation(unit) if isinstance(unit, Node) else self.module(unit)
            home.cards.append(made)
        for key, source in graph.sources.items():
            if source.node in graph.roots and not source.users:
                self.source_card(key)
        for place, cluster in enumerate(self.page.within()):
            cluster.id = f"c{place}"
        self._birth_of_nan()
        self._freed()
        self._unreached()
        hidden = sum(card.count for card in self.cards if card.kind in ("module", "function", "fold", "part"))
        if hidden:
            total = len(self.place)
            self.notes.append(f"{hidden:,} of {total:,} operations folded: draw(..., depth=) or expand= shows them")
        if len(graph.roots) == 1 and not graph.scalars:
            for card in self.cards:
                card.called = "loss"
        ops = Counter(node.op for node in graph.ops)
        leaves = sum(source.kind == "parameter" for source in graph.sources.values())
        return Picture(self.cards, self.edges, self.page, self.notes, ops, leaves)

    def operation(self, node: Node) -> Card:
        graph = self.graph
        path = node.scope.path
        tails: list[tuple[int, Any, Card]] = []
        lines: list[Line] = []
        operands: list[str] = []
        for position, value in enumerate(node.inputs):
            if isinstance(value, Node) and not isinstance(value, Leaf):
                tails.append((position, value, self.of_unit[self.unit_of[self.place[value]]]))
            elif isinstance(value, Leaf) or (node, position) in graph.given:
                key = value if isinstance(value, Leaf) else graph.given[node, position]
                source = graph.sources[key]
                if self.is_card(source):
                    tails.append((position, value, self.source_card(key)))
                elif source.kind == "constant" and source.shape == () and source.data is not None:
                    operands.append(_operand(node, position, number(source.data.item())))
                else:
                    lines.append(self.line(key, node, position))
            else:
                operands.append(_operand(node, position, number(value, 6)))
        card = self.card("op", node.op, name=short(node.label or "", 24), shape=node.shape, path=path, count=1)
        self.of_unit.append(card)
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
                        tails.append((node, position, value, self.of_unit[self.unit_of[at]]))
                elif isinstance(value, Leaf) or (node, position) in graph.given:
                    key = value if isinstance(value, Leaf) else graph.given[node, position]
                    source = graph.sources[key]
                    if self.is_card(source):
                        tails.append((node, position, value, self.source_card(key)))
                    elif source.kind == "parameter":
                        own[key] = None
        last = last if last is not None else nodes[-1]
        title, _, size = group.title.partition(" · ")
        name, kind = short(title, 60), group.kind
        head = group.path if kind in ("module", "fold") and group.path else name
        card = self.card(kind, short(head, 60) or kind, shape=last.shape, path=group.path, count=len(nodes))
        self.of_unit.append(card)
        card.name = name if name != card.title else ""
        if last.label or last in graph.roots:
            card.root = last in graph.roots
            card.tip.append(f"its result is {last.label!r}" if last.label else "its result is drawn")
        card.times = group.times
        card.group = group.number
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
        for node, position, parent, tail in tails:
            if tail.id not in drawn:
                drawn.add(tail.id)
                self.edge(node, position, parent, tail, card, False)
        return card

    def _parameters(self, card: Card, group: Group, own: Mapping[Any, None]) -> None:
        """The parameters of a closed module: each a line, or their number and the range of their gradients."""
        if not own:
            return
        if len(own) <= _FEW_LINES and group.times == 1:
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

    def facts(self, node: Node, card: Card, value: Any) -> None:
        """The tooltip of a node's card."""
        called = (node.code, node.lasti)
        if called not in self.places:
            self.places[called] = where(*called)
        place, line = self.places[called]
        count = math.prod(node.shape) * node.dtype.itemsize
        card.tip.append(f"{node.dtype} {shape_text(node.shape)}, {size_text(count)}")
        if isinstance(value, ArraySummary):
            missing = f", {value.nonfinite} of {value.size} not finite" if value.nonfinite else ""
            card.tip.append(f"values: rms {value.rms:.3g}{missing}")
        elif value is not None and value.shape:
            card.tip.append(statistics(value))
        elif card.value:
            card.tip.append(f"value {card.value}")
        gradient = card.gradient
        if gradient is not None:
            card.tip.append(f"{gradient.text}{': ' if gradient.details else ''}{gradient.details}")
            size = value.rms if isinstance(value, ArraySummary) else None
            if isinstance(node, Leaf) and value is not None and value.size and value.dtype.kind in "f":
                size = ArraySummary.of(value).rms
            if gradient.rms and size and math.isfinite(gradient.rms):
                card.tip.append(f"|grad| / |value| {gradient.rms / size:.1e}")
        elif node.requires_grad and self.graph.measures.walked:
            card.tip.append("gradient not kept: write `with tg.record_graph():`, or draw(..., backward=True)")
        card.tip += [place, line]
        card.tip = [fact for fact in card.tip if fact]

    def edge(self, node: Node, position: int, parent: Any, tail: Card, head: Card, several: bool) -> None:
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

    # --- what must be seen ------------------------------------------------------------------------------

    def _birth_of_nan(self) -> None:
        """Mark the card in which the first value appears that is not finite."""
        if self.graph.born is None:
            return
        node, what = self.graph.born
        at = where(node.code, node.lasti)[0]
        card = self.card_of(node)
        if card is not None:
            op = "" if card.title == node.op or isinstance(node, Leaf) else f" in {node.op}"
            card.born = f"✕ first {what}{op}" + (f" at {at}" if at else "")
            self.notes.append(f"the first value that is not finite: {what} in {node.label or node.op}, {at}".rstrip(", "))

    def _freed(self) -> None:
        """If backward() has dropped links, add a card that says so, and how to draw the whole graph."""
        cut = [node for node in self.graph.ops if isinstance(node.saved, Freed) and not node.inputs]
        if not cut:
            return
        freed = cut[-1].saved
        assert isinstance(freed, Freed)
        place, _ = where(freed.code, freed.lasti)
        note = (
            f"graph was freed by backward() at {place or 'an unknown location'}, and a later one dropped its links; "
            f"use draw(loss, backward=True) before it, or with tg.record_graph():"
        )
        card = self.card("note", note, tip=[note])
        self.page.cards.append(card)
        self.notes.append(note)
        for node in cut:
            head = self.of_unit[self.unit_of[self.place[node]]]
            self.edges.append(Edge(card.id, head.id, "dotted", "", "what came before was freed"))

    def _unreached(self) -> None:
        """One card for the parameters of the model that the drawn result does not depend on."""
        model = self.graph.wanted.model
        if model is None:
            return
        live = {id(s.node) for s in self.graph.sources.values() if s.node is not None and s.node not in self.graph.faded}
        names = [name for name, p in model.named_parameters() if p.requires_grad and id(p.node) not in live]
        if not names:
            return
        some = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
        note = f"{len(names)} parameter{'s' * (len(names) > 1)} not reached: {some}"
        card = self.card("note", note, tip=[note, *names[6:]])
        card.gradient = Gradient("no gradient reaches them", self.graph.measures.none)
        self.page.cards.append(card)
        self.notes.append(note)


def _below(path: str, name: str) -> str:
    first = path.partition(" … ")[0]
    return name[len(first) + 1 :] if name.startswith(f"{first}.") else name


def _about(source: Source) -> list[str]:
    if source.shape is None:
        return []
    count = math.prod(source.shape) * source.dtype.itemsize
    facts = [f"{source.dtype} {shape_text(source.shape)}, {size_text(count)}"]
    return facts if source.data is None else [*facts, statistics(source.data)]


def _operand(node: Node, position: int, text: str) -> str:
    """A number among the inputs of an operation, as text in its card."""
    symbol = _SYMBOLS.get(node.op)
    if symbol is None or len(node.inputs) != 2:
        return text if len(node.inputs) == 2 else f"input {position + 1}: {text}"
    return f"{symbol} {text}" if position else f"{text} {symbol}"


def _is_broadcast(node: Node, parent: Node) -> bool:
    if node.op in elementwise or node.op in _BROADCASTING:
        return parent.shape != node.shape
    if node.op == "matmul" and len(parent.shape) >= 2:
        return parent.shape[:-2] != node.shape[:-2] and len(node.shape) > 2
    return False

