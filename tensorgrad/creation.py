"""Functions that create Tensors, named as in NumPy and the array API standard.

By default the dtype is the one NumPy chooses. With ``requires_grad=True`` the Tensor is a leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike

from .engine.record import Handle, TensorLike, as_array, tensor_of
from .engine.staging import array_of
from .ops import arithmetic, axes, rounding, selection, shaping
from .tensor import Tensor, from_numpy

__all__ = [
    "arange",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "geomspace",
    "linspace",
    "logspace",
    "ones",
    "ones_like",
    "zeros",
]

Shape = int | Sequence[int]


def _made(array: Any, requires_grad: bool, device: str | None = None) -> Tensor:
    shaping.require_cpu(device)
    result = array if isinstance(array, Tensor) else tensor_of(np.asarray(array), None)
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
    shaping.require_cpu(device)
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


def zeros(
    shape: Shape, *, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A Tensor of zeros, float64 by default.

    >>> import tensorgrad as tg
    >>> tg.zeros((2,), requires_grad=True)
    Tensor([0., 0.], dtype=float64, requires_grad=True)
    """
    return _made(np.zeros(shape, dtype), requires_grad, device)


def ones(
    shape: Shape, *, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A Tensor of ones, float64 by default.

    >>> import tensorgrad as tg
    >>> tg.ones(2)
    Tensor([1., 1.], dtype=float64)
    """
    return _made(np.ones(shape, dtype), requires_grad, device)


def empty(shape: Shape, *, dtype: DTypeLike | None = None, device: str | None = None) -> Tensor:
    """An uninitialised Tensor, to be written to.

    >>> import tensorgrad as tg
    >>> tg.empty((2, 3)).shape
    (2, 3)
    """
    return _made(np.empty(shape, dtype), False, device)


def full(
    shape: Shape,
    fill_value: TensorLike,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A Tensor filled with one number, or with anything that broadcasts to the shape; a Tensor gets a gradient.

    >>> import tensorgrad as tg
    >>> tg.full((2,), 7.0)
    Tensor([7., 7.], dtype=float64)
    """
    if isinstance(fill_value, Handle):
        return _made(_filled(fill_value, shape, dtype or fill_value.data.dtype), requires_grad, device)
    return _made(np.full(shape, fill_value, dtype), requires_grad, device)


def _filled(value: Any, shape: Shape, dtype: DTypeLike) -> Tensor:
    return arithmetic.positive(shaping.broadcast_to(shaping.astype(value, dtype), shape))


def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: DTypeLike | None = None,
    device: str | None = None,
) -> Tensor:
    """A matrix with ones on the k-th diagonal and zeros elsewhere.

    >>> import tensorgrad as tg
    >>> tg.eye(2).data.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return _made(np.eye(n_rows, n_cols, k, np.float64 if dtype is None else dtype), False, device)


def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Evenly spaced numbers from ``start`` up to but not including ``stop``; a single argument is ``stop``.

    >>> import tensorgrad as tg
    >>> tg.arange(0.0, 1.0, 0.25)
    Tensor([0.  , 0.25, 0.5 , 0.75], dtype=float64)
    """
    numbers: Any = (0, start, step) if stop is None else (start, stop, step)
    return _made(np.arange(*numbers, dtype=dtype), requires_grad, device)


def linspace(
    start: TensorLike,
    stop: TensorLike,
    /,
    num: int = 50,
    *,
    endpoint: bool = True,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    axis: int = 0,
    requires_grad: bool = False,
) -> Tensor:
    """``num`` evenly spaced numbers from ``start`` to ``stop``, along a new axis; ends that are Tensors get gradients.

    >>> import tensorgrad as tg
    >>> tg.linspace(0.0, 1.0, 5)
    Tensor([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float64)
    """
    if not (isinstance(start, Handle) or isinstance(stop, Handle)):
        first, last, kind = cast(tuple[Any, Any, Any], (start, stop, dtype))
        return _made(np.linspace(first, last, num, endpoint, dtype=kind, axis=axis), requires_grad, device)
    first, last = shaping.broadcast_arrays(_floating(start, stop), _floating(stop, start))
    values = selection.lerp(first, last, _places(first, num, endpoint))
    if dtype is not None and np.dtype(dtype).kind in "iu":
        values = rounding.floor(values)  # as NumPy: a cast alone would round towards 0
    return _made(_along(values, axis, dtype), requires_grad, device)


