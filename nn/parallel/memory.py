"""Memory for results of the same size in every step."""

from __future__ import annotations

import weakref
from math import prod
from typing import Any

import numpy as np

__all__ = ["Memory"]

_SMALL = 1 << 16  # bytes up to which NumPy's own memory is as quick
_KEPT = 3  # blocks: what is sent, what comes back, and what came back in the last step if it is still in use


class _Lease:
    """What an array in a block refers to, by itself or through the array that it is a view of."""

    __slots__ = ("__array_interface__", "__weakref__", "block")

    def __init__(self, block: Any, shape: tuple[int, ...], dtype: Any) -> None:
        self.block = block
        data = block.__array_interface__["data"]
        self.__array_interface__ = {"version": 3, "data": data, "shape": shape, "typestr": dtype.str}


class Memory:
    """Makes arrays in memory that is used again once nothing refers to it.

    The system clears each page of new memory when it is first written to, which for a large array takes as long as to
    sum it over two processes.

    >>> memory = Memory()
    >>> first = memory.empty((100_000,), np.float32)
    >>> place, part = first.ctypes.data, first[:10]
    >>> del first
    >>> second = memory.empty((100_000,), np.float32)
    >>> second.ctypes.data == place  # a part of it is in use
    False
    >>> del part
    >>> memory.empty((50_000, 2), np.float32).ctypes.data == place
    True
    """

    def __init__(self) -> None:
        self._blocks: list[tuple[Any, weakref.ref[_Lease]]] = []  # the one that was used last comes last

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """A new array with any contents, as by ``np.empty``."""
        dtype = np.dtype(dtype)
        size = prod(shape) * dtype.itemsize
        if size < _SMALL:
            return np.empty(shape, dtype)
        free = [i for i, (block, lease) in enumerate(self._blocks) if lease() is None and block.nbytes == size]
        block = self._blocks.pop(free[-1])[0] if free else np.empty(size, np.uint8)
        lease = _Lease(block, shape, dtype)
        del self._blocks[: len(self._blocks) + 1 - _KEPT]
        self._blocks.append((block, weakref.ref(lease)))
        return np.asarray(lease)
