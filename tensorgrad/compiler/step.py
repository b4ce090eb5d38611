"""``tensorgrad.compile``: a step is traced at its first call and replayed as straight-line NumPy afterwards."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from types import MethodType
from typing import Any

import numpy as np

from ..errors import GraphError
from ..graph import Leaf
from ..mode import current, tracing
from ..record import Handle, handle
from ..writes import written
from .program import Program
from .trace import Trace, TracedArray, TracedNumber, Variable, mapped

__all__ = ["CompiledStep", "compile"]

MANY_TRACES = 32  # a step with so many programs is not being replayed


def compile(function: Callable[..., Any]) -> CompiledStep:
    """Compile a training step: forward, backward, optimiser update and running statistics in one program.

    The first call runs the step and writes down every NumPy call it makes. Later calls with arguments of the same
    shapes and dtypes replay that program, with the results in buffers that are allocated once. Losses and
    parameters equal those of the uncompiled step bit for bit.

    Args:
        function: a function of Tensors, arrays and numbers that returns any of them, in tuples, lists or dicts.
            It may use and update parameters, optimisers and modules from outside; it must not store a Tensor it
            computes anywhere but in what it returns.

    Returns:
        A :class:`CompiledStep`, which is called like the function. Array arguments and floats may change freely;
        an integer, boolean or string is a part of the program, and another value of it is traced anew, as is
        another shape, dtype or memory layout of an array, or a model that was switched between ``train()`` and
        ``eval()``.

    Raises:
        GraphError: while tracing, where the step decides by values (``if loss < 1``): see :func:`tensorgrad.where`
            and :func:`tensorgrad.indivisible`; where it adds to gradients that it did not compute: call
            ``zero_grad()`` in the step.
        NonFiniteError: a gradient is NaN or infinite.

    Warns:
        RuntimeWarning: the step was traced very often.

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
        self._runs: dict[Any, list[_Run]] = {}
        self._latest: _Run | None = None
        self._lock = threading.RLock()  # the buffers of a program serve one call at a time
        functools.update_wrapper(self, function)

    @property
    def source(self) -> str:
        """The program of the last call as Python text. Raises GraphError before the first call."""
        if self._latest is None:
            raise GraphError("there is no program yet: a step is traced when it is first called")
        return self._latest.program.source

    @property
    def traces(self) -> int:
        """How many programs there are: one for each combination of shapes, dtypes and settings met so far."""
        return sum(map(len, self._runs.values()))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the step: traced the first time, replayed after."""
        if current().tracer is not None:
            return self.function(*args, **kwargs)  # inside another compiled step
        with self._lock:
            return self._called(args, kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Bind like a function, so that a method can be compiled."""
        return self if instance is None else MethodType(self, instance)

    def _called(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        leaves: list[Any] = []
        key = (current().grad, _key((args, kwargs), leaves))
        runs = self._runs.setdefault(key, [])
        for run in runs:
            if run.fits():
                self._latest = run
                return run(leaves)
        runs[:] = [run for run in runs if run.fits_memory]
        run, result = _traced(self.function, args, kwargs)
        runs.append(run)
        self._latest = run
        if self.traces == MANY_TRACES:
            warnings.warn(
                f"a compiled step was traced {MANY_TRACES} times, for as many combinations of shapes, dtypes, integers "
                f"and settings; a number that changes at every call is passed as a float or an array",
                RuntimeWarning,
                stacklevel=3,
            )
        return result


def _key(tree: Any, leaves: list[Any]) -> Any:
    """What of the arguments a program depends on; collects the arrays and floats, which it takes as arguments."""
    kind = type(tree)
    if kind is tuple or kind is list:
        return (kind, *(_key(item, leaves) for item in tree))
    if kind is dict:
        return (dict, *((name, _key(item, leaves)) for name, item in tree.items()))
    array = tree.data if isinstance(tree, Handle) else tree
    if isinstance(array, np.ndarray):
        leaves.append(array)
        requires_grad = isinstance(tree, Handle) and tree.node is not None and tree.node.requires_grad
        return (kind, array.shape, array.dtype, array.strides, requires_grad)
    if kind is float:
        leaves.append(tree)
        return kind
    if isinstance(tree, np.generic):
        leaves.append(tree.item())
        return (kind, tree.dtype)
    try:
        hash(tree)
    except TypeError as error:
        raise TypeError(
            f"a compiled step takes Tensors, arrays, numbers, strings and None, in tuples, lists or dicts; "
            f"got {kind.__name__}"
        ) from error
    return (kind, tree)


class _Run:
    """One program, the conditions under which it holds, and how its results are handed out."""

    def __init__(
        self,
        program: Program,
        watched: list[tuple[object, str, Any]],
        gradients: list[tuple[Any, int | None]],
        result: Callable[[tuple[Any, ...]], Any],
    ) -> None:
        self.program = program
        self.watched = watched
        self.gradients = gradients
        self.result = result
        self.fits_memory = True

    def fits(self) -> bool:
        """Does the program hold as things are now?"""
        for owner, attribute, value in self.watched:
            if getattr(owner, attribute) != value:
                return False
        self.fits_memory = self.program.current()
        return self.fits_memory

    def __call__(self, leaves: list[Any]) -> Any:
        try:
            with np.errstate(all="ignore"):
                values = self.program.run(*leaves)
        finally:
            for array in self.program.written:
                written(array, "a compiled step")
        for owner, place in self.gradients:
            owner._grad = None if place is None else values[place]
        return self.result(values)


def _traced(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[_Run, Any]:
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
                "use the Tensor from outside the step, or pass it detached"
            )
        return handle(traced, None)

    inner_args, inner_kwargs = mapped((args, kwargs), enter)
    with tracing(trace):
        returned = function(*inner_args, **inner_kwargs)
    trace.active = False
    outputs: list[Variable] = []

    def output(array: TracedArray) -> int:
        if array.variable not in outputs:
            outputs.append(array.variable)
        return outputs.index(array.variable)

    gradients: list[tuple[Any, int | None]] = []
    for variable in trace.captured.values():
        owner = variable.source
        if not isinstance(owner, Handle):
            continue
        if isinstance(owner.data, TracedArray):
            raise GraphError(
                "a compiled step must write a Tensor's data in place (tg.writes_to(t, ...)[...] = value), "
                "not put another array there"
            )
        if isinstance(owner.node, Leaf) and owner.node.requires_grad:
            g = getattr(owner, "_grad", None)
            if isinstance(g, TracedArray):
                gradients.append((owner, output(g)))
                owner._grad = g.value
            elif g is None:
                gradients.append((owner, None))

    def leave(leaf: Any) -> Any:
        """A returned leaf, as a function of the program's results."""
        if isinstance(leaf, TracedNumber):
            raise GraphError(
                "a compiled step returns Tensors and arrays, got a Python number that changes; return it as a Tensor"
            )
        if isinstance(leaf, TracedArray):
            place = output(leaf)
            return lambda values: values[place]
        if isinstance(leaf, Handle) and isinstance(leaf.data, TracedArray):
            place = output(leaf.data)
            return lambda values: handle(np.asarray(values[place]), None)
        return lambda values: leaf

    plan = mapped(returned, leave)
    result = lambda values: mapped(plan, lambda leaf: leaf(values))  # noqa: E731
    first = tuple(variable.value for variable in outputs)
    run = _Run(Program(trace, arguments, outputs), trace.watched, gradients, result)
    return run, result(first)
