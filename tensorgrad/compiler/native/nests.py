"""LLVM code for loops: a nest computes several results with the same loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .machine import vector_bytes
from .nodes import Access, Affine, Flat, Index, Node, Place, accesses, element, inner_index, parts_of_index, piece_of
from .operations import IN_MEMORY, REDUCTIONS, TYPES, Lines, code_of

__all__ = ["Nest", "Root"]

_RUN = 5  # elements; a shorter loop is unrolled
_AT_ONCE = 4  # elements along an outer axis that are reduced together


@dataclass(eq=False)
class Root:
    """A node that is written to memory: by itself, or as the sum or the like of another over some axes."""

    node: Node  # what is computed for each element
    place: Place  # where the result goes
    ufunc: Any = None  # of a reduction
    axes: tuple[int, ...] = ()
    keepdims: bool = False
    initial: float | None = None
    flat: bool = False  # one loop over the positions in C order; of reductions, only those over all axes
    marks: Node | None = None  # the node whose value lies there afterwards
    after: Root | None = None  # what writes to the same memory before
    _known: tuple[Any, list[Access]] | None = None

    @property
    def domain(self) -> tuple[int, ...]:
        """The lengths of the loops."""
        return (self.node.size,) if self.flat else self.node.shape

    @property
    def index(self) -> Index:
        """The index of the element that the loops are at."""
        parts = tuple(Affine(0, ((k, 1),)) if n > 1 else Affine(0) for k, n in enumerate(self.domain))
        return Flat(parts[0]) if self.flat and len(self.node.shape) != 1 else parts

    @property
    def loops(self) -> Any:
        """Equal for roots that could share loops."""
        return self.domain, self.ufunc is None, self.reduced

    @property
    def reduced(self) -> tuple[int, ...]:
        """The loops that are reduced."""
        return (0,) if self.flat and self.ufunc is not None else self.axes

    def target(self) -> Affine:
        """The offset of the result."""
        index = self.index
        if self.ufunc is not None:
            if self.flat:
                return Affine(self.place.offset)
            assert isinstance(index, tuple)
            kept = [part for k, part in enumerate(index) if k not in self.axes]
            if self.keepdims:
                kept = [Affine(0) if k in self.axes else part for k, part in enumerate(index)]
            index = tuple(kept)
        offset = self.place.at(index)
        if offset is None:
            offset = self.place.at(parts_of_index(self.node, index, self.domain))
        assert offset is not None
        return offset

    @property
    def own(self) -> bool:
        """Is this where the node gets its place? Otherwise it may have one already."""
        return self.ufunc is None and self.marks is self.node

    def reads(self) -> list[Access]:
        """What an element is computed from, in memory. Raises Unresolved."""
        key = (self.flat, self.node.place)
        if self._known is None or self._known[0] != key:
            self._known = (key, list(accesses(self.node, self.index, self.domain, self.own)))
        return self._known[1]

    def slots(self) -> set[int]:
        """The slots of what is read and of the result. Raises Unresolved."""
        return {self.place.slot, *(access.node.place.slot for access in self.reads() if access.node.place is not None)}


class Nest(Lines):
    """The function for one nest: loops over the domain of its roots, the innermost along memory.

    Attributes:
        places: for each of its pointers, the slot, and where in its memory the pointer points to.
    """

    def __init__(self, roots: Sequence[Root]) -> None:
        super().__init__()
        self.roots = roots
        self.lengths = roots[0].domain
        self.reads = [root.reads() for root in roots]
        used = [(a.node.place, a.offset) for reads in self.reads for a in reads if a.node.place is not None]
        self.places: dict[int, int] = {}
        for place, offset in [*used, *((root.place, root.target()) for root in roots)]:
            self.places[place.slot] = min(offset.const, self.places.get(place.slot, offset.const))
        self.numbers = {slot: number for number, slot in enumerate(self.places)}
        self.registers: list[str] = []
        self.loops: dict[int, str] = {}
        self.ranges: dict[int, tuple[int, int, int]] = {}  # of loops that do not run from 0 by 1
        self.known: dict[Any, str] = {}

    # --- loops ------------------------------------------------------------------------------------------

    def text(self) -> str:
        """The function."""
        order = self._order()
        reducing = self.roots[0].ufunc is not None
        axes = set(self.roots[0].reduced) if reducing else set()
        inner = len(order)  # from here on, all loops are reduced, so their results stay in registers
        while reducing and inner and order[inner - 1] in axes:
            inner -= 1
        outer = [axis for axis in order[:inner] if axis in axes]
        if outer:
            self._loops([axis for axis in order if axis not in axes], 0, self._initialise)
        if outer and inner == len(order):
            self._through_memory(order, outer[-1])
        elif reducing:
            self._loops(order[:inner], 0, lambda: self._reduce(order[inner:], bool(outer)))
        else:
            self._loops(order, 0, self._store_all)
        given = ", ".join([*(f"ptr noalias %p{k}" for k in range(len(self.places))), "ptr noalias %numbers"])
        body = "\n".join([*self.registers, *self.lines])
        return f"({given}) noinline nounwind {{\nentry:\n{body}\n  ret void\n}}"

    def _order(self) -> list[int]:
        """The loops, from the one that steps farthest through memory."""
        steps = dict.fromkeys(range(len(self.lengths)), 0)
        for reads in self.reads:
            for access in reads:
                for loop, factor in access.offset.terms:
                    steps[loop] += abs(factor)
        if not any(steps.values()):
            for root in self.roots:
                for loop, factor in root.target().terms:
                    steps[loop] += abs(factor)
        axes = [k for k, n in enumerate(self.lengths) if n > 1]
        return sorted(axes, key=lambda k: -steps[k])

    def _loops(self, order: list[int], depth: int, body: Any) -> None:
        if depth == len(order):
            self.known.clear()
            body()
            return
        axis = order[depth]
        number = self.next()
        head, done = f"head{number}", f"done{number}"
        before = self.block
        self.emit(f"br label %{head}")
        self.label(head)
        start, stop, by = self.ranges.get(axis, (0, self.lengths[axis], 1))
        variable, step = f"%i{number}", f"%i{number}n"
        place = len(self.lines)
        self.lines.append("")
        self.loops[axis] = variable
        self._loops(order, depth + 1, body)
        del self.loops[axis]
        self.emit(f"{step} = add nuw nsw i64 {variable}, {by}")
        self.emit(f"%c{number} = icmp ult i64 {step}, {stop}")
        self.lines[place] = f"  {variable} = phi i64 [ {start}, %{before} ], [ {step}, %{self.block} ]"
        hint = "" if depth < len(order) - 1 else self._hint(self.lengths[axis])
        self.emit(f"br i1 %c{number}, label %{head}, label %{done}{hint}")
        self.label(done)
        self.known.clear()

    def _hint(self, length: int) -> str:
        """How to compute the innermost loop: LLVM takes half of the vector for exponentials, and none for a rest.

        LLVM prints a remark about a loop that it cannot compute as it is told; so only those get a hint that it can.
        """
        lanes = vector_bytes() // max(root.node.dtype.itemsize for root in self.roots)
        if not self.used or self.roots[0].ufunc is not None or lanes < 2 or length < max(lanes // 4 + 1, _RUN):
            return ""
        targets = {root.place.slot: root.target() for root in self.roots}
        places = [(a.node.place.slot, a.offset) for reads in self.reads for a in reads if a.node.place is not None]
        apart = all(targets.get(slot, offset) == offset for slot, offset in places)
        return f", !llvm.loop !lanes{lanes}" if apart and len(targets) == len(self.roots) else ""

    def _store_all(self) -> None:
        values = [(root, self.value(root.node, root.index, root.own)) for root in self.roots]
        for root, value in values:
            self._store(root.place.slot, root.target(), value, root.node.dtype)

    def _initialise(self) -> None:
        for root in self.roots:
            self._store(root.place.slot, root.target(), self._start(root), root.node.dtype)

    def _start(self, root: Root) -> str:
        initial = REDUCTIONS[root.ufunc] if root.initial is None else root.initial
        return self.constant(initial, root.node.dtype)

    def _through_memory(self, order: list[int], axis: int) -> None:
        """Add several elements along an axis at a time to the results in memory, which are read and written less.

        The order of the additions is that of NumPy.
        """
        length = self.lengths[axis]
        whole = length - length % _AT_ONCE
        for start, stop, by in ((0, whole, _AT_ONCE), (whole, length, 1)):
            if start < stop:
                self.ranges[axis] = (start, stop, by)
                self._loops(order, 0, partial(self._add_to_memory, axis, by))
        del self.ranges[axis]

    def _add_to_memory(self, axis: int, count: int) -> None:
        first = self.loops[axis]
        totals = [self._load(root.place.slot, root.target(), root.node.dtype) for root in self.roots]
        for k in range(count):
            if k:
                self.loops[axis] = self.assign(f"add nuw nsw i64 {first}, {k}")
                self.known.clear()
            values = [self.value(root.node, root.index, root.own) for root in self.roots]
            pairs = zip(self.roots, totals, values, strict=True)
            totals = [self._combined(root, total, value) for root, total, value in pairs]
        self.loops[axis] = first
        for root, total in zip(self.roots, totals, strict=True):
            self._store(root.place.slot, root.target(), total, root.node.dtype)

    def _reduce(self, inner: list[int], through_memory: bool) -> None:
        """Reduce the inner loops in registers, then store the result, or combine it with what is in memory."""
        accumulators = []
        for root in self.roots:
            kind = TYPES[code_of(root.node.dtype)]
            name = f"%a{self.next()}"
            if inner:
                self.registers.append(f"  {name} = alloca {kind}")
                self.emit(f"store {kind} {self._start(root)}, ptr {name}")
            accumulators.append(name)
        if inner:

            def step() -> None:
                for root, name in zip(self.roots, accumulators, strict=True):
                    kind = TYPES[code_of(root.node.dtype)]
                    value = self.value(root.node, root.index, root.own)
                    old = self.assign(f"load {kind}, ptr {name}")
                    self.emit(f"store {kind} {self._combined(root, old, value, loose=True)}, ptr {name}")

            self._loops(inner, 0, step)
        for root, name in zip(self.roots, accumulators, strict=True):
            kind = TYPES[code_of(root.node.dtype)]
            value = self.assign(f"load {kind}, ptr {name}") if inner else self.value(root.node, root.index, root.own)
            if through_memory:
                value = self._combined(root, self._load(root.place.slot, root.target(), root.node.dtype), value)
            elif not inner:
                value = self._combined(root, self._start(root), value)
            self._store(root.place.slot, root.target(), value, root.node.dtype)

    def _combined(self, root: Root, old: str, value: str, loose: bool = False) -> str:
        return self.operation(root.ufunc, [old, value], root.node.dtype, "reassoc nsz " if loose else "")

    # --- values -----------------------------------------------------------------------------------------

    def value(self, node: Node, index: Index, own: bool = False) -> str:
        """The name of an element's value; ``own`` computes it even if it has a place in memory."""
        key = (node, index)
        if key in self.known:
            return self.known[key]
        made = self._made(node, index, own)
        self.known[key] = made
        return made

    def _made(self, node: Node, index: Index, own: bool) -> str:
        if node.place is not None and not own:
            return self._load(node.place.slot, element(node, index, self.lengths), node.dtype)
        if node.op == "constant":
            return self.constant(node.attribute, node.dtype)
        if node.op == "number":
            pointer = self.assign(f"getelementptr double, ptr %numbers, i64 {node.attribute}")
            value = self.assign(f"load double, ptr {pointer}")
            return self.cast(value, np.dtype(np.float64), node.dtype)
        if node.op == "concatenate":
            return self.value(*piece_of(node, index, self.lengths))
        inner = [self.value(x, inner_index(node, k, index, self.lengths)) for k, x in enumerate(node.inputs)]
        if node.op == "cast":
            return self.cast(inner[0], node.inputs[0].dtype, node.dtype)
        if node.op == "apply":
            return self.operation(node.attribute, inner, node.inputs[-1].dtype, "")
        return inner[0]

    # --- memory -----------------------------------------------------------------------------------------

    def _pointer(self, slot: int, offset: Affine) -> str:
        total = str(offset.const - self.places[slot])
        for loop, factor in offset.terms:
            step = self.loops[loop]
            if factor != 1:
                step = self.assign(f"mul nsw i64 {step}, {factor}")
            total = self.assign(f"add nsw i64 {total}, {step}")
        return self.assign(f"getelementptr i8, ptr %p{self.numbers[slot]}, i64 {total}")

    def _load(self, slot: int, offset: Affine, dtype: np.dtype[Any]) -> str:
        kind = IN_MEMORY[code_of(dtype)]
        value = self.assign(f"load {kind}, ptr {self._pointer(slot, offset)}")
        return self.assign(f"icmp ne i8 {value}, 0") if dtype.kind == "b" else value

    def _store(self, slot: int, offset: Affine, value: str, dtype: np.dtype[Any]) -> None:
        if dtype.kind == "b":
            value = self.assign(f"zext i1 {value} to i8")
        self.emit(f"store {IN_MEMORY[code_of(dtype)]} {value}, ptr {self._pointer(slot, offset)}")
