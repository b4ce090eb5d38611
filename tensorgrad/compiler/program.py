"""The typed program: what a trace wrote down, as instructions on typed values.

Every value is assigned once. Its type is a dtype, a shape and a label for each axis: axes with the same label have
the same length and are walked together. Memory is a region with a version, which grows with each write, so a value
may be computed again later only while the regions that it is computed from have the versions they had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..engine.trees import leaves
from ..engine.writes import memory
from .trace import Trace, offset_in
from .variables import Instruction, Region, Variable

__all__ = ["Program"]

Axis = tuple[Variable, int]
Labels = dict[Variable, tuple[int, ...]]  # one for each axis


class Program:
    """A traced step: instructions on typed values.

    Args:
        trace: the trace of the step.
        arguments: the variables of the step's array and float arguments, in order.
        outputs: the variables that must survive the run: return values, and gradients left on leaves.
        by: who runs it, for messages about what it writes to.

    Attributes:
        captured: the arrays from outside.
        instructions: in the order in which they run.
        kept: the owners of the memory of the outputs.
    """

    def __init__(self, trace: Trace, arguments: list[Variable], outputs: list[Variable], by: str) -> None:
        self.by = by
        self.arguments = arguments
        self.outputs = outputs
        self.captured = list(trace.captured.values())
        self.kept = dict.fromkeys(variable.owner for variable in outputs)
        self.instructions = list(trace.instructions)
        self._find_regions()
        self.count_versions()

    @property
    def written(self) -> set[Variable]:
        """The owners of the memory that instructions write to."""
        return {i.writes.owner for i in self.instructions if i.writes is not None}

    def values(self) -> Iterator[Variable]:
        """All variables: arguments, arrays from outside, results."""
        yield from self.arguments
        yield from self.captured
        for instruction in self.instructions:
            yield from instruction.results

    def settle(self, replaced: dict[Variable, Any]) -> None:
        """After a pass that has replaced variables: views are views of what replaced them."""
        if replaced:
            for variable in self.values():
                root = variable.root
                while root is not None and type(replaced.get(root)) is Variable:
                    root = replaced[root]
                variable.root = root
            for variable in self.values():
                if variable.root is not None:
                    variable.region = variable.owner.region
            self.count_versions()

    # --- memory -----------------------------------------------------------------------------------------

    def _find_regions(self) -> None:
        shared: dict[int, Region] = {}
        for variable in self.values():
            if variable.is_array:
                # Two arrays from outside may be views of the same memory.
                owner = variable.owner
                key = id(memory(owner.value)) if owner.kind == "captured" else id(owner)
                if key not in shared:
                    shared[key] = Region(len(shared), variable.kind in ("captured", "argument"))
                variable.region = shared[key]
                variable.offset = _offset(variable)
        self._regions = len(shared)
        for region in shared.values():
            known = [v.scratch for v in self.captured if v.region is region]
            region.scratch = bool(known) and all(known)

    def adopt(self, variables: Sequence[Variable]) -> None:
        """Give regions to new variables, which share no memory with those that are known."""
        new = set(variables)
        for variable in variables:
            if variable.region is None and variable.is_array:
                variable.region = variable.owner.region
                if variable.owner in new:  # otherwise it is known where a view begins
                    variable.offset = _offset(variable)
                if variable.region is None:
                    variable.region = Region(self._regions, variable.kind == "captured")
                    self._regions += 1

    def count_versions(self) -> None:
        """Number the writes to each region, and note which of them each instruction reads."""
        for variable in self.values():
            if variable.region is not None:
                variable.region.version = 0
        for instruction in self.instructions:
            regions = [v.region for v in instruction.reads if v.region is not None]
            instruction.versions = {region: region.version for region in regions}
            if instruction.writes is not None and instruction.writes.region is not None:
                instruction.writes.region.version += 1

    # --- labels -----------------------------------------------------------------------------------------

    def labels(self) -> Labels:
        """A label for each axis of each variable, 0 for an axis of length 1; equal ones are walked together."""
        parents: dict[Axis, Axis] = {}

        def find(axis: Axis) -> Axis:
            while (parent := parents.get(axis)) is not None:
                if (above := parents.get(parent)) is None:
                    return parent
                parents[axis] = axis = above  # so that the next way is half as long
            return axis

        for instruction in self.instructions:
            for one, other in _same_axes(instruction):
                a, b = find(one), find(other)
                if a != b and one[0].shape[one[1]] == other[0].shape[other[1]] > 1:
                    parents[b] = a
        numbers: dict[Axis, int] = {}
        return {
            variable: tuple(
                numbers.setdefault(find((variable, axis)), len(numbers) + 1) if length > 1 else 0
                for axis, length in enumerate(variable.shape)
            )
            for variable in self.values()
        }

    # --- text -------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        labels = self.labels()
        lines = [f"{_name(v)}: {_type(v, labels)} = {v.kind}" for v in (*self.arguments, *self.captured)]
        comment = ""
        for instruction in self.instructions:
            if instruction.comment != comment:
                comment = instruction.comment
                lines.append(f"# {comment}")
            lines.append(_line(instruction, labels))
        return "\n".join([*lines, f"return {', '.join(map(_name, self.outputs))}"])


def _same_axes(instruction: Instruction) -> Iterator[tuple[Axis, Axis]]:
    """The pairs of axes that an instruction walks together."""
    function, args = instruction.function, instruction.args
    sides = [v for v in instruction.reads if v.shape]
    result = instruction.writes or (instruction.results[0] if instruction.results else None)
    if result is None or not sides:
        return
    if instruction.kind == "elementwise" or function in (np.where, np.broadcast_to):
        for side in sides:
            yield from _from_the_right(side, result)
    elif instruction.kind == "store":
        if isinstance(function, np.ufunc):
            for side in sides:
                yield from _from_the_right(side, result)
    elif instruction.kind == "reduction":
        axes, rank = instruction.kwargs.get("axis", 0), len(sides[0].shape)
        gone = range(rank) if axes is None else {a % rank for a in (axes if isinstance(axes, tuple) else (axes,))}
        left = [a for a in range(rank) if a not in gone or instruction.kwargs.get("keepdims")]
        yield from (((sides[0], a), (result, b)) for b, a in enumerate(left) if a not in gone)
    elif function is np.transpose:
        given = args[1] if len(args) > 1 else instruction.kwargs.get("axes")
        rank = len(sides[0].shape)
        order = range(rank)[::-1] if given is None else [a % rank for a in given]
        yield from (((sides[0], a), (result, b)) for b, a in enumerate(order))
    elif function is np.reshape:
        long, new = ([a for a, n in enumerate(v.shape) if n > 1] for v in (sides[0], result))
        if [sides[0].shape[a] for a in long] == [result.shape[a] for a in new]:
            yield from (((sides[0], a), (result, b)) for a, b in zip(long, new, strict=True))
    elif function is np.matmul and [len(v.shape) for v in sides] == [2, 2]:
        a, b = sides
        yield from [((a, 0), (result, 0)), ((b, 1), (result, 1)), ((a, 1), (b, 0))]


def _from_the_right(one: Variable, other: Variable) -> Iterator[tuple[Axis, Axis]]:
    """The pairs of axes that broadcasting lines up."""
    for k in range(1, min(len(one.shape), len(other.shape)) + 1):
        yield (one, len(one.shape) - k), (other, len(other.shape) - k)


def _offset(variable: Variable) -> int:
    """Where a variable begins in its memory, in bytes."""
    *views, owner = variable.chain()
    start = offset_in(owner.value, memory(owner.value)) if owner.kind == "captured" else 0
    return start + sum(view.shift for view in views)


def _name(variable: Variable) -> str:
    return f"%{variable.number}"


def _type(variable: Variable, labels: Labels) -> str:
    if variable.region is None:
        return getattr(variable.dtype, "__name__", str(variable.dtype))
    axes = ", ".join(
        f"{_letters(k)}={n}" if k else str(n) for k, n in zip(labels[variable], variable.shape, strict=True)
    )
    return f"{variable.dtype}[{axes}] in r{variable.region.number}"


def _letters(number: int) -> str:
    text = ""
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("a") + rest) + text
    return text


def _line(instruction: Instruction, labels: Labels) -> str:
    function = instruction.function
    owner = getattr(function, "__self__", None)
    name = getattr(function, "__name__", type(function).__name__)
    if isinstance(owner, np.ufunc):
        name = f"{owner.__name__}.{name}"

    def shown(leaf: Any) -> str:
        if type(leaf) is not Variable:
            return f"array{list(leaf.shape)}" if isinstance(leaf, np.ndarray) and leaf.size > 4 else repr(leaf)
        version = instruction.versions.get(leaf.region, 0) if leaf.region is not None else 0
        return f"{_name(leaf)}.{version}" if version else _name(leaf)

    parts = [_tree(shown, arg) for arg in instruction.args]
    parts += [f"{key}={_tree(shown, value)}" for key, value in instruction.kwargs.items()]
    text = f"{instruction.kind} {name}({', '.join(parts)})"
    if instruction.writes is not None and instruction.writes.region is not None:
        version = instruction.versions[instruction.writes.region]
        return f"r{instruction.writes.region.number}.{version + 1} = {text}"
    results = ", ".join(f"{_name(v)}: {_type(v, labels)}" for v in instruction.results)
    return f"{results} = {text}" if results else text


def _tree(shown: Any, tree: Any) -> str:
    if isinstance(tree, tuple | list | dict):
        return f"[{', '.join(shown(leaf) for leaf in leaves(tree))}]"
    return ":".join(shown(leaf) for leaf in leaves(tree))
