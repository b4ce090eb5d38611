"""What the user promises about an argument: ``y.sum(1) == 1``."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

__all__ = ["Promise", "parsed"]


@dataclass(frozen=True)
class Promise:
    """The sum of an argument along axes is a number."""

    text: str
    argument: str
    axes: tuple[int, ...] | None
    value: Fraction

    def __str__(self) -> str:
        return self.text


def parsed(assume: str | Sequence[str], names: Sequence[str]) -> list[Promise]:
    """Read promises.

    Raises ValueError for anything but ``name.sum(axis) == number``.
    """
    texts = [assume] if isinstance(assume, str) else list(assume)
    found = []
    for text in texts:
        promise = _parsed(text)
        if promise is None:
            raise ValueError(f'assume is {text!r}, expected the sum of an argument, such as "y.sum(1) == 1"')
        if promise.argument not in names:
            raise ValueError(f"assume is {text!r}, but the arguments are {', '.join(names)}")
        found.append(promise)
    return found


def _parsed(text: str) -> Promise | None:
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError:
        return None
    if not isinstance(tree, ast.Compare) or len(tree.ops) != 1 or not isinstance(tree.ops[0], ast.Eq):
        return None
    call = tree.left
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or call.func.attr != "sum":
        return None
    if not isinstance(call.func.value, ast.Name) or len(call.args) > 1:
        return None
    keywords = [k for k in call.keywords if k.arg == "axis"]
    if len(keywords) != len(call.keywords) or len(keywords) + len(call.args) > 1:
        return None
    try:
        axis: Any = ast.literal_eval((call.args or [k.value for k in keywords] or [ast.Constant(None)])[0])
        value = ast.literal_eval(tree.comparators[0])
    except ValueError:
        return None
    if not isinstance(value, int | float):
        return None
    if (
        axis is not None
        and not isinstance(axis, int)
        and not (isinstance(axis, tuple) and all(isinstance(a, int) for a in axis))
    ):
        return None
    return Promise(text, call.func.value.id, (axis,) if isinstance(axis, int) else axis, Fraction(repr(value)))
