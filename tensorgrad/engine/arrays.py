"""The functions a rule may use on arrays: all of NumPy's, and the few that the engine adds.

NumPy's functions dispatch on their arguments (NEP 13 and 18), so this one namespace works for NumPy arrays, the
compiler's traced arrays, and the arrays of any library that implements NumPy's protocols. ``tensorgrad.ops`` is its
counterpart for Tensors.
"""

from __future__ import annotations

import cmath
from typing import Any

import numpy as np

from .convolutions import conv, conv_input, conv_weight
from .locks import computed_once
from .record import Handle, scalar_like
from .staging import indivisible
from .windows import overlap_add, strided_windows

__all__ = [
    "accumulated",
    "arange_like",
    "array_functions",
    "basic",
    "csch",
    "finite",
    "is_foreign",
    "reduced",
    "scatter",
    "sech",
    "sigmoid",
]


ndarray = np.ndarray
_LARGE = 1 << 17  # from here on, rows of this length are faster than a look at each element
_ROW = 1 << 12
_sum: Any = np.add.reduce


def finite(array: Any) -> bool:
    """Whether all elements are finite: if their squares add up to a finite number. That is the fastest reduction.

    Call it where NumPy's warnings are off, because squares may overflow.

    >>> finite(np.array([1.0, 2.0])), finite(np.array([1.0, np.nan]))
    (True, False)
    """
    if array.__class__ is not ndarray:
        array = getattr(array, "whole", array)  # all elements of a batch of arrays
    if array.size < 8192:  # for more, BLAS starts its threads, and waking those can take milliseconds
        if array.__class__ is ndarray:
            flat = array.ravel("K")
            square = flat.dot(flat)
        else:
            square = np.vdot(array, array).real
        if cmath.isfinite(square):
            return True
    elif array.size >= _LARGE and array.__class__ is ndarray and array.dtype.char in "fd" and array.flags.forc:
        flat = array.ravel("K")
        whole = array.size // _ROW * _ROW
        rows, rest = flat[:whole].reshape(-1, _ROW), flat[whole:]
        if cmath.isfinite(_sum(np.vecdot(rows, rows)) + rest.dot(rest)):
            return True
    return bool(np.isfinite(array).all())


def _scatter_form(values: Any, index: Any, shape: tuple[int, ...]) -> Any:
    if not basic(index):
        return None
    result = np.zeros_like(values, shape=shape)
    result[index] = values
    return result, None


