"""Models to and from PyTorch, without importing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

import tensorgrad as tg

from .._members import joined
from .._module import Module
from .folding import without_superfluous_biases
from .layouts import Entry, entries
from .settings import differing

__all__ = ["from_torch", "to_torch"]

M = TypeVar("M", bound=Module)


class Prefixes(NamedTuple):
    """What all names begin with, here and in PyTorch's state_dict; it is left out when they are compared."""

    here: str
    there: str


def to_torch(model: Module) -> dict[str, NDArray[Any]]:
    """The state_dict, as arrays, that the equivalent PyTorch model accepts with ``strict=True``.

    Load it with ``torch_model.load_state_dict({name: torch.from_numpy(a) for name, a in state.items()})``.
    Paths are kept, except for the ``layers.`` of an :class:`MLP`, which is a plain ``Sequential`` in PyTorch. The
    layers' own names become PyTorch's, and the weight of :class:`Linear` is transposed to (out_features,
    in_features). A shared tensor is listed under each of its paths. A module of your own keeps its names, and so does
    a layer that PyTorch lacks, such as :class:`Standardize`.

    Momentum, eps and the like are not part of a state_dict: build PyTorch's ``BatchNorm`` with
    ``momentum=1 - ours.momentum``.

    Raises:
        TypeError: model is not a Module.

    >>> import nn
    >>> {name: array.shape for name, array in nn.to_torch(nn.MLP([2, 3, 1])).items()}
    {'0.weight': (3, 2), '0.bias': (3,), '2.weight': (1, 3), '2.bias': (1,)}
    """
    if not isinstance(model, Module):
        raise TypeError(f"to_torch: model must be a Module of nn, got {type(model).__name__}")
    return {entry.name: entry.packed() for entry in entries(model)}


def from_torch(model: M, source: Any) -> M:
    """Copy a PyTorch model's weights and statistics into the equivalent model here. Returns the model.

    Half precision (float16, bfloat16) is cast to the model's dtype. Where a layer in a :class:`Sequential` has no bias
    because a :class:`BatchNorm` follows it, as in :class:`MLP`, PyTorch's bias is subtracted from the running mean, so
    that outputs are equal.

    Names are compared as :func:`to_torch` writes them. A prefix that all names on one side share is left out if more of
    them fit without it: ``net.0.weight`` of a class that holds one ``Sequential`` fits a bare one.

    Args:
        model: has the same layers as PyTorch's.
        source: a state_dict (names to tensors, or arrays), or a live ``torch.nn.Module``. A state_dict holds only
            arrays. From a live module the settings are copied too, by path: eps, dropout's p, the arguments of
            activations, and BatchNorm's momentum, which is the weight of the new value in PyTorch and of the old
            one here (0.1 becomes 0.9). Whatever makes it a different model, such as another kind of layer, stride or
            number of heads, or an extra layer, does not fit; write ``source.state_dict()`` for the arrays alone.

    Raises:
        ValueError: names, shapes, dtypes, layers or settings do not fit. The message lists all that is wrong, and
            nothing was changed.
        TypeError: source is neither, or model is not a Module of nn.

    >>> import numpy as np, nn
    >>> layer = nn.Linear(2, 1, dtype=np.float64)
    >>> nn.from_torch(layer, {"weight": np.array([[1.0, 2.0]]), "bias": np.array([0.5])})([[1.0, 1.0]]).data
    array([[3.5]])
    """
    if not isinstance(model, Module):
        raise TypeError(
            f"from_torch: model must be a Module of nn, got {type(model).__name__}; write from_torch(model, source)"
        )
    live = hasattr(source, "named_modules")
    state = source.state_dict() if live else source
    if isinstance(source, Module):
        raise TypeError("from_torch: got a model of nn; write model.load_state_dict(source.state_dict())")
    if not isinstance(state, Mapping):
        raise TypeError(
            f"from_torch: expected a state_dict (names to tensors) or a torch.nn.Module, got {type(source).__name__}; "
            "for a file write torch.load(path, weights_only=True)"
        )
    own = entries(model)
    prefixes = _prefixes([entry.name for entry in own], list(state))
    state = without_superfluous_biases(model, state, lambda name: prefixes.there + name[len(prefixes.here) :], _array)
    values, wrong = _compared(own, state, prefixes)
    changes, more = differing(model, source, prefixes) if live else ([], [])
    wrong += more
    if wrong:
        raise ValueError(
            f"from_torch: {len(wrong)} of PyTorch's names do not fit {type(model).__name__}; nothing was loaded:\n  "
            + "\n  ".join(map(tg.words.escaped, wrong))
        )
    for tensor, array in values:
        tg.writes_to(tensor, by="from_torch")[...] = array
    for module, name, value in changes:
        setattr(module, name, value)
    return model


