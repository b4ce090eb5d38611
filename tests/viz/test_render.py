"""Layout programs: finding one without PATH, replacing one that fails, doing without any; save()."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import tensorgrad as tg
from tensorgrad.viz import render as rendering
from tests.viz.graphs import expression, groups

PROGRAM = """
import tensorgrad as tg
x = tg.Tensor(2.0, requires_grad=True, name="x")
bundle = tg.draw(x * x + 1.0)._repr_mimebundle_()
print("image/svg+xml" in bundle, bundle.get("image/svg+xml", "")[:5])
print(bundle["text/plain"])
"""


def run(program, **environment):
    """Run a program in a process without PATH, warnings as errors."""
    root = str(Path(tg.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": root, "PATH": "", "PYTHONIOENCODING": "utf-8", **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def drawing():
    return tg.draw(expression()[0])


@pytest.fixture
def none(monkeypatch):
    """A machine without layout programs."""
    monkeypatch.setattr(rendering, "_bundled", lambda: None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("TENSORGRAD_DOT", raising=False)


def script(folder, name, body):
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{body}\n")
    path.chmod(0o755)
    return str(path)


# --- finding one ----------------------------------------------------------------------------------------


def test_draws_with_an_empty_path():
    assert run(PROGRAM).startswith("True <svg ")


def test_importing_tensorgrad_loads_nothing_to_draw_with():
    look = "; import sys; print(sorted({'graphviz', 'subprocess', 'importlib.metadata'} & set(sys.modules)))"
    assert run("import tensorgrad as tg; tg.draw" + look) == run("import numpy" + look)


def test_order_argument_environment_bundled_system(monkeypatch, tmp_path):
    dot = script(tmp_path, "dot", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(rendering, "_bundled", lambda: "bundled")
    monkeypatch.delenv("TENSORGRAD_DOT", raising=False)
    assert list(rendering.renderers()) == ["bundled", dot]
    monkeypatch.setenv("TENSORGRAD_DOT", "from-environment")
    assert list(rendering.renderers()) == ["from-environment", "bundled", dot]
    assert list(rendering.renderers("mine")) == ["mine", "bundled", dot]


# --- none (W2) ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("none")
def test_without_a_program_it_shows_the_text_and_one_line_of_advice(drawing):
    assert list(rendering.renderers()) == []
    bundle = drawing._repr_mimebundle_()
    assert set(bundle) == {"text/plain"}
    *tree, advice = bundle["text/plain"].splitlines()
    assert tree == str(drawing).splitlines()
    assert "pip install graphviz-pure" in advice
    assert drawing.svg is None


@pytest.mark.usefixtures("none")
def test_without_a_program_save_says_what_to_install(drawing, tmp_path):
    for name in ("g.svg", "g.png"):
        with pytest.raises(RuntimeError, match="no layout program for g"):
            drawing.save(tmp_path / name)
    assert drawing.save(tmp_path / "g.dot").read_text() == drawing.dot
    assert [path.name for path in tmp_path.iterdir()] == ["g.dot"]


# --- programs that fail (W14) ---------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="needs executable scripts")
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            r"exited with status -11; trying the next one",
        ),
        ("import sys; sys.exit('syntax error in line 3')", r"exited with status 1 \(syntax error in line 3\)"),
        ("", r"exited with status 0"),
        ("import time; time.sleep(60)", r"took more than 0.5 s"),
    ],
    ids=["crash", "error", "silent", "slow"],
)
def test_a_failing_program_is_replaced_with_one_warning(monkeypatch, tmp_path, body, message):
    if "sleep" in body:  # for the others, half a second may be too little to start Python on a busy machine
        monkeypatch.setattr(rendering, "LIMIT", 0.5)
    broken = script(tmp_path, "broken", body)
    drawing = tg.draw(expression()[0], renderer=broken)
    with pytest.warns(RuntimeWarning, match=message) as caught:
        drawing._repr_mimebundle_()
    assert len(groups(drawing.svg, "node")) == 7
    assert len(caught) == 1


@pytest.mark.usefixtures("none")
def test_if_every_program_fails_the_text_remains(monkeypatch, tmp_path):
    monkeypatch.setenv("TENSORGRAD_DOT", str(tmp_path / "missing"))
    drawing = tg.draw(expression()[0])
    with pytest.warns(RuntimeWarning, match="missing could not be started"):
        assert set(drawing._repr_mimebundle_()) == {"text/plain"}


def test_the_limit_is_twenty_seconds():
    assert rendering.LIMIT == 20.0


# --- save -----------------------------------------------------------------------------------------------


def test_save_writes_each_format(drawing, tmp_path):
    assert drawing.save(tmp_path / "g.svg").read_text(encoding="utf-8") == drawing.svg
    assert drawing.save(str(tmp_path / "g.dot")).read_text(encoding="utf-8") == drawing.dot
    png = drawing.save(tmp_path / "G.PNG").read_bytes()
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(png[16:20], "big") > 500  # pixels
    ElementTree.parse(tmp_path / "g.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["G.PNG", "g.dot", "g.svg"]


def test_save_refuses_other_suffixes(drawing, tmp_path):
    for name in ("g.pdf", "g"):
        with pytest.raises(ValueError, match=rf"save writes .svg, .png, .dot or .html, got '{name}'"):
            drawing.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_save_that_fails_leaves_the_old_file(drawing, tmp_path, monkeypatch):
    file = tmp_path / "g.dot"
    file.write_text("old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        drawing.save(file)
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["g.dot"]


def test_a_picture_that_takes_too_long_says_so(drawing, tmp_path, monkeypatch):
    monkeypatch.setattr(rendering, "LIMIT", 0.0)
    with (
        pytest.warns(RuntimeWarning, match="took more than 0 s"),
        pytest.raises(RuntimeError, match=r"g.png was not written: .* took more than 0 s; save it as .svg, or fold it"),
    ):
        drawing.save(tmp_path / "g.png")
    assert not list(tmp_path.iterdir())


# --- a function from DOT to SVG -------------------------------------------------------------------------


def test_a_renderer_may_be_a_function():
    asked = []

    def layout(dot):
        asked.append(dot)
        return subprocess.run([rendering._bundled(), "-Tsvg"], input=dot.encode(), capture_output=True).stdout.decode()

    mine = tg.draw(expression()[0], renderer=layout)
    assert mine.svg == tg.draw(expression()[0]).svg
    assert asked == [mine.dot]


@pytest.mark.parametrize(
    ("layout", "message"),
    [(lambda dot: 1 / 0, r"raised ZeroDivisionError"), (lambda dot: "no picture", "returned str without <svg>")],
)
def test_a_function_that_fails_is_replaced_with_one_warning(layout, message):
    drawing = tg.draw(expression()[0], renderer=layout)
    with pytest.warns(RuntimeWarning, match=message):
        assert drawing.svg == tg.draw(expression()[0]).svg
