"""Multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .._checks import count
from .._layers.containers import Sequential
from .._module import Module
from ..init import Initializer
from .layer import Layer, Spec

__all__ = ["MLP"]

T = TypeVar("T")


class MLP(Module):
    """A multi-layer perceptron: Linear, norm, activation and dropout for each hidden layer; then a bare Linear.

    A keyword applies to all hidden layers, or is a list with an entry for each. Instead of its number of features, a
    layer can be given as a dict of fields of :class:`nn.Layer`, where the keywords fill in missing fields, or as an
    :class:`nn.Layer`, which is used unchanged. All arguments can come from JSON: ``nn.MLP(**json.load(file))``.

    Args:
        sizes: numbers of features, including input and output: ``[64, 128, 10]`` has one hidden layer. All but
            the first can be layers.
        activation: as in :class:`nn.Layer`, for the hidden layers.
        norm: likewise.
        dropout: likewise.
        init: likewise. If given, the output's weights are drawn like those of the last hidden layer.
        l1: likewise; a single number also applies to the output.
        l2: likewise.
        dtype: of the parameters.
        rng: generator or seed for weights and dropout; None draws a fresh seed.

    Raises:
        ValueError: a field is out of range; the message names layer and field.

    >>> import nn
    >>> nn.MLP([4, 8, 6, 3], activation=["relu", "tanh"], norm=["batch", None], dropout=0.1, rng=0)
    MLP(
      (layers): Sequential(
        (0): Linear(in=4, out=8, bias=False)
        (1): BatchNorm(8, momentum=0.9, eps=1e-05)
        (2): ReLU()
        (3): Dropout(p=0.1)
        (4): Linear(in=8, out=6)
        (5): Tanh()
        (6): Dropout(p=0.1)
        (7): Linear(in=6, out=3)
      )
    )
    """

    def __init__(
        self,
        sizes: Sequence[int | Layer | Mapping[str, Any]],
        *,
        activation: Spec | Sequence[Spec | None] | None = "relu",
        norm: Spec | Sequence[Spec | None] | None = None,
        dropout: float | Sequence[float] = 0.0,
        init: str | Mapping[str, Any] | Initializer | Sequence[Any] | None = None,
        l1: float | Sequence[float] = 0.0,
        l2: float | Sequence[float] = 0.0,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__()
        if isinstance(sizes, str | Mapping) or not hasattr(sizes, "__len__") or len(sizes) < 2:
            raise ValueError(f"MLP: sizes needs at least an input and an output, got {sizes!r}")
        features, *described = sizes
        features = count("MLP", "sizes[0], the number of inputs,", features)
        keywords = {"activation": activation, "norm": norm, "dropout": dropout, "init": init, "l1": l1, "l2": l2}
        rng = np.random.default_rng(rng)
        modules: list[Module] = []
        for i, layer in enumerate(_layers(described, keywords), 1):
            modules += _make_at(i, layer.build, features, dtype=dtype, rng=rng)
            features = layer.units
        self.layers = Sequential(*modules)

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return self.layers(x)


def _layers(described: Sequence[Any], keywords: Mapping[str, Any]) -> Iterator[Layer]:
    hidden = len(described) - 1
    for name, value in keywords.items():
        if isinstance(value, list | tuple) and len(value) != hidden:
            raise ValueError(
                f"MLP: {name} has {len(value)} entries, expected one for each of the {hidden} hidden layers"
            )
    alike = {name: value for name, value in keywords.items() if not isinstance(value, list | tuple)}
    layer = _make_at(1, Layer, 1, **alike)
    for i, given in enumerate(described):
        if i < hidden:
            own: dict[str, Any] = {name: value if name in alike else value[i] for name, value in keywords.items()}
        else:
            own = {name: alike[name] for name in ("l1", "l2") if name in alike}
            own |= {"activation": None, "init": layer.init}
        if isinstance(given, Layer):
            layer = given
        elif isinstance(given, Mapping):
            layer = _make_at(i + 1, Layer.of, {**own, **given})
        else:
            layer = _make_at(i + 1, Layer, given, **own)
        yield layer.placed(first=i == 0, last=i == hidden)


def _make_at(i: int, make: Callable[..., T], *args: Any, **options: Any) -> T:
    """Call ``make`` for layer i; an error names the layer."""
    try:
        return make(*args, **options)
    except ValueError as error:
        raise type(error)(f"MLP: sizes[{i}]: {error}") from error
