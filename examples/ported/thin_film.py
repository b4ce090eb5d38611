"""Thin films: the thicknesses of an anti-reflection coating.

Light of each wavelength passes a stack of films as a product of complex 2 x 2 matrices, one a film (the transfer-matrix
method; Born and Wolf, section 1.6). The design is a stack of four films, high and low index in turn, on glass. The mean
reflectance over the visible range, at normal incidence, is minimised by the thicknesses with ``tg.minimize``, within
bounds. All of it is differentiated in complex numbers.

    python examples/ported/thin_film.py
"""

import numpy as np

import tensorgrad as tg

AIR, LOW, HIGH, GLASS = 1.0, 1.38, 2.3 - 0.002j, 1.52  # the minus sign is for absorption
DESIGN = (HIGH, LOW, HIGH, LOW)  # from the glass to the air
WAVELENGTHS = np.linspace(420.0, 680.0, 53)  # nm
START = np.array([15.0, 30.0, 110.0, 90.0])  # nm


def film(index, thickness, wavelengths):
    """The transfer matrix of a film at each wavelength, shape (wavelengths, 2, 2)."""
    phase = 2 * np.pi * index * thickness / wavelengths
    rows = [[np.cos(phase), 1j * np.sin(phase) / index], [1j * index * np.sin(phase), np.cos(phase)]]
    return np.moveaxis(np.stack([np.stack(row) for row in rows]), -1, 0)


def reflectance(thicknesses, indices=DESIGN, wavelengths=WAVELENGTHS):
    fields = np.tile([1.0, GLASS], (len(wavelengths), 1))
    for index, thickness in zip(indices, thicknesses):
        fields = np.einsum("wij,wj->wi", film(index, thickness, wavelengths), fields)
    electric, magnetic = fields[:, 0], fields[:, 1]
    return np.abs((AIR * electric - magnetic) / (AIR * electric + magnetic)) ** 2


def loss(thicknesses):
    return np.mean(reflectance(thicknesses))


def fit():
    return tg.minimize(loss, START, bounds=(5.0, 200.0))


def main():
    check = tg.testing.gradcheck(loss, START, method="central")
    print(f"gradient against central differences: off by {check.error:.1e}")
    found = fit()
    bare = ((GLASS - AIR) / (GLASS + AIR)) ** 2
    print(f"mean reflectance: bare glass {bare:.2%}, start {loss(START):.2%}, design {found.fun:.3%}")
    print("thicknesses in nm, from the glass:", ", ".join(f"{d:.1f}" for d in found.x))


if __name__ == "__main__":
    main()
