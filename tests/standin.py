"""An array class that supports only NumPy's protocols, like CuPy's, and of NumPy's functions only what CuPy has.

It is not an ndarray, cannot be converted to one by accident, and has only ``__array_ufunc__``,
``__array_function__``, operators and the few attributes and methods that every array library has. Functions and
arguments are those of ``docs/arrays.md``, and no others. What runs on it also runs on a GPU's arrays.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tensorgrad.engine.record import Handle

PAGE = (Path(__file__).parent.parent / "docs" / "arrays.md").read_text()


def _section(title: str) -> str:
    return re.split(r"^## ", PAGE.split(f"## {title}\n")[1], flags=re.M)[0]


def _names(text: str) -> set[str]:
    """The names in the second paragraph."""
    return set(re.findall(r"`([a-z0-9_]+)`", text.strip().split("\n\n")[1]))


UFUNCS = _names(_section("Ufuncs")) | _names(_section("Special functions"))
METHODS = {
    name: set(filter(None, (arguments or "").split(", ")))
    for name, arguments in re.findall(r"`(\w+\.\w+)`(?: \(([a-z, ]*)\))?", _section("Ufuncs"))
}
FUNCTIONS = {
    f"numpy.{name}": set(filter(None, arguments.split(", ")))
    for name, arguments in re.findall(r"^\| `([\w.]+)` \| ([a-z_, ]*)\|$", _section("Functions"), flags=re.M)
}
FUNCTIONS = {name: {each.strip() for each in arguments} for name, arguments in FUNCTIONS.items()}


def unwrapped(tree: Any) -> Any:
    """Nested arguments with ndarrays instead of stand-ins."""
    if isinstance(tree, StandIn):
        return tree.hidden
    if type(tree) in (tuple, list):
        return type(tree)(map(unwrapped, tree))
    if type(tree) is dict:
        return {key: unwrapped(value) for key, value in tree.items()}
    return tree


def wrapped(result: Any) -> Any:
    """Results with stand-ins around ndarrays; a stand-in never returns NumPy scalars, only 0-d arrays."""
    if isinstance(result, np.ndarray | np.generic):
        return StandIn(np.asarray(result))
    if hasattr(result, "_fields"):
        return type(result)(*map(wrapped, result))
    if type(result) in (tuple, list):
        return type(result)(map(wrapped, result))
    return result


class StandIn(NDArrayOperatorsMixin):
    """An array of another library."""

    def __init__(self, hidden: Any) -> None:
        self.hidden = np.asarray(hidden)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.hidden.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.hidden.dtype

    @property
    def ndim(self) -> int:
        return self.hidden.ndim

    @property
    def size(self) -> int:
        return self.hidden.size

    @property
    def base(self) -> Any:
        base = self.hidden.base
        while base is not None and not isinstance(base, np.ndarray):  # as_strided puts an object in between
            base = base.base
        return None if base is None else StandIn(base)

    @property
    def real(self) -> Any:
        return StandIn(self.hidden.real)

    def __len__(self) -> int:
        return len(self.hidden)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a stand-in array is never converted to an ndarray implicitly")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(value, Handle) for value in inputs):
            return NotImplemented
        for value in (*inputs, *kwargs.get("out", ())):
            if isinstance(value, np.ndarray):
                raise TypeError(f"a NumPy array of shape {value.shape} met a stand-in in {ufunc.__name__}")
        name = ufunc.__name__
        known = {"out"} if method == "__call__" and name in UFUNCS else METHODS.get(f"{name}.{method}")
        if known is None:
            return NotImplemented
        if more := kwargs.keys() - known:
            raise TypeError(f"{name}.{method} takes no {', '.join(sorted(more))}; see docs/arrays.md")
        result = getattr(ufunc, method)(*unwrapped(inputs), **unwrapped(kwargs))
        return kwargs["out"][0] if "out" in kwargs else wrapped(result)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(kind, Handle) for kind in types):
            return NotImplemented
        name = f"{function.__module__}.{function.__name__}"
        if name not in FUNCTIONS:
            return NotImplemented
        if more := kwargs.keys() - FUNCTIONS[name]:
            raise TypeError(f"{name} takes no {', '.join(sorted(more))}; see docs/arrays.md")
        stable = {"stable": True} if function in (np.sort, np.argsort) else {}
        return wrapped(function(*unwrapped(args), **unwrapped(kwargs), **stable))

    def __getitem__(self, index: Any) -> Any:
        return wrapped(self.hidden[unwrapped(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.hidden[unwrapped(index)] = unwrapped(value)

    def __bool__(self) -> bool:
        return bool(self.hidden)

    def __float__(self) -> float:
        return float(self.hidden)

    def item(self) -> Any:
        return self.hidden.item()

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        return StandIn(self.hidden.astype(dtype, copy=copy))

    def copy(self) -> Any:
        return StandIn(self.hidden.copy())

    def reshape(self, *shape: Any) -> Any:
        return StandIn(self.hidden.reshape(*shape))

    def get(self) -> Any:
        """The array in the CPU's memory."""
        return self.hidden.copy()
