"""What a card says about one node: its source line, its values, its gradient."""

from __future__ import annotations

import linecache
import math
import os
from typing import Any

import numpy as np

from ..engine.frames import place, source_line
from ..engine.graph import ArraySummary
from ..engine.mode import silenced
from ..engine.record import Handle
from .picture import Gradient
from .style import HATCHED, heat, heat_ink, mark, number

__all__ = ["data_of", "shown", "size_text", "statistics", "where"]


# --- source lines ---------------------------------------------------------------------------------------


def where(code: Any, lasti: int) -> tuple[str, str]:
    """A short form of the place where an operation was called, and the text of that line.

    It does not depend on where the program is: a path below the working directory, or the name of the file, or the
    cell of a notebook, whose file is temporary.
    """
    line = source_line(code, lasti)
    if line is None:
        return "", ""
    file, at = line
    text = linecache.getline(file, at).strip()
    short = place(code, lasti)
    here = os.path.join(os.getcwd(), "")
    if short.startswith(file):
        short = f"{file[len(here) :] if file.startswith(here) else os.path.basename(file)}:{at}"
    return short, text


# --- values and gradients -------------------------------------------------------------------------------


def data_of(value: Any) -> Any:
    """The array of a Tensor, with all elements of a batch of arrays; anything else unchanged."""
    array = value.data if isinstance(value, Handle) else value
    return getattr(array, "whole", array)


def shown(gradient: Any, *, scale: bool = True) -> Gradient:
    """How to show a gradient: a scalar by its value, an array by its root mean square.

    ``scale`` colours it by its size, which says nothing in a graph of scalars only.
    """
    if not isinstance(gradient, ArraySummary) and not gradient.shape:
        value = gradient.item()
        size = abs(value)
        broken = not math.isfinite(size)
        sign = "‼ " if broken else mark(size) if scale else ""
        return _coloured(f"{sign}grad {number(value, 4)}", size, int(broken), scale)
    about = gradient if isinstance(gradient, ArraySummary) else ArraySummary.of(gradient)
    rms = about.rms
    if about.nonfinite:
        counts = (("NaN", about.nan), ("inf", about.inf))
        text = "‼ " + ", ".join(f"{kind} {count}/{about.size}" for kind, count in counts if count)
        return Gradient(text, heat(rms, 1), math.nan, f"rms of the rest {rms:.1e}", heat_ink(1))
    return _coloured(f"{mark(rms)}grad rms {rms:.1e}" if rms else "grad 0", rms, 0, scale)


def _coloured(text: str, size: float, nonfinite: int, scale: bool) -> Gradient:
    if size == 0:
        return Gradient(text, HATCHED, 0.0, "exactly zero")
    return Gradient(text, heat(size if scale else 1e-3, nonfinite), size, "", heat_ink(nonfinite))


def statistics(array: Any) -> str:
    """One line about the values of an array."""
    if not array.size or array.dtype.kind not in "f":
        return ""
    array = np.asarray(array, dtype=np.float64)
    finite = array[np.isfinite(array)]
    line = ""
    if finite.size:
        with silenced():
            mean, std = float(finite.mean()), float(finite.std())
        low, high = float(finite.min()), float(finite.max())
        line = f"values: mean {mean:.3g}, std {std:.3g}, min {low:.3g}, max {high:.3g}"
        zeros = int((finite == 0).sum())
        line += f", {zeros / array.size:.0%} zeros" if zeros else ""
    missing = array.size - finite.size
    return f"{line or 'values:'}{', ' if line else ' '}{missing} not finite" if missing else line


def size_text(count: int) -> str:
    """A number of bytes in a suitable unit.

    >>> size_text(96), size_text(200_960 * 4)
    ('96 bytes', '785.0 KiB')
    """
    size = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
