"""From instructions to the nodes of a segment."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..variables import Instruction, Variable
from .kernels import COMPARISONS, LOGICAL, OPERATIONS, REDUCTIONS, code_of
from .machine import gemm_address
from .nodes import Node, Place
from .segments import Segment, Unfit, crosses

__all__ = ["Lowering", "finite_check", "is_native"]

_FLOATS = ("f4", "f8")
_KNOWN = (*_FLOATS, "b1", "i4", "i8")
_WHOLE = {np.add, np.subtract, np.multiply, np.positive, *COMPARISONS}  # for integers


def finite_check(instruction: Instruction) -> bool:
    """Whether an instruction does nothing if all its numbers are finite, so that this can be checked instead."""
    return instruction.effect and hasattr(instruction.function, "if_finite")


def _readable(leaf: Any) -> bool:
    if isinstance(leaf, np.ndarray):
        return leaf.shape == () and code_of(leaf.dtype) in _KNOWN
    if type(leaf) is not Variable:
        return type(leaf) in (bool, int, float)
    if leaf.region is None:
        return leaf.dtype in (int, float)
    return leaf.owner.compact and code_of(leaf.dtype) in _KNOWN and len(leaf.shape) <= 4 and 0 not in leaf.shape


def is_native(instruction: Instruction) -> bool:
    """Whether an instruction can be part of a segment, as far as can be told from it alone."""
    function, args, kwargs = instruction.function, instruction.args, instruction.kwargs
    results = instruction.results if instruction.writes is None else (instruction.writes,)
    if finite_check(instruction):
        return all(map(_readable, instruction.reads)) and all(
            v.dtype.kind == "f" for v in instruction.reads if v.region
        )
    if (
        instruction.effect
        or instruction.fixed
        or len(results) != 1
        or not all(map(_readable, (*instruction.reads, *results)))
    ):
        return False
    result = results[0]
    if result.region is None or (instruction.writes is not None and result.owner.kind == "argument"):
        return False  # another argument may share its memory
    if function is np.concatenate:
        parts = args[0] if len(args) == 1 and isinstance(args[0], list | tuple) else ()
        flat = kwargs.get("axis", 0) is None or all(len(part.shape) == 1 for part in parts if type(part) is Variable)
        same = all(type(part) is Variable and part.dtype == result.dtype for part in parts)
        return bool(parts) and flat and same and kwargs.keys() <= {"axis"}
    if function is operator.setitem:
        return args[1] is Ellipsis and _readable(args[2]) and instruction.writes is args[0]
    if not all(map(_readable, args)) and not (function is np.ndarray.astype and _readable(args[0])):
        return False
    if function is np.matmul:
        two = all(type(a) is Variable and len(a.shape) == 2 and a.dtype == result.dtype for a in args)
        return two and not kwargs and code_of(result.dtype) in _FLOATS and gemm_address(result.dtype) is not None
    if function in (np.copy, np.ndarray.astype):
        return not kwargs
    if function is np.where:
        return len(args) == 3 and args[0].dtype == np.bool_ if type(args[0]) is Variable else False
    if isinstance(function, np.ufunc):
        return kwargs.keys() <= {"out"} and function in OPERATIONS and _loop(function, args) is not None
    owner = getattr(function, "__self__", None)
    if isinstance(owner, np.ufunc) and function.__name__ == "reduce" and owner in REDUCTIONS:
        plain = kwargs.keys() <= {"axis", "keepdims", "initial"} and type(kwargs.get("initial", 0.0)) in (int, float)
        return plain and len(args) == 1 and args[0].dtype == result.dtype and result.dtype.kind == "f"
    return False


def _loop(function: np.ufunc, args: tuple[Any, ...]) -> tuple[np.dtype[Any], ...] | None:
    """The dtypes that a ufunc computes with; None if there is no native operation for them."""
    dtypes = [a.dtype if isinstance(a, Variable | np.ndarray) else type(a) for a in args]
    try:
        loop = function.resolve_dtypes((*dtypes, *[None] * function.nout))
    except TypeError:
        return None
    kinds = {code_of(d) for d in loop[: len(args)]}
    if not kinds <= set(_KNOWN):
        return None
    if kinds <= set(_FLOATS):
        return loop
    logical = function in LOGICAL
    if kinds == {"b1"}:
        return loop if logical else None
    return loop if function in _WHOLE and "b1" not in kinds and not kinds & set(_FLOATS) else None


class Lowering:
    """Lowers the instructions of one segment.

    Args:
        segment: gets the nodes.
        place_of: the place of a variable that is in memory when the segment begins; None if it is not.
        number_of: the position of a number in the table.
        owned_place: a new place for a variable's memory, with its strides.
        views: the instruction of each view.
        joined: the instruction of each concatenation that is made where it is read.
    """

    def __init__(
        self,
        segment: Segment,
        place_of: Callable[[Variable], Place | None],
        number_of: Callable[[Variable], int],
        views: dict[Variable, Instruction],
        joined: dict[Variable, Instruction],
    ) -> None:
        self.segment = segment
        self._place_of = place_of
        self._number_of = number_of
        self._views = views
        self._joined = joined
        self.made: dict[Variable, Node] = {}  # owners that the segment makes
        self._viewed: dict[Variable, Node] = {}
        self._read: dict[Any, Node] = {}
        self._scratch: dict[Place, Node] = {}  # what was written to memory that need not be; the latest at the end
        self.checks: list[Node] = []

    def add(self, instruction: Instruction) -> None:
        """Lower an instruction. Raises Unfit."""
        function, args = instruction.function, instruction.args
        node = self.segment.node
        if finite_check(instruction):
            pieces = dict.fromkeys(piece for v in instruction.reads if v.region for piece in _pieces(self.read(v)))
            for piece in pieces:
                known = ("finite", piece)
                if piece.size and not any(("finite", each) in self._read for each in _within(piece)):
                    zero = node("constant", piece.dtype, (), (), 0.0)
                    product = node("apply", piece.dtype, piece.shape, (piece, zero), np.multiply)
                    axes = tuple(range(len(piece.shape)))
                    self._read[known] = node("reduce", piece.dtype, (), (product,), (np.add, axes, False, None))
                    self.checks.append(self._read[known])
            return
        if function is operator.setitem:
            self._write(args[0], self._broadcast(self._operand(args[2], args[0].dtype), args[0]))
            return
        target = instruction.writes or instruction.results[0]
        made = self._computed(instruction, target)
        if made.dtype != target.dtype:
            made = node("cast", target.dtype, made.shape, (made,))
        if instruction.writes is not None:
            self._write(target, self._broadcast(made, target))
        else:
            made.strides = target.strides
            self.made[target] = made

    def _computed(self, instruction: Instruction, target: Variable) -> Node:
        function, args, kwargs = instruction.function, instruction.args, instruction.kwargs
        node = self.segment.node
        if function is np.concatenate:
            pieces = tuple(self._flat(self.read(part)) for part in args[0])
            return node("concatenate", target.dtype, target.shape, pieces)
        if function is np.matmul:
            return node("product", target.dtype, target.shape, (self.read(args[0]), self.read(args[1])))
        if function in (np.copy, np.ndarray.astype):
            source = self._operand(args[0], target.dtype)
            return node("apply", target.dtype, target.shape, (source,), np.positive)
        if function is np.where:
            choices = (self._operand(a, target.dtype) for a in args[1:])
            return node("apply", target.dtype, target.shape, (self.read(args[0]), *choices), np.where)
        if isinstance(function, np.ufunc):
            loop = _loop(function, args)
            assert loop is not None
            inputs = tuple(self._operand(a, dtype) for a, dtype in zip(args, loop, strict=False))
            shape = np.broadcast_shapes(*(x.shape for x in inputs))
            return node("apply", loop[-1], shape, inputs, function)
        source = self.read(args[0])
        axis, rank = kwargs.get("axis", 0), len(source.shape)
        given = range(rank) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        axes = tuple(sorted(a % rank for a in given))
        owner: Any = getattr(function, "__self__", None)
        attribute = (owner, axes, bool(kwargs.get("keepdims")), kwargs.get("initial"))
        return node("reduce", target.dtype, target.shape, (source,), attribute)

    # --- operands ---------------------------------------------------------------------------------------

    def _operand(self, value: Any, dtype: np.dtype[Any]) -> Node:
        if isinstance(value, np.ndarray):
            value = value.item()
        if type(value) is not Variable:
            return self.segment.node("constant", dtype, (), (), value)
        if value.region is None:
            return self.segment.node("number", dtype, (), (), self._number_of(value))
        source = self.read(value)
        if source.dtype == dtype:
            return source
        return self.segment.node("cast", dtype, source.shape, (source,))

    def _broadcast(self, node: Node, like: Variable) -> Node:
        if node.shape == like.shape:
            return node
        return self.segment.node("broadcast", node.dtype, like.shape, (node,))

    def _flat(self, node: Node) -> Node:
        if len(node.shape) == 1:
            return node
        if node.place is not None and node.place.contiguous:
            place = node.place
            flat = Place(place.slot, place.offset, (node.size,), (place.itemsize,), place.itemsize)
            return self._memory(flat, node.dtype)
        return self.segment.node("reshape", node.dtype, (node.size,), (node,))

    def _memory(self, place: Place, dtype: np.dtype[Any]) -> Node:
        if place not in self._read:
            self._read[place] = self.segment.node("memory", dtype, place.shape, place=place)
        return self._read[place]

    def read(self, variable: Variable) -> Node:
        """The node of a variable's value now. Raises Unfit."""
        owner = variable.owner
        if owner in self._joined and owner not in self.made:
            self.made[owner] = self._computed(self._joined[owner], owner)
        if owner in self.made:
            if variable is owner:
                return self.made[owner]
            if variable not in self._viewed:
                self._viewed[variable] = self._view(self._views[variable], variable)
            return self._viewed[variable]
        place = self._place_of(variable)
        if place is None:
            raise Unfit("a value is not in memory")
        for written, node in (*reversed(self._scratch.items()), *self.segment.stores.items()):
            if written == place:
                return node
            if crosses(written, place):
                return self._part(written, node, place)
        return self._memory(place, variable.dtype)

    def _part(self, written: Place, node: Node, place: Place) -> Node:
        """A contiguous part of what was written to contiguous memory."""
        start, rest = divmod(place.offset - written.offset, place.itemsize)
        (low, high), (first, last) = written.span, place.span
        whole = written.contiguous and place.contiguous and not rest and low <= first and last <= high
        if not whole or node.dtype.itemsize != place.itemsize:
            raise Unfit("it reads some of what was written before")
        flat = self._flat(node)
        size = (last - first) // place.itemsize
        part = self.segment.node("slice", node.dtype, (size,), (flat,), ((start, 1),))
        return part if place.shape == (size,) else self.segment.node("reshape", node.dtype, place.shape, (part,))

    def _view(self, instruction: Instruction, result: Variable) -> Node:
        function, args = instruction.function, instruction.args
        root = result.root
        assert root is not None
        source = self.read(root)
        node = self.segment.node
        if function is np.reshape or (
            source.shape == result.shape and function in (np.ravel, np.squeeze, np.expand_dims)
        ):
            return node("reshape", source.dtype, result.shape, (source,))
        if function in (np.ravel, np.squeeze, np.expand_dims):
            return node("reshape", source.dtype, result.shape, (source,))
        if function is np.broadcast_to:
            return node("broadcast", source.dtype, result.shape, (source,))
        if function is np.transpose:
            given = args[1] if len(args) > 1 else instruction.kwargs.get("axes")
            rank = len(source.shape)
            order = range(rank)[::-1] if given is None else [a % rank for a in given]
            return node("transpose", source.dtype, result.shape, (source,), tuple(order))
        if function is operator.getitem:
            steps = _steps(args[1], source.shape)
            if steps is not None:
                kept = tuple(
                    n for n, (_, step) in zip(_lengths(args[1], source.shape), steps, strict=True) if step is not None
                )
                sliced = node("slice", source.dtype, kept, (source,), steps)
                if kept == result.shape:
                    return sliced
                return node("reshape", source.dtype, result.shape, (sliced,))
        raise Unfit("an unknown view")

    def _write(self, target: Variable, made: Node) -> None:
        """Let a variable's memory have a new value."""
        owner = target.owner
        if owner in self.made:
            if target is not owner:
                raise Unfit("it writes to a part of what it has made")
            made = self.segment.node("apply", made.dtype, made.shape, (made,), np.positive)
            made.strides = target.strides
            self.made[owner] = made
            self._viewed = {v: node for v, node in self._viewed.items() if v.owner is not owner}
            return
        place = self._place_of(target)
        if place is None:
            raise Unfit("what it writes to is not in memory")
        if place.slot in self.segment.scratch:
            self._scratch.pop(place, None)
            self._scratch[place] = made
            return
        for written in self.segment.stores:
            if written != place and crosses(written, place):
                raise Unfit("two writes overlap")
        self.segment.stores.pop(place, None)
        self.segment.stores[place] = made


