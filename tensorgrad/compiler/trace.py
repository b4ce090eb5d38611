"""A trace: the NumPy calls of one run of a step, and what they use from outside."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engine.graph import Leaf
from ..engine.mode import current
from ..engine.record import Handle
from ..engine.trees import alike, leaves, parts_of
from ..errors import GraphError
from ..words import escaped
from .array import TracedArray, TracedNumber
from .guards import FunctionsMet
from .variables import FILLED, Instruction, Variable

__all__ = ["LeafGradient", "Trace", "memory", "offset_in"]

_nothing = object()
_PLAIN = frozenset((int, float, bool, str, type(None)))  # arguments that need no second look


@dataclass(eq=False)
class LeafGradient:
    """What a step does to a leaf's ``grad``."""

    owner: Any
    needed: bool  # does the step depend on the previous gradient?
    before: Any
    variable: Variable | None  # the previous gradient, as an argument of the program


class Trace:
    """The instructions of one run, and what they use from outside; the ``tracer`` of the engine's mode.

    Args:
        met: collects the functions that are called.
        keep: keep all values. Otherwise those of results live as long as in an uncompiled run, and so does its memory.
    """

    def __init__(self, met: FunctionsMet | None = None, *, keep: bool = True) -> None:
        self._met = FunctionsMet(None) if met is None else met
        self._keep = keep
        self.instructions: list[Instruction] = []
        self.variables: list[Variable] = []
        self.captured: dict[int, Variable] = {}
        self.before: dict[Variable, Any] = {}  # captured arrays and arguments that the step writes to, as they were
        self.hosted: list[Any] = []  # what host functions returned
        self.gradients: dict[int, LeafGradient] = {}
        self.watched: list[tuple[object, str, Any]] = []
        self._last_seen: dict[tuple[int, str], Any] = {}  # the values of what is watched
        self.comment = ""
        self.active = True

    # --- what the engine calls (mode.Tracer) ------------------------------------------------------------

    def enter(self, comment: str) -> None:
        """Set what the next instructions belong to. It is on one line: in a program's text, it is a comment."""
        scope = current().scope.path
        self.comment = escaped(f"{scope}: {comment}" if scope else comment)

    def lift(self, source: Any) -> Any:
        """The traced array for a Tensor's data or an ndarray; scalars and traced arrays unchanged."""
        if isinstance(source, Handle):
            if isinstance(source.data, TracedArray):
                return source.data
            if source.node is not None and source.node.requires_grad and not isinstance(source.node, Leaf):
                raise GraphError(
                    f"a compiled step uses the result of {source.node.op}, which was recorded outside it, so every run "
                    f"would go back through it; compute it in the step, or detach() it"
                )
            value = source.data
        elif isinstance(source, np.ndarray):
            value = source
        else:
            return source
        variable = self.captured.get(id(source))
        if variable is None:
            variable = self.variable("captured", value)
            variable.source = source  # also keeps it alive, so that its id is not reused
            self.captured[id(source)] = variable
        return TracedArray(self, variable)

    def scratch(self, array: Any) -> Any:
        """The traced array for an ndarray in which a run may leave anything."""
        lifted = self.lift(array)
        if lifted is not array:
            lifted.variable.scratch = True
        return lifted

    def host(self, function: Callable[[], Any], early: bool) -> Any:
        """Call an outside function, now and in every run."""
        return self.call(function, (), {}, effect=True, fixed=True, comes_from_outside=True, early=early)

    def watch(self, owner: object, attribute: str) -> None:
        """Make an attribute's value a condition of this trace."""
        value = getattr(owner, attribute)
        if self._last_seen.get((id(owner), attribute), _nothing) is not value:
            self._last_seen[id(owner), attribute] = value
            self.watched.append((owner, attribute, value))

    def gradient(self, owner: Any, needed: bool) -> None:
        """Take over a leaf's gradient when the step first reads or replaces it."""
        if id(owner) in self.gradients:
            return
        before = getattr(owner, "_grad", None)
        if isinstance(before, Handle):
            raise GraphError(
                "a compiled step cannot start from a gradient that has its own graph (create_graph=True); set grad to "
                "None first"
            )
        known = self.gradients[id(owner)] = LeafGradient(owner, needed, before, None)
        if needed and before is not None:
            owner._grad = self.traced(before, "argument")
            known.variable = owner._grad.variable

    def begin_anew(self, returned: Any) -> set[int]:
        """Let every run begin with the values of arrays that the step made, without a traced call, and then wrote to.

        Nothing outside the step refers to such an array; ``returned`` is what the step returned. Returns the ids of
        these arrays.
        """
        kept = Counter(map(id, leaves(returned)))
        kept.update(id(t._data) for t in leaves(returned) if isinstance(t, Handle) and id(t) not in self.captured)
        known = _Known(self.variables, kept)
        own = set()
        for variable, value in self.before.items():
            if variable.kind == "captured" and not known.referred_to(variable.value):
                own |= memory(variable.value)
                begin = Instruction(np.copyto, (variable, value), {}, (), "what the step made", writes=variable)
                self.instructions.insert(0, begin)
        return own

    def undo(self) -> None:
        """Put back what the run has written."""
        for variable, value in reversed(self.before.items()):  # they may share memory
            np.copyto(variable.value, value)

    # --- recording --------------------------------------------------------------------------------------

    def variable(self, kind: str, value: Any) -> Variable:
        """Create a variable."""
        variable = Variable(len(self.variables), kind, value)
        self.variables.append(variable)
        return variable

    def traced(self, value: Any, kind: str = "array") -> Any:
        """Create a variable, and return it as a traced array or number."""
        if isinstance(value, np.generic):
            value = np.asarray(value)
        if isinstance(value, bool | int | float):
            return TracedNumber(self, self.variable("number", value))
        return TracedArray(self, self.variable(kind, value))

    def call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        effect: bool = False,
        writes: TracedArray | None = None,
        fixed: bool = False,
        comes_from_outside: bool = False,
        early: bool = False,
    ) -> Any:
        """Run a function on the values of traced arguments, record the call, and trace the result.

        ``effect``: the call runs even if its result is not used. ``writes``: what is written to in place. ``fixed``:
        the shape of the result may depend on values, and must be checked in every run. ``comes_from_outside``: another
        call would give something else. ``early``: it may run before a check that fails.
        """
        if not self.active:
            raise GraphError(
                "an array of a compiled step was used after the step was traced; only the return value of a compiled "
                "step may be kept: do not store its Tensors in attributes or globals"
            )
        self._met.pause()
        try:
            self._met.meet(function)
            return self._call(function, args, kwargs, effect, writes, fixed, comes_from_outside, early)
        finally:
            self._met.go_on()

    def _call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        effect: bool,
        writes: TracedArray | None,
        fixed: bool,
        comes_from_outside: bool,
        early: bool,
    ) -> Any:
        if writes is not None:
            owner = writes.variable.owner
            if owner.kind in ("captured", "argument") and owner not in self.before:
                self.before[owner] = np.copy(owner.value, order="K")
        reads: list[Variable] = []
        arrays: list[tuple[TracedArray, Any]] = []
        values, inner_args = self._split(args, reads, arrays)
        named, inner_kwargs = self._split(kwargs, reads, arrays) if kwargs else (kwargs, {})
        result = function(*values, **named)
        del values, named
        if comes_from_outside:
            self.hosted.append(result)
        if writes is not None:
            outs: tuple[Any, ...] = ()
        elif isinstance(result, (tuple, list)):
            outs = tuple([self.traced(item) for item in result])
        else:
            outs = () if result is None else (self.traced(result),)
        for out in outs:
            if type(out) is TracedArray:
                made = out.variable
                value, same = made.value, False
                for read, known in arrays:
                    same = same or value is known
                    if made.root is None and (
                        value is known or (value.base is not None and np.may_share_memory(value, known))
                    ):
                        made.root = read.variable
                        made.shift = offset_in(value, known)
                        made.by_number = any(variable.kind == "number" for variable in reads)
                        out.base = read
                constant = not arrays or function in FILLED  # the passes want to know it
                if not (self._keep or constant or same):
                    out.held = made.let_go()
                del value
        del arrays  # like value, it would keep alive what was let go
        self.instructions.append(
            Instruction(
                function,
                inner_args,
                inner_kwargs,
                tuple(out.variable for out in outs),
                self.comment,
                None if writes is None else writes.variable,
                effect,
                fixed,
                comes_from_outside,
                early,
                reads,
            )
        )
        if writes is not None:
            return writes
        if isinstance(result, (tuple, list)):
            return alike(result, outs)
        return outs[0] if outs else None

    def _split(self, tree: Any, reads: list[Variable], arrays: list[tuple[TracedArray, Any]]) -> tuple[Any, Any]:
        """The values of arguments, and their variables, which are added to ``reads``; the arrays also to ``arrays``."""
        kind = type(tree)
        if kind in _PLAIN:
            return tree, tree
        leaf = self.lift(tree) if isinstance(tree, np.ndarray) else tree
        if isinstance(leaf, (TracedArray, TracedNumber)):
            variable = leaf.variable
            value = variable.value
            reads.append(variable)
            if isinstance(leaf, TracedArray):
                arrays.append((leaf, value))
            return value, variable
        parts = parts_of(tree)
        if parts is None:
            return tree, tree
        values, variables = [], []
        for part in parts:
            value, variable = self._split(part, reads, arrays)
            values.append(value)
            variables.append(variable)
        if kind is tuple:  # most are
            return tuple(values), tuple(variables)
        return alike(tree, values), alike(tree, variables)


