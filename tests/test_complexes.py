"""Complex Tensors: the convention for their gradients, dtypes, and what is refused."""

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import DTypeError, GraphError
from tensorgrad.engine.record import record
from tensorgrad.testing import GradcheckError, gradcheck, gradgradcheck

from .ops.cases import CASES as ALL
from .ops.cases import complexes, fft

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(3, 4)) + 1j * RNG.normal(size=(3, 4))
W = RNG.normal(size=(4, 3)) + 1j * RNG.normal(size=(4, 3))
X = RNG.normal(size=(3, 4))


def damped(xp, z):
    u, s, vh = xp.linalg.svd(z, full_matrices=False)
    return xp.matmul(u * xp.tanh(s), vh)


def hermitian(xp, a):
    return a + xp.conj(xp.swapaxes(a, -1, -2))


def squared(xp, a):
    return xp.matmul(a, xp.conj(xp.swapaxes(a, -1, -2)))


def projected(xp, a):
    vectors = xp.linalg.eigh(hermitian(xp, a))[1][:, :2]
    return xp.matmul(xp.matmul(vectors, xp.conj(xp.swapaxes(vectors, -1, -2))), a)[:, :1]


def spectral(xp, a):
    """A function of a, by its eigenvalues and eigenvectors; the largest of these by itself, too."""
    values, vectors = xp.linalg.eig(a)
    largest = vectors[:, int(np.argmax(np.abs(values.detach().numpy())))]
    apart = largest[:, None] * xp.conj(largest)
    return xp.matmul(vectors * xp.exp(values / 9), xp.linalg.inv(vectors)) + apart


# Real losses of complex inputs, called with tg, or with torch for PyTorch's gradient.
LOSSES = {
    "squares": lambda xp, z, w: xp.sum(xp.abs(z) ** 2),
    "a part of a product": lambda xp, z, w: xp.sum(xp.real(xp.matmul(z, w))),
    "analytic functions": lambda xp, z, w: xp.sum(xp.imag(xp.exp(z) * xp.sin(z) / (2 + xp.cos(z)))),
    "angles": lambda xp, z, w: xp.sum(xp.angle(z) * xp.abs(z)),
    "conjugates": lambda xp, z, w: xp.sum(xp.real(xp.conj(z) * z * z) + xp.abs(xp.sum(w))),
    "a spectrum": lambda xp, z, w: xp.sum(xp.abs(xp.fft.fft(z * xp.real(z))) ** 2),
    "filtered": lambda xp, z, w: xp.sum(xp.fft.irfft(xp.fft.rfft(xp.real(z)) * xp.sum(w)) ** 3),
    "a part by singular vectors": lambda xp, z, w: xp.sum(
        xp.abs(damped(xp, z) - z) ** 2 * xp.real(xp.matmul(z, w))[0, 0]
    ),
    "norms by singular values": lambda xp, z, w: (
        xp.linalg.matrix_norm(z, ord="nuc") * xp.linalg.matrix_norm(w, ord=2) + xp.linalg.cond(z)
    ),
    "a projection onto an eigenvector": lambda xp, z, w: xp.sum(xp.abs(projected(xp, xp.matmul(z, w)) * z) ** 2),
    "Hermitian eigenvalues": lambda xp, z, w: xp.sum(
        xp.exp(xp.linalg.eigvalsh(hermitian(xp, xp.matmul(z, w)), UPLO="U") / 9)
    ),
    "a spectral projection": lambda xp, z, w: xp.sum(xp.abs(spectral(xp, xp.matmul(z, w))) ** 2),
    "eigenvalues": lambda xp, z, w: xp.sum(xp.abs(xp.linalg.eigvals(xp.matmul(z, w))) ** 3),
    "eigenvalues of real matrices": lambda xp, z, w: xp.sum(
        xp.abs(xp.linalg.eigvals(xp.real(xp.matmul(z, w)))) ** 3 + xp.abs(spectral(xp, xp.imag(xp.matmul(z, w)))) ** 2
    ),
    "a pseudo-inverse": lambda xp, z, w: xp.sum(xp.abs(xp.linalg.pinv(z) * w) ** 2),
    "a Cholesky factor": lambda xp, z, w: xp.sum(xp.real(xp.linalg.cholesky(squared(xp, z)) ** 2 * xp.matmul(z, w))),
    "a QR factorisation": lambda xp, z, w: xp.sum(
        xp.abs(xp.linalg.qr(w)[0] + xp.swapaxes(z, -1, -2)) ** 2 + xp.real(xp.sum(xp.linalg.qr(z)[1] ** 2))
    ),
    "a determinant": lambda xp, z, w: (
        xp.real(xp.linalg.slogdet(xp.matmul(z, w))[0] * z[0, 0]) * xp.linalg.slogdet(squared(xp, z) + z[:, :3])[1]
    ),
    "least squares": lambda xp, z, w: xp.sum(
        xp.abs(xp.linalg.lstsq(w, xp.swapaxes(z, -1, -2))[0] + xp.linalg.lstsq(z, xp.matmul(z, w))[0][:3]) ** 2
    ),
    "a cut spectrum": lambda xp, z, w: xp.sum(xp.fft.irfft2(xp.fft.fftn(z, (4, 7)) * z[0, 0]) * xp.real(z)[0, 0]),
}


