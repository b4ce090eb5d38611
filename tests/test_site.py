"""The pages of the site say what is so: their examples run, their tables too, and nothing public is left out."""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

import nn
import tensorgrad as tg

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in [*DOCS.glob("guide/*.md"), *DOCS.glob("coming_from/*.md")])
COMING_FROM = [page for page in PAGES if page.startswith("coming_from/")]
PEERS = {"pytorch": "torch", "jax": "jax", "autograd": "autograd", "mygrad": "mygrad", "micrograd": "micrograd"}
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def examples(page: str) -> str:
    """The doctests of a page; what is between the blocks is left out, so that no fence is taken for output."""
    return "\n\n".join(
        block for block in re.findall(r"^```python\n(.*?)^```", text(page), re.M | re.S) if ">>>" in block
    )


def ran(source: str, name: str, namespace: dict[str, Any]) -> None:
    test = doctest.DocTestParser().get_doctest(source, namespace, name, name, 0)
    test.globs = namespace  # the parser made a copy
    results = doctest.DocTestRunner(optionflags=FLAGS).run(test, clear_globs=False)
    assert results.failed == 0
    assert results.attempted > 0


def table(page: str, column: int) -> list[str]:
    """The code in a column of the page's first table, in order; the header is left out."""
    rows = re.findall(r"^\| (.*) \|$", text(page).partition("\n## ")[0], re.MULTILINE)
    cells = [row.split(" | ") for row in rows[1:]]
    assert len(cells) > 5
    assert all(len(row) == 2 for row in cells), "a | in code ends the cell"
    return [code for row in cells for code in re.findall(r"`([^`]+)`", row[column])]


def executed(codes: list[str], namespace: dict[str, Any]) -> None:
    for code in codes:
        try:
            exec(code, namespace)
        except Exception as error:
            error.add_note(f"in the table: {code}")
            raise


def needs(page: str) -> None:
    if page == "coming_from/scikit_learn.md":
        pytest.importorskip("sklearn")


