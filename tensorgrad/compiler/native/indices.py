"""Basic indices: integers, slices, ellipses and new axes."""

from __future__ import annotations

from typing import Any

from ..variables import Variable

__all__ = ["full_index", "kept_by", "steps_of"]


def steps_of(index: Any, shape: tuple[int, ...]) -> tuple[tuple[int, int | None], ...] | None:
    """The start on each axis, and the step or None if the axis goes; None if it is not a basic index."""
    parts = full_index(index, shape)
    if parts is None:
        return None
    steps: list[tuple[int, int | None]] = []
    for part, length in zip(parts, shape, strict=True):
        if isinstance(part, slice):
            start, _, step = part.indices(length)
            steps.append((start, step))
        else:
            steps.append((part % length, None))
    return tuple(steps)


def kept_by(index: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of what a basic index selects, new axes left out."""
    parts = full_index(index, shape)
    assert parts is not None
    pairs = zip(parts, shape, strict=True)
    return tuple(len(range(*part.indices(n))) for part, n in pairs if isinstance(part, slice))


def full_index(index: Any, shape: tuple[int, ...]) -> list[Any] | None:
    """A part for each axis, new axes left out."""
    parts = [part for part in (index if isinstance(index, tuple) else (index,)) if part is not None]
    if not all(part is Ellipsis or type(part) in (int, slice) for part in parts):
        return None
    if any(
        type(x) is Variable for part in parts if isinstance(part, slice) for x in (part.start, part.stop, part.step)
    ):
        return None
    if Ellipsis in parts:
        k = parts.index(Ellipsis)
        parts[k : k + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    return parts + [slice(None)] * (len(shape) - len(parts))
