"""How NumPy's functions treat a hidden leading axis: one table, by topic.

A rule gets the level of the batch, the NumPy function and its arguments, and returns the result with the hidden axis
first; or NotImplemented, and the function is called for one element after the other. There are no derivatives here.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod as product
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..engine.duck import FACTS
from .layout import aligned, hidden_of, level_of, spread

__all__ = ["ANSWERS", "RULES", "product", "ufunc"]

Rule = Callable[..., Any]
RULES: dict[Any, Rule] = {}

# Functions whose answer is the same for all elements.
ANSWERS: dict[Any, Rule] = {
    **FACTS,
    np.asarray: lambda a, dtype=None, **rest: np.asarray(a, dtype),  # like= is a batch: one array for all elements
    np.arange: np.arange,
    np.eye: np.eye,
}


def _rule_of(module: Any, names: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        RULES.update({getattr(module, name): rule for name in names.split() if hasattr(module, name)})
        return rule

    return register


def _shifted(axis: Any, ndim: int) -> Any:
    """One axis of an element, or a tuple of axes, as axes of the hidden array."""
    if isinstance(axis, tuple | list):
        return tuple(a + 1 for a in normalize_axis_tuple(axis, ndim))
    return normalize_axis_index(axis, ndim) + 1


def _flat(hidden: Any) -> Any:
    return np.reshape(hidden, (hidden.shape[0], product(hidden.shape[1:])))


# --- elementwise ----------------------------------------------------------------------------------------


@_rule_of(np, "where clip round around real imag angle nan_to_num isclose sinc i0 fix real_if_close unwrap isin")
def _elementwise(level: int, function: Any, *args: Any, **kwargs: Any) -> Any:
    if function in (np.isin, np.unwrap) or (function is np.where and len(args) == 1):
        return NotImplemented
    return function(*aligned(level, args), **kwargs)


def ufunc(level: int, function: Any, of: np.ufunc, method: str, inputs: Any, kwargs: dict[str, Any]) -> Any:
    """Apply a ufunc, or its reduction or accumulation."""
    if method == "__call__":
        if of is np.matmul:
            return _matmul(level, function, *inputs)
        if of.signature is None:
            return NotImplemented if level_of(kwargs) else of(*aligned(level, inputs), **kwargs)
        if of is getattr(np, "vecdot", None) and all(map(np.ndim, inputs)) and not kwargs:
            return of(*aligned(level, inputs))
        return NotImplemented
    if level_of(kwargs) or len(inputs) != 1:
        return NotImplemented
    if method == "reduce":
        return _reduced(level, function, *inputs, **{"axis": 0, **kwargs})
    if method == "accumulate":
        hidden = hidden_of(inputs[0], level)
        return function(hidden, axis=_shifted(kwargs.pop("axis", 0), hidden.ndim - 1), **kwargs)
    return NotImplemented


# --- along axes -----------------------------------------------------------------------------------------


@_rule_of(np, "sum prod max min amax amin mean var std all any argmax argmin count_nonzero ptp nansum nanmax nanmin")
def _reduced(level: int, function: Any, a: Any, axis: Any = None, **kwargs: Any) -> Any:
    hidden = hidden_of(a, level)
    if hidden is None:
        return NotImplemented
    if axis is not None:
        return function(hidden, axis=_shifted(axis, a.ndim), **kwargs)
    keepdims = kwargs.pop("keepdims", False)
    result = function(_flat(hidden), axis=1, **kwargs)
    return np.reshape(result, (*result.shape, *(1,) * a.ndim)) if keepdims is True else result


# For each function, the position of its axis argument, and the default.
_ALONG: dict[str, tuple[int, Any]] = {
    "cumsum": (1, None),
    "cumprod": (1, None),
    "sort": (1, -1),
    "argsort": (1, -1),
    "diff": (2, -1),
    "roll": (2, None),
    "repeat": (2, None),
    "take": (2, None),
    "flip": (1, None),
    "rot90": (2, (0, 1)),
    **dict.fromkeys(("split", "array_split"), (2, 0)),
    "unstack": (1, 0),
    "fft.fft fft.ifft fft.rfft fft.irfft fft.hfft fft.ihfft": (2, -1),
    "fft.fft2 fft.ifft2 fft.rfft2 fft.irfft2": (2, (-2, -1)),
    "fft.fftshift fft.ifftshift": (1, None),
    "fft.fftn fft.ifftn fft.rfftn fft.irfftn": (2, None),
}
_PLACES: dict[Any, tuple[int, Any, str]] = {}


def _along(level: int, function: Any, a: Any, *args: Any, **kwargs: Any) -> Any:
    at, axis, name = _PLACES[function]
    before = args[: at - 1]
    if len(args) >= at:
        axis, after = args[at - 1], args[at:]
    else:
        axis, after = kwargs.pop(name, axis), ()
    hidden = hidden_of(a, level)
    if hidden is None or level_of(before) or (after and axis is None):
        return NotImplemented
    if axis is not None and after:
        return function(hidden, *before, _shifted(axis, a.ndim), *after, **kwargs)
    if axis is not None:
        return function(hidden, *before, **{name: _shifted(axis, a.ndim)}, **kwargs)
    if name == "axes":
        lengths = before[0] if before and function not in (np.fft.fftshift, np.fft.ifftshift) else kwargs.get("s")
        count = a.ndim if lengths is None else len(lengths)
        return function(hidden, *before, axes=tuple(range(-count, 0)), **kwargs)
    if function is np.flip:
        return np.flip(hidden, tuple(range(1, hidden.ndim)))
    result = function(_flat(hidden), *before, axis=1, **kwargs)
    return np.reshape(result, hidden.shape) if function is np.roll else result


def _register_along() -> None:
    for names, (at, axis) in _ALONG.items():
        for name in names.split():
            module, short = (np.fft, name[4:]) if name.startswith("fft.") else (np, name)
            function = getattr(module, short, None)
            if function is not None:
                many = isinstance(axis, tuple) or (module is np.fft and axis is None)
                RULES[function] = _along
                _PLACES[function] = (at, axis, "axes" if many else "axis")


_register_along()


@_rule_of(np, "take")
def _take(level: int, function: Any, a: Any, indices: Any, axis: Any = None, **kwargs: Any) -> Any:
    if level_of(indices) < level or kwargs:
        return _along(level, function, a, indices, axis, **kwargs)
    (flat, axis) = (np.ravel(a), 0) if axis is None else (a, normalize_axis_index(axis, a.ndim))
    return hidden_of(flat[(*(slice(None),) * axis, indices)], level)


@_rule_of(np, "take_along_axis")
def _take_along_axis(level: int, function: Any, a: Any, indices: Any, axis: Any = -1) -> Any:
    if axis is None:
        return NotImplemented
    return function(*spread(level, (a, indices)), axis=_shifted(axis, a.ndim))


@_rule_of(np, "trace diagonal")
def _diagonal(level: int, function: Any, a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return function(hidden_of(a, level), offset, _shifted(axis1, a.ndim), _shifted(axis2, a.ndim))


@_rule_of(np, "pad")
def _pad(level: int, function: Any, a: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    if hidden_of(a, level) is None or isinstance(pad_width, dict) or np.ndim(next(iter(kwargs.values()), 0)):
        return NotImplemented
    widths = [(0, 0), *map(tuple, np.broadcast_to(pad_width, (a.ndim, 2)).tolist())]
    return function(hidden_of(a, level), widths, mode, **kwargs)


# --- shapes ---------------------------------------------------------------------------------------------


@_rule_of(np, "reshape")
def _reshape(level: int, function: Any, a: Any, shape: Any, order: str = "C", **kwargs: Any) -> Any:
    if order != "C" or kwargs:
        return NotImplemented
    hidden = hidden_of(a, level)
    shape = tuple(shape) if hasattr(shape, "__iter__") else (shape,)
    if -1 in shape:
        known = max(-product(shape), 1)
        shape = tuple(a.size // known if n == -1 else n for n in shape)
    return np.reshape(hidden, (hidden.shape[0], *shape))


@_rule_of(np, "ravel")
def _ravel(level: int, function: Any, a: Any, order: str = "C") -> Any:
    return _flat(hidden_of(a, level)) if order == "C" else NotImplemented


@_rule_of(np, "transpose permute_dims")
def _transpose(level: int, function: Any, a: Any, axes: Any = None) -> Any:
    axes = tuple(range(a.ndim, 0, -1)) if axes is None else _shifted(tuple(axes), a.ndim)
    return np.transpose(hidden_of(a, level), (0, *axes))


@_rule_of(np, "swapaxes moveaxis")
def _two_axes(level: int, function: Any, a: Any, first: Any, second: Any) -> Any:
    return function(hidden_of(a, level), _shifted(first, a.ndim), _shifted(second, a.ndim))


@_rule_of(np, "matrix_transpose")
def _matrix_transpose(level: int, function: Any, a: Any) -> Any:
    return np.swapaxes(hidden_of(a, level), -1, -2) if a.ndim > 1 else NotImplemented


@_rule_of(np, "expand_dims")
def _expand_dims(level: int, function: Any, a: Any, axis: Any) -> Any:
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    return np.expand_dims(hidden_of(a, level), _shifted(tuple(axes), a.ndim + len(axes)))


@_rule_of(np, "squeeze")
def _squeeze(level: int, function: Any, a: Any, axis: Any = None) -> Any:
    axes = tuple(i for i, n in enumerate(a.shape) if n == 1) if axis is None else axis
    return np.squeeze(hidden_of(a, level), _shifted(axes, a.ndim))


@_rule_of(np, "broadcast_to")
def _broadcast_to(level: int, function: Any, a: Any, shape: Any) -> Any:
    shape = tuple(shape) if hasattr(shape, "__iter__") else (shape,)
    (hidden,) = aligned(level, (a,), len(shape))
    return np.broadcast_to(hidden, (hidden.shape[0], *shape))


@_rule_of(np, "zeros_like ones_like empty_like full_like copy")
def _like(level: int, function: Any, a: Any, *args: Any, shape: Any = None, **kwargs: Any) -> Any:
    hidden = hidden_of(a, level)
    if hidden is None or level_of(args):
        return NotImplemented
    if shape is not None:
        shape = tuple(shape) if hasattr(shape, "__iter__") else (shape,)
        kwargs["shape"] = (hidden.shape[0], *shape)
    return function(hidden, *args, **kwargs)


# --- joining --------------------------------------------------------------------------------------------


@_rule_of(np, "concatenate concat")
def _concatenate(level: int, function: Any, arrays: Any, axis: Any = 0, **kwargs: Any) -> Any:
    ndim = np.ndim(arrays[0])
    parts = spread(level, arrays)
    if axis is None:
        return np.concatenate([_flat(part) for part in parts], axis=1, **kwargs)
    return np.concatenate(parts, axis=_shifted(axis, ndim), **kwargs)


@_rule_of(np, "stack")
def _stack(level: int, function: Any, arrays: Any, axis: Any = 0, **kwargs: Any) -> Any:
    return np.stack(spread(level, arrays), axis=_shifted(axis, np.ndim(arrays[0]) + 1), **kwargs)


# --- products -------------------------------------------------------------------------------------------


@_rule_of(np, "matmul")
def _matmul(level: int, function: Any, a: Any, b: Any) -> Any:
    left, right = hidden_of(a, level), hidden_of(b, level)
    n, m = np.ndim(a), np.ndim(b)
    if not n or not m:
        return NotImplemented
    if right is None and m <= 2:  # the same matrix for all: fold the batch into rows, for a single product
        if m == 1 or left.ndim == 2:
            return np.matmul(left, b)
        return np.reshape(
            np.matmul(np.reshape(left, (product(left.shape[:-1]), left.shape[-1])), b), (*left.shape[:-1], b.shape[-1])
        )
    if left is None and n <= 2 and m == 1:
        return np.matmul(right, np.transpose(a))
    if n == 1 and m == 1:
        return np.add.reduce(np.multiply(left, right), axis=-1)
    # A vector is a row on the left and a column on the right.
    row = a[None, :] if n == 1 else a
    column = b[:, None] if m == 1 else b
    result = np.matmul(*aligned(level, (row, column)))
    if n == 1:
        result = result[..., 0, :]
    return result[..., 0] if m == 1 else result


@_rule_of(np, "dot")
def _dot(level: int, function: Any, a: Any, b: Any) -> Any:
    if not np.ndim(a) or not np.ndim(b):
        return np.multiply(*aligned(level, (a, b)))
    return _matmul(level, function, a, b) if np.ndim(b) <= 2 else NotImplemented


@_rule_of(np, "outer")
def _outer(level: int, function: Any, a: Any, b: Any) -> Any:
    left, right = spread(level, (a, b))
    return _flat(left)[:, :, None] * _flat(right)[:, None, :]


@_rule_of(np, "einsum")
def _einsum(level: int, function: Any, subscripts: Any, *arrays: Any, **kwargs: Any) -> Any:
    if not isinstance(subscripts, str) or "->" not in subscripts:
        return NotImplemented
    letter = next(c for c in "ZYXWVUTSRQPONMLKJIHGFEDCBAzyxwvutsrqponmlkjihgfedcba" if c not in subscripts)
    inputs, _, output = subscripts.partition("->")
    hidden = [hidden_of(a, level) for a in arrays]
    terms = [t if h is None else letter + t.strip() for t, h in zip(inputs.split(","), hidden, strict=True)]
    values = [a if h is None else h for a, h in zip(arrays, hidden)]
    if len(values) > 1 and product(v.size for v in values) > 20_000:  # a path of pairwise contractions uses BLAS
        kwargs["optimize"] = True
    return np.einsum(f"{','.join(terms)}->{letter}{output.strip()}", *values, **kwargs)


# --- linear algebra: NumPy's functions of matrices take stacks of them ----------------------------------


@_rule_of(
    np.linalg,
    "inv pinv det slogdet cholesky eigh eigvalsh eig eigvals svd svdvals qr matrix_power matrix_rank matrix_transpose",
)
@_rule_of(np, "tril triu")
def _of_matrices(level: int, function: Any, a: Any, *args: Any, **kwargs: Any) -> Any:
    hidden = hidden_of(a, level)
    if hidden is None or a.ndim < 2 or level_of(args):
        return NotImplemented
    return function(hidden, *args, **kwargs)


@_rule_of(np.linalg, "solve")
def _solve(level: int, function: Any, a: Any, b: Any) -> Any:
    left, right = hidden_of(a, level), hidden_of(b, level)
    if left is None and a.ndim == 2 and b.ndim <= 2:  # a single matrix, factored once
        columns = np.reshape(np.moveaxis(right, 1, 0), (b.shape[0], right.size // max(b.shape[0], 1)))
        solved = np.reshape(function(a, columns), (a.shape[1], right.shape[0], *b.shape[1:]))
        return np.moveaxis(solved, 1, 0)
    if b.ndim == 1:
        return function(*aligned(level, (a, b[:, None]), a.ndim))[..., 0]
    return function(*aligned(level, (a, b)))
