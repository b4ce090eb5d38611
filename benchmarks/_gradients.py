"""Gradients of one function by tensorgrad and by PyTorch, in one process, alternating, on one thread."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402 (after the threads are set)

import tensorgrad as tg  # noqa: E402

Function = Callable[..., Any]
Times = tuple[float, float]  # milliseconds of processor time: the least, and the median


def _run(function: Function, leaf: Function, arrays: tuple[Any, ...]) -> tuple[float, list[Any]]:
    """Milliseconds, and the gradients of the sum of the result."""
    start = time.process_time()
    leaves = [leaf(array) for array in arrays]
    function(*leaves).sum().backward()
    return (time.process_time() - start) * 1e3, [np.asarray(x.grad) for x in leaves]


def compared(
    ours: Function, theirs: Function, arrays: tuple[Any, ...], *, rounds: int, rtol: float, atol: float, torch: Any
) -> tuple[Times, Times]:
    """The times of both, after a check that their gradients agree; ``atol`` is relative to the largest."""
    sides: tuple[tuple[Function, Function], ...] = (
        (ours, lambda array: tg.from_numpy(array, requires_grad=True)),
        (theirs, lambda array: torch.from_numpy(array).requires_grad_()),
    )
    expected = [_run(*side, arrays)[1] for side in sides]
    for a, b in zip(*expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol * np.abs(b).max())
    gc.collect()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for own, side in zip(times, sides, strict=True):
            own.append(_run(*side, arrays)[0])
    first, second = ((min(own), statistics.median(own)) for own in times)
    return first, second
