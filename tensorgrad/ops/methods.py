"""The operators and methods of a Tensor: the functions of :mod:`tensorgrad.ops`, under the names users know."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import ops
from ..engine.frames import place, user_frame
from ..engine.graph import Leaf
from ..engine.mode import current
from ..engine.record import Handle, TensorLike, operand
from ..engine.shapes import broadcast_error
from ..engine.staging import array_of, writes_to
from ..errors import DTypeError, GraphError, InplaceError, ShapeError
from .views import is_view
from .writing import write_recorded

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["Methods"]


def _augmented(symbol: str, ufunc: np.ufunc, operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The operator of ``x += y`` and its like: in place, and recorded where a gradient is wanted.

    A leaf that requires a gradient would lose it, and is updated under ``no_grad()`` alone. A view is bound anew.
    """

    def operator(self: Any, other: TensorLike, /) -> Any:
        node = self.node
        recording = current().grad
        if recording and isinstance(node, Leaf) and node.requires_grad:
            raise GraphError(
                f"{symbol}: this Tensor of shape {self.shape} is a leaf that requires grad, and its own gradient "
                f"would be lost; update it under `with tg.no_grad():`, or write y = x {symbol[:-1]} ..."
            )
        frame = user_frame(sys._getframe(1))
        by = f"{symbol} at {place(frame.f_code, frame.f_lasti)}"
        if recording and (self.requires_grad or (isinstance(other, Handle) and getattr(other, "requires_grad", False))):
            if is_view(self):
                return NotImplemented  # Python goes on with x = x + y, and of y[0] += 1 with y[0] = y[0] + 1
            write_recorded(self, other, operation, symbol, by)
            return self
        value: Any = array_of(other) if isinstance(other, Handle) else array_of(operand(other, symbol))
        target = writes_to(self, by=by)
        try:
            with np.errstate(all="ignore"):
                ufunc(target, value, out=target, casting="same_kind")
        except (TypeError, ValueError) as error:
            raise _misfit(error, symbol, self, value, ufunc) from error
        return self

    return operator


def _misfit(error: Exception, symbol: str, x: Any, value: Any, ufunc: np.ufunc) -> Exception:
    """What to say of operands that NumPy would not compute in place."""
    if isinstance(error, TypeError):
        return DTypeError(
            f"{symbol}: the result does not fit into {x.dtype} without losing its kind (the other is "
            f"{getattr(value, 'dtype', type(value).__name__)}); write x = x {symbol[:-1]} ... for a new Tensor"
        )
    if "read-only" in str(error):
        return InplaceError(f"{symbol}: this Tensor's memory is read-only; write to a copy, t = +t")
    better = None if ufunc is np.matmul else broadcast_error(symbol, x.shape, np.shape(value))
    return better or ShapeError(
        f"{symbol}: shapes {x.shape} and {np.shape(value)} give no result of shape {x.shape}, which "
        f"could be written in place; write x = x {symbol[:-1]} ... for a new Tensor"
    )


