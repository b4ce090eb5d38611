"""The content of a drawing: cards, edges and nested modules, read from the nodes of a graph."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..engine.graph import ArraySummary, Freed, Leaf, Node, ancestors, elementwise
from ..engine.shapes import Shape
from .facts import Gradient, array_given, data_of, shown, size_text, statistics, where
from .style import NONE, number, shape_text, short

__all__ = ["Card", "Cluster", "Edge", "Picture", "nodes_of", "picture_of", "summary_of"]

# Operations that broadcast their inputs, but are not elementwise in the engine's sense.
_BROADCASTING = {"add_sequence", "broadcast_to", "choose", "clip", "ldexp", "lerp", "where"}


@dataclass(slots=True)
class Card:
    """An operation with its result, or a leaf: one box."""

    id: str
    kind: str  # op, parameter, input, constant, scalar, note
    title: str  # the operation, or the name of a leaf
    name: str = ""  # the user's name for the result of an operation
    shape: Shape | None = None
    value: str = ""  # for a scalar
    gradient: Gradient | None = None
    path: str = ""  # of the module it belongs to
    tip: list[str] = field(default_factory=list)
    root: bool = False  # was it passed to draw()?

    @property
    def text(self) -> str:
        """The value of a scalar, the shape of an array."""
        return self.value or ("" if self.shape is None else shape_text(self.shape))


class Edge(NamedTuple):
    """A result on its way into an operation."""

    tail: str
    head: str
    style: str  # solid; dashed: broadcast, its gradient is summed; dotted: no gradient flows
    label: str
    tip: str


@dataclass(slots=True)
class Cluster:
    """A module: the cards that belong to it but not to a module inside it, and those modules."""

    path: str
    title: str = ""
    id: str = ""
    cards: list[Card] = field(default_factory=list)
    inside: list[Cluster] = field(default_factory=list)

    def within(self) -> Iterator[Cluster]:
        """All modules inside, each before the ones inside it."""
        stack = self.inside[::-1]
        while stack:
            cluster = stack.pop()
            yield cluster
            stack += reversed(cluster.inside)


@dataclass(slots=True)
class Picture:
    """Everything a drawing shows, in order of creation."""

    cards: list[Card]
    edges: list[Edge]
    clusters: Cluster  # the outermost has no path: it is the page
    notes: list[str]


# --- from nodes to cards --------------------------------------------------------------------------------


def nodes_of(roots: Iterable[Node]) -> list[Node]:
    """The roots and everything they were computed from, in order of creation."""
    return sorted(ancestors(roots), key=lambda node: node.birth)


def _common(paths: Iterable[str]) -> str:
    """The innermost module that contains all of these.

    >>> _common(["net.0.a", "net.0.b"]), _common(["net.1", "net.10"])
    ('net.0', 'net')
    """
    parts = [path.split(".") if path else [] for path in paths]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return ".".join(shared)


class _Reader:
    """Makes cards and edges from nodes, in one pass in order of creation."""

    def __init__(self, nodes: Sequence[Node], roots: Mapping[Node, Any], gradients: Mapping[Node, Any] | None) -> None:
        self.roots = roots
        self.gradients = gradients
        self.cards: list[Card] = []
        self.edges: list[Edge] = []
        self.of: dict[Node, Card] = {}
        self.places: dict[tuple[Any, int], tuple[str, str]] = {}  # a cache, because a loop calls from the same line
        self.consumers: dict[Node, list[Node]] = {}
        for node in nodes:
            for parent in node.inputs:
                if isinstance(parent, Node):
                    self.consumers.setdefault(parent, []).append(node)
        # Has backward() run on this graph? Operations on scalars are certain to show it.
        self.walked = gradients is not None or any(
            node.gradient is not None or isinstance(node.saved, Freed) for node in nodes if not isinstance(node, Leaf)
        )
        for node in nodes:
            if isinstance(node, Leaf):
                self.of[node] = self.leaf(node)
            else:
                self.of[node] = self.operation(node)

    def card(self, kind: str, title: str, **facts: Any) -> Card:
        card = Card(f"n{len(self.cards)}", kind, title, **facts)
        self.cards.append(card)
        return card

    def gradient(self, node: Node) -> Gradient | None:
        """What to say about a node's gradient; None if there is nothing to say."""
        if not node.requires_grad:
            return None
        if self.gradients is not None:
            found = data_of(self.gradients.get(node))
        elif isinstance(node, Leaf):
            owner = node.owner()
            found = data_of(getattr(owner, "_grad", None))
            if found is None and self.walked:  # a functional transform leaves .grad alone
                found = data_of(node.gradient)
        else:
            found = data_of(node.gradient)
            if found is None and node.extra is not None and node.extra.owner is not None:
                found = data_of(getattr(node.extra.owner(), "_grad", None))  # retain_grad()
        if found is not None:
            return shown(found)
        if not self.walked:
            return Gradient("no gradient yet", NONE) if isinstance(node, Leaf) or not node.shape else None
        if isinstance(node, Leaf) or not node.shape or self.gradients is not None:
            return Gradient("no gradient reached", NONE, details="no path from the drawn result leads here")
        return None

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
        elif node.requires_grad and self.walked:
            card.tip.append("gradient not kept: write `with tg.record_graph():`, or draw(..., backward=True)")
        card.tip += [place, line]
        card.tip = [fact for fact in card.tip if fact]

    def leaf(self, node: Leaf) -> Card:
        owner = node.owner()
        consumers = self.consumers.get(node, ())
        data = data_of(owner)
        if owner is None:  # its Tensor is gone; an operation may have saved the array
            given = (array_given(user, user.inputs.index(node)) for user in consumers)
            data = next((array for array in given if array is not None), None)
        path = _common(user.scope.path for user in consumers)
        label = node.label or ""
        local = label.rpartition(".")[2] if path else label  # nn names a parameter by its full path
        if node.requires_grad:
            kind = "parameter"
        elif self.is_input(node.dtype, node.shape, consumers):
            kind, path = "input", ""
        else:
            kind = "constant"
        full = label if "." in label or not path else f"{path}.{label}".rstrip(".")
        card = self.card(kind, short(local or label) or kind, shape=node.shape, path=path)
        card.root = node in self.roots
        if data is not None and not data.shape:
            card.value = number(data.item())
        card.gradient = self.gradient(node)
        what = "leaf that requires a gradient" if kind == "parameter" else kind
        card.tip.append(f"{full}: {what}" if full else what)
        self.facts(node, card, data)
        return card

    def is_input(self, dtype: Any, shape: Shape | None, consumers: Sequence[Node]) -> bool:
        """Whether this is an input of the model: an operation uses it that has no computed result among its inputs.

        Anything that is only combined with computed results is a constant: a label, a mask, a running mean.
        """
        if dtype is not None and (dtype.kind not in "fc" or shape == ()):
            return False
        return any(all(not isinstance(i, Node) or isinstance(i, Leaf) for i in user.inputs) for user in consumers)

    def operation(self, node: Node) -> Card:
        path = node.scope.path
        tails: list[Card] = []
        for position, parent in enumerate(node.inputs):
            if isinstance(parent, Node):
                tails.append(self.of[parent])
            elif parent is None:
                tails.append(self.array(node, position))
            else:
                text = number(parent, 6)
                tip = [f"{type(parent).__name__} {text}"]
                tails.append(self.card("scalar", text, value=text, path=path, tip=tip))
        card = self.card("op", node.op, name=short(node.label or "", 24), shape=node.shape, path=path)
        card.root = node in self.roots
        value = data_of(node.value)
        if value is not None and not isinstance(value, ArraySummary) and not value.shape:
            card.value = number(value.item())
        card.gradient = self.gradient(node)
        title = node.scope.title
        scope = f"{path}{' ' if title else ''}{title}" if path else ""
        named = f"{node.label} = {node.op}" if node.label else node.op
        card.tip.append(f"{scope} · {named}" if scope else named)
        self.facts(node, card, value)
        for position, (parent, tail) in enumerate(zip(node.inputs, tails, strict=True)):
            self.edge(node, position, parent, tail, card)
        return card

    def array(self, node: Node, position: int) -> Card:
        """A plain array among the inputs; its shape is known only if the operation saved it."""
        array = array_given(node, position)
        dtype, shape = (None, None) if array is None else (array.dtype, array.shape)
        entering = position == 0 or array is not None
        kind = "input" if entering and self.is_input(dtype, shape, (node,)) else "constant"
        card = self.card(kind, "input" if kind == "input" else "array", shape=shape)
        card.path = "" if kind == "input" else node.scope.path
        if array is not None and not array.shape:
            card.value = number(array.item())
        card.tip.append("an array, not a Tensor")
        if array is not None:
            card.tip += [f"{dtype} {shape_text(array.shape)}, {size_text(array.nbytes)}", statistics(array)]
        card.tip = [fact for fact in card.tip if fact]
        return card

    def edge(self, node: Node, position: int, parent: Any, tail: Card, head: Card) -> None:
        style, label = "solid", ""
        rule = node.rules[position] if position < len(node.rules) else None
        if not isinstance(parent, Node) or not parent.requires_grad or rule is None:
            style = "dotted"
        elif _is_broadcast(node, parent):
            style, label = "dashed", "broadcast"
        if not label and tail.kind == "op" and tail.shape != head.shape:
            label = shape_text(tail.shape or ())
        flow = {
            "solid": "",
            "dashed": ", broadcast: its gradient is summed",
            "dotted": ", no gradient flows",
        }[style]
        of = f" of {len(node.inputs)}" if len(node.inputs) > 1 else ""
        tip = f"{tail.name or tail.title} {tail.text} → {node.op}: input {position + 1}{of}{flow}"
        self.edges.append(Edge(tail.id, head.id, style, label, tip))


