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
from .compiling import Compile, check_compile, compiled
from .data import Batch, Casts
from .inputs import called
from .weighing import counted, is_void, loss_of

if TYPE_CHECKING:
    from .model import Model

__all__ = ["Group", "Step", "check_step", "grouped", "stepper"]


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
        counts = [1.0] if len(drawn) == 1 else [counted(loss, batch.y) for batch in drawn]  # a single one is the whole
        total = sum(counts)
        useful, shares, void = [], [], []
        for batch, count in zip(drawn, counts, strict=True):
            if is_void(loss, batch.y, batch.weight):
                void.append(batch)
            else:
                useful.append(batch)
                shares.append(count / total)
        yield Group(tuple(useful), tuple(shares), tuple(void))


Step = Callable[[Group, Casts], list[tuple[Any, Any]]]


def check_step(model: Model, compile: Compile, comm: Communicator | None) -> None:
    """Raise ValueError if the optimiser, ``compile`` and the processes do not go together."""
    optimizer = model.optimizer
    learned = {id(p) for p in model.network.parameters() if p.requires_grad}
    if learned and not learned & {id(p) for group in optimizer.param_groups for p in group["params"]}:
        raise ValueError(
            "fit: the optimiser has none of the network's parameters; write "
            f"nn.{type(optimizer).__name__}(model.network.parameters())"
        )
    check_compile(model, compile)
    if comm is not None and comm.elastic and isinstance(optimizer, LBFGS):
        raise ValueError("fit: LBFGS cannot be elastic, because its step cannot be done again; leave out --elastic")


def stepper(
    model: Model, compile: Compile, together: int = 1, comm: Communicator | None = None, expected: int = 0
) -> Step:
    """A function that does one update, from up to ``together`` batches.

    It returns, for each batch, its loss without the penalty, and the network's output. With ``comm``, gradients are
    summed over its processes. ``expected`` is how many updates of a few shapes there will be; 0 if that is not known.
    """
    network, optimizer = model.network, model.optimizer
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
                loss = tg.sum(output) * 0.0 if y is None else loss_of(tg.watch(model, "loss"), output, y, weight)
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
        ema = tg.watch(model, "ema")
        if ema is not None:
            ema.update()
        return list(kept)

    run = compiled(step, model, compile, comm, expected)

    def update(group: Group, casts: Casts) -> list[tuple[Any, Any]]:
        for shard, batch in zip(shards, group.batches, strict=False):
            if comm is not None:
                shard.rank, shard.size = comm.rank, comm.size
            shard.rows = len(batch.y) * shard.size if batch.whole is None else batch.whole.rows
        return run(group.given(casts))

    return update
