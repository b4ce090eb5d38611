"""Training data in mini-batches: arrays with one row per sample, in memory or on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

import tensorgrad as tg

from .._layers.embedding import Embedding
from .._module import Module
from ..parallel.communicator import Communicator
from .inputs import array, is_sparse, mapped, parts, several, taken
from .weighing import class_factors, class_numbers

__all__ = ["Batch", "Casts", "Rows"]

_BLOCK = 1 << 18  # bytes that are taken at once


class Whole(NamedTuple):
    """A batch of which each process has a part."""

    rows: int
    own: Callable[[], Batch]  # makes this process's part: another one after processes were lost


class Batch(NamedTuple):
    """Inputs, targets, and the weights of the samples (None for 1)."""

    X: Any
    y: Any
    weight: Any
    whole: Whole | None = None  # if several processes share it

    def part(self, rows: slice) -> Batch:
        """Some rows of arrays in memory, as views."""
        X, y, weight = self.X, self.y, self.weight
        return Batch(
            X[rows] if type(X) is np.ndarray else mapped(lambda a: a[rows], X),
            None if y is None else y[rows],
            None if weight is None else weight[rows],
        )


class Casts:
    """Converts inputs and targets to the current dtype of a network's parameters."""

    def __init__(self, network: Module) -> None:
        self.dtype = next((p.dtype for p in network.parameters()), np.dtype(np.float32))
        self._embeds = any(isinstance(module, Embedding) for module in network.modules())

    def inputs(self, X: Any) -> Any:
        """Inputs in the network's dtype; integers stay integers if the network has an Embedding.

        Raises:
            DTypeError: they are not numbers.
            ValueError: one is too large for the dtype.
        """
        return mapped(self._input, X)

    def _input(self, X: Any) -> Any:
        if X.dtype == self.dtype or (self._embeds and X.dtype.kind in "iu"):
            return X
        if X.dtype.kind not in ("biufcO" if self.dtype.kind == "c" else "biufO"):
            raise tg.DTypeError(f"Model: X has dtype {X.dtype}, expected real numbers; encode other values as numbers")
        try:
            with tg.silenced(), np.errstate(over="raise"):  # the first one ends, whatever arrives
                return X.astype(self.dtype)
        except FloatingPointError:
            values = X.data if is_sparse(X) else X
            largest = np.abs(values[np.isfinite(values)]).max()
            raise ValueError(
                f"Model: X contains {largest:g}, too large for {self.dtype}, the dtype of the network; scale X, or "
                "write network.to(np.float64)"
            ) from None
        except (TypeError, ValueError) as error:
            raise tg.DTypeError(f"Model: X has dtype {X.dtype}, and not all of it are numbers: {error}") from error

    def targets(self, y: Any) -> Any:
        """Real targets in the network's dtype; class numbers stay integers."""
        return y.astype(self.dtype, copy=False) if y.dtype.kind == "f" else y


