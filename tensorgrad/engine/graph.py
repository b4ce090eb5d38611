"""The computation graph: its nodes, and the rules they hold.

Works on arrays and nodes, never on Tensor. A node refers to the nodes it was computed from and to the arrays its
derivative rules need, and nothing refers back: a graph has no reference cycles, and is freed when the last reference
to it goes.

A **rule** is a function ``rule(xp, g, ...)`` that returns the gradient with respect to one input of an operation,
given the gradient ``g`` of its output. The names of its other parameters say what the operation has to save:

========  =========================================================================
``x``     the first input, as passed (an array, or a Python scalar)
``y``     the second input
``z``     the third input
``out``   the result
``*xs``   all inputs
``*all``  all inputs, and the result
========  =========================================================================

A rule uses operators and ``xp.*`` only, so that it can be evaluated with NumPy's functions on arrays (backward),
with tensorgrad's own on Tensors (derivatives of any order), and on any array class that implements NumPy's
protocols: the compiler's traced arrays, or another library's. It returns ``g`` itself, a view of it, or a
fresh array; never a saved array. The engine handles broadcasting and dtypes: ``unbroadcast`` in ``walk`` sums a
gradient over the axes its input was broadcast along, and casts it to its input's dtype.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable
from operator import itemgetter
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

from ..errors import GraphError
from .frames import place, user_frame
from .mode import Scope, current, silenced
from .writes import tick

__all__ = [
    "ArraySummary",
    "Constant",
    "Cut",
    "Freed",
    "Given",
    "Leaf",
    "Node",
    "Rule",
    "ancestors",
    "elementwise",
    "extra",
    "getter",
    "no_owner",
    "saved_for_backward",
    "sources",
]

Rule = Callable[..., Any]

elementwise: set[str] = set()  # the operations whose rules map each element of g to one element


class Node:
    """One recorded operation: what it was computed from, and how to go back.

    ``inputs`` holds, in order, the nodes of Tensor inputs, Python scalars as they are, a :class:`Given` for each plain
    array, and None for any other input. ``rules`` and ``saved`` have one entry for each input; a rule is None where no
    gradient is needed. ``value`` and ``gradient`` are kept for scalars, which are no larger than the node itself; for
    arrays, an :class:`ArraySummary` of each is kept under ``record_graph()``. When a node is released, ``saved``
    becomes a :class:`Freed`; at the next release, a node of an array also drops its ``inputs``.
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
        self.birth = tick()
        self.shape = shape
        self.dtype = out.dtype
        self.code = code  # the line that made it, as a code object and an offset; resolved when it is shown
        self.lasti = lasti
        self.scope = scope
        self.value = None if shape else out
        self.gradient: Any = None
        self.extra: Extra | None = None

    @property
    def label(self) -> str | None:
        """The name that the user gave the Tensor."""
        return None if self.extra is None else self.extra.label

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.op} {self.shape} {self.dtype} #{self.birth}>"


class Extra:
    """What only a few nodes have: a name, hooks, a Tensor that keeps its gradient, fingerprints, views."""

    __slots__ = ("hooks", "label", "owner", "prints", "views")

    def __init__(self) -> None:
        self.label: str | None = None
        self.hooks: dict[int, Callable[[Any], Any]] | None = None
        self.owner: weakref.ref[Any] | None = None  # the Tensor whose .grad to fill, after retain_grad()
        self.prints: tuple[tuple[int | None, ...], ...] | None = None  # fingerprints of what was saved, in debug mode
        self.views: list[weakref.ref[Any]] | None = None


class ArraySummary(NamedTuple):
    """What ``record_graph()`` keeps of an array's values or gradient for a drawing."""

    rms: float  # root mean square of the finite elements; 0 if there are none
    nan: int  # the number of elements that are NaN
    inf: int  # the number of elements that are infinite
    size: int

    @property
    def nonfinite(self) -> int:
        """The number of elements that are NaN or infinite."""
        return self.nan + self.inf

    @classmethod
    def of(cls, array: Any) -> ArraySummary:
        """Summarise an array of any library.

        >>> ArraySummary.of(np.array([3.0, 4.0, np.nan]))
        ArraySummary(rms=3.5355339059327378, nan=1, inf=0, size=3)
        """
        sizes = np.abs(getattr(array, "whole", array)).astype(np.float64)  # all elements of a batch of arrays
        finite = np.isfinite(sizes)
        nan, count = int(np.count_nonzero(np.isnan(sizes))), int(np.count_nonzero(finite))
        with silenced():
            squares = np.square(np.where(finite, sizes, 0.0))
            rms = math.sqrt(float(np.sum(squares)) / count) if count else 0.0
        return cls(rms, nan, int(sizes.size) - count - nan, int(sizes.size))


