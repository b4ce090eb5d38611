"""Between arrays with a hidden axis and arrays without: four operations, each the rule of another.

Into a batch and out of it go :func:`entered` and :func:`left`. What is the same for all elements of a batch needs no
operation to be used there; its gradient does: a :class:`Shared` node adds up what arrives from the elements.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from ..batching import Batched
from ..engine.graph import Node
from ..engine.record import Handle, record

__all__ = ["Shared", "entered", "left", "share"]


def _level(array: Any) -> int:
    return getattr(array, "level", 0)


# Of a batch in a batch the inner one has the higher level, and comes first.


def entered(x: Any, axis: int, level: int) -> Any:
    """What lies along an axis, one array for each element of a batch."""
    if isinstance(x, Handle):
        size = x.data.shape[axis]
        return record("vmap", lambda a: entered(a, axis, level), (x,), (lambda xp, g: left(g, axis, level, size),))
    if _level(x) > level:
        return Batched(entered(x.hidden, axis + 1, level), x.level)
    return Batched(np.moveaxis(x, axis, 0), level)


def left(x: Any, axis: int, level: int, size: int) -> Any:
    """The arrays of all elements of a batch, along an axis; what is the same for all is repeated."""
    if isinstance(x, Handle):
        return record("vmap", lambda a: left(a, axis, level, size), (x,), (lambda xp, g: entered(g, axis, level),))
    if _level(x) > level:
        return Batched(left(x.hidden, axis + 1, level, size), x.level)
    if _level(x) == level:
        return np.moveaxis(x.hidden, 0, axis)
    return np.moveaxis(np.copy(np.broadcast_to(x, (size, *np.shape(x)))), 0, axis)


def _total(g: Any, level: int, size: int) -> Any:
    """The sum over the elements of a batch."""
    if isinstance(g, Handle):
        return record("vmap", lambda a: _total(a, level, size), (g,), (lambda xp, g: _shared(g, level, size),))
    if _level(g) > level:
        return Batched(_total(g.hidden, level, size), g.level)
    return np.add.reduce(g.hidden, axis=0) if _level(g) == level else g * size


def _shared(x: Any, level: int, size: int) -> Any:
    """The same for all elements of a batch."""
    if isinstance(x, Handle):
        return record("vmap", lambda a: a, (x,), (lambda xp, g: _total(g, level, size),))
    return x


class Shared(Node):
    """Stands in a graph for a node that is the same for all elements of a batch.

    It is put in when the batch is done, and has to be visited before its source and after all else: hence ``birth``
    is just behind that of the source.
    """

    __slots__ = ("made",)

    def __init__(self, source: Node, level: int, size: int) -> None:
        rules = (lambda xp, g: _total(g, level, size),)
        super().__init__("vmap", (source,), rules, ((),), source, source.shape, source.code, source.lasti, source.scope)
        self.value = source.value
        self.made = self.birth
        self.birth = int(source.birth) + Fraction(self.made, 2**62)  # type: ignore[assignment]


def share(leaving: Iterable[Node], doors: Collection[Node], start: int, level: int, size: int) -> None:
    """In a graph that was recorded for a batch, let what comes from outside be the same for all its elements.

    ``leaving`` is where the graph left the batch, ``doors`` where it entered, and ``start`` when that began: what is
    older comes from outside.
    """
    known: dict[Node, Shared] = {}
    stack = list(leaving)
    seen = {*stack, *doors}
    while stack:
        node = stack.pop()
        inputs = list(node.inputs)
        for i, parent in enumerate(inputs):
            if not isinstance(parent, Node) or not parent.requires_grad:
                continue
            if (parent.made if isinstance(parent, Shared) else parent.birth) < start:
                if parent not in known:
                    known[parent] = Shared(parent, level, size)
                inputs[i] = known[parent]
            elif parent not in seen:
                seen.add(parent)
                stack.append(parent)
        node.inputs = tuple(inputs)
