"""Options of NumPy's functions, for Tensors with a history: NumPy's values and dtypes, and gradients."""

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.errors import DTypeError, ShapeError

NAN = np.nan
A = np.array([[1.0, 2.5, 3.0], [4.0, 5.0, 7.5]])
HOLES = np.array([[1.0, 2.5, NAN], [4.0, 5.0, 7.5]])
V = np.array([3.0, 1.0, 2.0])
W = np.array([1.0, 2.0, 0.5])
MASK = np.array([[True, False, True], [True, True, False]])
ROW = np.array([True, False, True])

OPTIONS = {
    "nansum": (lambda x: np.nansum(x, axis=1, where=MASK, initial=3.0), HOLES),
    "nanprod": (lambda x: np.nanprod(x, axis=1, where=MASK, initial=3.0), HOLES),
    "nanmax": (lambda x: np.nanmax(x, axis=0, where=MASK, initial=2.0), HOLES),
    "nanmin": (lambda x: np.nanmin(x, axis=0, where=MASK, initial=6.0), HOLES),
    "nanmax of NaN and initial": (lambda x: np.nanmax(x, axis=0, initial=2.0), HOLES),
    "nanmean": (lambda x: np.nanmean(x, axis=1, where=MASK), HOLES),
    "nanvar": (lambda x: np.nanvar(x, axis=1, where=MASK), HOLES),
    "nanvar, correction": (lambda x: np.nanvar(x, correction=1), HOLES),
    "nanvar, mean": (lambda x: np.nanvar(x, axis=0, mean=np.float64(3.0)), HOLES),
    "nanstd": (lambda x: np.nanstd(x, axis=1, where=ROW, ddof=0), HOLES),
    "nanstd, mean": (lambda x: np.nanstd(x, mean=3.0), HOLES),
    "var, mean": (lambda x: np.var(x, axis=0, mean=np.float64(3.0), ddof=1), A),
    "var, its own mean": (lambda x: np.var(x, axis=1, mean=np.mean(x, axis=1, keepdims=True)), A),
    "var, where and mean": (lambda x: np.var(x, axis=1, where=MASK, mean=2.0), A),
    "std, mean": (lambda x: np.std(x, mean=2.0), A),
    "reshape, F": (lambda x: np.reshape(x, (3, -1), order="F"), A),
    "reshape, A": (lambda x: np.reshape(x.T, (2, 3), order="A"), A),
    "ravel, F": (lambda x: np.ravel(x, order="F"), A),
    "t.ravel, F": (lambda x: x.ravel(order="F"), A),
    "t.flatten, F": (lambda x: x.flatten("F"), A),
    "t.reshape, F": (lambda x: x.reshape(3, 2, order="F"), A),
    "take, wrap": (lambda x: np.take(x, [5, -7, 0], mode="wrap"), V),
    "take, clip": (lambda x: np.take(x, [5, -7], axis=1, mode="clip"), A),
    "add, options": (lambda x: np.add(x, x, casting="same_kind", order="K", subok=True, where=True), A),
    "clip, casting": (lambda x: np.clip(x, 1.5, None, casting="same_kind"), A),
    "cov, fweights": (lambda x: np.cov(x, fweights=[1, 2, 3]), A),
    "cov, aweights": (lambda x: np.cov(x, aweights=W), A),
    "cov, both": (lambda x: np.cov(x, fweights=[1, 2, 3], aweights=W, ddof=2), A),
    "cov, aweights, bias": (lambda x: np.cov(x, aweights=W, bias=True), A),
    "cov by aweights": (lambda x: np.cov(A, aweights=x), W),
    "angle, deg": (lambda x: np.angle(np.exp(1j * x), deg=True), V),
    "linspace, retstep": (lambda x: np.linspace(x[0], x[1], 5, retstep=True)[1], V),
    "linspace, open, retstep": (lambda x: np.linspace(x[0], x[1], 5, endpoint=False, retstep=True)[1], V),
    "einsum, order": (lambda x: np.einsum("ij,j->i", x, V, order="K", casting="safe"), A),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_value_and_gradient(name):
    f, x = OPTIONS[name]
    expected = f(x)
    result = f(tg.Tensor(x, requires_grad=True))
    assert isinstance(result, tg.Tensor)
    assert result.requires_grad
    np.testing.assert_allclose(result.data, expected, rtol=1e-13)
    assert result.dtype == expected.dtype
    holes = np.isnan(x)
    tg.testing.gradcheck(lambda t: f(tg.where(holes, NAN, t)), np.where(holes, 0.0, x))


DTYPES = {
    "add": lambda x: np.add(x, 1, dtype=np.float32),
    "sqrt": lambda x: np.sqrt(x, dtype=np.float32),
    "add, wider": lambda x: np.add(x.astype(np.float32), x.astype(np.float32), dtype=np.float64),
    "matmul": lambda x: np.matmul(x, V, dtype=np.float32),
    "clip": lambda x: np.clip(x, 1.5, None, dtype=np.float32),
    "var": lambda x: np.var(x, dtype=np.float32),
    "std": lambda x: np.std(x, axis=0, dtype=np.float32),
    "nansum": lambda x: np.nansum(x, dtype=np.float32),
    "nanprod": lambda x: np.nanprod(x, axis=0, dtype=np.float32),
    "nanmean": lambda x: np.nanmean(x, dtype=np.float32),
    "nanvar": lambda x: np.nanvar(x, dtype=np.float32),
    "nanstd": lambda x: np.nanstd(x, axis=0, dtype=np.float32),
    "cov": lambda x: np.cov(x, dtype=np.float32),
    "trace": lambda x: np.trace(x, dtype=np.float32),
    "einsum": lambda x: np.einsum("ij,j->i", x, V, dtype=np.float32, casting="same_kind"),
    "einsum, lists": lambda x: np.einsum(x, [0, 1], V, [1], [0], dtype=np.float32, casting="same_kind"),
}


@pytest.mark.parametrize("name", DTYPES)
def test_dtype(name):
    f = DTYPES[name]
    expected = f(A)
    t = tg.Tensor(A, requires_grad=True)
    result = f(t)
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result.data, expected, rtol=1e-5)
    result.sum().backward()
    assert t.grad.dtype == np.float64


