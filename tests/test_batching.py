"""Many at once: every operation of the table in a batch, Jacobians by many rows, vmap, gradients of each sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad import walk
from tensorgrad.batching import Batched, Unbatchable, new_level
from tensorgrad.functional import rows
from tensorgrad.functional.crossing import left, share
from tensorgrad.readings import ARRAYS, TENSORS
from tensorgrad.record import handle
from tensorgrad.writes import tick
from tests.ops.cases import Sample
from tests.test_readings import ROWS, listed, same

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 4))
A = RNG.normal(size=(6, 4))
FIXED = [row for row in ROWS if not row.id.startswith("random.")]  # what is drawn is the same for all samples


def close(got: Any, expected: Any, tolerance: float = 1e-12) -> None:
    got, expected = (getattr(x, "data", x) for x in (got, expected))
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where rows are gone through one by one."""

    def refused(*args: Any) -> Any:
        raise AssertionError("one by one")

    monkeypatch.setattr(rows, "_one_by_one", refused)


def one_by_one(function: Callable[[], Any]) -> Any:
    """With a Jacobian's rows gone through one by one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_at_once", lambda out, nodes: 1)
        return function()


def cotangents(result: Any) -> Any:
    return RNG.uniform(0.5, 1.5, (3, *result.shape)).astype(result.dtype)


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
                close(left(got[leaf.node], 0, level, 3), np.stack([g[leaf.node] for g in expected]), 1e-13)


@pytest.mark.parametrize(("op", "sample"), ROWS)
def test_three_gradients_in_one_recorded_walk(op: Any, sample: Sample) -> None:
    """And the derivative of these gradients."""
    leaves = [tg.Tensor(a, requires_grad=True) for a in sample.arrays]
    for result in listed(sample.apply(op, leaves)):
        if not result.requires_grad:
            continue
        seeds, level, begun = cotangents(result), new_level(), tick()
        found = walk.backward(result.node, handle(Batched(seeds, level), None), TENSORS)
        got = {node: left(g, 0, level, 3) for node, g in found.items()}
        share([g.node for g in got.values() if g.requires_grad], (), begun, level, 3)
        each = [walk.backward(result.node, handle(seed, None), TENSORS) for seed in seeds]
        expected = {node: tg.stack([g[node] for g in each]) for node in each[0]}
        second = []
        for gradients in (got, expected):
            for leaf in leaves:
                leaf.grad = None
            for g in gradients.values():
                if g.requires_grad:
                    (g * g).sum().backward(retain_graph=True)
            second.append([leaf.grad for leaf in leaves])
        same([g.data for g in got.values()], [g.data for g in expected.values()], 1e-13)
        same(*second, 1e-11)


@pytest.mark.parametrize(("op", "sample"), FIXED)
def test_vmap(op: Any, sample: Sample) -> None:
    """Values, and gradients for the samples."""
    batches = [np.stack([a * (1 - 0.01 * i) for i in range(3)]) for a in sample.arrays]

    def f(*xs: Any) -> Any:
        results = sample.apply(op, xs)
        return tuple(results) if isinstance(results, list) else results

    outcomes = []
    for function in (tg.vmap(f), looped(f)):
        leaves = [tg.Tensor(b, requires_grad=True) for b in batches]
        results = listed(function(*leaves))
        for result in results:
            if result.requires_grad:
                (result * result).sum().backward(retain_graph=True)
        outcomes.append(([r.data for r in results], [leaf.grad for leaf in leaves]))
    same(outcomes[0][0], outcomes[1][0], 1e-13)
    same(outcomes[0][1], outcomes[1][1], 1e-12)


def looped(f: Callable[..., Any]) -> Callable[..., Any]:
    def over(*xs: Any) -> Any:
        each = [listed(f(*(x[i] for x in xs))) for i in range(3)]
        return [tg.stack(parts) for parts in zip(*each, strict=True)]

    return over


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
    got = JACOBIANS[name](X[0])
    assert not got.requires_grad
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
    """Its gradient, and the gradient of that, for the argument and for what the function sees from outside."""

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
        close(got.data[i], (tg.grad(loss)(p + step).data - tg.grad(loss)(p - step).data) / (2 * eps), 1e-7)


def test_a_zero_cotangent_contributes_zero_in_every_row(at_once: None) -> None:
    def f(x: Any) -> Any:
        return tg.where(x.data > 0, tg.log(x), 0.0) * tg.sqrt(x)

    close(tg.jacobian(lambda x: f(x)[1:])(np.array([0.0, 1.0, 4.0]))[:, 1:], np.diag([1.0, 0.25 * np.log(4) + 0.5]))


def test_rules_that_know_ndarrays_only_and_hooks_see_one_row() -> None:
    seen = []

    def hooked(x: Any) -> Any:
        y = x * x
        y.register_hook(lambda g: seen.append(g.shape) or 2 * g)
        return y

    close(tg.jacobian(hooked)(X[0]), np.diag(4 * X[0]))
    assert seen == [(4,)] * 4

    def scaled(xp: Any, g: Any) -> Any:
        return np.asarray(g) * 2

    close(tg.jacobian(lambda x: tg.record.record("twice", lambda a: 2 * a, (x,), (scaled,)))(X[0]), 2 * np.eye(4))


def test_an_error_in_a_rule_is_raised() -> None:
    def wrong(xp: Any, g: Any) -> Any:
        raise ZeroDivisionError("wrong")

    with pytest.raises(ZeroDivisionError, match="wrong"):
        tg.jacobian(lambda x: tg.record.record("wrong", lambda a: 2 * a, (x,), (wrong,)))(X[0])


def test_in_a_compiled_step() -> None:
    step = tg.compile(lambda x: tg.jacobian(curved)(x) + tg.vmap(lambda x: x.sum() * x)(tg.stack([x] * 6)))
    expected = tg.jacobian(curved)(X[0]).data + X[0].sum() * X[0]
    for _ in range(3):
        close(step(tg.Tensor(X[0])), expected)


# --- vmap -----------------------------------------------------------------------------------------------


def test_axes_and_nests() -> None:
    def f(p: Any, x: Any, *, power: int) -> Any:
        return {"a": (p["w"] * x) ** power, "b": [x.sum(), None], "c": 1.0}

    got = tg.vmap(f, in_axes=(1, 0))({"w": A.T}, A, power=2)
    close(got["a"], (A * A) ** 2)
    close(got["b"][0], A.sum(axis=1))
    assert got["b"][1] is None
    close(got["c"], np.ones(6))
    close(tg.vmap(f, in_axes=(None, -1))({"w": 2.0}, A.T, power=1)["a"], 2 * A)
    close(tg.vmap(f, (None, 0))({"w": A[0]}, A, power=1)["a"], A[0] * A)
    close(tg.vmap(lambda x: x.data > 0)(A), A > 0)


def test_what_is_seen_from_outside_is_the_same_for_all_samples() -> None:
    w = tg.Tensor(A, requires_grad=True)
    v = tg.tanh(w)
    loss = (tg.vmap(lambda x: tg.tanh(v @ x))(X) ** 2).sum()
    loss.backward()
    got, w.grad = w.grad, None
    (tg.tanh(X @ tg.tanh(w).T) ** 2).sum().backward()
    close(got, w.grad)


def test_derivatives_inside_and_outside() -> None:
    w = tg.Tensor(A[:4], requires_grad=True)

    def f(x: Any) -> Any:
        return tg.tanh(w @ x).sum() ** 2

    for inner in (tg.grad(f), tg.jacobian(lambda x: tg.tanh(w @ x)), tg.hessian(f)):
        outcomes = []
        for over in (tg.vmap(inner), lambda xs, inner=inner: tg.stack([inner(xs[i]) for i in range(5)])):
            w.grad = None
            xs = tg.Tensor(X, requires_grad=True)
            result = over(xs)
            (result**2).sum().backward(create_graph=True)
            first = [xs.grad, w.grad]
            xs.grad = w.grad = None
            sum((g * g).sum() for g in first).backward()
            outcomes.append([result.data, *(g.data for g in first), xs.grad, w.grad])
        same(*outcomes, 1e-9)


def test_a_batch_in_a_batch() -> None:
    w = tg.Tensor(A[:4], requires_grad=True)
    pairs = tg.vmap(lambda a: tg.vmap(lambda b: (w @ a * b).sum())(X[:3]))(X)
    close(pairs, X @ w.data.T @ X[:3].T)
    (pairs**2).sum().backward()
    got, w.grad = w.grad, None
    ((X @ w.T @ X[:3].T) ** 2).sum().backward()
    close(got, w.grad)
    close(tg.vmap(lambda a: tg.vmap(lambda i: a[i])(np.array([2, 0])))(X), X[:, [2, 0]])
    close(tg.vmap(lambda i: tg.vmap(lambda a: a[i])(X))(np.array([2, 0])), X[:, [2, 0]].T)


def test_a_decision_by_value_is_made_for_each_sample() -> None:
    def f(x: Any) -> Any:
        return x * 2 if x[0].item() > 0 else -x

    xs = tg.Tensor(X, requires_grad=True)
    result = tg.vmap(f)(xs)
    close(result, np.where(X[:, :1] > 0, 2 * X, -X))
    result.sum().backward()
    close(xs.grad, np.where(X[:, :1] > 0, 2.0, -1.0) * np.ones(4))
    close(tg.vmap(lambda x: x if x.sum() > -100 else -x)(X), X)


def test_writing_in_place() -> None:
    def f(x: Any) -> Any:
        y = x * 1
        y[np.array([0, 2])] = x[0] * 3
        z = tg.Tensor(np.zeros(4))
        z[1] = y[0]
        return y * 2 + z

    xs = tg.Tensor(X, requires_grad=True)
    got = tg.vmap(f)(xs)
    (got**2).sum().backward()
    g, xs.grad = xs.grad, None
    expected = tg.stack([f(xs[i]) for i in range(5)])
    (expected**2).sum().backward()
    close(got, expected)
    close(g, xs.grad)


def test_tables_and_labels() -> None:
    table, at = tg.Tensor(A, requires_grad=True), np.array([[1, 1], [5, 0], [2, 3]])
    got = tg.vmap(lambda i: table[i].sum(axis=0) + tg.take(table, i, axis=0)[0])(at)
    got.sum().backward()
    close(got, A[at].sum(axis=1) + A[at[:, 0]])
    close(table.grad, np.bincount([*at.ravel(), *at[:, 0]], minlength=6)[:, None] * np.ones(4))
    with pytest.raises(IndexError, match="out of bounds"):
        tg.vmap(lambda i: table[i])(np.array([1, 6]))


def test_no_samples_and_refusals() -> None:
    assert tg.vmap(lambda x: tg.tanh(x).sum())(np.zeros((0, 4))).shape == (0,)
    with pytest.raises(tg.ShapeError, match="argument 0 has 5 samples, argument 1 has 6"):
        tg.vmap(lambda x, y: x)(X, A)
    with pytest.raises(tg.ShapeError, match=r"vmap \(argument 0\): axis 2"):
        tg.vmap(lambda x: x, in_axes=2)(X)
    with pytest.raises(ValueError, match=r"in_axes .* 2 positional"):
        tg.vmap(lambda x, y: x, in_axes=(0,))(X, X)
    with pytest.raises(ValueError, match="no argument holds samples"):
        tg.vmap(lambda x: x, in_axes=None)(X)
    with pytest.raises(Unbatchable, match="differs within a batch of 2"):
        bool(Batched(np.array([0.0, 1.0]), new_level()))
    with pytest.raises(Unbatchable, match="cannot be written into one array"):
        np.add(Batched(np.ones((3, 2)), new_level()), 1.0, out=np.ones(2))


def test_drawn_and_recorded_for_drawings() -> None:
    xs = tg.Tensor(X, requires_grad=True)
    with tg.record_graph():
        loss = tg.vmap(lambda x: (tg.tanh(x) ** 2).sum())(xs).sum()
        loss.backward()
    assert "tanh" in str(tg.draw(loss))
    assert "vmap" in str(tg.draw(tg.jacobian(curved)(tg.Tensor(X[0], requires_grad=True)).sum(), backward=True))


# --- gradients of samples -------------------------------------------------------------------------------


def sample_loss(model: Any) -> Callable[..., Any]:
    """The loss of one sample, of the parameters as a dict."""
    names = [name for name, _ in model.named_parameters()]

    def loss(p: Any, x: Any, label: Any) -> Any:
        assert list(p) == names
        weights = list(p.values())
        h = x[None]
        for w, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            h = tg.relu(nn.functional.linear(h, w, b))
        return nn.functional.cross_entropy(nn.functional.linear(h, *weights[-2:]), label[None])

    return loss


def test_each_sample_of_an_mlp() -> None:
    model = nn.MLP([4, 8, 8, 3], rng=0)
    loss = sample_loss(model)
    p = {name: parameter.astype(np.float64).detach() for name, parameter in model.named_parameters()}
    labels = RNG.integers(0, 3, 5)
    got = tg.per_sample_grad(loss)(p, X, labels)
    for i in range(5):
        expected = tg.grad(loss)(p, X[i], labels[i : i + 1].reshape(()))
        for name in p:
            close(got[name][i], expected[name])
            assert not got[name].requires_grad


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "sigmoid", "tanh", "softplus", "log_sigmoid"])
@pytest.mark.parametrize("loss", ["mse_loss", "l1_loss", "huber_loss", "binary_cross_entropy_with_logits"])
def test_each_sample_through_activations_and_losses(name: str, loss: str) -> None:
    def f(w: Any, x: Any, t: Any) -> Any:
        return getattr(nn.functional, loss)(getattr(tg, name)(w @ x), t)

    targets = RNG.uniform(0, 1, (5, 6))
    got = tg.per_sample_grad(f)(A, X, targets)
    close(got, np.stack([tg.grad(f)(A, X[i], targets[i]).data for i in range(5)]))


def test_each_sample_through_batch_norm() -> None:
    norm = nn.BatchNorm(4).eval()
    parameters = list(norm.parameters())

    def f(w: Any, x: Any) -> Any:
        return (norm(w @ x[None].T @ np.ones((1, 4))) ** 2).sum()

    got = tg.per_sample_grad(f)(A, X)
    with tg.no_grad():
        close(got, np.stack([tg.grad(f)(A, X[i]).data for i in range(5)]))
    assert all(p.grad is None for p in parameters)
    norm.train()
    with pytest.raises(tg.ShapeError, match="training needs more than 1 row"):
        tg.per_sample_grad(lambda w, x: norm((w * x)[None]).sum())(A[0], X)


def test_several_parameters_and_axes() -> None:
    def f(x: Any, w: Any, b: Any) -> Any:
        return tg.tanh(w @ x + b).sum()

    gw, gb = tg.per_sample_grad(f, argnums=(1, -1))(X, A, np.zeros(6))
    each = [tg.grad(f, argnums=(1, 2))(x, A, np.zeros(6)) for x in X]
    close(gw, np.stack([w.data for w, _ in each]))
    close(gb, np.stack([b.data for _, b in each]))
    close(tg.per_sample_grad(f, 1, in_axes=(1, None, None))(X.T, A, np.zeros(6)), gw)
    close(tg.per_sample_grad(lambda w, x: w @ w)(A[0], X), np.tile(2 * A[0], (5, 1)))


@pytest.mark.peer
def test_beside_torch() -> None:
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    model = nn.MLP([4, 8, 8, 3], rng=0)
    p = {name: parameter.astype(np.float64).detach() for name, parameter in model.named_parameters()}
    labels = RNG.integers(0, 3, 5)

    def loss(p: Any, x: Any, label: Any) -> Any:
        weights = list(p.values())
        h = x[None]
        for w, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            h = torch.relu(h @ w + b)
        return F.cross_entropy(h @ weights[-2] + weights[-1], label[None])

    theirs = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(
        {name: torch.tensor(t.data) for name, t in p.items()}, torch.tensor(X), torch.tensor(labels)
    )
    ours = tg.per_sample_grad(sample_loss(model))(p, X, labels)
    for name in p:
        close(ours[name], theirs[name].numpy())
