"""Calls that are kept as they are: the Python text of a NumPy call, with places for its arrays."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..compiler.variables import Instruction, Variable
from ..engine.arrays import basic, scatter
from .values import Code, Value

__all__ = ["SCATTER", "Unliftable", "kept_call"]


SCATTER: Any = scatter.__wrapped__  # type: ignore[attr-defined]  # what a trace records


class Unliftable(Exception):
    """A call has no formula, and cannot be kept as it is; says why."""


_HOMES = (
    ("np", np),
    ("np.linalg", np.linalg),
    ("np.fft", np.fft),
    ("np.lib.stride_tricks", np.lib.stride_tricks),
)


def public_name(function: Any) -> str | None:
    """The name under which NumPy offers a function."""
    owner: Any = getattr(function, "__self__", None)
    if isinstance(owner, np.ufunc):
        return f"np.{owner.__name__}.{function.__name__}" if getattr(np, owner.__name__, None) is owner else None
    name = getattr(function, "__name__", "")
    for home, module in _HOMES:
        if getattr(module, name, None) is function:
            return f"{home}.{name}"
    return None


class _Text:
    """Writes arguments, and collects the values that stand in them."""

    def __init__(self, value_of: Callable[[Any], Value]) -> None:
        self.value_of = value_of
        self.values: list[Value] = []

    def write(self, leaf: Any) -> str:
        """The text of one argument."""
        if isinstance(leaf, Variable):
            self.values.append(self.value_of(leaf))
            return f"{{{len(self.values) - 1}}}"
        if isinstance(leaf, tuple):
            inside = ", ".join(map(self.write, leaf))
            return f"({inside},)" if len(leaf) == 1 else f"({inside})"
        if isinstance(leaf, list):
            return f"[{', '.join(map(self.write, leaf))}]"
        if isinstance(leaf, slice):
            return f"slice({self.write(leaf.start)}, {self.write(leaf.stop)}, {self.write(leaf.step)})"
        if isinstance(leaf, np.dtype):
            return f"np.{leaf.name}" if leaf.name != "bool" else "bool"
        if isinstance(leaf, np.generic):
            leaf = leaf.item()
        if leaf is Ellipsis:
            return "..."
        if leaf is None or isinstance(leaf, bool | int | str):
            return repr(leaf)
        if isinstance(leaf, float):
            return (
                repr(leaf) if np.isfinite(leaf) else f"{'-' if leaf < 0 else ''}np.{'nan' if leaf != leaf else 'inf'}"
            )
        raise Unliftable(f"called with {type(leaf).__name__}, which cannot be printed")

    def owner(self, leaf: Any) -> str:
        """The text of what an index or a method follows, {p0} for a value."""
        return self.write(leaf).replace("{", "{p")

    def index(self, index: Any) -> str:
        """An index as it is written in brackets."""
        parts = index if isinstance(index, tuple) else (index,)
        if not parts:
            return "()"
        return ", ".join(self._slice(p) if isinstance(p, slice) else self.write(p) for p in parts)

    def _slice(self, part: slice) -> str:
        start, stop, step = ("" if p is None else self.write(p) for p in (part.start, part.stop, part.step))
        return f"{start}:{stop}" + (f":{step}" if step else "")


def kept_call(instruction: Instruction, value_of: Callable[[Any], Value], *, writes: bool = False) -> Code:
    """A call as Python text.

    Raises Unliftable if the function is not one of NumPy's.
    """
    text = _Text(value_of)
    function: Any = instruction.function
    args, kwargs = instruction.args, instruction.kwargs
    if writes:
        lines = [f"{{name}} = {text.owner(args[0])}.copy()"]
        if function is operator.setitem:
            lines.append(f"{{name}}[{text.index(args[1])}] = {text.write(args[2])}")
        else:
            name = public_name(function)
            if name is None or "out" in kwargs:
                raise Unliftable("not a public function of NumPy")
            inside = [text.write(a) for a in args[1:]] + [f"{k}={text.write(v)}" for k, v in kwargs.items()]
            lines.append(f"{name}({', '.join(['{name}', *inside])})")
        return Code("\n".join(lines), tuple(text.values))
    if function is operator.getitem:
        return Code(f"{text.owner(args[0])}[{text.index(args[1])}]", tuple(text.values))
    if function is SCATTER:
        values, index, shape = args
        put = text.write(values)
        place = text.index(index) if basic(index) else text.write(index)
        line = f"{{name}}[{place}] = {put}" if basic(index) else f"np.add.at({{name}}, {place}, {put})"
        return Code(f"{{name}} = np.zeros({shape!r})\n{line}", tuple(text.values))
    if function is np.ndarray.astype:
        return Code(f"{text.owner(args[0])}.astype({text.write(args[1])})", tuple(text.values))
    name = public_name(function)
    if name is None:
        raise Unliftable("not a public function of NumPy")
    inside = [text.write(a) for a in args] + [f"{k}={text.write(v)}" for k, v in kwargs.items()]
    return Code(f"{name}({', '.join(inside)})", tuple(text.values))
