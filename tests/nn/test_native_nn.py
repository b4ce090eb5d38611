"""Layers, losses and optimisers of nn as native code: what they are uncompiled, up to what rounding does."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tests.test_compile_cases import _compare, _eager, _prepared

from .cases import GROUPS
from .deviations import OPTIMIZERS

pytest.importorskip("llvmlite")


@pytest.mark.parametrize("group", GROUPS)
def test_rows_of_functional(group: str) -> None:
    checked = 0
    for case in GROUPS[group]:
        sample = case.samples[0]
        if case.random or not case.orders or not sample.arrays:
            continue  # another call would draw other numbers
        f, arrays = _prepared(case, sample, 1)
        derivative = tg.grad(f, tuple(range(len(arrays))), allow_unused=True)
        others, expected = _eager(derivative, arrays)
        compiled = tg.compile(derivative, backend="native")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            compiled(*(np.array(a, order="C") for a in arrays))
            got = compiled(*others)
        assert not caught, (case.name, [str(w.message) for w in caught])
        assert compiled.traces == 1, case.name
        _compare(got, expected, case.name, "native")
        checked += 1
    assert checked >= (0 if group == "Sampling" else 1)


@pytest.mark.parametrize(("name", "options"), [*OPTIMIZERS, ("LBFGS", {})])
def test_every_optimizer(name: str, options: dict[str, Any]) -> None:
    """Against a control that starts from a weight that is off by one unit in the last place."""
    X = np.random.default_rng(0).normal(size=(12, 16, 5)).astype(np.float32)
    y = (X[..., 0] > X[..., 1]).astype(np.intp)

    def losses(how: str) -> list[float]:
        model = nn.MLP([5, 8, 2], activation="tanh", norm="layer", rng=0)
        if how == "control":
            first = next(iter(model.parameters()))
            first.data[0, 0] = np.nextafter(first.data[0, 0], np.float32(np.inf))
        optimizer = getattr(nn, name)(list(model.parameters()), **options)

        def closure() -> Any:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(closure.X), closure.y)  # type: ignore[attr-defined]
            loss.backward()
            return loss

        def step(X: Any, y: Any) -> Any:
            closure.X, closure.y = X, y  # type: ignore[attr-defined]
            if name == "LBFGS":
                return optimizer.step(closure)
            loss = closure()
            optimizer.step()
            return loss

        run = tg.compile(step, backend="native") if how == "native" else step
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = [float(run(*batch)) for batch in zip(X, y, strict=True)]
        # L-BFGS looks at the loss to choose its next step: it runs uncompiled, and says so.
        assert len(caught) == (how == "native" and name == "LBFGS")
        return found

    eager, native, control = (np.array(losses(how)) for how in ("eager", "native", "control"))
    allowed = 20 * np.maximum.accumulate(np.abs(control - eager)) + 1e-5
    assert np.all(np.abs(native - eager) <= allowed), np.abs(native - eager) / allowed


@pytest.mark.parametrize("layer", [lambda: nn.LSTM(3, 4, rng=0), lambda: nn.GRU(3, 4, rng=0)])
def test_recurrent_layers(layer: Callable[[], Any]) -> None:
    model = layer()
    x = np.random.default_rng(0).normal(size=(3, 2, 5, 3)).astype(np.float32)

    def step(x: Any) -> Any:
        for p in model.parameters():
            p.grad = None
        out = model(x)
        loss = ((out[0] if isinstance(out, tuple) else out) ** 2).sum()
        loss.backward()
        return loss, [p.grad for p in model.parameters()]

    compiled = tg.compile(step, backend="native")
    for each in x:
        loss, gradients = step(each)
        got, found = compiled(each)
        np.testing.assert_allclose(got.data, loss.data, rtol=1e-5)
        for one, other in zip(found, gradients, strict=True):
            np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-4, atol=1e-5)
    assert compiled.traces == 1


@pytest.mark.parametrize("size", [0, 1])
def test_batches_of_no_rows_and_of_one(size: int) -> None:
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 2, rng=1))
    step = tg.compile(lambda x: (model(x), model(x).sum()), backend="native")
    for k in range(3):
        x = np.full((size, 3), k + 0.5, np.float32)
        for got, expected in zip(step(x), step.function(x), strict=True):
            np.testing.assert_allclose(got.data, expected.data, rtol=1e-5, atol=1e-6)


def test_frozen_and_shared_weights() -> None:
    def training() -> tuple[Any, Any]:
        shared = nn.Linear(4, 4, rng=0)
        frozen = nn.Linear(4, 4, rng=1)
        for p in frozen.parameters():
            p.requires_grad = False
        model = nn.Sequential(shared, nn.Tanh(), frozen, nn.Tanh(), shared)
        optimizer = nn.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        return model, step

    (model, step), (other, compiled) = training(), training()
    compiled = tg.compile(compiled, backend="native")
    before = other[2].W.data.copy()
    rng = np.random.default_rng(0)
    for _ in range(10):
        x = rng.normal(size=(6, 4)).astype(np.float32)
        np.testing.assert_allclose(compiled(x).item(), step(x).item(), rtol=1e-4)
    np.testing.assert_array_equal(other[2].W.data, before)
    np.testing.assert_allclose(other[0].W.data, model[0].W.data, atol=1e-4)
    assert other[2].W.grad is None


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_layouts_of_arguments(backend: str) -> None:
    compiled = tg.compile(lambda x: (tg.exp(x) @ x.T).sum(axis=0), backend=backend)
    whole = np.random.default_rng(0).normal(size=(8, 12))
    frozen = whole[:4, :6].copy()
    frozen.flags.writeable = False
    given = [whole[:4, :6], whole[::2, ::2], whole.T[:4, :6], whole[::-1][:4, 5::-1], np.asfortranarray(frozen), frozen]
    for _ in range(2):
        for x in given:
            np.testing.assert_allclose(compiled(x), (np.exp(x) @ x.T).sum(axis=0), rtol=1e-12)


def test_hooks_that_read_values_are_called_in_every_run() -> None:
    seen: list[float] = []
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    w.register_hook(lambda g: tg.host(lambda: seen.append(1.0) or 2.0) * g)

    @tg.compile(backend="native")
    def step(x: Any) -> Any:
        w.grad = None
        loss = (w * x).sum()
        loss.backward()
        return loss

    for _ in range(3):
        step(np.ones(2))
        assert w.grad.tolist() == [2.0, 2.0]
    assert len(seen) == 3
