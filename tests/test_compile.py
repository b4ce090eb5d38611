"""Compiled steps: the same bits as uncompiled ones, which run where a step cannot be compiled."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pytest
from sklearn.datasets import load_digits

import nn
import tensorgrad as tg

DIGITS = load_digits(return_X_y=True)


def batches(count: int, size: int = 64, dtype: Any = np.float32) -> Iterator[tuple[Any, Any]]:
    X, y = DIGITS
    X = ((X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-6)).astype(dtype)
    rng = np.random.default_rng(0)
    for _ in range(count):
        part = rng.permutation(len(X))[:size]
        yield X[part], y[part]


class Training:
    """A model, its optimiser and a training step, eager and compiled."""

    def __init__(self, optimizer: Callable[..., Any] = nn.AdamW, **settings: Any) -> None:
        settings = {"activation": "relu", "norm": "batch", "init": "he_normal", **settings}
        self.model = nn.MLP([64, 32, 32, 10], rng=0, **settings)
        self.optimizer = optimizer(self.model.parameters(), lr=1e-2)
        self.compiled = tg.compile(self.step)

    def step(self, X: Any, y: Any) -> tg.Tensor:
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(X), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def state(self) -> dict[str, bytes]:
        tensors = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        return {name: np.ascontiguousarray(t.data).tobytes() for name, t in tensors.items()}


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        (nn.AdamW, {}),
        (nn.AdamW, {"dtype": np.float64}),
        (nn.Adam, {"activation": "sigmoid", "norm": None, "init": "lecun_normal"}),
        (
            lambda p, lr: nn.SGD(p, lr=lr, momentum=0.9, nesterov=True, weight_decay=1e-3),
            {"activation": "tanh"},
        ),
        (nn.AdamW, {"dropout": 0.2, "activation": "leaky_relu"}),
    ],
)
def test_equal_bits_over_100_steps(optimizer: Any, settings: dict[str, Any]) -> None:
    eager, compiled = Training(optimizer, **settings), Training(optimizer, **settings)
    dtype = settings.get("dtype", np.float32)
    for number, (X, y) in enumerate(batches(100, dtype=dtype)):
        eager.optimizer.lr = compiled.optimizer.lr = 1e-2 * 0.98**number
        one, other = eager.step(X, y), compiled.compiled(X, y)
        assert one.data.tobytes() == other.data.tobytes(), f"loss of step {number}"
        assert one.dtype == other.dtype
    assert eager.state() == compiled.state()
    assert compiled.compiled.traces == 1
    for (name, p), (_, q) in zip(eager.model.named_parameters(), compiled.model.named_parameters(), strict=True):
        assert p.grad.tobytes() == q.grad.tobytes(), name


def _added_up(v):
    t = tg.zeros(3)
    t += v
    return t * 2


def _counted(v):
    counts = np.zeros(3)
    np.add.at(counts, [0, 0, 1], v)
    return tg.asarray(counts) * 2


def _copied(v):
    t = tg.zeros(3)
    np.copyto(t, v, where=np.array([True, False, True]))
    return t


def _set(v):
    t = tg.ones(3)
    t[1:] = v[:2]
    t[0] += v[2]
    return {"t": t, "again": [t]}


def _through_a_view(v):
    t = tg.full((2, 2), 1.5)
    t[0, 1] = v[0]
    u = t.T
    u[0] *= v[1]
    return u


def _array(v):
    a = np.ones((2, 3))
    row = a[1]
    row += tg.asarray(v)
    return a


def _uninitialised(v):
    t = tg.empty(3)
    t[...] = v
    return t + 1


@pytest.mark.parametrize("step", [_added_up, _counted, _copied, _set, _through_a_view, _array, _uninitialised])
def test_arrays_that_a_step_makes_begin_anew_in_every_run(step):
    compiled = tg.compile(step)
    kept = []
    for k in range(4):
        v = np.array([1.0, 2.0, 3.0]) + k
        kept.append((compiled(v), step(v)))
    assert compiled.traces == 1
    for got, expected in kept:  # what was returned is not written to by later runs
        got, expected = (tree["t"] if isinstance(tree, dict) else tree for tree in (got, expected))
        np.testing.assert_array_equal(np.asarray(got), np.asarray(expected))


@pytest.mark.parametrize(
    "transform",
    [
        tg.grad(tg.sin),
        tg.grad(tg.grad(tg.sin)),
        tg.hessian(tg.sin),
        tg.jacobian(lambda x: tg.stack([tg.sin(x), x * x])),
        lambda x: tg.value_and_grad(tg.sin)(x),
        lambda x: tg.grad(lambda d: d["a"] ** 2 * d["b"])({"a": x, "b": 2.0})["a"],
        lambda x: tg.jvp(tg.sin, (x,), (2.0,)),
        lambda x: tg.hvp(tg.sin, (x,), (x,)),
    ],
)
@pytest.mark.parametrize("kind", [float, np.float64, np.array])
def test_transforms_of_numbers(transform, kind):
    compiled = tg.compile(transform)
    for x in (0.5, 0.7, -1.0):
        got, expected = compiled(kind(x)), transform(kind(x))
        for a, b in zip(np.atleast_1d(got), np.atleast_1d(expected), strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-15)
    assert compiled.traces == 1


INDICES = np.array([0, 2, 0])


def _set_by_indices(v):
    y = v * 1
    y[[0, 1]] = v[[1, 2]] ** 2
    return (y**2).sum()


@pytest.mark.parametrize(
    "f",
    [
        lambda v: (v[[0, 2, 0]] ** 3).sum(),
        lambda v: (v[INDICES] ** 3).sum(),
        lambda v: (v[np.array([True, False, True])] ** 3).sum(),
        lambda v: (tg.take(v, [0, 2, 0]) ** 3).sum(),
        lambda v: (tg.take_along_axis(v, INDICES, axis=0) ** 3).sum(),
        lambda v: (tg.repeat(v, [1, 2, 0]) ** 3).sum(),
        lambda v: (v.reshape(3, 1)[np.array([[0, 1], [2, 2]])] ** 3).sum(),
        lambda v: (tg.scatter_add(tg.zeros(3), INDICES, v) ** 3).sum(),
        lambda v: (tg.sort(v) ** 3 * np.arange(3)).sum(),
        lambda v: tg.gumbel_softmax(v, rng=0)[0],
        _set_by_indices,
    ],
)
@pytest.mark.parametrize("transform", [tg.grad, tg.hessian])
def test_derivatives_through_index_arrays(f, transform):
    compiled = tg.compile(transform(f))
    for v in (np.array([1.0, 2.0, 3.0]), np.array([3.5, 2.5, 0.5])):
        np.testing.assert_allclose(compiled(v), transform(f)(v), rtol=1e-13)
    assert compiled.traces == 1


def test_a_compiled_function_inside_vmap():
    f = tg.compile(lambda x: tg.sin(x) * 2)
    x = np.arange(6.0).reshape(3, 2)
    np.testing.assert_allclose(tg.vmap(f)(x), np.sin(x) * 2, rtol=1e-15)
    np.testing.assert_allclose(tg.vmap(tg.grad(lambda x: f(x).sum()))(x), np.cos(x) * 2, rtol=1e-15)
    np.testing.assert_array_equal(f(x), f.function(x))


def test_arrays_from_outside_keep_what_was_written():
    total, counts, held = tg.zeros(3), np.zeros(3), {"sum": np.zeros(3)}

    def step(v):
        shared = tg.asarray(counts)  # another Tensor on the same memory
        np.add(total, v, out=tg.writes_to(total, by="step"))
        np.add.at(counts, [0, 0, 1], v)
        np.add(held["sum"], v, out=held["sum"])
        return shared + 0

    compiled = tg.compile(step)
    for k in range(1, 4):
        np.testing.assert_array_equal(compiled(np.ones(3)).data, [2.0 * k, k, 0])
    np.testing.assert_array_equal(total.data, [3, 3, 3])
    np.testing.assert_array_equal(held["sum"], [3, 3, 3])


def test_the_learning_rate_matters() -> None:
    """A planted mistake for the test above: a step that froze its learning rate would differ."""
    eager, compiled = Training(), Training()
    for number, (X, y) in enumerate(batches(3)):
        eager.optimizer.lr = 1e-2 * 0.5**number
        eager.step(X, y)
        compiled.compiled(X, y)
    assert eager.state() != compiled.state()


def test_new_shapes_dtypes_and_modes_are_traced() -> None:
    eager, compiled = Training(dropout=0.1), Training(dropout=0.1)
    sizes = [64, 64, 7, 64, 7, 33]
    for number, size in enumerate(sizes):
        ((X, y),) = batches(1, size)
        for training in (eager, compiled):
            training.model.train(number != 3)
        assert eager.step(X, y).item() == compiled.compiled(X, y).item()
    assert eager.state() == compiled.state()
    assert compiled.compiled.traces == 4  # 64, 7 and 33 images; 64 in evaluation mode
    ((X, y),) = batches(1, dtype=np.float64)
    with pytest.warns(RuntimeWarning, match="computes in float64"):
        compiled.compiled(X, y)
    assert compiled.compiled.traces == 5


def test_the_source_is_a_readable_program() -> None:
    training = Training()
    with pytest.raises(tg.GraphError, match="first call"):
        _ = training.compiled.source
    ((X, y),) = batches(1)
    training.compiled(X, y)
    source = training.compiled.source
    assert "def step(arg0, arg1):" in source
    assert "np.matmul(arg0, " in source
    assert "out=b" in source
    assert "# backward of matmul" in source
    assert "AdamW" in source
    compile(source, "program", "exec")
    # straight-line: no loop, no branch
    assert not any(line.strip().startswith(("for ", "while ", "if ")) for line in source.splitlines())


def test_what_a_step_returns_is_not_overwritten() -> None:
    training = Training()
    kept = []
    for X, y in batches(4):
        loss = training.compiled(X, y)
        gradient = next(iter(training.model.parameters())).grad
        kept.append((loss, loss.item(), gradient, gradient.copy()))
    for loss, value, gradient, copy in kept:
        assert loss.item() == value
        assert np.array_equal(gradient, copy)


def test_results_may_be_nested_and_arguments_may_be_numbers() -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)

    @tg.compile
    def step(batch: dict[str, Any], scale: float, power: int) -> Any:
        y = (w * batch["x"] * scale) ** power
        return {"sum": y.sum(), "parts": [y, batch["x"]], "power": power}

    for scale, power in [(1.0, 2), (0.5, 2), (0.5, 3)]:
        x = np.array([3.0, 4.0]) + scale
        result = step({"x": x}, scale, power)
        expected = (w.data * x * scale) ** power
        assert np.array_equal(result["parts"][0].data, expected)
        assert result["sum"].item() == expected.sum()
        assert np.array_equal(result["parts"][1], x)
        assert result["power"] == power
    assert step.traces == 2


def test_a_parameters_array_may_be_replaced() -> None:
    training, other = Training(), Training()
    stream = list(batches(4))
    for X, y in stream[:2]:
        training.compiled(X, y)
        other.step(X, y)
    for t in (training, other):
        for p in t.model.parameters():
            p.data = p.data * np.float32(0.5)
    for X, y in stream[2:]:
        assert training.compiled(X, y).item() == other.step(X, y).item()
    assert training.compiled.traces == 1


def test_a_bad_label_raises_in_every_run_and_changes_nothing() -> None:
    training = Training()
    stream = list(batches(2))
    training.compiled(*stream[0])
    X, y = stream[1]
    bad = y.copy()
    bad[3] = 11
    weights = {name: p.data.copy() for name, p in training.model.named_parameters()}
    with pytest.raises(IndexError, match="label 11"):
        training.compiled(X, bad)
    for name, p in training.model.named_parameters():
        assert np.array_equal(p.data, weights[name])


def test_a_gradient_that_is_not_finite_raises() -> None:
    training = Training(norm=None)
    stream = list(batches(2))
    training.compiled(*stream[0])
    X = stream[1][0].copy()
    X[0, 20] = np.nan
    weights = {name: p.data.copy() for name, p in training.model.named_parameters()}
    nan = pytest.warns(RuntimeWarning, match="starts from a loss that is nan")
    with nan, pytest.raises(tg.NonFiniteError, match=r"AdamW.step: the gradient of 'layers"):
        training.compiled(X, stream[1][1])
    for name, p in training.model.named_parameters():
        assert np.array_equal(p.data, weights[name])


def test_an_earlier_graph_detects_the_step() -> None:
    training = Training()
    stream = list(batches(3))
    training.compiled(*stream[0])
    loss = nn.functional.cross_entropy(training.model(stream[1][0]), stream[1][1])
    training.compiled(*stream[2])
    with pytest.raises(tg.InplaceError, match="compiled step"):
        loss.backward()


def uncompiled(words: str) -> Any:
    return pytest.warns(RuntimeWarning, match=f"ran uncompiled .*{words}")


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_a_number_of_each_run_decides_which_row_is_read_and_written(backend: str) -> None:
    """The row is a view, which begins at another place in each run; so is a view of it."""
    if backend == "native":
        pytest.importorskip("llvmlite")

    def made(transform: Callable[[Any], Any]) -> tuple[Any, Any]:
        table, state, rows = np.arange(90.0).reshape(3, 30), np.arange(90.0).reshape(3, 30), itertools.cycle(range(3))

        @transform
        def step(x: Any) -> Any:
            number = tg.host(lambda: next(rows))
            products, row = np.multiply(tg.array_of(table), x)[number], tg.array_of(state)[number]
            np.add(row, 1.0, out=row)
            ends = np.sort(row[::-1])[:2]
            return np.multiply(products, 2.0), np.square(row[None, :5]), np.add(ends, 1.0), np.exp(np.multiply(x, 0.1))

        return step, state

    (eager, expected_state), (compiled, state) = made(lambda f: f), made(lambda f: tg.compile(f, backend=backend))
    for _ in range(5):
        for got, expected in zip(compiled(np.ones(30)), eager(np.ones(30)), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-12)
        np.testing.assert_array_equal(state, expected_state)
    assert compiled.traces == 1


@pytest.mark.parametrize(
    "look", [lambda t: t.item(), lambda t: bool(t > 0), lambda t: float(t.data), int, lambda t: int(t.data)]
)
def test_a_step_that_reads_a_value_runs_uncompiled_and_says_so_once(look: Callable[[Any], Any]) -> None:
    drawn = np.random.default_rng(0)
    count = np.zeros(1)

    @tg.compile
    def step(x: Any) -> Any:
        noise = tg.host(lambda: drawn.normal(size=2))
        np.add(tg.array_of(count), 1, out=tg.array_of(count))
        y = tg.sum(tg.Tensor([1.0, 2.0]) * x)
        look(y)
        return y * noise

    expected = np.random.default_rng(0)
    with uncompiled("tracing"):
        np.testing.assert_array_equal(step(np.ones(2)).data, 3 * expected.normal(size=2))
    for _ in range(2):
        np.testing.assert_array_equal(step(np.ones(2)).data, 3 * expected.normal(size=2))
    assert count.tolist() == [3.0]
    assert step.traces == 0


def test_a_traced_run_that_fails_is_undone_where_arrays_share_memory() -> None:
    whole = np.zeros(4)
    part = whole[1:3]

    def step(x: Any) -> float:
        np.add(tg.array_of(whole), x, out=tg.array_of(whole))
        np.multiply(tg.array_of(part), 3.0, out=tg.array_of(part))
        return float(x.sum())

    with uncompiled("tracing"):
        assert tg.compile(step)(np.ones(4)) == 4.0
    assert whole.tolist() == [1.0, 3.0, 3.0, 1.0]


def test_what_cannot_be_traced() -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    store: list[Any] = []

    def rebinding(x: Any) -> Any:
        loss = (w * x).sum()
        w.data = tg.array_of(w) * 2.0
        return loss

    def storing(x: Any) -> Any:
        store.append(w * x)
        return x

    x = np.ones(2)
    with uncompiled("in place"):
        assert tg.compile(rebinding)(x).item() == 3.0
    assert w.data.tolist() == [2.0, 4.0]
    tg.compile(storing)(x)
    with pytest.raises(tg.GraphError, match="only the return value of a compiled step may be kept"):
        store[0] + 1
    with pytest.raises(TypeError, match="expects a function, got int"):
        tg.compile(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got set"):
        tg.compile(lambda t: t)({1, 2})


def test_a_method_may_be_compiled() -> None:
    class Trainer:
        def __init__(self, factor: float) -> None:
            self.factor = tg.Tensor([factor])

        @tg.compile
        def step(self, x: Any) -> Any:
            return (self.factor * x).sum()

    one, two = Trainer(2.0), Trainer(3.0)
    for x in (np.ones(2), np.arange(2.0)):
        assert (one.step(x).item(), two.step(x).item()) == (2 * x.sum(), 3 * x.sum())
    assert Trainer.step.traces == 2


def test_threads_share_a_step() -> None:
    w = tg.Tensor(np.arange(1000.0))

    @tg.compile
    def step(x: Any) -> Any:
        y = w * x
        for _ in range(20):
            y = y + x
        return y.sum()

    step(np.zeros(1000))
    xs = [np.full(1000, float(i)) for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        results = [result.item() for result in pool.map(step, xs)]
    assert results == [(np.arange(1000.0) * x + 20 * x).sum() for x in xs]


def test_programs_are_bounded_and_the_argument_is_named() -> None:
    step = tg.compile(lambda x, n: x * n)
    x = tg.Tensor([1.0])
    for n in range(31):
        step(x, n)
    with pytest.warns(RuntimeWarning, match="the argument 'n'; pass a number that changes in every call as a float"):
        step(x, 31)
    for n in range(32, 80):
        assert step(x, n).item() == n
        assert step(x, 5).item() == 5  # used all the time, so kept
    assert step.traces == 80
    assert sum(map(len, step._runs.values())) == 32
    step(x, 1)  # was dropped
    assert step.traces == 81


def test_many_shapes_name_their_argument() -> None:
    step = tg.compile(lambda one, *, rows: rows * one)
    for n in range(1, 32):
        step(1.0, rows=np.ones(n))
    with pytest.warns(RuntimeWarning, match="the argument 'rows'"):
        step(1.0, rows=np.ones(32))


def test_a_gradient_that_has_to_be_repaired_runs_uncompiled_once() -> None:
    w = tg.Tensor([1.0, 4.0], requires_grad=True)
    count, mean = tg.Tensor([0.0]), tg.Tensor([0.0])
    dice = {True: np.random.default_rng(1), False: np.random.default_rng(1)}

    def step(x: Any, compiled: bool) -> Any:
        w.grad = None
        noise = tg.host(lambda: dice[compiled].normal(size=2))
        tg.writes_to(count, "step")[...] += 1.0
        tg.writes_to(mean, "step")[...] += tg.array_of(x).mean()
        loss = tg.where(x > 0, tg.sqrt(w * x), 0.0).sum() + (w * noise).sum()
        loss.backward()
        return loss

    compiled = tg.compile(step)
    inputs = [np.array(x) for x in ([1.0, 2.0], [0.0, 1.0], [3.0, 0.0], [2.0, 2.0])]
    results = []
    for number, x in enumerate(inputs):
        if number == 1:
            with uncompiled("a call of a compiled step: a gradient was not finite and had to be repaired"):
                loss = compiled(x, True)
        else:
            loss = compiled(x, True)
        results.append((loss.item(), w.grad.tolist(), count.item(), mean.item()))
    count.data[...] = mean.data[...] = 0.0
    for x, result in zip(inputs, results, strict=True):
        loss = step(x, False)
        assert (loss.item(), w.grad.tolist(), count.item(), mean.item()) == result
    assert compiled.traces == 1


def test_a_gradient_that_has_to_be_repaired_in_the_first_call() -> None:
    w = tg.Tensor([1.0, 4.0], requires_grad=True)
    count = tg.Tensor([0.0])

    def step(x: Any) -> Any:
        tg.writes_to(count, "step")[...] += 1.0
        tg.where(x > 0, tg.sqrt(w * x), 0.0).sum().backward()

    compiled = tg.compile(step)
    with uncompiled("had to be repaired"):
        compiled(np.array([0.0, 1.0]))
    assert w.grad.tolist() == [0.0, 0.25]
    compiled(np.array([1.0, 1.0]))  # adds to the gradient
    compiled(np.array([1.0, 0.0]))
    assert w.grad.tolist() == [1.0, 0.5]
    assert count.item() == 3.0
    f = lambda a: tg.exp(tg.linalg.slogdet(a)[1])  # its Hessian needs a repair at regular matrices as well
    matrix = np.array([[2.0, 1.0], [0.5, 3.0]])
    with uncompiled("had to be repaired"):
        got = tg.compile(tg.hessian(f))(matrix)
    np.testing.assert_allclose(got, tg.hessian(f)(matrix), rtol=1e-12)


def _helper(x: Any) -> Any:
    return x * 2.0


class _Doubling(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * 2.0


def test_an_edited_function_is_traced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = _Doubling()
    step = tg.compile(lambda x: _helper(layer(x)))
    assert step(np.ones(1)).item() == 4.0
    assert step(np.ones(1)).item() == 4.0
    monkeypatch.setitem(globals(), "_helper", lambda x: x * 3.0)  # the cell with the helper was run again
    assert step(np.ones(1)).item() == 6.0
    monkeypatch.setattr(_Doubling, "forward", lambda self, x: x * 5.0)  # as %autoreload does
    assert step(np.ones(1)).item() == 15.0
    assert step.traces == 3

    def own(x: Any) -> Any:
        return x + 1.0

    step = tg.compile(own)
    assert step(np.ones(1)).item() == 2.0
    own.__code__ = (lambda x: x + 2.0).__code__
    assert step(np.ones(1)).item() == 3.0


def test_without_edits_only_the_step_itself_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def own(x: Any) -> Any:
        return _helper(x)

    step = tg.compile(edits=False)(own)
    assert step(np.ones(1)).item() == 2.0
    monkeypatch.setitem(globals(), "_helper", lambda x: x * 3.0)
    assert step(np.ones(1)).item() == 2.0
    own.__code__ = (lambda x: x + 2.0).__code__
    assert step(np.ones(1)).item() == 3.0


def test_second_order_and_views() -> None:
    w = tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)

    def step(x: Any) -> Any:
        w.grad = None
        y = ((w.T @ x).reshape(-1)[::2] ** 3).sum()
        y.backward(create_graph=True)
        penalty = (w.grad * w.grad).sum()
        w.grad = None
        penalty.backward()
        return penalty, w.grad

    compiled = tg.compile(step)
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=(2, 2))
        expected, gradient = step(x)
        result, got = compiled(x)
        assert result.item() == expected.item()
        assert np.array_equal(got, gradient)


# --- what changes between runs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["b0", "b1", "t2", "arg0", "n0", "constant", "lambda", "np", "step", "_require_finite"]
)
def test_names_do_not_collide_with_the_programs(name: str) -> None:
    w = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True, name=name)

    def step(x: Any) -> Any:
        w.grad = None
        h = w * x + 1.0
        loss = ((h * h) * 2.0 - x).sum()
        loss.backward()
        return loss

    compiled = tg.compile(step)
    for k in (1.0, 2.0, 3.0):
        expected = step(np.full(3, k)).item()
        assert compiled(np.full(3, k)).item() == expected
    assert w.data.tolist() == [1.0, 2.0, 3.0]


def test_gradients_accumulate_and_may_come_from_outside() -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)

    @tg.compile
    def micro(x: Any) -> Any:
        loss = (w * x).sum()
        loss.backward()
        return loss

    for _ in range(2):
        for count in range(1, 5):
            micro(np.full(2, float(count)))
        assert w.grad.tolist() == [10.0, 10.0]
        w.grad = None
    assert micro.traces == 2  # for the first gradient of a sum, and for the others

    @tg.compile
    def update() -> None:
        tg.writes_to(w, "update")[...] -= tg.array_of(w.grad)

    for k in (1.0, 10.0):
        w.data[...] = 0.0
        w.grad = None
        (w * k).sum().backward()
        update()
        assert w.data.tolist() == [-k, -k]


def test_a_gradient_cleared_in_the_step_is_cleared_in_every_run() -> None:
    a, b = (tg.Tensor([1.0], requires_grad=True) for _ in range(2))

    @tg.compile
    def step(x: Any) -> Any:
        a.grad = b.grad = None
        loss = (a * x).sum()
        loss.backward()
        return loss

    for _ in range(3):
        b.grad = np.ones(1)
        step(np.ones(1))
        assert b.grad is None


def test_a_number_is_not_compared_while_tracing() -> None:
    @tg.compile
    def step(x: Any, p: float) -> Any:
        return x * 0.0 if p == 0.0 else x * p

    with uncompiled("tracing"):
        assert step(np.ones(2), 2.0).tolist() == [2.0, 2.0]
    assert step(np.ones(2), 0.0).tolist() == [0.0, 0.0]


def test_a_shape_that_depends_on_values_is_detected() -> None:
    masked = tg.compile(lambda x: x[x > 0].mean())
    assert masked(tg.Tensor([1.0, 2.0, 3.0])).item() == 2.0
    assert masked(tg.Tensor([4.0, 2.0, 3.0])).item() == 3.0
    with uncompiled(r"a call .*shape \(1,\).*tg.where"):
        assert masked(tg.Tensor([1.0, -2.0, -3.0])).item() == 1.0
    assert masked(tg.Tensor([1.0, -2.0, -3.0])).item() == 1.0
    assert masked(tg.Tensor([4.0, 2.0, 3.0])).item() == 3.0
    assert masked.traces == 1
    sizes = iter([3, 3, 1, 3])
    drawn = tg.compile(lambda x: x * tg.host(lambda: np.ones(next(sizes))))
    drawn(tg.Tensor([1.0, 2.0, 3.0]))
    drawn(tg.Tensor([1.0, 2.0, 3.0]))
    with uncompiled(r"shape \(1,\)"):
        assert drawn(tg.Tensor([1.0, 2.0, 3.0])).shape == (3,)
    assert list(sizes) == [3]  # what had been drawn was used


def test_a_tensor_made_in_the_step_is_made_anew_in_every_run() -> None:
    def step(x: Any) -> Any:
        total = tg.Tensor(np.zeros(3))
        for i in range(3):
            total[0] = total[0] + x[i]
        return total

    compiled = tg.compile(step)
    for k in (1.0, 2.0, 3.0):
        x = tg.Tensor(np.full(3, k))
        assert compiled(x).data.tolist() == step(x).data.tolist() == [3 * k, 0.0, 0.0]


def test_freezing_and_hooks_are_detected() -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)

    @tg.compile
    def step(x: Any) -> Any:
        w.grad = None
        loss = (w * x).sum()
        if w.requires_grad:
            loss.backward()
        return loss

    step(np.ones(2))
    remove = w.register_hook(lambda g: 10 * g)
    step(np.ones(2))
    assert w.grad.tolist() == [10.0, 10.0]
    remove()
    step(np.ones(2))
    assert w.grad.tolist() == [1.0, 1.0]
    w.requires_grad = False
    step(np.ones(2))
    assert w.grad is None


def test_the_tracing_run_logs_its_writes() -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    y = (w * w).sum()

    @tg.compile
    def update(x: Any) -> None:
        tg.writes_to(w, "update")[...] = x

    update(np.array([5.0, 5.0]))
    with pytest.raises(tg.InplaceError):
        y.backward()


@pytest.mark.parametrize("read", [lambda w: w.item(), float, lambda w: 1.0 if w else 2.0])
def test_the_value_of_a_captured_tensor_is_not_frozen(read: Callable[[Any], Any]) -> None:
    w = tg.Tensor([2.0])
    step = tg.compile(lambda x: x * read(w))
    with uncompiled("tracing"):
        step(tg.Tensor([1.0]))
    w.data[...] = 0.0
    assert step(tg.Tensor([1.0])).item() == read(tg.Tensor([0.0]))


def test_a_failed_trace_leaves_nothing_behind() -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)

    @tg.compile
    def step(x: Any) -> Any:
        w.grad = None
        (w * x).sum().backward()
        raise KeyError("mistake")

    with pytest.raises(KeyError):
        step(np.ones(2))
    assert isinstance(w.grad, np.ndarray)
    assert (w.grad + 1).tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("p", 0.9), ("momentum", 0.1), ("eps", 1.0), ("unbiased", False), ("negative_slope", 0.5)],
)
def test_settings_of_layers_are_watched(attribute: str, value: Any) -> None:
    trainings = [Training(dropout=0.5, activation="leaky_relu") for _ in range(2)]
    for X, y in batches(3):
        assert trainings[0].step(X, y).item() == trainings[1].compiled(X, y).item()
        for training in trainings:
            for module in training.model.modules():
                if hasattr(module, attribute):
                    setattr(module, attribute, value)
    assert trainings[0].state() == trainings[1].state()


class Pair(NamedTuple):
    left: Any
    right: Any


def test_kinds_of_arguments_and_results() -> None:
    step = tg.compile(lambda pair, n, flag: Pair(pair.left * n, {"r": pair.right if flag else 0}))
    for k in (1.0, 2.0):
        result = step(Pair(tg.Tensor([k]), np.ones(1)), np.int64(3), np.bool_(True))
        assert type(result) is Pair
        assert result.left.data.tolist() == [3 * k]
        assert result.right["r"].tolist() == [1.0]
    assert step.traces == 1

    @tg.compile
    def written(x: Any, p: float) -> Any:
        y = x * 1.0
        y[0] = p
        return y

    for p in (1.0, 5.0):
        assert written(tg.Tensor([7.0, 8.0]), p).data.tolist() == [p, 8.0]


def test_array_methods_are_traced() -> None:
    @tg.compile
    def accuracy(scores: Any, labels: Any) -> Any:
        return (scores.argmax(axis=1) == labels).mean()

    rng = np.random.default_rng(0)
    for _ in range(3):
        scores, labels = rng.normal(size=(20, 3)), rng.integers(0, 3, 20)
        result = accuracy(scores, labels)
        assert isinstance(result, np.float64)
        assert result == (scores.argmax(axis=1) == labels).mean()
    with uncompiled("indivisible"):
        assert tg.compile(lambda a: a.tolist())(np.ones(2)) == [1.0, 1.0]


@pytest.mark.parametrize("switch", [tg.debug, tg.record_graph])
def test_it_runs_uncompiled_where_operations_are_looked_at(switch: Any) -> None:
    calls: list[int] = []

    @tg.compile
    def step(x: Any) -> Any:
        calls.append(1)
        return tg.log(x) * 2.0

    for _ in range(2):
        step(np.ones(1))
    with switch():
        assert step(np.ones(1)).item() == 0.0
    step(np.ones(1))
    assert len(calls) == 2
    assert step.traces == 1


def test_debug_mode_finds_what_a_compiled_step_computes() -> None:
    step = tg.compile(lambda x: tg.exp(tg.log(x)))
    step(np.ones(1))
    assert step(np.zeros(1)).item() == 0.0
    with tg.debug(), pytest.raises(tg.NonFiniteError, match="log produced 1 infinity"):
        step(np.zeros(1))


def test_warnings_can_be_left_out() -> None:
    def step(x: Any) -> Any:
        return x * 2.0 if x.sum() > 0 else x

    with pytest.warns(RuntimeWarning, match="ran uncompiled"):
        tg.compile(step)(np.ones(2))
    assert tg.compile(step, warn=False)(np.ones(2)).tolist() == [2.0, 2.0]
    assert tg.compile(warn=False)(step)(-np.ones(2)).tolist() == [-1.0, -1.0]


def test_a_graph_from_outside() -> None:
    w = tg.Tensor([1.0], requires_grad=True)
    h = tg.tanh(w)
    with uncompiled("recorded outside"):
        tg.compile(lambda x: h * x)(np.ones(1)).backward()
    np.testing.assert_allclose(w.grad, 1 - np.tanh(1.0) ** 2)


def test_every_function_that_writes_is_followed() -> None:
    w = tg.Tensor([1.0, 2.0, 3.0])

    def step(x: Any) -> Any:
        np.putmask(tg.writes_to(w, "step"), np.array([True, False, True]), x)
        return w * 1.0

    compiled = tg.compile(step)
    for value in (5.0, 7.0):
        np.testing.assert_array_equal(compiled(np.full(3, value)).data, [value, 2.0, value])
        np.testing.assert_array_equal(w.data, [value, 2.0, value])


def test_a_step_that_only_clears_gradients_clears_them_in_every_run():
    w = tg.Tensor([1.0, 2.0], requires_grad=True)

    @tg.compile
    def step(x):
        w.grad = None
        return x * 2

    for _ in range(3):
        w.grad = np.ones(2)
        step(np.ones(2))
        assert w.grad is None


def test_a_graph_recorded_before_a_failed_trace_knows_of_its_writes():
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    old = (w * w).sum()

    @tg.compile
    def step(x):
        tg.writes_to(w, by="step")[...] += tg.array_of(x)
        raise KeyError("after the write")

    with pytest.raises(KeyError):
        step(tg.Tensor(np.ones(2)))
    with pytest.raises(tg.InplaceError):
        old.backward()


def test_a_captured_array_of_another_shape_is_traced_again():
    w = tg.Tensor([1.0, 2.0])
    step = tg.compile(lambda x: (w * x).sum())
    assert step(3.0).item() == 9
    tg.replace_data(w, np.array([1.0, 2.0, 4.0]))
    assert step(3.0).item() == 21
    tg.replace_data(w, np.array([[1.0], [2.0]]))
    assert step(3.0).item() == 9


def test_the_name_and_docstring_of_a_compiled_function_are_its_own():
    @tg.compile
    def doubled(x):
        """Twice x."""
        return x * 2

    assert (doubled.__name__, doubled.__doc__) == ("doubled", "Twice x.")


def test_an_infinite_gradient_is_that_of_the_uncompiled_step_without_an_optimiser():
    w = tg.Tensor([0.0, 1.0], requires_grad=True)

    @tg.compile
    def step(x):
        w.grad = None
        (tg.sqrt(w) * x).sum().backward()

    with pytest.warns(RuntimeWarning, match="ran uncompiled a call of a compiled step: a gradient was not finite"):
        step(np.ones(2))
    np.testing.assert_array_equal(w.grad, [np.inf, 0.5])


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "all", "any", "mean"])
def test_an_axis_by_position(name):
    """In code of the step's own, on the arrays."""
    function = getattr(np, name)
    x = np.random.default_rng(0).normal(size=(2, 3)) > 0 if name in ("all", "any") else np.arange(6.0).reshape(2, 3)

    @tg.compile
    def step(t):
        a = tg.array_of(t)
        return function(a), function(a, 0), function(a, 1), function(a, axis=1), function(a, axis=0, keepdims=True)

    expected = function(x), function(x, 0), function(x, 1), function(x, axis=1), function(x, axis=0, keepdims=True)
    for _ in range(3):
        for got, want in zip(step(tg.Tensor(x)), expected, strict=True):
            np.testing.assert_array_equal(got, want)
    assert step.traces == 1
