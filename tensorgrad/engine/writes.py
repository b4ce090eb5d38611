"""The log of writes: what was written to in place, when, and by whom.

A write through the engine is stamped by the clock that also numbers the nodes. A node that was born later cannot be
hurt by it, so a training step, whose nodes are all younger than the last optimiser step, pays one comparison a node;
only an older node looks up whether one of the arrays it saved was hit. Views need no counters of their own: what
counts is the array that owns the memory.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, NamedTuple

__all__ = ["Later", "later_writes", "latest", "memory", "tick", "written"]

tick: Callable[[], int] = count().__next__  # the clock of nodes and writes


class _Writes:
    """The writes to one array's memory: how many, and the last few."""

    __slots__ = ("count", "recent", "ref")

    def __init__(self, ref: weakref.ref[Any]) -> None:
        self.ref = ref
        self.count = 0
        self.recent: deque[tuple[int, str]] = deque(maxlen=16)


_writes: dict[int, _Writes] = {}
latest = -1  # when anything was written to for the last time


def memory(array: Any) -> Any:
    """The array that owns an array's memory."""
    while (base := getattr(array, "base", None)) is not None:
        if not hasattr(base, "dtype"):
            base = getattr(base, "base", None)  # a window's: as_strided puts an object in between
            if not hasattr(base, "dtype"):
                break
        array = base
    return array


def written(array: Any, by: str) -> None:
    """Note that an array was written to in place, by whom: a backward that saved it then refuses to run."""
    global latest
    owner = memory(array)
    key = id(owner)
    log = _writes.get(key)
    if log is None or log.ref() is not owner:
        # A callback without a line of Python: Ctrl-C would be lost in one.
        log = _writes[key] = _Writes(weakref.ref(owner, partial(_writes.pop, key)))
    log.count += 1
    latest = stamp = tick()
    log.recent.append((stamp, by))


class Later(NamedTuple):
    """Writes to an array since it was saved."""

    by: str  # who was the first
    version: int  # how many writes there were in all
    expected: int  # how many there had been


def later_writes(array: Any, since: int) -> Later | None:
    """The writes to an array's memory after a time; None if there were none."""
    owner = memory(array)
    log = _writes.get(id(owner))
    if log is None or log.ref() is not owner:
        return None
    later = [by for stamp, by in log.recent if stamp > since]
    return Later(later[0], log.count, log.count - len(later)) if later else None
