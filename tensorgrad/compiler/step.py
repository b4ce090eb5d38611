"""``tensorgrad.compile``: a step is traced in its first call and replayed as straight-line NumPy code afterwards."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable
from types import MethodType
from typing import Any, overload

from ..engine.frames import users_stacklevel
from ..engine.interrupts import uninterrupted
from ..engine.locks import reentrant_lock
from ..engine.mode import current, repeating
from ..engine.trees import leaves as leaves_of
from ..errors import GraphError, NeedsEager, Observed, Unbatchable
from .building import Broken, traced
from .guards import arguments_like, changing, key_of
from .native.machine import require_llvm
from .part import Composed, Part, wants_gradient
from .program import Program
from .replay import Replay

__all__ = ["CompiledStep", "compile"]

BACKENDS = ("auto", "numpy", "native")
MANY_PROGRAMS = 32  # a step with this many programs is hardly ever replayed
QUICK = 4  # programs whose arguments are recognised at a glance


@overload
def compile(
    function: Callable[..., Any], *, backend: str = ..., warn: bool = ..., edits: bool = ...
) -> CompiledStep: ...


@overload
def compile(
    function: None = ..., *, backend: str = ..., warn: bool = ..., edits: bool = ...
) -> Callable[[Callable[..., Any]], CompiledStep]: ...


def compile(
    function: Callable[..., Any] | None = None, *, backend: str = "auto", warn: bool = True, edits: bool = True
) -> Any:
    """Compile a training step: forward, backward, optimiser update and running statistics in one program.

    The first call runs the step and records every NumPy call it makes. Later calls with arguments of the same shapes
    and dtypes replay that program, with the results in buffers that are allocated once.

    These may change from run to run: array and float arguments; the memory of Tensors from outside, their gradients
    and hooks; what :func:`tensorgrad.host` returns (which includes learning rates and random masks in ``nn``). A
    change of these is detected, and the step is traced again: the shape, dtype or memory layout of an array; the value
    of an integer, boolean or string argument; what :func:`tensorgrad.watch` reads (a model's ``train()`` or
    ``eval()``, the settings of ``nn``'s layers and optimisers); a parameter being frozen; an edit of a
    function that the step calls and that a module or class holds. An array that the step makes
    without any of these (``np.zeros(3)``) has the same values at the beginning of every run, even if the step writes to
    it; an array from outside keeps what was written. Everything else that Python does in the step happens only once,
    while tracing: reading attributes of your own objects, writing files, calling ``rng.random()``, looking at
    ``t.data``.

    What cannot be compiled runs uncompiled, with the same results: in every call, a step that branches on values
    (``if loss < 1``; see :func:`tensorgrad.where` and :func:`tensorgrad.indivisible`); in a single call, one in which a
    gradient has to be repaired (zero times an infinite derivative) or an array gets another shape (``x[x > 0]``). What
    the call had done until then is undone first, except for what your own Python code did. Under :class:`debug` and
    :class:`record_graph`, which look at every operation, a step runs uncompiled, too.

    Called with Tensors that require a gradient, a function without effects is one operation: from its second call on
    its forward and its backward are compiled programs, and its operations are recorded only for higher derivatives,
    drawings and checks. Random draws, writes, and Tensors from outside that require a gradient are effects; a function
    that has any is recorded as usual.

    Args:
        function: a function of Tensors, arrays and numbers that returns any of these, in tuples, lists or dicts. It
            may use and update parameters, optimisers and modules from outside; it must not store a Tensor that it
            computes anywhere except in its return value.
        backend: "numpy" has the bits of the uncompiled step. "native" compiles loops for this processor, with the extra
            ``native``: losses and parameters differ from those by rounding, since sums are added up in another order.
            "auto" is "numpy" first, and "native" once that pays, if the extra is there. When it does is a matter of
            counting, not of time, so that two runs of a script give the same numbers: a program whose native code is on
            disk takes it from the second call on; for any other, native code is made in the background after about as
            much work as making it takes (half a second at most), takes over after twice as much more, and is kept on
            disk: in a folder ``tensorgrad/kernels`` of the user's caches, or in ``TENSORGRAD_CACHE``; with
            ``TENSORGRAD_CACHE=`` it is not kept. So the run that puts it there may differ by rounding from those that
            find it.
        warn: False for none of the warnings below.
        edits: False if nobody edits the functions that the step calls, as in a library: tracing then takes half as
            long, and a function that is edited all the same goes unnoticed. What the step itself is, is always known.

    Returns:
        A :class:`CompiledStep`, which is called like the function; without a function, a decorator.

    Raises:
        TypeError: ``function`` is not callable; in a call, an argument is not an array, number, string or nest of them.
        ValueError: there is no such backend.
        ImportError: backend="native" without llvmlite.

    Warns:
        RuntimeWarning: a call ran uncompiled, and why; the step has been traced very often. Each once.

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
    if backend not in BACKENDS:
        raise ValueError(f"compile: backend must be one of {', '.join(map(repr, BACKENDS))}, got {backend!r}")
    if backend == "native":
        require_llvm()
    if function is None:
        return functools.partial(CompiledStep, backend=backend, warn=warn, edits=edits)
    return CompiledStep(function, backend, warn, edits)


class CompiledStep:
    """A function that is traced and replayed; made by :func:`compile`.

    Attributes:
        function: the uncompiled step.
        traces: how many times it was traced: once for each combination of shapes, dtypes and settings. The programs
            that were used last are kept, 32 at most.
    """

    _by = "a compiled step"  # in messages about what it writes to

    def __init__(
        self, function: Callable[..., Any], backend: str = "auto", warn: bool = True, edits: bool = True
    ) -> None:
        if not callable(function):
            raise TypeError(f"compile expects a function, got {type(function).__name__}")
        self.function = function
        self.traces = 0
        self._backend = backend
        self._warns = warn
        self._edits = edits
        self._runs: OrderedDict[Any, list[Replay]] = OrderedDict()  # by key, the one used last at the end
        self._uncompiled: OrderedDict[Any, None] = OrderedDict()  # keys of calls that cannot be traced
        self._warned: set[str] = set()
        self._latest: Replay | None = None
        # The latest ones: whether gradients are recorded, and what finds the leaves in the arguments of a call like it.
        self._quick: tuple[tuple[bool, Replay, Callable[..., list[Any] | None]], ...] = ()
        self._lock = reentrant_lock()  # only one call at a time can use the buffers of a program
        self._part: Part | None = None
        functools.update_wrapper(self, function)

    @property
    def source(self) -> str:
        """The program of the last call as Python source. Raises GraphError before the first call."""
        return self._last().code.source

    @property
    def program(self) -> Program:
        """The typed program of the last call; ``print`` shows it. Raises GraphError before the first call."""
        return self._last().program

    def _last(self) -> Replay:
        if self._latest is None:
            raise GraphError("there is no program yet: a step is traced when it is first called")
        return self._latest

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the step: it is traced the first time, and replayed after that."""
        mode = current()
        if not mode.plain:
            return self.function(*args, **kwargs)  # inside another compiled step, or every operation is looked at
        for grad, run, arguments_of in self._quick:
            known = arguments_of(args, kwargs) if grad is mode.grad else None
            if known is not None:
                with self._lock:
                    if run.fits():
                        self._latest = run
                        return self._run(run, known, args, kwargs)
        if any(map(wants_gradient, leaves_of((args, kwargs)))):
            return self._as_part(args, kwargs)
        leaves: list[Any] = []
        try:
            key = (mode.grad, key_of((args, kwargs), leaves))
        except Unbatchable:
            return self.function(*args, **kwargs)  # inside vmap
        with self._lock:
            return self._called(key, leaves, args, kwargs)

    def _as_part(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function with arguments that require a gradient: one operation, if it has no effects."""
        if self._part is None:
            self._part = Part(self.function, functools.partial(_Piece, backend=self._backend, edits=self._edits))
        try:
            return self._part(args, kwargs)
        except Unbatchable:
            return self.function(*args, **kwargs)  # inside vmap
        except Composed as error:
            composed = error
        return self._eager(args, kwargs, composed.hosted, composed.reason)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Bind like a function, so that methods can be compiled."""
        return self if instance is None else MethodType(self, instance)

    def _called(self, key: Any, leaves: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if key in self._uncompiled:
            return self.function(*args, **kwargs)
        for run in self._runs.get(key, ()):
            if run.fits():
                self._runs.move_to_end(key)
                self._latest = run
                if run.arguments_of is None:
                    run.arguments_of = arguments_like(args, kwargs)
                others = [each for each in self._quick if each[1] is not run]
                self._quick = ((key[0], run, run.arguments_of), *others[: QUICK - 1])
                return self._run(run, leaves, args, kwargs)
        return self._first(key, args, kwargs)

    def _run(self, run: Replay, leaves: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return run(leaves)
        except NeedsEager as reason:
            broken_off = str(reason)
        return self._eager(args, kwargs, run.code.hosted, f"a call of a compiled step: {broken_off}")

    def _first(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Trace a call, and keep its program."""
        try:
            run, result = traced(self.function, args, kwargs, backend=self._backend, by=self._by, edits=self._edits)
        except Broken as broken:
            error, hosted = broken.error, broken.hosted
        else:
            with uninterrupted():
                self._keep(key, run)
            return result
        if isinstance(error, NeedsEager):
            reason = "" if isinstance(error, Observed) else f"a call of a compiled step: {error}"
            return self._eager(args, kwargs, hosted, reason)
        kind = "" if isinstance(error, GraphError) else f"{type(error).__name__}: "
        result = self._eager(args, kwargs, hosted, f"a step that cannot be compiled: {kind}{error}")
        self._uncompiled[key] = None  # it works uncompiled
        if len(self._uncompiled) > MANY_PROGRAMS:
            self._uncompiled.popitem(last=False)
        return result

    def _keep(self, key: Any, run: Replay) -> None:
        self._runs.setdefault(key, []).append(run)
        self._runs.move_to_end(key)
        self._latest = run
        self._quick = ()
        self.traces += 1
        if sum(map(len, self._runs.values())) > MANY_PROGRAMS:
            oldest, runs = next(iter(self._runs.items()))
            del runs[0]
            if not runs:
                del self._runs[oldest]
        if self.traces == MANY_PROGRAMS:
            self._warn(
                f"a compiled step was traced {MANY_PROGRAMS} times; what differs most between its calls is "
                f"{changing(self.function, self._runs)}; pass a number that changes in every call as a float or an "
                f"array, and arrays in few different shapes"
            )

    def _eager(self, args: tuple[Any, ...], kwargs: dict[str, Any], hosted: Iterable[Any], reason: str) -> Any:
        """Run the step uncompiled, from where a run was broken off and undone."""
        with repeating(hosted):
            result = self.function(*args, **kwargs)
        if reason:
            self._warn(f"tensorgrad.compile ran uncompiled {reason}")
        return result

    def _warn(self, text: str) -> None:
        """Warn, once for each text."""
        if self._warns and text not in self._warned and len(self._warned) < MANY_PROGRAMS:
            self._warned.add(text)
            warnings.warn(text, RuntimeWarning, stacklevel=users_stacklevel())


class _Piece(CompiledStep):
    """The forward or the backward of a :class:`Part`."""

    def _eager(self, args: tuple[Any, ...], kwargs: dict[str, Any], hosted: Iterable[Any], reason: str) -> Any:
        raise Composed(reason, hosted, always=reason.startswith("a step"))
