"""How a drawing looks: colours that are readable on white and on black pages, and the format of numbers.

Cards are opaque and have their own text colour, and everything outside them (edges, labels, module frames) is a
medium grey, so one picture works for both. Recolouring text for dark pages would not work: the theme of a page is not
that of the operating system, and light text on a pale heat colour is unreadable.
"""

from __future__ import annotations

import math
import unicodedata
from typing import Any

from ..words import escaped

__all__ = [
    "CLUSTER_FILL",
    "FREE",
    "INK",
    "NONE",
    "NOTE",
    "PAPER",
    "PILLS",
    "clean",
    "heat",
    "number",
    "shape_text",
    "short",
    "wide",
]

INK = "#16191d"
PAPER = "#ffffff"
FREE = "#717d8c"  # edges, frames and text outside cards: contrast 4.2:1 on white, 4.4:1 on #111418
CLUSTER_FILL = "#8899aa14"
NONE = "#d5dae0"  # the gradient cell where there is no gradient
NOTE = "#fff3c4"

PILLS = {  # the background and text colours of a card's coloured cell
    "op": ("#3b4d6b", "#ffffff"),
    "parameter": ("#f2a24a", INK),
    "input": ("#5cb874", INK),
    "constant": ("#b4bdc7", INK),
    "result": ("#c2306b", "#ffffff"),
}

_COLD, _HOT, _BROKEN = (0x7A, 0xB8, 0xF5), (0xFF, 0x86, 0x68), "#ff7ae6"


def heat(rms: float, nonfinite: int = 0) -> str:
    """The colour of a gradient: blue up to 1e-6, white at 1e-3, red from 1 on; magenta if it is not finite.

    >>> heat(1e-9), heat(1e-3), heat(20.0), heat(0.1, nonfinite=1)
    ('#7ab8f5', '#ffffff', '#ff8668', '#ff7ae6')
    """
    if nonfinite or not math.isfinite(rms):
        return _BROKEN
    level = -1.0 if rms <= 1e-6 else min(1.0, (math.log10(rms) + 3) / 3)
    end = _HOT if level > 0 else _COLD
    return "#" + "".join(f"{round(255 + abs(level) * (part - 255)):02x}" for part in end)


def number(value: Any, digits: int = 5) -> str:
    """A Python or NumPy number in a few characters.

    >>> number(2.302585), number(138.8338, 4), number(3), number(float("nan")), number(2 + 1j)
    ('2.3026', '138.8', '3', 'NaN', '2+1j')
    """
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int) and abs(value) < 10**9:
        return str(value)
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"an integer of {value.bit_length()} bits"
    text = f"{value:.{digits}g}"
    return text.replace("nan", "NaN")


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape in the format of drawings.

    >>> shape_text((64, 784)), shape_text((3,)), shape_text(())
    ('64×784', '3', '()')
    """
    return "×".join(map(str, shape)) if shape else "()"


def clean(text: str) -> str:
    r"""Text that is valid in XML and DOT: control characters and lone surrogates become escapes.

    >>> print(clean("a\x00b\tc"))
    a\x00b c
    """
    return text if text.isprintable() else escaped(text.replace("\t", " ").replace("\r", "\n"), lines=True)


def short(text: str, limit: int = 36) -> str:
    r"""Cleaned text on one line, truncated if it is too long for a card.

    >>> short("first\nsecond"), short("abcdefgh", 4)
    ('first second', 'abc…')
    """
    line = " ".join(clean(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def wide(text: str, size: float) -> int | None:
    """The minimum width, in points, of a cell with text that layout programs measure too narrow; None for other text.

    They only know the widths of Latin letters, and count each byte of anything else as a space.
    """
    if all(ord(c) < 0x250 for c in text):
        return None
    ems = sum(1.1 if unicodedata.east_asian_width(c) in "WF" else 0.68 for c in text)
    return math.ceil(ems * size) + 10
