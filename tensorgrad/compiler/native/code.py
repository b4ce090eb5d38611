"""The typed program as native segments, with NumPy calls between them for everything else."""

from __future__ import annotations

from itertools import groupby
from math import prod
from typing import Any

import numpy as np

from ...engine.mode import silenced
from ...engine.writes import memory
from ...errors import NeedsEager
from ..passes import finite_check, takes_out, work_of
from ..printed import NumpyCode, array_of, empty
from ..variables import Instruction, Region, Variable
from . import arena, cache, driver
from .kernels import Module
from .lowering import Lowering, is_native
from .machine import compiled, loaded
from .nodes import Node, Place, c_strides
from .plan import Candidate, packed, unpacked
from .schedule import Item, Schedule
from .segments import Segment, Unfit
from .tables import Tables, address_of

__all__ = ["NativeCode"]

_TRIES = 64
_LONG = 100_000  # of work: a segment with more lets other threads run meanwhile


class NativeCode(NumpyCode):
    """A program as native code.

    If an argument shares memory with something written to, the candidate's NumPy code runs.

    Raises:
        Unfit: nothing of the program can be compiled.
    """

    native = True
    _reserved = (*NumpyCode._reserved, "begin", "broken_off", "plain", "results", "table")

    def __init__(self, candidate: Candidate) -> None:
        self._candidate = candidate
        self._plain = candidate.plain
        super().__init__(candidate.program, self._plain.hosted)

    # --- schedule ---------------------------------------------------------------------------------------

    def _allocate(self) -> None:
        self._early = self._candidate.early
        self._views = {i.results[0]: i for i in self.program.instructions if i.kind == "view" and len(i.results) == 1}
        self._object: bytes | None = None
        entry = cache.find(self._candidate.key)
        self._reset()
        if entry is not None:
            self._object = entry.code
            self._restore(entry.plan)
        else:
            self._divide()
            self._arrange()
            self._saved_plan = self._plan()
        if not any(item.native for item in self._schedule.items):
            raise Unfit("nothing of it can be compiled")
        calls = [item.instructions[0] for item in self._schedule.items if not item.native]
        self.quiet = all(call.comes_from_outside for call in calls)
        for owner, named in self._buffers.items():
            (self._place if named else self._copies)[owner] = self._named("b", len(self._place) + len(self._copies))
        self._save()

    def _divide(self) -> None:
        """Find out what can be compiled, and compile it."""
        used = {v for i in self.program.instructions for v in i.reads} | set(self.program.outputs)
        self._native = {
            i
            for i in self.program.instructions
            if i.kind != "view" and is_native(i) and not (finite_check(i) and used.intersection(i.results))
        }
        cuts: set[Instruction] = set()
        for _ in range(_TRIES):
            self._reset()
            self._schedule = Schedule.of(self.program, self._views, self._native, self._early, cuts)
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
        self._slots: dict[Any, int] = {}  # a region, owner or node, or the id of a constant
        self._numbers: dict[Variable, int] = {}
        self._segments: dict[Item, tuple[str, tuple[Place, Any] | None]] = {}  # the name, and what has to be 0
        self._uses: dict[Item, list[set[int]]] = {}  # the slots that a segment uses at the same time, in order
        self._pieces: list[arena.Piece] = []  # memory that only a run needs
        self._homes: dict[int, arena.Home] = {}  # where that is, by slot
        self._singles: dict[Any, int] = {}  # how many single numbers of a dtype only segments use
        self._buffers: dict[Variable, bool] = {}  # owners that NumPy calls use; False for a copy that segments read
        self._copies: dict[Variable, str] = {}  # names of those copies
        self._module = Module()

    def _lower(self) -> list[tuple[Instruction, bool]]:
        """Compile the segments. Returns instructions that do not fit, and whether they may fit in another segment."""
        failed: list[tuple[Instruction, bool]] = []
        for item in self._schedule.items:
            if item.native:
                failed += self._lower_segment(item)
                continue
            (instruction,) = item.instructions
            for result in instruction.results:
                if result.region is None or result.root is not None:
                    continue
                plain = result.compact and not result.dtype.hasobject
                if takes_out(instruction) and result not in self.program.kept and plain:
                    self._reserve(result, named=True)
                elif result in self._schedule.shared:
                    if result in self._targets or not result.compact:
                        readers = [i for i in self._native if any(v.owner is result for v in i.reads)]
                        failed += [(reader, False) for reader in readers]
                        continue
                    self._reserve(result, named=False, copied=True)
        return failed

    def _lower_segment(self, item: Item) -> list[tuple[Instruction, bool]]:
        segment = Segment(self._new_place)
        segment.scratch = {self._slot(region) for region, users in self._schedule.scratch.items() if users == {item}}
        lowering = Lowering(segment, self._place_of, self._number_of, self._views, self._schedule.joined)
        for instruction in item.instructions:
            try:
                lowering.add(instruction)
            except Unfit:
                return [(instruction, True)]
        for owner, node in lowering.made.items():
            if owner in self._schedule.wanted:
                if node.place is not None:  # the same node as another owner's
                    node = segment.node("apply", node.dtype, node.shape, (node,), np.positive)
                segment.wanted.add(node)
                self._reserve(owner, named=owner in self._schedule.named)
                node.place = self._place_of(owner)
        checks = lowering.checks
        if len(checks) > 1:
            total = checks[0]
            for check in checks[1:]:
                doubles = [segment.node("cast", np.dtype(float), (), (each,)) for each in (total, check)]
                total = segment.node("apply", np.dtype(float), (), tuple(doubles), np.add)
            checks = [total]
        for check in checks:
            check.place = self._new_place(check)
        name = f"segment{len(self._segments)}"
        try:
            segment.compile(self._module, name)
        except Unfit as unfit:
            owners = [owner for owner, node in lowering.made.items() if node is unfit.node]
            failed = [i for i in item.instructions if not owners or owners[0] in i.results]
            return [(instruction, False) for instruction in failed or item.instructions]
        self._segments[item] = (name, (checks[0].place, checks[0].dtype) if checks and checks[0].place else None)
        self._uses[item] = segment.uses
        return []

    # --- memory -----------------------------------------------------------------------------------------

    def _save(self) -> None:
        """Find out what native code keeps, so that it can be put back, and what is written to."""
        self._saved: list[tuple[Variable, Place, Place]] = []  # where it is, and where the copy is
        for variable in self.captured:
            place = self._place_of(variable)
            if variable in self._early and place is not None and place.contiguous:
                copy = Place(self._slot(("copy", variable)), 0, place.shape, place.c_strides, place.itemsize)
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
            "items": [[item.native, [places[i] for i in item.instructions]] for item in self._schedule.items],
            "joined": [places[i] for i in self._schedule.joined.values()],
            "slots": [slot(key) for key in self._slots],
            "numbers": [numbers[v] for v in self._numbers],
            "checks": [check and [packed(check[0]), np.dtype(check[1]).str] for _, check in self._segments.values()],
            "singles": [[self._slots[dtype], dtype.str, count] for dtype, count in self._singles.items()],
            "buffers": [[numbers[owner], named] for owner, named in self._buffers.items()],
            "homes": [[slot, *home] for slot, home in self._homes.items()],
            "arena": self._size,
        }

    def _restore(self, plan: dict[str, Any]) -> None:
        """Take over the schedule and the slots of an equal program."""
        variables, instructions = self._candidate.known.variables, self.program.instructions
        owners: dict[str, Any] = {"variable": variables, "region": self._candidate.known.regions}
        items = [Item([instructions[k] for k in members], native) for native, members in plan["items"]]
        joined = {i.results[0]: i for i in (instructions[k] for k in plan["joined"])}
        self._schedule = Schedule(self.program, self._views, items, joined)
        singles = {slot: (np.dtype(dtype), count) for slot, dtype, count in plan["singles"]}
        for number, (kind, which) in enumerate(plan["slots"]):
            self._slot(owners[kind][which] if kind else singles[number][0] if number in singles else object())
        self._singles = dict(singles.values())
        self._numbers = {variables[v]: k for k, v in enumerate(plan["numbers"])}
        checks = [check and (unpacked(check[0]), np.dtype(check[1])) for check in plan["checks"]]
        for item in items:
            if item.native:
                self._segments[item] = (f"segment{len(self._segments)}", checks[len(self._segments)])
        self._buffers = {variables[owner]: named for owner, named in plan["buffers"]}
        self._homes = {slot: arena.Home(block, offset) for slot, block, offset in plan["homes"]}
        self._size = plan["arena"]

    def _arrange(self) -> None:
        """Find homes for what only a run needs."""
        uses: list[set[int]] = []
        for item in self._schedule.items:
            called = {self._slots[owner] for owner in item.used() if owner in self._slots}
            uses += self._uses[item] if item.native else [called]
        results = {self._slots[v]: prod(v.shape) * v.dtype.itemsize for v in self._results()}
        self._homes = arena.arranged(self._pieces, arena.lives_of(uses), results)
        self._size = arena.size_of(self._pieces, self._homes)

    def _results(self) -> list[Variable]:
        """The owners of results whose memory is new in every run; segments write to it."""
        kept = [owner for owner in self.program.kept if owner.kind == "array"]
        return [owner for owner in kept if owner in self._slots and owner not in self._buffers]

    def _slot(self, key: Any) -> int:
        return self._slots.setdefault(key, len(self._slots))

    def _reserve(self, owner: Variable, named: bool, copied: bool = False) -> None:
        """Memory for an owner that several items use; that of a result is new in every run.

        ``named``: NumPy calls use it. ``copied``: it is for a copy.
        """
        slot = self._slot(owner)
        if owner in self.program.kept and not copied:
            return
        if named or copied:
            self._buffers[owner] = not copied
        self._pieces.append(arena.Piece(slot, prod(owner.shape) * owner.dtype.itemsize, named or copied))

    def _place_of(self, variable: Variable) -> Place | None:
        owner = variable.owner
        key: Any = owner.region if owner.kind == "captured" else owner
        if owner.kind not in ("captured", "argument") and owner not in self._slots:
            return None
        return Place(self._slot(key), variable.offset, variable.shape, variable.strides, variable.dtype.itemsize)

    def _new_place(self, node: Node) -> Place:
        """Memory for a value that only one segment uses; single numbers share an array."""
        size = node.dtype.itemsize
        if node.size > 1:
            slot = self._slot(node)
            self._pieces.append(arena.Piece(slot, node.size * size, stays=False))
            return Place(slot, 0, node.shape, node.strides or c_strides(node.shape, size), size)
        slot = self._slot(node.dtype)
        count = self._singles[node.dtype] = self._singles.get(node.dtype, 0) + 1
        return Place(slot, (count - 1) * size, node.shape, c_strides(node.shape, size), size)

    def _number_of(self, variable: Variable) -> int:
        return self._numbers.setdefault(variable, len(self._numbers))

    # --- text -------------------------------------------------------------------------------------------

    def _write(self) -> str:
        for owner, name in self._place.items():
            owner.name = name
        fixed = {*self.captured, *self._place}
        once: list[str] = []
        lines: list[str] = []
        results = self._results()
        if results:
            lines.append(f"{', '.join(v.name for v in results)}{',' if len(results) == 1 else ''} = results()")
        arguments = ", ".join(v.name for v in self.program.arguments)
        taken = [v for v in self.program.arguments if (v in self._numbers or v in self._slots)]
        saved = [(place, copy.slot) for _, place, copy in self._saved]
        given = [self._argument(v) for v in taken]
        self._functions = [driver.begin(given, saved, len(self._slots), len(self._written_to))]
        lines.append(f"if begin(table{''.join(f', {v.name}' for v in taken)}):\n        return plain({arguments})")
        ready: set[Variable] = {*self.captured, *self.program.arguments, *self._place, *results}
        views = list(self._views.items())

        def show_views() -> None:
            """Write the views that can be made now."""
            left = []
            for view, instruction in views:
                if view not in self._schedule.called:
                    continue
                if not all(v in ready for v in instruction.reads):
                    left.append((view, instruction))
                    continue
                (once if view.owner in fixed and not view.moves else lines).append(self._statement(instruction))
                ready.add(view)
            views[:] = left

        numbers: list[Variable] = []
        self._called = {"begin": "begin"}  # the names of native functions, by those in the text
        for native, items in groupby(self._schedule.items, lambda item: item.native):
            show_views()
            if native:
                lines.append(self._run(list(items), numbers))
                numbers = []
                continue
            for item in items:
                (instruction,) = item.instructions
                lines.append(self._statement(instruction))
                for result in instruction.results:
                    ready.add(result)
                    if result in self._copies:
                        lines.append(f"{self._copies[result]}[...] = {result.name}")
                    if result in self._numbers:
                        numbers.append(result)
                show_views()
        show_views()
        names = ", ".join(v.name for v in self.program.outputs)
        lines.append(f"return ({names}{',' if len(self.program.outputs) == 1 else ''})")
        body = "\n".join(f"    {line}" for line in lines)
        head = ["# views, made once", *once] if once else []
        return "\n".join([*head, "", f"def step({arguments}):", body, ""])

    def _run(self, items: list[Item], numbers: list[Variable]) -> str:
        """The lines that run neighbouring segments in one call, which takes numbers."""
        segments = [self._segments[item] for item in items]
        name, _ = segments[0]
        long = work_of(i for item in items for i in item.instructions) > _LONG
        places = [self._numbers[v] for v in numbers]
        self._functions.append(driver.run(f"run_{name}", segments, places, len(self._slots), long))
        run = self._named(f"run_{name}")
        self._called[run] = f"run_{name}"
        return f"if {run}(table{''.join(f', {v.name}' for v in numbers)}):\n        broken_off()"

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
                del self._module, self._functions, self._saved_plan  # as long as the program itself
            self._library = loaded(self._object)
            self.constants |= {name: self._library.function(native) for name, native in self._called.items()}
            self._furnish()
        addresses = dict(self._addresses)
        for variable in self.captured:
            if variable.region in self._slots:
                addresses[self._slots[variable.region]] = address_of(memory(array_of(variable.source)))
        written = [np.lib.array_utils.byte_bounds(array_of(variable.source)) for variable in self._written_to]
        self._tables.put(addresses, written)
        super().bind()
        self._fits = self._laid_out()

    def _furnish(self) -> None:
        """Allocate the memory that lives as long as the code."""
        start = empty((self._size + arena.ALIGNED,), np.dtype(np.uint8), (1,))
        self._arena = start[-address_of(start) % arena.ALIGNED :]
        inside: dict[int, list[tuple[int, int]]] = {}
        for slot, (block, offset) in self._homes.items():
            inside.setdefault(block, []).append((slot, offset))
        self._addresses = {slot: address_of(self._arena) + offset for slot, offset in inside.pop(arena.ARENA, [])}
        for owner in self._buffers:
            home = self._homes[self._slots[owner]]
            array: Any = np.ndarray(owner.shape, owner.dtype, self._arena, home.offset, owner.strides)
            self.buffers[self._copies.get(owner) or self._place[owner]] = array
        self._arrays = {self._slots[dtype]: empty((n,), dtype, (dtype.itemsize,)) for dtype, n in self._singles.items()}
        for variable, _, copy in self._saved:
            self._arrays[copy.slot] = empty(copy.shape, variable.dtype, copy.strides)
        self._addresses |= {slot: address_of(array) for slot, array in self._arrays.items()}
        slots = {self._slots[v]: v for v in self._results()}
        self._tables = Tables(
            [(v, [(slot, 0), *inside.get(slot, [])]) for slot, v in slots.items()], len(self._slots), len(self._numbers)
        )
        self.constants |= {"table": self._tables.address, "results": self._tables}
        self.constants |= {"broken_off": _broken_off, "plain": self._run_plain}

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
            np.copyto(array_of(variable.source), self._arrays[copy.slot])

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
