"""Replacing a file so that, whatever happens, either the old or the new one is there."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO, cast

import tensorgrad as tg

__all__ = ["descriptor", "replace_file"]


_writing: set[str] = set()  # the temporary files of this process


def replace_file(path: str, write: Callable[[BinaryIO], object]) -> None:
    """Have ``write`` fill a temporary file next to ``path``, sync it to the disk, and rename it to ``path``.

    A new file gets the default permissions; a replaced one keeps its own, which the temporary file has from the first
    byte. A symbolic link stays a link: its target is replaced. A hard link does not: its other names keep the old file.
    Temporary files left by writers that were killed are removed.

    Raises:
        OSError: names ``path``. The old file is unchanged, and nothing else is left behind.
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
    temporary = os.path.join(os.path.dirname(target), f"{_prefix(target)}{os.getpid()}-{secrets.token_hex(4)}.tmp")
    files: list[BinaryIO] = []

    def end() -> None:
        try:
            for file in files:
                file.close()
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # there is none if it was renamed
            _writing.discard(temporary)

    with tg.restoring(end):
        _writing.add(temporary)
        opener = partial(os.open, mode=0o666 if mode is None else mode & 0o600)
        # Opened and kept in one call to C, so that no interrupt can lose the file; see descriptor().
        files.extend(map(cast(Any, partial(open, mode="xb", opener=opener)), [temporary]))
        (file,) = files
        if mode is not None and hasattr(os, "fchmod"):
            os.fchmod(file.fileno(), mode)
        write(file)
        file.flush()
        os.fsync(file.fileno())
        file.close()  # Windows renames no open file
        os.replace(temporary, target)
    _sync_folder(os.path.dirname(target))


def _mode(target: str) -> int | None:
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder", target)
    if not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, "is not a regular file, and would be replaced by one", target)
    if not os.access(target, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, "is write-protected", target)
    return stat.S_IMODE(mode)


def _prefix(target: str) -> str:
    """The start of the names of a target's temporary files; it identifies the host, as process ids hold on only one."""
    host = os.uname().nodename if hasattr(os, "uname") else ""
    return f".{os.path.basename(target)[:50]}.{zlib.crc32(os.fsencode(host)):08x}-"


def _remove_strays(target: str) -> None:
    folder = os.path.dirname(target)
    pattern = re.compile(re.escape(_prefix(target)) + r"(\d{1,9})-[0-9a-f]{8}\.tmp")
    for name in os.listdir(folder):
        found = pattern.fullmatch(name)
        path = os.path.join(folder, name)
        # A file with our process id that we are not writing was left by an earlier process with the same id: the first
        # process of a container always has the same one.
        if found and path not in _writing and (int(found[1]) == os.getpid() or not _runs(int(found[1]))):
            with contextlib.suppress(OSError):  # another process was faster; or, on Windows, its writer has it open
                os.unlink(path)


def _runs(process: int) -> bool:
    if os.name == "nt":
        return False  # Windows has no harmless signal, and does not let anyone remove an open file
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it belongs to another user
    return True


def descriptor(path: str, flags: int) -> tg.restoring:
    """A block that opens a file, gives its descriptor, and closes it at the end.

    The exception of a signal's handler arrives between two instructions, never within a call to C. So one call opens
    the file and keeps the descriptor, and one drops it and closes it.
    """
    held: list[int] = []

    def begin() -> int:
        held.extend(map(os.open, [path], [flags]))
        return held[0]

    return tg.restoring(lambda: any(map(os.close, map(list.pop, [held] * len(held)))), begin)


def _sync_folder(folder: str) -> None:
    if os.name == "nt":
        return
    # Some file systems cannot do this; the file itself is on the disk.
    with tg.uninterrupted(), contextlib.suppress(OSError), descriptor(folder, os.O_RDONLY) as handle:
        os.fsync(handle)
