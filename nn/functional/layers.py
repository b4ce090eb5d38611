"""Layers as functions."""

from __future__ import annotations

import warnings
from math import isfinite, prod
from typing import Any

import numpy as np

import tensorgrad as tg

from .._checks import probability
from .._running import running_path
from .._shards import mask, shard_in_use
from ._shared import library_of, operand
from ._spatial import batch_of

__all__ = ["batch_norm", "bilinear", "dropout", "dropout1d", "dropout2d", "linear"]


def linear(x: tg.TensorLike, W: tg.TensorLike, b: tg.TensorLike | None = None) -> tg.Tensor:
    """``x @ W + b``, with W of shape (in_features, out_features).

    >>> import nn
    >>> nn.functional.linear([[1.0, 2.0]], [[3.0], [4.0]], [0.5])
    Tensor([[11.5]], dtype=float64)
    """
    product = tg.matmul(x, W)
    return product if b is None else product + b


@tg.scope(None, "bilinear")
def bilinear(
    x1: tg.TensorLike, x2: tg.TensorLike, weight: tg.TensorLike, bias: tg.TensorLike | None = None
) -> tg.Tensor:
    """``x1 @ weight[k] @ x2 + bias[k]`` for every output k: products of the features of two inputs.

    Args:
        x1: shape (..., features 1).
        x2: shape (..., features 2), with the same leading axes.
        weight: shape (outputs, features 1, features 2).
        bias: shape (outputs,); None for 0.

    Returns:
        Shape (..., outputs).

    Raises:
        ShapeError: shapes do not match.

    >>> import nn
    >>> nn.functional.bilinear([[1.0, 2.0]], [[3.0]], [[[1.0], [10.0]]], [0.5])
    Tensor([[63.5]], dtype=float64)
    """
    op = "bilinear"
    first, second, kernel = operand(x1), operand(x2), operand(weight)
    if len(kernel.shape) != 3:
        raise tg.ShapeError(
            f"{op}: expected weight of shape (outputs, features of x1, features of x2), got {kernel.shape}"
        )
    outputs, rows, columns = kernel.shape
    batch = first.shape[:-1]
    if not first.shape or second.shape != (*batch, columns) or first.shape[-1] != rows:
        raise tg.ShapeError(
            f"{op}: x1 has shape {first.shape} and x2 {second.shape}, expected (..., {rows}) and (..., {columns}) with "
            f"the same leading axes (weight of shape {kernel.shape})"
        )
    if bias is not None and operand(bias).shape != (outputs,):
        raise tg.ShapeError(
            f"{op}: bias has shape {operand(bias).shape}, expected {(outputs,)} (weight of shape {kernel.shape})"
        )
    matrix = tg.reshape(tg.transpose(kernel, (1, 0, 2)), (rows, outputs * columns))
    products = tg.reshape(tg.matmul(first, matrix), (*batch, outputs, columns))
    result = tg.matvec(products, second)
    return result if bias is None else result + bias


def dropout(
    x: tg.TensorLike,
    p: float = 0.5,
    *,
    training: bool = True,
    rng: np.random.Generator | int | None = None,
) -> tg.Tensor:
    """Set each element to 0 with probability p and scale the others by ``1 / (1 - p)``.

    Keeps shape and dtype; returns x unless training. Raises ValueError for p outside [0, 1), DTypeError for integers.

    >>> import numpy as np, nn
    >>> sorted(set(nn.functional.dropout(np.ones(100), 0.75, rng=0).data.tolist()))
    [0.0, 4.0]
    """
    return _dropped("dropout", None, x, p, training, rng)


def dropout1d(
    x: tg.TensorLike,
    p: float = 0.5,
    *,
    training: bool = True,
    rng: np.random.Generator | int | None = None,
) -> tg.Tensor:
    """:func:`dropout2d` of signals: x of shape (N, C, length) or (C, length).

    >>> import numpy as np, nn
    >>> nn.functional.dropout1d(np.ones((4, 2)), rng=0).data.tolist()
    [[2.0, 2.0], [2.0, 2.0], [2.0, 2.0], [0.0, 0.0]]
    """
    return _dropped("dropout1d", 1, x, p, training, rng)


