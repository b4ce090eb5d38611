"""Ctrl-C between two updates, never within one."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["uninterrupted"]

# `signal` wraps these to convert handlers to an enum, which takes longer than everything else here: 7 us per step.
_raw: Any = sys.modules.get("_signal", signal)


class uninterrupted:
    """Finish a block before Ctrl-C takes effect: KeyboardInterrupt is raised after the block, not inside it.

    Optimisers and compiled steps update parameters and their own state inside such a block. Outside the main thread,
    where Ctrl-C never arrives, it does nothing. It costs about two microseconds.

    >>> import tensorgrad as tg
    >>> with tg.uninterrupted():
    ...     done = "both or none"
    """

    def __enter__(self) -> None:
        self._signal: tuple[int, FrameType | None] | None = None
        self._handler: Any = None
        if threading.current_thread() is threading.main_thread():
            handler = _raw.getsignal(signal.SIGINT)
            if callable(handler):
                self._handler = handler
                _raw.signal(signal.SIGINT, self._later)

    def _later(self, number: int, frame: FrameType | None) -> None:
        self._signal = (number, frame)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handler is not None:
            _raw.signal(signal.SIGINT, self._handler)
            if self._signal is not None:
                self._handler(*self._signal)
