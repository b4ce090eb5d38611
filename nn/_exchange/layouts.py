"""How PyTorch names and lays out what the layers hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import tensorgrad as tg

from .._layers import activations as act
from .._layers.linear import Linear
from .._layers.normalization import BatchNorm
from .._module import Module, _joined, _members
from .._parameter import Parameter
from .wrappers import wrapped

__all__ = ["Entry", "Layer", "entries", "layers"]


class Layer(NamedTuple):
    """A module of the model, by the path that PyTorch's has."""

    path: str
    module: Module


class Entry(NamedTuple):
    """One tensor of PyTorch's and the ones here that it is made of, one after the other along the first axis."""

    name: str
    held: tuple[tg.Tensor, ...]
    transposed: bool = False

    def packed(self) -> NDArray[Any]:
        """The array that PyTorch expects: a copy."""
        if not self.held:
            return np.array(0, np.int64)
        parts = [tensor.data.T if self.transposed else tensor.data for tensor in self.held]
        return np.concatenate(parts) if len(parts) > 1 else np.array(parts[0], order="C")

    def unpacked(self, array: NDArray[Any]) -> list[NDArray[Any]]:
        """What an array of PyTorch's has for each tensor here."""
        parts = np.split(array, len(self.held)) if len(self.held) > 1 else [array][: len(self.held)]
        return [part.T if self.transposed else part for part in parts]


_NORM = {"gamma": "weight", "beta": "bias"}
_AFFINE = {"W": "weight", "b": "bias"}
_NAMES: dict[type[Module], dict[str, str]] = {
    Linear: _AFFINE,
    BatchNorm: _NORM,
    act.PReLU: {"slope": "weight"},
}


def layers(model: Module, path: str = "") -> Iterator[Layer]:
    """A model and all under it, one that is used twice at each of its places, by the paths that PyTorch's have."""
    yield Layer(path, model)
    inner = wrapped(model)
    for name, child in model.named_children():
        yield from layers(child, path if name == inner else _joined(path, name))


def entries(model: Module) -> list[Entry]:
    """What a state_dict of PyTorch's holds for a model, in the order of the model's modules."""
    found: list[Entry] = []
    for path, module in layers(model):
        names = next((_NAMES[kind] for kind in type(module).__mro__ if kind in _NAMES), {})
        own: list[tuple[str, tg.Tensor]] = [*_members(module, Parameter)]
        own += [(name, getattr(module, name)) for name in module._buffers]
        for name, tensor in own:
            transposed = isinstance(module, Linear) and name == "W"
            found.append(Entry(_joined(path, names.get(name, name)), (tensor,), transposed))
        if isinstance(module, BatchNorm):
            found.append(Entry(_joined(path, "num_batches_tracked"), ()))
    taken: set[str] = set()
    for entry in found:
        if entry.name in taken:
            raise ValueError(
                f"two members of {type(model).__name__} would be {entry.name!r} in PyTorch; rename one of them"
            )
        taken.add(entry.name)
    return found
