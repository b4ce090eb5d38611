"""What the engine and the hand find: uses of a value, gradients without a path, a call with its local variables."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import numpy as np

from ..engine.arrays import array_functions
from ..engine.blocks import restoring
from ..engine.graph import Node, extra
from ..engine.mode import silenced
from ..engine.readings import ARRAYS
from ..engine.walk import backward, unbroadcast

__all__ = ["called", "is_index", "relative", "takes", "uses", "without", "worst"]


def uses(leaf: Node, nodes: list[Node], found: dict[Node, Any]) -> list[Any]:
    """What each use of an argument contributes to its gradient, in the order of the uses."""
    parts = []
    with silenced():
        for node in sorted(nodes, key=lambda n: n.birth):
            for position, parent in enumerate(node.inputs):
                rule = node.rules[position] if node.rules else None
                if parent is leaf and rule is not None and node in found:
                    r = rule(array_functions, found[node], *_saved(node, position))
                    parts.append(unbroadcast(array_functions, r, leaf, node, rule))
    return parts


def _saved(node: Node, position: int) -> tuple[Any, ...]:
    saved: Any = node.saved
    return tuple(saved[position])


def without(out: Node, seed: Any, nodes: list[Node], blocked: Node) -> dict[Node, Any]:
    """The gradients if nothing came through one node."""
    kept = extra(blocked)
    before = kept.hooks
    kept.hooks = {0: lambda g: g * 0.0}
    try:
        return backward(out, seed, ARRAYS, targets=nodes)
    finally:
        kept.hooks = before


def takes(by_hand: Callable[..., Any], count: int) -> bool:
    """Whether a function takes one argument more than the forward does."""
    try:
        inspect.signature(by_hand).bind(*range(count + 1))
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def called(function: Callable[..., Any], args: list[Any]) -> tuple[Any, dict[str, Any]]:
    """The result of a call, and the arrays among the local variables of the function when it returned."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    names: dict[str, Any] = {}
    before = sys.getprofile()

    def watch(frame: FrameType, event: str, arg: Any) -> None:
        if event == "return" and frame.f_code is code:
            names.update({n: v for n, v in frame.f_locals.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f"})

    with restoring(partial(sys.setprofile, before), partial(sys.setprofile, watch)), silenced():
        result = function(*args)
    return result, names


def relative(got: Any, right: Any) -> float:
    """The largest deviation, relative to the largest element; infinite for another shape, NaN or booleans."""
    if got.shape != right.shape or not np.all(np.isfinite(got)) or got.dtype.kind == "b":
        return float("inf")
    apart = float(np.max(np.abs(got - right), initial=0.0))
    scale = float(np.max(np.abs(right), initial=0.0))
    return apart / scale if scale > 1e-14 else apart


def worst(got: Any, right: Any) -> str | None:
    """The element that is furthest off."""
    if got.shape != right.shape or got.dtype.kind == "b" or not right.size:
        return None
    index = np.unravel_index(int(np.argmax(np.abs(got - right))), right.shape)
    place = f"[{', '.join(map(str, index))}]" if index else ""
    return f"{place} is {got[index]:.6g}, expected {right[index]:.6g}"


def is_index(value: Any) -> bool:
    """Whether an argument is an array of integers."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "iu"
