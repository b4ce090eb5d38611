"""Ctrl-C during a training."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["first_interrupt"]


@contextmanager
def first_interrupt(then: Callable[[], object]) -> Iterator[None]:
    """Within, the first Ctrl-C calls a function, and goes no further; the second does what it did before.

    In other threads than the main one, which Ctrl-C does not reach, it does nothing.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return

    def first(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        then()

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
