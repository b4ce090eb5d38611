"""A value that holds in a block, for the running thread or task, and that a compiled step can watch."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, Generic, TypeVar

import tensorgrad as tg

__all__ = ["Setting"]

T = TypeVar("T")


class Setting(Generic[T]):
    """A value, or None outside of all blocks.

    >>> depth = Setting("depth")
    >>> with depth.block(3):
    ...     print(depth.watched())
    3
    >>> print(depth.watched())
    None
    """

    def __init__(self, name: str) -> None:
        self._variable: ContextVar[T | None] = ContextVar(name, default=None)

    @property
    def value(self) -> T | None:
        """The value now."""
        return self._variable.get()

    def watched(self) -> T | None:
        """The value now; once it has changed, a compiled step is traced again."""
        found: T | None = tg.watch(self, "value")
        return found

    def put(self, value: T | None) -> None:
        """Set the value."""
        self._variable.set(value)

    def put_back(self) -> Callable[[], Any]:
        """A function that sets the value that it has now."""
        return partial(self.put, self.value)

    def block(self, value: T) -> tg.restoring:
        """A block in which this is the value."""
        return tg.restoring(self.put_back(), partial(self.put, value))
