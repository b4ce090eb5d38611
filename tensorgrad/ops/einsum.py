"""Einstein summation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from ..engine.graph import Rule
from ..engine.record import Tensor, TensorLike, record
from ..errors import ShapeError
from .views import shaped, view

__all__ = ["einsum"]

Shape = tuple[int, ...]

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class _Terms:
    """The subscripts of a call, with the ellipsis spelt out in letters, and the length of each letter's axis."""

    def __init__(self, subscripts: str, shapes: list[Shape]) -> None:
        text = subscripts.replace(" ", "")
        self.text = subscripts
        left, arrow, right = text.partition("->")
        terms = left.split(",")
        if len(terms) != len(shapes):
            raise ShapeError(f"einsum: {subscripts!r} has {len(terms)} terms for {len(shapes)} arrays")
        bare = text.replace("->", "").replace(",", "").replace("...", "")
        if not all(c in _LETTERS for c in bare):
            wrong = next(c for c in bare if c not in _LETTERS)
            raise ValueError(f"einsum: {subscripts!r} may contain letters, commas, '->' and '...'; got {wrong!r}")
        free = [c for c in _LETTERS if c not in text]
        widths = [len(s) - len(t.replace("...", "")) if "..." in t else 0 for t, s in zip(terms, shapes)]
        batch = "".join(free[: max(widths, default=0)])
        self.free = free[len(batch) :]
        self.inputs = [t.replace("...", batch[len(batch) - w :]) for t, w in zip(terms, widths)]
        if arrow:
            self.out = right.replace("...", batch)
        else:
            counts = Counter("".join(t.replace("...", "") for t in terms))
            self.out = batch + "".join(sorted(c for c, n in counts.items() if n == 1))
        self.lengths: dict[str, int] = {}
        for i, (term, shape) in enumerate(zip(self.inputs, shapes)):
            if len(term) != len(shape):
                raise ShapeError(
                    f"einsum: the term {terms[i]!r} of {subscripts!r} names "
                    f"{len(terms[i].replace('...', ''))} axes, but array {i} has shape {shape}"
                )
            for letter, length in zip(term, shape):
                known = self.lengths.setdefault(letter, length)
                if known == 1:
                    self.lengths[letter] = length
                elif length not in (1, known):
                    what = f"index {letter!r}" if letter in text else "'...'"
                    raise ShapeError(f"einsum: {what} of {subscripts!r} has lengths {known} and {length}")
        if len(set(self.out)) != len(self.out) or not set(self.out) <= set(self.lengths):
            raise ValueError(f"einsum: the output of {subscripts!r} may name only indices of the inputs, each once")

    def call(self) -> str:
        return f"{','.join(self.inputs)}->{self.out}"

    def work(self) -> int:
        return prod(self.lengths.values())


def einsum(subscripts: str | TensorLike, /, *operands: Any, optimize: bool | str | Sequence[Any] = True) -> Tensor:
    """Sums of products in Einstein notation: "ij,jk->ik" is a matrix product, "ii->i" a diagonal.

    Arrays may also alternate with lists of integers, one for each axis: ``einsum(a, [0, 1], b, [1, 2], [0, 2])``.
    Three or more are contracted two at a time, in the order that ``optimize`` asks of :func:`numpy.einsum_path`
    (True: greedily; False: from left to right). Raises ShapeError if the subscripts do not match the arrays.

    >>> import tensorgrad as tg
    >>> tg.einsum("ij,j->i", [[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
    Tensor([3., 7.], dtype=float64)
    """
    if not isinstance(subscripts, str):
        subscripts, operands = _spelt(subscripts, operands)
    arrays = [shaped(array, "einsum") for array in operands]
    terms = _Terms(subscripts, [array.shape for array in arrays])
    call = terms.call()
    if len(arrays) > 2:
        order = tuple(map(_hashable, optimize)) if isinstance(optimize, list | tuple) else optimize
        return _contracted(terms, arrays, _path(call, tuple(array.shape for array in arrays), order))
    # BLAS is quicker, but preparing its operands costs more than a small sum does.
    blas = terms.work() > 20_000
    rules = [_einsum_rule(terms, i, len(arrays), arrays[i].dtype) for i in range(len(arrays))]

    def forward(*xs: Any) -> Any:
        return np.einsum(call, *xs, optimize=blas)

    if len(arrays) == 1:
        return view("einsum", forward, arrays[0], rules[0])
    return record("einsum", forward, arrays, rules)