class Given:
    """A plain array among the inputs of a node: what a drawing says about it, without keeping it alive."""

    __slots__ = ("dtype", "ref", "shape")

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.shape = array.shape
        self.dtype = array.dtype
        self.ref = weakref.ref(array)


class Freed(NamedTuple):
    """What replaces ``Node.saved`` once a backward walk has freed the graph: the line that called it."""

    code: CodeType
    lasti: int


def extra(node: Node) -> Extra:
    """The node's :class:`Extra`, created on first use."""
    if node.extra is None:
        node.extra = Extra()
    return node.extra


class Leaf(Node):
    """The node of a Tensor that was not computed; refers to it weakly, to avoid a reference cycle."""

    __slots__ = ("owner",)

    def __init__(self, tensor: Any) -> None:
        super().__init__("leaf", (), (), (), tensor._data, tensor._data.shape, None, -1, current().scope)
        if not isinstance(self.value, np.ndarray):
            self.value = None  # only the Tensor has it; that of a scalar is kept for drawings
        self.owner: Callable[[], Any] = weakref.ref(tensor)


class Constant(Leaf):
    """The node of a Tensor that needs no gradient but is an operation's input: kept for drawings, never walked."""

    __slots__ = ("cut",)
    requires_grad = False

    def __init__(self, tensor: Any) -> None:
        super().__init__(tensor)
        self.cut = tensor.node if isinstance(tensor.node, Cut) else None


def no_owner() -> Any:
    """Stand in for the weak reference of a leaf that has no Tensor."""


class Cut(Leaf):
    """Why a result has no history although its inputs had one; shared by everything computed from it."""

    __slots__ = ("before", "origin", "why")
    requires_grad = False

    def __init__(self, why: str, origin: Node, frame: FrameType, op: str) -> None:
        frame = user_frame(frame)
        Node.__init__(self, op, (), (), (), origin, origin.shape, frame.f_code, frame.f_lasti, current().scope)
        self.value = None
        self.owner = no_owner
        self.why = why
        self.origin = weakref.ref(origin)  # where the history ended, as long as that node lives
        self.before = (origin.op, origin.label, origin.code, origin.lasti)


# --- rules ----------------------------------------------------------------------------------------------

_POSITION = {"x": 0, "y": 1, "z": 2, "out": -1}
_getters: dict[int, tuple[CodeType, Callable[[Any], tuple[Any, ...]]]] = {}


def _signature(rule: Rule) -> tuple[CodeType, tuple[str, ...], bool]:
    inner: Any = getattr(rule, "__wrapped__", rule)
    code = inner.__code__
    return code, code.co_varnames[2 : code.co_argcount], bool(code.co_flags & 0x04)


def getter(rule: Rule) -> Callable[[Any], tuple[Any, ...]]:
    """A function that picks what a rule needs from ``(*inputs, out)``, worked out once for each rule in the source."""
    code = getattr(rule, "__wrapped__", rule).__code__
    known = _getters.get(id(code))
    if known is None:
        code, names, rest = _signature(rule)
        unknown = [name for name in names if name not in _POSITION]
        if unknown:
            raise GraphError(
                f"a rule's parameters after (xp, g) must be x, y, z, out, *xs or *all, got {unknown[0]!r} in "
                f"{code.co_name}"
            )
        places = [_POSITION[name] for name in names]
        pick: Any
        if rest:
            pick = itemgetter(slice(0, None if code.co_varnames[code.co_argcount] == "all" else -1))
        elif not places:
            pick = itemgetter(slice(0, 0))
        elif len(places) == 1:  # a slice, because itemgetter(i) does not return a tuple
            pick = itemgetter(slice(places[0], places[0] + 1 if places[0] >= 0 else None))
        else:
            pick = itemgetter(*places)
        known = _getters[id(code)] = (code, pick)  # holding the code object keeps its id from being reused
    return known[1]


def sources(rule: Rule, node: Node) -> tuple[Any, ...]:
    """The node (or scalar, or None) that each saved argument of a rule came from."""
    return getter(rule)((*node.inputs, node))


def saved_for_backward(node: Node, source: Any, array: Any) -> str:
    """The start of the message about a write to a saved array: which operation saved it, and where that was called."""
    what = "its result" if source is node else "an input"
    if isinstance(source, Node) and source is not node:
        what = f"its input {source.label or source.op!r}"
    return f"{node.op} (called at {place(node.code, node.lasti)}) saved {what} of shape {array.shape} for backward"


def ancestors(roots: Iterable[Node]) -> list[Node]:
    """The roots and everything they were computed from."""
    seen = dict.fromkeys(roots)
    stack = list(seen)
    while stack:
        for parent in stack.pop().inputs:
            if isinstance(parent, Node) and parent not in seen:
                seen[parent] = None
                stack.append(parent)
    return list(seen)
