"""Trees: tuples, lists, dicts and slices, nested, with anything else as leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

__all__ = ["alike", "leaves", "mapped", "parts_of"]


def parts_of(tree: Any) -> Sequence[Any] | None:
    """The items of a container, in order; None for a leaf.

    >>> parts_of({"w": 1, "b": 2}), parts_of(slice(3)), parts_of(4.0)
    ([1, 2], (None, 3, None), None)
    """
    if not isinstance(tree, _CONTAINERS):
        return None
    if isinstance(tree, dict):
        return list(tree.values())
    if isinstance(tree, slice):
        return (tree.start, tree.stop, tree.step)
    return tree


_CONTAINERS = (tuple, list, dict, slice)


def alike(tree: Any, parts: Iterable[Any]) -> Any:
    """A container of the same kind with other parts: a named tuple stays one, a dict keeps its keys.

    >>> alike({"w": 1, "b": 2}, [3, 4])
    {'w': 3, 'b': 4}
    """
    if isinstance(tree, dict):
        return dict(zip(tree, parts, strict=True))
    if isinstance(tree, slice):
        return slice(*parts)
    if isinstance(tree, list):
        return list(parts)
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)


def mapped(change: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with ``change(leaf)`` in place of each leaf.

    >>> mapped(str, (1, [2, None]))
    ('1', ['2', 'None'])
    """
    if type(tree) is tuple:  # most are, or are leaves
        return tuple([mapped(change, part) if isinstance(part, _CONTAINERS) else change(part) for part in tree])
    if type(tree) is dict:
        return {key: mapped(change, part) for key, part in tree.items()}
    parts = parts_of(tree)
    return change(tree) if parts is None else alike(tree, [mapped(change, part) for part in parts])


def leaves(tree: Any) -> Iterator[Any]:
    """The leaves, in order.

    >>> list(leaves((1, [2, slice(3)])))
    [1, 2, None, 3, None]
    """
    found: list[Any] = []
    _collect((tree,), found)
    return iter(found)


def _collect(parts: Iterable[Any], found: list[Any]) -> None:
    for part in parts:
        if isinstance(part, _CONTAINERS):
            _collect(part if type(part) is tuple else parts_of(part) or (), found)
        else:
            found.append(part)