class Methods(Handle):
    """A function of the operations is a method as it stands: its first argument is the Tensor."""

    __slots__ = ()

    # Comparisons have no gradient and give plain boolean arrays.
    __eq__ = ops.equal  # type: ignore[assignment]
    __ne__ = ops.not_equal  # type: ignore[assignment]
    __lt__ = ops.less
    __le__ = ops.less_equal
    __gt__ = ops.greater
    __ge__ = ops.greater_equal

    __neg__ = ops.negative
    __pos__ = ops.positive
    __abs__ = ops.abs
    __add__ = ops.add
    __sub__ = ops.subtract
    __mul__ = ops.multiply
    __truediv__ = ops.divide
    __floordiv__ = ops.floor_divide
    __mod__ = ops.remainder
    __pow__ = ops.power
    __matmul__ = ops.matmul
    __iadd__ = _augmented("+=", np.add, ops.add)
    __isub__ = _augmented("-=", np.subtract, ops.subtract)
    __imul__ = _augmented("*=", np.multiply, ops.multiply)
    __itruediv__ = _augmented("/=", np.divide, ops.divide)
    __ifloordiv__ = _augmented("//=", np.floor_divide, ops.floor_divide)
    __imod__ = _augmented("%=", np.remainder, ops.remainder)
    __ipow__ = _augmented("**=", np.power, ops.power)
    __imatmul__ = _augmented("@=", np.matmul, ops.matmul)
    __getitem__ = ops.getitem
    __setitem__ = ops.setitem

    def __radd__(self, other: TensorLike) -> Tensor:
        return ops.add(other, self)

    def __rsub__(self, other: TensorLike) -> Tensor:
        return ops.subtract(other, self)

    def __rmul__(self, other: TensorLike) -> Tensor:
        return ops.multiply(other, self)

    def __rtruediv__(self, other: TensorLike) -> Tensor:
        return ops.divide(other, self)

    def __rfloordiv__(self, other: TensorLike) -> Tensor:
        return ops.floor_divide(other, self)

    def __rmod__(self, other: TensorLike) -> Tensor:
        return ops.remainder(other, self)

    def __divmod__(self, other: TensorLike) -> tuple[Tensor, Tensor]:
        return ops.floor_divide(self, other), ops.remainder(self, other)

    def __rdivmod__(self, other: TensorLike) -> tuple[Tensor, Tensor]:
        return ops.floor_divide(other, self), ops.remainder(other, self)

    def __rpow__(self, other: TensorLike) -> Tensor:
        return ops.power(other, self)

    def __rmatmul__(self, other: TensorLike) -> Tensor:
        return ops.matmul(other, self)

    abs = ops.abs
    square = ops.square
    sqrt = ops.sqrt
    reciprocal = ops.reciprocal
    exp = ops.exp
    expm1 = ops.expm1
    log = ops.log
    log1p = ops.log1p
    logaddexp = ops.logaddexp
    logsumexp = ops.logsumexp
    sin = ops.sin
    cos = ops.cos
    tan = ops.tan
    sinh = ops.sinh
    cosh = ops.cosh
    tanh = ops.tanh
    arcsin = ops.arcsin
    arccos = ops.arccos
    arctan = ops.arctan
    arctan2 = ops.arctan2
    arcsinh = ops.arcsinh
    arccosh = ops.arccosh
    arctanh = ops.arctanh
    exp2 = ops.exp2
    log2 = ops.log2
    log10 = ops.log10
    sinc = ops.sinc
    rsqrt = ops.rsqrt
    hypot = ops.hypot
    fmod = ops.fmod
    remainder = ops.remainder
    sign = ops.sign
    floor = ops.floor
    ceil = ops.ceil
    trunc = ops.trunc
    frac = ops.frac
    round = ops.round
    clip = ops.clip
    maximum = ops.maximum
    minimum = ops.minimum
    conj = ops.conj

    sum = ops.sum
    mean = ops.mean
    prod = ops.prod
    max = ops.max
    min = ops.min
    var = ops.var
    std = ops.std
    median = ops.median
    quantile = ops.quantile
    nansum = ops.nansum
    nanmean = ops.nanmean
    nan_to_num = ops.nan_to_num
    any = ops.any
    all = ops.all
    count_nonzero = ops.count_nonzero
    argmax = ops.argmax
    argmin = ops.argmin
    cumsum = ops.cumsum
    cumprod = ops.cumprod
    logcumsumexp = ops.logcumsumexp
    diff = ops.diff

    ravel = ops.ravel
    flatten = ops.ravel
    squeeze = ops.squeeze
    swapaxes = ops.swapaxes
    moveaxis = ops.moveaxis
    expand_dims = ops.expand_dims
    broadcast_to = ops.broadcast_to
    flip = ops.flip
    astype = ops.astype
    split = ops.split
    take = ops.take
    repeat = ops.repeat
    tile = ops.tile
    roll = ops.roll
    rot90 = ops.rot90
    fliplr = ops.fliplr
    flipud = ops.flipud
    hsplit = ops.hsplit
    vsplit = ops.vsplit
    dsplit = ops.dsplit

    # What ndarray writes in place under these names (sort, partition, resize), and PyTorch does not, is no method.
    argsort = ops.argsort
    argpartition = ops.argpartition
    searchsorted = ops.searchsorted
    nonzero = ops.nonzero
    topk = ops.topk
    diag = ops.diag
    diagflat = ops.diagflat
    diagonal = ops.diagonal
    trace = ops.trace
    tril = ops.tril
    triu = ops.triu

    def compress(self, condition: TensorLike, axis: int | None = None) -> Tensor:
        """:func:`tensorgrad.compress`, with the condition as argument.

        >>> import tensorgrad as tg
        >>> tg.Tensor([1.0, 2.0, 3.0]).compress([True, False, True])
        Tensor([1., 3.], dtype=float64)
        """
        return ops.compress(condition, self, axis)

    def reshape(self, *shape: int | tuple[int, ...]) -> Tensor:
        """:func:`tensorgrad.reshape`; the shape may be given as several integers.

        >>> import tensorgrad as tg
        >>> tg.Tensor([[1.0, 2.0]]).reshape(2, 1).shape
        (2, 1)
        """
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)  # type: ignore[arg-type]

    def transpose(self, *axes: int | tuple[int, ...] | None) -> Tensor:
        """:func:`tensorgrad.transpose`; the axes may be given as several integers.

        >>> import tensorgrad as tg
        >>> tg.Tensor([[1.0, 2.0]]).transpose(1, 0).shape
        (2, 1)
        """
        if len(axes) == 1:
            return ops.transpose(self, axes[0])  # type: ignore[arg-type]
        return ops.transpose(self, axes or None)  # type: ignore[arg-type]

    matmul = ops.matmul
    dot = ops.dot
    outer = ops.outer

    relu = ops.relu
    sigmoid = ops.sigmoid
    softmax = ops.softmax
    log_softmax = ops.log_softmax
