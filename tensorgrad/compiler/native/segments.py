"""A segment: neighbouring instructions as nests of loops and matrix products, in an order that memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .kernels import Module, Root
from .nodes import Node, Place, Unresolved, c_strides

__all__ = ["Segment", "Unfit", "crosses"]

_VIEWS = ("transpose", "broadcast", "slice", "reshape")
_LONG = 24  # operations; more are not computed twice, nor in one piece
_WIDE = 8  # results of one nest


class Unfit(Exception):
    """These instructions cannot be compiled; they run as NumPy calls."""


@dataclass(eq=False)
class Step:
    """Roots with common loops, or one matrix product."""

    roots: list[Root] = field(default_factory=list)
    product: Node | None = None

    def admits(self, root: Root) -> bool:
        """Whether a root has the same loops, and there is room for it."""
        if not 0 < len(self.roots) < _WIDE:
            return False
        first = self.roots[0]
        return (first.domain, first.ufunc is None, first.axes) == (root.domain, root.ufunc is None, root.axes)


class Segment:
    """What a segment computes.

    Args:
        place: makes a new place in memory for a node.

    Attributes:
        nodes: in an order in which they can be computed.
        wanted: nodes whose values are needed outside of the segment.
        stores: what is written to memory that exists before: where, and which node.
    """

    def __init__(self, place: Callable[[Node], Place]) -> None:
        self._new_place = place
        self.nodes: list[Node] = []
        self.wanted: set[Node] = set()
        self.stores: dict[Place, Node] = {}
        self._temporary: set[Place] = set()

    def node(self, *args: Any, **kwargs: Any) -> Node:
        """Add a node."""
        self.nodes.append(Node(*args, **kwargs))
        return self.nodes[-1]

    # --- what must be in memory -------------------------------------------------------------------------

    def compile(self, module: Module, name: str) -> None:
        """Add the segment to a module. Raises Unfit."""
        self._choose()
        while True:
            try:
                roots = self._roots()
                steps = self._steps(roots)
                break
            except Unresolved as unresolved:
                self._force(unresolved.node)
            except _Conflict as conflict:
                self._temporary.add(conflict.place)
        lines: list[str] = []
        for step in steps:
            if step.product is None:
                lines += module.nest(step.roots)
                continue
            a, b = (self._matrix(source) for source in step.product.inputs)
            assert step.product.place is not None
            try:
                lines += module.product(step.product.dtype, a, b, step.product.place)
            except ValueError as error:
                raise Unfit(str(error)) from error
        module.segment(name, lines)

    def _choose(self) -> None:
        """Give places to the nodes that must be in memory."""
        uses: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for source in node.inputs:
                uses.setdefault(source, []).append(node)
        work: dict[Node, int] = {}

        def consumers(node: Node) -> Iterable[Node]:
            for user in uses[node]:
                if user.op in _VIEWS:
                    yield from consumers(user)
                else:
                    yield user

        for node in self.nodes:
            if node.op == "product":
                for source in node.inputs:
                    self._put(_base(source))
        for node in self.nodes:
            if node.place is not None:
                work[node] = 0
                continue
            work[node] = sum(work[source] for source in node.inputs) + _cost(node)
            if node.op in ("reduce", "product") or node in self.wanted:
                self._put(node)
            elif node.op in ("apply", "cast") and work[node]:
                users = list(consumers(node))
                wider = any(
                    user.size > node.size or (user.op == "reduce" and user.inputs[0].size > node.size) for user in users
                )
                heavy = work[node] >= 6 and len(users) > 1
                if (wider and work[node] > 1) or heavy or work[node] > _LONG:
                    self._put(node)
            if node.place is not None:
                work[node] = 0

    def _put(self, node: Node) -> None:
        if node.place is None:
            node.place = self._new_place(node)

    def _force(self, node: Node) -> None:
        node = _base(node)
        if node.place is not None or node.op in ("constant", "number"):
            raise Unfit(f"an index does not go through {node.op}")
        self._put(node)

    def _matrix(self, node: Node) -> Place:
        """The place of an operand of a product, through its views."""
        if node.place is not None:
            return node.place
        if node.op not in ("transpose", "reshape"):
            raise Unfit("an operand of a product is not a matrix in memory")
        place = self._matrix(node.inputs[0])
        if node.op == "transpose":
            shape, strides = ([each[k] for k in node.attribute] for each in (place.shape, place.strides))
            return Place(place.slot, place.offset, tuple(shape), tuple(strides), place.itemsize)
        if not place.contiguous:
            raise Unfit("an operand of a product is not in C order")
        return Place(place.slot, place.offset, node.shape, c_strides(node.shape, place.itemsize), place.itemsize)

    # --- roots ------------------------------------------------------------------------------------------

    def _roots(self) -> list[Root | Node]:
        """What is written to memory, in order; products are nodes. Raises Unresolved."""
        roots: list[Root | Node] = []
        for node in self.nodes:
            if node.place is None or node.op == "memory":
                continue
            if node.op == "product":
                roots.append(node)
            elif node.op == "reduce":
                ufunc, axes, keepdims, initial = node.attribute
                source = node.inputs[0]
                roots.append(Root(source, node.place, ufunc, axes, keepdims, initial, marks=node))
            else:
                roots += self._split(node, node.place, node)
        copies: list[Root] = []
        for place, node in self.stores.items():
            if place in self._temporary:
                if node.place is None:
                    self._put(node)
                    roots += self._split(node, self._place_of(node), node)
                copies += self._split(node, place, None)
            else:
                roots += self._split(node, place, None)
        for root in (*roots, *copies):
            if isinstance(root, Root):
                self._flatten(root)
        return [*roots, *copies]

    def _place_of(self, node: Node) -> Place:
        assert node.place is not None
        return node.place

    def _split(self, node: Node, place: Place, marks: Node | None) -> list[Root]:
        """A root for each part that comes from other pieces of a concatenation."""
        cuts = _cuts(node, marks is not None) if len(node.shape) == 1 else None
        if not cuts:
            return [Root(node, place, marks=marks)]
        roots = []
        for start, stop in zip([0, *cuts], [*cuts, node.size], strict=True):
            if start == stop:
                continue
            offset = place.offset + start * place.strides[0]
            part = Place(place.slot, offset, (stop - start,), place.strides, place.itemsize)
            source = node
            if marks is not None:  # the part is computed, not read from where the whole will be
                source = Node(node.op, node.dtype, node.shape, node.inputs, node.attribute)
            piece = Node("slice", node.dtype, (stop - start,), (source,), ((start, 1),))
            roots.append(Root(piece, part, marks=node if marks is not None else None))
        return roots

    def _flatten(self, root: Root) -> None:
        """Use one loop where the positions in C order are enough; check that the indices can be resolved."""
        if root.ufunc is None and len(root.node.shape) > 1 and root.place.contiguous:
            root.flat = True
            try:
                root.reads()
            except Unresolved:
                root.flat = False
        root.reads()
        root.target()

    # --- order ------------------------------------------------------------------------------------------

    def _steps(self, roots: list[Root | Node]) -> list[Step]:
        """Let roots share loops, as far as what they read and write allows. Raises _Conflict."""
        steps: list[Step] = []
        made: dict[int, int] = {}  # slot: the last step that writes to it for the first time
        for item in roots:
            if isinstance(item, Node):
                steps.append(Step(product=item))
                assert item.place is not None
                made[item.place.slot] = len(steps) - 1
                continue
            first, last = self._range(item, steps, made)
            chosen = None
            for number in range(min(last, len(steps) - 1), first - 1, -1):
                step = steps[number]
                if step.admits(item) and _together(step.roots, item):
                    chosen = number
                    break
            if chosen is None:
                if last < len(steps):
                    raise _Conflict(self._written(item, steps[last:]))
                steps.append(Step([item]))
                chosen = len(steps) - 1
            else:
                steps[chosen].roots.append(item)
            if item.marks is not None:
                made[item.place.slot] = max(chosen, made.get(item.place.slot, 0))
        return steps

    def _range(self, item: Root, steps: list[Step], made: dict[int, int]) -> tuple[int, int]:
        """The first and the last step that a root may be part of; the last may be after all others."""
        first, last = 0, len(steps)
        for access in item.reads():
            assert access.node.place is not None
            first = max(first, made.get(access.node.place.slot, -1))  # may join it only where _together says so
        for number, step in enumerate(steps):
            for other in step.roots:
                if other.marks is None and _overlaps(item, other):
                    last = min(last, number)  # reads what is overwritten there
                if item.marks is None and _overlaps(other, item):
                    first = max(first, number)
            if item.marks is None and step.product is not None:
                for source in step.product.inputs:
                    if crosses(item.place, self._matrix(source)):
                        first = max(first, number + 1)
        return first, last

    def _written(self, item: Root, steps: list[Step]) -> Place:
        for step in steps:
            for other in step.roots:
                if other.marks is None and _overlaps(item, other):
                    whole = [p for p in self.stores if crosses(p, other.place) and p not in self._temporary]
                    if whole:
                        return whole[0]
        raise Unfit("writes that depend on one another")


class _Conflict(Exception):
    """What is written to this place has to be kept elsewhere first."""

    def __init__(self, place: Place) -> None:
        self.place = place


def _base(node: Node) -> Node:
    while node.op in _VIEWS and node.place is None:
        node = node.inputs[0]
    return node


def _cost(node: Node) -> int:
    if node.op not in ("apply", "cast"):
        return 0
    return 4 if node.attribute in (np.divide, np.sqrt) else 1


def _cuts(node: Node, own: bool = False) -> list[int]:
    """Where the pieces of concatenations in a one-dimensional node meet."""
    if node.place is not None and not own:
        return []
    if node.op == "concatenate":
        ends = np.cumsum([piece.size for piece in node.inputs]).tolist()
        return ends[:-1]
    if node.op in ("apply", "cast"):
        return sorted({cut for source in node.inputs if source.shape == node.shape for cut in _cuts(source)})
    return []


def _together(roots: list[Root], item: Root) -> bool:
    """Whether a root may share the loops of others: what one writes, another reads only at the same element."""
    everyone = [*roots, item]
    for reader in everyone:
        for access in reader.reads():
            for writer in everyone:
                place = access.node.place
                assert place is not None
                if writer is reader and writer.marks is not None:
                    continue
                if place.slot != writer.place.slot:
                    continue
                if writer.marks is not None:
                    # Its value is at hand if it is that of the same element, and not that of a reduction.
                    same = writer.marks is access.node and writer.own and access.where == writer.index
                    if same and everyone.index(writer) < everyone.index(reader):
                        continue
                    return False
                low, high = access.offset.bounds(reader.domain)
                start, end = writer.place.span
                if high + place.itemsize <= start or low >= end:
                    continue
                if access.offset != writer.target() or writer.ufunc is not None:
                    return False
    return True


def _overlaps(reader: Root, writer: Root) -> bool:
    """Whether a root reads memory that another one writes to."""
    start, end = writer.place.span
    for access in reader.reads():
        place = access.node.place
        assert place is not None
        if place.slot == writer.place.slot:
            low, high = access.offset.bounds(reader.domain)
            if low < end and high + place.itemsize > start:
                return True
    return False


def crosses(one: Place, other: Place) -> bool:
    """Whether two places may share memory."""
    (a, b), (c, d) = one.span, other.span
    return one.slot == other.slot and a < d and c < b
