"""What the classes that stand in for ndarrays share: the compiler's traced arrays, and batches of arrays.

NumPy calls such a class a duck array (NEP 30): it implements the protocols of NEP 13 and 18, so the engine's forward
functions and rules run on it unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from .record import Handle

__all__ = ["FACTS", "WRITING", "DuckArray", "backing_array"]


def backing_array(value: Any) -> Any:
    """The ndarray whose memory a Tensor or a duck array uses; anything else unchanged."""
    value = value.data if isinstance(value, Handle) else value
    return value._backing() if isinstance(value, DuckArray) else value


# NumPy functions whose answer is known without looking at the values.
FACTS: dict[Any, Callable[..., Any]] = {
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: a.size if axis is None else a.shape[axis],
    np.iscomplexobj: lambda a: a.dtype.kind == "c",
    np.isrealobj: lambda a: a.dtype.kind != "c",
    np.result_type: lambda *xs: np.result_type(*(x.dtype if hasattr(x, "__array_function__") else x for x in xs)),
    np.may_share_memory: lambda a, b, **more: np.may_share_memory(backing_array(a), backing_array(b), **more),
    np.shares_memory: lambda a, b, **more: np.shares_memory(backing_array(a), backing_array(b), **more),
}

# NumPy's functions that write to their first argument.
WRITING = {np.copyto, np.fill_diagonal, np.place, np.put, np.put_along_axis, np.putmask}

# The ndarray methods that a duck array has because NumPy has a function of the same name.
_METHODS = set(
    "all any argmax argmin argsort clip conj cumprod cumsum diagonal dot max mean min nonzero prod ravel repeat round "
    "squeeze std sum swapaxes take trace var".split()
)


class DuckArray(NDArrayOperatorsMixin):
    """The base of classes that stand in for ndarrays. A subclass has ``shape``, ``dtype`` and the two protocols."""

    __slots__ = ("__weakref__",)
    kind = "a duck array"  # for messages

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def T(self) -> Any:
        """Like ``ndarray.T``."""
        return np.transpose(self)

    def _backing(self) -> Any:
        """The ndarray whose memory this array uses."""
        raise NotImplementedError

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d array")
        return self.shape[0]

    def __getattr__(self, name: str) -> Any:
        if name not in _METHODS:
            raise AttributeError(
                f"{self.kind} has no attribute {name}; call the NumPy function np.{name}(...), or mark the function "
                f"that needs it with @tg.indivisible"
            )
        return partial(getattr(np, name), self)

    def copy(self) -> Any:
        """Like ``ndarray.copy``."""
        return np.copy(self)

    def flatten(self) -> Any:
        """Like ``ndarray.flatten``."""
        return np.copy(np.ravel(self))

    def reshape(self, *shape: Any) -> Any:
        """Like ``ndarray.reshape``."""
        return np.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Any:
        """Like ``ndarray.transpose``."""
        return np.transpose(self, axes[0] if len(axes) == 1 else axes or None)
