"""The choice among several values, or among functions to compute them with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine.record import Handle, Tensor, TensorLike, operand, record
from ..engine.shapes import broadcast_error
from ..errors import DTypeError
from .selection import where
from .shaping import astype
from .views import no_gradient, shaped

__all__ = ["choose", "piecewise", "safe_where", "select"]


def _dtype(values: Sequence[Any]) -> Any:
    return np.result_type(*(getattr(value, "dtype", value) for value in values))


def _in_dtype(result: Tensor, dtype: Any) -> Tensor:
    return result if result.dtype == dtype else astype(result, dtype)


def select(condlist: Sequence[TensorLike], choicelist: Sequence[TensorLike], default: TensorLike = 0) -> Tensor:
    """For each element the choice of the first condition that holds, and ``default`` where none does.

    What is not taken gets a gradient of exactly zero. Raises ValueError where the lists differ in length or are
    empty, and DTypeError for conditions that are not booleans.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([-1.0, 0.5, 2.0])
    >>> tg.select([x < 0, x > 1], [0.0, 1.0], x)
    Tensor([0. , 0.5, 1. ], dtype=float64)
    """
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(
            f"select: got {len(condlist)} conditions and {len(choicelist)} choices, expected as many of both"
        )
    conditions = [shaped(condition, "select") for condition in condlist]
    for i, condition in enumerate(conditions):
        if condition.dtype != bool:
            raise DTypeError(f"select: condition {i} is of dtype {condition.dtype}, expected booleans; write x != 0")
    values: list[Any] = [
        value if isinstance(value, Handle) else operand(value, "select") for value in (*choicelist, default)
    ]
    error = broadcast_error("select", *(np.shape(value) for value in (*conditions, *values)))
    if error is not None:
        raise error
    result = values[-1]
    for condition, value in zip(reversed(conditions), reversed(values[:-1])):
        result = where(condition, value, result)
    return _in_dtype(result, _dtype(values))


def choose(x: TensorLike, /, choices: Sequence[TensorLike], *, mode: str = "raise") -> Tensor:
    """For each element of the integers x the element of the choice with that number.

    ``mode`` says what becomes of numbers without a choice: IndexError ("raise"), counting around ("wrap"), or the
    nearest that has one ("clip"). What is not taken gets a gradient of exactly zero.

    >>> import tensorgrad as tg
    >>> tg.choose([0, 1, 1], [[1.0, 2.0, 3.0], 0.0])
    Tensor([1., 0., 0.], dtype=float64)
    """
    count = len(choices)
    chosen: Any = np.choose
    numbers = shaped(x, "choose")
    if numbers.dtype.kind not in "iub":
        raise DTypeError(f"choose: the first argument has dtype {numbers.dtype}, expected integers")
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"choose: mode is 'raise', 'wrap' or 'clip', got {mode!r}")
    values: list[Any] = [value if isinstance(value, Handle) else operand(value, "choose") for value in choices]
    error = broadcast_error("choose", numbers.shape, *(np.shape(value) for value in values))
    if error is not None:
        raise error

    def forward(number: Any, *arrays: Any) -> Any:
        try:
            return chosen(number, arrays, mode=mode).astype(_dtype(arrays), copy=False)
        except ValueError as error:
            raise IndexError(
                f"choose: a number has no choice, expected 0 to {count - 1}; write mode='wrap' or mode='clip' ({error})"
            ) from error

    def part(i: int) -> Any:
        def d_choice(xp: Any, g: Any, x: Any) -> Any:
            number = x % count if mode == "wrap" else xp.clip(x, 0, count - 1) if mode == "clip" else x
            return xp.where(number == i, g, 0)

        return d_choice

    return record("choose", forward, (numbers, *values), (no_gradient, *map(part, range(count))))


def piecewise(
    x: TensorLike,
    /,
    condlist: Any,
    funclist: Sequence[Callable[..., Any] | TensorLike],
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """Functions (or numbers) that apply where conditions hold: the last one that does, else one more function, or 0.

    Each function is called with all of x, and with the further arguments; it computes one element from one. What it
    gives where its condition does not hold is thrown away, and gets a gradient of exactly zero. (NumPy calls with a
    selection of x, whose length no compiled step could know.) As in NumPy the result has the dtype of x.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([-4.0, 4.0], requires_grad=True)
    >>> tg.piecewise(x, [x < 0, x >= 0], [0.0, tg.sqrt]).sum().backward()
    >>> x.grad
    array([0.  , 0.25])
    """
    source = shaped(x, "piecewise")
    ndim = len(source.shape)
    if hasattr(condlist, "dtype"):
        conditions = [condlist] if len(condlist.shape) <= ndim and condlist.shape == source.shape else list(condlist)
    else:
        single = not condlist or (np.ndim(condlist[0]) == 0 and ndim != 0)
        conditions = [shaped(c, "piecewise") for c in ([condlist] if single else condlist)]
    count = len(conditions)
    if len(funclist) not in (count, count + 1):
        raise ValueError(
            f"piecewise: got {len(funclist)} functions for {count} conditions, expected {count}, or {count + 1} with "
            f"one for the rest"
        )
    for condition in conditions:
        error = broadcast_error("piecewise", np.shape(condition), source.shape)
        if error is not None:
            raise error

    def values(function: Any) -> Any:
        if not callable(function) or isinstance(function, Handle):
            return function
        with np.errstate(all="ignore"):  # about points that are thrown away
            return function(source, *args, **kwargs)

    result = values(funclist[count] if len(funclist) > count else 0)
    for condition, function in zip(conditions, funclist):
        result = where(condition, values(function), result)
    return _in_dtype(result, source.dtype)


def safe_where(
    condition: TensorLike,
    function: Callable[..., Any] | TensorLike,
    otherwise: Callable[..., Any] | TensorLike,
    /,
    *inputs: TensorLike,
    instead: float = 1.0,
) -> Tensor:
    """``function(*inputs)`` where the condition holds, ``otherwise(*inputs)`` elsewhere; either may be a value.

    :func:`where` throws away what it does not take, after it was computed. Here a function never sees the inputs it
    is not made for: the number ``instead`` takes their place before it is called. So nothing infinite or NaN arises,
    no warning, and also a function that mixes elements (a sum, a product of matrices) has finite gradients.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([-1.0, 0.0, 4.0], requires_grad=True)
    >>> y = tg.safe_where(x > 0, tg.log, lambda x: -x, x)
    >>> y.sum().backward()
    >>> x.grad.tolist()
    [-1.0, -1.0, 0.25]
    """

    def computed(function: Any, seen: bool) -> Any:
        if not callable(function) or isinstance(function, Handle):
            return function
        return function(*(where(condition, *((x, instead) if seen else (instead, x))) for x in inputs))

    if not inputs and (callable(function) or callable(otherwise)):
        raise TypeError("safe_where: got functions and no inputs for them; write safe_where(condition, f, g, x)")
    return where(condition, computed(function, True), computed(otherwise, False))
