"""Derivatives in which an argument drops out: their derivative with respect to it is 0."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.errors import GraphError
from tensorgrad.functional.call import Call

WAYS = {
    "argument": lambda f, x, y: tg.grad(f, 0)(x, y),
    "closure": lambda f, x, y: tg.grad(lambda z: f(z, y))(x),
    "keyword": lambda f, x, y: tg.grad(lambda x, *, y: f(x, y))(x, y=y),
    "dict": lambda f, x, y: tg.grad(lambda x, p: f(x, p["y"]))(x, {"y": y}),
    "value_and_grad": lambda f, x, y: tg.value_and_grad(f)(x, y)[1],
    "jacobian": lambda f, x, y: tg.jacobian(f)(x, y),
    "vjp": lambda f, x, y: tg.vjp(lambda z: f(z, y), x)[1](1.0)[0],
    "jvp": lambda f, x, y: tg.jvp(lambda z: f(z, y), (x,), (1.0,))[1],
    "within another": lambda f, x, y: tg.grad(lambda z: tg.grad(lambda u: f(z, y) * u)(y))(x),
}
# f, and the derivatives of its derivative by x with respect to x and y, at (2, 3)
DROPPING_OUT = {
    "x * y": (lambda x, y: x * y, 0.0, 1.0),
    "x + y": (lambda x, y: x + y, 0.0, 0.0),
    "x**2 + y": (lambda x, y: x * x + y, 2.0, 0.0),
    "x**2 * y": (lambda x, y: x * x * y, 6.0, 4.0),
    "sin(x) - exp(y)": (lambda x, y: tg.sin(x) - tg.exp(y), -math.sin(2.0), 0.0),
    "x - y / x": (lambda x, y: x - y / x, -2 * 3.0 / 2**3, 1 / 2**2),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", DROPPING_OUT)
def test_a_derivative_in_which_an_argument_drops_out(name: str, way: str, compiled: bool) -> None:
    f, by_x, by_y = DROPPING_OUT[name]
    both = tg.grad(lambda x, y: WAYS[way](f, x, y), argnums=(0, 1))
    if compiled:
        both = tg.compile(both, backend="numpy")
    for _ in range(2):
        np.testing.assert_allclose(both(2.0, 3.0), (by_x, by_y), rtol=1e-12, atol=1e-12)


def test_an_argument_that_drops_out_of_a_derivative_of_any_order() -> None:
    def f(x: Any, y: Any) -> Any:
        return x * x * x * y + x

    third = tg.grad(tg.grad(tg.grad(f, 0), 1), (0, 1))  # of 3 x**2
    assert third(2.0, 5.0) == (12.0, 0.0)
    fourth = tg.grad(tg.grad(tg.grad(tg.grad(f, 0), 1), 1), (0, 1))  # of 0
    assert fourth(2.0, 5.0) == (0.0, 0.0)


def test_a_parameter_that_drops_out_of_a_gradient_penalty() -> None:
    layer = nn.Linear(2, 1, dtype=np.float64, rng=0)

    def penalty(layer: Any) -> Any:
        slope = tg.grad(lambda x: layer(x).sum())(tg.Tensor([1.0, 2.0]))
        return (slope * slope).sum()

    found = tg.grad(penalty)(layer)
    np.testing.assert_allclose(found["W"].data, 2 * layer.W.data, rtol=1e-12)
    np.testing.assert_array_equal(found["b"].data, [0.0])


def test_an_argument_that_nothing_depends_on_is_still_refused() -> None:
    def f(x: Any, y: Any) -> Any:
        return tg.grad(lambda z: z * z)(x)

    with pytest.raises(GraphError, match="does not depend on argument 1"):
        tg.grad(f, (0, 1))(2.0, 3.0)
    assert tg.grad(f, (0, 1), allow_unused=True)(2.0, 3.0) == (2.0, None)


def test_many_derivatives_look_at_each_node_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    own = Call.note_differentiated
    monkeypatch.setattr(Call, "note_differentiated", lambda self, out: (own(self, out), looked.append(len(self._seen))))

    def f(x: Any, unused: Any) -> Any:
        for _ in range(50):
            x = x + 0.1 * tg.grad(tg.sin)(x)
        return x + 0 * unused

    tg.grad(f, (0, 1))(0.5, 1.0)
    assert len(looked) == 50
    steps = np.diff(looked)
    assert steps.max() <= 2 * steps[0]  # not again those of all steps before
