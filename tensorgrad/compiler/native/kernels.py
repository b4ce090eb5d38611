"""The text of an LLVM module: nests, matrix products, and the functions that call them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from .functions import text_of
from .machine import vector_bytes
from .nests import Nest, Root
from .nodes import Place
from .operations import TYPES, code_of
from .transposing import transposition
from .values import declarations

__all__ = ["Module"]

_MANY = 16  # rows
_SMALL = 2**17  # bytes
_FOLDED = '!{!"llvm.loop.vectorize.predicate.enable", i1 true}'  # the last round of a loop has a mask, not a loop


class Module:
    """The text of an LLVM module."""

    def __init__(self) -> None:
        self._functions: list[str] = []
        self._nests: dict[str, str] = {}  # the names of nests, by their text
        self._used: set[tuple[np.ufunc, str]] = set()  # exponentials and the like
        self._transposed: set[tuple[str, str, int]] = set()
        self._count = 0

    def __str__(self) -> str:
        used = sorted(text_of(ufunc, kind) for ufunc, kind in self._used)
        nests = [f"define internal void @{name}{text}" for text, name in self._nests.items()]
        products = [
            f"declare void @gemm_{code}(i32, i32, i32, i64, i64, i64, {t}, ptr, i64, ptr, i64, {t}, ptr, i64)"
            for code, t in (("f4", "float"), ("f8", "double"))
        ]
        used += [transposition(*each) for each in sorted(self._transposed)]
        return _with_hints("\n".join([*declarations(), *products, *used, *nests, *self._functions]))

    def segment(self, name: str, calls: Sequence[str]) -> None:
        """Add a function that makes these calls."""
        body = "\n".join(f"  {line}" for line in calls)
        self._functions.append(f"define void @{name}(ptr %pointers, ptr %numbers) {{\nentry:\n{body}\n  ret void\n}}")

    def nest(self, roots: Sequence[Root]) -> list[str]:
        """The lines that call the function of a nest; one with the same text serves several nests."""
        self._count += 1
        nest = Nest(roots)
        text = nest.text()
        name = self._nests.setdefault(text, f"nest{len(self._nests)}")
        self._used |= nest.used
        lines, given = [], []
        for number, (slot, start) in enumerate(nest.places.items()):
            pointer = f"%n{self._count}x{number}"
            lines += [
                f"{pointer}s = getelementptr ptr, ptr %pointers, i64 {slot}",
                f"{pointer}b = load ptr, ptr {pointer}s",
                f"{pointer} = getelementptr i8, ptr {pointer}b, i64 {start}",
            ]
            given.append(f"ptr {pointer}")
        return [*lines, f"call void @{name}({', '.join([*given, 'ptr %numbers'])})"]

    def transposes(self, rows: int, b: Place) -> bool:
        """Whether the product of a matrix with so many rows and b takes less time with b in C order.

        The kernels of OpenBLAS for small matrices, which processors with large vectors have, take half as long again
        for a transposed one.
        """
        wanted = rows >= _MANY and min(b.shape) > 1 and prod(b.shape) * b.itemsize <= _SMALL
        return vector_bytes() == 64 and wanted and _leading(b)[0]

    def transposed(self, dtype: Any, source: Place, target: Place) -> list[str]:
        """The lines that write a matrix whose columns have no gaps to memory in C order."""
        kind, (columns, rows) = TYPES[code_of(dtype)], source.shape
        name = f"transposition.{kind}"
        self._transposed.add((name, kind, vector_bytes() // source.itemsize))
        lines, (first, second) = self._pointers([source, target])
        call = f"call void @{name}(ptr {first}, i64 {_leading(source)[1]}, ptr {second}, i64 {rows}, i64 {columns})"
        return [*lines, call]

    def _pointers(self, places: Sequence[Place]) -> tuple[list[str], list[str]]:
        """Lines that find where places begin, and the names of the pointers."""
        self._count += 1
        lines: list[str] = []
        pointers: list[str] = []
        for place in places:
            name = f"%g{self._count}x{len(pointers)}"
            lines += [
                f"{name}s = getelementptr ptr, ptr %pointers, i64 {place.slot}",
                f"{name}b = load ptr, ptr {name}s",
                f"{name} = getelementptr i8, ptr {name}b, i64 {place.offset}",
            ]
            pointers.append(name)
        return lines, pointers

    def product(self, dtype: Any, a: Place, b: Place, out: Place) -> list[str]:
        """The lines that multiply two matrices. Raises ValueError if BLAS cannot read or write them."""
        kind = TYPES[code_of(dtype)]
        (m, k), n = a.shape, b.shape[1]
        (flip_a, lead_a), (flip_b, lead_b), (flipped, lead) = (_leading(p) for p in (a, b, out))
        if flipped:
            raise ValueError("the result is not in C order")
        lines, pointers = self._pointers([a, b, out])
        trans = [112 if flip else 111 for flip in (flip_a, flip_b)]
        lines.append(
            f"call void @gemm_{code_of(dtype)}(i32 101, i32 {trans[0]}, i32 {trans[1]}, i64 {m}, i64 {n}, i64 {k}, "
            f"{kind} 1.0, ptr {pointers[0]}, i64 {lead_a}, ptr {pointers[1]}, i64 {lead_b}, "
            f"{kind} 0.0, ptr {pointers[2]}, i64 {lead})"
        )
        return lines


def _with_hints(text: str) -> str:
    """The text of a module with a node of metadata for each ``!lanes8``, which asks for a loop with vectors of 8."""
    nodes: list[str] = []

    def node(found: re.Match[str]) -> str:
        k = len(nodes)
        nodes.append(f'!{k} = distinct !{{!{k}, !{{!"llvm.loop.vectorize.width", i32 {found[1]}}}, {_FOLDED}}}')
        return f"!{k}"

    return "\n".join([re.sub(r"!lanes(\d+)", node, text), *nodes])


def _leading(place: Place) -> tuple[bool, int]:
    """Whether BLAS reads a matrix transposed, and its leading dimension. Raises ValueError if it cannot read it."""
    (rows, columns), size = place.shape, place.itemsize
    across, along = place.strides
    if (along == size or columns == 1) and across % size == 0 and (across >= columns * size or rows == 1):
        return False, max(across // size, columns)
    if (across == size or rows == 1) and along % size == 0 and (along >= rows * size or columns == 1):
        return True, max(along // size, rows)
    raise ValueError(f"BLAS cannot read strides {place.strides}")
