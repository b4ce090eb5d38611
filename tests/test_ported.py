"""The ported programs, examples/ported: each runs, and what it finds is right."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats

import tensorgrad as tg

PROGRAMS = Path(__file__).parents[1] / "examples" / "ported"


def program(name):
    spec = importlib.util.spec_from_file_location(f"ported_{name}", PROGRAMS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed(module, capsys):
    """What ``main`` prints, without the line about central differences, whose figure is checked."""
    module.main()
    first, *lines = capsys.readouterr().out.splitlines()
    assert float(re.fullmatch(r".* against central differences: off by (\S+)", first)[1]) < 1e-8
    return "\n".join(lines)


def estimates(text, names):
    """Value, standard error and truth of each name in ``name value ± error, true truth``."""
    number = r"(-?[\d.]+)"
    return [
        tuple(map(float, re.search(rf"{name} +{number} ± {number}, true +{number}", text).groups())) for name in names
    ]


def test_every_program_has_a_test():
    assert {f"test_{path.stem}" for path in PROGRAMS.glob("*.py")} < {*globals()}


def test_gaussian_process(capsys):
    module = program("gaussian_process")
    x, y = module.data()
    theta = np.log([0.7, 1.3, 0.25])
    covariance = module.kernel(x, x, 0.7, 1.3) + 0.25**2 * np.eye(len(x))
    expected = -stats.multivariate_normal.logpdf(y, cov=covariance)
    assert module.negative_log_likelihood(theta, x, y) == pytest.approx(expected, rel=1e-9)
    assert optimize.check_grad(module.negative_log_likelihood, tg.grad(module.negative_log_likelihood), theta, x, y) < (
        1e-4
    )
    found = module.fit(x, y)
    # Without a gradient, SciPy's simplex finds the same.
    other = optimize.minimize(
        module.negative_log_likelihood, found.x + 0.1, args=(x, y), method="Nelder-Mead", options={"xatol": 1e-5}
    )
    np.testing.assert_allclose(found.x, other.x, atol=1e-3)
    text = printed(module, capsys)
    assert f"{found.fun:.3f}" in text
    assert 0.15 < float(re.search(r"noise (\S+)", text)[1]) < 0.25  # the data's is 0.2
    for value, error, true in estimates(text, [r"f\(1\) =", r"f\(3\) =", r"f\(5\) ="]):
        assert abs(value - true) < 3 * error


def test_predator_prey(capsys):
    module = program("predator_prey")
    births, hunting, feeding, deaths = module.TRUE[:4]
    prey, predators = module.integrate(module.TRUE[4:], np.linspace(0, 8, 401), *module.TRUE[:4]).T
    kept = feeding * prey - deaths * np.log(prey) + hunting * predators - births * np.log(predators)
    assert np.ptp(kept) < 1e-8  # constant along a solution
    found = module.fit(module.data(noise=0.0))
    coarse = np.exp(found.x)
    np.testing.assert_allclose(coarse, module.TRUE, rtol=1e-6)
    text = printed(module, capsys)
    for value, error, true in estimates(text, module.NAMES):
        assert abs(value - true) < 3 * error


def test_survival(capsys):
    module = program("survival")
    X, times, seen = module.data()
    theta = np.array([0.8, 0.3, -0.2, 0.4])
    law = stats.weibull_min(np.exp(theta[3]), scale=np.exp(X @ theta[:3]))
    expected = -np.sum(np.where(seen, law.logpdf(times), law.logsf(times)))
    assert module.negative_log_likelihood(theta, X, times, seen) == pytest.approx(expected, rel=1e-12)
    found, _ = module.fit(X, times, seen)
    # At the maximum, as many events are expected as were seen: the derivative by the intercept.
    hazard = np.exp(np.exp(found.x[3]) * (np.log(times) - X @ found.x[:3]))
    assert hazard.sum() == pytest.approx(seen.sum(), rel=1e-5)
    for value, error, true in estimates(printed(module, capsys), module.NAMES):
        assert abs(value - true) < 3 * error


def test_helium(capsys):
    module = program("helium")
    x = np.random.default_rng(0).standard_normal((7, 6))
    r1, r2, r12 = module.distances(x)
    # With b without bound the factor of the two electrons is constant, which leaves two hydrogen functions.
    a = 1.7
    expected = -(a**2) + (a - 2) * (1 / r1 + 1 / r2) + 1 / r12
    np.testing.assert_allclose(module.local_energy(np.array([a, 1e14]), x), expected, rtol=1e-9)
    # By hand, with the factor: the gradients' cross terms and its own Laplacian.
    a, b = theta = np.array([1.9, 0.4])
    u1 = 0.5 / (1 + b * r12) ** 2
    u2 = -b / (1 + b * r12) ** 3
    along = [x[:, :3] / r1[:, None], x[:, 3:] / r2[:, None], (x[:, :3] - x[:, 3:]) / r12[:, None]]
    laplacian = -2 * a * (1 / r1 + 1 / r2) + 2 * (u2 + 2 * u1 / r12)
    slope1 = -a * along[0] + u1[:, None] * along[2]
    slope2 = -a * along[1] - u1[:, None] * along[2]
    squares = np.sum(slope1**2 + slope2**2, axis=1)
    expected = -0.5 * (laplacian + squares) - 2 / r1 - 2 / r2 + 1 / r12
    np.testing.assert_allclose(module.local_energy(theta, x), expected, rtol=1e-9)
    text = printed(module, capsys)
    energy, error = map(float, re.search(r"energy (\S+) ± (\S+) hartree", text).groups())
    assert module.EXACT - 3 * error < energy < -2.8477  # what the best function without the factor reaches


def test_thin_film(capsys):
    module = program("thin_film")
    # A film a quarter of a wavelength thick: Born and Wolf, section 1.6.4.
    n, wavelength = 1.38, np.array([550.0])
    quarter = module.reflectance([550.0 / 4 / n], [n], wavelength)
    ns = module.GLASS
    np.testing.assert_allclose(quarter, ((ns - n**2) / (ns + n**2)) ** 2, rtol=1e-12)
    # Half a wavelength thick, it is not there; nor is one of glass.
    bare = ((1 - ns) / (1 + ns)) ** 2
    np.testing.assert_allclose(module.reflectance([550.0 / 2 / n], [n], wavelength), bare, rtol=1e-12)
    np.testing.assert_allclose(module.reflectance([77.0], [ns], module.WAVELENGTHS), bare, rtol=1e-12)
    # Two interfaces, summed as Airy did: r = (r01 + r12 e^-2id) / (1 + r01 r12 e^-2id).
    n = module.HIGH
    turn = np.exp(-4j * np.pi * n * 80.0 / module.WAVELENGTHS)
    r01, r12 = (1 - n) / (1 + n), (n - ns) / (n + ns)
    airy = np.abs((r01 + r12 * turn) / (1 + r01 * r12 * turn)) ** 2
    np.testing.assert_allclose(module.reflectance([80.0], [n]), airy, rtol=1e-12)
    found = module.fit()
    assert np.max(np.abs(tg.grad(module.loss)(found.x))) < 1e-5  # SciPy's gtol
    text = printed(module, capsys)
    assert f"design {found.fun:.3%}" in text
    assert found.fun < 0.002
