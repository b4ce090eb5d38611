"""Operands with a shape, and results that share the memory of an operand."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..engine.graph import Leaf, Node, Rule, extra
from ..engine.record import Handle, Tensor, operand, record
from ..engine.writes import memory

__all__ = ["is_view", "live_views", "no_gradient", "shaped", "view"]


def shaped(value: Any, op: str) -> Any:
    """An operand with a shape: a Tensor unchanged, anything else as an array.

    >>> shaped([1.0, 2.0], "sum").shape
    (2,)
    """
    if isinstance(value, Handle):
        return value
    value = operand(value, op)
    return value if hasattr(value, "shape") else np.asarray(value)


# --- views ----------------------------------------------------------------------------------------------
#
# Writing to a result changes the values that its live views show, but not their recorded history. So that a write
# can find them and refuse, the oldest result that a view can be traced to, through operations that may return views,
# keeps a weak reference to it. Whether memory is really shared is checked on the arrays.

_may_be_views = {
    "broadcast_to",
    "diagonal",
    "einsum",
    "expand_dims",
    "flip",
    "fliplr",
    "flipud",
    "getitem",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "ravel",
    "reshape",
    "rollaxis",
    "rot90",
    "sliding_window_view",
    "squeeze",
    "strided_windows",
    "swapaxes",
    "transpose",
}


def view(op: str, forward: Callable[..., Any], x: Any, rule: Rule, *more: Any) -> Tensor:
    """Record an operation whose result may share the memory of ``x``. Inputs in ``more`` need no gradient."""
    rules = (rule,) + (no_gradient,) * len(more)
    result = record(op, forward, (x, *more), rules)
    if result.node is not None and not isinstance(x.node, Leaf):
        _register(result, x)
    return result


def no_gradient(xp: Any, g: Any) -> Any:
    """Placeholder for the rule of an index."""
    raise AssertionError("an index requires no gradient")


def _register(result: Tensor, x: Tensor) -> None:
    if memory(result.data) is not memory(x.data):
        return
    assert x.node is not None
    recorded = extra(_oldest(x.node))
    if recorded.views is None:
        recorded.views = []
    recorded.views.append(weakref.ref(result))
    length = len(recorded.views)
    if length >= 16 and length & (length - 1) == 0:  # prune the list now and then
        recorded.views[:] = [ref for ref in recorded.views if ref() is not None]


def _oldest(node: Node) -> Node:
    while node.op in _may_be_views and node.inputs:
        parent = node.inputs[0]
        if not isinstance(parent, Node) or isinstance(parent, Leaf):
            break
        node = parent
    return node


def live_views(tensor: Tensor) -> Iterator[Tensor]:
    """The recorded views of the memory of a result, including the result itself if it is a view."""
    if tensor.node is None:
        return
    recorded = _oldest(tensor.node).extra
    for ref in recorded.views or () if recorded is not None else ():
        other = ref()
        if other is not None and memory(other.data) is memory(tensor.data):
            yield other


def is_view(tensor: Tensor) -> bool:
    """Whether a result shares the memory of the Tensor that it was taken from."""
    node = tensor.node
    if node is None or node.op not in _may_be_views:
        return False
    oldest = _oldest(node)
    if oldest.op not in _may_be_views:
        return any(other is tensor for other in live_views(tensor))
    leaf = oldest.inputs[0] if oldest.inputs else None
    owner = leaf.owner() if isinstance(leaf, Leaf) else None
    # If the Tensor it came from is gone, or the graph was freed, other views of it may still exist.
    return (
        owner is None
        or memory(owner.data) is memory(tensor.data)
        or any(other is tensor for other in live_views(tensor))
    )
