"""Training data in mini-batches: arrays, arrays on disk, streams of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

import tensorgrad as tg

from .._layers.embedding import Embedding
from .._module import Module

__all__ = ["Batch", "Casts", "Rows", "Stream", "source"]


class Batch(NamedTuple):
    """Inputs, targets, and the weights of the samples (None for 1)."""

    X: Any
    y: Any
    weight: Any


class Casts:
    """Converts inputs and targets to the current dtype of a network's parameters."""

    def __init__(self, network: Module) -> None:
        self.dtype = next((p.dtype for p in network.parameters()), np.dtype(np.float32))
        self._embeds = any(isinstance(module, Embedding) for module in network.modules())

    def inputs(self, X: Any) -> Any:
        """Inputs in the network's dtype; integers stay integers if the network has an Embedding."""
        return X if self._embeds and X.dtype.kind in "iu" else X.astype(self.dtype, copy=False)

    def targets(self, y: Any) -> Any:
        """Real targets in the network's dtype; class numbers stay integers."""
        return y.astype(self.dtype, copy=False) if y.dtype.kind == "f" else y


class Rows:
    """Arrays with one row per sample. An array on disk is read a batch at a time."""

    def __init__(self, X: Any, y: Any, weight: Any, *, by: str) -> None:
        self.X, self.y, self.weight = _array(X), _array(y), _array(weight)
        self.indices: Any = None  # of the rows in use; None for all
        named = {"X": self.X, "y": self.y, "sample_weight": self.weight}
        lengths = {}
        for name, array in named.items():
            if array is None:
                continue
            if not array.shape:
                raise tg.ShapeError(f"{by}: {name} is a single number, expected an array with one row per sample")
            lengths[name] = len(array)
        if len(set(lengths.values())) > 1:
            shapes = ", ".join(f"{name} {named[name].shape}" for name in lengths)
            raise tg.ShapeError(f"{by}: expected the same number of rows in each, got the shapes {shapes}")
        if not len(self.X):
            raise tg.ShapeError(f"{by}: X has no rows (shape {self.X.shape})")
        _check_weight(self.weight, len(self.X), by)

    def __len__(self) -> int:
        return len(self.X) if self.indices is None else len(self.indices)

    def converted(self, convert: Callable[[Any], Any]) -> None:
        """Convert inputs that are in memory once, rather than batch by batch."""
        if type(self.X) is np.ndarray:
            self.X = convert(self.X)

    def split(self, share: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
        """Split the rows at random into two parts; the second has about ``share`` of them, at least one."""
        count = len(self)
        held = max(1, round(count * share))
        if held >= count:
            raise ValueError(f"fit: validation_split={share} of {count} rows leaves none to train on")
        order = rng.permutation(count)
        return self._part(np.sort(order[held:])), self._part(np.sort(order[:held]))

    def _part(self, rows: Any) -> Rows:
        part = object.__new__(Rows)
        part.X, part.y, part.weight = self.X, self.y, self.weight
        part.indices = rows
        return part

    def steps(self, size: int, drop_last: bool) -> int:
        """The number of batches."""
        return len(_edges(len(self), size, drop_last)) - 1

    def batches(self, size: int, *, rng: np.random.Generator | None = None, drop_last: bool = False) -> Iterator[Batch]:
        """Yield the rows in batches, in an order drawn from ``rng`` or as they come.

        Batches differ by at most one row, so that every row counts alike and none is in a batch of a few.
        """
        count = len(self)
        order = None if rng is None else rng.permutation(count)
        if self.indices is not None:
            order = self.indices if order is None else self.indices[order]
        edges = _edges(count, size, drop_last)
        for start, stop in pairwise(edges):
            rows = slice(start, stop) if order is None else order[start:stop]
            yield Batch(*(None if a is None else _taken(a, rows) for a in (self.X, self.y, self.weight)))


class Stream:
    """Batches from elsewhere: an iterable, or a function that returns one for each epoch."""

    def __init__(self, origin: Callable[[], Iterable[Any]] | Iterable[Any], *, by: str) -> None:
        self._origin = origin
        self._by = by
        self._used_up = False

    def batches(self, size: int, *, rng: Any = None, drop_last: bool = False) -> Iterator[Batch]:
        """Yield the next epoch's batches, as they come."""
        origin = self._origin() if callable(self._origin) else self._origin
        found = False
        for item in origin:
            found = True
            if not isinstance(item, tuple | list) or not 2 <= len(item) <= 3:
                kind = f"{len(item)} values" if isinstance(item, tuple | list) else type(item).__name__
                raise TypeError(f"{self._by}: a batch must be (X, y) or (X, y, sample_weight), got {kind}")
            if item[1] is None:
                raise TypeError(f"{self._by}: y of a batch is None; write (X, X) if the inputs are the targets")
            rows = Rows(item[0], item[1], item[2] if len(item) == 3 else None, by=f"{self._by}, in a batch")
            yield Batch(rows.X, rows.y, rows.weight)
        if not found:
            hint = "; a generator runs only once, so give the function that makes it" if self._used_up else ""
            raise ValueError(f"{self._by}: the stream of batches is empty{hint}")
        self._used_up = True

    def steps(self, size: int, drop_last: bool) -> int | None:
        """The number of batches, or None if it is unknown."""
        return len(self._origin) if isinstance(self._origin, Sized) else None


def source(X: Any, y: Any, weight: Any, *, by: str) -> Rows | Stream:
    """The data of arrays, or of a stream of batches if y is None and X has no shape.

    Raises:
        ShapeError: the arrays differ in length, or are empty.
        TypeError: y is missing, or X is not a stream.
    """
    if y is not None:
        return Rows(X, y, weight, by=by)
    if hasattr(X, "shape") or (isinstance(X, list) and X and not isinstance(X[0], tuple)):
        raise TypeError(f"{by}: y is missing; write {by}(X, y), or give batches (X, y) as an iterable")
    if not callable(X) and not isinstance(X, Iterable):
        raise TypeError(f"{by}: X must be an array, an iterable of batches or a function that returns one, got {X!r}")
    if weight is not None:
        raise TypeError(f"{by}: the weights of a stream come with its batches, (X, y, sample_weight)")
    return Stream(X, by=by)


def _array(value: Any) -> Any:
    """The value as an array; Tensors and pandas tables are converted, too. What is on disk stays there."""
    if value is None:
        return None
    if isinstance(value, tg.Tensor):
        return value.data
    if hasattr(value, "to_numpy"):
        return value.to_numpy()
    # Arrays on disk have NumPy's dtypes; those of other libraries have their own, and are in memory.
    return (
        value if hasattr(value, "shape") and isinstance(getattr(value, "dtype", None), np.dtype) else np.asarray(value)
    )


def _check_weight(weight: Any, rows: int, by: str) -> None:
    if weight is None:
        return
    if weight.shape != (rows,):
        raise tg.ShapeError(f"{by}: sample_weight has shape {weight.shape}, expected ({rows},): one per row")
    if weight.dtype.kind not in "biuf":
        raise tg.DTypeError(f"{by}: sample_weight must be numbers, got {weight.dtype}")
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError(
            f"{by}: sample_weight holds NaN, infinity or a negative number, expected factors of at least 0"
        )


def _taken(array: Any, rows: Any) -> Any:
    if type(array) is np.ndarray or isinstance(rows, slice):
        return array[rows]
    # Read from disk in the file's order: this is faster, and h5py allows no other.
    order = np.argsort(rows, kind="stable")
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return np.asarray(array[rows[order]])[back]


def _edges(count: int, size: int, drop_last: bool) -> list[int]:
    """Where batches begin and end: as few as possible, of nearly equal size as by ``np.array_split``.

    A batch has one row more than ``size`` if another would have a single row, which has no variance for a batch norm.
    """
    if drop_last and count >= size:
        return list(range(0, count + 1, size))
    number = -(-count // size)
    if size > 1:
        number = min(number, max(1, count // 2))
    rows, larger = divmod(count, number)
    return [i * rows + min(i, larger) for i in range(number + 1)]
