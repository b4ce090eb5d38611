"""Nests: dicts, lists and tuples of arguments or results, and where in them a leaf is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import DTypeError
from ..tensor import Tensor

__all__ = ["floating", "mapped"]


def mapped(function: Callable[[str, Any], Any], tree: Any, path: str) -> Any:
    """A nest of dicts, lists and tuples with ``function(path, leaf)`` in place of every leaf; None stays.

    >>> mapped(lambda path, leaf: (path, 2 * leaf), {"w": [1.0, None]}, "argument 0")
    {'w': [("argument 0['w'][0]", 2.0), None]}
    """
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {key: mapped(function, value, f"{path}[{key!r}]") for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        parts = [mapped(function, value, f"{path}[{i}]") for i, value in enumerate(tree)]
        if isinstance(tree, list):
            return parts
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return function(path, tree)


def floating(path: str, leaf: Any) -> Tensor:
    """An argument as a Tensor of floating point, or an error that says where it is."""
    x = leaf if isinstance(leaf, Tensor) else None
    if x is None and (isinstance(leaf, int | float | complex | np.generic) or hasattr(leaf, "__array_function__")):
        x = Tensor(leaf)
    if x is None:
        raise TypeError(
            f"{path} is a {type(leaf).__name__}, expected a Tensor, an array, a float, or a dict, list or "
            f"tuple of them; leave it out of argnums if no gradient is needed for it"
        )
    if x.dtype.kind != "f":
        raise DTypeError(
            f"{path} is of dtype {x.dtype}, and a derivative needs floating point; write {_as_float(leaf)}, "
            f"or leave it out of argnums"
        )
    return x


def _as_float(leaf: Any) -> str:
    return repr(float(leaf)) if isinstance(leaf, int) else "tg.Tensor(..., dtype=np.float64)"
