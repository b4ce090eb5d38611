"""A segment: neighbouring instructions as nests of loops and matrix products, in an order that memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from .functions import function_of
from .kernels import Module
from .nests import Root
from .nodes import Node, Place, Unresolved, c_strides
from .order import Order, Step, crosses, overlaps, together

__all__ = ["Segment", "Unfit"]

_VIEWS = ("transpose", "broadcast", "slice", "reshape")
_LONG = 40  # operations; more are not computed twice, nor in one piece


class Unfit(Exception):
    """These instructions cannot be compiled; they run as NumPy calls.

    Attributes:
        node: what cannot be computed, if that is known.
    """

    def __init__(self, message: str, node: Node | None = None) -> None:
        super().__init__(message)
        self.node = node


class Segment:
    """What a segment computes.

    Args:
        place: makes a new place in memory for a node.

    Attributes:
        nodes: in an order in which they can be computed.
        wanted: nodes whose values are needed outside of the segment.
        stores: what is written to memory that exists before: where, and which node.
        scratch: the slots of memory that need not be written to.
        uses: once it is compiled, the slots that are used at the same time, in order.
    """

    def __init__(self, place: Callable[[Node], Place]) -> None:
        self._new_place = place
        self.nodes: list[Node] = []
        self.wanted: set[Node] = set()
        self.stores: dict[Place, Node] = {}
        self.scratch: set[int] = set()
        self.uses: list[set[int]] = []
        self._temporary: set[Place] = set()

    def node(self, *args: Any, **kwargs: Any) -> Node:
        """Add a node."""
        self.nodes.append(Node(*args, **kwargs))
        return self.nodes[-1]

    def put_after(self, node: Node, new: list[Node]) -> None:
        """Add nodes where they are computed as soon as one that they use."""
        place = self.nodes.index(node) + 1
        self.nodes[place:place] = new

    # --- what must be in memory -------------------------------------------------------------------------

    def compile(self, module: Module, name: str) -> None:
        """Add the segment to a module. Raises Unfit."""
        self._choose()
        while True:
            roots = self._roots()
            unresolved = dict.fromkeys(n for root in roots if isinstance(root, Root) for n in self._flatten(root))
            for node in unresolved:
                self._force(node)
            if unresolved:
                continue
            try:
                steps = self._steps(roots)
                break
            except _Conflict as conflict:
                self._temporary.add(conflict.place)
        lines: list[str] = []
        for step in steps:
            if step.product is None:
                lines += module.nest(step.roots)
                self.uses.append({slot for root in step.roots for slot in root.slots()})
                continue
            assert step.product.place is not None
            a, b = self._operands(step.product)
            try:
                if module.transposes(a.shape[0], b):
                    source, b = b, self._new_place(Node("memory", step.product.dtype, b.shape))
                    lines += module.transposed(step.product.dtype, source, b)
                    self.uses.append({source.slot, b.slot})
                self.uses.append({a.slot, b.slot, step.product.place.slot})
                lines += module.product(step.product.dtype, a, b, step.product.place)
            except ValueError as error:
                raise Unfit(str(error), step.product) from error
        module.segment(name, lines)

    def _choose(self) -> None:
        """Give places to the nodes that must be in memory."""
        uses: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for source in node.inputs:
                uses.setdefault(source, []).append(node)
        work: dict[Node, int] = {}

        def consumers(node: Node, part: tuple[int, int] | None = None) -> Iterable[tuple[Node, tuple[int, int] | None]]:
            """What uses a node, and which part of it if it is one-dimensional."""
            for user in uses[node]:
                if user.op not in _VIEWS:
                    yield user, part
                elif part is None and user.op == "slice" and len(node.shape) == 1 and user.attribute[0][1] == 1:
                    start = user.attribute[0][0]
                    yield from consumers(user, (start, start + user.size))
                else:
                    yield from consumers(user, part)

        for node in self.nodes:
            if node.op == "product":
                for source in node.inputs:
                    self._put(_base(source))
        for node in self.nodes:
            if node.place is not None:
                work[node] = 0
                continue
            work[node] = sum(work[source] for source in node.inputs) + _cost(node)
            if node.op in ("reduce", "product", "write") or node in self.wanted:
                self._put(node)
            elif node.op in ("apply", "cast") and work[node]:
                found = list(consumers(node))
                users = [user for user, _ in found]
                wider = any(
                    user.size > node.size or (user.op == "reduce" and user.inputs[0].size > node.size) for user in users
                )
                heavy = work[node] >= 6 and _again([part for _, part in found])
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

    def _operands(self, product: Node) -> list[Place]:
        """The places of the operands of a product."""
        try:
            return [self._matrix(source) for source in product.inputs]
        except Unfit as unfit:
            raise Unfit(str(unfit), product) from unfit

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
        """What is written to memory, in order; products are nodes."""
        roots: list[Root | Node] = []
        for place, node in self.stores.items():
            if place in self._temporary:
                self._put(node)
        for node in self.nodes:
            if node.place is None or node.op == "memory":
                continue
            if node.op == "product":
                roots.append(node)
            elif node.op == "reduce":
                ufunc, axes, keepdims, initial = node.attribute
                source = node.inputs[0]
                roots.append(Root(source, node.place, ufunc, axes, keepdims, initial, marks=node))
            elif node.op == "write":
                before, value = node.inputs
                whole = Root(before, node.place, marks=node)
                parts = self._split(value, node.place.part(*node.attribute), None)
                for part in parts:
                    part.marks, part.after = node, whole
                roots += [whole, *parts]
            else:
                roots += self._split(node, node.place, node)
        copies: list[Root] = []
        for place, node in self.stores.items():
            if place in self._temporary:
                copies += self._split(node, place, None)
            else:
                roots += self._split(node, place, None)
        return [*roots, *copies]

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

    def _flatten(self, root: Root) -> list[Node]:
        """Use one loop where the positions in C order are enough. Returns what has to be in memory for any loops."""
        try:
            whole = root.place.contiguous if root.ufunc is None else len(root.axes) == len(root.node.shape)
            if whole and len(root.node.shape) > 1:
                root.flat = True
                try:
                    root.reads()
                except Unresolved:
                    root.flat = False
            root.reads()
            root.target()
        except Unresolved as unresolved:
            return [unresolved.node]
        return []

    # --- order ------------------------------------------------------------------------------------------

    def _steps(self, roots: list[Root | Node]) -> list[Step]:
        """Let roots share loops, as far as what they read and write allows. Raises _Conflict."""
        order = Order()
        for item in roots:
            if isinstance(item, Node):
                order.append(Step(product=item), self._operands(item))
                order.made_in(item, len(order.steps) - 1)
                continue
            first, last = order.range(item)
            chosen = order.shared(item, first, last)
            if chosen is None:
                if item.marks is None and not together([], item):  # it reads what it has overwritten
                    raise _Conflict(self._written(item, [Step([item])]))
                if last < len(order.steps):
                    raise _Conflict(self._written(item, order.steps[last:]))
                order.append(Step(), [])
                chosen = len(order.steps) - 1
            order.add(item, chosen)
        return order.steps

    def _written(self, item: Root, steps: list[Step]) -> Place:
        for step in steps:
            for other in step.roots:
                if other.marks is None and overlaps(item, other):
                    whole = [p for p in self.stores if crosses(p, other.place) and p not in self._temporary]
                    if whole:
                        return whole[0]
        raise Unfit("writes that depend on one another")


class _Conflict(Exception):
    """What is written to this place has to be kept elsewhere first."""

    def __init__(self, place: Place) -> None:
        self.place = place


def _again(parts: list[tuple[int, int] | None]) -> bool:
    """Whether some elements are used more than once, given the parts that are used; None is all of it."""
    known = sorted(part for part in parts if part is not None)
    if len(known) < len(parts):
        return len(parts) > 1
    return any(stop > start for (_, stop), (start, _) in pairwise(known))


def _base(node: Node) -> Node:
    while node.op in _VIEWS and node.place is None:
        node = node.inputs[0]
    return node


def _cost(node: Node) -> int:
    if node.op not in ("apply", "cast"):
        return 0
    return 10 if function_of(node.attribute) else 4 if node.attribute in (np.divide, np.reciprocal, np.sqrt) else 1


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
