"""Linear algebra, beyond what a row of the table can express: degenerate, large and complex matrices."""

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.linalg import lapack, solving
from tensorgrad.linalg.determinants import _cofactors
from tensorgrad.linalg.lapack import factored
from tensorgrad.testing import gradcheck, gradgradcheck

from .cases import complexes, linalg

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


@pytest.mark.parametrize("factor", [1, 1j])
def test_least_squares_without_residuals(factor):
    a, b = factor * np.ones((3, 2)), np.array([1.0, 2.0, 3.0])
    result = tg.linalg.lstsq(a, b)
    assert result.residuals.shape == (0,)
    assert result.residuals.dtype == np.float64
    for got, want in zip(result, np.linalg.lstsq(a, b)):
        np.testing.assert_allclose(getattr(got, "data", got), want, rtol=1e-12)


def test_the_residuals_of_an_exact_fit_have_a_second_derivative():
    a, b = np.array([[1.0 + 1j], [2.0]]), np.array([1.0 + 1j, 2.0])
    gradgradcheck(lambda b: tg.linalg.lstsq(a, b).residuals, b)
    x = tg.Tensor(b, requires_grad=True)
    tg.linalg.lstsq(a, x).residuals.backward(np.ones(1), create_graph=True)
    np.testing.assert_allclose(x.grad.data, np.zeros(2), atol=1e-15)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 0, 3)])
@pytest.mark.parametrize("order", [1, 2, np.inf, "fro", "nuc"])
def test_the_norm_of_no_elements_is_zero(shape, order):
    np.testing.assert_array_equal(tg.linalg.matrix_norm(np.ones(shape), ord=order).data, np.zeros(shape[:-2]))
    if order in (1, 2, np.inf):
        assert tg.linalg.vector_norm(np.ones(shape), ord=order).item() == 0
    leaf = tg.Tensor(np.ones(shape), requires_grad=True)
    tg.linalg.matrix_norm(leaf, ord=order).sum().backward()
    assert leaf.grad.shape == shape


def test_only_the_lower_triangle_of_a_hermitian_matrix_is_read():
    z = RNG.normal(size=(3, 3)) + 1j * RNG.normal(size=(3, 3))
    whole = np.tril(z) + np.tril(z, -1).conj().T
    whole.imag[np.diag_indices(3)] = 0
    for f in (
        lambda a, **keywords: tg.linalg.svd(a, **keywords).S,
        lambda a, **keywords: tg.linalg.svd(a, compute_uv=False, **keywords),
        tg.linalg.pinv,
    ):
        np.testing.assert_allclose(f(z, hermitian=True).data, f(whole).data, rtol=1e-12)
        got = gradient(lambda a, f=f: abs(f(a, hermitian=True)).sum(), z)
        np.testing.assert_array_equal(np.triu(got, 1), np.zeros((3, 3)))
        np.testing.assert_array_equal(np.diag(got).imag, np.zeros(3))


@pytest.mark.parametrize(
    "f",
    [
        lambda a: np.linalg.svd(a, True, False),
        lambda a: np.linalg.svd(a, hermitian=True).S,
        lambda a: np.linalg.pinv(a, 1e-3, True),
        lambda a: np.linalg.qr(a, "complete").R,
        lambda a: np.linalg.eigh(a, "u").eigenvalues,
        lambda a: np.linalg.norm(a, None, 0, True),
    ],
)
def test_numpys_options_by_position_and_keyword_under_its_names(f):
    x = tg.Tensor([[2.0, 9.0], [1.0, 3.0]], requires_grad=True)
    out = f(x)
    assert out.requires_grad
    np.testing.assert_allclose(out.data, f(x.data), rtol=1e-12)


# --- solutions, of which both gradients use one


def both_solutions(a, b):
    return tg.linalg.solve(a, b) + tg.linalg.solve_triangular(a, b, lower=True)


