"""``backend="auto"``, native code on disk, and threads and processes that compile."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.compiler import tiers

pytest.importorskip("llvmlite")

from tensorgrad.compiler.native import cache, machine


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, on disk and in memory."""
    monkeypatch.setenv("TENSORGRAD_CACHE", str(tmp_path))
    forget(monkeypatch)
    return tmp_path / "kernels"


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a new process does not know."""
    monkeypatch.setattr(cache, "_entries", {})
    monkeypatch.setattr(tiers, "_kernels", {})
    monkeypatch.setattr(tiers, "_texts", {})


def at_once(monkeypatch: pytest.MonkeyPatch, begin: float = 2.5, switch: float = 4.5) -> None:
    """Count runs instead of estimated seconds."""
    monkeypatch.setattr(tiers, "seconds_of", lambda program: 1.0)
    monkeypatch.setattr(tiers, "compiling_of", lambda program: 1.0)
    monkeypatch.setattr(tiers, "START", begin)
    monkeypatch.setattr(tiers, "SWITCH", switch)


def training(backend: str, width: int = 5) -> tuple[Callable[[], float], Any]:
    """A step that trains a small network, and the compiled function in it."""
    net = nn.MLP([3, width, 2], norm="batch", rng=0)
    optimizer = nn.AdamW(net.parameters(), lr=0.01)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(16, 3)).astype(np.float32), rng.integers(0, 2, 16)

    @tg.compile(backend=backend)
    def step(X: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(X), y)
        loss.backward()
        optimizer.step()
        return loss

    return lambda: step(X, y).item(), step


def python(text: str, *options: str) -> Any:
    """Run a script in the folder of the repository."""
    command = [sys.executable, *options, "-c", textwrap.dedent(text)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[1])


def is_native(step: Any) -> bool:
    return "run_segment" in step.source


# --- when ---------------------------------------------------------------------------------------------------


def test_native_code_takes_over_at_a_fixed_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch)
    runs = []
    for _ in range(2):
        monkeypatch.setenv("TENSORGRAD_CACHE", "")
        forget(monkeypatch)
        run, step = training("auto")
        seen = []
        losses = []
        for _ in range(8):
            losses.append(run())
            seen.append(is_native(step))
        assert seen == [False] * 5 + [True] * 3  # the first call traces
        runs.append(losses)
    assert runs[0] == runs[1]
    plain, _ = training("numpy")
    expected = [plain() for _ in range(8)]
    assert runs[0][:5] == expected[:5]
    np.testing.assert_allclose(runs[0], expected, rtol=1e-4)


@pytest.mark.parametrize(("length", "runs"), [(5, 150), (40, 360), (300, 1500)])
def test_a_short_program_is_compiled_after_less_work(
    length: int, runs: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "_RUN", 1.0002e-3)
    monkeypatch.setattr(tiers, "_CALL", 0.0)
    monkeypatch.setattr(tiers, "_ELEMENT", 0.0)
    compiled = compilations(monkeypatch)

    @tg.compile
    def step(x: Any) -> Any:
        for _ in range(length):
            x = x + 1.5
        return x

    x = np.zeros(2)
    step(x)
    assert len(step.program.instructions) == length
    for _ in range(runs - 1):
        step(x)
    assert not is_native(step)
    step(x)
    assert is_native(step)
    assert compiled == [1]


def test_a_step_that_runs_rarely_is_never_compiled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "compiled", lambda text: pytest.fail("compiled"))
    run, step = training("auto")
    for _ in range(10):
        run()
    assert not is_native(step)
    assert not folder.exists()


def test_what_is_on_disk_is_taken_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = training("native")
    expected = [first() for _ in range(4)]
    assert len(list(folder.iterdir())) == 1
    forget(monkeypatch)
    run, step = training("auto")
    losses = [run(), run()]
    assert is_native(step)
    np.testing.assert_allclose([*losses, run(), run()], expected, rtol=1e-5)


def test_equal_programs_count_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch)
    for _ in range(3):
        run, step = training("auto")
        run(), run(), run()
    assert is_native(step)


def test_a_last_small_batch_compiles_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch, 6.5, 12.5)
    compiled = []
    own = machine.compiled
    monkeypatch.setattr("tensorgrad.compiler.native.code.compiled", lambda text: compiled.append(1) or own(text))
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(65, 3)).astype(np.float32), rng.integers(0, 2, 65)
    model = nn.Model(nn.MLP([3, 7, 2], rng=0), rng=0)
    model.fit([(X[:16], y[:16])] * 4 + [(X[:5], y[:5])], epochs=5, progress=False, compile=True)
    assert compiled == [1]


def test_without_llvmlite_auto_is_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch, 0.5, 1.5)
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    tiers.has_llvm.cache_clear()
    try:
        run, step = training("auto")
        plain, _ = training("numpy")
        assert [run() for _ in range(5)] == [plain() for _ in range(5)]
        assert not is_native(step)
    finally:
        tiers.has_llvm.cache_clear()


def test_a_failure_while_compiling_is_told_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch)

    def fails(text: str) -> bytes:
        raise RuntimeError("no memory for code")

    monkeypatch.setattr("tensorgrad.compiler.native.code.compiled", fails)
    run, step = training("auto")
    for _ in range(5):
        run()
    with pytest.warns(RuntimeWarning, match="because native code failed with RuntimeError: no memory") as told:
        run()
    assert told[0].filename == __file__
    run(), run()
    assert not is_native(step)


# --- threads and processes -----------------------------------------------------------------------------------


def test_eight_threads_on_one_step(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch, 10.5, 40.5)
    w = tg.Tensor(np.ones(500), requires_grad=True)
    total = np.zeros(())

    @tg.compile
    def step(x: Any) -> Any:
        w.grad = None
        loss = ((w * x) ** 2.0).sum()
        loss.backward()
        tg.writes_to(total, "step")[...] += 1.0
        return loss * 2.0, tg.array_of(w.grad) * 1.0

    def run(k: int) -> bool:
        x = np.full(500, float(k))
        loss, gradient = step(x)
        return bool(np.allclose(loss.item(), 1000.0 * k * k) and np.allclose(gradient, 2.0 * k * k))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(200)))
    assert total == 200
    assert is_native(step)


def forked(text: str) -> str:
    """What a script with a fork in it prints."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork")
    done = python(text, "-W", "ignore")  # Python 3.12 warns about a fork beside a thread
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("moment", ["any", "import"])
def test_a_child_process_compiles_for_itself(folder: Path, moment: str) -> None:
    """Forked while a thread imports LLVM, it once waited forever for the lock of that import."""
    text = f"""
        import os, sys, threading, time
        from tensorgrad.compiler import tiers
        from tests.test_compile_tiers import training
        tiers.seconds_of = tiers.compiling_of = lambda program: 1.0
        tiers.START, tiers.SWITCH = 2.5, 6.5
        importing = threading.Event()

        class Slow:
            def find_spec(self, name, path=None, target=None):
                if name == "llvmlite.binding" and threading.current_thread().name == "tensorgrad compiler":
                    importing.set()
                    time.sleep(0.2)

        if {moment == "import"}:
            sys.meta_path.insert(0, Slow())
        run, step = training("auto", 33)
        losses = [run() for _ in range(4)]  # the thread has begun
        assert {moment == "any"} or importing.wait(20)
        child = os.fork()
        losses += [run() for _ in range(8)]
        assert "run_segment" in step.source
        os.write(1, (" ".join(map(str, losses)) + "\\n").encode())
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    """
    parent, child = forked(text).splitlines()
    assert parent == child


