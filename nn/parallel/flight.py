"""A sum over processes whose parts begin one after another, while what is to be summed is still being computed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import tensorgrad as tg

if TYPE_CHECKING:
    from .communicator import Communicator

__all__ = ["Flight", "Plan"]


class Plan(NamedTuple):
    """How a flat array is divided: the same in every process."""

    dtype: Any
    counts: tuple[int, ...]  # of arrays in each part
    edges: tuple[int, ...]  # where each part begins, and the end


class Flight:
    """A sum of a flat array over processes, in parts that begin in order.

    A part with a number that is not finite, and all after it, are left to the end: backward may still repair them.
    """

    def __init__(self, comm: Communicator, plan: Plan) -> None:
        self._comm, self._plan = comm, plan
        self._sent, self._total = (comm.memory.empty((plan.edges[-1],), plan.dtype) for _ in range(2))
        self._places = [slice(*ends) for ends in pairwise(plan.edges)]
        self._requests: list[Any] = []
        self._late = False

    def begin(self, arrays: Sequence[Any]) -> int:
        """Begin the next part. Returns how many have begun."""
        if self._late:
            return len(self._requests)
        place = self._places[len(self._requests)]
        sent = np.concatenate(arrays, axis=None, out=self._sent[place])
        with tg.silenced():
            self._late = not np.isfinite(np.vdot(sent, sent))
        for request in self._requests:
            request.Test()  # MPI goes on with a sum while it is asked about it
        if not self._late:
            self._requests.append(self._comm.begun(sent, self._total[place]))
        return len(self._requests)

    def end(self, arrays: Sequence[Any]) -> Any:
        """The flat sum of all arrays, of which those of the parts that have begun are not looked at."""
        start = 0
        for part, count in enumerate(self._plan.counts):
            if part >= len(self._requests):
                place = self._places[part]
                sent = np.concatenate(arrays[start : start + count], axis=None, out=self._sent[place])
                self._requests.append(self._comm.begun(sent, self._total[place]))
            start += count
        for request, place in zip(self._requests, self._places, strict=True):
            self._comm.wait(request, self._sent[place])
        return self._total
