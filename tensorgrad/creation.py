"""Functions that create Tensors, named as in NumPy and the array API standard.

By default the dtype is the one NumPy chooses. With ``requires_grad=True`` the Tensor is a leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .engine.record import Handle, TensorLike, as_array, tensor_of
from .engine.staging import array_of
from .tensor import Tensor, from_numpy

__all__ = ["arange", "asarray", "empty", "eye", "full", "full_like", "linspace", "ones", "ones_like", "zeros"]

Shape = int | Sequence[int]


def _made(array: Any, requires_grad: bool) -> Tensor:
    result = tensor_of(np.asarray(array), None)
    if requires_grad:
        result.requires_grad = True
    return result


def asarray(
    x: TensorLike, /, *, dtype: DTypeLike | None = None, device: str | None = None, copy: bool | None = None
) -> Tensor:
    """Make a Tensor: of a Tensor (returned unchanged), an array (without a copy), numbers or nested lists.

    Tensors in a nested list are stacked, which is recorded.

    Args:
        x: the values.
        dtype: the dtype to cast to; the cast is recorded.
        device: "cpu" or None.
        copy: True always copies; False never copies, and raises ValueError if a copy is needed.

    >>> import tensorgrad as tg
    >>> tg.asarray([1, 2], dtype=tg.float32)
    Tensor([1., 2.], dtype=float32)
    """
    _require_cpu(device)
    if isinstance(x, Tensor):
        given = x
    elif hasattr(x, "__array_function__"):
        given = from_numpy(x)
    elif copy is False:
        raise ValueError(f"asarray: a {type(x).__name__} cannot be made an array without a copy; leave out copy=False")
    else:
        array = as_array(x, "asarray")
        if not isinstance(array, Tensor):
            return Tensor(array, dtype=dtype)
        given, copy = array, False  # Tensors in a nested list were stacked
    if dtype is not None and given.dtype != dtype:
        if copy is False:
            raise ValueError(
                f"asarray: {given.dtype} cannot be cast to {np.dtype(dtype)} without a copy; leave out copy=False"
            )
        return given.astype(dtype)
    return +given if copy else given


def _require_cpu(device: str | None) -> None:
    if device not in (None, "cpu"):
        raise ValueError(f"device must be 'cpu' or None, got {device!r}")


def zeros(shape: Shape, *, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor of zeros, float64 by default.

    >>> import tensorgrad as tg
    >>> tg.zeros((2,), requires_grad=True)
    Tensor([0., 0.], dtype=float64, requires_grad=True)
    """
    return _made(np.zeros(shape, dtype), requires_grad)


def ones(shape: Shape, *, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor of ones, float64 by default.

    >>> import tensorgrad as tg
    >>> tg.ones(2)
    Tensor([1., 1.], dtype=float64)
    """
    return _made(np.ones(shape, dtype), requires_grad)


def empty(shape: Shape, *, dtype: DTypeLike | None = None) -> Tensor:
    """An uninitialised Tensor, to be written to.

    >>> import tensorgrad as tg
    >>> tg.empty((2, 3)).shape
    (2, 3)
    """
    return _made(np.empty(shape, dtype), False)


def full(shape: Shape, fill_value: complex, *, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor filled with one number.

    >>> import tensorgrad as tg
    >>> tg.full((2,), 7.0)
    Tensor([7., 7.], dtype=float64)
    """
    return _made(np.full(shape, fill_value, dtype), requires_grad)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: DTypeLike | None = None) -> Tensor:
    """A matrix with ones on the k-th diagonal and zeros elsewhere.

    >>> import tensorgrad as tg
    >>> tg.eye(2).data.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return _made(np.eye(n_rows, n_cols, k, np.float64 if dtype is None else dtype), False)


def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: DTypeLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Evenly spaced numbers from ``start`` up to but not including ``stop``; a single argument is ``stop``.

    >>> import tensorgrad as tg
    >>> tg.arange(0.0, 1.0, 0.25)
    Tensor([0.  , 0.25, 0.5 , 0.75], dtype=float64)
    """
    numbers: Any = (0, start, step) if stop is None else (start, stop, step)
    return _made(np.arange(*numbers, dtype=dtype), requires_grad)


def linspace(
    start: float,
    stop: float,
    /,
    num: int = 50,
    *,
    endpoint: bool = True,
    dtype: DTypeLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """``num`` evenly spaced numbers from ``start`` to ``stop``.

    >>> import tensorgrad as tg
    >>> tg.linspace(0.0, 1.0, 5)
    Tensor([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float64)
    """
    return _made(np.linspace(start, stop, num, endpoint=endpoint, dtype=dtype), requires_grad)


def _like(function: Callable[..., Any], x: TensorLike, *rest: Any, dtype: DTypeLike | None) -> Tensor:
    array = array_of(x) if isinstance(x, Handle) else x
    return tensor_of(function(array, *rest, dtype=dtype), None)


def ones_like(x: TensorLike, /, *, dtype: DTypeLike | None = None) -> Tensor:
    """Ones with the shape (and dtype) of ``x``.

    >>> import tensorgrad as tg
    >>> tg.ones_like([1.5, 2.5])
    Tensor([1., 1.], dtype=float64)
    """
    return _like(np.ones_like, x, dtype=dtype)


def full_like(x: TensorLike, fill_value: complex, /, *, dtype: DTypeLike | None = None) -> Tensor:
    """A Tensor filled with one number, with the shape (and dtype) of ``x``.

    >>> import tensorgrad as tg
    >>> tg.full_like([1.5, 2.5], 3.0)
    Tensor([3., 3.], dtype=float64)
    """
    return _like(np.full_like, x, fill_value, dtype=dtype)
