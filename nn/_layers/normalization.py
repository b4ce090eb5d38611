"""Batch normalisation."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .. import functional
from .._module import Module
from .._parameter import Parameter

__all__ = ["BatchNorm"]


class BatchNorm(Module):
    """Give each feature mean 0 and variance 1 over the batch, then scale by gamma and add beta.

    ``gamma * (x - mean) / sqrt(var + eps) + beta``, with the batch's own mean and (biased) variance in
    training and the running ones in evaluation (Ioffe and Szegedy, 2015, algorithm 1). Composed of the
    engine's operations: its gradient is derived.

    The running statistics are updated where the batch is seen, in the forward pass. So where Ctrl-C ends a training
    step that is not compiled, they may be one step ahead of the parameters, each array by itself; a compiled step
    leaves all of one step.

    Shapes: x (batch, num_features) or (batch, num_features, ...), gamma and beta (num_features,), result as x.

    Args:
        num_features: length of the second axis of x.
        momentum: the weight of the old running value, in [0, 1]; PyTorch's ``momentum`` is one minus this.
        eps: added to the variance.
        affine: learn gamma (from 1) and beta (from 0)?
        unbiased: keep the running variance with n - 1 below the line (as PyTorch does), not n?
        dtype: of parameters and running statistics.

    Raises:
        ShapeError: x has not num_features features; a training batch has fewer than 2 numbers of each.

    Warns:
        RuntimeWarning: a training batch holds NaN or infinity; it does not enter the running statistics.

    >>> import numpy as np, nn
    >>> nn.BatchNorm(1, eps=0.0, dtype=np.float64)(np.array([[1.0], [3.0]]))
    Tensor([[-1.], [ 1.]], dtype=float64, op=add)
    """

    gamma: Parameter | None
    beta: Parameter | None
    running_mean: tg.Tensor
    running_var: tg.Tensor

    def __init__(
        self,
        num_features: int,
        *,
        momentum: float = 0.9,
        eps: float = 1e-5,
        affine: bool = True,
        unbiased: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        if not isinstance(num_features, int | np.integer) or num_features < 1:
            raise ValueError(f"BatchNorm: num_features must be an integer of at least 1, got {num_features!r}")
        if not 0 <= momentum <= 1:
            raise ValueError(f"BatchNorm: momentum, the weight of the old value, is in [0, 1], got {momentum!r}")
        if not eps >= 0:
            raise ValueError(f"BatchNorm: eps must not be negative, got {eps!r}")
        self.num_features = int(num_features)
        self.momentum = float(momentum)
        self.eps = float(eps)
        self.unbiased = unbiased
        self.gamma = Parameter(np.ones(num_features, dtype), name="gamma") if affine else None
        self.beta = Parameter(np.zeros(num_features, dtype), name="beta") if affine else None
        self.register_buffer("running_mean", np.zeros(num_features, dtype))
        self.register_buffer("running_var", np.ones(num_features, dtype))

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return functional.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.gamma,
            self.beta,
            **{name: tg.watch(self, name) for name in ("training", "momentum", "eps", "unbiased")},
        )

    def extra_repr(self) -> str:
        return f"{self.num_features}, momentum={self.momentum}, eps={self.eps}"

    def brief(self) -> str:
        return f"{type(self).__name__} {self.num_features}"
