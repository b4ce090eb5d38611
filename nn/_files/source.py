"""Reading an untrusted file: its bytes, its numbers, its JSON."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np

import tensorgrad as tg

__all__ = [
    "CONTAINER_LIMIT",
    "Source",
    "TensorSpec",
    "byte_view",
    "checked_array",
    "containers",
    "require_shape",
    "strict_json",
]

CONTAINER_LIMIT = 2**20  # lists and objects in a header: an empty one takes thirty times its text


class TensorSpec(NamedTuple):
    """What a file says about a tensor.

    Attributes:
        layout: the axes in the order of their strides in memory, longest first; None if that is their own order.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    sha256: str | None
    layout: list[int] | None

    @property
    def nbytes(self) -> int:
        """The bytes of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


class Source:
    """An untrusted file.

    Args:
        file: open for reading.
        path: its name in error messages.

    Raises:
        OSError: it is a pipe or a device, whose size is not known.
    """

    def __init__(self, file: BinaryIO, path: str) -> None:
        self.file = file
        self.path = path
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", path)
        self.size = found.st_size

    def fail(self, reason: str, tensor: str | None = None) -> tg.CheckpointError:
        """The error to raise."""
        name = "" if tensor is None else f" tensor {tensor!r}:"
        return tg.CheckpointError(tg.words.escaped(f"nn.load: {self.path}:{name} {reason}", lines=True))

    @contextlib.contextmanager
    def blamed(self, what: str) -> Iterator[None]:
        """Blame the file for whatever goes wrong in a ``with`` block."""
        try:
            yield
        except (tg.CheckpointError, ImportError, MemoryError, OSError):
            raise
        except Exception as error:
            raise self.fail(f"{what} ({type(error).__name__}: {error})") from error

    def bytes(self, start: int, count: int, what: str) -> bytes:
        """``count`` bytes from ``start`` on."""
        if start + count > self.size:
            raise self.fail(f"{what} would end at byte {start + count}, but the file ends at {self.size}: truncated?")
        self.file.seek(start)
        return self.file.read(count)

    def array(self, name: str, spec: TensorSpec, start: int) -> np.ndarray[Any, Any]:
        """The tensor whose bytes begin at ``start``, unchecked; the caller has compared its size with the file's."""
        try:
            array = np.empty(spec.shape, spec.dtype)
        except ValueError as error:
            raise self.fail(f"NumPy cannot make an array of shape {spec.shape}", name) from error
        rest = byte_view(array)
        self.file.seek(start)
        while len(rest):
            count = self.file.readinto(rest)  # type: ignore[attr-defined]
            if not count:
                raise self.fail("the file ended while it was being read", name)
            rest = rest[count:]
        return array


def byte_view(array: np.ndarray[Any, Any]) -> memoryview:
    """The bytes of an array that is in C order."""
    return array.reshape(-1).view(np.uint8).data


def checked_array(source: Source, name: str, spec: TensorSpec, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The tensor as it was in memory, after a check of its checksum.

    Raises:
        CheckpointError: the checksum is wrong, or a bool is neither 0 nor 1.
    """
    if spec.sha256 is not None and hashlib.sha256(byte_view(array)).hexdigest() != spec.sha256:
        raise source.fail("its checksum (SHA-256) does not match its numbers: the file is damaged", name)
    if array.dtype.kind == "b" and array.size and array.view(np.uint8).max() > 1:
        raise source.fail("a bool is neither 0 nor 1", name)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if spec.layout is not None:
        array = np.ascontiguousarray(array.transpose(spec.layout)).transpose(np.argsort(spec.layout))
    return array


def containers(text: bytes) -> int:
    """An upper bound on the number of lists and objects in JSON: brackets in strings count as well."""
    return text.count(b"[") + text.count(b"{")


def strict_json(source: Source, text: bytes) -> Any:
    """Parse JSON, accepting only UTF-8, unique keys, finite numbers, and not too many lists and objects."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise source.fail(f"the header has the key {key!r} twice")
            found[key] = value
        return found

    def refused(constant: str) -> Any:
        raise ValueError(f"{constant} is not valid JSON")

    if (found := containers(text)) > CONTAINER_LIMIT:
        raise source.fail(f"the header has {found:,} lists and objects, expected at most {CONTAINER_LIMIT:,}")
    with source.blamed("the header is not valid JSON"):
        return json.loads(text.decode("utf-8"), object_pairs_hook=once, parse_constant=refused)


def require_shape(source: Source, name: str, shape: Any) -> None:
    """Raise CheckpointError unless a shape is a list of lengths."""
    if not isinstance(shape, list) or len(shape) > 64 or not all(type(n) is int and n >= 0 for n in shape):
        raise source.fail(f"shape {str(shape)[:200]} is not a list of at most 64 lengths", name)