def test_a_child_process_reads_a_property_that_a_thread_was_computing() -> None:
    """That of Python 3.11's functools has a lock for all objects of a class."""
    text = """
        import os, threading, time
        from tensorgrad.engine.locks import computed_once
        begun = threading.Event()

        class Square:
            @computed_once
            def area(self):
                if threading.current_thread() is not threading.main_thread():
                    begun.set()
                    time.sleep(0.5)
                return 4

        thread = threading.Thread(target=lambda: Square().area)
        thread.start()
        assert begun.wait(20)
        child = os.fork()
        if child == 0:
            os._exit(Square().area)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
        thread.join()
    """
    forked(text)


def test_an_early_exit_waits_for_the_thread(folder: Path) -> None:
    text = """
        import time
        from tensorgrad.compiler import tiers
        from tests.test_compile_tiers import training
        tiers.seconds_of = tiers.compiling_of = lambda program: 1.0
        tiers.START = 2.5
        tiers.SWITCH = 100.0
        run, step = training("auto", 34)
        for _ in range(4):
            run()
        while tiers._compiler._waiting:
            time.sleep(0.01)
    """
    done = python(text)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list(folder.iterdir())) == 1


# --- on disk -------------------------------------------------------------------------------------------------


def compilations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows with each compilation."""
    seen: list[int] = []
    own = machine.compiled
    monkeypatch.setattr("tensorgrad.compiler.native.code.compiled", lambda text: seen.append(1) or own(text))
    return seen


def test_cold_and_warm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = compilations(monkeypatch)
    results = []
    for _ in range(3):
        run, step = training("native")
        results.append([run() for _ in range(4)])
        assert is_native(step)
        forget(monkeypatch)
    assert seen == [1]
    assert results[0] == results[1] == results[2]
    assert folder.stat().st_mode & 0o777 == 0o700
    training("native", 6)[0]()
    assert seen == [1, 1]


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "other key", "writable", "folder", "link"])
def test_what_cannot_be_trusted_is_compiled_again(folder: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    seen = compilations(monkeypatch)
    run, _ = training("native")
    expected = [run() for _ in range(3)]
    (entry,) = folder.iterdir()
    content = bytearray(entry.read_bytes())
    if harm == "cut":
        entry.write_bytes(content[:-100])
    elif harm == "flipped":
        content[-50] ^= 1
        entry.write_bytes(content)
    elif harm == "empty":
        entry.write_bytes(b"")
    elif harm == "other key":
        training("native", 8)[0]()
        (other,) = set(folder.iterdir()) - {entry}
        other.replace(entry)
        seen.pop()
    elif harm == "writable":
        entry.chmod(0o666)
    elif harm == "folder":
        folder.chmod(0o777)
    else:
        moved = entry.rename(folder.parent / "elsewhere")
        entry.symlink_to(moved)
    forget(monkeypatch)
    run, _ = training("native")
    assert [run() for _ in range(3)] == expected
    assert seen == [1, 1]
    forget(monkeypatch)
    training("native")[0]()
    assert seen == ([1, 1, 1] if harm == "folder" else [1, 1])  # it was replaced


def test_another_processor_has_entries_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training("native")[0]()
    seen = compilations(monkeypatch)
    triple, name, features = machine._processor()
    monkeypatch.setattr(machine, "_processor", lambda: (triple, name, features.split(",")[0]))
    forget(monkeypatch)
    training("native")[0]()
    assert seen == [1]
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("where", ["file", "missing"])
def test_no_folder_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    place = tmp_path / "file"
    place.write_text("")
    monkeypatch.setenv("TENSORGRAD_CACHE", str(place if where == "file" else place / "below"))
    forget(monkeypatch)
    seen = compilations(monkeypatch)
    run, step = training("native")
    run(), run()
    assert is_native(step)
    assert seen == [1]


def test_the_folder_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(6):
        cache.keep(f"key{k}", cache.Entry({}, bytes(1000)))
        os.utime(folder / f"key{k}", (k, k))
    monkeypatch.setattr(cache, "_MOST", 3500)
    assert cache.load("key1") == cache.Entry({}, bytes(1000))  # now it is the one used last
    cache.keep("key6", cache.Entry({}, bytes(1000)))
    assert {path.name for path in folder.iterdir()} == {"key1", "key5", "key6"}


def test_the_entries_in_memory_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENSORGRAD_CACHE", "")
    monkeypatch.setattr(cache, "_entries", {})
    monkeypatch.setattr(cache, "_MANY", 2)
    for key in ("a", "b"):
        cache.keep(key, cache.Entry({}, b""))
    assert cache.find("a") == cache.Entry({}, b"")
    cache.keep("c", cache.Entry({}, b""))
    assert list(cache._entries) == ["a", "c"]  # "a" was used after "b"


def test_threads_and_disk(folder: Path) -> None:
    def fill(k: int) -> None:
        for number in range(20):
            cache.keep(f"key{number}", cache.Entry({"k": number}, bytes([number]) * 5000))
            assert cache.load(f"key{number}") == cache.Entry({"k": number}, bytes([number]) * 5000)

    threads = [threading.Thread(target=fill, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(folder.iterdir())) == 20
