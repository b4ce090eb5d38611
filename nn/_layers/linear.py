"""The affine layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .. import functional, init
from .._checks import count
from .weighted import Weighted

__all__ = ["Linear"]


class Linear(Weighted):
    """Affine map of the last axis, ``x @ W + b``.

    Shapes: x (..., in_features), W (in_features, out_features), b (out_features,), result (...,
        out_features).

    Args:
        in_features: length of the last axis of x.
        out_features: length of the last axis of the result.
        bias: add b, initially zero.
        l1: weight of ``sum(abs(W))`` in :func:`penalty`.
        l2: weight of ``sum(W²)`` there.
        init: a name in :mod:`nn.init`, a dict with the name and options, or a function ``(shape, dtype=, rng=)`` that
            returns an array.
        dtype: of the parameters.
        rng: generator or seed for W; None draws a fresh seed.

    Raises:
        ShapeError: x has a different number of features.

    >>> import numpy as np, nn
    >>> nn.Linear(3, 2, rng=0)(np.ones((4, 3), np.float32)).shape
    (4, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        init: init.Init = "he_normal",
        dtype: DTypeLike = np.float32,
        rng: init.Seed = None,
    ) -> None:
        super().__init__()
        self.in_features = count("Linear", "in_features", in_features)
        self.out_features = count("Linear", "out_features", out_features)
        shape = (self.in_features, self.out_features)
        self._make(shape, self.out_features, bias=bias, l1=l1, l2=l2, init=init, dtype=dtype, rng=rng)

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return functional.linear(x, self.W, self.b)

    def extra_repr(self) -> str:
        return f"in={self.in_features}, out={self.out_features}" + self._shown()

    def brief(self) -> str:
        return f"{type(self).__name__} {self.in_features}→{self.out_features}"
