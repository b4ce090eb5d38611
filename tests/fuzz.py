"""Random expressions, differentiated by tensorgrad and by PyTorch, which must agree.

python -m tests.fuzz [--count 500] [--first 0]
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

import tensorgrad as tg

OPERATIONS = 20
TOLERANCE = 1e-10
ROUNDING = 1e-14  # of a gradient that cancels to zero
SHAPES = [(3,), (2, 3), (2, 1), (1, 3), (), (4, 2, 3)]

UNARY: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "tanh": (tg.tanh, lambda torch, x: torch.tanh(x)),
    "sin": (tg.sin, lambda torch, x: torch.sin(x)),
    "arctan": (tg.arctan, lambda torch, x: torch.atan(x)),
    "sigmoid": (tg.sigmoid, lambda torch, x: torch.sigmoid(x)),
    "softplus": (tg.softplus, lambda torch, x: torch.nn.functional.softplus(x)),
    "exp of tanh": (lambda x: tg.exp(tg.tanh(x)), lambda torch, x: torch.exp(torch.tanh(x))),
    "sqrt": (lambda x: tg.sqrt(x * x + 1), lambda torch, x: torch.sqrt(x * x + 1)),
    "log": (lambda x: tg.log(x * x + 2), lambda torch, x: torch.log(x * x + 2)),
    "abs": (tg.abs, lambda torch, x: torch.abs(x)),
    "relu": (tg.relu, lambda torch, x: torch.relu(x)),
    "leaky_relu": (tg.leaky_relu, lambda torch, x: torch.nn.functional.leaky_relu(x)),
    "negative": (lambda x: -x, lambda torch, x: -x),
    "clip": (lambda x: tg.clip(x, -0.7, 0.9), lambda torch, x: torch.clamp(x, -0.7, 0.9)),
    "cumsum": (lambda x: tg.cumsum(x, -1) if x.ndim else x, lambda torch, x: torch.cumsum(x, -1) if x.ndim else x),
    "softmax": (lambda x: tg.softmax(x, -1) if x.ndim else x, lambda torch, x: torch.softmax(x, -1) if x.ndim else x),
    "flip": (lambda x: tg.flip(x), lambda torch, x: torch.flip(x, tuple(range(x.ndim)))),
}
BINARY: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any, Any], Any]]] = {
    "add": (lambda x, y: x + y, lambda torch, x, y: x + y),
    "subtract": (lambda x, y: x - y, lambda torch, x, y: x - y),
    "multiply": (lambda x, y: x * y, lambda torch, x, y: x * y),
    "divide": (lambda x, y: x / (y * y + 1), lambda torch, x, y: x / (y * y + 1)),
    "maximum": (tg.maximum, lambda torch, x, y: torch.maximum(x, y)),
    "arctan2": (lambda x, y: tg.arctan2(x, y * y + 0.5), lambda torch, x, y: torch.atan2(x, y * y + 0.5)),
    "logaddexp": (tg.logaddexp, lambda torch, x, y: torch.logaddexp(x, y)),
    "where": (lambda x, y: tg.where(x.data > 0.1, x, y), lambda torch, x, y: torch.where(x > 0.1, x, y)),
    "power": (lambda x, y: (x * x + 0.5) ** tg.tanh(y), lambda torch, x, y: (x * x + 0.5) ** torch.tanh(y)),
}


class Built:
    """One expression, built in both libraries by the same random choices."""

    def __init__(self, seed: int, torch: Any) -> None:
        self.torch = torch
        self.rng = np.random.default_rng(seed)
        self.text: list[str] = []
        arrays = [self.rng.uniform(-1.5, 1.5, SHAPES[i]) for i in self.rng.integers(0, len(SHAPES), 4)]
        self.ours = [tg.Tensor(a, requires_grad=True) for a in arrays]
        self.theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
        self.pool = list(zip(self.ours, self.theirs, strict=True))
        for _ in range(OPERATIONS):
            self.pool.append(self.grown())

    def picked(self) -> tuple[Any, Any]:
        late = self.rng.random() < 0.7  # prefer recent results, so that expressions grow deep
        start = max(0, len(self.pool) - 4) if late else 0
        return self.pool[int(self.rng.integers(start, len(self.pool)))]

    def grown(self) -> tuple[Any, Any]:
        kind = self.rng.random()
        x, u = self.picked()
        if kind < 0.45:
            name = str(self.rng.choice(list(UNARY)))
            self.text.append(f"{name}{x.shape}")
            return UNARY[name][0](x), UNARY[name][1](self.torch, u)
        if kind < 0.8:
            y, v = self.picked()
            try:
                np.broadcast_shapes(x.shape, y.shape)
            except ValueError:
                y, v = y.sum(), v.sum()
            name = str(self.rng.choice(list(BINARY)))
            self.text.append(f"{name}{x.shape}{y.shape}")
            return BINARY[name][0](x, y), BINARY[name][1](self.torch, u, v)
        return self.rearranged(x, u)

    def rearranged(self, x: Any, u: Any) -> tuple[Any, Any]:
        """A reduction, a matrix product, an index or a transpose."""
        if not x.ndim:
            return x * 1.5, u * 1.5
        axis = int(self.rng.integers(0, x.ndim))
        choice = int(self.rng.integers(0, 6))
        self.text.append(f"{('sum', 'mean', 'logsumexp', 'matmul', 'index', 'transpose')[choice]}{x.shape}")
        if choice == 0:
            return x.sum(axis=axis, keepdims=True), u.sum(dim=axis, keepdim=True)
        if choice == 1:
            return x.mean(axis=axis), u.mean(dim=axis)
        if choice == 2:
            return tg.logsumexp(x, axis=axis), self.torch.logsumexp(u, dim=axis)
        if choice == 3:
            m = self.rng.uniform(-1, 1, (x.shape[-1], 3))
            return x @ m, u @ self.torch.tensor(m)
        if choice == 4:
            index = self.rng.integers(0, x.shape[0], 3)
            return x[index], u[self.torch.tensor(index)]
        return x.T, u.permute(*range(u.ndim)[::-1])


def deviation(seed: int, torch: Any) -> float:
    """The largest deviation of the value and the gradients, relative to the largest element of each.

    Raises AssertionError, with the seed and the expression, if it exceeds the tolerance.
    """
    built = Built(seed, torch)
    ours = tg.stack([tg.sum(x * x) for x, _ in built.pool[-3:]]).sum()
    theirs = torch.stack([(u * u).sum() for _, u in built.pool[-3:]]).sum()
    ours.backward()
    theirs.backward()
    worst = 0.0
    pairs = [(ours.data, theirs.detach().numpy())]
    for mine, other in zip(built.ours, built.theirs, strict=True):
        a = np.zeros(mine.shape) if mine.grad is None else mine.grad
        b = np.zeros(mine.shape) if other.grad is None else other.grad.numpy()
        pairs.append((a, b))
    for a, b in pairs:
        apart = float(np.max(np.abs(a - b), initial=0.0))
        if apart > ROUNDING:
            worst = max(worst, apart / float(np.max(np.abs(b))))
    if not worst <= TOLERANCE:
        raise AssertionError(f"seed {seed}: deviation {worst:.3g} in {' '.join(built.text)}")
    return worst


def main() -> None:
    """Run many expressions, and print the seeds and the largest deviation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    torch = importlib.import_module("torch")
    worst = max((deviation(seed, torch), seed) for seed in range(options.first, options.first + options.count))
    print(
        f"{options.count} expressions of {OPERATIONS} operations, seeds {options.first} to "
        f"{options.first + options.count - 1}: largest deviation {worst[0]:.2e} (seed {worst[1]}), allowed {TOLERANCE}"
    )


if __name__ == "__main__":
    main()
