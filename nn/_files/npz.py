"""The .npz format: a ZIP file of .npy files, which ``np.load`` opens and which needs only NumPy.

    header.json     what the file holds
    header.sha256   its checksum, as ``sha256sum -c`` reads it
    NAME.npy        the tensors in the header's order; "#7.npy" if the name of tensor 7 is not a dotted name

Nothing is compressed, and the header determines every byte of the file except the numbers themselves. So nothing else
is parsed: once the header is known, the rest is compared with what it must be. Whatever a ZIP file can hide (overlaps,
holes, false sizes, a second directory, compressed zeros) shows up as a difference.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from .header import HEADER_LIMIT, parsed, sealed, storable
from .source import Source, TensorSpec, byte_view, checked_array

__all__ = ["read", "write"]

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_MAX32 = 0xFFFFFFFF
_UNIX = 3 << 8  # made on a system whose attributes are permissions
_DATE = 0x21  # 1980-01-01, so that the same model gives the same file
_PERMISSIONS = 0o100644 << 16


class _Member(NamedTuple):
    """A file in the ZIP file."""

    name: bytes
    size: int
    crc: int

    def head(self) -> bytes:
        """The local header, which precedes its bytes."""
        large, size, extra = self._sizes()
        version = 45 if large else 20
        fields = (version, 0, 0, 0, _DATE, self.crc, size, size, len(self.name), len(extra))
        return _LOCAL.pack(b"PK\3\4", *fields) + self.name + extra

    def listed(self, offset: int) -> bytes:
        """Its entry in the directory at the end of the ZIP file."""
        _, size, extra = self._sizes()
        if offset >= _MAX32:
            extra = (extra or struct.pack("<2H", 1, 8)) + struct.pack("<Q", offset)
            extra = struct.pack("<2H", 1, len(extra) - 4) + extra[4:]
        version = 45 if extra else 20
        fields = (_UNIX + version, version, 0, 0, 0, _DATE, self.crc, size, size, len(self.name), len(extra), 0, 0, 0)
        return _CENTRAL.pack(b"PK\1\2", *fields, _PERMISSIONS, min(offset, _MAX32)) + self.name + extra

    def _sizes(self) -> tuple[bool, int, bytes]:
        if self.size < _MAX32:
            return False, self.size, b""
        return True, _MAX32, struct.pack("<2H2Q", 1, 16, self.size, self.size)


def _directory(members: list[_Member], offsets: list[int], start: int) -> bytes:
    """The directory that ends the file; it begins at ``start``."""
    table = b"".join(member.listed(offset) for member, offset in zip(members, offsets, strict=True))
    count = len(members)
    longer = b""
    if count >= 0xFFFF or start >= _MAX32 or len(table) >= _MAX32:
        longer = _END64.pack(b"PK\6\6", 44, _UNIX + 45, 45, 0, 0, count, count, len(table), start)
        longer += _LOCATOR64.pack(b"PK\6\7", 0, start + len(table), 1)
    short = min(count, 0xFFFF)
    return table + longer + _END.pack(b"PK\5\6", 0, 0, short, short, min(len(table), _MAX32), min(start, _MAX32), 0)


def _array_head(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The header that precedes the numbers in a .npy file, version 1.0."""
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape!r}, }}"
    padded = text.ljust(-(-(len(text) + 11) // 64) * 64 - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode("ascii")


def _member_name(name: str, position: int) -> bytes:
    dotted = re.fullmatch(r"\w+(\.\w+)*", name, re.ASCII) and len(name) <= 200
    return f"{name if dotted else f'#{position}'}.npy".encode("ascii")


def write(file: BinaryIO, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write a file of this format."""
    text, digest = sealed(header, arrays)
    members: list[_Member] = []
    offsets: list[int] = []
    for name, parts in _contents(text, digest, arrays):
        crc = 0
        for part in parts:
            crc = zlib.crc32(part, crc)
        members.append(_Member(name, sum(len(part) for part in parts), crc))
        offsets.append(file.tell())
        file.write(members[-1].head())
        for part in parts:
            file.write(part)
    file.write(_directory(members, offsets, file.tell()))


def _contents(
    text: bytes, digest: str, arrays: Mapping[str, np.ndarray[Any, Any]]
) -> Iterator[tuple[bytes, list[bytes | memoryview]]]:
    yield b"header.json", [text]
    yield b"header.sha256", [_digest_file(digest)]
    for position, (name, array) in enumerate(arrays.items()):
        stored = storable(array)
        yield _member_name(name, position), [_array_head(stored.dtype, stored.shape), byte_view(stored)]


def _digest_file(digest: str) -> bytes:
    return f"{digest}  header.json\n".encode("ascii")


def read(source: Source) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Read the header and the tensors.

    Raises:
        CheckpointError: the file is damaged, or was not written by nn.save.
    """
    text = _header_text(source)
    digest = hashlib.sha256(text).hexdigest()
    first = _Member(b"header.json", len(text), zlib.crc32(text))
    second = _Member(b"header.sha256", len(_digest_file(digest)), zlib.crc32(_digest_file(digest)))
    start = len(first.head()) + len(text)
    expected = second.head() + _digest_file(digest)
    _compare(source, start, expected, "the checksum (SHA-256) of the header")
    _compare(source, 0, first.head(), "the ZIP entry of the header")
    header, specs = parsed(source, text, digest)
    members = [first, second]
    for position, (name, spec) in enumerate(specs.items()):
        size = len(_array_head(spec.dtype, spec.shape)) + spec.nbytes
        members.append(_Member(_member_name(name, position), size, 0))
    lengths = [len(member.head()) + member.size for member in members]
    *offsets, end = accumulate(lengths, initial=0)
    expected_size = end + len(_directory(members, offsets, end))
    if expected_size != source.size:
        raise source.fail(
            f"has {source.size} bytes, but its header implies {expected_size}: it was truncated or appended to"
        )
    arrays = {}
    for i, (name, spec) in enumerate(specs.items(), start=2):
        arrays[name], members[i] = _tensor(source, name, spec, members[i], offsets[i])
    _compare(source, end, _directory(members, offsets, end), "the ZIP directory at the end")
    return header, arrays


def _header_text(source: Source) -> bytes:
    """The bytes of the first member."""
    head = source.bytes(0, min(_LOCAL.size + 11, source.size), "the ZIP entry of the header")
    if head[:4] != b"PK\3\4" or head[_LOCAL.size :] != b"header.json":
        raise source.fail(
            "was not written by nn.save: the first bytes are wrong (for arrays written by np.savez, write "
            "model.load_state_dict(dict(np.load(path, allow_pickle=False))))"
        )
    size = _LOCAL.unpack_from(head)[8]
    if size > HEADER_LIMIT:
        raise source.fail(f"claims a header of {size:,} bytes, expected at most {HEADER_LIMIT:,}")
    return source.bytes(len(head), size, "the header")


def _tensor(
    source: Source, name: str, spec: TensorSpec, member: _Member, offset: int
) -> tuple[np.ndarray[Any, Any], _Member]:
    """Read a tensor, and add the CRC to its ZIP member."""
    array_head = _array_head(spec.dtype, spec.shape)
    start = offset + len(member.head())
    array = source.array(name, spec, start + len(array_head))
    member = member._replace(crc=zlib.crc32(byte_view(array), zlib.crc32(array_head)))
    checked = checked_array(source, name, spec, array)
    _compare(source, offset, member.head() + array_head, "the part before its numbers", name)
    return checked, member


def _compare(source: Source, start: int, expected: bytes, what: str, tensor: str | None = None) -> None:
    """Raise CheckpointError unless the file has these bytes at ``start``."""
    found = source.bytes(start, len(expected), what)
    if found != expected:
        place = next(i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
        raise source.fail(
            f"{what} differs from what nn.save writes, from byte {start + place} on: the file is damaged or "
            "compressed, or has a duplicate, hidden or foreign ZIP member",
            tensor,
        )
