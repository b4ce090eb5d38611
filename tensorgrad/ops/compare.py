"""Comparisons: they have no gradient, and return plain boolean arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.mode import current
from ..engine.record import Handle, TensorLike, forward_error, operand
from ..engine.staging import array_of
from .complexes import refuse_complex

__all__ = ["equal", "greater", "greater_equal", "isfinite", "less", "less_equal", "not_equal"]


def array_operand(value: Any, op: str) -> Any:
    """The array of an operand; a Python scalar is returned unchanged."""
    if isinstance(value, Handle):
        return array_of(value)
    array = operand(value, op)
    tracer = current().tracer
    return array if tracer is None else tracer.lift(array)


def compared(op: str, function: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
    """Apply a function of two arrays that has no gradient to two operands."""
    a, b = array_operand(x, op), array_operand(y, op)
    if function not in (np.equal, np.not_equal, np.logical_and, np.logical_or, np.logical_xor):
        refuse_complex(op, a, b)
    try:
        return function(a, b)
    except (ValueError, TypeError) as error:
        raise forward_error(op, (a, b), error) from error


def equal(x: TensorLike, y: TensorLike | None, /) -> Any:
    """``x == y``, elementwise; no element equals None.

    >>> import tensorgrad as tg
    >>> tg.equal(tg.Tensor([1.0, 2.0]), 2.0)
    array([False,  True])
    """
    if y is None:
        return np.zeros_like(array_operand(x, "equal"), dtype=bool)
    return compared("equal", np.equal, x, y)


def not_equal(x: TensorLike, y: TensorLike | None, /) -> Any:
    """``x != y``, elementwise; every element differs from None.

    >>> import tensorgrad as tg
    >>> tg.not_equal(tg.Tensor([1.0, 2.0]), 2.0)
    array([ True, False])
    """
    if y is None:
        return np.ones_like(array_operand(x, "not_equal"), dtype=bool)
    return compared("not_equal", np.not_equal, x, y)


def less(x: TensorLike, y: TensorLike, /) -> Any:
    """``x < y``, elementwise.

    >>> import tensorgrad as tg
    >>> tg.less(tg.Tensor([1.0, 2.0]), 2.0)
    array([ True, False])
    """
    return compared("less", np.less, x, y)


def less_equal(x: TensorLike, y: TensorLike, /) -> Any:
    """``x <= y``, elementwise.

    >>> import tensorgrad as tg
    >>> tg.less_equal(tg.Tensor([1.0, 3.0]), 2.0)
    array([ True, False])
    """
    return compared("less_equal", np.less_equal, x, y)


def greater(x: TensorLike, y: TensorLike, /) -> Any:
    """``x > y``, elementwise.

    >>> import tensorgrad as tg
    >>> tg.greater(tg.Tensor([1.0, 3.0]), 2.0)
    array([False,  True])
    """
    return compared("greater", np.greater, x, y)


def greater_equal(x: TensorLike, y: TensorLike, /) -> Any:
    """``x >= y``, elementwise.

    >>> import tensorgrad as tg
    >>> tg.greater_equal(tg.Tensor([1.0, 2.0]), 2.0)
    array([False,  True])
    """
    return compared("greater_equal", np.greater_equal, x, y)


def isfinite(x: TensorLike, /) -> Any:
    """Whether each element is neither NaN nor infinite.

    >>> import tensorgrad as tg
    >>> tg.isfinite(tg.Tensor([1.0, float("nan")]))
    array([ True, False])
    """
    return np.isfinite(array_operand(x, "isfinite"))
