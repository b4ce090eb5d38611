"""Small mutations of the sources, and which of them the tests find.

python -m tests.mutants tensorgrad/engine nn/_optim/adam.py [--count 50] [--seed 0] [--seconds 40]
python -m tests.mutants --map [arguments of pytest]

Takes a sample of the mutations that the files admit, runs for each the tests that run its line, and lists those that
no test found. It works on a copy: the sources stay as they are. ``--map`` runs the whole suite once to learn which
test runs which line.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import importlib
import os
import py_compile
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from .cover import ROOT, Cover, record
from .edits import Edit, changes, edits

MEMORY = 8 << 30  # bytes that one process may allocate
DEFAULTS = ["tests/test_defaults.py", "tests/nn/test_defaults.py"]  # they read signatures, and run no line
PASSED, UNKNOWN, NOTHING_RAN = 0, 4, 5


class Mutant(NamedTuple):
    """A mutation of a file."""

    file: str
    edit: Edit

    def __str__(self) -> str:
        """Where and what, and its line of source."""
        line = (ROOT / self.file).read_text().splitlines()[self.edit.line - 1].strip()
        return f"{self.file}:{self.edit.line}: {self.edit.what}  |  {line:.100}"


class Outcome(NamedTuple):
    """What a run of tests said.

    Attributes:
        passed: whether all of them passed.
        by: the test that failed, or how the run ended.
    """

    passed: bool
    by: str


class Copy:
    """A copy of the working tree, in which tests run in child processes of this one.

    What the tests import from elsewhere is imported here, once, and shared by the children.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names, self.log = folder / "asked.txt", folder / "log.txt"
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.split("\0")  # fmt: skip
        for name in filter(None, listed):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        # Checked by their contents: two mutations of one file may have one size and one time.
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
        for package in ("tensorgrad", "nn", "tests"):
            compileall.compile_dir(folder / package, quiet=1, invalidation_mode=mode)
        for name in (
            "numpy",
            "pytest",
            "_pytest.doctest",
            "scipy.linalg",
            "scipy.special",
            "torch",
            "sklearn.base",
        ):
            try:
                importlib.import_module(name)
            except ImportError:
                continue

    def run(self, tests: list[str], seconds: float) -> Outcome:
        """Run these tests in the copy until one fails."""
        self.names.write_text("\n".join(tests) + "\n")
        process = os.fork()
        if not process:
            self._test()
        until = time.monotonic() + seconds
        status: int | None = None
        while status is None and time.monotonic() < until:
            done, code = os.waitpid(process, os.WNOHANG)
            status = os.waitstatus_to_exitcode(code) if done else None
            time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)  # also what the tests started
        if status is None:
            os.waitpid(process, 0)
            return Outcome(False, f"took longer than {seconds:.0f} s")
        text = self.log.read_text(errors="replace")
        # A test that was renamed since the map was made; pytest names only its function.
        gone = {test for test in tests if f"::{test.partition('::')[2].partition('[')[0]}\n" in text}
        if status == UNKNOWN and gone:
            return self.run([test for test in tests if test not in gone], seconds)
        failed = [line.split(" ", 1)[1] for line in text.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        by = failed[0].partition(" - ")[0] if failed else f"pytest ended with {status}"
        return Outcome(status in (PASSED, NOTHING_RAN), by)

    def _test(self) -> None:
        """Run pytest in this process, a child, and end it."""
        os.setsid()
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        output = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(self.folder)
        os.environ["PYTHONPATH"] = str(self.folder)
        sys.path[0] = str(self.folder)
        for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "tensorgrad", "nn")]:
            del sys.modules[name]
        code = 3  # unless pytest says otherwise
        try:
            import pytest

            options = ["-x", "-q", "--tb=line", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
            unused = [f"-pno:{plugin}" for plugin in ("cacheprovider", "xdist", "cov")]
            code = int(pytest.main([*options, *unused, f"@{self.names}"]))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def sampled(files: list[str], count: int, rng: random.Random) -> list[Mutant]:
    """So many mutations of these files, each as likely as any other."""
    texts = {name: (ROOT / name).read_text() for name in files}
    found = [Mutant(name, edit) for name, text in texts.items() for edit in edits(text)]
    rng.shuffle(found)
    chosen: list[Mutant] = []
    for mutant in found:
        if len(chosen) == count:
            break
        if changes(texts[mutant.file], mutant.edit):
            chosen.append(mutant)
    return sorted(chosen)


def listed(paths: list[str]) -> list[str]:
    """The source files at these paths, which are files or folders."""
    found: list[str] = []
    for path in paths:
        place = (ROOT / path).resolve()
        if not place.exists():
            raise SystemExit(f"there is no {path}")
        found += [p.relative_to(ROOT).as_posix() for p in (sorted(place.rglob("*.py")) if place.is_dir() else [place])]
    return found


def judged(copy: Copy, mutant: Mutant, tests: list[str], seconds: float) -> Outcome:
    """What the tests say of a mutation."""
    target = copy.folder / mutant.file
    text = target.read_text()
    target.write_text(mutant.edit.applied(text))
    try:
        return copy.run(tests, seconds)
    finally:
        target.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", help="source files, or folders of them")
    parser.add_argument("--count", type=int, default=50, help="how many mutations")
    parser.add_argument("--seed", type=int, default=0, help="which sample of them")
    parser.add_argument("--seconds", type=float, default=40.0, help="how long the tests of one mutation may take")
    parser.add_argument("--most", type=int, default=400, help="how many tests one mutation gets")
    parser.add_argument("--also", nargs="*", default=[], help="tests to run first, such as new ones")
    if sys.argv[1:2] == ["--map"]:
        record(sys.argv[2:])
        return
    options = parser.parse_args()
    cover = Cover()
    mutants = sampled(listed(options.paths), options.count, random.Random(options.seed))
    print(f"{len(mutants)} mutations of {len({m.file for m in mutants})} files, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        survivors = report(Copy(Path(name)), cover, mutants, options)
    print(f"{len(mutants)} mutations: {len(mutants) - len(survivors)} found, {len(survivors)} not found")
    for mutant in survivors:
        print(f"  {mutant}")


def report(copy: Copy, cover: Cover, mutants: list[Mutant], options: argparse.Namespace) -> list[Mutant]:
    """Run the tests of each mutation, print what became of it, and return those that no test found."""
    limit = 3 * options.seconds + 60
    tests: dict[Mutant, list[str]] = {}
    for mutant in mutants:
        tests[mutant] = [*options.also, *cover.tests(mutant.file, mutant.edit.reach, options.seconds, options.most)]
        if mutant.edit.line not in (mutant.edit.reach or [mutant.edit.line]):  # in the head of a function
            tests[mutant] += DEFAULTS
    found: dict[Mutant, str] = {}
    survivors: list[Mutant] = []
    unreliable: set[str] = set()
    waiting = list(mutants)
    while waiting:
        for mutant in waiting:
            began = time.monotonic()
            asked = [test for test in tests[mutant] if test not in unreliable]
            outcome = judged(copy, mutant, asked, limit) if asked else Outcome(True, "no test runs this line")
            if outcome.passed:
                survivors.append(mutant)
            else:
                found[mutant] = outcome.by
            said = f"{len(asked)} tests, {outcome.by}" if outcome.passed else f"found by {outcome.by}"
            print(f"{mutant}\n    {said} ({time.monotonic() - began:.1f} s)", flush=True)
        # A test that also fails without any mutation has found nothing.
        failing = unreliable_among(copy, sorted(set(found.values()) - unreliable), tests, found, limit)
        waiting = [mutant for mutant, by in found.items() if by in failing]
        unreliable |= failing
        for mutant in waiting:
            del found[mutant]
        for name in sorted(failing):
            print(f"fails without a mutation, too: {name}", flush=True)
    return survivors


def unreliable_among(
    copy: Copy, names: list[str], tests: dict[Mutant, list[str]], found: dict[Mutant, str], limit: float
) -> set[str]:
    """Those of these tests that fail in the copy as it is."""
    ended = [mutant for mutant, by in found.items() if "::" not in by]
    asked = [name for name in names if "::" in name]
    failing: set[str] = set()
    while asked:
        outcome = copy.run(asked, limit)
        if outcome.passed:
            break
        if outcome.by not in asked:
            raise SystemExit(f"the copy without a mutation: {outcome.by}; its log: {copy.log}")
        failing.add(outcome.by)
        asked.remove(outcome.by)
    for mutant in ended:
        if not (outcome := copy.run(tests[mutant], limit)).passed:
            raise SystemExit(f"the tests of {mutant} without it: {outcome.by}")
    return failing


if __name__ == "__main__":
    main()