def _is_broadcast(node: Node, parent: Node) -> bool:
    if node.op in elementwise or node.op in _BROADCASTING:
        return parent.shape != node.shape
    if node.op == "matmul" and len(parent.shape) >= 2:
        return parent.shape[:-2] != node.shape[:-2] and len(node.shape) > 2
    return False


def _clustered(cards: Sequence[Card], titles: Mapping[str, str]) -> Cluster:
    """The modules as nested clusters, one for each path of a card; each card is in its innermost module."""
    page = Cluster("")
    known = {"": page}
    for path in sorted({card.path for card in cards if card.path}, key=lambda path: path.count(".")):
        known[path] = Cluster(path, titles.get(path, ""))
    for card in cards:  # in the order in which modules first ran
        path = card.path
        known[path].cards.append(card)
    placed = {""}
    for card in cards:
        path = card.path
        while path not in placed:
            placed.add(path)
            outer = path
            while (outer := outer.rpartition(".")[0]) not in known:
                pass
            known[outer].inside.append(known[path])
            path = outer
    for place, cluster in enumerate(page.within()):
        cluster.id = f"c{place}"
    return page


def _freed_note(nodes: Sequence[Node], reader: _Reader) -> list[str]:
    """If backward() has dropped links, add a card that says so, and how to draw the whole graph."""
    cut = [node for node in nodes if isinstance(node.saved, Freed) and not node.inputs]
    if not cut:
        return []
    freed = cut[-1].saved
    assert isinstance(freed, Freed)
    place, _ = where(freed.code, freed.lasti)
    note = (
        f"graph was freed by backward() at {place or 'an unknown location'}; "
        f"use draw(loss, backward=True) before it, or with tg.record_graph():"
    )
    card = reader.card("note", note, tip=[note])
    for node in cut:
        head = reader.of[node]
        reader.edges.append(Edge(card.id, head.id, "dotted", "", "what came before was freed"))
    return [note]


