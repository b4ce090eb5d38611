"""One call of a function with fresh arguments, and the gradients of what it returned."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import update_wrapper
from typing import Any

import numpy as np

from .. import ops, walk
from ..errors import DTypeError
from ..graph import Leaf, Node
from ..mode import current, enable_grad
from ..readings import ARRAYS, TENSORS
from ..record import handle
from ..tensor import Tensor, separated
from .nests import floating, mapped

__all__ = ["Argnums", "Call", "depends_on_others", "fresh_tensor", "name_of", "named", "pulled_back"]

Argnums = int | tuple[int, ...]


class Call:
    """One call of ``f`` with fresh arguments, and the gradients of what it returned."""

    def __init__(self, f: Callable[..., Any], argnums: Argnums, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.f = f
        self.single = isinstance(argnums, int)
        self.positions = _positions(argnums, len(args))
        self.nodes: set[Node] = set()
        self.upstream = False  # did an argument come with history?
        recording = current().grad

        def fresh(path: str, leaf: Any) -> Tensor:
            x = fresh_tensor(floating(path, leaf), recording)
            assert x.node is not None
            self.upstream = self.upstream or not isinstance(x.node, Leaf)
            self.nodes.add(x.node)
            return x

        with enable_grad():
            self.trees = {i: mapped(fresh, args[i], f"argument {i}") for i in self.positions}
            self.returned = f(*(self.trees.get(i, arg) for i, arg in enumerate(args)), **kwargs)
        self.recorded = recording and (self.upstream or self._others())

    def _others(self) -> bool:
        """Does what ``f`` returned depend on a leaf that is not one of the fresh arguments?"""
        roots: list[Node | None] = []
        mapped(lambda _, out: roots.append(out.node) if isinstance(out, Tensor) else None, self.returned, "")
        return depends_on_others(roots, self.nodes)

    def result(self, by: str, returned: Any) -> Tensor:
        """What ``f`` returned, if it can be differentiated."""
        if not isinstance(returned, Tensor):
            raise TypeError(
                f"{by} needs a function that returns a Tensor, and {name_of(self.f)} returned "
                f"{type(returned).__name__}; compute the result with tensorgrad's operations"
            )
        if returned.dtype.kind != "f":
            raise DTypeError(
                f"{by} needs a result of floating point, and {name_of(self.f)} returned dtype {returned.dtype}"
            )
        return returned

    def pull(self, out: Tensor, seed: Any) -> dict[Node, Tensor]:
        """The gradients of ``out`` for the fresh arguments that it depends on, given its own."""
        return pulled_back(out, handle(seed, None), self.nodes, self.recorded)

    def rebuilt(self, function: Callable[[str, Tensor], Any]) -> Any:
        """``function(path, fresh)`` for all fresh arguments, nested as the arguments are."""
        results = tuple(mapped(function, self.trees[i], f"argument {i}") for i in self.positions)
        return results[0] if self.single else results


def fresh_tensor(x: Tensor, recording: bool) -> Tensor:
    """A Tensor equal to ``x`` with a node of its own: a leaf, or a recorded copy where ``x`` has history."""
    if recording and x.requires_grad:
        return ops.positive(x)
    result = x.detach()
    result.node = Leaf(result)
    return result


def pulled_back(out: Tensor, seed: Tensor, nodes: Iterable[Node], recorded: bool) -> dict[Node, Tensor]:
    """The gradients of ``out`` for those of ``nodes`` that it depends on, given its own, ``seed``."""
    nodes = frozenset(nodes)
    if out.node is None or not out.node.requires_grad:
        return {}
    if not recorded:
        arrays = walk.backward(out.node, seed.data, ARRAYS, targets=nodes)
        return {
            node: handle(np.asarray(g) if isinstance(g, np.generic) else g, None)
            for node, g in arrays.items()
            if node in nodes
        }
    with enable_grad():
        tensors = walk.backward(out.node, seed, TENSORS, targets=nodes)
        return separated({node: g for node, g in tensors.items() if node in nodes})


def depends_on_others(roots: Iterable[Node | None], nodes: set[Node]) -> bool:
    """Does any of the roots depend on a leaf that is not one of ``nodes``?"""
    oldest = min((node.birth for node in nodes), default=0)
    stack = [node for node in roots if node is not None and node.requires_grad]
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node in nodes:
            continue
        if isinstance(node, Leaf) or node.birth < oldest:
            return True
        for parent in node.inputs:
            if isinstance(parent, Node) and parent.requires_grad and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return False


def _positions(argnums: Argnums, given: int) -> tuple[int, ...]:
    """The positions to differentiate by, counted from the front."""
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    if not numbers or not all(isinstance(i, int) and not isinstance(i, bool) for i in numbers):
        raise TypeError(f"argnums is an integer or a tuple of integers, got {argnums!r}")
    for i in numbers:
        if not -given <= i < given:
            raise ValueError(
                f"argnums has position {i}, and the function was called with {given} positional arguments; "
                f"keyword arguments are not differentiated"
            )
    positions = tuple(i % given for i in numbers)
    if len(set(positions)) != len(positions):
        raise ValueError(f"argnums names a position twice: {argnums!r}")
    return positions


def name_of(f: Callable[..., Any]) -> str:
    """The name of a function, for messages."""
    return getattr(f, "__name__", None) or type(f).__name__


def named(result: Callable[..., Any], f: Callable[..., Any], prefix: str) -> Callable[..., Any]:
    """``result`` with the docstring of ``f``, and a name that says what was made of it."""
    update_wrapper(result, f, updated=())
    result.__name__ = result.__qualname__ = f"{prefix}({name_of(f)})"
    return result
