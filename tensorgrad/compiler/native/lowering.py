"""From instructions to the nodes of a segment."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..passes import finite_check
from ..variables import Instruction, Variable
from .functions import function_of
from .indices import full_index, kept_by, steps_of
from .machine import gemm_address
from .nodes import Node, Place
from .operations import COMPARISONS, LOGICAL, OPERATIONS, REDUCTIONS, code_of
from .order import crosses
from .segments import Segment, Unfit

__all__ = ["Lowering", "is_native"]

_FLOATS = ("f4", "f8")
_KNOWN = (*_FLOATS, "b1", "i4", "i8")
FILLED: dict[Any, float | None] = {np.ones_like: 1.0, np.zeros_like: 0.0, np.full_like: None}
POWERS: dict[float, list[np.ufunc]] = {
    0: [],
    -1: [np.reciprocal],
    1: [np.positive],
    2: [np.square],
    3: [np.square, np.multiply],
    4: [np.square, np.square],
}
_WHOLE = {np.add, np.subtract, np.multiply, np.positive, *COMPARISONS}  # for integers


def _readable(leaf: Any) -> bool:
    if isinstance(leaf, np.ndarray | np.generic):
        return leaf.shape == () and code_of(leaf.dtype) in _KNOWN
    if type(leaf) is not Variable:
        return type(leaf) in (bool, int, float)
    if leaf.region is None:
        return leaf.dtype in (int, float)
    known = code_of(leaf.dtype) in _KNOWN and len(leaf.shape) <= 4 and 0 not in leaf.shape
    return known and leaf.owner.compact and not leaf.moves


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
    if function in (np.concatenate, np.stack):
        parts = args[0] if len(args) == 1 and isinstance(args[0], list | tuple) else ()
        same = all(type(part) is Variable and part.dtype == result.dtype for part in parts)
        # Along the first axis, elements stay in C order.
        return bool(parts) and same and kwargs.keys() <= {"axis"} and kwargs.get("axis", 0) in (0, None)
    if function is operator.setitem:
        return full_index(args[1], args[0].shape) is not None and _readable(args[2]) and instruction.writes is args[0]
    if function is operator.getitem:
        return type(args[0]) is Variable and full_index(args[1], args[0].shape) is not None
    if function in FILLED:
        whole = result.dtype.kind != "f" and any(type(value) is float for value in args[1:])
        return kwargs.keys() <= {"shape"} and all(map(_readable, args[1:])) and not whole
    if function is np.clip:
        return (
            len(args) == 3 and not kwargs and all(type(a) in (int, float) for a in args[1:]) and _same(args[0], result)
        )
    if _power_of(instruction) is not None:
        return _same(args[0], result)
    if not all(map(_readable, args)) and not (function is np.ndarray.astype and _readable(args[0])):
        return False
    if function is np.matmul:
        two = all(type(a) is Variable and len(a.shape) == 2 and a.dtype == result.dtype for a in args)
        return two and not kwargs and code_of(result.dtype) in _FLOATS and gemm_address(result.dtype) is not None
    if function in (np.copy, np.asarray, np.ndarray.astype):
        return not kwargs
    if function is np.where:
        return len(args) == 3 and args[0].dtype == np.bool_ if type(args[0]) is Variable else False
    if isinstance(function, np.ufunc):
        return kwargs.keys() <= {"out"} and _is_operation(function) and _loop(function, args) is not None
    owner = getattr(function, "__self__", None)
    if isinstance(owner, np.ufunc) and function.__name__ == "reduce" and owner in REDUCTIONS:
        plain = kwargs.keys() <= {"axis", "keepdims", "initial"} and type(kwargs.get("initial", 0.0)) in (int, float)
        return plain and len(args) == 1 and args[0].dtype == result.dtype and result.dtype.kind == "f"
    return False


def _is_operation(function: np.ufunc) -> bool:
    return function in OPERATIONS or function_of(function) is not None


def _same(operand: Any, result: Variable) -> bool:
    """Whether an operand has the dtype of the result, and it is one for numbers."""
    return type(operand) is Variable and operand.dtype == result.dtype and code_of(result.dtype) in _FLOATS


def _power_of(instruction: Instruction) -> list[np.ufunc] | None:
    """What to do with a number, and with each result, to raise it to a small constant power; None if it is not one.

    ``np.multiply`` stands for a product with the number itself.
    """
    function, args = instruction.function, instruction.args
    if function not in (np.power, operator.pow) or instruction.kwargs or type(args[1]) not in (int, float):
        return None
    if function is operator.pow and args[1] == 0.5:  # of infinity and zero below zero, np.power has others
        return [np.sqrt]
    return POWERS.get(args[1])


def _loop(function: np.ufunc, args: tuple[Any, ...]) -> tuple[np.dtype[Any], ...] | None:
    """The dtypes that a ufunc computes with; None if there is no native operation for them."""
    dtypes = [a.dtype if isinstance(a, Variable | np.ndarray | np.generic) else type(a) for a in args]
    try:
        loop = function.resolve_dtypes((*dtypes, *[None] * function.nout))
    except TypeError:
        return None
    kinds = {code_of(d) for d in loop[: len(args)]}
    if not kinds <= set(_KNOWN):
        return None
    if function in LOGICAL or kinds == {"b1"}:
        return loop if function in LOGICAL and kinds == {"b1"} else None
    if kinds <= set(_FLOATS):
        return loop
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
                    zero = Node("constant", piece.dtype, (), (), 0.0)
                    product = Node("apply", piece.dtype, piece.shape, (piece, zero), np.multiply)
                    axes = tuple(range(len(piece.shape)))
                    check = Node("reduce", piece.dtype, (), (product,), (np.add, axes, False, None))
                    self.segment.put_after(piece, [zero, product, check])  # while it is in the cache
                    self._read[known] = check
                    self.checks.append(check)
            return
        if function is operator.setitem:
            self._assign(args[0], args[1], self._operand(args[2], args[0].dtype))
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
        if function in (np.concatenate, np.stack):
            pieces = tuple(self._flat(self.read(part)) for part in args[0])
            joined = node("concatenate", target.dtype, (sum(piece.size for piece in pieces),), pieces)
            return joined if len(target.shape) == 1 else node("reshape", target.dtype, target.shape, (joined,))
        if function is operator.getitem:
            made = self._part_of(self.read(args[0]), args[1], target.shape)
            return node("apply", target.dtype, target.shape, (made,), np.positive)
        if function in FILLED:
            value = args[1] if FILLED[function] is None else FILLED[function]
            return self._filled(value, target)
        if function is np.clip:
            low, high = (self._operand(bound, target.dtype) for bound in args[1:])
            made = node("apply", target.dtype, target.shape, (self.read(args[0]), low), np.maximum)
            return node("apply", target.dtype, target.shape, (made, high), np.minimum)
        powers = _power_of(instruction)
        if powers is not None:
            source = made = self.read(args[0])
            if not powers:
                made = self._filled(1.0, target)
            for ufunc in powers:
                both: tuple[Node, ...] = (made, source) if ufunc is np.multiply else (made,)
                made = node("apply", target.dtype, target.shape, both, ufunc)
            return made
        if function is np.matmul:
            return node("product", target.dtype, target.shape, (self.read(args[0]), self.read(args[1])))
        if function in (np.copy, np.asarray, np.ndarray.astype):
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
        if isinstance(value, np.ndarray | np.generic):
            value = value.item()
        if type(value) is not Variable:
            return self.segment.node("constant", dtype, (), (), value)
        if value.region is None:
            return self.segment.node("number", dtype, (), (), self._number_of(value))
        source = self.read(value)
        if source.dtype == dtype:
            return source
        return self.segment.node("cast", dtype, source.shape, (source,))

    def _filled(self, value: Any, like: Variable) -> Node:
        """An array of one value."""
        made = self._broadcast(self._operand(value, like.dtype), like)
        return self.segment.node("apply", like.dtype, like.shape, (made,), np.positive)

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
            return self._part_of(source, args[1], result.shape)
        raise Unfit("an unknown view")

    def _part_of(self, source: Node, index: Any, shape: tuple[int, ...]) -> Node:
        """The part that a basic index selects."""
        steps = steps_of(index, source.shape)
        if steps is None:
            raise Unfit("an index that is not basic")
        kept = kept_by(index, source.shape)
        sliced = self.segment.node("slice", source.dtype, kept, (source,), steps)
        return sliced if kept == shape else self.segment.node("reshape", source.dtype, shape, (sliced,))

    def _assign(self, target: Variable, index: Any, value: Node) -> None:
        """Let a part of a variable's memory have a new value."""
        if index is Ellipsis:
            self._write(target, self._broadcast(value, target))
            return
        steps, kept = steps_of(index, target.shape), kept_by(index, target.shape)
        assert steps is not None
        shape = value.shape
        while len(shape) > len(kept) and shape[0] == 1:
            shape = shape[1:]
        if None in (index if isinstance(index, tuple) else ()) or 0 in kept:
            raise Unfit("a part with new axes, or without elements")
        if shape != value.shape:
            value = self.segment.node("reshape", value.dtype, shape, (value,))
        if shape != kept:
            value = self.segment.node("broadcast", value.dtype, kept, (value,))
        owner = target.owner
        if owner not in self.made:
            place = self._place_of(target)
            if place is None:
                raise Unfit("what it writes to is not in memory")
            self._store(place.part(steps, kept), value)
            return
        if target is not owner:
            raise Unfit("it writes to a part of a view")
        made = self.segment.node("write", target.dtype, target.shape, (self.made[owner], value), (steps, kept))
        made.strides = target.strides
        self._replace(owner, made)

    def _write(self, target: Variable, made: Node) -> None:
        """Let a variable's memory have a new value."""
        owner = target.owner
        if owner in self.made:
            if target is not owner:
                raise Unfit("it writes to a part of what it has made")
            made = self.segment.node("apply", made.dtype, made.shape, (made,), np.positive)
            made.strides = target.strides
            self._replace(owner, made)
            return
        place = self._place_of(target)
        if place is None:
            raise Unfit("what it writes to is not in memory")
        self._store(place, made)

    def _replace(self, owner: Variable, made: Node) -> None:
        """Let memory that the segment makes have another value from here on."""
        self.made[owner] = made
        self._viewed = {v: node for v, node in self._viewed.items() if v.owner is not owner}

    def _store(self, place: Place, made: Node) -> None:
        """Write to memory that exists before."""
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
