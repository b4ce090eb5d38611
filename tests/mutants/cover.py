"""Which tests run which line: one run of the whole suite under coverage, kept in build/mutants/.

The map serves for days. Lines that moved since it was made are found by comparing the sources of then and now; tests
written since are unknown to it.
"""

from __future__ import annotations

import difflib
import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import coverage
import pytest

__all__ = ["Cover", "record"]

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "mutants"
PACKAGES = ("tensorgrad", "nn")


class _Seconds:
    """A pytest plugin: what each test took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.add(report.nodeid)


def record(arguments: list[str]) -> None:
    """Run the suite with these arguments of pytest, and keep which test ran which line."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    settings = FOLDER / "coveragerc"
    settings.write_text(f"[run]\nparallel = True\nsource = {', '.join(PACKAGES)}\ndata_file = {FOLDER / 'lines'}\n")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, FOLDER / package, ignore=shutil.ignore_patterns("__pycache__"))
    seconds = _Seconds()
    options = [f"--cov={package}" for package in PACKAGES]
    options += [f"--cov-config={settings}", "--cov-context=test", "--cov-report="]
    pytest.main(["-q", *options, *arguments], plugins=[seconds])
    passed = {name: round(taken, 4) for name, taken in seconds.seconds.items() if name not in seconds.failed}
    (FOLDER / "seconds.json").write_text(json.dumps(passed, indent=0))
    sys.stdout.flush()


class _File(NamedTuple):
    """One file of the map.

    Attributes:
        tests: of each line as it was then, the tests that ran it.
        lines: of each line as it is now, its number then.
    """

    tests: dict[int, list[str]]
    lines: dict[int, int]


class Cover:
    """The map that :func:`record` made."""

    def __init__(self) -> None:
        if not (FOLDER / "seconds.json").exists():
            raise SystemExit("there is no map of lines and tests yet; write: make mutants-map")
        self.seconds: dict[str, float] = json.loads((FOLDER / "seconds.json").read_text())
        self.data = coverage.CoverageData(str(FOLDER / "lines"))
        self.data.read()
        self.measured = {Path(name).relative_to(ROOT).as_posix(): name for name in self.data.measured_files()}
        self.breadth: dict[str, int] = {}
        self.files: dict[str, _File] = {}

    def file(self, name: str) -> _File:
        """What is known of a file, by its path from the root."""
        if name not in self.files:
            tests: dict[int, list[str]] = {}
            if name in self.measured:
                for line, contexts in self.data.contexts_by_lineno(self.measured[name]).items():
                    found = {context.rpartition("|")[0] for context in contexts if context}
                    tests[line] = sorted(found & self.seconds.keys())
            for test in {test for known in tests.values() for test in known}:
                self.breadth.setdefault(test, 0)
            for known in tests.values():
                for test in known:
                    self.breadth[test] += 1
            then = (FOLDER / name).read_text().splitlines() if (FOLDER / name).exists() else []
            now = (ROOT / name).read_text().splitlines()
            lines = {
                new + i + 1: old + i + 1
                for old, new, size in difflib.SequenceMatcher(None, then, now, autojunk=False).get_matching_blocks()
                for i in range(size)
            }
            self.files[name] = _File(tests, lines)
        return self.files[name]

    def tests(self, name: str, lines: Iterable[int], budget: float, most: int) -> list[str]:
        """Tests that run one of the lines (of any line, for none), the telling ones first.

        A test that runs few lines of the file is more telling than one that runs all of it. Each test function comes
        once before any comes with a second set of parameters. Together they take about ``budget`` seconds.
        """
        known = self.file(name)
        places = list(lines)
        old = [known.lines[line] for line in places if line in known.lines] if places else list(known.tests)
        found = {test for line in old for test in known.tests.get(line, ())}
        rounds: dict[str, int] = defaultdict(int)
        ordered = []
        for test in sorted(found, key=lambda test: (self.breadth[test], self.seconds[test], test)):
            function = test.partition("[")[0]
            ordered.append((rounds[function], len(ordered), test))
            rounds[function] += 1
        chosen: list[str] = []
        for _, _, test in sorted(ordered):
            if self.seconds[test] <= budget and len(chosen) < most:
                chosen.append(test)
                budget -= self.seconds[test]
        return chosen
