"""Replacing a file, so that whatever happens it is the old one or the new one."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import zlib
from collections.abc import Callable
from typing import BinaryIO

__all__ = ["replace_file"]


_writing: set[str] = set()  # the temporary files of this process


def replace_file(path: str, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a file beside ``path``, bring it to the disk, and give it that name.

    A new file has the permissions of any other new file, one that is replaced keeps its own. A link stays a link: what
    it points to is replaced. Files that writers left here who were killed are removed.

    Raises:
        OSError: with ``path``. The old file is as it was, and nothing else is left.
    """
    try:
        _replace(os.path.realpath(path), write)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, path) from error  # not the temporary file's name


def _replace(target: str, write: Callable[[BinaryIO], object]) -> None:
    mode = _mode(target)
    _remove_strays(target)
    temporary = os.path.join(os.path.dirname(target), f"{_start(target)}{os.getpid()}-{secrets.token_hex(4)}.tmp")
    _writing.add(temporary)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(temporary, flags, 0o666), "wb") as file:
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), mode)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        _writing.discard(temporary)
    _sync_folder(os.path.dirname(target))


def _mode(target: str) -> int | None:
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder", target)
    if not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, "is no regular file, and would be replaced by one", target)
    if not os.access(target, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, "is write-protected", target)
    return stat.S_IMODE(mode)


def _start(target: str) -> str:
    """How the names of temporary files of a target begin: process numbers mean something on one host alone."""
    host = os.uname().nodename if hasattr(os, "uname") else ""
    return f".{os.path.basename(target)[:50]}.{zlib.crc32(os.fsencode(host)):08x}-"


def _remove_strays(target: str) -> None:
    folder = os.path.dirname(target)
    pattern = re.compile(re.escape(_start(target)) + r"(\d{1,9})-[0-9a-f]{8}\.tmp")
    for name in os.listdir(folder):
        found = pattern.fullmatch(name)
        path = os.path.join(folder, name)
        # A file with our own number that nobody here writes is of a process that had the number before: the first of a
        # container has always the same.
        if found and path not in _writing and (int(found[1]) == os.getpid() or not _runs(int(found[1]))):
            with contextlib.suppress(OSError):  # another process was faster; or, on Windows, its writer has it open
                os.unlink(path)


def _runs(process: int) -> bool:
    if os.name == "nt":
        return False  # there is no harmless signal, and a file that is open cannot be removed
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True


def _sync_folder(folder: str) -> None:
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):  # some file systems cannot; the file itself is on the disk
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
