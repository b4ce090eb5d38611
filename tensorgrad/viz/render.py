"""Layout programs: which ones are available, and how to run them.

A program in its own process cannot take down a notebook's kernel. The one that pip installs comes first: with it,
everyone gets the same picture, while a system's ``dot`` may be years old.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

__all__ = ["INSTALL", "LIMIT", "render", "renderers"]

INSTALL = "to see it as a picture: pip install graphviz-pure (or put Graphviz's `dot` on PATH)"
LIMIT = 20.0  # seconds


def renderers(chosen: str | None = None) -> Iterator[str]:
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


def render(dot: str, kind: str, chosen: str | None = None) -> bytes | None:
    """Render DOT text as ``"svg"`` or ``"png"``; None if no program can. Each one that fails causes a warning."""
    import subprocess

    options = ["-Gdpi=144"] if kind == "png" else []
    for program in renderers(chosen):
        try:
            done = subprocess.run(
                [program, f"-T{kind}", *options],
                input=dot.encode(),
                capture_output=True,
                timeout=LIMIT,
                check=False,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except subprocess.TimeoutExpired:
            trouble = f"took more than {LIMIT:g} s"
        except OSError as error:
            trouble = f"could not be started ({error.strerror or error})"
        else:
            if done.returncode == 0 and done.stdout:
                return done.stdout
            said = done.stderr.decode(errors="replace").strip().splitlines()
            trouble = f"exited with status {done.returncode}" + (f" ({said[-1][:200]})" if said else "")
        warnings.warn(f"drawing: {program} {trouble}; trying the next one", RuntimeWarning, stacklevel=3)
    return None
