"""The same function traced on batches of several sizes, and what varies between these runs.

A trace contains plain numbers: a reshape to (2, 12) does not say that 2 is the size of the batch. So the function is
traced on several batches, and the traces are compared instruction by instruction: a number that is the same in all of
them is a constant, and one that is not follows from the size of the batch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from ..compiler.array import TracedArray, TracedNumber
from ..compiler.trace import Trace
from ..compiler.variables import Instruction, Variable
from ..engine.frames import place, user_frame
from ..engine.mode import silenced, tracing
from ..engine.record import Handle, tensor_of
from ..engine.staging import forms_of
from ..engine.trees import alike, leaves, mapped, parts_of
from ..engine.writes import written
from ..errors import GraphError

__all__ = ["Comparison", "Run", "Step", "Varying", "recorded"]

Line = tuple[CodeType, int]


class _Recording(Trace):
    """A trace that also knows the line of the user's code that each instruction belongs to.

    It goes through functions that a compiler calls as a whole, but for those in ``whole`` and those that look at
    values; of the latter it takes the formula, if they have one.
    """

    def __init__(self, whole: Container[Any]) -> None:
        super().__init__()
        self.lines: list[Line] = []
        self.whole = whole

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], **how: Any) -> Any:
        forms = forms_of(function)
        if function not in self.whole:
            before = len(self.instructions)
            made = None if forms.straight_line is None else forms.straight_line(*args, **kwargs)
            if made is not None and made[1] is None:  # a form that always holds
                return made[0]
            del self.instructions[before:], self.lines[before:]
            if how.get("effect") and args:
                try:
                    return function(*args, **kwargs)
                except (GraphError, AttributeError, TypeError):
                    del self.instructions[before:], self.lines[before:]
            if forms.formula is not None:
                return forms.formula(*args, **kwargs)
        result = super().call(function, args, kwargs, **how)
        frame = user_frame(sys._getframe(1))
        self.lines.append((frame.f_code, frame.f_lasti))
        return result


class Run(NamedTuple):
    """A function's trace on one batch."""

    instructions: list[Instruction]
    lines: list[Line]
    inputs: list[Variable]
    outputs: list[Variable]
    names: list[str]  # of the outputs


def recorded(function: Callable[..., Any], examples: Sequence[Any], whole: Container[Any]) -> Run:
    """Trace a function of Tensors. What it writes to is put back afterwards.

    ``whole`` has the functions of arrays that are not gone through.
    """
    trace = _Recording(whole)
    inputs: list[Variable] = []

    def enter(array: Any) -> Any:
        traced = trace.traced(array, "argument")
        inputs.append(traced.variable)
        return tensor_of(traced, None)

    try:
        with tracing(trace), silenced():
            returned = function(*mapped(enter, tuple(examples)))
            found = list(_named("output", returned))
            outputs = [_variable(trace, leaf) for _, leaf in found]
    finally:
        trace.active = False
        for variable, value in trace.before.items():
            variable.value[...] = value
            written(variable.value, "an export to ONNX")
    return Run(trace.instructions, trace.lines, inputs, outputs, [name for name, _ in found])


def _variable(trace: Trace, leaf: Any) -> Variable:
    array = leaf.data if isinstance(leaf, Handle) else leaf
    if not isinstance(array, TracedArray):
        if isinstance(array, TracedNumber) or not isinstance(array, np.ndarray | np.generic | int | float):
            raise TypeError(
                f"ONNX export: the function returned {type(array).__name__}, expected Tensors, in tuples, lists or "
                "dicts"
            )
        array = trace.lift(np.asarray(array))
    return array.variable


def _named(name: str, tree: Any) -> Any:
    """The leaves of a tree with names: a key of a dict is a name, a place in a tuple is a number after it."""
    parts = parts_of(tree)
    if parts is None:
        yield name, tree
        return
    keys = map(str, tree) if isinstance(tree, dict) else (f"{name}_{i}" for i in range(len(parts)))
    for key, part in zip(keys, parts, strict=True):
        yield from _named(key, part)


@dataclass(frozen=True)
class Varying:
    """What differs from run to run: its value in each."""

    values: tuple[Any, ...]


@dataclass(eq=False)
class Step:
    """An instruction, with :class:`Varying` in place of arguments that differ from run to run."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[Variable, ...]
    writes: Variable | None
    comment: str
    line: Line
    by_value: bool  # may the shape of the result depend on values?

    @property
    def where(self) -> str:
        """The module, the operation and the user's line, for messages."""
        return f"{self.comment or 'an operation'} (called at {place(*self.line)})"

    @property
    def reads(self) -> list[Variable]:
        """The variables among the arguments."""
        return [leaf for leaf in leaves((self.args, self.kwargs)) if isinstance(leaf, Variable)]


