"""Indexing with a hidden axis: an index into one element as an index into the hidden array."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .layout import hidden_of

__all__ = ["Place"]


class Place(NamedTuple):
    """An index into the hidden array, and the axes of the selection that have to be moved.

    NumPy puts the axes of index arrays first, unless the arrays are next to each other. In either case the hidden
    axis has to come first in the result, with the other axes in the same order as without it.
    """

    level: int
    key: tuple[Any, ...]
    old: tuple[int, ...] = ()
    new: tuple[int, ...] = ()

    @classmethod
    def of(cls, level: int, target: Any, index: Any) -> Place | None:
        """The place of an index into one element; None if each element has to be indexed separately."""
        ndim = target.ndim
        parts = _parts(index, ndim)
        if parts is None:
            return None
        arrays = [part for part in parts if hasattr(part, "ndim")]
        if not arrays:
            return cls(level, (slice(None), *parts))
        width = max(part.ndim for part in arrays)
        spots = [i for i, part in enumerate(parts) if hasattr(part, "ndim") or isinstance(part, int)]
        side_by_side = spots[-1] - spots[0] + 1 == len(spots)
        size = next((h.shape[0] for a in (target, *arrays) if (h := hidden_of(a, level)) is not None), 0)
        if all(hidden_of(part, level) is None for part in arrays):
            if side_by_side:
                return cls(level, (slice(None), *parts))
            return cls(level, (slice(None), *parts), (width,), (0,))
        for i in spots:
            hidden = hidden_of(parts[i], level)
            if hidden is not None:
                parts[i] = np.reshape(hidden, (size, *(1,) * (width - parts[i].ndim), *parts[i].shape))
        rows = np.reshape(np.arange(size), (size, *(1,) * width))
        before = spots[0]
        if side_by_side and before:
            old = tuple(range(1, 1 + width))
            return cls(level, (rows, *parts), old, tuple(a + before for a in old))
        return cls(level, (rows, *parts))

    def read(self, hidden: Any) -> Any:
        """Read the selection."""
        selected = hidden[self.key]
        return np.moveaxis(selected, self.old, self.new) if self.old else selected

    def _value(self, hidden: Any, value: Any) -> Any:
        """A value to write, with its axes in the order of the selection."""
        shape = self.read(hidden).shape
        own = hidden_of(value, self.level)
        if own is not None:
            value = np.reshape(own, (own.shape[0], *(1,) * (len(shape) - own.ndim), *own.shape[1:]))
        if not self.old:
            return value
        return np.moveaxis(np.broadcast_to(value, shape), self.new, self.old)

    def write(self, hidden: Any, value: Any) -> None:
        """Write a value to the selection."""
        hidden[self.key] = self._value(hidden, value)

    def add(self, ufunc: np.ufunc, hidden: Any, value: Any) -> None:
        """Apply ``ufunc.at`` to the selection."""
        ufunc.at(hidden, self.key, self._value(hidden, value))


def _parts(index: Any, ndim: int) -> list[Any] | None:
    """An index as a list, without Ellipsis and with masks as positions; None if its shape depends on the element."""
    parts: list[Any] = []
    for part in index if isinstance(index, tuple) else (index,):
        if part is None or part is Ellipsis or isinstance(part, slice):
            parts.append(part)
            continue
        if isinstance(part, list):
            part = np.asarray(part, dtype=None if part else np.intp)
        if not hasattr(part, "dtype"):
            if isinstance(part, bool):
                return None
            parts.append(int(part))
        elif part.dtype.kind == "b":
            if hasattr(part, "level") or not part.ndim:
                return None
            parts.extend(np.nonzero(part))
        else:
            parts.append(part)
    used = sum(part is not None and part is not Ellipsis for part in parts)
    whole = [slice(None)] * (ndim - used)
    at = next((i for i, part in enumerate(parts) if part is Ellipsis), None)
    if at is None:
        return parts + whole
    return parts[:at] + whole + parts[at + 1 :]
