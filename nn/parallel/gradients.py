"""Gradients summed over processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

import tensorgrad as tg

from .._checks import number
from .._module import Module
from .._shards import Shard
from .communicator import Communicator
from .flight import Flight, Plan

__all__ = ["DataParallel", "reduce_gradients", "summed"]

PART = 1 << 20  # bytes of gradients that are summed at once, at least


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


@tg.indivisible
def _begun(before: Any, *arrays: Any, comm: Communicator, plan: Plan) -> Any:
    """Begin the next part of a sum. Returns how many have begun, which the next call is given, or :func:`_ended`."""
    if before is None:
        if comm.flight is not None:  # its memory stays in use
            raise RuntimeError(
                "nn.parallel: an error ended the last backward() while gradients were being summed, so the processes "
                "may no longer be at the same sum; end the program after such an error"
            )
        comm.flight = Flight(comm, plan)
    assert comm.flight is not None
    return np.array(comm.flight.begin(arrays))


@tg.indivisible
def _ended(before: Any, *arrays: Any, comm: Communicator, plan: Plan) -> Any:
    """The flat sum of arrays over all processes, of which the first parts may have begun."""
    if before is not None:
        assert comm.flight is not None
        total = comm.flight.end(arrays)
        comm.flight = None
        return total
    memory = comm.memory.empty((plan.edges[-1],), plan.dtype)
    total = comm.all_sum(np.concatenate(arrays, axis=None, out=memory))
    comm.commit()  # here, because the update in a compiled step depends on this call
    return total


class _Reduction:
    """The sum of gradients of one dtype, of which a part begins when backward has completed it, if ``in_parts``."""

    def __init__(self, parameters: list[Any], comm: Communicator, extras: int, in_parts: bool) -> None:
        self.parameters, self.comm = parameters, comm
        dtype = np.dtype(parameters[0].dtype)
        sizes = [p.size for p in parameters]
        ends = list(accumulate(sizes))
        counts, edges = [0], [0]
        for end in ends:
            counts[-1] += 1
            if in_parts and (end - edges[-1]) * dtype.itemsize >= PART and end < ends[-1]:
                edges.append(end)
                counts.append(0)
        counts[-1] += extras
        self.plan = Plan(dtype, tuple(counts), (*edges, ends[-1] + extras))
        self._early = len(sizes) + extras - counts[-1]  # the last part ends with backward
        self._known: dict[int, Any] = {}
        self._begun: Any = None
        self._parts = self._taken = 0

    def hooks(self) -> list[Callable[[], None]]:
        """Watch backward; returns functions that end this."""
        watched = enumerate(self.parameters[: self._early])
        return [p.register_hook(partial(self._complete, i), copy=False) for i, p in watched]

    def _complete(self, i: int, gradient: Any) -> None:
        before = self.parameters[i].grad
        self._known[i] = gradient if before is None else tg.array_of(before) + gradient
        while self._taken < self._early:
            places = range(self._taken, self._taken + self.plan.counts[self._parts])
            if not all(place in self._known for place in places):
                return
            arrays = [self._known[place] for place in places]
            self._begun = _begun(self._begun, *arrays, comm=self.comm, plan=self.plan)
            self._parts, self._taken = self._parts + 1, places.stop

    def end(self, extras: list[Any]) -> list[Any]:
        """Give each parameter its sum, and return those of the extras."""
        dtype = self.plan.dtype
        # zeros_like of the parameter, so that a compiled step has a call for a group without gradients, too.
        grads = [(p, p.grad) for p in self.parameters]
        own = [np.zeros_like(tg.array_of(p)) if g is None else tg.array_of(g) for p, g in grads]
        total = _ended(self._begun, *own, *(each.astype(dtype) for each in extras), comm=self.comm, plan=self.plan)
        ends = list(accumulate((p.size for p in self.parameters), initial=0))
        for p, (start, stop) in zip(self.parameters, pairwise(ends), strict=True):
            p.grad = np.reshape(total[start:stop], p.shape)
        return [total[ends[-1] + i] for i in range(len(extras))]


def reduce_gradients(
    parameters: Iterable[Any], comm: Communicator, backward: Callable[[], None], *more: Any
) -> list[Any]:
    """Call a function that computes gradients, and replace each gradient by its sum over all processes.

    The gradients of a dtype are one flat array. The largest is summed in parts while backward goes on, the last
    parameter first. A parameter without a gradient in this process, say because it had no rows, counts as zero; frozen
    ones are left alone. Returns the sums of ``more``, arrays of shape (), which travel with the gradients.
    """
    kinds: dict[Any, list[Any]] = {}
    for p in reversed([p for p in parameters if p.requires_grad]):
        kinds.setdefault(p.dtype, []).append(p)
    extras = [tg.array_of(each) for each in more]
    if not kinds:
        backward()
        return [_total(each, comm=comm) for each in extras]
    largest, *others = sorted(kinds.values(), key=lambda group: -sum(p.size * p.dtype.itemsize for p in group))
    # float16 is summed as float32, and parts of two dtypes might begin in another order in each process.
    in_parts = comm.sums_in_parts and largest[0].dtype != np.float16
    reductions = [_Reduction(largest, comm, len(extras), in_parts)]
    reductions += [_Reduction(group, comm, 0, False) for group in others]
    remove = [function for reduction in reductions for function in reduction.hooks()]
    try:
        backward()
    finally:
        for function in remove:
            function()
    with tg.no_grad():
        sums = [reduction.end([] if i else extras) for i, reduction in enumerate(reductions)]
    return sums[0]


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
        share = count / _positive(_total(np.full_like(tg.array_of(loss), count), comm=self.comm))
        part = loss * share
        (value,) = reduce_gradients(self.network.parameters(), self.comm, part.backward, tg.array_of(part))
        return tg.Tensor(value)
