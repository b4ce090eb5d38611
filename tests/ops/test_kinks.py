"""Points where a derivative does not exist, is infinite, or belongs to a branch that was not taken.

Single gradients at kinks are listed with their operations in ``cases``; the tests here need more than one call.
"""

import numpy as np
import pytest

import tensorgrad as tg


def derivatives(f, x):
    """The first and second derivatives of sum(f(x)), elementwise in effect."""
    leaf = tg.Tensor(x, requires_grad=True)
    f(leaf).sum().backward(create_graph=True)
    first = leaf.grad
    leaf.grad = None
    if first.requires_grad:
        first.sum().backward()
    second = np.zeros_like(leaf.data) if leaf.grad is None else leaf.grad
    return first.data, second


POINTS = np.array([-2.0, -0.5, 0.0, 0.25, 0.5, 3.0])

# where(live(x), f(x), 0): where x is not live, f or a derivative of it is NaN or infinite.
DEAD_BRANCHES = {
    "sqrt": (lambda x: tg.sqrt(x), lambda x: x > 0),
    "log": (lambda x: tg.log(x), lambda x: x > 0),
    "reciprocal": (lambda x: tg.reciprocal(x), lambda x: x != 0),
    "1 / x": (lambda x: 1 / x, lambda x: x != 0),
    "x / x": (lambda x: x / x, lambda x: x != 0),
    "sin(x) / x": (lambda x: tg.sin(x) / x, lambda x: x != 0),
    "tanh(x) / x": (lambda x: tg.tanh(x) / x, lambda x: x != 0),
    "x**3 / abs(x)": (lambda x: x**3 / abs(x), lambda x: x != 0),
    "x**0.5": (lambda x: x**0.5, lambda x: x > 0),
    "x**1.5": (lambda x: x**1.5, lambda x: x > 0),
    "x**-0.5": (lambda x: x**-0.5, lambda x: x > 0),
    "x**-1": (lambda x: x**-1.0, lambda x: x != 0),
    "x**x": (lambda x: x**x, lambda x: x > 0),
    "0.5**(1/x)": (lambda x: 0.5 ** (1 / x), lambda x: x > 0),
    "arccos": (lambda x: tg.arccos(x), lambda x: abs(x) < 1),
    "arcsin": (lambda x: tg.arcsin(x), lambda x: abs(x) < 1),
    "sqrt(1 - x*x)": (lambda x: tg.sqrt(1 - x * x), lambda x: abs(x) < 1),
    "log1p": (lambda x: tg.log1p(x), lambda x: x > -1),
    "log(1 - x)": (lambda x: tg.log(1 - x), lambda x: x < 1),
    "x log(x)": (lambda x: x * tg.log(x), lambda x: x > 0),
    "1 / sqrt(x)": (lambda x: 1 / tg.sqrt(x), lambda x: x > 0),
    "log(sqrt(x))": (lambda x: tg.log(tg.sqrt(x)), lambda x: x > 0),
    "sqrt(log(x))": (lambda x: tg.sqrt(tg.log(x)), lambda x: x > 1),
    "sqrt(abs(x))": (lambda x: tg.sqrt(abs(x)), lambda x: x != 0),
    "exp(1 / x)": (lambda x: tg.exp(1 / x), lambda x: x > 0),
    "exp(-1 / x)": (lambda x: tg.exp(-1 / x), lambda x: x > 0),
    "exp(300 x)": (lambda x: tg.exp(300 * x), lambda x: x < 1),
    "log(exp(250 x))": (lambda x: tg.log(tg.exp(250 * x)), lambda x: x < 1),
    "norm / norm": (lambda x: x / tg.linalg.norm(x[..., None], axis=-1), lambda x: x != 0),
}


