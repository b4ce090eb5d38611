"""Nests of arguments or results (dicts, lists, tuples and modules), and the paths of their leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.record import tensor_of
from ..engine.staging import array_of
from ..engine.trees import alike
from ..errors import DTypeError, ShapeError
from ..tensor import Tensor

__all__ = ["fitting", "floating", "in_kind", "leaves", "mapped", "matched", "parameters", "same"]

_LEAVES = (Tensor, np.ndarray, float)  # checked first, because most arguments are one of these


def parameters(tree: Any) -> list[tuple[str, Tensor]] | None:
    """The parameters of a module, by name; None for anything else.

    A module is anything with a method ``named_parameters()``. Frozen parameters, which require no gradient, are left
    out.
    """
    named = None if isinstance(tree, _LEAVES) else getattr(tree, "named_parameters", None)
    if named is None or isinstance(tree, type):
        return None
    return [(name, parameter) for name, parameter in named() if parameter.requires_grad]


def same(path: str, leaf: Any) -> Any:
    """Return the leaf unchanged, for :func:`mapped`."""
    return leaf


def _parts_of(tree: Any) -> list[tuple[Any, Any]] | None:
    """The parts of a dict, list or tuple with their keys or indices; None for a leaf."""
    if isinstance(tree, dict):
        return list(tree.items())
    return list(enumerate(tree)) if isinstance(tree, list | tuple) else None


def mapped(
    function: Callable[[str, Any], Any], tree: Any, path: str, module: Callable[[str, Any], Any] | None = None
) -> Any:
    """A nest of dicts, lists and tuples with every leaf replaced by ``function(path, leaf)``; None stays.

    A module is replaced by ``module(path, it)``, or by a dict with its parameters as leaves.

    >>> mapped(lambda path, leaf: (path, 2 * leaf), {"w": [1.0, None]}, "argument 0")
    {'w': [("argument 0['w'][0]", 2.0), None]}
    """
    if isinstance(tree, _LEAVES):
        return function(path, tree)
    if tree is None:
        return None
    parts = _parts_of(tree)
    if parts is not None:
        return alike(tree, [mapped(function, part, f"{path}[{key!r}]", module) for key, part in parts])
    own = parameters(tree)
    if own is None:
        return function(path, tree)
    if module is not None:
        return module(path, tree)
    return {name: function(f"{path}.{name}", parameter) for name, parameter in own}


def matched(function: Callable[[str, Any, Any], Any], tree: Any, other: Any, path: str, what: str) -> Any:
    """``function(path, leaf, other)`` for every leaf of a nest and its counterpart in another nest, ``what``.

    None in the other nest means None for every leaf there. Raises ValueError if the two do not match.

    >>> matched(lambda path, a, b: a * b, {"w": [1.0, 2.0]}, {"w": [3.0, 4.0]}, "argument 0", "the tangent")
    {'w': [3.0, 8.0]}
    """
    if other is None:
        return mapped(lambda path, leaf: function(path, leaf, None), tree, path)
    if isinstance(tree, dict):
        if not isinstance(other, dict) or other.keys() != tree.keys():
            got = f"has the keys {list(other)}" if isinstance(other, dict) else f"is a {type(other).__name__}"
            raise ValueError(f"{what} of {path} {got}, expected a dict with the keys {list(tree)}")
        return {key: matched(function, part, other[key], f"{path}[{key!r}]", what) for key, part in tree.items()}
    if isinstance(tree, list | tuple):
        if not isinstance(other, list | tuple) or len(other) != len(tree):
            got = f"has length {len(other)}" if isinstance(other, list | tuple) else f"is a {type(other).__name__}"
            raise ValueError(
                f"{what} of {path} {got}, expected a {type(tree).__name__} of length {len(tree)}, like {path} itself"
            )
        parts = zip(tree, other)
        return alike(tree, [matched(function, a, b, f"{path}[{i}]", what) for i, (a, b) in enumerate(parts)])
    if tree is None:
        raise ValueError(f"{what} of {path} is a {type(other).__name__}, expected None, like {path} itself")
    return function(path, tree, other)


def leaves(tree: Any) -> list[Any]:
    """The leaves of a nest, in order; None is not a leaf.

    >>> leaves({"w": [1.0, None], "b": (2.0,)})
    [1.0, 2.0]
    """
    found: list[Any] = []
    mapped(lambda _, leaf: found.append(leaf), tree, "")
    return found


def _array_like(leaf: Any) -> bool:
    return isinstance(leaf, int | float | complex | np.generic) or hasattr(leaf, "__array_function__")


def floating(path: str, leaf: Any) -> Tensor:
    """An argument as a Tensor with a floating-point dtype; the errors it raises name the argument."""
    x = leaf if isinstance(leaf, Tensor) else None
    if x is None and (isinstance(leaf, np.ndarray) or _array_like(leaf)):
        x = Tensor(leaf)
    if x is None:
        raise TypeError(
            f"{path} is a {type(leaf).__name__}, expected a Tensor, an array, a float, a module, or a dict, list or "
            f"tuple of these; if it needs no gradient, leave it out of argnums, or bind it with a lambda"
        )
    if x.dtype.kind not in "fc":
        raise DTypeError(
            f"{path} has dtype {x.dtype}, but a derivative needs floating point; write {_as_float(leaf)}, "
            f"or leave it out of argnums (or bind it with a lambda)"
        )
    return x


def in_kind(like: Any, result: Tensor, cut: bool = False) -> Any:
    """A result in the kind of an argument: an array for an array, a NumPy scalar for a number, otherwise a Tensor.

    A result with a history stays a Tensor, because an array would lose it, unless the history is to be ``cut``.
    """
    if isinstance(like, Tensor):
        return result.detach() if cut else result
    if not cut and result.requires_grad:
        return result
    array = array_of(result)
    return array[()] if isinstance(like, int | float | complex | np.generic) and not array.shape else array


def fitting(path: str, like: Tensor, given: Any, what: str) -> Tensor | None:
    """A tangent or cotangent as a Tensor, cast to the dtype of ``like``; None, which stands for zero, stays None.

    Raises ShapeError unless its shape is that of ``like``.
    """
    if given is None:
        return None
    if not isinstance(given, Tensor):
        if not (_array_like(given)):
            raise TypeError(
                f"{what} of {path} is a {type(given).__name__}, expected a Tensor or an array of shape {like.shape}"
            )
        given = Tensor(given)
    if given.shape != like.shape:
        raise ShapeError(f"{what} of {path} has shape {given.shape}, expected {like.shape}, the shape of {path}")
    if given.dtype.kind == "c" and like.dtype.kind != "c":
        raise DTypeError(f"{what} of {path} has dtype {given.dtype}, expected {like.dtype}, the dtype of {path}")
    if given.dtype == like.dtype:
        return given
    return given.astype(like.dtype) if given.dtype.kind in "fc" else tensor_of(given.data.astype(like.dtype), None)


def _as_float(leaf: Any) -> str:
    return repr(float(leaf)) if isinstance(leaf, int) else "tg.Tensor(..., dtype=np.float64)"
