"""One update of the parameters, from one batch or several."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorgrad as tg

from .._layers.penalty import penalty
from .._optim.clipping import clip_grad_norm_, clip_grad_value_
from .._optim.lbfgs import LBFGS
from .data import Batch, Casts
from .weighing import counted, loss_of

if TYPE_CHECKING:
    from .model import Model

__all__ = ["Given", "Group", "grouped", "stepper"]


Given = tuple[Any, Any, Any, float | None]  # inputs, targets, weights, and the share, None for 0


class Group(NamedTuple):
    """The batches of one update, and the share of each in the loss, which is the mean over all their samples."""

    batches: tuple[Batch, ...]
    shares: tuple[float, ...]

    def given(self, casts: Casts) -> list[Given]:
        """What a step takes of the batches."""
        parts = zip(self.batches, self.shares, strict=True)
        return [(casts.inputs(batch.X), casts.targets(batch.y), batch.weight, share or None) for batch, share in parts]


def grouped(batches: Iterable[Batch], size: int, loss: Any) -> Iterator[Group]:
    """Take ``size`` batches for each update; the last group may be smaller."""
    waiting = iter(batches)
    while drawn := tuple(islice(waiting, size)):
        counts = [counted(loss, batch.y) for batch in drawn]
        total = sum(counts)
        # If all labels are ignored, the loss decides what their mean is.
        yield Group(drawn, tuple(n / total if total else 1 / len(drawn) for n in counts))


def stepper(model: Model, compiled: bool) -> Callable[[list[Given]], list[tuple[Any, Any]]]:
    """A function that does one update.

    It returns, for each batch, its loss without the penalty (None if its share is 0), and the network's output.
    """
    network, optimizer = model.network, model.optimizer
    learned = {id(p) for p in network.parameters() if p.requires_grad}
    if learned and not learned & {id(p) for group in optimizer.param_groups for p in group["params"]}:
        raise ValueError(
            "fit: the optimiser has none of the network's parameters; write "
            f"nn.{type(optimizer).__name__}(model.network.parameters())"
        )
    if compiled and (isinstance(optimizer, LBFGS) or optimizer.skip_nonfinite):
        kind = type(optimizer).__name__
        raise ValueError(
            f"fit: compile=True needs an optimiser whose steps are all alike, got {kind}; leave compile out"
        )
    penalised = penalty(network) is not None

    def step(given: list[Given]) -> list[tuple[Any, Any]]:
        kept: list[Any] = []

        def closure() -> Any:
            optimizer.zero_grad()
            kept.clear()
            parts: list[Any] = []
            for X, y, weight, share in given:
                output = network(X)
                if share is None:
                    kept.append((None, output))
                    continue
                loss = loss_of(model.loss, output, y, weight)
                kept.append((loss, output))
                part = loss if len(given) == 1 else loss * share
                extra = penalty(network) if penalised and not parts else None
                part = part if extra is None else part + extra
                part.backward()
                parts.append(part if len(given) == 1 else part.detach())
            clip_value, clip_norm = tg.watch(model, "clip_value"), tg.watch(model, "clip_norm")
            if clip_value is not None:
                clip_grad_value_(network.parameters(), clip_value)
            if clip_norm is not None:
                clip_grad_norm_(network.parameters(), clip_norm)
            return functools.reduce(operator.add, parts)

        optimizer.step(closure)
        if model.ema is not None:
            model.ema.update()
        return list(kept)

    if not compiled:
        return step
    quick = tg.compile(step)

    def attempt(given: list[Given]) -> list[tuple[Any, Any]]:
        try:
            return quick(given)
        except tg.NonFiniteError:
            return step(given)  # succeeds if it can, or names the parameter

    return attempt
