"""The backward walk through a graph.

Knows arrays and nodes, never Tensor: how the rules are read, on arrays or on Tensors, is a :class:`Reading`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from . import writes
from .errors import DTypeError, GraphError, InplaceError, ShapeError
from .frames import place, user_frame
from .graph import Freed, Node, Rule, Summary, elementwise, sources
from .mode import current
from .shapes import sum_to_shape

__all__ = ["Reading", "backward"]


class Reading(NamedTuple):
    """How the walk reads rules."""

    xp: Any  # with which functions
    wrap: Callable[[Any, Any], Any] | None  # from a saved array and where it came from, what the rule gets
    ones: Callable[[Any], Any]  # ones with the shape and dtype of a gradient
    mend: Callable[[Any, Any, Any], Any]  # (g, local, gradient): 0 where a factor is 0 and gradient is not finite
    finite: Callable[[Iterable[Any]], bool]  # are all these gradients finite?


def fitted(xp: Any, gradient: Any, like: Node, node: Node, rule: Rule) -> Any:
    """A rule's gradient with the shape and dtype of its input, summed over broadcast axes and cast."""
    if gradient.shape != like.shape:
        try:
            gradient = sum_to_shape(xp, gradient, like.shape)
        except ShapeError as error:
            raise ShapeError(
                f"{_which(rule, like, node)} gave a gradient of shape {gradient.shape}, expected "
                f"{like.shape}, the shape of that input"
            ) from error
    if gradient.dtype != like.dtype:
        if gradient.dtype.kind == "c" and like.dtype.kind != "c":
            if node.dtype.kind != "c":
                raise DTypeError(
                    f"{_which(rule, like, node)} gave a gradient of dtype {gradient.dtype}, expected {like.dtype}, "
                    f"as the result is of dtype {node.dtype}"
                )
            gradient = xp.real(gradient)  # a real input moves along the real axis: see ops.complexes
        gradient = gradient.astype(like.dtype)
    return gradient


def _which(rule: Rule, parent: Node, node: Node) -> str:
    known = zip(node.inputs, node.rules, strict=True)
    position = next(i for i, (p, r) in enumerate(known) if p is parent and r is rule)
    return f"the rule of {node.op} for input {position}"


def _asked_in_vain(error: Exception) -> bool:
    """Was it the walk itself that asked what a rule returned for its dtype, not a rule that failed?"""
    return isinstance(error, AttributeError) and error.__traceback__ is not None and not error.__traceback__.tb_next


def _no_array(error: Any, node: Node, parent: Node, rule: Rule) -> TypeError:
    return TypeError(
        f"{_which(rule, parent, node)} gave {type(error.obj).__name__}, expected an array of shape "
        f"{parent.shape} (called at {place(node.code, node.lasti)})"
    )


def _second_time(node: Node) -> GraphError:
    assert isinstance(node.saved, Freed)
    return GraphError(
        f"backward() goes through {node.op} (called at {place(node.code, node.lasti)}) a second time, but "
        f"its saved arrays were freed by the backward() at {place(node.saved.code, node.saved.lasti)}; write "
        f"backward(retain_graph=True) there, or compute the graph again"
    )


def reaches(root: Node, targets: Iterable[Node]) -> set[Node]:
    """The nodes on a way from ``root`` to any of the targets, both ends included if there is a way."""
    wanted = set(targets)
    oldest = min((node.birth for node in wanted), default=0)
    order: list[Node] = []
    seen = {root}
    stack = [root]
    while stack:
        node = stack.pop()
        order.append(node)
        for parent in node.inputs:
            if isinstance(parent, Node) and parent.requires_grad and parent.birth >= oldest and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    order.sort(key=lambda node: node.birth)
    live: set[Node] = set()
    for node in order:
        if node in wanted or any(isinstance(parent, Node) and parent in live for parent in node.inputs):
            live.add(node)
    return live


def backward(
    root: Node,
    seed: Any,
    reading: Reading,
    *,
    targets: Iterable[Node] | None = None,
    release: bool = False,
) -> dict[Node, Any]:
    """The gradients of ``root`` for its leaves, or for the targets: those that it depends on.

    Results that were asked to keep their gradient are among them. ``release`` frees the saved arrays
    afterwards. Raises GraphError where a needed node was released before, InplaceError where a saved array
    was written to; an exception leaves the graph as it was.

    A gradient that is exactly zero contributes zero, also where a local derivative is infinite; and a local
    derivative of exactly zero passes nothing on, also of an infinite gradient. The plain rules make NaN of that. So
    they run first, at full speed; the results are looked at; and only if one is not finite does a second, careful
    walk mend what came from a zero. That is why nothing is freed before the end.
    """
    visited: list[Node] = []
    with np.errstate(all="ignore"):
        result = _walk(root, seed, reading, targets, visited, careful=False)
        if not reading.finite(result.values()):
            visited.clear()
            result = _walk(root, seed, reading, targets, visited, careful=True)
    if release:
        _free(visited, user_frame(sys._getframe(1)))
    return result


