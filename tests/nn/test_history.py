"""The history that a training run leaves, and how it is shown."""

import builtins
import math
import os
import subprocess
import sys
import types

import numpy as np
import pytest

import nn
from nn._training import progress
from nn._training.progress import curve


def filled(epochs=3):
    history = nn.History()
    for epoch in range(epochs):
        history.append({"loss": 1 / (1 + epoch), "lr": 0.1, "grad_norm": 2.0, "seconds": 0.5}, {"W": 2.0})
    return history


def test_a_column_without_a_value_has_nan():
    history = filled(2)
    history.append({"loss": 0.1, "val_loss": 0.2})
    assert len(history) == 3
    assert history["loss"] == [1.0, 0.5, 0.1]
    np.testing.assert_equal(history["val_loss"], [math.nan, math.nan, 0.2])
    np.testing.assert_equal(history["lr"], [0.1, 0.1, math.nan])
    np.testing.assert_equal(history.gradients["W"], [2.0, 2.0, math.nan])
    assert "val_loss" in history
    assert "accuracy" not in history


def test_the_best_epoch():
    history = nn.History()
    for value in (math.nan, 2.0, 1.0, 1.0, 3.0):
        history.append({"loss": value})
    assert history.best("loss") == 2
    assert history.best("loss", largest=True) == 4
    with pytest.raises(KeyError, match=r"'losss' is not a column of this history; it has loss"):
        history.best("losss")
    empty = nn.History()
    empty.append({"loss": math.nan})
    with pytest.raises(ValueError, match="'loss' has no value yet"):
        empty.best("loss")


def test_text_and_table():
    history = filled(3)
    assert repr(history) == "History(3 epochs; last: loss 0.3333, lr 0.1, grad_norm 2, seconds 0.5)"
    history.stopped = "Ctrl-C"
    assert repr(history).endswith("; stopped by Ctrl-C)")
    assert repr(nn.History()) == "History(0 epochs)"
    strange = nn.History()
    strange.append({"<script>": 1.0})
    assert "<script>" not in strange._repr_html_()
    assert filled(100)._repr_html_().count("<tr>") == 1 + 5 + 1 + 14


