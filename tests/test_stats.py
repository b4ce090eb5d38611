"""Densities, against SciPy's, with derivatives of two orders with respect to every argument."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorgrad as tg

scipy_stats = pytest.importorskip("scipy.stats")

CASES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "norm": ("norm", (np.array([0.3, -2.0, 5.0]), 0.5, np.array([2.0, 0.1, 1.0]))),
    "standard norm": ("norm", (np.array([0.3, -2.0]),)),
    "gamma": ("gamma", (np.array([0.3, 2.0, 5.0]), np.array([0.7, 3.0, 1.0]), 0.1, 2.0)),
    "beta": ("beta", (np.array([0.3, 0.9]), np.array([0.7, 3.0]), 2.5)),
    "scaled beta": ("beta", (np.array([1.3, 2.1]), 2.0, 0.5, 1.0, 1.5)),
    "t": ("t", (np.array([0.3, -20.0]), np.array([3.0, 50.0]), 0.2, 1.5)),
}


@pytest.mark.parametrize("case", CASES)
def test_densities_are_scipys_and_have_derivatives(case: str) -> None:
    name, args = CASES[case]
    ours, theirs = getattr(tg.stats, name), getattr(scipy_stats, name)
    np.testing.assert_allclose(ours.logpdf(*args).data, theirs.logpdf(*args), rtol=1e-12)
    np.testing.assert_allclose(ours.pdf(*args).data, theirs.pdf(*args), rtol=1e-12)
    tg.testing.gradcheck(ours.logpdf, *args)
    tg.testing.gradgradcheck(ours.logpdf, *args)


def test_multivariate_normal() -> None:
    mean, cov = np.array([0.5, -1.0, 2.0]), np.array([[2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 0.5]])
    x = np.arange(12.0).reshape(2, 2, 3) / 6
    ours, theirs = tg.stats.multivariate_normal, scipy_stats.multivariate_normal
    np.testing.assert_allclose(ours.logpdf(x, mean, cov).data, theirs.logpdf(x, mean, cov), rtol=1e-12)
    np.testing.assert_allclose(ours.pdf(x[0, 0], mean, cov).item(), theirs.pdf(x[0, 0], mean, cov), rtol=1e-12)
    np.testing.assert_allclose(ours.logpdf(x, 0.0, 2.0).data, theirs.logpdf(x, np.zeros(3), 2.0), rtol=1e-12)
    tg.testing.gradcheck(lambda x, m, c: ours.logpdf(x, m, (c + c.T) / 2), x, mean, cov)
    tg.testing.gradgradcheck(lambda m, c: ours.logpdf(x, m, (c + c.T) / 2), mean, cov)
    with pytest.raises(tg.ShapeError, match=r"cov has shape \(2, 2\), expected \(3, 3\)"):
        ours.logpdf(x, mean, np.eye(2))


def test_outside_of_the_support_the_density_is_zero_and_so_is_its_gradient() -> None:
    for density in (lambda x: tg.stats.gamma.pdf(x, 2.5), lambda x: tg.stats.beta.pdf(x, 2.0, 3.0)):
        x = np.array([-1.0, -1e-9])
        np.testing.assert_array_equal(density(x).data, 0.0)
        np.testing.assert_array_equal(tg.grad(lambda x, d=density: d(x).sum())(x), 0.0)
    assert tg.stats.beta.logpdf(1.5, 2.0, 3.0).item() == -np.inf
    np.testing.assert_allclose(tg.grad(lambda x: tg.stats.gamma.pdf(x, 1.0))(0.0), -1.0)  # the exponential density


def test_at_the_ends_of_the_support_derivatives_are_those_from_inside() -> None:
    gamma, beta = tg.stats.gamma.pdf, tg.stats.beta.pdf
    assert tg.grad(lambda x: gamma(x, 2.0))(0.0) == pytest.approx(1.0)
    assert tg.hessian(lambda x: gamma(x, 3.0))(0.0) == pytest.approx(1.0)
    assert tg.grad(lambda x: beta(x, 2.0, 2.0))(0.0) == pytest.approx(6.0)
    assert tg.grad(lambda x: beta(x, 2.0, 2.0))(1.0) == pytest.approx(-6.0)
    np.testing.assert_allclose(gamma(np.array([0.0, 400.0]), 500.0).data, scipy_stats.gamma.pdf([0.0, 400.0], 500.0))


def test_parameters_that_are_not_positive_give_nan() -> None:
    for density in (
        tg.stats.gamma.logpdf(1.0, -1.0),
        tg.stats.beta.logpdf(0.5, -1.0, 1.0),
        tg.stats.t.logpdf(1.0, -1.0),
        tg.stats.norm.logpdf(1.0, 0.0, -1.0),
    ):
        assert np.isnan(density.item())


def test_many_degrees_of_freedom() -> None:
    for df in (1e8, 1e10, 1e12):
        assert tg.stats.t.logpdf(1.0, df).item() == pytest.approx(-0.5 - 0.5 * np.log(2 * np.pi), abs=1e-7)
