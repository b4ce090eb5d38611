"""The backward walk through a graph.

Works on arrays and nodes, never on Tensor: a :class:`Reading` says how the rules are evaluated, on arrays or on
Tensors.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Collection, Iterable
from heapq import heapify, heappop, heappush
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from ..errors import DTypeError, GraphError, InplaceError, ShapeError
from . import writes
from .frames import place, user_frame
from .graph import ArraySummary, Freed, Leaf, Node, Rule, elementwise, saved_for_backward, sources
from .mode import current, silenced
from .shapes import sum_to_shape

__all__ = ["Outside", "Reading", "backward", "in_use", "latest_root", "set_latest_root"]


class Outside(Exception):
    """A walk that was to stay among the nodes of one call came to another leaf, an older node or a hook."""


class Reading(NamedTuple):
    """How the walk evaluates rules."""

    xp: Any  # the functions that rules call
    wrap: Callable[[Any, Any], Any] | None  # (saved array, its source): what the rule is passed
    # (rule, g, args, gradient, elementwise): replaces NaN that came from zero times an infinite derivative
    repair: Callable[..., Any]
    finite: Callable[[Iterable[Any]], bool]  # are all these gradients finite?


def unbroadcast(xp: Any, gradient: Any, like: Node, node: Node, rule: Rule) -> Any:
    """A rule's gradient, summed over broadcast axes and cast to the shape and dtype of its input."""
    if gradient.shape != like.shape:
        try:
            gradient = sum_to_shape(xp, gradient, like.shape)
        except ShapeError as error:
            raise ShapeError(
                f"{_which(rule, like, node)} returned a gradient of shape {gradient.shape}, expected "
                f"{like.shape}, the shape of that input"
            ) from error
    if gradient.dtype != like.dtype:
        if gradient.dtype.kind == "c" and like.dtype.kind != "c":
            if node.dtype.kind != "c":
                raise DTypeError(
                    f"{_which(rule, like, node)} returned a gradient of dtype {gradient.dtype}, expected "
                    f"{like.dtype}, because the result has dtype {node.dtype}"
                )
            gradient = xp.real(gradient)  # a real input only moves along the real axis: see ops.complexes
        gradient = gradient.astype(like.dtype)
    return gradient


def _which(rule: Rule, parent: Node, node: Node) -> str:
    known = zip(node.inputs, node.rules, strict=True)
    position = next(i for i, (p, r) in enumerate(known) if p is parent and r is rule)
    return f"the rule of {node.op} for input {position}"


def _lacks_dtype(error: BaseException) -> bool:
    """Whether the walk itself failed on the dtype of what a rule returned, as opposed to the rule failing."""
    return isinstance(error, AttributeError) and error.__traceback__ is not None and not error.__traceback__.tb_next


def _not_an_array(error: Any, node: Node, parent: Node, rule: Rule) -> TypeError:
    return TypeError(
        f"{_which(rule, parent, node)} returned {type(error.obj).__name__}, expected an array of shape "
        f"{parent.shape} (called at {place(node.code, node.lasti)})"
    )


def _second_time(node: Node) -> GraphError:
    assert isinstance(node.saved, Freed)
    return GraphError(
        f"backward() goes through {node.op} (called at {place(node.code, node.lasti)}) a second time, but "
        f"its saved arrays were freed by backward() at {place(node.saved.code, node.saved.lasti)}; write "
        f"backward(retain_graph=True) there, or compute the graph again"
    )


def reaches(root: Node, targets: Iterable[Node]) -> set[Node]:
    """The nodes on any path from ``root`` to a target, both ends included."""
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


