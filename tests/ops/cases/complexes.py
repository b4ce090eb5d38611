"""Complex numbers."""

from __future__ import annotations

import numpy as np

import tensorgrad as tg

from .rows import C, Case, S, seed, u, unary

seed("complexes")


def made(part):  # type: ignore[no-untyped-def]
    """A function of the real and the imaginary part."""
    return lambda re, im: part(re + 1j * im)


CASES: tuple[Case, ...] = (
    unary("real", np.real, method="central"),
    unary("imag", np.imag, method="central"),
    unary("conj", np.conj, method="central"),
    C("angle", made(np.angle), S(u(2, 3), u(2, 3)), op=made(tg.angle), method="central", float32=False),
)
