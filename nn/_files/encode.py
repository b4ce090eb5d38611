"""A model as JSON and tensors.

Every mutable object is an entry of one table and is referred to by its position, so shared objects stay shared, and
cycles need no special care.

    {"class": "Linear", "attributes": {"dict": [["in_features", 64], ["W", {"object": 7}], ...]}}
    {"parameter": "layers.0.W", "requires_grad": true, "name": "layers.0.W"}     or "tensor"; the stored tensor's name
    {"array": "scale"}
    {"labels": "<U10", "shape": .., "values": ..}   strings; see :mod:`nn._files.labels`
    {"generator": "PCG64", "state": .., "seed": ..}
    {"class": "StepLR", "attributes": .., "state": ..}   a schedule, whose state is data even if it holds a function
    {"optimizer": "AdamW", "params": [..], "arguments": .., "attributes": .., "state": ..}

So that files of earlier versions can be read, a class that gains an attribute has its default as a class attribute.

An entry also has "unsaved" if its class is the user's own: it can be loaded into such an object, but not rebuilt.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

import tensorgrad as tg

from .._members import named
from .._module import Module
from .._optim.optimizer import Optimizer
from .._optim.scheduler import Scheduler
from .._parameter import Parameter
from .budgets import Budgets
from .header import DTYPES
from .labels import are_labels
from .registry import BIT_GENERATORS, arguments_of, is_registered, is_writer, registry
from .values import encoded

__all__ = ["Encoder", "members"]


def members(model: Module) -> dict[str, Any]:
    """The state of a model, by dotted path: tensors, generators, optimisers, and records such as a history.

    Each is there once. This is what can be loaded into another model.

    Raises:
        ValueError: two of them have the same path.
    """
    found: dict[str, Any] = dict(model._state())
    records = (kind for kind in registry().values() if not issubclass(kind, Module))
    kinds: Any = (np.random.Generator, Optimizer, *records)
    seen: set[int] = set()
    for path, module in model.named_modules():
        for name, value in named(vars(module), kinds, ()):
            full = f"{path}.{name}" if path else name
            if id(value) in seen:
                continue
            seen.add(id(value))
            if full in found:
                raise ValueError(f"two members of {type(model).__name__} have the path {full!r}; rename one of them")
            found[full] = value
    return found


class Encoder:
    """Builds the table of objects and collects the tensors.

    Attributes:
        objects: the table.
        arrays: the tensors, by name.
    """

    def __init__(self) -> None:
        self.objects: list[dict[str, Any]] = []
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}
        self._known: dict[int, tuple[int, Any]] = {}  # position, and object, so that its id is not reused
        self._nbytes = 0  # of all arrays
        self._budgets = Budgets()
        self._waiting: deque[tuple[int, Any, str]] = deque()

    def add(self, value: Any, path: str) -> Any:
        """Encode a value as JSON; errors name it by its path."""
        result = encoded(value, path, self._reference)
        while self._waiting:
            position, waiting, where = self._waiting.popleft()
            entry = self._entry(waiting, where)
            if isinstance(waiting, tg.Tensor | Optimizer | Module) and not _is_ours(type(waiting)):
                entry["unsaved"] = f"{where or 'the model'}: the class {type(waiting).__qualname__} is not one of nn's"
            self.objects[position] = entry
        with _located(path):
            self._budgets.require_optimizers(self._nbytes)
        return result

    def _reference(self, value: Any, path: str) -> dict[str, Any]:
        if id(value) not in self._known:
            if reason := _why_not_data(value):
                return {"unsaved": f"{path}: {reason}"}
            position = len(self.objects)
            self._known[id(value)] = position, value
            self.objects.append({})
            self._waiting.append((position, value, path))
        return {"object": self._known[id(value)][0]}

    def _entry(self, value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, tg.Tensor):
            kind = "parameter" if isinstance(value, Parameter) else "tensor"
            learned = value.requires_grad and value.is_leaf
            return {kind: self._array(value.data, path), "requires_grad": learned, "name": value.name}
        if isinstance(value, np.ndarray):
            return self._labels(value, path) if value.dtype.str not in DTYPES else {"array": self._array(value, path)}
        if isinstance(value, np.random.Generator):
            return self._generator(value, path)
        if isinstance(value, Optimizer):
            return self._optimizer(value, path)
        state = value.__getstate__() or {} if is_registered(type(value)) else {}
        entry = {"class": type(value).__name__, "attributes": encoded(state, path, self._reference)}
        if isinstance(value, Scheduler):
            entry["state"] = encoded(value.state_dict(), path, self._reference)
        return entry

    def _array(self, data: Any, path: str) -> str:
        array = np.asarray(data)
        if array.dtype.str not in DTYPES:
            raise tg.DTypeError(f"nn.save: {path} has dtype {array.dtype}, expected bool or numbers of up to 64 bits")
        name, count = path, 1
        while name in self.arrays:
            count += 1
            name = f"{path}~{count}"
        self.arrays[name] = array
        self._nbytes += array.nbytes
        return name

    def _labels(self, value: np.ndarray[Any, Any], path: str) -> dict[str, Any]:
        dtype = value.dtype.newbyteorder("<")
        with _located(path):
            self._budgets.labels.spend(dtype, value.size)
        values = encoded(value.ravel().tolist(), path, self._reference)
        return {"labels": dtype.str, "shape": list(value.shape), "values": values}

    def _generator(self, value: np.random.Generator, path: str) -> dict[str, Any]:
        bits = value.bit_generator
        seed = bits.seed_seq
        names = ("entropy", "spawn_key", "pool_size", "n_children_spawned")
        grown = {name: getattr(seed, name) for name in names} if type(seed) is np.random.SeedSequence else None
        if grown is not None:
            with _located(f"{path}.seed"):
                self._budgets.spend_on_seed(grown)
        return {
            "generator": type(bits).__name__,
            "state": encoded(dict(bits.state), path, self._reference),
            "seed": encoded(grown, f"{path}.seed", self._reference),
        }

    def _optimizer(self, value: Optimizer, path: str) -> dict[str, Any]:
        public = {name: v for name, v in vars(value).items() if not name.startswith("_") and name != "param_groups"}
        names = arguments_of(type(value))
        arguments = {name: v for name, v in (value._defaults | public).items() if name in names}
        params = [param for group in value.param_groups for param in group["params"]]
        self._budgets.spend_on_optimizer(params)
        parts = {
            "params": params,
            "arguments": arguments,
            "attributes": {name: v for name, v in public.items() if name not in names},
            "state": value.state_dict(),
        }
        return {
            "optimizer": type(value).__name__,
            **{name: encoded(part, path, self._reference) for name, part in parts.items()},
        }


@contextlib.contextmanager
def _located(path: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"nn.save: {path}: {error}") from None


def _why_not_data(value: Any) -> str | None:
    """Why a value cannot be an entry of the table, or None if it can."""
    kind = type(value)
    if isinstance(value, tg.Tensor | Optimizer | Module):
        return None
    if kind in (np.ndarray, np.memmap):
        return None if value.dtype.str in DTYPES or are_labels(value) else f"an array of {value.dtype} cannot be saved"
    if kind is np.random.Generator:
        name = type(value.bit_generator).__name__
        return None if name in BIT_GENERATORS else f"{name} is not one of NumPy's bit generators"
    if is_registered(kind):
        return None if isinstance(value.__getstate__(), dict | None) else f"{kind.__name__} is more than its attributes"
    if is_writer(kind):
        return f"{kind.__name__} writes to a path, which no file may choose"
    if callable(value):
        return f"{getattr(value, '__qualname__', kind.__qualname__)} is a function or a class, not data"
    return f"{kind.__qualname__} is not a plain value"


def _is_ours(kind: type) -> bool:
    return kind in (tg.Tensor, Parameter) or is_registered(kind)