class _Front:
    """The progress of a walk: the nodes still to be visited with their gradients so far, and the leaves' gradients.

    An entry is ``[node, gradient, fresh]``. The first gradient to arrive is only borrowed: it may be ``g`` itself or a
    view of it, which another input gets as well. ``fresh`` says that it is not ``g``; if it is not a view either, the
    later ones are added to it in place. ``results`` holds the complete gradients of results (not leaves) that are
    wanted, ``hooked`` the leaves whose hooks have run.
    """

    __slots__ = ("hooked", "leaves", "results", "waiting")

    def __init__(self, root: Node, seed: Any) -> None:
        entry = [root, seed, False]
        self.waiting: dict[int, list[Any]] = {root.birth: entry} if root.rules else {}
        self.leaves: dict[Node, list[Any]] = {} if root.rules else {root: entry}
        self.results: dict[Node, Any] = {}
        self.hooked: set[Node] = set()

    def copied(self) -> _Front:
        """A copy of the front, after which neither of the two writes to the gradients."""
        copied = object.__new__(_Front)
        for name in ("waiting", "leaves"):
            entries = getattr(self, name)
            for entry in entries.values():
                entry[2] = False
            setattr(copied, name, {key: list(entry) for key, entry in entries.items()})
        copied.results = dict(self.results)
        copied.hooked = set(self.hooked)
        return copied


def backward(
    root: Node,
    seed: Any,
    reading: Reading,
    *,
    targets: Iterable[Node] | None = None,
    release: bool = False,
    through: bool = True,
    only: Collection[Node] = (),
) -> dict[Node, Any]:
    """The gradients of ``root`` with respect to its leaves, or the targets; only those that it depends on.

    Results on which ``retain_grad()`` was called are included. ``through`` continues through a target to other targets
    it was computed from. ``release`` frees the saved arrays: large ones on the way, the others at the end. ``only``
    are the leaves of one call: raises Outside at any other leaf that is in use, at a node older than they are, and
    before a hook would run. Raises GraphError if a node that is needed was released before, InplaceError if a saved
    array was written to.

    A gradient that is exactly zero contributes zero even if a local derivative is infinite, and a local derivative of
    exactly zero contributes zero even if the gradient is infinite. The plain rules return NaN there. They run first,
    at full speed; only if one of the results is not finite does a second, careful walk repair that. It starts
    where arrays were last freed, or at the root.
    """
    stops = frozenset() if targets is None else frozenset(targets)
    live = None if targets is None else reaches(root, stops)
    if live is not None and root not in live:
        return {}
    frees = _Freeing(user_frame(sys._getframe(1))) if release else None
    with silenced():
        careful = current().debug is not None  # debug mode checks each gradient as it is computed
        result = _walk(_Front(root, seed), reading, live, stops, frees, careful, through, only)
        if not careful and not reading.finite(result.values()):
            front = (frees.restarted() if frees is not None else None) or _Front(root, seed)
            result = _walk(front, reading, live, stops, frees, True, through, only)
    if frees is not None:
        frees.free()
        _links.released(None if current().keep else root, frees.freed)
    return result


class _Links(threading.local):
    """The last graph that this thread has released, which can still be drawn: the earlier ones drop their links.

    A released graph is a few hundred bytes per operation. Losses that are kept, in a list or in a running sum, would
    add that up over a training run.
    """

    def __init__(self) -> None:
        self.root: weakref.ref[Node] | None = None
        self.freed: Freed | None = None
        self.latest: weakref.ref[Node] | None = None  # where the last backward() started, released or not

    def released(self, root: Node | None, freed: Freed) -> None:
        """Drop the links of the graph that was released before, except between scalars; None keeps the new one's."""
        old = self.root() if self.root is not None else None
        stack = [] if old is None else [old]
        while stack:
            node = stack.pop()
            if node.saved is not self.freed:
                continue
            inputs = node.inputs
            if node.shape:
                node.inputs = ()
            else:
                node.saved = Freed(*node.saved)  # not to be visited again
            stack += [parent for parent in inputs if isinstance(parent, Node)]
        self.root, self.freed = None if root is None else weakref.ref(root), freed


_links = _Links()


def set_latest_root(root: Node) -> None:
    """Note where a ``backward()`` of this thread started."""
    _links.latest = weakref.ref(root)


