"""The cost of one recorded operation, forward and back, next to PyTorch, MyGrad, HIPS autograd and bare NumPy.

All run in this process, alternating, on the same float32 numbers: a chain of operations on one leaf is recorded, and
backward goes through it. "NumPy" is the floor: the NumPy calls that the operation, its rule and the accumulation of
gradients must make, written out by hand. Figures are microseconds per operation.

    python benchmarks/per_op.py [--sizes 8 1000 100000] [--rounds 60]
"""

from __future__ import annotations

import argparse
import gc
import importlib
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tensorgrad as tg

Function = Callable[[Any, Any], Any]


class Operation(NamedTuple):
    """One operation, in each library and as bare NumPy calls, forward and back."""

    apply: Callable[[Any, Any, Any], Any]  # (functions of the library, x, y)
    forward: Function  # (x, y): bare NumPy
    back: Callable[[Any, Any, Any, Any], tuple[Any, Any]]  # (g, x, y, out): the gradients of x and y (or None)
    calls: int = 1  # operations in one application


OPERATIONS: dict[str, Operation] = {
    "x + y": Operation(lambda f, x, y: x + y, np.add, lambda g, x, y, out: (g, g)),
    "x - y": Operation(lambda f, x, y: x - y, np.subtract, lambda g, x, y, out: (g, np.negative(g))),
    "x * y": Operation(lambda f, x, y: x * y, np.multiply, lambda g, x, y, out: (np.multiply(g, y), np.multiply(g, x))),
    "x * 0.5": Operation(
        lambda f, x, y: x * 0.5,
        lambda x, y: np.multiply(x, 0.5),
        lambda g, x, y, out: (np.multiply(g, 0.5), None),
    ),
    "x / y": Operation(
        lambda f, x, y: x / y,
        np.divide,
        lambda g, x, y, out: (np.divide(g, y), np.divide(np.multiply(np.negative(g), out), y)),
    ),
    "-x": Operation(lambda f, x, y: -x, lambda x, y: np.negative(x), lambda g, x, y, out: (np.negative(g), None)),
    "tanh(x)": Operation(
        lambda f, x, y: f.tanh(x),
        lambda x, y: np.tanh(x),
        lambda g, x, y, out: (np.multiply(g, np.subtract(1, np.multiply(out, out))), None),
    ),
    "exp(-x)": Operation(
        lambda f, x, y: f.exp(-x),
        lambda x, y: np.exp(np.negative(x)),
        lambda g, x, y, out: (np.negative(np.multiply(g, out)), None),
        2,
    ),
    "sin(x)": Operation(
        lambda f, x, y: f.sin(x), lambda x, y: np.sin(x), lambda g, x, y, out: (np.multiply(g, np.cos(x)), None)
    ),
    "relu(x)": Operation(
        lambda f, x, y: f.relu(x),
        lambda x, y: np.maximum(x, 0),
        lambda g, x, y, out: (np.multiply(g, np.greater(out, 0)), None),
    ),
    "sigmoid(x)": Operation(
        lambda f, x, y: f.sigmoid(x),
        lambda x, y: np.divide(1, np.add(1, np.exp(np.negative(x)))),
        lambda g, x, y, out: (np.multiply(g, np.multiply(out, np.subtract(1, out))), None),
    ),
}


class Peer:
    """One library: leaves, functions, and how to record and go back."""

    name: str
    functions: Any

    def record(self, operation: Operation, a: Any, b: Any, length: int) -> Any:
        """Record a chain; the result is passed to :meth:`back`."""
        x, y = self.leaf(a), self.leaf(b)
        for _ in range(length):
            x = operation.apply(self.functions, x, y)
        return x, y

    def leaf(self, array: Any) -> Any:
        raise NotImplementedError

    def back(self, state: Any, seed: Any) -> Any:
        """Go back through what was recorded, and return the gradient of y (x is at the far end of the chain)."""
        state[0].backward(seed)
        return state[1].grad


class Ours(Peer):
    name = "tensorgrad"
    functions = tg

    def leaf(self, array: Any) -> Any:
        return tg.from_numpy(array, requires_grad=True)


class Torch(Peer):
    name = "torch"

    def __init__(self) -> None:
        self.functions = importlib.import_module("torch")
        self.functions.set_num_threads(1)

    def leaf(self, array: Any) -> Any:
        return self.functions.from_numpy(array).requires_grad_()

    def back(self, state: Any, seed: Any) -> Any:
        state[0].backward(self.functions.from_numpy(seed))
        return state[1].grad


class MyGrad(Peer):
    """MyGrad without its memory guard, its fastest setting."""

    name = "mygrad"

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.functions = importlib.import_module("mygrad")
        self.functions.turn_memory_guarding_off()
        nnet = importlib.import_module("mygrad.nnet")
        self.functions.relu, self.functions.sigmoid = nnet.relu, nnet.sigmoid

    def leaf(self, array: Any) -> Any:
        return self.functions.tensor(array, copy=False)


