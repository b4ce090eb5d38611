"""Ctrl-C between two updates, never within one."""

from __future__ import annotations

import signal
import sys
import threading
from functools import partial
from typing import Any

from .blocks import Block

__all__ = ["uninterrupted"]

# `signal` wraps these to convert handlers to an enum, which takes longer than everything else here: 7 us per step.
_raw: Any = sys.modules.get("_signal", signal)


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
        handler = _raw.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
        if not callable(handler):
            self._open.append(_nothing)
            return
        held: list[Any] = []
        self._open.append(partial(_release, handler, held))
        _raw.signal(signal.SIGINT, lambda *arrived: held.append(arrived))


def _release(handler: Any, held: list[Any]) -> None:
    """Put a handler back, and call it if its signal has arrived."""
    _raw.signal(signal.SIGINT, handler)
    if held:
        last = held[-1]
        held.clear()
        handler(*last)


def _nothing() -> None:
    pass
