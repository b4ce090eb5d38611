"""vjp, jvp, linearize and hvp: closed forms, differences, nested arguments, modules, memory."""

import threading
from collections import namedtuple

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.errors import DTypeError, ShapeError
from tests.test_graph import growth

RNG = np.random.default_rng(4)
X = RNG.normal(size=3)
T = RNG.normal(size=3)
A = RNG.normal(size=(4, 3))
Pair = namedtuple("Pair", "first second")


def close(got, expected, rtol=1e-12):
    np.testing.assert_allclose(getattr(got, "detach", lambda: got)(), expected, rtol=rtol, atol=1e-13)


def f(x, scale=1.0):
    """A function that mixes elements, is analytic, and takes complex numbers."""
    y = tg.tanh(A @ x) * scale
    return tg.exp(y) * y.sum() + tg.sin(x[0] * x[1])


def complex_step(function, x, t):
    with tg.no_grad():
        return np.imag(function(tg.Tensor(x + 1e-100j * t)).data) / 1e-100


# --- values ---------------------------------------------------------------------------------------------


def test_jvp_against_a_complex_step():
    out, tangent = tg.jvp(f, (X,), (T,))
    close(out, f(tg.Tensor(X)).data)
    close(tangent, complex_step(f, X, T))


@pytest.mark.parametrize(
    "function", [lambda x: abs(x) * x, tg.sum, lambda x: tg.max(x * x), lambda x: x, lambda x: x[::-1]]
)
def test_jvp_against_differences(function):
    h = 1e-6
    _, tangent = tg.jvp(function, (X,), (T,))
    ahead, behind = (function(tg.Tensor(X + s * h * T)).data for s in (1, -1))
    close(tangent, (ahead - behind) / (2 * h), rtol=1e-7)


def test_vjp_and_jvp_are_transposed_jacobians():
    jacobian = tg.jacobian(f)(X)
    g = RNG.normal(size=4)
    _, pullback = tg.vjp(f, X)
    close(pullback(g)[0], g @ jacobian)
    close(tg.jvp(f, (X,), (T,))[1], jacobian @ T)


def test_linear_functions_are_linear_and_may_be_called_again():
    for function in (tg.linearize(f, X)[1], lambda t: tg.vjp(lambda x: A.T @ f(x), X)[1](t)[0]):
        u = RNG.normal(size=3)
        close(function(2 * T - 3 * u), 2 * function(T) - 3 * function(u))
        close(function(np.zeros(3)), 0)


def test_linearize_runs_the_function_once():
    calls = []

    def counted(x):
        calls.append(x)
        return f(x)

    _, push = tg.linearize(counted, X)
    push(T), push(X)
    assert len(calls) == 1


def test_hvp_is_the_product_with_the_hessian():
    g = lambda x: (f(x) ** 2).sum()
    (product,) = tg.hvp(g, (X,), (T,))
    close(product, tg.hessian(g)(X) @ T, rtol=1e-11)
    close(product, tg.jvp(tg.grad(g), (X,), (T,))[1], rtol=1e-11)


def test_hvp_of_several_arguments():
    g = lambda x, y: (x * x * y).sum()
    hx, hy = tg.hvp(g, (X, 2.0), (T, 5.0))
    close(hx, 2 * 2.0 * T + 2 * X * 5.0)
    close(hy, (2 * X * T).sum())
    hx, hy = tg.hvp(g, (X, 2.0), (None, 5.0))
    close(hx, 2 * X * 5.0)
    close(hy, 0)


def test_a_zero_tangent_meets_an_infinite_slope():
    _, tangent = tg.jvp(tg.sqrt, (np.array([0.0, 4.0]),), (np.array([0.0, 1.0]),))
    close(tangent, [0, 0.25])
    _, tangent = tg.jvp(lambda x: tg.where(x > 0, tg.sqrt(x), 0.0), (np.array([0.0, 4.0]),), (np.ones(2),))
    close(tangent, [0, 0.25])
    assert tg.jvp(tg.sqrt, (0.0,), (1.0,))[1].item() == np.inf


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes_are_those_of_the_arguments(dtype):
    x = tg.Tensor(X, dtype=dtype)
    out, tangent = tg.jvp(lambda x: x * 2, (x,), (T,))
    assert out.dtype == tangent.dtype == dtype
    _, pullback = tg.vjp(lambda x: x * 2, x)
    assert pullback(T)[0].dtype == dtype
    assert tg.hvp(lambda x: (x * x).sum(), (x,), (T,))[0].dtype == dtype


# --- nesting --------------------------------------------------------------------------------------------


def test_forward_over_forward_over_reverse():
    cube = lambda x: x**3
    push = lambda h: lambda x: tg.jvp(h, (x,), (1.0,))[1]
    close(push(push(cube))(2.0), 12.0)
    close(tg.grad(push(cube))(2.0), 12.0)
    close(push(tg.grad(push(cube)))(2.0), 6.0)


