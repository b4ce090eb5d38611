"""The affine layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .. import functional, init
from .._module import Module
from .._parameter import Parameter

__all__ = ["Linear"]


class Linear(Module):
    """Affine map of the last axis, ``x @ W + b``.

    Shapes: x (..., in_features), W (in_features, out_features), b (out_features,), result (...,
        out_features).

    Args:
        in_features: length of the last axis of x.
        out_features: length of the last axis of the result.
        bias: add b, which starts at zero?
        init: a name in :mod:`nn.init`, or a function ``(shape, dtype=, rng=)`` that returns an array.
        dtype: of the parameters.
        rng: generator or seed for W; None draws a fresh seed.

    Raises:
        ShapeError: x has another number of features.

    >>> import numpy as np, nn
    >>> nn.Linear(3, 2, rng=0)(np.ones((4, 3), np.float32)).shape
    (4, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        init: str | init.Initializer = "he_normal",
        dtype: DTypeLike = np.float32,
        rng: init.Seed = None,
    ) -> None:
        super().__init__()
        for name, value in (("in_features", in_features), ("out_features", out_features)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"Linear: {name} must be an integer of at least 1, got {value!r}")
        self.in_features = int(in_features)
        self.out_features = int(out_features)
        shape = (self.in_features, self.out_features)
        weight = _resolved(init)(shape, dtype=dtype, rng=np.random.default_rng(rng))
        if np.shape(weight) != shape:
            raise tg.ShapeError(f"Linear: init gave an array of shape {np.shape(weight)}, expected {shape}")
        self.W = Parameter(weight, dtype=dtype, name="W")
        self.b = Parameter(np.zeros(self.out_features, dtype), name="b") if bias else None

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return functional.linear(x, self.W, self.b)

    def extra_repr(self) -> str:
        return f"in={self.in_features}, out={self.out_features}" + ("" if self.b is not None else ", bias=False")

    def brief(self) -> str:
        return f"{type(self).__name__} {self.in_features}→{self.out_features}"


_resolved = init.resolved  # `init` is an argument's name in Linear
