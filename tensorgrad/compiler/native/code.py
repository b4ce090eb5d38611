"""The typed program as native segments, with NumPy calls between them for everything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...engine.mode import silenced
from ...engine.writes import memory
from ...errors import NeedsEager
from ..passes import takes_out, work_of
from ..printed import NumpyCode, array_of, empty
from ..variables import Instruction, Region, Variable
from . import cache, driver
from .kernels import Module
from .lowering import Lowering, finite_check, is_native
from .machine import compiled, loaded
from .nodes import Node, Place, c_strides
from .plan import Candidate, packed, unpacked
from .segments import Segment, Unfit
from .tables import Tables, address_of

__all__ = ["NativeCode"]

_TRIES = 64
_LONG = 100_000  # of work: a segment with more lets other threads run meanwhile


@dataclass(eq=False)
class _Item:
    """A segment, or a single instruction that is a NumPy call."""

    instructions: list[Instruction] = field(default_factory=list)
    native: bool = True

    def made(self) -> set[Variable]:
        """The owners of the memory that the instructions make."""
        return {v.owner for i in self.instructions for v in i.results}


class NativeCode(NumpyCode):
    """A program as native code.

    If an argument shares memory with something written to, the candidate's NumPy code runs.

    Raises:
        Unfit: nothing of the program can be compiled.
    """

    native = True

    def __init__(self, candidate: Candidate) -> None:
        self._candidate = candidate
        self._plain = candidate.plain
        super().__init__(candidate.program, self._plain.hosted)

    # --- schedule ---------------------------------------------------------------------------------------

    def _allocate(self) -> None:
        self._early = self._candidate.early
        self._views = {i.results[0]: i for i in self.program.instructions if i.kind == "view" and len(i.results) == 1}
        self._viewing = set(self._views.values())
        self._object: bytes | None = None
        entry = cache.find(self._candidate.key)
        if entry is not None:
            self._reset()
            self._object = entry.code
            self._restore(entry.plan)
        else:
            self._schedule()
            for dtype, count in self._singles.items():
                slot, size = self._slots[dtype], dtype.itemsize
                self._spare.append((slot, Place(slot, 0, (count,), (size,), size), dtype))
            self._saved_plan = self._plan()
        if not any(item.native for item in self._items):
            raise Unfit("nothing of it can be compiled")
        self._save()

    def _schedule(self) -> None:
        """Divide the program into segments that can be compiled, and NumPy calls."""
        used = {v for i in self.program.instructions for v in i.reads} | set(self.program.outputs)
        self._native = {
            i
            for i in self.program.instructions
            if i.kind != "view" and is_native(i) and not (finite_check(i) and used.intersection(i.results))
        }
        cuts: set[Instruction] = set()
        for _ in range(_TRIES):
            self._reset()
            self._joined = self._find_joined()
            self._items += self._scheduled(cuts)
            self._find_wanted()
            failed = self._lower()
            if not failed:
                break
            for instruction, late in failed:
                if late and instruction not in cuts:
                    cuts.add(instruction)
                else:
                    self._native.discard(instruction)
        else:
            raise Unfit("too much of it has to be computed by NumPy calls")

    def _reset(self) -> None:
        self._items: list[_Item] = []
        self._slots: dict[Any, int] = {}  # a region, owner or node, or the id of a constant
        self._numbers: dict[Variable, int] = {}
        self._segments: dict[_Item, tuple[str, tuple[Place, Any] | None]] = {}  # the name, and what has to be 0
        self._spare: list[tuple[int, Place, Any]] = []  # memory of values that only segments use: slot, place, dtype
        self._singles: dict[Any, int] = {}  # how many single numbers of a dtype only segments use
        self._copies: dict[Variable, str] = {}  # buffers for results of NumPy calls that segments read
        self._made: list[tuple[Variable, bool]] = []  # the buffers, in order
        self.buffers.clear()
        self._place.clear()
        self._module = Module()

    def _scheduled(self, cuts: set[Instruction]) -> list[_Item]:
        """The items, in order: NumPy calls move ahead of the segment before them if they do not depend on it."""
        items: list[_Item] = []
        pending = _Item()
        made: set[Variable] = set()
        busy = False  # does the pending segment write to memory or check something?

        def flush() -> None:
            nonlocal pending, busy
            if pending.instructions:
                items.append(pending)
            pending, busy = _Item(), False
            made.clear()

        for instruction in self.program.instructions:
            if instruction in self._viewing or self._joined.keys() & set(instruction.results):
                continue
            if instruction in self._native:
                if instruction in cuts:
                    flush()
                stores = instruction.writes is not None and instruction.writes.owner not in made
                # What a run that is broken off puts back may be written to before a check is known to have passed.
                late = stores and instruction.writes is not None and instruction.writes.owner not in self._early
                checked = late and any(map(finite_check, pending.instructions))
                if checked:
                    flush()
                pending.instructions.append(instruction)
                made.update(v.owner for v in instruction.results)
                busy = busy or stores or finite_check(instruction)
                continue
            if busy or instruction.writes is not None or any(v.owner in made for v in instruction.reads):
                flush()
            items.append(_Item([instruction], native=False))
        flush()
        return items

    def _find_joined(self) -> dict[Variable, Instruction]:
        """The concatenations that segments can make where they read them: their pieces stay as they are."""
        written: dict[Any, int] = {}
        called: set[Any] = set()
        for number, instruction in enumerate(self.program.instructions):
            if instruction.writes is not None:
                written[instruction.writes.region] = number
            if instruction not in self._native and instruction not in self._viewing:
                called.update(v.region for v in instruction.reads)
        joined = {}
        for number, instruction in enumerate(self.program.instructions):
            if instruction.function is not np.concatenate or instruction not in self._native:
                continue
            (result,) = instruction.results
            regions = {v.region for v in (result, *instruction.reads)}
            stay = all(r is not None and not r.outside and written.get(r, -1) < number for r in regions)
            if stay and result not in self.program.kept and result.region not in called:
                joined[result] = instruction
        return joined

    def _read_by(self, instruction: Instruction) -> Iterator[Variable]:
        """What an instruction reads, or the pieces that it is made of."""
        for variable in instruction.reads:
            if variable.owner in self._joined:
                yield from self._read_by(self._joined[variable.owner])
            else:
                yield variable

    def _find_wanted(self) -> None:
        """Which memory is needed outside of the segment that makes it."""
        self._scratch: dict[Region, set[_Item]] = {}  # memory in which anything may be left, and what uses it
        for item in self._items:
            for region in {v.region for i in item.instructions for v in i.reads}:
                if region is not None and region.scratch:
                    self._scratch.setdefault(region, set()).add(item)
        maker = {owner: item for item in self._items for owner in item.made()}
        self._wanted = {v.owner for v in self.program.outputs}
        self._called: set[Variable] = set(self.program.outputs)  # variables that NumPy calls use
        self._shared: set[Variable] = set()  # owners that segments read and NumPy calls make
        for item in self._items:
            for instruction in item.instructions:
                for variable in self._read_by(instruction):
                    owner = variable.owner
                    if maker.get(owner) is not item:
                        self._wanted.add(owner)
                        if item.native and owner in maker and not maker[owner].native:
                            self._shared.add(owner)
                    if not item.native:
                        self._called.add(variable)
        for view, instruction in reversed(self._views.items()):
            if view in self._called:
                self._called.update(instruction.reads)

    def _lower(self) -> list[tuple[Instruction, bool]]:
        """Compile the segments. Returns instructions that do not fit, and whether they may fit in another segment."""
        failed: list[tuple[Instruction, bool]] = []
        for item in self._items:
            if item.native:
                failed += self._lower_segment(item)
                continue
            (instruction,) = item.instructions
            for result in instruction.results:
                if result.region is None or result.root is not None:
                    continue
                out = takes_out(instruction) and result not in self.program.kept and result.compact
                if out:
                    self._buffer(result)
                elif result in self._shared:
                    if result in self._targets or not result.compact:
                        readers = [i for i in self._native if any(v.owner is result for v in i.reads)]
                        failed += [(reader, False) for reader in readers]
                        continue
                    self._copies[result] = self._buffer(result, named=False)
        return failed

    def _lower_segment(self, item: _Item) -> list[tuple[Instruction, bool]]:
        segment = Segment(self._new_place)
        segment.scratch = {self._slot(region) for region, users in self._scratch.items() if users == {item}}
        lowering = Lowering(segment, self._place_of, self._number_of, self._views, self._joined)
        for instruction in item.instructions:
            try:
                lowering.add(instruction)
            except Unfit:
                return [(instruction, True)]
        for owner, node in lowering.made.items():
            if owner in self._wanted:
                if node.place is not None:  # the same node as another owner's
                    node = segment.node("apply", node.dtype, node.shape, (node,), np.positive)
                segment.wanted.add(node)
                self._buffer(owner)
                node.place = self._place_of(owner)
        checks = lowering.checks
        if len(checks) > 1:
            total = checks[0]
            for check in checks[1:]:
                doubles = [segment.node("cast", np.dtype(float), (), (each,)) for each in (total, check)]
                total = segment.node("apply", np.dtype(float), (), tuple(doubles), np.add)
            checks = [total]
        for check in checks:
            check.place = self._spare_place(check)
        name = f"segment{len(self._segments)}"
        try:
            segment.compile(self._module, name)
        except Unfit as unfit:
            owners = [owner for owner, node in lowering.made.items() if node is unfit.node]
            failed = [i for i in item.instructions if not owners or owners[0] in i.results]
            return [(instruction, False) for instruction in failed or item.instructions]
        self._segments[item] = (name, (checks[0].place, checks[0].dtype) if checks and checks[0].place else None)
        return []

    # --- memory -----------------------------------------------------------------------------------------

    def _save(self) -> None:
        """Find out what native code keeps, so that it can be put back, and what is written to."""
        self._saved: list[tuple[Variable, Place, Place]] = []  # where it is, and where the copy is
        for variable in self.captured:
            place = self._place_of(variable)
            if variable in self._early and place is not None and place.contiguous:
                copy = Place(self._slot(("copy", variable)), 0, place.shape, place.c_strides, place.itemsize)
                self._spare.append((copy.slot, copy, variable.dtype))
                self._saved.append((variable, place, copy))
        self.put_back_by_itself = {variable for variable, _, _ in self._saved}
        self._written_to = [v for v in self.captured if v in self._targets and v.region in self._slots]

    def _plan(self) -> dict[str, Any]:
        """What :meth:`_restore` needs: without the program, which an equal one replaces."""
        numbers, regions = self._candidate.known.numbers, self._candidate.known.region_numbers
        places = {i: k for k, i in enumerate(self.program.instructions)}

        def slot(key: Any) -> tuple[str, int]:
            if type(key) is Variable:
                return ("variable", numbers[key])
            return ("region", regions[key]) if type(key) is Region else ("", 0)

        return {
            "items": [[item.native, [places[i] for i in item.instructions]] for item in self._items],
            "slots": [slot(key) for key in self._slots],
            "numbers": [numbers[v] for v in self._numbers],
            "checks": [check and [packed(check[0]), np.dtype(check[1]).str] for _, check in self._segments.values()],
            "spare": [[slot, packed(place), np.dtype(dtype).str] for slot, place, dtype in self._spare],
            "buffers": [[numbers[owner], named] for owner, named in self._made],
            "copies": [numbers[owner] for owner in self._copies],
            "joined": [places[i] for i in self._joined.values()],
        }

    def _restore(self, plan: dict[str, Any]) -> None:
        """Take over the schedule and the slots of an equal program."""
        variables = self._candidate.known.variables
        owners: dict[str, Any] = {"variable": variables, "region": self._candidate.known.regions}
        for native, members in plan["items"]:
            self._items.append(_Item([self.program.instructions[k] for k in members], native))
        for kind, number in plan["slots"]:
            self._slot(owners[kind][number] if kind else object())
        self._numbers = {variables[v]: k for k, v in enumerate(plan["numbers"])}
        checks = [check and (unpacked(check[0]), np.dtype(check[1])) for check in plan["checks"]]
        for item in self._items:
            if item.native:
                self._segments[item] = (f"segment{len(self._segments)}", checks[len(self._segments)])
        self._spare = [(slot, unpacked(place), np.dtype(dtype)) for slot, place, dtype in plan["spare"]]
        for owner, named in plan["buffers"]:
            name = self._buffer(variables[owner], named)
            if not named and owner in plan["copies"]:
                self._copies[variables[owner]] = name
        joined = [self.program.instructions[k] for k in plan["joined"]]
        self._joined = {i.results[0]: i for i in joined}
        self._find_wanted()

    def _slot(self, key: Any) -> int:
        return self._slots.setdefault(key, len(self._slots))

    def _buffer(self, owner: Variable, named: bool = True) -> str:
        """Memory for an owner that lives as long as the code; that of an output is new in every run."""
        self._slot(owner)
        self._made.append((owner, named))
        if named and owner in self.program.kept:
            return owner.name
        name = self._named("b", len(self.buffers))
        self.buffers[name] = empty(owner.shape, owner.dtype, owner.strides)
        if named:
            self._place[owner] = name
        return name

    def _place_of(self, variable: Variable) -> Place | None:
        owner = variable.owner
        key: Any = owner.region if owner.kind == "captured" else owner
        if owner.kind not in ("captured", "argument") and owner not in self._slots:
            return None
        return Place(self._slot(key), variable.offset, variable.shape, variable.strides, variable.dtype.itemsize)

    def _new_place(self, node: Node) -> Place:
        """Memory for a value that only segments use; single numbers share an array."""
        if node.size > 1:
            return self._spare_place(node)
        slot, size = self._slot(node.dtype), node.dtype.itemsize
        count = self._singles[node.dtype] = self._singles.get(node.dtype, 0) + 1
        return Place(slot, (count - 1) * size, node.shape, c_strides(node.shape, size), size)

    def _spare_place(self, node: Node) -> Place:
        strides = node.strides or c_strides(node.shape, node.dtype.itemsize)
        place = Place(self._slot(node), 0, node.shape, strides, node.dtype.itemsize)
        self._spare.append((place.slot, place, node.dtype))
        return place

    def _number_of(self, variable: Variable) -> int:
        return self._numbers.setdefault(variable, len(self._numbers))

    # --- text -------------------------------------------------------------------------------------------

    def _write(self) -> str:
        for owner, name in self._place.items():
            owner.name = name
        fixed = {*self.captured, *self._place}
        once: list[str] = []
        lines: list[str] = []
        outputs = [owner for owner in self.program.kept if owner.kind == "array"]
        self._fresh = [owner for owner in outputs if owner in self._slots and owner not in self._copies]
        fresh = f"({', '.join(v.name for v in self._fresh)},)" if self._fresh else "_"
        lines.append(f"{fresh}, table = outputs()")
        arguments = ", ".join(v.name for v in self.program.arguments)
        taken = [v for v in self.program.arguments if (v in self._numbers or v in self._slots)]
        saved = [(place, copy.slot) for _, place, copy in self._saved]
        given = [self._argument(v) for v in taken]
        self._functions = [driver.begin(given, saved, len(self._slots), len(self._written_to))]
        lines.append(f"if begin(table{''.join(f', {v.name}' for v in taken)}):\n        return plain({arguments})")
        ready: set[Variable] = {*self.captured, *self.program.arguments, *self._place, *self._fresh}
        views = list(self._views.items())

        def show_views() -> None:
            """Write the views that can be made now."""
            left = []
            for view, instruction in views:
                if view not in self._called:
                    continue
                if not all(v in ready for v in instruction.reads):
                    left.append((view, instruction))
                    continue
                still = view.owner in fixed and all(v.owner in fixed and v.region for v in instruction.reads)
                (once if still else lines).append(self._statement(instruction))
                ready.add(view)
            views[:] = left

        numbers: list[Variable] = []
        for item in self._items:
            show_views()
            if item.native:
                name, check = self._segments[item]
                places = [self._numbers[v] for v in numbers]
                self._functions.append(
                    driver.run(f"run_{name}", name, places, check, len(self._slots), work_of(item.instructions) > _LONG)
                )
                lines.append(f"if run_{name}(table{''.join(f', {v.name}' for v in numbers)}):\n        broken_off()")
                numbers = []
                continue
            (instruction,) = item.instructions
            lines.append(self._statement(instruction))
            for result in instruction.results:
                ready.add(result)
                if result in self._copies:
                    lines.append(f"{self._copies[result]}[...] = {result.name}")
                if result in self._numbers:
                    numbers.append(result)
        show_views()
        names = ", ".join(v.name for v in self.program.outputs)
        lines.append(f"return ({names}{',' if len(self.program.outputs) == 1 else ''})")
        body = "\n".join(f"    {line}" for line in lines)
        head = ["# views, made once", *once] if once else []
        return "\n".join([*head, "", f"def step({arguments}):", body, ""])

    def _argument(self, variable: Variable) -> driver.Argument | int:
        if variable in self._numbers:
            return self._numbers[variable]
        return driver.Argument(self._slots[variable], variable.dtype.itemsize, *_reach(variable))

    # --- running ----------------------------------------------------------------------------------------

    def bind(self) -> None:
        """Bind the program to the memory of everything it captured."""
        if not hasattr(self, "_library"):
            if self._object is None:
                self._object = compiled("\n".join([str(self._module), driver.DECLARATIONS, *self._functions]))
                cache.keep(self._candidate.key, cache.Entry(self._saved_plan, self._object))
            self._library = loaded(self._object)
            names = ["begin", *(f"run_{name}" for name, _ in self._segments.values())]
            self._spares = {slot: empty(place.shape, dtype, place.strides) for slot, place, dtype in self._spare}
            self._tables = Tables([(v, self._slots[v]) for v in self._fresh], len(self._slots), len(self._numbers))
            self.constants |= {name: self._library.function(name) for name in names}
            self.constants |= {"outputs": self._tables, "broken_off": _broken_off, "plain": self._run_plain}
        addresses = {slot: address_of(array) for slot, array in self._spares.items()}
        for owner in (*self._place, *self._copies):
            name = self._copies.get(owner) or self._place[owner]
            if owner in self._slots:
                addresses[self._slots[owner]] = address_of(self.buffers[name])
        for variable in self.captured:
            if variable.region in self._slots:
                addresses[self._slots[variable.region]] = address_of(memory(array_of(variable.source)))
        written = [np.lib.array_utils.byte_bounds(array_of(variable.source)) for variable in self._written_to]
        self._tables.put(addresses, written)
        super().bind()
        self._fits = self._laid_out()

    def _run_plain(self, *arguments: Any) -> tuple[Any, ...]:
        self._plain.bind()
        try:
            with silenced():
                return self._plain.run(*arguments)
        finally:
            self._plain.release()

    def put_back(self) -> None:
        """Put back what a run that was broken off has written, as far as it kept that itself."""
        for variable, _, copy in self._saved:
            np.copyto(array_of(variable.source), self._spares[copy.slot])

    def current(self) -> bool:
        """Whether the program fits the captured arrays; binds again if any of them has been replaced."""
        return super().current() and self._fits

    def _laid_out(self) -> bool:
        """Whether arrays share memory as they did when the program was compiled."""
        owners: dict[Any, Any] = {}
        for variable, array in zip(self.captured, self.bound, strict=True):
            whole = memory(array)
            if owners.setdefault(variable.region, whole) is not whole:
                return False
            if address_of(array) - address_of(whole) != variable.offset:
                return False
        return len({id(whole) for whole in owners.values()}) == len(owners)


def _broken_off() -> None:
    raise NeedsEager("a number was not finite or not in range")


def _reach(variable: Variable) -> tuple[int, int]:
    ends = [(n - 1) * s for n, s in zip(variable.shape, variable.strides, strict=True)]
    return sum(min(e, 0) for e in ends), sum(max(e, 0) for e in ends) + variable.dtype.itemsize
