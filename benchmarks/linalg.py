"""Gradients of matrix factorisations and solutions, compared with PyTorch.

The sum of the result is differentiated, forward and back, for one matrix of n rows in float64, right-hand sides
included. Gradients are first compared, to 1e-7. Both run in this process, alternating, on one thread; SciPy serves
tensorgrad, as it does whenever it is installed. Figures are milliseconds of processor time, which a machine with
other work to do distorts less than time on the clock; ratios are ours to PyTorch's. Pin the process to one core:

    taskset -c 1 python benchmarks/linalg.py [--n 300] [--rounds 40]
"""

from __future__ import annotations

import argparse
from typing import Any

from _gradients import Function, compared  # first: it sets the threads

# isort: split
import numpy as np

import tensorgrad as tg

Task = tuple[Function, Function, tuple[Any, ...]]  # ours, PyTorch's, and the arrays


def tasks(n: int, torch: Any) -> dict[str, Task]:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(n, n)) / n**0.5 + 2 * np.eye(n)
    triangle, definite = np.tril(a) + np.eye(n), a @ a.T + np.eye(n)
    many, one = rng.normal(size=(n, n)), rng.normal(size=(n, 1))
    ours, theirs = tg.linalg, torch.linalg

    def lower(a: Any) -> Any:  # PyTorch's gradient is symmetric, ours that of the triangle which is read
        return theirs.cholesky(torch.tril(a) + torch.tril(a, -1).T)

    def forward_substitution(a: Any, b: Any) -> Any:
        return ours.solve_triangular(a, b, lower=True)

    def theirs_by_substitution(a: Any, b: Any) -> Any:
        return theirs.solve_triangular(a, b, upper=False)

    return {
        "cholesky": (ours.cholesky, lower, (definite,)),
        "solve_triangular, n": (forward_substitution, theirs_by_substitution, (triangle, many)),
        "solve_triangular, 1": (forward_substitution, theirs_by_substitution, (triangle, one)),
        "solve, n": (ours.solve, theirs.solve, (a, many)),
        "solve, 1": (ours.solve, theirs.solve, (a, one)),
        "inv": (ours.inv, theirs.inv, (a,)),
        "slogdet": (lambda a: ours.slogdet(a)[1], lambda a: theirs.slogdet(a)[1], (a,)),
        "det": (ours.det, theirs.det, (a / 2,)),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    try:
        import torch
    except ImportError:
        print("there is nothing to compare with: torch is not installed")
        return
    torch.set_num_threads(1)
    print(f"milliseconds forward and back, n = {options.n}, {options.rounds} alternating rounds, float64, one thread")
    print(f"{'':20}{'ours: min':>12}{'median':>9}{'torch: min':>13}{'median':>9}{'ratio: min':>13}{'median':>9}")
    for name, (ours, theirs, arrays) in tasks(options.n, torch).items():
        (best, middle), (their_best, their_middle) = compared(
            ours, theirs, arrays, rounds=options.rounds, rtol=1e-7, atol=1e-9, torch=torch
        )
        print(
            f"{name:20}{best:12.2f}{middle:9.2f}{their_best:13.2f}{their_middle:9.2f}"
            f"{best / their_best:13.2f}{middle / their_middle:9.2f}"
        )


if __name__ == "__main__":
    main()
