"""Cards and lines for the leaves of a graph: parameters, inputs, constants, results cut off."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.graph import ArraySummary, Leaf, Node
from .facts import size_text, statistics, where
from .graph import Graph
from .groups import Group, Item, common_path
from .leaves import Source
from .levels import View
from .picture import Card, Cluster, Edge, Line
from .style import number, shape_text, short

__all__ = ["SYMBOLS", "LeafReader"]

SYMBOLS = {"add": "+", "subtract": "−", "multiply": "×", "divide": "/", "power": "^", "matmul": "@"}


class LeafReader:
    """What a reader of cards knows: the view, where everything is, and how leaves are drawn."""

    def __init__(self, graph: Graph, view: View | None = None) -> None:
        wanted = graph.wanted
        view = view if view is not None else graph.plan.view(wanted.depth, wanted.expand, wanted.fold)
        self.graph = graph
        self.partial = view.page.kind != "page"  # the inside of a module
        self.groups: dict[str, Group] = {}  # the closed groups, by the id of their card
        self.operations: dict[str, Node] = {}  # the operations, by the id of their card
        self.place = graph.plan.place
        self.cards: list[Card] = []
        self.edges: list[Edge] = []
        self.notes: list[str] = []
        self.places: dict[tuple[Any, int], tuple[str, str]] = {}  # a cache, because a loop calls from the same line
        self.page = Cluster("")
        self.units: list[Item] = []
        self.homes: list[Cluster] = []
        self._collect(view)
        self.unit_of = np.full(len(self.place), -1)  # -1 for an operation outside the view
        for number_, unit in enumerate(self.units):
            start, stop = self._span(unit)
            self.unit_of[start:stop] = number_
        self.of_unit: list[Card] = []
        self.of_source: dict[Any, Card] = {}
        self.own_card: dict[Any, bool] = {}
        self.alike: dict[Any, Any] = {}  # the first of equal inputs of a fold
        self.shown: set[Any] = set()  # the leaves that are lines, once the first user has listed them

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
            self.units.append(item)
            self.homes.append(home)

    def card(self, kind: str, title: str, **facts: Any) -> Card:
        """A new card, with the next id."""
        card = Card(f"n{len(self.cards)}", kind, title, **facts)
        self.cards.append(card)
        return card

    def card_of(self, node: Node | None) -> Card | None:
        """The card that shows a node, once the picture is made; None if it is a line in another card."""
        if node is None:
            return None
        if node in self.place and self.number_of(node) >= 0:
            return self.of_unit[self.number_of(node)]
        return self.of_source.get(node)

    def number_of(self, node: Node) -> int:
        """Which item of the view an operation is in; -1 if it is outside."""
        return int(self.unit_of[self.place[node]])

    def tail(self, node: Node) -> Card:
        """The card of an operation, for an edge from it; one that stands for it if it is outside the view."""
        number_ = self.number_of(node)
        if number_ >= 0:
            return self.of_unit[number_]
        card = self.of_source.get(node)
        if card is None:
            card = self.of_source[node] = self.card("input", short(node.label or node.op, 24), shape=node.shape)
            card.gradient = self.graph.measures.of(node)
            card.tip = [f"{node.op}, computed outside", f"{node.dtype} {shape_text(node.shape)}"]
            self.page.cards.append(card)
        return card

    def users(self, source: Source) -> list[Node]:
        """The operations in the view that use a leaf."""
        if not self.partial:
            return source.users
        return [user for user in source.users if self.number_of(user) >= 0]

    # --- leaves -----------------------------------------------------------------------------------------

    def unit(self, source: Source) -> Item | None:
        """The operation or closed group that uses a leaf; None if there are several, or none."""
        users = self.users(source)
        if not users:
            return None
        first, last = self.number_of(users[0]), self.number_of(users[-1])
        return self.units[first] if first == last else None  # they are in order, and so are the units

    def is_card(self, key: Any) -> bool:
        """Whether a leaf has a card of its own; else it is a line, a number, or inside a closed module."""
        known = self.own_card.get(key)
        if known is None:
            known = self.own_card[key] = self._needs_card(self.graph.sources[key])
        return known

    def _needs_card(self, source: Source) -> bool:
        if source.kind in ("input", "detached") or not source.users:
            return True
        only = self.unit(source)
        if source.kind == "constant" and source.shape == () and not source.label:
            return False
        as_cards = self.graph.scalars if self.graph.wanted.params is None else self.graph.wanted.params == "nodes"
        if as_cards and source.node is not None:
            return not isinstance(only, Group)
        if source.kind == "parameter":
            return False
        if source.label and not any(user.scope.path for user in source.users):
            return True
        return only is None and source.node is None

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
        path = common_path({user.scope.path for user in source.users}) if own else ""
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
        """The card that an earlier leaf has made for this one, too.

        One card stands for an argument of the model and data computed from it; another for equal inputs of a fold, such
        as the elements of a sequence.
        """
        if source.argument is not None:
            first = self.alike.setdefault(id(source.argument), key)
            if first is not key:
                self.of_source[key] = self.source_card(first)
                return self.of_source[key]
        only = self.unit(source)
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
        users = self.users(source)
        first, last = self.homes[self.number_of(users[0])], self.homes[self.number_of(users[-1])]
        return first if first is last else self.page

    def detached(self, card: Card, node: Node) -> None:
        """Say where the history of a leaf was cut, and draw what was before it."""
        cut = node.cut  # type: ignore[attr-defined]
        at = where(cut.code, cut.lasti)[0]
        why = "detached" if cut.why.startswith("detach()") else cut.why
        card.title = short(f"{why} at {at}" if at else why, 80)
        card.name = short(node.label or "", 24)
        origin = cut.origin()
        card.tip.append(f"{cut.why}, at {at}: no gradient passes")
        if origin is not None and (origin not in self.place or self.number_of(origin) < len(self.of_unit)):
            # Else both are in the closed module that uses the leaf.
            before = self.tail(origin) if origin in self.place else self.source_card(origin)
            self.edges.append(Edge(before.id, card.id, "dotted", "", "cut: no gradient passes"))

    def line(self, key: Any, node: Node | None, position: int) -> Line:
        """A leaf as a line in the card of its user."""
        source = self.graph.sources[key]
        shared = key in self.shown
        self.shown.add(key)
        name = source.label or ("array" if source.node is None else source.kind)
        path = node.scope.path if node is not None else ""
        if path and name.startswith(f"{path}."):
            name = name[len(path) + 1 :]
        text = "" if source.shape is None else shape_text(source.shape)
        if source.data is not None and not source.data.shape:
            text = number(source.data.item())
        gradient = self.graph.measures.of(source.node) if source.node is not None and not shared else None
        symbol = SYMBOLS.get(node.op) if node is not None and len(node.inputs) == 2 else None
        first = not position and symbol not in ("+", "×")  # of those, the order does not matter
        operand = "" if symbol is None else f"{name} {symbol}" if first else f"{symbol} {name}"
        tip = [f"{source.label or name}: {shape_text(source.shape or ())}"]
        if source.node is not None:
            tip = self.leaf_facts(source)
        return Line(source.kind, short(name), text, gradient, "\n".join(tip), shared, short(operand))

    def leaf_facts(self, source: Source) -> list[str]:
        """The tooltip of a leaf that is a line."""
        node = source.node
        assert node is not None
        card = Card("", source.kind, source.label, shape=node.shape, gradient=self.graph.measures.of(node))
        what = "leaf that requires a gradient" if node.requires_grad else source.kind
        card.tip.append(f"{source.label or source.kind}: {what}")
        self.facts(node, card, source.data)
        return card.tip

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


def _about(source: Source) -> list[str]:
    if source.shape is None:
        return []
    count = math.prod(source.shape) * source.dtype.itemsize
    facts = [f"{source.dtype} {shape_text(source.shape)}, {size_text(count)}"]
    return facts if source.data is None else [*facts, statistics(source.data)]
