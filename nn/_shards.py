"""Which rows of a batch that several processes share this process has, for those who draw random numbers for them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import ceil, prod
from typing import Any

import numpy as np

import tensorgrad as tg

from ._setting import Setting

__all__ = ["Shard", "mask", "shard_in_use"]

_MANY = 2048  # pairs of numbers; for fewer, it takes longer to look at the generator


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


def mask(rng: np.random.Generator, shape: tuple[int, ...], p: float, shard: Shard | None) -> Callable[[], Any]:
    """A function that draws which elements dropout keeps. In a shared batch they depend on the row.

    Every process draws for the whole batch and takes its own rows, so that together they draw what one would.

    >>> whole = mask(np.random.default_rng(0), (3, 2), 0.5, None)()
    >>> part = mask(np.random.default_rng(0), (1, 2), 0.5, Shard(1, 2, rows=3))()
    >>> bool((part == whole[1]).all())
    True
    """
    if shard is None or not shape or shape[0] != shard.own:
        return _at_least(rng, shape, p)
    return lambda: _at_least(rng, (shard.rows, *shape[1:]), p)()[shard.rank :: shard.size]


def _at_least(rng: np.random.Generator, shape: tuple[int, ...], p: float) -> Callable[[], Any]:
    """A function that returns ``rng.random(shape, np.float32) >= p``: of many numbers, in two thirds of the time.

    Each of those numbers is the first 24 bits of an integer of 32 bits, as a fraction. PCG64 draws two such integers at
    a time, and keeps the second one if only the first is asked for. So the integers themselves are compared.
    """
    bits, pairs, least = rng.bit_generator, prod(shape) // 2, ceil(np.float32(p) * 2.0**24) << 8
    many = pairs >= _MANY and 2 * pairs == prod(shape) and least < 2**32
    if not many or type(bits) is not np.random.PCG64 or sys.byteorder != "little":
        return lambda: np.asarray(rng.random(shape, np.float32) >= p)

    def draw() -> Any:
        if bits.state["has_uint32"]:
            return rng.random(shape, np.float32) >= p
        return (bits.random_raw(pairs).view(np.uint32) >= least).reshape(shape)

    return draw