def _prefixes(here: list[str], there: list[str]) -> Prefixes:
    """The shared prefixes, or empty ones if no more names fit without the shared ones."""
    bare, shared = Prefixes("", ""), Prefixes(_shared(here), _shared(there))

    def fitting(prefixes: Prefixes) -> int:
        return len(_cut(here, prefixes.here) & _cut(there, prefixes.there))

    return shared if fitting(shared) > fitting(bare) else bare


def _cut(names: Iterable[str], prefix: str) -> set[str]:
    return {name[len(prefix) :] for name in names}


def _shared(names: list[str]) -> str:
    """The dotted path that all names begin with, including the last dot."""
    common: list[str] = []
    for parts in zip(*(name.split(".")[:-1] for name in names)):
        if len(set(parts)) > 1:
            break
        common.append(f"{parts[0]}.")
    return "".join(common)


def _compared(
    own: list[Entry], state: Mapping[str, Any], prefixes: Prefixes
) -> tuple[list[tuple[tg.Tensor, NDArray[Any]]], list[str]]:
    """The tensors with their new values, and a list of all that does not fit."""
    given = {name[len(prefixes.there) :]: name for name in state}
    values: dict[int, tuple[tg.Tensor, NDArray[Any], str]] = {}
    wrong: list[str] = []
    expected: set[str] = set()
    for entry in own:
        short = entry.name[len(prefixes.here) :]
        expected.add(short)
        if not entry.held:
            continue
        like = entry.packed()
        if short not in given:
            wrong.append(f"missing: {prefixes.there}{short} of shape {like.shape}")
            continue
        name = given[short]
        try:
            array = _array(state[name], like.dtype)
        except (TypeError, RuntimeError) as error:
            wrong.append(f"{name}: cannot be converted to an array ({error})")
            continue
        if array.shape != like.shape:
            wrong.append(f"{name}: shape {array.shape}, expected {like.shape}")
        elif array.dtype != like.dtype:
            wrong.append(f"{name}: dtype {array.dtype}, expected {like.dtype} (cast the model with .to() first)")
        else:
            for tensor, part in zip(entry.held, entry.unpacked(array)):
                _, before, first = values.setdefault(id(tensor), (tensor, part, name))
                if not np.array_equal(before, part, equal_nan=True):
                    wrong.append(f"{name}: differs from {first}, but both are one shared tensor here")
    wrong += [_unexpected(name, short, expected) for short, name in given.items() if short not in expected]
    return [(tensor, array) for tensor, array, _ in values.values()], wrong


def _unexpected(name: str, short: str, expected: set[str]) -> str:
    layer, _, kind = short.rpartition(".")
    hint = " (make the layer here with bias=True)" if kind == "bias" and joined(layer, "weight") in expected else ""
    return f"unexpected: {name}{hint}"


_HALVES = ("float16", "bfloat16")


def _array(value: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A PyTorch tensor, or anything that NumPy can convert, as an array: halves in the dtype, if that is wider."""
    name = str(getattr(value, "dtype", "")).rpartition(".")[2]
    if name not in _HALVES or name == dtype.name or dtype.kind != "f":
        return _plain(value)
    if dtype == np.float16:
        raise TypeError("bfloat16 has a larger range than float16; cast the model with .to(np.float32)")
    return _plain(value.float() if hasattr(value, "float") else np.asarray(value).astype(np.float32)).astype(dtype)


def _plain(value: Any) -> NDArray[Any]:
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "cpu") else value)
