"""A compiled function as one operation: called with Tensors that require a gradient, it records a single node.

The forward pass is a compiled program, and so is the backward pass, which is derived from the rules of the operations
that the function is composed of. Higher derivatives are recorded from those operations themselves.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from ..engine.graph import Node, ancestors
from ..engine.mode import current, enable_grad, repeating
from ..engine.record import Handle, record, tensor_of
from ..engine.trees import leaves, mapped
from ..errors import GraphError
from ..functional.call import fresh_tensor, name_of, pulled_back
from ..functional.joint import Joint
from ..ops import joining, shaping
from ..tensor import Tensor
from .guards import key_of
from .trace import Trace

__all__ = ["Composed", "Part", "wants_gradient"]

MANY_KINDS = 32  # of calls, whose facts are kept


class Composed(Exception):
    """A compiled piece cannot run: the operations of the function have to be recorded one by one.

    Attributes:
        reason: why, for a warning; "" to say nothing.
        hosted: what host functions had returned.
        always: whether this is so for every call of this kind.
    """

    def __init__(self, reason: str, hosted: Iterable[Any], always: bool) -> None:
        super().__init__(reason)
        self.reason, self.hosted, self.always = reason, list(hosted), always


class _Facts(NamedTuple):
    """What the first call of a kind, which is recorded operation by operation, shows."""

    needed: tuple[bool, ...]  # for each array among the arguments: does a result's gradient reach it?
    results: tuple[int, ...]  # the positions of the results that have a gradient


class _Place(NamedTuple):
    """Stands for an array in the arguments."""

    number: int


def wants_gradient(leaf: Any) -> bool:
    """Whether a leaf of the arguments is a Tensor that requires a gradient."""
    return isinstance(leaf, Handle) and leaf.node is not None and leaf.node.requires_grad


class Part:
    """What a compiled function does with arguments that require a gradient.

    Args:
        function: the function, of which a call without effects is one operation.
        piece: makes a compiled step that raises Composed where it cannot run.
    """

    def __init__(self, function: Callable[..., Any], piece: Callable[[Callable[..., Any]], Any]) -> None:
        self._function = function
        self._values = piece(self._compute)
        self._gradients = piece(self._derive)
        self._facts: OrderedDict[Any, _Facts | None] = OrderedDict()  # None: calls of this kind are not one operation

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function, and record the call. Raises Composed if its operations have to be recorded instead.

        Raises Unbatchable for a batch of arrays.
        """
        tree = (args, kwargs)
        recording = current().grad
        key = (recording, self._code(), key_of(tree, []))
        if not recording:
            return self._value(key, tree)
        facts = self._facts.get(key, ...)
        if facts is None:
            raise Composed("", (), True)
        if facts is ...:
            return self._first(key, tree)
        self._facts.move_to_end(key)
        arrays = [leaf for leaf in leaves(tree) if isinstance(leaf, Handle | np.ndarray)]
        returned = self._value(key, tree)
        if not facts.results:
            return returned
        parts = _parts(returned, facts.results)
        call = _Call(self, tree, facts)
        inputs = [
            x if need or not isinstance(x, Handle) else tensor_of(x._data, None)
            for x, need in zip(arrays, facts.needed, strict=True)
        ]
        whole = _joined(parts)
        result = record(name_of(self._function), lambda *_: whole.data, inputs, call.rules(len(inputs)))
        return _with_parts(returned, facts.results, _split(result, parts))

    # --- the two programs -------------------------------------------------------------------------------

    def _compute(self, code: Any, tree: Any) -> Any:
        args, kwargs = tree
        returned = self._function(*args, **kwargs)
        trace = current().tracer
        if isinstance(trace, Trace):
            _require_no_effects(trace, name_of(self._function))
        return returned

    def _derive(self, code: Any, facts: _Facts, tree: Any, g: Any) -> list[Any]:
        """The gradients with respect to the arrays that need one."""
        fresh: list[Any] = []
        needed = iter(facts.needed)

        def enter(leaf: Any) -> Any:
            if not (isinstance(leaf, Handle) or hasattr(leaf, "__array_function__")) or not next(needed):
                return leaf
            fresh.append(fresh_tensor(leaf, recording=False))
            return fresh[-1]

        return self.pulled(facts, mapped(enter, tree), fresh, tensor_of(g, None), recorded=False)

    # --- running ----------------------------------------------------------------------------------------

    def _code(self) -> Any:
        return getattr(self._function, "__code__", None)

    def _value(self, key: Any, tree: Any) -> Any:
        """What the function returns, without a history."""
        try:
            return self._values(self._code(), _without_history(tree))
        except Composed as composed:
            if composed.always:
                self._keep(key, None)
            raise

    def _first(self, key: Any, tree: Any) -> Any:
        """Record the operations of the function, and note what depends on what."""
        args, kwargs = tree
        with enable_grad():
            returned = self._function(*args, **kwargs)
        found = list(leaves(returned))
        results = tuple(i for i, leaf in enumerate(found) if wants_gradient(leaf))
        reached = set(ancestors([found[i].node for i in results]))
        arrays: list[Any] = [leaf for leaf in leaves(tree) if isinstance(leaf, Handle | np.ndarray)]
        self._keep(key, _Facts(tuple(wants_gradient(x) and x.node in reached for x in arrays), results))
        return returned

    def _keep(self, key: Any, facts: _Facts | None) -> None:
        self._facts[key] = facts
        if len(self._facts) > MANY_KINDS:
            self._facts.popitem(last=False)

    def gradients_of(self, facts: _Facts, tree: Any, g: Any) -> list[Any]:
        """The gradients as arrays, from the compiled program or, where they have to be repaired, from the rules."""
        code, plain = self._code(), _without_history(tree)
        try:
            return list(self._gradients(code, facts, plain, g))
        except Composed as composed:
            with repeating(composed.hosted):
                return self._derive(code, facts, plain, g)

    def pulled(self, facts: _Facts, tree: Any, fresh: list[Any], g: Any, recorded: bool) -> list[Any]:
        """Call the function on fresh Tensors, and go back through that call."""
        args, kwargs = tree
        with enable_grad():
            whole = _joined(_parts(self._function(*args, **kwargs), facts.results))
            nodes: list[Node] = [x.node for x in fresh]
            found = pulled_back(whole, g, nodes, recorded, through=False)
        zeros = (tensor_of(np.zeros(x.shape, x.dtype), None) for x in fresh)
        gradients = [found.get(node, zero) for node, zero in zip(nodes, zeros)]
        return gradients if recorded else [x._data for x in gradients]


