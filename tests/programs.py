"""Random steps in NumPy: shapes with ones, broadcasts, reductions, views, in-place writes, aliases, odd numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tensorgrad as tg

BINARY = [np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum]
UNARY = [np.negative, np.absolute, np.square, np.sqrt, np.sign, np.exp, np.tanh]
ODD = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-310, 1e-40, 1.0, -1.0, 1e30]
SHAPES = [(3, 4), (1, 4), (3, 1), (4,), (1,), (), (2, 3, 4), (2, 1, 4)]


def numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, odd: float) -> Any:
    """Normal numbers, a share of which is replaced by odd ones."""
    values = np.asarray(rng.normal(size=shape))
    with np.errstate(all="ignore"):
        return np.where(rng.random(shape) < odd, rng.choice(ODD, shape), values).astype(dtype)


class RandomStep:
    """A step made of random instructions: a function of two arrays, with state that it writes to."""

    def __init__(self, seed: int, length: int = 12) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = self.rng.choice([np.float32, np.float64])
        self.odd = self.rng.choice([0.0, 0.1])
        self.shapes = [SHAPES[i] for i in self.rng.integers(len(SHAPES), size=2)]
        self.initial = [self.draw((3, 4)), self.draw((12,))]
        self.state = [a.copy() for a in self.initial]
        self.part = self.state[1][2:6]  # memory that it shares
        self.plan = [int(k) for k in self.rng.integers(1 << 30, size=length)]

    def draw(self, shape: tuple[int, ...]) -> Any:
        return numbers(self.rng, shape, self.dtype, self.odd)

    def arguments(self) -> list[Any]:
        return [self.draw(shape) for shape in self.shapes]

    def reset(self) -> None:
        for array, initial in zip(self.state, self.initial, strict=True):
            array[...] = initial

    def __call__(self, *arguments: Any) -> Any:
        state = [tg.array_of(a) for a in (*self.state, self.part)]
        pool = [*arguments, *state]
        own: list[Any] = []  # made in the step, so it may be written to
        with np.errstate(all="ignore"):
            for seed in self.plan:
                made = self.instruction(np.random.default_rng(seed), pool, own, state)
                if made is not None:
                    pool.append(made)
        return [pool[-1], pool[-2], np.add(pool[-3], 0.0)]

    def instruction(self, rng: np.random.Generator, pool: list[Any], own: list[Any], state: list[Any]) -> Any:
        def pick() -> Any:
            return pool[rng.integers(len(pool))]

        kind = rng.choice(["binary", "binary", "unary", "one", "reduce", "view", "write", "state", "where", "repeat"])
        a, b = pick(), pick()
        if kind in ("binary", "repeat"):
            try:
                np.broadcast_shapes(a.shape, b.shape)
            except ValueError:
                b = 0.5
            function = BINARY[rng.integers(len(BINARY))]
            made = function(a, b)
            if kind == "repeat":
                return np.subtract(function(a, b), made)
            own.append(made)
            return made
        if kind == "unary":
            made = UNARY[rng.integers(len(UNARY))](a)
            own.append(made)
            return made
        if kind == "one":
            return [np.multiply(a, 1.0), np.divide(a, 1), np.positive(a), np.multiply(1, a)][rng.integers(4)]
        if kind == "reduce":
            axis = None if a.ndim == 0 or rng.random() < 0.3 else int(rng.integers(a.ndim))
            return [np.sum, np.max, np.min, np.mean][rng.integers(4)](a, axis=axis, keepdims=bool(rng.integers(2)))
        if kind == "view":
            views: list[Callable[[], Any]] = [
                lambda: np.transpose(a),
                lambda: np.reshape(a, (-1,)),
                lambda: a[..., None],
                lambda: a[:1] if a.ndim else a,
                lambda: a[..., ::-1] if a.ndim else a,
                lambda: np.broadcast_to(a, (2, *a.shape)) if a.ndim < 3 else a,
            ]
            return views[rng.integers(len(views))]()
        if kind == "where":
            return np.where(np.greater(a, 0), a, 0.5)
        target = state[rng.integers(3)] if kind == "state" or not own else own[rng.integers(len(own))]
        if not target.ndim:
            return None
        value = b if b.shape == target.shape else 0.5
        if rng.random() < 0.5:
            BINARY[rng.integers(3)](target, value, out=target)
        else:
            target[:2] = value if isinstance(value, float) else value[:2]
        return None


def same(one: Any, other: Any) -> None:
    """Equal numbers, NaN at the same places, zeros of the same sign."""
    one, other = np.asarray(one), np.asarray(other)
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
    np.testing.assert_array_equal(one, other)
    known = ~np.isnan(one)
    np.testing.assert_array_equal(np.signbit(one[known]), np.signbit(other[known]))
