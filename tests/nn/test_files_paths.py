"""nn.save and nn.load: paths, what is not a file, permissions, and Ctrl-C at any moment."""

import contextlib
import os
import re
import signal
import stat
import sys
import threading

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn._files import atomic
from tests.nn.saved import bits, train

LIBRARY = tuple(os.path.join(os.path.dirname(package.__file__), "") for package in (nn, tg))
# A file that was being opened when Ctrl-C came is closed with the exception, and Python warns of it.
closed_late = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
posix = pytest.mark.skipif(os.name == "nt", reason="pipes and permissions of POSIX")


@pytest.fixture
def interrupts():
    """Ctrl-C raises KeyboardInterrupt, also where the tests were started with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_path_of_bytes(path):
    model = nn.Linear(2, 1, rng=0)
    nn.save(os.fsencode(path), model, extra={"epoch": 3})
    loaded = nn.load(os.fsencode(path))
    assert loaded.extra == {"epoch": 3}
    assert bits(loaded.model.state_dict()) == bits(model.state_dict())
    assert nn.Checkpoint(os.fsencode(path)).path == str(path)
    with pytest.raises(ValueError, match=r"nn.load: path must end with .* got 'model\.txt'"):
        nn.load(b"model.txt")


@pytest.mark.parametrize("make", [str, os.fsencode], ids=["str", "bytes"])
def test_a_nul_in_a_path(path, make):
    bad = make(f"{path}\0{path.suffix}")
    for name, call in {
        "nn.save": lambda: nn.save(bad, nn.Linear(2, 1)),
        "nn.load": lambda: nn.load(bad),
        "Checkpoint": lambda: nn.Checkpoint(bad),
        "CSVLog": lambda: nn.CSVLog(bad),
        "to_onnx": lambda: nn.to_onnx(nn.Linear(2, 1), bad),
    }.items():
        with pytest.raises(ValueError, match=rf"{name}: path must not contain a NUL character, got '.*\\x00"):
            call()
    assert not os.listdir(path.parent)


@posix
def test_a_pipe_is_not_read(path):
    """A pipe without a writer would block for ever; one with a writer has no size."""
    os.mkfifo(path)
    found = []

    def load():
        try:
            nn.load(path)
        except OSError as error:
            found.append(error)

    reader = threading.Thread(target=load, daemon=True)
    reader.start()
    reader.join(20)
    assert not reader.is_alive()
    assert "is not a regular file" in str(found[0])
    assert str(path) in str(found[0])
    folder = path.parent / f"folder{path.suffix}"
    folder.mkdir()
    with pytest.raises(IsADirectoryError, match=re.escape(folder.name)):
        nn.load(folder)


@posix
def test_a_private_file_is_private_at_every_moment(path, monkeypatch):
    """The temporary file never grants more than the file that it will replace."""
    before = os.umask(0)
    try:
        nn.save(path, nn.Linear(2, 1, rng=0))
        path.chmod(0o640)
        seen = []
        real = os.fchmod

        def fchmod(handle, mode):
            seen.append(stat.S_IMODE(os.fstat(handle).st_mode))
            real(handle, mode)

        monkeypatch.setattr(os, "fchmod", fchmod)
        nn.save(path, nn.Linear(2, 1, rng=1))
        path.chmod(0o600)
        nn.save(path, nn.Linear(2, 1, rng=1))
    finally:
        os.umask(before)
    assert seen == [0o600, 0o600]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix
def test_another_hard_link_keeps_the_old_file(path):
    nn.save(path, nn.Linear(2, 1, rng=0))
    other = path.with_name(f"other{path.suffix}")
    os.link(path, other)
    nn.save(path, nn.Linear(2, 1, rng=1))
    assert bits(nn.load(other).model.state_dict()) == bits(nn.Linear(2, 1, rng=0).state_dict())
    assert bits(nn.load(path).model.state_dict()) == bits(nn.Linear(2, 1, rng=1).state_dict())


def descriptors():
    return set(os.listdir("/proc/self/fd"))


@contextlib.contextmanager
def interrupted_at(count):
    """Ctrl-C at an event of a call or return, counted from 0, within the library's files or what they call."""
    left = [count]

    def profile(frame, event, argument):
        inside = frame.f_code.co_filename.startswith(LIBRARY)
        if inside and left[0] >= 0:
            left[0] -= 1
            if left[0] < 0:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)

    sys.setprofile(profile)
    try:
        yield left
    finally:
        sys.setprofile(None)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts the descriptors of this process")
