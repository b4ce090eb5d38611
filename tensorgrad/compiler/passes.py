"""Passes on the typed program: dead code, constants, common subexpressions, clean-up; liveness and a plan of memory.

Each keeps the bits of every output and of everything that the step writes to.
"""

from __future__ import annotations

import operator
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from ..engine.mode import silenced
from ..engine.readings import require_finite
from ..engine.trees import leaves
from .program import Program
from .variables import FILLED, Instruction, Variable

__all__ = [
    "Plan",
    "clean_up",
    "fold_constants",
    "last_uses",
    "layout_of",
    "merge_checks",
    "merge_common",
    "optimise",
    "remove_dead",
    "takes_out",
    "work_of",
    "written_early",
]

# The results of these depend on their arguments alone.
_PURE = {
    *(np.reshape, np.transpose, np.broadcast_to, np.expand_dims, np.squeeze, np.swapaxes, np.moveaxis, np.ravel),
    *(np.where, np.concatenate, np.stack, np.clip, np.dot, np.einsum, np.tensordot, np.take, np.take_along_axis),
    *(np.ones_like, np.zeros_like, np.full_like, np.astype, np.ndarray.astype, np.copy, np.flip, np.cumsum, np.argmax),
    *(operator.getitem, operator.pow, operator.add, operator.sub, operator.mul, operator.truediv, operator.neg),
}

# These may overwrite an operand, because they are exactly rounded: all kernels return the same bits. For the others
# (exp, power, tanh), NumPy may choose a different kernel if memory overlaps.
_EXACT = {
    *(np.add, np.subtract, np.multiply, np.divide, np.negative, np.positive, np.absolute, np.square, np.sqrt),
    *(np.maximum, np.minimum, np.sign),
}


def optimise(program: Program) -> None:
    """Run all passes."""
    remove_dead(program)
    fold_constants(program)
    merge_common(program)
    clean_up(program)
    merge_checks(program)
    remove_dead(program)


def remove_dead(program: Program) -> None:
    """Remove what no output, outside memory or effect depends on."""
    wanted = {link for variable in program.outputs for link in variable.chain()}
    chosen: list[Instruction] = []
    for instruction in reversed(program.instructions):
        written = None if instruction.writes is None else instruction.writes.owner
        if (
            instruction.effect
            or (written is not None and (written in wanted or written.kind in ("captured", "argument")))
            or not wanted.isdisjoint(instruction.results)
        ):
            chosen.append(instruction)
            for variable in instruction.reads:
                wanted.update(variable.chain())
    program.instructions = chosen[::-1]


def fold_constants(program: Program) -> None:
    """Compute once what does not change from run to run."""
    written = {v.region for v in program.written}
    constants: dict[Variable, Any] = {}
    for instruction in program.instructions:
        instruction.replace(constants)
        constant = instruction.function in FILLED or (not instruction.reads and _is_pure(instruction))
        if not constant or instruction.effect or instruction.fixed or len(instruction.results) != 1:
            continue
        (result,) = instruction.results
        if result.root is None and result.region not in written and result.owner not in program.kept:
            constants[result] = _constant(instruction, result)
    program.settle(constants)


def _constant(instruction: Instruction, result: Variable) -> Any:
    if result.value is not None:
        return result.value
    with silenced():
        value = instruction.function(*instruction.args, **instruction.kwargs)
    return np.asarray(value) if isinstance(value, np.generic) else value


def merge_common(program: Program) -> None:
    """Compute once what is computed twice from the same versions."""
    written = {v.region for v in program.written}
    known: dict[Any, Variable] = {}
    merged: dict[Variable, Any] = {}
    for instruction in program.instructions:
        instruction.replace(merged)
        if not _is_pure(instruction) or len(instruction.results) != 1:
            continue
        (result,) = instruction.results
        view = result.root is not None
        if result in program.outputs or (not view and (result.region in written or result in program.kept)):
            continue
        # A view is the same whatever stands in the memory.
        versions = [(r.number, v) for r, v in instruction.versions.items() if r in written]
        key = (
            instruction.function,
            _frozen(instruction.args),
            _frozen(instruction.kwargs),
            () if view else tuple(sorted(versions)),
        )
        first = known.setdefault(key, result)
        if first is not result:
            merged[result] = first
    program.settle(merged)


def clean_up(program: Program) -> None:
    """Use the operand in place of its product with 1 and the like, as long as nothing writes to either."""
    ends = last_uses(program)
    writes: dict[Any, list[int]] = defaultdict(list)
    for number, instruction in enumerate(program.instructions):
        if instruction.writes is not None:
            writes[instruction.writes.region].append(number)
    replaced: dict[Variable, Any] = {}
    for number, instruction in enumerate(program.instructions):
        instruction.replace(replaced)
        operand = _unchanged(instruction)
        if operand is None or operand.region is None:
            continue
        (result,) = instruction.results
        same = (operand.dtype, operand.shape, operand.strides) == (result.dtype, result.shape, result.strides)
        if not same or result in program.kept:
            continue
        if operand.region.outside and (operand.kind == "argument" or operand.region in writes):
            continue  # it may share memory with something that is written to
        end = ends.get(result, number)
        if any(bisect_left(writes[r], number) < bisect_right(writes[r], end) for r in (result.region, operand.region)):
            continue
        replaced[result] = operand
    program.settle(replaced)


