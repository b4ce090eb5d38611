"""Layers as functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from nn import functional as F
from tensorgrad import DTypeError, ShapeError
from tests.ops.cases.rows import R, S, positive, seed, u

from .rows import C, Case

seed("nn.layers")


def batch_norm(x: Any, gamma: Any, beta: Any, **_: Any) -> Any:
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5) * gamma + beta


def evaluated(x: Any, gamma: Any, beta: Any, mean: Any, var: Any) -> Any:
    return (x - mean) / np.sqrt(var + 1e-5) * gamma + beta


def normalised(x: Any, gamma: Any, beta: Any, mean: Any = None, var: Any = None, **keywords: Any) -> Any:
    return F.batch_norm(x, mean, var, gamma, beta, **keywords)


def dropped(x: Any, p: float, axes: int = 0) -> Any:
    """Elements, or channels of so many axes."""
    shape = (*x.shape[: x.ndim - axes], *(1,) * axes)
    return np.where(np.random.default_rng(7).random(shape, np.float32) >= p, x / (1 - p), 0)


CASES: tuple[Case, ...] = (
    C(
        "linear",
        lambda x, W, b=0.0: x @ W + b,
        S(u(4, 3), u(3, 2), u(2)),
        S(u(2, 4, 3), u(3, 2)),
        S(u(0, 3), u(3, 2), u(2)),
        peer=lambda F, x, W, b=None: F.linear(x, W.T, b),
        method="complex",
        refusals=(R(lambda: F.linear(np.ones((4, 3)), np.ones((2, 3))), ShapeError, "(4, 3)", "(2, 3)"),),
    ),
    C(
        "bilinear",
        lambda x1, x2, W, b=0.0: np.einsum("...i,kij,...j->...k", x1, W, x2) + b,
        S(u(4, 3), u(4, 2), u(5, 3, 2), u(5)),
        S(u(2, 3, 2), u(2, 3, 4), u(3, 2, 4)),
        S(u(3), u(2), u(1, 3, 2), u(1)),
        S(u(0, 3), u(0, 2), u(2, 3, 2), u(2)),
        peer="bilinear",
        method="complex",
        refusals=(
            R(
                lambda: F.bilinear(np.ones((4, 3)), np.ones((4, 2)), np.ones((5, 2, 3))),
                ShapeError,
                "bilinear: x1 has shape (4, 3) and x2 (4, 2)",
                "(5, 2, 3)",
            ),
            R(
                lambda: F.bilinear(np.ones((4, 3)), np.ones((1, 2)), np.ones((5, 3, 2))),
                ShapeError,
                "(1, 2)",
                "same leading axes",
            ),
            R(lambda: F.bilinear(np.ones(3), np.ones(2), np.ones((3, 2))), ShapeError, "bilinear", "(3, 2)"),
            R(
                lambda: F.bilinear(np.ones(3), np.ones(2), np.ones((5, 3, 2)), np.ones(4)),
                ShapeError,
                "bias has shape (4,)",
                "(5,)",
            ),
        ),
    ),
    C(
        "dropout",
        dropped,
        S(u(5, 4), more=(0.25,)),
        op=lambda x, p: F.dropout(x, p, rng=7),
        random=True,
        method="complex",
        refusals=(R(lambda: F.dropout([1.0], 1.0), ValueError, "dropout", "[0, 1)", "1.0"),),
    ),
    C(
        "dropout1d",
        lambda x, p: dropped(x, p, 1),
        S(u(5, 4, 3), more=(0.25,)),
        S(u(6, 3), more=(0.5,)),
        op=lambda x, p: F.dropout1d(x, p, rng=7),
        random=True,
        method="complex",
        refusals=(
            R(lambda: F.dropout1d([1.0]), ShapeError, "dropout1d", "(1,)", "one sample"),
            R(lambda: F.dropout1d([[1.0]], -1), ValueError, "dropout1d", "[0, 1)", "-1"),
        ),
    ),
    C(
        "dropout2d",
        lambda x, p: dropped(x, p, 2),
        S(u(5, 4, 3, 2), more=(0.25,)),
        S(u(6, 3, 2), more=(0.5,)),
        op=lambda x, p: F.dropout2d(x, p, rng=7),
        random=True,
        method="complex",
        refusals=(
            R(lambda: F.dropout2d(np.ones((2, 2)), training=False), ShapeError, "dropout2d", "(2, 2)", "one sample"),
            R(lambda: F.dropout2d(np.ones((2, 2, 2), int)), DTypeError, "dropout2d", "int64", "astype"),
        ),
    ),
    C(
        "batch_norm",
        lambda x, gamma, beta, *more, **keywords: (evaluated if more else batch_norm)(
            x, gamma, beta, *more, **keywords
        ),
        S(u(5, 3), positive(3), u(3), training=True),
        S(u(5, 3), positive(3), u(3), more=(u(3), positive(3))),
        op=normalised,
        peer=lambda F, x, gamma, beta, *more, **keywords: F.batch_norm(
            x, *(more or (None, None)), gamma, beta, **keywords
        ),
        refusals=(
            R(lambda: F.batch_norm(np.ones((1, 3)), training=True), ShapeError, "batch_norm", "(1, 3)"),
            R(lambda: F.batch_norm(np.ones((2, 3))), ValueError, "batch_norm", "running_mean"),
        ),
    ),
)