def _walk(
    root: Node,
    seed: Any,
    reading: Reading,
    targets: Iterable[Node] | None,
    visited: list[Node],
    careful: bool,
) -> dict[Node, Any]:
    """Walk from ``root`` to the leaves or targets, and list the operations gone through in ``visited``.

    Nodes are visited in the order of their birth, latest first: every consumer of a node is younger than it,
    so its gradient is complete when its turn comes. Cost is linear in the number of operations, and no step
    recurses.

    A gradient that arrives first is only borrowed (it may be the same array that another input gets); the
    second allocates the sum; every further one is added in place.
    """
    xp, wrap = reading.xp, reading.wrap
    live = None if targets is None else reaches(root, targets)
    stops = frozenset() if targets is None else frozenset(targets)
    missing = len(stops)
    keep = current().keep
    plain = wrap is None and not careful and current().tracer is None
    result: dict[Node, Any] = {}
    if live is not None and root not in live:
        return result
    waiting: dict[int, list[Any]] = {root.birth: [root, seed, False]}
    births = [-root.birth]
    while births:
        node, g, owned = waiting.pop(-heappop(births))
        if node.extra is not None:
            before = g
            g = _after_hooks(node, g, wrap)
            owned = owned and g is before
            if node.extra.owner is not None:
                result[node] = np.copy(g) if wrap is None else g
        if not node.shape:
            node.gradient = g if wrap is None else g.data
        elif keep:
            node.gradient = Summary.of(g if wrap is None else g.data)
        rules = node.rules
        if not rules or (stops and node in stops):
            result[node] = g if owned or wrap is not None else np.copy(g)
            missing -= 1
            if missing == 0:
                break
            if not rules:
                continue
        saved = node.saved
        if saved.__class__ is Freed:
            raise _second_time(node)
        visited.append(node)
        plainly = plain and node.birth > writes.latest
        try:
            for parent, rule, args in zip(node.inputs, rules, saved):
                if rule is None or (live is not None and parent not in live):
                    continue
                r = rule(xp, g, *args) if plainly else _applied(rule, args, node, g, reading, careful)
                shape = r.shape
                if r.dtype is not parent.dtype or shape != parent.shape:
                    r = fitted(xp, r, parent, node, rule)
                    shape = r.shape
                birth = parent.birth
                entry = waiting.get(birth)
                if entry is None:
                    # Fresh memory may be added to; g, its views and NumPy's scalars may not.
                    waiting[birth] = [parent, r, r is not g and shape and wrap is None and r.base is None]
                    heappush(births, -birth)
                elif entry[2] and r.__class__ is entry[1].__class__:
                    np.add(entry[1], r, out=entry[1])
                else:
                    entry[1] = entry[1] + r
                    entry[2] = shape and wrap is None
        except Exception as error:
            error.add_note(f"in backward of {node.op}, called at {place(node.code, node.lasti)}")
            if _asked_in_vain(error):
                raise _no_array(error, node, parent, rule) from error
            raise
    return result


def _check_unwritten(node: Node, rule: Rule, args: tuple[Any, ...]) -> None:
    for arg, source in zip(args, sources(rule, node), strict=True):
        later = writes.later_writes(arg, node.birth) if hasattr(arg, "dtype") else None
        if later is not None:
            what = "its result" if source is node else "an input"
            if isinstance(source, Node) and source is not node:
                what = f"its input {source.label or source.op!r}"
            raise InplaceError(
                f"{node.op} (called at {place(node.code, node.lasti)}) saved {what} of shape {arg.shape} for backward, "
                f"and {later.by} has written to that memory since: it is at version {later.version}, expected "
                f"{later.expected}; run backward before {later.by}, or write to a copy"
            )


def _applied(rule: Rule, args: tuple[Any, ...], node: Node, g: Any, reading: Reading, careful: bool) -> Any:
    """What a rule gives, where more is asked than to call it: see :func:`_walk`."""
    tracer = current().tracer
    if tracer is not None:
        tracer.enter(f"backward of {node.op}")
    if node.birth < writes.latest:
        _check_unwritten(node, rule, args)
    if reading.wrap is not None:
        args = tuple(map(reading.wrap, args, sources(rule, node)))
    r = rule(reading.xp, g, *args)
    if careful and node.op in elementwise:
        return reading.mend(g, rule(reading.xp, reading.ones(g), *args), r)
    return r


def _after_hooks(node: Node, g: Any, wrap: Callable[[Any, Any], Any] | None) -> Any:
    """The gradient after a node's hooks. Each gets a copy of its own, so that none can change a sibling's."""
    assert node.extra is not None
    for hook in tuple(node.extra.hooks.values()) if node.extra.hooks else ():
        replaced = hook(np.copy(g) if isinstance(g, np.ndarray | np.generic) else g)
        if replaced is None:
            continue
        if getattr(replaced, "shape", None) != node.shape:
            raise ShapeError(
                f"a hook on {node.label or node.op} returned a gradient of shape "
                f"{getattr(replaced, 'shape', type(replaced).__name__)}, expected {node.shape}"
            )
        if hasattr(replaced, "node") and wrap is None:
            replaced = replaced.data
        elif wrap is not None and not hasattr(replaced, "node"):
            replaced = wrap(replaced, None)
        g = replaced if replaced.dtype == node.dtype else replaced.astype(node.dtype)
    return g


def _free(nodes: list[Node], frame: FrameType) -> None:
    """Drop saved arrays; and links, unless they are a scalar's, which is kept for drawings."""
    freed = Freed(frame.f_code, frame.f_lasti)
    keep = current().keep
    for node in nodes:
        node.saved = freed
        if node.shape and not keep:
            node.inputs = ()
