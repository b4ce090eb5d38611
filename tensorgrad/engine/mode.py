"""The settings of the running thread or task: recording, the current module, a compiler, a debugger.

One context variable holds one :class:`Mode`, so that recording an operation costs a single look-up, and a switch set in
one thread or asyncio task is not seen by any other. NumPy's error state is such a variable too, see :class:`silenced`.
"""

from __future__ import annotations

import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context, ContextVar
from functools import partial, wraps
from types import CodeType
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

import numpy as np

from .blocks import Block
from .frames import LIBRARY

__all__ = [
    "RUNNING",
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
    "silenced",
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

    def host(self, function: Callable[[], Any], early: bool) -> Any:
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


_blank: Any = object.__new__
_tuple: Any = tuple.__new__
_NO_KEYWORDS: Mapping[str, Any] = {}


class Mode:
    """One setting of all switches. It does not change while its block lasts."""

    __slots__ = ("debug", "ended", "grad", "hosted", "keep", "outer", "owner", "plain", "scope", "site", "tracer")

    outer: Mode  # the one around its block

    def __init__(
        self,
        grad: bool = True,
        scope: Scope = _NOWHERE,
        keep: bool = False,
        tracer: Tracer | None = None,
        debug: Debugger | None = None,
        hosted: deque[Any] | None = None,
        owner: Any = None,
    ) -> None:
        self.grad = grad  # record a graph?
        self.scope = scope  # the module that is running
        self.keep = keep  # keep a light record of the graph after backward, for drawings?
        self.tracer = tracer  # a compiler that is tracing
        self.debug = debug  # checks every number that is computed
        self.hosted = hosted  # what the next calls of host() return: a compiled run was broken off after them
        self.owner = owner  # of the scope: not in it, because graphs keep their scopes
        self.plain = tracer is None and not keep and debug is None  # may an operation take the fast path?
        self.ended = False  # has its block ended?
        # In a function that a scope runs: the line that called it, as a code object and an offset.
        self.site: tuple[CodeType, int] | None = None

    def but(self, **changes: Any) -> Mode:
        """This setting with some switches changed.

        >>> Mode().but(grad=False).grad
        False
        """
        mode: Mode = _blank(Mode)
        mode.grad, mode.scope, mode.keep = self.grad, self.scope, self.keep
        mode.tracer, mode.debug, mode.hosted, mode.owner = self.tracer, self.debug, self.hosted, self.owner
        for name, value in changes.items():
            setattr(mode, name, value)
        mode.plain = mode.tracer is None and not mode.keep and mode.debug is None
        mode.ended = False
        mode.site = None
        return mode

    def end(self) -> None:
        """Put back what was set around the block of this one. It may be called again."""
        self.ended = True
        outer = self.outer
        while outer.ended:
            outer = outer.outer
        if current() is self:
            _mode.set(outer)
        else:  # a block inside this one is still open, or this is another thread than that which entered it
            for name in _SETTINGS:
                setattr(self, name, getattr(outer, name))


_SETTINGS = [name for name in Mode.__slots__ if name not in ("ended", "outer", "site")]
_mode: ContextVar[Mode] = ContextVar("tensorgrad_mode", default=Mode())  # noqa: B039 (a Mode never changes)
current = _mode.get


class Switch(Block):
    """A context manager and decorator that changes one switch.

    An instance may be entered repeatedly, but only by one thread or task: create a new one for each ``with``. A
    generator that is suspended inside the block changes the switch of its caller too. Blocks may end in any order, as
    those of generators do: when all have ended, the switch is as before.
    """

    def _changed(self, old: Mode) -> Mode:
        raise NotImplementedError

    def __enter__(self) -> None:
        old = current()
        mode = self._changed(old)
        mode.outer = old
        self._open.append(mode.end)
        _mode.set(mode)


def _referred(value: Any) -> tuple[tuple[int, ...], weakref.ref[Any]] | None:
    """The shape of an array, and a weak reference to it; None for anything else."""
    try:
        return (value.shape, weakref.ref(value)) if hasattr(value, "__array_function__") else None
    except TypeError:  # its class has no weak references
        return None


def _all_referred(values: Iterable[Any]) -> tuple[tuple[tuple[int, ...], weakref.ref[Any]], ...]:
    return tuple([found for x in values if (found := _referred(x)) is not None])


def _scoped(old: Mode, path: str | None, title: str, inputs: tuple[Any, ...], owner: Any) -> Mode:
    outer = old.scope
    function = path is None
    if function:
        path = outer.path
    mode: Mode = _blank(Mode)  # spelled out, because this is done in every call of a module
    mode.scope = _tuple(Scope, (path, title, outer, function, inputs or outer.inputs))
    mode.owner = old.owner if owner is None else owner
    mode.grad = old.grad
    mode.keep = old.keep
    mode.tracer = old.tracer
    mode.debug = old.debug
    mode.hosted = old.hosted
    mode.plain = old.plain
    mode.ended = False
    mode.site = None
    return mode


class scope(Switch):
    """Name the module, or the function of several operations, that operations are recorded under, for drawings.

    Args:
        path: the dotted path of the module in its model, such as "net.2"; "" is the model itself. None is for a
            function, which belongs to the module that calls it.
        title: how a drawing describes it, such as "Linear 64→32 · 2,080 params", or the function's name.
        inputs: what an outermost module is called with, so that a drawing can tell its inputs from constants.
        owner: anything, which :meth:`owner` returns in the block, also inside scopes that give none.

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

    def __init__(self, path: str | None, title: str = "", inputs: Iterable[Any] = (), owner: Any = None) -> None:
        super().__init__()
        self._path = path
        self._title = title
        self._owner = owner
        self._inputs = _all_referred(inputs)

    def _changed(self, old: Mode) -> Mode:
        return _scoped(old, self._path, self._title, self._inputs, self._owner)

    @staticmethod
    def run(
        path: str | None,
        title: str,
        inputs: Iterable[Any],
        owner: Any,
        function: Callable[..., R],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] = _NO_KEYWORDS,
    ) -> R:
        """Call ``function(*args, **kwargs)`` in such a block: as a ``with`` statement does, in half the time.

        The first four arguments are those of a scope; () is for no inputs, and None for no owner of its own.

        >>> import tensorgrad as tg
        >>> x = tg.Tensor(2.0, requires_grad=True)
        >>> tg.scope.run("net.0", "Square", (), None, tg.square, (x,)).node.scope.path
        'net.0'
        """
        old = current()
        mode = _scoped(old, path, title, _all_referred(inputs) if inputs else (), owner)
        mode.outer = old
        frame = sys._getframe(1)
        code, lasti = frame.f_code, frame.f_lasti
        while LIBRARY[code.co_filename] and frame.f_back is not None:
            if code is RUNNING and old.site is not None:
                code, lasti = old.site
                break
            frame = frame.f_back
            code, lasti = frame.f_code, frame.f_lasti
        mode.site = code, lasti
        del frame  # it refers to this call
        ended = False
        try:  # as in Block.__call__
            try:
                _mode.set(mode)
                return function(*args, **kwargs)
            finally:
                mode.end()
                ended = True
        finally:
            if not ended:
                mode.end()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function so that it runs inside the block."""
        self._require_plain(function)
        path, title, owner = self._path, self._title, self._owner
        referred = self._inputs

        @wraps(function)
        def scoped(*args: P.args, **kwargs: P.kwargs) -> R:
            inputs = [array() for _, array in referred] if referred else ()
            return _run(path, title, inputs, owner, function, args, kwargs)

        return scoped

    @staticmethod
    def owner() -> Any:
        """Return what was given as ``owner`` of the innermost scope that is running; None if there is none."""
        return current().owner


# Beyond the frame of this code, :func:`tensorgrad.engine.record.record` need not look for the line that called an
# operation: the innermost one has set the mode, which has it.
_run = scope.run
RUNNING = _run.__code__


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


_with_ignored = Context()
_with_ignored.run(np.seterr, all="ignore")
((_numpy_errors, _IGNORED),) = _with_ignored.items()  # NumPy keeps its error state in a context variable


class silenced(Block):
    """NumPy's floating-point warnings are off in the block: infinities and NaN are ordinary results.

    As ``np.errstate(all="ignore")``, which an exception from a signal's handler can leave switched on, and faster.

    >>> import numpy as np, tensorgrad as tg
    >>> with tg.silenced():
    ...     np.log(np.zeros(1))
    array([-inf])
    """

    def __enter__(self) -> None:
        self._open.append(partial(_numpy_errors.set, _numpy_errors.get()))
        _numpy_errors.set(_IGNORED)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function; for little ones, without a block: what ends it is a single call."""

        @wraps(function)
        def quiet(*args: P.args, **kwargs: P.kwargs) -> R:
            before = _numpy_errors.get()
            try:
                try:
                    _numpy_errors.set(_IGNORED)
                    return function(*args, **kwargs)
                finally:
                    _numpy_errors.set(before)
            finally:
                _numpy_errors.set(before)

        return quiet
