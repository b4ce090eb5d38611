"""Updates of running means, which several optimisers share."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["average_in", "average_square_in"]


def average_in(mean: Any, g: Any, keep: Any, take: Any, scratch: Any) -> None:
    """``mean = keep * mean + take * g``, in place."""
    np.multiply(mean, keep, out=mean)
    np.multiply(g, take, out=scratch)
    np.add(mean, scratch, out=mean)


def average_square_in(mean: Any, g: Any, keep: Any, take: Any, scratch: Any) -> None:
    """``mean = keep * mean + take * g * g``, in place."""
    np.multiply(mean, keep, out=mean)
    np.multiply(g, g, out=scratch)
    np.multiply(scratch, take, out=scratch)
    np.add(mean, scratch, out=mean)
