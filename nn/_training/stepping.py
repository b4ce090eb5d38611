"""One update of the parameters, from one batch or several."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorgrad as tg

from .._layers.penalty import penalty
from .._optim.clipping import clip_grad_norm_, clip_grad_value_
from .._optim.lbfgs import LBFGS
from .._shards import Shard
from ..parallel.communicator import Communicator
from ..parallel.gradients import reduce_gradients
from .data import Batch, Casts
from .inputs import called
from .weighing import counted, is_void, loss_of

if TYPE_CHECKING:
    from .model import Model

__all__ = ["Group", "Step", "grouped", "stepper"]


Given = tuple[Any, Any, Any, float | None]  # inputs, targets, weights, and the share, None for 1


class Group(NamedTuple):
    """The batches of one update, and the share of each in the loss, which is the mean over all their samples.

    Batches of which the loss counts nothing are apart; if there are no others, there is no update.
    """

    batches: tuple[Batch, ...]
    shares: tuple[float, ...]
    void: tuple[Batch, ...]
    drawn: tuple[Batch, ...] = ()  # as they came, if several processes share them

    def given(self, casts: Casts) -> list[Given]:
        """What a step takes of the batches. No targets say that nothing counts here, but somewhere else."""
        parts = zip(self.batches, self.shares, strict=True)
        return [
            (casts.inputs(batch.X), casts.targets(batch.y), batch.weight, None if share == 1 else share)
            if share
            else (casts.inputs(batch.X), None, None, None)
            for batch, share in parts
        ]


def grouped(groups: Iterable[tuple[Batch, ...]], loss: Any) -> Iterator[Group]:
    """The batches of each update, with their shares in its loss."""
    for drawn in groups:
        void = tuple(batch for batch in drawn if is_void(loss, batch.y, batch.weight))
        useful = tuple(batch for batch in drawn if not is_void(loss, batch.y, batch.weight)) if void else drawn
        total = sum(counted(loss, batch.y) for batch in drawn)
        yield Group(useful, tuple(counted(loss, batch.y) / total for batch in useful), void)


Step = Callable[[Group, Casts], list[tuple[Any, Any]]]


def stepper(model: Model, compiled: bool, together: int = 1, comm: Communicator | None = None) -> Step:
    """A function that does one update, from up to ``together`` batches.

    It returns, for each batch, its loss without the penalty, and the network's output. With ``comm``, gradients are
    summed over its processes.
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
    if comm is not None and comm.elastic and isinstance(optimizer, LBFGS):
        raise ValueError("fit: LBFGS cannot be elastic, because its step cannot be done again; leave out --elastic")
    penalised = penalty(network) is not None
    order = {id(p): i for i, p in enumerate(network.parameters())}
    shards = [] if comm is None else [Shard(comm.rank, comm.size) for _ in range(together)]

    def step(given: list[Given]) -> list[tuple[Any, Any]]:
        kept: list[Any] = []

        def closure() -> Any:
            optimizer.zero_grad()
            kept.clear()
            parts: list[Any] = []
            for i, (X, y, weight, share) in enumerate(given):
                with shards[i].used() if shards else nullcontext():
                    output = called(network, X)
                loss = tg.sum(output) * 0.0 if y is None else loss_of(model.loss, output, y, weight)
                kept.append((loss, output))
                part = loss if share is None else loss * share
                first = penalised and not parts and (comm is None or tg.watch(comm, "rank") == 0)
                extra = penalty(network) if first else None
                part = part if extra is None else part + extra
                parts.append(part if len(given) == 1 else part.detach())
                if comm is None or i < len(given) - 1:
                    part.backward()
            whole = functools.reduce(operator.add, parts)
            if comm is not None:
                parameters = [p for group in optimizer.param_groups for p in group["params"]]
                parameters.sort(key=lambda p: order.get(id(p), -1))  # layer by layer, whatever the groups are
                whole = tg.Tensor(reduce_gradients(parameters, comm, part.backward, tg.array_of(whole))[0])
            clip_value, clip_norm = tg.watch(model, "clip_value"), tg.watch(model, "clip_norm")
            if clip_value is not None:
                clip_grad_value_(network.parameters(), clip_value)
            if clip_norm is not None:
                clip_grad_norm_(network.parameters(), clip_norm)
            return whole

        optimizer.step(closure)
        if model.ema is not None:
            model.ema.update()
        return list(kept)

    run = tg.compile(step) if compiled else step

    def update(group: Group, casts: Casts) -> list[tuple[Any, Any]]:
        for shard, batch in zip(shards, group.batches, strict=False):
            if comm is not None:
                shard.rank, shard.size = comm.rank, comm.size
            shard.rows = len(batch.y) * shard.size if batch.whole is None else batch.whole.rows
        return run(group.given(casts))

    return update