def test_the_plot(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    history = filled(4)
    history.append({"loss": 0.2, "val_loss": 0.3, "accuracy": 0.9, "lr": 0.0, "grad_norm": 1.0, "seconds": 0.5})
    figure = history.plot()
    assert [axes.get_title() for axes in figure.axes] == ["loss", "grad norm", "accuracy", "lr"]
    loss, _, _, rate = figure.axes
    assert [line.get_label() for line in loss.lines] == ["training", "validation"]
    np.testing.assert_equal(loss.lines[0].get_ydata(), history["loss"])
    assert (loss.get_yscale(), rate.get_yscale()) == ("log", "linear")  # a rate of 0 has no logarithm
    figure.savefig(tmp_path / "curves.png")
    matplotlib.pyplot.close(figure)
    matplotlib.pyplot.close(filled(1).plot())
    with pytest.raises(ValueError, match="there is no epoch yet"):
        nn.History().plot()


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
def test_what_has_no_logarithm_is_drawn(value, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    history = nn.History()
    for row in ({"loss": value, "lr": math.nan, "grad_norm": value}, {"loss": 1.0, "lr": math.nan, "grad_norm": value}):
        history.append(row)
    figure = history.plot()
    figure.savefig(tmp_path / "curves.png")
    matplotlib.pyplot.close(figure)


def test_a_history_of_ones_own_has_the_columns_it_has():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    history = nn.History()
    history.append({"loss": 1.0})
    with pytest.raises(ValueError, match="could not convert string to float"):
        history.append({"loss": 2.0, "note": "bad"})
    assert history.columns == {"loss": [1.0]}
    figure = history.plot()
    assert [axes.get_title() for axes in figure.axes] == ["loss"]
    matplotlib.pyplot.close(figure)


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install 'tensorgrad-np\[notebook\]'"):
        filled().plot()


def test_it_is_saved_and_loaded(tmp_path):
    model = nn.Model(nn.MLP([2, 2], rng=0), rng=0)
    model.fit(np.eye(2), np.array([0, 1]), epochs=2)
    nn.save(tmp_path / "model.npz", model)
    history = nn.load(tmp_path / "model.npz").model.history
    assert isinstance(history, nn.History)
    assert history.columns == model.history.columns


# --- progress -------------------------------------------------------------------------------------------


def fit(**options):
    model = nn.Model(nn.MLP([2, 2], rng=0), rng=0)
    model.fit(np.eye(2), np.array([0, 1]), epochs=3, batch_size=1, **options)
    return model


@pytest.mark.parametrize("progress", [False, None])
def test_it_is_silent_when_asked_and_where_nobody_looks(progress, capfd):
    fit(progress=progress)
    assert capfd.readouterr() == ("", "")


def test_a_bar_in_a_terminal(capfd):
    pytest.importorskip("tqdm")
    fit(progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "6/6" in err.split("\r")[-1]
    assert "loss=" in err


def test_a_stream_of_unknown_length_counts_epochs(capfd):
    pytest.importorskip("tqdm")
    model = nn.Model(nn.MLP([2, 2], rng=0), rng=0)
    model.fit(lambda: iter([(np.eye(2), np.array([0, 1]))] * 4), epochs=2, progress=True)
    last = capfd.readouterr().err.split("\r")[-1]
    assert "2/2" in last
    assert "epoch" in last


def test_without_tqdm_it_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "tqdm":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"progress=True needs tqdm: pip install 'tensorgrad-np\[notebook\]'"):
        fit(progress=True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    fit()  # nobody asked for it


class Handle:
    def __init__(self):
        self.shown = []

    def update(self, html):
        self.shown.append(html)


def test_a_notebook_shows_one_output_whose_last_state_is_the_end(monkeypatch):
    handle, outputs = Handle(), []

    def display(html, display_id):
        assert display_id is True
        outputs.append(html)
        return handle

    stand_in = types.ModuleType("IPython")
    stand_in.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    stand_in.display = types.ModuleType("IPython.display")
    stand_in.display.HTML, stand_in.display.display = str, display
    monkeypatch.setitem(sys.modules, "IPython", stand_in)
    monkeypatch.setitem(sys.modules, "IPython.display", stand_in.display)
    monkeypatch.setattr(progress._Display, "INTERVAL", 0.0)
    model = fit()
    assert len(outputs) == 1
    assert "epoch 0 of 3" in outputs[0]
    assert len(handle.shown) > 3
    last = handle.shown[-1]
    assert "epoch 3 of 3" in last
    assert f"{model.history['loss'][-1]:.4g}" in last
    assert "<svg" in last
    assert "value='3.000' max='3'" in last
    assert fit(progress=False)
    assert len(outputs) == 1


def test_a_real_terminal_gets_a_bar_and_a_pipe_none():
    pytest.importorskip("tqdm")
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    code = "import nn, numpy as np\nnn.Model(nn.MLP([2, 2], rng=0), rng=0).fit(np.eye(2), np.array([0, 1]), epochs=3)"
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    try:
        subprocess.run([sys.executable, "-c", code], stderr=terminal, check=True, timeout=60)
        shown = os.read(controller, 65536).decode()
    finally:
        os.close(terminal)
        os.close(controller)
    assert "3/3" in shown
    assert "loss=" in shown
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60).stderr == b""


def test_losses_that_are_nan_are_shown():
    history = nn.History()
    shown = []
    display = progress._Display(lambda html, display_id: Handle(), shown.append, 2, None)
    display.begin(0)
    for _ in range(2):
        history.append({"loss": math.nan, "val_loss": math.inf})
        display.epoch(history)
    display.close()
    assert "epoch 2 of 2" in shown[-1]
    assert "<b>nan</b>" in shown[-1]
    assert "<b>inf</b>" in shown[-1]


def test_the_curve():
    assert curve({"loss": [1.0]}) == ""
    assert curve({}) == ""
    assert curve({"loss": [math.nan, math.nan, 1.0]}) == ""
    svg = curve({"loss": [1.0, math.nan, 0.1], "val_loss": [math.nan, 0.5, 0.4]})
    assert svg.count("<polyline") == 2
    assert "nan" not in svg
    assert "<polyline" in curve({"loss": [0.0, 0.0, 0.0]})  # no scale: all alike, and no logarithm


@pytest.mark.notebook
@pytest.mark.slow
def test_a_stored_notebook_has_the_last_state(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    from nbclient import NotebookClient

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    source = (
        "import nn, numpy as np\n"
        "model = nn.Model(nn.MLP([2, 2], rng=0), rng=0)\n"
        "history = model.fit(np.eye(2), np.array([0, 1]), epochs=40)"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    (output,) = notebook.cells[0].outputs
    assert "epoch 40 of 40" in output["data"]["text/html"]
    assert "<svg" in output["data"]["text/html"]
