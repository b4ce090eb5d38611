"""Special functions in their tails, and what a row of the table cannot express."""

import numpy as np
import pytest
import scipy.special

import tensorgrad as tg
from tensorgrad import GraphError
from tensorgrad.testing import gradcheck, gradgradcheck

FAR = {
    "gamma": [-2.5, -0.3, 20.0],
    "gammaln": [-2.5, -0.3, 1e6],
    "digamma": [-2.5, -0.3, 1e3],
    "log_ndtr": [-50.0, -8.0, 3.0],
    "erfcx": [-3.0, 20.0, 300.0],
    "spence": [0.97, 0.985, 0.9999, 1.0, 1.00001, 1.015, 1.03, 1e3],
    "expit": [-30.0, 20.0],
    "i0e": [-500.0, -1e-3, 800.0],
    "i1e": [-500.0, -1e-3, 800.0],
    "j1": [-20.0, 0.0, 30.0],
    "i1": [-10.0, 0.0, 12.0],
    "entr": [0.05, 30.0],
}


@pytest.mark.parametrize("name", FAR)
def test_far_out(name):
    x = np.array(FAR[name])
    f = getattr(tg.special, name)
    gradcheck(f, x)
    gradgradcheck(f, x)


@pytest.mark.parametrize("x", [-1e4, -100.0, -40.0])
def test_a_hazard_rate_far_to_the_left(x):
    first = tg.grad(tg.special.log_ndtr)
    np.testing.assert_allclose(first(x).item(), -x - 1 / x + 2 / x**3, rtol=1e-6)
    np.testing.assert_allclose(tg.grad(first)(x).item(), -1 + 1 / x**2, rtol=1e-5)


def test_large_parameters_do_not_overflow():
    x = tg.Tensor(0.5, requires_grad=True)
    tg.special.betainc(2000.0, 2000.0, x).backward()
    np.testing.assert_allclose(x.grad, np.sqrt(4000 / (2 * np.pi)) * 2, rtol=1e-3)  # the density of Beta(a, a)
    x = tg.Tensor(1000.0, requires_grad=True)
    tg.special.gammainc(1000.0, x).backward()
    np.testing.assert_allclose(x.grad, 1 / np.sqrt(2000 * np.pi), rtol=1e-3)


def test_a_derivative_without_closed_form_is_refused_only_when_needed():
    a = tg.Tensor(2.0, requires_grad=True)
    x = tg.Tensor(0.5, requires_grad=True)
    density = tg.grad(lambda x: tg.special.gammainc(a.detach(), x))
    np.testing.assert_allclose(density(0.5).item(), 0.5 * np.exp(-0.5))
    out = tg.special.gammainc(a, x)
    with pytest.raises(GraphError, match=r"gammainc has no closed-form derivative with respect to a,.*a\.detach\(\)"):
        out.backward()
    assert x.grad is None
    assert a.grad is None


def test_the_density_is_differentiable_in_its_parameter():
    """The derivative with respect to x and a has a closed form, although the one with respect to a has none."""

    def density(a, x):
        return tg.grad(lambda x: tg.special.gammainc(a, x))(x)

    gradcheck(lambda a: density(a, tg.Tensor(0.7)), np.array(1.7))


@pytest.mark.parametrize("name", ["beta", "gammainc", "zeta", "jv", "ive", "rel_entr"])
def test_a_python_number_does_not_widen(name):
    x = tg.Tensor(np.float32([1.5, 2.5]), requires_grad=True)
    out = getattr(tg.special, name)(1.5, x)
    out.sum().backward(create_graph=True)
    assert out.dtype == x.grad.dtype == np.float32
    np.testing.assert_allclose(out.data, getattr(scipy.special, name)(1.5, np.array([1.5, 2.5])), rtol=1e-5)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_derivatives_of_digamma_are_polygammas(order):
    f = tg.special.digamma
    for _ in range(order):
        f = tg.grad(f)
    np.testing.assert_allclose(f(1.7).item(), scipy.special.polygamma(order, 1.7), rtol=1e-12)
