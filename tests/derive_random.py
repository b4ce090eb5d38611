"""Random functions of ten operations, derived: right, or refused by name.

python -m tests.derive_random [--count 500] [--first 0]
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

import tensorgrad as tg

OPERATIONS = 10
SHAPES = [(3,), (2, 3), (2, 1), (1, 3), (), (4, 2, 3)]
UNARY: list[Callable[[Any], Any]] = [
    tg.tanh,
    tg.sin,
    tg.sigmoid,
    tg.softplus,
    tg.relu,
    tg.abs,
    tg.square,
    lambda x: tg.exp(tg.tanh(x)),
    lambda x: tg.sqrt(x * x + 1),
    lambda x: tg.log(x * x + 2),
    lambda x: (x * x + 1) ** -0.5,
    lambda x: -x,
    lambda x: 3 * x - 1,
    lambda x: tg.clip(x, -0.7, 0.9),
    lambda x: tg.where(x > 0.1, x * x, 2 * x),
    lambda x: tg.softmax(x, -1) if x.ndim else x,
    lambda x: tg.cumsum(x, -1) if x.ndim else x,
    lambda x: x - x.mean(),
    lambda x: x.sum(-1, keepdims=True) if x.ndim else x,
    lambda x: x.mean(0) if x.ndim else x,
    lambda x: x.max(-1, keepdims=True) if x.ndim else x,
    lambda x: x.T,
    lambda x: x @ x.T if x.ndim == 2 else x,
    lambda x: x[None],
    lambda x: x[..., ::2] if x.ndim else x,
]
BINARY: list[Callable[[Any, Any], Any]] = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: x * x * y,
    lambda x, y: x / (y * y + 1),
    tg.maximum,
    tg.logaddexp,
]


def built(seed: int) -> tuple[Callable[..., Any], list[Any]]:
    """A random function of four arrays, and the arrays."""
    rng = np.random.default_rng(seed)
    shapes = [SHAPES[i] for i in rng.integers(0, len(SHAPES), 4)]
    arrays = [rng.uniform(-1.5, 1.5, shape) for shape in shapes]
    choices = rng.random((OPERATIONS, 4))

    def f(a: Any, b: Any, c: Any, d: Any) -> Any:
        pool = [a, b, c, d]
        for kind, which, first, second in choices:
            late = pool[-4:] if kind > 0.2 else pool
            x = late[int(first * len(late))]
            y = pool[int(second * len(pool))]
            if kind < 0.6:
                made = UNARY[int(which * len(UNARY))](x)
            else:
                try:
                    np.broadcast_shapes(x.shape, y.shape)
                except ValueError:
                    y = y.sum()
                made = BINARY[int(which * len(BINARY))](x, y)
            pool.append(made if made.ndim < 5 else made.sum())
        return (pool[-1] * pool[-1]).sum() + pool[-2].mean() + pool[-3].sum()

    return f, arrays


def outcome(seed: int) -> str:
    """``right``, or why it was refused. Raises AssertionError for a wrong formula, even if it was not shown."""
    f, arrays = built(seed)
    try:
        derivation = tg.derive(f, *arrays)
    except tg.GraphError as error:
        if "no formula for" in str(error) or "does not depend" in str(error):
            return f"refused: {str(error)[:60]}"
        raise AssertionError(f"seed {seed}: {error}") from error
    leaves = [tg.Tensor(a, requires_grad=True) for a in arrays]
    f(*leaves).backward()
    by_name = dict(zip("abcd", arrays, strict=True))
    names = derivation.function.__code__.co_varnames[: derivation.function.__code__.co_argcount]
    made = derivation.function(*(by_name[n] for n in names))
    made = made if isinstance(made, tuple) else (made,)
    expected = [leaf.grad for leaf in leaves if leaf.grad is not None]
    for got, g in zip(made, expected, strict=True):
        scale = max(1.0, float(np.max(np.abs(g))))
        assert np.max(np.abs(got - g)) <= 1e-12 * scale, f"seed {seed}: {derivation}"
    return "right"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    for seed in range(options.first, options.first + options.count):
        try:
            counts[outcome(seed)] += 1
        except Exception as error:
            counts[type(error).__name__] += 1
            print(seed, type(error).__name__, str(error)[:300])
    print(*(f"{n:4} {text}" for text, n in counts.most_common()), sep="\n")


if __name__ == "__main__":
    main()