def latest_root() -> Node | None:
    """Where the last ``backward()`` of this thread started; None if there was none, or its Tensor is gone."""
    return None if _links.latest is None else _links.latest()


_ENOUGH = 8 << 20  # bytes of gradients between two checks of the front
_MANY = 256  # operations after which arrays may have become large


class _Freeing:
    """Frees the nodes that a walk has visited, as soon as a second, careful walk can no longer need them.

    Once all gradients at the front are finite, the nodes behind it are not needed again. Checking that costs a
    reduction of each gradient, so it is done when there is much to free, and for small arrays only once, at the end.
    """

    def __init__(self, frame: FrameType) -> None:
        self.start: _Front | None = None  # as it was when arrays were last freed
        self.freed = Freed(frame.f_code, frame.f_lasti)
        self.visited: list[Node] = []
        self.touched: list[Node] | None = None  # leaves reached since the last check, once arrays are large
        self.on_the_way = current().tracer is None
        self.pause = 1  # the number of operations on small arrays until the size is looked at again

    def restarted(self) -> _Front | None:
        """The front as it was when arrays were last freed; None for the root."""
        self.visited.clear()
        self.on_the_way = False
        return self.start

    def check(self, g: Any, front: _Front, reading: Reading) -> int:
        """Free if there is enough to free and the front is finite; return after how many operations to check again."""
        if not self.on_the_way:
            return sys.maxsize
        stride = _ENOUGH // (getattr(g, "nbytes", 0) or 1)
        if stride > _MANY:
            pause, self.pause = self.pause, min(2 * self.pause, _MANY)
            return pause
        if len(self.visited) < min(stride, _MANY):
            return stride
        fronts = [entry[1] for entry in front.waiting.values()]
        touched = front.leaves if self.touched is None else self.touched
        if len(fronts) + len(touched) > _MANY:
            return _MANY
        if not reading.finite((*fronts, *(front.leaves[node][1] for node in touched))):
            self.on_the_way = False  # the final check tells whether it matters
            return sys.maxsize
        self.free()
        self.start = front.copied()
        self.touched = []
        return stride or 1

    def free(self) -> None:
        """Drop saved arrays."""
        for node in self.visited:
            node.saved = self.freed
        self.visited.clear()


