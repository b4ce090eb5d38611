"""Averages of a model's weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

import tensorgrad as tg

from .. import _running as running
from .._checks import count
from .._module import Module
from .group import require_within

__all__ = ["ExponentialMovingAverage"]


class ExponentialMovingAverage:
    """An exponential moving average of a model's weights, which often predict better than the last ones.

    ``a = decay * a + (1 - decay) * w`` at every :meth:`update`; the first one copies the weights. Buffers, such as
    running means, are not averaged but copied.

    Args:
        model: the model whose parameters are averaged.
        decay: weight of the old average, in [0, 1].

    Attributes:
        decay: can be changed between updates.
        updates: the number of updates so far.
        averages: arrays, by the dotted paths of parameters and buffers.
        own: the model's own weights, likewise, while it has the averaged ones; otherwise None.

    Raises:
        ValueError: decay is out of range.

    >>> import numpy as np, nn
    >>> model = nn.Linear(1, 1, bias=False, dtype=np.float64)
    >>> average = nn.ExponentialMovingAverage(model, decay=0.5)
    >>> for weight in (1.0, 2.0, 4.0):
    ...     model.W.data[...] = weight
    ...     average.update()
    >>> with average.applied():
    ...     print(model([[1.0]]).item())
    2.75
    >>> model([[1.0]]).item()
    4.0
    """

    own: dict[str, Any] | None = None  # in files of earlier versions, too

    def __init__(self, model: Module, decay: float = 0.999) -> None:
        self.model = model
        self.decay = require_within("ExponentialMovingAverage", "decay", decay, most=1)
        self.updates = 0
        self.averages: dict[str, Any] = model.state_dict()
        self._structure = -1  # of the model, when the pairs were made
        self._pairs: list[tuple[tg.Tensor, Any, bool]] = []  # tensor, average, is it a parameter

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_structure": -1, "_pairs": []}  # a copy gets its own

    def _require_valid(self) -> None:
        """Raise ValueError unless attributes that came from a file can be worked with."""
        me = type(self).__name__
        if not isinstance(self.model, Module):
            raise ValueError(f"{me}: model is not a Module")
        require_within(me, "decay", self.decay, most=1)
        count(me, "updates", self.updates, 0)
        for name, arrays in (("averages", self.averages), ("own", self.own)):
            if name == "own" and arrays is None:
                continue
            if not isinstance(arrays, dict) or not all(isinstance(array, np.ndarray) for array in arrays.values()):
                raise ValueError(f"{me}: {name} is not a dict of arrays")
            if _facts(arrays) != _facts(self.averages):
                raise ValueError(f"{me}: {name} has other names, shapes or dtypes than averages")

    def update(self) -> None:
        """Add the current weights to the average, after the optimiser's step; this works in a compiled step, too.

        Raises GraphError if parameters were added, removed or cast since the average was made, or if the model has the
        averaged weights at the moment.
        """
        if self.own is not None:
            raise tg.GraphError(
                "ExponentialMovingAverage.update: the model has the averaged weights; call restore() first"
            )
        structure = tg.watch(running.members, "changes")
        if structure != self._structure or any(tensor.dtype != a.dtype for tensor, a, _ in self._pairs):
            parameters = {name for name, _ in self.model.named_parameters()}
            known = self._known(self.model)
            self._pairs = [(tensor, self.averages[name], name in parameters) for name, tensor in known.items()]
            self._structure = structure
        keep, take = tg.host(self._weights, early=True)
        with tg.uninterrupted():
            for tensor, own, is_parameter in self._pairs:
                average, now = tg.array_of(own), tg.array_of(tensor)
                if is_parameter:
                    np.multiply(average, keep, out=average)
                    np.add(average, now * take, out=average)
                else:
                    np.copyto(average, now)
            tg.host(self._count)

    def _weights(self) -> tuple[float, float]:
        return (self.decay, 1.0 - self.decay) if self.updates else (0.0, 1.0)

    def _count(self) -> None:
        self.updates += 1

    def copy_to(self, model: Module) -> None:
        """Write the average into a model of the same structure, permanently.

        Raises GraphError if the model's parameters are different.
        """
        self._write(self._known(model), self.averages)

    def apply(self) -> None:
        """Give the model the averaged weights, and set its own ones aside for :meth:`restore`.

        Raises GraphError if parameters were added, removed or cast since the average was made.
        """
        known = self._known(self.model)
        if self.own is None:
            with tg.uninterrupted():
                self.own = {name: tensor.data.copy() for name, tensor in known.items()}
                self._write(known, self.averages)

    def restore(self) -> None:
        """Give the model its own weights back, after :meth:`apply`.

        Tensors that were changed in the meantime stay as they are, and their averages begin with these values.
        """
        if self.own is None:
            return
        known = self._known(self.model)
        same = {n for n, t in known.items() if np.array_equal(t.data, self.averages[n], equal_nan=t.dtype.kind == "f")}
        with tg.uninterrupted():
            for name in known.keys() - same:
                self.averages[name][...] = known[name].data
            self._write({name: known[name] for name in same}, self.own)
            self.own = None

    def applied(self) -> tg.restoring:
        """Give the model the averaged weights in a ``with`` block, and its own ones back after it.

        Raises GraphError if parameters were added, removed or cast since the average was made.
        """
        known, already = self._known(self.model), self.own is not None

        def begin() -> Module:
            self.apply()
            return self.model

        def put_back() -> None:
            if not already and self.own is not None:
                with tg.uninterrupted():
                    self._write(known, self.own)
                    self.own = None

        return tg.restoring(put_back, begin)

    def state_dict(self) -> dict[str, Any]:
        """Copies of the averages, their decay and the number of updates."""
        return {"decay": self.decay, "updates": self.updates, "averages": copy.deepcopy(self.averages)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state that :meth:`state_dict` returned.

        Raises ValueError if names, shapes or dtypes differ or a number is out of range; nothing is changed then.
        """
        me = "ExponentialMovingAverage.load_state_dict: nothing was loaded"
        if not isinstance(state, Mapping) or set(state) != {"averages", "decay", "updates"}:
            got = sorted(map(str, state)) if isinstance(state, Mapping) else repr(state)
            raise ValueError(f"{me}: got {got}, expected ['averages', 'decay', 'updates']")
        decay = require_within(me, "decay", state["decay"], most=1)
        updates = count(me, "updates", state["updates"], 0)
        if not isinstance(state["averages"], Mapping):
            raise ValueError(f"{me}: averages must be a dict of arrays, got {state['averages']!r}")
        given = {name: np.asarray(array) for name, array in state["averages"].items()}
        if _facts(given) != _facts(self.averages):
            differing = sorted({name for name, *_ in _facts(given) ^ _facts(self.averages)})
            raise ValueError(f"{me}: names, shapes or dtypes differ in {', '.join(differing)}")
        with tg.uninterrupted():
            self.decay, self.updates = decay, updates
            for name, array in given.items():
                self.averages[name][...] = array

    def _known(self, model: Module) -> dict[str, tg.Tensor]:
        tensors = model._state()
        if differing := _facts(tensors) ^ _facts(self.averages):
            raise tg.GraphError(
                "ExponentialMovingAverage: the model has changed: names, shapes or dtypes differ in "
                f"{', '.join(sorted({name for name, *_ in differing}))}; make the average after changing the model"
            )
        return tensors

    def _write(self, tensors: Mapping[str, tg.Tensor], arrays: Mapping[str, Any]) -> None:
        with tg.uninterrupted():
            for name, tensor in tensors.items():
                tg.writes_to(tensor, by="ExponentialMovingAverage")[...] = arrays[name]


def _facts(arrays: Mapping[str, Any]) -> set[tuple[str, Any, Any]]:
    return {(name, array.shape, array.dtype) for name, array in arrays.items()}
