"""Normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from nn import functional as F
from tensorgrad import ShapeError
from tests.ops.cases.rows import K, R, S, positive, seed, u

from .rows import C, Case

seed("nn.normalization")


def standard(x: Any, eps: float) -> Any:
    """Normalise one group of numbers, with sums in a loop."""
    flat = x.ravel()
    mean = sum(flat) / flat.size
    return (x - mean) / np.sqrt(sum((flat - mean) ** 2) / flat.size + eps)


def each(x: Any, count: int, function: Any) -> Any:
    """Apply a function to every sub-array after the first ``count`` axes."""
    result = np.empty_like(x)
    for index in np.ndindex(x.shape[:count]):
        result[index] = function(x[index])
    return result


def channelwise(parameter: Any, x: Any) -> Any:
    return parameter.reshape(-1, *(1,) * (x.ndim - 2))


def layer_norm(x: Any, weight: Any = 1.0, bias: Any = 0.0, *, shape: Any, eps: float = 1e-5) -> Any:
    count = x.ndim - np.size(shape)
    return each(x, count, lambda part: standard(part, eps)) * weight + bias


def rms_norm(x: Any, weight: Any = 1.0, *, shape: Any, eps: float | None = None) -> Any:
    eps = np.finfo(np.float64).eps if eps is None else eps
    count = x.ndim - np.size(shape)
    return each(x, count, lambda p: p / np.sqrt(sum(p.ravel() ** 2) / p.size + eps)) * weight


def group_norm(x: Any, weight: Any, bias: Any, *, num_groups: int, eps: float = 1e-5) -> Any:
    parts = x.reshape(x.shape[0], num_groups, -1) if x.size else x
    return each(parts, 2, lambda p: standard(p, eps)).reshape(x.shape) * channelwise(weight, x) + channelwise(bias, x)


def instance_norm(x: Any, weight: Any, bias: Any, *, eps: float = 1e-5) -> Any:
    if x.ndim == 2:
        return instance_norm(x[None], weight, bias, eps=eps)[0]
    return each(x, 2, lambda part: standard(part, eps)) * channelwise(weight, x) + channelwise(bias, x)


def local_response_norm(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    result = np.empty_like(x)
    for c in range(x.shape[1]):
        near = x[:, max(0, c - size // 2) : c + (size - 1) // 2 + 1]
        result[:, c] = x[:, c] / (k + alpha / size * (near**2).sum(axis=1)) ** beta
    return result


def batch_norm(x: Any, gamma: Any, beta: Any, mean: Any = None, var: Any = None, **_: Any) -> Any:
    if mean is None:
        moved = each(np.moveaxis(x, 1, 0), 1, lambda part: standard(part, 1e-5))
        normal = np.moveaxis(moved, 0, 1)
    else:
        normal = (x - channelwise(mean, x)) / np.sqrt(channelwise(var, x) + 1e-5)
    return normal * channelwise(gamma, x) + channelwise(beta, x)


def norm(name: str) -> Any:
    """Our function, or PyTorch's: weight and bias as arrays to differentiate, the shape as a keyword."""

    def of(functions: Any, x: Any, *parameters: Any, shape: Any, **keywords: Any) -> Any:
        lengths = tuple(shape) if hasattr(shape, "__iter__") else (shape,)
        return getattr(functions, name)(x, lengths, *parameters, **keywords)

    return of


def grouped(functions: Any, x: Any, weight: Any, bias: Any, *, num_groups: int, **keywords: Any) -> Any:
    return functions.group_norm(x, num_groups, weight, bias, **keywords)


def instances(functions: Any, x: Any, weight: Any, bias: Any, **keywords: Any) -> Any:
    if x.ndim == 2 and functions is not F:  # which PyTorch's function, unlike its layer, does not take
        return instances(functions, x[None], weight, bias, **keywords)[0]
    return functions.instance_norm(x, weight=weight, bias=bias, **keywords)


def ours(peer: Any) -> Any:
    return lambda *arrays, **keywords: peer(F, *arrays, **keywords)


def constant(*shape: int) -> Any:
    return np.full(shape, 0.1)  # whose mean is not quite 0.1