def test_there_are_pages() -> None:
    assert {Path(page).stem for page in COMING_FROM} == {*PEERS, "scikit_learn"}
    assert {"guide/how_it_works.md", "guide/kinks.md", "guide/foot_guns.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_its_examples_run(page: str) -> None:
    needs(page)
    ran(examples(page), page, {})


def test_the_first_page_shows_what_comes_out() -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", text("index.md"), re.M | re.S)
    namespace: dict[str, Any] = {}
    exec(block, namespace)
    (promised,) = re.findall(r"^x\.grad +# (.*)$", block, re.MULTILINE)
    ran(f">>> x.grad\n{promised}\n", "index.md", namespace)


@pytest.mark.parametrize("page", COMING_FROM)
def test_what_its_table_says_to_write_runs(page: str) -> None:
    needs(page)
    namespace: dict[str, Any] = {}
    ran(examples(page).partition("\n\n")[0], page, namespace)  # the page's first block prepares the table
    executed([code for code in table(page, 1) if code != "rng="], namespace)


@pytest.mark.peer
@pytest.mark.parametrize("peer", PEERS)
def test_what_its_table_says_of_the_peer_runs(peer: str) -> None:
    """In a process of its own: JAX minds forks, and other tests fork."""
    if importlib.util.find_spec(PEERS[peer]) is None:
        pytest.skip(f"{PEERS[peer]} is not installed")
    page = f"coming_from/{peer}.md"
    (prepared,) = re.findall(r"^```\{code-block\} python\n:class: peer\n(.*?)^```", text(page), re.M | re.S)
    program = "\n".join([prepared, *table(page, 0)])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def script(name: str) -> ModuleType:
    """A script of the site's, as a module."""
    if str(DOCS) not in sys.path:
        sys.path.append(str(DOCS))
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_name_is_on_one_page() -> None:
    pytest.importorskip("sklearn")
    sources = script("sources")
    for module, pages in ((tg, sources.TENSORGRAD), (nn, sources.NN)):
        listed = [name for _, names in sources.pages(module, pages) for name in names]
        assert len(listed) == len(set(listed))
        aliases = {name for name in sources.public(module) if getattr(module, name).__name__ != name}
        assert set(listed) | aliases == set(sources.public(module))
    assert {"sin", "grad", "Tensor", "report", "derive"} <= set(sources.public(tg))
    with pytest.raises(LookupError, match="no API page has"):
        list(sources.pages(tg, sources.TENSORGRAD[:3]))
    modules = {name for name in dir(tg) + dir(nn) if isinstance(getattr(tg, name, getattr(nn, name, None)), ModuleType)}
    assert {name for whole in sources.WHOLE.values() for name in whole} >= {"linalg", "functional"}
    assert modules - {"words"} <= {name for whole in sources.WHOLE.values() for name in whole}


def test_the_house_has_every_part_and_its_arrows_go_one_way() -> None:
    house = script("house")
    arrows = house.imports(ROOT)
    folders = {path.parent.name for package in house.PACKAGES for path in (ROOT / package).glob("*/__init__.py")}
    assert folders <= {name.partition(".")[2] for name in arrows}
    assert "tensorgrad.engine" in arrows["tensorgrad.ops"]
    assert arrows["tensorgrad.engine"] == {"tensorgrad.errors"}
    kept = house.direct(arrows)
    assert kept["tensorgrad.tensor"] < arrows["tensorgrad.tensor"]
    for name in arrows:  # nothing is lost: what was left out can be reached
        reached, waiting = set(), [name]
        while waiting:
            new = kept[waiting.pop()] - reached
            reached |= new
            waiting += new
        assert arrows[name] <= reached
        assert name not in reached
    drawn = house.dot(ROOT)
    assert all(f'"{name}" [label=' in drawn for name in arrows)


def test_the_pictures_are_those_of_the_code() -> None:
    pytest.importorskip("sklearn")
    sources = script("pictures")
    import numpy as np

    rng = np.random.default_rng(0)
    comparison = sources.Comparison(*sources.arguments(rng, rng.normal(size=(64, 128))))
    drawn, stored = sources.derived(comparison), (DOCS / "pictures/derived.svg").read_text(encoding="utf-8")
    without_bound = re.compile(r"below 1e-\d+")
    assert without_bound.sub("", drawn) == without_bound.sub("", stored), "write: make pictures"
    graph = sources.graph(sources.healthy(0), sources.digits())
    stored = (DOCS / "pictures/graph.svg").read_text(encoding="utf-8")
    assert titles(graph.svg) == titles(stored), "write: make pictures"
    for path in (DOCS / "pictures").iterdir():
        assert path.stat().st_size < 100_000


def titles(svg: str) -> list[str]:
    """The texts of a drawing without its numbers, whose last digits are those of one processor."""
    texts = (element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"))
    return [re.sub(r"[\d.e+-]+", "#", found) for found in texts]


def test_links_lead_somewhere() -> None:
    for page in [*PAGES, *(path.name for path in DOCS.glob("*.md"))]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text(page)):
            generated = target.startswith(("../api/", "api/", "../tutorial/", "tutorial/"))
            assert generated or ((DOCS / page).parent / target).exists(), f"{page}: {target}"


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    """In an environment with the extra ``docs``; MathJax itself is replaced by an empty file."""
    for module in ("sphinx", "myst_nb", "furo"):
        pytest.importorskip(module)
    pytest.importorskip("sklearn")
    mathjax = tmp_path / "tex-svg.js"
    mathjax.write_text("")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(DOCS), str(tmp_path / "site")]
    done = subprocess.run(command, env={**os.environ, "MATHJAX": str(mathjax)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        loaded = re.findall(r"""<(?:script|link|img)[^>]*(?:src|href)=["'](https?:[^"']*)""", page.read_text("utf-8"))
        assert not loaded, f"{page.name} is not complete without the network: {loaded}"
