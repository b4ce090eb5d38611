"""The content of a drawing as plain data: cards, the edges between them, and nested modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ..engine.shapes import Shape
from .style import shape_text

__all__ = ["Card", "Cluster", "Edge", "Gradient", "Line", "Picture", "summary_of"]


class Gradient(NamedTuple):
    """What a coloured cell says: usually a gradient, else a time, a size or a kind."""

    text: str  # "grad rms 8.0e-04"
    colour: str
    rms: float | None = None  # None: there is no gradient
    details: str = ""  # for the tooltip, because the card has no room for them
    ink: str = ""  # the colour of the text, where it is not the usual one

    @property
    def brief(self) -> str:
        """The text for a narrow cell."""
        return self.text.replace("grad rms", "grad")


class Line(NamedTuple):
    """A leaf that is drawn as a line in the card of the operation (or module) that uses it."""

    kind: str  # parameter, constant
    name: str
    text: str  # shape or value
    gradient: Gradient | None = None
    tip: str = ""
    shared: bool = False  # its gradient is in the card of an earlier user
    operand: str = ""  # how it enters: "@ W", "W +"


@dataclass(slots=True)
class Card:
    """One box: an operation with its result, a closed module, or a leaf."""

    id: str
    kind: str  # op, module, function, fold, parameter, input, constant, detached, failed, note
    title: str  # the operation, the path of a module, or the name of a leaf
    name: str = ""  # the user's name for the result of an operation, or what a module is
    shape: Shape | None = None
    value: str = ""  # for a scalar
    gradient: Gradient | None = None
    path: str = ""  # of the module it belongs to
    tip: list[str] = field(default_factory=list)
    root: bool = False  # was it passed to draw()?
    lines: list[Line] = field(default_factory=list)
    operands: str = ""  # Python numbers among the inputs: "/ 4"
    summary: str = ""  # of a closed module: its operations and parameters
    range: tuple[Gradient, ...] = ()  # the smallest and the largest gradient among its parameters
    count: int = 0  # the number of operations in it; 0 for a leaf
    times: int = 1  # how many equal parts it stands for
    born: str = ""  # the first value that is not finite: what and where
    faded: bool = False  # not part of what is differentiated
    change: str = ""  # in a comparison: "added" or "removed"
    called: str = "result"  # what a scalar that was passed to draw() is called

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
    """An open module: the cards that belong to it but not to a module inside it, and those modules."""

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
    clusters: Cluster  # the outermost is the page
    notes: list[str] = field(default_factory=list)
    ops: Counter[str] = field(default_factory=Counter)  # of the whole graph, also those in closed modules
    leaves: int = 0  # those that require a gradient
    text: list[str] = field(default_factory=list)  # what print() shows; empty for the indented tree


def summary_of(picture: Picture) -> str:
    """The graph in a few words.

    >>> summary_of(Picture([], [], Cluster(""), ops=Counter(tanh=1), leaves=1))
    '1 operation (1 tanh), 1 leaf that requires a gradient'
    """
    total = picture.ops.total()
    most = ", ".join(f"{count:,} {op}" for op, count in picture.ops.most_common(8))
    most += ", …" if len(picture.ops) > 8 else ""
    leaves = picture.leaves
    return (
        f"{total:,} operation{'s' * (total != 1)}{f' ({most})' if most else ''}, "
        f"{leaves:,} {'leaf that requires' if leaves == 1 else 'leaves that require'} a gradient"
    )