@pytest.mark.promise("D9")
@pytest.mark.parametrize("name", DEAD_BRANCHES)
def test_a_dead_branch_has_no_gradient(name):
    f, live = DEAD_BRANCHES[name]
    with np.errstate(invalid="ignore"):  # 0 * inf in x * log(x): NumPy warns, as for any product
        first, second = derivatives(lambda x: tg.where(live(x.data), f(x), 0.0), POINTS)
    for i, point in enumerate(POINTS):
        expected = derivatives(f, point) if live(point) else (0.0, 0.0)
        assert np.isfinite(expected).all()
        np.testing.assert_allclose((first[i], second[i]), expected, rtol=1e-14, atol=1e-15)


@pytest.mark.promise("D9")
def test_a_dead_row_of_norms():
    x = np.array([[3.0, 4.0], [0.0, 0.0]])

    def unit(x):
        lengths = tg.sqrt((x * x).sum(axis=1, keepdims=True))
        return tg.where(lengths.data > 0, x / lengths, 0.0)[:, 0]

    first, second = derivatives(unit, x)
    np.testing.assert_allclose(first, [[16 / 125, -12 / 125], [0, 0]], rtol=1e-14)
    assert np.isfinite(second).all()
    assert not second[1].any()


ROWS = np.array([[1.0, -2.0, 0.5], [np.nan, np.nan, np.nan], [0.3, 4.0, -1.0], [np.inf, -np.inf, 1.0]])
OK = np.isfinite(ROWS).all(axis=1)
MATRIX = np.array([[0.5, -1.0], [2.0, 0.25], [-0.75, 1.5]])
SQUARE = np.array([[0.5, -1.0, 0.3], [2.0, 0.25, 1.0], [-0.75, 1.5, 2.0]])


def matrices(x):
    """A matrix for each row."""
    return SQUARE + x[:, :, None] * x[:, None, :]


# where(ok, f(x), 0): f of whole rows, some of which hold NaN or infinity.
DEAD_ROWS = {
    "softmax": lambda x: tg.softmax(x)[:, :2],
    "log_softmax": lambda x: tg.log_softmax(x)[:, :2],
    "logsumexp": lambda x: tg.logsumexp(x, axis=1, keepdims=True),
    "prod": lambda x: x.prod(axis=1, keepdims=True),
    "norm": lambda x: tg.linalg.norm(x, axis=1, keepdims=True),
    "norm, 3": lambda x: tg.linalg.vector_norm(x, axis=1, keepdims=True, ord=3),
    "mean": lambda x: (x * x).mean(axis=1, keepdims=True),
    "var": lambda x: x.var(axis=1, keepdims=True),
    "std": lambda x: x.std(axis=1, keepdims=True),
    "max": lambda x: x.max(axis=1, keepdims=True) * x[:, :1],
    "cumsum": lambda x: tg.cumsum(x * x, axis=1),
    "cumprod": lambda x: tg.cumprod(x, axis=1),
    "matmul": lambda x: x @ MATRIX,
    "two matmuls": lambda x: tg.tanh(x @ MATRIX) @ MATRIX.T,
    "einsum": lambda x: tg.einsum("ij,jk,ij->ik", x, MATRIX, x),
    "outer of a row": lambda x: (x[:, :, None] * x[:, None, :]).sum(axis=2),
    "median": lambda x: tg.median(x * x, axis=1, keepdims=True),
    "sort": lambda x: tg.sort(x * x * x, axis=1) * np.arange(1.0, 4.0),
    "quantile": lambda x: tg.quantile(x * x, 0.3, axis=1, keepdims=True),
    "logcumsumexp": lambda x: tg.logcumsumexp(x, axis=1),
    "convolve": lambda x: tg.stack([tg.convolve(row * row, [1.0, -2.0]) for row in x]),
    "windows": lambda x: tg.sliding_window_view(x, 2, axis=1).prod(axis=2),
    "fft": lambda x: tg.abs(tg.fft.rfft(x, axis=1)),
    "solve": lambda x: tg.linalg.solve(matrices(x), np.ones((3, 1)))[:, :, 0],
    "inv": lambda x: tg.linalg.inv(matrices(x)).sum(axis=2),
    "det": lambda x: tg.linalg.det(matrices(x))[:, None],
    "slogdet": lambda x: tg.linalg.slogdet(matrices(x)).logabsdet[:, None],
    "cholesky": lambda x: tg.linalg.cholesky(matrices(x) @ matrices(x).mT).sum(axis=2),
    "layer norm": lambda x: (x - x.mean(axis=1, keepdims=True)) / tg.sqrt(x.var(axis=1, keepdims=True) + 1e-5),
}


