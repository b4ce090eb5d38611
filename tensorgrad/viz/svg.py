"""The post-processing that makes a layout program's SVG usable in any page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from .dot import MONO, SANS
from .picture import Picture
from .style import FREE, HATCHED, NONE, clean

__all__ = ["finished"]

_SANS_FONTS = "Helvetica,Arial,Liberation Sans,Arimo,DejaVu Sans Condensed,sans-serif"
_MONO_FONTS = "Courier New,Liberation Mono,Cousine,Courier,monospace"

_ITEM = re.compile(r'<g id="([^"]*)" class="(\w+)"([^>]*)>\s*<title>[^<]*</title>')
_ANCHOR = re.compile(r'<g id="a_[^"]*"><a (?:[^">]|"[^"]*")*>\s*(.*?)\s*</a>\s*</g>', re.DOTALL)
_ID = re.compile(r' id="([^"]*)"')
_CLUSTER = re.compile(r'(<g id="[^"]*" class="cluster">.*?<path[^>]*/>\n?)(.*?)(</g>\n)', re.DOTALL)
_HATCH = re.compile(f'<polygon fill="({HATCHED}|{NONE})"[^>]* points="([^"]*)"/>')


def finished(svg: str, picture: Picture, prefix: str, label: str, description: Sequence[str]) -> str:
    """The SVG of a layout program, adapted for use in any page, next to other drawings.

    The prolog and comments are removed; every id starts with the prefix; tooltips move from link titles to
    ``<title>``, which every browser shows; titles of modules move in front of edges; cells without a gradient are
    hatched; and a description in words is added.
    """
    tips = {f"{prefix}{card.id}": "\n".join(card.tip) for card in picture.cards}
    tips |= {f"{prefix}e{number}": edge.tip for number, edge in enumerate(picture.edges)}
    tips |= {f"{prefix}{c.id}": f"{c.path} {c.title}".strip() for c in picture.clusters.within()}

    def item(match: re.Match[str]) -> str:
        id, kind, rest = match.groups()
        id = id.replace("&#45;", "-")
        tip = tips.get(id)
        title = f"<title>{escape(clean(tip), quote=False)}</title>" if tip else ""
        return f'<g id="{id}" class="{kind}"{rest}>{title}'

    def own(match: re.Match[str]) -> str:
        id = match[1].replace("&#45;", "-")
        return match[0] if id.startswith(prefix) else f' id="{prefix}{id}"'

    titles: list[str] = []

    def lifted(match: re.Match[str]) -> str:
        titles.append(match[2])
        return match[1] + match[3]

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = _ANCHOR.sub(r"\1", svg)
    svg = _ID.sub(own, svg)
    # Attributes that most texts share are set once, for the whole picture.
    svg = svg.replace(' xml:space="preserve"', "")
    svg = re.sub(f' font-family="{SANS}[^"]*"', "", svg)
    svg = re.sub(f'font-family="{MONO}[^"]*"', f'font-family="{_MONO_FONTS}"', svg)
    svg = _centred(svg)
    svg = _CLUSTER.sub(lifted, svg)
    svg = _HATCH.sub(_hatched, svg)
    svg = _ITEM.sub(item, svg)  # last, so that the text of a tooltip is not taken for markup above
    if titles:
        at = svg.rindex("</g>")
        svg = f'{svg[:at]}<g class="titles">\n{"".join(titles)}</g>\n{svg[at:]}'
    shared = f'xml:space="preserve" font-family="{_SANS_FONTS}"'
    described = escape(clean("\n".join(description)), quote=False)
    words = f'role="img" aria-label="{escape(clean(label))}"'
    opening, rest = svg.split(">", 1)
    # In pixels, because some renderers do not know points.
    opening = re.sub(r'(width|height)="([\d.]+)pt"', lambda m: f'{m[1]}="{float(m[2]) * 4 / 3:g}"', opening)
    return f"{opening} {shared} {words}>\n<desc>{described}</desc>{rest}"


_PARTS = re.compile(
    r'<polygon fill="(?P<fill>[^"]*)"[^>]* points="(?P<points>[^"]*)"/>'
    r'|<text text-anchor="(?P<anchor>\w+)" x="(?P<x>[-\d.]+)"|</g>'
)


def _centred(svg: str) -> str:
    """Texts in the middle of their cells: layout programs place them by the widths of a font that the page may lack."""
    cell: tuple[float, float] | None = None

    def placed(match: re.Match[str]) -> str:
        nonlocal cell
        if match["points"] is not None:
            if match["fill"] != "none":
                xs = [float(point.partition(",")[0]) for point in match["points"].split()]
                cell = min(xs), max(xs)
        elif match["anchor"] is None:
            cell = None
        elif cell is not None and match["anchor"] == "start" and cell[0] <= float(match["x"]) <= cell[1]:
            if float(match["x"]) - cell[0] < _AT_THE_LEFT:
                return match[0]  # one of several lines, or as wide as the cell
            return f'<text text-anchor="middle" x="{(cell[0] + cell[1]) / 2:g}"'
        return match[0]

    return _PARTS.sub(placed, svg)


_AT_THE_LEFT = 3.5


def _hatched(match: re.Match[str]) -> str:
    """A cell with diagonal lines across it, cut at its edges, because not every renderer knows patterns."""
    points = [tuple(map(float, point.split(","))) for point in match[2].split()]
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top, bottom = min(y for _, y in points), max(y for _, y in points)
    height = bottom - top
    strokes = ""
    start = left - height + 4
    while start < right:
        x1, y1, x2, y2 = start, bottom, start + height, top
        if x1 < left:
            x1, y1 = left, bottom - (left - start)
        if x2 > right:
            x2, y2 = right, bottom - (right - start)
        strokes += f"M{x1:g},{y1:g}L{x2:g},{y2:g}"
        start += 7
    return f'{match[0]}<path fill="none" stroke="{FREE}" stroke-opacity="0.35" stroke-width="1" d="{strokes}"/>'
