"""The meaning of a typed program: one NumPy call after the other, with fresh arrays. Tests compare with it."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np

from ..engine.mode import silenced
from ..engine.trees import mapped
from .printed import as_traced
from .program import Program
from .variables import Variable

__all__ = ["Interpreted", "interpret"]


class Interpreted(NamedTuple):
    """The outputs of a run, and what the arrays from outside hold after it."""

    outputs: tuple[Any, ...]
    captured: tuple[Any, ...]


def interpret(program: Program, arguments: list[Any], captured: list[Any]) -> Interpreted:
    """Run a program on copies of the arrays from outside.

    Host calls and checks are called as in any run. ``captured`` are the arrays for ``program.captured``, in order;
    arrays that share memory share it in the copies, too.
    """
    values: dict[Variable, Any] = dict(zip(program.arguments, arguments, strict=True))
    values.update(zip(program.captured, _copies(captured), strict=True))
    written = program.written

    def value_of(leaf: Any) -> Any:
        return values[leaf] if type(leaf) is Variable else leaf

    with silenced():
        for instruction in program.instructions:
            args, kwargs = mapped(value_of, (instruction.args, instruction.kwargs))
            got = instruction.function(*args, **kwargs)
            if instruction.writes is not None or not instruction.results:
                continue
            if instruction.fixed:
                got = as_traced(got, tuple((v.shape, v.dtype) if v.region else None for v in instruction.results))
            parts = got if isinstance(got, tuple | list) else (got,)
            for variable, part in zip(instruction.results, parts, strict=True):
                values[variable] = np.asarray(part) if variable in written else part  # scalars cannot be written to
    return Interpreted(tuple(np.array(values[v]) for v in program.outputs), tuple(values[v] for v in program.captured))


def _copies(arrays: list[Any]) -> list[Any]:
    """Copies of arrays, which share memory as the arrays do, and have their strides."""
    owners: dict[int, Any] = {}
    copies = []
    for array in arrays:
        low, high = np.lib.array_utils.byte_bounds(array)
        base = array
        while isinstance(base.base, np.ndarray):
            base = base.base
        first, last = np.lib.array_utils.byte_bounds(base)
        if id(base) not in owners:
            owners[id(base)] = np.frombuffer(bytearray(_bytes(base, first, last)), np.uint8)
        offset = array.__array_interface__["data"][0] - first
        assert first <= low <= high <= last
        copies.append(np.ndarray(array.shape, array.dtype, owners[id(base)], offset, array.strides))
    return copies


def _bytes(base: Any, first: int, last: int) -> bytes:
    return ctypes.string_at(first, last - first)
