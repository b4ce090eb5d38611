"""The log of in-place writes: what was written to, when, and by whom.

A write through the engine is stamped by the same clock that numbers the nodes, and cannot affect a node created after
it. So a training step, whose nodes are all newer than the last optimiser step, pays one comparison per node; only an
older node looks up whether an array it saved was written to. Views need no counters of their own: what counts is the
array that owns the memory.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Later", "Writer", "later_writes", "latest", "memory", "tick", "unwritten", "written"]

ndarray = np.ndarray
tick: Callable[[], int] = count().__next__  # the clock of nodes and writes


class _Writes:
    """The writes to one array's memory: how many, and the last few."""

    __slots__ = ("count", "latest", "recent", "ref", "writers")

    def __init__(self, ref: weakref.ref[Any]) -> None:
        self.ref = ref
        self.count = 0
        self.latest = -1  # the time of the last write of those that are not in ``writers``
        self.recent: deque[tuple[int, str]] = deque(maxlen=16)
        self.writers: list[Writer] = []  # their writes are not in the other two

    def since(self, time: int) -> bool:
        """Whether there were writes after a given time."""
        if self.latest > time:
            return True
        for writer in self.writers:  # noqa: SIM110 (a generator takes twice as long)
            if writer.latest > time:
                return True
        return False

    def everything(self) -> tuple[int, list[tuple[int, str]]]:
        """How many writes there were, and the last few: the time of each, and who it was."""
        recent = [*self.recent, *((stamp, writer.by) for writer in self.writers for stamp in writer.recent)]
        return self.count + sum(writer.count for writer in self.writers), sorted(recent)

    def add(self, writer: Writer) -> None:
        """Let another one write here. Threads may do this at the same time."""
        for known in tuple(self.writers):
            if known.owner() is None:
                try:
                    self.writers.remove(known)
                except ValueError:  # another thread was faster
                    continue
                self.count += known.count
                self.latest = max(self.latest, known.latest)
                self.recent.extend((stamp, known.by) for stamp in known.recent)
        self.writers.append(writer)


class Writer:
    """Someone who writes to the same arrays again and again, and logs it once for all of them.

    Args:
        by: who writes.
        arrays: what is written to.
        owner: the object that writes; once it is gone, there are no more writes.
    """

    __slots__ = ("by", "count", "latest", "owner", "recent")

    def __init__(self, by: str, arrays: Iterable[Any], owner: object) -> None:
        self.by = by
        self.count = 0
        self.latest = -1
        self.recent: deque[int] = deque(maxlen=16)
        self.owner: Callable[[], Any] = weakref.ref(owner)
        for log in {id(log): log for log in map(_log_of, arrays)}.values():
            log.add(self)

    def wrote(self) -> None:
        """Log a write to all the arrays."""
        global latest
        self.count += 1
        latest = self.latest = stamp = tick()
        self.recent.append(stamp)


_writes: dict[int, _Writes] = {}
latest = -1  # the time of the last write


def memory(array: Any) -> Any:
    """The array that owns an array's memory."""
    while (base := getattr(array, "base", None)) is not None:
        if not hasattr(base, "dtype"):
            base = getattr(base, "base", None)  # of a window view: as_strided puts an object in between
            if not hasattr(base, "dtype"):
                break
        array = base
    return array


def _log_of(array: Any) -> _Writes:
    """The log of the array that owns an array's memory."""
    owner = memory(array)
    key = id(owner)
    log = _writes.get(key)
    if log is None or log.ref() is not owner:
        # No Python code runs in the callback, where Ctrl-C would be lost.
        log = _writes[key] = _Writes(weakref.ref(owner, partial(_writes.pop, key)))
    return log


def written(array: Any, by: str) -> None:
    """Log an in-place write to an array: a backward that needs the saved values then refuses to run."""
    global latest
    log = _log_of(array)
    log.count += 1
    latest = log.latest = stamp = tick()
    log.recent.append((stamp, by))


def unwritten(saved: Iterable[tuple[Any, ...]], since: int) -> bool:
    """Whether it is certain at a glance that nothing was written to saved arrays after a given time.

    >>> import numpy as np
    >>> a, now = np.zeros((2, 3)), tick()
    >>> unwritten([(a.T,)], now), written(a, "f"), unwritten([(a.T,)], now)
    (True, None, False)
    """
    for arrays in saved:
        for array in arrays:
            kind = array.__class__
            if kind is ndarray:
                while (base := array.base) is not None:
                    if base.__class__ is not ndarray:
                        return False
                    array = base
                log = _writes.get(id(array))
                if log is not None and log.since(since):
                    return False
            elif kind is not float and kind is not int:
                return False
    return True


class Later(NamedTuple):
    """Writes to an array since it was saved."""

    by: str  # who wrote first
    version: int  # the number of writes in all
    expected: int  # the number of writes when it was saved


def later_writes(array: Any, since: int) -> Later | None:
    """The writes to an array's memory after a given time; None if there were none."""
    owner = memory(array)
    log = _writes.get(id(owner))
    if log is None or log.ref() is not owner:
        return None
    if not log.since(since):
        return None
    count, recent = log.everything()
    later = [by for stamp, by in recent if stamp > since]
    return Later(later[0], count, count - len(later)) if later else None