@pytest.mark.parametrize("n", [3, 60])
def test_a_solution_and_its_gradients_solve_twice(monkeypatch, n):
    calls = []
    for name in ("_solve", "_substitute"):
        function = getattr(solving, name)
        monkeypatch.setattr(solving, name, lambda *args, f=function: calls.append(f) or f(*args))
    a, b = RNG.uniform(-1, 1, (n, n)) + 4 * np.eye(n), RNG.uniform(-1, 1, (n, 2))
    leaves = [tg.Tensor(x, requires_grad=True) for x in (a, b)]
    both_solutions(*leaves).sum().backward()
    assert len(calls) == 4


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_solution_that_gradients_share_survives_a_second_walk(create_graph):
    a, b = RNG.uniform(-1, 1, (3, 3)) + 4 * np.eye(3), RNG.uniform(-1, 1, (3, 2))
    x, y = (tg.Tensor(array, requires_grad=True) for array in (a, b))
    first = both_solutions(x, y)
    out = first + 2.0 * both_solutions(x, y)  # gradients of one operation are added to those of another in place
    g = np.ones((3, 2))
    seed = tg.Tensor(g) if create_graph else g
    want = [3 * tg.grad(lambda *xs: both_solutions(*xs).sum(), argnums=i)(a, b) for i in range(2)]
    for times in (1, 2):
        out.backward(seed, retain_graph=True, create_graph=create_graph)
        for leaf, once in zip((x, y), want):
            got = leaf.grad.data if create_graph else leaf.grad
            np.testing.assert_allclose(got, times * once, rtol=1e-12)


@pytest.mark.parametrize("op", [tg.linalg.solve, tg.linalg.solve_triangular])
def test_a_right_hand_side_may_be_written_to_after_it_was_used(op):
    a, b = tg.Tensor(np.triu(np.ones((2, 2))), requires_grad=True), tg.Tensor(np.ones(2))
    out = op(a, b)
    b += 1.0
    out.sum().backward()
    np.testing.assert_allclose(np.triu(a.grad), [[0, -1], [0, 0]])


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
    "case",
    [c for c in (*linalg.CASES, *complexes.CASES) if c.name.removeprefix("linalg.") in FACTORING],
    ids=lambda c: c.name,
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


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "reversed": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "every second": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("columns", [1, 70])
def test_large_matrices_of_every_dtype_and_layout(dtype, layout, columns):
    n = 150
    a, b, g = (RNG.normal(size=(n, m)) + 1j * RNG.normal(size=(n, m)) for m in (n, columns, columns))
    a = a / 24 + 2 * np.eye(n)
    if np.dtype(dtype).kind != "c":
        a, b, g = a.real, b.real, g.real
    a, b, g, definite = (LAYOUTS[layout](x.astype(dtype)) for x in (a, b, g, a @ a.conj().T))
    ours, theirs = tg.linalg, np.linalg
    pairs = [
        (ours.inv(a), theirs.inv(a)),
        (ours.cholesky(definite), theirs.cholesky(definite)),
        (ours.cholesky(definite, upper=True), theirs.cholesky(definite).conj().T),
        *zip(ours.slogdet(a), theirs.slogdet(a), strict=True),
    ]
    lower, upper = (lambda a, b, low=low: ours.solve_triangular(a, b, lower=low) for low in (True, False))
    for op, part in ((ours.solve, np.array), (lower, np.tril), (upper, np.triu)):
        leaves = [tg.from_numpy(x, requires_grad=True) for x in (a, b)]
        out = op(*leaves)
        out.backward(g)
        x, h = theirs.solve(part(a), b), theirs.solve(part(a).T, g)
        pairs += zip((out, *(tg.from_numpy(leaf.grad) for leaf in leaves)), (x, part(-h @ x.T), h), strict=True)
    close = dict.fromkeys(("rtol", "atol"), 2e3 * np.finfo(dtype).eps)
    for got, want in pairs:
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got.data, want, **close)


def test_a_matrix_that_is_not_positive_definite_is_named_through_scipy():
    pytest.importorskip("scipy")
    with pytest.raises(np.linalg.LinAlgError, match=r"cholesky: the matrix at index \(1,\) .* not positive definite"):
        tg.linalg.cholesky(np.stack([np.eye(60), -np.eye(60)]))


def test_a_system_that_is_all_but_singular_is_solved_stably():
    n = 150
    a, b = 1 / (1.0 + np.add.outer(range(n), range(n))) + 1e-9 * np.eye(n), np.ones((n, 80))
    x = tg.linalg.solve(a, b).data
    assert abs(a @ x - b).max() < 1e-13 * abs(a).sum(axis=1).max() * abs(x).max()


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
