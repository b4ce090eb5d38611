"""The command line of MPI's launcher."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

from .communicator import ELASTIC

__all__ = ["command_of", "environment_of", "is_root", "main"]

_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def main(arguments: Sequence[str] | None = None) -> int:
    """Start a program in several processes, and return the launcher's exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m nn.parallel", description="Start a Python program in several processes, with MPI."
    )
    parser.add_argument("-n", type=_positive, required=True, metavar="N", help="the number of processes")
    parser.add_argument(
        "--oversubscribe", action="store_true", help="allow more processes than the machine has processor cores"
    )
    parser.add_argument(
        "--elastic", action="store_true", help="go on with the processes that are left when one is killed (Open MPI)"
    )
    parser.add_argument("program", help="a Python file, as for python FILE")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the program")
    given = parser.parse_args(arguments)
    if not os.path.exists(given.program):
        parser.error(f"no such file: {given.program!r}")
    cores = _cores()
    if given.n > cores and not given.oversubscribe:
        parser.error(f"-n {given.n} is more than the {cores} cores there are; write --oversubscribe to share them")
    launcher = _launcher()
    if launcher is None:
        parser.error("there is no mpiexec; pip install 'tensorgrad-np[mpi-local]', or load your cluster's MPI")
    options = {name: getattr(given, name) for name in ("oversubscribe", "elastic")}
    command = command_of(launcher, given.n, given.program, given.arguments, root=is_root(), **options)
    environment = environment_of(os.environ, given.n, cores)
    return subprocess.call(command, env={**environment, ELASTIC: "1"} if given.elastic else environment)


def command_of(
    launcher: str,
    processes: int,
    program: str,
    arguments: Sequence[str],
    *,
    oversubscribe: bool = False,
    elastic: bool = False,
    root: bool = False,
) -> list[str]:
    """The launcher's command line.

    ``-m mpi4py`` ends all processes when one of them fails with an exception.

    >>> print(*command_of("mpiexec", 2, "train.py", ["--lr", "0.1"])[:3])
    mpiexec -n 2
    >>> command_of("mpiexec", 2, "train.py", ["--lr", "0.1"])[-5:]
    ['-m', 'mpi4py', 'train.py', '--lr', '0.1']
    """
    options = ["--allow-run-as-root"] if root else []
    if oversubscribe:
        options.append("--oversubscribe")
    if elastic:
        options += ["--with-ft", "ulfm"]
    return [launcher, *options, "-n", str(processes), sys.executable, "-m", "mpi4py", program, *arguments]


def environment_of(environment: Mapping[str, str], processes: int, cores: int) -> dict[str, str]:
    """The environment of the processes: together, the threads of their BLAS are as many as there are cores.

    >>> environment_of({}, 2, 8)["OPENBLAS_NUM_THREADS"]
    '4'
    >>> environment_of({"OPENBLAS_NUM_THREADS": "1"}, 2, 8)["OPENBLAS_NUM_THREADS"]
    '1'
    """
    threads = str(max(1, cores // processes))
    return {**dict.fromkeys(_THREADS, threads), **environment}


def _launcher() -> str | None:
    """The mpiexec of this environment, or the first one on PATH."""
    here = os.path.join(os.path.dirname(sys.executable), "mpiexec")
    return here if os.access(here, os.X_OK) else shutil.which("mpiexec")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_root() -> bool:
    """Whether Open MPI wants ``--allow-run-as-root``."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value
