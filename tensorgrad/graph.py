"""The computation graph: nodes, the backward walk, and the log of writes.

Knows arrays and nodes, never Tensor. A node refers to the nodes it was computed from and to the arrays its
derivative rules need, and nothing refers back: a graph holds no reference cycle, and dies with its last name.

A **rule** is a function ``rule(xp, g, ...)`` that returns the gradient for one input of an operation, given
the gradient ``g`` of its output. The names of its further parameters say what the operation has to save:

========  =========================================================================
``x``     the first input, as it was passed (an array, or a Python scalar)
``y``     the second input
``z``     the third input
``out``   the result
``*xs``   all inputs
========  =========================================================================

A rule uses operators and ``xp.*`` alone, so that it can be read with NumPy's functions on arrays (backward),
with tensorgrad's own on Tensors (any order of derivative), and on any array class that speaks NumPy's
protocols: the compiler's traced arrays, or another library's. It returns ``g`` itself, a view of it, or a
fresh array; never a saved array. Broadcasting and dtypes are the engine's business: a gradient is summed over
the axes its input was broadcast along and cast to its input's dtype here, once, in :func:`fitted`.
"""

from __future__ import annotations

import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from operator import itemgetter
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

from .errors import DTypeError, GraphError, InplaceError, ShapeError
from .mode import Scope, current
from .shapes import sum_to_shape

__all__ = [
    "Constant",
    "Freed",
    "Leaf",
    "Node",
    "Reading",
    "Summary",
    "backward",
    "extra",
    "getters",
    "hide_frames",
    "memory",
    "place",
    "reaches",
    "source_line",
    "user_frame",
    "written",
]

Rule = Callable[..., Any]

new_birth: Callable[[], int] = count().__next__


class Node:
    """One recorded operation: what it was computed from, and how to go back.

    ``inputs`` holds, in order, the nodes of Tensor inputs; a Python scalar stands for itself, and None for an
    input that is neither. ``rules`` and ``saved`` run along with it: no rule (None) where no gradient is
    needed. ``value`` and ``gradient`` are kept for scalars, which are no larger than the node itself; for
    arrays, under ``record_graph()``, a :class:`Summary` of them. When a node is
    released, ``saved`` becomes a :class:`Freed`, and a node of an array also drops its ``inputs``.
    """

    __slots__ = (
        "__weakref__",
        "birth",
        "code",
        "dtype",
        "extra",
        "gradient",
        "inputs",
        "lasti",
        "op",
        "rules",
        "saved",
        "scope",
        "shape",
        "value",
    )
    requires_grad = True

    def __init__(
        self,
        op: str,
        inputs: tuple[Any, ...],
        rules: tuple[Rule | None, ...],
        saved: tuple[tuple[Any, ...], ...] | Freed,
        out: Any,
        shape: tuple[int, ...],
        code: CodeType | None,
        lasti: int,
        scope: Scope,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.rules = rules
        self.saved = saved
        self.birth = new_birth()
        self.shape = shape
        self.dtype = out.dtype
        self.code = code  # the line that made it, as a code object and an offset: resolved when it is shown
        self.lasti = lasti
        self.scope = scope
        self.value = None if shape else out
        self.gradient: Any = None
        self.extra: Extra | None = None

    @property
    def label(self) -> str | None:
        """The name the user gave to the Tensor."""
        return None if self.extra is None else self.extra.label

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.op} {self.shape} {self.dtype} #{self.birth}>"


class Extra:
    """What few nodes have: a name, hooks, a Tensor that wants its gradient, views."""

    __slots__ = ("hooks", "label", "owner", "views")

    def __init__(self) -> None:
        self.label: str | None = None
        self.hooks: dict[int, Callable[[Any], Any]] | None = None
        self.owner: weakref.ref[Any] | None = None  # the Tensor whose .grad to fill, after retain_grad()
        self.views: list[weakref.ref[Any]] | None = None


