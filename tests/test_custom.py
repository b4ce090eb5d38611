"""A user's own operations: correct ones work everywhere, errors name the wrong ones."""

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.errors import DTypeError, GraphError, ShapeError
from tests.test_graph import growth

RNG = np.random.default_rng(6)
X = RNG.normal(size=(2, 3))
Y = RNG.uniform(1, 2, size=3)


@tg.differentiable
def ratio(x, y, *, power=1):
    """x over y to a power."""
    return x / y**power


@ratio.backward
def _(g, x, y, out, *, power=1):
    return g / y**power, -power * g * out / y


def test_values_gradients_and_facts():
    x, y = tg.Tensor(X, requires_grad=True), tg.Tensor(Y, requires_grad=True)
    out = ratio(x, y, power=2)
    np.testing.assert_array_equal(out.data, X / Y**2)
    assert out.node.op == "ratio"
    out.sum().backward()
    np.testing.assert_allclose(x.grad, np.broadcast_to(1 / Y**2, X.shape))
    np.testing.assert_allclose(y.grad, (-2 * X / Y**3).sum(axis=0))
    assert ratio.__doc__ == "x over y to a power."
    assert not ratio(X, Y).requires_grad


def test_it_can_be_checked_and_differentiated_again():
    assert tg.testing.gradcheck(ratio, X, Y).method == "complex"
    tg.testing.gradgradcheck(ratio, X, Y)
    third = tg.grad(tg.grad(tg.grad(lambda y: ratio(1.0, y))))(2.0)
    np.testing.assert_allclose(third.data, -6 / 2.0**4)


def test_the_gradients_are_computed_together_and_only_what_is_needed():
    calls = []

    @tg.differentiable
    def product(x, n):
        return x * n

    @product.backward
    def _(g, x, n, out):
        calls.append((type(g), type(x), n))
        return g * n, None

    x = tg.Tensor(X, requires_grad=True)
    product(x, 3).sum().backward()
    assert calls == [(np.ndarray, np.ndarray, 3)]
    np.testing.assert_array_equal(x.grad, np.full(X.shape, 3.0))
    product(x, np.arange(3)).sum().backward()
    a, b = tg.Tensor(X, requires_grad=True), tg.Tensor(X, requires_grad=True)
    calls.clear()
    ratio(a, b).sum().backward()
    tg.grad(lambda a: ratio(a, b).sum())(X)


def test_a_repair_of_one_gradient_leaves_the_others_alone():
    @tg.differentiable
    def f(x, y):
        return x * y + x * x

    @f.backward
    def _(g, x, y, out):
        return g * (y + 2 * x), g * x

    x, y = (tg.Tensor(a, requires_grad=True) for a in ([np.inf, 4.0], [1.0, 3.0]))
    f(x, y).backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [np.inf, 11])
    np.testing.assert_array_equal(y.grad, [np.inf, 4])


def test_float32_stays():
    x = tg.Tensor(X, dtype=np.float32, requires_grad=True)
    out = ratio(x, Y.astype(np.float32))
    assert out.dtype == np.float32
    out.sum().backward()
    assert x.grad.dtype == np.float32


def test_in_a_compiled_step():
    @tg.differentiable
    def positive_part(x):
        return x if x.min() > 0 else np.array([max(v, 0.0) for v in x.tolist()])  # looks at values

    @positive_part.backward
    def _(g, x, out):
        return g * (np.asarray(x) > 0)

    w = tg.Tensor(np.array([1.0, -2.0, 3.0]), requires_grad=True)

    def step(x):
        w.grad = None
        loss = (positive_part(w * x) ** 2).sum()
        loss.backward()
        return loss

    compiled = tg.compile(step)
    for x in (np.ones(3), -np.ones(3), np.array([1.0, -1.0, 1.0])):
        got = compiled(x).item(), w.grad.copy()
        assert got[0] == step(x).item()
        np.testing.assert_array_equal(got[1], w.grad)


