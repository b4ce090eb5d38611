"""What a card says about one node: its source line, its values, its gradient."""

from __future__ import annotations

import linecache
import math
import os
import sys
from typing import Any, NamedTuple

import numpy as np

from ..engine.frames import source_line
from ..engine.graph import ArraySummary, Freed, Node, getter
from ..engine.record import Handle
from .style import heat, number

__all__ = ["Gradient", "array_given", "data_of", "shown", "size_text", "statistics", "where"]


class Gradient(NamedTuple):
    """A gradient as a card shows it: as text, and as a colour."""

    text: str
    colour: str
    rms: float | None = None  # None: there is no gradient
    details: str = ""  # for the tooltip, because the card has no room for them


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
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    cell = getattr(getattr(shell, "compile", None), "_filename_map", {}).get(file)
    if cell is not None:
        return f"cell {cell} line {at}", text
    if "ipykernel_" in file:
        return f"notebook cell, line {at}", text
    here = os.path.join(os.getcwd(), "")
    return f"{file[len(here) :] if file.startswith(here) else os.path.basename(file)}:{at}", text


# --- values and gradients -------------------------------------------------------------------------------


def data_of(value: Any) -> Any:
    """The array of a Tensor, with all elements of a batch of arrays; anything else unchanged."""
    array = value.data if isinstance(value, Handle) else value
    return getattr(array, "whole", array)


def shown(gradient: Any) -> Gradient:
    """How to show a gradient: a scalar by its value, an array by its root mean square."""
    if not isinstance(gradient, ArraySummary) and not gradient.shape:
        value = gradient.item()
        size = abs(value)
        return Gradient(f"grad {number(value, 4)}", heat(size, not math.isfinite(size)), size)
    about = gradient if isinstance(gradient, ArraySummary) else ArraySummary.of(gradient)
    rms = about.rms
    if about.nonfinite:
        counts = (("NaN", about.nan), ("inf", about.inf))
        text = ", ".join(f"{kind} {count}/{about.size}" for kind, count in counts if count)
        return Gradient(text, heat(rms, about.nonfinite), math.nan, f"{text}, rms of the rest {rms:.1e}")
    return Gradient(f"grad rms {rms:.1e}" if rms else "grad 0", heat(rms), rms)


def statistics(array: Any) -> str:
    """One line about the values of an array."""
    if not array.size or array.dtype.kind not in "f":
        return ""
    array = np.asarray(array, dtype=np.float64)
    finite = array[np.isfinite(array)]
    line = ""
    if finite.size:
        with np.errstate(all="ignore"):
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


def array_given(node: Node, position: int) -> Any:
    """The plain array that was an operation's input, if the operation saved it, else None."""
    if isinstance(node.saved, Freed):
        return None
    for rule, args in zip(node.rules, node.saved, strict=True):
        if rule is None:
            continue
        pick = getter(rule)
        for place, arg in zip(pick((*range(len(node.inputs)), -1)), args, strict=True):
            if place == position and hasattr(arg, "shape"):
                return data_of(arg)
    return None
