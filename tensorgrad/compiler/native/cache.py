"""Compiled programs in memory, and on disk, in a folder that only the user can write to.

They are machine code, which runs with the rights of the user: what others could have written is not loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ...engine.blocks import restoring

__all__ = ["Entry", "find", "folder", "is_used", "keep", "load", "may_hold"]


class Entry(NamedTuple):
    """A compiled program: how it is divided, and its object code."""

    plan: dict[str, Any]
    code: bytes


_MARK = b"tensorgrad kernel 1\n"
_MOST = 64 * 2**20  # bytes in the folder; the entries used longest ago go
_LARGEST = 16 * 2**20  # bytes of one entry
_MANY = 64  # entries in memory

_entries: dict[str, Entry] = {}  # the one used last at the end


def find(key: str) -> Entry | None:
    """The entry with this key, from memory or from disk."""
    entry = _entries.get(key) or load(key)
    if entry is not None:
        _remember(key, entry)
    return entry


def keep(key: str, entry: Entry) -> None:
    """Keep an entry, in memory and, if possible, on disk."""
    _remember(key, entry)
    _save(key, entry)


def _remember(key: str, entry: Entry) -> None:
    # No lock, which a thread might hold while another one forks.
    _entries.pop(key, None)
    _entries[key] = entry
    for old in list(_entries)[:-_MANY]:
        _entries.pop(old, None)


def folder() -> Path | None:
    """Where compiled code is kept: ``TENSORGRAD_CACHE``, or the platform's cache folder; None if that is switched off.

    ``TENSORGRAD_CACHE=`` (empty) switches it off.
    """
    given = os.environ.get("TENSORGRAD_CACHE")
    if given is not None:
        return Path(given) / "kernels" if given else None
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "tensorgrad" / "kernels"


def is_used() -> bool:
    """Whether there is a folder on disk, which some process has made."""
    place = folder()
    return place is not None and place.is_dir()


def may_hold(start: str) -> bool:
    """Whether a key on disk begins like this."""
    place = folder()
    try:
        return place is not None and any(name.startswith(start) for name in os.listdir(place))
    except OSError:
        return False


def load(key: str) -> Entry | None:
    """The entry on disk with this key; None if there is none that can be trusted."""
    place = folder()
    if place is None:
        return None
    try:
        if not _is_own(os.lstat(place)):
            return None
        path = place / key
        facts = os.lstat(path)  # only the user can put something else there now
        if not (stat.S_ISREG(facts.st_mode) and _is_own(facts) and facts.st_size <= _LARGEST):
            return None
        with open(path, "rb") as file:
            content = file.read(_LARGEST)
        with contextlib.suppress(OSError):
            os.utime(path)  # it was used
    except OSError:
        return None
    head, rest = content[: len(_MARK) + 32], content[len(_MARK) + 32 :]
    if head != _MARK + _checksum(key, rest):
        return None
    plan, _, code = rest.partition(b"\n")
    return Entry(json.loads(plan), code)


def _save(key: str, entry: Entry) -> None:
    place = folder()
    content = json.dumps(entry.plan).encode() + b"\n" + entry.code
    if place is None or len(content) + len(_MARK) + 32 > _LARGEST:
        return
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_own(os.lstat(place)):
            return
        temporary = place / f".{secrets.token_hex(8)}"
        with restoring(lambda: temporary.unlink(missing_ok=True)):
            with open(temporary, "xb", opener=partial(os.open, mode=0o600)) as file:
                file.write(_MARK + _checksum(key, content) + content)
            os.replace(temporary, place / key)
        _evict(place)
    except OSError:
        return


def _checksum(key: str, code: bytes) -> bytes:
    return hashlib.sha256(key.encode() + code).digest()


def _is_own(facts: os.stat_result) -> bool:
    """Whether something belongs to the user, and nobody else can write to it."""
    if not hasattr(os, "getuid"):
        return True  # the user's profile on Windows
    return facts.st_uid == os.getuid() and not facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _evict(place: Path) -> None:
    """Remove the entries used longest ago, and what was left half-written, once there is too much."""
    entries = []
    for path in place.iterdir():
        with contextlib.suppress(OSError):  # another process has removed it
            facts = path.lstat()
            entries.append((facts.st_mtime, facts.st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= _MOST:
            break
        with contextlib.suppress(OSError):
            os.unlink(path)
            total -= size
