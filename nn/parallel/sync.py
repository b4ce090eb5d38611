"""Batch normalisation over the rows of all processes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

import tensorgrad as tg

from .._layers.normalization import BatchNorm
from .._module import Module
from .._running import members_changed
from ..functional.layers import blend, per_feature, scaled
from .communicator import Communicator, surrounding
from .gradients import summed

__all__ = ["SyncBatchNorm", "convert_sync_batchnorm"]


class SyncBatchNorm(BatchNorm):
    """:class:`nn.BatchNorm` with the mean and variance of the rows of all processes in training.

    The processes are those of the ``with comm:`` block around it, of ``fit(..., parallel=comm)``, or of a
    :class:`DataParallel`; outside of these it is an :class:`nn.BatchNorm`. A process may have any number of rows, none
    as well. The arguments are those of :class:`nn.BatchNorm`.

    Raises:
        ShapeError: x does not have num_features features; a training batch has fewer than 2 numbers for each in all
            processes together.

    >>> import numpy as np, nn, nn.parallel
    >>> norm = nn.parallel.SyncBatchNorm(1, eps=0.0, dtype=np.float64)
    >>> norm(np.array([[1.0], [3.0]])).data.tolist()
    [[-1.0], [1.0]]
    """

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        comm = surrounding()
        if comm is None or tg.watch(comm, "size") == 1 or not (tg.watch(self, "training") or self.running_mean is None):
            return super().forward(x)
        with tg.scope(None, "sync_batch_norm"):
            return self._over_all(x if isinstance(x, tg.Tensor) else tg.Tensor(x), comm)

    def _over_all(self, x: tg.Tensor, comm: Communicator) -> tg.Tensor:
        if x.ndim < 2 or x.shape[1] != self.num_features:
            raise tg.ShapeError(
                f"SyncBatchNorm: expected shape (batch, {self.num_features}) and perhaps more axes, got {x.shape}"
            )
        trailing = x.ndim - 2
        axes = (0, *range(2, x.ndim))
        # As in batch_norm, measured from the first number: that of the first process that has rows.
        first = np.zeros((2, self.num_features), x.dtype)
        if x.shape[0]:
            first = np.stack([tg.array_of(x)[(0, slice(None)) + (0,) * trailing], np.ones_like(first[0])])
        own = tg.watch(comm, "rank")
        slots = [first if rank == own else np.zeros_like(first) for rank in range(comm.size)]
        base = _first(tg.array_of(summed(np.stack(slots), comm=comm)))
        moved = tg.subtract(x, per_feature(base, trailing))
        here = np.full(1, prod((x.shape[0], *x.shape[2:])), x.dtype)
        totals = summed(tg.concatenate([tg.sum(moved, axis=axes), here]), comm=comm)
        n = totals[-1:].detach()
        offset = totals[:-1] / _enough(tg.array_of(n))
        centred = moved - per_feature(offset, trailing)
        var = summed(tg.sum(centred * centred, axis=axes), comm=comm) / n
        if self.running_mean is not None and self.running_var is not None:
            running: tuple[Any, ...] = (self.running_mean, self.running_var)
            momentum = tg.watch(self, "momentum")
            if momentum is None:
                running = (*running, self.num_batches_tracked)
            spread = tg.array_of(var)
            if tg.watch(self, "unbiased"):
                count = tg.array_of(n)
                spread = spread * (count / (count - 1))
            blend(running, (base + tg.array_of(offset), spread), momentum, 1.0)
        return scaled(centred, var, self.gamma, self.beta, tg.watch(self, "eps"))


def _first(slots: Any) -> Any:
    """The first row that a process has, of shape (processes, 2, features): rows, and ones where there is one."""
    found = slots[0]
    for slot in slots[1:]:
        found = np.where(found[1] > 0, found, slot)
    return found[0]


@tg.indivisible
def _enough(count: Any) -> Any:
    if count[0] < 2:
        raise tg.ShapeError(
            f"SyncBatchNorm: training needs more than 1 row over all processes to compute a variance, got {count[0]:g}"
        )
    return count


def convert_sync_batchnorm(module: Module) -> Module:
    """Make each :class:`nn.BatchNorm` in a network, itself included, a :class:`SyncBatchNorm`, and return the network.

    The layers stay the same objects, with their parameters, statistics and hooks.

    >>> import nn, nn.parallel
    >>> network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm(3))
    >>> type(nn.parallel.convert_sync_batchnorm(network)[1]).__name__
    'SyncBatchNorm'
    """
    for layer in module.modules():
        if type(layer) is BatchNorm:
            layer.__class__ = SyncBatchNorm
    members_changed()  # a compiled step traces again
    return module
