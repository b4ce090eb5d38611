"""What a program depends on besides the values of its arguments: a change of it means another program."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from inspect import signature
from types import CodeType, FrameType
from typing import Any

import numpy as np

from ..engine.blocks import Block
from ..engine.duck import DuckArray
from ..engine.frames import LIBRARY
from ..engine.record import Handle
from ..engine.trees import parts_of
from ..errors import Unbatchable

__all__ = ["FunctionsMet", "changing", "facts_of", "key_of", "memory_layout"]


def key_of(tree: Any, leaves: list[Any]) -> Any:
    """What a program depends on in the arguments; collects the arrays and floats, which are its own arguments.

    Raises Unbatchable for an argument that is not an array but a batch of them.
    """
    kind = type(tree)
    parts = parts_of(tree)
    if parts is not None:
        names = tuple(tree) if isinstance(tree, dict) else ()
        return (kind, names, *(key_of(part, leaves) for part in parts))
    array = tree.data if isinstance(tree, Handle) else tree
    if isinstance(array, np.ndarray):
        leaves.append(array)
        requires_grad = isinstance(tree, Handle) and tree.node is not None and tree.node.requires_grad
        return (kind, array.shape, array.dtype, array.strides, requires_grad)
    if isinstance(array, DuckArray):
        raise Unbatchable("a compiled step takes arrays, got a batch of them")
    number = tree.item() if isinstance(tree, np.generic) else tree
    if type(number) is float:
        leaves.append(number)
        return kind
    try:
        hash(number)
    except TypeError as error:
        raise TypeError(
            f"a compiled step takes Tensors, arrays, numbers, strings and None, in tuples, lists or dicts, "
            f"got {kind.__name__}"
        ) from error
    return (kind, number)


def changing(function: Callable[..., Any], keys: Iterable[Any]) -> str:
    """The name of the argument that differs most between these keys of calls, and in how many ways."""
    seen: dict[int | str, set[Hashable]] = {}
    for _, (_, _, args, kwargs) in keys:
        for position, part in enumerate(args[2:]):
            seen.setdefault(position, set()).add(part)
        for name, part in zip(kwargs[1], kwargs[2:], strict=True):
            seen.setdefault(name, set()).add(part)
    if not seen:
        return "none of its arguments"
    most = max(seen, key=lambda argument: len(seen[argument]))
    if isinstance(most, str):
        return f"the argument {most!r}"
    try:
        names = list(signature(function).parameters)
    except (TypeError, ValueError):
        names = []
    return f"the argument {names[most]!r}" if most < len(names) else f"argument {most}"


def facts_of(owner: Any) -> tuple[Any, ...]:
    """What the program depends on in a captured Tensor, in addition to its memory."""
    node = owner.node
    if node is None or not node.requires_grad:
        return (False, ())
    hooks = node.extra.hooks if node.extra is not None else None
    return (True, tuple(hooks.items()) if hooks else ())


def memory_layout(array: Any) -> Any:
    """What a program depends on in a gradient that it reads."""
    return None if array is None else (type(array), array.shape, array.dtype, getattr(array, "strides", None))


_FOLDERS = (sys.prefix, sys.base_prefix, *(path for path in sys.path if path.endswith("site-packages")))


class FunctionsMet(Block):
    """The user's functions that a step calls while it is traced, to notice that one was edited since.

    A function is looked up again by its name, from its module: a cell that was run again, or a reloaded module, has
    another code object there. Entering the block collects, leaving ends it.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self._function = function
        self._code = getattr(function, "__code__", None)
        self._met: dict[CodeType, dict[str, Any]] = {}
        self._places: list[tuple[dict[str, Any], list[str], CodeType]] = []

    def __enter__(self) -> FunctionsMet:
        self._open.append(partial(self._leave, sys.getprofile()))
        sys.setprofile(self._called)
        return self

    def _leave(self, before: Any) -> None:
        sys.setprofile(before)
        for code, names in self._met.items():
            path = code.co_qualname.split(".")
            if _found(names, path) is code:
                self._places.append((names, path, code))
        self._met.clear()

    def _called(self, frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        known = event != "call" or code in self._met or LIBRARY[code.co_filename]
        if not known and not code.co_filename.startswith(_FOLDERS):
            self._met[code] = frame.f_globals

    def unchanged(self) -> bool:
        """Whether all these functions are what they were."""
        if getattr(self._function, "__code__", None) is not self._code:
            return False
        return all(_found(names, path) is code for names, path, code in self._places)


def _found(names: dict[str, Any], path: list[str]) -> Any:
    """The code object of the function with this dotted name in a module."""
    found = names.get(path[0])
    for name in path[1:]:
        found = getattr(found, "__dict__", {}).get(name)
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    while True:
        code = getattr(found, "__code__", None)
        inner = getattr(found, "__wrapped__", getattr(found, "function", None))
        if inner is None or (code is not None and not LIBRARY[code.co_filename]):
            return code
        found = inner
