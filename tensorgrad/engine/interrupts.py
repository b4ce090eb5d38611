"""Ctrl-C between two updates, never within one."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

from .blocks import Block

__all__ = ["uninterrupted"]

P = ParamSpec("P")
R = TypeVar("R")

# `signal` wraps these to convert handlers to an enum, which takes longer than everything else here: 7 us per step.
_raw: Any = sys.modules.get("_signal", signal)
_SIGINT = int(signal.SIGINT)


class uninterrupted(Block):
    """Finish a block before Ctrl-C takes effect: KeyboardInterrupt is raised after the block, not inside it.

    Optimisers and compiled steps update parameters and their own state inside such a block. Outside the main thread,
    where Ctrl-C never arrives, it does nothing. It costs about two microseconds.

    It holds back the handler of SIGINT. The exception of another signal's handler, also a KeyboardInterrupt, breaks
    into the block; then the handler of SIGINT is put back nevertheless.

    >>> import tensorgrad as tg
    >>> with tg.uninterrupted():
    ...     done = "both or none"
    """

    def __enter__(self) -> None:
        handler = _raw.getsignal(_SIGINT)
        if not callable(handler):  # Ctrl-C is ignored, or ends the process
            self._open.append(_nothing)
            return
        held: list[Any] = []
        self._open.append(partial(_release, handler, held))
        try:
            _raw.signal(_SIGINT, lambda *arrived: held.append(arrived))
        except ValueError:  # not the main thread: there is nothing to hold back or to put back
            self._open[-1] = _nothing

    @staticmethod
    def run(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function in the block: as a ``with`` statement does, in half the time.

        >>> uninterrupted.run(max, 1, 2)
        2
        """
        handler = _raw.getsignal(_SIGINT)
        if not callable(handler):
            return function(*args, **kwargs)
        held: list[Any] = []
        ended = False
        try:  # as in Block.__call__
            try:
                try:
                    _raw.signal(_SIGINT, lambda *arrived: held.append(arrived))
                except ValueError:
                    handler = None
                return function(*args, **kwargs)
            finally:
                if handler is not None:
                    _release(handler, held)
                ended = True
        finally:
            if not ended and handler is not None:
                _release(handler, held)


def _release(handler: Any, held: list[Any]) -> None:
    """Put a handler back, and call it if its signal has arrived."""
    _raw.signal(_SIGINT, handler)
    if held:
        last = held[-1]
        held.clear()
        handler(*last)


def _nothing() -> None:
    pass
