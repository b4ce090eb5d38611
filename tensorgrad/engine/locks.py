"""Locks that a forked process finds unlocked, even if a thread that it does not have held one at that moment."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

__all__ = ["lock", "reentrant_lock"]

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


def _unlock_all() -> None:
    for made in list(_locks):
        made._at_fork_reinit()  # as Python's own modules do with theirs


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_all)
