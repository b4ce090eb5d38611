"""Gradients summed over processes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

import tensorgrad as tg

from .._checks import number
from .._module import Module
from .._shards import Shard
from .communicator import Communicator

__all__ = ["DataParallel", "reduce_gradients", "summed"]


@tg.indivisible
def _total(array: Any, *, comm: Communicator) -> Any:
    return comm.all_sum(array)


@tg.differentiable
def summed(x: Any, *, comm: Communicator) -> Any:
    """The sum of x over all processes, which has a gradient: the sum of theirs."""
    return _total(x, comm=comm)


@summed.backward
def _(g: Any, x: Any, out: Any, *, comm: Communicator) -> Any:
    return summed(g, comm=comm) if isinstance(g, tg.Tensor) else _total(g, comm=comm)


def reduce_gradients(parameters: Iterable[Any], comm: Communicator, *more: Any) -> list[Any]:
    """Replace each gradient by its sum over all processes, with a single reduction for each dtype.

    A parameter without a gradient in this process, say because it had no rows, counts as zero; frozen ones are left
    alone. Returns the sums of ``more``, arrays of shape (), which travel with the gradients.
    """
    with tg.no_grad():
        trained = [p for p in parameters if p.requires_grad]
        kinds: dict[Any, list[Any]] = {}
        for p in trained:
            kinds.setdefault(p.dtype, []).append(p)
        sums: list[Any] = []
        for dtype, group in kinds.items():
            parts = [np.zeros(p.size, dtype) if p.grad is None else tg.array_of(p.grad) for p in group]
            extras = [tg.array_of(each).astype(dtype) for each in more] if not sums else []
            ends = list(accumulate((p.size for p in group), initial=0))
            total = _total(np.concatenate([*parts, *extras], axis=None), comm=comm)
            for p, (start, stop) in zip(group, pairwise(ends), strict=True):
                p.grad = np.reshape(total[start:stop], p.shape)
            sums = sums or [total[ends[-1] + i] for i in range(len(extras))]
        return sums


@tg.indivisible
def _positive(total: Any) -> Any:
    if not total:
        raise ValueError("backward: no process has rows, so there is no mean loss")
    return total


class DataParallel(Module):
    """A network that several processes train, each on its own rows of a batch.

    Every process begins with the weights of rank 0. :meth:`backward` computes what one process would for all rows
    together, so that the same optimiser takes the same step everywhere.

    Args:
        network: the network, made alike in every process.
        comm: from :func:`nn.parallel.init`.

    Raises:
        TypeError: an argument is something else.

    >>> import numpy as np, nn, nn.parallel
    >>> comm = nn.parallel.init()
    >>> network = nn.parallel.DataParallel(nn.MLP([2, 8, 1], rng=0), comm)
    >>> optimizer = nn.Adam(network.parameters())
    >>> X, y = np.eye(2, dtype=np.float32), np.ones((2, 1), np.float32)
    >>> for rows in nn.parallel.ShardSampler(len(X), comm, batch_size=2, rng=0):
    ...     optimizer.zero_grad()
    ...     loss = nn.functional.mse_loss(network(X[rows]), y[rows])
    ...     loss = network.backward(loss, len(rows))
    ...     optimizer.step()
    """

    def __init__(self, network: Module, comm: Communicator) -> None:
        super().__init__()
        if not isinstance(network, Module):
            raise TypeError(f"DataParallel: network must be a Module, got {type(network).__name__}")
        if not isinstance(comm, Communicator):
            raise TypeError(f"DataParallel: comm must be what nn.parallel.init() returned, got {type(comm).__name__}")
        self.network = network
        self.comm = comm
        self._shard = Shard(comm.rank, comm.size)
        network.load_state_dict(comm.broadcast(network.state_dict() if comm.rank == 0 else None))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.comm.size == 1:
            return self.network(*args, **kwargs)
        if tg.watch(self, "training") and args:
            rows = len(args[0])
            tg.host(lambda: self._count(rows))
        with self.comm, self._shard.used():
            return self.network(*args, **kwargs)

    def _count(self, rows: int) -> int:
        """Find out how many rows the batch has over all processes."""
        shard = self._shard
        shard.rows = int(self.comm.all_sum(np.array(rows)))
        if shard.own != rows:  # dealt in some other way than row by row
            shard.rows = rows * shard.size
        return shard.rows

    def backward(self, loss: tg.Tensor, count: float) -> tg.Tensor:
        """Give every parameter the gradient of the mean loss over the rows of all processes.

        Args:
            loss: the mean over this process's rows, shape ().
            count: how many rows these are, or the sum of their weights. A process without rows gives 0, and a loss that
                is finite, such as ``network(X[:0]).sum()``.

        Returns:
            The mean loss over all rows, the same in every process.

        Raises:
            ValueError: count is negative; or 0 in every process.
        """
        count = number("backward", "count", count, 0)
        (loss * count).backward()
        value, total = reduce_gradients(
            self.network.parameters(), self.comm, tg.array_of(loss) * count, np.asarray(count, loss.dtype)
        )
        total = _positive(total)
        with tg.no_grad():
            for p in self.network.parameters():
                if p.grad is not None:
                    p.grad = p.grad / total
        return tg.Tensor(value / total)
