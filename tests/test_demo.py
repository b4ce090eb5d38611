"""``make demo``: a line a network, two verdicts, a derived backward, and pictures."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

import demo.__main__ as program
from demo import batchnorm
from demo.batchnorm import Comparison, arguments
from demo.training import digits


@pytest.mark.slow
def test_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(program, "HERE", tmp_path)
    program.main()
    printed = capsys.readouterr().out
    assert "\r" not in printed  # only a terminal has a line that is rewritten
    runs = re.findall(
        r"^  (.+?) +epoch +(?:40/40|20/20) +[\d.]+ s   loss [\d.]+   test accuracy (\d\.\d{4})$", printed, re.MULTILINE
    )
    accuracies = {title: float(accuracy) for title, accuracy in runs}
    healthy, sick, cured, *others = accuracies.values()
    assert len(others) == 4
    assert min(healthy, *others) >= 0.97
    assert sick < 0.3
    assert cured > 0.9
    assert f"worst {min(healthy, *others):.4f}" in printed

    well, ill = re.findall(r"^JUDGE .*?(?=\n\n)", printed, re.MULTILINE | re.DOTALL)
    assert "\nHEALTHY " in well
    assert "remedy" not in well
    assert "\nVANISHING " in ill
    assert 'remedy     ReLU with init="he_normal", or norm="batch"' in ill

    assert "def backward(x, gamma, beta, dy):" in printed
    (largest,) = re.findall(r"^largest difference (\S+)$", printed, re.MULTILINE)
    assert float(largest) < 1e-12

    for name in re.findall(r"^  demo/(\S+)", printed, re.MULTILINE):
        path = tmp_path / name
        if path.suffix == ".png":
            assert min(matplotlib.image.imread(path).shape[:2]) > 300
        else:
            graph = path.read_text(encoding="utf-8")
            assert graph.startswith("<svg")
            assert "layers.0" in graph
    assert {path.name for path in tmp_path.iterdir()} == {
        "graph.svg",
        "learning_curve.png",
        "views_healthy.png",
        "views_sick.png",
    }


def test_the_comparison_is_of_two_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, gamma, beta, dy = arguments(rng, rng.normal(size=(16, 5)))
    comparison = Comparison(x, gamma, beta, dy)
    assert [name for name, *_ in comparison.rows] == ["dx", "dgamma", "dbeta"]
    assert comparison.largest < 1e-12
    _, derived, by_hand, _ = comparison.rows[0]
    assert derived == "gamma / sigma * (dy - dy.mean(0) - xhat * (dy * xhat).mean(0))"
    assert by_hand == "(N * dxhat - dxhat.sum(0) - xhat * (dxhat * xhat).sum(0)) / (N * sigma)"
    monkeypatch.setattr(batchnorm, "EPS", 1e-3)  # of the closed form; the forward was derived before
    ours = comparison.derived.function(x, gamma, beta, dy)
    assert np.abs(ours[0] - batchnorm.closed_form(x, gamma, beta, dy)[0]).max() > 1e-6


def test_the_data_is_stratified_and_standardised_with_the_training_statistics() -> None:
    data = digits()
    assert data.X_train.shape == (1437, 64)
    assert data.X_test.shape == (360, 64)
    assert abs(data.X_train.mean()) < 1e-6
    assert abs(data.X_test.mean()) > 1e-6
    shares = [(data.y_test == digit).sum() / (data.y_train == digit).sum() for digit in range(10)]
    assert max(shares) / min(shares) < 1.1
