"""One training step of an MLP: tensorgrad eager, in debug mode, compiled and native; PyTorch eager; JAX jit.

The same model everywhere: an MLP with batch normalisation and ReLU, cross-entropy, AdamW, float32, one thread on one
core. Each measurement runs in a process of its own; the kinds alternate. Figures are microseconds per step: the minimum
and the median of a process's blocks of 20 steps. Ratios are to PyTorch eager, pair by pair. The row "products" is the
matrix products of a step alone, by NumPy.

    python benchmarks/train_step.py [--net digits] [--processes 5] [--steps 1000]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

KINDS = (
    *("torch eager", "jax jit", "products"),
    *("tensorgrad eager", "tensorgrad debug", "tensorgrad compiled", "tensorgrad native"),
)
NETS = {  # sizes of layers, and of a batch
    "tiny": ((2, 16, 16, 2), 32),
    "small": ((64, 128, 64, 10), 64),
    "digits": ((64, 128, 128, 10), 64),
    "medium": ((784, 256, 128, 10), 128),
}
LR = 2e-3
DECAY = 1e-2
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def batches(net: str) -> Iterator[tuple[Any, Any]]:
    """An endless stream of mini-batches: the digits of scikit-learn, or random numbers."""
    import numpy as np
    from sklearn.datasets import load_digits

    sizes, batch = NETS[net]
    rng = np.random.default_rng(0)
    if sizes[0] == 64:
        X, y = load_digits(return_X_y=True)
    else:
        X, y = rng.normal(size=(2048, sizes[0])), rng.integers(0, sizes[-1], 2048)
    X = ((X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-6)).astype(np.float32)
    while True:
        order = rng.permutation(len(X))
        for start in range(0, len(X) - batch + 1, batch):
            part = order[start : start + batch]
            yield X[part], y[part]


def tensorgrad_step(how: str, net: str) -> Callable[[Any, Any], float]:
    """The step as users would write it."""
    import nn
    import tensorgrad as tg

    model = nn.MLP(NETS[net][0], activation="relu", norm="batch", init="he_normal", rng=0)
    optimizer = nn.AdamW(model.parameters(), lr=LR, weight_decay=DECAY)
    criterion = nn.CrossEntropyLoss()

    def step(X: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(X), y)
        loss.backward()
        optimizer.step()
        return loss

    ways = {
        "eager": lambda f: f,
        "debug": tg.debug(),
        "compiled": tg.compile,
        "native": lambda f: tg.compile(f, backend="native"),
    }
    run = ways[how](step)
    return lambda X, y: run(X, y).item()


def torch_step(net: str) -> Callable[[Any, Any], float]:
    """The same step in PyTorch, with arrays passed without a copy."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes, _ = NETS[net]
    layers: list[torch.nn.Module] = []
    for n_in, n_out in pairwise(sizes[:-1]):
        linear = torch.nn.Linear(n_in, n_out, bias=False)  # as in nn.MLP: the norm would cancel a bias
        layers += [linear, torch.nn.BatchNorm1d(n_out), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(*sizes[-2:]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=DECAY)
    criterion = torch.nn.CrossEntropyLoss()

    def step(X: Any, y: Any) -> float:
        optimizer.zero_grad()
        loss = criterion(model(torch.from_numpy(X)), torch.from_numpy(y))
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def jax_step(net: str) -> Callable[[Any, Any], float]:
    """The same step in JAX with optax, compiled as one function."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    sizes, _ = NETS[net]
    rng = np.random.default_rng(0)
    hidden = [
        {"W": rng.normal(size=(a, b)) * (2 / a) ** 0.5, "gamma": np.ones(b), "beta": np.zeros(b)}
        for a, b in pairwise(sizes[:-1])
    ]
    last = {"W": rng.normal(size=sizes[-2:]) * 0.1, "b": np.zeros(sizes[-1])}
    params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), (hidden, last))
    statistics = [(jnp.zeros(n), jnp.ones(n)) for n in sizes[1:-1]]
    optimizer = optax.adamw(LR, weight_decay=DECAY)

    def loss_of(params: Any, statistics: Any, X: Any, y: Any) -> Any:
        moved = []
        for layer, (mean, var) in zip(params[0], statistics, strict=True):
            h = X @ layer["W"]
            m, v = h.mean(axis=0), h.var(axis=0)
            moved.append((0.9 * mean + 0.1 * m, 0.9 * var + 0.1 * v))
            X = jax.nn.relu((h - m) / jnp.sqrt(v + 1e-5) * layer["gamma"] + layer["beta"])
        logits = X @ params[1]["W"] + params[1]["b"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), moved

    @jax.jit
    def update(params: Any, statistics: Any, state: Any, X: Any, y: Any) -> Any:
        (loss, statistics), gradient = jax.value_and_grad(loss_of, has_aux=True)(params, statistics, X, y)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), statistics, state, loss

    known = [params, statistics, optimizer.init(params)]

    def step(X: Any, y: Any) -> float:
        *known[:], loss = update(*known, X, y)
        return float(loss)

    return step


def products(net: str) -> Callable[[Any, Any], float]:
    """The matrix products of a step."""
    import numpy as np

    sizes, batch = NETS[net]
    rng = np.random.default_rng(0)
    jobs = []
    for k, (a, b) in enumerate(pairwise(sizes)):
        x, w, g = (rng.normal(size=shape).astype(np.float32) for shape in ((batch, a), (a, b), (batch, b)))
        jobs += [(x, w), (x.T, g), *([(g, w.T)] if k else [])]
    ready = [(a, b, np.empty((len(a), b.shape[1]), np.float32)) for a, b in jobs]

    def step(X: Any, y: Any) -> float:
        for a, b, out in ready:
            np.matmul(a, b, out=out)
        return 0.0

    return step


def measure(kind: str, steps: int, net: str) -> dict[str, float]:
    """Seconds per step in blocks of 20, after 50 steps of warm-up, and the final loss."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    others = {"torch eager": torch_step, "jax jit": jax_step, "products": products}
    step = others[kind](net) if kind in others else tensorgrad_step(kind.rpartition(" ")[2], net)
    stream = batches(net)
    prepared = [next(stream) for _ in range(steps + 50)]
    for X, y in prepared[:50]:
        step(X, y)
    blocks = []
    loss = 0.0
    for start in range(50, steps + 50, 20):
        begin = time.perf_counter()
        for X, y in prepared[start : start + 20]:
            loss = step(X, y)
        blocks.append((time.perf_counter() - begin) / 20)
    return {"min": min(blocks), "median": statistics.median(blocks), "loss": loss}


def main() -> None:
    """Run the processes, alternating, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--kind", choices=KINDS, help="measure one kind in this process and print JSON")
    parser.add_argument("--net", choices=NETS, default="digits")
    options = parser.parse_args()
    if options.kind:
        print(json.dumps(measure(options.kind, options.steps, options.net)))
        return
    results: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for _ in range(options.processes):
        for kind in KINDS:
            command = [sys.executable, __file__, "--kind", kind, "--net", options.net]
            command += ["--steps", str(options.steps)]
            done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **THREADS})
            if done.returncode and "ModuleNotFoundError" in done.stderr and kind == "jax jit":
                continue  # not installed
            if done.returncode:
                sys.exit(f"{kind} failed:\n{done.stderr}")
            results[kind].append(json.loads(done.stdout.splitlines()[-1]))
    print(
        f"{options.net}: microseconds per step, {options.processes} processes of {options.steps} steps each, one thread"
    )
    print(f"{'':22}{'min':>9}{'median':>9}{'ratio of minima':>18}{'of medians':>12}{'loss at the end':>18}")
    for kind in KINDS:
        runs = results[kind]
        if not runs:
            print(f"{kind:22}{'not installed':>18}")
            continue
        peers = results["torch eager"]
        ratios = {
            figure: statistics.median(a[figure] / b[figure] for a, b in zip(runs, peers, strict=True))
            for figure in ("min", "median")
        }
        print(
            f"{kind:22}{min(r['min'] for r in runs) * 1e6:9.0f}"
            f"{statistics.median(r['median'] for r in runs) * 1e6:9.0f}"
            f"{ratios['min']:18.2f}{ratios['median']:12.2f}{statistics.median(r['loss'] for r in runs):18.4f}"
        )


if __name__ == "__main__":
    main()