class Autograd(Peer):
    name = "autograd"

    def __init__(self) -> None:
        self.functions = anp = importlib.import_module("autograd.numpy")
        self.core = importlib.import_module("autograd.core")
        self.core_tuple = importlib.import_module("autograd.builtins").tuple
        anp.relu = lambda x: anp.maximum(x, 0)
        anp.sigmoid = lambda x: 1 / (1 + anp.exp(-x))

    def record(self, operation: Operation, a: Any, b: Any, length: int) -> Any:
        def chain(pair: Any) -> Any:
            x, y = pair
            for _ in range(length):
                x = operation.apply(self.functions, x, y)
            return x

        return self.core.make_vjp(chain, self.core_tuple((a, b)))[0]

    def back(self, state: Any, seed: Any) -> Any:
        return state(seed)


class NumPy(Peer):
    name = "numpy"

    def record(self, operation: Operation, a: Any, b: Any, length: int) -> Any:
        kept = []
        x = a
        for _ in range(length):
            out = operation.forward(x, b)
            kept.append((x, out))
            x = out
        return operation, b, kept

    def back(self, state: Any, seed: Any) -> Any:
        operation, b, kept = state
        total = None
        g = seed
        while kept:
            x, out = kept.pop()
            g, part = operation.back(g, x, b, out)
            if part is not None:
                if total is None:
                    total = np.copy(part)
                else:
                    np.add(total, part, out=total)
        return total


def peers() -> list[Peer]:
    """The libraries that can be imported, ours first; prints the others' names."""
    found: list[Peer] = [Ours(), NumPy()]
    for kind in (Torch, MyGrad, Autograd):
        try:
            found.append(kind())
        except ImportError:
            print(f"skipping {kind.name}, which is not installed")
    return found


def timed(peer: Peer, operation: Operation, a: Any, b: Any, seed: Any, length: int) -> tuple[float, float, float]:
    """Microseconds per operation to record, to go back, and for both."""
    start = time.perf_counter()
    state = peer.record(operation, a, b, length)
    middle = time.perf_counter()
    peer.back(state, seed)
    end = time.perf_counter()
    scale = 1e6 / (length * operation.calls)
    return (middle - start) * scale, (end - middle) * scale, (end - start) * scale


def measured(libraries: list[Peer], size: int, rounds: int) -> None:
    """One table: all operations at one size."""
    length = 100 if size <= 1000 else 20
    rng = np.random.default_rng(0)
    a = rng.uniform(0.5, 1.5, size).astype(np.float32)
    b = rng.uniform(0.9, 1.1, size).astype(np.float32)
    seed = np.ones_like(a)
    others = [peer.name for peer in libraries[1:]]
    print(
        f"\n{size} float32 numbers, chains of {length}, {rounds} rounds: medians in us, and ratios of ours to each peer"
    )
    print(f"{'operation':11}{'record':>8}{'back':>8}{'both':>8}   " + "".join(f"{name:>10}" for name in others))
    ratios: dict[tuple[str, str], list[float]] = {}
    for name, operation in OPERATIONS.items():
        gc.collect()
        times: dict[str, list[tuple[float, float, float]]] = {peer.name: [] for peer in libraries}
        for peer in libraries:  # once to warm up
            timed(peer, operation, a, b, seed, length)
        for _ in range(rounds):
            for peer in libraries:
                times[peer.name].append(timed(peer, operation, a, b, seed, length))
        columns = {key: list(zip(*rows, strict=True)) for key, rows in times.items()}
        ours = [statistics.median(column) for column in columns["tensorgrad"]]
        cells = []
        for other in others:
            for part, mine, theirs in zip(
                ("record", "back", "both"), columns["tensorgrad"], columns[other], strict=True
            ):
                median = statistics.median(mine) / statistics.median(theirs)
                ratios.setdefault((other, part), []).append(median)
                ratios.setdefault((other, f"{part}, minima"), []).append(min(mine) / min(theirs))
            cells.append(f"{ratios[other, 'both'][-1]:10.2f}")
        print(f"{name:11}{ours[0]:8.2f}{ours[1]:8.2f}{ours[2]:8.2f}   " + "".join(cells))
    for part in ("record", "back", "both", "both, minima"):
        means = "".join(f"{statistics.geometric_mean(ratios[other, part]):10.2f}" for other in others)
        print(f"{'geometric mean, ' + part:35}   {means}")
    worst = "".join(f"{max(ratios[other, 'both']):10.2f}" for other in others)
    print(f"{'worst, both':35}   {worst}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 1000, 100_000])
    options = parser.parse_args()
    libraries = peers()
    gc.disable()
    for size in options.sizes:
        measured(libraries, size, options.rounds)


if __name__ == "__main__":
    main()
