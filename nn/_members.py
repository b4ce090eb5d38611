"""The members of a module, found in its attributes and in lists, tuples and dicts among these."""

from __future__ import annotations

from collections import UserDict, UserList, deque
from collections.abc import Iterable, Mapping, ValuesView
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

__all__ = ["Unsearched", "holds", "joined", "named"]

T = TypeVar("T")


class Unsearched:
    """A container of plain data, which a search for members passes over."""


def joined(path: str, name: str) -> str:
    """Return the dotted path of a member of the module at a path."""
    return f"{path}.{name}" if path else name


def holds(value: Any, kinds: tuple[type, ...]) -> bool:
    """Return whether the value is of one of these kinds, or a container with such a value."""
    if type(value) in _PLAIN:
        return False
    if isinstance(value, kinds):
        return True
    items = _items(value)
    return items is not None and any(holds(item, kinds) for item in items)


def named(attributes: Mapping[str, Any], kind: type[T], kinds: tuple[type, ...]) -> list[tuple[str, T]]:
    """Return the members of a kind, by name. Raises TypeError if a container without names holds any of ``kinds``."""
    found: list[tuple[str, T]] = []
    _collect("", attributes.items(), kind, kinds, found)
    return found


def _collect(
    prefix: str, items: Iterable[tuple[Any, Any]], kind: type[T], kinds: tuple[type, ...], found: list[tuple[str, T]]
) -> None:
    for key, value in items:
        if type(value) in _PLAIN:
            continue
        name = f"{prefix}{key}"
        if isinstance(value, kind):
            found.append((name, value))
        elif isinstance(value, Unsearched):
            pass
        elif isinstance(value, list | tuple):
            _collect(f"{name}.", enumerate(value), kind, kinds, found)
        elif isinstance(value, dict):
            _collect(f"{name}.", value.items(), kind, kinds, found)
        elif holds(value, kinds) and not isinstance(value, kinds):
            raise TypeError(
                f"the attribute {name!r} is a {type(value).__name__}: modules and parameters in it are not found, and "
                "would not be learned; write a list, a dict or nn.Sequential(...)"
            )


# Most attributes are settings, and a dozen checks of kind cost more than one look-up.
_PLAIN = frozenset((bool, int, float, str, type(None)))

# Other kinds are not searched, as this could be expensive: some files of arrays, for example, are mappings.
_SEQUENCES = (list, tuple, set, frozenset, deque, UserList, ValuesView)
_MAPPINGS = (dict, UserDict, MappingProxyType)


def _items(value: Any) -> Iterable[Any] | None:
    """Return the items of a container, or None for anything else."""
    if isinstance(value, Unsearched):
        return None
    if isinstance(value, _SEQUENCES):
        return value
    if isinstance(value, _MAPPINGS):
        return value.values()
    if isinstance(value, np.ndarray) and value.dtype == object:
        return list(value.flat)
    return None
