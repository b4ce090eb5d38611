"""The base of layers with one weight and one bias."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .. import init
from .._checks import number
from .._module import Module
from .._parameter import Parameter

__all__ = ["Weighted", "drawn"]


class Weighted(Module):
    """A layer with a weight W, a bias b or None, and the factors of W in :func:`penalty`."""

    W: Parameter
    b: Parameter | None
    l1: float
    l2: float

    def _make(
        self,
        shape: tuple[int, ...],
        outputs: int,
        *,
        bias: bool,
        l1: float,
        l2: float,
        init: init.Init,
        dtype: DTypeLike,
        rng: init.Seed,
    ) -> None:
        op = type(self).__name__
        self.l1, self.l2 = number(op, "l1", l1, 0), number(op, "l2", l2, 0)
        self.W = Parameter(drawn(op, shape, init, dtype, rng), dtype=dtype, name="W")
        self.b = Parameter(np.zeros(outputs, dtype), name="b") if bias else None

    def _shown(self) -> str:
        penalties = "".join(f", {name}={getattr(self, name):g}" for name in ("l1", "l2") if getattr(self, name))
        return ("" if self.b is not None else ", bias=False") + penalties


def drawn(op: str, shape: tuple[int, ...], given: init.Init, dtype: DTypeLike, rng: init.Seed) -> Any:
    """Call an initialiser for a shape. Raises ShapeError if the result has another shape."""
    weight = init.resolved(given)(shape, dtype=dtype, rng=np.random.default_rng(rng))
    if np.shape(weight) != shape:
        raise tg.ShapeError(f"{op}: init returned an array of shape {np.shape(weight)}, expected {shape}")
    return weight
