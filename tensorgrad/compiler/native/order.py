"""The order of a segment's nests and products, and which results share the loops of a nest: what memory allows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from math import prod
from typing import Any

from .nests import Root
from .nodes import Node, Place

__all__ = ["Order", "Step", "crosses", "overlaps", "together"]

_WIDE = 8  # results of one nest
_WIDE_OF_ONE = 64  # without loops
_TRIED = 16  # steps whose loops a root might share
_SHORT = 512  # elements; loops over so few cost no more than their beginning


@dataclass(eq=False)
class Step:
    """Roots with common loops, or one matrix product."""

    roots: list[Root] = field(default_factory=list)
    product: Node | None = None


class Order:
    """Steps in the order in which they run, and who uses which memory.

    Attributes:
        made: where values begin, by slot and offset: the last step that makes them.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.made: dict[tuple[int, int], int] = {}
        self._step_of: dict[Root, int] = {}
        self._alike: dict[Any, list[int]] = defaultdict(list)  # steps by their loops
        self._readers: dict[int, list[Root]] = defaultdict(list)  # by slot
        self._writers: dict[int, list[Root]] = defaultdict(list)  # to memory that had a value before, by slot
        self._factors: dict[int, list[tuple[int, Place]]] = defaultdict(list)  # steps and operands of products, by slot

    def append(self, step: Step, operands: list[Place]) -> None:
        """Add a step, and the operands of its product."""
        for place in operands:
            self._factors[place.slot].append((len(self.steps), place))
        self.steps.append(step)

    def add(self, item: Root, number: int) -> None:
        """Let a root be part of a step."""
        if not self.steps[number].roots:
            self._alike[item.loops].append(number)
        self.steps[number].roots.append(item)
        self._step_of[item] = number
        for slot in {access.node.place.slot for access in item.reads() if access.node.place is not None}:
            self._readers[slot].append(item)
        if item.marks is None:
            self._writers[item.place.slot].append(item)
        else:
            self.made_in(item.marks, number)

    def made_in(self, node: Node, number: int) -> None:
        """Note that a step makes a node."""
        assert node.place is not None
        key = node.place.slot, node.place.offset
        self.made[key] = max(number, self.made.get(key, 0))

    def range(self, item: Root) -> tuple[int, int]:
        """The first and the last step that a root may be part of; the last may be after all others."""
        first, last = 0, len(self.steps)
        places = {access.node.place for access in item.reads() if access.node.place is not None}
        for place in places:  # it may join the step that makes it only where together says so
            first = max(first, self.made.get((place.slot, place.offset), -1))
        for slot in {place.slot for place in places}:
            for other in self._writers[slot]:
                if overlaps(item, other):
                    last = min(last, self._step_of[other])  # reads what is overwritten there
        if item.marks is None:
            for other in self._readers[item.place.slot]:
                if overlaps(other, item):
                    first = max(first, self._step_of[other])
            for number, place in self._factors[item.place.slot]:
                if crosses(item.place, place):
                    first = max(first, number + 1)
        if item.after is not None:
            first = max(first, self._step_of[item.after] + 1)
        return first, last

    def shared(self, item: Root, first: int, last: int) -> int | None:
        """The last step in a range whose loops a root can share."""
        for number in self._alike[item.loops][: -_TRIED - 1 : -1]:
            step = self.steps[number]
            room = first <= number <= last and len(step.roots) < (_WIDE if item.domain else _WIDE_OF_ONE)
            if room and _related(step.roots, item) and together(step.roots, item):
                return number
        return None


def together(roots: list[Root], item: Root) -> bool:
    """Whether a root may share the loops of others: what one writes, another reads only at the same element."""
    pairs = [(reader, item) for reader in roots] + [(item, writer) for writer in (*roots, item)]
    return all(_harmless(reader, writer, item) for reader, writer in pairs)


def _harmless(reader: Root, writer: Root, last: Root) -> bool:
    """Whether one root may read while another writes, in the same loops; ``last`` is computed after all others."""
    if writer is reader and writer.marks is not None:
        return True
    slot = writer.place.slot
    for access in reader.reads():
        place = access.node.place
        if place is None or place.slot != slot:
            continue
        if writer.marks is access.node:
            # Its value is at hand if it is that of the same element, and not that of a reduction.
            if writer is last or not writer.own or access.where != writer.index:
                return False
            continue
        low, high = access.offset.bounds(reader.domain)
        start, end = writer.place.span
        if high + place.itemsize <= start or low >= end:
            continue
        if writer.marks is not None or access.offset != writer.target() or writer.ufunc is not None:
            return False
    return True


def _related(roots: list[Root], item: Root) -> bool:
    """Whether it pays that a root shares the loops of others: they are short, or use the same memory."""
    if prod(item.domain) <= _SHORT:
        return True
    used = {(a.node.place, a.offset) for root in roots for a in root.reads()} | {(r.place, r.target()) for r in roots}
    return (item.place, item.target()) in used or any((a.node.place, a.offset) in used for a in item.reads())


def overlaps(reader: Root, writer: Root) -> bool:
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