class Rows:
    """Arrays with one row per sample. An array on disk is read a batch at a time, a sparse one made dense."""

    def __init__(self, X: Any, y: Any, weight: Any, *, by: str) -> None:
        self.X = mapped(array, _named(X, by)) if several(X) else array(_stacked(X, by))
        self.y, self.weight, self.by = array(y), array(weight), by
        self.indices: Any = None  # of the rows in use; None for all
        self.comm: Communicator | None = None  # processes that share each batch of an epoch
        self._count = 0
        named = {**dict(parts(self.X)), "y": self.y, "sample_weight": self.weight}
        lengths = {}
        for name, values in named.items():
            if values is None:
                continue
            if not values.shape:
                raise tg.ShapeError(f"{by}: {name} is a single number, expected an array with one row per sample")
            lengths[name] = self._count = values.shape[0]
        if len(set(lengths.values())) > 1:
            shapes = ", ".join(f"{name} {named[name].shape}" for name in lengths)
            raise tg.ShapeError(f"{by}: expected the same number of rows in each, got the shapes {shapes}")
        for name, values in parts(self.X):
            if not self._count:
                raise tg.ShapeError(f"{by}: {name} has no rows (shape {values.shape})")
        _check_weight(self.weight, self._count, by)

    def __len__(self) -> int:
        return self._count if self.indices is None else len(self.indices)

    def converted(self, convert: Callable[[Any], Any]) -> None:
        """Convert inputs that are in memory once, rather than batch by batch."""
        self.X = mapped(lambda a: convert(a) if type(a) is np.ndarray or is_sparse(a) else a, self.X)

    def batch(self, rows: Any) -> Batch:
        """Some of the rows in use."""
        places = rows if self.indices is None else self.indices[rows]
        return Batch(
            mapped(lambda a: taken(a, places), self.X),
            None if self.y is None else taken(self.y, places),
            None if self.weight is None else taken(self.weight, places),
        )

    def own(self, rows: Any) -> Batch:
        """Some of the rows in use, or this process's share of them."""
        if self.comm is None:
            return self.batch(rows)
        places = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        part = self.batch(places[self.comm.rank :: self.comm.size])
        return part._replace(whole=Whole(len(places), partial(self.own, places)))

    def labels(self) -> tuple[Any, Any]:
        """The targets and weights of the rows in use."""
        places = slice(None) if self.indices is None else self.indices
        return taken(self.y, places), None if self.weight is None else taken(self.weight, places)

    def split(self, share: float, rng: np.random.Generator, *, stratify: bool = False) -> tuple[Rows, Rows]:
        """Split the rows at random into two parts; the second has about ``share`` of them, at least one.

        With ``stratify``, each class has about the same share in both.
        """
        count = len(self)
        held = max(1, round(count * share))
        if held >= count:
            raise ValueError(f"fit: validation_split={share} of {count} rows leaves none to train on")
        order = rng.permutation(count)
        if stratify:
            order = order[_by_class(class_numbers(self.labels()[0], "fit", "stratify")[order], held)]
        return self._part(np.sort(order[held:])), self._part(np.sort(order[:held]))

    def weigh_classes(self, class_weight: Any, loss: Any) -> None:
        """Multiply the samples' weights by those of their classes: a dict, or "balanced" over the rows in use."""
        places = slice(None) if self.indices is None else self.indices
        y, weight = self.labels()
        factors = class_factors(class_weight, y, loss, self.by)
        whole = np.zeros(self._count)
        whole[places] = factors if weight is None else weight * factors
        self.weight = whole

    def _part(self, rows: Any) -> Rows:
        part = object.__new__(Rows)
        part.X, part.y, part.weight, part.by = self.X, self.y, self.weight, self.by
        part.indices, part._count, part.comm = rows, self._count, self.comm
        return part

    def updates(self, size: int, *, drop_last: bool = False, together: int = 1) -> int:
        """The number of updates in an epoch. Raises ValueError if ``drop_last`` leaves none."""
        if drop_last and len(self) < size:
            raise ValueError(
                f"{self.by}: drop_last=True leaves out every row: got {len(self)} to train on, expected at least "
                f"batch_size={size}; lower batch_size or write drop_last=False"
            )
        return sum(1 for _ in _updates(len(self), size, drop_last, together))

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield the rows in batches, as they come."""
        for (batch,) in self.groups(size):
            yield batch

    def groups(
        self, size: int, *, rng: np.random.Generator | None = None, drop_last: bool = False, together: int = 1
    ) -> Iterator[tuple[Batch, ...]]:
        """Yield the batches of each update, up to ``together`` of them, in an order drawn from ``rng`` or as they come.

        Updates, and the batches of each, differ by at most one row, so that every row counts alike and none is in a
        batch of a few.
        """
        count = len(self)
        order = None if rng is None else rng.permutation(count)
        rows = 0 if order is None else self._rows_at_once()
        block, begin, end = Batch(None, None, None), 0, 0
        for edges in _updates(count, size, drop_last, together):
            if order is not None and rows and edges[-1] > end:
                begin, end = edges[0], max(edges[-1], edges[0] + rows)
                block = self.batch(order[begin:end])
            parts = (slice(*ends) for ends in pairwise(edges))
            if rows:
                yield tuple(block.part(slice(part.start - begin, part.stop - begin)) for part in parts)
            else:
                yield tuple(self.own(part if order is None else order[part]) for part in parts)

    def _rows_at_once(self) -> int:
        """How many rows to take at once, several batches of small rows; 0 if each batch is to be taken by itself."""
        arrays = [array for _, array in (*parts(self.X), ("y", self.y), ("weight", self.weight)) if array is not None]
        if self.comm is not None or not all(type(a) is np.ndarray and a.flags.c_contiguous for a in arrays):
            return 0
        return max(1, _BLOCK // max(1, sum(a.nbytes // len(a) for a in arrays)))


def _named(X: Any, by: str) -> Any:
    """Several inputs as a dict or a tuple."""
    if isinstance(X, tuple):
        return tuple(X)
    if not X:
        raise ValueError(f"{by}: X is an empty dict, expected arrays by the names of the network's arguments")
    if wrong := [name for name in X if not isinstance(name, str)]:
        raise TypeError(f"{by}: X is a dict by {wrong[0]!r}, expected the names of arguments of the network's forward")
    return dict(X)


def _stacked(X: Any, by: str) -> Any:
    """One input as an array. Raises ShapeError for a list or tuple that is not an array."""
    if X is None:
        raise TypeError(f"{by}: X is None, expected an array, or a dict or tuple of arrays")
    if not isinstance(X, list | tuple):
        return X
    try:
        return np.asarray(X)
    except ValueError as error:
        raise tg.ShapeError(
            f"{by}: X is a {type(X).__name__} of rows that differ in shape; for several inputs, write a tuple of "
            f"arrays, (X1, X2), or a dict of them ({error})"
        ) from error


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


def _by_class(labels: Any, held: int) -> Any:
    """An order in which the first ``held`` rows have each class in its share, as nearly as can be."""
    _, places, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    ideal = sizes * (held / len(labels))
    counts = np.floor(ideal).astype(int)
    # One more for those that lack most; a class of one row stays in the larger part if it can.
    wanting = np.lexsort((counts - ideal, counts + 1 >= sizes))
    counts[wanting[: held - counts.sum()]] += 1
    grouped = np.argsort(places.reshape(-1), kind="stable")
    rank = np.empty(len(labels), int)
    rank[grouped] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.argsort(rank >= counts[places.reshape(-1)], kind="stable")


def _updates(count: int, size: int, drop_last: bool, together: int) -> Iterator[list[int]]:
    """For each update, where its batches begin and end.

    There are as few updates as possible, each of up to ``size * together`` rows. They are of nearly equal size, as by
    ``np.array_split``, and so are the batches of each. An update has ``together`` batches, or fewer if one would have a
    single row, which has no variance for a batch norm. No batch has more than ``size`` rows, with one exception: with
    ``size`` 2 and ``together`` 1, three rows are one batch.
    """
    if drop_last:
        count -= count % size
        for start in range(0, count, size * together):
            yield list(range(start, min(start + size * together, count) + 1, size))
        return
    for start, stop in pairwise(_split(count, size * together, size > 1)):
        rows = stop - start
        number = min(together, max(-(-rows // size), rows // 2))
        yield [start + edge for edge in _divided(rows, number)]


def _split(count: int, size: int, pairs: bool) -> list[int]:
    """Edges of as few parts of at most ``size`` as possible; with ``pairs``, no part has a single row."""
    number = -(-count // size)
    return _divided(count, min(number, max(1, count // 2)) if pairs else number)


def _divided(count: int, number: int) -> list[int]:
    rows, larger = divmod(count, number)
    return [i * rows + min(i, larger) for i in range(number + 1)]
