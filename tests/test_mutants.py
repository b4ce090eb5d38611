"""The mutations that ``make mutants`` makes: valid programs, each different from the source in one place."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.edits import changes, edits

ROOT = Path(__file__).parents[1]

SOURCE = '''"""A docstring."""

from __future__ import annotations

LIMIT = 3


def f(x: int | None, y=0.5, *, deep=True):
    """Another."""
    assert x is not None, "not touched"
    if (x < LIMIT) and not deep or y in (1, -2):
        raise ValueError(f"{x + 1} is not touched")
    for i in range(x):
        y += x[1:] if i == 2 else x / 2
        if i is y:
            break
    note(é=x)
    return y * (2 + x)
'''


def mutated() -> set[tuple[int, str, str]]:
    """The line, the words and the new line of each mutation of the source."""
    found = set()
    for edit in edits(SOURCE):
        if changes(SOURCE, edit):
            text = edit.applied(SOURCE).splitlines()
            found.add((edit.line, edit.what, text[edit.line - 1].strip()))
    return found


def test_the_kinds_of_mutations() -> None:
    found = mutated()
    assert {
        (5, "3 -> 4", "LIMIT = 4"),
        (8, "0.5 -> 1.5", "def f(x: int | None, y=1.5, *, deep=True):"),
        (8, "True -> False", "def f(x: int | None, y=0.5, *, deep=False):"),
        (11, "< -> <=", "if (x <= LIMIT) and not deep or y in (1, -2):"),
        (11, "< -> >=", "if (x >= LIMIT) and not deep or y in (1, -2):"),
        (11, "and -> or", "if (x < LIMIT) or not deep or y in (1, -2):"),
        (11, "or -> and", "if (x < LIMIT) and not deep and y in (1, -2):"),
        (11, "an operator removed", "if (x < LIMIT) and deep or y in (1, -2):"),
        (11, "in -> not in", "if (x < LIMIT) and not deep or y not in (1, -2):"),
        (11, "a condition turned around", "if (not ((x < LIMIT) and not deep or y in (1, -2))):"),
        (12, 'removed: raise ValueError(f"{x + 1} is not touched")', "pass"),
        (14, "1 -> 0", "y += x[0:] if i == 2 else x / 2"),
        (14, "== -> !=", "y += x[1:] if i != 2 else x / 2"),
        (14, "/ -> *", "y += x[1:] if i == 2 else x * 2"),
        (14, "removed: y += x[1:] if i == 2 else x / 2", "pass"),
        (15, "is -> is not", "if i is not y:"),
        (16, "removed: break", "pass"),
        (17, "removed: note(é=x)", "pass"),
        (18, "+ -> -", "return y * (2 - x)"),
    } <= found
    assert {line for line, _, _ in found} == {5, 8, 11, 12, 14, 15, 16, 17, 18}


def test_what_a_mutation_reaches() -> None:
    """Tests of the body find a wrong default; those of the whole file a wrong constant."""
    reach = {(edit.line, edit.what): edit.reach for edit in edits(SOURCE)}
    assert reach[8, "0.5 -> 1.5"] == range(9, 19)
    assert reach[5, "3 -> 4"] == range(0)
    assert reach[15, "is -> is not"] == range(15, 16)


@pytest.mark.parametrize("path", ["tensorgrad/engine/walk.py", "nn/_optim/adam.py", "tensorgrad/viz/dot.py"])
def test_mutations_of_a_real_file(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    found = edits(text)
    assert len(found) > 50
    for edit in random.Random(0).sample(found, 10):
        if changes(text, edit):
            ast.parse(edit.applied(text))
            assert edit.applied(text).count("\n") <= text.count("\n")


PROJECT = """
import pathlib, sys
from tests.mutants.__main__ import Copy, Mutant, judged
from tests.mutants.edits import edits

folder = pathlib.Path(sys.argv[1])
copy = object.__new__(Copy)
copy.folder, copy.names, copy.log = folder, folder / "asked.txt", folder / "log.txt"
source = "def double(x):\\n    return x * 2\\n"
(folder / "small.py").write_text(source)
(folder / "test_small.py").write_text('''
import time

import small

def test_value():
    assert small.double(3) == 6

def test_blind():
    small.double(3)

def test_endless():
    while small.double(1) != 2:
        time.sleep(0.01)
''')
(edit,) = (edit for edit in edits(source) if edit.what == "* -> /")
for name in ("value", "blind", "endless"):
    print(*judged(copy, Mutant("small.py", edit), [f"test_small.py::test_{name}"], 2 if name == "endless" else 60))
    assert (folder / "small.py").read_text() == source
print(*copy.run(["test_small.py"], 60))
"""


def test_a_mutation_is_found_and_undone(tmp_path: Path) -> None:
    """On a project of one function and three tests, of which one passes whatever it returns and one never ends."""
    run = subprocess.run(
        [sys.executable, "-c", PROJECT, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.stdout.splitlines() == [
        "False test_small.py::test_value",
        "True pytest ended with 0",
        "False took longer than 2 s",
        "True pytest ended with 0",
    ], run.stderr