def _walk(
    front: _Front,
    reading: Reading,
    live: set[Node] | None,
    stops: frozenset[Node],
    frees: _Freeing | None,
    careful: bool,
    through: bool,
    only: Collection[Node],
) -> dict[Node, Any]:
    """Walk from the front to the leaves or targets.

    Nodes are visited in reverse order of creation: every consumer of a node is newer than the node, so its gradient
    is complete when its turn comes. The cost is linear in the number of operations, and nothing recurses. Leaves are
    completed at the end; their hooks run as soon as the oldest consumer has been visited.

    ``near`` is the parent that is probably next, kept out of the heap; in a chain it always is next.
    """
    xp, wrap = reading.xp, reading.wrap
    waiting, leaves = front.waiting, front.leaves
    births = [-birth for birth in waiting]
    heapify(births)
    mode = current()
    keep = mode.keep
    plain = wrap is None and not careful and mode.tracer is None and mode.debug is None
    since = min([node.birth for node in only]) if only else 0
    latest = max(writes.latest, since)  # older nodes take the longer way, where they are looked at
    # Leaves are complete only at the end; if all targets are results, the last of them ends the walk.
    missing = len(stops) if stops and all(node.rules for node in stops) else 0
    result = front.results
    visited = frees.visited if frees is not None else None
    touched = None
    countdown = 1
    uses: dict[int, list[Node]] | None = None  # leaves with hooks, by the birth of their oldest consumer
    near: Any = None
    near_g: Any = None
    near_fresh = False
    while True:
        if near is None:
            if not births:
                break
            node, g, _ = waiting.pop(-heappop(births))
        elif births and -births[0] > near.birth:
            waiting[near.birth] = [near, near_g, near_fresh]
            heappush(births, -near.birth)
            node, g, _ = waiting.pop(-heappop(births))
        else:
            node, g = near, near_g
        near = None
        if node.extra is not None:
            if since:
                raise Outside
            g = _after_hooks(node, g, wrap)
            latest = writes.latest
            if node.extra.owner is not None:
                result[node] = np.copy(g) if wrap is None else g
        if not node.shape:
            node.gradient = g if wrap is None else g.data
        elif keep:
            node.gradient = ArraySummary.of(g if wrap is None else g.data)
        if stops and node in stops:
            result[node] = g if wrap is not None else np.copy(g)
            missing -= 1
            if missing == 0:
                return result
            if not through:
                continue
        inputs = node.inputs
        saved = node.saved
        if saved.__class__ is Freed:
            raise Outside if node.birth < since else _second_time(node)
        birth = node.birth
        plainly = plain and (birth > latest or (birth >= since and writes.unwritten(saved, birth)))
        try:
            position = -1
            for rule in node.rules:
                position += 1
                if rule is None:
                    continue
                parent = inputs[position]
                if live is not None and parent not in live:
                    continue
                args = saved[position]
                if not plainly:
                    if node.birth < since:
                        raise Outside
                    r = _applied(node, position, g, reading, careful)
                elif not args:  # spelling out the short cases saves a tenth of the time
                    r = rule(xp, g)
                elif len(args) == 1:
                    r = rule(xp, g, args[0])
                else:
                    r = rule(xp, g, *args)
                if r.dtype is not parent.dtype or r.shape != parent.shape:
                    r = unbroadcast(xp, r, parent, node, rule)
                if not parent.rules:
                    entry = leaves.get(parent)
                    if entry is None:
                        leaves[parent] = [parent, r, r is not g]
                        if uses is None and parent.extra is not None and parent.extra.hooks:
                            uses = _oldest_uses([node, *(entry[0] for entry in waiting.values()), near])
                    elif (
                        entry[2]
                        and wrap is None
                        and r.shape
                        and entry[1].base is None
                        and r.__class__ is entry[1].__class__
                    ):
                        entry[1] += r
                    else:
                        _add(entry, r, wrap)
                    if touched is not None:
                        touched.append(parent)
                elif near is None and (not waiting or parent.birth not in waiting):
                    near = parent
                    near_g = r
                    near_fresh = r is not g
                elif near is parent:
                    near_entry = [near, near_g, near_fresh]
                    _add(near_entry, r, wrap)
                    _, near_g, near_fresh = near_entry
                else:
                    birth = parent.birth
                    entry = waiting.get(birth)
                    if entry is None:
                        waiting[birth] = [parent, r, r is not g]
                        heappush(births, -birth)
                    else:
                        _add(entry, r, wrap)
        except BaseException as error:  # Ctrl-C, too
            error.add_note(f"in backward of {node.op}, called at {place(node.code, node.lasti)}")
            if _lacks_dtype(error):
                raise _not_an_array(error, node, parent, rule) from error
            raise
        if uses is not None and node.birth in uses:
            complete = [leaf for leaf in uses[node.birth] if leaf in leaves]
            if since and any(leaf not in only for leaf in complete):
                raise Outside
            _run_hooks(complete, front, wrap)
            latest = max(writes.latest, since)
        if visited is not None:
            visited.append(node)
            countdown -= 1
            if countdown == 0:
                assert frees is not None
                if near is not None:
                    waiting[near.birth] = [near, near_g, near_fresh]
                    heappush(births, -near.birth)
                    near = None
                countdown = frees.check(g, front, reading)
                touched = frees.touched
    if since and any(node not in only and in_use(node) for node in leaves):
        raise Outside
    _run_hooks([node for node in leaves if node.extra is not None], front, wrap)
    for node, g, fresh in leaves.values():
        if not node.shape:
            node.gradient = g if wrap is None else g.data
        elif keep:
            node.gradient = ArraySummary.of(g if wrap is None else g.data)
        if wrap is None and not (fresh and node.shape and g.base is None):
            g = g.copy("K") if g.__class__ is np.ndarray else np.copy(g)
        result[node] = g
    return result


