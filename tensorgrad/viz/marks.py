"""What must be seen in a drawing: where NaN was born, what backward() freed, parameters that are not reached."""

from __future__ import annotations

from ..engine.graph import Freed
from .facts import where
from .leafcards import LeafReader
from .picture import Edge, Gradient
from .style import NONE

__all__ = ["mark_birth_of_nan", "mark_freed", "mark_unreached"]


def mark_birth_of_nan(reader: LeafReader) -> None:
    """Mark the card in which the first value appears that is not finite."""
    if reader.graph.born is None:
        return
    node, what, certain = reader.graph.born
    at = where(node.code, node.lasti)[0]
    name = node.label or node.op
    users = reader.graph.consumers.get(node)
    card = reader.card_of(node) or (reader.card_of(users[0]) if users else None)  # a leaf may be a line of its user
    if card is None:
        return
    inside = card.title != node.op and card.title != node.label
    found = f"first {what}" if certain else f"{what} here or before"
    card.born = f"‼ {found}" + (f" in {name}" if inside else "") + (f" at {at}" if at else "")
    note = f"the first value that is {'' if certain else 'known to be '}not finite: {what} in {name}"
    if not certain:
        note += " (record_graph() keeps what is known of the others)"
    reader.notes.append(note + (f", {at}" if at else ""))


def mark_freed(reader: LeafReader) -> None:
    """If backward() has dropped links, add a card that says so, and how to draw the whole graph."""
    freed = [node for node in reader.graph.ops if isinstance(node.saved, Freed) and not node.inputs]
    cut = [node for node in freed if reader.number_of(node) >= 0]
    if not cut:
        return
    by = cut[-1].saved
    assert isinstance(by, Freed)
    place, _ = where(by.code, by.lasti)
    note = (
        f"graph was freed by backward() at {place or 'an unknown location'}, and a later one dropped its links; "
        f"use draw(loss, backward=True) before it, or with tg.record_graph():"
    )
    card = reader.card("note", note, tip=[note])
    reader.page.cards.append(card)
    reader.notes.append(note)
    for node in cut:
        head = reader.tail(node)
        reader.edges.append(Edge(card.id, head.id, "dotted", "", "what came before was freed"))


def mark_unreached(reader: LeafReader) -> None:
    """One card for the parameters of the model that the drawn result does not depend on."""
    model = reader.graph.wanted.model
    if model is None or any(isinstance(node.saved, Freed) and not node.inputs for node in reader.graph.ops):
        return  # of a graph that has lost its links, nothing more is known
    live = {
        id(s.node) for s in reader.graph.sources.values() if s.node is not None and s.node not in reader.graph.faded
    }
    names = [name for name, p in model.named_parameters() if p.requires_grad and id(p.node) not in live]
    if not names:
        return
    some = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
    note = f"{len(names)} parameter{'s' * (len(names) > 1)} not reached: {some}"
    card = reader.card("note", note, tip=[note, *names[6:]])
    card.gradient = Gradient("no gradient reaches them", NONE)
    reader.page.cards.append(card)
    reader.notes.append(note)
