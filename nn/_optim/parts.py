"""Parameters in parts that fit in the processor's cache.

An update is a dozen NumPy calls, each a pass over its arrays. Small parameters are concatenated, so that a dozen calls
serve all of them together; large ones are cut into blocks of rows, so that only the first pass over a block waits for
memory. The state is concatenated, too. Parameters stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

import tensorgrad as tg

from .group import ParamGroup

__all__ = ["Bucket", "Part", "Run"]

BLOCK = 1 << 18  # bytes; more is not faster, and much less is slower


class _Place(NamedTuple):
    """Where a part is: in the parameters, and in the state."""

    members: range  # positions in the bucket
    rows: slice | None  # which rows of the only member; None for all
    start: int
    stop: int
    shape: tuple[int, ...]


class Part:
    """What one round of NumPy calls updates: concatenated small parameters, or rows of a large one.

    Attributes:
        pieces: for each member, its position in the run, and which of its rows (None for all).
    """

    def __init__(self, bucket: Bucket, place: _Place, scratch: list[Any], first: int) -> None:
        start, stop, shape = place.start, place.stop, place.shape
        self.pieces = [(i - first, place.rows) for i in place.members]
        self._scratch = [array[: stop - start].reshape(shape) for array in scratch]
        self._state = {name: bucket.state[name][start:stop].reshape(shape) for name in bucket.used}
        self._updates = [self._scratch[0]]
        if len(place.members) > 1:
            cuts = pairwise(offset - start for offset in bucket.offsets[place.members.start : place.members.stop + 1])
            shapes = [bucket.params[i].shape for i in place.members]
            self._updates = [self._scratch[0][a:b].reshape(shape) for (a, b), shape in zip(cuts, shapes, strict=True)]

    def gathered(self, arrays: list[Any]) -> Any:
        """The arrays of the members, concatenated, or the rows of the only one. The caller must not write to it."""
        if len(self.pieces) > 1:
            return np.concatenate([arrays[k] for k, _ in self.pieces], axis=None)
        ((k, rows),) = self.pieces
        return arrays[k] if rows is None else arrays[k][rows]

    def memory(self) -> tuple[list[Any], dict[str, Any], list[Any]]:
        """Three scratch arrays and the state by name, in the shape of the gradient, and views of the first array.

        The first array is for the amount to subtract from the parameters, and each view has that of one member.
        """
        scratch, state, updates = self._scratch, self._state, self._updates
        if tg.scratch(scratch[0]) is scratch[0]:
            return scratch, state, updates
        lift, lend = tg.array_of, tg.scratch  # a compiler is tracing
        return [lend(a) for a in scratch], {k: lift(a) for k, a in state.items()}, [lend(a) for a in updates]


class Run:
    """Neighbouring parameters with gradients and the same history, which are updated together.

    Attributes:
        least: the dtype's smallest normal number; a smaller eps could be rounded to 0, which would be divided by.
    """

    def __init__(self, bucket: Bucket, start: int, stop: int) -> None:
        places = list(_cut(bucket, start, stop))
        longest = max(place.stop - place.start for place in places)
        scratch = [np.empty_like(bucket.params[0].data, shape=(longest,)) for _ in range(3)]
        self.params = bucket.params[start:stop]
        self.parts = [Part(bucket, place, scratch, start) for place in places]
        self.least = float(np.finfo(bucket.dtype).tiny)
        self._numbers = bucket.numbers
        self._start, self._stop = start, stop

    def number(self, name: str) -> Any:
        """A number from these parameters' history, such as "t", how many updates they have had."""
        return self._numbers[name][self._start]

    def advance(self, **numbers: float) -> int:
        """Count an update, and set numbers of the history. Returns the count."""
        counts, start, stop = self._numbers["t"], self._start, self._stop
        t: int = counts[start] + 1
        counts[start:stop] = [t] * (stop - start)
        for name, value in numbers.items():
            self._numbers[name][start:stop] = [value] * (stop - start)
        return t


