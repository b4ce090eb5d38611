"""Running a function once, with its backward: every NumPy call, and which of the values have names."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

import numpy as np

from ..compiler.array import TracedArray
from ..compiler.trace import Trace
from ..compiler.variables import Variable
from ..engine.frames import LIBRARY
from ..engine.graph import Leaf, ancestors
from ..engine.mode import Switch
from ..engine.readings import ARRAYS
from ..engine.staging import forms_of
from ..engine.walk import backward
from ..errors import GraphError

__all__ = ["Observer", "Recorded", "Recording", "Watched", "name_after", "names_of", "record_run"]


def name_after(code: CodeType, lasti: int) -> str | None:
    """The name that the result of an instruction is assigned to, if that is the next thing that happens to it.

    ``lasti`` may point into the cache entries of an instruction, so the next one is the first behind it.
    """
    for instruction in dis.get_instructions(code):
        if instruction.offset > lasti:
            if instruction.opname == "COPY":
                continue  # y := f(x), or y = z = f(x)
            if not instruction.opname.startswith("STORE_") or instruction.opname in ("STORE_ATTR", "STORE_SUBSCR"):
                return None
            name = instruction.argval
            text = str(name[0] if isinstance(name, tuple) else name)
            return text if text.isidentifier() else None  # pytest rewrites assertions with names such as @py_assert1
    return None


@dataclass
class Made:
    """The result of one operation: its variable, its node, and where it was called."""

    op: str
    variable: Any
    code: CodeType
    lasti: int
    inside: FrameType | None  # the outermost frame of the library
    node: Any = None
    value: Any = None  # where nothing is traced

    @property
    def name(self) -> str | None:
        """The name in the user's code."""
        return name_after(self.code, self.lasti)


class Observer:
    """Notes the results of operations; stands where the engine calls its debugger."""

    def __init__(self) -> None:
        self.made: list[Made] = []
        self.latest: Made | None = None

    def computed(self, op: str, arrays: Any, out: Any) -> None:
        """Note a result."""
        frame: FrameType = sys._getframe(1)
        inside = None
        while LIBRARY[frame.f_code.co_filename] and frame.f_back is not None:
            inside, frame = frame, frame.f_back
        variable = out.variable if isinstance(out, TracedArray) else None
        self.latest = Made(op, variable, frame.f_code, frame.f_lasti, inside)
        if variable is None:
            self.latest.value = out
        self.made.append(self.latest)

    def recorded(self, node: Any) -> None:
        """Note a result's node."""
        if self.latest is not None:
            self.latest.node = node

    def before_rule(self, node: Any, position: int) -> None:
        """Do nothing: backward runs without an observer."""

    def after_rule(self, node: Any, position: int, g: Any, gradient: Any) -> None:
        """Do nothing."""


class Recording(Trace):
    """A trace in which a function that stands for a formula is recorded as that formula.

    ``one_hot`` holds arrays that are 1 exactly once along an axis, with that axis: a formula with the attribute
    ``one_hot_axis`` tells it for its arguments.
    """

    def __init__(self) -> None:
        super().__init__()
        self.one_hot: dict[Variable, int] = {}

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
        """Record a call, or what its formula calls."""
        formula = forms_of(function).formula
        if formula is not None:
            result = formula(*args, **kwargs)
            axis = formula.one_hot_axis(*args, **kwargs) if hasattr(formula, "one_hot_axis") else None
            if axis is not None:
                self.one_hot[result.variable] = axis
            return result
        options: dict[str, Any] = {"effect": effect, "writes": writes, "fixed": fixed, "early": early}
        return super().call(function, args, kwargs, **options, comes_from_outside=comes_from_outside)


class Watched(Switch):
    """Trace the block, and note the results of its operations if there is an observer."""

    def __init__(self, trace: Trace | None, observer: Observer | None) -> None:
        super().__init__()
        self.trace, self.observer = trace, observer

    def _changed(self, old: Any) -> Any:
        return old.but(tracer=self.trace, keep=False, debug=self.observer, grad=True)


@dataclass
class Recorded:
    """A run and its backward.

    Attributes:
        trace: the instructions, the first ``forward`` of which are the forward's.
        made: the results of operations, in order; ``names``: the user's names, by variable.
        out: the variable of the result; ``seed``: that of the upstream gradient, None for a scalar result.
        cotangents: the gradients of the operations' results, by the variable of the gradient.
        gradients: for each leaf the variable of its gradient, or None if the result does not depend on it.
    """

    trace: Recording
    forward: int
    made: list[Made]
    names: dict[Variable, str]
    out: Variable
    seed: Variable | None
    cotangents: dict[Variable, Variable] = field(default_factory=dict)
    gradients: dict[int, Variable | None] = field(default_factory=dict)


def record_run(run: Callable[[], Any], leaves: list[Any], what: str) -> Recorded:
    """Run a function of Tensors and its backward, for the gradients of all leaves.

    Raises GraphError if the result has no history, or the function looks at values.
    """
    trace, observer = Recording(), Observer()
    try:
        with Watched(trace, observer):
            out: Any = run()
    except GraphError as error:
        if "tensorgrad.compile is tracing" in str(error):
            raise GraphError(
                f"{what} needs one formula for all values, but {_name(run)} looks at them (an if, float() or item()); "
                f"use tg.where, or pass what it decides as a Python number"
            ) from error
        raise
    if not isinstance(getattr(out, "_data", None), TracedArray):
        raise TypeError(f"{what} expects a function that returns one Tensor, got {type(out).__name__}")
    if out.node is None or not out.node.requires_grad:
        raise GraphError(
            f"the result does not depend on any argument that has a gradient, so there is nothing to {what}"
        )
    made = {m.node: m for m in observer.made if m.node is not None}
    result = Recorded(
        trace,
        len(trace.instructions),
        observer.made,
        names_of([m for m in observer.made if m.variable is not None]),
        out._data.variable,
        None,
    )
    seed: Any = np.ones(out.shape)
    if out.shape:
        seed = trace.traced(seed, "argument")
        result.seed = seed.variable
    nodes = [node for node in ancestors([out.node]) if node in made or (isinstance(node, Leaf) and node.requires_grad)]
    with Watched(trace, None):
        found = backward(out.node, seed if out.shape else trace.lift(seed), ARRAYS, targets=nodes)
    for node, m in made.items():
        if node in found:
            result.cotangents[found[node].variable] = m.variable
    for leaf in leaves:
        g = found.get(leaf.node)
        result.gradients[id(leaf)] = None if g is None else g.variable
    trace.active = False
    for m in observer.made:
        m.inside = None
    return result


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", "the function")


def names_of(made: list[Made]) -> dict[Any, str]:
    """The user's names, by variable, or by node where nothing is traced.

    Of the operations that one call of the library is composed of, the last has the name.
    """
    names: dict[Any, str] = {}
    for m, after in zip(made, [*made[1:], None], strict=True):
        composed = after is not None and m.inside is not None and after.inside is m.inside
        name = None if composed else m.name
        key = m.node if m.variable is None else m.variable
        if name is not None and key is not None and key not in names:
            names[key] = name
    return names
