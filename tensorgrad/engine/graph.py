"""The computation graph: its nodes, and the rules they hold.

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
``*all``  all inputs, and the result
========  =========================================================================

A rule uses operators and ``xp.*`` alone, so that it can be read with NumPy's functions on arrays (backward),
with tensorgrad's own on Tensors (any order of derivative), and on any array class that speaks NumPy's
protocols: the compiler's traced arrays, or another library's. It returns ``g`` itself, a view of it, or a
fresh array; never a saved array. Broadcasting and dtypes are the engine's business: a gradient is summed over
the axes its input was broadcast along and cast to its input's dtype in one place, ``unbroadcast`` in ``walk``.
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
from .mode import Scope, current
from .writes import tick

__all__ = [
    "ArraySummary",
    "Constant",
    "Cut",
    "Freed",
    "Leaf",
    "Node",
    "Rule",
    "behind",
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

    ``inputs`` holds, in order, the nodes of Tensor inputs; a Python scalar stands for itself, and None for an
    input that is neither. ``rules`` and ``saved`` run along with it: no rule (None) where no gradient is
    needed. ``value`` and ``gradient`` are kept for scalars, which are no larger than the node itself; for
    arrays, under ``record_graph()``, a :class:`ArraySummary` of them. When a node is
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
        self.birth = tick()
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
    """What few nodes have: a name, hooks, a Tensor that wants its gradient, views, fingerprints."""

    __slots__ = ("hooks", "label", "owner", "prints", "views")

    def __init__(self) -> None:
        self.label: str | None = None
        self.hooks: dict[int, Callable[[Any], Any]] | None = None
        self.owner: weakref.ref[Any] | None = None  # the Tensor whose .grad to fill, after retain_grad()
        self.prints: tuple[tuple[int | None, ...], ...] | None = None  # of what was saved, in debug mode
        self.views: list[weakref.ref[Any]] | None = None


class ArraySummary(NamedTuple):
    """What is kept of an array's values or gradient for a drawing, under ``record_graph()``."""

    rms: float  # root mean square of the finite elements; 0 where there are none
    nan: int  # how many elements are NaN
    inf: int  # how many are infinite
    size: int

    @property
    def nonfinite(self) -> int:
        """How many elements are NaN or infinite."""
        return self.nan + self.inf

    @classmethod
    def of(cls, array: Any) -> ArraySummary:
        """Summarise an array of any library.

        >>> ArraySummary.of(np.array([3.0, 4.0, np.nan]))
        ArraySummary(rms=3.5355339059327378, nan=1, inf=0, size=3)
        """
        sizes = np.abs(getattr(array, "whole", array)).astype(np.float64)  # of a batch of arrays, all of it
        finite = np.isfinite(sizes)
        nan, count = int(np.count_nonzero(np.isnan(sizes))), int(np.count_nonzero(finite))
        with np.errstate(all="ignore"):
            squares = np.square(np.where(finite, sizes, 0.0))
            rms = math.sqrt(float(np.sum(squares)) / count) if count else 0.0
        return cls(rms, nan, int(sizes.size) - count - nan, int(sizes.size))


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
        super().__init__("leaf", (), (), (), tensor._data, tensor._data.shape, None, -1, current().scope)
        self.value = None  # the Tensor has it
        self.owner: Callable[[], Any] = weakref.ref(tensor)


class Constant(Leaf):
    """A Tensor that needs no gradient, as an operation's input: known for drawings, never walked."""

    __slots__ = ("cut",)
    requires_grad = False

    def __init__(self, tensor: Any) -> None:
        super().__init__(tensor)
        self.cut = tensor.node if isinstance(tensor.node, Cut) else None


def no_owner() -> Any:
    """The weak reference of a leaf that has no Tensor."""


class Cut(Leaf):
    """Why a result has no history, although what it was computed from had: shared by all that follow from it."""

    __slots__ = ("before", "origin", "why")
    requires_grad = False

    def __init__(self, why: str, origin: Node, frame: FrameType, op: str) -> None:
        frame = user_frame(frame)
        Node.__init__(self, op, (), (), (), origin, origin.shape, frame.f_code, frame.f_lasti, current().scope)
        self.value = None
        self.owner = no_owner
        self.why = why
        self.origin = weakref.ref(origin)  # where the history ended, while that is there
        self.before = (origin.op, origin.label, origin.code, origin.lasti)


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
                f"a rule's parameters after (xp, g) are x, y, z, out, *xs or *all: got {unknown[0]!r} in {code.co_name}"
            )
        places = [_POSITION[name] for name in names]
        pick: Any
        if rest:
            pick = itemgetter(slice(0, None if code.co_varnames[code.co_argcount] == "all" else -1))
        elif not places:
            pick = itemgetter(slice(0, 0))
        elif len(places) == 1:  # a slice, because itemgetter(i) would not give a tuple
            pick = itemgetter(slice(places[0], places[0] + 1 if places[0] >= 0 else None))
        else:
            pick = itemgetter(*places)
        known = _getters[id(code)] = (code, pick)  # the code is kept, so that its id stays its own
    return known[1]


def sources(rule: Rule, node: Node) -> tuple[Any, ...]:
    """Which node (or scalar, or None) each saved argument of a rule came from."""
    return getter(rule)((*node.inputs, node))


def saved_for_backward(node: Node, source: Any, array: Any) -> str:
    """Which array an operation saved, where: the beginning of what is said when it was written to."""
    what = "its result" if source is node else "an input"
    if isinstance(source, Node) and source is not node:
        what = f"its input {source.label or source.op!r}"
    return f"{node.op} (called at {place(node.code, node.lasti)}) saved {what} of shape {array.shape} for backward"


def behind(roots: Iterable[Node]) -> list[Node]:
    """The roots and all that they were computed from."""
    seen = dict.fromkeys(roots)
    stack = list(seen)
    while stack:
        for parent in stack.pop().inputs:
            if isinstance(parent, Node) and parent not in seen:
                seen[parent] = None
                stack.append(parent)
    return list(seen)
