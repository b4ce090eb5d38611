"""Rebuilding objects from the table that :mod:`nn._files.encode` describes, whoever wrote it.

Only public classes of nn are instantiated. Their constructors are not called: the attributes are set directly, and
none of them may hide a method. Each tensor belongs to one entry, so that no file is copied more often than it is long.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

import tensorgrad as tg

from .._module import Module
from .._optim.group import ParamGroup
from .._optim.optimizer import Optimizer
from .._optim.scheduler import Scheduler
from .._parameter import Parameter
from .budgets import Budgets, require_table
from .labels import labels_of
from .registry import BIT_GENERATORS, arguments_of, is_estimator, kind_named
from .values import Unsaved, decoded

__all__ = ["Decoder", "give_state", "load_optimizer", "require_optimizer"]

# The largest numbers in the states of NumPy's bit generators; the smallest is 0. NumPy does not check the positions.
_LARGEST = {
    "buffer_pos": 4,
    "has_uint32": 1,
    "inc": 2**128 - 1,
    "pos": 624,
    "state": 2**128 - 1,
    "uinteger": 2**32 - 1,
}


class Decoder:
    """Builds the objects that are asked for and those they refer to, each once.

    Args:
        objects: the table.
        arrays: the tensors, by name.

    Raises:
        ValueError: something is not an entry of one kind, or two entries are the same tensor.
    """

    def __init__(self, objects: list[dict[str, Any]], arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        require_table(objects)
        self.objects = objects
        self.arrays = arrays
        self._made: dict[int, Any] = {}
        self._budgets = Budgets()
        self._nbytes = sum(array.nbytes for array in arrays.values())
        self._empty: deque[tuple[dict[str, Any], Any]] = deque()  # objects without attributes so far
        self._optimizers: deque[tuple[dict[str, Any], Any]] = deque()  # made late: they check their parameters
        self._schedules: deque[Scheduler] = deque()  # checked last, with their optimisers

    def entry(self, reference: Any) -> dict[str, Any]:
        """The entry that a reference points to."""
        return self.objects[reference["object"]]

    def substitute(self, reference: Any, live: Any) -> None:
        """Use an existing object wherever this entry is referred to."""
        self._made[reference["object"]] = live

    def known_id(self, reference: Any) -> int | None:
        """The id of the object in use for this entry, or None if there is none yet."""
        made = self._made.get(reference["object"])
        return None if made is None else id(made)

    def value(self, given: Any) -> Any:
        """The value that a piece of JSON describes.

        Raises:
            Unsaved: part of it was not data, and so was not saved; nothing half-built is kept.
        """
        count = len(self._made)
        try:
            result = decoded(given, self._referent)
            while self._empty or self._optimizers or self._schedules:
                if self._empty:
                    entry, shell = self._empty.popleft()
                    self._fill(entry, shell)
                elif self._optimizers:
                    entry, shell = self._optimizers.popleft()
                    self._make_optimizer(entry, shell)
                else:
                    _require_schedule(self._schedules.popleft())
        except Unsaved:
            self._empty.clear()
            self._optimizers.clear()
            self._schedules.clear()
            for position in list(self._made)[count:]:
                del self._made[position]
            raise
        return result

    def fresh(self, reference: Any) -> Any:
        """A newly built object, even if an existing one is in use for this entry."""
        kept = self._made.pop(reference["object"])
        try:
            return self.value(reference)
        finally:
            self._made[reference["object"]] = kept

    def _referent(self, position: int) -> Any:
        if position not in self._made:
            if position < 0:
                raise IndexError(f"no object {position!r}")
            self._made[position] = self._new(self.objects[position])
        return self._made[position]

    def _new(self, entry: dict[str, Any]) -> Any:
        if "unsaved" in entry:
            raise Unsaved(entry["unsaved"])
        if "array" in entry:
            return self.arrays[entry["array"]]
        if "parameter" in entry or "tensor" in entry:
            kind, key = (Parameter, "parameter") if "parameter" in entry else (tg.Tensor, "tensor")
            label, learned = entry["name"], entry["requires_grad"]
            if not isinstance(label, str | None) or type(learned) is not bool:
                raise ValueError(f"the name {label!r} or requires_grad, {learned!r}, of a tensor has another type")
            return kind(self.arrays[entry[key]], requires_grad=learned, name=label)
        if "generator" in entry:
            return self._generator(entry)
        if "labels" in entry:
            values = decoded(entry["values"], self._referent)
            return labels_of(entry["labels"], entry["shape"], values, self._budgets.labels)
        name, waiting = (
            (entry["optimizer"], self._optimizers) if "optimizer" in entry else (entry["class"], self._empty)
        )
        cls: Any = kind_named(name)
        if cls is None or issubclass(cls, Optimizer) != ("optimizer" in entry):
            error = Unsaved if "optimizer" in entry else ValueError
            raise error(f"nn has no class {name!r} to rebuild; install the tensorgrad version that wrote the file")
        shell = cls.__new__(cls)
        waiting.append((entry, shell))
        return shell

    def _generator(self, entry: dict[str, Any]) -> np.random.Generator:
        name = entry["generator"]
        if name not in BIT_GENERATORS:
            raise ValueError(f"{name!r} is not one of NumPy's bit generators")
        seed, state = (decoded(entry[key], self._referent) for key in ("seed", "state"))
        if seed is not None:
            self._budgets.spend_on_seed(seed)
        bits = getattr(np.random, name)(0 if seed is None else np.random.SeedSequence(**seed))
        _require_state("the state", state, _form(name))
        bits.state = state
        return np.random.Generator(bits)

    def _fill(self, entry: dict[str, Any], shell: Any) -> None:
        state = decoded(entry["attributes"], self._referent)
        require_attributes(type(shell), state)
        give_state(shell, state)
        if hasattr(shell, "_require_valid"):
            shell._require_valid()
        if isinstance(shell, Scheduler):
            self._schedules.append(shell)
        if is_estimator(type(shell)) and not isinstance(state.get("model_"), Module):
            raise ValueError(f"model_ of {type(shell).__name__} is not a Module")
        if isinstance(shell, Module):
            _require_module(shell)
            for value in state.values():
                if isinstance(value, Parameter):
                    value.held = getattr(value, "held", 0) + 1

    def _make_optimizer(self, entry: dict[str, Any], shell: Any) -> None:
        params, arguments, state = (decoded(entry[key], self._referent) for key in ("params", "arguments", "state"))
        self._budgets.spend_on_optimizer(params)
        self._budgets.require_optimizers(self._nbytes)
        if len(state["param_groups"]) > len(params):
            raise ValueError(f"{len(state['param_groups']):,} groups of an optimiser for {len(params):,} parameters")
        options = arguments_of(type(shell)) - {"params"}
        groups = [
            {"params": [params[i] for i in group["params"]], **{k: v for k, v in group.items() if k in options}}
            for group in state["param_groups"]
        ]
        shell.__init__(groups, **arguments)
        shell._check(ParamGroup(shell._defaults))  # of groups that are added later
        load_optimizer(shell, state, decoded(entry["attributes"], self._referent))


def give_state(target: Any, state: Mapping[str, Any]) -> None:
    """Replace an object's whole state, as ``copy`` does."""
    if hasattr(target, "__setstate__"):
        target.__setstate__(state)
    else:
        vars(target).clear()
        vars(target).update(state)


