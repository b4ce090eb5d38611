"""Joining arrays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from ..engine.graph import Rule
from ..engine.record import Tensor, TensorLike, record
from ..engine.shapes import normalised_axis
from ..engine.trees import leaves
from ..errors import DTypeError, ShapeError
from .axes import transpose
from .shaping import astype, atleast_1d, atleast_2d, atleast_3d, broadcast_to, ravel, reshape
from .views import shaped

__all__ = [
    "append",
    "block",
    "column_stack",
    "concat",
    "concatenate",
    "dstack",
    "hstack",
    "meshgrid",
    "stack",
    "vstack",
]


def _part(selection: tuple[Any, ...]) -> Rule:
    def d_x(xp: Any, g: Any) -> Any:
        return g[selection]

    return d_x


Casting = Literal["no", "equiv", "safe", "same_kind", "unsafe"]


def joined(
    op: str,
    arrays: Iterable[TensorLike],
    axis: int | None,
    dtype: DTypeLike | None = None,
    casting: Casting = "same_kind",
) -> Tensor:
    """Record an operation that joins arrays along an existing axis.

    >>> joined("concatenate", [[1.0], [2.0]], 0)
    Tensor([1., 2.], dtype=float64)
    """
    parts = [shaped(array, op) for array in arrays]
    if not parts:
        raise ShapeError(f"{op}: needs at least one array")
    if dtype is not None or casting != "same_kind":
        parts = _cast(op, parts, dtype, casting)
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
                    f"{op}: array {i} has shape {shape}, array 0 has shape {first}: joining along axis {axis} "
                    f"needs equal lengths along all other axes, but axis {a} has {m} and {n}"
                )
        stop = start + shape[axis]
        rules.append(_part((*before, slice(start, stop))))
        start = stop
    return record(op, lambda *xs: np.concatenate(xs, axis=axis), parts, rules)


def _cast(op: str, parts: list[Any], dtype: DTypeLike | None, casting: Casting) -> list[Any]:
    wanted = np.dtype(dtype) if dtype is not None else np.result_type(*(part.dtype for part in parts))
    for i, part in enumerate(parts):
        if not np.can_cast(part.dtype, wanted, casting):
            raise DTypeError(f"{op}: array {i} of dtype {part.dtype} cannot be cast to {wanted} with {casting=}")
    return [astype(part, wanted) for part in parts]


def concatenate(
    arrays: Iterable[TensorLike],
    /,
    axis: int | None = 0,
    *,
    dtype: DTypeLike | None = None,
    casting: Casting = "same_kind",
) -> Tensor:
    """Arrays joined along an existing axis; None flattens them first.

    The result has the dtype that all of them promote to, or ``dtype``. Raises ShapeError if they differ in length
    along another axis, DTypeError if ``casting`` does not allow the cast.

    >>> import tensorgrad as tg
    >>> tg.concatenate([tg.Tensor([1.0, 2.0]), [3.0]])
    Tensor([1., 2., 3.], dtype=float64)
    """
    return joined("concatenate", arrays, axis, dtype, casting)


def concat(arrays: Iterable[TensorLike], /, axis: int | None = 0) -> Tensor:
    """Arrays joined along an existing axis: :func:`concatenate` under its name in the array API.

    >>> import tensorgrad as tg
    >>> tg.concat([tg.Tensor([1.0, 2.0]), [3.0]])
    Tensor([1., 2., 3.], dtype=float64)
    """
    return joined("concat", arrays, axis)


def stack(arrays: Iterable[TensorLike], /, axis: int = 0) -> Tensor:
    """Arrays of the same shape joined along a new axis. Raises ShapeError if shapes differ.

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


def hstack(arrays: Iterable[TensorLike], /) -> Tensor:
    """Arrays joined side by side: along the second axis, or the first if there is only one.

    >>> import tensorgrad as tg
    >>> tg.hstack([tg.Tensor([[1.0], [2.0]]), [[3.0], [4.0]]]).data.tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    parts = [atleast_1d(array) for array in arrays]
    return joined("hstack", parts, 0 if parts and len(parts[0].shape) == 1 else 1)


def vstack(arrays: Iterable[TensorLike], /) -> Tensor:
    """Arrays joined one below the other, along the first axis; vectors are rows.

    >>> import tensorgrad as tg
    >>> tg.vstack([tg.Tensor([1.0, 2.0]), [3.0, 4.0]]).data.tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    return joined("vstack", [atleast_2d(array) for array in arrays], 0)


def dstack(arrays: Iterable[TensorLike], /) -> Tensor:
    """Arrays joined along the third axis; :func:`atleast_3d` adds missing axes.

    >>> import tensorgrad as tg
    >>> tg.dstack([tg.Tensor([1.0, 2.0]), [3.0, 4.0]]).data.tolist()
    [[[1.0, 3.0], [2.0, 4.0]]]
    """
    return joined("dstack", [atleast_3d(array) for array in arrays], 2)