@pytest.mark.promise("D9")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", DEAD_ROWS)
def test_a_dead_row_has_no_gradient(name, dtype):
    f = DEAD_ROWS[name]

    def masked(x):
        return tg.where(OK[:, None], f(x), 0.0)

    with np.errstate(all="ignore"):
        first, second = derivatives(masked, ROWS.astype(dtype))
    for i, row in enumerate(ROWS):
        expected = derivatives(f, row[None].astype(dtype)) if OK[i] else (np.zeros((1, 3)),) * 2
        assert np.isfinite(expected).all()
        tolerance = 1e-13 if dtype == np.float64 else 1e-5
        np.testing.assert_allclose(first[i], expected[0][0], rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(second[i], expected[1][0], rtol=tolerance, atol=tolerance)


@pytest.mark.promise("D9")
def test_a_linear_layer_learns_only_from_the_live_rows():
    w = tg.Tensor(MATRIX, requires_grad=True)
    b = tg.Tensor([0.1, -0.2], requires_grad=True)
    with np.errstate(all="ignore"):
        tg.where(OK[:, None], tg.tanh(tg.Tensor(ROWS) @ w + b), 0.0).sum().backward()
    other, bias = tg.Tensor(MATRIX, requires_grad=True), tg.Tensor([0.1, -0.2], requires_grad=True)
    tg.tanh(tg.Tensor(ROWS[OK]) @ other + bias).sum().backward()
    np.testing.assert_allclose(w.grad, other.grad, rtol=1e-14)
    np.testing.assert_allclose(b.grad, bias.grad, rtol=1e-14)


@pytest.mark.promise("D9")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_second_derivatives_of_a_linear_layer_use_only_the_live_rows(dtype):
    def penalty(rows, live):
        w = tg.Tensor(MATRIX, dtype=dtype, requires_grad=True)
        x = tg.Tensor(rows, dtype=dtype, requires_grad=True)
        tg.where(live[:, None], tg.tanh(0.3 * x @ w), 0.0).sum().backward(create_graph=True)
        first, w.grad = (x.grad**2).sum() + (w.grad**2).sum(), None
        first.backward()
        return w.grad

    with np.errstate(all="ignore"):
        got = penalty(ROWS, OK)
    assert got.dtype == dtype
    expected = penalty(ROWS[OK], OK[OK])
    np.testing.assert_allclose(got, expected, rtol=1e-13 if dtype == np.float64 else 1e-5)


def test_a_genuine_nan_stays_nan():
    x = tg.Tensor(ROWS, requires_grad=True)
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="loss that is nan"):
        tg.softmax(x).sum().backward()
    assert np.isnan(x.grad[1]).all()
    w = tg.Tensor(MATRIX, requires_grad=True)
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="loss that is nan"):
        (tg.Tensor(ROWS) @ w).sum().backward()
    assert np.isnan(w.grad[0]).all()


@pytest.mark.promise("D2")
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("name", ["max", "min"])
def test_seventy_thousand_ties(name, dtype):
    x = tg.Tensor(np.ones(70_000), dtype=dtype, requires_grad=True)
    getattr(tg, name)(x).backward()
    assert x.grad.dtype == dtype
    assert np.ptp(x.grad) == 0
    np.testing.assert_allclose(x.grad.sum(dtype=np.float64), 1, rtol=2e-3 if dtype == np.float16 else 1e-6)


