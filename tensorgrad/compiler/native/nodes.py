"""What a segment computes, as a graph of values: each element is computed where it is needed, or read from memory.

An index is an affine function of the loop variables for each axis, or one for the position in C order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ...engine.locks import computed_once

__all__ = [
    "Access",
    "Affine",
    "Flat",
    "Index",
    "Node",
    "Place",
    "Unresolved",
    "accesses",
    "c_strides",
    "element",
    "inner_index",
    "parts_of_index",
    "piece_of",
]


class Affine(NamedTuple):
    """``const + sum of coefficient * loop variable``."""

    const: int
    terms: tuple[tuple[int, int], ...] = ()  # (loop, coefficient), by loop

    def __add__(self, other: Any) -> Affine:
        if isinstance(other, int):
            return Affine(self.const + other, self.terms)
        terms = dict(self.terms)
        for loop, factor in other.terms:
            terms[loop] = terms.get(loop, 0) + factor
        return Affine(self.const + other.const, tuple(sorted((k, v) for k, v in terms.items() if v)))

    def __mul__(self, factor: Any) -> Affine:
        if factor == 0:
            return Affine(0)
        return Affine(self.const * factor, tuple((loop, v * factor) for loop, v in self.terms))

    def bounds(self, lengths: Sequence[int]) -> tuple[int, int]:
        """The smallest and the largest value."""
        low = high = self.const
        for loop, factor in self.terms:
            reach = factor * (lengths[loop] - 1)
            low, high = low + min(reach, 0), high + max(reach, 0)
        return low, high


class Flat(NamedTuple):
    """A position in C order."""

    position: Affine


Index = tuple[Affine, ...] | Flat


class Unresolved(Exception):
    """An index cannot be mapped through this node, so what it is made of has to be in memory."""

    def __init__(self, node: Node) -> None:
        self.node = node


@dataclass(frozen=True)
class Place:
    """Where an array lies: a slot of the table of pointers, and an offset and strides in bytes."""

    slot: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    itemsize: int

    @computed_once
    def contiguous(self) -> bool:
        """Is it in C order without gaps?"""
        return all(n == 1 or s == c for n, s, c in zip(self.shape, self.strides, self.c_strides, strict=True))

    @property
    def c_strides(self) -> tuple[int, ...]:
        """What the strides would be in C order."""
        return c_strides(self.shape, self.itemsize)

    @computed_once
    def span(self) -> tuple[int, int]:
        """The first byte, and the one after the last."""
        ends = [(n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)]
        low, high = sum(min(e, 0) for e in ends), sum(max(e, 0) for e in ends)
        return self.offset + low, self.offset + high + self.itemsize

    def part(self, steps: Sequence[tuple[int, int | None]], shape: tuple[int, ...]) -> Place:
        """Where the part lies that begins at these elements, with these steps; an axis with step None goes."""
        offset = self.offset + sum(start * stride for (start, _), stride in zip(steps, self.strides, strict=True))
        strides = [stride * step for (_, step), stride in zip(steps, self.strides, strict=True) if step is not None]
        return Place(self.slot, offset, shape, tuple(strides), self.itemsize)

    def at(self, index: Index) -> Affine | None:
        """The offset of an element in bytes; None if a position in C order does not determine it."""
        if isinstance(index, Flat):
            return index.position * self.itemsize + self.offset if self.contiguous else None
        total = Affine(self.offset)
        for part, stride in zip(index, self.strides, strict=True):
            total = total + part * stride
        return total


@dataclass(eq=False)
class Node:
    """A value of a segment.

    ``op`` is "memory" (at ``place``), "constant", "number" (``attribute``: its position in the table), "apply" (a ufunc
    or np.where), "cast", "reduce", "product", "concatenate", "write" (the first input, with the second one in a part of
    it; ``attribute``: the part's steps and shape), or a view: "transpose", "broadcast", "slice", "reshape".
    """

    op: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    inputs: tuple[Node, ...] = ()
    attribute: Any = None
    place: Place | None = None  # where it is in memory, once that is decided
    strides: tuple[int, ...] | None = None  # of its memory, if it gets any

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)


def c_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The strides of an array in C order."""
    return tuple(accumulate([*shape[:0:-1]], lambda a, n: a * n, initial=itemsize))[::-1] if shape else ()


def inner_index(node: Node, k: int, index: Index, lengths: Sequence[int]) -> Index:
    """The index of an input that an element of a node is computed from. Raises Unresolved."""
    source = node.inputs[k]
    if node.op in ("apply", "cast", "broadcast"):
        if source.shape == node.shape:
            return index
        if source.size == 1:
            return (Affine(0),) * len(source.shape)
        parts = parts_of_index(node, index, lengths)
        parts = parts[len(parts) - len(source.shape) :]
        return tuple(Affine(0) if n == 1 else part for n, part in zip(source.shape, parts, strict=True))
    if node.op == "reshape":
        position = _position(node.shape, index)
        if source.place is not None or len(source.shape) == 1:
            return Flat(position) if len(source.shape) != 1 else (position,)
        unravelled = _unravelled(position, source.shape, lengths)
        return Flat(position) if unravelled is None else unravelled
    parts = parts_of_index(node, index, lengths)
    if node.op == "transpose":
        inner = [Affine(0)] * len(parts)
        for part, axis in zip(parts, node.attribute, strict=True):
            inner[axis] = part
        return tuple(inner)
    assert node.op == "slice"  # its attribute: the start and step on each axis of the source, and which axes remain
    remaining = iter(parts)
    return tuple(Affine(start) if step is None else next(remaining) * step + start for start, step in node.attribute)


def parts_of_index(node: Node, index: Index, lengths: Sequence[int]) -> tuple[Affine, ...]:
    """The index for each axis of a node. Raises Unresolved."""
    if not isinstance(index, Flat):
        return index
    parts = _unravelled(index.position, node.shape, lengths)
    if parts is None:
        raise Unresolved(node)
    return parts


def _position(shape: tuple[int, ...], index: Index) -> Affine:
    if isinstance(index, Flat):
        return index.position
    total = Affine(0)
    for part, stride in zip(index, c_strides(shape, 1), strict=True):
        total = total + part * stride
    return total


def _unravelled(position: Affine, shape: tuple[int, ...], lengths: Sequence[int]) -> tuple[Affine, ...] | None:
    """A position in C order as an index, if each axis is an affine function, too."""
    parts: list[Affine] = []
    for length in shape[:0:-1]:
        rest = Affine(position.const % length, tuple(t for t in position.terms if t[1] % length))
        low, high = rest.bounds(lengths)
        if low < 0 or high >= length:
            return None
        parts.append(rest)
        terms = tuple((loop, v // length) for loop, v in position.terms if v % length == 0)
        position = Affine(position.const // length, terms)
    return (position, *parts[::-1]) if shape else ()


def accesses(node: Node, index: Index, lengths: Sequence[int], own: bool = False) -> Iterator[Access]:
    """The elements of memory that an element of a node is computed from.

    ``own``: the node itself is what is computed, even if it has a place. Raises Unresolved.
    """
    seen: set[tuple[Node, Index]] = set()
    stack = [(node, index)]
    while stack:
        node, index = stack.pop()
        if (node, index) in seen:
            continue
        seen.add((node, index))
        if node.place is not None and not own:
            yield Access(node, index, element(node, index, lengths))
        elif node.op == "concatenate":
            stack.append(piece_of(node, index, lengths))
        elif node.op in ("reduce", "product", "write"):
            raise Unresolved(node)
        else:
            stack += [(source, inner_index(node, k, index, lengths)) for k, source in enumerate(node.inputs)]
        own = False


class Access(NamedTuple):
    """A read of a node in memory."""

    node: Node
    where: Index
    offset: Affine  # in bytes, from the pointer in the slot


def element(node: Node, index: Index, lengths: Sequence[int]) -> Affine:
    """The offset of an element of a node in memory. Raises Unresolved."""
    assert node.place is not None
    offset = node.place.at(index)
    if offset is None:
        offset = node.place.at(parts_of_index(node, index, lengths))
        assert offset is not None
    return offset


def piece_of(node: Node, index: Index, lengths: Sequence[int]) -> tuple[Node, Index]:
    """The one-dimensional piece of a concatenation in which an index lies. Raises Unresolved if it is in several."""
    position = _position(node.shape, index)
    low, high = position.bounds(lengths)
    start = 0
    for piece in node.inputs:
        if start <= low and high < start + piece.size:
            return piece, (position + -start,)
        start += piece.size
    raise Unresolved(node)