def test_a_pullback_is_differentiable_in_argument_and_cotangent():
    x = tg.Tensor(X, requires_grad=True)
    g = tg.Tensor(T, requires_grad=True)
    _, pullback = tg.vjp(lambda x: x**3, x)
    pullback(g)[0].sum().backward()
    np.testing.assert_allclose(x.grad, 6 * X * T)
    np.testing.assert_allclose(g.grad, 3 * X**2)
    t = tg.Tensor(T, requires_grad=True)
    tg.jvp(lambda x: x**3, (X,), (t,))[1].sum().backward()
    np.testing.assert_allclose(t.grad, 3 * X**2)


def test_an_outer_variable_is_not_confused_with_an_inner_one():
    close(tg.grad(lambda x: x * tg.jvp(lambda y: x + y, (1.0,), (1.0,))[1])(2.0), 1.0)


def test_nothing_touches_grad_and_nothing_is_recorded_without_need():
    x = tg.Tensor(X, requires_grad=True)
    w = tg.Tensor(2.0, requires_grad=True)
    tg.hvp(lambda x: (w * x**3).sum(), (x,), (T,))
    tg.vjp(lambda x: w * x, x)[1](T)
    assert x.grad is None
    assert w.grad is None
    with tg.no_grad():
        out, tangent = tg.jvp(lambda x: w * x, (x,), (T,))
    assert not out.requires_grad
    assert not tangent.requires_grad
    assert tg.jvp(lambda x: w * x, (X,), (T,))[1].requires_grad
    assert isinstance(tg.jvp(lambda x: 2 * x, (X,), (T,))[1], np.ndarray)


# --- nested arguments and modules -----------------------------------------------------------------------


def test_nested_arguments_and_results():
    def g(p, pair):
        return {"a": p["w"] * pair.first, "b": [p["w"].sum(), None, (pair.second * 2,)]}

    primals = ({"w": X}, Pair(2.0, A))
    out, tangent = tg.jvp(g, primals, ({"w": T}, Pair(3.0, None)))
    close(tangent["a"], 2 * T + 3 * X)
    close(tangent["b"][0], T.sum())
    assert tangent["b"][1] is None
    close(tangent["b"][2][0], np.zeros_like(A))
    out, pullback = tg.vjp(g, *primals)
    gp, gpair = pullback({"a": T, "b": [10.0, None, None]})
    close(out["b"][2][0], 2 * A)
    close(gp["w"], 2 * T + 10)
    assert isinstance(gpair, Pair)
    close(gpair.first, (T * X).sum())
    close(gpair.second, np.zeros_like(A))


def model_and_loss():
    model = nn.MLP([3, 5, 1], activation="tanh", rng=0).to(np.float64)
    batch = RNG.normal(size=(6, 3))
    return model, lambda m: (m(batch) ** 2).sum()


def test_a_module_stands_for_its_parameters():
    model, loss = model_and_loss()
    before = {name: (p, p.node, p.data) for name, p in model.named_parameters()}
    gradients = tg.grad(loss)(model)
    loss(model).backward()
    assert list(gradients) == list(before)
    for name, (p, node, data) in before.items():
        close(gradients[name], p.grad)
        assert p.node is node
        assert p.data is data
    with tg.no_grad():
        assert not tg.grad(loss)(model)["layers.0.W"].requires_grad


def test_a_module_with_other_arguments_and_frozen_parameters():
    model, _ = model_and_loss()
    model.layers[0].requires_grad_(False)

    def loss(m, x):
        return (m(x) ** 2).sum()

    gm, gx = tg.grad(loss, argnums=(0, 1))(model, X)
    assert list(gm) == ["layers.2.W", "layers.2.b"]
    close(gx.detach(), tg.grad(lambda x: loss(model, x))(X).detach())
    with pytest.raises(ValueError, match=r"argument 1\.layers\.2\.W is also a parameter of another argument"):
        tg.grad(lambda a, b: loss(a, X), argnums=(0, 1))(model, model)


def test_second_derivatives_with_respect_to_a_module():
    model, loss = model_and_loss()
    v = {name: RNG.normal(size=p.shape) for name, p in model.named_parameters()}
    (product,) = tg.hvp(loss, (model,), (v,))
    hessian = tg.hessian(loss)(model)
    for name in v:
        expected = sum(np.tensordot(hessian[name][other].data, v[other], v[other].ndim) for other in v)
        close(product[name], expected, rtol=1e-9)


