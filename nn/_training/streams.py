"""Data that comes in batches, from an iterable, a loader or a generator; and which kind of data this is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from numbers import Number
from typing import Any

import numpy as np

from .data import Batch, Rows
from .inputs import mapped, of_arrays, several, taken

__all__ = ["Stream", "source", "validation_source"]

_END = object()


class Stream:
    """Batches from elsewhere: an iterable, or a function that returns one for each epoch.

    Args:
        origin: the iterable or function.
        by: whose argument it is, for errors.
        per_epoch: how many batches make an epoch; None for as many as the stream has.
    """

    def __init__(
        self, origin: Callable[[], Iterable[Any]] | Iterable[Any], *, by: str, per_epoch: int | None = None
    ) -> None:
        self._origin = origin
        self.by = by
        self._per_epoch = per_epoch
        self._running: Iterator[Any] | None = None  # a pass that has begun and has not ended
        self._ahead: Any = _END  # its next batch, if it was read ahead
        self._class_weight: Mapping[Any, float] | None = None

    @property
    def runs_once(self) -> bool:
        """Whether one pass certainly uses it up."""
        # Iterators of others, such as loaders, may start anew when they are asked for another pass.
        return isinstance(self._origin, Iterator) and type(self._origin).__module__ in ("builtins", "itertools")

    def first(self) -> Batch:
        """The first batch of the next epoch, which still begins with it."""
        item = self._next()
        if item is _END:
            self._running = None
            raise self._empty()
        self._ahead = item
        return self._batch(item)

    def weigh_classes(self, class_weight: Any, loss: Any) -> None:
        """Multiply the samples' weights by those of their classes, batch by batch."""
        if not isinstance(class_weight, Mapping):
            raise TypeError(
                f"{self.by}: class_weight={class_weight!r} counts the labels of all samples, and a stream of batches "
                "shows them one batch at a time; give a dict of factors by class"
            )
        self._class_weight, self._loss = class_weight, loss

    def groups(
        self, size: int, *, rng: Any = None, drop_last: bool = False, together: int = 1
    ) -> Iterator[tuple[Batch, ...]]:
        """Yield the batches of each update, ``together`` of them."""
        batches = self.batches(size)
        while drawn := tuple(itertools.islice(batches, together)):
            yield drawn

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield the next epoch's batches, as they come."""
        done, fresh = 0, self._running is None
        while True:
            before = done
            while done != self._per_epoch and (item := self._next()) is not _END:
                done += 1
                yield self._batch(item)
            if done == self._per_epoch:
                return
            self._running = None
            if self._per_epoch is None and done:
                return
            if done == before and fresh:
                raise self._empty(done)
            fresh = True

    def updates(self, size: int, *, drop_last: bool = False, together: int = 1) -> int | None:
        """The number of updates in an epoch, or None if it is unknown."""
        count = self._per_epoch
        if count is None:
            count = len(self._origin) if isinstance(self._origin, Sized) else None
        return None if count is None else -(-count // together)

    def _next(self) -> Any:
        """The next batch of the pass that has begun, or of a new one."""
        item, self._ahead = self._ahead, _END
        if item is not _END:
            return item
        if self._running is None:
            self._running = iter(self._origin() if callable(self._origin) else self._origin)
        return next(self._running, _END)

    def _empty(self, done: int = 0) -> ValueError:
        hint = ""
        if self.runs_once:
            hint = "; a generator runs only once, so give the function that makes it"
        if done:
            return ValueError(
                f"{self.by}: the stream of batches ended after {done} of {self._per_epoch} steps of an epoch{hint}"
            )
        return ValueError(f"{self.by}: the stream of batches is empty{hint}")

    def _batch(self, item: Any) -> Batch:
        if not isinstance(item, tuple | list) or not 2 <= len(item) <= 3:
            kind = f"{len(item)} values" if isinstance(item, tuple | list) else type(item).__name__
            raise TypeError(f"{self.by}: a batch must be (X, y) or (X, y, sample_weight), got {kind}")
        if item[1] is None:
            raise TypeError(f"{self.by}: y of a batch is None; write (X, X) if the inputs are the targets")
        X = item[0]
        if isinstance(X, list) and of_arrays(X):  # loaders make lists of tuples
            X = tuple(X)
        by = f"{self.by}, in a batch"
        rows = Rows(X, item[1], item[2] if len(item) == 3 else None, by=by)
        if self._class_weight is not None:
            rows.weigh_classes(self._class_weight, self._loss)
        everything = slice(None)
        return Batch(
            mapped(lambda a: taken(a, everything), rows.X),
            taken(rows.y, everything),
            None if rows.weight is None else taken(rows.weight, everything),
        )


def source(X: Any, y: Any, weight: Any, *, by: str, per_epoch: int | None = None) -> Rows | Stream:
    """The data of arrays, or of a stream of batches if y is None and X has no shape.

    Raises:
        ShapeError: the arrays differ in length, or are empty.
        TypeError: y is missing, or X is not a stream.
        ValueError: a weight is out of range; a stream is endless and ``per_epoch`` None, or given for arrays.
    """
    if y is not None:
        if per_epoch is not None:
            raise ValueError(f"{by}: steps_per_epoch is for streams of batches; for arrays, leave it out")
        return Rows(X, y, weight, by=by)
    listed = isinstance(X, list) and X and not isinstance(X[0], tuple)
    if hasattr(X, "shape") or listed or several(X):
        call = "validation_data=(X, y)" if by == "validation_data" else f"{by}(X, y)"
        raise TypeError(f"{by}: y is missing; write {call}, or give batches (X, y) as an iterable")
    if not callable(X) and not isinstance(X, Iterable):
        raise TypeError(f"{by}: X must be an array, an iterable of batches or a function that returns one, got {X!r}")
    if weight is not None:
        raise TypeError(f"{by}: the weights of a stream come with its batches, (X, y, sample_weight)")
    if isinstance(X, itertools.cycle) and per_epoch is None:
        raise ValueError(f"{by}: the stream of batches never ends; say how many make an epoch: steps_per_epoch=100")
    return Stream(X, by=by, per_epoch=per_epoch)


def validation_source(given: Any, epochs: int) -> Rows | Stream:
    """The validation data that ``fit`` is given, which is needed once an epoch.

    Raises:
        ShapeError, ValueError: as :func:`source`.
        TypeError: it is neither arrays nor batches; or it is a generator, and there are several epochs.
    """
    listed = isinstance(given, tuple | list)
    # A list of tuples is one of batches, unless they are rows of numbers.
    if listed and not (given and all(isinstance(item, tuple) and not _of_numbers(item) for item in given)):
        if not 2 <= len(given) <= 3:
            raise _no_validation(f"{len(given)} values")
        return source(*given, *(None,) * (3 - len(given)), by="validation_data")
    if hasattr(given, "shape") or isinstance(given, Mapping) or not (callable(given) or isinstance(given, Iterable)):
        raise _no_validation(type(given).__name__)
    stream = source(given, None, None, by="validation_data")
    if isinstance(stream, Stream) and stream.runs_once and epochs > 1:
        raise TypeError(
            f"fit: validation_data is a {type(given).__name__}, which runs only once, and is needed in each of "
            f"{epochs} epochs; give the function that makes it, or a list"
        )
    return stream


def _of_numbers(row: tuple[Any, ...]) -> bool:
    return any(isinstance(value, Number | np.generic) for value in row)


def _no_validation(got: str) -> TypeError:
    return TypeError(
        "fit: validation_data must be (X, y) or (X, y, sample_weight), or an iterable of such batches or a function "
        f"that returns one, got {got}"
    )