@indivisible(straight_line=_scatter_form)
def scatter(values: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of ``shape`` with ``values`` added at ``index``; repeated indices accumulate (float16 in float32).

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
    if type(values) is not np.ndarray:  # up to here, an index given as a list is a NumPy array
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


def is_foreign(array: Any) -> bool:
    """Whether this is an array of another library, of whose functions only those of ``docs/arrays.md`` are asked.

    >>> is_foreign(np.zeros(2))
    False
    """
    own = isinstance(array, np.ndarray | np.generic)
    return not own and not hasattr(array, "__traced_call__") and not hasattr(array, "__each__")


def reduced(ufunc: np.ufunc, array: Any, axis: Any, keepdims: bool = False, initial: float | None = None) -> Any:
    """``ufunc.reduce`` of maximum, minimum, fmax or fmin, also where arrays have no such method.

    ``initial`` is only for no elements; it must not be better than any element.

    >>> int(reduced(np.maximum, np.array([1, 3, 2]), None))
    3
    """
    if not is_foreign(array):
        if initial is None:
            return ufunc.reduce(array, axis=axis, keepdims=keepdims)
        return ufunc.reduce(array, axis=axis, keepdims=keepdims, initial=initial)
    if initial is not None and not array.size:
        return np.add(np.sum(array, axis=axis, keepdims=keepdims), initial)
    best = np.min if ufunc in (np.minimum, np.fmin) else np.max
    if ufunc in (np.maximum, np.minimum):
        return best(array, axis=axis, keepdims=keepdims)
    missing = array != array
    found = best(np.where(missing, np.inf if best is np.min else -np.inf, array), axis=axis, keepdims=keepdims)
    return np.where(np.all(missing, axis=axis, keepdims=keepdims), np.nan, found)


def accumulated(ufunc: np.ufunc, array: Any, axis: int) -> Any:
    """``ufunc.accumulate`` of an associative function, also where arrays have no such method: in log2(n) steps.

    >>> accumulated(np.maximum, np.array([1, 3, 2]), 0).tolist()
    [1, 3, 3]
    """
    if not is_foreign(array):
        return ufunc.accumulate(array, axis=axis)
    before = (slice(None),) * (axis % array.ndim)
    step, length = 1, array.shape[axis]
    while step < length:
        head, rest, shifted = (array[(*before, part)] for part in (slice(step), slice(step, None), slice(-step)))
        array = np.concatenate([head, ufunc(shifted, rest)], axis=axis)
        step *= 2
    return array


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
    """The array in a form that these can index: repeated for every element if one of them is a batch of indices."""
    if type(array) is np.ndarray:
        for index in indices:
            if hasattr(index, "__lift__"):
                return index.__lift__(array)
    return array


def basic(index: Any) -> bool:
    """Whether an index is made of slices, integers and None, so that it selects each element at most once."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts)


# What rules call most. NumPy's own functions take up to ten times as long to call as the methods they come to.


def _reshape(array: Any, shape: Any) -> Any:
    return array.reshape(shape) if array.__class__ is ndarray else np.reshape(array, shape)


def _transpose(array: Any, *axes: Any) -> Any:
    return array.transpose(*axes) if array.__class__ is ndarray else np.transpose(array, *axes)


def _swapaxes(array: Any, first: int, second: int) -> Any:
    return array.swapaxes(first, second) if array.__class__ is ndarray else np.swapaxes(array, first, second)


def _broadcast_to(array: Any, shape: tuple[int, ...]) -> Any:
    # A read-only view, as NumPy's function makes it. That is left with arrays that are not contiguous, and with errors.
    if array.__class__ is not ndarray or shape.__class__ is not tuple or not array.flags.c_contiguous:
        return np.broadcast_to(array, shape)
    before = len(shape) - array.ndim
    if before < 0 or not array.size:
        return np.broadcast_to(array, shape)
    strides = [0] * before
    for length, wanted, stride in zip(array.shape, shape[before:], array.strides):
        if length == 1:
            stride = 0
        elif length != wanted:
            return np.broadcast_to(array, shape)
        strides.append(stride)
    view: Any = ndarray(shape, array.dtype, array, 0, strides)
    view.flags.writeable = False
    return view


def _total(array: Any, axis: Any = None, keepdims: bool = False) -> Any:
    if array.__class__ is ndarray:
        return _sum(array, axis=axis, keepdims=keepdims)
    return np.sum(array, axis=axis, keepdims=keepdims)


class _ArrayFunctions:
    """Attribute access to NumPy's functions, each looked up once, and to the engine's own functions."""

    broadcast_to = staticmethod(_broadcast_to)
    reshape = staticmethod(_reshape)
    sum = staticmethod(_total)
    swapaxes = staticmethod(_swapaxes)
    transpose = staticmethod(_transpose)
    scatter = staticmethod(scatter)
    conv = staticmethod(conv)
    conv_input = staticmethod(conv_input)
    conv_weight = staticmethod(conv_weight)
    overlap_add = staticmethod(overlap_add)
    strided_windows = staticmethod(strided_windows)
    sigmoid = staticmethod(sigmoid)
    sech = staticmethod(sech)
    csch = staticmethod(csch)

    @computed_once
    def special(self) -> Any:
        """SciPy's special functions, for the rules of operations that need SciPy anyway."""
        from scipy import special

        return special

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        setattr(self, name, function)
        return function


array_functions = _ArrayFunctions()
