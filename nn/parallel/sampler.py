"""Which rows of the data each process takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._checks import count
from .communicator import Communicator

__all__ = ["ShardSampler"]


class ShardSampler:
    """The rows of each batch that this process takes: every ``size``-th of the batch, from ``rank`` on.

    Each run through it is an epoch: every row is in one batch, and in one process. All processes draw the same order.

    Args:
        rows: how many rows the data has.
        comm: from :func:`nn.parallel.init`.
        batch_size: rows of a batch, over all processes. The last one may be smaller, so that a process has none of it.
        shuffle: take the rows in a new order in each epoch.
        rng: generator or seed for the order; None takes a seed of rank 0.

    Raises:
        ValueError: rows or batch_size is not a positive integer.

    >>> import nn.parallel
    >>> sampler = nn.parallel.ShardSampler(5, nn.parallel.init(), batch_size=2, shuffle=False)
    >>> [rows.tolist() for rows in sampler]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        rows: int,
        comm: Communicator,
        *,
        batch_size: int,
        shuffle: bool = True,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.rows = count("ShardSampler", "rows", rows)
        self.batch_size = count("ShardSampler", "batch_size", batch_size)
        self.comm, self.shuffle = comm, shuffle
        self._rng = comm.broadcast(np.random.default_rng(rng))

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        order = self._rng.permutation(self.rows) if self.shuffle else np.arange(self.rows)
        for start in range(0, self.rows, self.batch_size):
            yield order[start : start + self.batch_size][self.comm.rank :: self.comm.size]
