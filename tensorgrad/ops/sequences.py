"""Sums and products of many arrays at once."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

import numpy as np

from ..engine.record import Tensor, TensorLike, record
from ..engine.shapes import broadcast_error
from .arithmetic import multiply
from .joining import stack
from .reductions import product_over
from .shaping import broadcast_to
from .views import shaped

__all__ = ["add_sequence", "multiply_sequence"]


def _required(op: str, arrays: tuple[Any, ...]) -> None:
    if not arrays:
        raise TypeError(f"{op}: needs at least one array; write {op}(*arrays)")


def add_sequence(*arrays: TensorLike) -> Tensor:
    """The sum of arrays that broadcast together, as one operation.

    >>> import tensorgrad as tg
    >>> tg.add_sequence([1.0, 2.0], 3.0, [0.5, 0.5])
    Tensor([4.5, 5.5], dtype=float64)
    """
    _required("add_sequence", arrays)

    def forward(*parts: Any) -> Any:
        return np.positive(parts[0]) if len(parts) == 1 else reduce(add, parts)

    def d_x(xp: Any, g: Any) -> Any:
        return g

    first = shaped(arrays[0], "add_sequence") if all(map(np.isscalar, arrays)) else arrays[0]
    return record("add_sequence", forward, (first, *arrays[1:]), (d_x,) * len(arrays))


def multiply_sequence(*arrays: TensorLike) -> Tensor:
    """The product of arrays that broadcast together: stacked, then multiplied as one operation.

    As with :func:`prod`, the gradient is exact even where factors are zero, in time proportional to their number.

    >>> import tensorgrad as tg
    >>> x, y = tg.Tensor([2.0, 0.0], requires_grad=True), tg.Tensor([3.0, 5.0], requires_grad=True)
    >>> tg.multiply_sequence(x, y, 2.0).sum().backward()
    >>> x.grad.tolist(), y.grad.tolist()
    ([6.0, 10.0], [4.0, 0.0])
    """
    op = "multiply_sequence"
    _required(op, arrays)
    numbers = [a for a in arrays if isinstance(a, bool | int | float | complex)]  # weak scalars
    parts = [shaped(a, op) for a in arrays if not isinstance(a, bool | int | float | complex)]
    if not parts:
        parts, numbers = [shaped(numbers[0], op)], numbers[1:]
    shapes = [part.shape for part in parts]
    error = broadcast_error(op, *shapes)
    if error is not None:
        raise error
    shape = np.broadcast_shapes(*shapes)
    parts = [part if part.shape == shape else broadcast_to(part, shape) for part in parts]
    result = product_over(op, stack(parts), 0, False)
    return multiply(result, reduce(lambda a, b: a * b, numbers)) if numbers else result