def _pieces(node: Node) -> list[Node]:
    """What has to be finite for a node to be: pieces of concatenations, without what only moves elements."""
    if node.place is None and node.op == "concatenate":
        return [piece for source in node.inputs for piece in _pieces(source)]
    if node.place is None and node.op in ("reshape", "transpose"):
        return _pieces(node.inputs[0])
    return [node]


def _within(node: Node) -> Iterator[Node]:
    """A node, and what it is a part of."""
    while True:
        yield node
        if node.op not in ("slice", "reshape", "transpose"):
            return
        (node,) = node.inputs


def _steps(index: Any, shape: tuple[int, ...]) -> tuple[tuple[int, int | None], ...] | None:
    """The start on each axis, and the step or None if the axis goes; None if it is not a basic index."""
    parts = _full(index, shape)
    if parts is None:
        return None
    steps: list[tuple[int, int | None]] = []
    for part, length in zip(parts, shape, strict=True):
        if isinstance(part, slice):
            start, _, step = part.indices(length)
            steps.append((start, step))
        else:
            steps.append((part % length, None))
    return tuple(steps)


def _lengths(index: Any, shape: tuple[int, ...]) -> list[int]:
    parts = _full(index, shape)
    assert parts is not None
    return [
        len(range(*part.indices(n))) if isinstance(part, slice) else 1 for part, n in zip(parts, shape, strict=True)
    ]


def _full(index: Any, shape: tuple[int, ...]) -> list[Any] | None:
    """A part for each axis, new axes left out."""
    parts = [part for part in (index if isinstance(index, tuple) else (index,)) if part is not None]
    if not all(part is Ellipsis or type(part) in (int, slice) for part in parts):
        return None
    if any(
        type(x) is Variable for part in parts if isinstance(part, slice) for x in (part.start, part.stop, part.step)
    ):
        return None
    if Ellipsis in parts:
        k = parts.index(Ellipsis)
        parts[k : k + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    return parts + [slice(None)] * (len(shape) - len(parts))
