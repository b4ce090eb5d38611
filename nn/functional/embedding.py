"""Embedding: rows of a table."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg

from ._shared import operand, plain_array

__all__ = ["embedding"]


def embedding(indices: Any, weight: tg.TensorLike, padding_idx: int | None = None) -> tg.Tensor:
    """Rows of a table, by index; a row that is taken more than once gets the sum of its gradients.

    Args:
        indices: non-negative integers, of any shape.
        weight: the table, of shape (rows, features).
        padding_idx: a row that gets no gradient (negative: counted from the end); None for no such row.

    Returns:
        Shape ``(*indices, features)``.

    Raises:
        DTypeError: indices are not integers.
        IndexError: an index is negative or not less than the number of rows.
        ShapeError: weight does not have two axes.

    >>> import nn
    >>> nn.functional.embedding([2, 0], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).data.tolist()
    [[5.0, 6.0], [1.0, 2.0]]
    """
    rows, table = plain_array(indices), operand(weight)
    if len(table.shape) != 2:
        raise tg.ShapeError(f"embedding: expected weight of shape (rows, features), got {table.shape}")
    if rows.dtype.kind not in "iu":
        raise tg.DTypeError(
            f"embedding: indices must be integers (row numbers), got {rows.dtype}; write indices.astype(np.int64)"
        )
    count = table.shape[0]
    _check_rows(rows, count)
    taken = tg.take(table, rows, axis=0)
    if padding_idx is None:
        return taken
    if not -count <= padding_idx < count:
        raise IndexError(f"embedding: padding_idx {padding_idx} is out of range for {count} rows")
    # The same values, but those of that row are not recorded in the graph.
    plain = tg.take(tg.array_of(table), rows, axis=0)
    return tg.where((rows == padding_idx % count)[..., None], plain, taken)


@tg.indivisible
def _check_rows(rows: Any, count: int) -> None:
    wrong = (rows < 0) | (rows >= count)
    if np.any(wrong):
        position = tuple(np.argwhere(wrong)[0].tolist())
        raise IndexError(
            f"embedding: index {rows[position]} at position {position} is out of range for {count} rows "
            f"(0 to {count - 1})"
        )
