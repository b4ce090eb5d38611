"""Normalisation layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .. import functional
from .._checks import count, floating, number
from .._module import Module
from .._parameter import Parameter

__all__ = ["BatchNorm", "GroupNorm", "LayerNorm", "RMSNorm"]


class BatchNorm(Module):
    """Give each feature mean 0 and variance 1 over the batch, then scale by gamma and add beta.

    ``gamma * (x - mean) / sqrt(var + eps) + beta``, with the batch's own mean and (biased) variance in
    training and the running ones in evaluation (Ioffe and Szegedy, 2015, algorithm 1). Composed of the
    engine's operations, which provide its gradient.

    The running statistics are updated in the forward pass, which sees the batch. If Ctrl-C interrupts a training step
    that is not compiled, each of them may thus be one step ahead of the parameters; after a compiled step all are from
    the same step.

    Shapes: x (batch, num_features) or (batch, num_features, ...), gamma and beta (num_features,), result like x.

    Args:
        num_features: length of the second axis of x.
        momentum: the weight of the old running value, in [0, 1]; PyTorch's ``momentum`` is one minus this. None, as in
            PyTorch, for running values that are means over all batches so far, counted in the buffer
            ``num_batches_tracked``.
        eps: added to the variance. With 0, a constant feature yields beta and no gradient.
        affine: learn gamma (initially 1) and beta (initially 0).
        unbiased: divide the running variance by n - 1 (as PyTorch does) instead of n.
        track_running_stats: keep running statistics; without, the batch's own are used in evaluation, too.
        dtype: of parameters and running statistics.

    Raises:
        ShapeError: x does not have num_features features; a training batch has fewer than 2 numbers for each.

    Warns:
        RuntimeWarning: a training batch contains NaN or infinity; the running statistics leave it out.

    >>> import numpy as np, nn
    >>> nn.BatchNorm(1, eps=0.0, dtype=np.float64)(np.array([[1.0], [3.0]]))
    Tensor([[-1.], [ 1.]], dtype=float64, op=add)
    """

    gamma: Parameter | None
    beta: Parameter | None
    running_mean: tg.Tensor | None
    running_var: tg.Tensor | None
    num_batches_tracked: tg.Tensor | None = None

    def __init__(
        self,
        num_features: int,
        *,
        momentum: float | None = 0.9,
        eps: float = 1e-5,
        affine: bool = True,
        unbiased: bool = True,
        track_running_stats: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.num_features = count("BatchNorm", "num_features", num_features)
        self.momentum = None if momentum is None else number("BatchNorm", "momentum", momentum, 0)
        if self.momentum is not None and self.momentum > 1:
            raise ValueError(f"BatchNorm: momentum, the weight of the old value, must be in [0, 1], got {momentum!r}")
        self.eps = number("BatchNorm", "eps", eps, 0)
        self.unbiased = unbiased
        dtype = floating("BatchNorm", dtype)
        self.gamma = Parameter(np.ones(self.num_features, dtype), name="gamma") if affine else None
        self.beta = Parameter(np.zeros(self.num_features, dtype), name="beta") if affine else None
        if not track_running_stats:
            self.running_mean = self.running_var = None
            return
        self.register_buffer("running_mean", np.zeros(self.num_features, dtype))
        self.register_buffer("running_var", np.ones(self.num_features, dtype))
        if self.momentum is None:
            self.register_buffer("num_batches_tracked", np.array(0, np.int64))

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return functional.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.gamma,
            self.beta,
            training=tg.watch(self, "training") or self.running_mean is None,
            num_batches_tracked=self.num_batches_tracked,
            **{name: tg.watch(self, name) for name in ("momentum", "eps", "unbiased")},
        )

    def extra_repr(self) -> str:
        tracked = "" if self.running_mean is not None else ", track_running_stats=False"
        return f"{self.num_features}, momentum={self.momentum}, eps={self.eps}{tracked}"

    def brief(self) -> str:
        return f"{type(self).__name__} {self.num_features}"


class LayerNorm(Module):
    """Give each sample mean 0 and variance 1 over its last axes, then scale by gamma and add beta (Ba et al., 2016).

    Shapes: x ``(..., *normalized_shape)``, gamma and beta normalized_shape, result like x.

    Args:
        normalized_shape: lengths of the last axes of x; an integer for one axis, the number of features.
        eps: added to the variance. With 0, constant elements yield 0 and no gradient.
        affine: learn gamma (initially 1) and beta (initially 0).
        bias: False for no beta.
        dtype: of the parameters.

    Raises:
        ShapeError: the shape of x does not end in normalized_shape.

    >>> import numpy as np, nn
    >>> nn.LayerNorm(2, eps=0.0, dtype=np.float64)(np.array([[1.0, 3.0]])).data
    array([[-1.,  1.]])
    """

    gamma: Parameter | None
    beta: Parameter | None

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        *,
        eps: float = 1e-5,
        affine: bool = True,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.normalized_shape = _lengths("LayerNorm", normalized_shape)
        self.eps = number("LayerNorm", "eps", eps, 0)
        self.gamma = Parameter(np.ones(self.normalized_shape, dtype), name="gamma") if affine else None
        self.beta = Parameter(np.zeros(self.normalized_shape, dtype), name="beta") if affine and bias else None

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return functional.layer_norm(x, self.normalized_shape, self.gamma, self.beta, tg.watch(self, "eps"))

    def extra_repr(self) -> str:
        return f"{_shown(self.normalized_shape)}, eps={self.eps}"

    def brief(self) -> str:
        return f"{type(self).__name__} {_shown(self.normalized_shape)}"


class RMSNorm(Module):
    """Give each sample a mean square of 1 over its last axes, then scale by gamma (Zhang and Sennrich, 2019).

    Shapes: x ``(..., *normalized_shape)``, gamma normalized_shape, result like x.

    Args:
        normalized_shape: lengths of the last axes of x; an integer for one axis, the number of features.
        eps: added to the mean square; None for the machine epsilon of x's dtype (of float32 if x is float16).
        affine: learn gamma (initially 1).
        dtype: of gamma.

    Raises:
        ShapeError: the shape of x does not end in normalized_shape.

    >>> import numpy as np, nn
    >>> nn.RMSNorm(2, dtype=np.float64)(np.array([[3.0, -3.0]])).data
    array([[ 1., -1.]])
    """

    gamma: Parameter | None

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        *,
        eps: float | None = None,
        affine: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.normalized_shape = _lengths("RMSNorm", normalized_shape)
        self.eps = None if eps is None else number("RMSNorm", "eps", eps, 0)
        self.gamma = Parameter(np.ones(self.normalized_shape, dtype), name="gamma") if affine else None

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return functional.rms_norm(x, self.normalized_shape, self.gamma, tg.watch(self, "eps"))

    def extra_repr(self) -> str:
        return f"{_shown(self.normalized_shape)}, eps={self.eps}"

    def brief(self) -> str:
        return f"{type(self).__name__} {_shown(self.normalized_shape)}"


class GroupNorm(Module):
    """Give groups of each sample's channels mean 0 and variance 1, then scale by gamma and add beta.

    From Wu and He, 2018. Shapes: x (N, num_channels, ...), gamma and beta (num_channels,), result like x.

    Args:
        num_groups: number of groups of consecutive channels.
        num_channels: length of the second axis of x.
        eps: added to the variance. With 0, a constant group yields 0 and no gradient.
        affine: learn gamma (initially 1) and beta (initially 0).
        dtype: of the parameters.

    Raises:
        ShapeError: x has a different number of channels.
        ValueError: num_groups does not divide num_channels.

    >>> import numpy as np, nn
    >>> nn.GroupNorm(2, 4, eps=0.0, dtype=np.float64)(np.array([[1.0, 3.0, 5.0, 9.0]])).data
    array([[-1.,  1., -1.,  1.]])
    """

    gamma: Parameter | None
    beta: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        *,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.num_groups = count("GroupNorm", "num_groups", num_groups)
        self.num_channels = count("GroupNorm", "num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise ValueError(f"GroupNorm: num_groups={num_groups} does not divide num_channels={num_channels}")
        self.eps = number("GroupNorm", "eps", eps, 0)
        self.gamma = Parameter(np.ones(self.num_channels, dtype), name="gamma") if affine else None
        self.beta = Parameter(np.zeros(self.num_channels, dtype), name="beta") if affine else None

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return functional.group_norm(x, self.num_groups, self.gamma, self.beta, tg.watch(self, "eps"))

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}"

    def brief(self) -> str:
        return f"{type(self).__name__} {self.num_channels}"


def _lengths(op: str, value: int | tuple[int, ...]) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    if not values:
        raise ValueError(f"{op}: normalized_shape must have at least one axis, got {value!r}")
    return tuple(count(op, "normalized_shape", n) for n in values)


def _shown(shape: tuple[int, ...]) -> str:
    return str(shape[0] if len(shape) == 1 else shape)