class Summary(NamedTuple):
    """What is kept of an array's values or gradient for a drawing, under ``record_graph()``."""

    rms: float  # root mean square of the finite elements; 0 where there are none
    nonfinite: int  # how many elements are NaN or infinite
    size: int

    @classmethod
    def of(cls, array: Any) -> Summary:
        """Summarise an array.

        >>> Summary.of(np.array([3.0, 4.0, np.nan]))
        Summary(rms=3.5355339059327378, nonfinite=1, size=3)
        """
        finite = np.asarray(array, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        rms = float(np.sqrt(np.mean(finite * finite))) if finite.size else 0.0
        return cls(rms, int(array.size - finite.size), int(array.size))


class Freed(NamedTuple):
    """What stands in ``Node.saved`` once a backward walk has freed the graph: the line that did."""

    code: CodeType
    lasti: int


def extra(node: Node) -> Extra:
    """The node's :class:`Extra`, made when it is first asked for."""
    if node.extra is None:
        node.extra = Extra()
    return node.extra


class Leaf(Node):
    """A Tensor that was not computed. Knows its Tensor weakly, so that no reference cycle exists."""

    __slots__ = ("owner",)

    def __init__(self, tensor: Any) -> None:
        super().__init__("leaf", (), (), (), tensor.data, tensor.data.shape, None, -1, current().scope)
        self.value = None  # the Tensor has it
        self.owner = weakref.ref(tensor)


class Constant(Leaf):
    """A Tensor that needs no gradient, as an operation's input: known for drawings, never walked."""

    __slots__ = ()
    requires_grad = False


# --- rules ----------------------------------------------------------------------------------------------

_POSITION = {"x": 0, "y": 1, "z": 2, "out": -1}
_getters: dict[int, tuple[CodeType, Callable[[Any], tuple[Any, ...]]]] = {}


def _signature(rule: Rule) -> tuple[CodeType, tuple[str, ...], bool]:
    inner: Any = getattr(rule, "__wrapped__", rule)
    code = inner.__code__
    return code, code.co_varnames[2 : code.co_argcount], bool(code.co_flags & 0x04)


def getter(rule: Rule) -> Callable[[Any], tuple[Any, ...]]:
    """Pick what a rule needs from ``(*inputs, out)``; worked out once for every rule in the source."""
    code = getattr(rule, "__wrapped__", rule).__code__
    known = _getters.get(id(code))
    if known is None:
        code, names, rest = _signature(rule)
        unknown = [name for name in names if name not in _POSITION]
        if unknown:
            raise GraphError(
                f"a rule's parameters after (xp, g) are x, y, z, out or *xs: got {unknown[0]!r} in {code.co_name}"
            )
        places = [_POSITION[name] for name in names]
        pick: Any
        if rest:
            pick = itemgetter(slice(0, -1))
        elif not places:
            pick = itemgetter(slice(0, 0))
        elif len(places) == 1:  # a slice, because itemgetter(i) would not give a tuple
            pick = itemgetter(slice(places[0], places[0] + 1 if places[0] >= 0 else None))
        else:
            pick = itemgetter(*places)
        known = _getters[id(code)] = (code, pick)  # the code is kept, so that its id stays its own
    return known[1]


def getters(rules: Iterable[Rule]) -> tuple[Callable[[Any], tuple[Any, ...]], ...]:
    """:func:`getter` of each rule."""
    return tuple(getter(rule) for rule in rules)


def _sources(rule: Rule, node: Node) -> tuple[Any, ...]:
    """Which node (or scalar, or None) each saved argument of a rule came from."""
    return getter(rule)((*node.inputs, node))


# --- source lines ---------------------------------------------------------------------------------------


class _Library(dict[str, bool]):
    """Is a file part of the library? Worked out once a file."""

    folders: tuple[str, ...] = (__file__.rpartition("graph.py")[0],)

    def __missing__(self, filename: str) -> bool:
        self[filename] = inside = filename.startswith(self.folders)
        return inside


LIBRARY = _Library()


def hide_frames(file: str) -> None:
    """Leave a library out when an operation's source line is looked for: the caller's line is shown instead.

    ``file`` is the ``__file__`` of the library's ``__init__``; every file in its folder counts.
    """
    folder = file.rpartition("__init__")[0]
    if not folder:
        raise ValueError(f"hide_frames expects the __file__ of a package's __init__, got {file!r}")
    LIBRARY.folders += (folder,)
    LIBRARY.clear()


def user_frame(frame: FrameType) -> FrameType:
    """The first frame outside the library, from ``frame`` outwards."""
    while LIBRARY[frame.f_code.co_filename] and frame.f_back is not None:
        frame = frame.f_back
    return frame


def source_line(code: CodeType | None, lasti: int) -> tuple[str, int] | None:
    """File and line number of a code object's instruction."""
    if code is None:
        return None
    for start, end, line in code.co_lines():
        if start <= lasti < end and line is not None:
            return code.co_filename, line
    return code.co_filename, code.co_firstlineno


def place(code: CodeType | None, lasti: int) -> str:
    """``file:line``, for messages."""
    line = source_line(code, lasti)
    return "an unknown place" if line is None else f"{line[0]}:{line[1]}"


# --- the log of writes ----------------------------------------------------------------------------------
#
# A write through the engine is stamped with a birth number. A node that was born later cannot be hurt by it,
# so a training step, whose nodes are all younger than the last optimiser step, pays one comparison a node;
# only an older node looks up whether one of the arrays it saved was hit. Views need no counters of their own:
# what counts is the array that owns the memory.


class _Writes:
    """The writes to one array's memory: how many, and the last few."""

    __slots__ = ("count", "recent", "ref")

    def __init__(self, ref: weakref.ref[Any]) -> None:
        self.ref = ref
        self.count = 0
        self.recent: deque[tuple[int, str]] = deque(maxlen=16)


_writes: dict[int, _Writes] = {}
_last_write = -1


def memory(array: Any) -> Any:
    """The array that owns an array's memory."""
    while (base := getattr(array, "base", None)) is not None and hasattr(base, "dtype"):
        array = base
    return array


def _forget(key: int, _: Any) -> None:
    _writes.pop(key, None)


def written(array: Any, by: str) -> None:
    """Note that an array was written to in place, by whom: a backward that saved it then refuses to run."""
    global _last_write
    owner = memory(array)
    key = id(owner)
    log = _writes.get(key)
    if log is None or log.ref() is not owner:
        log = _writes[key] = _Writes(weakref.ref(owner, partial(_forget, key)))
    log.count += 1
    _last_write = stamp = new_birth()
    log.recent.append((stamp, by))


def _check_unwritten(node: Node, rule: Rule, args: tuple[Any, ...]) -> None:
    for arg, source in zip(args, _sources(rule, node), strict=True):
        if not hasattr(arg, "dtype"):
            continue
        owner = memory(arg)
        log = _writes.get(id(owner))
        if log is None or log.ref() is not owner:
            continue
        later = [by for stamp, by in log.recent if stamp > node.birth]
        if later:
            what = "its result" if source is node else "an input"
            if isinstance(source, Node) and source is not node:
                what = f"its input {source.label or source.op!r}"
            raise InplaceError(
                f"{node.op} (called at {place(node.code, node.lasti)}) saved {what} of shape {arg.shape} for "
                f"backward, and {later[0]} has written to that memory since: it is at version {log.count}, "
                f"expected {log.count - len(later)}; run backward before {later[0]}, or write to a copy"
            )


# --- the walk -------------------------------------------------------------------------------------------


class Reading(NamedTuple):
    """How the walk reads rules."""

    xp: Any  # with which functions
    wrap: Callable[[Any, Any], Any] | None  # from a saved array and where it came from, what the rule gets
    ones: Callable[[Any], Any]  # ones with the shape and dtype of a gradient
    mend: Callable[[Any, Any, Any], Any]  # (g, local, gradient): 0 where a factor is 0 and gradient is not finite
    finite: Callable[[Iterable[Any]], bool]  # are all these gradients finite?


elementwise: set[str] = set()  # the operations whose rules map each element of g to one element


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
        if gradient.dtype.kind == "c":
            raise DTypeError(
                f"{_which(rule, like, node)} gave a gradient of dtype {gradient.dtype}, expected "
                f"{like.dtype}; complex numbers are computed with, but not differentiated: write the real "
                f"and imaginary parts separately"
            )
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
        if not rules or node in stops:
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
        plainly = plain and node.birth > _last_write
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
                elif entry[2]:
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


def _applied(rule: Rule, args: tuple[Any, ...], node: Node, g: Any, reading: Reading, careful: bool) -> Any:
    """What a rule gives, where more is asked than to call it: see :func:`_walk`."""
    tracer = current().tracer
    if tracer is not None:
        tracer.enter(f"backward of {node.op}")
    if node.birth < _last_write:
        _check_unwritten(node, rule, args)
    if reading.wrap is not None:
        args = tuple(map(reading.wrap, args, _sources(rule, node)))
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