CASES: tuple[Case, ...] = (
    C(
        "layer_norm",
        layer_norm,
        S(u(2, 3, 4), u(4), u(4), shape=4),
        S(u(2, 3, 4), u(3, 4), u(3, 4), shape=(3, 4)),
        S(u(5), shape=(5,), eps=0.1),
        S(u(0, 3), u(3), u(3), shape=3),
        op=ours(norm("layer_norm")),
        peer=norm("layer_norm"),
        kinks=(
            K(S(constant(2, 4), shape=4), np.zeros((2, 4))),
            K(S(constant(2, 3), u(3), shape=3, eps=0.0), np.zeros((2, 3)), np.zeros(3)),
        ),
        refusals=(
            R(lambda: F.layer_norm(np.ones((2, 3)), 2), ShapeError, "layer_norm", "(2, 3)", "(2,)"),
            R(lambda: F.layer_norm(np.ones((2, 3)), 3, np.ones(2)), ShapeError, "layer_norm: weight", "(2,)", "(3,)"),
            R(lambda: F.layer_norm(np.ones((2, 3)), 3, None, np.ones(2)), ShapeError, "bias", "(2,)", "(3,)"),
            R(lambda: F.layer_norm(np.ones((2, 3)), 3, eps=-1.0), ValueError, "layer_norm: eps", "-1.0"),
        ),
    ),
    C(
        "rms_norm",
        rms_norm,
        S(u(2, 3, 4), u(4), shape=4),
        S(u(2, 3, 4), u(3, 4), shape=(3, 4), eps=0.1),
        S(u(5), shape=(5,)),
        op=ours(norm("rms_norm")),
        peer=norm("rms_norm"),
        kinks=(
            K(S(np.zeros((2, 4)), shape=4, eps=0.25), np.full((2, 4), 2.0)),
            K(S(np.zeros((2, 4)), u(4), shape=4, eps=0.0), np.zeros((2, 4)), np.zeros(4)),
        ),
        refusals=(R(lambda: F.rms_norm(np.ones((2, 3)), (3, 3)), ShapeError, "rms_norm", "(2, 3)", "(3, 3)"),),
    ),
    C(
        "group_norm",
        group_norm,
        S(u(2, 6), u(6), u(6), num_groups=2),
        S(u(2, 4, 3), u(4), u(4), num_groups=4),
        S(u(2, 4, 2, 3), u(4), u(4), num_groups=1, eps=0.1),
        op=ours(grouped),
        peer=grouped,
        kinks=(
            K(S(constant(1, 4, 2), positive(4), u(4), num_groups=2, eps=0.0), np.zeros((1, 4, 2)), [0] * 4, [2] * 4),
        ),
        refusals=(
            R(lambda: F.group_norm(np.ones((2, 3)), 2), ShapeError, "group_norm", "2 groups", "3 channels", "(2, 3)"),
            R(lambda: F.group_norm(np.ones(3), 3), ShapeError, "group_norm", "(3,)"),
            R(lambda: F.group_norm(np.ones((2, 4, 3)), 2, np.ones(3)), ShapeError, "weight", "(3,)", "(4,)"),
        ),
    ),
    C(
        "instance_norm",
        instance_norm,
        S(u(2, 3, 4), u(3), u(3)),
        S(u(2, 3, 2, 3), u(3), u(3), eps=0.1),
        S(u(3, 4), u(3), u(3)),
        op=ours(instances),
        peer=instances,
        refusals=(
            R(lambda: F.instance_norm(np.ones((2, 3, 1))), ShapeError, "instance_norm", "more than 1", "(2, 3, 1)"),
            R(lambda: F.instance_norm(np.ones((3, 1))), ShapeError, "instance_norm", "more than 1", "(3, 1)"),
            R(lambda: F.instance_norm(np.ones(3)), ShapeError, "instance_norm", "(3,)"),
        ),
    ),
    C(
        "local_response_norm",
        local_response_norm,
        S(u(2, 5, 3), more=(3,)),
        S(u(2, 4, 2, 3), more=(2,), alpha=0.5, beta=1.5, k=2.0),
        S(u(2, 3, 1), more=(7,), alpha=0.5),
        peer="local_response_norm",
        method="complex",
        refusals=(
            R(lambda: F.local_response_norm(np.ones((2, 3)), 0), ValueError, "local_response_norm", "0"),
            R(lambda: F.local_response_norm(np.ones(3), 3), ShapeError, "local_response_norm", "(3,)"),
        ),
    ),
    C(
        "batch_norm",
        batch_norm,
        S(u(4, 3, 2), positive(3), u(3), training=True),
        S(u(2, 3, 2, 3), positive(3), u(3), training=True),
        S(u(1, 3, 4), positive(3), u(3), training=True),
        S(u(2, 3, 2), positive(3), u(3), more=(u(3), positive(3))),
        op=lambda x, gamma, beta, *more, **keywords: F.batch_norm(x, *(more or (None, None)), gamma, beta, **keywords),
        peer=lambda F, x, gamma, beta, *more, **keywords: F.batch_norm(
            x, *(more or (None, None)), gamma, beta, **keywords
        ),
        refusals=(
            R(lambda: F.batch_norm(np.ones((1, 3, 1)), training=True), ShapeError, "batch_norm", "(1, 3, 1)"),
            R(lambda: F.batch_norm(np.ones(3), training=True), ShapeError, "batch_norm", "(3,)"),
        ),
    ),
)
