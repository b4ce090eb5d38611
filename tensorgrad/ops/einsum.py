"""Einstein summation."""

from __future__ import annotations

from collections import Counter
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


def einsum(subscripts: str, /, *operands: TensorLike) -> Tensor:
    """Sums of products in Einstein notation: "ij,jk->ik" is a matrix product, "ii->i" a diagonal.

    Raises ShapeError if the subscripts do not match the arrays.

    >>> import tensorgrad as tg
    >>> tg.einsum("ij,j->i", [[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
    Tensor([3., 7.], dtype=float64)
    """
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum: subscripts must be a string such as 'ij,jk->ik', got {type(subscripts).__name__}")
    arrays = [shaped(array, "einsum") for array in operands]
    terms = _Terms(subscripts, [array.shape for array in arrays])
    call = terms.call()
    # A path of pairwise products can use BLAS; finding it costs more than a small sum does.
    optimize = len(arrays) > 2 or terms.work() > 20_000
    rules = [_einsum_rule(terms, i, len(arrays), arrays[i].dtype) for i in range(len(arrays))]

    def forward(*xs: Any) -> Any:
        return np.einsum(call, *xs, optimize=optimize)

    if len(arrays) == 1:
        return view("einsum", forward, arrays[0], rules[0])
    return record("einsum", forward, arrays, rules)


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

    def gradient(xp: Any, g: Any, arrays: Any) -> Any:
        eyes = [np.eye(n, dtype=dtype) for _, n in ties]
        if call == f"{core}->{core}":
            part = g
        else:
            part = xp.einsum(call, g, *arrays, *eyes)
        if part.shape == full:
            return part
        # An index that no one else has, or has with a length of 1, was summed over for each of its values alike.
        found = dict(zip(core, part.shape))
        return xp.broadcast_to(xp.reshape(part, tuple(found.get(letter, 1) for letter in target)), full)

    if count == 1:
        return lambda xp, g: gradient(xp, g, ())
    if count == 2:
        if i == 0:
            return lambda xp, g, y: gradient(xp, g, (y,))
        return lambda xp, g, x: gradient(xp, g, (x,))
    return lambda xp, g, *xs: gradient(xp, g, xs[:i] + xs[i + 1 :])