def offset_in(array: Any, whole: Any) -> int:
    """Where an array begins in another one's memory, in bytes."""
    begin, start = (each.__array_interface__["data"][0] for each in (array, whole))
    return int(begin - start)


def memory(array: Any) -> set[int]:
    """The ids of an array and of those that it is a view of."""
    found = set()
    while isinstance(array, np.ndarray):
        found.add(id(array))
        array = array.base
    return found


class _Known:
    """The references to arrays that a trace holds itself, and those of the step's result, ``kept``."""

    def __init__(self, variables: Iterable[Variable], kept: Counter[int]) -> None:
        self.kept = kept
        self.holders: dict[int, list[Variable]] = defaultdict(list)  # by id: the variables with that value
        self.views: dict[int, set[int]] = defaultdict(set)  # by id: the values that are views of that array
        for variable in variables:
            self.holders[id(variable.value)].append(variable)
            self.views[id(getattr(variable.value, "base", None))].add(id(variable.value))

    def referred_to(self, array: Any) -> bool:
        """Whether anything else refers to an array, to its Tensor or to its memory."""
        while isinstance(array, np.ndarray):
            count = 2 + self.kept[id(array)]  # the name here, and the argument of getrefcount
            for holder in self.holders[id(array)]:
                count += 1
                if holder.source is not None:
                    if holder.source is not array and sys.getrefcount(holder.source) > 2 + self.kept[id(holder.source)]:
                        return True
                    count += 1  # the source itself, or that Tensor's data
            if sys.getrefcount(array) > count + len(self.views[id(array)]):
                return True
            array = array.base
        return array is not None  # memory that is not NumPy's
