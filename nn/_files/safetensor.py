"""The format .safetensors: eight bytes of length, a JSON header, and the numbers.

What nn.save adds stands in the header's ``__metadata__``, so any reader of the format finds the tensors. The package
of that name writes it; reading is done here, for its own reader accepts what is doubtful.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

import tensorgrad as tg

from .header import DTYPES, FORMAT, HEADER_LIMIT, parsed, require_header_length, sealed, storable
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
        ImportError: the package is missing.
        DTypeError: the format has no such dtype.
        ValueError: the format has no such name, or the header is too long.
    """
    try:
        from safetensors.numpy import save
    except ImportError as error:
        raise ImportError(
            "nn.save: files named .safetensors need the package; write pip install 'tensorgrad-np[safetensors]', or "
            "save as .npz"
        ) from error
    text, digest = sealed(header, arrays)
    stored = {name: storable(array) for name, array in arrays.items()}
    for name, array in stored.items():
        if name == _METADATA or not _is_text(name):
            raise ValueError(
                f"nn.save: the format .safetensors has no tensor named {name!r}; rename it, or save as .npz"
            )
        if array.dtype.str not in _DTYPES:
            raise tg.DTypeError(
                f"nn.save: tensor {name!r} is of {array.dtype}, unknown to the format .safetensors; save as .npz"
            )
    content = save(stored, {FORMAT: text.decode("ascii"), _DIGEST: digest})
    require_header_length(int.from_bytes(content[:8], "little"))
    file.write(content)


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def read(source: Source) -> tuple[dict[str, Any] | None, dict[str, np.ndarray[Any, Any]]]:
    """The header, None where another program has written the file, and the tensors.

    Raises:
        CheckpointError: the file is damaged.
    """
    length = int.from_bytes(source.bytes(0, 8, "the length of the header"), "little")
    if length > HEADER_LIMIT:
        raise source.fail(f"claims a header of {length:,} bytes, expected {HEADER_LIMIT:,} at most")
    outer = strict_json(source, source.bytes(8, length, "the header"))
    if not isinstance(outer, dict):
        raise source.fail(f"the header is a {type(outer).__name__}, expected an object")
    metadata = outer.pop(_METADATA, {})
    specs, starts = _placed(source, outer, 8 + length)
    header = None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise source.fail(f"{_METADATA} holds other things than texts")
    if metadata.keys() == {FORMAT, _DIGEST}:
        header, ours = parsed(source, metadata[FORMAT].encode("utf-8"), metadata[_DIGEST])
        specs = _agreed(source, specs, ours)
    elif metadata.keys() & {FORMAT, _DIGEST}:
        raise source.fail(
            f"{_METADATA} has {sorted(metadata)[:20]}, expected {[FORMAT, _DIGEST]}, as nn.save writes it"
        )
    arrays = {
        name: checked_array(source, name, spec, source.array(name, spec, starts[name])) for name, spec in specs.items()
    }
    return header, arrays


def _placed(source: Source, outer: Mapping[str, Any], start: int) -> tuple[dict[str, TensorSpec], dict[str, int]]:
    """What the header says of the tensors, and where their bytes begin: one after the other, to the file's end."""
    specs, spans = {}, []
    for name, entry in outer.items():
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise source.fail("the header says other things of it than dtype, shape and data_offsets", name)
        dtype, shape, span = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in _NAMES:
            raise source.fail(f"unknown dtype {dtype!r}, expected one of {', '.join(_NAMES)}", name)
        require_shape(source, name, shape)
        if not isinstance(span, list) or len(span) != 2 or not all(type(n) is int for n in span):
            raise source.fail(f"data_offsets {str(span)[:200]} are no two numbers", name)
        specs[name] = TensorSpec(DTYPES[_NAMES[dtype]], tuple(shape), None, None)
        if span[1] - span[0] != specs[name].nbytes:
            raise source.fail(f"data_offsets {span} and {specs[name].nbytes} bytes of numbers do not agree", name)
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
            f"has {source.size} bytes, and by its header it would have {start + end}: truncated, or more was added"
        )
    return specs, {name: start + first for first, _, name in spans}


def _agreed(source: Source, outer: Mapping[str, TensorSpec], ours: Mapping[str, TensorSpec]) -> dict[str, TensorSpec]:
    """What both headers say of the tensors."""
    if outer.keys() != ours.keys():
        raise source.fail(f"the two headers name other tensors: {sorted(outer.keys() ^ ours.keys())[:20]}")
    for name, spec in ours.items():
        if (spec.dtype, spec.shape) != (outer[name].dtype, outer[name].shape):
            raise source.fail(f"the two headers differ in its dtype or shape: {spec[:2]} and {outer[name][:2]}", name)
    return dict(ours)
