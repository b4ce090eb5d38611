"""Bounds on what a few bytes of a file can make the reader do, because parts of a file can refer to one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .labels import Budget

__all__ = ["Budgets", "require_table"]

_KINDS = ("array", "class", "generator", "labels", "optimizer", "parameter", "tensor")
_TENSORS = ("array", "parameter", "tensor")
_SEED_WORDS = 2**16  # of 32 bits, in all seeds together; NumPy takes five microseconds for each
_OPTIMIZERS = 4  # for each parameter, on average: the state of each is as large as its parameters


class Budgets:
    """What the objects of a file may still cost; nn.save keeps to it as well.

    Attributes:
        labels: the bytes of labels.
    """

    def __init__(self) -> None:
        self.labels = Budget()
        self._words = _SEED_WORDS
        self._updated = 0  # bytes of parameters, counted again for each optimiser

    def spend_on_seed(self, seed: Mapping[str, Any]) -> None:
        """Count the seed of a generator. Raises ValueError if it is too long, or is not one of NumPy's."""
        if seed["pool_size"] != 4:
            raise ValueError(f"pool_size of a seed must be 4, got {seed['pool_size']!r}")
        self._words -= 4 + _words(seed["entropy"]) + _words(seed["spawn_key"])
        if self._words < 0:
            raise ValueError(f"the seeds of all generators have more than {_SEED_WORDS:,} words of 32 bits")

    def spend_on_optimizer(self, params: list[Any]) -> None:
        """Count the parameters of an optimiser."""
        self._updated += sum(param.data.nbytes for param in params)

    def require_optimizers(self, nbytes: int) -> None:
        """Raise ValueError if the optimisers are too many for the bytes of all tensors."""
        if self._updated > _OPTIMIZERS * nbytes:
            raise ValueError(f"the parameters have more than {_OPTIMIZERS} optimisers each, on average")


def _words(part: Any) -> int:
    """The number of words that NumPy makes of an integer, or of a sequence of integers."""
    if part is None:
        return 0
    if isinstance(part, int):
        return -(-part.bit_length() // 32)
    if isinstance(part, list | tuple):
        return sum(max(1, _words(item)) for item in part)
    if isinstance(part, np.ndarray):
        return 2 * part.size
    raise ValueError(f"a seed has a part of type {type(part).__name__}, expected integers")


def require_table(objects: Any) -> None:
    """Raise ValueError unless these are entries for objects, each of one kind, and no two of them one tensor."""
    if not isinstance(objects, list):
        raise ValueError(f"the table of objects is a {type(objects).__name__}, expected a list")
    named: set[str] = set()
    for position, entry in enumerate(objects):
        kinds = [kind for kind in _KINDS if kind in entry] if isinstance(entry, dict) else []
        if len(kinds) != 1:
            raise ValueError(f"object {position} is not of one kind, but of {len(kinds)}")
        if kinds[0] in _TENSORS:
            name = entry[kinds[0]]
            if name in named:
                raise ValueError(f"two objects are the tensor {name!r}")
            named.add(name)
