"""Layout programs: which ones are available, and how to run them.

A program in its own process cannot take down a notebook's kernel. The one that pip installs comes first: with it,
everyone gets the same picture, while a system's ``dot`` may be years old.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["INSTALL", "LIMIT", "Rendered", "Renderer", "render", "renderers"]

Renderer = str | Callable[[str], str | bytes]  # the path of a program, or a function from DOT to SVG

INSTALL = "to see it as a picture: pip install graphviz-pure (or put Graphviz's `dot` on PATH)"
LIMIT = 20.0  # seconds


def renderers(chosen: Renderer | None = None) -> Iterator[Renderer]:
    """The layout programs to try: the chosen one (or TENSORGRAD_DOT), graphviz-pure, ``dot`` on PATH."""
    from shutil import which

    first = chosen or os.environ.get("TENSORGRAD_DOT")
    if first:
        yield first
    bundled = _bundled()
    if bundled is not None:
        yield bundled
    system = which("dot")
    if system is not None:
        yield system


def _bundled() -> str | None:
    """The program that comes with the package graphviz-pure; found without PATH, which notebooks often lack."""
    from importlib.metadata import PackageNotFoundError, files

    try:
        listed = files("graphviz-pure") or ()
    except PackageNotFoundError:
        return None
    for file in listed:
        if file.stem == "graphviz-pure" and file.suffix in ("", ".exe"):
            path = Path(str(file.locate()))
            if path.is_file():
                return str(path.resolve())
    return None


class Rendered(NamedTuple):
    """What a layout program made, or why none made anything; ("" if there is none)."""

    content: bytes | None
    trouble: str


def render(dot: str, kind: str, chosen: Renderer | None = None) -> Rendered:
    """Render DOT text as ``"svg"`` or ``"png"``. A program that fails causes a warning, and the next one is tried."""
    trouble = ""
    for program in renderers(chosen):
        if callable(program):
            if kind != "svg":
                continue  # it makes SVG only
            content, trouble = _called(program, dot)
            name = getattr(program, "__name__", type(program).__name__)
        else:
            content, trouble = _ran(program, dot, kind)
            name = program
        if content is not None:
            return Rendered(content, "")
        warnings.warn(f"drawing: {name} {trouble}; trying the next one", RuntimeWarning, stacklevel=3)
        trouble = f"{name} {trouble}"
    return Rendered(None, trouble)


def _called(function: Callable[[str], str | bytes], dot: str) -> Rendered:
    try:
        svg = function(dot)
    except Exception as error:
        return Rendered(None, f"raised {type(error).__name__} ({error})")
    content = svg.encode() if isinstance(svg, str) else svg
    if not isinstance(content, bytes) or b"<svg" not in content:
        return Rendered(None, f"returned {type(svg).__name__} without <svg>, expected SVG text")
    return Rendered(content, "")


def _ran(program: str, dot: str, kind: str) -> Rendered:
    import subprocess

    try:
        done = subprocess.run(
            [program, f"-T{kind}", *(["-Gdpi=144"] if kind == "png" else [])],
            input=dot.encode(),
            capture_output=True,
            timeout=LIMIT,
            check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except subprocess.TimeoutExpired:
        return Rendered(None, f"took more than {LIMIT:g} s")
    except OSError as error:
        return Rendered(None, f"could not be started ({error.strerror or error})")
    if done.returncode == 0 and done.stdout:
        return Rendered(done.stdout, "")
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return Rendered(None, f"exited with status {done.returncode}" + (f" ({said[-1][:200]})" if said else ""))
