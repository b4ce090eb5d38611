"""Objects from the table that :mod:`nn._files.encode` describes.

Only classes that :func:`registry` knows are made, without their constructors: their attributes are given to them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

import tensorgrad as tg

from .._module import Module
from .._optim.optimizer import Optimizer
from .._parameter import Parameter
from .registry import BIT_GENERATORS, arguments_of, registry
from .values import Unsaved, decoded

__all__ = ["Decoder", "load_optimizer"]

# The largest numbers in the states of NumPy's bit generators; the smallest is 0. NumPy believes the positions.
_LARGEST = {
    "buffer_pos": 4,
    "has_uint32": 1,
    "inc": 2**128 - 1,
    "pos": 624,
    "state": 2**128 - 1,
    "uinteger": 2**32 - 1,
}


class Decoder:
    """Makes what is asked for, and what that refers to; each object once.

    Args:
        objects: the table.
        arrays: the tensors by name.
    """

    def __init__(self, objects: list[dict[str, Any]], arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        self.objects = objects
        self.arrays = arrays
        self._made: dict[int, Any] = {}
        self._empty: deque[tuple[dict[str, Any], Any]] = deque()  # objects whose attributes are still to come
        self._optimizers: deque[tuple[dict[str, Any], Any]] = deque()  # made last, for they look at their parameters

    def entry(self, reference: Any) -> dict[str, Any]:
        """The entry that a reference names."""
        return self.objects[reference["object"]]

    def stands_for(self, reference: Any, live: Any) -> None:
        """Where this is referred to, take an object that exists."""
        self._made[reference["object"]] = live

    def standing_for(self, reference: Any) -> int | None:
        """The id of what exists already where this is referred to."""
        made = self._made.get(reference["object"])
        return None if made is None else id(made)

    def value(self, given: Any) -> Any:
        """What a piece of JSON describes.

        Raises:
            Unsaved: something was no data when it was saved; nothing that was begun is kept.
        """
        count = len(self._made)
        try:
            result = decoded(given, self._referent)
            while self._empty or self._optimizers:
                if self._empty:
                    entry, shell = self._empty.popleft()
                    self._fill(entry, shell)
                else:
                    entry, shell = self._optimizers.popleft()
                    self._make_optimizer(entry, shell)
        except Unsaved:
            self._empty.clear()
            self._optimizers.clear()
            for position in list(self._made)[count:]:
                del self._made[position]
            raise
        return result

    def fresh(self, reference: Any) -> Any:
        """A new object, even if something else stands for it."""
        kept = self._made.pop(reference["object"])
        try:
            return self.value(reference)
        finally:
            self._made[reference["object"]] = kept

    def _referent(self, position: int) -> Any:
        if position not in self._made:
            if position < 0:
                raise IndexError(f"no object {position}")
            self._made[position] = self._new(self.objects[position])
        return self._made[position]

    def _new(self, entry: dict[str, Any]) -> Any:
        if "unsaved" in entry:
            raise Unsaved(entry["unsaved"])
        if "array" in entry:
            return self.arrays[entry["array"]]
        if "parameter" in entry or "tensor" in entry:
            kind, key = (Parameter, "parameter") if "parameter" in entry else (tg.Tensor, "tensor")
            return kind(self.arrays[entry[key]], requires_grad=entry["requires_grad"], name=entry["name"])
        if "generator" in entry:
            return self._generator(entry)
        name, waiting = (
            (entry["optimizer"], self._optimizers) if "optimizer" in entry else (entry["class"], self._empty)
        )
        cls: Any = registry().get(name)
        if cls is None or issubclass(cls, Optimizer) != ("optimizer" in entry):
            error = Unsaved if "optimizer" in entry else ValueError
            raise error(f"nn has no class {name!r} to rebuild; install the tensorgrad that has written the file")
        shell = cls.__new__(cls)
        waiting.append((entry, shell))
        return shell

    def _generator(self, entry: dict[str, Any]) -> np.random.Generator:
        name = entry["generator"]
        if name not in BIT_GENERATORS:
            raise ValueError(f"{name!r} is none of NumPy's bit generators")
        seed, state = (decoded(entry[key], self._referent) for key in ("seed", "state"))
        if seed is not None and seed["pool_size"] != 4:
            raise ValueError(f"pool_size of a seed is 4, got {seed['pool_size']!r}")
        bits = getattr(np.random, name)(0 if seed is None else np.random.SeedSequence(**seed))
        _require_state("the state", state, bits.state)
        bits.state = state
        return np.random.Generator(bits)

    def _fill(self, entry: dict[str, Any], shell: Any) -> None:
        state = decoded(entry["attributes"], self._referent)
        if not all(isinstance(name, str) for name in state):
            raise ValueError("an attribute's name is no text")
        vars(shell).update(state)
        if isinstance(shell, Module):
            _require_module(shell)
            for value in state.values():
                if isinstance(value, Parameter):
                    value.held = getattr(value, "held", 0) + 1

    def _make_optimizer(self, entry: dict[str, Any], shell: Any) -> None:
        params, arguments, state = (decoded(entry[key], self._referent) for key in ("params", "arguments", "state"))
        options = arguments_of(type(shell)) - {"params"}
        groups = [
            {"params": [params[i] for i in group["params"]], **{k: v for k, v in group.items() if k in options}}
            for group in state["param_groups"]
        ]
        shell.__init__(groups, **arguments)
        load_optimizer(shell, state, decoded(entry["attributes"], self._referent))


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Any], attributes: Mapping[str, Any]) -> None:
    """Give an optimiser the state of another one, and what was counted beside it.

    An option that only one of them has, such as a schedule's notes or what an earlier version did not know, stays.
    """
    groups = [dict(group) for group in state["param_groups"]]
    for group, saved in zip(optimizer.param_groups, groups, strict=False):
        for name in saved.keys() - group.keys():
            group[name] = saved[name]
        for name in group.keys() - saved.keys():
            saved[name] = group[name]
    optimizer.load_state_dict({**state, "param_groups": groups})
    vars(optimizer).update(attributes)


def _require_state(name: str, given: Any, like: Any) -> None:
    """Raise ValueError unless a piece of a bit generator's state is such as another one, and in range."""
    if isinstance(like, int):
        if type(given) is not int or not 0 <= given <= _LARGEST[name]:
            raise ValueError(f"{name} of a generator is an integer from 0 to {_LARGEST[name]}, got {given!r}")
    elif type(given) is not type(like):
        raise ValueError(f"{name} of a generator is of type {type(given).__name__}, expected {type(like).__name__}")
    elif isinstance(like, dict):
        if given.keys() != like.keys():
            raise ValueError(f"{name} of a generator has {list(given)}, expected {list(like)}")
        for key in like:
            _require_state(key, given[key], like[key])
    elif isinstance(like, np.ndarray):
        if (given.dtype, given.shape) != (like.dtype, like.shape):
            raise ValueError(f"{name} of a generator is of {given.dtype} and shape {given.shape}")
    elif given != like:
        raise ValueError(f"{name} of a generator is {given!r}, expected {like!r}")


def _require_module(module: Module) -> None:
    """Raise ValueError unless its attributes are a module's."""
    state = vars(module)
    buffers = state.get("_buffers")
    if type(state.get("training")) is not bool or not isinstance(buffers, tuple) or "_places" not in state:
        raise ValueError(f"{type(module).__name__} has not the attributes of a module")
    if not all(isinstance(state.get(name), tg.Tensor) for name in buffers):
        raise ValueError(f"a buffer of {type(module).__name__} is no tensor")
    state["_places"] = None
