"""The operators and methods of a Tensor: the functions of :mod:`tensorgrad.ops`, under the names users know."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.frames import place, user_frame
from ..engine.graph import Leaf
from ..engine.mode import current, silenced
from ..engine.record import Handle, Tensor, TensorLike, operand
from ..engine.shapes import broadcast_error
from ..engine.staging import array_of, writes_to
from ..errors import DTypeError, GraphError, InplaceError, ShapeError
from . import (
    activations,
    arithmetic,
    bits,
    compare,
    complexes,
    cumulative,
    diagonals,
    differences,
    exponential,
    indexing,
    logic,
    nan,
    products,
    quantiles,
    reductions,
    rounding,
    selection,
    shaping,
    sorting,
    splitting,
    tiling,
    trigonometry,
    variance,
    writing,
)
from . import axes as _axes
from .views import is_view
from .writing import write_recorded

__all__ = ["Methods"]


def _augmented(symbol: str, ufunc: np.ufunc, operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The operator for ``x += y`` and similar: in place, and recorded if a gradient is wanted.

    A leaf that requires grad would lose its own gradient, so it is updated only under ``no_grad()``. A view is rebound
    to a new Tensor.
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
                return NotImplemented  # Python falls back to x = x + y, and from y[0] += 1 to y[0] = y[0] + 1
            write_recorded(self, other, operation, symbol, by)
            return self
        value: Any = array_of(other) if isinstance(other, Handle) else array_of(operand(other, symbol))
        target = writes_to(self, by=by)
        try:
            with silenced():
                ufunc(target, value, out=target, casting="same_kind")
        except (TypeError, ValueError) as error:
            raise _inplace_error(error, symbol, self, value, ufunc) from error
        return self

    return operator


def _inplace_error(error: Exception, symbol: str, x: Any, value: Any, ufunc: np.ufunc) -> Exception:
    """The error for operands that NumPy cannot compute in place."""
    if isinstance(error, TypeError):
        return DTypeError(
            f"{symbol}: the result cannot be cast to {x.dtype} in place (the other operand is "
            f"{getattr(value, 'dtype', type(value).__name__)}); write x = x {symbol[:-1]} ... for a new Tensor"
        )
    if "read-only" in str(error):
        return InplaceError(f"{symbol}: this Tensor's memory is read-only; write to a copy, t = +t")
    better = None if ufunc is np.matmul else broadcast_error(symbol, x.shape, np.shape(value))
    return better or ShapeError(
        f"{symbol}: shapes {x.shape} and {np.shape(value)} do not give a result of shape {x.shape}, so it "
        f"cannot be written in place; write x = x {symbol[:-1]} ... for a new Tensor"
    )


class Methods(Handle):
    """The functions of the operations as methods: their first argument is the Tensor."""

    __slots__ = ()

    # Comparisons have no gradient and return plain boolean arrays.
    __eq__ = compare.equal  # type: ignore[assignment]
    __ne__ = compare.not_equal  # type: ignore[assignment]
    __lt__ = compare.less
    __le__ = compare.less_equal
    __gt__ = compare.greater
    __ge__ = compare.greater_equal

    __neg__ = arithmetic.negative
    __pos__ = arithmetic.positive
    __abs__ = arithmetic.abs
    __add__ = arithmetic.add
    __sub__ = arithmetic.subtract
    __mul__ = arithmetic.multiply
    __truediv__ = arithmetic.divide
    __floordiv__ = arithmetic.floor_divide
    __mod__ = arithmetic.remainder
    __pow__ = arithmetic.power
    __matmul__ = products.matmul
    __iadd__ = _augmented("+=", np.add, arithmetic.add)
    __isub__ = _augmented("-=", np.subtract, arithmetic.subtract)
    __imul__ = _augmented("*=", np.multiply, arithmetic.multiply)
    __itruediv__ = _augmented("/=", np.divide, arithmetic.divide)
    __ifloordiv__ = _augmented("//=", np.floor_divide, arithmetic.floor_divide)
    __imod__ = _augmented("%=", np.remainder, arithmetic.remainder)
    __ipow__ = _augmented("**=", np.power, arithmetic.power)
    __imatmul__ = _augmented("@=", np.matmul, products.matmul)
    # As the comparisons, on the bits of integers and booleans: plain arrays.
    __and__ = bits.bitwise_and
    __or__ = bits.bitwise_or
    __xor__ = bits.bitwise_xor
    __lshift__ = bits.bitwise_left_shift
    __rshift__ = bits.bitwise_right_shift
    __invert__ = bits.bitwise_invert
    __getitem__ = indexing.getitem
    __setitem__ = writing.setitem

    def __radd__(self, other: TensorLike) -> Tensor:
        return arithmetic.add(other, self)

    def __rsub__(self, other: TensorLike) -> Tensor:
        return arithmetic.subtract(other, self)

    def __rmul__(self, other: TensorLike) -> Tensor:
        return arithmetic.multiply(other, self)

    def __rtruediv__(self, other: TensorLike) -> Tensor:
        return arithmetic.divide(other, self)

    def __rfloordiv__(self, other: TensorLike) -> Tensor:
        return arithmetic.floor_divide(other, self)

    def __rmod__(self, other: TensorLike) -> Tensor:
        return arithmetic.remainder(other, self)

    def __divmod__(self, other: TensorLike) -> tuple[Tensor, Tensor]:
        return arithmetic.floor_divide(self, other), arithmetic.remainder(self, other)

    def __rdivmod__(self, other: TensorLike) -> tuple[Tensor, Tensor]:
        return arithmetic.floor_divide(other, self), arithmetic.remainder(other, self)

    def __rand__(self, other: TensorLike) -> Any:
        return bits.bitwise_and(other, self)

    def __ror__(self, other: TensorLike) -> Any:
        return bits.bitwise_or(other, self)

    def __rxor__(self, other: TensorLike) -> Any:
        return bits.bitwise_xor(other, self)

    def __rlshift__(self, other: TensorLike) -> Any:
        return bits.bitwise_left_shift(other, self)

    def __rrshift__(self, other: TensorLike) -> Any:
        return bits.bitwise_right_shift(other, self)

    def __rpow__(self, other: TensorLike) -> Tensor:
        return arithmetic.power(other, self)

    def __rmatmul__(self, other: TensorLike) -> Tensor:
        return products.matmul(other, self)

    abs = arithmetic.abs
    square = arithmetic.square
    sqrt = arithmetic.sqrt
    reciprocal = arithmetic.reciprocal
    exp = exponential.exp
    expm1 = exponential.expm1
    log = exponential.log
    log1p = exponential.log1p
    logaddexp = exponential.logaddexp
    logsumexp = reductions.logsumexp
    sin = trigonometry.sin
    cos = trigonometry.cos
    tan = trigonometry.tan
    sinh = trigonometry.sinh
    cosh = trigonometry.cosh
    tanh = trigonometry.tanh
    arcsin = trigonometry.arcsin
    arccos = trigonometry.arccos
    arctan = trigonometry.arctan
    arctan2 = trigonometry.arctan2
    arcsinh = trigonometry.arcsinh
    arccosh = trigonometry.arccosh
    arctanh = trigonometry.arctanh
    exp2 = exponential.exp2
    log2 = exponential.log2
    log10 = exponential.log10
    sinc = exponential.sinc
    rsqrt = arithmetic.rsqrt
    hypot = arithmetic.hypot
    fmod = arithmetic.fmod
    remainder = arithmetic.remainder
    sign = rounding.sign
    floor = rounding.floor
    ceil = rounding.ceil
    trunc = rounding.trunc
    frac = rounding.frac
    round = rounding.round
    clip = selection.clip
    maximum = selection.maximum
    minimum = selection.minimum
    conj = complexes.conj

    sum = reductions.sum
    mean = reductions.mean
    prod = reductions.prod
    max = reductions.max
    min = reductions.min
    var = variance.var
    std = variance.std
    median = quantiles.median
    quantile = quantiles.quantile
    nansum = nan.nansum
    nanmean = nan.nanmean
    nan_to_num = selection.nan_to_num
    any = logic.any
    all = logic.all
    count_nonzero = logic.count_nonzero
    argmax = logic.argmax
    argmin = logic.argmin
    cumsum = cumulative.cumsum
    cumprod = cumulative.cumprod
    logcumsumexp = cumulative.logcumsumexp
    diff = differences.diff

    ravel = shaping.ravel
    flatten = shaping.ravel
    squeeze = shaping.squeeze
    swapaxes = _axes.swapaxes
    moveaxis = _axes.moveaxis
    expand_dims = shaping.expand_dims
    broadcast_to = shaping.broadcast_to
    flip = _axes.flip
    astype = shaping.astype
    split = splitting.split
    take = indexing.take
    repeat = tiling.repeat
    tile = tiling.tile
    roll = tiling.roll
    rot90 = _axes.rot90
    fliplr = _axes.fliplr
    flipud = _axes.flipud
    hsplit = splitting.hsplit
    vsplit = splitting.vsplit
    dsplit = splitting.dsplit

    # sort, partition and resize are not methods: ndarray's write in place, PyTorch's do not.
    argsort = sorting.argsort
    argpartition = sorting.argpartition
    searchsorted = sorting.searchsorted
    nonzero = sorting.nonzero
    topk = sorting.topk
    diag = diagonals.diag
    diagflat = diagonals.diagflat
    diagonal = diagonals.diagonal
    trace = diagonals.trace
    tril = diagonals.tril
    triu = diagonals.triu

    def compress(self, condition: TensorLike, axis: int | None = None) -> Tensor:
        """:func:`tensorgrad.compress`, with the condition as the first argument.

        >>> import tensorgrad as tg
        >>> tg.Tensor([1.0, 2.0, 3.0]).compress([True, False, True])
        Tensor([1., 3.], dtype=float64)
        """
        return indexing.compress(condition, self, axis)

    def reshape(self, *shape: int | tuple[int, ...], order: str = "C", copy: bool | None = None) -> Tensor:
        """:func:`tensorgrad.reshape`; the shape may be given as several integers.

        >>> import tensorgrad as tg
        >>> tg.Tensor([[1.0, 2.0]]).reshape(2, 1).shape
        (2, 1)
        """
        lengths: Any = shape[0] if len(shape) == 1 else shape
        return shaping.reshape(self, lengths, order, copy=copy)

    def transpose(self, *axes: int | tuple[int, ...] | None) -> Tensor:
        """:func:`tensorgrad.transpose`; the axes may be given as several integers.

        >>> import tensorgrad as tg
        >>> tg.Tensor([[1.0, 2.0]]).transpose(1, 0).shape
        (2, 1)
        """
        return _axes.transpose(self, axes[0] if len(axes) == 1 else axes or None)  # type: ignore[arg-type]

    matmul = products.matmul
    dot = products.dot
    outer = products.outer

    relu = activations.relu
    sigmoid = activations.sigmoid
    softmax = activations.softmax
    log_softmax = activations.log_softmax