def _spelt(first: Any, rest: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """The form with lists of integers as the form with letters."""
    parts = (first, *rest)
    lists = parts[1::2] + ((parts[-1],) if len(parts) % 2 else ())
    if len(parts) < 2 or not all(isinstance(labels, list | tuple) for labels in lists):
        raise TypeError(
            "einsum: expected subscripts such as 'ij,jk->ik' and arrays, or arrays that alternate with lists of "
            f"integers, got {', '.join(type(part).__name__ for part in parts)}"
        )
    letters = sorted(_LETTERS)  # in the order in which an output that is not named is sorted
    terms = ["".join("..." if label is Ellipsis else letters[label] for label in labels) for labels in lists]
    if len(parts) % 2:
        return f"{','.join(terms[:-1])}->{terms[-1]}", parts[:-1:2]
    return ",".join(terms), parts[::2]


def _hashable(step: Any) -> Any:
    return tuple(step) if isinstance(step, list) else step


@lru_cache(maxsize=256)
def _path(call: str, shapes: tuple[Shape, ...], optimize: Any) -> list[Any]:
    """Which operands to contract, step by step: the results are put at the end."""
    dummies = [np.broadcast_to(0.0, shape) for shape in shapes]
    order = list(optimize) if isinstance(optimize, tuple) else "greedy" if optimize is True else optimize
    return np.einsum_path(call, *dummies, optimize=order)[0][1:]


def _contracted(terms: _Terms, arrays: list[Any], path: list[Any]) -> Tensor:
    left = list(zip(terms.inputs, arrays))
    for step in path:
        # Two at a time, also where NumPy would take more at once.
        term, array = left[step[0]]
        chosen = [left[i] for i in step[1:]]
        left = [pair for i, pair in enumerate(left) if i not in step]
        for j, (other, factor) in enumerate(chosen):
            rest = terms.out + "".join(t for t, _ in (*left, *chosen[j + 1 :]))
            kept = "".join(dict.fromkeys(c for c in term + other if c in rest))
            if not left and j == len(chosen) - 1:
                kept = terms.out
            array = einsum(f"{term},{other}->{kept}", array, factor)
            term = kept
        if not chosen:
            array = einsum(f"{term}->{terms.out}", array)
        left.append((term, array))
    return left[0][1]


def _einsum_rule(terms: _Terms, i: int, count: int, dtype: Any) -> Rule:
    others = [term for j, term in enumerate(terms.inputs) if j != i]
    # A letter that occurs twice in the term is a diagonal: the second gets a letter of its own, tied to the first by
    # an identity matrix.
    target = ""
    ties = []
    spare = iter(terms.free)
    for letter in terms.inputs[i]:
        if letter in target:
            new = next(spare)
            ties.append((letter + new, terms.lengths[letter]))
            letter = new
        target += letter
    known = {*terms.out, *"".join(others), *"".join(pair for pair, _ in ties)}
    core = "".join(letter for letter in target if letter in known)
    call = f"{','.join([terms.out, *others, *(pair for pair, _ in ties)])}->{core}"
    renamed = {pair[1]: n for pair, n in ties}
    lengths = {**terms.lengths, **renamed}
    full = tuple(lengths[letter] for letter in target)

    blas = terms.work() > 20_000

    def gradient(xp: Any, g: Any, arrays: Any) -> Any:
        eyes = [np.eye(n, dtype=dtype) for _, n in ties]
        if call == f"{core}->{core}":
            part = g
        else:
            part = xp.einsum(call, g, *arrays, *eyes, optimize=blas)
        if part.shape == full:
            return part
        # An index that no one else has, or has with a length of 1, was summed over for each of its values alike.
        found = dict(zip(core, part.shape))
        return xp.broadcast_to(xp.reshape(part, tuple(found.get(letter, 1) for letter in target)), full)

    if count == 1:
        return lambda xp, g: gradient(xp, g, ())
    if i == 0:
        return lambda xp, g, y: gradient(xp, g, (y,))
    return lambda xp, g, x: gradient(xp, g, (x,))
