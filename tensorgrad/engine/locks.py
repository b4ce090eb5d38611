"""What a forked process finds unlocked, even if a thread that it does not have was at work at that moment."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["computed_once", "lock", "reentrant_lock"]

T = TypeVar("T")

_locks: weakref.WeakSet[Any] = weakref.WeakSet()


def lock() -> threading.Lock:
    """A lock, for what belongs to the whole process."""
    made = threading.Lock()
    _locks.add(made)
    return made


def reentrant_lock() -> threading.RLock:
    """A lock that its thread may take again."""
    made = threading.RLock()
    _locks.add(made)
    return made


class computed_once(Generic[T]):
    """A property that is computed when it is first read, and then kept: functools.cached_property without a lock.

    That of Python 3.11 holds one for all objects of a class while it computes, so that a process which is forked
    meanwhile waits forever. Two threads may both compute the value here.

    >>> class Square:
    ...     @computed_once
    ...     def area(self):
    ...         print("computing")
    ...         return 4
    >>> square = Square()
    >>> square.area + square.area
    computing
    8
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> T:
        value = vars(instance)[self._function.__name__] = self._function(instance)
        return value


def _unlock_all() -> None:
    for made in list(_locks):
        made._at_fork_reinit()  # as Python's own modules do with theirs


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_all)
