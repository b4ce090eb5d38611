"""The notebooks run from top to bottom, are committed as they run, and keep the form that all of them share.

An exercise is a cell with the tag ``exercise``: its first line is ``name = None``, it defines ``check_k``, and it says
"not tried yet" until ``name`` is something else. Its metadata has a ``wrong`` answer, which the check must refuse. The
cell after it has the tag ``answer``; notebooks show it folded.
"""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PICTURES = {"image/png", "image/svg+xml"}
NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e[-+]?\d+)?%?)")
ROUNDING = 1e-8  # of two numbers below this, nothing is compared: they may be differences that are 0 but for rounding
VARIES = [  # what differs from run to run
    (re.compile(r"0x[0-9a-f]{6,}"), "0x"),
    (re.compile(r"^(epoch \d+ of \d+), .*$", re.MULTILINE), r"\1"),  # the last state of a progress bar: time, losses
]
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06", "07"]


@pytest.mark.notebook
@pytest.mark.slow
@each_notebook
def test_it_runs_as_it_was_committed(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))  # ignore this machine's settings
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    stored = nbformat.read(path, as_version=4)
    fresh = nbformat.from_dict(stored)
    fresh.cells += [nbformat.v4.new_code_cell(refusal(cell)) for cell in tagged(stored, "exercise")]
    client = NotebookClient(fresh, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    for old, new in zip(stored.cells, fresh.cells, strict=False):
        if old.cell_type != "code":
            continue
        assert old.execution_count == new.execution_count, "committed without having been run top to bottom"
        assert kinds(old) == kinds(new), f"the outputs differ in kind from the committed ones:\n{old.source}"
        for before, after in zip(texts(old), texts(new), strict=True):
            assert alike(before, after), f"committed as\n{before}\nbut is now\n{after}\nin\n{old.source}"
        for output in new.outputs:
            assert output.get("name") != "stderr", output["text"]


def refusal(exercise: nbformat.NotebookNode) -> str:
    """A cell that fails if the check of an exercise accepts a wrong answer."""
    (check,) = re.findall(r"^def (check_\d)\(", exercise.source, re.MULTILINE)
    return (
        f"try:\n    {check}({exercise.metadata.wrong})\n"
        f"except AssertionError:\n    pass\nelse:\n    raise ValueError('{check} accepts a wrong answer')"
    )


def tagged(notebook: nbformat.NotebookNode, tag: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", ())]


def kinds(cell: nbformat.NotebookNode) -> list[tuple[str, tuple[str, ...]]]:
    return [(output.output_type, tuple(sorted(output.get("data", {})))) for output in merged(cell)]


def merged(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The outputs of a cell; what a slow cell printed in several pieces is one."""
    found: list[nbformat.NotebookNode] = []
    for output in cell.outputs:
        if found and "name" in output and output.name == found[-1].get("name"):
            found[-1] = nbformat.from_dict({**found[-1], "text": found[-1].text + output.text})
        else:
            found.append(output)
    return found


def texts(cell: nbformat.NotebookNode) -> list[str]:
    """What the outputs of a cell say, the words in drawings and tables included."""
    found: list[str] = []
    for output in merged(cell):
        data = output.get("data", {})
        found += [output.get("text", ""), data.get("text/plain", ""), data.get("text/latex", "")]
        found.append(" ".join(re.findall(r"<text[^>]*>([^<]*)<", data.get("image/svg+xml", ""))))
        found += re.findall(r"<t[dh][^>]*>([^<]*)<", data.get("text/html", ""))
    return found


def alike(before: str, after: str) -> bool:
    """Equal, but for what varies, and but for one unit in the last digit of a rounded number or in its tenth."""
    for pattern, stand_in in VARIES:
        before, after = pattern.sub(stand_in, before), pattern.sub(stand_in, after)
    parts, others = NUMBER.split(before), NUMBER.split(after)
    return len(parts) == len(others) and all(
        near(a, b) if i % 2 else a == b for i, (a, b) in enumerate(zip(parts, others, strict=True))
    )


def near(a: str, b: str) -> bool:
    if a == b or not all(set(text) & set(".e%") for text in (a, b)):
        return a == b
    first, second = (float(text.rstrip("%")) for text in (a, b))
    if max(first, second) < ROUNDING:
        return True
    return abs(first - second) < max(1.5 * unit(a), 1.5 * unit(b), 1e-9 * first)


def unit(number: str) -> float:
    """One unit in the last digit of a number."""
    mantissa, _, exponent = number.rstrip("%").partition("e")
    return float(10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2])))


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("loss 2.30", "loss 2.31", True),
        ("loss 2.30", "loss 2.33", False),
        ("analytic 0.05567827897467", "analytic 0.05567827897499", True),
        ("analytic 0.05567827897467", "analytic 0.05567927897467", False),
        ("grad 9.9e-03", "grad 1.0e-02", True),
        ("grad 9.9e-03", "grad 9.9e-04", False),
        ("off by 1.7e-10", "off by 2.6e-10", True),
        ("off by 1.7e-10", "off by 2.6e-06", False),
        ("97% of 450", "98% of 450", True),
        ("97% of 450", "97% of 451", False),
        ("multiply  0.5", "divide  0.5", False),
        ("a, b", "a, b, c", False),
        ("epoch 4 of 9, 1.2 s, loss 0.1", "epoch 4 of 9, 3.4 s, loss 0.2", True),
    ],
)
def test_rounding_is_forgiven_and_nothing_else(before: str, after: str, same: bool) -> None:
    assert alike(before, after) is same


@each_notebook
def test_its_outputs_show_on_a_code_host(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    shown = [output for cell in cells for output in cell.outputs]
    mimes = {mime for output in shown for mime in output.get("data", {})}
    assert mimes & PICTURES
    assert not mimes & {"application/vnd.jupyter.widget-view+json", "application/javascript"}
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert str(ROOT) not in text
    assert not any("/tmp" in said for cell in cells for said in texts(cell))
    assert len(text) < 500_000


@each_notebook
def test_its_cells_are_short(path: Path) -> None:
    for cell in nbformat.read(path, 4).cells:
        lines = cell.source.splitlines()
        if cell.cell_type == "code":
            assert len(lines) <= 12, cell.source
            assert max(map(len, lines)) <= 88, cell.source


@each_notebook
def test_a_question_comes_before_each_picture(path: Path) -> None:
    question = ""
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            question = cell.source
        elif any(PICTURES & set(output.get("data", {})) for output in cell.outputs):
            assert "?" in question, f"no question before the picture of\n{cell.source}"


@each_notebook
def test_its_exercises_have_checks_and_folded_answers(path: Path) -> None:
    notebook = nbformat.read(path, 4)
    exercises = tagged(notebook, "exercise")
    assert 3 <= len(exercises) <= 5
    assert len(tagged(notebook, "answer")) == len(exercises)
    for number, exercise in enumerate(exercises, 1):
        answer = notebook.cells[notebook.cells.index(exercise) + 1]
        first = ast.parse(exercise.source).body[0]
        assert isinstance(first, ast.Assign)
        assert isinstance(first.value, ast.Constant)
        assert first.value.value is None
        assert f"def check_{number}(" in exercise.source
        assert exercise.metadata.wrong
        assert says(exercise) == "'not tried yet'"
        assert answer.source.startswith(f"# Answer to exercise {number}")
        assert answer.metadata.jupyter.source_hidden
        assert says(answer) == "'right'"


def says(cell: nbformat.NotebookNode) -> Any:
    return cell.outputs[-1].data["text/plain"]


@each_notebook
def test_it_ends_with_something_to_break(path: Path) -> None:
    titles = re.findall(
        r"^## (.+)$", "\n\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown"), re.M
    )
    assert titles[-1] == "Break it"


def test_links_lead_somewhere_and_from_each_notebook_to_the_next() -> None:
    for path, following in pairwise(NOTEBOOKS):
        assert f"]({following.name})" in nbformat.read(path, 4).cells[-1].source
    for path in NOTEBOOKS:
        for target in re.findall(r"\]\((\w+\.ipynb)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}, which does not exist"
