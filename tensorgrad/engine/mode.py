"""The settings of the running thread or task: recording, the current module, a compiler, a debugger.

One context variable holds one immutable :class:`Mode`, so that recording an operation costs a single look-up, and
a switch set in one thread or asyncio task is not seen by any other.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar, Token
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

__all__ = [
    "Debugger",
    "Mode",
    "Scope",
    "Switch",
    "Tracer",
    "current",
    "enable_grad",
    "no_grad",
    "record_graph",
    "repeating",
    "scope",
    "tracing",
]

P = ParamSpec("P")
R = TypeVar("R")


class Tracer(Protocol):
    """What the engine calls on a compiler that is tracing (see :mod:`tensorgrad.compiler`)."""

    def enter(self, comment: str) -> None:
        """Set the operation that the next array calls belong to."""

    def lift(self, source: Any) -> Any:
        """The traced array that stands for a Tensor's data or for an ndarray."""

    def scratch(self, array: Any) -> Any:
        """The traced array for an ndarray in which a run may leave anything."""

    def host(self, function: Callable[[], Any]) -> Any:
        """The traced value of a Python function that is called again in every run."""

    def watch(self, owner: object, attribute: str) -> None:
        """Trace again once the value of ``owner.attribute`` has changed."""

    def gradient(self, owner: Any, needed: bool) -> None:
        """Handle a leaf's gradient that is about to be read (``needed``) or replaced."""


class Debugger(Protocol):
    """What the engine calls on :mod:`tensorgrad.debugging`, which checks every number while it is on."""

    def computed(self, op: str, arrays: Sequence[Any], out: Any) -> None:
        """Check ``out``, which an operation computed."""

    def recorded(self, node: Any) -> None:
        """Look at a new node, which has saved what its rules need."""

    def before_rule(self, node: Any, position: int) -> None:
        """Check what a node saved for one rule, which a backward walk is about to use."""

    def after_rule(self, node: Any, position: int, g: Any, gradient: Any) -> None:
        """Check the gradient of one input, which a rule computed from ``g``."""


class Scope(NamedTuple):
    """The module or function that is running. Every call has a scope of its own."""

    path: str  # the dotted path of the module in its model
    title: str  # what a drawing says about it
    outer: Scope | None = None  # the one it was called in
    function: bool = False  # a function of several operations, not a module
    inputs: tuple[
        tuple[tuple[int, ...], weakref.ref[Any]], ...
    ] = ()  # shape and array of each argument of the outermost


_NOWHERE = Scope("", "")


class Mode:
    """One setting of all switches; immutable."""

    __slots__ = ("debug", "grad", "hosted", "keep", "plain", "scope", "tracer")

    def __init__(
        self,
        grad: bool = True,
        scope: Scope = _NOWHERE,
        keep: bool = False,
        tracer: Tracer | None = None,
        debug: Debugger | None = None,
        hosted: deque[Any] | None = None,
    ) -> None:
        self.grad = grad  # record a graph?
        self.scope = scope  # the module that is running
        self.keep = keep  # keep a light record of the graph after backward, for drawings?
        self.tracer = tracer  # a compiler that is tracing
        self.debug = debug  # checks every number that is computed
        self.hosted = hosted  # what the next calls of host() return: a compiled run was broken off after them
        self.plain = tracer is None and not keep and debug is None  # may an operation take the fast path?

    def but(self, **changes: Any) -> Mode:
        """This setting with some switches changed.

        >>> Mode().but(grad=False).grad
        False
        """
        return Mode(**{name: getattr(self, name) for name in self.__slots__ if name != "plain"} | changes)


_mode: ContextVar[Mode] = ContextVar("tensorgrad_mode", default=Mode())  # noqa: B039 (a Mode never changes)
current = _mode.get


