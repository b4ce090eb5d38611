"""DOT text from a picture."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from .picture import Card, Cluster, Edge, Gradient, Line, Picture
from .style import (
    CHANGED,
    CHIP,
    CLUSTER_FILL,
    FADED,
    FAILED,
    FREE,
    HATCHED,
    INK,
    NONE,
    NOTE,
    PAPER,
    PILLS,
    clean,
    heat,
    heat_ink,
    share_colour,
    short,
    text_width,
)

__all__ = ["dot_text"]

# Layout programs know the widths of these fonts; the page gets lists of similar ones.
SANS, MONO = "Helvetica", "Courier"
_SIZE, _SMALL = 12, 10
MANY_CARDS = 300
_IN_A_ROW = 2  # parameters of a closed module in one row

Cell = tuple[str, str, str, bool, bool, int]  # text, background, ink, bold, mono, size


def dot_text(picture: Picture, prefix: str, direction: str, color: str = "grad") -> str:
    """The DOT text of a picture; every id in the SVG made of it starts with ``prefix``."""
    # An optimal layout of several hundred cards takes minutes if many edges meet; a nearly optimal one, seconds.
    hurry = " nslimit=0.3 nslimit1=0.3 mclimit=0.1 splines=polyline" if len(picture.cards) > MANY_CARDS else ""
    key = _legend(picture, color)
    legend = f" label=<{key}> labelloc=b labeljust=l" if key else ""
    lines = [
        "digraph tensorgrad {",
        f'graph [id="{prefix}graph" rankdir={direction} bgcolor=transparent nodesep=0.28 ranksep=0.3 '
        f'pad=0.1 fontname={SANS} fontsize={_SIZE} fontcolor="{INK}" tooltip=" "{legend}{hurry}]',
        f"node [shape=plain fontname={SANS} fontsize={_SIZE}]",
        f'edge [color="{FREE}" fontcolor="{INK}" fontname={SANS} fontsize={_SMALL} arrowsize=0.7]',
        *_clustered(picture.clusters, prefix),
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
        if cluster is not page:
            words = [part for part in (short(cluster.path, 80), cluster.title) if part.strip()] or [" "]
            tip = _quoted(f"{cluster.path} {cluster.title}".strip())
            yield (
                f'subgraph "cluster_{cluster.id}" {{ graph [id="{prefix}{cluster.id}" label=<{_chip(*words)}> '
                f'labelloc=t labeljust=l tooltip={tip} style="rounded,filled" color="{FREE}" '
                f'fillcolor="{CLUSTER_FILL}" margin=10]'
            )
            stack.append("}")
        for card in cluster.cards:
            yield _node(card, prefix)
        stack += reversed(cluster.inside)


def _chip(*words: str) -> str:
    """Free text on an opaque background, because the page may have any colour; the first of several words is bold."""
    cells = ""
    for place, text in enumerate(words):
        bold = place == 0 and len(words) > 1
        width = text_width(text, _SMALL, bold=bold) + 4
        body = f"<B>{_html(text)}</B>" if bold else _html(text)
        cells += f'<TD BGCOLOR="{CHIP}" WIDTH="{width}"><FONT COLOR="{INK}" POINT-SIZE="{_SMALL}">{body}</FONT></TD>'
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1"><TR>{cells}</TR></TABLE>'


def _node(card: Card, prefix: str) -> str:
    tip = _quoted("\n".join(card.tip))
    return f'"{card.id}" [id="{prefix}{card.id}" tooltip={tip} label=<{_label(card)}>]'


def _edge(edge: Edge, id: str) -> str:
    style = "" if edge.style == "solid" else f" style={edge.style}"
    label = f" label=<{_chip(edge.label)}>" if edge.label else ""
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


# --- cards ----------------------------------------------------------------------------------------------


def _label(card: Card) -> str:
    """A card as a table: what it is, its shape or value and gradient; a line for each leaf it holds."""
    if card.kind == "note":
        rows = [[(card.title, NOTE, INK, False, False, _SMALL)]]
        if card.gradient:
            rows.append([_measured(card.gradient)])
        return _table(rows)
    rows = [_head(card)]
    in_its_row = card.kind in ("module", "function", "fold", "part") or (card.shape != () and card.kind != "parameter")
    if card.gradient:
        if in_its_row and not card.value:
            rows[0].append(_measured(card.gradient))
        else:
            rows.append([_measured(card.gradient)])
    if card.summary:
        rows.append([(card.summary, PAPER, INK, False, False, _SMALL), *map(_measured, card.range)])
    rows += _listed(card)
    if card.born:
        rows.append([(card.born, heat(0.0, 1), heat_ink(1), True, False, _SMALL)])
    return _table(rows, border=FAILED if card.kind in ("detached", "failed") else FREE)


def _head(card: Card) -> list[Cell]:
    background, ink = PILLS[card.kind]
    title = card.title
    if card.faded:
        background, ink = FADED
    if card.change:
        background, sign = CHANGED[card.change]
        title, ink = sign + title, "#ffffff"
    if card.kind in ("module", "function", "fold", "part") and not card.title.endswith("equal operations"):
        title += " ►"
    row: list[Cell] = [(title, background, ink, True, False, _SIZE)]
    if card.root and card.count and card.shape == ():
        name = card.name if card.kind == "op" else ""
        row.append((name or card.called, *PILLS["result"], True, False, _SIZE))
        if card.kind in ("module", "fold") and card.name:
            row.insert(1, (card.name, PAPER, INK, False, False, _SIZE))
    elif card.name:
        row.append((card.name, PAPER, INK, card.kind == "op", False, _SIZE))
    if card.times > 1:
        row.append((f"×{card.times}", PILLS["constant"][0], INK, True, False, _SIZE))
    if card.operands:
        row.append((card.operands, PAPER, INK, False, True, _SIZE))
    if card.text:
        row.append((card.text, PAPER, INK, False, True, _SIZE))
    return row


def _measured(gradient: Gradient) -> Cell:
    return (gradient.brief, gradient.colour, gradient.ink or INK, False, False, _SMALL)


def _listed(card: Card) -> Iterator[list[Cell]]:
    """The rows of the leaves in a card; a closed module's parameters stand two in a row, without their shapes."""
    closed = card.kind != "op"
    cells: list[list[Cell]] = []
    for line in card.lines:
        cells.append(_line(line, closed))
    for first in range(0, len(cells), _IN_A_ROW if closed else 1):
        yield [cell for row in cells[first : first + (_IN_A_ROW if closed else 1)] for cell in row]


