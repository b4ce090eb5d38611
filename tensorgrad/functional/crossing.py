"""Going between arrays with a hidden axis and arrays without: four operations, each the rule of another.

:func:`enter_batch` and :func:`leave_batch` go into a batch and out of it. A value that is the same for all elements
can be used in a batch without an operation, but its gradient needs one: a :class:`Shared` node sums the gradients that
arrive from the elements.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from ..batching import Batched
from ..engine.graph import Node
from ..engine.record import Handle, record

__all__ = ["Shared", "enter_batch", "leave_batch", "share"]


def _level(array: Any) -> int:
    return getattr(array, "level", 0)


# In a batch of batches, the outermost one has the highest level: it was entered last.


def enter_batch(x: Any, axis: int, level: int) -> Any:
    """A batch of the arrays that lie along an axis."""
    if isinstance(x, Handle):
        size = x.data.shape[axis]
        return record(
            "vmap",
            lambda a: enter_batch(a, axis, level),
            (x,),
            (lambda xp, g: leave_batch(g, axis, level, size),),
        )
    if _level(x) > level:
        return Batched(enter_batch(x.hidden, axis + 1, level), x.level)
    return Batched(np.moveaxis(x, axis, 0), level)


def leave_batch(x: Any, axis: int, level: int, size: int) -> Any:
    """The arrays of a batch, along an axis; a value that is the same for all elements is repeated."""
    if isinstance(x, Handle):
        return record(
            "vmap",
            lambda a: leave_batch(a, axis, level, size),
            (x,),
            (lambda xp, g: enter_batch(g, axis, level),),
        )
    if _level(x) > level:
        return Batched(leave_batch(x.hidden, axis + 1, level, size), x.level)
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
    """Use one value for all elements of a batch."""
    if isinstance(x, Handle):
        return record("vmap", lambda a: a, (x,), (lambda xp, g: _total(g, level, size),))
    return x


class Shared(Node):
    """A node that stands for another one, its source, which is the same for all elements of a batch.

    It is inserted when the batch is finished, and must be visited just before its source, after everything else: so
    its ``birth`` is just after that of the source.
    """

    __slots__ = ("made",)

    def __init__(self, source: Node, level: int, size: int) -> None:
        rules = (lambda xp, g: _total(g, level, size),)
        super().__init__("vmap", (source,), rules, ((),), source, source.shape, source.code, source.lasti, source.scope)
        self.value = source.value
        self.made = self.birth
        self.birth = int(source.birth) + Fraction(self.made, 2**62)  # type: ignore[assignment]


def share(exits: Iterable[Node], entries: Collection[Node], start: int, level: int, size: int) -> None:
    """Insert a :class:`Shared` node for every outside node in a graph that was recorded for a batch.

    ``exits`` are the nodes where the graph left the batch, ``entries`` those where it entered, and ``start`` is when
    that began: older nodes come from outside.
    """
    known: dict[Node, Shared] = {}
    stack = list(exits)
    seen = {*stack, *entries}
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
