"""Normalisation over features, groups of channels, or neighbouring channels.

Variances are biased (divided by n), as is usual in normalisation. float16 is computed in float32.
"""

from __future__ import annotations

from math import prod
from operator import index
from typing import Any

import numpy as np

import tensorgrad as tg

from ._shared import operand
from ._spatial import narrow, wide

__all__ = ["group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm"]

Shape = tuple[int, ...]


@tg.scope(None, "layer_norm")
def layer_norm(
    x: tg.TensorLike,
    normalized_shape: int | tuple[int, ...],
    weight: tg.TensorLike | None = None,
    bias: tg.TensorLike | None = None,
    eps: float = 1e-5,
) -> tg.Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias``, over the last axes of each sample (Ba et al., 2016).

    Args:
        x: shape ``(..., *normalized_shape)``.
        normalized_shape: lengths of the last axes of x, over which mean and variance are taken.
        weight: shape normalized_shape; None for 1.
        bias: shape normalized_shape; None for 0.
        eps: added to the variance. With 0, constant elements yield 0 and no gradient.

    Raises:
        ShapeError: the shape of x does not end in normalized_shape, or weight or bias have a different shape.

    >>> import nn
    >>> nn.functional.layer_norm([[1.0, 3.0]], 2, eps=0.0)
    Tensor([[-1.,  1.]], dtype=float64)
    """
    given, axes, lengths = _last_axes("layer_norm", x, normalized_shape)
    normal = _standardised("layer_norm", given, axes, eps)
    return _affine("layer_norm", given, normal, weight, bias, lengths, lengths)


@tg.scope(None, "rms_norm")
def rms_norm(
    x: tg.TensorLike,
    normalized_shape: int | tuple[int, ...],
    weight: tg.TensorLike | None = None,
    eps: float | None = None,
) -> tg.Tensor:
    """``x / sqrt(mean(x²) + eps) * weight``, over the last axes of each sample (Zhang and Sennrich, 2019).

    Args:
        x: shape ``(..., *normalized_shape)``.
        normalized_shape: lengths of the last axes of x, over which the mean is taken.
        weight: shape normalized_shape; None for 1.
        eps: added to the mean; None for the machine epsilon of x's dtype (of float32 if x is float16).
            With 0, zeros yield 0 and no gradient.

    Raises:
        ShapeError: the shape of x does not end in normalized_shape, or weight has a different shape.

    >>> import nn
    >>> nn.functional.rms_norm([[3.0, -3.0]], 2)
    Tensor([[ 1., -1.]], dtype=float64)
    """
    given, axes, lengths = _last_axes("rms_norm", x, normalized_shape)
    values = wide(given)
    if eps is None:
        eps = float(np.finfo(values.dtype if values.dtype.kind == "f" else np.float64).eps)
    square = tg.mean(tg.square(values), axis=axes, keepdims=True)
    if _positive("rms_norm", eps) == 0:
        normal = _where_not(tg.equal(square, 0), values, square)
    else:
        normal = tg.divide(values, tg.sqrt(square + eps))
    return _affine("rms_norm", given, normal, weight, None, lengths, lengths)


@tg.scope(None, "group_norm")
def group_norm(
    x: tg.TensorLike,
    num_groups: int,
    weight: tg.TensorLike | None = None,
    bias: tg.TensorLike | None = None,
    eps: float = 1e-5,
) -> tg.Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias``, over groups of channels of each sample (Wu and He, 2018).

    Args:
        x: shape (N, C, ...).
        num_groups: number of groups, each of C / num_groups consecutive channels.
        weight: shape (C,); None for 1.
        bias: shape (C,); None for 0.
        eps: added to the variance. With 0, a constant group yields 0 and no gradient.

    Raises:
        ShapeError: x has no channels, num_groups does not divide them, or weight or bias have a different shape.

    >>> import nn
    >>> nn.functional.group_norm([[1.0, 3.0, 5.0, 5.0]], 2, eps=0.01).data.round(3).tolist()
    [[-0.995, 0.995, 0.0, 0.0]]
    """
    given = _channels("group_norm", x)
    shape = given.shape
    if index(num_groups) < 1 or shape[1] % num_groups:
        raise tg.ShapeError(
            f"group_norm: the {shape[1]} channels of x of shape {shape} cannot be divided into {num_groups} groups"
        )
    return _in_groups("group_norm", given, num_groups, weight, bias, eps)