def column_stack(arrays: Iterable[TensorLike], /) -> Tensor:
    """Vectors as columns of a matrix, and matrices side by side.

    >>> import tensorgrad as tg
    >>> tg.column_stack([tg.Tensor([1.0, 2.0]), [3.0, 4.0]]).data.tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    parts = [shaped(array, "column_stack") for array in arrays]
    return joined("column_stack", [part if len(part.shape) > 1 else transpose(atleast_2d(part)) for part in parts], 1)


def append(x: TensorLike, values: TensorLike, /, axis: int | None = None) -> Tensor:
    """Values joined to the end of an array along an axis; None flattens both.

    >>> import tensorgrad as tg
    >>> tg.append(tg.Tensor([1.0, 2.0]), 3.0)
    Tensor([1., 2., 3.], dtype=float64)
    """
    return joined("append", [x, values], axis)


def block(arrays: Any, /) -> Tensor:
    """An array assembled from nested lists of blocks: the innermost lists along the last axis, and so on outwards.

    Raises ValueError if lists are empty or nested to different depths, ShapeError if blocks do not match.

    >>> import tensorgrad as tg
    >>> corner, column = tg.Tensor([[1.0, 2.0], [3.0, 4.0]]), tg.Tensor([[5.0], [6.0]])
    >>> tg.block([[corner, column], [column.T, 7.0]]).data.tolist()
    [[1.0, 2.0, 5.0], [3.0, 4.0, 6.0], [5.0, 6.0, 7.0]]
    """
    depths, ndim = _nesting(arrays, 0)
    if len(depths) != 1:
        raise ValueError(f"block: lists are nested to different depths, {' and '.join(map(str, sorted(depths)))}")
    (depth,) = depths
    return _assembled(arrays, depth, max(ndim, depth))


def _nesting(arrays: Any, depth: int) -> tuple[set[int], int]:
    """How deeply the blocks are nested, and the largest number of axes among them."""
    if isinstance(arrays, tuple):
        raise TypeError("block: blocks must be nested in lists, got a tuple; write [...]")
    if not isinstance(arrays, list):
        return {depth}, len(shaped(arrays, "block").shape)
    if not arrays:
        raise ValueError("block: a list of blocks is empty")
    parts = [_nesting(part, depth + 1) for part in arrays]
    return set().union(*(depths for depths, _ in parts)), max(ndim for _, ndim in parts)


def _assembled(arrays: Any, depth: int, ndim: int) -> Tensor:
    if not isinstance(arrays, list):
        part = shaped(arrays, "block")
        return reshape(part, (1,) * (ndim - len(part.shape)) + part.shape)
    return joined("block", [_assembled(part, depth - 1, ndim) for part in arrays], -depth)


def meshgrid(*arrays: TensorLike, sparse: bool = False, indexing: Literal["xy", "ij"] = "xy") -> tuple[Tensor, ...]:
    """The coordinates of a grid, from those along its axes: for each axis, an array with the shape of the grid.

    The results are views of the arguments that cannot be written to: ``+t`` makes a copy.

    Args:
        arrays: the coordinates along each axis: vectors or numbers.
        sparse: leave the axes along which nothing changes at length 1.
        indexing: "ij" keeps the axes in the order of the arrays; "xy" swaps the first two.

    >>> import tensorgrad as tg
    >>> x, y = tg.meshgrid([1.0, 2.0, 3.0], [4.0, 5.0])
    >>> x.shape, y.data.tolist()
    ((2, 3), [[4.0, 4.0, 4.0], [5.0, 5.0, 5.0]])
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing must be 'xy' or 'ij', got {indexing!r}")
    parts = [shaped(array, "meshgrid") for array in arrays]
    for i, part in enumerate(parts):
        if len(part.shape) > 1:
            raise ShapeError(f"meshgrid: array {i} has shape {part.shape}, expected a vector; write tg.ravel(x)")
    places = list(range(len(parts)))
    if indexing == "xy":
        places[:2] = places[1::-1] if len(parts) > 1 else places[:2]
    spread = [
        reshape(part, tuple(-1 if a == place else 1 for a in range(len(parts)))) for place, part in zip(places, parts)
    ]
    if sparse:
        return tuple(spread)
    shape = np.broadcast_shapes(*(part.shape for part in spread))
    return tuple(broadcast_to(part, shape) for part in spread)


def stack_nest(nest: Any) -> Any:
    """A nested list of Tensors, arrays and numbers as one Tensor. Python numbers take the dtype of the rest."""
    dtype = np.result_type(*(leaf.dtype if hasattr(leaf, "dtype") else leaf for leaf in leaves(nest)))
    return _stacked_nest(nest, dtype)


def _stacked_nest(part: Any, dtype: Any) -> Any:
    if isinstance(part, list | tuple):
        return stack([_stacked_nest(inner, dtype) for inner in part])
    return part if hasattr(part, "dtype") else np.asarray(part, dtype)
