"""Inputs of a network: one array, or several by name or position; in memory, sparse, or on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

import tensorgrad as tg

from .._module import Module

__all__ = ["array", "called", "is_sparse", "mapped", "of_arrays", "parts", "several", "taken"]


def called(network: Module, X: Any) -> Any:
    """The network's output: a dict is passed as keyword arguments, a tuple as positional ones."""
    if isinstance(X, dict):
        return network(**X)
    return network(*X) if isinstance(X, tuple) else network(X)


def mapped(function: Callable[[Any], Any], X: Any) -> Any:
    """The inputs with a function applied to each array."""
    if isinstance(X, dict):
        return {name: function(value) for name, value in X.items()}
    return tuple(map(function, X)) if isinstance(X, tuple) else function(X)


def parts(X: Any) -> Iterator[tuple[str, Any]]:
    """Each array of the inputs, with how to write it."""
    if isinstance(X, dict):
        yield from ((f"X[{name!r}]", value) for name, value in X.items())
    elif isinstance(X, tuple):
        yield from ((f"X[{i}]", value) for i, value in enumerate(X))
    else:
        yield "X", X


def several(X: Any) -> bool:
    """Whether this is several inputs: a mapping, or a tuple of arrays. A tuple of numbers or lists is one array."""
    return (isinstance(X, Mapping) and not hasattr(X, "shape")) or (isinstance(X, tuple) and of_arrays(X))


def of_arrays(values: Any) -> bool:
    """Whether a list or tuple holds arrays, and nothing else."""
    return bool(values) and all(len(getattr(value, "shape", ())) > 0 for value in values)


def array(value: Any) -> Any:
    """The value as an array; Tensors and pandas tables are converted, too. What is on disk stays there."""
    if value is None:
        return None
    if isinstance(value, tg.Tensor):
        return value.data
    if is_sparse(value):
        return value.tocsr()  # the format whose rows can be taken
    if hasattr(value, "to_numpy"):
        return value.to_numpy()
    # Arrays on disk have NumPy's dtypes; those of other libraries have their own, and are in memory.
    return (
        value if hasattr(value, "shape") and isinstance(getattr(value, "dtype", None), np.dtype) else np.asarray(value)
    )


def is_sparse(value: Any) -> bool:
    """Whether this is one of SciPy's sparse matrices or arrays with two axes."""
    return hasattr(value, "tocsr") and hasattr(value, "toarray") and len(value.shape) == 2


def taken(array: Any, rows: Any) -> Any:
    """Some rows of an array, by slice or by numbers; those of a sparse one are made dense."""
    if is_sparse(array):
        return array[rows].toarray()
    if type(array) is np.ndarray or isinstance(rows, slice):
        return array[rows]
    # Read from disk in the file's order: this is faster, and h5py allows no other.
    order = np.argsort(rows, kind="stable")
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return np.asarray(array[rows[order]])[back]
