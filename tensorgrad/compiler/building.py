"""From a call of a step to a program: the run that is traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.interrupts import uninterrupted
from ..engine.mode import tracing
from ..engine.record import Handle, tensor_of
from ..engine.trees import alike, mapped, parts_of
from ..engine.trees import leaves as leaves_of
from ..engine.writes import written
from ..errors import GraphError
from .array import TracedArray, TracedNumber
from .guards import FunctionsMet
from .passes import optimise
from .program import Program
from .replay import Replay
from .text import defined
from .trace import Trace, memory
from .variables import Variable

__all__ = ["Broken", "traced"]


class Broken(Exception):
    """The traced run failed, and left everything as it was.

    Attributes:
        error: why.
        hosted: what host functions had returned.
    """

    def __init__(self, error: Exception, hosted: list[Any]) -> None:
        self.error, self.hosted = error, hosted


def traced(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    backend: str,
    by: str,
    edits: bool,
) -> tuple[Replay, Any]:
    """Run a step, which is called ``by``, and trace it. With ``edits``, edited functions end the program.

    Returns the program, ready to run, and what the step returned. Raises Broken.
    """
    met = FunctionsMet(function, edits)
    trace = Trace(met, keep=False)
    arguments: list[Variable] = []

    def enter(leaf: Any) -> Any:
        value = leaf.data if isinstance(leaf, Handle) else leaf
        if isinstance(value, np.generic):
            value = value.item()
        if not isinstance(value, np.ndarray) and type(value) is not float:
            return leaf
        traced = trace.traced(value, "argument")
        arguments.append(traced.variable)
        if not isinstance(leaf, Handle):
            return traced
        if leaf.node is not None and leaf.node.requires_grad:
            raise GraphError(
                "an argument of a compiled step must not require a gradient, because its .grad would be lost; "
                "use the Tensor from outside the step, or pass t.detach()"
            )
        return tensor_of(traced, None)

    run = failed = None
    try:
        inner_args, inner_kwargs = mapped(enter, (args, kwargs))
        with tracing(trace), met:
            returned = [function(*inner_args, **inner_kwargs)]
        own = trace.begin_anew(returned)
        for variable in trace.captured.values():
            if isinstance(variable.source, Handle) and isinstance(variable.source.data, TracedArray):
                raise GraphError(
                    "a compiled step must write to a Tensor's data in place (tg.writes_to(t, ...)[...] = value), "
                    "not replace the array"
                )
        outputs: list[Variable] = []
        # As with NumPy's functions, a 0-d result is a NumPy scalar; a transform has answered an array in kind.
        given = leaves_of((args, kwargs))
        numbers = not any(isinstance(leaf, np.ndarray) and leaf.shape == () for leaf in given)

        def output(array: TracedArray) -> int:
            if array.variable not in outputs:
                outputs.append(array.variable)
            return outputs.index(array.variable)

        def leave(leaf: Any) -> Any:
            """A returned leaf, as a function of the program's results."""
            if isinstance(leaf, TracedNumber):
                raise GraphError(
                    "a compiled step returns Tensors and arrays, got a Python number that changes from run to run; "
                    "return it as a Tensor"
                )
            array: Any = leaf._data if isinstance(leaf, Handle) else leaf
            if isinstance(array, TracedArray):
                place = output(array)
                made = array.variable.owner.value
            else:
                place, made = -1, array
            if place < 0 and own.isdisjoint(memory(made)):
                return lambda values: leaf
            # The next run writes to the memory of arrays that the step makes, so the result is a copy.
            taken = np.asarray if own.isdisjoint(memory(made)) else np.copy
            of: Callable[[Any], Any] = _itself
            if isinstance(leaf, Handle):
                of = _tensor
            elif numbers and array.shape == ():
                of = _number
            if place < 0:
                return lambda values: of(taken(array))
            return lambda values: of(taken(values[place]))

        (plan,) = mapped(leave, returned)
        for known in trace.gradients.values():
            g = getattr(known.owner, "_grad", None)
            if isinstance(g, Handle):
                raise GraphError(
                    "a compiled step must not leave gradients with their own graph (create_graph=True) in .grad; "
                    "set them to None, or return them"
                )
            if isinstance(g, TracedArray) and g.variable is not known.variable:
                output(g)
        first = tuple(variable.value for variable in outputs)
        arguments += [known.variable for known in trace.gradients.values() if known.variable is not None]
        program = Program(trace, arguments, outputs, by)
        optimise(program)
        run = Replay(trace, program, met, _building(plan), backend)
        run.code.writer.wrote()
        return run, run.result(first)
    except Exception as error:
        failed = error
        raise Broken(error, trace.hosted) from error
    finally:
        with uninterrupted():
            _put_back(trace, failed=failed is not None, broken=run is None, by=by)


def _itself(result: Any) -> Any:
    return result


def _tensor(result: Any) -> Any:
    return tensor_of(result, None)


def _number(result: Any) -> Any:
    return result[()]


def _building(plan: Any) -> Callable[[tuple[Any, ...]], Any]:
    """A function of the program's results that builds what the step returns, without a walk through the tree."""
    names: dict[str, Any] = {"alike": alike}
    text = f"def build(values):\n    return {_shown(plan, names)}"
    build: Callable[[tuple[Any, ...]], Any] = defined("build", text, names, "<result of a compiled step>")
    return build


def _shown(tree: Any, names: dict[str, Any]) -> str:
    """The expression that builds a tree, whose leaves get names."""
    name = f"x{len(names)}"
    parts = parts_of(tree)
    if parts is None:
        names[name] = tree
        return f"{name}(values)"
    inner = ", ".join(_shown(part, names) for part in parts)
    if type(tree) is list:
        return f"[{inner}]"
    if type(tree) is tuple:
        return f"({inner}{',' if len(parts) == 1 else ''})"
    name = f"x{len(names)}"
    names[name] = tree
    return f"alike({name}, [{inner}])"


def _put_back(trace: Trace, *, failed: bool, broken: bool, by: str) -> None:
    """End a trace: put real arrays back where traced ones were, and everything as it was if the trace failed.

    If it was broken off by Ctrl-C, what the step has done stays, as it does when a step runs uncompiled.
    """
    trace.active = False
    for known in trace.gradients.values():
        g = getattr(known.owner, "_grad", None)
        if failed:
            known.owner._grad = known.before
        elif isinstance(g, TracedArray):
            known.owner._grad = known.before if g.variable is known.variable else g.value
        elif isinstance(g, Handle) and isinstance(g.data, TracedArray):
            known.owner._grad = None
        known.before = None
    if failed:
        trace.undo()
    if broken:
        for variable in trace.captured.values():
            source = variable.source
            if isinstance(source, Handle) and isinstance(source.data, TracedArray):
                source._data = variable.value if failed else source.data.value
            written(variable.value, by)
    trace.before.clear()
    for variable in trace.variables:  # the values of the traced run are no longer needed
        if variable.kind != "captured":
            variable.value = None