def test_a_result_never_shares_memory_with_an_input():
    @tg.differentiable
    def same(x):
        return x

    same.backward(lambda g, x, out: g)
    x = tg.Tensor(X, requires_grad=True)
    assert not np.shares_memory(same(x).data, x.data)
    same(x).sum().backward()
    np.testing.assert_array_equal(x.grad, np.ones_like(X))


def test_a_name_that_the_engine_also_has():
    @tg.differentiable
    def exp(x):
        return np.cumsum(x)

    exp.backward(lambda g, x, out: np.cumsum(g[::-1])[::-1])
    assert exp(tg.Tensor(Y, requires_grad=True)).node.op == "exp (custom)"


def made(returned, function=lambda x, y: x * y):
    operation = tg.differentiable(function)
    operation._name = "mine"
    return operation.backward(lambda g, x, y, out: returned(g, x, y))


WRONG = {
    "count": (lambda g, x, y: (g,), ValueError, r"mine returned a tuple of length 1, expected one .* \(2\)"),
    "not a tuple": (lambda g, x, y: g, TypeError, r"backward of mine returned a ndarray, expected a tuple .* \(2\)"),
    "nothing": (lambda g, x, y: None, TypeError, r"backward of mine returned None, expected a tuple .* \(2\)"),
    "shape": (
        lambda g, x, y: (g * y, np.ones(2)),
        ShapeError,
        r"backward of mine for input 1 returned shape \(2,\), expected an array of shape \(3,\).*\(2, 3\)",
    ),
    "dtype": (
        lambda g, x, y: (np.ones((2, 3), int), g * x),
        DTypeError,
        r"mine for input 0 returned dtype int64, expected float64",
    ),
    "complex": (lambda g, x, y: (g * y * 1j, g * x), DTypeError, r"mine for input 0 returned dtype complex128"),
    "none": (lambda g, x, y: (None, g * x), GraphError, r"mine for input 0 returned None.*shape \(2, 3\).*zeros"),
    "nan": (lambda g, x, y: (g * y, float("nan")), TypeError, r"mine for input 1 returned a float.*shape \(3,\)"),
    "list": (lambda g, x, y: (g * y, [1.0, 2.0, 3.0]), TypeError, r"mine for input 1 returned a list"),
}


@pytest.mark.promise("B17")
@pytest.mark.parametrize("case", WRONG)
def test_b17_a_wrong_backward_is_named(case):
    returned, error, message = WRONG[case]
    x, y = tg.Tensor(X, requires_grad=True), tg.Tensor(Y, requires_grad=True)
    out = made(returned)(x, y).sum()
    with pytest.raises(error, match=message):
        out.backward()
    assert x.grad is None
    assert y.grad is None


def test_wrong_values_are_found_by_gradcheck():
    with pytest.raises(tg.testing.GradcheckError, match="wrong in"):
        tg.testing.gradcheck(made(lambda g, x, y: (g * y * 1.001, g * x)), X, Y)
    with pytest.raises(tg.testing.GradcheckError, match="wrote to"):
        tg.testing.gradcheck(made(lambda g, x, y: (np.multiply(g, y, out=g), g * x)), X, Y)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda x, y: (x, None), r"mine returned a NoneType, expected an array or a tuple"),
        (lambda x, y: (), r"mine returned an empty tuple, expected an array or a tuple"),
        (lambda x, y: None, r"mine returned a NoneType"),
        (lambda x, y: tg.Tensor(x), r"mine returned a Tensor, expected an array or a tuple of arrays; a function that"),
    ],
)
def test_a_wrong_result_is_named(returned, message):
    with pytest.raises(TypeError, match=message):
        made(lambda g, x, y: (g, g), returned)(tg.Tensor(X), Y)