def in_use(node: Node) -> bool:
    """Whether a leaf still has its Tensor or a hook; the argument of a transform that has returned has neither."""
    return not isinstance(node, Leaf) or node.owner() is not None or node.extra is not None


def _add(entry: list[Any], r: Any, wrap: Any) -> None:
    """Add one more gradient to an entry of the front, in place if the entry owns its memory."""
    g = entry[1]
    if entry[2] and wrap is None and g.shape and g.base is None and r.__class__ is g.__class__:
        np.add(g, r, out=g)
    else:
        entry[1] = g + r
        entry[2] = True


def _oldest_uses(starts: Iterable[Node | None]) -> dict[int, list[Node]]:
    """The leaves with hooks that a walk from these nodes comes to, by the birth of the oldest node that uses them."""
    oldest: dict[Node, int] = {}
    stack = [node for node in starts if node is not None]
    seen = set(stack)
    while stack:
        node = stack.pop()
        for parent in node.inputs:
            if not isinstance(parent, Node) or not parent.requires_grad:
                continue
            if not parent.rules:
                if parent.extra is not None and parent.extra.hooks:
                    oldest[parent] = min(node.birth, oldest.get(parent, node.birth))
            elif parent not in seen:
                seen.add(parent)
                stack.append(parent)
    found: dict[int, list[Node]] = {}
    for leaf, birth in oldest.items():
        found.setdefault(birth, []).append(leaf)
    return found


def _run_hooks(complete: list[Node], front: _Front, wrap: Callable[[Any, Any], Any] | None) -> None:
    """Run the hooks of leaves whose gradients are complete, unless they have run; those of the newest leaf first."""
    for node in sorted(complete, key=lambda node: -node.birth):
        if node in front.hooked:
            continue
        front.hooked.add(node)
        entry = front.leaves[node]
        g = _after_hooks(node, entry[1], wrap)
        entry[1], entry[2] = g, entry[2] and g is entry[1]


def _check_unwritten(node: Node, rule: Rule, args: tuple[Any, ...]) -> None:
    for arg, source in zip(args, sources(rule, node), strict=True):
        later = writes.later_writes(arg, node.birth) if hasattr(arg, "dtype") else None
        if later is not None:
            raise InplaceError(
                f"{saved_for_backward(node, source, arg)}, and {later.by} has written to that memory "
                f"since: it is at version {later.version}, expected {later.expected}; "
                f"run backward before {later.by}, or write to a copy{_not_in_place(later.by)}"
            )


def _not_in_place(by: str) -> str:
    """What to write instead of an in-place operator."""
    symbol = by.partition(" ")[0]
    return f", s = s {symbol[:-1]} x instead of s {symbol} x" if symbol.endswith("=") else ""


def _applied(node: Node, position: int, g: Any, reading: Reading, careful: bool) -> Any:
    """The gradient that a rule returns, for the cases in which :func:`_walk` cannot just call it."""
    rule = node.rules[position]
    args: Any = node.saved[position]
    assert rule is not None
    mode = current()
    if mode.tracer is not None:
        mode.tracer.enter(f"backward of {node.op}")
    if mode.debug is not None:
        mode.debug.before_rule(node, position)
    if node.birth < writes.latest:
        _check_unwritten(node, rule, args)
    if reading.wrap is not None:
        args = tuple(map(reading.wrap, args, sources(rule, node)))
    r = rule(reading.xp, g, *args)
    if careful:
        r = reading.repair(rule, g, args, r, node.op in elementwise)
    if mode.debug is not None:
        mode.debug.after_rule(node, position, g, r)
    return r


def _after_hooks(node: Node, g: Any, wrap: Callable[[Any, Any], Any] | None) -> Any:
    """The gradient after a node's hooks."""
    assert node.extra is not None
    for hook in tuple(node.extra.hooks.values()) if node.extra.hooks else ():
        replaced = hook(g)
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
