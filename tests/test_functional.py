"""grad, value_and_grad, jacobian and hessian, against closed forms."""

import gc
import threading
import weakref
from collections import namedtuple
from math import cos, exp, sin

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.errors import DTypeError, GraphError, ShapeError

RNG = np.random.default_rng(10)
X = RNG.normal(size=4)
A = RNG.normal(size=(4, 4))


def close(got, expected):
    np.testing.assert_allclose(getattr(got, "detach", lambda: got)(), expected, rtol=1e-12, atol=1e-13)


# --- values ---------------------------------------------------------------------------------------------


def test_gradient_of_a_quadratic_form():
    g = tg.grad(lambda x: x @ (A @ x))(tg.Tensor(X))
    assert isinstance(g, tg.Tensor)
    assert not g.requires_grad
    close(g, (A + A.T) @ X)


def test_several_arguments():
    def f(x, y, z):
        return (x * y / z).sum()

    gx, gz = tg.grad(f, argnums=(0, 2))(X, 2.0, tg.Tensor(A))
    close(gx, (2 / A).sum(axis=0))
    close(gz, -X * 2 / A**2)
    (gy,) = tg.grad(f, argnums=(-2,))(X, 2.0, A)
    close(gy, (X / A).sum())


def test_value_and_grad():
    value, g = tg.value_and_grad(lambda x: (x * x).sum())(X)
    close(value, (X * X).sum())
    close(g, 2 * X)
    assert isinstance(value, np.float64)


