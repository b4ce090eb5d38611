"""Pages of HTML: shown in a notebook, or saved as a file that works on its own."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Any

__all__ = ["Page", "write_file"]


def write_file(path: Path, content: bytes) -> Path:
    """Write a file so that an existing one is replaced only once the new one is complete."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


class Page:
    """An HTML page with its own script and style, which uses no network.

    Attributes:
        html: the whole document.
        height: how many pixels a notebook gives it.
    """

    def __init__(self, title: str, head: str, body: str, alternative: str, height: int = 640) -> None:
        self.html = (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n{head}'
            f"</head><body>\n{body}</body></html>\n"
        )
        self.height = height
        self._title = title
        self._alternative = alternative

    def __repr__(self) -> str:
        return f"<Page {self._title!r} of {len(self.html):,} characters; print() shows it as text, .save() writes it>"

    def __str__(self) -> str:
        """The page's content as text: what a notebook shows that cannot show the page."""
        return self._alternative

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **_: Any) -> dict[str, str]:
        """In a frame of its own, so that neither its names nor its style meet those of the notebook."""
        frame = (
            f'<iframe title="{escape(self._title)}" srcdoc="{escape(self.html)}" '
            f'style="width:100%;height:{self.height}px;border:1px solid #8899aa;border-radius:6px"></iframe>'
        )
        return {"text/html": frame, "text/plain": self._alternative}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to an ``.html`` file. Raises ValueError for any other suffix."""
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"a page is saved as .html, got {path.name!r}")
        return write_file(path, self.html.encode())
