"""Linear algebra, beyond what a row of the table can express: degenerate, large and complex matrices."""

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.linalg import lapack
from tensorgrad.linalg.determinants import _cofactors
from tensorgrad.linalg.lapack import factored
from tensorgrad.testing import gradcheck, gradgradcheck

from .cases.linalg import CASES

RNG = np.random.default_rng(0)


def cofactors(x):
    return _cofactors(x, factored(getattr(x, "data", x)))


def gradient(f, x):
    leaf = tg.Tensor(x, requires_grad=True)
    f(leaf).backward()
    return leaf.grad


def test_the_third_derivative_of_a_determinant():
    gradcheck(cofactors, RNG.uniform(-1, 1, (3, 3)) + 2 * np.eye(3), method="complex")
    gradgradcheck(cofactors, RNG.uniform(-1, 1, (3, 3)) + 2 * np.eye(3), method="complex")


def test_cofactors_of_a_complex_singular_matrix():
    z = RNG.normal(size=(3, 2)) + 1j * RNG.normal(size=(3, 2))
    a = z @ (RNG.normal(size=(2, 3)) + 1j * RNG.normal(size=(2, 3)))
    minors = [[np.linalg.det(np.delete(np.delete(a, i, 0), j, 1)) for j in range(3)] for i in range(3)]
    signs = np.where(np.add.outer(range(3), range(3)) % 2, -1, 1)
    np.testing.assert_allclose(cofactors(a), signs * minors, atol=1e-12)


@pytest.mark.filterwarnings("ignore:backward.. starts from a loss that is -inf")
def test_the_logarithm_of_a_determinant_of_zero():
    def masked(x):
        return tg.where(np.array([False, True]), tg.linalg.slogdet(x).logabsdet, 0.0).sum()

    x = np.stack([np.zeros((2, 2)), 2 * np.eye(2)])
    np.testing.assert_array_equal(gradient(masked, x), [np.zeros((2, 2)), np.eye(2) / 2])
    assert not np.isfinite(gradient(lambda x: tg.linalg.slogdet(x).logabsdet.sum(), x)[0]).any()


def test_repeated_values_without_their_vectors():
    eye = np.eye(3)
    np.testing.assert_allclose(gradient(lambda x: (tg.linalg.eigh(x).eigenvalues ** 2).sum(), eye), 2 * eye)
    np.testing.assert_allclose(gradient(lambda x: (tg.linalg.svd(x).S ** 2).sum(), eye), 2 * eye)
    np.testing.assert_allclose(gradient(lambda x: tg.linalg.norm(x, "nuc"), eye), eye)


def test_vectors_of_repeated_values_have_no_gradient():
    weights = np.arange(9.0).reshape(3, 3)
    assert not np.isfinite(gradient(lambda x: (tg.linalg.eigh(x).eigenvectors * weights).sum(), np.eye(3))).all()


@pytest.mark.parametrize("least", [1, 1000], ids=["scipy", "numpy"])
@pytest.mark.parametrize("columns", [2, 70])
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("unit_diagonal", [True, False])
def test_many_blocks_of_a_triangle(monkeypatch, least, columns, lower, unit_diagonal):
    monkeypatch.setattr(lapack, "_LARGE", least)
    a = RNG.uniform(-1, 1, (150, 150)) / 150 + 2 * np.eye(150)
    b, g = RNG.uniform(-1, 1, (2, 150, columns))
    part = np.tril(a) if lower else np.triu(a)
    if unit_diagonal:
        part = part - np.diag(np.diag(part)) + np.eye(150)
    x, y = tg.Tensor(a, requires_grad=True), tg.Tensor(b, requires_grad=True)
    out = tg.linalg.solve_triangular(x, y, lower=lower, unit_diagonal=unit_diagonal)
    want = np.linalg.solve(part, b)
    np.testing.assert_allclose(out.data, want, rtol=1e-10, atol=1e-13)
    out.backward(g)
    back = np.linalg.solve(part.T, g)
    np.testing.assert_allclose(y.grad, back, rtol=1e-10, atol=1e-13)
    k = -1 if unit_diagonal else 0
    read = np.tril(np.ones((150, 150)), k) if lower else np.triu(np.ones((150, 150)), -k)
    np.testing.assert_allclose(x.grad, -back @ want.T * read, rtol=1e-10, atol=1e-12)


