"""Comparisons of many small arrays, for the tests that make ten thousands of them."""

from __future__ import annotations

from typing import Any

import numpy as np

_QUICK = {np.dtype(kind) for kind in (np.float32, np.float64, np.complex64, np.complex128)}


def assert_close(got: Any, want: Any, rtol: float, atol: float = 0.0) -> None:
    """:func:`numpy.testing.assert_allclose`, called only where a quicker comparison fails."""
    if not _are_close(got, want, rtol, atol):
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


def _are_close(got: Any, want: Any, rtol: float, atol: float) -> bool:
    """Whether both are arrays of one shape that are equal, or finite and close."""
    if not all(getattr(side, "dtype", None) in _QUICK for side in (got, want)) or got.shape != want.shape:
        return False
    if (got == want).all():
        return True
    with np.errstate(all="ignore"):
        return bool(((np.abs(got - want) <= atol + rtol * np.abs(want)) & np.isfinite(want)).all())