def load_optimizer(optimizer: Optimizer, state: Any, attributes: Any) -> None:
    """Load the saved state and attributes of another optimiser into an optimiser.

    An option that only one of the two has, set by a schedule or unknown to an earlier version, is kept. Raises what
    :func:`require_optimizer` raises; nothing is changed then.
    """
    fitting, options = require_optimizer(optimizer, state, attributes)
    with tg.uninterrupted():
        optimizer.load_state_dict(fitting)
        for group, more in zip(optimizer.param_groups, options, strict=True):
            group.update(more)
        vars(optimizer).update(attributes)


def require_optimizer(optimizer: Optimizer, state: Any, attributes: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The state as the optimiser loads it, and further options of each group.

    Raises:
        ValueError: the state does not fit, or an attribute is not one of an optimiser, or has another type.
    """
    own, saved = optimizer.param_groups, state["param_groups"]
    options = [{k: v for k, v in new.items() if k not in group} for group, new in zip(own, saved, strict=False)]
    for name in (name for more in options for name in more):
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"{name!r} is not the name of an option")
    groups = [
        {k: new.get(k, group[k]) if k != "params" else new[k] for k in group}
        for group, new in zip(own, saved, strict=False)
    ]
    fitting = {"state": state["state"], "param_groups": groups + list(saved[len(own) :])}
    if wrong := optimizer._misfits(fitting):
        raise ValueError(f"{type(optimizer).__name__}: nothing was loaded: " + "; ".join(wrong))
    require_attributes(type(optimizer), attributes)
    for name, value in attributes.items():
        if name[:1] == "_" or name == "param_groups":
            raise ValueError(f"{name!r} is not an attribute that a file can set")
        if name in vars(optimizer):
            _require_like(name, value, vars(optimizer)[name])
    return fitting, options


def _require_like(name: str, given: Any, own: Any) -> None:
    """Raise ValueError unless a value has the type of another; a number must be a count, a list one of numbers."""
    fine = type(given) is type(own)
    if fine and type(own) is int:
        fine = 0 <= given < 2**63
    elif fine and isinstance(own, list):
        fine = all(type(item) is float for item in given)
    if not fine:
        raise ValueError(f"{name} is {given!r}, expected a value like {own!r}")


def require_attributes(kind: type, state: Any) -> None:
    """Raise ValueError unless a dict has attributes for an object of a class: text for names, none of a method."""
    for name in state:
        if not isinstance(name, str):
            raise ValueError("an attribute's name is not a string")
        there = inspect.getattr_static(kind, name, None)
        if callable(there) or hasattr(there, "__get__"):
            raise ValueError(f"the attribute {name!r} would hide what {kind.__name__} defines")


def _require_schedule(schedule: Scheduler) -> None:
    """Raise ValueError unless an object has a schedule's attributes."""
    if not isinstance(vars(schedule).get("optimizer"), Optimizer):
        raise ValueError(f"the optimizer of {type(schedule).__name__} is not an Optimizer")
    schedule._check()


@cache
def _form(name: str) -> Mapping[str, Any]:
    """A state of a bit generator, as an example of what one consists of."""
    state: Mapping[str, Any] = getattr(np.random, name)(0).state
    return state


def _require_state(name: str, given: Any, like: Any) -> None:
    """Raise ValueError unless part of a bit generator's state has the same form as another, and is in range."""
    if isinstance(like, int):
        if type(given) is not int or not 0 <= given <= _LARGEST[name]:
            raise ValueError(f"{name} of a generator must be an integer from 0 to {_LARGEST[name]}, got {given!r}")
    elif type(given) is not type(like):
        raise ValueError(f"{name} of a generator has type {type(given).__name__}, expected {type(like).__name__}")
    elif isinstance(like, dict):
        if given.keys() != like.keys():
            raise ValueError(f"{name} of a generator has the keys {list(given)}, expected {list(like)}")
        for key in like:
            _require_state(key, given[key], like[key])
    elif isinstance(like, np.ndarray):
        if (given.dtype, given.shape) != (like.dtype, like.shape):
            raise ValueError(f"{name} of a generator has dtype {given.dtype} and shape {given.shape}")
    elif given != like:
        raise ValueError(f"{name} of a generator is {given!r}, expected {like!r}")


def _require_module(module: Module) -> None:
    """Raise ValueError unless an object has a module's attributes."""
    state = vars(module)
    buffers = state.get("_buffers")
    if type(state.get("training")) is not bool or not isinstance(buffers, tuple) or "_places" not in state:
        raise ValueError(f"{type(module).__name__} lacks the attributes of a module")
    if not all(isinstance(state.get(name), tg.Tensor) for name in buffers):
        raise ValueError(f"a buffer of {type(module).__name__} is not a tensor")
    state["_places"], state["_told"] = None, False