def listed(result):
    return list(result) if isinstance(result, list | tuple) else [result]


def gradients(name, z, w):
    leaves = [tg.Tensor(a, requires_grad=True) for a in (z, w)]
    LOSSES[name](tg, *leaves).backward()
    return [leaf.grad for leaf in leaves]


def test_the_convention():
    z = tg.Tensor(3 + 4j, requires_grad=True)
    (z.real**2 + 5 * z.imag).backward()
    assert z.grad == 6 - 5j  # dL/dx - i dL/dy
    change = 1e-6 * (1 - 2j)
    loss = lambda z: z.real**2 + 5 * z.imag
    np.testing.assert_allclose(loss(3 + 4j + change) - loss(3 + 4j), (z.grad * change).real, rtol=1e-5)


def test_descent_goes_against_the_conjugate():
    z = np.array([3 + 4j, -1j])
    for _ in range(100):
        z = z - 0.1 * np.conj(tg.grad(lambda z: (abs(z - (1 + 2j)) ** 2).sum())(z))
    np.testing.assert_allclose(z, 1 + 2j)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_against_differences(name):
    gradcheck(lambda z, w: LOSSES[name](tg, z, w), Z, W)
    gradgradcheck(lambda z, w: LOSSES[name](tg, z, w), Z, W)


