"""What a program depends on besides the values of its arguments: a change of it means another program."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Iterator
from inspect import signature
from types import CodeType, FrameType, FunctionType
from typing import Any

import numpy as np

from ..engine.blocks import Block
from ..engine.duck import DuckArray
from ..engine.frames import LIBRARY
from ..engine.record import Handle
from ..engine.trees import parts_of
from ..errors import Unbatchable
from .text import defined

__all__ = ["Conditions", "FunctionsMet", "arguments_like", "changing", "facts_of", "key_of", "memory_layout"]


class Conditions:
    """Conditions that are tested often, as one expression of Python: there are no calls and loops between them.

    >>> conditions = Conditions()
    >>> conditions.add("x", "is", conditions.name(None))
    >>> holds = conditions.function("x")
    >>> holds(None), holds(1)
    (True, False)
    """

    def __init__(self) -> None:
        self._names: dict[str, Any] = {}
        self._known: dict[int, str] = {}  # names by the id of their value
        self._parts: list[str] = []
        self._steps = 0

    def name(self, value: Any) -> str:
        """A name for a value."""
        name = self._known.setdefault(id(value), f"c{len(self._known)}")
        self._names[name] = value
        return name

    def step(self) -> str:
        """A new name for a value that is looked up on the way, with ``:=``."""
        self._steps += 1
        return f"x{self._steps}"

    def add(self, *words: str) -> None:
        """Add a condition, as words of Python."""
        self._parts.append(" ".join(words))

    def equal(self, found: str, value: Any) -> None:
        """Let an expression have this value, or one that equals it."""
        name = self.name(value)
        if value is None or type(value) is bool or (type(value) is tuple and not value):  # there is one of each
            self.add(f"{found} is {name}")
            return
        now = self.step()
        self.add(f"(({now} := {found}) is {name} or not {now} != {name})")

    def function(self, arguments: str = "", result: str = "True", otherwise: str = "False") -> Callable[..., Any]:
        """A function that returns one expression or the other."""
        test = " and\n        ".join(self._parts) or "True"
        # Defaults lie in one piece of memory, a module's names in several; a long native call leaves none in the cache.
        given = ", ".join([*([arguments] if arguments else []), *(f"{name}={name}" for name in self._names)])
        text = f"def holds({given}):\n    return {result} if (\n        {test}\n    ) else {otherwise}\n"
        found: Callable[..., Any] = defined("holds", text, dict(self._names), "<conditions of a compiled step>")
        return found


def arguments_like(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[..., list[Any] | None]:
    """A function of ``(args, kwargs)``: the arrays and floats in them if they have the same key, or None.

    It knows fewer cases than :func:`key_of`: it may return None although the keys are equal.
    """
    conditions = Conditions()
    found: list[str] = []
    _add(conditions, found, args, "args")
    _add(conditions, found, kwargs, "kwargs")
    return conditions.function("args, kwargs", f"[{', '.join(found)}]", "None")


def _add(conditions: Conditions, found: list[str], tree: Any, path: str) -> None:
    """Add the conditions on a part of the arguments; collects the expressions of arrays and floats."""
    kind = type(tree)
    parts = parts_of(tree)
    here = conditions.step()
    conditions.add(f"type({here} := {path}) is {conditions.name(kind)}")
    if isinstance(tree, slice):
        conditions.add("False")
    elif parts is not None:
        conditions.add(f"len({here}) == {len(parts)}")
        if isinstance(tree, dict) and tree:
            conditions.add(f"tuple({here}) == {conditions.name(tuple(tree))}")
        for key, part in zip(tree if isinstance(tree, dict) else range(len(parts)), parts, strict=True):
            _add(conditions, found, part, f"{here}[{conditions.name(key) if isinstance(tree, dict) else key}]")
    elif isinstance(tree, Handle | np.ndarray):
        array = tree.data if isinstance(tree, Handle) else tree
        if isinstance(tree, Handle):
            node, data = conditions.step(), conditions.step()
            requires_grad = tree.node is not None and tree.node.requires_grad
            wanted = "" if requires_grad else "not "
            conditions.add(f"{wanted}(({node} := {here}.node) is not None and {node}.requires_grad)")
            conditions.add(f"type({data} := {here}._data) is {conditions.name(type(array))}")
            here = data
        conditions.add(f"{here}.dtype is {conditions.name(array.dtype)}")
        conditions.add(f"{here}.shape == {conditions.name(array.shape)}")
        conditions.add(f"{here}.strides == {conditions.name(array.strides)}")
        found.append(here)
    elif kind is float:
        found.append(here)
    elif isinstance(tree, np.generic) and type(tree.item()) is float:
        found.append(f"{here}.item()")
    else:
        conditions.equal(here, tree)


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


_FOLDERS = (sys.prefix, sys.base_prefix, "<frozen", *(path for path in sys.path if path.endswith("site-packages")))


class FunctionsMet(Block):
    """The user's functions that a step calls while it is traced, to notice that one was edited since.

    A function is looked up again by its name, from its module: a cell that was run again, or a reloaded module, has
    another code object there. Entering the block collects, leaving ends it. Nothing is collected while a profiler runs,
    whose place it would take, nor without ``edits``: looking at each call takes as long as the calls themselves.
    """

    def __init__(self, function: Callable[..., Any] | None, edits: bool = True) -> None:
        super().__init__()
        self._function = function
        self._edits = edits
        self._code = getattr(function, "__code__", None)
        self._met: dict[CodeType, dict[str, Any]] = {}
        self._places: list[tuple[dict[str, Any], list[str], CodeType]] = []
        self._on = False

    def __enter__(self) -> FunctionsMet:
        self._on = self._edits and sys.getprofile() is None
        self._open.append(self._leave)
        self.go_on()
        return self

    def _leave(self) -> None:
        self.pause()
        self._on = False
        for code, names in self._met.items():
            path = code.co_qualname.split(".")
            if _found(names, path) is code:
                self._places.append((names, path, code))
        self._met.clear()

    def pause(self) -> None:
        """Do not look at calls: they take twice as long otherwise."""
        if self._on:
            sys.setprofile(None)

    def go_on(self) -> None:
        """Look at calls again."""
        if self._on:
            sys.setprofile(self._called)

    def _called(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "call" and not LIBRARY[frame.f_code.co_filename]:
            self._meet(frame.f_code, frame.f_globals)

    def meet(self, function: Any) -> None:
        """Note a function that is called while nobody looks."""
        if self._edits and isinstance(function, FunctionType) and not LIBRARY[function.__code__.co_filename]:
            self._meet(function.__code__, function.__globals__)

    def _meet(self, code: CodeType, names: dict[str, Any]) -> None:
        if not code.co_filename.startswith(_FOLDERS) and code not in self._met:  # a code object takes long to hash
            self._met[code] = names

    def unchanged(self) -> bool:
        """Whether all these functions are what they were."""
        if getattr(self._function, "__code__", None) is not self._code:
            return False
        return all(_found(names, path) is code for names, path, code in self._places)

    def restrict(self, conditions: Conditions) -> None:
        """Add that nothing on the way to the code of these functions is another object."""
        if self._code is not None:
            conditions.add(f"{conditions.name(self._function)}.__code__ is {conditions.name(self._code)}")
        for names, path, _ in self._places:
            for find, value in _way(names, path):
                conditions.add(f"{find(conditions)} is {conditions.name(value)}")


def _found(names: dict[str, Any], path: list[str]) -> Any:
    """The code object of the function with this dotted name in a module."""
    for _, value in _way(names, path):
        found = value
    return found


def _way(names: dict[str, Any], path: list[str]) -> Iterator[tuple[Callable[[Conditions], str], Any]]:
    """The objects on the way to a function's code, which is the last; and how each is looked up, as an expression."""

    def item(mapping: Any, name: str) -> Callable[[Conditions], str]:
        return lambda conditions: f"{conditions.name(mapping)}.get({name!r})"

    def attribute(owner: Any, name: str) -> Callable[[Conditions], str]:
        return lambda conditions: f"getattr({conditions.name(owner)}, {name!r}, None)"

    found: Any = None
    for place, name in enumerate(path):
        mapping = names if place == 0 else getattr(found, "__dict__", {})
        found = mapping.get(name)
        yield item(mapping, name), found
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    while True:
        code = getattr(found, "__code__", None)
        step = next((name for name in ("__wrapped__", "function") if getattr(found, name, None) is not None), None)
        if step is None or (code is not None and not LIBRARY[code.co_filename]):
            yield attribute(found, "__code__"), code
            return
        inner = getattr(found, step)
        yield attribute(found, step), inner
        found = inner
