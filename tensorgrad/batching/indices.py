"""Indexing with a hidden axis: where an index of one element lies in the whole."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .layout import opened

__all__ = ["Place"]


class Place(NamedTuple):
    """An index into the whole, and which axes of what it selects have to move to where.

    NumPy puts the axes of index arrays in front, unless they stand side by side. The hidden axis must be in front
    of the result all the same, and the others as they would be without it.
    """

    level: int
    key: tuple[Any, ...]
    old: tuple[int, ...] = ()
    new: tuple[int, ...] = ()

    @classmethod
    def of(cls, level: int, target: Any, index: Any) -> Place | None:
        """The place of an index into one element; None where it has to be looked up one by one."""
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
        size = next((h.shape[0] for a in (target, *arrays) if (h := opened(a, level)) is not None), 0)
        if all(opened(part, level) is None for part in arrays):
            if side_by_side:
                return cls(level, (slice(None), *parts))
            return cls(level, (slice(None), *parts), (width,), (0,))
        for i in spots:
            hidden = opened(parts[i], level)
            if hidden is not None:
                parts[i] = np.reshape(hidden, (size, *(1,) * (width - parts[i].ndim), *parts[i].shape))
        rows = np.reshape(np.arange(size), (size, *(1,) * width))
        before = spots[0]
        if side_by_side and before:
            old = tuple(range(1, 1 + width))
            return cls(level, (rows, *parts), old, tuple(a + before for a in old))
        return cls(level, (rows, *parts))

    def read(self, hidden: Any) -> Any:
        """What is selected."""
        selected = hidden[self.key]
        return np.moveaxis(selected, self.old, self.new) if self.old else selected

    def _value(self, hidden: Any, value: Any) -> Any:
        """A value to write, with its axes as the index selects them."""
        shape = self.read(hidden).shape
        own = opened(value, self.level)
        if own is not None:
            value = np.reshape(own, (own.shape[0], *(1,) * (len(shape) - own.ndim), *own.shape[1:]))
        if not self.old:
            return value
        return np.moveaxis(np.broadcast_to(value, shape), self.new, self.old)

    def write(self, hidden: Any, value: Any) -> None:
        """Put a value there."""
        hidden[self.key] = self._value(hidden, value)

    def add(self, ufunc: np.ufunc, hidden: Any, value: Any) -> None:
        """``ufunc.at`` there."""
        ufunc.at(hidden, self.key, self._value(hidden, value))


def _parts(index: Any, ndim: int) -> list[Any] | None:
    """An index as a list without Ellipsis, masks as positions; None where its shape depends on the element."""
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
