"""Sums of products: matrices, vectors, and Einstein's notation."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError
from ..graph import Rule
from ..record import TensorLike, record
from ..shapes import broadcast_error
from .arithmetic import multiply
from .shaping import moveaxis, reshape
from .views import shaped, view

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["dot", "einsum", "matmul", "outer"]

Shape = tuple[int, ...]


# One rule for every pair of numbers of axes. Batches that were broadcast are summed by the engine.


def _d_x_matrices(xp: Any, g: Any, y: Any) -> Any:
    return xp.matmul(g, xp.transpose(y))


def _d_y_matrices(xp: Any, g: Any, x: Any) -> Any:
    return xp.matmul(xp.transpose(x), g)


def _d_x_batches(xp: Any, g: Any, y: Any) -> Any:
    return xp.matmul(g, xp.swapaxes(y, -1, -2))


def _d_y_batches(xp: Any, g: Any, x: Any) -> Any:
    return xp.matmul(xp.swapaxes(x, -1, -2), g)


def _d_y_shared(xp: Any, g: Any, x: Any) -> Any:
    # One matrix for all batches: a single product, instead of one a batch and their sum.
    count = prod(x.shape[:-1])
    rows = xp.reshape(x, (count, x.shape[-1]))
    return xp.matmul(xp.transpose(rows), xp.reshape(g, (count, g.shape[-1])))


def _d_x_row(xp: Any, g: Any, y: Any) -> Any:
    return xp.reshape(xp.matmul(y, g[..., None]), y.shape[:-1])


def _d_y_row(xp: Any, g: Any, x: Any) -> Any:
    return x[:, None] * g[..., None, :]


def _d_x_column(xp: Any, g: Any, y: Any) -> Any:
    return g[..., None] * y


def _d_y_column(xp: Any, g: Any, x: Any) -> Any:
    return xp.reshape(xp.matmul(xp.swapaxes(x, -1, -2), g[..., None]), (*x.shape[:-2], x.shape[-1]))


def _d_x_vectors(xp: Any, g: Any, y: Any) -> Any:
    return g * y


def _d_y_vectors(xp: Any, g: Any, x: Any) -> Any:
    return g * x


_MATRICES = (_d_x_matrices, _d_y_matrices)
_SHARED = (_d_x_batches, _d_y_shared)
_BATCHES = (_d_x_batches, _d_y_batches)
_ROW = (_d_x_row, _d_y_row)
_COLUMN = (_d_x_column, _d_y_column)
_VECTORS = (_d_x_vectors, _d_y_vectors)


def _product(op: str, forward: Any, x: Any, y: Any) -> Tensor:
    a: Shape = x.shape
    b: Shape = y.shape
    if not a or not b:
        raise ShapeError(f"{op}: shapes {a} and {b}: both need at least one axis; write x * y to scale")
    inner = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner:
        raise ShapeError(
            f"{op}: shapes {a} and {b} do not fit: {a[-1]} != {inner} (the last axis of the first is summed "
            f"with the {'second to last' if len(b) > 1 else 'only'} axis of the second)"
        )
    if len(a) == 2 and len(b) == 2:
        rules = _MATRICES
    elif len(a) == 1:
        rules = _VECTORS if len(b) == 1 else _ROW
    elif len(b) == 1:
        rules = _COLUMN
    else:
        rules = _SHARED if len(b) == 2 else _BATCHES
        error = broadcast_error(op, a[:-2], b[:-2])
        if error is not None:
            raise ShapeError(f"{op}: shapes {a} and {b} do not fit: their batches: {error}")
    return record(op, forward, (x, y), rules)


def matmul(x: TensorLike, y: TensorLike, /) -> Tensor:
    """Matrix product, ``x @ y``: (..., n, k) by (..., k, m) gives (..., n, m); batches broadcast.

    A vector stands for a row on the left and a column on the right, and its axis is left out of the result.
    Raises ShapeError where the inner lengths differ.

    >>> import tensorgrad as tg
    >>> tg.matmul([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
    Tensor([3., 7.], dtype=float64)
    """
    return _product("matmul", np.matmul, shaped(x, "matmul"), shaped(y, "matmul"))


def dot(x: TensorLike, y: TensorLike, /) -> Tensor:
    """NumPy's dot: the sum of products over the last axis of x and the second to last (or only) axis of y.

    For vectors and matrices it is :func:`matmul`; with a scalar it scales; with more axes all of x's others
    come first in the result, then all of y's. Raises ShapeError where the lengths differ.

    >>> import tensorgrad as tg
    >>> tg.dot([1.0, 2.0], [3.0, 4.0])
    Tensor(11., dtype=float64)
    """
    left, right = shaped(x, "dot"), shaped(y, "dot")
    a: Shape = left.shape
    b: Shape = right.shape
    if not a or not b:
        return multiply(left, right)
    if len(b) <= 2:
        return _product("dot", np.dot, left, right)
    if a[-1] != b[-2]:
        raise ShapeError(f"dot: shapes {a} and {b} do not fit: {a[-1]} != {b[-2]}")
    columns = reshape(moveaxis(right, -2, 0), (b[-2], prod(b[:-2]) * b[-1]))
    return reshape(_product("dot", np.dot, left, columns), a[:-1] + b[:-2] + b[-1:])


def outer(x: TensorLike, y: TensorLike, /) -> Tensor:
    """Every element of x times every element of y, as a matrix.

    >>> import tensorgrad as tg
    >>> tg.outer([1.0, 2.0], [3.0, 4.0]).data.tolist()
    [[3.0, 4.0], [6.0, 8.0]]
    """
    left, right = shaped(x, "outer"), shaped(y, "outer")
    a: Shape = left.shape
    b: Shape = right.shape

    def d_x(xp: Any, g: Any, y: Any) -> Any:
        return xp.reshape(xp.matmul(g, xp.reshape(y, (-1,))), a)

    def d_y(xp: Any, g: Any, x: Any) -> Any:
        return xp.reshape(xp.matmul(xp.reshape(x, (-1,)), g), b)

    return record("outer", np.outer, (left, right), (d_x, d_y))


# --- Einstein's notation --------------------------------------------------------------------------------

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class _Terms:
    """The subscripts of a call, the ellipsis spelt out in letters, and the length of each letter's axis."""

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
            raise ValueError(f"einsum: {subscripts!r} may hold letters, commas, '->' and '...'; got {wrong!r}")
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
                    f"{len(terms[i].replace('...', ''))} axes, and array {i} has shape {shape}"
                )
            for letter, length in zip(term, shape):
                known = self.lengths.setdefault(letter, length)
                if known == 1:
                    self.lengths[letter] = length
                elif length not in (1, known):
                    what = f"index {letter!r}" if letter in text else "'...'"
                    raise ShapeError(f"einsum: {what} of {subscripts!r} has lengths {known} and {length}")
        if len(set(self.out)) != len(self.out) or not set(self.out) <= set(self.lengths):
            raise ValueError(f"einsum: the output of {subscripts!r} may name each index of the inputs once")

    def call(self) -> str:
        return f"{','.join(self.inputs)}->{self.out}"

    def work(self) -> int:
        return prod(self.lengths.values())


def einsum(subscripts: str, /, *operands: TensorLike) -> Tensor:
    """Sums of products in Einstein's notation: "ij,jk->ik" is a matrix product, "ii->i" a diagonal.

    Raises ShapeError where the subscripts do not fit the arrays.

    >>> import tensorgrad as tg
    >>> tg.einsum("ij,j->i", [[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
    Tensor([3., 7.], dtype=float64)
    """
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum: the subscripts are a string such as 'ij,jk->ik', got {type(subscripts).__name__}")
    arrays = [shaped(array, "einsum") for array in operands]
    terms = _Terms(subscripts, [array.shape for array in arrays])
    call = terms.call()
    # Along a path of pairwise products there is BLAS; finding the path costs more than a small sum does.
    optimize = len(arrays) > 2 or terms.work() > 20_000
    rules = [_einsum_rule(terms, i, len(arrays), arrays[i].dtype) for i in range(len(arrays))]

    def forward(*xs: Any) -> Any:
        return np.einsum(call, *xs, optimize=optimize)

    if len(arrays) == 1:
        return view("einsum", forward, arrays[0], rules[0])
    return record("einsum", forward, arrays, rules)


def _einsum_rule(terms: _Terms, i: int, count: int, dtype: Any) -> Rule:
    others = [term for j, term in enumerate(terms.inputs) if j != i]
    # A letter that the term has twice is a diagonal: the second gets a letter of its own, tied by a
    # unit matrix.
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
    thin = tuple(lengths[letter] if letter in known else 1 for letter in target)

    def gradient(xp: Any, g: Any, arrays: Any) -> Any:
        eyes = [np.eye(n, dtype=dtype) for _, n in ties]
        if call == f"{core}->{core}":
            part = g
        else:
            part = xp.einsum(call, g, *arrays, *eyes)
        return xp.broadcast_to(xp.reshape(part, thin), full) if core != target else part

    if count == 1:
        return lambda xp, g: gradient(xp, g, ())
    if count == 2:
        if i == 0:
            return lambda xp, g, y: gradient(xp, g, (y,))
        return lambda xp, g, x: gradient(xp, g, (x,))
    return lambda xp, g, *xs: gradient(xp, g, xs[:i] + xs[i + 1 :])
