"""Higher-order derivatives and whole Jacobians, compared with JAX and PyTorch.

- the Hessian of a function of 200 numbers, the logarithm of a sum of exponentials plus a sum of quartics;
- the Jacobian of 1,000 results with respect to 50 arguments, tanh(A x);
- the fifth derivative of exp(sin(x)) at one point.

Each is first checked against its closed form, to 1e-9. All run in this process, alternating, in float64, on one
thread; JAX with and without jit, its compile time shown separately. A peer that cannot be imported is skipped with a
note. Figures are milliseconds per call; ratios are ours to the peer's.

    python benchmarks/higher.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from collections.abc import Callable
from math import cos, exp, sin
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np  # noqa: E402 (after the threads are set)

import tensorgrad as tg  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=200)
A = RNG.normal(size=(1000, 50)) / 7
Z = RNG.normal(size=50)
POINT = 0.7

Task = tuple[Callable[[Any], Any], Any]  # a function, and its argument


def hessian_in_closed_form() -> Any:
    p = np.exp(X) / np.exp(X).sum()
    return np.diag(p + 12 * X**2) - np.outer(p, p)


def jacobian_in_closed_form() -> Any:
    return (1 - np.tanh(A @ Z) ** 2)[:, None] * A


def fifth_in_closed_form() -> float:
    s, c = sin(POINT), cos(POINT)
    return exp(s) * (c**5 - 10 * s * c**3 - 10 * c**3 + 15 * s**2 * c + 15 * s * c + c)


EXPECTED = {
    "hessian of 200": hessian_in_closed_form(),
    "jacobian 1000x50": jacobian_in_closed_form(),
    "fifth derivative": fifth_in_closed_form(),
}


def composed(grad: Callable[[Any], Any], f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The fifth derivative."""
    for _ in range(5):
        f = grad(f)
    return f


def ours() -> dict[str, Task]:
    return {
        "hessian of 200": (tg.hessian(lambda x: tg.log(tg.exp(x).sum()) + (x**4).sum()), tg.Tensor(X)),
        "jacobian 1000x50": (tg.jacobian(lambda x: tg.tanh(A @ x)), tg.Tensor(Z)),
        "fifth derivative": (composed(tg.grad, lambda x: tg.exp(tg.sin(x))), tg.Tensor(POINT)),
    }


def jax_tasks(jit: bool) -> dict[str, Task]:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    tasks: dict[str, Task] = {
        "hessian of 200": (jax.hessian(lambda x: jnp.log(jnp.exp(x).sum()) + (x**4).sum()), jnp.asarray(X)),
        "jacobian 1000x50": (jax.jacrev(lambda x: jnp.tanh(jnp.asarray(A) @ x)), jnp.asarray(Z)),
        "fifth derivative": (composed(jax.grad, lambda x: jnp.exp(jnp.sin(x))), jnp.asarray(POINT)),
    }

    def ready(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: f(x).block_until_ready()

    return {name: (ready(jax.jit(f) if jit else f), x) for name, (f, x) in tasks.items()}


def torch_tasks() -> dict[str, Task]:
    import torch
    from torch.func import grad, hessian, jacrev

    torch.set_num_threads(1)
    a = torch.from_numpy(A)
    return {
        "hessian of 200": (hessian(lambda x: torch.log(torch.exp(x).sum()) + (x**4).sum()), torch.from_numpy(X)),
        "jacobian 1000x50": (jacrev(lambda x: torch.tanh(a @ x)), torch.from_numpy(Z)),
        "fifth derivative": (
            composed(grad, lambda x: torch.exp(torch.sin(x))),
            torch.tensor(POINT, dtype=torch.float64),
        ),
    }


def milliseconds(task: Task) -> float:
    f, x = task
    start = time.perf_counter()
    f(x)
    return (time.perf_counter() - start) * 1e3


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    sides: dict[str, dict[str, Task]] = {"tensorgrad": ours()}
    makers: dict[str, Callable[[], dict[str, Task]]] = {
        "jax": lambda: jax_tasks(jit=False),
        "jax jit": lambda: jax_tasks(jit=True),
        "torch.func": torch_tasks,
    }
    for side, make in makers.items():
        try:
            sides[side] = make()
        except ImportError as error:
            print(f"skipping {side}: {error}")
    print(f"milliseconds per call, {options.rounds} alternating rounds, float64, one thread")
    print(f"{'':18}{'':12}{'min':>10}{'median':>10}{'ours/its min':>14}{'median':>10}{'first call':>12}")
    for name, expected in EXPECTED.items():
        first = {side: milliseconds(tasks[name]) for side, tasks in sides.items()}
        for side, tasks in sides.items():
            f, x = tasks[name]
            result = f(x)
            array = result.data if side == "tensorgrad" else np.asarray(result)
            np.testing.assert_allclose(array, expected, rtol=1e-9, atol=1e-12, err_msg=f"{side}: {name}")
        times: dict[str, list[float]] = {side: [] for side in sides}
        gc.collect()
        for _ in range(options.rounds):
            for side, tasks in sides.items():
                times[side].append(milliseconds(tasks[name]))
        best, middle = min(times["tensorgrad"]), statistics.median(times["tensorgrad"])
        for side, own in times.items():
            ratios = f"{best / min(own):14.2f}{middle / statistics.median(own):10.2f}"
            print(f"{name:18}{side:12}{min(own):10.3f}{statistics.median(own):10.3f}{ratios}{first[side]:12.1f}")
    print("ratios below 1: tensorgrad is faster; the first call of jax jit includes compilation")


if __name__ == "__main__":
    main()
