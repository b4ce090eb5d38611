"""vmap: a function of one sample on a batch; per_sample_grad: the gradient of each sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.batching import Batched, new_level
from tensorgrad.errors import Unbatchable
from tests.test_batching import close, curved
from tests.test_readings import same

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 4))
A = RNG.normal(size=(6, 4))


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


def test_closed_over_tensors_are_shared_by_all_samples() -> None:
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


def test_nested_batches() -> None:
    w = tg.Tensor(A[:4], requires_grad=True)
    pairs = tg.vmap(lambda a: tg.vmap(lambda b: (w @ a * b).sum())(X[:3]))(X)
    close(pairs, X @ w.data.T @ X[:3].T)
    (pairs**2).sum().backward()
    got, w.grad = w.grad, None
    ((X @ w.T @ X[:3].T) ** 2).sum().backward()
    close(got, w.grad)
    close(tg.vmap(lambda a: tg.vmap(lambda i: a[i])(np.array([2, 0])))(X), X[:, [2, 0]])
    close(tg.vmap(lambda i: tg.vmap(lambda a: a[i])(X))(np.array([2, 0])), X[:, [2, 0]].T)


def test_a_branch_on_a_value_is_taken_per_sample() -> None:
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
    with pytest.raises(Unbatchable, match="cannot be written to a single array"):
        np.add(Batched(np.ones((3, 2)), new_level()), 1.0, out=np.ones(2))


def test_drawings_and_record_graph() -> None:
    xs = tg.Tensor(X, requires_grad=True)
    with tg.record_graph():
        loss = tg.vmap(lambda x: (tg.tanh(x) ** 2).sum())(xs).sum()
        loss.backward()
    assert "tanh" in str(tg.draw(loss))
    assert "vmap" in str(tg.draw(tg.jacobian(curved)(tg.Tensor(X[0], requires_grad=True)).sum(), backward=True))


# --- per-sample gradients -------------------------------------------------------------------------------


def sample_loss(model: Any) -> Callable[..., Any]:
    """The loss of one sample, as a function of a dict of parameters."""
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
    close(got, np.stack([tg.grad(f)(A, X[i], targets[i]) for i in range(5)]))


def test_each_sample_through_batch_norm() -> None:
    norm = nn.BatchNorm(4, dtype=np.float64).eval()
    parameters = list(norm.parameters())

    def f(w: Any, x: Any) -> Any:
        return (norm(w @ x[None].T @ np.ones((1, 4))) ** 2).sum()

    got = tg.per_sample_grad(f)(A, X)
    with tg.no_grad():
        close(got, np.stack([tg.grad(f)(A, X[i]) for i in range(5)]))
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


def test_a_module_as_parameters() -> None:
    model = nn.MLP([4, 8, 3], dtype=np.float64, rng=0)
    labels = RNG.integers(0, 3, 5)

    def loss(model: Any, x: Any, label: Any) -> Any:
        return nn.functional.cross_entropy(model(x[None]), label[None])

    got = tg.per_sample_grad(loss)(model, X, labels)
    recorded = tg.vmap(tg.grad(loss), (None, 0, 0))(model, X, labels)
    assert list(got) == [name for name, _ in model.named_parameters()]
    for i in range(5):
        expected = tg.grad(loss)(model, X[i], labels[i : i + 1].reshape(()))
        for name in got:
            close(got[name][i], expected[name], 1e-6)
            close(recorded[name][i], expected[name], 1e-6)
            assert recorded[name].requires_grad
    (tg.vmap(model)(X) ** 2).sum().backward()
    got_grads = [p.grad for p in model.parameters()]
    model.zero_grad()
    (model(X) ** 2).sum().backward()
    same(got_grads, [p.grad for p in model.parameters()], 1e-5)


@pytest.mark.peer
def test_against_torch() -> None:
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


@pytest.mark.parametrize(
    "f",
    [
        lambda a: np.einsum("ij,jk", a, a.T),
        lambda a: np.fft.fftn(a, (4,), (1,)),
        lambda a: np.fft.fftn(a, (4, 2), (1, 0)),
        lambda a: np.sort(a, 0),
        lambda a: np.argsort(a, 0),
        lambda a: np.expand_dims(a, 1),
        lambda a: np.expand_dims(a, (0, -1)),
    ],
    ids=["einsum", "fftn", "fftn axes", "sort", "argsort", "expand_dims", "expand_dims axes"],
)
def test_arguments_by_position_count_the_axes_of_one_row(f):
    a = np.random.default_rng(0).normal(size=(5, 2, 3))
    got = np.asarray(tg.vmap(lambda t: f(t))(a))
    np.testing.assert_allclose(got, np.stack([f(row) for row in a]), rtol=1e-13, atol=1e-15)
