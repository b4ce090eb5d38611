"""Parameter: a Tensor that a Module learns."""

from __future__ import annotations

from numpy.typing import DTypeLike

import tensorgrad as tg

__all__ = ["Parameter"]


class Parameter(tg.Tensor):
    """A Tensor that a Module learns: a leaf that requires a gradient.

    Args:
        data: anything NumPy can make into an array; an ndarray is copied.
        dtype: NumPy dtype, by default that of the data.
        requires_grad: False freezes it.
        name: by default the name of the attribute it is assigned to, and its dotted path once its model has been
            called or its parameters listed.

    Raises:
        DTypeError: the data is not floating point.

    >>> import nn
    >>> nn.Parameter([1.0, 2.0], name="W")
    Tensor([1., 2.], dtype=float64, requires_grad=True, name='W')
    """

    __slots__ = ("held",)
    held: int  # how many module attributes hold it; an optimiser refuses one that is no longer held

    def __init__(
        self,
        data: tg.TensorLike,
        *,
        dtype: DTypeLike | None = None,
        requires_grad: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(data, dtype=dtype, requires_grad=requires_grad, name=name)