LIKE = {
    "ones_like": lambda x: np.ones_like(x, shape=(2,)),
    "zeros_like": lambda x: np.zeros_like(x, shape=2),
    "full_like": lambda x: np.full_like(x, 3.0, shape=(2, 1)),
    "full_like, dtype": lambda x: np.full_like(x, 3, shape=(2, 1), dtype=int),
    "full": lambda x: np.full((2,), 3.0, like=x),
    "ones": lambda x: np.ones((2,), like=x),
    "array": lambda x: np.array([1.0, 2.0], like=x),
    "arange": lambda x: np.arange(3, like=x),
    "eye": lambda x: np.eye(3, like=x),
}


@pytest.mark.parametrize("name", LIKE)
def test_arrays_like_a_tensor(name):
    f = LIKE[name]
    expected, got = f(A), np.asarray(f(tg.Tensor(A, requires_grad=True)))
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


def test_empty_like_has_the_shape():
    assert np.empty_like(tg.Tensor(A, requires_grad=True), shape=(4,)).shape == (4,)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: np.sqrt(x, where=MASK), TypeError, "tg.where"),
        (lambda x: np.sqrt(x, dtype=np.float32, casting="safe"), TypeError, "casting 'safe'"),
        (lambda x: np.add(x, 1, dtype=int), TypeError, "astype"),
        (lambda x: np.ravel(x, order="K"), ValueError, "'C' or 'F'"),
        (lambda x: np.reshape(x, (3, 2), order="R"), ValueError, "got 'R'"),
        (lambda x: np.take(x, [0], mode="reflect"), ValueError, "'wrap'"),
        (lambda x: np.nanmean(x, dtype=int), DTypeError, "NaN"),
        (lambda x: np.nansum(x, where=np.ones((3, 3), bool)), ShapeError, "nansum"),
        (lambda x: np.nanmax(x, where=MASK), ValueError, "initial="),
        (lambda x: np.cov(x, fweights=[1, 2]), ShapeError, "fweights has shape (2,)"),
        (lambda x: np.cov(x, fweights=[1.0, 2.0, 3.0]), DTypeError, "aweights"),
        (lambda x: np.cov(x, aweights=[1.0, -2.0, 3.0]), ValueError, "negative"),
        (lambda x: np.cov(x, fweights=[1, 0, 0]), ShapeError, "divisor of 0"),
    ],
)
def test_refused(call, error, words):
    with pytest.raises(error) as caught:
        call(tg.Tensor(A, requires_grad=True))
    assert words in str(caught.value)


def test_the_mean_that_is_given_gets_a_gradient():
    m = np.array([[2.0, 3.0, 4.0]])
    tg.testing.gradcheck(lambda x, m: tg.var(x, axis=0, mean=m), A, m)
    tg.testing.gradcheck(lambda x, m: tg.std(x, axis=0, mean=m, ddof=1), A, m)


def test_a_deviation_of_nothing_from_a_given_mean_has_gradient_zero():
    np.testing.assert_array_equal(tg.grad(lambda x: tg.std(x, mean=2.0))(np.array([2.0, 2.0])), [0, 0])


def test_intersect1d_with_indices():
    t = tg.Tensor(V, requires_grad=True)
    for got, expected in zip(
        np.intersect1d(t, [1.0, 2.0, 5.0], return_indices=True),
        np.intersect1d(V, [1.0, 2.0, 5.0], return_indices=True),
        strict=True,
    ):
        np.testing.assert_array_equal(tg.stop_gradient(got), expected)
    (np.intersect1d(t, [1.0, 2.0, 5.0]) * [10.0, 20.0]).sum().backward()
    np.testing.assert_array_equal(t.grad, [0, 5, 10])  # the other half belongs to the other array