def merge_checks(program: Program) -> None:
    """Check once that numbers are finite: arrays that are joined later where they are joined, and none of them again.

    Only :func:`require_finite` says what is finite, and may come later: it breaks the run off, with one message for all
    arrays, and the state is put back. Nothing may be written or done in between, nor may another check raise.
    """
    instructions: list[Instruction | None] = []
    movable: dict[Instruction, int] = {}  # the checks that may still come later, and their places
    known: set[tuple[Variable, int]] = set()  # what is finite, in this version of its memory
    replaced: dict[Variable, Any] = {}
    for instruction in program.instructions:
        instruction.replace(replaced)
        if finite_check(instruction):
            read = {v: instruction.versions[v.region] for v in instruction.reads if v.region is not None}
            checked = _checked(instruction)
            done = bool(checked) and all(
                v in read and any((link, read[v]) in known for link in v.chain()) for v in checked
            )
            if done and all(result.kind == "number" for result in instruction.results):
                replaced |= dict.fromkeys(instruction.results, instruction.function.if_finite)  # type: ignore[attr-defined]
                continue
            if instruction.function is _REQUIRE_FINITE:
                known.update(read.items())
                if _is_plain_check(instruction):
                    movable[instruction] = len(instructions)
            else:
                movable.clear()
        elif instruction.writes is not None or instruction.effect:
            movable.clear()
        instructions.append(instruction)
        joined = _joined(instruction)
        for check, place in movable.items() if joined else ():
            if joined <= set(check.args):
                (result,) = instruction.results
                check.args = (*(v for v in check.args if v not in joined), result)
                check.reread()
                known.add((result, 0))
                instructions[place], movable[check] = None, len(instructions)
                instructions.append(check)
    if None in instructions or len(instructions) < len(program.instructions):
        program.instructions = [instruction for instruction in instructions if instruction is not None]
        program.settle(replaced)  # which counts the versions, unless nothing is replaced
        if not replaced:
            program.count_versions()


def finite_check(instruction: Instruction) -> bool:
    """Whether an instruction does nothing if all its numbers are finite, so that this can be checked instead."""
    return instruction.effect and hasattr(instruction.function, "if_finite")


def _checked(instruction: Instruction) -> list[Any]:
    """What it looks at; nothing if an array among it is the same in every run, of which nothing is known."""
    arguments = [*leaves((instruction.args, instruction.kwargs))]
    return [] if any(isinstance(leaf, np.ndarray | np.generic) for leaf in arguments) else instruction.reads


def _is_plain_check(instruction: Instruction) -> bool:
    """Whether all that it looks at are arrays of the program."""
    arrays = all(type(arg) is Variable and arg.region is not None for arg in instruction.args)
    return arrays and not instruction.kwargs


def _joined(instruction: Instruction) -> set[Variable]:
    """The arrays whose elements are those of the result, in one row; none for other instructions."""
    if instruction.function is not np.concatenate or instruction.kwargs != {"axis": None}:
        return set()
    (parts,) = instruction.args
    return set(parts) if all(type(part) is Variable and part.region is not None for part in parts) else set()


def _unchanged(instruction: Instruction) -> Variable | None:
    """The operand that the result of an instruction equals bit for bit."""
    if instruction.kwargs or instruction.kind != "elementwise":
        return None
    args = instruction.args
    if instruction.function is np.positive or (instruction.function in (np.multiply, np.divide) and _is_one(args[1])):
        operand = args[0]
    elif instruction.function is np.multiply and _is_one(args[0]):
        operand = args[1]
    else:
        return None
    return operand if type(operand) is Variable else None


def _is_one(value: Any) -> bool:
    return type(value) in (int, float) and value == 1


def _is_pure(instruction: Instruction) -> bool:
    if instruction.effect or instruction.fixed or instruction.writes is not None:
        return False
    function = instruction.function
    owner = getattr(function, "__self__", None)
    if isinstance(function, np.ufunc):
        return True
    if isinstance(owner, np.ufunc):
        return function.__name__ in ("reduce", "accumulate")
    try:
        return function in _PURE
    except TypeError:
        return False