def test_no_second_derivative_where_backward_leaves_the_tensors():
    x = tg.Tensor(Y, requires_grad=True)
    cut = made(lambda g, x, y: (np.ones(3), np.ones(3)))
    cut(x, Y).sum().backward()
    with pytest.raises(GraphError, match=r"backward of mine for input 0 returned a ndarray, expected a Tensor"):
        cut(x, Y).sum().backward(create_graph=True)
    refused = made(lambda g, x, y: (g * np.frexp(x)[0], g * x))
    with pytest.raises(TypeError, match=r"np\.frexp") as caught:
        refused(x, Y).sum().backward(create_graph=True)
    assert any("the backward of mine was called with Tensors" in note for note in caught.value.__notes__)


def test_misuse():
    bare = tg.differentiable(lambda x: x)
    with pytest.raises(GraphError, match=r"no gradients yet"):
        bare(1.0)
    with pytest.raises(TypeError, match="function of arrays"):
        tg.differentiable(3)
    with pytest.raises(TypeError, match="decorator"):
        bare.backward(3)
    with pytest.raises(TypeError, match="power= must be passed by position"):
        ratio(X, Y, power=tg.Tensor(2.0))


def test_nothing_is_left_behind(no_collector):
    def work():
        x, y = tg.Tensor(X, requires_grad=True), tg.Tensor(Y, requires_grad=True)
        ratio(x, y).sum().backward()
        tg.grad(lambda a: ratio(a, y).sum())(X)
        tg.grad(lambda a: (tg.grad(lambda b: ratio(a, b).sum())(Y) ** 2).sum())(X)

    assert growth(work, 80) < 40


@tg.differentiable
def polar(x, y):
    r = np.hypot(x, y)
    return r, np.arctan2(y, x)


@polar.backward
def _(g, x, y, out):
    (g_r, g_angle), (r, _) = g, out
    return g_r * x / r - g_angle * y / (r * r), g_r * y / r + g_angle * x / (r * r)


@tg.differentiable
def sums(a):
    return a.sum(axis=0), a.sum(), a.astype(np.float32)


@sums.backward
def _(g, a, out):
    columns, total, same = g
    return np.broadcast_to(columns, a.shape) + total + same


def test_several_results_each_have_a_gradient():
    x, y = np.array([0.5, -2.0, 1.5]), np.array([1.0, 0.3, -0.7])
    r, angle = polar(x, y)
    np.testing.assert_allclose(r.data, np.hypot(x, y))
    np.testing.assert_allclose(angle.data, np.arctan2(y, x))
    tg.testing.gradcheck(polar, x, y)
    tg.testing.gradgradcheck(polar, x, y)
    t = tg.Tensor(x, requires_grad=True)
    polar(t, y)[1].sum().backward()  # the other result was not used
    np.testing.assert_allclose(t.grad, -y / (x * x + y * y))
    np.testing.assert_allclose(tg.jacobian(lambda x: polar(x, y)[0])(x), np.diag(x / np.hypot(x, y)))
    each = tg.vmap(lambda x, y: polar(x, y)[1])(x, y)
    np.testing.assert_allclose(each, np.arctan2(y, x))
    step = tg.compile(lambda x: tg.grad(lambda x: (polar(x, y)[0] * polar(x, y)[1]).sum())(x))
    np.testing.assert_allclose(step(x), tg.grad(lambda x: (polar(x, y)[0] * polar(x, y)[1]).sum())(x))


def test_several_results_of_several_shapes_and_dtypes():
    a = tg.Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    columns, total, same = sums(a)
    assert [(part.shape, part.dtype) for part in (columns, total, same)] == [
        ((3,), np.float64),
        ((), np.float64),
        ((2, 3), np.float32),
    ]
    (columns @ np.array([1.0, 2.0, 3.0]) + 10 * total + same[0, 0]).backward()
    np.testing.assert_allclose(a.grad, [[12, 12, 13], [11, 12, 13]])
    indices = tg.differentiable(lambda x: (x, x.argsort())).backward(lambda g, x, out: g[0])
    with pytest.raises(tg.DTypeError, match=r"result 1 of several.*floating point"):
        indices(tg.Tensor([1.0, 0.5], requires_grad=True))
