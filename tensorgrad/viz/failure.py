"""Drawings of a forward pass that raised: what ran, and the operation that failed, in red."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import Any

from ..engine.frames import LIBRARY
from ..engine.graph import Leaf, Node
from ..engine.record import Handle
from .cards import Reader
from .facts import where
from .graph import Graph, Wanted
from .picture import Card, Edge, Picture
from .style import shape_text, short

__all__ = ["failed_picture"]


class _Failure:
    """What the frames of an exception tell: the operation, its operands, the user's line, the Tensors computed."""

    def __init__(self, error: BaseException) -> None:
        self.op = ""
        self.operands: list[Any] = []
        self.line = ""
        self.made: list[Any] = []
        step: TracebackType | None = error.__traceback__
        while step is not None:
            frame = step.tb_frame
            variables = dict(frame.f_locals)
            ours = LIBRARY[frame.f_code.co_filename]
            if not ours:
                self.line = where(frame.f_code, step.tb_lasti)[0]
            self.made += [value for value in variables.values() if isinstance(value, Handle)]
            operands = variables.get("inputs", [variables[name] for name in ("x", "y") if name in variables])
            if ours and isinstance(variables.get("op"), str) and isinstance(operands, list | tuple):
                self.op, self.operands = variables["op"], list(operands)
            step = step.tb_next


def failed_picture(error: BaseException, wanted: Wanted) -> tuple[Picture, Reader]:
    """The picture of what led to an exception.

    The operands of the failed operation are looked for in the frames of the traceback, as are the results that the
    functions there had computed.
    """
    failure = _Failure(error)
    made = [t for t in failure.made if t.node is not None and not isinstance(t.node, Leaf)]
    tensors = [t for t in (*failure.operands, *made) if isinstance(t, Handle) and t.node is not None]
    roots: dict[Node, Any] = {}
    for t in tensors:
        assert t.node is not None
        roots.setdefault(t.node, t)
    if wanted.color == "time":
        wanted = replace(wanted, color="grad")  # a failed forward pass has no backward to measure
    graph = Graph(roots, None, wanted)
    reader = Reader(graph)
    picture = reader.picture()
    for card in picture.cards:
        card.root = False
    message = " ".join(str(error).split())
    card = Card(f"n{len(picture.cards)}", "failed", short(failure.op or type(error).__name__), root=True, count=0)
    card.name = short(failure.line and f"at {failure.line}", 60)
    card.born = f"‼ {type(error).__name__}: {short(message, 400)}"
    card.tip = [f"{failure.op or 'this'} raised {type(error).__name__}", failure.line, message]
    picture.cards.append(card)
    picture.clusters.cards.append(card)
    used = [t for t in failure.operands if isinstance(t, Handle)] if failure.operands else tensors[-1:]
    plain = [x for x in failure.operands if not isinstance(x, Handle)]
    card.operands = ", ".join(shape_text(x.shape) if hasattr(x, "shape") else short(repr(x), 12) for x in plain[:3])
    for position, t in enumerate(used):
        tail = reader.card_of(t.node)
        if tail is not None:
            label = shape_text(t._data.shape)
            picture.edges.append(Edge(tail.id, card.id, "solid", label, f"input {position + 1}: {label}"))
        else:
            card.operands = ", ".join(part for part in (card.operands, shape_text(t._data.shape)) if part)
    ends = {edge.tail for edge in picture.edges}
    for other in picture.cards:
        other.root = other is card or (other.id not in ends and other.kind != "failed")
    note = f"forward failed: {type(error).__name__} in {failure.op or 'user code'}, {failure.line}"
    picture.notes.append(note.rstrip(", "))
    return picture, reader
