"""The .safetensors format: a length of eight bytes, a JSON header, and the numbers.

What nn.save adds is in the header's ``__metadata__``, so any reader of the format finds the tensors. The package of
that name does the writing; reading is done here, because the package's own reader accepts dubious files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

import tensorgrad as tg

from .header import DTYPES, FORMAT, HEADER_LIMIT, parsed, require_writable, sealed, storable
from .source import Source, TensorSpec, checked_array, require_shape, strict_json

__all__ = ["read", "write"]

_NAMES = {"BOOL": "|b1", "I8": "|i1", "U8": "|u1"} | {
    f"{kind.upper()}{8 * size}": f"<{kind}{size}" for kind in "iuf" for size in (2, 4, 8)
}
_DTYPES = {ours: theirs for theirs, ours in _NAMES.items()}
_METADATA = "__metadata__"
_DIGEST = FORMAT + ".sha256"


def write(file: BinaryIO, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write a file of this format.

    Raises:
        ImportError: safetensors is not installed.
        DTypeError: the format lacks a tensor's dtype.
        ValueError: the format does not allow a tensor's name, or the header is too long.
    """
    try:
        from safetensors.numpy import save
    except ImportError as error:
        raise ImportError(
            "nn.save: .safetensors files need the package; run pip install 'tensorgrad-np[safetensors]', or save as "
            ".npz"
        ) from error
    text, digest = sealed(header, arrays)
    stored = {name: storable(array) for name, array in arrays.items()}
    for name, array in stored.items():
        if name == _METADATA or not _is_text(name):
            raise ValueError(
                f"nn.save: .safetensors files cannot have a tensor named {name!r}; rename it, or save as .npz"
            )
        if array.dtype.str not in _DTYPES:
            raise tg.DTypeError(
                f"nn.save: tensor {name!r} has dtype {array.dtype}, which .safetensors files lack; save as .npz"
            )
    content = save(stored, {FORMAT: text.decode("ascii"), _DIGEST: digest})
    require_writable(content[8 : 8 + int.from_bytes(content[:8], "little")])
    file.write(content)


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def read(source: Source) -> tuple[dict[str, Any] | None, dict[str, np.ndarray[Any, Any]]]:
    """Read the header (None if another program wrote the file) and the tensors.

    Raises:
        CheckpointError: the file is damaged.
    """
    length = int.from_bytes(source.bytes(0, 8, "the length of the header"), "little")
    if length > HEADER_LIMIT:
        raise source.fail(f"claims a header of {length:,} bytes, expected at most {HEADER_LIMIT:,}")
    outer = strict_json(source, source.bytes(8, length, "the header"))
    if not isinstance(outer, dict):
        raise source.fail(f"the header is a {type(outer).__name__}, expected an object")
    metadata = outer.pop(_METADATA, {})
    specs, starts = _placed(source, outer, 8 + length)
    header = None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise source.fail(f"{_METADATA} holds values that are not strings")
    if metadata.keys() == {FORMAT, _DIGEST}:
        header, ours = parsed(source, metadata[FORMAT].encode("utf-8"), metadata[_DIGEST])
        specs = _agreed(source, specs, ours)
    elif metadata.keys() & {FORMAT, _DIGEST}:
        raise source.fail(
            f"{_METADATA} has the keys {sorted(metadata)[:20]}, expected {[FORMAT, _DIGEST]}, as nn.save writes them"
        )
    arrays = {
        name: checked_array(source, name, spec, source.array(name, spec, starts[name])) for name, spec in specs.items()
    }
    return header, arrays


def _placed(source: Source, outer: Mapping[str, Any], start: int) -> tuple[dict[str, TensorSpec], dict[str, int]]:
    """What the header says about the tensors, and where the bytes of each begin; they must fill the file."""
    specs, spans = {}, []
    for name, entry in outer.items():
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise source.fail("its entry in the header does not consist of dtype, shape and data_offsets", name)
        dtype, shape, span = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in _NAMES:
            raise source.fail(f"unknown dtype {dtype!r}, expected one of {', '.join(_NAMES)}", name)
        require_shape(source, name, shape)
        if not isinstance(span, list) or len(span) != 2 or not all(type(n) is int for n in span):
            raise source.fail(f"data_offsets {str(span)[:200]} are not two integers", name)
        specs[name] = TensorSpec(DTYPES[_NAMES[dtype]], tuple(shape), None, None)
        if span[1] - span[0] != specs[name].nbytes:
            raise source.fail(f"data_offsets {span} do not match its {specs[name].nbytes} bytes of numbers", name)
        spans.append((span[0], span[1], name))
    end = 0
    for first, last, name in sorted(spans):
        if first != end:
            raise source.fail(
                f"begins at byte {first} of the numbers, expected {end}: tensors overlap or leave a hole", name
            )
        end = last
    if start + end != source.size:
        raise source.fail(
            f"has {source.size} bytes, but its header implies {start + end}: it was truncated or appended to"
        )
    return specs, {name: start + first for first, _, name in spans}


def _agreed(source: Source, outer: Mapping[str, TensorSpec], ours: Mapping[str, TensorSpec]) -> dict[str, TensorSpec]:
    """What both headers say about the tensors."""
    if outer.keys() != ours.keys():
        raise source.fail(f"the two headers name different tensors: {sorted(outer.keys() ^ ours.keys())[:20]}")
    for name, spec in ours.items():
        if (spec.dtype, spec.shape) != (outer[name].dtype, outer[name].shape):
            raise source.fail(f"the two headers disagree on its dtype or shape: {spec[:2]} and {outer[name][:2]}", name)
    return dict(ours)