def _frozen(tree: Any) -> Any:
    """A hashable form: equal forms stand for equal arguments."""
    if type(tree) is Variable:
        return (id(tree),)
    if isinstance(tree, tuple | list):
        return (type(tree), *map(_frozen, tree))
    if isinstance(tree, dict):
        return (dict, *((key, _frozen(value)) for key, value in tree.items()))
    if isinstance(tree, slice):
        return (slice, _frozen((tree.start, tree.stop, tree.step)))
    if isinstance(tree, float):
        return (float, tree.hex())  # 0.0 and -0.0 are equal, and hash alike
    if tree is None or tree is Ellipsis or isinstance(tree, bool | int | str | np.dtype):
        return (type(tree), tree)
    return (id(tree),)


# --- liveness and memory --------------------------------------------------------------------------------------


def last_uses(program: Program) -> dict[Variable, int]:
    """For each owner of memory, the number of the last instruction that uses it; that of an output is the end."""
    last: dict[Variable, int] = {}
    for number, instruction in enumerate(program.instructions):
        for variable in (*instruction.reads, *instruction.results):
            last[variable.owner] = number
    return {**last, **dict.fromkeys(program.kept, len(program.instructions))}


@dataclass
class Plan:
    """Which buffer holds which variable.

    Results of ufuncs and their reductions go to buffers, which are allocated once and reused as soon as their value
    is dead. A buffer has the memory layout that the result had in the eager run, because the order of summation, and
    so the last bit, depends on it.
    """

    places: dict[Variable, int]
    buffers: list[np.ndarray[Any, Any]]

    @classmethod
    def of(cls, program: Program) -> Plan:
        """Plan the memory of a program."""
        last = last_uses(program)
        plan = cls({}, [])
        places = plan.places
        free: dict[Any, list[int]] = defaultdict(list)
        for number, instruction in enumerate(program.instructions):
            dying = {v.owner for v in instruction.reads if last[v.owner] == number and v.owner in places}
            result = instruction.results[0] if instruction.results else None
            if result is not None and takes_out(instruction) and result.root is None and result not in program.kept:
                key = layout_of(result)
                if key is not None:
                    reusable = [
                        v
                        for v in instruction.reads
                        if instruction.function in _EXACT and v in dying and layout_of(v) == key
                    ]
                    if reusable:
                        places[result] = places[reusable[0]]
                        dying.remove(reusable[0])
                    elif free[key]:
                        places[result] = free[key].pop()
                    else:
                        places[result] = len(plan.buffers)
                        plan.buffers.append(_empty_like(*key))
                    if last[result] == number:
                        dying.add(result)
            for variable in sorted(dying, key=lambda v: v.number):
                free[layout_of(variable)].append(places[variable])
        return plan


def layout_of(variable: Variable) -> Any:
    """What two buffers must have in common to be interchangeable; None if a buffer would have a different layout."""
    layout = (variable.shape, variable.dtype, variable.strides)
    return layout if _is_usual(*layout) else None


@lru_cache(maxsize=4096)
def _is_usual(shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...]) -> bool:
    """Whether NumPy gives this layout to a result that is like an array with it."""
    return _empty_like(shape, dtype, strides).strides == strides


def _empty_like(shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.empty_like(np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape, strides))


def takes_out(instruction: Instruction) -> bool:
    """Whether the function can write its result to memory that it is given."""
    function = instruction.function
    if isinstance(function, np.ufunc):
        return function.nout == 1 and instruction.writes is None
    owner = getattr(function, "__self__", None)
    return isinstance(owner, np.ufunc) and function.__name__ in ("reduce", "accumulate") and instruction.writes is None


def work_of(instructions: Iterable[Instruction]) -> int:
    """Roughly how much work instructions are, in elements that are computed: a quarter of a nanosecond each.

    It depends on nothing but the program, so that it is the same in every process.
    """
    work = 0
    for instruction in instructions:
        sizes = [prod(v.shape) for v in (*instruction.results, *instruction.reads)]
        if instruction.kind == "view" or not sizes:
            continue
        shapes = [v.shape for v in instruction.reads if v.shape]
        if instruction.function in (np.matmul, np.dot) and len(shapes) == 2:
            work += prod(instruction.results[0].shape or (1,)) * shapes[0][-1] // 16
        work += max(sizes)
    return work


def written_early(program: Program, native: bool) -> set[Variable] | None:
    """The owners of memory that a run may have written to when it is broken off; None if it never is.

    That is at a gradient that must be finite, or at a result that must have the shape it had; in native code, at every
    check that it makes itself.
    """
    breaks = [
        number
        for number, instruction in enumerate(program.instructions)
        if instruction.function is _REQUIRE_FINITE
        or (native and hasattr(instruction.function, "if_finite"))
        or (instruction.fixed and any(result.region is not None for result in instruction.results))
    ]
    if not breaks:
        return None
    return {i.writes.owner for i in program.instructions[: breaks[-1]] if i.writes is not None}


# The trace has the function itself, not what @indivisible made of it.
_REQUIRE_FINITE: Any = require_finite.__wrapped__  # type: ignore[attr-defined]
