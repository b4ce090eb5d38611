"""Special functions, from SciPy."""

from __future__ import annotations

import scipy.special

from .rows import (
    Case,
    seed,
    unary,
)

seed("special")


CASES: tuple[Case, ...] = (
    unary("special.erf", scipy.special.erf),
    unary("special.i1", scipy.special.i1, method="central"),
)