def test_least_squares_without_residuals():
    a, b = np.ones((3, 2)), np.array([1.0, 2.0, 3.0])
    for got, want in zip(tg.linalg.lstsq(a, b), np.linalg.lstsq(a, b)):
        np.testing.assert_allclose(getattr(got, "data", got), want, rtol=1e-12)


def test_full_matrices_without_a_gradient():
    u, s, vh = tg.linalg.svd(np.ones((3, 2)))
    assert (u.shape, s.shape, vh.shape) == ((3, 3), (2,), (2, 2))


@pytest.mark.parametrize("name", ["vdot", "vecdot", "vecmat"])
def test_products_conjugate_complex_vectors(name):
    x = RNG.normal(size=3) + 1j * RNG.normal(size=3)
    y = RNG.normal(size=(3, 2)) if name == "vecmat" else RNG.normal(size=3) * 1j
    np.testing.assert_allclose(getattr(tg, name)(x, y).data, np.conj(x) @ y)
    op = getattr(tg, name)
    gradcheck(lambda a, b: tg.real(op(a + 1j * b, y)), x.real.copy(), x.imag.copy(), method="central")


def test_the_norm_of_complex_numbers():
    x = np.array([3.0 + 4j, 12j])
    assert tg.linalg.norm(x).item() == 13
    gradcheck(lambda a, b: tg.linalg.norm(a + 1j * b), x.real.copy(), x.imag.copy(), method="central")


def test_overflow_is_infinite_without_a_warning():
    assert tg.linalg.det(1e200 * np.eye(2)).item() == np.inf
    assert not np.isfinite(tg.linalg.expm([[1000.0]]).item())


@pytest.mark.parametrize("name", ["eigh", "eigvalsh"])
@pytest.mark.parametrize("UPLO", ["L", "U"])
def test_a_matrix_of_nan_in_a_batch_is_named(name, UPLO):
    x = np.stack([np.eye(3), np.full((3, 3), np.nan)])
    with pytest.raises(np.linalg.LinAlgError, match=rf"{name}: the matrix at index \(1,\) .*does it contain a NaN"):
        getattr(tg.linalg, name)(x, UPLO)


# --- large matrices, which go to SciPy's BLAS and LAPACK


@pytest.fixture
def all_large(monkeypatch):
    pytest.importorskip("scipy")
    monkeypatch.setattr(lapack, "_LARGE", 1)


FACTORING = ("solve", "inv", "solve_triangular", "det", "slogdet", "cholesky", "qr", "tensorsolve")


@pytest.mark.usefixtures("all_large")
@pytest.mark.parametrize(
    "case", [c for c in CASES if c.name.removeprefix("linalg.") in FACTORING], ids=lambda c: c.name
)
def test_every_path_through_scipy(case):
    for sample in case.samples:
        got = sample.apply(case.op, list(map(tg.Tensor, sample.arrays)))
        want = sample.apply(case.oracle, sample.arrays)
        for one, other in zip(*((a if isinstance(a, list | tuple) else [a]) for a in (got, want)), strict=True):
            np.testing.assert_allclose(one.data, other, rtol=1e-9, atol=1e-12)
        for check in (gradcheck, gradgradcheck):
            check(lambda *xs, sample=sample: sample.apply(case.op, xs), *sample.arrays, method=case.method)


@pytest.mark.usefixtures("all_large")
@pytest.mark.parametrize("name", ["solve", "inv", "det", "slogdet"])
def test_complex_matrices_through_scipy(name):
    z = RNG.normal(size=(2, 3, 3)) + 1j * RNG.normal(size=(2, 3, 3))
    more = [RNG.normal(size=(3, 2)).astype(complex)] if name == "solve" else []
    if name == "slogdet":
        got, want = lapack.log_determinant(lapack.factored(z)), np.linalg.slogdet(z)
        np.testing.assert_allclose(got, want, rtol=1e-12)
        return
    op = getattr(tg.linalg, name)
    np.testing.assert_allclose(op(z, *more).data, getattr(np.linalg, name)(z, *more), rtol=1e-12)
    gradcheck(op, z, *more)
    gradgradcheck(op, z, *more)


