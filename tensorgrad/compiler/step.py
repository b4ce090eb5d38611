"""``tensorgrad.compile``: a step is traced in its first call and replayed as straight-line NumPy code afterwards."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from types import MethodType
from typing import Any

import numpy as np

from ..engine.duck import DuckArray
from ..engine.interrupts import uninterrupted
from ..engine.mode import current, tracing
from ..engine.record import Handle, tensor_of
from ..engine.staging import observed
from ..engine.trees import leaves as tree_leaves
from ..engine.trees import mapped, parts_of
from ..engine.writes import written
from ..errors import GraphError
from .array import TracedArray, TracedNumber
from .program import Program
from .trace import LeafGradient, Trace, memory
from .variables import Variable

__all__ = ["CompiledStep", "compile"]

MANY_TRACES = 32  # a step with this many programs is hardly ever replayed


def compile(function: Callable[..., Any]) -> CompiledStep:
    """Compile a training step: forward, backward, optimiser update and running statistics in one program.

    The first call runs the step and records every NumPy call it makes. Later calls with arguments of the same shapes
    and dtypes replay that program, with the results in buffers that are allocated once. Losses and parameters equal
    those of the uncompiled step bit for bit.

    These may change from run to run: array and float arguments; the memory of Tensors from outside, their gradients
    and hooks; what :func:`tensorgrad.host` returns (which includes learning rates and random masks in ``nn``). A
    change of these is detected, and the step is traced again: the shape, dtype or memory layout of an array; the value
    of an integer, boolean or string argument; what :func:`tensorgrad.watch` reads (a model's ``train()`` or
    ``eval()``, the settings of ``nn``'s layers and optimisers); a parameter being frozen. An array that the step makes
    without any of these (``np.zeros(3)``) has the same values at the beginning of every run, even if the step writes to
    it; an array from outside keeps what was written. Everything else that Python does in the step happens only once,
    while tracing: reading attributes of your own objects, writing files, calling ``rng.random()``, looking at
    ``t.data``.

    Args:
        function: a function of Tensors, arrays and numbers that returns any of these, in tuples, lists or dicts. It
            may use and update parameters, optimisers and modules from outside; it must not store a Tensor that it
            computes anywhere except in its return value.

    Returns:
        A :class:`CompiledStep`, which is called like the function.

    Raises:
        GraphError: while tracing, if the step branches on values (``if loss < 1``): see :func:`tensorgrad.where`
            and :func:`tensorgrad.indivisible`; in a run, if a shape depends on values (``x[x > 0]``).
        NonFiniteError: a gradient is NaN or infinite, even if it came from zero times an infinite derivative, which
            the uncompiled step would repair.

    Warns:
        RuntimeWarning: the step has been traced very often.

    >>> import numpy as np, tensorgrad as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True, name="w")
    >>> @tg.compile
    ... def step(x):
    ...     w.grad = None
    ...     loss = ((w * x) ** 2.0).sum()
    ...     loss.backward()
    ...     tg.writes_to(w, "step")[...] -= 0.1 * tg.array_of(w.grad)
    ...     return loss
    >>> step(np.ones(2)).item(), step(np.ones(2)).item()
    (5.0, 3.2)
    """
    return CompiledStep(function)


class CompiledStep:
    """A function that is traced and replayed; made by :func:`compile`.

    Attributes:
        function: the uncompiled step.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise TypeError(f"compile expects a function, got {type(function).__name__}")
        self.function = function
        self._runs: dict[Any, list[_Replay]] = {}
        self._latest: _Replay | None = None
        self._lock = threading.RLock()  # only one call at a time can use the buffers of a program
        functools.update_wrapper(self, function)

    @property
    def source(self) -> str:
        """The program of the last call as Python source. Raises GraphError before the first call."""
        if self._latest is None:
            raise GraphError("there is no program yet: a step is traced when it is first called")
        return self._latest.program.source

    @property
    def traces(self) -> int:
        """The number of programs: one for each combination of shapes, dtypes and settings so far."""
        return sum(map(len, self._runs.values()))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the step: it is traced the first time, and replayed after that."""
        if current().tracer is not None or any(map(_stands_in, tree_leaves((args, kwargs)))):
            return self.function(*args, **kwargs)  # inside another compiled step, or inside vmap
        with self._lock:
            return self._called(args, kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Bind like a function, so that methods can be compiled."""
        return self if instance is None else MethodType(self, instance)

    def _called(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        leaves: list[Any] = []
        key = (current().grad, _key((args, kwargs), leaves))
        runs = self._runs.setdefault(key, [])
        for run in runs:
            if run.fits():
                self._latest = run
                return run(leaves)
        if observed():
            return self.function(*args, **kwargs)
        run, result = _traced(self.function, args, kwargs)
        runs.append(run)
        del runs[:-MANY_TRACES]
        self._latest = run
        if self.traces == MANY_TRACES:
            warnings.warn(
                f"a compiled step was traced {MANY_TRACES} times, for as many combinations of shapes, dtypes, integers "
                f"and settings; pass a number that changes in every call as a float or an array",
                RuntimeWarning,
                stacklevel=3,
            )
        return result


def _stands_in(leaf: Any) -> bool:
    """Whether an argument is not an array but a batch of them."""
    return isinstance(leaf._data if isinstance(leaf, Handle) else leaf, DuckArray)


def _key(tree: Any, leaves: list[Any]) -> Any:
    """What a program depends on in the arguments; collects the arrays and floats, which are its own arguments."""
    kind = type(tree)
    parts = parts_of(tree)
    if parts is not None:
        names = tuple(tree) if isinstance(tree, dict) else ()
        return (kind, names, *(_key(part, leaves) for part in parts))
    array = tree.data if isinstance(tree, Handle) else tree
    if isinstance(array, np.ndarray):
        leaves.append(array)
        requires_grad = isinstance(tree, Handle) and tree.node is not None and tree.node.requires_grad
        return (kind, array.shape, array.dtype, array.strides, requires_grad)
    number = tree.item() if isinstance(tree, np.generic) else tree
    if type(number) is float:
        leaves.append(number)
        return kind
    try:
        hash(number)
    except TypeError as error:
        raise TypeError(
            f"a compiled step takes Tensors, arrays, numbers, strings and None, in tuples, lists or dicts, "
            f"got {kind.__name__}"
        ) from error
    return (kind, number)


class _Replay:
    """One program, the conditions under which it is valid, and how to build the return value."""

    def __init__(self, trace: Trace, program: Program, result: Callable[[tuple[Any, ...]], Any]) -> None:
        self.program = program
        self.result = result
        self.watched = trace.watched
        self.leaves = [(v.source, *_facts(v.source)) for v in program.captured if isinstance(v.source, Handle)]
        self.gradients = list(trace.gradients.values())
        self.before = [_layout(known.before) for known in self.gradients]
        self.places = [_place_of(known, program) for known in self.gradients]

    def fits(self) -> bool:
        """Whether the program is valid for the current state."""
        for owner, attribute, value in self.watched:
            if getattr(owner, attribute) != value:
                return False
        for owner, *facts in self.leaves:
            if _facts(owner) != tuple(facts):
                return False
        for known, before in zip(self.gradients, self.before, strict=True):
            if known.needed and _layout(getattr(known.owner, "_grad", None)) != before:
                return False
        return self.program.current()

    def __call__(self, leaves: list[Any]) -> Any:
        leaves += [known.owner._grad for known in self.gradients if known.variable is not None]
        with uninterrupted():  # after Ctrl-C, the state is that before this run, or that after it
            try:
                with np.errstate(all="ignore"):
                    values = self.program.run(*leaves)
            finally:
                self.log()
            for known, place in zip(self.gradients, self.places, strict=True):
                if place is not None:
                    known.owner._grad = values[place] if place >= 0 else None
        return self.result(values)

    def log(self) -> None:
        """Log what was written to, for graphs that were recorded before."""
        for array in self.program.written:
            written(array, "a compiled step")


def _facts(owner: Any) -> tuple[Any, ...]:
    """What the program depends on in a captured Tensor, in addition to its memory."""
    node = owner.node
    if node is None or not node.requires_grad:
        return (False, ())
    hooks = node.extra.hooks if node.extra is not None else None
    return (True, tuple(hooks.items()) if hooks else ())


def _layout(array: Any) -> Any:
    return None if array is None else (type(array), array.shape, array.dtype, getattr(array, "strides", None))


def _place_of(known: LeafGradient, program: Program) -> int | None:
    """The position of a leaf's new gradient in the results; -1 for None; None if the step does not change it."""
    now = getattr(known.owner, "_grad", None)
    if now is None:
        return None if known.needed and known.before is None else -1
    if not isinstance(now, TracedArray) or now.variable is known.variable:
        return None
    return program.outputs.index(now.variable)


def _traced(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[_Replay, Any]:
    trace = Trace()
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

    inner_args, inner_kwargs = mapped(enter, (args, kwargs))
    run = None
    try:
        with tracing(trace):
            returned = [function(*inner_args, **inner_kwargs)]
        own = trace.begin_anew(returned)
        for variable in trace.captured.values():
            if isinstance(variable.source, Handle) and isinstance(variable.source.data, TracedArray):
                raise GraphError(
                    "a compiled step must write to a Tensor's data in place (tg.writes_to(t, ...)[...] = value), "
                    "not replace the array"
                )
        outputs: list[Variable] = []

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
            of = (lambda result: tensor_of(result, None)) if isinstance(leaf, Handle) else (lambda result: result)
            return lambda values: of(taken(values[place] if place >= 0 else array))

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
        program = Program(trace, arguments, outputs)
        run = _Replay(trace, program, lambda values: mapped(lambda leaf: leaf(values), plan))
        run.log()
        return run, run.result(first)
    finally:
        _put_back(trace, failed=run is None)


def _put_back(trace: Trace, failed: bool) -> None:
    """End a trace, even if it failed: put real arrays back where traced ones were."""
    trace.active = False
    for known in trace.gradients.values():
        g = getattr(known.owner, "_grad", None)
        if isinstance(g, TracedArray):
            known.owner._grad = known.before if g.variable is known.variable else g.value
        elif isinstance(g, Handle) and isinstance(g.data, TracedArray):
            known.owner._grad = None
        known.before = None
    if failed:
        for variable in trace.captured.values():
            source = variable.source
            if isinstance(source, Handle) and isinstance(source.data, TracedArray):
                source._data = variable.value
            written(variable.value, "a compiled step")
    for variable in trace.variables:  # the values of the traced run are no longer needed
        if variable.kind != "captured":
            variable.value = None
