"""Random initial values of weights: He, Glorot and LeCun, each by its own name.

Each takes the shape of a weight, ``(n_in, n_out)``, and draws with mean 0 and a variance made for its
activation:

========  =====================  =====================================================================
He        ``2 / n_in``           relu: half of the inputs are 0 (He et al., 2015, equation 10)
Glorot    ``2 / (n_in + n_out)`` tanh: forward and backward alike (Glorot and Bengio, 2010, equation 12)
LeCun     ``1 / n_in``           unit variance of a linear sum (LeCun et al., 1998, section 4.6)
========  =====================  =====================================================================

The normal ones are not truncated; the uniform ones reach to ``sqrt(3 * variance)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

__all__ = [
    "Initializer",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "resolved",
    "zeros",
]

Shape = tuple[int, ...]
Seed = np.random.Generator | int | None
Initializer = Callable[..., Any]


def he_normal(shape: Shape, *, dtype: DTypeLike = np.float32, rng: Seed = None) -> Any:
    """Normal with variance ``2 / n_in``.

    >>> import nn
    >>> round(float(nn.init.he_normal((1000, 100), rng=0).var()), 4)
    0.002
    """
    n_in, _ = _fans(shape, "he_normal")
    return _normal(shape, 2 / n_in, dtype, rng)


def he_uniform(shape: Shape, *, dtype: DTypeLike = np.float32, rng: Seed = None) -> Any:
    """Uniform with variance ``2 / n_in``.

    >>> import nn
    >>> bool(abs(nn.init.he_uniform((6, 100), rng=0)).max() <= 1.0)
    True
    """
    n_in, _ = _fans(shape, "he_uniform")
    return _uniform(shape, 2 / n_in, dtype, rng)


def glorot_normal(shape: Shape, *, dtype: DTypeLike = np.float32, rng: Seed = None) -> Any:
    """Normal with variance ``2 / (n_in + n_out)``.

    >>> import nn
    >>> round(float(nn.init.glorot_normal((600, 400), rng=0).var()), 4)
    0.002
    """
    return _normal(shape, 2 / sum(_fans(shape, "glorot_normal")), dtype, rng)


def glorot_uniform(shape: Shape, *, dtype: DTypeLike = np.float32, rng: Seed = None) -> Any:
    """Uniform with variance ``2 / (n_in + n_out)``.

    >>> import nn
    >>> bool(abs(nn.init.glorot_uniform((2, 4), rng=0)).max() <= 1.0)
    True
    """
    return _uniform(shape, 2 / sum(_fans(shape, "glorot_uniform")), dtype, rng)


def lecun_normal(shape: Shape, *, dtype: DTypeLike = np.float32, rng: Seed = None) -> Any:
    """Normal with variance ``1 / n_in``.

    >>> import nn
    >>> round(float(nn.init.lecun_normal((1000, 100), rng=0).var()), 4)
    0.001
    """
    n_in, _ = _fans(shape, "lecun_normal")
    return _normal(shape, 1 / n_in, dtype, rng)


def lecun_uniform(shape: Shape, *, dtype: DTypeLike = np.float32, rng: Seed = None) -> Any:
    """Uniform with variance ``1 / n_in``.

    >>> import nn
    >>> bool(abs(nn.init.lecun_uniform((3, 4), rng=0)).max() <= 1.0)
    True
    """
    n_in, _ = _fans(shape, "lecun_uniform")
    return _uniform(shape, 1 / n_in, dtype, rng)


def zeros(shape: Shape, *, dtype: DTypeLike = np.float32, rng: Seed = None) -> Any:
    """Zeros; takes ``rng`` like the others and draws nothing.

    >>> import nn
    >>> nn.init.zeros((3,))
    array([0., 0., 0.], dtype=float32)
    """
    return np.zeros(shape, dtype)


_BY_NAME: dict[str, Initializer] = {
    f.__name__: f for f in (he_normal, he_uniform, glorot_normal, glorot_uniform, lecun_normal, lecun_uniform, zeros)
}


def resolved(init: str | Initializer) -> Initializer:
    """The initialiser of a name, or the callable itself.

    >>> resolved("he_normal").__name__
    'he_normal'
    """
    if callable(init):
        return init
    if init not in _BY_NAME:
        raise ValueError(
            f"init: got {init!r}, expected one of {', '.join(_BY_NAME)}, or a function (shape, dtype=, rng=)"
        )
    return _BY_NAME[init]


def _fans(shape: Shape, op: str) -> tuple[int, int]:
    if len(shape) != 2 or 0 in shape:
        raise tg.ShapeError(f"{op}: expected the shape (n_in, n_out) of a weight, both at least 1, got {shape}")
    return shape[0], shape[1]


def _normal(shape: Shape, variance: float, dtype: DTypeLike, rng: Seed) -> Any:
    # Drawn in float64, so that models of all dtypes begin alike.
    return (np.random.default_rng(rng).standard_normal(shape) * math.sqrt(variance)).astype(dtype)


def _uniform(shape: Shape, variance: float, dtype: DTypeLike, rng: Seed) -> Any:
    limit = math.sqrt(3 * variance)
    return np.random.default_rng(rng).uniform(-limit, limit, shape).astype(dtype)
