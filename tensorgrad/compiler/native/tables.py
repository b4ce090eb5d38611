"""The tables of addresses that native code works with, and the arrays that it writes its results to."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..printed import empty
from ..variables import Variable

__all__ = ["Tables", "address_of"]

_SETS = 3  # of results: those of one run are in use during the next one


def address_of(array: Any) -> int:
    """Where an array begins in memory."""
    address: int = array.__array_interface__["data"][0]
    return address


class Tables:
    """A table for each set of results; calling this finds a set that nobody holds, or makes one.

    Args:
        results: what a run returns, with the slot of each.
        slots: how many there are; the addresses of the tables of numbers and of ranges come after them.
        numbers: how many numbers there are.
    """

    def __init__(self, results: Sequence[tuple[Variable, int]], slots: int, numbers: int) -> None:
        self._results = results
        self._base = np.zeros(slots + 2, np.uintp)
        self._numbers = np.zeros(max(numbers, 1))
        self._ranges = np.zeros((0, 2), np.uintp)
        self._sets: list[tuple[list[Any], int, int, Any]] = []

    def put(self, addresses: Mapping[int, int], ranges: Sequence[tuple[int, int]]) -> None:
        """Set the addresses of slots, and the ranges of memory that no argument may share."""
        self._ranges = np.array(ranges, np.uintp).reshape(-1, 2)
        for slot, address in addresses.items():
            self._base[slot] = address
        self._base[-2:] = address_of(self._numbers), address_of(self._ranges)
        self._sets.clear()

    def __call__(self) -> tuple[list[Any], int]:
        """Arrays to write to, and the address of their table."""
        for arrays, address, held, _ in self._sets:
            if sum(map(sys.getrefcount, arrays)) == held:
                return arrays, address
        arrays = [np.empty_like(empty(v.shape, v.dtype, v.strides)) for v, _ in self._results]
        table = self._base.copy()
        for array, (_, slot) in zip(arrays, self._results, strict=True):
            table[slot] = address_of(array)
        del self._sets[: -_SETS + 1]
        array = None
        self._sets.append((arrays, address_of(table), sum(map(sys.getrefcount, arrays)), table))
        return arrays, self._sets[-1][1]