def dropout2d(
    x: tg.TensorLike,
    p: float = 0.5,
    *,
    training: bool = True,
    rng: np.random.Generator | int | None = None,
) -> tg.Tensor:
    """Set each channel of an image to 0 with probability p and scale the others by ``1 / (1 - p)``.

    Args:
        x: shape (N, C, height, width), or (C, height, width) for one sample.
        p: probability of dropping, in [0, 1).
        training: False returns x.
        rng: generator or seed; None draws a fresh seed.

    Raises:
        ShapeError: x has another number of axes.
        DTypeError: x is not floating point.
        ValueError: p is outside [0, 1).

    >>> import numpy as np, nn
    >>> nn.functional.dropout2d(np.ones((4, 1, 2)), rng=0).data.tolist()
    [[[2.0, 2.0]], [[2.0, 2.0]], [[2.0, 2.0]], [[0.0, 0.0]]]
    """
    return _dropped("dropout2d", 2, x, p, training, rng)


def _dropped(op: str, axes: int | None, x: tg.TensorLike, p: float, training: bool, rng: Any) -> tg.Tensor:
    """Drop elements, or whole channels of ``axes`` axes."""
    p = probability(op, "p", p)
    given = x if isinstance(x, tg.Tensor) else tg.Tensor(x)
    if given.dtype.kind not in "fc":
        raise tg.DTypeError(f"{op}: expected floating-point x, got {given.dtype}; write x.astype(np.float32)")
    if axes is not None:
        batch_of(given, axes, op)
    if not training or p == 0:
        return given
    generator, shard = np.random.default_rng(rng), shard_in_use()
    shape, dtype, scale = given.shape, given.dtype, 1 / (1 - p)
    if axes is not None:
        shape = (*shape[:-axes], *(1,) * axes)

    library, draw = library_of(given.data), mask(generator, shape, p, shard)
    keep = tg.host(draw if library is None else lambda: np.asarray(draw(), like=library))
    return given * np.where(keep, dtype.type(scale), dtype.type(0))


@tg.scope(None, "batch_norm")
def batch_norm(
    x: tg.TensorLike,
    running_mean: Any = None,
    running_var: Any = None,
    gamma: tg.TensorLike | None = None,
    beta: tg.TensorLike | None = None,
    *,
    training: bool = False,
    momentum: float | None = 0.9,
    eps: float = 1e-5,
    unbiased: bool = True,
    num_batches_tracked: Any = None,
) -> tg.Tensor:
    """``gamma * (x - mean) / sqrt(var + eps) + beta``, over the batch.

    Args:
        x: shape (batch, features), or (batch, features, ...): mean and variance are then also taken over the trailing
            axes.
        running_mean: Tensor or ndarray of shape (features,), used in evaluation, updated in place in training
            (None: not kept).
        running_var: the same for the variance.
        gamma: shape (features,); None for 1.
        beta: shape (features,); None for 0.
        training: use the mean and the (biased) variance of the batch.
        momentum: weight of the old running value; None for running values that are means over all batches so far.
        eps: added to the variance. With 0, a constant feature yields beta and no gradient.
        unbiased: divide the running variance by n - 1 instead of n.
        num_batches_tracked: for momentum=None, the number of batches so far: an integer Tensor or ndarray of shape (),
            updated in place in training.

    Raises:
        ShapeError: x has no features, features differ, or a training batch has fewer than 2 numbers for each.
        ValueError: no running statistics in evaluation; momentum is None without num_batches_tracked.

    >>> import numpy as np, nn
    >>> nn.functional.batch_norm(np.array([[1.0], [3.0]]), training=True, eps=0.0)
    Tensor([[-1.], [ 1.]], dtype=float64)
    """
    given = operand(x)
    _check_batch(given.shape, running_mean, gamma, training)
    trailing = len(given.shape) - 2
    if training:
        axes = (0, *range(2, 2 + trailing))
        # Measured from its first number, a constant feature is exactly 0, without the rounding error of a mean.
        base = tg.array_of(given)[(slice(1), slice(None)) + (slice(1),) * trailing] * 1.0
        shift = tg.from_numpy(base)
        shift.name = "first row"  # for drawings
        moved = tg.subtract(given, shift)
        offset = tg.mean(moved, axis=axes)
        centred = moved - per_feature(offset, trailing)
        var = tg.mean(centred * centred, axis=axes)
        if running_mean is not None and running_var is not None:
            n = prod((given.shape[0], *given.shape[2:]))
            mean = np.reshape(base, (-1,)) + tg.array_of(offset)
            correction = n / (n - 1) if unbiased else 1.0
            running = (running_mean, running_var) + ((num_batches_tracked,) if momentum is None else ())
            if running[-1] is None:
                raise ValueError(
                    "batch_norm: momentum=None, a mean over all batches so far, needs num_batches_tracked to count "
                    "them; make the layer with nn.BatchNorm(..., momentum=None), or pass np.array(0)"
                )
            blend(running, (mean, tg.array_of(var)), momentum, correction)
    else:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: evaluation needs running_mean and running_var; or write training=True")
        # The graph saves results computed from the running statistics, never their memory, which changes.
        centred, var = tg.subtract(given, per_feature(running_mean, trailing)), running_var
    return scaled(centred, var, gamma, beta, eps)


