"""Operations on the bits of integers and booleans: plain arrays, without a gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.record import TensorLike
from ..errors import DTypeError
from .compare import array_operand, compared

__all__ = [
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
]


def _integers(op: str, *arrays: Any) -> None:
    for array in arrays:
        dtype = np.result_type(array)
        if dtype.kind not in "biu":
            raise DTypeError(f"{op}: expected integers or booleans, got {dtype}")


def _pair(op: str, function: Any, x: TensorLike, y: TensorLike) -> Any:
    a, b = array_operand(x, op), array_operand(y, op)
    _integers(op, a, b)
    return compared(op, function, a, b)


def bitwise_and(x: TensorLike, y: TensorLike, /) -> Any:
    """The bits that are set in both, ``x & y``.

    >>> import tensorgrad as tg
    >>> tg.bitwise_and(tg.Tensor([6, 3]), 2)
    array([2, 2])
    """
    return _pair("bitwise_and", np.bitwise_and, x, y)


def bitwise_or(x: TensorLike, y: TensorLike, /) -> Any:
    """The bits that are set in at least one, ``x | y``.

    >>> import tensorgrad as tg
    >>> tg.bitwise_or(tg.Tensor([6, 3]), 1)
    array([7, 3])
    """
    return _pair("bitwise_or", np.bitwise_or, x, y)


def bitwise_xor(x: TensorLike, y: TensorLike, /) -> Any:
    """The bits that are set in exactly one, ``x ^ y``.

    >>> import tensorgrad as tg
    >>> tg.bitwise_xor(tg.Tensor([6, 3]), 2)
    array([4, 1])
    """
    return _pair("bitwise_xor", np.bitwise_xor, x, y)


def bitwise_left_shift(x: TensorLike, y: TensorLike, /) -> Any:
    """The bits moved to the left, ``x << y``.

    >>> import tensorgrad as tg
    >>> tg.bitwise_left_shift(tg.Tensor([6, 3]), 1)
    array([12,  6])
    """
    return _pair("bitwise_left_shift", np.left_shift, x, y)


def bitwise_right_shift(x: TensorLike, y: TensorLike, /) -> Any:
    """The bits moved to the right, ``x >> y``; the sign stays.

    >>> import tensorgrad as tg
    >>> tg.bitwise_right_shift(tg.Tensor([6, 3]), 1)
    array([3, 1])
    """
    return _pair("bitwise_right_shift", np.right_shift, x, y)


def bitwise_invert(x: TensorLike, /) -> Any:
    """Every bit turned over, ``~x``; of booleans, the logical not.

    >>> import tensorgrad as tg
    >>> tg.bitwise_invert(tg.Tensor([0, 3]))
    array([-1, -4])
    """
    array = array_operand(x, "bitwise_invert")
    _integers("bitwise_invert", array)
    return np.invert(array)
