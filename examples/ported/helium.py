"""Helium: the ground state's energy by variational Monte Carlo.

The trial function ``exp(-a (r1 + r2) + r12 / (2 (1 + b r12)))`` has the right cusp where electrons meet. Metropolis
walkers sample its square; the mean local energy bounds the true energy, -2.9037 hartree, from above. The kinetic part
of the local energy is a Laplacian, from ``tg.grad`` of ``tg.grad``; the gradient by a and b of the mean, with the
sample reweighted by the ratio of trial functions, is ``tg.grad`` of all of that.

    python examples/ported/helium.py
"""

import numpy as np

import tensorgrad as tg

EXACT = -2.903724
START = np.array([1.5, 0.5])


def distances(x):
    """From walkers of shape (walkers, 6): r1, r2 and r12, each of shape (walkers,)."""
    return [np.sqrt(np.sum(v**2, axis=1)) for v in (x[:, :3], x[:, 3:], x[:, :3] - x[:, 3:])]


def log_psi(theta, x):
    r1, r2, r12 = distances(x)
    return -theta[0] * (r1 + r2) + r12 / (2 * (1 + theta[1] * r12))


def local_energy(theta, x):
    """``-laplacian(psi) / (2 psi) + V``, shape (walkers,)."""
    slope = tg.grad(lambda x: np.sum(log_psi(theta, x)))  # walkers do not meet, so the sum keeps them apart
    laplacian = sum(tg.grad(lambda x, i=i: np.sum(slope(x)[:, i]))(x)[:, i] for i in range(6))
    r1, r2, r12 = distances(x)
    return -0.5 * (laplacian + np.sum(slope(x) ** 2, axis=1)) - 2 / r1 - 2 / r2 + 1 / r12


def energy(theta, x, at):
    """The mean local energy at theta of walkers that sample the trial function with the parameters ``at``."""
    weights = np.exp(2 * (log_psi(theta, x) - log_psi(at, x)))
    return np.sum(weights * local_energy(theta, x)) / np.sum(weights)


def moved(theta, x, rng, sweeps, step=0.35):
    """Metropolis walks: plain NumPy."""
    now = log_psi(theta, x)
    for _ in range(sweeps):
        proposed = x + step * rng.standard_normal(x.shape)
        then = log_psi(theta, proposed)
        taken = np.log(rng.random(len(x))) < 2 * (then - now)
        x, now = np.where(taken[:, None], proposed, x), np.where(taken, then, now)
    return x


def fit(walkers=500, steps=20, rate=0.3, seed=0):
    """Gradient descent; the parameters, and walkers that sample their trial function."""
    rng = np.random.default_rng(seed)
    theta, x = START, rng.standard_normal((walkers, 6))
    x = moved(theta, x, rng, 200)
    for _ in range(steps):
        x = moved(theta, x, rng, 10)
        theta = theta - rate * tg.grad(energy)(theta, x, theta)
    return theta, moved(theta, x, rng, 50)


def main():
    x = moved(START, np.random.default_rng(1).standard_normal((50, 6)), np.random.default_rng(2), 50)
    check = tg.testing.gradcheck(lambda theta: energy(theta, x, START), START, method="central")
    print(f"gradient against central differences: off by {check.error:.1e}")
    theta, x = fit()
    rng = np.random.default_rng(3)
    means = []
    for _ in range(20):
        x = moved(theta, x, rng, 20)
        means.append(np.mean(local_energy(theta, x)))
    print(f"a = {theta[0]:.3f}, b = {theta[1]:.3f}")
    print(f"energy {np.mean(means):.4f} ± {np.std(means) / np.sqrt(len(means)):.4f} hartree, exact {EXACT:.4f}")


if __name__ == "__main__":
    main()