def scaled(centred: Any, var: Any, gamma: Any, beta: Any, eps: float) -> tg.Tensor:
    """``gamma * centred / sqrt(var + eps) + beta``, with a number per feature, the second axis of ``centred``."""
    trailing = centred.ndim - 2
    factor = (1.0 if gamma is None else gamma) / _deviation(var, eps)
    result = centred * per_feature(factor, trailing)
    return result if beta is None else result + per_feature(beta, trailing)


def _deviation(var: Any, eps: float) -> Any:
    """Return ``sqrt(var + eps)``, or infinity where that is 0, so that the feature becomes 0."""
    if eps:
        return tg.sqrt(tg.add(var, eps))
    flat = tg.equal(var, 0)
    return tg.where(flat, np.inf, tg.sqrt(tg.where(flat, 1.0, var)))


def per_feature(statistic: Any, trailing: int) -> Any:
    """Reshape one number per feature to broadcast with ``trailing`` axes after the features."""
    return tg.reshape(statistic, (-1,) + (1,) * trailing) if trailing else statistic


def _check_batch(shape: tuple[int, ...], running_mean: Any, gamma: Any, training: bool) -> None:
    if len(shape) < 2:
        raise tg.ShapeError(f"batch_norm: expected shape (batch, features), got {shape}; more axes can follow")
    for like in (running_mean, gamma):
        if like is not None and shape[1] != like.shape[0]:
            raise tg.ShapeError(f"batch_norm: expected {like.shape[0]} features, got {shape[1]} (shape {shape})")
    if training and prod((shape[0], *shape[2:])) < 2:
        if running_mean is None:
            raise tg.ShapeError(f"batch_norm: a batch needs more than 1 row to compute a variance, got shape {shape}")
        raise tg.ShapeError(
            f"batch_norm: training needs more than 1 row in a batch to compute a variance, got shape {shape}; drop the "
            "last, smaller batch, or call eval() to use the running statistics"
        )


def blend(running: tuple[Any, ...], batch: tuple[Any, Any], momentum: float | None, factor: float) -> None:
    """Move the running statistics, and the count of batches if it is among them, on by a batch, if that is finite."""
    memories = [tg.writes_to(statistic, by="BatchNorm.forward") for statistic in running]
    blended = _blended(*(*memories, *batch), momentum=momentum, factor=factor, path=running_path())
    for memory, value in zip(memories, blended, strict=True):
        memory[...] = value


def _blended_form(*arrays: Any, momentum: float | None, factor: float, path: str) -> Any:
    if momentum is None:
        return None
    old_mean, old_var, *counted, mean, var = arrays
    weight = 1 - momentum
    new = momentum * old_mean + weight * mean, momentum * old_var + weight * factor * var
    return (*new, *(count + 1 for count in counted)), np.isfinite(var)


@tg.indivisible(straight_line=_blended_form)
@tg.silenced()
def _blended(*arrays: Any, momentum: float | None, factor: float, path: str) -> tuple[Any, ...]:
    old_mean, old_var, *counted, mean, var = arrays
    if isfinite(np.vdot(var, var)) or np.isfinite(var).all():  # var is not finite where mean is not
        counted = [count + 1 for count in counted]
        keep = 1 - 1 / int(counted[0]) if momentum is None else momentum
        weight = 1 - keep
        return keep * old_mean + weight * mean, keep * old_var + weight * factor * var, *counted
    where = f"{path}: " if path else ""
    warnings.warn(
        f"{where}batch_norm: the batch contains NaN or infinity; the running statistics were not updated",
        RuntimeWarning,
        stacklevel=3,
    )
    return tuple(array.copy() for array in (old_mean, old_var, *counted))
