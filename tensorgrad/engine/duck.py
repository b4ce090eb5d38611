"""What array classes share that stand for ndarrays: the compiler's traced arrays, and batches of arrays.

NumPy calls such a class a duck array (NEP 30): it speaks the protocols of NEP 13 and 18, so the engine's forward
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

__all__ = ["FACTS", "DuckArray", "array_behind"]


def array_behind(value: Any) -> Any:
    """The ndarray whose memory a Tensor or a duck array uses; anything else as it is."""
    value = value.data if isinstance(value, Handle) else value
    return value._behind() if isinstance(value, DuckArray) else value


# NumPy's functions that ask for facts which are known without looking at a number.
FACTS: dict[Any, Callable[..., Any]] = {
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: a.size if axis is None else a.shape[axis],
    np.iscomplexobj: lambda a: a.dtype.kind == "c",
    np.isrealobj: lambda a: a.dtype.kind != "c",
    np.result_type: lambda *xs: np.result_type(*(x.dtype if hasattr(x, "__array_function__") else x for x in xs)),
    np.may_share_memory: lambda a, b, **more: np.may_share_memory(array_behind(a), array_behind(b), **more),
    np.shares_memory: lambda a, b, **more: np.shares_memory(array_behind(a), array_behind(b), **more),
}

# The methods of an ndarray that a duck array has because NumPy has a function of the same name.
_METHODS = set(
    "all any argmax argmin argsort clip conj cumprod cumsum diagonal dot max mean min nonzero prod ravel repeat round "
    "squeeze std sum swapaxes take trace var".split()
)


class DuckArray(NDArrayOperatorsMixin):
    """An array class that stands for ndarrays. A subclass has ``shape``, ``dtype`` and the two protocols."""

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
        """As ndarray.T."""
        return np.transpose(self)

    def _behind(self) -> Any:
        """The ndarray whose memory this uses."""
        raise NotImplementedError

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without axes")
        return self.shape[0]

    def __getattr__(self, name: str) -> Any:
        if name not in _METHODS:
            raise AttributeError(
                f"{self.kind} has no {name}; write the NumPy function, np.{name}(...), or mark the function that "
                f"needs more with @tg.indivisible"
            )
        return partial(getattr(np, name), self)

    def copy(self) -> Any:
        """As ndarray.copy."""
        return np.copy(self)

    def flatten(self) -> Any:
        """As ndarray.flatten."""
        return np.copy(np.ravel(self))

    def reshape(self, *shape: Any) -> Any:
        """As ndarray.reshape."""
        return np.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Any:
        """As ndarray.transpose."""
        return np.transpose(self, axes[0] if len(axes) == 1 else axes or None)
