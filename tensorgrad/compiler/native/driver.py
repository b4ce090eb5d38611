"""The functions of a native step that Python calls, as LLVM text.

They are what a C extension would have: builtin functions that get a C array of Python objects, the first of which is
the address of the table of pointers, as an integer. The table has the memory of each slot; then the address of the
table of numbers; then that of the ranges of memory that the step writes to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .nodes import Place

__all__ = ["DECLARATIONS", "PYTHON", "Argument", "begin", "data_offset", "run"]

PYTHON = {  # what is used of Python's C interface
    "PyLong_AsVoidPtr": "ptr (ptr)",
    "PyLong_FromLongLong": "ptr (i64)",
    "PyFloat_AsDouble": "double (ptr)",
    "PyErr_Occurred": "ptr ()",
    "PyEval_SaveThread": "ptr ()",
    "PyEval_RestoreThread": "void (ptr)",
}
_DECLARED = [f"declare {kind.replace(' ', f' @{name}', 1)}" for name, kind in PYTHON.items()]
DECLARATIONS = "\n".join([*_DECLARED, "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)"])
_TYPES = {"f4": "float", "f8": "double"}


def data_offset() -> int:
    """Where the address of its memory is in an ndarray: its C structure begins with it (NumPy's C interface)."""
    return object.__basicsize__


class Argument(NamedTuple):
    """An array that Python passes: the slot for its memory, its alignment, and the memory it has, from there."""

    slot: int
    itemsize: int
    low: int
    high: int


def begin(arguments: Sequence[Argument | int], saved: Sequence[tuple[Place, int]], slots: int, ranges: int) -> str:
    """The function ``begin``, which takes the arguments: 1 if the native code cannot work with an array.

    Args:
        arguments: in order; an integer is the position of a number in the table of numbers.
        saved: memory that is copied before anything is written to it, and the slots of the copies.
        slots: how many there are.
        ranges: how many ranges of memory the step writes to; an argument may share none of it.
    """
    body = _Body("begin")
    for place, copy in saved:
        source, target = body.memory(place.slot, place.offset), body.memory(copy, 0)
        size = int(np.prod(place.shape)) * place.itemsize
        body.emit(f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr {source}, i64 {size}, i1 false)")
    arrays = [(k, each) for k, each in enumerate(arguments, 1) if isinstance(each, Argument)]
    spans: list[tuple[str, str]] = []
    bad = "0"
    for k, argument in arrays:
        field = body.assign(f"getelementptr i8, ptr {body.argument(k)}, i64 {data_offset()}")
        address = body.assign(f"load ptr, ptr {field}")
        body.emit(f"store ptr {address}, ptr {body.assign(f'getelementptr ptr, ptr %pointers, i64 {argument.slot}')}")
        number = body.assign(f"ptrtoint ptr {address} to i64")
        bad = body.assign(f"or i64 {bad}, {body.assign(f'and i64 {number}, {argument.itemsize - 1}')}")
        ends = (body.assign(f"add i64 {number}, {end}") for end in (argument.low, argument.high))
        spans.append((next(ends), next(ends)))
    if arrays:
        body.emit(f"br i1 {body.assign(f'icmp ne i64 {bad}, 0')}, label %unfit, label %aligned")
        body.label("aligned")
    if arrays and ranges:
        table = body.memory(slots + 1, 0)
        body.emit("br label %range")
        body.label("range")
        body.emit("%k = phi i64 [ 0, %aligned ], [ %next, %apart ]")
        start = body.assign(f"getelementptr [2 x i64], ptr {table}, i64 %k")
        first = body.assign(f"load i64, ptr {start}")
        last = body.assign(f"load i64, ptr {body.assign(f'getelementptr i64, ptr {start}, i64 1')}")
        shared = "0"
        for low, high in spans:
            before, after = body.assign(f"icmp ult i64 {low}, {last}"), body.assign(f"icmp ugt i64 {high}, {first}")
            shared = body.assign(f"or i1 {shared}, {body.assign(f'and i1 {before}, {after}')}")
        body.emit(f"br i1 {shared}, label %unfit, label %apart")
        body.label("apart")
        body.emit("%next = add nuw i64 %k, 1")
        body.emit(f"br i1 {body.assign(f'icmp ult i64 %next, {ranges}')}, label %range, label %fit")
        body.label("fit")
    body.numbers([(k, each) for k, each in enumerate(arguments, 1) if isinstance(each, int)], slots)
    body.result("0")
    if arrays:
        body.label("unfit")
        body.result("1")
    return body.text()


def run(
    name: str, segments: Sequence[tuple[str, tuple[Place, Any] | None]], numbers: Sequence[int], slots: int, long: bool
) -> str:
    """The function ``name``, which takes numbers and runs segments: 1 if a check failed, after which it ends.

    Args:
        name: what to call it.
        segments: the functions that do the work, each with where its check leaves a number that has to be 0, and the
            dtype of that.
        numbers: the positions in the table of numbers, in the order of the arguments.
        slots: how many there are.
        long: let other threads run meanwhile.
    """
    body = _Body(name)
    body.numbers(list(enumerate(numbers, 1)), slots)
    table = body.memory(slots, 0)
    if long:
        body.emit("%state = call ptr @PyEval_SaveThread()")
    failures: list[tuple[str, str]] = []
    for number, (segment, check) in enumerate(segments):
        body.emit(f"call void @{segment}(ptr %pointers, ptr {table})")
        if check is not None:
            place, dtype = check
            kind = _TYPES[np.dtype(dtype).str[1:]]
            value = body.assign(f"load {kind}, ptr {body.memory(place.slot, place.offset)}")
            failed = body.assign(f"fcmp une {kind} {value}, 0.0")
            failures.append(("true", body.block))
            body.emit(f"br i1 {failed}, label %done, label %passed{number}")
            body.label(f"passed{number}")
    failures.append(("false", body.block))
    body.emit("br label %done")
    body.label("done")
    failed = body.assign(f"phi i1 {', '.join(f'[ {value}, %{block} ]' for value, block in failures)}")
    if long:
        body.emit("call void @PyEval_RestoreThread(ptr %state)")
    body.result(body.assign(f"zext i1 {failed} to i64"))
    return body.text()


class _Body:
    """The lines of a function.

    Attributes:
        block: the block that the last line is in.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: list[str] = []
        self._count = 0
        self._failing = False
        self.block = "entry"
        self.emit(f"%pointers = call ptr @PyLong_AsVoidPtr(ptr {self.argument(0)})")

    def emit(self, line: str) -> None:
        """Add a line."""
        self._lines.append(f"  {line}")

    def label(self, name: str) -> None:
        """Begin a block."""
        self._lines.append(f"{name}:")
        self.block = name

    def assign(self, expression: str) -> str:
        """The name of a new value."""
        self._count += 1
        name = f"%v{self._count}"
        self.emit(f"{name} = {expression}")
        return name

    def argument(self, position: int) -> str:
        """A Python object that was passed."""
        return self.assign(f"load ptr, ptr {self.assign(f'getelementptr ptr, ptr %args, i64 {position}')}")

    def memory(self, slot: int, offset: int) -> str:
        """An address in the memory of a slot."""
        start = self.assign(f"load ptr, ptr {self.assign(f'getelementptr ptr, ptr %pointers, i64 {slot}')}")
        return self.assign(f"getelementptr i8, ptr {start}, i64 {offset}") if offset else start

    def numbers(self, arguments: list[tuple[int, int]], slots: int) -> None:
        """Put arguments into the table of numbers: the position of each, and that in the table."""
        if not arguments:
            return
        table = self.memory(slots, 0)
        for position, number in arguments:
            value = self.assign(f"call double @PyFloat_AsDouble(ptr {self.argument(position)})")
            self.emit(f"store double {value}, ptr {self.assign(f'getelementptr double, ptr {table}, i64 {number}')}")
        error = self.assign("call ptr @PyErr_Occurred()")
        self.emit(f"br i1 {self.assign(f'icmp eq ptr {error}, null')}, label %numbers, label %error")
        self.label("numbers")
        self._failing = True

    def result(self, value: str) -> None:
        """Return an integer."""
        self.emit(f"ret ptr {self.assign(f'call ptr @PyLong_FromLongLong(i64 {value})')}")

    def text(self) -> str:
        """The function."""
        if self._failing:
            self.label("error")
            self.emit("ret ptr null")
        lines = "\n".join(self._lines)
        return f"define ptr @{self._name}(ptr %self, ptr %args, i64 %count) {{\nentry:\n{lines}\n}}"
