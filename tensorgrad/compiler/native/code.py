"""The typed program as native segments, with NumPy calls between them for everything else."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from ...engine.writes import memory
from ...errors import NeedsEager
from ..passes import takes_out, written_early
from ..printed import NumpyCode, array_of
from ..variables import Instruction, Variable
from .forms import with_forms
from .kernels import Module
from .lowering import Lowering, finite_check, is_native
from .machine import Library
from .nodes import Node, Place, c_strides
from .segments import Segment, Unfit

__all__ = ["NativeCode"]

_TRIES = 64


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

    Args:
        plain: the same program as NumPy code, which runs if an argument shares memory with something written to.

    Raises:
        Unfit: nothing of the program can be compiled.
    """

    def __init__(self, plain: NumpyCode) -> None:
        self._plain = plain
        super().__init__(with_forms(plain.program), plain.hosted)

    # --- schedule ---------------------------------------------------------------------------------------

    def _allocate(self) -> None:
        self._early = written_early(self._plain.program, native=True) or set()
        self._views = {i.results[0]: i for i in self.program.instructions if i.kind == "view" and len(i.results) == 1}
        self._viewing = set(self._views.values())
        used = {v for i in self.program.instructions for v in i.reads} | set(self.program.outputs)
        self._native = {
            i
            for i in self.program.instructions
            if i.kind != "view" and is_native(i) and not (finite_check(i) and used.intersection(i.results))
        }
        cuts: set[Instruction] = set()
        for _ in range(_TRIES):
            self._reset()
            self._items = self._scheduled(cuts)
            self._find_wanted()
            failed = self._lower()
            if failed is None:
                break
            for instruction in failed:
                if len(failed) == 1 and instruction not in cuts:
                    cuts.add(instruction)
                else:
                    self._native.discard(instruction)
        else:
            raise Unfit("too much of it has to be computed by NumPy calls")
        if not any(item.native for item in self._items):
            raise Unfit("nothing of it can be compiled")

    def _reset(self) -> None:
        self._slots: dict[Any, int] = {}  # a region, owner or node, or the id of a constant
        self._numbers: dict[Variable, int] = {}
        self._segments: dict[_Item, tuple[str, list[Node]]] = {}
        self._spare: list[tuple[int, Place, Any]] = []  # memory of values that only segments use: slot, place, dtype
        self._copies: dict[Variable, str] = {}  # buffers for results of NumPy calls that segments read
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
            if instruction in self._viewing:
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

    def _find_wanted(self) -> None:
        """Which memory is needed outside of the segment that makes it."""
        maker = {owner: item for item in self._items for owner in item.made()}
        self._wanted = {v.owner for v in self.program.outputs}
        self._called: set[Variable] = set(self.program.outputs)  # variables that NumPy calls use
        self._shared: set[Variable] = set()  # owners that segments read and NumPy calls make
        for item in self._items:
            for instruction in item.instructions:
                for variable in instruction.reads:
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

    def _lower(self) -> list[Instruction] | None:
        """Compile the segments. Returns instructions that do not fit, or None."""
        for item in self._items:
            if item.native:
                failed = self._lower_segment(item)
                if failed is not None:
                    return failed
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
                        return readers + readers[:1]
                    self._copies[result] = self._buffer(result, named=False)
        return None

    def _lower_segment(self, item: _Item) -> list[Instruction] | None:
        segment = Segment(self._new_place)
        lowering = Lowering(segment, self._place_of, self._number_of, self._views)
        for instruction in item.instructions:
            try:
                lowering.add(instruction)
            except Unfit:
                return [instruction]
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
            segment.wanted.add(total)
            checks = [total]
        name = f"segment{len(self._segments)}"
        try:
            segment.compile(self._module, name)
        except Unfit:
            return [*item.instructions, *item.instructions[:1]]
        self._segments[item] = (name, checks)
        return None

    # --- memory -----------------------------------------------------------------------------------------

    def _slot(self, key: Any) -> int:
        return self._slots.setdefault(key, len(self._slots))

    def _buffer(self, owner: Variable, named: bool = True) -> str:
        """Memory for an owner that lives as long as the code; that of an output is new in every run."""
        self._slot(owner)
        if named and owner in self.program.kept:
            return owner.name
        name = self._named("b", len(self.buffers))
        self.buffers[name] = _empty(owner.shape, owner.dtype, owner.strides)
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
        lines = [f"numbers[{self._numbers[v]}] = {v.name}" for v in self.program.arguments if v in self._numbers]
        outputs = [owner for owner in self.program.kept if owner.kind == "array"]
        self._fresh = [owner for owner in outputs if owner in self._slots and owner not in self._copies]
        if self._fresh:
            lines.append(f"({', '.join(v.name for v in self._fresh)},) = outputs()")
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

        for item in self._items:
            show_views()
            if item.native:
                name, checks = self._segments[item]
                lines.append(f"{name}()")
                lines += [f"check({self._check_name(node)})" for node in checks]
                continue
            (instruction,) = item.instructions
            lines.append(self._statement(instruction))
            for result in instruction.results:
                ready.add(result)
                if result in self._copies:
                    lines.append(f"{self._copies[result]}[...] = {result.name}")
                if result in self._numbers:
                    lines.append(f"numbers[{self._numbers[result]}] = {result.name}")
        show_views()
        names = ", ".join(v.name for v in self.program.outputs)
        lines.append(f"return ({names}{',' if len(self.program.outputs) == 1 else ''})")
        arguments = ", ".join(v.name for v in self.program.arguments)
        arrays = [v for v in self.program.arguments if v.region is not None and v in self._slots]
        self._given = arrays
        if arrays:
            lines.insert(0, f"if not ready({', '.join(v.name for v in arrays)}):\n        return plain({arguments})")
        body = "\n".join(f"    {line}" for line in lines)
        head = ["# views, made once", *once] if once else []
        return "\n".join([*head, "", f"def step({arguments}):", body, ""])

    def _check_name(self, node: Node) -> str:
        assert node.place is not None
        return f"spare[{node.place.slot}]"

    # --- running ----------------------------------------------------------------------------------------

    def bind(self) -> None:
        """Bind the program to the memory of everything it captured."""
        self._plain.bind()
        if not hasattr(self, "_library"):
            self._library = Library(str(self._module))
            self._pointers = np.zeros(len(self._slots) + 1, np.uintp)
            self._table = np.zeros(len(self._numbers) + 1)
            self._spares = {slot: _empty(place.shape, dtype, place.strides) for slot, place, dtype in self._spare}
            names = [name for name, _ in self._segments.values()]
            functions = {name: self._library.function(name, self._pointers, self._table) for name in names}
            self.constants |= {"numbers": self._table, "spare": self._spares, "check": _check, **functions}
            self.constants["outputs"] = _Outputs(self._fresh, self._slots, self._pointers)
        for slot, array in self._spares.items():
            self._pointers[slot] = _address(array)
        for owner in (*self._place, *self._copies):
            name = self._copies.get(owner) or self._place[owner]
            if owner in self._slots:
                self._pointers[self._slots[owner]] = _address(self.buffers[name])
        written = []
        for variable in self.captured:
            if variable.region in self._slots:
                array = array_of(variable.source)
                self._pointers[self._slots[variable.region]] = _address(memory(array))
                if variable in self._targets:
                    written.append(np.lib.array_utils.byte_bounds(array))
        self.constants["ready"] = _Ready(self._given, self._slots, self._pointers, written)
        self.constants["plain"] = self._plain.run
        super().bind()
        self._fits = self._laid_out()

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
            if _address(array) - _address(whole) != variable.offset:
                return False
        return len({id(whole) for whole in owners.values()}) == len(owners)


