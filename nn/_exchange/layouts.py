"""How PyTorch names and lays out the layers' tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import tensorgrad as tg

from .._layers import activations as act
from .._layers.attention import MultiheadAttention
from .._layers.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from .._layers.embedding import Embedding
from .._layers.linear import Linear
from .._layers.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from .._members import joined, named
from .._module import Module
from .._parameter import Parameter
from .wrappers import wrapped

__all__ = ["Entry", "PlacedLayer", "entries", "layers"]


class PlacedLayer(NamedTuple):
    """A module of the model, with its path in PyTorch."""

    path: str
    module: Module


class Entry(NamedTuple):
    """A PyTorch tensor, and the tensors here that it is made of, concatenated along the first axis."""

    name: str
    held: tuple[tg.Tensor, ...]
    transposed: bool = False

    def packed(self) -> NDArray[Any]:
        """A copy of the array that PyTorch expects."""
        if not self.held:
            return np.array(0, np.int64)
        parts = [tensor.data.T if self.transposed else tensor.data for tensor in self.held]
        return np.concatenate(parts) if len(parts) > 1 else np.array(parts[0], order="C")

    def unpacked(self, array: NDArray[Any]) -> list[NDArray[Any]]:
        """The part of a PyTorch array for each tensor here."""
        parts = np.split(array, len(self.held)) if len(self.held) > 1 else [array][: len(self.held)]
        return [part.T if self.transposed else part for part in parts]


_AFFINE = {"W": "weight", "b": "bias"}
_NORM = {"gamma": "weight", "beta": "bias"}
_NAMES: dict[type[Module], dict[str, str]] = {
    BatchNorm: _NORM,
    Conv1d: _AFFINE,
    Conv2d: _AFFINE,
    ConvTranspose1d: _AFFINE,
    ConvTranspose2d: _AFFINE,
    Embedding: _AFFINE,
    GroupNorm: _NORM,
    LayerNorm: _NORM,
    Linear: _AFFINE,
    RMSNorm: _NORM,
    act.PReLU: {"slope": "weight"},
}
_PROJECTIONS = ("query_proj", "key_proj", "value_proj")  # concatenated in PyTorch's in_proj


def layers(model: Module, path: str = "") -> Iterator[PlacedLayer]:
    """A model and all modules under it, shared ones at each of their places, with their paths in PyTorch."""
    yield PlacedLayer(path, model)
    inner = wrapped(model)
    if inner is not None:
        yield from layers(getattr(model, inner), path)
        return
    for name, child in model.named_children():
        if not (isinstance(model, MultiheadAttention) and name in _PROJECTIONS):
            yield from layers(child, joined(path, name))


def entries(model: Module) -> list[Entry]:
    """The entries of a PyTorch state_dict for a model, in the order of the model's modules."""
    found = [entry._replace(name=joined(path, entry.name)) for path, module in layers(model) for entry in _own(module)]
    taken: set[str] = set()
    for entry in found:
        if entry.name in taken:
            raise ValueError(
                f"two members of {type(model).__name__} would both be {entry.name!r} in PyTorch; rename one of them"
            )
        taken.add(entry.name)
    return found


def _own(module: Module) -> Iterator[Entry]:
    """The entries of a module in PyTorch, without those of its children."""
    names = next((_NAMES[kind] for kind in type(module).__mro__ if kind in _NAMES), {})
    for name, parameter in named(module.__dict__, Parameter, (Module, Parameter)):
        yield Entry(names.get(name, name), (parameter,), isinstance(module, Linear) and name == "W")
    for name in module._buffers:
        yield Entry(names.get(name, name), (getattr(module, name),))
    if isinstance(module, BatchNorm) and module.running_mean is not None and module.num_batches_tracked is None:
        yield Entry("num_batches_tracked", ())
    if isinstance(module, MultiheadAttention):
        projections = [getattr(module, name) for name in _PROJECTIONS]
        if module.kdim == module.vdim == module.embed_dim:
            yield Entry("in_proj_weight", tuple(projection.W for projection in projections), True)
        else:
            for name, projection in zip("qkv", projections, strict=True):
                yield Entry(f"{name}_proj_weight", (projection.W,), True)
        if all(projection.b is not None for projection in projections):
            yield Entry("in_proj_bias", tuple(projection.b for projection in projections))
