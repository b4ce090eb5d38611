"""Joining arrays, and splitting one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError
from ..graph import Rule
from ..record import TensorLike, record
from ..shapes import normalised_axis
from .indexing import getitem
from .shaping import ravel
from .views import shaped

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["concat", "concatenate", "split", "stack"]


def _part(selection: tuple[Any, ...]) -> Rule:
    def d_x(xp: Any, g: Any) -> Any:
        return g[selection]

    return d_x


def _joined(op: str, arrays: Iterable[TensorLike], axis: int | None) -> Tensor:
    parts = [shaped(array, op) for array in arrays]
    if not parts:
        raise ShapeError(f"{op}: needs at least one array")
    if axis is None:
        parts = [ravel(part) for part in parts]
        axis = 0
    first = parts[0].shape
    if not first:
        raise ShapeError(f"{op}: arrays without axes cannot be joined; write stack(...)")
    axis = normalised_axis(axis, len(first), op)
    rules = []
    start = 0
    before = (slice(None),) * axis
    for i, part in enumerate(parts):
        shape = part.shape
        if len(shape) != len(first):
            raise ShapeError(
                f"{op}: array {i} has shape {shape}, array 0 has shape {first}: "
                f"all need the same number of axes, got {len(shape)} and {len(first)}"
            )
        for a, (m, n) in enumerate(zip(shape, first)):
            if m != n and a != axis:
                raise ShapeError(
                    f"{op}: array {i} has shape {shape}, array 0 has shape {first}: to be joined along axis "
                    f"{axis} all other axes need the same length, and axis {a} has {m} and {n}"
                )
        stop = start + shape[axis]
        rules.append(_part((*before, slice(start, stop))))
        start = stop
    return record(op, lambda *xs: np.concatenate(xs, axis=axis), parts, rules)


def concatenate(arrays: Iterable[TensorLike], /, axis: int | None = 0) -> Tensor:
    """Arrays joined along an axis they have; None flattens them first.

    Raises ShapeError where another axis has different lengths.

    >>> import tensorgrad as tg
    >>> tg.concatenate([tg.Tensor([1.0, 2.0]), [3.0]])
    Tensor([1., 2., 3.], dtype=float64)
    """
    return _joined("concatenate", arrays, axis)


def concat(arrays: Iterable[TensorLike], /, axis: int | None = 0) -> Tensor:
    """Arrays joined along an axis they have: :func:`concatenate` under its name in the array API.

    >>> import tensorgrad as tg
    >>> tg.concat([tg.Tensor([1.0, 2.0]), [3.0]])
    Tensor([1., 2., 3.], dtype=float64)
    """
    return _joined("concat", arrays, axis)


def stack(arrays: Iterable[TensorLike], /, axis: int = 0) -> Tensor:
    """Arrays of one shape joined along a new axis. Raises ShapeError where shapes differ.

    >>> import tensorgrad as tg
    >>> tg.stack([tg.Tensor([1.0, 2.0]), [3.0, 4.0]], axis=1).data.tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    parts = [shaped(array, "stack") for array in arrays]
    if not parts:
        raise ShapeError("stack: needs at least one array")
    first = parts[0].shape
    for i, part in enumerate(parts):
        if part.shape != first:
            raise ShapeError(f"stack: array {i} has shape {part.shape}, array 0 has shape {first}; all must agree")
    axis = normalised_axis(axis, len(first) + 1, "stack")
    before = (slice(None),) * axis
    rules = [_part((*before, i)) for i in range(len(parts))]
    return record("stack", lambda *xs: np.stack(xs, axis=axis), parts, rules)


def split(x: TensorLike, /, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Consecutive parts along an axis: so many of equal length, or cut before these positions.

    Raises ShapeError where the length cannot be divided evenly.

    >>> import tensorgrad as tg
    >>> [part.data.tolist() for part in tg.split([1.0, 2.0, 3.0], [1])]
    [[1.0], [2.0, 3.0]]
    """
    source = shaped(x, "split")
    axis = normalised_axis(axis, len(source.shape), "split")
    length = source.shape[axis]
    if isinstance(indices_or_sections, Sequence | np.ndarray):
        cuts = [0, *map(index, indices_or_sections), length]
    else:
        count = index(indices_or_sections)
        if count < 1 or length % count:
            raise ShapeError(
                f"split: axis {axis} of shape {source.shape} has length {length}, which makes no {count} equal parts"
            )
        cuts = list(range(0, length + 1, length // count)) if length else [0] * (count + 1)
    before = (slice(None),) * axis
    return [getitem(source, (*before, slice(start, stop))) for start, stop in pairwise(cuts)]