class Bucket:
    """The parameters of one group and one dtype, with their state and history.

    Attributes:
        params: large ones before small ones, so that small ones are neighbours.
        offsets: where each begins in the state.
        initial: the initial history of a parameter: no updates ("t"), and the numbers that an optimiser adds.
        numbers: the history of each parameter, by name.
        state: arrays by name, of all parameters concatenated; made when they are first needed.
        used: the names of those that the current options need.
    """

    def __init__(self, group: ParamGroup, params: list[Any], numbers: Mapping[str, float]) -> None:
        self.group = group
        self.params = sorted(params, key=_is_small)
        self.dtype = params[0].dtype
        self.offsets = [0, *accumulate(param.size for param in self.params)]
        self.initial = {"t": 0, **numbers}
        self.numbers: dict[str, list[Any]] = {name: [value] * len(params) for name, value in self.initial.items()}
        self.state: dict[str, Any] = {}
        self.used: tuple[str, ...] = ()
        self._known = [(param, param.shape) for param in self.params]
        self._runs: dict[tuple[int, int], Run] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_runs": {}}  # a copy makes views of its own state

    def allocate(self, slots: Mapping[str, float]) -> None:
        """Use these state arrays; make those that are missing, filled with their initial values."""
        if self.used != tuple(slots):
            for name in slots:
                if name not in self.state:
                    like = self.params[0].data  # of its library
                    self.state[name] = np.full_like(like, slots[name], shape=(self.offsets[-1],))
            self.used = tuple(slots)
            self._runs.clear()

    @property
    def breaks(self) -> tuple[int, ...]:
        """The positions of parameters whose history differs from that of the one before."""
        counts = self.numbers["t"]
        if len(self.numbers) == 1 and counts.count(counts[0]) == len(counts):
            return ()
        histories = list(zip(*self.numbers.values(), strict=True))
        return tuple(i for i in range(1, len(histories)) if histories[i] != histories[i - 1])

    def ready(self, slots: Mapping[str, float]) -> Iterator[tuple[Run, list[Any]]]:
        """The runs that can be updated, with their gradients."""
        gradients = [param.grad for param in self.params]
        edges = [0, *tg.watch(self, "breaks"), len(gradients)]
        if missing := [i for i, gradient in enumerate(gradients) if gradient is None]:
            edges = sorted({*edges, *missing, *(i + 1 for i in missing)})
        for start, stop in pairwise(edges):
            if gradients[start] is None:
                continue
            self.allocate(slots)
            run = self._runs.get((start, stop))
            if run is None:
                run = self._runs[start, stop] = Run(self, start, stop)
            yield run, [tg.array_of(gradient) for gradient in gradients[start:stop]]

    def require_known(self, by: str) -> None:
        """Raise GraphError if a parameter was replaced or cast, and ValueError if one is read-only."""
        for param, shape in self._known:
            if getattr(param, "held", 1) == 0:
                raise tg.GraphError(
                    f"{by}: parameter {param.name!r} was replaced in its module since the optimiser was made, so the "
                    "new one would not be updated; make the optimiser after changing the model"
                )
            data = param.data
            if data.shape != shape or data.dtype != self.dtype:
                raise tg.GraphError(
                    f"{by}: parameter {param.name or ''!r} had shape {shape} and dtype {self.dtype} when the "
                    f"optimiser was made, and has {data.shape} and {data.dtype} now; make the optimiser after "
                    "changing the model"
                )
            if isinstance(data, np.ndarray) and not data.flags.writeable:
                raise ValueError(
                    f"{by}: the array of parameter {param.name or ''!r} is read-only, and no parameter was changed; "
                    "write parameter.data = parameter.data.copy()"
                )


def _limit(param: Any) -> int:
    return BLOCK // param.dtype.itemsize


def _is_small(param: Any) -> bool:
    return param.size <= _limit(param)


def _cut(bucket: Bucket, start: int, stop: int) -> Iterator[_Place]:
    """Cut neighbouring parameters of a bucket into parts."""
    offsets = bucket.offsets
    i = start
    while i < stop:
        param, first, room = bucket.params[i], i, _limit(bucket.params[i])
        if not _is_small(param):
            rows, at = param.shape[0], offsets[i]
            row = param.size // rows
            blocks = min(rows, -(-param.size // room))
            for a, b in pairwise(rows * k // blocks for k in range(blocks + 1)):
                yield _Place(range(i, i + 1), slice(a, b), at + a * row, at + b * row, (b - a, *param.shape[1:]))
            i += 1
            continue
        while i < stop and bucket.params[i].size <= room:
            room -= bucket.params[i].size
            i += 1
        a, b = offsets[first], offsets[i]
        yield _Place(range(first, i), None, a, b, param.shape if i == first + 1 else (b - a,))
