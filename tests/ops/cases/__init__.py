"""The table of operation cases: one row for every public operation, read by ``test_cases.py``.

A row has the operation, the NumPy or SciPy function that is its oracle, sample inputs (float64 arrays to
differentiate, then other arguments), its gradients at singular points, and the calls that it refuses. The suite fails
if an operation is missing here.
"""

from __future__ import annotations

from . import (
    activations,
    arranging,
    complexes,
    convolution,
    cumulative,
    elementwise,
    fft,
    indexing,
    linalg,
    numerics,
    products,
    random,
    reductions,
    selection,
    sets,
    shapes,
    sorting,
    special,
    trigonometry,
)
from .rows import Case, K, Kink, R, Refusal, S, Sample

__all__ = ["CASES", "GROUPS", "Case", "K", "Kink", "R", "Refusal", "S", "Sample"]

GROUPS: dict[str, tuple[Case, ...]] = {
    "Elementwise": elementwise.CASES,
    "Trigonometry": trigonometry.CASES,
    "Selection": selection.CASES,
    "Reductions": reductions.CASES,
    "Running sums and differences": cumulative.CASES,
    "Shapes": shapes.CASES,
    "Arranging": arranging.CASES,
    "Indexing": indexing.CASES,
    "Sorting, diagonals, scatter": sorting.CASES,
    "Sets and bits": sets.CASES,
    "Products": products.CASES,
    "Convolution": convolution.CASES,
    "Linear algebra": linalg.CASES,
    "Special functions": special.CASES,
    "Complex numbers": complexes.CASES,
    "Fourier transforms": fft.CASES,
    "Numerics": numerics.CASES,
    "Activations": activations.CASES,
    "Random": random.CASES,
}
CASES: tuple[Case, ...] = tuple(case for cases in GROUPS.values() for case in cases)
