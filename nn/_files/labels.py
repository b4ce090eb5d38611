"""Arrays of labels, such as the classes of a classifier: strings, or Python's plain values in an array of objects.

{"labels": "<U10", "shape": [3], "values": ["setosa", ..]}
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from .header import HEADER_LIMIT

__all__ = ["Budget", "are_labels", "labels_of"]

_PLAIN = (bool, float, int, str, type(None))


def are_labels(array: np.ndarray[Any, Any]) -> bool:
    """Whether an array holds strings, or plain values as objects."""
    if array.dtype == object:
        return all(type(item) in _PLAIN for item in array.flat)
    return array.dtype.kind == "U"


class Budget:
    """How much memory the labels of a file may take, all together: a dtype can be far wider than its strings."""

    def __init__(self) -> None:
        self.left = HEADER_LIMIT

    def spend(self, dtype: np.dtype[Any], count: int) -> None:
        """Count an array. Raises ValueError if it is too much."""
        self.left -= dtype.itemsize * count
        if self.left < 0:
            raise ValueError(
                f"{count} labels of dtype {dtype} take {dtype.itemsize * count:,} bytes, expected at most "
                f"{HEADER_LIMIT:,} for all labels"
            )


def labels_of(dtype: Any, shape: Any, values: Any, budget: Budget) -> np.ndarray[Any, Any]:
    """The array that an entry describes. Raises ValueError if the entry contradicts itself."""
    if not isinstance(dtype, str) or not re.fullmatch(r"\|O|<U\d{1,8}", dtype):
        raise ValueError(f"{dtype!r} is not a dtype of labels")
    if not isinstance(values, list) or not all(type(item) in _PLAIN for item in values):
        raise ValueError("labels are not a list of plain values")
    if not isinstance(shape, list) or len(shape) > 64 or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("the shape of labels is not a list of at most 64 lengths")
    if math.prod(shape) != len(values):
        raise ValueError(f"{len(values)} labels do not have the shape {shape}")
    array = np.empty(len(values), object)
    array[:] = values
    if dtype != "|O":
        wanted = np.dtype(dtype)
        budget.spend(wanted, len(values))
        if not all(type(item) is str and 4 * len(item) <= wanted.itemsize for item in values):
            raise ValueError(f"a label does not fit into dtype {wanted}")
        array = array.astype(wanted)
    return array.reshape(shape)