@tg.scope(None, "instance_norm")
def instance_norm(
    x: tg.TensorLike,
    *,
    weight: tg.TensorLike | None = None,
    bias: tg.TensorLike | None = None,
    eps: float = 1e-5,
) -> tg.Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias``, over each channel of each sample (Ulyanov et al., 2016).

    It keeps no running statistics.

    Args:
        x: shape (N, C, length, ...), or (C, length) for one signal; for one image write ``x[None]``.
        weight: shape (C,); None for 1.
        bias: shape (C,); None for 0.
        eps: added to the variance. With 0, a constant channel yields 0 and no gradient.

    Raises:
        ShapeError: a channel has fewer than 2 elements, or weight or bias have a different shape.

    >>> import nn
    >>> nn.functional.instance_norm([[[1.0, 3.0], [5.0, 9.0]]], eps=0.0).data.tolist()
    [[[-1.0, 1.0], [-1.0, 1.0]]]
    """
    given = _channels("instance_norm", x)
    single = len(given.shape) == 2
    if prod(given.shape[1 if single else 2 :]) < 2:
        raise tg.ShapeError(
            f"instance_norm: a channel needs more than 1 element to compute a variance, got shape {given.shape}"
        )
    batch = tg.expand_dims(given, 0) if single else given
    result = _in_groups("instance_norm", batch, batch.shape[1], weight, bias, eps)
    return result[0] if single else result


@tg.scope(None, "local_response_norm")
def local_response_norm(
    x: tg.TensorLike, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> tg.Tensor:
    """``x / (k + alpha / size * s) ** beta``, where s is the sum of the squares of neighbouring channels.

    From Krizhevsky et al., 2012, section 3.3, who write alpha instead of alpha / size.

    Args:
        x: shape (N, C, ...).
        size: number of channels, from size // 2 before to (size - 1) // 2 after.
        alpha: weight of the squares.
        beta: exponent.
        k: added to the squares.

    Raises:
        ShapeError: x has no channels.
        ValueError: size is below 1.

    >>> import nn
    >>> nn.functional.local_response_norm([[[1.0], [1.0]]], 1, alpha=1.0, beta=1.0).data.tolist()
    [[[0.5], [0.5]]]
    """
    given = _channels("local_response_norm", x)
    if index(size) < 1:
        raise ValueError(f"local_response_norm: size must be at least 1, got {size!r}")
    shape = given.shape
    values = wide(given)
    squares = tg.reshape(tg.square(values), (*shape[:2], prod(shape[2:])))
    windows = tg.strided_windows(squares, (size, 1), padding=((size // 2, (size - 1) // 2), (0, 0)))
    sums = tg.reshape(tg.sum(windows, axis=(-2, -1)), shape)
    return narrow(tg.divide(values, (sums * (alpha / size) + k) ** beta), given)


# --- shared ---------------------------------------------------------------------------------------------


def _last_axes(op: str, x: Any, normalized_shape: Any) -> tuple[Any, Shape, Shape]:
    given = operand(x)
    lengths = tuple(normalized_shape) if hasattr(normalized_shape, "__iter__") else (index(normalized_shape),)
    if not lengths or given.shape[-len(lengths) :] != lengths:
        raise tg.ShapeError(f"{op}: x has shape {given.shape}, expected it to end in normalized_shape {lengths}")
    return given, tuple(range(-len(lengths), 0)), lengths


def _channels(op: str, x: Any) -> Any:
    given = operand(x)
    if len(given.shape) < 2:
        raise tg.ShapeError(f"{op}: expected x of shape (batch, channels, ...), got {given.shape}")
    return given


def _positive(op: str, eps: float) -> float:
    if not eps >= 0:
        raise ValueError(f"{op}: eps must not be negative, got {eps!r}")
    return eps


def _standardised(op: str, x: Any, axes: Shape, eps: float) -> tg.Tensor:
    values = wide(x)
    centred = tg.subtract(values, tg.mean(values, axis=axes, keepdims=True))
    var = tg.mean(centred * centred, axis=axes, keepdims=True)
    if _positive(op, eps) == 0:
        plain = tg.array_of(values)
        flat = np.max(plain, axis=axes, keepdims=True) == np.min(plain, axis=axes, keepdims=True)
        return _where_not(flat, centred, var)
    return centred / tg.sqrt(var + eps)


def _where_not(flat: Any, values: Any, square: tg.Tensor) -> tg.Tensor:
    """Return ``values / sqrt(square)``, but 0 with a gradient of 0 where that is 0 / 0 up to rounding."""
    return tg.where(flat, 0.0, tg.divide(values, tg.sqrt(tg.where(flat, 1.0, square))))


def _in_groups(op: str, x: Any, groups: int, weight: Any, bias: Any, eps: float) -> tg.Tensor:
    shape = x.shape
    parts = tg.reshape(x, (shape[0], groups, prod(shape[1:]) // groups))
    normal = tg.reshape(_standardised(op, parts, (-1,), eps), shape)
    return _affine(op, x, normal, weight, bias, shape[1:2], (shape[1], *(1,) * (len(shape) - 2)))


def _affine(op: str, x: Any, normal: tg.Tensor, weight: Any, bias: Any, expected: Shape, broadcast: Shape) -> tg.Tensor:
    """Multiply by the weight and add the bias, both of shape ``expected``, reshaped to ``broadcast``."""
    for name, given in (("weight", weight), ("bias", bias)):
        if given is not None and operand(given).shape != expected:
            raise tg.ShapeError(
                f"{op}: {name} has shape {operand(given).shape}, expected {expected} (x of shape {x.shape})"
            )
    if weight is not None:
        normal = normal * tg.reshape(weight, broadcast)
    if bias is not None:
        normal = normal + tg.reshape(bias, broadcast)
    return narrow(normal, x, *(None if given is None else operand(given) for given in (weight, bias)))
