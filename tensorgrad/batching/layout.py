"""Where the hidden axis is, and how arrays with and without one are combined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.trees import leaves, mapped

__all__ = ["aligned", "hidden_of", "level_of", "mapped_batches", "spread"]


def hidden_of(value: Any, level: int) -> Any:
    """The array with the leading hidden axis, for a batch of this level; None for anything else."""
    return value.hidden if getattr(value, "level", 0) == level else None


def mapped_batches(change: Callable[[Any], Any], tree: Any, level: int) -> Any:
    """Nested arguments with ``change(batch)`` in place of every batch of this level."""
    return mapped(lambda leaf: change(leaf) if getattr(leaf, "level", 0) == level else leaf, tree)


def level_of(tree: Any) -> int:
    """The highest level among nested arguments; 0 without a batch."""
    return max((getattr(leaf, "level", 0) for leaf in leaves(tree)), default=0)


def aligned(level: int, values: Any, ndim: int = 0) -> list[Any]:
    """Arrays that broadcast like their elements: the hidden axis comes before the longest shape.

    >>> from .array import Batched
    >>> [a.shape for a in aligned(1, [Batched(np.ones((5, 3)), 1), np.ones((2, 3))])]
    [(5, 1, 3), (2, 3)]
    """
    for value in values:
        n = getattr(value, "ndim", 0)
        ndim = n if n > ndim else ndim
    result = []
    for value in values:
        if getattr(value, "level", 0) == level:
            value = value.hidden
            shape = value.shape
            if len(shape) <= ndim:
                value = np.reshape(value, (shape[0], *(1,) * (ndim + 1 - len(shape)), *shape[1:]))
        result.append(value)
    return result


def spread(level: int, values: Any) -> list[Any]:
    """All values with a hidden axis: a plain array is repeated along it, without a copy."""
    size = next(v.hidden.shape[0] for v in values if getattr(v, "level", 0) == level)
    return [v.hidden if getattr(v, "level", 0) == level else np.broadcast_to(v, (size, *np.shape(v))) for v in values]
