"""The header of a file: what it says about the tensors, written with checksums, and not trusted when it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from .source import CONTAINER_LIMIT, Source, TensorSpec, byte_view, containers, require_shape, strict_json

__all__ = ["DTYPES", "FORMAT", "HEADER_LIMIT", "VERSION", "parsed", "require_writable", "sealed", "storable"]

_PLAIN = ("|b1", "|i1", "|u1")
_WIDE = ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
# Written little-endian; read in both byte orders.
DTYPES = {name: np.dtype(name) for name in (*_PLAIN, *(order + name for order in "<>" for name in _WIDE))}
HEADER_LIMIT = 2**24  # bytes
FORMAT, VERSION = "tensorgrad.nn", 1


def storable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same numbers in C order, little-endian, without gaps; the array itself if it is stored like that."""
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def sealed(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> tuple[bytes, str]:
    """The header, with a description of each tensor, as text, and its checksum."""
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
    require_writable(text)
    return text, hashlib.sha256(text).hexdigest()


def require_writable(text: bytes) -> None:
    """Raise ValueError if a header is too long, or has too many parts, to be read back."""
    if len(text) > HEADER_LIMIT:
        raise ValueError(
            f"nn.save: attributes and extra come to {len(text):,} bytes, expected at most {HEADER_LIMIT:,}; put long "
            "lists into arrays"
        )
    if (found := containers(text)) > CONTAINER_LIMIT:
        raise ValueError(
            f"nn.save: attributes and extra have {found:,} lists, tuples and dicts, expected at most "
            f"{CONTAINER_LIMIT:,}; put nested lists into arrays"
        )


def _layout(array: np.ndarray[Any, Any]) -> list[int] | None:
    if array.flags.c_contiguous:
        return None
    axes = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    return axes if axes != list(range(array.ndim)) else None


def parsed(source: Source, text: bytes, digest: str) -> tuple[dict[str, Any], dict[str, TensorSpec]]:
    """The header, checked, and what it says about the tensors.

    Raises:
        CheckpointError: it is damaged, or of another version.
    """
    if hashlib.sha256(text).hexdigest() != digest:
        raise source.fail("the checksum (SHA-256) of the header is wrong: the file is damaged")
    header = strict_json(source, text)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise source.fail("the header was not written by nn.save")
    if header.get("version") != VERSION:
        raise source.fail(
            f"has version {header.get('version')!r}, but this tensorgrad reads version {VERSION}; install a newer one"
        )
    if missing := {"tensors", "objects", "modules", "state", "model", "optimizer", "extra"} - header.keys():
        raise source.fail(f"the header lacks {sorted(missing)}")
    tensors = header["tensors"]
    if not isinstance(tensors, dict):
        raise source.fail("the header's tensors are not a JSON object")
    return header, {name: _spec(source, name, entry) for name, entry in tensors.items()}


def _spec(source: Source, name: str, entry: Any) -> TensorSpec:
    if not isinstance(entry, dict) or entry.keys() - {"layout"} != {"dtype", "shape", "sha256"}:
        raise source.fail("its entry in the header does not consist of dtype, shape and sha256", name)
    dtype, shape, digest, layout = entry["dtype"], entry["shape"], entry["sha256"], entry.get("layout")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise source.fail(f"unknown dtype {dtype!r}", name)
    require_shape(source, name, shape)
    if not isinstance(digest, str):
        raise source.fail(f"checksum {digest!r} is not a string", name)
    if layout is not None and (not isinstance(layout, list) or sorted(layout) != list(range(len(shape)))):
        raise source.fail(f"layout {layout!r} does not order the axes of shape {shape}", name)
    spec = TensorSpec(DTYPES[dtype], tuple(shape), digest, layout)
    if spec.nbytes > source.size:
        raise source.fail(f"claims {spec.nbytes:,} bytes, but the whole file has {source.size:,}", name)
    return spec
