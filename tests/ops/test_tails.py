"""Far out, where a function has all but reached 1 or 0, and where squares overflow: derivatives against mpmath."""

import itertools

import mpmath as mp
import numpy as np
import pytest

import tensorgrad as tg


def logistic(x):
    return 1 / (1 + mp.exp(-x))


def softplus(x):
    return mp.log1p(mp.exp(x))


def normal(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


def beside_zero(f):
    """A function of one number, of that number beside a zero."""
    return lambda x: f(tg.stack([x, x * 0.0]))


FAR = [0.5, 2.0, -2.0, 9.0, -9.0, 18.0, -18.0, 36.0, -40.0, 60.0, -60.0]
LARGE = [0.5, -3.0, 90.0, 1e10, -1e19, 1e-10, 1e160, -1e-160]
# name: ours, mpmath's, points, up to which order
TAILS = {
    "sigmoid": (tg.sigmoid, logistic, FAR, 3),
    "expit": (tg.special.expit, logistic, FAR, 3),
    "tanh": (tg.tanh, mp.tanh, FAR, 3),
    "sech": (tg.sech, mp.sech, FAR, 3),
    "coth": (tg.coth, mp.coth, FAR, 3),
    "softplus": (tg.softplus, softplus, FAR, 3),
    "log_sigmoid": (tg.log_sigmoid, lambda x: -softplus(-x), FAR, 3),
    "logaddexp": (lambda x: tg.logaddexp(x, 0.0), softplus, FAR, 3),
    "logaddexp2": (lambda x: tg.logaddexp2(0.0, x), lambda x: mp.log1p(mp.power(2, x)) / mp.log(2), FAR, 3),
    "logsumexp": (beside_zero(tg.logsumexp), softplus, FAR, 3),
    "logcumsumexp": (beside_zero(lambda x: tg.logcumsumexp(x)[1]), softplus, FAR, 3),
    "log_softmax": (beside_zero(lambda x: tg.log_softmax(x)[0]), lambda x: -softplus(-x), FAR, 3),
    "silu": (tg.silu, lambda x: x * logistic(x), FAR, 3),
    "mish": (tg.mish, lambda x: x * mp.tanh(softplus(x)), FAR, 3),
    "gelu": (tg.gelu, lambda x: x * normal(x), [0.5, -2.5, 5.0, -5.0, -9.0, -20.0], 3),
    "gelu, tanh": (
        lambda x: tg.gelu(x, approximate="tanh"),
        lambda x: x * logistic(2 * mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3)),
        [0.5, 2.0, -2.0, 5.0, -5.0],
        2,
    ),
    "erfcx": (tg.special.erfcx, lambda x: mp.exp(x * x) * mp.erfc(x), [-2.0, 0.5, 1.9, 2.1, 9.0, 40.0, 1000.0, 1e6], 3),
    "log_ndtr": (tg.special.log_ndtr, lambda x: mp.log(normal(x)), [1.0, -2.0, -9.0, -40.0, -1e4], 2),
    "ndtri": (
        tg.special.ndtri,
        lambda p: mp.findroot(lambda t: mp.log(normal(t) / p), mp.mpf(float(tg.special.ndtri(float(p)).data))),
        [0.3, 1e-9, 1e-25],
        1,
    ),
    "arcsinh": (tg.arcsinh, mp.asinh, LARGE, 2),
    "arccsch": (tg.arccsch, mp.acsch, LARGE, 1),
    "arcsech": (tg.arcsech, mp.asech, [0.5, 1e-25, 1e-160], 1),
    "arccosh": (tg.arccosh, mp.acosh, [2.0, 1e19, 1e160], 2),
    "arcsec": (tg.arcsec, mp.asec, [-2.0, 1e10, -1e15], 2),
    "softsign": (tg.softsign, lambda x: x / (1 + abs(x)), [0.5, -3.0, 1e10, -1e19, 1e100], 3),
    "hypot": (lambda x: tg.hypot(x, 1.0), lambda x: mp.sqrt(1 + x * x), [0.5, -3.0, 90.0, 1e10, 1e19, 1e160], 2),
    "gammainc": (
        lambda x: tg.special.gammainc(2.5, x),
        lambda x: mp.gammainc(2.5, 0, x, regularized=True),
        [1e-10, 0.5, 3.0, 50.0],
        3,
    ),
    "spence": (tg.special.spence, lambda x: mp.polylog(2, 1 - x), [0.6, 0.99, 1.01, 1.4], 3),
}


