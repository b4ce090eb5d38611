"""Compiled steps as native code: the results of uncompiled ones, and the same state after whatever goes wrong."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .nn.test_layers_compiled import image_model, text_model
from .programs import RandomStep
from .test_compile import Training, batches

pytest.importorskip("llvmlite")


def segments(compiled: Any) -> list[str]:
    """The calls of native code in a program."""
    return re.findall(r"run_segment\d+", compiled.source)


def close(one: Any, other: Any) -> None:
    one, other = np.asarray(one), np.asarray(other)
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
    np.testing.assert_allclose(one, other, rtol=1e-4 if one.dtype == np.float32 else 1e-10, atol=1e-30)


@pytest.mark.parametrize("seed", range(50))
def test_random_steps(seed):
    step = RandomStep(seed, length=4 + seed % 16)
    compiled = tg.compile(step, backend="native")
    for _ in range(2):
        arguments = step.arguments()
        for _ in range(3):
            step.reset()
            eager = [np.array(a) for a in step(*[a.copy() for a in arguments])]
            after = [a.copy() for a in step.state]
            step.reset()
            got = compiled(*[a.copy() for a in arguments])
            for one, other in zip(got, eager, strict=True):
                close(one, other)
            for one, other in zip(step.state, after, strict=True):
                close(one, other)
    assert compiled.traces == 1


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        (nn.AdamW, {}),
        (nn.AdamW, {"dtype": np.float64}),
        (nn.Adam, {"activation": "sigmoid", "norm": None, "init": "lecun_normal"}),
        (lambda p, lr: nn.SGD(p, lr=lr, momentum=0.9, nesterov=True, weight_decay=1e-3), {"activation": "tanh"}),
        (nn.AdamW, {"dropout": 0.2, "activation": "leaky_relu"}),
        (lambda p, lr: nn.AdamW([{"params": p[:2]}, {"params": p[2:], "weight_decay": 0.0}], lr=lr), {"norm": "layer"}),
    ],
)
def test_training(optimizer: Any, settings: dict[str, Any]) -> None:
    def made() -> Training:
        return Training(lambda p, lr: optimizer(list(p), lr=lr), **settings)

    eager, native, control = made(), made(), made()
    native.compiled = tg.compile(native.step, backend="native")
    first = next(iter(control.model.parameters()))
    first.data[...] = np.nextafter(first.data, first.dtype.type(np.inf))  # what rounding may do to this training
    for number, (X, y) in enumerate(batches(30, dtype=settings.get("dtype", np.float32))):
        for training in (eager, native, control):
            training.optimizer.lr = 1e-3 * 0.98**number
        expected, got, other = eager.step(X, y).item(), native.compiled(X, y).item(), control.compiled(X, y).item()
        epsilon = np.finfo(settings.get("dtype", np.float32)).eps
        assert abs(got - expected) <= 20 * abs(other - expected) + 100 * epsilon
    assert native.compiled.traces == 1
    assert 1 <= len(segments(native.compiled)) <= 3
    left = [line for line in native.compiled.source.splitlines() if "np.add" in line or "np.multiply" in line]
    assert len(left) <= 2
    for (name, p), (_, q) in zip(eager.model.named_parameters(), native.model.named_parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, atol=2e-3, err_msg=name)


def test_a_failed_check_leaves_the_state_of_an_uncompiled_step() -> None:
    eager, native = Training(dropout=0.1), Training(dropout=0.1)
    native.compiled = tg.compile(native.step, backend="native")
    stream = list(batches(3))
    for X, y in stream[:2]:
        eager.step(X, y)
        native.compiled(X, y)
    before = native.state()
    X = stream[2][0].copy()
    X[0, 20] = np.nan
    for step in (eager.step, native.compiled):
        with (
            pytest.warns(RuntimeWarning, match=r"not updated|starts from a loss"),
            pytest.raises(tg.NonFiniteError, match=r"AdamW.step: the gradient of 'layers"),
        ):
            step(X, stream[2][1])
    assert native.state() == before
    bad = stream[2][1].copy()
    bad[3] = 11
    for step in (eager.step, native.compiled):
        with pytest.raises(IndexError, match="label 11"):
            step(stream[2][0], bad)
    one, other = eager.step(*stream[2]).item(), native.compiled(*stream[2]).item()
    assert abs(one - other) < 1e-5  # masks were drawn as often in both, and as many updates counted
    assert [b.numbers for b in eager.optimizer._buckets] == [b.numbers for b in native.optimizer._buckets]


def test_a_check_that_fails_after_another_update() -> None:
    """The first of two optimisers has moved its parameter when the second one finds that a gradient is infinite."""
    results = []
    for backend in ("eager", "native"):
        one, two = (nn.Parameter(np.ones(3)) for _ in range(2))
        first, second = nn.SGD([one], lr=0.1), nn.SGD([two], lr=0.1)

        def step(x: Any, one: Any = one, two: Any = two, first: Any = first, second: Any = second) -> Any:
            first.zero_grad()
            second.zero_grad()
            (one * x).sum().backward()
            first.step()
            second.zero_grad()
            two.grad = tg.array_of(one) * x
            second.step()

        run = step if backend == "eager" else tg.compile(step, backend="native")
        run(np.ones(3))
        run(np.ones(3))
        with (
            pytest.raises(tg.NonFiniteError, match=r"SGD.step: the gradient of 'parameter 0'"),
            np.errstate(all="ignore"),
        ):
            run(np.array([1e308, -1e308, 1e308]) * 1.7)
        results.append((one.data.copy(), two.data.copy()))
    np.testing.assert_array_equal(*(one for one, _ in results))
    np.testing.assert_array_equal(*(two for _, two in results))


def test_an_argument_that_is_written_to_and_shares_memory_with_another() -> None:
    def step(x: Any, y: Any) -> Any:
        before = np.multiply(y, 2.0)
        np.add(x, 1.0, out=x)
        return np.add(before, y)

    compiled = tg.compile(step, backend="native")
    for _ in range(2):
        x = np.arange(5.0)
        expected = step(x, x[:])
        x = np.arange(5.0)
        np.testing.assert_array_equal(compiled(x, x[:]), expected)


def test_a_call_reads_what_a_segment_of_its_own_has_written() -> None:
    """The sum does not fit into the segment that made x, because of the view; the call must wait for the next one."""

    def step(x: Any) -> Any:
        x, y = np.multiply(x, 1.5), np.multiply(x, x)
        np.add(x, np.swapaxes(y, 0, 1), out=x)
        return tg.indivisible(np.copy)(x)

    compiled = tg.compile(step, backend="native")
    for k in range(3):
        x = np.arange(9.0).reshape(3, 3) + k
        np.testing.assert_array_equal(compiled(x), 1.5 * x + (x * x).T)
    assert len(compiled._last().code._segments) == 2


def test_arguments_that_native_code_cannot_read() -> None:
    state = np.ones(8)

    def step(x: Any) -> Any:
        np.add(tg.array_of(state), 1.0, out=tg.array_of(state))
        return np.multiply(x, 2.0) + tg.array_of(state).sum()

    compiled = tg.compile(step, backend="native")
    x = np.arange(8.0)
    compiled(x)
    assert segments(compiled)
    raw = np.zeros(8 * 8 + 1, np.uint8)
    unaligned = raw[1:].view(np.float64)
    unaligned[...] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    for given in (unaligned, state, frozen, x):
        state[...] = np.arange(8.0)
        # The argument is read after the write: if it is the state, it has the state's new numbers.
        expected = np.arange(8.0) * 2 + 36.0 + (2.0 if given is state else 0.0)
        np.testing.assert_array_equal(compiled(given), expected)
    assert compiled.traces == 1


def test_what_a_step_returns_is_not_overwritten_while_it_is_held() -> None:
    compiled = tg.compile(lambda x: (x * 2.0, x + 1.0), backend="native")
    x = np.ones(1000)
    kept = [compiled(x * k)[0] for k in range(10)]
    view = compiled(x * 10)[0][3:5]
    for k in range(20):
        compiled(x * k)
    assert [a[0] for a in kept] == [2.0 * k for k in range(10)]
    assert view.tolist() == [20.0, 20.0]
    places = {compiled(x)[0].__array_interface__["data"][0] for _ in range(10)}
    assert len(places) <= 3


def test_replaced_parameters() -> None:
    eager, native = Training(dtype=np.float64), Training(dtype=np.float64)
    native.compiled = tg.compile(native.step, backend="native")
    stream = list(batches(6, dtype=np.float64))
    for number, (X, y) in enumerate(stream):
        if number == 2:
            for training in (eager, native):
                for p in training.model.parameters():
                    p.data = p.data * 0.5
        if number == 4:  # now they share memory with something else, at another place in it
            for training in (eager, native):
                whole = np.zeros((70, 32))
                weights = next(iter(training.model.parameters()))
                whole[3:67] = weights.data
                tg.replace_data(weights, whole[3:67])
        assert abs(eager.step(X, y).item() - native.compiled(X, y).item()) < 1e-8
    assert native.compiled.traces == 2


@pytest.mark.parametrize("trained", [0.0, 6.0])
def test_straight_line_forms(trained: float) -> None:
    """Functions that look at values have native forms: near-certain classes and a batch that is not finite as well."""
    logits, y = np.random.default_rng(0).normal(size=(6, 3)), np.array([0, 2, 1, 1, 0, 2])
    logits[np.arange(6), y] += trained
    w = tg.Tensor(np.ones(3), requires_grad=True)

    def step(x: Any, labels: Any) -> Any:
        w.grad = None
        loss = nn.functional.cross_entropy(w * x, labels)
        loss.backward()
        return loss

    compiled = tg.compile(step, backend="native")
    for k in range(3):
        got = compiled(logits + k, y).item(), w.grad.tolist()
        expected = step(logits + k, y).item(), w.grad.tolist()
        np.testing.assert_allclose(got[0], expected[0], rtol=1e-12)
        np.testing.assert_allclose(got[1], expected[1], rtol=1e-12)
    assert "_spared" not in compiled.source
    assert "_hot" not in compiled.source
    for labels, position in ([0, 2, 1, 1, 0, 3], 5), ([0, 2, -1, 1, 0, 2], 2):
        with pytest.raises(IndexError, match=f"at position {position} is out of range for 3 classes"):
            compiled(logits, np.array(labels))


def test_running_statistics_are_left_alone_by_a_batch_that_is_not_finite() -> None:
    layer = nn.BatchNorm(2)
    step = tg.compile(lambda x: layer(x), backend="native")
    x = np.array([[1.0, 2.0], [3.0, 5.0]], np.float32)
    step(x)
    step(x)
    assert "_blended" not in step.source
    other = nn.BatchNorm(2)
    for _ in range(2):
        other(x)
    np.testing.assert_allclose(layer.running_var.data, other.running_var.data, rtol=1e-6)
    before = layer.running_mean.data.copy(), layer.running_var.data.copy()
    with pytest.warns(RuntimeWarning, match="running statistics were not updated|ran uncompiled"):
        step(x * np.array([np.nan, 1.0], np.float32))
    np.testing.assert_array_equal(layer.running_mean.data, before[0])
    np.testing.assert_array_equal(layer.running_var.data, before[1])


def test_threads_share_a_step() -> None:
    w = tg.Tensor(np.arange(1000.0))

    @tg.compile(backend="native")
    def step(x: Any) -> Any:
        y = w * x
        for _ in range(20):
            y = y + x
        return y.sum()

    step(np.zeros(1000))
    xs = [np.full(1000, float(i)) for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        results = [result.item() for result in pool.map(step, xs)]
    np.testing.assert_allclose(results, [(np.arange(1000.0) * x + 20 * x).sum() for x in xs], rtol=1e-12)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.maximum(x[:, None], x[None, :]).sum(axis=0),
        lambda x: np.concatenate([x * 2, x[::-1], np.exp(x)]) + 1.0,
        lambda x: np.where(x > 0, x, -x).max() - x.min(),
        lambda x: (x.reshape(2, 3).T @ x.reshape(2, 3)).reshape(-1)[1:5] * 2.0,
        lambda x: np.multiply(x.reshape(3, 2, 1), x.reshape(1, 2, 3)).sum(axis=(0, 2)),
        lambda x: np.add.reduce(x * x, axis=0, initial=10.0) / x.size,
        lambda x: (x.reshape(3, 2).T * 2.0).copy().reshape(-1) - x,
        lambda x: np.isfinite(x / np.where(x > 0.5, x, 0.0)) & (x != 2.0),
        lambda x: x.astype(np.float32) * np.float32(3) + x,
        lambda x: np.broadcast_to(x.sum(keepdims=True), (4, 1)) * 1.5,
    ],
)
def test_expressions(f: Callable[[Any], Any]) -> None:
    compiled = tg.compile(f, backend="native")
    for x in (np.array([1.0, -2.0, 3.0, 0.5, 2.0, -1.0]), np.array([0.0, np.inf, -3.0, np.nan, 2.0, -0.0])):
        for _ in range(2):
            with np.errstate(all="ignore"):
                close(compiled(x), f(x))
    assert segments(compiled)


def test_elementwise_operations_have_the_bits_of_numpy() -> None:
    def f(x: Any, y: Any) -> Any:
        return ((x * y + x) / (y - 0.3) - np.sqrt(np.abs(x))) * np.maximum(x, y)

    compiled = tg.compile(f, backend="native")
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        x, y = rng.normal(size=(2, 50, 7)).astype(dtype)
        compiled(x, y)
        np.testing.assert_array_equal(compiled(x, y), f(x, y))


def test_the_backend_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="backend must be one of 'auto', 'numpy', 'native', got 'fast'"):
        tg.compile(np.sin, backend="fast")
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    with pytest.raises(ImportError, match=r"pip install 'tensorgrad-np\[native\]'"):
        tg.compile(np.sin, backend="native")


@pytest.mark.parametrize("kind", ["image", "text"])
def test_layers_of_all_kinds(kind: str) -> None:
    pytest.importorskip("scipy")

    def training() -> tuple[Any, Any]:
        model = image_model() if kind == "image" else text_model()
        optimizer = nn.AdamW(model.parameters(), lr=1e-4)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = (model(x) * np.arange(3, dtype=np.float32)).sum()
            loss.backward()
            optimizer.step()
            return loss

        return model, step

    (model, step), (other, compiled) = training(), training()
    compiled = tg.compile(compiled, backend="native")
    rng = np.random.default_rng(1)
    for _ in range(4):
        x = rng.normal(2, 3, (6, 2, 8, 8)).astype(np.float32) if kind == "image" else rng.integers(0, 9, (6, 5))
        np.testing.assert_allclose(compiled(x).item(), step(x).item(), rtol=2e-4, atol=1e-4)
    assert compiled.traces == 1
    assert segments(compiled)
    for (name, p), (_, q) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, atol=1e-3, err_msg=name)


def test_the_error_state_of_numpy_is_that_of_the_caller_unless_numpy_computes() -> None:
    seen: list[Any] = []

    def rate() -> float:
        seen.append(np.geterr())
        return 0.5

    def plain(x: Any) -> Any:
        return tg.sum(tg.exp(x) * tg.host(rate))

    def mixed(x: Any) -> Any:
        return tg.sum(tg.exp2(tg.exp(x)) * tg.host(rate))

    with np.errstate(all="raise"):
        for step in (plain, mixed):
            compiled = tg.compile(step, backend="native")
            for _ in range(3):
                assert compiled(np.array([1.0, 100.0, 1e3])) == np.inf
            assert segments(compiled)
            assert np.geterr()["over"] == "raise"
        assert [state["over"] for state in seen[:3]] == ["raise"] * 3
    assert "np.exp2" in compiled.source


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_host_functions_keep_their_order_and_early_ones_do_not_wait_for_checks(backend: str) -> None:
    """An early one runs before a check that fails, any other only after it."""
    count, seen = [0], []

    def advance() -> int:
        count[0] += 1
        seen.append("advance")
        return count[0]

    def read() -> float:
        seen.append("read")
        return 10.0 * count[0]

    state = np.zeros(3)

    def step(x: Any, y: Any) -> Any:
        first = tg.host(advance)
        loss = nn.functional.cross_entropy(x, y)  # checks the labels
        tens = tg.host(read, early=True)
        memory = tg.array_of(state)
        memory[...] = np.multiply(x[0], tens + first)
        second = tg.host(advance)
        return loss, np.add(memory, second), np.add(x, tg.host(read, early=True))

    compiled, x, y = tg.compile(step, backend=backend), np.full((2, 3), 2.0), np.array([0, 2])
    for k in range(3):
        seen.clear()
        for got, expected in zip(
            compiled(x, y), (np.log(3), 22.0 * (2 * k + 1) + 2 * k + 2, 20.0 * k + 22), strict=True
        ):
            np.testing.assert_allclose(got, expected)
        assert seen == ["advance", "read", "advance", "read"]
    np.testing.assert_allclose(state, 110.0)
    seen.clear()
    with pytest.raises(IndexError, match="label 7"):
        compiled(x, np.array([0, 7]))
    assert seen == ["advance", "read"][: 2 if backend == "native" else 1]
    assert count == [7]
    np.testing.assert_allclose(state, 110.0)


@pytest.mark.parametrize("name", ["AdamW", "SGD", "Lion", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta"])
def test_a_training_step_is_one_native_call(name: str) -> None:
    training = Training()
    training.optimizer = getattr(nn, name)(training.model.parameters(), lr=1e-3, weight_decay=1e-2)
    compiled = tg.compile(training.step, backend="native")
    for X, y in batches(8):  # RAdam's first steps are others
        compiled(X, y)
    assert segments(compiled) == ["run_segment0"]
    body = compiled.source.partition("def step")[2]
    assert body.index("call") < body.index("run_segment0") < body.rindex("call")
