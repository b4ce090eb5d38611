"""An optimiser's update is compiled once it has been called often, with the bits of NumPy."""

import copy
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.compiler import tiers
from tensorgrad.compiler.native import cache

pytest.importorskip("llvmlite")

OPTIMIZERS: dict[str, tuple[type[nn.Optimizer], dict[str, Any]]] = {
    "sgd": (nn.SGD, {}),
    "nesterov": (nn.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}),
    "dampening": (nn.SGD, {"momentum": 0.9, "dampening": 0.3}),
    "adam": (nn.Adam, {"weight_decay": 0.1}),
    "amsgrad": (nn.Adam, {"amsgrad": True}),
    "adamw": (nn.AdamW, {}),
    "rmsprop": (nn.RMSprop, {"centered": True, "momentum": 0.5}),
    "adagrad": (nn.Adagrad, {}),
    "adadelta": (nn.Adadelta, {}),
    "nadam": (nn.NAdam, {}),
    "radam": (nn.RAdam, {}),
    "lion": (nn.Lion, {}),
}


@pytest.fixture(autouse=True)
def at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compile in the third call, natively."""
    monkeypatch.setenv("TENSORGRAD_CACHE", str(tmp_path))
    monkeypatch.setattr("tensorgrad.compiler.often.CALLS", 2)
    monkeypatch.setattr(cache, "_entries", {})
    monkeypatch.setattr(tiers, "_kernels", {})
    for name in ("START", "SWITCH"):
        monkeypatch.setattr(tiers, name, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def made(kind: str, dtype: Any = np.float32) -> Any:
    rng = np.random.default_rng(0)
    cls, options = OPTIMIZERS[kind]
    shapes: list[tuple[int, ...]] = [(300, 250), (33, 7), (5,), ()]  # the first is cut into rows
    return cls([nn.Parameter(rng.normal(size=shape).astype(dtype)) for shape in shapes], **options)


def members(optimizer: Any) -> list[Any]:
    return [param for group in optimizer.param_groups for param in group["params"]]


def give(optimizer: Any, rng: np.random.Generator) -> None:
    for param in members(optimizer):
        size = 10.0 ** rng.integers(-6, 3, size=param.shape)
        param.grad = np.asarray(rng.normal(size=param.shape) * size, param.dtype)


def state(optimizer: Any) -> list[Any]:
    arrays = [a for bucket in optimizer._buckets for a in bucket.state.values()]
    return [*(param.data.copy() for param in members(optimizer)), *(a.copy() for a in arrays)]


def same(one: list[Any], other: list[Any]) -> bool:
    return all(map(np.array_equal, one, other)) and len(one) == len(other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_native_updates_have_the_bits_of_numpy(kind: str, dtype: Any) -> None:
    found = []
    for replayed in (True, False):
        optimizer, rng = made(kind, dtype), np.random.default_rng(1)
        for _ in range(9):
            give(optimizer, rng)
            optimizer.step() if replayed else optimizer._apply()
        found.append(state(optimizer))
        assert not replayed or optimizer._replayed._last().code.native
    assert same(*found)


def test_options_and_missing_gradients_may_change_between_steps() -> None:
    found = []
    for replayed in (True, False):
        optimizer, rng = made("adamw"), np.random.default_rng(1)
        for i in range(24):
            give(optimizer, rng)
            if i % 5 == 4:
                members(optimizer)[1].grad = None
            if i == 10:
                optimizer.param_groups[0]["weight_decay"] = 0.0
            if i == 12:
                optimizer.param_groups[0]["betas"] = (0.8, 0.9)
            if i == 14:
                optimizer.lr *= 0.5
            if i == 16:
                optimizer.load_state_dict(optimizer.state_dict())
            if i == 18:
                extra = nn.Parameter(np.ones(3, np.float32))
                optimizer.add_param_group({"params": [extra], "lr": 0.1})
                give(optimizer, rng)
            optimizer.step() if replayed else optimizer._apply()
        found.append(state(optimizer))
        assert not replayed or optimizer._replayed.traces
    assert same(*found)


def test_a_function_that_changes_in_every_call_is_no_longer_traced() -> None:
    optimizer, rng = made("adamw"), np.random.default_rng(1)
    for i in range(60):
        optimizer.param_groups[0]["weight_decay"] = 0.0
        give(optimizer, rng)
        for k, param in enumerate(members(optimizer)):
            if i >> k & 1:
                param.grad = None
        optimizer.step()
    assert optimizer._replayed.traces <= 8


def ready() -> tuple[Any, np.random.Generator]:
    optimizer, rng = made("adamw"), np.random.default_rng(1)
    for _ in range(5):
        give(optimizer, rng)
        optimizer.step()
    assert optimizer._replayed.traces == 1
    give(optimizer, rng)
    return optimizer, rng


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_refused_and_nothing_changes(value: float) -> None:
    optimizer, rng = ready()
    before = state(optimizer)
    members(optimizer)[3].grad = np.asarray(value, np.float32)
    with pytest.raises(tg.NonFiniteError, match="holds NaN or infinity in 1 of 1"):
        optimizer.step()
    assert same(before, state(optimizer))
    assert optimizer.state_dict()["state"][0]["t"] == 5
    give(optimizer, rng)
    optimizer.step()
    assert optimizer.state_dict()["state"][0]["t"] == 6


def test_what_a_step_refuses_it_refuses_when_compiled() -> None:
    optimizer, _ = ready()
    before = state(optimizer)
    first = members(optimizer)[0]
    first.data.flags.writeable = False
    with pytest.raises(ValueError, match="is read-only"):
        optimizer.step()
    first.data.flags.writeable = True
    optimizer.param_groups[0]["lr"] = -1.0
    with pytest.raises(ValueError, match="lr must be"):
        optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.1
    assert same(before, state(optimizer))
    whole = first.data
    tg.replace_data(first, whole.astype(np.float64))
    with pytest.raises(tg.GraphError, match="float64 now"):
        optimizer.step()
    assert same(before[1:], state(optimizer)[1:])


def test_a_replaced_array_is_updated() -> None:
    optimizer, _ = ready()
    first = members(optimizer)[0]
    old, kept = first.data, first.data.copy()
    first.data = kept.copy()
    optimizer.step()
    assert np.array_equal(old, kept)
    assert not np.array_equal(first.data, kept)


def test_a_graph_that_needs_the_old_numbers_is_told() -> None:
    optimizer, _ = ready()
    first = members(optimizer)[0]
    loss = (first * first).sum()
    optimizer.step()
    with pytest.raises(tg.GraphError, match="AdamW"):
        loss.backward()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_have_no_program(duplicate: Any) -> None:
    optimizer, _ = ready()
    other = duplicate(optimizer)
    assert other._replayed is None
    expected = copy.deepcopy(optimizer)
    other.step()
    expected._apply()
    assert same(state(other), state(expected))


def test_a_class_of_the_users_own_runs_as_it_is() -> None:
    class Noisy(nn.SGD):
        def _decoupled(self, group: Any) -> bool:
            return bool(np.random.default_rng().integers(2))

    optimizer = Noisy([nn.Parameter([1.0])], lr=0.1)
    for _ in range(5):
        optimizer.param_groups[0]["params"][0].grad = [1.0]
        optimizer.step()
    assert optimizer._replayed is None


def test_a_step_without_the_extra_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tensorgrad.compiler.often.has_llvm", lambda: False)

    def update() -> None:
        pass

    assert tg.replayed(update, by="update") is update


def test_native_code_takes_over_sooner_than_in_a_step_of_that_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "SWITCH", 3.0)
    monkeypatch.setattr(tiers, "seconds_of", lambda program: 1.0)
    monkeypatch.setattr(tiers, "compiling_of", lambda program: 5.0)
    optimizer, rng = made("adamw"), np.random.default_rng(1)
    for i in range(8):
        give(optimizer, rng)
        optimizer.step()
        if i >= 2:  # 15 seconds are over in the third run after the trace, since each of a second counts five times
            assert optimizer._replayed._last().code.native == (i >= 5)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_step_that_is_repeated_for_the_second_optimiser_counts_once_for_the_first(kind):
    """The square root's infinite gradient at 0 is repaired, which a compiled step leaves to the uncompiled one."""
    cls, options = OPTIMIZERS[kind]

    def trained(backend: str | None) -> list[Any]:
        p, q = nn.Parameter(np.ones(3)), nn.Parameter(np.array([1.0, 2.0]))
        first, second = cls([p], **options), cls([q], **options)

        def step(x: tg.Tensor) -> tg.Tensor:
            first.zero_grad()
            tg.sum(p * p).backward()
            first.step()
            second.zero_grad()
            loss = tg.sum(tg.where(x > 0, tg.sqrt(x * tg.relu(q) + x), 0.0))
            loss.backward()
            second.step()
            return loss

        run: Any = step if backend is None else tg.compile(step, backend=backend, warn=False)
        for k in range(12):
            run(tg.Tensor(np.array([0.0 if k in (0, 4, 5, 6) else 1.0, 1.0])))
        return [p.data, q.data]

    expected = trained(None)
    for one, other in zip(trained("numpy"), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(trained("native"), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
