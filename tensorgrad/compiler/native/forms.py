"""Functions that look at values, replaced by the straight-line forms that they have."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np

from ...engine.mode import silenced
from ...engine.staging import forms_of, only_if_not_finite
from ...engine.trees import mapped
from ...errors import NeedsEager
from ..array import TracedArray
from ..program import Program
from ..trace import Trace, offset_in
from ..variables import Instruction, Variable

__all__ = ["with_forms"]


def with_forms(program: Program) -> Program:
    """The program with straight-line forms in place of the functions that have one."""
    changed = copy(program)
    changed.instructions = []
    changed.captured = list(program.captured)
    for instruction in program.instructions:
        form = forms_of(instruction.function).straight_line
        made = None if form is None else _expanded(form, instruction)
        if made is None:
            changed.instructions.append(instruction)
            continue
        instructions, captured = made
        changed.instructions += instructions
        changed.captured += captured
        new = [v for i in instructions for v in i.results]
        changed.adopt([*captured, *new])
        for variable in new:
            if variable.kind == "array":
                variable.value = None  # of zeros: only its layout was of interest
    return changed


@only_if_not_finite(returns=None)
def _hold(marks: Any) -> None:
    if not np.isfinite(marks).all():
        raise NeedsEager("a number was not finite or not in range")


def _expanded(form: Any, instruction: Instruction) -> tuple[list[Instruction], list[Variable]] | None:
    """The instructions of a form, and arrays that it captures; None if it does not apply."""
    trace = Trace()
    replaced: dict[Variable, Any] = {}

    def enter(leaf: Any) -> Any:
        if type(leaf) is not Variable:
            return leaf
        if leaf.region is not None and min(leaf.strides, default=0) < 0:
            raise _Backwards
        example = _zeros(leaf) if leaf.region is not None else leaf.dtype(1)
        traced = trace.traced(example, "argument")
        replaced[traced.variable] = leaf
        return traced

    try:
        args, kwargs = mapped(enter, (instruction.args, instruction.kwargs))
    except _Backwards:
        return None
    with silenced():
        made = form(*args, **kwargs)
        if made is None:
            return None
        results, holds = made
        if holds is not None:
            marks: Any = np.where(holds, 0.0, np.nan)
            trace.instructions.append(Instruction(_hold, (marks.variable,), {}, (), "", effect=True))
    results = results if isinstance(results, tuple) else (results,)
    own = {v for i in trace.instructions for v in i.results}
    for result, variable in zip(results, instruction.results, strict=True):
        same = isinstance(result, TracedArray) and result.variable in own and result.variable.root is None
        if not same or (result.dtype, result.shape) != (variable.dtype, variable.shape):
            return None
        if result.variable in replaced or result.variable.strides != variable.strides:
            return None
        replaced[result.variable] = variable
    for inner in trace.instructions:
        inner.replace(replaced)
        inner.results = tuple(replaced.get(v, v) for v in inner.results)
        inner.comment = instruction.comment
        for result in inner.results:
            owner = result.owner
            if owner in replaced and owner is not result:  # a view of an input
                result.offset = offset_in(result.value, owner.value) + replaced[owner].offset
            while result.root in replaced:
                result.root = replaced[result.root]
    return trace.instructions, list(trace.captured.values())


class _Backwards(Exception):
    """An argument has a negative stride."""


def _zeros(variable: Variable) -> np.ndarray[Any, Any]:
    """Zeros in the variable's layout."""
    ends = [(n - 1) * s for n, s in zip(variable.shape, variable.strides, strict=True)]
    memory = np.zeros(sum(ends) + variable.dtype.itemsize, np.uint8)
    return np.ndarray(variable.shape, variable.dtype, memory, 0, variable.strides)