def test_backward_through_a_gradient_with_respect_to_a_module():
    model, loss = model_and_loss()
    g = tg.grad(loss)(model)
    sum((part**2).sum() for part in g.values()).backward()
    (expected,) = tg.hvp(loss, (model,), ({name: 2 * part.data for name, part in g.items()},))
    for name, p in model.named_parameters():
        np.testing.assert_allclose(p.grad, expected[name].data, rtol=1e-9, atol=1e-12)


def test_a_module_is_restored_after_an_exception():
    model, _ = model_and_loss()
    nodes = [p.node for p in model.parameters()]

    def fails(m):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tg.grad(fails)(model)
    assert [p.node for p in model.parameters()] == nodes


def test_a_parameter_that_is_returned():
    layer = nn.Linear(2, 1).to(np.float64)
    close(tg.jacobian(lambda m: m.b)(layer)["b"], [[1.0]])
    _, pullback = tg.vjp(lambda m: m, layer)
    close(pullback({"W": np.ones((2, 1)), "b": None})[0]["W"], np.ones((2, 1)))


def test_a_module_in_a_compiled_step():
    model, _ = model_and_loss()
    batch = RNG.normal(size=(6, 3))

    def step(x):
        return tg.grad(lambda m: (m(x) ** 2).sum())(model)["layers.0.W"]

    compiled = tg.compile(step)
    for _ in range(3):
        np.testing.assert_array_equal(compiled(batch).data, step(batch).data)


def test_aux():
    def g(x):
        y = x * x
        return y.sum(), {"y": y, "word": "squares"}

    (value, aux), gradient = tg.value_and_grad(g, has_aux=True)(X)
    close(value, (X * X).sum())
    close(aux["y"], X * X)
    assert aux["word"] == "squares"
    assert isinstance(aux["y"], np.ndarray)
    close(gradient, 2 * X)
    gradient, aux = tg.grad(g, has_aux=True)(X)
    close(gradient, 2 * X)
    close(aux["y"], X * X)
    with pytest.raises(TypeError, match=r"must return a pair \(result, aux\), but .* returned Tensor"):
        tg.grad(lambda x: x, has_aux=True)(1.0)


def test_stop_gradient():
    x = tg.Tensor(X, requires_grad=True)
    y = x * x
    stopped = tg.stop_gradient({"y": [y, "word"], "none": None})
    assert stopped["y"][0].data is y.data
    assert not stopped["y"][0].requires_grad
    assert stopped["y"][1:] == ["word"]
    close(tg.grad(lambda x: (x * tg.stop_gradient(x)).sum())(X), X)


# --- errors ---------------------------------------------------------------------------------------------


def test_tangents_and_cotangents_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"the tangent of argument 0 has shape \(2,\), expected \(3,\)"):
        tg.jvp(f, (X,), (np.ones(2),))
    with pytest.raises(ShapeError, match=r"the cotangent of the result\['a'\] has shape \(3,\), expected \(\)"):
        tg.vjp(lambda x: {"a": x.sum()}, X)[1]({"a": X})
    with pytest.raises(ValueError, match=r"of argument 0 has the keys \['v'\], expected a dict with the keys \['w'\]"):
        tg.jvp(lambda p: p["w"], ({"w": X},), ({"v": X},))
    with pytest.raises(ValueError, match=r"of argument 0 has length 1, expected a list of length 2"):
        tg.jvp(lambda p: p[0], ([X, X],), ([X],))
    with pytest.raises(ValueError, match=r"takes one tangent per argument \(1\), got 2"):
        tg.jvp(f, (X,), (X, X))
    with pytest.raises(TypeError, match=r"primals as a tuple.*write \(primal,\)"):
        tg.jvp(f, X, (X,))
    with pytest.raises(TypeError, match="the tangent of argument 0 is a str"):
        tg.jvp(f, (X,), ("x",))
    with pytest.raises(DTypeError, match=r"argument 1 has dtype int64.*bind it with a lambda"):
        tg.vjp(lambda x, n: x, X, np.arange(3))
    with pytest.raises(ShapeError, match="scalar result"):
        tg.hvp(f, (X,), (T,))
    with pytest.raises(TypeError, match="returned int"):
        tg.vjp(lambda x: [x, 1], X)


# --- memory and threads ---------------------------------------------------------------------------------


def test_nothing_is_left_behind(no_collector):
    model, loss = model_and_loss()

    def all_of_them():
        tg.jvp(f, (X,), (T,))
        tg.vjp(f, X)[1](np.ones(4))
        tg.hvp(lambda x: f(x).sum(), (X,), (T,))
        tg.grad(loss)(model)

    assert growth(all_of_them, 80) < 40


def test_threads_do_not_disturb_each_other():
    wrong = []

    def work(k):
        for _ in range(30):
            _, tangent = tg.jvp(lambda x: x**k, (1.5,), (1.0,))
            if not np.isclose(tangent.data, k * 1.5 ** (k - 1)):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
