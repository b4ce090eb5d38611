"""Ctrl-C during a training run."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import tensorgrad as tg

__all__ = ["first_interrupt"]


def first_interrupt(then: Callable[[], object]) -> tg.restoring:
    """In a ``with`` block, the first Ctrl-C only calls a function; the second has its usual effect.

    In threads other than the main one, this does nothing: Ctrl-C does not reach them.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        return tg.restoring(lambda: None)

    def first(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        then()

    return tg.restoring(partial(signal.signal, signal.SIGINT, before), partial(signal.signal, signal.SIGINT, first))
