"""How long derivations take, and a derived batch norm beside the eager and the compiled one.

python -m benchmarks.derive
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tensorgrad as tg
from tests import derive_forms as forms

ROWS, COLUMNS = 4096, 256
RUNS = 15


def best(calls: dict[str, Callable[[], Any]], runs: int = RUNS) -> dict[str, float]:
    """The fastest run of each, in milliseconds; they alternate."""
    times = dict.fromkeys(calls, float("inf"))
    for call in calls.values():
        call()
    for _ in range(runs):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name] = min(times[name], 1e3 * (time.perf_counter() - start))
    return times


def derivations() -> None:
    """Print the time of each derivation, with its verification."""
    images = np.random.default_rng(0).normal(size=(3, forms.D, 2, 4))
    norm = (forms.X, forms.GAMMA, forms.BETA)
    cases: list[tuple[Callable[..., Any], tuple[Any, ...], Any]] = [
        (forms.batch_norm, norm, None),
        (forms.batch_norm_power, norm, None),
        (forms.batch_norm_var, norm, None),
        (forms.batch_norm_moments, norm, None),
        (forms.batch_norm_sums, norm, None),
        (forms.batch_norm_unnamed, norm, None),
        (forms.batch_norm_images, (images, forms.GAMMA, forms.BETA), None),
        (forms.batch_norm_layer, norm, None),
        (forms.layer_norm, norm, None),
        (forms.layer_norm_layer, norm, None),
        (forms.cross_entropy, (forms.X, forms.ONE_HOT), 0),
        (forms.cross_entropy_labels, (forms.X, forms.LABELS), None),
        (forms.binary_cross_entropy, (forms.X, (forms.X > 0) * 1.0), 0),
        (forms.binary_cross_entropy_logits, (forms.X, (forms.X > 0) * 1.0), 0),
        (forms.tanh, (forms.X,), None),
        (forms.sigmoid, (forms.X,), None),
        (forms.l2, (forms.X,), None),
        (forms.linear, (forms.X, np.ones((forms.D, 3)), np.ones(3)), None),
        (forms.attention, (forms.X, np.ones((4, forms.D)), np.ones((4, 3))), None),
        (forms.mlp, forms.mlp_arguments(), (1, 2, 3, 4)),
    ]
    for form, arguments, argnums in cases:
        derivation = tg.derive(form, *arguments, argnums=argnums)
        call = {
            "": lambda form=form, arguments=arguments, argnums=argnums: tg.derive(form, *arguments, argnums=argnums)
        }
        milliseconds = best(call, 3)[""]
        print(f"{form.__name__:32} {milliseconds:7.0f} ms   deviation {derivation.deviation:.1e}")


def batch_norm() -> None:
    """Print the time of forward and backward of a large batch norm in float64, three ways."""
    rng = np.random.default_rng(0)
    x, gamma, beta = rng.normal(size=(ROWS, COLUMNS)), rng.normal(size=COLUMNS), rng.normal(size=COLUMNS)
    dy = rng.normal(size=(ROWS, COLUMNS))
    derived = tg.derive(forms.batch_norm, x[:8], gamma, beta).function  # its lines hold for any number of rows
    leaves = [tg.Tensor(a, requires_grad=True) for a in (x, gamma, beta)]

    def eager() -> Any:
        for leaf in leaves:
            leaf.grad = None
        forms.batch_norm(*leaves).backward(dy)
        return [leaf.grad for leaf in leaves]

    compiled = tg.compile(eager)
    for a, b in zip(derived(x, gamma, beta, dy), eager(), strict=True):
        assert np.allclose(a, b, rtol=1e-9, atol=1e-9)
    times = best({"derived": lambda: derived(x, gamma, beta, dy), "compiled": compiled, "eager": eager})
    for name, milliseconds in times.items():
        print(
            f"batch norm of {ROWS} x {COLUMNS}, {name:9} {milliseconds:6.1f} ms   {milliseconds / times['derived']:.2f}"
        )


if __name__ == "__main__":
    derivations()
    batch_norm()
