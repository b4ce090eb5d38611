"""Converting plain values to JSON and back, exactly.

None, True, 3, "text", 0.5, [..]      as they are
{"float": "nan"}                      also "inf", "-inf"
{"tuple": [..]}, {"dict": [[k, v]]}   used for every dict, so that a JSON object is always one of these
{"dtype": "<f4"}, {"scalar": ["<f4", "0000803f"]}
{"object": 3}                         entry 3 of the header's objects
{"unsaved": "why"}                    something that is not data
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .header import DTYPES

__all__ = ["Unsaved", "decoded", "encoded"]

_DEEPEST = 100
_LARGEST = 4096  # bits of an integer; the time to read it grows with their square
_PLAIN_KEY = 2**48  # the hashes of larger integers, and of other numbers and tuples, can be made to collide
_OTHER_KEYS = 1000  # so many collisions do no harm


class Unsaved(Exception):
    """Something was not data, and so was not saved; the message says what."""


def encoded(value: Any, path: str, reference: Callable[[Any, str], Any], depth: int = 0) -> Any:
    """Encode a value as JSON; ``reference`` encodes what is not a plain value."""
    kind = type(value)
    if value is None or kind in (bool, str):
        return value
    if kind is int and value.bit_length() <= _LARGEST:
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if kind in (list, tuple, dict):
        if depth >= _DEEPEST:
            return {"unsaved": f"{path} nests deeper than {_DEEPEST}"}
        if kind is dict:
            if sum(not _is_plain_key(key) for key in value) > _OTHER_KEYS:
                return {"unsaved": f"{path}: a dict with {_TOO_MANY_KEYS}"}
            return {
                "dict": [
                    [_inner(k, path, k, reference, depth), _inner(v, path, k, reference, depth)]
                    for k, v in value.items()
                ]
            }
        items = [_inner(item, path, i, reference, depth) for i, item in enumerate(value)]
        return items if kind is list else {"tuple": items}
    if isinstance(value, np.dtype) and value.str in DTYPES:
        return {"dtype": value.str}
    if isinstance(value, np.generic) and value.dtype.str in DTYPES:
        stored = np.asarray(value, value.dtype.newbyteorder("<"))
        return {"scalar": [stored.dtype.str, stored.tobytes().hex()]}
    return reference(value, path)


_TOO_MANY_KEYS = f"more than {_OTHER_KEYS:,} keys that are neither strings nor integers below 2**48"


def _is_plain_key(key: Any) -> bool:
    return isinstance(key, str) or (isinstance(key, int | np.integer) and -_PLAIN_KEY < int(key) < _PLAIN_KEY)


def _inner(value: Any, path: str, key: Any, reference: Callable[[Any, str], Any], depth: int) -> Any:
    return encoded(value, f"{path}.{key}" if path else str(key), reference, depth + 1)


def decoded(given: Any, referent: Callable[[int], Any]) -> Any:
    """Decode a value; ``referent`` returns the entries of the header's objects.

    Raises:
        Unsaved: part of it was not data when it was saved.
    """
    if given is None or isinstance(given, bool | int | float | str):
        return given
    if isinstance(given, list):
        return [decoded(item, referent) for item in given]
    ((key, content),) = given.items()
    if key == "tuple":
        return tuple([decoded(item, referent) for item in content])
    if key == "dict":
        return _dict([(decoded(k, referent), decoded(v, referent)) for k, v in content])
    if key == "float":
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[content]
    if key == "dtype":
        return DTYPES[content]
    if key == "scalar":
        (scalar,) = np.frombuffer(bytes.fromhex(content[1]), DTYPES[content[0]])
        return scalar.astype(scalar.dtype.newbyteorder("="))
    if key == "object":
        return referent(content)
    if key == "unsaved":
        raise Unsaved(content)
    raise ValueError(f"unknown kind of value {key!r}")


def _dict(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """The dict of these items, made in linear time: Python's takes quadratic time if all keys have one hash."""
    if sum(not _is_plain_key(key) for key, _ in pairs) > _OTHER_KEYS:
        raise ValueError(f"a dict has {_TOO_MANY_KEYS}")
    return dict(pairs)