@pytest.mark.promise("D7")
@pytest.mark.parametrize("x", [[2.0, 0.0, 3.0, 5.0], [2.0, 0.0, 0.0, 5.0], [0.0, 0.0, 0.0, 5.0], [0.0], []])
def test_products_with_zeros(x):
    x = np.array(x)
    n = len(x)
    hessian = tg.hessian(lambda t: t.prod())(x)
    expected = [[np.prod(np.delete(x, [i, j])) if i != j else 0.0 for j in range(n)] for i in range(n)]
    np.testing.assert_array_equal(np.asarray(hessian), np.reshape(expected, (n, n)))


@pytest.mark.parametrize("x", [[2.0, 0.0, 3.0, 0.0, 1.5], [0.0, 4.0, 5.0], [0.0, 0.0, 0.0, 2.0]])
def test_running_products_with_zeros(x):
    x = np.array(x)
    n, w = len(x), np.arange(1.0, len(x) + 1)
    hessian = tg.hessian(lambda t: (tg.cumprod(t) * w).sum())(x)
    expected = np.zeros((n, n))
    for i, j in np.ndindex(n, n):
        if i != j:
            expected[i, j] = sum(w[k] * np.prod(np.delete(x[: k + 1], [i, j])) for k in range(max(i, j), n))
    np.testing.assert_array_equal(np.asarray(hessian), expected)


@pytest.mark.promise("A10")
def test_a_thousand_inputs_of_one_sum_and_one_product():
    xs = [tg.Tensor([float(i != 500), 1.0], requires_grad=True) for i in range(1000)]
    tg.add_sequence(*xs).sum().backward()
    assert all(x.grad.tolist() == [1.0, 1.0] for x in xs)
    for x in xs:
        x.grad = None
    tg.multiply_sequence(*xs).sum().backward()
    assert all(x.grad.tolist() == [float(i == 500), 1.0] for i, x in enumerate(xs))


def test_a_running_logsumexp_whose_gradient_vanishes_has_a_second_derivative():
    # At x = 0 the result is 0, and so is the gradient of y * y / 2; the second derivative is not.
    hessian = tg.hessian(lambda t: (tg.logcumsumexp(t) ** 2).sum() / 2)(np.array([0.0, -np.inf]))
    np.testing.assert_allclose(np.asarray(hessian)[0, 0], 2.0)


def test_python_numbers_alone_make_float64():
    for result in (tg.xlogy(2.0, 3.0), tg.lerp(0.0, 1.0, 0.5), tg.add_sequence(1.0, 2.0), tg.rsqrt(4)):
        assert result.dtype == np.float64


def test_a_product_of_many_factors():
    x = np.linspace(0.5, 1.5, 1001)
    leaf = tg.Tensor(x, requires_grad=True)
    leaf.prod().backward()
    np.testing.assert_allclose(leaf.grad, np.prod(x) / x, rtol=1e-12)


@pytest.mark.promise("D8")
def test_poles_give_infinities_and_no_warning():
    zero = tg.Tensor([0.0])
    assert tg.sqrt(zero).item() == 0
    assert tg.log(zero).item() == -np.inf
    assert (1 / zero).item() == np.inf
    assert np.isnan(tg.sqrt(-1 - zero).item())
    assert np.isnan((zero / zero).item())


LARGE = np.array([1e4, -1e4])


