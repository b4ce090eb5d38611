"""The table of cases of nn.functional: one row for every function, read by ``test_functional_cases.py``.

A row is like those of ``tests/ops/cases``, and also gives the equivalent function of PyTorch. A function that is
missing here fails the suite.
"""

from __future__ import annotations

from . import attention, convolution, labels, layers, losses, normalization, pooling, recurrent, sampling
from .rows import Case

__all__ = ["CASES", "GROUPS", "Case"]

GROUPS: dict[str, tuple[Case, ...]] = {
    "Layers": layers.CASES,
    "Losses": losses.CASES,
    "Losses with labels": labels.CASES,
    "Convolution": convolution.CASES,
    "Pooling": pooling.CASES,
    "Normalisation": normalization.CASES,
    "Sampling": sampling.CASES,
    "Attention": attention.CASES,
    "Recurrent": recurrent.CASES,
}
CASES: tuple[Case, ...] = tuple(case for cases in GROUPS.values() for case in cases)
