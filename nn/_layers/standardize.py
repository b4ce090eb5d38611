"""Standardisation of inputs with statistics of the training data."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .._checks import count, floating
from .._module import Module
from ..functional._shared import operand

__all__ = ["Standardize"]

_CHUNK = 1 << 20  # elements read at once, 8 MiB as float64


class Standardize(Module):
    """Subtract the mean of each feature and divide by its standard deviation, both computed once by :meth:`fit`.

    As a model's first layer it keeps the statistics with the model, as buffers that are not learned. They are taken
    over the first axis and all axes after the second; the standard deviation divides by the number of rows.

    Shapes: x (N, num_features) or (N, num_features, ...), mean and scale (num_features,), result like x.

    Args:
        num_features: length of the second axis of x.
        dtype: of mean and scale, and of the result for inputs of that dtype.

    Raises:
        RuntimeError: it is used before it is fitted.
        ShapeError: x has a different number of features.

    >>> import numpy as np, nn
    >>> X = np.array([[1.0, 5.0], [3.0, 5.0]], np.float32)
    >>> layer = nn.Standardize(2).fit(X)
    >>> layer(X).data.tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """

    mean: tg.Tensor
    scale: tg.Tensor

    def __init__(self, num_features: int, *, dtype: DTypeLike = np.float32) -> None:
        super().__init__()
        self.num_features = count("Standardize", "num_features", num_features)
        dtype = floating("Standardize", dtype)
        self.register_buffer("mean", np.zeros(self.num_features, dtype))
        self.register_buffer("scale", np.zeros(self.num_features, dtype))  # 0 until it is fitted

    def fit(self, X: Any) -> Self:
        """Compute mean and scale of each feature, in float64 and a few rows at a time; a constant one has scale 1.

        Args:
            X: shape (N, num_features) or (N, num_features, ...): an array, a memory-mapped array, which need not fit
                into memory, a sparse matrix of SciPy, or anything else with a shape whose slices are arrays. It is read
                a few rows at a time.

        Returns:
            The layer.

        Raises:
            DTypeError: X does not hold real numbers.
            NonFiniteError: X contains NaN or infinity; it says where the first is. The old statistics are kept.
            ShapeError: X has no rows or a different number of features.
            ValueError: the layer's dtype cannot hold a mean or scale.

        >>> import numpy as np, nn
        >>> nn.Standardize(1).fit(np.array([[1.0], [2.0], [3.0]])).mean.data.tolist()
        [2.0]
        """
        if hasattr(X, "tocsr"):
            X = X.tocsr()  # the format whose rows can be taken
        else:
            X = X.data if isinstance(X, tg.Tensor) else operand(X)
        shape = tuple(X.shape)
        self._check(shape)
        if not prod((shape[0], *shape[2:])):
            raise tg.ShapeError(f"Standardize: fit needs at least one row, got shape {shape}")
        with tg.silenced():
            mean, scale = (np.asarray(value, self.mean.dtype) for value in _statistics(X, shape))
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and scale.all()):
            raise ValueError(
                f"Standardize: {mean.dtype} cannot hold the statistics of X; write Standardize(dtype=np.float64), or "
                "scale X"
            )
        for buffer, value in ((self.mean, mean), (self.scale, scale)):
            tg.writes_to(buffer, by="Standardize.fit")[...] = value
        return self

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        mean, scale = self._broadcastable(x)
        return tg.subtract(x, mean) / scale

    def inverse(self, y: tg.TensorLike) -> tg.Tensor:
        """``y * scale + mean``: from standardised numbers, such as predicted targets, back to those of the data.

        >>> import numpy as np, nn
        >>> layer = nn.Standardize(1).fit(np.array([[1.0], [3.0]]))
        >>> layer.inverse(np.array([[2.0]], np.float32)).data.tolist()
        [[4.0]]
        """
        mean, scale = self._broadcastable(y)
        return tg.multiply(y, scale) + mean

    def _broadcastable(self, x: Any) -> tuple[Any, Any]:
        """Return mean and scale in shapes that broadcast to x."""
        shape = tuple(operand(x).shape)
        self._check(shape)
        _check_fitted(tg.array_of(self.scale))
        broadcast = (self.num_features,) + (1,) * (len(shape) - 2)
        return tg.reshape(self.mean, broadcast), tg.reshape(self.scale, broadcast)

    def _check(self, shape: tuple[int, ...]) -> None:
        if len(shape) < 2:
            raise tg.ShapeError(f"Standardize: expected shape (N, features), got {shape}; more axes can follow")
        if shape[1] != self.num_features:
            raise tg.ShapeError(f"Standardize: expected {self.num_features} features, got {shape[1]} (shape {shape})")

    def extra_repr(self) -> str:
        return f"{self.num_features}"

    def brief(self) -> str:
        return f"{type(self).__name__} {self.num_features}"


@tg.indivisible
def _check_fitted(scale: Any) -> None:
    if not scale.all():
        raise RuntimeError("Standardize: mean and scale are not known yet; call fit(X) with the training data first")


def _statistics(X: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return mean and scale of each feature, merging sums of squares about means (Chan, Golub and LeVeque, 1983)."""
    mean, scale = _moments(X, shape, 1.0)
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        # A power of two takes numbers near the largest of float64 to where their squares and sums are finite, exactly.
        tiny = 2.0**-540
        large = ~(np.isfinite(mean) & np.isfinite(scale))
        again = _moments(X, shape, np.where(large, tiny, 1.0))
        mean, scale = (np.where(large, new / tiny, old) for new, old in zip(again, (mean, scale), strict=True))
    return mean, scale


def _moments(X: Any, shape: tuple[int, ...], factor: Any) -> tuple[Any, Any]:
    """Return mean and standard deviation of each feature times its factor; a constant one has the factor as scale."""
    total, mean, squares = 0, np.zeros(shape[1]), np.zeros(shape[1])
    low, high = np.full(shape[1], np.inf), np.full(shape[1], -np.inf)
    for rows in _chunks(X, shape):
        rows = rows * factor
        n, own = len(rows), rows.mean(axis=0)
        low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
        difference = own - mean
        squares += np.square(rows - own).sum(axis=0) + difference**2 * (total * n / (total + n))
        total += n
        mean += difference * (n / total)
    constant = low == high
    scale = np.where(constant, factor, np.sqrt(squares / total))
    return np.where(constant, low, mean), scale


def _chunks(X: Any, shape: tuple[int, ...]) -> Iterator[Any]:
    """Yield a few rows at a time as float64, with trailing axes as additional rows."""
    step = max(1, _CHUNK // prod(shape[1:]))
    for start in range(0, shape[0], step):
        rows = X[start : start + step]
        part = np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows)
        if part.dtype.kind not in "biufO":
            raise tg.DTypeError(f"Standardize: fit needs real numbers, got X of dtype {part.dtype}")
        chunk = part.astype(np.float64, copy=False)
        wrong = ~np.isfinite(chunk)
        if wrong.any():
            row, feature, *_ = np.argwhere(wrong)[0].tolist()
            raise tg.NonFiniteError(
                f"Standardize: X contains {chunk[wrong][0]}, first in row {start + row}, feature {feature}; drop or "
                "fill such rows"
            )
        yield np.moveaxis(chunk, 1, -1).reshape(-1, shape[1])
