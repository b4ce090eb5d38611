"""What differs between two graphs, as a drawing and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import groupby
from typing import Any, NamedTuple

from ..engine.graph import Given, Node
from .cards import Reader
from .graph import Graph, Wanted
from .levels import View
from .picture import Card, Cluster, Edge, Picture
from .style import shape_text

__all__ = ["compared"]

MOST_OPERATIONS = 5000  # matching takes time in proportion to the square
_CONTEXT = 1  # equal operations that are shown before and after a difference


class _Entry(NamedTuple):
    """An operation of the merged graph: its card in the first, in the second, or in both."""

    first: Card | None
    second: Card | None

    @property
    def change(self) -> str:
        return "removed" if self.second is None else "added" if self.first is None else ""

    @property
    def card(self) -> Card:
        card = self.second if self.second is not None else self.first
        assert card is not None
        return card


def compared(first: Graph, second: Graph) -> Picture:
    """The picture of two graphs merged: what is only in one of them is marked, the rest is folded.

    Operations are the same if they have the same name, module, shape and numbers, and come in the same order. Raises
    ValueError for graphs of more than 5,000 operations.
    """
    for graph in (first, second):
        if len(graph.ops) > MOST_OPERATIONS:
            raise ValueError(
                f"compare takes graphs of at most {MOST_OPERATIONS:,} operations, got {len(graph.ops):,}; compare parts"
            )
    readers = [_opened(graph) for graph in (first, second)]
    pictures = [reader.picture() for reader in readers]
    entries = _merged(readers)
    result = Picture([], [], Cluster(""), ops=pictures[1].ops, leaves=pictures[1].leaves)
    homes: list[dict[str, Card]] = [{}, {}]  # the card of the result, by the id in each picture
    for stretch in _stretches(entries):
        card = _card(stretch, len(result.cards))
        result.cards.append(card)
        for entry in stretch:
            for home, own in zip(homes, entry, strict=True):
                if own is not None:
                    home[own.id] = card
    _add_leaves(result, pictures, homes)
    _add_edges(result, pictures, homes)
    result.clusters.cards = result.cards
    result.text = _lines(entries)
    return result


def _opened(graph: Graph) -> Reader:
    plain = Graph(graph.roots, None, Wanted(fold=False, params="inside", color="kind"))
    return Reader(plain, View(plain.plan.page, lambda group: True))


def _key(node: Node) -> Any:
    numbers = tuple(value for value in node.inputs if not isinstance(value, Node | Given))
    return node.op, node.scope.path, node.scope.title, node.shape, numbers


def _merged(readers: Sequence[Reader]) -> list[_Entry]:
    """The operations of both graphs in an order that is right for both."""
    keys = [[_key(node) for node in reader.graph.ops] for reader in readers]
    cards = [[reader.tail(node) for node in reader.graph.ops] for reader in readers]
    entries: list[_Entry] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_opcodes():
        if tag == "equal":
            entries += [_Entry(a, b) for a, b in zip(cards[0][i1:i2], cards[1][j1:j2], strict=True)]
        else:
            entries += [_Entry(a, None) for a in cards[0][i1:i2]]
            entries += [_Entry(None, b) for b in cards[1][j1:j2]]
    return entries


def _stretches(entries: Sequence[_Entry]) -> list[list[_Entry]]:
    """The entries one by one, but those between two differences together."""
    found: list[list[_Entry]] = []
    runs = [(change, list(run)) for change, run in groupby(entries, key=lambda entry: entry.change)]
    for place, (change, run) in enumerate(runs):
        before = _CONTEXT if place else 0
        after = _CONTEXT  # the last operation is the result
        if change or len(run) <= before + after + 1:
            found += [[entry] for entry in run]
            continue
        found += [[entry] for entry in run[:before]]
        found.append(run[before : len(run) - after])
        found += [[entry] for entry in run[len(run) - after :]]
    return found


def _card(stretch: Sequence[_Entry], place: int) -> Card:
    card = stretch[-1].card
    lines = [line._replace(gradient=None) for line in card.lines]
    made = replace(card, id=f"n{place}", change=stretch[0].change, gradient=None, lines=lines)
    if len(stretch) == 1:
        made.name = card.name or card.path
        return made
    made.kind, made.title, made.name, made.operands = "part", f"{len(stretch)} equal operations", "", ""
    made.lines, made.count = [], len(stretch)
    made.tip = [f"{len(stretch)} operations that both graphs have", *_paths(stretch)]
    return made


def _paths(stretch: Sequence[_Entry]) -> list[str]:
    paths = list(dict.fromkeys(entry.card.path for entry in stretch if entry.card.path))
    return [", ".join(paths[:12]) + (", …" if len(paths) > 12 else "")] if paths else []


def _add_leaves(result: Picture, pictures: Sequence[Picture], homes: Sequence[dict[str, Card]]) -> None:
    """The cards of leaves: one for two that are called the same in both graphs."""
    known: dict[Any, Card] = {}
    for picture, home in zip(reversed(pictures), reversed(homes), strict=True):
        for card in picture.cards:
            if card.count or card.id in home:
                continue
            like = (card.kind, card.title, card.shape)
            if like not in known:
                known[like] = replace(card, id=f"n{len(result.cards)}", gradient=None, path="")
                result.cards.append(known[like])
            home[card.id] = known[like]


def _add_edges(result: Picture, pictures: Sequence[Picture], homes: Sequence[dict[str, Card]]) -> None:
    drawn: set[tuple[str, str]] = set()
    for picture, home in zip(reversed(pictures), reversed(homes), strict=True):
        for edge in picture.edges:
            tail, head = home[edge.tail], home[edge.head]
            if tail is head or (tail.id, head.id) in drawn:
                continue
            drawn.add((tail.id, head.id))
            result.edges.append(Edge(tail.id, head.id, edge.style, "", edge.tip))


def _lines(entries: Sequence[_Entry]) -> list[str]:
    """The differences as text, like those of two files."""
    counts = {change: sum(entry.change == change for entry in entries) for change in ("removed", "added", "")}
    lines = [
        f"{counts['removed']:,} operations only in the first graph, {counts['added']:,} only in the second, "
        f"{counts['']:,} in both"
    ]
    for stretch in _stretches(entries):
        if len(stretch) > 1:
            lines.append(f"  … {len(stretch):,} equal operations")
            continue
        (entry,) = stretch
        card = entry.card
        sign = {"removed": "-", "added": "+"}.get(entry.change, " ")
        parts = [card.path, card.title, card.operands, shape_text(card.shape or ())]
        parts += [line.operand or line.name for line in card.lines]
        lines.append(f"{sign} {'  '.join(part for part in parts if part)}")
    return lines
