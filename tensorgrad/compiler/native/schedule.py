"""How a program is divided: segments, and the NumPy calls between them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..passes import finite_check
from ..program import Program
from ..variables import Instruction, Region, Variable

__all__ = ["Item", "Schedule"]


@dataclass(eq=False)
class Item:
    """A segment, or a single instruction that is a NumPy call."""

    instructions: list[Instruction] = field(default_factory=list)
    native: bool = True

    def made(self) -> set[Variable]:
        """The owners of the memory that the instructions make."""
        return {v.owner for i in self.instructions for v in i.results}

    def used(self) -> set[Variable]:
        """The owners of the memory that the instructions read, make or write to."""
        return self.made() | {v.owner for i in self.instructions for v in i.reads}


class Schedule:
    """The items of a program in order, and which memory is needed outside of the item that makes it.

    Args:
        program: the program.
        views: the instruction of each view.
        items: the items.
        joined: the instruction of each concatenation that segments make where they read it.

    Attributes:
        scratch: memory in which anything may be left, and what uses it.
        wanted: owners of memory that is used outside of the item that makes it.
        called: variables that NumPy calls use, and those that they are views of.
        named: the owners of the memory of those.
        shared: owners that segments read and NumPy calls make.
    """

    def __init__(
        self,
        program: Program,
        views: dict[Variable, Instruction],
        items: Sequence[Item],
        joined: dict[Variable, Instruction],
    ) -> None:
        self.items = items
        self.joined = joined
        self.scratch: dict[Region, set[Item]] = {}
        for item in items:
            for region in {v.region for i in item.instructions for v in i.reads}:
                if region is not None and region.scratch:
                    self.scratch.setdefault(region, set()).add(item)
        maker = {owner: item for item in items for owner in item.made()}
        self.wanted = {v.owner for v in program.outputs}
        self.called: set[Variable] = set(program.outputs)
        self.shared: set[Variable] = set()
        for item in items:
            for instruction in item.instructions:
                for variable in self._read_by(instruction):
                    owner = variable.owner
                    if maker.get(owner) is not item:
                        self.wanted.add(owner)
                        if item.native and owner in maker and not maker[owner].native:
                            self.shared.add(owner)
                    if not item.native:
                        self.called.add(variable)
        for view, instruction in reversed(views.items()):
            if view in self.called:
                self.called.update(instruction.reads)
        self.named = {variable.owner for variable in self.called}

    @classmethod
    def of(
        cls,
        program: Program,
        views: dict[Variable, Instruction],
        native: Collection[Instruction],
        early: Collection[Variable],
        cuts: Collection[Instruction],
    ) -> Schedule:
        """Divide a program.

        Args:
            program: the program.
            views: the instruction of each view.
            native: the instructions that segments can compute.
            early: the owners of memory that may have been written to when a run is broken off.
            cuts: instructions with which a segment must begin.
        """
        joined = _joined(program, native, set(views.values()))
        return cls(program, views, _items(program, views, native, early, cuts, joined), joined)

    def _read_by(self, instruction: Instruction) -> Iterator[Variable]:
        """What an instruction reads, or the pieces that it is made of."""
        for variable in instruction.reads:
            if variable.owner in self.joined:
                yield from self._read_by(self.joined[variable.owner])
            else:
                yield variable


def _items(
    program: Program,
    views: dict[Variable, Instruction],
    native: Collection[Instruction],
    early: Collection[Variable],
    cuts: Collection[Instruction],
    joined: dict[Variable, Instruction],
) -> list[Item]:
    """The items, in order: NumPy calls move ahead of the segment before them if they do not depend on it."""
    viewing = set(views.values())
    items: list[Item] = []
    pending = Item()
    made: set[Variable] = set()
    busy = False  # does the pending segment write to memory or check something?

    def flush() -> None:
        nonlocal pending, busy
        if pending.instructions:
            items.append(pending)
        pending, busy = Item(), False
        made.clear()

    for instruction in program.instructions:
        if instruction in viewing or joined.keys() & set(instruction.results):
            continue
        if instruction in native:
            if instruction in cuts:
                flush()
            stores = instruction.writes is not None and instruction.writes.owner not in made
            # What a run that is broken off puts back may be written to before a check is known to have passed.
            late = stores and instruction.writes is not None and instruction.writes.owner not in early
            checked = late and any(map(finite_check, pending.instructions))
            if checked:
                flush()
            pending.instructions.append(instruction)
            made.update(v.owner for v in instruction.results)
            busy = busy or stores or finite_check(instruction)
            continue
        waits = busy and not instruction.early
        if waits or instruction.writes is not None or any(v.owner in made for v in instruction.reads):
            flush()
        items.append(Item([instruction], native=False))
    flush()
    return items


def _joined(
    program: Program, native: Collection[Instruction], viewing: Collection[Instruction]
) -> dict[Variable, Instruction]:
    """The concatenations that segments can make where they read them: their pieces stay as they are."""
    written: dict[Any, int] = {}
    called: set[Any] = set()
    for number, instruction in enumerate(program.instructions):
        if instruction.writes is not None:
            written[instruction.writes.region] = number
        if instruction not in native and instruction not in viewing:
            called.update(v.region for v in instruction.reads)
    joined = {}
    for number, instruction in enumerate(program.instructions):
        if instruction.function is not np.concatenate or instruction not in native:
            continue
        (result,) = instruction.results
        regions = {v.region for v in (result, *instruction.reads)}
        stay = all(r is not None and not r.outside and written.get(r, -1) < number for r in regions)
        if stay and result not in program.kept and result.region not in called:
            joined[result] = instruction
    return joined
