"""The code of the README and of the documentation runs as printed, and the README's commands exist."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tensorgrad as tg

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REMEDY = 'ReLU with init="he_normal", or norm="batch"'
# What the pictures and the text say of a block, by a word that is only in it.
PROMISED = {
    "GradientMonitor": ["VANISHING at step ", f"remedy: {REMEDY}"],
    "tg.referee(": [
        "dx = gamma / sigma * (dy - dy.mean(0) - xhat * (dy * xhat).mean(0))",
        "the term through mu is missing: -dy.mean(0)",
    ],
}
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_its_code_runs(number: int, tmp_path: Path, strict: list[str]) -> None:
    script = tmp_path / "block.py"
    script.write_text(BLOCKS[number], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, *strict, str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said = re.findall(r"print\(.*?#\s*(-?\d[\d. -]*)$", BLOCKS[number], re.MULTILINE)
    for line, numbers in zip(done.stdout.splitlines(), said, strict=False):
        assert [float(n) for n in line.split()] == pytest.approx([float(n) for n in numbers.split()], abs=1e-4)
    for word, sentences in PROMISED.items():
        if word in BLOCKS[number]:
            assert all(sentence in done.stdout for sentence in sentences)
    for name in re.findall(r'save\("(.*?)"\)', BLOCKS[number]):
        assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.parametrize("page", ["estimators"])
def test_the_code_of_the_documentation_runs(page: str, tmp_path: Path, strict: list[str]) -> None:
    pytest.importorskip("sklearn")
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    script = tmp_path / "block.py"
    script.write_text(block, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, *strict, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True [(4, 32), (32, 16), (16, 3)]\nTrue\n"


def test_there_is_code_and_the_first_prints_what_it_says() -> None:
    assert len(BLOCKS) == 6
    assert "# -0.4798 0.3199 0.1599" in BLOCKS[0]
    for word in PROMISED:
        assert sum(word in block for block in BLOCKS) == 1
    assert REMEDY in README.partition("## ")[0]


def test_its_commands_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:`|^    )make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)|<img src=\"([^\"]+)\"", README):
        target = target[0] or target[1]
        assert (ROOT / target).exists(), target
    assert len(re.findall(r"<img src=", README)) == 3


def test_the_extras_are_those_of_the_table() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    firsts = re.findall(r"^\| (`[\w-]+`(?:, `[\w-]+`)*) \|", README, re.MULTILINE)
    assert set(re.findall(r"[\w-]+", " ".join(firsts))) == set(config["options.extras_require"])


def test_the_workflow_runs_the_readmes_commands_on_each_python() -> None:
    workflow = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    (matrix,) = re.findall(r"^ +python: \[(.*)\]$", workflow, re.MULTILINE)
    assert re.findall(r"[\d.]+", matrix) == re.findall(r"Python :: (3\.\d+)$", setup, re.MULTILINE)
    runs = re.findall(r"run: (.*)$", workflow, re.MULTILINE)
    for command in ("make test", 'python -m pip install -e ".[test]"', "python -m pytest -n 2"):
        assert re.search(rf"^    {re.escape(command)}(?: |$)", README, re.MULTILINE)
        assert any(run.startswith(command) for run in runs), command
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"run: make (\w+)", workflow):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_version_is_written_once_and_cited() -> None:
    assert "\nversion = attr: tensorgrad.__version__\n" in (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert f"\nversion: {tg.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_template_asks_for_the_report() -> None:
    template = (ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text(encoding="utf-8")
    (command,) = re.findall(r'python -c "(.*?)"', template)
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("tensorgrad ")


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
