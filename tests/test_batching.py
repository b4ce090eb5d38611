"""Batching: a fifth reading of every rule, on batches; functions of batches; Jacobians with many rows at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.batching import Batched, new_level
from tensorgrad.engine import walk
from tensorgrad.engine.readings import ARRAYS
from tensorgrad.engine.record import tensor_of
from tensorgrad.engine.writes import tick
from tensorgrad.functional import rows
from tensorgrad.functional.crossing import leave_batch, share
from tensorgrad.namespaces import TENSORS
from tests.closeness import assert_close
from tests.ops.cases import Sample
from tests.test_readings import ROWS, listed, same, seeds

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 4))
A = RNG.normal(size=(6, 4))
FIXED = [row for row in ROWS if not row.id.startswith("random.")]  # draws are the same for all samples


def close(got: Any, expected: Any, tolerance: float = 1e-12) -> None:
    got, expected = (getattr(x, "data", x) for x in (got, expected))
    assert_close(got, expected, tolerance, tolerance)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if rows are computed one by one."""

    def refused(*args: Any) -> Any:
        raise AssertionError("one by one")

    monkeypatch.setattr(rows, "_FEWEST", 2)
    monkeypatch.setattr(rows, "_one_by_one", refused)


def one_by_one(function: Callable[[], Any]) -> Any:
    """Call a function while Jacobians compute their rows one by one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_at_once", lambda out, nodes: 1)
        return function()


def cotangents(result: Any) -> Any:
    parts = RNG.uniform(0.5, 1.5, (2, 3, *result.shape))
    return (parts[0] + 1j * parts[1] if result.dtype.kind == "c" else parts[0]).astype(result.dtype)


# --- every operation of the table -----------------------------------------------------------------------


@pytest.mark.parametrize(("op", "sample"), ROWS)
def test_three_gradients_in_one_walk(op: Any, sample: Sample) -> None:
    leaves = [tg.Tensor(a, requires_grad=True) for a in sample.arrays]
    for result in listed(sample.apply(op, leaves)):
        if not result.requires_grad:
            continue
        seeds, level = cotangents(result), new_level()
        got = walk.backward(result.node, Batched(seeds, level), ARRAYS)
        expected = [walk.backward(result.node, seed, ARRAYS) for seed in seeds]
        for leaf in leaves:
            assert (leaf.node in got) == (leaf.node in expected[0])
            if leaf.node in got:
                assert got[leaf.node].dtype == leaf.dtype
                close(leave_batch(got[leaf.node], 0, level, 3), np.stack([g[leaf.node] for g in expected]), 1e-13)


@pytest.mark.parametrize(("op", "sample"), ROWS)
def test_three_gradients_in_one_recorded_walk(op: Any, sample: Sample) -> None:
    """And the derivatives of these gradients."""
    leaves = [tg.Tensor(a, requires_grad=True) for a in sample.arrays]
    for result in listed(sample.apply(op, leaves)):
        if not result.requires_grad:
            continue
        seeds, level, begun = cotangents(result), new_level(), tick()
        found = walk.backward(result.node, tensor_of(Batched(seeds, level), None), TENSORS)
        got = {node: leave_batch(g, 0, level, 3) for node, g in found.items()}
        share([g.node for g in got.values() if g.requires_grad], (), begun, level, 3)
        each = [walk.backward(result.node, tensor_of(seed, None), TENSORS) for seed in seeds]
        expected = {node: tg.stack([g[node] for g in each]) for node in each[0]}
        second = []
        for gradients in (got, expected):
            for leaf in leaves:
                leaf.grad = None
            for g in gradients.values():
                if g.requires_grad:
                    (g * g).backward(np.ones(g.shape, g.dtype), retain_graph=True)
            second.append([leaf.grad for leaf in leaves])
        same([g.data for g in got.values()], [g.data for g in expected.values()], 1e-13)
        same(*second, 1e-11)


@pytest.mark.parametrize(("op", "sample"), FIXED)
def test_vmap(op: Any, sample: Sample) -> None:
    """Values, and gradients with respect to the samples."""
    batches = [np.stack([a * (1 - 0.01 * i) for i in range(3)]) for a in sample.arrays]

    def f(*xs: Any) -> Any:
        results = sample.apply(op, xs)
        return tuple(results) if isinstance(results, list) else results

    outcomes = []
    for function in (tg.vmap(f), looped(f)):
        leaves = [tg.Tensor(b, requires_grad=True) for b in batches]
        results = listed(function(*leaves))
        for result, seed in zip(results, seeds(results)):
            if result.requires_grad:
                result.backward(seed, retain_graph=True)
        outcomes.append(([r.data for r in results], [leaf.grad for leaf in leaves]))
    same(outcomes[0][0], outcomes[1][0], 1e-13)
    same(outcomes[0][1], outcomes[1][1], 1e-12)


def looped(f: Callable[..., Any]) -> Callable[..., Any]:
    def over(*xs: Any) -> Any:
        each = [listed(f(*(x[i] for x in xs))) for i in range(3)]
        return [tg.stack(parts) for parts in zip(*each, strict=True)]

    return over


# --- functions of arrays ---------------------------------------------------------------------------------

T = RNG.normal(size=(3, 4, 5, 6))
I, J = np.array([0, 2, 1]), np.array([[1], [0]])
MASK = np.array([True, False, True, True])
SINGLE: list[Callable[..., Any]] = [
    lambda x: x[0],
    lambda x: x[..., 0],
    lambda x: x[:, None],
    lambda x: x[1:, ..., ::-1],
    lambda x: x[I],
    lambda x: x[:, I],
    lambda x: x[I, :, I],
    lambda x: x[0, :, I],
    lambda x: x[J, :, I],
    lambda x: x[:, J, None, I],
    lambda x: x[MASK],
    lambda x: x[[0, 1], 0],
    lambda x: np.sum(x, axis=(0, -1), keepdims=True),
    lambda x: np.sum(x, keepdims=True),
    lambda x: np.add.accumulate(x, axis=1),
    lambda x: np.cumsum(x),
    lambda x: np.roll(x, 2),
    lambda x: np.flip(x),
    lambda x: np.argmax(x),
    lambda x: np.median(x, axis=0),
    lambda x: np.fft.fftn(x, (4, 5), (0, 1), "ortho"),
    lambda x: np.fft.fftshift(x),
    lambda x: np.pad(x, 1),
    lambda x: np.multiply(x, 2, dtype=np.float32),
    lambda x: np.add(x, 1, where=x > 0, out=np.zeros_like(x)),
    lambda x: np.add(x, 1, where=MASK[:, None, None], out=np.zeros_like(x)),
    lambda x: np.linalg.slogdet(x[:, :, :5])[1],
    lambda x: np.split(x, 2),
    lambda x: x.T.reshape(-1, 2).mean(axis=0) + x.size + len(x),
    lambda x: np.stack([x, T[0]], axis=-1),
    lambda x: np.concatenate([x, T[0, :2]], axis=None),
]
WITH_INDICES: list[Callable[..., Any]] = [
    lambda x, i: x[i],
    lambda x, i: x[:, i],
    lambda x, i: x[i, :, I],
    lambda x, i: x[i, I],
    lambda x, i: x[:, i, J],
    lambda x, i: x[J, :, i],
    lambda x, i: x[None, :, i],
    lambda x, i: x[..., i],
    lambda x, i: x[0, :, i],
    lambda x, i: x[i[0]],
    lambda x, i: x[:, :, i[1]],
    lambda x, i: np.take(x, i, axis=1),
    lambda x, i: np.take(x, i),
    lambda x, i: x[i > 1] if i.ndim > 1 else x[np.minimum(i, 1)],
    lambda x, i: written(x, (slice(None), i), x[0, :3]),
    lambda x, i: written(x, (i, slice(None), I), x[:3, :, 0], np.add.at),
    lambda x, i: written(x, (I, slice(None), I), x[0, :, 0], np.add.at),
]


def written(x: Any, key: Any, value: Any, write: Any = None) -> Any:
    x = np.copy(x)
    if write is None:
        x[key] = value
    else:
        write(x, key, value)
    return x


@pytest.mark.parametrize("number", range(len(SINGLE)))
def test_a_function_of_a_batch(number: int) -> None:
    f = SINGLE[number]
    for got, expected in zip(listed(f(Batched(T, 1))), zip(*(listed(f(a)) for a in T))):
        close(got.hidden, np.stack(expected))


@pytest.mark.parametrize("number", range(len(WITH_INDICES)))
def test_a_batch_of_indices(number: int) -> None:
    f, indices = WITH_INDICES[number], RNG.integers(0, 4, (3, 3))
    close(f(Batched(T, 1), Batched(indices, 1)).hidden, np.stack([f(a, i) for a, i in zip(T, indices)]))


def test_products_of_batches() -> None:
    a, b, c, d = (RNG.normal(size=(3, *shape)) for shape in [(2, 4, 5), (5, 6), (5,), (4, 5)])
    pairs = [(x, y) for x in (a, c, d) for y in (b, c)]
    for x, y in pairs:
        expected = np.stack([np.matmul(p, q) for p, q in zip(x, y)])
        close(np.matmul(Batched(x, 1), Batched(y, 1)).hidden, expected)
        close(np.matmul(Batched(x, 1), y[0]).hidden, np.stack([np.matmul(p, y[0]) for p in x]))
        close(np.matmul(x[0], Batched(y, 1)).hidden, np.stack([np.matmul(x[0], q) for q in y]))
    square = RNG.normal(size=(3, 5, 5))
    for y in (b, c):
        for m, n in ((Batched(square, 1), Batched(y, 1)), (square[0], Batched(y, 1)), (Batched(square, 1), y[0])):
            close(np.matmul(m, np.linalg.solve(m, n)).hidden, getattr(n, "hidden", n) + np.zeros_like(y))


# --- Jacobians ------------------------------------------------------------------------------------------


def curved(x: Any) -> Any:
    return tg.tanh(A @ x) * x.sum()


JACOBIANS = {
    "jacobian": lambda x: tg.jacobian(curved)(x),
    "hessian": lambda x: tg.hessian(lambda x: (curved(x) ** 2).sum())(x),
    "second": lambda x: tg.jacobian(tg.jacobian(curved))(x),
    "third": lambda x: tg.jacobian(tg.hessian(lambda x: (curved(x) ** 2).sum()))(x),
    "matrix": lambda x: tg.jacobian(lambda w: tg.tanh(w @ A.T).T)(tg.reshape(x, (1, 4)) * np.ones((3, 1))),
    "all the same": lambda x: tg.jacobian(lambda x: x + np.ones(4))(x),
    "nothing": lambda x: tg.jacobian(lambda x: x[:0])(x),
}


@pytest.mark.parametrize("name", JACOBIANS)
@pytest.mark.parametrize("limit", [1, 100, 2**20])
def test_rows_at_once(name: str, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = one_by_one(lambda: JACOBIANS[name](X[0]))
    monkeypatch.setattr(rows, "_BYTES", limit)
    monkeypatch.setattr(rows, "_FEWEST", 2)
    got = JACOBIANS[name](X[0])
    assert not getattr(got, "requires_grad", False)
    close(got, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_jacobian_keeps_dtypes_and_nests(dtype: Any, at_once: None) -> None:
    def f(p: Any) -> Any:
        return tg.sin(p["w"]) * p["b"], p["w"] @ p["w"]

    p = {"w": tg.Tensor([1.0, 2.0], dtype=dtype), "b": tg.Tensor(3.0, dtype=dtype), "unused": tg.Tensor(1.0)}
    (first, second) = tg.jacobian(lambda p: (*f(p)[:1], tg.stack([f(p)[1], p["b"]])))(p)
    assert first["w"].dtype == first["b"].dtype == dtype
    close(first["w"], np.diag(np.cos([1.0, 2.0]) * 3), 1e-6)
    close(second["b"], [0.0, 1.0])
    close(second["unused"], [0.0, 0.0])


@pytest.mark.parametrize("name", list(JACOBIANS)[:4])
def test_a_recorded_jacobian_at_once(name: str, at_once: None) -> None:
    """Its gradient, and the gradient of that, for the argument and for a Tensor that the function closes over."""

    def gradients() -> list[Any]:
        x, w = tg.Tensor(X[0], requires_grad=True), tg.Tensor(A[:4], requires_grad=True)
        loss = (JACOBIANS[name](tg.tanh(w @ x)) ** 2).sum()
        first = tg.jacobian(lambda x: tg.tanh(w @ x))(x)
        (loss * first.sum()).backward(create_graph=True)
        gx, gw = x.grad, w.grad
        x.grad = w.grad = None
        ((gx * gx).sum() + (gw * gw).sum()).backward()
        return [gx.data, gw.data, x.grad, w.grad]

    got = gradients()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_one_by_one", ONE_BY_ONE)
        same(got, one_by_one(gradients), 1e-9)


ONE_BY_ONE = rows._one_by_one


def test_a_hessian_of_200_parameters_at_once(at_once: None) -> None:
    x, y = RNG.normal(size=(32, 10)), RNG.normal(size=(32, 1))

    def loss(p: Any) -> Any:
        h = tg.tanh(x @ p[:150].reshape(10, 15) + p[150:165])
        return tg.mean((h @ p[165:180].reshape(15, 1) + p[180] - y) ** 2) + (p[181:] ** 3).sum()

    p = 0.3 * RNG.normal(size=200)
    got = tg.hessian(loss)(p)
    eps = 1e-6
    for i in (0, 149, 160, 170, 199):
        step = eps * (np.arange(200) == i)
        close(got[i], (tg.grad(loss)(p + step) - tg.grad(loss)(p - step)) / (2 * eps), 1e-7)


def test_a_zero_cotangent_contributes_zero_in_every_row(at_once: None) -> None:
    def f(x: Any) -> Any:
        return tg.where(x.data > 0, tg.log(x), 0.0) * tg.sqrt(x)

    close(tg.jacobian(lambda x: f(x)[1:])(np.array([0.0, 1.0, 4.0]))[:, 1:], np.diag([1.0, 0.25 * np.log(4) + 0.5]))


def test_rules_for_ndarrays_only_and_hooks_see_one_row() -> None:
    seen = []

    def hooked(x: Any) -> Any:
        y = x * x
        y.register_hook(lambda g: seen.append(g.shape) or 2 * g)
        return y

    close(tg.jacobian(hooked)(X[0]), np.diag(4 * X[0]))
    assert seen == [(4,)] * 4

    def scaled(xp: Any, g: Any) -> Any:
        return np.asarray(g) * 2

    close(
        tg.jacobian(lambda x: tg.engine.record.record("twice", lambda a: 2 * a, (x,), (scaled,)))(X[0]), 2 * np.eye(4)
    )


def test_an_error_in_a_rule_is_raised() -> None:
    def wrong(xp: Any, g: Any) -> Any:
        raise ZeroDivisionError("wrong")

    with pytest.raises(ZeroDivisionError, match="wrong"):
        tg.jacobian(lambda x: tg.engine.record.record("wrong", lambda a: 2 * a, (x,), (wrong,)))(X[0])


def test_in_a_compiled_step() -> None:
    step = tg.compile(lambda x: tg.jacobian(curved)(x) + tg.vmap(lambda x: x.sum() * x)(tg.stack([x] * 6)))
    expected = tg.jacobian(curved)(X[0]) + X[0].sum() * X[0]
    for _ in range(3):
        close(step(tg.Tensor(X[0])), expected)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_the_facts_of_arrays_that_are_batched_or_traced(dtype):
    facts = [
        *(np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj),
        *(lambda a: np.size(a, 0), lambda a: np.result_type(a, np.float32)),
        *(lambda a: np.shares_memory(a, a), lambda a: np.may_share_memory(a, np.ones(2))),
    ]
    given, found = np.ones((3, 2), dtype), []

    def note(x):
        found.append([fact(tg.array_of(x)) for fact in facts])
        return x * 2.0

    tg.vmap(note)(given)
    tg.compile(lambda x: note(tg.Tensor(x)))(given)
    assert found == [[fact(array) for fact in facts] for array in (given[0], given)]
