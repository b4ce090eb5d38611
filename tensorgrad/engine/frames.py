"""Source lines: which line of the user's code called an operation.

Recording an operation only takes the frame's code object and offset, which is cheap; the file and line are worked out
when they are shown.
"""

from __future__ import annotations

import os
import sys
from types import CodeType, FrameType

__all__ = ["LIBRARY", "hide_frames", "place", "source_line", "user_frame", "users_stacklevel"]


class _Library(dict[str, bool]):
    """Whether a file is part of the library, worked out once per file."""

    folders: tuple[str, ...] = (os.path.join(os.path.dirname(os.path.dirname(__file__)), ""),)

    def __missing__(self, filename: str) -> bool:
        self[filename] = inside = filename.startswith(self.folders)
        return inside


LIBRARY = _Library()


def hide_frames(file: str) -> None:
    """Skip a library's frames when looking for an operation's source line, so that its caller's line is shown.

    ``file`` is the ``__file__`` of the library's ``__init__``; every file in that folder is skipped.
    """
    folder = file.rpartition("__init__")[0]
    if not folder:
        raise ValueError(f"hide_frames expects the __file__ of a package's __init__, got {file!r}")
    LIBRARY.folders += (folder,)
    LIBRARY.clear()


def user_frame(frame: FrameType) -> FrameType:
    """The first frame outside the library, going outwards from ``frame``."""
    while LIBRARY[frame.f_code.co_filename] and frame.f_back is not None:
        frame = frame.f_back
    return frame


def users_stacklevel() -> int:
    """The ``stacklevel`` with which a warning of the caller names the nearest line outside of the library.

    Outside of the folders that :func:`hide_frames` knows, too.

    >>> users_stacklevel()  # this line is outside
    1
    """
    frame, level = sys._getframe(1), 1
    while LIBRARY[frame.f_code.co_filename] and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    return level


def source_line(code: CodeType | None, lasti: int) -> tuple[str, int] | None:
    """The file and line number of an instruction of a code object."""
    if code is None:
        return None
    for start, end, line in code.co_lines():
        if start <= lasti < end and line is not None:
            return code.co_filename, line
    return code.co_filename, code.co_firstlineno


def place(code: CodeType | None, lasti: int) -> str:
    """``file:line``, or ``cell 7, line 2`` in a notebook, for messages.

    >>> place((lambda: None).__code__, 0)
    '<doctest tensorgrad.engine.frames.place[0]>:1'
    """
    line = source_line(code, lasti)
    if line is None:
        return "an unknown location"
    file, at = line
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    cell = getattr(getattr(shell, "compile", None), "_filename_map", {}).get(file)
    if cell is not None:  # its file is a temporary one of the kernel
        return f"cell {cell}, line {at}"
    return f"notebook cell, line {at}" if "ipykernel_" in file else f"{file}:{at}"
