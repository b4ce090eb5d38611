"""nn.save when something goes wrong while it writes: the old file or the new one, and nothing else."""

import errno
import os
import random
import re
import stat
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import nn
from nn._files import npz
from nn._files.npz import _Member

ROOT = Path(nn.__file__).parent.parent
posix = pytest.mark.skipif(os.name == "nt", reason="permissions, signals and links of POSIX")


def weights(path):
    return nn.load(path).model.W.data.tolist()


@pytest.mark.slow
@pytest.mark.promise("L5")
@posix
def test_kill_9_at_random_moments(path):
    """benchmarks/kill_saving.py does it 50 times."""
    command = [sys.executable, "benchmarks/kill_saving.py", "--format", path.suffix[1:], "--kills", "8"]
    command += ["--seed", str(random.randrange(1000))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert ": 8 of 8 files load" in run.stdout
    assert "after the next save: 0" in run.stdout


@pytest.fixture
def running():
    """A process that runs until the test is done."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.mark.promise("L5")
@posix
def test_temporary_files_of_the_dead_are_removed(path, running):
    model = nn.Linear(2, 1, rng=0)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    nn.save(path, model)
    stray = next(iter(_temporary_names(path, model)))  # of a dead process that had our process id, say
    dead = re.sub(r"-\d+-", f"-{process.pid}-", stray)
    assert dead != stray
    running = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    kept = {
        "of a process that runs": re.sub(r"-\d+-", f"-{running.pid}-", stray),
        "of another host": re.sub(r"[0-9a-f]{8}-\d", "00000000-1", dead, count=1),
        "of another file": f".x{dead[1:]}",
        "something else": dead.removesuffix(".tmp"),
    }
    # The stray has our own process id, which an earlier process had: nobody writes it now.
    for name in (dead, stray, *kept.values()):
        (path.parent / name).write_bytes(b"half")
    try:
        nn.save(path, model)
    finally:
        running.communicate()
    assert {p.name for p in path.parent.iterdir()} == {path.name, *kept.values()}


@posix
def test_what_is_being_written_is_no_stray(path):
    """Two threads save to one path at once."""
    model = nn.Linear(200, 200, rng=0)
    errors = []

    def save():
        try:
            for _ in range(20):
                nn.save(path, model)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    nn.load(path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def _temporary_names(path, model):
    """The name of the file that nn.save writes first."""
    seen = set()
    real = os.replace

    def replace(source, target):
        seen.add(os.path.basename(source))
        real(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", replace)
        nn.save(path, model)
    assert len(seen) == 1
    return seen


@pytest.mark.promise("L5")
@posix
def test_the_disk_has_the_whole_file_before_its_name_and_then_the_folder(path, monkeypatch):
    """The system is asked to sync to the disk: a power cut at any moment leaves the old file or the new one."""
    events = []
    real = os.fsync, os.replace

    def fsync(handle):
        found = os.fstat(handle)
        if stat.S_ISDIR(found.st_mode):
            assert os.path.samestat(found, os.stat(path.parent))
            events.append("folder")
        else:
            events.append(found.st_size)
        real[0](handle)

    def replace(source, target):
        events.append("replace")
        real[1](source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    nn.save(path, nn.Linear(30, 10, rng=0))
    assert events == [path.stat().st_size, "replace", "folder"]


@posix
def test_the_temporary_file_of_another_users_process_stays(path, monkeypatch):
    """A process that we are not allowed to signal is running."""
    model = nn.Linear(2, 1, rng=0)
    theirs = path.parent / re.sub(r"-\d+-", "-123456789-", next(iter(_temporary_names(path, model))))
    theirs.write_bytes(b"half")
    asked = []

    def kill(process, signal):
        asked.append((process, signal))
        raise PermissionError(errno.EPERM, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", kill)
        nn.save(path, model)
    assert asked == [(123456789, 0)]
    assert theirs.exists()


FAILURES = {
    "disk full": OSError(errno.ENOSPC, "No space left on device"),
    "input/output error": OSError(errno.EIO, "Input/output error"),
    "Ctrl-C": KeyboardInterrupt(),
}


@pytest.mark.promise("L6")
@pytest.mark.parametrize("error", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_the_old_file_stays(path, monkeypatch, error, function):
    nn.save(path, nn.Linear(2, 1, rng=0))
    old = path.read_bytes()

    def fail(*args):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        with pytest.raises(type(error)) as raised:
            nn.save(path, nn.Linear(2, 1, rng=1))
    if isinstance(error, OSError):
        assert str(raised.value) == f"[Errno {error.errno}] {error.strerror}: {str(path)!r}"
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.promise("L6")
@posix
def test_a_file_that_may_not_grow(path):
    """The system itself refuses, in the middle of a tensor."""
    nn.save(path, nn.Linear(2, 1, rng=0))
    old = path.read_bytes()
    program = f"""
import resource, nn
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    nn.save({str(path)!r}, nn.Linear(300, 300))
except OSError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == f"[Errno {errno.EFBIG}] File too large: {str(path)!r}\n"
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.promise("L6")
@posix
@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize(
    ("folder_mode", "mode", "reason"),
    [(0o555, 0o666, "Permission denied"), (0o777, 0o444, "is write-protected")],
    ids=["folder", "file"],
)
def test_what_may_not_be_written_to(suffix, folder_mode, mode, reason):
    if suffix == "safetensors":
        pytest.importorskip("safetensors")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = os.path.join(folder, f"model.{suffix}")
        nn.save(path, nn.Linear(2, 1, rng=0))
        old = Path(path).read_bytes()
        os.chmod(path, mode)
        os.chmod(folder, folder_mode)
        program = f"""
import os, nn
if {suffix == "safetensors"}:
    import safetensors.numpy
if os.geteuid() == 0:
    os.seteuid(65534)  # root can write everywhere
try:
    nn.save({path!r}, nn.Linear(2, 1))
except OSError as error:
    print(type(error).__name__, error)
"""
        run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
        assert run.stdout == f"PermissionError [Errno {errno.EACCES}] {reason}: {path!r}\n"
        assert Path(path).read_bytes() == old
        assert os.listdir(folder) == [f"model.{suffix}"]


@pytest.mark.promise("L6")
def test_paths_that_cannot_be_files(path):
    missing = path.parent / "nowhere" / path.name
    with pytest.raises(FileNotFoundError, match=re.escape(repr(str(missing)))):
        nn.save(missing, nn.Linear(2, 1))
    path.mkdir()
    with pytest.raises(IsADirectoryError, match=f"is a folder: .*{path.name}"):
        nn.save(path, nn.Linear(2, 1))
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert not list(path.iterdir())


@posix
def test_a_pipe_is_not_replaced(path):
    os.mkfifo(path)
    with pytest.raises(FileExistsError, match="is not a regular file"):
        nn.save(path, nn.Linear(2, 1))
    assert stat.S_ISFIFO(path.stat().st_mode)


@posix
@pytest.mark.parametrize(("umask", "mode"), [(0, 0o666), (0o022, 0o644), (0o027, 0o640)])
def test_permissions_and_links(path, umask, mode):
    before = os.umask(umask)
    try:
        nn.save(path, nn.Linear(2, 1))
        assert stat.S_IMODE(path.stat().st_mode) == mode
        path.chmod(0o600)
        link = path.with_name(f"link{path.suffix}")
        link.symlink_to(path.name)
        old = path.stat().st_ino
        nn.save(link, nn.Linear(2, 1))
    finally:
        os.umask(before)
    assert link.is_symlink()
    assert path.stat().st_ino != old
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_savings_at_the_same_time(path):
    models = [nn.Linear(2, 1, rng=seed) for seed in range(4)]

    def save(model):
        for _ in range(10):
            nn.save(path, model)

    threads = [threading.Thread(target=save, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert weights(path) in [model.W.data.tolist() for model in models]
    assert os.listdir(path.parent) == [path.name]


def test_a_long_name(tmp_path):
    path = tmp_path / f"{'ü' * 120}.npz"
    nn.save(path, nn.Linear(2, 1))
    nn.load(path)


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"pip install 'tensorgrad-np\[safetensors\]', or save as \.npz"):
        nn.save(tmp_path / "m.safetensors", nn.Linear(2, 1))
    assert not list(tmp_path.iterdir())


def test_members_beyond_four_gigabytes(tmp_path):
    """The ZIP file's longer form, read by zipfile; the zeros are a hole on the disk."""
    path = tmp_path / "large.zip"
    size = 2**32 + 5
    members = [_Member(b"zeros", size, 0), _Member(b"small", 5, 0x3610A686)]  # CRC-32 of b"hello"
    offsets = []
    with open(path, "wb") as file:
        for member in members:
            offsets.append(file.tell())
            file.write(member.head())
            if member.size == size:
                file.seek(size, os.SEEK_CUR)
            else:
                file.write(b"hello")
        file.write(npz._directory(members, offsets, file.tell()))
    with zipfile.ZipFile(path) as archive:
        assert [(m.filename, m.file_size, m.header_offset) for m in archive.infolist()] == [
            ("zeros", size, offsets[0]),
            ("small", 5, offsets[1]),
        ]
        # The version of the format that a program must know to read it: 4.5 for sizes of eight bytes, else 2.0.
        assert {m.extract_version for m in archive.infolist()} == {45}
        assert [int.from_bytes(m.head()[4:6], "little") for m in members] == [45, 20]
        assert archive.read("small") == b"hello"
        with archive.open("zeros") as zeros:
            assert zeros.read(10) == bytes(10)


@pytest.mark.slow
def test_a_model_of_very_many_tensors(tmp_path):
    """More than the short form of the ZIP directory can count."""
    model = nn.Module()
    model.list = [nn.Parameter(np.float32(i)) for i in range(2**16)]
    nn.save(tmp_path / "m.npz", model)
    with zipfile.ZipFile(tmp_path / "m.npz") as archive:
        assert len(archive.infolist()) == 2**16 + 2
    assert [p.data.item() for p in nn.load(tmp_path / "m.npz").model.list[-2:]] == [2**16 - 2, 2**16 - 1]


def test_the_time_to_save_grows_with_the_number_of_tensors(path):
    """Eight times as many tensors take about eight times as long, not 64 times."""

    def seconds(count):
        model = nn.Module()
        model.list = [nn.Parameter(np.float32(i)) for i in range(count)]
        began = time.process_time()
        nn.save(path, model)
        return time.process_time() - began

    assert min(seconds(8000) for _ in range(2)) < 24 * min(seconds(1000) for _ in range(3))
