"""The functions a rule may use on arrays: all of NumPy's, and the few the engine adds.

NumPy's functions ask the array they are given (NEP 13 and 18), so this one namespace serves NumPy's arrays, the
compiler's traced ones and those of any library that speaks NumPy's protocols. ``tensorgrad.ops`` is its
counterpart for Tensors.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from .convolutions import conv, conv_input, conv_weight
from .record import Handle, scalar_like
from .staging import indivisible
from .windows import overlap_add, strided_windows

__all__ = ["arange_like", "array_functions", "basic", "csch", "finite", "scatter", "sech", "sigmoid"]


def finite(array: Any) -> bool:
    """Are all elements finite? A dot product settles it for few: it is the quickest reduction there is.

    >>> finite(np.array([1.0, 2.0])), finite(np.array([1.0, np.nan]))
    (True, False)
    """
    if type(array) is not np.ndarray:
        array = getattr(array, "whole", array)  # of a batch of arrays, all of it
    few = array.size < 8192  # more are shared among BLAS's threads, and to wake those can take milliseconds
    return (few and math.isfinite(np.vdot(array, array).real)) or bool(np.isfinite(array).all())


@indivisible
def scatter(values: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of ``shape`` with ``values`` added at ``index``: what is indexed repeatedly adds up (float16 in float32).

    >>> scatter(np.array([1.0, 2.0]), ([0, 0],), (3,)).tolist()
    [3.0, 0.0, 0.0]
    """
    if isinstance(values, np.generic):
        values = np.asarray(values)
    if basic(index):
        result = np.zeros_like(values, shape=shape)
        result[index] = values
        return result
    if values.dtype == np.float16:
        return scatter(values.astype(np.float32), index, shape).astype(np.float16)
    result = np.zeros_like(values, shape=shape)
    if type(values) is not np.ndarray:  # an index given as a list is NumPy's array until here
        parts = index if isinstance(index, tuple) else (index,)
        index = tuple(np.asarray(p, like=values) if type(p) is np.ndarray else p for p in parts)
    np.add.at(result, index, values)
    return result


def sigmoid(array: Any) -> Any:
    """``1 / (1 + exp(-x))``.

    >>> sigmoid(np.zeros(1)).tolist()
    [0.5]
    """
    return np.reciprocal(np.exp(-array) + scalar_like(1.0, array))


def sech(array: Any) -> Any:
    """``1 / cosh(x)``.

    >>> sech(np.zeros(1)).tolist()
    [1.0]
    """
    return np.divide(1, np.cosh(array))


def csch(array: Any) -> Any:
    """``1 / sinh(x)``.

    >>> csch(np.ones(1)).round(3).tolist()
    [0.851]
    """
    return np.divide(1, np.sinh(array))


def arange_like(count: int, like: Any) -> Any:
    """``np.arange(count)``, as an array of the same class as ``like``.

    >>> arange_like(3, np.zeros(2)).tolist()
    [0, 1, 2]
    """
    like = like.data if isinstance(like, Handle) else like
    if isinstance(like, np.ndarray | np.generic) or hasattr(like, "__traced_call__"):
        return np.arange(count)
    return np.arange(count, like=like)


def lifted(array: Any, *indices: Any) -> Any:
    """An array that can be indexed with these: one for all of them where an index is a batch of indices."""
    if type(array) is np.ndarray:
        for index in indices:
            if hasattr(index, "__lift__"):
                return index.__lift__(array)
    return array


def basic(index: Any) -> bool:
    """Does an index select each element at most once, without looking at values (slices, integers, None)?"""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts)


class _ArrayFunctions:
    """Attribute access to NumPy's functions, each looked up once, and to the engine's own."""

    scatter = staticmethod(scatter)
    conv = staticmethod(conv)
    conv_input = staticmethod(conv_input)
    conv_weight = staticmethod(conv_weight)
    overlap_add = staticmethod(overlap_add)
    strided_windows = staticmethod(strided_windows)
    sigmoid = staticmethod(sigmoid)
    sech = staticmethod(sech)
    csch = staticmethod(csch)

    @cached_property
    def special(self) -> Any:
        """SciPy's special functions, for rules of operations that need SciPy themselves."""
        from scipy import special

        return special

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        setattr(self, name, function)
        return function


array_functions = _ArrayFunctions()
