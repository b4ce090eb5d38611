"""DOT text from a picture, and the post-processing that makes the SVG usable in any page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape

from .model import Card, Cluster, Edge, Picture
from .style import CLUSTER_FILL, FREE, INK, NOTE, PAPER, PILLS, clean, short, wide

__all__ = ["dot_text", "finished"]

# Layout programs know the widths of these fonts; the page gets lists of similar ones.
_SANS, _MONO = "Helvetica", "Courier"
_SANS_FONTS = "Helvetica,Arial,Liberation Sans,Arimo,sans-serif"
_MONO_FONTS = "Menlo,Consolas,Liberation Mono,monospace"
_SIZE, _SMALL = 12, 10


# --- DOT ------------------------------------------------------------------------------------------------


MANY_CARDS = 300


def dot_text(picture: Picture, prefix: str, direction: str) -> str:
    """The DOT text of a picture; every id in the SVG made of it starts with ``prefix``."""
    # An optimal layout of several hundred cards takes minutes if many edges meet; a nearly optimal one, seconds.
    hurry = " nslimit=0.3 nslimit1=0.3 mclimit=0.1 splines=polyline" if len(picture.cards) > MANY_CARDS else ""
    lines = [
        "digraph tensorgrad {",
        f'graph [id="{prefix}graph" rankdir={direction} bgcolor=transparent nodesep=0.28 ranksep=0.38 '
        f'pad=0.1 labeljust=l fontname={_SANS} fontsize={_SIZE} fontcolor="{FREE}" tooltip=" "{hurry}]',
        f"node [shape=plain fontname={_SANS} fontsize={_SIZE}]",
        f'edge [color="{FREE}" fontcolor="{FREE}" fontname={_SANS} fontsize={_SMALL} arrowsize=0.7]',
        *_clustered(picture.clusters, prefix),
        *(_node(card, prefix) for card in picture.cards if card.kind == "note"),
    ]
    for number, edge in enumerate(picture.edges):
        lines.append(_edge(edge, f"{prefix}e{number}"))
    lines += _spacers(picture)
    return "\n".join([*lines, "}", ""])


def _clustered(page: Cluster, prefix: str) -> Iterator[str]:
    """The cards, each in the subgraph of its module."""
    stack: list[Cluster | str] = [page]
    while stack:
        cluster = stack.pop()
        if isinstance(cluster, str):
            yield cluster
            continue
        if cluster.path:
            path, title = _html(short(cluster.path, 80)), _html(cluster.title)
            label = f"<B>{path}</B>" + (f"&#160;&#160;{title}" if title else "")
            tip = _quoted(f"{cluster.path} {cluster.title}".strip())
            yield (
                f'subgraph "cluster_{cluster.id}" {{ graph [id="{prefix}{cluster.id}" label=<{label}> '
                f'tooltip={tip} style="rounded,filled" color="{FREE}" fillcolor="{CLUSTER_FILL}" margin=10]'
            )
            stack.append("}")
        for card in cluster.cards:
            yield _node(card, prefix)
        stack += reversed(cluster.inside)


def _node(card: Card, prefix: str) -> str:
    tip = _quoted("\n".join(card.tip))
    return f'"{card.id}" [id="{prefix}{card.id}" tooltip={tip} label=<{_label(card)}>]'


def _edge(edge: Edge, id: str) -> str:
    style = "" if edge.style == "solid" else f" style={edge.style}"
    label = f" label={_quoted(' ' + edge.label)}" if edge.label else ""
    return f'"{edge.tail}" -> "{edge.head}" [id="{id}" tooltip={_quoted(edge.tip)}{style}{label}]'


def _spacers(picture: Picture) -> Iterator[str]:
    """Invisible edges that put a module's leaves below the result it starts from.

    Without them, the parameters of a block share a rank with the result of the previous block, so the two modules
    have to be placed side by side, and the drawing becomes a staircase, six times as wide.
    """
    cards = {card.id: card for card in picture.cards}
    order = {card.id: number for number, card in enumerate(picture.cards)}
    inputs: dict[str, list[str]] = {}
    placed: set[str] = set()
    for edge in picture.edges:
        inputs.setdefault(edge.head, []).append(edge.tail)
    for head, tails in inputs.items():  # in order of creation: the first user of a leaf places it
        path = cards[head].path
        new = [tail for tail in tails if tail not in inputs and tail not in placed]
        placed.update(new)
        leaves = [tail for tail in new if cards[tail].path == path]
        before = [tail for tail in tails if cards[tail].path != path and cards[tail].kind != "note"]
        if not (path and before and leaves):
            continue
        latest = max(before, key=order.__getitem__)
        for leaf in leaves:
            yield f'"{latest}" -> "{leaf}" [style=invis weight=1]'


def _label(card: Card) -> str:
    """A card as a table: what it is, its shape or value, and the gradient below."""
    if card.kind == "note":
        return _table(f"<TR>{_cell(card.title, NOTE, INK, _SMALL)}</TR>")
    if card.kind == "scalar":
        background, ink = PILLS["constant"]
        return _table(f"<TR>{_cell(card.title, background, ink, _SMALL, mono=True)}</TR>", padding=3)
    result = card.root and card.kind == "op" and card.shape == ()
    row = _cell(card.title, *PILLS[card.kind], bold=True)
    if result:
        row += _cell(card.name or "result", *PILLS["result"], bold=True)
    elif card.name:
        row += _cell(card.name, PAPER, INK, bold=True)
    columns = 2 + bool(result or card.name)
    if card.text:
        # The value of a scalar must be easy to read: it has no background colour; only a gradient line below it has.
        colour = card.gradient.colour if card.gradient and card.kind == "op" and not card.value else PAPER
        row += _cell(card.text, colour, INK, mono=True)
    else:
        columns -= 1
    rows = f"<TR>{row}</TR>"
    if card.gradient:
        rows += f"<TR>{_cell(card.gradient.text, card.gradient.colour, INK, _SMALL, span=columns)}</TR>"
    return _table(rows)


def _table(rows: str, padding: int = 4) -> str:
    look = f'BORDER="0" CELLBORDER="1" CELLSPACING="0" CELLPADDING="{padding}" COLOR="{FREE}"'
    return f"<TABLE {look}>{rows}</TABLE>"


def _cell(
    text: str,
    background: str,
    ink: str,
    size: int = _SIZE,
    *,
    bold: bool = False,
    mono: bool = False,
    span: int = 1,
) -> str:
    body = '<BR ALIGN="LEFT"/>'.join(map(_html, _wrapped(text)))
    if bold:
        body = f"<B>{body}</B>"
    face = f' FACE="{_MONO}"' if mono else ""
    least = max((w for line in _wrapped(text) if (w := wide(line, size))), default=None)
    width = "" if least is None else f' WIDTH="{least}"'
    columns = f' COLSPAN="{span}" ALIGN="LEFT"' if span > 1 else ""
    return (
        f'<TD BGCOLOR="{background}"{width}{columns}><FONT COLOR="{ink}" POINT-SIZE="{size}"{face}>{body}</FONT></TD>'
    )


def _wrapped(text: str, most: int = 72) -> list[str]:
    """The words of a note, wrapped into lines; names and numbers fit into one."""
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) > most:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines if len(lines) == 1 else [*lines, ""]


def _html(text: str) -> str:
    """Text for an HTML-like DOT label, in which layout programs still interpret backslashes."""
    return escape(clean(text)).replace("\\", "\\\\")


def _quoted(text: str) -> str:
    """A DOT string, in which layout programs interpret backslashes and XML entities."""
    text = clean(text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'


# --- SVG ------------------------------------------------------------------------------------------------

_ITEM = re.compile(r'<g id="([^"]*)" class="(\w+)"([^>]*)>\s*<title>[^<]*</title>')
_ANCHOR = re.compile(r'<g id="a_[^"]*"><a (?:[^">]|"[^"]*")*>\s*(.*?)\s*</a>\s*</g>', re.DOTALL)
_ID = re.compile(r' id="([^"]*)"')


def finished(svg: str, picture: Picture, prefix: str, label: str, description: Sequence[str]) -> str:
    """The SVG of a layout program, adapted for use in any page, next to other drawings.

    The prolog and comments are removed; every id starts with the prefix; tooltips move from link titles to
    ``<title>``, which every browser shows; and a description in words is added.
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

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = _ANCHOR.sub(r"\1", svg)
    svg = _ID.sub(own, svg)
    # Attributes that most texts share are set once, for the whole picture.
    svg = svg.replace(' xml:space="preserve"', "")
    svg = re.sub(f' font-family="{_SANS}[^"]*"', "", svg)
    svg = re.sub(f'font-family="{_MONO}[^"]*"', f'font-family="{_MONO_FONTS}"', svg)
    svg = _ITEM.sub(item, svg)  # last, so that the text of a tooltip is not taken for markup above
    shared = f'xml:space="preserve" font-family="{_SANS_FONTS}"'
    described = escape(clean("\n".join(description)), quote=False)
    words = f'role="img" aria-label="{escape(clean(label))}" style="max-width:100%;height:auto"'
    opening, rest = svg.split(">", 1)
    return f"{opening} {shared} {words}>\n<desc>{described}</desc>{rest}"
