"""Ctrl-C during a training run."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["first_interrupt"]


@contextmanager
def first_interrupt(then: Callable[[], object]) -> Iterator[None]:
    """In a ``with`` block, the first Ctrl-C only calls a function; the second has its usual effect.

    In threads other than the main one, this does nothing: Ctrl-C does not reach them.
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
