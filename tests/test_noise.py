"""The noise of another processor: small, the same twice, in every product and factorisation, and gone afterwards."""

import warnings

import numpy as np
import pytest

import tensorgrad as tg

from .noise import blas_noise

RNG = np.random.default_rng(3)
A = RNG.normal(size=(4, 12, 12))
V = RNG.normal(size=12)
C = A + 1j * RNG.normal(size=A.shape)
SPD = A @ A.swapaxes(1, 2) + np.eye(12)
EPS = np.finfo(np.float64).eps

PRODUCTS = {
    "@": lambda a, v: a @ a,
    "@ of a vector": lambda a, v: a @ v,
    "matmul into memory": lambda a, v: np.matmul(a, a, out=np.empty_like(a)),
    "vecdot": lambda a, v: np.vecdot(a, v),
    "dot": lambda a, v: np.dot(a[0], a[1]),
    "inner": lambda a, v: np.inner(a[0], a[1]),
    "tensordot": lambda a, v: np.tensordot(a, a, ([0, 1], [0, 1])),
    "einsum": lambda a, v: np.einsum("bij,bjk->ik", a, a),
    "convolve": lambda a, v: np.convolve(a[0, 0], v),
    "correlate": lambda a, v: np.correlate(a[0, 0], v, "same"),
}
FACTORISATIONS = {
    "solve": lambda: np.linalg.solve(A, A[::-1]),
    "inv": lambda: np.linalg.inv(A),
    "det": lambda: np.linalg.det(A),
    "cholesky": lambda: np.linalg.cholesky(SPD),
    "eigh": lambda: np.linalg.eigh(SPD)[1],
    "eigvalsh": lambda: np.linalg.eigvalsh(SPD),
    "svd": lambda: np.linalg.svd(A, compute_uv=False),
    "lstsq": lambda: np.linalg.lstsq(A[0], V, rcond=None)[0],
}


@pytest.fixture(autouse=True)
def only_here(request):
    """The exact results are compared with, so there must be no noise already."""
    if request.config.getoption("--blas-noise") is not None:
        pytest.skip("there is noise already")
    try:
        with blas_noise(0):
            pass
    except NotImplementedError as error:
        pytest.skip(str(error))


def compared(f):
    exact = f()
    with blas_noise(1):
        noisy, again = f(), f()
    with blas_noise(2):
        other = f()
    np.testing.assert_array_equal(noisy, again)
    assert (noisy != exact).any()
    assert (noisy != other).any()
    np.testing.assert_array_equal(f(), exact)
    return exact, noisy


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_is_off_by_a_unit_in_the_last_place_of_its_terms(name, dtype):
    a, v = (C if dtype == np.complex128 else A).astype(dtype), V.astype(dtype)
    exact, noisy = compared(lambda: PRODUCTS[name](a, v))
    assert noisy.dtype == exact.dtype
    terms = PRODUCTS[name](np.abs(a), np.abs(v))
    assert (np.abs(noisy - exact) <= 1.5 * np.finfo(dtype).eps * terms).all()


@pytest.mark.parametrize("name", FACTORISATIONS)
def test_a_result_of_lapack_is_off_by_a_unit_in_its_last_place(name):
    exact, noisy = compared(FACTORISATIONS[name])
    assert (np.abs(noisy - exact) <= EPS * np.abs(exact)).all()


def test_what_is_exact_stays_exact():
    with blas_noise(1):
        assert (np.array([[1.0, 2.0], [3.0, 4.0]]) @ [[1.0, 2.0], [3.0, 4.5]]).tolist() == [[7.0, 11.0], [15.0, 24.0]]
        assert (np.eye(3) @ np.full((3, 3), 0.1)).tolist() == np.full((3, 3), 0.1).tolist()
        assert np.linalg.inv(np.diag([2.0, 4.0])).tolist() == [[0.5, 0.0], [0.0, 0.25]]
        assert not np.triu(np.linalg.cholesky(SPD), 1).any()
        assert not np.tril(np.linalg.qr(A[0])[1], -1).any()
        assert (np.diff(np.linalg.eigvalsh(SPD)) >= 0).all()
    a = np.arange(6.0).reshape(2, 3)
    with blas_noise(1):
        assert np.shares_memory(np.einsum("ij->ji", a), a)


def test_errors_and_warnings_are_what_they_were():
    with blas_noise(1):
        with pytest.raises(np.linalg.LinAlgError):
            np.linalg.inv(np.zeros((2, 2)))
        with pytest.raises(np.linalg.LinAlgError):
            np.linalg.cholesky(-SPD)
        with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow"):
            np.array([1e300, 0.3]) @ np.array([1e300, 0.3])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.isnan(np.array([np.nan, 0.3]) @ np.array([0.1, 0.3]))


def test_an_error_inside_ends_it_as_well():
    exact = A @ A
    with pytest.raises(KeyError), blas_noise(1):
        raise KeyError
    np.testing.assert_array_equal(A @ A, exact)


def test_recorded_compiled_and_batched_products_have_it():
    x = tg.Tensor(A[0], requires_grad=True)
    f = lambda: (tg.matmul(x, x) + tg.dot(x, x) + tg.einsum("ij,kj->ik", x, x)).data
    exact = f()
    with blas_noise(1):
        noisy = f()
        compiled = tg.compile(f)
        np.testing.assert_array_equal(compiled(), noisy)
        np.testing.assert_array_equal(compiled(), noisy)
        batched = tg.vmap(lambda a: tg.matmul(a, a))(A)
    assert (noisy != exact).any()
    assert (batched != A @ A).any()
