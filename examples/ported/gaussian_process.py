"""A Gaussian process: the kernel's hyperparameters that make noisy data most probable.

The kernel is a squared exponential with noise on the diagonal. Its three hyperparameters, as logarithms, minimise the
negative log marginal likelihood (Rasmussen and Williams, 2006, equation 2.30), with SciPy's L-BFGS-B and the gradient
from ``tg.grad``, through the Cholesky factor. Then the process interpolates the data, with standard deviations.

    python examples/ported/gaussian_process.py
"""

import numpy as np
from scipy.optimize import minimize

import tensorgrad as tg

NAMES = ("length", "signal", "noise")
START = np.log([0.3, 1.0, 0.3])


def data(n=60, noise=0.2, seed=0):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0.0, 6.0, n))
    return x, np.sin(x) + 0.5 * np.sin(2.5 * x) + noise * rng.standard_normal(n)


def kernel(a, b, length, signal):
    return signal**2 * np.exp(-0.5 * ((a[:, None] - b[None, :]) / length) ** 2)


def negative_log_likelihood(theta, x, y):
    length, signal, noise = np.exp(theta)
    lower = np.linalg.cholesky(kernel(x, x, length, signal) + noise**2 * np.eye(len(x)))
    white = np.linalg.solve(lower, y)
    return 0.5 * white @ white + np.sum(np.log(np.diag(lower))) + 0.5 * len(x) * np.log(2 * np.pi)


def fit(x, y):
    return minimize(negative_log_likelihood, START, args=(x, y), jac=tg.grad(negative_log_likelihood))


def predict(theta, x, y, new):
    """Mean and standard deviation of the process at ``new``."""
    length, signal, noise = np.exp(theta)
    covariance = kernel(x, x, length, signal) + noise**2 * np.eye(len(x))
    across = kernel(new, x, length, signal)
    mean = across @ np.linalg.solve(covariance, y)
    variance = signal**2 - np.sum(across * np.linalg.solve(covariance, across.T).T, axis=1)
    return mean, np.sqrt(variance)


def main():
    x, y = data()
    check = tg.testing.gradcheck(lambda theta: negative_log_likelihood(theta, x, y), START, method="central")
    print(f"gradient against central differences: off by {check.error:.1e}")
    found = fit(x, y)
    print(f"negative log likelihood {negative_log_likelihood(START, x, y):.3f} -> {found.fun:.3f} in {found.nit} steps")
    for name, value in zip(NAMES, np.exp(found.x)):
        print(f"{name:>8} {value:.3f}")
    new = np.array([1.0, 3.0, 5.0])
    for at, mean, std in zip(new, *predict(found.x, x, y, new)):
        print(f"f({at:.0f}) = {mean:6.3f} ± {std:.3f}, true {np.sin(at) + 0.5 * np.sin(2.5 * at):6.3f}")


if __name__ == "__main__":
    main()
