"""The nodes of a drawing, with what is known about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..engine.graph import Constant, Given, Leaf, Node, ancestors
from ..errors import GraphError
from .leaves import Source, array_given, find_input, source_of
from .levels import Plan
from .measures import Measures
from .values import first_nonfinite

__all__ = ["Graph", "Wanted"]

MOST_NODES = 300_000


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
    """The nodes of a drawing, with what is known about each."""

    def __init__(self, roots: Mapping[Node, Any], gradients: Mapping[Node, Any] | None, wanted: Wanted) -> None:
        self.roots = roots
        self.wanted = wanted
        live = ancestors(roots)
        if len(live) > MOST_NODES:  # reading them would take half a minute a million
            raise GraphError(
                f"draw: the graph has {len(live):,} nodes, more than the {MOST_NODES:,} that can be drawn; draw a "
                "Tensor that is computed from fewer, such as the result of one step of a loop"
            )
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
        for source in self.sources.values():
            if source.node is None and source.kind == "constant":
                find_input(source, source.data)

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
