"""Averages of weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

import tensorgrad as tg

from .._module import Module

__all__ = ["ExponentialMovingAverage"]


class ExponentialMovingAverage:
    """A running mean of a model's parameters, which often does better than the last of them (Polyak, 1992).

    It starts from the parameters as they are; buffers, such as running statistics, are taken over as they are.

    Args:
        model: the model.
        decay: weight of the old mean, in [0, 1).

    Raises:
        ValueError: decay is out of range.

    >>> import nn
    >>> model = nn.Linear(1, 1, rng=0)
    >>> average = nn.ExponentialMovingAverage(model, decay=0.5)
    >>> model.b.data[...] = 1.0
    >>> average.update()
    >>> with average.applied():
    ...     print(model.b.data)
    [0.5]
    >>> model.b.data
    array([1.], dtype=float32)
    """

    def __init__(self, model: Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"ExponentialMovingAverage: decay must be in [0, 1), got {decay!r}")
        self.model = model
        self.decay = float(decay)
        self.mean = model.state_dict()

    def update(self) -> None:
        """Take in the parameters as they are: after a step of the optimiser."""
        learned = {name for name, _ in self.model.named_parameters()}
        for name, tensor in self._tensors().items():
            mean, data = self.mean[name], tensor.data
            if name in learned:
                mean *= self.decay
                mean += (1 - self.decay) * data
            else:
                mean[...] = data

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the model has the averaged parameters; after, its own, whatever happens."""
        own = self.model.state_dict()
        try:
            self.copy_to(self.model)
            yield
        finally:
            self.model.load_state_dict(own)

    def copy_to(self, model: Module) -> None:
        """Give the averaged parameters to a model that was built the same way."""
        model.load_state_dict(self.mean)

    def state_dict(self) -> dict[str, Any]:
        """Copies of the mean, by path."""
        return {name: array.copy() for name, array in self.mean.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave.

        Raises ValueError where names, shapes or dtypes do not fit; nothing was changed.
        """
        wrong = [name for name in self.mean.keys() | state.keys() if not _alike(self.mean.get(name), state.get(name))]
        if wrong:
            raise ValueError(
                f"ExponentialMovingAverage.load_state_dict: {', '.join(sorted(wrong))} do not fit the model"
            )
        for name, array in self.mean.items():
            array[...] = state[name]

    def _tensors(self) -> dict[str, tg.Tensor]:
        tensors = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        if tensors.keys() != self.mean.keys():
            raise tg.GraphError(
                "ExponentialMovingAverage: the model has got or lost parameters; make the average after changing it"
            )
        return tensors


def _alike(a: Any, b: Any) -> bool:
    return a is not None and b is not None and a.shape == np.shape(b) and a.dtype == np.asarray(b).dtype
