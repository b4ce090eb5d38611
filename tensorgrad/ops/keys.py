"""The parts of an index.

An index is split once: rules close over its static part (integers, slices, None, Ellipsis), while arrays of integers
or booleans become inputs of the operation, so that a compiled step can take different ones in every run.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import index as integer
from typing import Any

import numpy as np

from ..engine.graph import Rule
from ..engine.mode import current
from ..engine.record import Handle, as_array
from ..errors import DTypeError

__all__ = ["checked_index", "index_array", "joined_index", "split_index", "with_index"]


class _Hole:
    """Placeholder for an array in the static part of an index."""


_HOLE = _Hole()


def split_index(key: Any, op: str) -> tuple[Any, list[Any]]:
    """The static part of an index, with holes, and the arrays that belong in them."""
    kind = type(key)
    if kind is int or (kind is slice and _static(key)):
        return key, []
    parts: list[Any] = []
    arrays: list[Any] = []
    for part in key if isinstance(key, tuple) else (key,):
        if part is None or part is Ellipsis:
            parts.append(part)
        elif isinstance(part, slice):
            parts.append(part if _static(part) else slice(*map(_bound, (part.start, part.stop, part.step))))
        elif isinstance(part, int | np.integer) and not isinstance(part, bool):
            parts.append(int(part))
        else:
            arrays.append(index_array(part, op))
            parts.append(_HOLE)
    return (tuple(parts) if isinstance(key, tuple) else parts[0]), arrays


def _static(key: slice) -> bool:
    return all(type(part) is int or part is None for part in (key.start, key.stop, key.step))


def _bound(value: Any) -> int | None:
    return None if value is None else integer(value)


def index_array(part: Any, op: str) -> Any:
    """A part of an index as an array of integers or booleans (Tensors unchanged). Raises DTypeError for others."""
    if isinstance(part, Handle):
        array = part.data
    else:
        array = part if hasattr(part, "__array_function__") else as_array(part, op)
        if array.size == 0 and array.dtype.kind == "f" and array is not part:
            array = array.astype(np.intp)  # an empty list
    if array.dtype.kind not in "iub":
        raise DTypeError(
            f"{op}: an index may contain integers, booleans, slices, None and Ellipsis; got "
            f"{type(part).__name__} of dtype {array.dtype}"
        )
    if isinstance(part, Handle):
        return part
    # A later write to the caller's array must not change the gradient. (The compiler recognises arrays by identity.)
    return np.copy(array) if array is part and current().tracer is None else array


def joined_index(static: Any, arrays: Any) -> Any:
    """The index, put back together from its static part and its arrays."""
    if static is _HOLE:
        return arrays[0]
    if not arrays or not isinstance(static, tuple):
        return static
    rest = iter(arrays)
    return tuple(next(rest) if part is _HOLE else part for part in static)


def checked_index(op: str, function: Callable[[], Any], shape: tuple[int, ...]) -> Any:
    """Call a function; an IndexError then names the operation and the shape."""
    try:
        return function()
    except IndexError as error:
        raise IndexError(f"{op}: {error} (shape {shape})") from error


def with_index(count: int, rule: Callable[[Any, Any, Any], Any]) -> Rule:
    """A rule that also gets the index arrays, which follow ``x`` among the inputs: ``rule(xp, g, arrays)``."""
    if count == 0:
        return lambda xp, g: rule(xp, g, ())
    if count == 1:
        return lambda xp, g, y: rule(xp, g, (y,))
    if count == 2:
        return lambda xp, g, y, z: rule(xp, g, (y, z))
    return lambda xp, g, *xs: rule(xp, g, xs[1 : 1 + count])
