"""Loading into existing objects: everything, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import tensorgrad as tg

from .._module import Module
from .._optim.optimizer import Optimizer
from .._optim.scheduler import Scheduler
from .decode import Decoder, give_state, load_optimizer, require_optimizer
from .encode import members
from .values import Unsaved

__all__ = ["Change", "Pair", "changes_of_arrays", "changes_of_objects", "pairs_of"]

Change = Callable[[], object]


class Pair(NamedTuple):
    """Something in the file, and the object it is loaded into."""

    path: str
    reference: Any
    target: Any


def pairs_of(state: list[Any], model: Module) -> tuple[list[Pair], list[str]]:
    """The pairs with the same path, and a list of what has no counterpart."""
    saved, live = _saved_members(state), members(model)
    pairs = [Pair(path, saved[path], live[path]) for path in live if "object" in saved.get(path, {})]
    return pairs, _unequal(saved, live)


def _saved_members(state: Any) -> dict[str, Any]:
    """What a file says about a model's members, by path. Raises ValueError if two of them are one object."""
    saved: dict[str, Any] = {}
    seen: set[int] = set()
    for path, reference in state:
        if not isinstance(path, str) or path in saved:
            raise ValueError(f"{path!r} is not a path, or comes twice")
        saved[path] = reference
        if "object" in reference:
            if reference["object"] in seen:
                raise ValueError(f"two members are one object: {path!r} and another")
            seen.add(reference["object"])
    return saved


def changes_of_objects(decoder: Decoder, pairs: list[Pair]) -> tuple[list[Change], list[str]]:
    """The changes that load each pair, and a list of what does not fit.

    Nothing changes until a change is called. From now on, where the file refers to something that is loaded into an
    object, the decoder uses that object.
    """
    for pair in pairs:
        decoder.substitute(pair.reference, pair.target)
    changes: list[Change] = []
    wrong: list[str] = []
    for pair in pairs:
        try:
            changes += _changes(decoder, pair)
        except _Misfit as misfit:
            wrong.append(f"{pair.path}: {misfit}")
    return changes, wrong


def changes_of_arrays(arrays: Mapping[str, Any], model: Module) -> tuple[list[Change], list[str]]:
    """The same for a file that holds only tensors."""
    live = model._state()
    changes: list[Change] = []
    wrong = _unequal(arrays, live)
    for path in (path for path in live if path in arrays):
        try:
            changes.append(_writing(live[path], arrays[path]))
        except _Misfit as misfit:
            wrong.append(f"{path}: {misfit}")
    return changes, wrong


class _Misfit(Exception):
    """Why something in a file cannot be loaded into an object."""


def _unequal(saved: Collection[str], live: Collection[str]) -> list[str]:
    missing = [f"missing: {path}" for path in live if path not in saved]
    return missing + [f"unexpected: {path}" for path in saved if path not in live]


def _changes(decoder: Decoder, pair: Pair) -> list[Change]:
    entry, target = decoder.entry(pair.reference), pair.target
    if isinstance(target, tg.Tensor):
        name = entry.get("parameter", entry.get("tensor"))
        if name is None:
            raise _Misfit(f"not a tensor, expected one of shape {target.shape}")
        return [_writing(target, decoder.arrays[name])]
    if isinstance(target, np.random.Generator):
        _require_kind(entry.get("generator", "not a generator"), target.bit_generator)
        bits = decoder.fresh(pair.reference).bit_generator.state
        return [partial(setattr, target.bit_generator, "state", bits)]
    _require_kind(entry.get("optimizer", entry.get("class", "not an object")), target)
    if isinstance(target, Optimizer):
        return [_loading(decoder, entry, target)]
    try:
        new = decoder.fresh(pair.reference)
    except Unsaved:  # it held a function, say: the existing object stays
        if isinstance(target, Scheduler) and "state" in entry:
            return [_going_on(target, decoder.value(entry["state"]))]
        return []
    names = vars(new).keys() | vars(target).keys()
    if wrong := _unlike("", _attributes(new, names), _attributes(target, names)):
        raise _Misfit(wrong)
    return [partial(_take_over, target, new)]


def _require_kind(saved: str, target: Any) -> None:
    if saved != type(target).__name__:
        raise _Misfit(f"{saved}, expected {type(target).__name__}")


def _writing(tensor: tg.Tensor, array: Any) -> Change:
    if array.shape != tensor.shape:
        raise _Misfit(f"shape {array.shape}, expected {tensor.shape}")
    if array.dtype != tensor.dtype.newbyteorder("="):
        raise _Misfit(f"dtype {array.dtype}, expected {tensor.dtype} (cast the model with .to() first)")
    if not tensor.data.flags.writeable:
        raise _Misfit("the array to load it into is read-only")
    return partial(_write, tensor, array)


def _write(tensor: tg.Tensor, array: Any) -> None:
    tg.writes_to(tensor, by="nn.load")[...] = array


def _loading(decoder: Decoder, entry: Mapping[str, Any], optimizer: Optimizer) -> Change:
    own = [param for group in optimizer.param_groups for param in group["params"]]
    for i, (reference, param) in enumerate(zip(entry["params"], own, strict=False)):
        if decoder.known_id(reference) not in (None, id(param)):
            raise _Misfit(f"its parameter {i} is not the one in the file; give the parameters in the same order")
    try:
        state, attributes = decoder.value(entry["state"]), decoder.value(entry["attributes"])
        require_optimizer(optimizer, state, attributes)
    except (Unsaved, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise _Misfit(str(error)) from error
    return partial(load_optimizer, optimizer, state, attributes)


def _going_on(schedule: Scheduler, state: Any) -> Change:
    try:
        schedule._with(state)
    except ValueError as error:
        raise _Misfit(str(error)) from error
    return partial(schedule.load_state_dict, state)


def _attributes(of: Any, names: Collection[str]) -> dict[str, Any]:
    """Those of these attributes that an object has, of its own or, as in files of earlier versions, of its class."""
    return {name: getattr(of, name) for name in names if name in vars(of) or hasattr(type(of), name)}


def _unlike(name: str, new: Any, own: Any) -> str:
    """Why a value cannot stand in the place of another in an object's state; "" if it can."""
    if new is own:
        return ""
    if isinstance(own, Module | Optimizer | tg.Tensor):
        return f"{name} is another object"
    if new is None or own is None:  # the class has checked what may be None
        return ""
    if type(own) in (int, float):
        return "" if type(new) in (int, float) else f"{name} is {new!r}, expected a number"
    if type(new) is not type(own):
        return f"{name} is of type {type(new).__name__}, expected {type(own).__name__}"
    if isinstance(own, np.ndarray) and (new.shape, new.dtype) != (own.shape, own.dtype):
        return f"{name} has shape {new.shape} and dtype {new.dtype}, expected {own.shape} and {own.dtype}"
    if isinstance(own, dict) and (name == "" or any(isinstance(value, np.ndarray) for value in own.values())):
        if differing := new.keys() ^ own.keys():
            return f"{name or 'it'} differs in {', '.join(sorted(map(repr, differing)))}"
        return next((text for key in own if (text := _unlike(str(key), new[key], own[key]))), "")
    return ""


def _take_over(target: Any, new: Any) -> None:
    give_state(target, new.__getstate__() or {})
