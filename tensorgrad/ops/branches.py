"""Choosing among several values, or among functions that compute them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine.mode import silenced
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
    """For each element, the choice for the first condition that holds, or ``default`` if none does.

    Elements that are not taken get a gradient of exactly zero. Raises ValueError if the lists differ in length or
    are empty, and DTypeError for conditions that are not boolean.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([-1.0, 0.5, 2.0])
    >>> tg.select([x < 0, x > 1], [0.0, 1.0], x)
    Tensor([0. , 0.5, 1. ], dtype=float64)
    """
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(
            f"select: got {len(condlist)} conditions and {len(choicelist)} choices, expected equal numbers, at least 1"
        )
    conditions = [shaped(condition, "select") for condition in condlist]
    for i, condition in enumerate(conditions):
        if condition.dtype != bool:
            raise DTypeError(f"select: condition {i} has dtype {condition.dtype}, expected bool; write x != 0")
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
    """For each integer in x, the element of the choice with that number.

    ``mode`` says what happens to numbers out of range: IndexError ("raise"), wrapping around ("wrap"), or the nearest
    number in range ("clip"). Elements that are not taken get a gradient of exactly zero.

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
        raise ValueError(f"choose: mode must be 'raise', 'wrap' or 'clip', got {mode!r}")
    values: list[Any] = [value if isinstance(value, Handle) else operand(value, "choose") for value in choices]
    error = broadcast_error("choose", numbers.shape, *(np.shape(value) for value in values))
    if error is not None:
        raise error

    def forward(number: Any, *arrays: Any) -> Any:
        try:
            return chosen(number, arrays, mode=mode).astype(_dtype(arrays), copy=False)
        except ValueError as error:
            raise IndexError(
                f"choose: a number is out of range, expected 0 to {count - 1}; write mode='wrap' or mode='clip' "
                f"({error})"
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
    """Functions (or numbers), each applied where its condition holds; the last such condition wins.

    Where none holds, one more function applies, or 0. Functions must be elementwise: each is called with all of x and
    the further arguments. Its results where its condition does not hold are discarded, and get a gradient of exactly
    zero. (NumPy passes a selection of x, whose length a compiled step could not know.) As in NumPy, the result has
    the dtype of x.

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
        with silenced():  # no warnings about points that are discarded
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

    :func:`where` discards what it does not take only after computing it. Here a function never sees inputs that it is
    not meant for: the number ``instead`` replaces them before the call. So there are no infinities, NaNs or warnings,
    and even a function that mixes elements (a sum, a matrix product) has finite gradients.

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
        raise TypeError("safe_where: got functions but no inputs for them; write safe_where(condition, f, g, x)")
    return where(condition, computed(function, True), computed(otherwise, False))
