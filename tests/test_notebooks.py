"""The notebooks run from top to bottom, and are committed with outputs that code hosts can show."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert [path.name for path in NOTEBOOKS] == ["01_quickstart.ipynb", "02_training.ipynb"]


@pytest.mark.notebook
@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_as_it_was_committed(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))  # ignore this machine's settings
    stored = nbformat.read(path, as_version=4)
    fresh = nbformat.from_dict(stored)
    client = NotebookClient(fresh, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    for old, new in zip(stored.cells, fresh.cells, strict=True):
        if old.cell_type != "code":
            continue
        assert old.execution_count == new.execution_count, "committed without having been run top to bottom"
        assert kinds(old) == kinds(new), f"the outputs differ in kind from the committed ones:\n{old.source}"
        for output in new.outputs:
            assert output.get("name") != "stderr", output["text"]


def kinds(cell: nbformat.NotebookNode) -> list[tuple[str, tuple[str, ...]]]:
    return [(output.output_type, tuple(sorted(output.get("data", {})))) for output in cell.outputs]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_outputs_show_on_a_code_host(path: Path) -> None:
    shown = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])]
    mimes = {mime for output in shown for mime in output.get("data", {})}
    assert "image/png" in mimes
    assert not mimes & {"application/vnd.jupyter.widget-view+json", "application/javascript"}
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert str(ROOT) not in text
