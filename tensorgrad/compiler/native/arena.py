"""Where values lie that only one run needs: those that are never needed at the same time share memory.

Each has a slot of the table of pointers. A block of memory holds several of them: one that the code keeps, the arena,
or that of a result, until something is written to it.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

__all__ = ["ALIGNED", "ARENA", "Home", "Life", "Piece", "arranged", "lives_of", "size_of"]

ARENA = -1  # stands for the arena where otherwise the slot of a result is
ALIGNED = 64  # bytes
_ARRANGED = 1000  # pieces; for the smaller ones among more, it takes more time than their memory is worth


class Life(NamedTuple):
    """When a slot is used first, and last."""

    first: int
    last: int


class Piece(NamedTuple):
    """Memory that is needed: its slot, its size in bytes, and whether it must be at the same address in every run."""

    slot: int
    size: int
    stays: bool


class Home(NamedTuple):
    """Where a piece is: a block, and an offset in it in bytes."""

    block: int
    offset: int


def lives_of(uses: Iterable[Collection[int]]) -> dict[int, Life]:
    """The lives of slots, given which of them are used at the same time, in order."""
    lives: dict[int, Life] = {}
    for number, slots in enumerate(uses):
        for slot in slots:
            lives[slot] = Life(lives[slot].first if slot in lives else number, number)
    return lives


def arranged(pieces: Sequence[Piece], lives: Mapping[int, Life], results: Mapping[int, int]) -> dict[int, Home]:
    """A home for each slot: the largest first, where nothing else lives meanwhile.

    Args:
        pieces: what needs memory.
        lives: when each slot is used.
        results: the slots of results, which are new in every run, and their sizes in bytes.
    """
    blocks = sorted((lives[slot].first, slot, size) for slot, size in results.items() if slot in lives)
    inside: dict[int, list[tuple[int, int, Life]]] = defaultdict(list)  # start, end and life, in order
    homes: dict[int, Home] = {}

    def put(piece: Piece, life: Life, block: int, room: float) -> bool:
        """Put a piece at the lowest offset that is free during its life, if there is one."""
        offset = 0
        for start, end, other in inside[block]:
            if other.first <= life.last and life.first <= other.last:
                if start >= offset + piece.size:
                    break
                offset = max(offset, end)
        if offset + piece.size > room:
            return False
        end = offset + -(-piece.size // ALIGNED) * ALIGNED
        insort(inside[block], (offset, end, life))
        homes[piece.slot] = Home(block, offset)
        return True

    order = sorted(pieces, key=lambda piece: -piece.size)
    for piece in order[:_ARRANGED]:
        life = lives[piece.slot]
        free = [(slot, size) for first, slot, size in blocks if life.last < first and not piece.stays]
        for block, room in [*free, (ARENA, math.inf)]:
            if put(piece, life, block, room):
                break
    end = max((end for _, end, _ in inside[ARENA]), default=0)
    for piece in order[_ARRANGED:]:
        homes[piece.slot] = Home(ARENA, end)
        end += -(-piece.size // ALIGNED) * ALIGNED
    return homes


def size_of(pieces: Iterable[Piece], homes: Mapping[int, Home]) -> int:
    """How many bytes the arena has."""
    ends = (homes[piece.slot].offset + piece.size for piece in pieces if homes[piece.slot].block == ARENA)
    return max(ends, default=0)
