"""Broadcasting and axes, as pure functions of shapes."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from ..errors import AxisError, ShapeError

__all__ = ["broadcast_error", "normalised_axes", "normalised_axis", "sum_to_shape"]

_HALF = np.dtype(np.float16)

Shape = tuple[int, ...]
Axis = int | tuple[int, ...] | None


def normalised_axis(axis: Any, ndim: int, op: str) -> int:
    """The axis, counted from the front. Raises ShapeError naming the operation.

    >>> normalised_axis(-1, 3, "sum")
    2
    """
    try:
        axis = index(axis)
    except TypeError as error:
        raise TypeError(f"{op}: axis must be an integer, got {axis!r}") from error
    if not -ndim <= axis < ndim:
        raise AxisError(f"{op}: axis {axis} is out of bounds for an array of {ndim} dimensions")
    return axis % ndim


def normalised_axes(axis: Any, ndim: int, op: str) -> tuple[int, ...]:
    """The axes, counted from the front, in the order given; None means all of them.

    >>> normalised_axes((-1, 0), 3, "sum")
    (2, 0)
    """
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(axis) if isinstance(axis, Sequence) else (axis,)
    result = tuple(normalised_axis(a, ndim, op) for a in axes)
    if len(set(result)) != len(result):
        raise ShapeError(f"{op}: axis {axis!r} names the same axis twice (the array has {ndim} dimensions)")
    return result


def sum_to_shape(xp: Any, gradient: Any, shape: Shape) -> Any:
    """Sum a gradient over the axes along which an array of ``shape`` was broadcast (float16 in float32).

    >>> import numpy as np
    >>> sum_to_shape(np, np.ones((4, 2, 3)), (2, 1)).tolist()
    [[12.0], [12.0]]
    """
    got = gradient.shape
    extra = len(got) - len(shape)
    axes = (0,) if extra == 1 else tuple(range(extra))
    in_front = extra > 0 and got[extra:] == shape
    if not in_front:
        if extra < 0 or any(n not in (1, m) for n, m in zip(shape, got[extra:], strict=True)):
            raise ShapeError(f"a gradient of shape {got} cannot be summed to shape {shape}")
        axes += tuple(extra + i for i, n in enumerate(shape) if n == 1 and got[extra + i] != 1)
    if axes:
        if gradient.dtype == _HALF:  # a running sum of ones in float16 would stop at 2048
            gradient = gradient.astype(np.float32)
        gradient = xp.sum(gradient, axis=axes)
    return gradient if in_front and shape else xp.reshape(gradient, shape)


def broadcast_error(op: str, *shapes: Shape) -> ShapeError | None:
    """The error of shapes that do not broadcast together; None if they do.

    >>> print(broadcast_error("add", (4, 5), (3, 5)))
    add: shapes (4, 5) and (3, 5) do not broadcast: axis -2 has lengths 4 and 3
    """
    for axis in range(-1, -1 - max(map(len, shapes), default=0), -1):
        lengths = {shape[axis]: None for shape in shapes if len(shape) >= -axis and shape[axis] != 1}
        if len(lengths) > 1:
            return ShapeError(
                f"{op}: shapes {' and '.join(map(str, shapes))} do not broadcast: "
                f"axis {axis} has lengths {' and '.join(map(str, lengths))}"
            )
    return None
