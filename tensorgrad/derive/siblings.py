"""Gradients of elementwise functions that are easily taken for the one at hand, such as the other GELU."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..engine.mode import silenced

__all__ = ["siblings"]


def _normal(x: Any) -> Any:
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _erf(x: Any) -> Any:
    return np.vectorize(math.erf, otypes=[np.float64])(x)


def _gelu(x: Any) -> Any:
    return (1 + _erf(x / math.sqrt(2))) / 2 + x * _normal(x)


def _gelu_tanh(x: Any) -> Any:
    k = math.sqrt(2 / math.pi)
    t = np.tanh(k * (x + 0.044715 * x**3))
    return (1 + t) / 2 + x / 2 * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x)


def _logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _silu(x: Any) -> Any:
    s = _logistic(x)
    return s * (1 + x * (1 - s))


def _gelu_quick(x: Any) -> Any:
    s = _logistic(1.702 * x)
    return s * (1 + 1.702 * x * (1 - s))


_SLOPES: dict[str, Callable[[Any], Any]] = {
    "of the exact GELU": _gelu,
    "of the tanh form of GELU": _gelu_tanh,
    "of the sigmoid form of GELU": _gelu_quick,
    "of SiLU": _silu,
    "of tanh": lambda x: 1 - np.tanh(x) ** 2,
    "of the sigmoid": lambda x: _logistic(x) * (1 - _logistic(x)),
    "of ReLU": lambda x: (x > 0) * 1.0,
    "of leaky ReLU with slope 0.01": lambda x: np.where(x > 0, 1.0, 0.01),
    "of ELU": lambda x: np.where(x > 0, 1.0, np.exp(x)),
    "of softplus": _logistic,
}


def siblings(problem: Any, draws: list[tuple[list[Any], Any]], k: int) -> Iterator[tuple[str, list[Any]]]:
    """What the gradient would be for other functions: words, and the value in each draw."""
    place = problem.wanted[k]
    xs = [values[place] for values, _ in draws]
    ups = [upstream for _, upstream in draws]
    if all(np.shape(u) == x.shape for u, x in zip(ups, xs, strict=True)):
        for text, slope in _SLOPES.items():
            with silenced():
                yield text, [u * slope(x) for u, x in zip(ups, xs, strict=True)]