def _floating(value: Any, other: Any) -> Any:
    """One end in the dtype of the result; a Python number gets the dtype of the other end."""
    ends: Any = (end if np.isscalar(end) or isinstance(end, Handle) else np.asarray(end) for end in (value, other))
    return shaping.astype(value, np.result_type(*ends, 0.0))


def _places(like: Any, num: int, endpoint: bool) -> Any:
    """The positions of ``num`` numbers between the ends, from 0 to 1."""
    places = np.linspace(0.0, 1.0, num, endpoint, dtype=like.dtype)
    return np.reshape(places, (-1, *(1,) * len(like.shape)))


def _along(values: Tensor, axis: int, dtype: DTypeLike | None) -> Tensor:
    moved = values if axis == 0 else axes.moveaxis(values, 0, axis)
    return moved if dtype is None else shaping.astype(moved, dtype)


def logspace(
    start: TensorLike,
    stop: TensorLike,
    /,
    num: int = 50,
    *,
    endpoint: bool = True,
    base: TensorLike = 10.0,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Tensor:
    """``base`` to the power of ``num`` evenly spaced numbers; Tensors get gradients.

    >>> import tensorgrad as tg
    >>> tg.logspace(0.0, 2.0, 3)
    Tensor([  1.,  10., 100.], dtype=float64)
    """
    powers = linspace(start, stop, num, endpoint=endpoint)
    return _along(arithmetic.power(base, powers), axis, dtype)


def geomspace(
    start: TensorLike,
    stop: TensorLike,
    /,
    num: int = 50,
    *,
    endpoint: bool = True,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Tensor:
    """``num`` numbers from ``start`` to ``stop``, evenly spaced on a log scale; Tensors get gradients.

    Raises ValueError for ends that are 0, or that are real and have different signs.

    >>> import tensorgrad as tg
    >>> tg.geomspace(1.0, 100.0, 3)
    Tensor([  1.,  10., 100.], dtype=float64)
    """
    first, last = shaping.broadcast_arrays(_floating(start, stop), _floating(stop, start))
    a, b = array_of(first), array_of(last)
    if np.any(a == 0) or np.any(b == 0) or (first.dtype.kind == "f" and np.any((a < 0) != (b < 0))):
        raise ValueError(f"geomspace: ends must not be 0 or have different signs, got {start!r} and {stop!r}")
    places = _places(first, num, endpoint)
    # Computed from the nearer end, so that both ends are exact.
    ratio = arithmetic.divide(last, first)
    near = arithmetic.multiply(first, arithmetic.power(ratio, places))
    far = arithmetic.multiply(last, arithmetic.power(ratio, places - 1))
    return _along(selection.where(places < 0.5, near, far), axis, dtype)


def _like(
    function: Callable[..., Any], x: TensorLike, *rest: Any, dtype: DTypeLike | None, device: str | None
) -> Tensor:
    shaping.require_cpu(device)
    array = array_of(x) if isinstance(x, Handle) else x
    return tensor_of(function(array, *rest, dtype=dtype), None)


def ones_like(x: TensorLike, /, *, dtype: DTypeLike | None = None, device: str | None = None) -> Tensor:
    """Ones with the shape (and dtype) of ``x``.

    >>> import tensorgrad as tg
    >>> tg.ones_like([1.5, 2.5])
    Tensor([1., 1.], dtype=float64)
    """
    return _like(np.ones_like, x, dtype=dtype, device=device)


def empty_like(x: TensorLike, /, *, dtype: DTypeLike | None = None, device: str | None = None) -> Tensor:
    """An uninitialised Tensor with the shape (and dtype) of ``x``, to be written to.

    >>> import tensorgrad as tg
    >>> tg.empty_like([1.5, 2.5]).shape
    (2,)
    """
    return _like(np.empty_like, x, dtype=dtype, device=device)


def full_like(
    x: TensorLike, /, fill_value: TensorLike, *, dtype: DTypeLike | None = None, device: str | None = None
) -> Tensor:
    """A Tensor with the shape (and dtype) of ``x``, filled with one number, or with anything that broadcasts.

    >>> import tensorgrad as tg
    >>> tg.full_like([1.5, 2.5], 3.0)
    Tensor([3., 3.], dtype=float64)
    """
    if isinstance(fill_value, Handle):
        shaping.require_cpu(device)
        array = array_of(x) if isinstance(x, Handle) else np.asarray(x)
        return _filled(fill_value, array.shape, dtype or array.dtype)
    return _like(np.full_like, x, fill_value, dtype=dtype, device=device)