class Comparison:
    """What several runs have in common. Its variables are those of the first run.

    Attributes:
        steps: the instructions.
        values: what a variable held in each run.
        varying: captured variables whose values differ.
    """

    def __init__(self, runs: Sequence[Run], sizes: Sequence[int]) -> None:
        self.runs = runs
        self.sizes = sizes
        self.values: dict[Variable, tuple[Any, ...]] = {}
        self.varying: set[Variable] = set()
        self._first: dict[Variable, Variable] = {}  # a variable of any run, as that of the first
        for variables in zip(*(run.inputs for run in runs), strict=True):
            self._same(variables)
        self.steps = [self._step(i) for i in range(max(len(run.instructions) for run in runs))]
        counts = {len(run.outputs) for run in runs}
        if len(counts) > 1:
            raise ValueError(
                f"ONNX export: the number of results depends on the size of the batch: {sorted(counts)}; return "
                "stacked Tensors"
            )
        self.outputs = [self._merged(leaves) for leaves in zip(*(run.outputs for run in runs), strict=True)]

    def shape(self, variable: Variable) -> tuple[Any, ...]:
        """The lengths of the axes: integers, or Varying."""
        shapes = [np.shape(value) for value in self.values[variable]]
        return tuple(n[0] if len(set(n)) == 1 else Varying(n) for n in zip(*shapes, strict=True))

    def _step(self, i: int) -> Step:
        shortest = min(self.runs, key=lambda run: len(run.instructions))
        if i >= len(shortest.instructions):
            longest = max(self.runs, key=lambda run: len(run.instructions))
            raise _depends(longest.instructions[i], longest.lines[i], "it is called for some sizes only")
        found = [run.instructions[i] for run in self.runs]
        first, line = found[0], self.runs[0].lines[i]
        if any(not _alike(first.function, other.function) for other in found):
            raise _depends(first, line, "another operation is called for other sizes")
        try:
            args, kwargs = self._tree([(f.args, f.kwargs) for f in found])
            writes = None if first.writes is None else self._merged([f.writes for f in found])
            for variables in zip(*(f.results for f in found), strict=True):
                self._same(variables)
        except _Different as error:
            raise _depends(first, line, str(error)) from None
        return Step(first.function, args, kwargs, first.results, writes, first.comment, line, first.fixed)

    def _same(self, variables: Sequence[Variable]) -> Variable:
        first = variables[0]
        if len({(np.ndim(v.value), getattr(v.value, "dtype", None)) for v in variables}) > 1:
            raise _Different("the number of axes or the dtype of its result differs")
        self.values[first] = tuple(v.value for v in variables)
        for variable in variables:
            self._first[variable] = first
        return first

    def _tree(self, trees: Sequence[Any]) -> Any:
        parts = [parts_of(tree) for tree in trees]
        if parts[0] is None:
            return self._merged(trees)
        if len({type(tree) for tree in trees}) > 1 or len({len(p) for p in parts if p is not None}) > 1:
            raise _Different("the number of its arguments differs")
        return alike(trees[0], [self._tree(column) for column in zip(*parts, strict=True)])

    def _merged(self, found: Sequence[Any]) -> Any:
        first = found[0]
        if isinstance(first, Variable):
            if any(not isinstance(leaf, Variable) for leaf in found):
                raise _Different("its arguments differ")
            if first in self._first:
                if any(self._first.get(leaf) is not first for leaf in found):
                    raise _Different("its arguments differ")
                return first
            if any(leaf.kind != "captured" or leaf in self._first for leaf in found):
                raise _Different("its arguments differ")
            if any(not _equal(first.value, leaf.value) for leaf in found):
                self.varying.add(first)
            return self._same(found)
        if all(type(leaf) is type(first) and (leaf is first or _alike(leaf, first)) for leaf in found):
            return first
        if all(isinstance(leaf, int | float) for leaf in found):
            return Varying(tuple(found))
        raise _Different("its arguments differ")


class _Different(Exception):
    """Runs differ in more than numbers."""


def _depends(instruction: Instruction, line: Line, why: str) -> ValueError:
    return ValueError(
        f"ONNX export: {instruction.comment or 'an operation'} (called at {place(*line)}) depends on the size of the "
        f"batch: {why}; write the model so that it does the same for every size, without a loop over the rows or an "
        "`if` on x.shape"
    )


def _alike(a: Any, b: Any) -> bool:
    """Are these equal, or functions from the same line of the source?"""
    code = getattr(a, "__code__", None)
    if code is not None:
        return code is getattr(b, "__code__", None)
    return bool(a == b) or (a != a and b != b)


def _equal(a: Any, b: Any) -> bool:
    return a is b or (
        a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    )
