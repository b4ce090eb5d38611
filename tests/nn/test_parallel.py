"""Training on several processes: each test starts them."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import nn
import nn.parallel
from nn.parallel.launch import command_of, environment_of, is_root, main
from tests.nn.ranks import EVERY

ROOT = Path(nn.__file__).parent.parent
PROGRAM = Path(__file__).parent / "ranks.py"
LAUNCHER = shutil.which("mpiexec", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]))


def run(processes, *arguments, by="python -m nn.parallel", flags=(), timeout=100):
    """The exit code and the text of a program in several processes, and when it ended."""
    given = [str(PROGRAM), *map(str, arguments)]
    if by == "python -m nn.parallel":
        command = [sys.executable, "-m", "nn.parallel", "-n", str(processes), "--oversubscribe", *flags, *given]
    else:  # without another process that imports nn
        command = command_of(LAUNCHER, processes, given[0], given[1:], oversubscribe=True, root=is_root())
        if by == "mpiexec python":
            command = [word for word in command if word not in ("-m", "mpi4py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False
    )
    return done.returncode, done.stdout.decode(errors="replace").replace("\0", ""), time.time()


# How one of two processes ends, how they were started, and the exit code of all.
HANGS = [
    ("raise", "mpiexec python -m mpi4py", 1),
    ("raise", "mpiexec python", 75),
    ("exit", "mpiexec python -m mpi4py", 75),
    ("stop", "mpiexec python -m mpi4py", 75),
]
ELASTIC = [(0, "well", 0), (2, "fail", 5)]  # who is killed, how the others end, and the exit code


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What the programs have returned, by name. They run beside each other: most of the time they wait."""
    pytest.importorskip("mpi4py")
    if LAUNCHER is None:
        pytest.skip("there is no mpiexec")
    folder = tmp_path_factory.mktemp("run")

    def resumed():
        killed = programs["killed"].result()
        return run(2, "every", folder, by="mpiexec python -m mpi4py") if killed[0] else killed

    with ThreadPoolExecutor(max_workers=4) as pool:
        programs = {"killed": pool.submit(run, 2, "killed", folder)}
        programs[3] = pool.submit(run, 3, "every", by="mpiexec python -m mpi4py")
        programs[2] = pool.submit(resumed)
        for victim, end, _ in ELASTIC:
            programs[victim, end] = pool.submit(run, 3, "elastic", victim, end, flags=["--elastic"])
        for how, by, _ in HANGS:
            programs[how, by] = pool.submit(run, 2, "hangs", how, by=by)
        yield lambda name: programs[name].result()
        for program in programs.values():
            program.cancel()


def seconds_since(text, ended):
    """From the line in which a process says when it ends."""
    return ended - float(next(line for line in text.splitlines() if line.startswith("at ")).split()[1])


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("name", [function.__name__ for function in EVERY])
def test_every_process(ran, name, processes):
    _, text, _ = ran(processes)
    assert text.count(f"{name}: done") == processes, text


def test_a_killed_process_ends_all(ran):
    code, text, ended = ran("killed")
    assert code == 137, text
    assert seconds_since(text, ended) < 5


def test_a_killed_run_resumes(ran):
    code, text, _ = ran(2)
    assert code == 0, text
    assert text.count("a_killed_run_resumes: done") == 2, text


@pytest.mark.parametrize(("victim", "end", "expected"), ELASTIC)
def test_elastic(ran, victim, end, expected):
    code, text, _ = ran((victim, end))
    assert code == expected, text


@pytest.mark.parametrize(("how", "by", "expected"), HANGS)
def test_hangs_end(ran, how, by, expected):
    code, text, ended = ran((how, by))
    assert code == expected, text
    assert seconds_since(text, ended) < 1 + 10  # one second of waiting; the rest for a busy machine
    if expected == 75:
        assert "rank 0 of 2 has waited 1 s for the others to come to the sum of an array of shape (1000,)" in text


# --- without MPI ------------------------------------------------------------------------------------------


def test_one_process_needs_no_mpi(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    comm = nn.parallel.init()
    assert (comm.rank, comm.size) == (0, 1)
    given = np.arange(3.0)
    total = comm.all_sum(given)
    assert total is not given
    np.testing.assert_array_equal(total, given)
    assert comm.gather("x") == ["x"]
    assert comm.broadcast(5) == 5
    comm.barrier()
    comm.require_equal([given], "arrays")


def test_several_processes_need_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(ImportError, match=r"pip install 'tensorgrad-np\[mpi\]'"):
        nn.parallel.init()


def test_arguments():
    with pytest.raises(ValueError, match="timeout must be positive"):
        nn.parallel.init(timeout=0)
    with pytest.raises(TypeError, match="network must be a Module, got int"):
        nn.parallel.DataParallel(3, nn.parallel.init())
    with pytest.raises(TypeError, match=r"comm must be what nn.parallel.init\(\) returned, got int"):
        nn.parallel.DataParallel(nn.Linear(2, 1), 3)
    with pytest.raises(nn.parallel.gradients.tg.DTypeError, match="expected numbers, got dtype"):
        nn.parallel.init().all_sum(np.array(["a"]))
    network = nn.parallel.DataParallel(nn.Linear(2, 1, rng=0), nn.parallel.init())
    with pytest.raises(ValueError, match="no process has rows"):
        network.backward(network(np.zeros((0, 2), np.float32)).sum(), 0)


def test_the_command_line(monkeypatch, capsys, tmp_path):
    command = command_of("mpiexec", 3, "train.py", ["--lr", "1"], oversubscribe=True, elastic=True, root=True)
    assert command == [
        *("mpiexec", "--allow-run-as-root", "--oversubscribe", "--with-ft", "ulfm", "-n", "3"),
        *(sys.executable, "-m", "mpi4py", "train.py", "--lr", "1"),
    ]
    assert environment_of({"A": "b"}, 3, 8)["OMP_NUM_THREADS"] == "2"
    program = tmp_path / "train.py"
    program.touch()
    for arguments, message in [
        (["-n", "2", "missing.py"], "no such file: 'missing.py'"),
        (["-n", "0", str(program)], "invalid"),
        (["-n", "9999", str(program)], "write --oversubscribe to share them"),
    ]:
        with pytest.raises(SystemExit):
            main(arguments)
        assert message in capsys.readouterr().err
    monkeypatch.setattr("nn.parallel.launch._launcher", lambda: None)
    with pytest.raises(SystemExit):
        main(["-n", "1", str(program)])
    assert "pip install 'tensorgrad-np[mpi-local]'" in capsys.readouterr().err


def test_converted_layers_are_the_same_objects(tmp_path):
    network = nn.MLP([2, 4, 1], norm="batch", rng=0)
    before = [id(layer) for layer in network.modules()]
    assert nn.parallel.convert_sync_batchnorm(network) is network
    assert [id(layer) for layer in network.modules()] == before
    kinds = [type(layer).__name__ for layer in network.modules()]
    assert "SyncBatchNorm" in kinds
    assert "BatchNorm" not in kinds
    nn.save(tmp_path / "model.npz", network)
    loaded = nn.load(tmp_path / "model.npz").model
    assert [type(layer).__name__ for layer in loaded.modules()] == kinds
    x = np.ones((4, 2), np.float32)
    np.testing.assert_array_equal(loaded(x).data, network(x).data)