@pytest.mark.promise("D10")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", TAILS)
def test_derivatives_far_out(name, dtype):
    ours, exact, points, orders = TAILS[name]
    limits = np.finfo(dtype)
    for x in points:
        if not float(limits.tiny) <= abs(x) <= float(limits.max):
            continue
        leaf = tg.Tensor(dtype(x), requires_grad=True)
        at, result = mp.mpf(float(leaf.data)), ours(leaf)
        for order in range(1, orders + 1):
            leaf.grad = None
            result.backward(create_graph=True)
            result = leaf.grad
            with mp.workdps(90):
                want = mp.re(mp.diff(exact, at, order, h=abs(at) * mp.mpf(10) ** -20))
            if not 1e3 * float(limits.tiny) <= abs(want) <= 1e-3 * float(limits.max):
                continue
            error = abs(mp.mpf(float(result.data)) / want - 1)
            assert error < 2000 * float(limits.eps), f"at {x}, order {order}: {result.data}, not {mp.nstr(want, 9)}"


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "log_softmax", "arcsinh"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_many_numbers_are_as_exact_as_few(name, dtype):
    f = getattr(tg, name)
    x = np.random.default_rng(0).uniform(-25, 25, (5000, 2)).astype(dtype)
    weights = np.array([1.0, 0.0], dtype)
    few = tg.vmap(tg.grad(lambda row: (f(row) * weights).sum()))(x)
    many = tg.grad(lambda rows: (f(rows) * weights).sum())(x)
    np.testing.assert_allclose(many.data, few.data, rtol=200 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("columns", [1, 2, 10, 32, 33])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_the_log_softmax_of_many_short_rows_is_that_of_each(dtype, columns, order):
    rng = np.random.default_rng(columns)
    x = np.asarray(rng.normal(scale=8, size=(60, columns)), dtype, order=order)
    x[0] = 0.0
    x[1, 0], x[2, -1], x[3] = np.inf, -np.inf, -np.inf
    x[4, 0] = np.nan
    weights = np.cos(np.arange(columns)).astype(dtype)
    wanted = [tg.value_and_grad(lambda row: (tg.log_softmax(row) * weights).sum())(row) for row in x]
    before = x.copy()
    out = tg.log_softmax(x)
    gradient = tg.grad(lambda rows: (tg.log_softmax(rows)[5:] * weights).sum())(x)[5:]
    assert out.dtype == dtype
    assert out.data.flags.f_contiguous == x.flags.f_contiguous
    np.testing.assert_array_equal(x, before)
    eps = 20 * np.finfo(dtype).eps
    each = np.array([tg.log_softmax(row).data for row in x])
    np.testing.assert_allclose(out.data, each, rtol=eps, atol=eps)
    np.testing.assert_allclose(gradient, [g for _, g in wanted][5:], rtol=10 * eps, atol=eps)

    steps = tg.compile(backend="numpy")(tg.log_softmax)
    for _ in range(2):
        np.testing.assert_array_equal(steps(x).data, out.data)


def test_the_third_derivative_of_log_ndtr_far_to_the_left():
    third = tg.grad(tg.grad(tg.grad(tg.special.log_ndtr)))(-500.0)
    np.testing.assert_allclose(np.asarray(third), 1.59992320e-8, rtol=1e-7)


# --- sizes whose squares overflow or underflow --------------------------------------------------------------------


SIZED = {
    "norm": (tg.linalg.norm, 1),
    "norm of complex": (lambda a: tg.linalg.norm(a + 0j), 1),
    "norm, p = 3": (lambda a: tg.linalg.vector_norm(a, ord=3), 1),
    "norms of rows": (lambda a: tg.linalg.norm(a, axis=1).sum(), 1),
    "std": (tg.std, 1),
    "nuclear norm": (lambda a: tg.linalg.norm(a, "nuc"), 1),
    "singular vectors": (lambda a: (tg.linalg.svd(a, full_matrices=False).U * WEIGHTS.T).sum(), 0),
    "pinv": (lambda a: (tg.linalg.pinv(a) * WEIGHTS).sum(), -1),
}
WEIGHTS = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize("scale", [1e18, 1e-14, 1e-17])
@pytest.mark.parametrize("name", SIZED)
def test_sizes_whose_squares_leave_float32(name, scale):
    f, degree = SIZED[name]
    a = np.array([[1.0, 2.0], [-0.5, 1.5], [0.3, -1.0]])
    value, gradient = tg.value_and_grad(f)(a)
    got, slope = tg.value_and_grad(f)((a * scale).astype(np.float32))
    np.testing.assert_allclose(got / scale**degree, value, rtol=1e-5)
    np.testing.assert_allclose(slope.astype(np.float64) / scale ** (degree - 1), gradient, rtol=1e-5, atol=1e-6)


# --- polynomials at singular matrices --------------------------------------------------------------------------------


@pytest.mark.promise("D3")
@pytest.mark.parametrize("rank", range(4))
def test_four_derivatives_of_a_determinant(rank):
    rng = np.random.default_rng(rank)
    n = 4
    base = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, n))
    turns = rng.normal(size=(4, n, n))
    leaf = tg.Tensor(base, requires_grad=True)
    result = tg.linalg.det(leaf)
    for order in range(1, 5):
        leaf.grad = None
        result.backward(create_graph=True)
        result = (leaf.grad * turns[order - 1]).sum()
        # The coefficient of t1 t2 ... is a sum of determinants with rows from different matrices.
        want = 0.0
        for rows in itertools.permutations(range(n), order):
            mixed = base.copy()
            for turn, row in zip(turns, rows):
                mixed[row] = turn[row]
            want += np.linalg.det(mixed)
        np.testing.assert_allclose(result.data, want, rtol=1e-9, atol=1e-10)


def test_the_third_derivative_of_a_determinant_of_two_rows_is_zero():
    assert not tg.jacobian(tg.hessian(tg.linalg.det))(np.zeros((2, 2))).any()


def test_a_norm_of_even_order_is_smooth_where_one_element_is_zero():
    leaf = tg.Tensor([0.0, 2.0], requires_grad=True)
    result = tg.linalg.vector_norm(leaf, ord=4)
    for _ in range(4):
        leaf.grad = None
        result.backward(create_graph=True)
        result = leaf.grad[0]
    np.testing.assert_allclose(result.data, 6 / 2**3)
