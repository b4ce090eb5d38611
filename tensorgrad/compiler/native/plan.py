"""What a native program consists of, without the program: to find it again for an equal program, also on disk."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from ...engine.locks import computed_once
from ...engine.trees import parts_of
from .. import passes
from ..printed import NumpyCode
from ..program import Program
from ..variables import Instruction, Region, Variable
from .forms import with_forms
from .machine import gemm_address, key_of, reads_arrays
from .nodes import Place
from .segments import Unfit

__all__ = ["Candidate", "Known", "packed", "unpacked"]


def packed(place: Place) -> list[Any]:
    """A place as JSON has it."""
    return [place.slot, place.offset, place.shape, place.strides, place.itemsize]


def unpacked(place: list[Any]) -> Place:
    """The place that was packed."""
    slot, offset, shape, strides, itemsize = place
    return Place(slot, offset, tuple(shape), tuple(strides), itemsize)


class Known:
    """The variables, regions and instructions of a program by number, and back."""

    def __init__(self, program: Program) -> None:
        self.variables: list[Variable] = []
        self.numbers: dict[Variable, int] = {}
        self.regions: list[Region] = []
        self.region_numbers: dict[Region, int] = {}
        for variable in program.values():
            for link in variable.chain():
                self._add(link)

    def _add(self, variable: Variable) -> None:
        if variable not in self.numbers:
            self.numbers[variable] = len(self.variables)
            self.variables.append(variable)
        region = variable.region
        if region is not None and region not in self.region_numbers:
            self.region_numbers[region] = len(self.regions)
            self.regions.append(region)


class Candidate:
    """A program that could be compiled.

    Attributes:
        plain: the same as NumPy code.
        program: with straight-line forms.
        early: the owners of memory that may have been written to when a run is broken off.
        known: its variables by number.
        digest: a hash of all that decides how it is compiled, apart from the processor and the versions.

    Raises:
        Unfit: native code cannot work in this Python.
    """

    def __init__(self, plain: NumpyCode) -> None:
        if not reads_arrays():
            raise Unfit("this Python has other arrays")
        self.plain = plain
        self.program = with_forms(plain.program)
        self.early = passes.written_early(plain.program, native=True) or set()
        self.known = Known(self.program)
        self.digest = _digest(self.program, self.known, self.early)

    @computed_once
    def key(self) -> str:
        """The key of its compiled code. This loads LLVM."""
        return key_of(self.digest)


def _digest(program: Program, known: Known, early: Collection[Variable]) -> str:
    """A hash of all that decides how a program is compiled; ``early`` may be written to before a check."""
    facts = [
        _sources(),
        [gemm_address(np.dtype(d)) is not None for d in (np.float32, np.float64)],
        [_variable(v, known) for v in known.variables],
        [known.numbers[v] for v in program.arguments],
        [known.numbers[v] for v in program.captured],
        [known.numbers[v] for v in program.outputs],
        sorted(known.numbers[v] for v in early if v in known.numbers),
        [_instruction(i, known) for i in program.instructions],
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:40]


@functools.cache
def _sources() -> str:
    """A hash of the compiler itself."""
    folder = Path(__file__).parent
    files = [*sorted(folder.glob("*.py")), Path(passes.__file__)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _variable(variable: Variable, known: Known) -> list[Any]:
    dtype = variable.dtype.str if isinstance(variable.dtype, np.dtype) else variable.dtype.__name__
    root = None if variable.root is None else known.numbers[variable.root]
    region = None if variable.region is None else known.region_numbers[variable.region]
    return [variable.kind, dtype, variable.shape, variable.strides, variable.offset, root, region]


def _instruction(instruction: Instruction, known: Known) -> list[Any]:
    return [
        _function(instruction.function),
        _tree(instruction.args, known),
        _tree(instruction.kwargs, known),
        [known.numbers[v] for v in instruction.results],
        None if instruction.writes is None else known.numbers[instruction.writes],
        [instruction.effect, instruction.fixed, instruction.comes_from_outside, instruction.early],
    ]


def _function(function: Any) -> list[Any]:
    """What the compiler knows of a function; those that it does not know are called as they are."""
    owner = getattr(function, "__self__", None)
    inside = owner.__name__ if isinstance(owner, np.ufunc) else ""
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", type(function).__name__)
    return [getattr(function, "__module__", None), inside, name, hasattr(function, "if_finite")]


def _tree(tree: Any, known: Known) -> Any:
    parts = parts_of(tree)
    if parts is not None:
        names = [repr(key) for key in tree] if isinstance(tree, dict) else []
        return [type(tree).__name__, names, [_tree(part, known) for part in parts]]
    if type(tree) is Variable:
        return known.numbers[tree]
    if isinstance(tree, np.ndarray):
        return ["array", tree.dtype.str, tree.shape, tree.tobytes().hex() if tree.size <= 16 else ""]
    if isinstance(tree, float):
        return ["float", tree.hex()]
    plain = tree is None or tree is Ellipsis or isinstance(tree, bool | int | str | complex | np.dtype | np.generic)
    return [type(tree).__name__, repr(tree) if plain else ""]