def _check(total: Any) -> None:
    if total != 0.0:
        raise NeedsEager("a number was not finite or not in range")


def _address(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _empty(shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.ndarray(shape, dtype, np.empty(max(prod(shape), 1), dtype), 0, strides)


class _Outputs:
    """The arrays that a run returns: those of an earlier run, if nobody holds any of them, or new ones."""

    def __init__(self, owners: list[Variable], slots: dict[Any, int], pointers: Any) -> None:
        self._owners = owners
        self._slots = np.array([slots[owner] for owner in owners], np.intp)
        self._pointers = pointers
        self._sets: list[tuple[list[Any], Any]] = []

    def __call__(self) -> list[Any]:
        """Arrays to write to; their addresses go to the table."""
        count = sys.getrefcount
        for arrays, addresses in self._sets:
            for array in arrays:
                if count(array) > 3:  # the list, the name here, and the argument
                    break
            else:
                self._pointers[self._slots] = addresses
                return arrays
        arrays = [np.empty_like(_empty(v.shape, v.dtype, v.strides)) for v in self._owners]
        addresses = np.array([_address(array) for array in arrays], np.uintp)
        self._sets = [*self._sets[-2:], (arrays, addresses)]
        self._pointers[self._slots] = addresses
        return arrays


class _Ready:
    """Puts the addresses of arguments into the table, unless one is not aligned or shares memory that is written to."""

    def __init__(
        self, arguments: list[Variable], slots: dict[Any, int], pointers: Any, written: list[tuple[int, int]]
    ) -> None:
        self._places = [(slots[v], v.dtype.itemsize, *_reach(v)) for v in arguments]
        self._pointers = pointers
        self._written = written

    def __call__(self, *arrays: Any) -> bool:
        """Whether the native code can read these arguments."""
        for array, (slot, size, low, high) in zip(arrays, self._places):
            address = array.__array_interface__["data"][0]
            if address % size:
                return False
            for begin, end in self._written:
                if address + low < end and address + high > begin:
                    return False
            self._pointers[slot] = address
        return True


def _reach(variable: Variable) -> tuple[int, int]:
    ends = [(n - 1) * s for n, s in zip(variable.shape, variable.strides, strict=True)]
    return sum(min(e, 0) for e in ends), sum(max(e, 0) for e in ends) + variable.dtype.itemsize