@pytest.mark.usefixtures("all_large")
def test_a_singular_matrix_is_named_through_scipy():
    stack = np.stack([np.eye(3), np.ones((3, 3))])
    for op in (tg.linalg.inv, lambda a: tg.linalg.solve(a, np.ones(3)), lambda a: tg.linalg.solve(a, np.ones((3, 1)))):
        with pytest.raises(np.linalg.LinAlgError, match=r"index \(1,\) .* \(2, 3, 3\) is singular"):
            op(stack)
    with pytest.raises(np.linalg.LinAlgError, match=r"index \(0,\) .*zero on its diagonal"):
        tg.linalg.solve_triangular(np.stack([np.ones((2, 2)) - np.eye(2), np.eye(2)]), np.ones((2, 2, 1)))
    assert tg.linalg.det(np.ones((3, 3))).item() == pytest.approx(0, abs=1e-15)


@pytest.mark.usefixtures("all_large")
def test_compiled_and_batched_through_scipy():
    a = RNG.uniform(-1, 1, (4, 3, 3)) + 4 * np.eye(3)
    b = RNG.uniform(-1, 1, (3, 2))

    def f(a):
        return tg.linalg.solve(a, b).sum() + tg.linalg.slogdet(a).logabsdet + tg.linalg.solve_triangular(a, b).sum()

    want = np.stack([tg.grad(f)(one) for one in a])
    np.testing.assert_allclose(tg.vmap(tg.grad(f))(a), want, rtol=1e-10)
    np.testing.assert_allclose(tg.jacobian(lambda a: tg.linalg.solve(a, b)).__call__(a[0]).shape, (3, 2, 3, 3))
    leaf = tg.Tensor(a[0], requires_grad=True)

    @tg.compile
    def step():
        leaf.grad = None
        loss = f(leaf)
        loss.backward()
        return loss

    for one in a:
        leaf.data[...] = one
        step()
        np.testing.assert_allclose(leaf.grad, tg.grad(f)(one), rtol=1e-10)


@pytest.mark.usefixtures("all_large")
def test_mixed_dtypes_are_solved_in_the_wider():
    a, b = RNG.normal(size=(3, 3)).astype(np.float32) + 3 * np.eye(3, dtype=np.float32), RNG.normal(size=3)
    np.testing.assert_allclose(tg.linalg.solve(a, b).data, np.linalg.solve(a, b), rtol=1e-13)
    assert tg.linalg.solve(a, b.astype(np.float32)).dtype == np.float32
    z = RNG.normal(size=3) * 1j
    x = tg.Tensor(a, requires_grad=True)
    tg.linalg.solve(x, z).imag.sum().backward()
    assert x.grad.dtype == np.float32


# --- complex matrices, and eigenvalues of those that are not symmetric

Z = RNG.normal(size=(3, 3)) + 1j * RNG.normal(size=(3, 3))
WEIGHTS = RNG.normal(size=(3, 3)) + 1j * RNG.normal(size=(3, 3))
H = Z + Z.conj().T


def rebuilt_by_svd(a):
    u, s, vh = tg.linalg.svd(a, full_matrices=False)
    return (u * s) @ vh


def rebuilt_by_eig(a):
    values, vectors = tg.linalg.eig(a)
    return (vectors * values) @ tg.linalg.inv(vectors)


@pytest.mark.parametrize("rebuilt", [rebuilt_by_svd, rebuilt_by_eig])
@pytest.mark.parametrize("a", [Z, Z.real, Z.astype(np.complex64)])
def test_what_factors_multiply_to_is_the_matrix(rebuilt, a):
    close = {"rtol": 1e-3, "atol": 1e-4} if a.dtype == np.complex64 else {"rtol": 1e-9, "atol": 1e-10}
    np.testing.assert_allclose(rebuilt(a).data, a, **close)
    weights = WEIGHTS.astype(np.complex64) if a.dtype == np.complex64 else WEIGHTS
    got = gradient(lambda a: (rebuilt(a) * weights).real.sum(), a)
    assert got.dtype == a.dtype
    np.testing.assert_allclose(got, WEIGHTS if np.iscomplexobj(a) else WEIGHTS.real, **close)


@pytest.mark.parametrize("m", [(4, 2), (2, 4)])
def test_what_the_factors_of_a_complex_rectangle_multiply_to(m):
    a, weights = (RNG.normal(size=m) + 1j * RNG.normal(size=m) for _ in range(2))
    np.testing.assert_allclose(gradient(lambda a: (rebuilt_by_svd(a) * weights).real.sum(), a), weights, rtol=1e-9)