class Switch:
    """A context manager and decorator that changes one switch.

    An instance may be entered repeatedly, but only by one thread or task: create a new one for each ``with``.
    """

    def __init__(self) -> None:
        self._entered: list[Token[Mode]] = []

    def _changed(self, old: Mode) -> Mode:
        raise NotImplementedError

    def __enter__(self) -> None:
        self._entered.append(_mode.set(self._changed(current())))

    def __exit__(self, *exc_info: object) -> None:
        _mode.reset(self._entered.pop())

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function so that it runs inside the block."""
        asynchronous = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        if inspect.isgeneratorfunction(function) or asynchronous:
            kind = "coroutine" if asynchronous else "generator"
            raise TypeError(
                f"@{type(self).__name__}() cannot decorate the {kind} function {function.__name__!r}, because its "
                f"body runs after the call has returned; write `with {type(self).__name__}():` inside it"
            )

        @functools.wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            token = _mode.set(self._changed(current()))  # one token per call: calls may be nested or concurrent
            try:
                return function(*args, **kwargs)
            finally:
                _mode.reset(token)

        return wrapped


def _referred(value: Any) -> tuple[tuple[int, ...], weakref.ref[Any]] | None:
    """The shape of an array, and a weak reference to it; None for anything else."""
    try:
        return (value.shape, weakref.ref(value)) if hasattr(value, "__array_function__") else None
    except TypeError:  # its class has no weak references
        return None


class scope(Switch):
    """Name the module, or the function of several operations, that operations are recorded under, for drawings.

    Args:
        path: the dotted path of the module in its model, such as "net.2"; "" is the model itself. None is for a
            function, which belongs to the module that calls it.
        title: how a drawing describes it, such as "Linear 64→32 · 2,080 params", or the function's name.
        inputs: what an outermost module is called with, so that a drawing can tell its inputs from constants.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor(2.0, requires_grad=True)
    >>> with tg.scope("net.0", "Square"):
    ...     y = x * x
    >>> y.node.scope.path
    'net.0'

    As a decorator, it makes a function one card of a drawing:

    >>> @tg.scope(None, "squared_distance")
    ... def squared_distance(a, b):
    ...     return tg.sum((a - b) ** 2)
    >>> squared_distance(x, 1.0).node.scope.title
    'squared_distance'
    """

    def __init__(self, path: str | None, title: str = "", inputs: Iterable[Any] = ()) -> None:
        super().__init__()
        self._path = path
        self._title = title
        self._inputs = tuple(found for x in inputs if (found := _referred(x)) is not None)

    def _changed(self, old: Mode) -> Mode:
        outer = old.scope
        path = outer.path if self._path is None else self._path
        inputs = self._inputs or outer.inputs
        return old.but(scope=Scope(path, self._title, outer, self._path is None, inputs))


class tracing(Switch):
    """Let a compiler trace a block; with None, stop tracing."""

    def __init__(self, tracer: Tracer | None) -> None:
        super().__init__()
        self._tracer = tracer

    def _changed(self, old: Mode) -> Mode:
        return old.but(tracer=self._tracer, keep=False, debug=None)  # a trace has no numbers to check


class repeating(Switch):
    """Let :func:`tensorgrad.host` return these results first: the block repeats a compiled run that was broken off."""

    def __init__(self, results: Iterable[Any]) -> None:
        super().__init__()
        self._results = deque(results)

    def _changed(self, old: Mode) -> Mode:
        return old.but(hosted=self._results)


class no_grad(Switch):
    """Do not record a graph: a context manager, and a decorator for functions.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor(3.0, requires_grad=True)
    >>> with tg.no_grad():
    ...     y = x * x
    >>> y.requires_grad
    False
    """

    def _changed(self, old: Mode) -> Mode:
        return old.but(grad=False)


class enable_grad(Switch):
    """Record a graph again inside a :class:`no_grad` block.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor(3.0, requires_grad=True)
    >>> with tg.no_grad(), tg.enable_grad():
    ...     y = x * x
    >>> y.requires_grad
    True
    """

    def _changed(self, old: Mode) -> Mode:
        return old.but(grad=True)


class record_graph(Switch):
    """Keep what a drawing needs when ``backward()`` frees the graph: its links, and the RMS of each gradient.

    Scalars always keep their value and gradient. For arrays, this keeps about 300 bytes per operation.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.record_graph():
    ...     loss = (x * x).sum()
    ...     loss.backward()
    >>> "multiply" in str(tg.draw(loss))
    True
    """

    def _changed(self, old: Mode) -> Mode:
        return old.but(keep=True)
