"""Where a module's members are: in its attributes, and in the lists, tuples and dicts that those hold."""

from __future__ import annotations

from collections import UserDict, UserList, deque
from collections.abc import Iterable, Mapping, ValuesView
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

__all__ = ["holds", "joined", "named"]

T = TypeVar("T")


def joined(path: str, name: str) -> str:
    """The dotted path of a member of what has a path."""
    return f"{path}.{name}" if path else name


def holds(value: Any, kinds: tuple[type, ...]) -> bool:
    """Is the value of these kinds, or a container of such?"""
    if isinstance(value, kinds):
        return True
    items = _items(value)
    return items is not None and any(holds(item, kinds) for item in items)


def named(attributes: Mapping[str, Any], kind: type[T], kinds: tuple[type, ...]) -> list[tuple[str, T]]:
    """The members of a kind, by name. Raises TypeError for one of any kind in a container without names."""
    found: list[tuple[str, T]] = []
    for name, value in attributes.items():
        _collect(name, value, kind, kinds, found)
    return found


def _collect(name: str, value: Any, kind: type[T], kinds: tuple[type, ...], found: list[tuple[str, T]]) -> None:
    if isinstance(value, kind):
        found.append((name, value))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _collect(f"{name}.{i}", item, kind, kinds, found)
    elif isinstance(value, dict):
        for key, item in value.items():
            _collect(f"{name}.{key}", item, kind, kinds, found)
    elif holds(value, kinds) and not isinstance(value, kinds):
        raise TypeError(
            f"the attribute {name!r} is a {type(value).__name__}: modules and parameters are not found in it, and "
            "would not be learned; write a list, a dict or nn.Sequential(...)"
        )


# Of further kinds, such as files of arrays that are mappings, looking into them could cost much.
_SEQUENCES = (list, tuple, set, frozenset, deque, UserList, ValuesView)
_MAPPINGS = (dict, UserDict, MappingProxyType)


def _items(value: Any) -> Iterable[Any] | None:
    """What a container holds; None for what is none."""
    if isinstance(value, _SEQUENCES):
        return value
    if isinstance(value, _MAPPINGS):
        return value.values()
    if isinstance(value, np.ndarray) and value.dtype == object:
        return list(value.flat)
    return None
