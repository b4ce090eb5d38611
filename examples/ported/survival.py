"""Survival: how long patients live, with a Weibull law and observations that end before the event.

Lifetimes have hazard ``shape / scale * (t / scale) ** (shape - 1)`` with ``scale = exp(X @ beta)`` (accelerated failure
time). A patient whose event was seen contributes the log density; one who left before it, the log probability of
surviving until then. ``tg.minimize`` finds the most likely coefficients; standard errors come from the inverse of the
Hessian, which is ``tg.hessian`` of the same function.

    python examples/ported/survival.py
"""

import numpy as np

import tensorgrad as tg

NAMES = ("intercept", "treated", "age", "log shape")
TRUE = np.array([1.0, 0.6, -0.4, 0.5])


def data(n=400, seed=0):
    """Covariates, times, and whether the event was seen."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(n), rng.integers(0, 2, n), rng.standard_normal(n)])
    lifetimes = np.exp(X @ TRUE[:3]) * rng.weibull(np.exp(TRUE[3]), n)
    ends = rng.uniform(1.0, 8.0, n)
    return X, np.minimum(lifetimes, ends), lifetimes <= ends


def negative_log_likelihood(theta, X, times, seen):
    beta, log_shape = theta[:3], theta[3]
    z = np.exp(log_shape) * (np.log(times) - X @ beta)  # log of the cumulative hazard
    return np.sum(np.exp(z) - np.where(seen, log_shape + z - np.log(times), 0.0))


def fit(X, times, seen):
    """The coefficients and their standard errors."""

    def loss(theta):
        return negative_log_likelihood(theta, X, times, seen)

    found = tg.minimize(loss, np.zeros(4), method="Newton-CG")
    return found, np.sqrt(np.diag(np.linalg.inv(tg.hessian(loss)(found.x))))


def main():
    X, times, seen = data()
    check = tg.testing.gradcheck(
        lambda theta: negative_log_likelihood(theta, X, times, seen), np.zeros(4), method="central"
    )
    print(f"gradient against central differences: off by {check.error:.1e}")
    found, errors = fit(X, times, seen)
    print(f"{seen.sum()} events, {(~seen).sum()} censored; negative log likelihood {found.fun:.3f}")
    for name, value, error, true in zip(NAMES, found.x, errors, TRUE):
        print(f"{name:>10} {value:6.3f} ± {error:.3f}, true {true:4.1f}")
    print(f"treatment multiplies lifetimes by {np.exp(found.x[1]):.2f}")


if __name__ == "__main__":
    main()
