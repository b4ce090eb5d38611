"""``with`` blocks that end, whatever arrives at whatever instruction.

Ctrl-C, and the exception of any other signal's handler, may arrive between two instructions. An ordinary context
manager then stays half entered: what ``__enter__`` has set, or ``__exit__`` was about to put back, stays for good. To
hold back every signal would take microseconds, and a handler may also be called by a tracer, at any line.

Here the interpreter ends the block. A ``with`` statement looks up ``__exit__`` before it calls ``__enter__``, and keeps
what it finds on the stack of values of its frame. Here that is a new object, to which nothing else refers but a weak
reference: a traceback keeps frames with their variables, but not their stack, and the object is called from C, so that
it is no variable of a frame. If the statement is left before that object has done its work, the object goes, and the
callback of the weak reference undoes what is not undone yet. That works where objects die with their last reference, as
they do in CPython. (A ``__del__`` would also run after blocks that ended well, and swallow a Ctrl-C that came then.)

So a block is undone by a function without arguments, which must give the same result when it is called again after an
exception in the middle of it: it sets what was there before. Only an exception that arrives while a first one is being
handled, within microseconds, can still break in.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, overload
from weakref import ref

__all__ = ["Block", "restoring"]

P = ParamSpec("P")
R = TypeVar("R")
_blank: Any = object.__new__


def _end(opened: list[Any], *exc_info: object) -> None:
    """The ``__exit__`` of a block that was entered."""
    if not opened:  # two generators share one object, and the other has ended both of its blocks
        return
    if type(opened[-1]) is ref:  # somebody called __enter__, and looks up __exit__ only now
        opened.pop()
        opened[-1]()
        opened.pop()
        return
    while type(opened[-1]) is not ref:
        opened[-1]()
        opened.pop()
    opened.pop()


def _end_last(block: Block, *exc_info: object) -> None:
    """The same, looked up in the class, as contextlib.ExitStack does."""
    block._open[-1]()
    block._open.pop()


def _end_all(opened: list[Any]) -> None:
    while opened:
        opened[-1]()
        opened.pop()


class _Exit:
    """The ``__exit__`` of a block: bound anew, and watched, in each ``with`` statement."""

    @overload
    def __get__(self, block: None, owner: type) -> Callable[..., None]: ...

    @overload
    def __get__(self, block: Block, owner: type) -> functools.partial[None]: ...

    def __get__(self, block: Block | None, owner: type) -> Callable[..., None]:
        if block is None:
            return _end_last
        opened = block._open
        bound = functools.partial(_end, opened)
        opened.append(ref(bound, block._left))
        return bound


class Block:
    """Base class of context managers that are left as they must be, whatever arrives.

    A subclass defines ``__enter__``, which appends a function to ``self._open`` before it changes anything: the one
    that undoes the change. It may do so several times. A block is also a decorator. An instance may be entered
    repeatedly, but by one thread or task at a time: create a new one for each ``with``.
    """

    def __init__(self) -> None:
        # For each with statement a reference to its __exit__, then the functions that undo the block, in order.
        self._open: list[Any] = []

    def __enter__(self) -> Any:
        raise NotImplementedError

    __exit__ = _Exit()

    def _left(self, watch: ref[Any]) -> None:
        """End what a ``with`` statement has left open."""
        opened = self._open
        first = next((i + 1 for i, item in enumerate(opened) if item is watch), None)
        if first is None:
            return
        last = first
        while last < len(opened) and type(opened[last]) is not ref:
            last += 1
        for undo in reversed(opened[first:last]):
            undo()
        del opened[first - 1 : last]

    def _require_plain(self, function: Callable[..., Any]) -> None:
        asynchronous = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        if inspect.isgeneratorfunction(function) or asynchronous:
            kind = "coroutine" if asynchronous else "generator"
            raise TypeError(
                f"@{type(self).__name__}() cannot decorate the {kind} function {function.__name__!r}, because its "
                f"body runs after the call has returned; write `with {type(self).__name__}():` inside it"
            )

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function so that it runs inside the block."""
        self._require_plain(function)
        block_type, settings = type(self), self.__dict__

        @functools.wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            block = _blank(block_type)  # one for each call: calls may be nested or concurrent
            block.__dict__.update(settings)
            opened = block._open = []
            try:  # two of them, one of which is not broken into: faster than a with statement, and as good
                try:
                    block.__enter__()
                    return function(*args, **kwargs)
                finally:
                    _end_all(opened)
            finally:
                _end_all(opened)

        return wrapped


class restoring(Block):
    """Call a function at the end of a block, and again if an exception arrives in the middle of that call.

    Args:
        undo: takes no arguments, and sets what was there before; it may be called without ``begin`` having been.
        begin: called on entry; what it returns is what ``as`` gives.

    >>> import tensorgrad as tg
    >>> settings = {"verbose": False}
    >>> with tg.restoring(lambda: settings.update(verbose=False)):
    ...     settings["verbose"] = True
    >>> settings
    {'verbose': False}
    """

    def __init__(self, undo: Callable[[], object], begin: Callable[[], Any] | None = None) -> None:
        super().__init__()
        self._undo = undo
        self._begin = begin

    def __enter__(self) -> Any:
        self._open.append(self._undo)
        return None if self._begin is None else self._begin()
