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
    "CHANGED",
    "CHIP",
    "CLUSTER_FILL",
    "FADED",
    "FAILED",
    "FREE",
    "HATCHED",
    "INK",
    "NONE",
    "NOTE",
    "PAPER",
    "PILLS",
    "clean",
    "heat",
    "heat_ink",
    "mark",
    "number",
    "shape_text",
    "share_colour",
    "short",
    "text_width",
]

INK = "#16191d"
PAPER = "#ffffff"
FREE = "#717d8c"  # edges, frames and text outside cards: contrast 4.2:1 on white, 4.4:1 on #111418
CLUSTER_FILL = "#8899aa14"
CHIP = "#eef1f4"  # behind labels of edges and titles of modules: opaque, so that they are readable on any page
NONE = "#d5dae0"  # the gradient cell where no gradient arrived; hatched in the SVG
HATCHED = "#fefefe"  # the gradient cell of an exact zero; hatched in the SVG
NOTE = "#fff3c4"
FAILED = "#b3261e"
FADED = ("#c9cfd6", INK)  # the coloured cell of what is not differentiated
CHANGED = {"added": ("#1d7a46", "+ "), "removed": ("#a8324a", "− ")}

PILLS = {  # the background and text colours of a card's coloured cell
    "op": ("#3b4d6b", "#ffffff"),
    "module": ("#31425c", "#ffffff"),
    "function": ("#3b4d6b", "#ffffff"),
    "fold": ("#31425c", "#ffffff"),
    "part": ("#3b4d6b", "#ffffff"),
    "parameter": ("#f0cf57", INK),
    "input": ("#5cb874", INK),
    "constant": ("#b4bdc7", INK),
    "detached": ("#ffffff", "#a3211a"),
    "failed": (FAILED, "#ffffff"),
    "result": ("#c2306b", "#ffffff"),
}

_COLD, _HOT, _BROKEN = (0x7A, 0xB8, 0xF5), (0xFF, 0x86, 0x68), "#5b0f4d"


def heat(rms: float, nonfinite: int = 0) -> str:
    """The colour of a gradient: blue up to 1e-6, white at 1e-3, red from 1 on; dark if it is not finite.

    >>> heat(1e-9), heat(1e-3), heat(20.0), heat(0.1, nonfinite=1)
    ('#7ab8f5', '#ffffff', '#ff8668', '#5b0f4d')
    """
    if nonfinite or not math.isfinite(rms):
        return _BROKEN
    level = -1.0 if rms <= 1e-6 else min(1.0, (math.log10(rms) + 3) / 3)
    return _mixed(_HOT if level > 0 else _COLD, abs(level))


def heat_ink(nonfinite: int) -> str:
    """The colour of text on :func:`heat`."""
    return "#ffffff" if nonfinite else INK


def mark(rms: float) -> str:
    """A sign for what :func:`heat` says by colour: a vanishing or an exploding gradient.

    >>> mark(1e-9), mark(1e-3), mark(20.0)
    ('▼ ', '', '▲ ')
    """
    return "▲ " if rms >= 1 else "▼ " if rms <= 1e-6 else ""


def share_colour(share: float) -> str:
    """The colour of a share of the whole time or memory: white at 0, orange at 1; small shares are told apart.

    >>> share_colour(0.0), share_colour(1.0)
    ('#ffffff', '#ffb054')
    """
    return _mixed((0xFF, 0xB0, 0x54), math.sqrt(min(1.0, max(0.0, share))))


def _mixed(end: tuple[int, int, int], level: float) -> str:
    return "#" + "".join(f"{round(255 + level * (part - 255)):02x}" for part in end)


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


_NARROW = frozenset(" !'(),-./:;I[\\]fijlrt|·")
_BROAD = frozenset("#%&+<=>@MWmw~…×→−▲▼‼≤≥")


def text_width(text: str, size: float, *, bold: bool = False, mono: bool = False) -> int:
    """The width of a text in points, in the widest of the fonts that a page may use for it (DejaVu).

    Layout programs know the widths of Latin letters in Helvetica, a sixth narrower, and count each byte of anything
    else as a space.

    >>> text_width("matmul", 12), text_width("matmul", 12, bold=True), text_width("世界", 12)
    (49, 56, 27)
    """
    ems = 0.0
    for c in text:
        if unicodedata.east_asian_width(c) in "WF":
            ems += 1.1
        elif mono:
            ems += 0.61
        elif c in _NARROW:
            ems += 0.4
        elif c in _BROAD:
            ems += 1.0
        else:
            ems += 0.86 if ord(c) >= 0x250 else 0.68 if c.isupper() else 0.64
    return math.ceil(ems * size * (1.13 if bold and not mono else 1.0))