def test_keyword_arguments_are_passed_on():
    close(tg.grad(lambda x, *, power: (x**power).sum())(X, power=3), 3 * X**2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_and_shape_are_those_of_the_argument(dtype):
    x = tg.Tensor(X, dtype=dtype)
    g = tg.grad(lambda x: (x * np.ones(4)).sum())(x)
    assert g.dtype == dtype
    assert g.shape == (4,)
    assert tg.grad(lambda x: x * x)(np.float32(2)).dtype == np.float32
    assert isinstance(tg.grad(lambda x: x * x)(2.0), np.float64)


DERIVATIVES_OF_EXP_SIN = [
    lambda x: exp(sin(x)),
    lambda x: exp(sin(x)) * cos(x),
    lambda x: exp(sin(x)) * (cos(x) ** 2 - sin(x)),
    lambda x: exp(sin(x)) * (cos(x) ** 3 - 3 * sin(x) * cos(x) - cos(x)),
    lambda x: exp(sin(x)) * (cos(x) ** 4 - 6 * sin(x) * cos(x) ** 2 - 4 * cos(x) ** 2 + 3 * sin(x) ** 2 + sin(x)),
    lambda x: (
        exp(sin(x))
        * (
            cos(x) ** 5
            - 10 * sin(x) * cos(x) ** 3
            - 10 * cos(x) ** 3
            + 15 * sin(x) ** 2 * cos(x)
            + 15 * sin(x) * cos(x)
            + cos(x)
        )
    ),
]


def test_derivatives_up_to_the_fifth():
    f = lambda x: tg.exp(tg.sin(x))
    for expected in DERIVATIVES_OF_EXP_SIN:
        np.testing.assert_allclose(f(tg.Tensor(0.7)).data, expected(0.7), rtol=1e-12)
        f = tg.grad(f)


def test_the_function_keeps_its_name():
    def potential(x):
        """Energy."""

    assert tg.grad(potential).__name__ == "grad(potential)"
    assert tg.hessian(potential).__name__ == "hessian(potential)"
    assert tg.grad(potential).__doc__ == "Energy."


# --- nesting --------------------------------------------------------------------------------------------


def test_an_outer_variable_is_not_confused_with_an_inner_one():
    x = tg.Tensor(3.0)
    close(tg.grad(lambda z: z * x)(x), 3.0)
    # d/dx [x * d/dy (x + y)] = 1, and 2 where x and y are confused (Siskind and Pearlmutter 2005)
    close(tg.grad(lambda x: x * tg.grad(lambda y: x + y)(1.0))(1.0), 1.0)
    # the same Tensor for both
    close(tg.grad(lambda x: tg.grad(lambda y: x * y)(x))(2.0), 1.0)
    close(tg.grad(lambda x: x * tg.grad(lambda y: x * y * y)(x))(2.0), 3 * 2 * 2.0**2)


def test_the_same_argument_twice():
    x = tg.Tensor(3.0, requires_grad=True)
    gx, gy = tg.grad(lambda x, y: x * x * y, argnums=(0, 1))(x, x)
    close(gx, 18.0)
    close(gy, 9.0)


def test_grad_inside_a_function_that_backward_differentiates():
    x = tg.Tensor(2.0, requires_grad=True)
    g = tg.grad(lambda z: z**3)(x)
    assert g.requires_grad
    assert x.grad is None
    (g * g).backward()  # d/dx (3x²)² = 36 x³
    np.testing.assert_allclose(x.grad, 36 * 8.0)


def test_gradient_penalty_through_parameters_that_f_closes_over():
    w = tg.Tensor(A, requires_grad=True)
    v = tg.Tensor(X[:, None].copy(), requires_grad=True)

    def critic(x):
        return (tg.tanh(x @ w) @ v).sum()

    g = tg.grad(critic)(tg.Tensor(X))
    assert g.requires_grad
    assert w.grad is None
    penalty = ((g * g).sum() - 1) ** 2
    penalty.backward()

    h = np.tanh(X @ A)
    s, u = 1 - h**2, X
    column = v.data[:, 0]
    gx = A @ (s * column)
    outer = 4 * ((gx**2).sum() - 1)
    # gx_i = sum_j A_ij s_j v_j with ds_j/dA_kj = -2 h_j s_j x_k
    back = A.T @ gx
    np.testing.assert_allclose(v.grad[:, 0], outer * s * back, rtol=1e-10)
    expected = outer * (np.outer(gx, s * column) + np.outer(u, back * column * -2 * h * s))
    np.testing.assert_allclose(w.grad, expected, rtol=1e-10)


def test_nothing_is_recorded_under_no_grad():
    w = tg.Tensor(2.0, requires_grad=True)
    x = tg.Tensor(3.0, requires_grad=True)
    with tg.no_grad():
        value, g = tg.value_and_grad(lambda z: w * z * z)(x)
        close(tg.grad(tg.grad(lambda z: w * z * z))(x), 4.0)
    close(g, 12.0)
    assert not g.requires_grad
    assert not value.requires_grad


def test_a_value_that_can_be_differentiated_further():
    w = tg.Tensor(2.0, requires_grad=True)
    value, _ = tg.value_and_grad(lambda z: w * z)(3.0)
    value.backward()
    np.testing.assert_allclose(w.grad, 3.0)


def test_grad_attributes_are_never_touched():
    x = tg.Tensor(X, requires_grad=True)
    w = tg.Tensor(A, requires_grad=True)
    tg.grad(lambda z: (w @ z).sum())(x)
    tg.jacobian(lambda z: w @ z)(x)
    tg.hessian(lambda z: z @ (w @ z))(x)
    assert x.grad is None
    assert w.grad is None


def test_results_do_not_share_memory():
    x = tg.Tensor(X, requires_grad=True)
    for args in ((x, x), (X, X)):
        a, b = tg.grad(lambda a, b: (a + b).sum(), argnums=(0, 1))(*args)
        arrays = [g.data if isinstance(g, tg.Tensor) else g for g in (a, b)]
        assert not np.shares_memory(*arrays)
        assert all(array.flags.writeable for array in arrays)


def test_a_write_to_the_argument_afterwards_does_not_matter():
    a = X.copy()
    w = tg.Tensor(1.0, requires_grad=True)
    g = tg.grad(lambda x: (w * x * x).sum())(a)
    a[:] = 0
    g.sum().backward()
    np.testing.assert_allclose(w.grad, 2 * X.sum())


def test_the_graph_is_freed_after_the_call():
    made = []

    def f(x):
        y = x * x
        made.append(weakref.ref(y.node))
        return y.sum()

    gc.disable()
    try:
        value, _ = tg.value_and_grad(f)(X)
        assert made[0]() is None
        tg.jacobian(lambda x: x * f(x))(X)
        tg.hessian(f)(X)
        assert all(ref() is None for ref in made)
    finally:
        gc.enable()
    assert isinstance(value, np.float64)


def test_hooks_inside_the_function_run_once():
    w, seen = tg.Tensor([2.0, 3.0], requires_grad=True), []

    def f(x):
        y = x * x
        y.register_hook(lambda g: seen.append(np.array(g)))
        return (y * w.detach()).sum()

    close(tg.grad(f)(np.array([1.0, 5.0])), [4.0, 30.0])
    assert len(seen) == 1

    seen.clear()
    w.register_hook(lambda g: seen.append(g))  # a leaf outside, whose gradient nobody asked for
    close(tg.grad(lambda x: (x * w).sum())(np.array([1.0, 5.0])), [2.0, 3.0])
    assert not seen


def test_a_history_from_outside_is_found_and_left_alone():
    w = tg.Tensor([2.0, 3.0], requires_grad=True)
    outside = w * w
    g = tg.grad(lambda x: (x * outside).sum())(np.array([1.0, 5.0]))
    close(tg.grad(lambda v: tg.grad(lambda x: (x * v * v).sum())(np.ones(2)).sum())(w), [4.0, 6.0])
    assert g.requires_grad
    g.sum().backward()
    close(w.grad, [4.0, 6.0])
    # Its graph is freed by now. The derivative by x does not go through it.
    close(tg.grad(lambda x: (x * outside).sum())(np.array([1.0, 5.0])), [4.0, 9.0])


def test_an_outer_leaf_is_found_at_points_that_are_not_finite():
    w = tg.Tensor([2.0, 3.0], requires_grad=True)
    g = tg.grad(lambda x: (tg.sqrt(x) * w).sum())(np.array([0.0, 4.0]))
    assert g.requires_grad
    close(g, [np.inf, 0.75])


def test_threads_do_not_disturb_each_other():
    results = {}

    def work(k):
        f = lambda x: x**k
        for _ in range(k):
            f = tg.grad(f)
        results[k] = float(f(1.5))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == pytest.approx({1: 1, 2: 2, 3: 6, 4: 24, 5: 120}, rel=1e-12)


# --- nested arguments -----------------------------------------------------------------------------------

Pair = namedtuple("Pair", "first second")


def test_arguments_may_be_nested():
    parameters = {"layers": [{"w": tg.Tensor(A), "b": X}, {"w": tg.Tensor(A.T), "b": None}], "scale": 2.0}

    def f(p, x):
        one, two = p["layers"]
        assert two["b"] is None
        return p["scale"] * ((x @ one["w"] + one["b"]) @ two["w"]).sum()

    g = tg.grad(f)(parameters, X)
    assert list(g) == ["layers", "scale"]
    close(g["layers"][0]["b"], 2 * A.T.sum(axis=1))
    close(g["layers"][1]["w"], 2 * np.outer(X @ A + X, np.ones(4)))
    assert g["layers"][1]["b"] is None
    close(g["scale"], ((X @ A + X) @ A.T).sum())


def test_tuples_and_named_tuples_keep_their_type():
    g = tg.grad(lambda p: p.first * p.second[0] * p.second[1])(Pair(2.0, (3.0, 4.0)))
    assert isinstance(g, Pair)
    assert isinstance(g.second, tuple)
    close(g.first, 12.0)
    close(g.second[1], 6.0)


# --- jacobian and hessian -------------------------------------------------------------------------------


def test_jacobian_of_a_linear_map():
    close(tg.jacobian(lambda x: tg.Tensor(A) @ x)(X), A)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize("out", [(), (4,), (2, 2), (0,), (1, 3)])
def test_jacobian_has_the_shape_of_result_and_argument(shape, out):
    weights = RNG.normal(size=(*out, *shape))
    n = len(shape)

    def f(x):
        return (tg.Tensor(weights) * x).sum(axis=tuple(range(-n, 0))) if n else tg.Tensor(weights) * x

    got = tg.jacobian(f)(RNG.normal(size=shape))
    assert got.shape == out + shape
    close(got, weights)


def test_jacobian_of_several_arguments_and_results():
    def f(x, y):
        return {"product": x * y, "sum": x.sum() + 2 * y.sum()}

    j = tg.jacobian(f, argnums=(0, 1))(X, A[0])
    close(j["product"][0], np.diag(A[0]))
    close(j["product"][1], np.diag(X))
    close(j["sum"][1], np.full(4, 2.0))


def test_jacobian_is_zero_for_an_unused_argument():
    close(tg.jacobian(lambda x, y: x * 2, argnums=1)(tg.Tensor(X), A), np.zeros((4, 4, 4)))


def test_jacobian_can_be_differentiated():
    x = tg.Tensor(X, requires_grad=True)
    j = tg.jacobian(lambda x: x**3)(x)
    j.sum().backward()
    np.testing.assert_allclose(x.grad, 6 * X)


def test_hessian_of_a_quadratic_form():
    close(tg.hessian(lambda x: x @ (A @ x))(X), A + A.T)
    close(tg.hessian(lambda x: (3 * x).sum())(X), np.zeros((4, 4)))


def test_hessian_of_rosenbrock():
    def f(x):
        return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()

    expected = np.diag([2.0, 0, 0, 0]) * 0
    for i in range(3):
        expected[i, i] += 1200 * X[i] ** 2 - 400 * X[i + 1] + 2
        expected[i + 1, i + 1] += 200
        expected[i, i + 1] = expected[i + 1, i] = -400 * X[i]
    close(tg.hessian(f)(X), expected)


def test_hessian_of_a_matrix_and_its_blocks():
    assert tg.hessian(lambda m: (m * m).sum())(A).shape == (4, 4, 4, 4)
    blocks = tg.hessian(lambda x, y: (x * x * y).sum(), argnums=(0, 1))(X, A[0])
    close(blocks[0][0], np.diag(2 * A[0]))
    close(blocks[0][1], np.diag(2 * X))
    close(blocks[1][0], np.diag(2 * X))
    close(blocks[1][1], np.zeros((4, 4)))


def test_third_derivatives():
    third = tg.jacobian(tg.hessian(lambda x: (x**4).sum()))(X)
    expected = np.zeros((4, 4, 4))
    expected[range(4), range(4), range(4)] = 24 * X
    close(third, expected)


# --- errors ---------------------------------------------------------------------------------------------


@pytest.mark.promise("B14")
def test_unused_argument():
    f = lambda x, y: x * x
    with pytest.raises(GraphError, match=r"does not depend on argument 1; write allow_unused=True"):
        tg.grad(f, argnums=(0, 1))(1.0, 2.0)
    with pytest.raises(GraphError, match=r"argument 0\['b'\]\[1\]"):
        tg.grad(lambda p: p["b"][0] * 1)({"b": [1.0, 2.0]})
    gx, gy = tg.grad(f, argnums=(0, 1), allow_unused=True)(3.0, 2.0)
    close(gx, 6.0)
    assert gy is None


def test_unused_because_f_returns_something_else():
    w = tg.Tensor(2.0, requires_grad=True)
    with pytest.raises(GraphError, match="argument 0"):
        tg.grad(lambda x: w * w)(1.0)
    with pytest.raises(GraphError, match="argument 0"):
        tg.grad(lambda x: x.detach() * 2)(1.0)


@pytest.mark.parametrize("transform", [tg.grad, tg.value_and_grad, tg.jacobian, tg.hessian])
@pytest.mark.parametrize("value", [3, True, np.arange(3), np.array([True]), np.int64(2)])
def test_integers_cannot_be_differentiated(transform, value):
    with pytest.raises(DTypeError, match=r"argument 1\['n'\] has dtype (int|bool)"):
        transform(lambda x, p: x, argnums=1)(1.0, {"n": value})


def test_the_result_must_be_a_scalar():
    with pytest.raises(ShapeError, match=r"scalar result.*\(4,\).*\.sum\(\).*jacobian"):
        tg.grad(lambda x: x * x)(X)
    with pytest.raises(TypeError, match="returned float"):
        tg.grad(lambda x: 1.0)(X)
    with pytest.raises(TypeError, match="returned ndarray"):
        tg.jacobian(lambda x: x.data)(X)
    with pytest.raises(DTypeError, match="int64"):
        tg.grad(lambda x: tg.Tensor(1))(X)


def test_arguments_of_another_kind():
    with pytest.raises(TypeError, match="argument 0 is a str"):
        tg.grad(lambda x: x)("x")
    with pytest.raises(ValueError, match=r"position 1.*1 positional"):
        tg.grad(lambda x: x, argnums=1)(1.0)
    with pytest.raises(ValueError, match="twice"):
        tg.grad(lambda x, y: x, argnums=(1, -1))(1.0, 2.0)
    for argnums in (1.0, (), "x", True):
        with pytest.raises(TypeError, match="argnums"):
            tg.grad(lambda x: x, argnums=argnums)(1.0)


def test_leaves_made_inside_are_not_in_the_way():
    def f(x):
        return (x * tg.Tensor([2.0, 3.0], requires_grad=True)).sum() + tg.Tensor(1.0, requires_grad=True)

    value, gradient = tg.value_and_grad(f)(np.ones(2))
    assert value == 6
    np.testing.assert_array_equal(gradient, [2, 3])
    assert tg.grad(lambda x: x)(2.0) == 1  # the result is the argument itself
    w = tg.Tensor(5.0, requires_grad=True)
    w.register_hook(lambda g: pytest.fail("no gradient was asked for"))
    with tg.no_grad():
        assert tg.grad(lambda x: x * w)(2.0) == 5


@pytest.mark.parametrize("kind", [float, np.asarray, tg.Tensor])
def test_the_second_derivative_of_a_linear_function_is_zero(kind: type) -> None:
    x = kind(0.5)
    assert float(tg.grad(tg.grad(lambda x: 3.0 * x))(x)) == 0.0
    assert float(tg.grad(tg.grad(tg.grad(lambda x: x * x)))(x)) == 0.0
    assert float(tg.grad(lambda x: tg.grad(lambda y: 2.0 * y)(x * x) * x)(x)) == 2.0
    assert float(tg.grad(lambda x: tg.jacobian(lambda y: 2.0 * y)(x) * x)(x)) == 2.0
    assert type(tg.grad(tg.grad(lambda x: 3.0 * x))(x)) is type(tg.grad(lambda x: x * x)(x))


def test_the_mixed_second_derivatives_of_a_product() -> None:
    def product(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        return x * y

    inner = tg.grad(product, 0)
    for outer in (lambda x, y: inner(x, y), lambda x, y: product(inner(x, y), 1.0)):
        both = tg.grad(outer, argnums=(0, 1))
        assert [float(g) for g in both(2.0, 3.0)] == [0.0, 1.0]
        assert [float(g) for g in tg.compile(both)(2.0, 3.0)] == [0.0, 1.0]
    assert [float(g) for g in tg.grad(inner, argnums=(0, 1))(2.0, 3.0)] == [0.0, 1.0]
    with pytest.raises(GraphError, match="does not depend on argument 1"):
        tg.grad(lambda x, y: x * x, argnums=(0, 1))(2.0, 3.0)


def test_a_result_that_was_cut_from_its_argument_is_still_refused() -> None:
    for f in (lambda x: x.detach() * 2.0, lambda x: tg.grad(lambda y: y * y)(x.detach())):
        with pytest.raises(GraphError, match="does not depend on argument 0"):
            tg.grad(f)(tg.Tensor(0.5))
