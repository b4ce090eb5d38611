"""Ctrl-C between two updates, never within one."""

from __future__ import annotations

import signal
import sys
from functools import partial
from typing import Any

from .blocks import Block
from .mode import silenced

__all__ = ["undisturbed", "uninterrupted"]

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


def _release(handler: Any, held: list[Any]) -> None:
    """Put a handler back, and call it if its signal has arrived."""
    _raw.signal(_SIGINT, handler)
    if held:
        last = held[-1]
        held.clear()
        handler(*last)


def _nothing() -> None:
    pass


class undisturbed(uninterrupted, silenced):
    """:class:`uninterrupted` and :class:`silenced` in one block, which costs less."""

    __call__ = Block.__call__  # that of silenced does without the block

    def __enter__(self) -> None:
        uninterrupted.__enter__(self)
        silenced.__enter__(self)
