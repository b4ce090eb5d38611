"""Tables as text and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import tensorgrad as tg

__all__ = ["html_table", "text_table"]


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> list[str]:
    """The lines of a table: the first ``left`` columns are aligned on the left, the others on the right.

    >>> text_table(["path", "size"], [["a", "1"], ["bc", "1,000"]], left=1)
    ['path   size', 'a         1', 'bc    1,000']
    """
    table = [list(head), *(list(map(tg.words.printable, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for cells in table:
        pairs = list(zip(cells, widths, strict=True))
        texts = [cell.ljust(width) for cell, width in pairs[:left]]
        lines.append("  ".join([*texts, *(cell.rjust(width) for cell, width in pairs[left:])]).rstrip())
    return lines


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str) -> str:
    """The table for a notebook."""
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"