@pytest.mark.peer
@pytest.mark.parametrize("name", LOSSES)
def test_the_gradients_are_the_conjugates_of_pytorchs(name):
    torch = pytest.importorskip("torch")
    leaves = [torch.tensor(a, requires_grad=True) for a in (Z, W)]
    LOSSES[name](torch, *leaves).backward()
    for got, leaf in zip(gradients(name, Z, W), leaves):
        want = np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()
        np.testing.assert_allclose(np.zeros(want.shape) if got is None else got, want.conj(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", [case for case in ALL if case.orders and case.honest], ids=lambda case: case.name)
def test_every_operation_is_right_for_complex_numbers_or_refuses_them(case):
    sample = case.samples[0]
    arrays = [a * np.exp(0.4j) for a in sample.arrays]
    try:
        sample.apply(case.op, list(map(tg.Tensor, arrays)))
    except DTypeError:
        return
    gradcheck(lambda *inputs: sample.apply(case.op, inputs), *arrays)
    gradgradcheck(lambda *inputs: sample.apply(case.op, inputs), *arrays)


def test_a_real_input_moves_along_the_real_axis():
    x = tg.Tensor(X, requires_grad=True)
    (x * Z).imag.sum().backward()
    assert x.grad.dtype == np.float64
    np.testing.assert_array_equal(x.grad, Z.imag)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    "case", [c for c in (*complexes.CASES, *fft.CASES) if c.orders and c.name != "astype"], ids=lambda case: case.name
)
def test_single_precision_stays(case, create_graph):
    single = {np.dtype(np.float64): np.float32, np.dtype(np.complex128): np.complex64}
    for sample in case.samples:
        leaves = [tg.Tensor(a, dtype=single[a.dtype], requires_grad=True) for a in sample.arrays]
        wide = listed(sample.apply(case.op, list(map(tg.Tensor, sample.arrays))))
        for out, want in zip(listed(sample.apply(case.op, leaves)), wide, strict=True):
            assert out.dtype == single[want.dtype]
            if out.requires_grad:
                out.backward(np.ones_like(out.data), create_graph=create_graph, retain_graph=True)
        assert all(leaf.grad.dtype == leaf.dtype for leaf in leaves)


def test_mixed_precision():
    x = tg.Tensor(np.float32([1, 2]), requires_grad=True)
    z = tg.Tensor(np.complex64([1j, 2]), requires_grad=True)
    out = 2.0 * x * z * 1j
    assert out.dtype == np.complex64
    out.imag.sum().backward()
    assert (x.grad.dtype, z.grad.dtype) == (np.float32, np.complex64)
    assert (x * 1j).dtype == np.complex64


def test_parts_as_attributes_and_under_numpys_names():
    z = tg.Tensor(Z, requires_grad=True)
    for got in (z.real, np.real(z), tg.real(z)):
        np.testing.assert_array_equal(got.data, Z.real)
        assert got.requires_grad
    for got in (z.imag, np.imag(z)):
        np.testing.assert_array_equal(got.data, Z.imag)
    for got in (z.conj(), np.conj(z)):
        np.testing.assert_array_equal(got.data, Z.conj())
    assert not tg.Tensor(X).imag.data.any()


def test_a_complex_root_is_refused():
    z = tg.Tensor(2 + 1j, requires_grad=True)
    with pytest.raises(GraphError, match=r"complex128.*multiply.*\.real, \.imag or abs\(\).*gradient="):
        (z * z).backward()
    (z * z).backward(1.0)  # of the real part
    assert z.grad == 2 * (2 + 1j)
    with pytest.raises(DTypeError, match=r"complex128, expected float64.*\.real"):
        z.real.backward(1j)
    with pytest.raises(DTypeError, match=r"returned dtype complex128; take \.real"):
        tg.grad(lambda z: z * z)(1j)


def test_a_hook_and_an_accumulated_gradient():
    z = tg.Tensor(Z, requires_grad=True)
    seen = []
    z.register_hook(seen.append)
    for _ in range(2):
        tg.sum(z.real - z.imag).backward()
    np.testing.assert_array_equal(z.grad, np.full(Z.shape, 2 + 2j))
    assert seen[0].dtype == np.complex128


def test_a_zero_gradient_stays_zero_at_a_pole():
    z = tg.Tensor([0j, 2j], requires_grad=True)
    out = tg.where(z.data != 0, 1 / z, 0)
    abs(out).sum().backward(create_graph=True)
    np.testing.assert_allclose(z.grad.data, [0, 0.25j], rtol=1e-15)


def test_a_compiled_step_and_a_drawing():
    z = tg.Tensor(Z, requires_grad=True)

    def step():
        z.grad = None
        loss = (abs(z * (1 + 1j)) ** 2).sum()
        loss.backward()
        return loss

    expected = step().item(), z.grad
    compiled = tg.compile(step)
    for _ in range(2):
        assert compiled().item() == expected[0]
        np.testing.assert_array_equal(z.grad, expected[1])
    with tg.record_graph():
        loss = abs(tg.exp(z)).sum()
        loss.backward()
        assert "exp" in str(tg.draw(loss))


# --- the check itself


WRONG = {
    "a missing conjugate": (np.conj, lambda xp, g: g),
    "one conjugate too many": (np.sin, lambda xp, g, x: g * xp.conj(xp.cos(x))),
    "PyTorch's convention": (np.square, lambda xp, g, x: 2 * g * xp.conj(x)),
    "the magnitude treated as analytic": (np.abs, lambda xp, g, x: g * xp.sign(x)),
    "the imaginary part forgotten": (np.imag, lambda xp, g: g),
    "a factor": (np.exp, lambda xp, g, out: 1.001 * g * out),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rule_is_found(name):
    forward, rule = WRONG[name]
    with pytest.raises(GradcheckError, match="is wrong in"):
        gradcheck(lambda z: record("mine", forward, (z,), (rule,)), Z)


def test_a_wrong_second_derivative_is_found():
    rule = lambda xp, g, x: g * xp.conj(x) / xp.abs(x.data if hasattr(x, "node") else x)
    f = lambda z: record("mine", np.abs, (z,), (rule,))
    gradcheck(f, Z)
    with pytest.raises(GradcheckError, match="is wrong in"):
        gradgradcheck(f, Z)


def test_what_the_check_says_of_complex_numbers():
    with pytest.raises(ValueError, match=r'complex inputs or results.*method="central"'):
        gradcheck(tg.exp, Z, method="complex")
    with pytest.raises(DTypeError, match=r"complex64, expected float64 \(or complex128\)"):
        gradcheck(tg.exp, Z.astype(np.complex64))
    with pytest.raises(GradcheckError, match=r"kink.*index \(0,\)"):
        gradcheck(lambda z: abs(z), np.array([0j]))
    assert gradcheck(lambda x: x * (1 + 2j), X).method == "central"  # real inputs, complex results
    assert gradcheck(tg.std, X).method == gradcheck(tg.var, X).method == "central"