def _line(line: Line, closed: bool) -> list[Cell]:
    row: list[Cell] = [(line.operand or line.name, *PILLS[line.kind], True, False, _SMALL)]
    if line.shared:
        row.append(("shared", PAPER, INK, False, False, _SMALL))
    elif line.text and not (closed and line.gradient):
        row.append((line.text, PAPER, INK, False, True, _SMALL))
    if line.gradient:
        row.append(_measured(line.gradient))
    return row


def _table(rows: list[list[Cell]], border: str = FREE) -> str:
    """Rows of cells. Where a row has fewer than others, its last cell is wider."""
    columns = max(map(len, rows))
    thick = ' BORDER="2" CELLBORDER="1"' if border == FAILED else ' BORDER="0" CELLBORDER="1"'
    body = ""
    for row in rows:
        cells = [_cell(cell) for cell in row[:-1]]
        cells.append(_cell(row[-1], columns - len(row) + 1))
        body += f"<TR>{''.join(cells)}</TR>"
    return f'<TABLE{thick} CELLSPACING="0" CELLPADDING="3" COLOR="{border}">{body}</TABLE>'


def _cell(cell: Cell, span: int = 1) -> str:
    text, background, ink, bold, mono, size = cell
    lines = _wrapped(text)
    body = '<BR ALIGN="LEFT"/>'.join(map(_html, lines))
    if bold:
        body = f"<B>{body}</B>"
    face = f' FACE="{MONO}"' if mono else ""
    width = max(text_width(line, size, bold=bold, mono=mono) for line in lines) + 8
    columns = f' COLSPAN="{span}"' if span > 1 else ""
    font = f'<FONT COLOR="{ink}" POINT-SIZE="{size}"{face}>{body}</FONT>'
    return f'<TD BGCOLOR="{background}" WIDTH="{width}"{columns}>{font}</TD>'


def _wrapped(text: str, most: int = 72) -> list[str]:
    """The words of a note, wrapped into lines; names and numbers fit into one."""
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) > most:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines if len(lines) == 1 else [*lines, ""]


# --- the legend -----------------------------------------------------------------------------------------


def _legend(picture: Picture, color: str) -> str:
    """What the colours and lines mean, as far as they occur; empty if nothing needs explaining."""
    found = [g for card in picture.cards for g in (card.gradient, *card.range, *(line.gradient for line in card.lines))]
    shown = [gradient for gradient in found if gradient is not None]
    cells: list[Cell] = []
    if color == "grad" and any(g.rms and "rms" in g.text for g in shown):
        cells.append(("grad: rms", CHIP, INK, False, False, _SMALL))
        cells += [
            (text, heat(rms), INK, False, False, _SMALL)
            for text, rms in (("▼ ≤ 1e-6", 1e-9), ("1e-3", 1e-3), ("▲ ≥ 1", 1.0))
        ]
    if color in ("time", "memory"):
        what = "time of the derivative rules" if color == "time" else "memory kept for backward"
        cells.append((f"{what}: none", share_colour(0.0), INK, False, False, _SMALL))
        cells.append(("all of it", share_colour(1.0), INK, False, False, _SMALL))
    if any(g.colour == HATCHED for g in shown):
        cells.append(("exactly 0", HATCHED, INK, False, False, _SMALL))
    if any(g.colour == NONE for g in shown):
        cells.append(("no gradient", NONE, INK, False, False, _SMALL))
    if any(g.rms is not None and g.rms != g.rms for g in shown):
        cells.append(("‼ not finite", heat(0.0, 1), heat_ink(1), False, False, _SMALL))
    kinds = {line.kind for card in picture.cards for line in card.lines} | {card.kind for card in picture.cards}
    if cells or color != "grad":
        cells += [(kind, *PILLS[kind], False, False, _SMALL) for kind in ("parameter", "input") if kind in kinds]
    changes = {card.change for card in picture.cards}
    for change, words in (("removed", "only in the first"), ("added", "only in the second")):
        if change in changes:
            colour, sign = CHANGED[change]
            cells.append((sign + words, colour, "#ffffff", False, False, _SMALL))
    rows = [cells[i : i + 6] for i in range(0, len(cells), 6)]
    rows += [[(note, NOTE, INK, False, False, _SMALL)] for note in picture.notes if "operations are folded" in note]
    return _table(rows) if rows else ""


def _html(text: str) -> str:
    """Text for an HTML-like DOT label, in which layout programs still interpret backslashes."""
    return escape(clean(text)).replace("\\", "\\\\")


def _quoted(text: str) -> str:
    """A DOT string, in which layout programs interpret backslashes and XML entities."""
    text = clean(text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'
