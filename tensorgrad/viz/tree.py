"""The graph as indented text: what ``print(drawing)`` shows, and the replacement for a picture."""

from __future__ import annotations

from collections import Counter

from ..words import escaped
from .picture import Card, Line, Picture

__all__ = ["tree_lines"]

DEPTH = 20  # deeper branches continue in a separate section, so that a long chain stays readable


def tree_lines(picture: Picture) -> list[str]:
    """One line per card, from each result to what it was computed from.

    A card that is used more than once is tagged with its id, and is followed only where it first appears.
    """
    cards = {card.id: card for card in picture.cards}
    tails: dict[str, list[str]] = {card.id: [] for card in picture.cards}
    uses: Counter[str] = Counter()
    for edge in picture.edges:
        tails[edge.head].append(edge.tail)
        uses[edge.tail] += 1
    lines = [*picture.notes]
    shown: set[str] = set()  # already followed, or waiting for its section
    sections = [card.id for card in reversed(picture.cards) if card.root]
    position = 0
    while position < len(sections):
        start = sections[position]
        position += 1
        tag = position > 1 or uses[start] > 1
        stack = [(start, "", "", 0)]
        while stack:
            id, before, below, depth = stack.pop()
            card = cards[id]
            inputs = tails[id]
            tagged = bool(inputs) and (uses[id] > 1 or (depth == 0 and tag))
            line = before + _line(card, tagged or (depth == DEPTH and bool(inputs)))
            if depth and inputs and id in shown:
                lines.append(f"{line} …")
                continue
            if depth == DEPTH and inputs:
                shown.add(id)
                sections.append(id)
                lines.append(f"{line} … (continued below)")
                continue
            shown.add(id)
            lines.append(line)
            lines += [
                f"{below}{'├─ ' if inputs or place < len(card.lines) - 1 else '└─ '}{_leaf(leaf)}"
                for place, leaf in enumerate(card.lines)
            ]
            for place, tail in reversed(list(enumerate(inputs))):
                last = place == len(inputs) - 1
                stack.append((tail, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "), depth + 1))
    return lines


def _line(card: Card, tagged: bool) -> str:
    if card.kind == "note":
        return f"({card.title})"
    if card.count and card.kind != "op":
        return _closed(card, tagged)
    named = f"{card.name} = {card.title}" if card.name else card.title
    text = card.text if card.value or card.shape != () else ""
    gradient = card.gradient.text if card.gradient else ""
    kind = "" if card.count else f"[{card.kind}]" if card.kind != card.title else ""
    change = {"added": "[added]", "removed": "[removed]"}.get(card.change, "")
    place = card.path and f"in {card.path}"
    parts = [named, card.operands, text, kind, gradient, place, card.born, change, f"#{card.id}" if tagged else ""]
    return escaped("  ".join(part for part in parts if part))


def _closed(card: Card, tagged: bool) -> str:
    times = f"×{card.times}" if card.times > 1 else ""
    named = " ".join(part for part in (card.title, card.name, times) if part)
    gradients = " … ".join(gradient.text for gradient in card.range)
    change = {"added": "[added]", "removed": "[removed]"}.get(card.change, "")
    text = card.text if card.value or card.shape != () else ""
    gradient = card.gradient.text if card.gradient else ""
    summary = f"{card.summary}: {gradients}" if gradients else card.summary
    parts = [named, text, gradient, summary, f"({card.count:,} operations)", card.born, change]
    return escaped("  ".join(part for part in [*parts, f"#{card.id}" if tagged else ""] if part))


def _leaf(line: Line) -> str:
    gradient = "shared" if line.shared else line.gradient.text if line.gradient else ""
    return escaped("  ".join(part for part in (line.name, line.text, f"[{line.kind}]", gradient) if part))
