"""The tensors of a file: what is allowed, their bytes and checksums, and reading them with suspicion."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

import tensorgrad as tg

__all__ = [
    "DTYPES",
    "HEADER_LIMIT",
    "Source",
    "Spec",
    "byte_view",
    "checked_array",
    "parsed",
    "require_header_length",
    "require_shape",
    "sealed",
    "storable",
    "strict_json",
]

_PLAIN = ("|b1", "|i1", "|u1")
_WIDE = ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
# Written little-endian; read in both byte orders.
DTYPES = {name: np.dtype(name) for name in (*_PLAIN, *(order + name for order in "<>" for name in _WIDE))}
HEADER_LIMIT = 2**24  # bytes, of which JSON makes objects of up to 25 times the size
FORMAT, VERSION = "tensorgrad.nn", 1


class Spec(NamedTuple):
    """What a file says about a tensor.

    Attributes:
        layout: the axes in the order of their strides in memory, longest first, where that is not their own order.
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
    """A file that is read, of which nothing is believed.

    Args:
        file: open for reading.
        path: how errors call it.
    """

    def __init__(self, file: BinaryIO, path: str) -> None:
        self.file = file
        self.path = path
        self.size = os.fstat(file.fileno()).st_size

    def fail(self, reason: str, tensor: str | None = None) -> tg.CheckpointError:
        """The error to raise."""
        name = "" if tensor is None else f" tensor {tensor!r}:"
        return tg.CheckpointError(f"nn.load: {self.path}:{name} {reason}")

    @contextlib.contextmanager
    def suspected(self, what: str) -> Iterator[None]:
        """Whatever goes wrong here, it is the file's fault."""
        try:
            yield
        except (tg.CheckpointError, MemoryError, OSError):
            raise
        except Exception as error:
            raise self.fail(f"{what} ({type(error).__name__}: {error})") from error

    def bytes(self, start: int, count: int, what: str) -> bytes:
        """So many bytes from there on."""
        if start + count > self.size:
            raise self.fail(f"{what} would end at byte {start + count}, but the file ends at {self.size}: truncated?")
        self.file.seek(start)
        return self.file.read(count)

    def array(self, name: str, spec: Spec, start: int) -> np.ndarray[Any, Any]:
        """The tensor whose bytes begin there, as they are; whoever calls has compared its size with the file's."""
        try:
            array = np.empty(spec.shape, spec.dtype)
        except ValueError as error:
            raise self.fail(f"NumPy has no array of shape {spec.shape}", name) from error
        rest = byte_view(array)
        self.file.seek(start)
        while len(rest):
            count = self.file.readinto(rest)  # type: ignore[attr-defined]
            if not count:
                raise self.fail("the file ended while it was read", name)
            rest = rest[count:]
        return array


def storable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same numbers in C order, little-endian, without gaps; the array itself if it is so."""
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def byte_view(array: np.ndarray[Any, Any]) -> memoryview:
    """The bytes of an array that is in C order."""
    return array.reshape(-1).view(np.uint8).data


def checked_array(source: Source, name: str, spec: Spec, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The tensor as it was in memory, once its checksum is right.

    Raises:
        CheckpointError: it is not.
    """
    if spec.sha256 is not None and hashlib.sha256(byte_view(array)).hexdigest() != spec.sha256:
        raise source.fail("its checksum (SHA-256) is not that of its numbers: the file is damaged", name)
    if array.dtype.kind == "b" and array.size and array.view(np.uint8).max() > 1:
        raise source.fail("a bool is neither 0 nor 1", name)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if spec.layout is not None:
        array = np.ascontiguousarray(array.transpose(spec.layout)).transpose(np.argsort(spec.layout))
    return array


def sealed(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> tuple[bytes, str]:
    """The header with what it says about the tensors, as text, and its checksum."""
    tensors = {}
    for name, array in arrays.items():
        stored = storable(array)
        tensors[name] = {
            "dtype": stored.dtype.str,
            "shape": list(stored.shape),
            "sha256": hashlib.sha256(byte_view(stored)).hexdigest(),
        }
        if (layout := _layout(array)) is not None:
            tensors[name]["layout"] = layout
    whole = {"format": FORMAT, "version": VERSION, "tensors": tensors, **header}
    text = json.dumps(whole, allow_nan=False, separators=(",", ":")).encode("ascii")
    require_header_length(len(text))
    return text, hashlib.sha256(text).hexdigest()


def require_header_length(length: int) -> None:
    """Raise ValueError where a header is longer than what is read again."""
    if length > HEADER_LIMIT:
        raise ValueError(
            f"nn.save: attributes and extra come to {length:,} bytes, expected {HEADER_LIMIT:,} at most; long lists "
            "belong into arrays"
        )


def _layout(array: np.ndarray[Any, Any]) -> list[int] | None:
    if array.flags.c_contiguous:
        return None
    axes = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    return axes if axes != list(range(array.ndim)) else None


def parsed(source: Source, text: bytes, digest: str) -> tuple[dict[str, Any], dict[str, Spec]]:
    """A header that is whole, and what it says about the tensors.

    Raises:
        CheckpointError: it is damaged, or another version's.
    """
    if hashlib.sha256(text).hexdigest() != digest:
        raise source.fail("the checksum (SHA-256) of the header is wrong: the file is damaged")
    header = strict_json(source, text)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise source.fail("the header is none of nn.save")
    if header.get("version") != VERSION:
        raise source.fail(
            f"is of version {header.get('version')!r}, and this tensorgrad reads {VERSION}; install a newer one"
        )
    if missing := {"tensors", "objects", "modules", "state", "model", "optimizer", "extra"} - header.keys():
        raise source.fail(f"the header lacks {sorted(missing)}")
    tensors = header["tensors"]
    if not isinstance(tensors, dict):
        raise source.fail("the header's tensors are no object")
    return header, {name: _spec(source, name, entry) for name, entry in tensors.items()}


def strict_json(source: Source, text: bytes) -> Any:
    """JSON without doubtful parts: UTF-8, each key once, finite numbers."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise source.fail(f"the header has the key {key!r} twice")
            found[key] = value
        return found

    def refused(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    with source.suspected("the header is no JSON"):
        return json.loads(text.decode("utf-8"), object_pairs_hook=once, parse_constant=refused)


def _spec(source: Source, name: str, entry: Any) -> Spec:
    if not isinstance(entry, dict) or entry.keys() - {"layout"} != {"dtype", "shape", "sha256"}:
        raise source.fail("the header says other things of it than dtype, shape and sha256", name)
    dtype, shape, digest, layout = entry["dtype"], entry["shape"], entry["sha256"], entry.get("layout")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise source.fail(f"unknown dtype {dtype!r}", name)
    require_shape(source, name, shape)
    if not isinstance(digest, str):
        raise source.fail(f"checksum {digest!r} is no text", name)
    if layout is not None and (not isinstance(layout, list) or sorted(layout) != list(range(len(shape)))):
        raise source.fail(f"layout {layout!r} does not order the axes of shape {shape}", name)
    spec = Spec(DTYPES[dtype], tuple(shape), digest, layout)
    if spec.nbytes > source.size:
        raise source.fail(f"claims {spec.nbytes:,} bytes, and the whole file has {source.size:,}", name)
    return spec


def require_shape(source: Source, name: str, shape: Any) -> None:
    """Raise CheckpointError unless it is a list of lengths."""
    if not isinstance(shape, list) or len(shape) > 64 or not all(type(n) is int and n >= 0 for n in shape):
        raise source.fail(f"shape {str(shape)[:200]} is no list of at most 64 lengths", name)