class _Call:
    """The rules of one call: they keep its arguments, with the arrays left out, which the node has."""

    def __init__(self, part: Part, tree: Any, facts: _Facts) -> None:
        numbers = iter(range(len(facts.needed)))
        self._kinds: list[bool] = []  # is the array a Tensor?

        def place(leaf: Any) -> Any:
            if not isinstance(leaf, Handle | np.ndarray):
                return leaf
            self._kinds.append(isinstance(leaf, Handle))
            return _Place(next(numbers))

        self._part, self._facts = part, facts
        self._plan = mapped(place, tree)

    def rules(self, count: int) -> list[Any]:
        """A rule for each array."""
        return Joint(self._gradients, result=False).rules(count)

    def _gradients(self, g: Any, saved: tuple[Any, ...]) -> list[Any]:
        needed = self._facts.needed
        recorded = isinstance(g, Handle)
        given: list[Any] = []
        fresh: list[Any] = []
        for value, tensor, need in zip(saved, self._kinds, needed, strict=True):
            x: Any = value if isinstance(value, Handle) else tensor_of(value, None)
            if recorded and need:
                x = fresh_tensor(x, recording=True)
                fresh.append(x)
            given.append(x if tensor else x._data)
        tree = _filled(self._plan, given)
        if recorded:
            found = iter(self._part.pulled(self._facts, tree, fresh, g, recorded=True))
        else:
            found = iter(self._part.gradients_of(self._facts, tree, g))
        return [next(found) if need else None for need in needed]


def _filled(plan: Any, given: list[Any]) -> Any:
    """The arguments, with these arrays in their places."""
    if isinstance(plan, _Place):
        return given[plan.number]
    if isinstance(plan, tuple | list):
        parts = [_filled(part, given) for part in plan]
        return type(plan)(*parts) if hasattr(plan, "_fields") else type(plan)(parts)
    return {k: _filled(part, given) for k, part in plan.items()} if isinstance(plan, dict) else plan


def _without_history(tree: Any) -> Any:
    return mapped(lambda leaf: tensor_of(leaf._data, None) if isinstance(leaf, Handle) else leaf, tree)


def _parts(returned: Any, positions: tuple[int, ...]) -> list[Tensor]:
    found = list(leaves(returned))
    return [found[i] for i in positions]


def _joined(parts: list[Tensor]) -> Tensor:
    """Several results as one vector, since a node has one result; a single one as it is."""
    if len(parts) == 1:
        return parts[0]
    return joining.concatenate([shaping.reshape(part, (-1,)) for part in parts])


def _split(whole: Tensor, parts: list[Tensor]) -> list[Tensor]:
    if len(parts) == 1:
        return [whole]
    pieces, end = [], 0
    for part in parts:
        start, end = end, end + part.size
        pieces.append(shaping.astype(shaping.reshape(whole[start:end], part.shape), part.dtype))
    return pieces


def _with_parts(returned: Any, positions: tuple[int, ...], parts: list[Tensor]) -> Any:
    by_position = dict(zip(positions, parts, strict=True))
    counter = iter(range(len(list(leaves(returned)))))
    return mapped(lambda leaf: by_position.get(next(counter), leaf), returned)


def _require_no_effects(trace: Trace, name: str) -> None:
    """Raise GraphError if a call does anything but compute its results from its arguments."""
    outside = [variable.source for variable in trace.captured.values() if wants_gradient(variable.source)]
    why = None
    if outside:
        label = outside[0].node.label
        which = f"{label!r}" if label else "a Tensor"
        why = f"uses {which} from outside, which requires a gradient: pass it as an argument"
    elif trace.gradients:
        why = "reads or changes a gradient"
    elif trace.before:
        why = "writes to an array"
    elif any(instruction.comes_from_outside for instruction in trace.instructions):
        why = "draws random numbers or calls tg.host"
    if why is not None:
        raise GraphError(
            f"with an argument that requires a gradient, {name} is recorded operation by operation, because it {why}"
        )
