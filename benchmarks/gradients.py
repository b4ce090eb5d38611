"""value_and_grad of small functions, compared with a leaf, the function and backward() written out.

On 8 numbers in float64, alternating in one process. Figures are microseconds per call, as minima and medians; the ratio
is that of the minima.

    taskset -c 1 python benchmarks/gradients.py [--rounds 25]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import tensorgrad as tg

X = np.linspace(0.1, 1.0, 8)
CALLS = 200


def chain(length: int) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        for _ in range(length // 2):
            x = tg.sin(x) * 1.01
        return x.sum()

    return f


def rosenbrock(x: Any) -> Any:
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: x.sum(),
    "sum of squares": lambda x: (x * x).sum(),
    "Rosenbrock": rosenbrock,
    "chain of 10": chain(10),
    "chain of 30": chain(30),
    "chain of 100": chain(100),
}


def by_hand(f: Callable[[Any], Any]) -> tuple[Any, Any]:
    x = tg.Tensor(X, requires_grad=True)
    value = f(x)
    value.backward()
    return value.item(), x.grad


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - start) / CALLS * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    print(f"{'':16}{'backward':>20}{'value_and_grad':>20}{'ratio':>8}")
    for name, f in FUNCTIONS.items():
        transform = tg.value_and_grad(f)
        np.testing.assert_allclose(transform(X)[1], by_hand(f)[1], rtol=1e-12)
        pairs = [(timed(partial(by_hand, f)), timed(partial(transform, X))) for _ in range(rounds)]
        hand, ours = zip(*pairs, strict=True)
        cells = "".join(f"{min(t):10.2f}{statistics.median(t):10.2f}" for t in (hand, ours))
        print(f"{name:16}{cells}{min(ours) / min(hand):8.2f}")


if __name__ == "__main__":
    main()