@closed_late
def test_ctrl_c_while_saving_leaves_nothing(path, interrupts):
    """No descriptor, no temporary file; the old file or the new one."""
    models = [nn.Linear(2, 1, rng=seed) for seed in range(2)]
    nn.save(path, models[0])
    known = [bits(model.state_dict()) for model in models]
    before = descriptors()
    stopped = 0
    for count in range(0, 600, 7):
        with interrupted_at(count) as left:
            try:
                nn.save(path, models[1])
            except KeyboardInterrupt:
                stopped += 1
        if left[0] >= 0:
            break
        assert descriptors() == before
        assert os.listdir(path.parent) == [path.name]
        assert not atomic._writing
        assert bits(nn.load(path).model.state_dict()) in known
        nn.save(path, models[0])
    assert stopped > 10


@closed_late
def test_ctrl_c_while_loading_changes_all_or_nothing(path, interrupts):
    def made(seed):
        model = nn.MLP([4, 6, 3], norm="batch", dropout=0.3, rng=seed)
        return model, nn.Adam(model.parameters(), lr=0.01 * (seed + 1))

    def state(model, optimizer):
        return bits(model.state_dict()), repr(optimizer.state_dict()), str(model.layers[3].rng.bit_generator.state)

    saved = made(0)
    train(*saved)
    nn.save(path, *saved)
    fresh = state(*made(1))
    seen = {"old": 0, "new": 0}
    count = 0
    while True:
        given = made(1)
        with interrupted_at(count) as left, contextlib.suppress(KeyboardInterrupt):
            nn.load(path, *given)
        if left[0] >= 0:
            break
        found = state(*given)
        assert found in (fresh, state(*saved))
        seen["old" if found == fresh else "new"] += 1
        count += 211
    assert seen["old"] > 10
    given = made(1)
    with interrupted_at(10**9) as left:
        nn.load(path, *given)
    last = 10**9 - left[0]
    for count in range(last - 200, last, 7):  # the changes come last
        given = made(1)
        with interrupted_at(count), contextlib.suppress(KeyboardInterrupt):
            nn.load(path, *given)
        found = state(*given)
        assert found in (fresh, state(*saved))
        seen["old" if found == fresh else "new"] += 1
    assert seen["new"] > 10


@pytest.mark.parametrize(("kind", "stride"), [("module", 23), ("optimizer", 7), ("average", 1), ("schedule", 1)])
def test_ctrl_c_while_a_state_is_loaded(kind, stride, interrupts):
    def made(seed):
        model = nn.MLP([4, 6, 3], norm="batch", rng=seed)
        optimizer = nn.Adam(model.parameters(), lr=0.01 * (seed + 1))
        average = nn.ExponentialMovingAverage(model)
        schedules = [nn.StepLR(optimizer, 2), nn.ExponentialLR(optimizer, 0.5)]
        schedule = nn.SequentialLR(optimizer, schedules, [1 + seed])
        train(model, optimizer, steps=seed + 1)
        average.update()
        schedule.step()
        return {"module": model, "optimizer": optimizer, "average": average, "schedule": schedule}[kind]

    def state(of):
        return str({k: bits(v) for k, v in of.state_dict().items()}) + str(of.state_dict())

    new, given = made(0).state_dict(), made(1)
    before, old = given.state_dict(), state(given)
    expected, seen = state(made(0)), set()
    for count in range(0, 100_000, stride):
        given.load_state_dict(before)
        with interrupted_at(count) as left, contextlib.suppress(KeyboardInterrupt):
            given.load_state_dict(new)
        if left[0] >= 0:
            break
        assert state(given) in (old, expected)
        seen.add(state(given) == expected)
    assert seen == {True, False}
    np.testing.assert_equal(given.state_dict(), new)
