"""Draws with implicit gradients, which the rows of the table cannot compare with differences of draws."""

import numpy as np
import pytest
from scipy import special

import tensorgrad as tg
from tensorgrad import GraphError
from tensorgrad.special.gamma_paths import gamma_slope

SHAPES = [0.05, 0.3, 1.0, 1.7, 6.0, 60.0, 2000.0]


def difference(f, h):
    return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_gamma_draw_moves_like_the_quantile(shape):
    below = np.linspace(0.1, 0.95, 15)
    step = 0.004 * min(shape, 0.1 * np.sqrt(shape))
    moved = difference(lambda h: special.gammaincinv(shape + h, below), step)
    draws = special.gammaincinv(shape, below)
    np.testing.assert_allclose(gamma_slope(np.full_like(draws, shape), draws), moved, rtol=2e-7, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_second_derivative_of_a_gamma_draw(shape):
    below = np.linspace(0.1, 0.95, 15)
    step = 0.004 * min(shape, 0.1 * np.sqrt(shape))

    def slope(h):
        return gamma_slope(np.full_like(below, shape + h), special.gammaincinv(shape + h, below))

    a = tg.Tensor(np.full_like(below, shape), requires_grad=True)
    z = tg.Tensor(special.gammaincinv(shape, below), requires_grad=True)
    gamma_slope(a, z).sum().backward()
    np.testing.assert_allclose(a.grad + slope(0) * z.grad, difference(slope, step), rtol=1e-5, atol=1e-9)


def test_far_tails_and_numbers_that_underflow():
    # From the definition, with 60 digits of mpmath: minus the slope of the distribution function over the density.
    a = np.array([0.01, 0.01, 0.3])
    z = np.array([1.8309524563808733e-16, 13.481814871596061, 17.583462446593153])
    expected = [6.532040019772223e-13, 96.57242968633142, 6.187556027968628]
    np.testing.assert_allclose(gamma_slope(a, z), expected, rtol=1e-12)
    x = tg.Tensor(np.full(50, 1e-4), requires_grad=True)
    draws = tg.random.gamma(x, rng=0)
    assert (draws.data == 0).any()
    draws.sum().backward(create_graph=True)
    assert np.isfinite(x.grad.data).all()


def test_through_a_draw_to_the_second_order():
    shape = tg.Tensor([0.7, 3.0], requires_grad=True)
    draw = tg.random.gamma(shape, 2.0, rng=3)
    (slope,) = tg.grad(lambda s: tg.random.gamma(s, 2.0, rng=3).sum())(shape).data[None]
    z = draw.data / 2
    np.testing.assert_allclose(slope, 2 * gamma_slope(shape.data, z), rtol=1e-14)
    curvature = np.diag(tg.hessian(lambda s: tg.random.gamma(s, 2.0, rng=3).sum())(shape).data)
    below = special.gammainc(shape.data, z)
    along = lambda h: 2 * gamma_slope(shape.data + h, special.gammaincinv(shape.data + h, below))
    np.testing.assert_allclose(curvature, difference(along, 1e-3), rtol=1e-6)


def test_a_third_derivative_of_a_gamma_draw_is_refused():
    f = lambda s: tg.random.gamma(s, rng=0)
    with pytest.raises(GraphError, match=r"gamma: .* third"):
        tg.grad(tg.grad(tg.grad(f)))(tg.Tensor(2.0))


@pytest.mark.parametrize("shape", [0.4, 3.0])
def test_gradients_of_gamma_draws_are_right_on_average(shape):
    a = tg.Tensor(shape, requires_grad=True)
    tg.log(tg.random.gamma(a, size=100_000, rng=0)).mean().backward()
    assert a.grad == pytest.approx(special.polygamma(1, shape), rel=0.02)  # the mean of the log is digamma


@pytest.mark.parametrize("alpha", [[0.05, 0.2, 0.1], [1.5, 4.0, 2.0]])
def test_gradients_of_dirichlet_draws_are_right_on_average(alpha):
    a = tg.Tensor(alpha, requires_grad=True)
    draws = tg.random.dirichlet(a, 100_000, rng=0)
    total = sum(alpha)
    np.testing.assert_allclose(draws.data.mean(axis=0), np.array(alpha) / total, atol=0.005)
    draws[:, 0].mean().backward()
    expected = (np.array([total, 0, 0]) - alpha[0]) / total**2  # of alpha[0] / total
    np.testing.assert_allclose(a.grad, expected, rtol=0.05, atol=0.002)


def test_a_compiled_step_draws_for_the_current_shape():
    shape = tg.Tensor([2.0, 3.0], requires_grad=True)

    def step(rng):
        shape.grad = None
        draw = tg.random.gamma(shape, rng=rng)
        draw.sum().backward()
        return draw

    generator, other = np.random.default_rng(5), np.random.default_rng(5)
    compiled = tg.compile(lambda: step(generator))
    for _ in range(3):
        got, slopes = compiled().data.copy(), shape.grad.copy()
        np.testing.assert_array_equal(got, step(other).data)
        np.testing.assert_array_equal(slopes, shape.grad)
        shape.data += 1.0
