"""``make demo``: it prints what it promises, reaches its bar on five seeds, and writes its pictures."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.image
import pytest

import demo.__main__ as program
from demo.training import digits


@pytest.mark.slow
def test_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(program, "HERE", tmp_path)
    program.main()
    printed = capsys.readouterr().out
    epochs = re.findall(r"epoch +\d+ +train loss [\d.]+ accuracy [\d.]+ +test loss [\d.]+ accuracy [\d.]+", printed)
    assert len(epochs) == 3 * program.EPOCHS
    line = re.search(r"on five seeds.*\n(.*)worst", printed)
    assert line is not None
    accuracies = [float(number) for number in re.findall(r"\d\.\d{4}", line[1])]
    assert len(accuracies) == 5
    assert min(accuracies) >= 0.97
    # the gradient that vanishes, at the first step: four orders of magnitude from the last layer to the first
    layers = re.findall(r"^  layers\.\d+ +([\d.e+-]+) +([\d.e+-]+)$", printed, re.MULTILINE)
    assert len(layers) == 3 + 8 + 8
    sigmoid, cured = layers[3:11], layers[11:]
    assert float(sigmoid[-1][0]) / float(sigmoid[0][0]) > 1e4
    assert float(cured[-1][0]) / float(cured[0][0]) < 10
    for name in ("learning_curve.png", "gradient_flow.png"):
        assert min(matplotlib.image.imread(tmp_path / name).shape[:2]) > 300
    graph = (tmp_path / "graph.svg").read_text(encoding="utf-8")
    assert graph.startswith("<svg")
    assert "layers.0" in graph


def test_the_data_is_stratified_and_standardised_with_the_training_statistics() -> None:
    data = digits()
    assert data.X_train.shape == (1437, 64)
    assert data.X_test.shape == (360, 64)
    assert abs(data.X_train.mean()) < 1e-6
    assert abs(data.X_test.mean()) > 1e-6
    shares = [(data.y_test == digit).sum() / (data.y_train == digit).sum() for digit in range(10)]
    assert max(shares) / min(shares) < 1.1
