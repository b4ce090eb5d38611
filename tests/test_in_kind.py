"""Transforms answer in kind, and what they return is taken by SciPy, pandas and matplotlib."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg

X = np.array([0.5, -1.0, 2.0])


def f(x: Any) -> Any:
    return (tg.sin(x) * x).sum()


def kind(value: Any) -> type:
    return tg.Tensor if isinstance(value, tg.Tensor) else type(value)


ARGUMENTS = {
    "array": (X, np.ndarray, np.float64),
    "float32 array": (X.astype(np.float32), np.ndarray, np.float32),
    "array without axes": (np.array(0.5), np.ndarray, np.float64),
    "Python number": (0.5, np.float64, np.float64),
    "NumPy scalar": (np.float32(0.5), np.float32, np.float32),
    "Tensor": (tg.Tensor(X), tg.Tensor, tg.Tensor),
    "Tensor without axes": (tg.Tensor(0.5), tg.Tensor, tg.Tensor),
}


@pytest.mark.parametrize(("x", "same", "value"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_every_transform_answers_in_kind(x: Any, same: type, value: type) -> None:
    t = np.ones_like(x) if not isinstance(x, tg.Tensor) else tg.Tensor(np.ones(x.shape))
    scalar_or_array = same if value is tg.Tensor or np.ndim(x) else value
    assert kind(tg.grad(f)(x)) is same
    assert tuple(map(kind, tg.value_and_grad(f)(x))) == (value, same)
    assert kind(tg.jacobian(f)(x)) is same
    assert kind(tg.jacobian(lambda x: tg.stack([x, x]))(x)) is (tg.Tensor if same is tg.Tensor else np.ndarray)
    assert kind(tg.hessian(f)(x)) is same
    y, pullback = tg.vjp(f, x)
    assert (kind(y), kind(pullback(1.0)[0])) == (value, same)
    assert tuple(map(kind, tg.jvp(lambda x: x * x, (x,), (t,)))) == (scalar_or_array, scalar_or_array)
    y, push = tg.linearize(f, x)
    assert (kind(y), kind(push(t))) == (value, value)
    assert kind(tg.hvp(f, (x,), (t,))[0]) is same
    if np.ndim(x):
        assert kind(tg.vmap(lambda x: x * x)(x)) is same
        assert kind(tg.per_sample_grad(lambda x, s: (x * s).sum())(x, x)) is same


def test_nests_answer_leaf_by_leaf() -> None:
    Pair = namedtuple("Pair", "a b")
    given = {"w": X, "b": tg.Tensor(2.0), "rest": [1.5, Pair(np.float32(2.0), None)]}
    g = tg.grad(lambda p: (p["w"] ** 2).sum() * p["b"] * p["rest"][0] * p["rest"][1].a)(given)
    assert [kind(g["w"]), kind(g["b"]), kind(g["rest"][0]), kind(g["rest"][1].a)] == [
        np.ndarray,
        tg.Tensor,
        np.float64,
        np.float32,
    ]
    assert isinstance(g["rest"][1], Pair)
    assert g["rest"][1].b is None


def test_aux_comes_in_kind_and_other_things_stay() -> None:
    g, aux = tg.grad(lambda x: ((x * x).sum(), {"y": x * 2, "n": 3, "s": "word"}), has_aux=True)(X)
    assert isinstance(aux["y"], np.ndarray)
    assert (aux["n"], aux["s"]) == (3, "word")
    np.testing.assert_allclose(g, 2 * X)


def test_nothing_is_cut_inside_another_transform() -> None:
    third = tg.grad(tg.grad(tg.grad(lambda x: x**4)))(2.0)
    assert isinstance(third, np.float64)
    assert third == pytest.approx(48.0)
    mixed = tg.grad(lambda x: tg.grad(lambda y: x * x * y)(3.0))  # 3.0 is a number, but the result depends on x
    assert mixed(2.0) == pytest.approx(4.0)
    constant = tg.grad(lambda x: x * tg.grad(lambda y: y * y)(np.array(3.0)))
    assert constant(2.0) == pytest.approx(6.0)
    values = tg.jacobian(lambda x: tg.value_and_grad(lambda y: (y * x).sum())(X)[0])(X)
    np.testing.assert_allclose(values, X)


def test_a_result_with_a_history_from_outside_stays_a_tensor() -> None:
    w = tg.Tensor(2.0, requires_grad=True)
    g = tg.grad(lambda x: (w * x * x).sum())(X)
    assert isinstance(g, tg.Tensor)
    g.sum().backward()
    np.testing.assert_allclose(w.grad, 2 * X.sum())
    assert isinstance(tg.vmap(lambda x: w * x)(X), tg.Tensor)
    assert isinstance(tg.value_and_grad(lambda x: (w * x).sum())(X)[0], tg.Tensor)
    with tg.no_grad():
        assert isinstance(tg.grad(lambda x: (w * x * x).sum())(X), np.ndarray)


def test_a_compiled_step_answers_in_kind() -> None:
    step = tg.compile(tg.grad(f))
    for _ in range(2):
        np.testing.assert_allclose(step(X), tg.grad(f)(X))
        assert isinstance(step(X), np.ndarray)


# --- other people's programs ----------------------------------------------------------------------------


def rosen(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


METHODS = ["BFGS", "CG", "L-BFGS-B", "TNC", "SLSQP", "Newton-CG", "trust-ncg", "trust-krylov", "trust-constr"]


@pytest.mark.parametrize("method", [*METHODS, "dogleg", "trust-exact"])
def test_scipy_minimizes_with_our_derivatives(method: str) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    options: dict[str, Any] = {"jac": tg.grad(rosen)}
    if method in {"Newton-CG", "trust-ncg", "trust-krylov", "trust-constr", "dogleg", "trust-exact"}:
        options["hess"] = tg.hessian(rosen)
    found = optimize.minimize(rosen, np.array([0.95, 0.9, 0.8]), method=method, **options)
    np.testing.assert_allclose(found.x, 1, atol=2e-3)
    if method in {"Newton-CG", "trust-ncg"}:
        product = lambda x, v: tg.hvp(rosen, (x,), (v,))[0]
        found = optimize.minimize(rosen, [0.8, 0.9], method=method, jac=tg.grad(rosen), hessp=product)
        np.testing.assert_allclose(found.x, 1, atol=2e-3)
    both = optimize.minimize(tg.value_and_grad(rosen), np.array([0.8, 0.9]), method="BFGS", jac=True)
    np.testing.assert_allclose(both.x, 1, atol=1e-4)


def test_scipy_solves_with_our_derivatives() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    t = np.linspace(0, 2, 20)
    y = 3 * np.exp(-1.3 * t)

    def residuals(p: Any) -> Any:
        return p[0] * tg.exp(-p[1] * t) - y

    for method in ("trf", "dogbox", "lm"):
        found = optimize.least_squares(residuals, [1.0, 1.0], jac=tg.jacobian(residuals), method=method)
        np.testing.assert_allclose(found.x, [3.0, 1.3], rtol=1e-6)

    def model(t: Any, a: float, b: float) -> Any:
        return a * tg.exp(-b * t)

    def slopes(t: Any, a: float, b: float) -> Any:
        return tg.jacobian(lambda p: p[0] * tg.exp(-p[1] * t))(np.array([a, b]))

    best, _ = optimize.curve_fit(model, t, y, p0=[1.0, 1.0], jac=slopes)
    np.testing.assert_allclose(best, [3.0, 1.3], rtol=1e-6)
    cubic = lambda x: x**3 - 2.0
    newton = optimize.root_scalar(cubic, x0=1.0, fprime=tg.grad(cubic), method="newton")
    halley = optimize.root_scalar(
        cubic, x0=1.0, fprime=tg.grad(cubic), fprime2=tg.grad(tg.grad(cubic)), method="halley"
    )
    assert newton.root == pytest.approx(2 ** (1 / 3))
    assert halley.root == pytest.approx(2 ** (1 / 3))
    system = lambda x: tg.stack([x[0] ** 2 + x[1] ** 2 - 4, x[0] - x[1]])
    np.testing.assert_allclose(optimize.root(system, [1.0, 2.0], jac=tg.jacobian(system)).x, np.sqrt(2), rtol=1e-8)


def test_scipy_integrates_with_our_derivatives() -> None:
    integrate = pytest.importorskip("scipy.integrate")
    field = lambda t, y: tg.stack([y[1], -y[0]])
    jacobian = lambda t, y: tg.jacobian(lambda y: field(t, y))(y)
    for method in ("RK45", "BDF", "Radau", "LSODA"):
        options = {} if method == "RK45" else {"jac": jacobian}
        found = integrate.solve_ivp(field, (0, 1), [1.0, 0.0], method=method, rtol=1e-8, atol=1e-10, **options)
        np.testing.assert_allclose(found.y[:, -1], [np.cos(1), -np.sin(1)], rtol=1e-5)
    path = integrate.odeint(field, [1.0, 0.0], [0.0, 1.0], tfirst=True, Dfun=jacobian, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(path[-1], [np.cos(1), -np.sin(1)], rtol=1e-6)


def test_pandas_and_matplotlib_take_what_transforms_return() -> None:
    pandas = pytest.importorskip("pandas")
    plt = pytest.importorskip("matplotlib.pyplot")
    g = tg.grad(f)(X)
    frame = pandas.DataFrame({"g": g, "one": tg.grad(tg.sin)(0.5)})
    np.testing.assert_allclose(frame["g"], g)
    figure, axes = plt.subplots()
    axes.plot(X, g)
    axes.plot(X, tg.Tensor(X))  # without a history, a Tensor is an array
    axes.scatter(tg.grad(tg.sin)(0.5), 1.0)
    axes.set_title(f"{tg.grad(tg.sin)(0.5):.3f}")
    plt.close(figure)


@pytest.mark.parametrize("x", [0.5, np.float64(0.5), np.asarray(0.5), tg.Tensor(0.5)], ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("f", [tg.grad(tg.sin), tg.jacobian(tg.sin), tg.hessian(tg.sin)])
def test_a_compiled_transform_answers_in_the_same_kind(f: Any, x: Any) -> None:
    compiled = tg.compile(f)
    for _ in range(3):
        assert type(compiled(x)) is type(f(x))


def test_a_compiled_transform_of_a_number_has_a_number_as_its_value_too() -> None:
    compiled = tg.compile(tg.value_and_grad(tg.sin))
    for _ in range(3):
        assert [type(part) for part in compiled(0.5)] == [np.float64, np.float64]
