"""The code of the README and of the documentation runs as printed, and the README's commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_its_code_runs(number: int, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    script.write_text(BLOCKS[number], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said = re.findall(r"print\(.*?#\s*(-?\d[\d. -]*)$", BLOCKS[number], re.MULTILINE)
    for line, numbers in zip(done.stdout.splitlines(), said, strict=False):
        assert [float(n) for n in line.split()] == pytest.approx([float(n) for n in numbers.split()], abs=1e-4)
    for name in re.findall(r'save\("(.*?)"\)', BLOCKS[number]):
        assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.parametrize("page", ["estimators"])
def test_the_code_of_the_documentation_runs(page: str, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    script = tmp_path / "block.py"
    script.write_text(block, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True [(4, 32), (32, 16), (16, 3)]\nTrue\n"


def test_there_is_code_and_the_first_prints_what_it_says() -> None:
    assert len(BLOCKS) == 4
    assert "# -0.4798 0.3199 0.1599" in BLOCKS[0]


def test_its_commands_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:`|^    )make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_example_in_contributing_is_the_code() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    example = re.findall(r"^    (.*)$", text.partition("## Adding an operation")[2].partition("## ")[0], re.MULTILINE)
    source, files = "", 0
    for line in example:
        if named := re.match(r"# (\S+\.py):", line):
            source = (ROOT / named[1]).read_text(encoding="utf-8")
            files += 1
        else:
            assert line in source
    assert files == 3