def test_eigenvalues_of_a_hermitian_matrix_in_closed_form():
    # The sum of squares is the squared Frobenius norm, of which an element off the diagonal is read for two.
    want = np.tril(4 * H.conj()) - np.diag(2 * np.diag(H).real)
    np.testing.assert_allclose(gradient(lambda a: (tg.linalg.eigvalsh(a) ** 2).sum(), H), want, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(
        gradient(lambda a: (tg.linalg.eigh(a).eigenvalues ** 2).sum(), H), want, rtol=1e-10, atol=1e-12
    )


EIGENVALUES = pytest.mark.parametrize("values", [tg.linalg.eigvals, lambda a: tg.linalg.eig(a).eigenvalues])


@EIGENVALUES
@pytest.mark.parametrize("a", [Z, Z.real])
def test_eigenvalues_in_closed_form(values, a):
    np.testing.assert_allclose(gradient(lambda a: values(a).sum().real, a), np.eye(3), atol=1e-10)
    np.testing.assert_allclose(gradient(lambda a: (values(a) ** 2).sum().real, a), 2 * a.T, rtol=1e-9)
    cofactors = gradient(lambda a: tg.linalg.det(a).real, a)
    np.testing.assert_allclose(gradient(lambda a: values(a).prod().real, a), cofactors, rtol=1e-9)


def test_singular_values_of_a_complex_matrix_in_closed_form():
    np.testing.assert_allclose(gradient(lambda a: (tg.linalg.svdvals(a) ** 2).sum(), Z), 2 * Z.conj(), rtol=1e-10)
    unitary = np.linalg.svd(Z)[0] @ np.linalg.svd(Z)[2]
    np.testing.assert_allclose(gradient(lambda a: tg.linalg.norm(a, "nuc"), Z), unitary.conj(), rtol=1e-10)


def test_the_pseudo_inverse_of_a_complex_matrix():
    a = Z[:, :2]
    np.testing.assert_allclose((tg.linalg.pinv(a) @ a).data, np.eye(2), atol=1e-12)
    zero = gradient(lambda x: ((tg.linalg.pinv(x) @ x) * WEIGHTS[:2, :2]).real.sum(), a)
    np.testing.assert_allclose(zero, np.zeros((3, 2)), atol=1e-12)


def test_eigenvalues_are_complex_whatever_their_values():
    for a, dtype in (
        (np.eye(2), np.complex128),
        (np.eye(2, dtype=np.float32), np.complex64),
        ([[1, 0], [0, 2]], complex),
    ):
        assert tg.linalg.eig(a).eigenvalues.dtype == tg.linalg.eig(a).eigenvectors.dtype == dtype
        assert tg.linalg.eigvals(a).dtype == dtype
    assert gradient(lambda a: abs(tg.linalg.eigvals(a)).sum(), Z.astype(np.complex64)).dtype == np.complex64


@EIGENVALUES
def test_repeated_eigenvalues_without_their_vectors(values):
    np.testing.assert_allclose(gradient(lambda a: (values(a) ** 2).sum().real, np.eye(3)), 2 * np.eye(3))


def test_vectors_of_repeated_eigenvalues_have_no_gradient():
    f = lambda a: abs(tg.linalg.eig(a).eigenvectors @ np.arange(3.0)).sum()
    assert not np.isfinite(gradient(f, np.eye(3))).all()


@EIGENVALUES
@pytest.mark.parametrize("a", [np.eye(2, k=1), np.eye(3, k=1), np.eye(4, k=1) + np.eye(4)])
def test_a_matrix_that_cannot_be_diagonalised_has_a_gradient_of_nan(values, a):
    assert np.isnan(gradient(lambda a: abs(values(a) - 3).sum(), a)).all()


def test_complex_factors_compiled_and_batched():
    stack = RNG.normal(size=(4, 3, 3)) + 1j * RNG.normal(size=(4, 3, 3))

    def f(a):
        values, vectors = tg.linalg.eigh(a)
        low = (vectors[:, :1] @ vectors[:, :1].conj().T).real.sum() * values[2]
        return low + abs((rebuilt_by_svd(a) + rebuilt_by_eig(a)) ** 2).sum()

    want = np.stack([tg.grad(f)(a) for a in stack])
    np.testing.assert_allclose(tg.vmap(tg.grad(f))(stack), want, rtol=1e-8, atol=1e-10)
    leaf = tg.Tensor(stack[0], requires_grad=True)

    @tg.compile
    def step():
        leaf.grad = None
        loss = f(leaf)
        loss.backward()
        return loss

    for a, expected in zip(stack, want):
        leaf.data[...] = a
        step()
        np.testing.assert_allclose(leaf.grad, expected, rtol=1e-8, atol=1e-10)
