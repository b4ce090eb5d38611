"""Which rows of a batch that several processes share this process has, for those who draw random numbers for them."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg

from ._setting import Setting

__all__ = ["Shard", "drawn", "shard_in_use"]


class Shard:
    """This process has the rows ``rank::size`` of a batch of ``rows``, which changes from batch to batch."""

    def __init__(self, rank: int, size: int, rows: int = 0) -> None:
        self.rank, self.size, self.rows = rank, size, rows

    @property
    def own(self) -> int:
        """How many rows this process has."""
        return len(range(self.rank, self.rows, self.size))

    def used(self) -> tg.restoring:
        """Let layers in a block draw for this shard."""
        return _shard.block(self)


_shard: Setting[Shard] = Setting("nn_shard")


def shard_in_use() -> Shard | None:
    """The shard of the block that is running, or None."""
    return _shard.watched()


def drawn(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, shard: Shard | None) -> Any:
    """Random numbers in [0, 1), of which those for a row of a shared batch depend on its place in the whole batch.

    Every process draws for the whole batch and takes its own rows, so that together they draw what one would.

    >>> whole = np.random.default_rng(0).random((3, 2))
    >>> part = drawn(np.random.default_rng(0), (1, 2), np.float64, Shard(1, 2, rows=3))
    >>> bool((part == whole[1]).all())
    True
    """
    if shard is None or not shape or shape[0] != shard.own:
        return rng.random(shape, dtype)
    return rng.random((shard.rows, *shape[1:]), dtype)[shard.rank :: shard.size]
