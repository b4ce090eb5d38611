"""minimize: SciPy's methods on nested arguments, with derivatives."""

import sys

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.errors import DTypeError, InplaceError, NonFiniteError, ShapeError

pytest.importorskip("scipy")

RNG = np.random.default_rng(7)
A = RNG.normal(size=(6, 3))
B = RNG.normal(size=6)
SOLUTION = np.linalg.lstsq(A, B, rcond=None)[0]


def squares(x):
    return ((A @ x - B) ** 2).sum()


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


METHODS = ["L-BFGS-B", "BFGS", "CG", "TNC", "SLSQP", "Newton-CG", "trust-ncg", "trust-krylov", "trust-constr"]


@pytest.mark.parametrize("method", [*METHODS, "dogleg", "trust-exact", "Nelder-Mead", "Powell"])
def test_every_method_finds_least_squares(method):
    start = np.zeros(3)
    found = tg.minimize(squares, start, method=method)
    assert found.success, found.message
    assert isinstance(found.x, np.ndarray)
    np.testing.assert_allclose(found.x, SOLUTION, atol=1e-3)
    np.testing.assert_array_equal(start, 0)


def test_second_derivatives_are_used():
    found = tg.minimize(rosenbrock, np.zeros(10), "Newton-CG", xtol=1e-10)
    assert found.nhev > 0
    np.testing.assert_allclose(found.x, np.ones(10), atol=1e-8)
    found = tg.minimize(rosenbrock, np.zeros(4), "trust-exact", gtol=1e-10)
    np.testing.assert_allclose(found.x, np.ones(4), atol=1e-8)


def test_nests_keep_their_structure_and_dtype():
    w = tg.Tensor(np.zeros(3, np.float32), requires_grad=True)
    start = {"w": w, "c": [1.0, np.array([[2.0]])], "none": None}

    def loss(p):
        assert p["none"] is None
        return squares(p["w"]) + (p["c"][0] - 4) ** 2 + ((p["c"][1] + 1) ** 2).sum()

    before = (w * w).sum()
    found = tg.minimize(loss, start)
    assert found.x["w"] is w
    assert w.dtype == np.float32
    assert w.grad is None
    np.testing.assert_allclose(w.data, SOLUTION, atol=1e-4)
    np.testing.assert_allclose(found.x["c"][0], 4, atol=1e-4)
    assert found.x["c"][1].shape == (1, 1)
    assert start["c"][0] == 1.0
    with pytest.raises(InplaceError, match="minimize"):
        before.backward()


@pytest.mark.parametrize("method", ["L-BFGS-B", "Newton-CG"])
def test_a_module_is_fitted(method):
    model = nn.MLP([3, 4, 1], activation="tanh", rng=0)
    model.layers[0].b.requires_grad = False
    frozen = model.layers[0].b.data.copy()
    x, y = RNG.normal(size=(20, 3)).astype(np.float32), RNG.normal(size=(20, 1)).astype(np.float32)
    loss = lambda m: ((m(x) - y) ** 2).mean() + 1e-3 * sum((p * p).sum() for p in m.parameters())
    first = loss(model).item()
    seen = []
    found = tg.minimize(loss, model, method=method, maxiter=15, callback=lambda p: seen.append(p["layers.0.W"].dtype))
    assert found.x is model
    assert found.fun < 0.8 * first
    np.testing.assert_allclose(loss(model).item(), found.fun, rtol=1e-4)
    np.testing.assert_array_equal(model.layers[0].b.data, frozen)
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float32)} == set(seen)
    assert all(p.is_leaf and p.grad is None for p in model.parameters())


def test_bounds():
    start = {"a": np.zeros(2), "b": 5.0}
    loss = lambda p: ((p["a"] - 3) ** 2).sum() + (p["b"] + 3) ** 2
    found = tg.minimize(loss, start, bounds=({"b": 1.0}, {"a": np.array([2.0, 10.0])}))
    np.testing.assert_allclose(found.x["a"], [2, 3], atol=1e-5)
    np.testing.assert_allclose(found.x["b"], 1)
    found = tg.minimize(loss, start, bounds=(0, None))
    np.testing.assert_allclose(found.x["b"], 0)
    with pytest.raises(ShapeError, match=r"bound of start\['a'\] has shape \(3,\), expected \(2,\)"):
        tg.minimize(loss, start, bounds=({"a": np.zeros(3)}, None))
    with pytest.raises(ValueError, match=r"the keys .*'c'.*expected a dict with the keys \['a', 'b'\]"):
        tg.minimize(loss, start, bounds=({"c": 1.0}, None))
    with pytest.raises(TypeError, match=r"pair \(low, high\)"):
        tg.minimize(loss, start, bounds=[(0, 1)])


def barrier(x):
    return (x - tg.log(x)).sum()


@pytest.mark.parametrize(
    ("name", "given", "advice"),
    [
        ("options", {"maxiter": 3}, "maxiter=100"),
        ("jac", True, "leave it out"),
        ("hess", None, "leave it out"),
        ("hessp", None, "leave it out"),
        ("args", (1.0,), "lambda x"),
        ("constraints", (), "bounds="),
    ],
)
def test_arguments_that_only_scipy_takes_are_refused(name, given, advice):
    with pytest.raises(TypeError, match=rf"minimize has no argument {name}=; .*{advice}"):
        tg.minimize(lambda x: (x * x).sum(), np.ones(2), **{name: given})


def test_a_loss_that_is_not_finite():
    x = tg.Tensor([30.0, 0.01])
    with pytest.raises(NonFiniteError, match=r"the loss is nan at call \d+, and L-BFGS-B cannot recover.*bounds"):
        tg.minimize(barrier, x)
    np.testing.assert_array_equal(x.data, [30.0, 0.01])
    np.testing.assert_allclose(tg.minimize(barrier, x, "BFGS").x, [1, 1], atol=1e-4)
    with pytest.raises(NonFiniteError, match="at the start"):
        tg.minimize(barrier, np.array([-1.0]))
    with pytest.raises(NonFiniteError, match=r"gradient is not finite in element 1 of leaf 0"):
        tg.minimize(lambda x: tg.sqrt(x).sum(), np.array([1.0, 0.0]))


def test_an_exception_leaves_everything_unchanged():
    model = nn.Linear(3, 1)
    before = [(p.data, p.node, p.data.copy()) for p in model.parameters()]
    calls = []

    def fails(m):
        calls.append(1)
        if len(calls) > 3:
            raise ZeroDivisionError
        return (m(A) ** 2).sum()

    with pytest.raises(ZeroDivisionError):
        tg.minimize(fails, model)
    for p, (data, node, values) in zip(model.parameters(), before):
        assert p.data is data
        assert p.node is node
        np.testing.assert_array_equal(p.data, values)


def test_parts_that_the_loss_does_not_use_stay():
    found = tg.minimize(lambda p: (p[0] - 1) ** 2, [0.0, 7.0])
    assert found.x[1].item() == 7.0


def test_misuse(monkeypatch):
    with pytest.raises(DTypeError, match="start has dtype int64"):
        tg.minimize(squares, np.arange(3))
    x = tg.Tensor(1.0)
    with pytest.raises(ValueError, match=r"start\[1\] is a Tensor that also appears elsewhere"):
        tg.minimize(lambda p: p[0], [x, x])
    with pytest.raises(ShapeError, match=r"scalar|exactly one"):
        tg.minimize(lambda x: x * x, np.ones(3))
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r'pip install "tensorgrad-np\[special\]"'):
        tg.minimize(squares, np.zeros(3))
