"""Predators and prey: the rates of a differential equation that fit noisy counts.

The Lotka-Volterra equations are integrated with the classical Runge-Kutta method of order 4. The four rates and the two
initial populations, as logarithms, minimise the squared differences of log counts, with SciPy's least squares and the
Jacobian from ``tg.jacobian``, through all steps of the integration.

    python examples/ported/predator_prey.py
"""

import numpy as np
from scipy.optimize import least_squares

import tensorgrad as tg

NAMES = ("births", "hunting", "feeding", "deaths", "prey", "predators")
TRUE = np.array([1.0, 0.5, 0.3, 0.8, 2.0, 1.5])
START = np.log([0.8, 0.8, 0.4, 0.6, 1.5, 1.5])
TIMES = np.linspace(0.0, 8.0, 33)


def rates(state, births, hunting, feeding, deaths):
    prey, predators = state
    return np.stack([births * prey - hunting * prey * predators, feeding * prey * predators - deaths * predators])


def integrate(state, times, *parameters, substeps=1):
    """Runge-Kutta of order 4: the states at all times, shape (times, 2)."""
    states = [state]
    for h in np.repeat(np.diff(times) / substeps, substeps):
        k1 = rates(state, *parameters)
        k2 = rates(state + h / 2 * k1, *parameters)
        k3 = rates(state + h / 2 * k2, *parameters)
        k4 = rates(state + h * k3, *parameters)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        states.append(state)
    return np.stack(states[::substeps])


def data(noise=0.05, seed=1):
    counts = integrate(TRUE[4:], TIMES, *TRUE[:4])
    return counts * np.exp(noise * np.random.default_rng(seed).standard_normal(counts.shape))


def residuals(theta, counts):
    parameters = np.exp(theta)
    return np.ravel(np.log(integrate(parameters[4:], TIMES, *parameters[:4])) - np.log(counts))


def fit(counts):
    return least_squares(residuals, START, jac=tg.jacobian(residuals), args=(counts,))


def main():
    counts = data()
    check = tg.testing.gradcheck(lambda theta: residuals(theta, counts), START, method="central")
    print(f"Jacobian against central differences: off by {check.error:.1e}")
    found = fit(counts)
    spread = np.sqrt(2 * found.cost / (counts.size - len(TRUE)))
    errors = spread * np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)))
    print(f"residual spread {spread:.4f} after {found.nfev} evaluations")
    for name, value, error, true in zip(NAMES, np.exp(found.x), errors, TRUE):
        print(f"{name:>10} {value:.3f} ± {value * error:.3f}, true {true:.1f}")


if __name__ == "__main__":
    main()
