"""Dropout."""

from __future__ import annotations

import numpy as np

import tensorgrad as tg

from .. import functional
from .._checks import probability
from .._module import Module

__all__ = ["Dropout"]


class Dropout(Module):
    """In training, set each element to 0 with probability p and scale the others by ``1 / (1 - p)``.

    The expected value stays the same, and evaluation returns x unchanged (Srivastava et al., 2014).

    Args:
        p: probability of dropping, in [0, 1).
        rng: generator or seed; None draws a fresh seed.

    Raises:
        ValueError: p is outside [0, 1).

    >>> import numpy as np, nn
    >>> sorted(set(nn.Dropout(0.5, rng=0)(np.ones(100)).data.tolist()))
    [0.0, 2.0]
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | int | None = None) -> None:
        super().__init__()
        self.p = probability("Dropout", "p", p)
        self.rng = np.random.default_rng(rng)

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        p, rng, training = (tg.watch(self, name) for name in ("p", "rng", "training"))
        return functional.dropout(x, p, training=training, rng=rng)

    def extra_repr(self) -> str:
        return f"p={self.p}"
