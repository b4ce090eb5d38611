"""The table of cases of nn.functional: one row for every function, read by ``test_functional_cases.py``.

A row is that of ``tests/ops/cases``, and says besides what PyTorch calls the same thing. A function that is missing
here fails the suite.
"""

from __future__ import annotations

from . import layers, losses
from .rows import Case

__all__ = ["CASES", "GROUPS", "Case"]

GROUPS: dict[str, tuple[Case, ...]] = {
    "Layers": layers.CASES,
    "Losses": losses.CASES,
}
CASES: tuple[Case, ...] = tuple(case for cases in GROUPS.values() for case in cases)
