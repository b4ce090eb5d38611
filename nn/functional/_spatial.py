"""Helpers shared by the layers on images: window arguments per axis, constants and dtypes."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

import tensorgrad as tg

from ._shared import operand

Lengths = int | tuple[int, ...]

_AXES = {1: "length", 2: "height, width"}


def images(x: Any, count: int, op: str, name: str = "x") -> Any:
    """Return x as an operand. Raises ShapeError unless it has axes for batch and channels, and ``count`` more."""
    given = operand(x)
    if len(given.shape) != count + 2:
        single = f"; for a single sample write {name}[None]" if len(given.shape) == count + 1 else ""
        raise tg.ShapeError(
            f"{op}: expected {name} of shape (batch, channels, {_AXES[count]}), got {given.shape}{single}"
        )
    return given


def batch_of(x: Any, count: int, op: str) -> tuple[Any, bool]:
    """Return x as :func:`images` do, and whether it is a single sample, to which a batch axis was added."""
    given = operand(x)
    if len(given.shape) == count + 1:
        return tg.expand_dims(given, 0), True
    if len(given.shape) != count + 2:
        raise tg.ShapeError(
            f"{op}: expected x of shape (batch, channels, {_AXES[count]}), or one sample without the batch axis, got "
            f"{given.shape}"
        )
    return given, False


def each(value: Any, count: int, op: str, name: str, least: int = 1) -> tuple[int, ...]:
    """Return one integer per axis. Raises unless each is an integer of at least ``least``."""
    try:
        values = tuple(map(index, value)) if hasattr(value, "__iter__") else (index(value),) * count
    except TypeError as error:
        raise TypeError(f"{op}: {name} must be an integer, or one for each of {count} axes, got {value!r}") from error
    if len(values) != count or any(v < least for v in values):
        raise ValueError(
            f"{op}: {name} must be an integer of at least {least}, or one for each of {count} axes, got {value!r}"
        )
    return values


def reach(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """How many elements a window spans."""
    return tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation))


def fitting(op: str, x: Any, spans: tuple[int, ...], padding: tuple[tuple[int, int], ...]) -> None:
    """Raise ShapeError if a window is larger than the padded x."""
    padded = tuple(n + before + after for n, (before, after) in zip(x.shape[2:], padding))
    if any(span > n for span, n in zip(spans, padded)):
        raise tg.ShapeError(
            f"{op}: a window spanning {spans} does not fit into x of shape {x.shape}, padded to {padded}"
        )


def paddings(op: str, padding: Any, spans: tuple[int, ...], strides: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Return how many zeros go before and after each axis. Raises ValueError."""
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"{op}: padding must be 'same', 'valid' or integers, got {padding!r}")
        if padding == "valid":
            return ((0, 0),) * len(spans)
        if any(s != 1 for s in strides):
            raise ValueError(f"{op}: padding='same' needs stride 1 to keep the size, got stride {strides}")
        return tuple(((span - 1) // 2, span // 2) for span in spans)
    return tuple((p, p) for p in each(padding, len(spans), op, "padding", 0))


def columns(windows: Any, count: int) -> Any:
    """Reorder windows (N, C, counts, window) to (elements of a window, N, C, counts), fast to reduce along axis 0."""
    shape = windows.shape
    axes = (*range(2 + count, 2 + 2 * count), *range(2 + count))
    return tg.reshape(tg.transpose(windows, axes), (int(np.prod(shape[2 + count :])), *shape[: 2 + count]))


def constant(values: Any, like: Any) -> Any:
    """Convert a NumPy array to the array class of ``like``."""
    data = like.data if isinstance(like, tg.Tensor) else like
    return values if type(data) is np.ndarray or hasattr(data, "__traced_call__") else np.asarray(values, like=data)


def wide(x: Any) -> Any:
    """Convert float16 to float32, in which sums are taken."""
    return tg.astype(x, np.float32) if x.dtype == np.float16 else x


def narrow(result: tg.Tensor, *operands: Any) -> tg.Tensor:
    """Convert a result computed with :func:`wide` operands back to float16, if all operands were float16."""
    half = all(o is None or o.dtype == np.float16 for o in operands)
    return tg.astype(result, np.float16) if half else result