def picture_of(roots: Mapping[Node, Any], gradients: Mapping[Node, Any] | None = None) -> Picture:
    """Read cards, edges and modules from the graph of some nodes.

    Args:
        roots: the nodes to draw, with their Tensors.
        gradients: the gradients of a walk made for the drawing; None to show what ``backward()`` left.
    """
    nodes = nodes_of(roots)
    reader = _Reader(nodes, roots, gradients)
    notes = _freed_note(nodes, reader)
    titles: dict[str, str] = {}
    for node in nodes:
        if node.scope.title:
            titles.setdefault(node.scope.path, short(node.scope.title, 80))
    return Picture(reader.cards, reader.edges, _clustered(reader.cards, titles), notes)


def summary_of(picture: Picture) -> str:
    """The graph in a few words, for graphs that are too large for a picture.

    >>> summary_of(Picture([Card("n0", "parameter", "W"), Card("n1", "op", "tanh")], [], Cluster(""), []))
    '1 operation (1 tanh), 1 leaf that requires a gradient, 0 edges'
    """
    ops = Counter(card.title for card in picture.cards if card.kind == "op")
    total = ops.total()
    most = ", ".join(f"{count:,} {op}" for op, count in ops.most_common(8)) + (", …" if len(ops) > 8 else "")
    leaves = sum(card.kind == "parameter" for card in picture.cards)
    return (
        f"{total:,} operation{'s' * (total != 1)} ({most}), "
        f"{leaves:,} {'leaf that requires' if leaves == 1 else 'leaves that require'} a gradient, "
        f"{len(picture.edges):,} edges"
    )
