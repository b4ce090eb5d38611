"""Checks of arguments. A message begins with the operation, or with the argument if the operation is ""."""

from __future__ import annotations

import os
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

__all__ = ["AnyPath", "count", "file_name", "floating", "integer", "number", "probability"]

AnyPath = str | bytes | os.PathLike[Any]


def _by(op: str) -> str:
    return f"{op}: " if op else ""


def count(op: str, name: str, value: Any, least: int = 1) -> int:
    """Return the value as an int. Raises ValueError unless it is an integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{_by(op)}{name} must be an integer of at least {least}, got {value!r}")
    return int(value)


def file_name(op: str, path: AnyPath) -> str:
    """Return a path as text. Raises ValueError for one with a NUL character, which no file has."""
    name = os.fsdecode(path)
    if "\0" in name:
        raise ValueError(f"{_by(op)}path must not contain a NUL character, got {name!r}")
    return name


def integer(op: str, name: str, value: int) -> int:
    """Return the value as an int, negative or not. Raises ValueError unless it is an integer."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{_by(op)}{name} must be an integer, got {value!r}")
    return int(value)


def number(op: str, name: str, value: float, least: float | None = None) -> float:
    """Return the value as a float. Raises ValueError unless it is a finite number of at least ``least``."""
    real = type(value) is float or (isinstance(value, Real) and not isinstance(value, bool))  # fast for a float
    if not (real and isfinite(value)) or (least is not None and value < least):
        at_least = "" if least is None else f" of at least {least:g}"
        raise ValueError(f"{_by(op)}{name} must be a finite number{at_least}, got {value!r}")
    return float(value)


def probability(op: str, name: str, value: float) -> float:
    """Return the probability of dropping as a float. Raises ValueError unless it is in [0, 1)."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value < 1:
        raise ValueError(f"{_by(op)}{name}, the probability of dropping, must be in [0, 1), got {value!r}")
    return float(value)


def floating(op: str, dtype: DTypeLike) -> np.dtype[Any]:
    """Return the dtype. Raises DTypeError unless it is floating point."""
    wanted = np.dtype(dtype)
    if wanted.kind != "f":
        raise tg.DTypeError(f"{op}: dtype must be floating point, got {wanted}; write np.float32 or np.float64")
    return wanted
