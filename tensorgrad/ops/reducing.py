"""What reductions along axes share: the facts of a call, the dtypes it accumulates in, and masks.

As in NumPy, float16 is accumulated in float32.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod as product
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..engine.record import Tensor, TensorLike
from ..engine.shapes import Axis, normalised_axes, normalised_axis
from ..engine.staging import array_of, indivisible
from ..errors import ShapeError
from .selection import where as choose
from .shaping import astype
from .views import shaped

__all__ = ["Reduced", "counted", "half_dtype", "in_dtype", "masked_to", "narrow", "reduction", "wide"]

Shape = tuple[int, ...]
_HALF = np.dtype(np.float16)
_sum: Any = np.add.reduce  # what np.sum calls, without its overhead


class Reduced:
    """The static facts of one reduction: shapes before and after, and how many numbers become one."""

    __slots__ = ("axes", "axis", "count", "keepdims", "kept", "op", "shape")

    def __init__(self, op: str, shape: Shape, axis: Axis, keepdims: bool) -> None:
        self.op = op
        self.shape = shape
        self.keepdims = keepdims
        if axis is None:
            self.axis: Shape | None = None
            self.axes: Shape = tuple(range(len(shape)))
            self.kept: Shape = (1,) * len(shape)
            self.count = product(shape)
        elif isinstance(axis, int):
            a = normalised_axis(axis, len(shape), op)
            self.axis = self.axes = (a,)
            self.kept = (*shape[:a], 1, *shape[a + 1 :])
            self.count = shape[a]
        else:
            self.axis = self.axes = axes = normalised_axes(axis, len(shape), op)
            self.kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
            self.count = product(shape[a] for a in axes)

    def nonempty(self) -> None:
        """Raise ShapeError if there is nothing to reduce."""
        if self.count == 0 and product(self.kept) != 0:
            along = "" if self.axis is None else f" along axis {self.axis}"
            raise ShapeError(
                f"{self.op}: shape {self.shape} has no elements{along}, and the {self.op} of no elements is undefined"
            )

    def spread(self, xp: Any, reduced: Any) -> Any:
        """A reduced array with its reduced axes restored, so that it broadcasts with the original."""
        return xp.reshape(reduced, self.kept)

    def shaped(self, kept: Any) -> Any:
        """An array that was reduced with ``keepdims=True``, without the axes that should not be kept."""
        return kept if self.keepdims else np.squeeze(kept, axis=self.axes)

    def sum(self, array: Any, keepdims: bool) -> Any:
        """The sum of an array, accumulated in float32 or better."""
        if array.dtype == _HALF:
            return _sum(array, axis=self.axis, dtype=np.float32, keepdims=keepdims)
        return _sum(array, axis=self.axis, keepdims=keepdims)


_known = lru_cache(maxsize=1024)(Reduced)


def reduction(op: str, x: Any, axis: Axis, keepdims: bool) -> Reduced:
    """The facts of a reduction of ``x``.

    >>> reduction("sum", np.zeros((2, 3)), -1, False).kept
    (2, 1)
    """
    if axis.__class__ is tuple and len(axis) == 1:
        (axis,) = axis
    # An axis 1.0 or True equals 1, and would find its facts.
    if (axis is None or axis.__class__ is int or _integers(axis)) and keepdims.__class__ is bool:
        return _known(op, x.shape, axis, keepdims)
    return Reduced(op, x.shape, axis, keepdims)


def _integers(axis: Any) -> bool:
    return axis.__class__ is tuple and _INT.issuperset(map(type, axis))


_INT = {int}


def wide(array: Any) -> Any:
    """Cast float16 to float32 and integers to float64, the dtypes that a mean is computed in.

    Also for gradients, and for Tensors: float16 cannot hold 70,000 to divide by.

    >>> wide(np.ones(2, dtype=np.float16)).dtype, wide(np.ones(2, dtype=int)).dtype
    (dtype('float32'), dtype('float64'))
    """
    if array.dtype == _HALF:
        return array.astype(np.float32)
    return array if array.dtype.kind in "fc" else array.astype(np.float64)


def narrow(result: Any, like: Any) -> Any:
    """Cast a result computed with :func:`wide` back to float16 if the operand was float16.

    >>> narrow(np.ones(2, dtype=np.float32), np.ones(2, dtype=np.float16)).dtype
    dtype('float16')
    """
    return result.astype(np.float16) if like.dtype == _HALF else result


def masked_to(op: str, x: TensorLike, dtype: DTypeLike | None, where: Any, neutral: TensorLike) -> Any:
    """What is left to reduce: in ``dtype``, with the neutral element where ``where`` does not hold."""
    source = shaped(x, op)
    if dtype is not None:
        source = astype(source, dtype)
    if where is None:
        return source
    mask = array_of(shaped(where, op))
    fits = len(mask.shape) <= len(source.shape)
    if not (fits and all(m in (1, n) for m, n in zip(mask.shape[::-1], source.shape[::-1]))):
        raise ShapeError(f"{op}: where= of shape {mask.shape} does not broadcast to the shape of x, {source.shape}")
    return choose(mask, source, neutral)


def half_dtype(x: Any) -> DTypeLike | None:
    """float16 for what was computed in float32 on its behalf."""
    return np.float16 if x.dtype == _HALF else None


def in_dtype(result: Any, dtype: DTypeLike | None) -> Tensor:
    """A result in the dtype that was asked for: sums of small integers and booleans are wider.

    >>> in_dtype(sum([True, True]), np.int8).dtype
    dtype('int8')
    """
    return result if dtype is None else astype(result, dtype, copy=False)


@indivisible
def _count_of(op: str, mask: Any, facts: Reduced, ddof: float, dtype: Any) -> Any:
    kept = np.broadcast_to(mask, facts.shape) != 0
    count = _sum(kept, axis=facts.axes, dtype=np.intp, keepdims=True) - ddof
    if np.any(count <= 0):
        raise ShapeError(f"{op}: where= leaves too few of the elements of shape {facts.shape} along axis {facts.axes}")
    shape = tuple(n for i, n in enumerate(facts.kept) if facts.keepdims or i not in facts.axes)
    return np.reshape(count, shape).astype(dtype)


def counted(op: str, x: Any, axis: Axis, keepdims: bool, where: Any, ddof: float) -> Any:
    """How many elements ``where`` leaves of each that becomes one, less ``ddof``, in the dtype of the result."""
    facts = reduction(op, x, axis, keepdims)
    dtype = np.empty(0, x.dtype).real.dtype
    return _count_of(op, array_of(shaped(where, op)), facts, ddof, dtype if dtype.kind == "f" else np.float64)