@pytest.mark.promise("D10")
@pytest.mark.parametrize(
    ("f", "values", "first"),
    [
        (tg.sigmoid, [1, 0], [0, 0]),
        (tg.tanh, [1, -1], [0, 0]),
        (tg.softplus, [1e4, 0], [1, 0]),
        (tg.log_sigmoid, [0, -1e4], [0, 1]),
        (tg.logsumexp, 1e4, [1, 0]),
        (tg.softmax, [1, 0], [0, 0]),
        (tg.log_softmax, [0, -2e4], [-1, 1]),
        (lambda x: tg.logaddexp(x, 0.0), [1e4, 0], [1, 0]),
        (lambda x: tg.logaddexp(0.0, x), [1e4, 0], [1, 0]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_large_numbers(f, values, first, dtype):
    x = LARGE.astype(dtype)
    np.testing.assert_array_equal(f(x).data, np.asarray(values, dtype=dtype))
    got, second = derivatives(f, x)
    np.testing.assert_array_equal(got, np.asarray(first, dtype=dtype))
    np.testing.assert_array_equal(second, np.zeros(2, dtype=dtype))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_gradients_at_large_equal_numbers(dtype):
    for f in (lambda x: tg.logsumexp(x), lambda x: tg.logaddexp(x[0], x[1])):
        first, _ = derivatives(f, np.array([1e4, 1e4], dtype=dtype))
        np.testing.assert_allclose(first, [0.5, 0.5], rtol=2 * np.finfo(dtype).eps)


def test_a_wrong_class_of_minus_infinity():
    x = tg.Tensor([[1.0, -np.inf, 2.0]], requires_grad=True)
    loss = -tg.take_along_axis(tg.log_softmax(x), [[2]], axis=1).sum()
    loss.backward()
    p = np.exp([1.0, 2.0]) / np.exp([1.0, 2.0]).sum()
    np.testing.assert_allclose(x.grad, [[p[0], 0, p[1] - 1]], rtol=1e-15)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_nothing_but_minus_infinity_is_nan_without_a_warning(name):
    assert np.isnan(getattr(tg, name)([-np.inf, -np.inf]).data).all()


@pytest.mark.promise("D1", "D3", "D4", "D6")
def test_second_derivatives_at_kinks_are_those_of_the_convention():
    for f in (
        tg.relu,
        tg.leaky_relu,
        tg.abs,
        tg.sign,
        lambda x: tg.clip(x, 0.0, 1.0),
        lambda x: tg.maximum(x, 0.0),
    ):
        assert derivatives(f, np.array([0.0, 2.0]))[1].tolist() == [0.0, 0.0]
    for f in (tg.linalg.norm, tg.std):
        assert derivatives(f, np.zeros(2))[1].tolist() == [0.0, 0.0]


@pytest.mark.promise("D8")
@pytest.mark.parametrize("values", [[1.0, 2, np.inf, 4], [-np.inf, 2, 3, 4], [1.0, 2, -np.inf, 4], [1, 2, 3, np.inf]])
def test_an_infinite_value_does_not_reach_the_knots_beside_it(values):
    at = np.array([1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0])
    x, f = tg.Tensor(at, requires_grad=True), tg.Tensor(values, requires_grad=True)
    out = tg.interp(x, [1.0, 2.0, 3.0, 4.0], f)
    np.testing.assert_array_equal(out.data, np.interp(at, [1.0, 2.0, 3.0, 4.0], values))
    assert tg.interp(2.0, [1.0, 2, 3, 4], [1, 2, np.inf, 4]).item() == 2
    out[2].backward()
    assert f.grad.tolist() == [0.0, 1.0, 0.0, 0.0]


# --- float16, which is exact for integers up to 2048 and ends at 65504 ------------------------------------

SPREAD = np.linspace(-1.0, 1.0, 70_000)
HALF = {
    "broadcast": (lambda x: (x + np.zeros((8192, 1), dtype=np.float16)).sum(), SPREAD[:3]),
    "gather": (lambda x: x[np.zeros(8192, dtype=int)].sum(), SPREAD[:1]),
    "cumsum": (lambda x: tg.cumsum(x).sum(), 0 * SPREAD[:8192]),
    "mean": (tg.mean, SPREAD),
    "var": (tg.var, SPREAD),
    "std": (tg.std, 100 * SPREAD),
    "logsumexp": (tg.logsumexp, SPREAD),
    "softmax": (lambda x: (tg.softmax(x) * np.arange(2.0, dtype=np.float16).repeat(35_000)).sum(), SPREAD),
    "log_softmax": (lambda x: tg.log_softmax(x).mean(), SPREAD),
    "norm": (tg.linalg.norm, 200 * SPREAD),
    "norm of order 3": (lambda x: tg.linalg.vector_norm(x, ord=3), 1000 * SPREAD),
    "prod": (tg.prod, np.array([1000.0, 1000.0, 1e-3, 1e-3])),
}


@pytest.mark.promise("E11")
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("name", HALF)
def test_many_numbers_of_float16(name, recorded):
    f, x = HALF[name]
    half = x.astype(np.float16)
    wide = tg.Tensor(half, dtype=np.float64, requires_grad=True)
    narrow = tg.Tensor(half, requires_grad=True)
    for leaf in (wide, narrow):
        f(leaf).backward(create_graph=recorded)
    got, expected = (np.asarray(leaf.grad.data if recorded else leaf.grad) for leaf in (narrow, wide))
    assert got.dtype == np.float16
    assert expected.any()
    np.testing.assert_allclose(got, expected, rtol=3e-3, atol=2e-7)  # float16 has fewer digits below 6e-5


@pytest.mark.promise("E11")
def test_values_of_many_numbers_of_float16():
    x = np.zeros(70_000, dtype=np.float16)
    np.testing.assert_allclose(tg.softmax(x).data, 1 / 70_000, rtol=3e-3)
    np.testing.assert_allclose(tg.log_softmax(x).data, -np.log(70_000), rtol=1e-3)
    np.testing.assert_allclose(tg.logsumexp(x).data, np.log(70_000), rtol=1e-3)
    factors = np.array([300, 300, 0.01, 0.01], dtype=np.float16)  # the product of the first two is over 65504
    expected = np.prod(factors, dtype=np.float64)
    # Along the last axis NumPy multiplies in float32 whatever it is told; along the first it does not.
    for product in (tg.prod(factors), tg.prod(np.stack([factors, factors], axis=1), axis=0)):
        assert product.dtype == np.float16
        np.testing.assert_allclose(product.data, expected, rtol=1e-3)


# --- activations ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "at_zero"),
    [
        (tg.silu, 0.5),
        (tg.mish, 0.64),
        (tg.gelu, np.sqrt(2 / np.pi)),
        (lambda x: tg.gelu(x, approximate="tanh"), np.sqrt(2 / np.pi)),
        (tg.tanhshrink, 0.0),
        (tg.softsign, 0.0),
        (lambda x: tg.celu(x, alpha=0.5), 2.0),
        (tg.elu, 1.0),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_second_derivative_of_an_activation_at_zero_and_far_away(f, at_zero, dtype):
    _, second = derivatives(f, np.array([0.0, 1e4, -1e4], dtype))
    np.testing.assert_allclose(second, [at_zero, 0, 0], rtol=4 * np.finfo(dtype).eps, atol=1e-11)


def test_a_hard_choice_is_exact_and_has_the_gradient_of_the_soft_one():
    logits = tg.Tensor([[0.3, -0.2, 0.1], [2.0, 0.0, -1.0]], requires_grad=True)
    weights = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 4.0]])
    soft = tg.gumbel_softmax(logits, tau=0.7, rng=3)
    hard = tg.gumbel_softmax(logits, tau=0.7, hard=True, rng=3)
    np.testing.assert_array_equal(hard.data, np.eye(3)[soft.data.argmax(axis=1)])
    (hard * weights).sum().backward()
    got, logits.grad = logits.grad, None
    (soft * weights).sum().backward()
    np.testing.assert_array_equal(got, logits.grad)
    chosen = tg.gumbel_softmax(np.tile(np.log([0.2, 0.5, 0.3]), (20_000, 1)), hard=True, rng=0).data
    np.testing.assert_allclose(chosen.mean(axis=0), [0.2, 0.5, 0.3], atol=0.015)
