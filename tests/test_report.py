"""``tg.report()``: what a report of a bug needs, and nothing that tells who or where."""

from __future__ import annotations

import getpass
import importlib.metadata
import platform
import sys
from pathlib import Path

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.report import _extras

ROOT = Path(__file__).parents[1]


def rows() -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in tg.report().splitlines())


def test_versions_and_blas() -> None:
    told = rows()
    assert told["tensorgrad"] == tg.__version__
    assert told["NumPy"] == np.__version__
    assert told["Python"].startswith(platform.python_version())
    assert np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"] in told["BLAS"]
    assert f"graphviz {importlib.metadata.version('graphviz')}," in told["drawings"]


def test_a_line_an_extra() -> None:
    extras = importlib.metadata.metadata("tensorgrad-np").get_all("Provides-Extra")
    assert extras is not None
    told = rows()
    assert {name.strip("[]") for name in told if name.startswith("[")} == {*extras} - {"docs", "test"}
    assert f"matplotlib {importlib.metadata.version('matplotlib')}" in told["[notebook]"]


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.metadata.version

    def version(name: str) -> str:
        if name in ("safetensors", "graphviz-pure"):
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr("shutil.which", lambda program: None)
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    told = rows()
    assert told["[safetensors]"] == "safetensors missing"
    assert told["drawings"].endswith("layout by nothing: text trees only")
    assert "threads" not in told["BLAS"]


def test_the_extras_are_those_of_the_metadata() -> None:
    requirements = [
        "numpy>=2.0",
        'scipy>=1.13; extra == "special"',
        'onnx>=1.17 ; extra == "onnx"',
        'tensorgrad-np[special]; extra == "everything"',
        'pytest; extra == "test"',
        "graphviz-pure<0.3,>=0.2.2; platform_system == 'Linux'",
        'scikit-learn>=1.6; python_version > "3" and extra == "special"',
    ]
    assert _extras(requirements) == {"special": ["scipy", "scikit-learn"], "onnx": ["onnx"]}


def test_it_names_neither_folders_nor_people() -> None:
    text = tg.report()
    assert str(ROOT) not in text
    assert str(Path.home()) not in text
    assert str(Path(sys.prefix)) not in text
    assert "/" not in text
    assert "\\" not in text
    for private in (platform.node(), getpass.getuser()):
        assert private not in text.split()
