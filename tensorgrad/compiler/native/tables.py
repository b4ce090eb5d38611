"""The table of addresses that native code works with, and the arrays that it writes its results to."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..printed import empty
from ..variables import Variable

__all__ = ["Tables", "address_of"]

_MOST = 2  # more arrays for one result: those of one run may be in use during the next ones


def address_of(array: Any) -> int:
    """Where an array begins in memory."""
    address: int = array.__array_interface__["data"][0]
    return address


class Tables:
    """The table of addresses; calling this gives arrays for the results, which nobody else holds.

    Args:
        results: what a run returns, with the slots in its memory and where each begins, in bytes.
        slots: how many there are; the addresses of the tables of numbers and of ranges come after them.
        numbers: how many numbers there are.

    Attributes:
        address: where the table is.
    """

    def __init__(self, results: Sequence[tuple[Variable, Sequence[tuple[int, int]]]], slots: int, numbers: int) -> None:
        self._results = results
        self._base = np.zeros(slots + 2, np.uintp)
        self._numbers = np.zeros(max(numbers, 1))
        self._ranges = np.zeros((0, 2), np.uintp)
        self.address = address_of(self._base)
        self._references = next(map(sys.getrefcount, [np.zeros(0)]))  # to an array that only a list holds
        self._arrays: list[Any] = []  # in use in the next run
        self._addresses: list[int] = []
        self._others: list[list[Any]] = [[] for _ in results]  # were in use when they were needed
        self._other_addresses: list[list[int]] = [[] for _ in results]
        for number, (variable, _) in enumerate(results):
            self._arrays.append(_new(variable))
            self._addresses.append(address_of(self._arrays[-1]))
            self._enter(number)

    def put(self, addresses: Mapping[int, int], ranges: Sequence[tuple[int, int]]) -> None:
        """Set the addresses of other slots, and the ranges of memory that no argument may share."""
        self._ranges = np.array(ranges, np.uintp).reshape(-1, 2)
        for slot, address in addresses.items():
            self._base[slot] = address
        self._base[-2:] = address_of(self._numbers), address_of(self._ranges)

    def __call__(self) -> list[Any]:
        """Arrays to write to, whose addresses are in the table."""
        if sum(map(sys.getrefcount, self._arrays)) != self._references * len(self._arrays):
            self._replace()
        return self._arrays

    def _replace(self) -> None:
        """Take other arrays in place of those that are in use."""
        for number, count in enumerate(list(map(sys.getrefcount, self._arrays))):
            if count == self._references:
                continue
            others, addresses = self._others[number], self._other_addresses[number]
            counts = list(map(sys.getrefcount, others))
            k = counts.index(self._references) if self._references in counts else -1
            if k < 0:
                others.append(_new(self._results[number][0]))
                addresses.append(address_of(others[-1]))
                del others[:-_MOST], addresses[:-_MOST]
            self._arrays[number], others[k] = others[k], self._arrays[number]
            self._addresses[number], addresses[k] = addresses[k], self._addresses[number]
            self._enter(number)

    def _enter(self, number: int) -> None:
        address = self._addresses[number]
        for slot, offset in self._results[number][1]:
            self._base[slot] = address + offset


def _new(variable: Variable) -> Any:
    return np.empty_like(empty(variable.shape, variable.dtype, variable.strides))
