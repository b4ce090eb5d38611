"""A day's work in small: does anything grow?

    python -m tests.growing                     # every scenario at full length: about ten minutes
    python -m tests.growing eager shapes --share 0.1

Each scenario repeats something, and reports by how much memory, Python's blocks and objects, descriptors and the
library's own tables have grown since the first tenth of it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import linecache
import os
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import nn
import tensorgrad as tg
from nn._files import atomic
from nn._training import dry_run
from tensorgrad.engine import graph, writes


class Size(NamedTuple):
    """What may grow."""

    resident: int  # bytes of memory of the process
    allocated: int  # bytes by tracemalloc; 0 while it is off
    blocks: int  # of Python's allocator
    objects: int  # that the collector knows
    descriptors: int
    tables: int  # entries of the library's own tables, and of linecache

    def __sub__(self, other: Any) -> Size:  # type: ignore[override]
        return Size(*(a - b for a, b in zip(self, other, strict=True)))

    def __str__(self) -> str:
        allocated = f"{self.allocated / 1e3:+.1f} kB allocated, " if self.allocated else ""
        return (
            f"{self.resident / 1e6:+.1f} MB resident, {allocated}"
            f"{self.blocks:+,} blocks, {self.objects:+,} objects, {self.descriptors:+} descriptors, "
            f"{self.tables:+} entries in tables"
        )


def size() -> Size:
    """The sizes now, after a collection."""
    gc.collect()
    proc = os.path.isdir("/proc/self/fd")
    with open("/proc/self/statm") if proc else contextlib.nullcontext() as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") if file is not None else 0
    tables = len(writes._writes) + len(graph._getters) + len(atomic._writing) + len(dry_run._known)
    return Size(
        resident,
        tracemalloc.get_traced_memory()[0],
        sys.getallocatedblocks(),
        len(gc.get_objects()),
        len(os.listdir("/proc/self/fd")) if proc else 0,
        tables + len(linecache.cache),
    )


class Scenario(NamedTuple):
    """What is repeated, and how often at full length; ``make`` returns a function of the number of the time."""

    make: Callable[[], Callable[[int], object]]
    times: int


def _trained(compiled: str = "") -> Callable[[int], object]:
    rng = np.random.default_rng(0)
    model = nn.MLP([8, 16, 3], norm="batch", dropout=0.1, rng=0)
    optimizer = nn.AdamW(model.parameters(), lr=1e-3)
    X, y = rng.normal(size=(16, 8)).astype(np.float32), rng.integers(0, 3, 16)

    def step(X: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(X), y)
        loss.backward()
        optimizer.step()
        return loss

    run = tg.compile(step, backend=compiled) if compiled else step
    return lambda i: run(X, y)


def _shapes() -> Callable[[int], object]:
    w = tg.Tensor(np.ones(3), requires_grad=True)

    def step(x: Any) -> Any:
        w.grad = None
        loss = tg.sum(tg.tanh(x * w))
        loss.backward()
        return loss

    compiled = tg.compile(step)

    def once(i: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it was traced often
            compiled(np.ones((1 + i * 1999 % 5003, 3)))  # another one each time, large and small in turn
        assert sum(map(len, compiled._runs.values())) <= 32

    return once


def _rules() -> Callable[[int], object]:
    x = tg.Tensor(np.ones(3), requires_grad=True)

    @tg.differentiable
    def failing(x: Any) -> Any:
        return x * 2

    @failing.backward
    def _(g: Any, x: Any, out: Any) -> Any:
        raise ArithmeticError("in a rule")

    def once(i: int) -> None:
        with contextlib.suppress(ArithmeticError):
            tg.sum(failing(x * 1.5)).backward()
        assert x.grad is None

    return once


def _hooks() -> Callable[[int], object]:
    model = nn.MLP([4, 8, 2], rng=0)
    X = np.ones((3, 4), np.float32)

    def fail(*given: Any) -> None:
        raise ArithmeticError("in a hook")

    def once(i: int) -> None:
        with contextlib.suppress(ArithmeticError), model.layers[i % 3].register_forward_hook(fail):
            model(X)

    return once


def _tensor_hooks() -> Callable[[int], object]:
    x = tg.Tensor(np.ones(3), requires_grad=True)

    def fail(g: Any) -> None:
        raise ArithmeticError("in a hook")

    def once(i: int) -> None:
        y = x * 2.0
        y.register_hook(fail)
        with contextlib.suppress(ArithmeticError):
            y.sum().backward()

    return once


def _callbacks() -> Callable[[int], object]:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(8, 3)).astype(np.float32), rng.integers(0, 2, 8)
    model = nn.Model(nn.MLP([3, 4, 2], rng=0), rng=0)

    class Failing(nn.Callback):
        def on_step_end(self, fit: Any) -> None:
            raise ArithmeticError("in a callback")

    def once(i: int) -> None:
        with contextlib.suppress(ArithmeticError):
            model.fit(X, y, epochs=1, callbacks=[Failing()], progress=False)

    return once


SCENARIOS: dict[str, Scenario] = {
    "eager": Scenario(_trained, 100_000),
    "compiled": Scenario(lambda: _trained("numpy"), 100_000),
    "native": Scenario(lambda: _trained("native"), 100_000),
    "shapes": Scenario(_shapes, 5_000),
    "exceptions in rules": Scenario(_rules, 10_000),
    "exceptions in hooks of modules": Scenario(_hooks, 10_000),
    "exceptions in hooks of tensors": Scenario(_tensor_hooks, 10_000),
    "exceptions in callbacks": Scenario(_callbacks, 10_000),
}


def grown(name: str, times: int, *, traced: bool = False) -> Size:
    """How much grows while a scenario is repeated, after the first tenth of it."""
    once = SCENARIOS[name].make()
    first = max(times // 10, 40)
    for i in range(first):
        once(i)
    if traced:
        tracemalloc.start()
        for i in range(first, first + 40):  # what is allocated by then is replaced, not new
            once(i)
    try:
        before = size()
        for i in range(first, max(times, first + 40)):
            once(i)
        return size() - before
    finally:
        tracemalloc.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join(SCENARIOS)}; all of them without")
    parser.add_argument("--share", type=float, default=1.0, help="of the full number of times")
    given = parser.parse_args()
    for name in given.scenarios or SCENARIOS:
        times, began = int(SCENARIOS[name].times * given.share), time.perf_counter()
        print(f"{name}, {times:,} times: ", end="", flush=True)
        found = grown(name, times)
        print(f"{found}; {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
