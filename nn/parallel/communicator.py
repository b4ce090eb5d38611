"""The processes that train together, and the one operation between them: a sum with a deadline."""

from __future__ import annotations

import atexit
import os
import pickle
import sys
import time
import zlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

import tensorgrad as tg

from .._checks import number
from .._setting import Setting
from .flight import Flight
from .memory import Memory

__all__ = ["Communicator", "RanksLost", "init", "surrounding"]

T = TypeVar("T")

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: try again
ELASTIC = "TENSORGRAD_ELASTIC"  # set by the launcher
_SPIN = 1e-3  # seconds for which a process asks for a reduction's result without a pause
_PAUSE = 5e-5  # seconds between two questions after that, in which others may have the processor
_LAUNCHED = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "MPI_LOCALNRANKS")

_surrounding: Setting[Communicator] = Setting("nn_parallel")


def surrounding() -> Communicator | None:
    """The communicator whose ``with`` block is running, or None."""
    return _surrounding.watched()


class RanksLost(BaseException):
    """Processes ended, and the others have come together without them: the step is to be done again.

    It is not an Exception, so that a compiled step does not take it for a mistake of its own and run uncompiled.
    """


class Communicator(tg.restoring):
    """The processes of a training run; made by :func:`nn.parallel.init`.

    In a ``with`` block, :meth:`nn.Model.fit` and the estimators train on all of them together.

    Attributes:
        rank: the number of this process, from 0.
        size: how many there are.
        timeout: seconds after which a process that waits for the others ends the program.
        elastic: whether those that are left go on when a process is killed: ``python -m nn.parallel --elastic``.

    >>> import numpy as np, nn.parallel
    >>> comm = nn.parallel.init()
    >>> comm.rank, comm.size
    (0, 1)
    >>> comm.all_sum(np.ones(2))
    array([1., 1.])
    """

    __comes_from_outside__ = True  # a sum over processes is not a function of its arguments

    def __init__(self, world: Any, timeout: float, elastic: bool = False) -> None:
        super().__init__(lambda: None)
        self.timeout = timeout
        self.elastic = elastic and world is not None
        self._lost = False
        self.memory = Memory()
        self.flight: Flight | None = None  # a sum in parts that has begun
        self._adopt(world)
        # A sum in parts begins among other sums, not at the same time in each process: it has its own communicator.
        self._beside = None if world is None or elastic else world.Dup()

    def _adopt(self, world: Any) -> None:
        self._world = world
        self.rank: int = 0 if world is None else world.Get_rank()
        self.size: int = 1 if world is None else world.Get_size()

    def __enter__(self) -> Communicator:
        self._open.append(_surrounding.put_back())
        _surrounding.put(self)
        return self

    def __repr__(self) -> str:
        return f"Communicator(rank={self.rank}, size={self.size}, timeout={self.timeout:g})"

    def all_sum(self, array: Any) -> Any:
        """The sum of the processes' arrays, the same bits in each: a new array of the same shape and dtype.

        Every process must call it, with arrays of the same shape and dtype, in the same order as the others.

        Raises:
            DTypeError: the array does not hold numbers.
            RanksLost: a process has ended, and the communicator is elastic.
        """
        given = np.ascontiguousarray(array)
        if given.dtype.kind not in "biufc":
            raise tg.DTypeError(f"all_sum: expected numbers, got dtype {given.dtype}")
        if self._world is None:
            return given.copy().reshape(np.shape(array))
        narrow = given.dtype == np.float16 or given.dtype.kind == "b"
        sent = given.astype(np.float32 if given.dtype.kind == "f" else np.int64) if narrow else given
        total = self.memory.empty(sent.shape, sent.dtype)
        if not self.elastic:
            self.wait(self._world.Iallreduce(sent, total), sent)
        elif not self._survived(sent, total):
            self._gather_again()
        return total.astype(given.dtype, copy=False).reshape(np.shape(array))

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, by rank. They are pickled."""
        if self._world is None:
            return [value]
        own = np.frombuffer(pickle.dumps(value), np.uint8)
        lengths = np.zeros(self.size, np.int64)
        lengths[self.rank] = len(own)
        ends = np.cumsum(self.all_sum(lengths))
        everything = np.zeros(ends[-1], np.uint8)
        everything[ends[self.rank] - len(own) : ends[self.rank]] = own
        return [pickle.loads(part.tobytes()) for part in np.split(self.all_sum(everything), ends[:-1])]

    def broadcast(self, value: Any) -> Any:
        """The value of rank 0, in every process. It is pickled."""
        return self.gather(value if self.rank == 0 else None)[0]

    def barrier(self) -> None:
        """Wait until every process has come here."""
        self.all_sum(np.zeros(1))

    def require_equal(self, arrays: Iterable[Any], what: str) -> None:
        """Raise RuntimeError, in every process, if these arrays are not the same bits in all of them."""
        digest = 0
        for array in arrays:
            digest = zlib.crc32(np.ascontiguousarray(array).data, digest)
        digests = self.gather(digest)
        if len(set(digests)) > 1:
            different = [rank for rank, other in enumerate(digests) if other != digests[0]]
            raise RuntimeError(
                f"nn.parallel: {what} of rank {', '.join(map(str, different))} differ from those of rank 0; let every "
                "process do the same updates, and change parameters on all of them alike"
            )

    # --- sums in parts ------------------------------------------------------------------------------------

    @property
    def sums_in_parts(self) -> bool:
        """Whether a sum can go on beside others. A lost process would leave such a sum half done."""
        return self._beside is not None

    def begun(self, sent: Any, total: Any) -> Any:
        """Begin to sum an array over the processes, beside other sums; :meth:`wait` for what this returns."""
        assert self._beside is not None
        return self._beside.Iallreduce(sent, total)

    def wait(self, request: Any, sent: Any) -> None:
        """Wait for a reduction, and end the program if the other processes do not come to it in time."""
        began = time.monotonic()
        while not request.Test():
            waited = time.monotonic() - began
            if waited > self.timeout:
                self._give_up(sent)
            if waited > _SPIN:
                time.sleep(_PAUSE)

    # --- processes that are lost -----------------------------------------------------------------------

    def commit(self) -> None:
        """Make sure that all processes have come through the last sum, if the communicator is elastic.

        A process may have ended during it, so that some have its result and others do not. Raises RanksLost in all.
        """
        if self.elastic and not self._all_agree(True):
            self._shrink()

    def surviving(self, function: Callable[[], T]) -> T:
        """What a function of sums returns, which is called again if processes are lost in it."""
        while True:
            try:
                result = function()
                self.commit()
            except RanksLost:
                continue
            return result

    def _survived(self, sent: Any, total: Any) -> bool:
        def wait() -> bool:
            self.wait(self._world.Iallreduce(sent, total), sent)
            return True

        return _unless_lost(wait)

    def _all_agree(self, well: bool) -> bool:
        """Whether all processes are there, and all are well: the same answer in each of those that are left."""
        return _unless_lost(lambda: bool(self._world.Agree(int(well))))

    def _gather_again(self) -> None:
        """After a sum that failed: tell the others, who may wait in another one or in :meth:`commit`."""
        self._world.Revoke()
        self._all_agree(False)
        self._shrink()

    def _shrink(self) -> None:
        before, old = self.size, self._world
        old.Revoke()
        self._adopt(old.Shrink())
        if not self._lost:
            _end_without_waiting()
        self._lost = True
        raise RanksLost(f"{before - self.size} of {before} processes ended")

    def _give_up(self, array: Any) -> None:
        print(
            f"nn.parallel: rank {self.rank} of {self.size} has waited {self.timeout:g} s for the others to come to the "
            f"sum of an array of shape {array.shape}; one of them has failed, ended or been stopped. All are ended "
            f"now, with exit code {EXIT_CODE}.",
            file=sys.stderr,
            flush=True,
        )
        self._world.Abort(EXIT_CODE)


def _unless_lost(operation: Callable[[], bool]) -> bool:
    """What an operation of MPI returns; False if processes are lost."""
    from mpi4py import MPI

    try:
        return operation()
    except MPI.Exception as error:
        if error.Get_error_class() not in (MPI.ERR_PROC_FAILED, MPI.ERR_PROC_FAILED_PENDING, MPI.ERR_REVOKED):
            raise
        return False


def _end_without_waiting() -> None:
    """After processes were lost, end this one without leaving MPI, which now and then waits for them for ever."""
    runner: Any = sys.modules.get("mpi4py.run")  # ``python -m mpi4py``, which knows how the program ends
    if runner is None:
        return
    codes = [0]

    def failed(status: Any) -> None:
        code = status.code if isinstance(status, SystemExit) else status
        codes.append(code if isinstance(code, int) else 1 if code else 0)

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(codes[-1])

    runner.set_abort_status = failed
    atexit.register(end)


def init(timeout: float = 60.0) -> Communicator:
    """Join the processes that ``python -m nn.parallel -n 4 train.py`` or an MPI launcher has started.

    In a process that was started alone, there is one process and MPI is not needed.

    Args:
        timeout: seconds. If a process waits longer for the others, because one of them has failed, ended or been
            stopped, all are ended with exit code 75.

    Raises:
        ImportError: several processes were started, and mpi4py is not installed.
        ValueError: timeout is not a positive number.

    >>> import nn.parallel
    >>> nn.parallel.init(timeout=10)
    Communicator(rank=0, size=1, timeout=10)
    """
    timeout = number("init", "timeout", timeout, 0)
    if not timeout:
        raise ValueError("init: timeout must be positive, got 0")
    if not any(name in os.environ for name in _LAUNCHED):
        return Communicator(None, timeout)
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ImportError("nn.parallel needs mpi4py: pip install 'tensorgrad-np[mpi]'") from error
    world = MPI.COMM_WORLD.Dup() if MPI.COMM_WORLD.Get_size() > 1 else None
    return Communicator(world, timeout, elastic=ELASTIC in os.environ)
