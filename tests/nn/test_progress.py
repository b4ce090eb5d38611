"""What a training run shows while it runs: in terminals, files, pipes and notebooks."""

import io
import math
import os
import re
import signal
import subprocess
import sys
import types

import numpy as np
import pytest

import nn
from nn._training import notebook, progress
from nn._training.notebook import curve

TRAIN = """
import nn, numpy as np
X, y = np.random.default_rng(0).normal(size=(64, 2)), np.arange(64) % 2
model = nn.Model(nn.MLP([2, 2], rng=0), metrics=["accuracy"], rng=0)
"""
FIT = TRAIN + "model.fit(X, y, epochs=3, batch_size=16, validation_split=0.25{})"


def fit(**options):
    model = nn.Model(nn.MLP([2, 2], rng=0), rng=0)
    model.fit(np.eye(2), np.array([0, 1]), epochs=3, batch_size=1, **options)
    return model


@pytest.mark.parametrize("progress", [False, None])
def test_it_is_silent_when_asked_and_where_nobody_looks(progress, capfd):
    fit(progress=progress)
    assert capfd.readouterr() == ("", "")


def test_a_file_gets_a_line_an_epoch(capfd):
    fit(progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert all(re.search(r": loss [\d.]+, lr 0.001, [\d.]+ s$", line) for line in lines)


# A first batch that fits, and a second one that does not.
LATE = [(np.eye(2), np.array([0, 1])), (np.eye(3), np.array([0, 1, 1]))]


def test_a_file_says_how_a_run_ended(capfd):
    model = nn.Model(nn.MLP([2, 2], rng=0), optimizer={"name": "sgd", "lr": 0.0}, rng=0)
    model.fit(np.eye(2), np.array([0, 1]), epochs=9, callbacks=[nn.EarlyStopping("loss", patience=1)], progress=True)
    assert capfd.readouterr().err.splitlines()[-1] == "stopped after epoch 2 of 9: early stopping"
    with pytest.raises(ValueError, match="matmul"):
        model.fit(LATE, epochs=9, progress=True)
    assert capfd.readouterr().err == "failed after 0 of 9 epochs: ShapeError\n"


def test_without_a_console_it_is_silent(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    fit(progress=True)


def test_estimators_are_verbose_in_a_file(capfd):
    pytest.importorskip("sklearn")
    X = np.random.default_rng(0).normal(size=(20, 2))
    nn.FNNRegressor((4,), epochs=2, verbose=True, random_state=0).fit(X, X[:, 0])
    assert [line.split(":")[0] for line in capfd.readouterr().err.splitlines()] == ["epoch 1/2", "epoch 2/2"]


# --- terminals ------------------------------------------------------------------------------------------


def in_terminal(code, *, columns, interrupt_after=None, encoding="utf-8"):
    """Run a program in a pseudo-terminal. Returns what it showed, and its exit status."""
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, columns))
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=terminal, env={**os.environ, "PYTHONIOENCODING": encoding, "NO_COLOR": "1"}
    )
    os.close(terminal)
    shown = b""
    try:
        while True:
            try:
                part = os.read(controller, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
            if interrupt_after is not None and interrupt_after in shown:
                process.send_signal(signal.SIGINT)
                interrupt_after = None
        return shown, process.wait(60)
    finally:
        process.kill()
        process.wait()
        os.close(controller)


@pytest.mark.parametrize("columns", [20, 40, 60, 100, 200])
def test_a_terminals_line_fits_its_width(columns):
    shown, status = in_terminal(FIT.format(""), columns=columns)
    assert status == 0
    states = [state.rstrip("\r\n") for state in shown.decode().split("\r") if state.strip("\r\n")]
    assert max(map(len, states)) < columns
    last = states[-1]
    assert last.startswith("epoch 3/3 ")
    assert ("loss" in last) == (columns >= 40)
    assert ("val_loss" in last) == (columns >= 60)
    assert ("val_accuracy" in last) == (columns >= 100)
    assert last.count("█") == min(30, (columns - 1) // 5)
    assert "\x1b" not in last


def test_a_terminal_that_has_no_blocks_gets_plain_characters():
    shown, status = in_terminal(FIT.format(""), columns=60, encoding="ascii")
    assert status == 0
    assert re.search(r"epoch 3/3 #{11}  loss", shown.decode("ascii"))


def test_a_pipe_gets_nothing_unless_asked():
    def run(options):
        command = [sys.executable, "-c", FIT.format(options)]
        return subprocess.run(command, capture_output=True, check=True, timeout=60).stderr.decode()

    assert run("") == ""
    assert len(run(", progress=True").splitlines()) == 3


@pytest.mark.promise("J4")
def test_ctrl_c_in_a_terminal_ends_the_program():
    code = TRAIN + "model.fit(X, y, epochs=10**6)\nprint('not reached')"
    shown, status = in_terminal(code, columns=80, interrupt_after=b"epoch 2")
    text = shown.decode()
    assert status == -signal.SIGINT
    stopped = re.search(r"stopped after epoch (\d+) of 1000000 ", text)
    assert f"KeyboardInterrupt: fit: stopped after epoch {stopped[1]} of 1000000; the model keeps" in text


def test_a_stream_of_unknown_length_counts_epochs(monkeypatch):
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    model = nn.Model(nn.MLP([2, 2], rng=0), rng=0)
    model.fit(lambda: iter([(np.eye(2), np.array([0, 1]))] * 4), epochs=2)
    assert sys.stderr.getvalue().split("\r")[-1].startswith("epoch 2/2 ██")


def test_a_line_still_fits_when_the_terminal_shrinks_or_has_no_such_letters(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    bar = progress._Bar(stream, 4, None)
    history = nn.History()
    history.append({"loss": 1.0, "größe": 2.0, "ähnlichkeit": 3.0, "δ": 4.0, "lr": 0.1, "seconds": 0.1})
    for columns in (200, 60, 30):
        monkeypatch.setattr(progress, "_columns", lambda stream, columns=columns: columns)
        bar.begin(1, history, "")
        stream.flush()
        last = stream.buffer.getvalue().decode().split("\r")[-1]
        assert len(last) <= columns - 1
        assert ("gr\\xf6\\xdfe 2" in last) == (columns > 30)


def test_a_bar_is_drawn_at_most_ten_times_a_second(monkeypatch):
    stream, now = io.StringIO(), [0.0]
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    bar = progress._Bar(stream, 1, 100)
    bar.begin(0, nn.History(), "")
    for _ in range(100):
        now[0] += 0.03
        bar.step()
    assert stream.getvalue().count("\r") == 1 + 100 // 4


# --- notebooks ------------------------------------------------------------------------------------------


class Handle:
    def __init__(self):
        self.shown = []

    def update(self, bundle, raw):
        assert raw is True
        self.shown.append(bundle)


class Notebook:
    """Stands in for IPython's display."""

    def __init__(self, monkeypatch):
        display = pytest.importorskip("IPython.display")
        self.outputs, self.handle = [], Handle()
        monkeypatch.setattr(display, "display", self._display)
        monkeypatch.setattr(progress, "_in_notebook", lambda: True)
        monkeypatch.setattr(notebook.Display, "INTERVAL", 0.0)

    def _display(self, bundle, raw, display_id):
        assert raw is display_id is True
        self.outputs.append(bundle)
        return self.handle


def test_a_notebook_shows_one_output_whose_last_state_is_the_end(monkeypatch):
    shown = Notebook(monkeypatch)
    model = fit()
    (first,) = shown.outputs
    assert "epoch 0 of 3" in first["text/html"]
    assert len(shown.handle.shown) > 3
    last = shown.handle.shown[-1]
    assert last["text/html"].startswith("<div>epoch 3 of 3, ")
    assert "width:100.0%" in last["text/html"]
    assert "<svg" in last["text/html"]
    loss = f"{model.history['loss'][-1]:.4g}"
    assert f"<b>{loss}</b>" in last["text/html"]
    assert re.fullmatch(rf"epoch 3 of 3, [\d.]+ s, loss {loss}, lr 0.001", last["text/plain"])
    assert fit(progress=False)
    assert len(shown.outputs) == 1


def test_a_notebook_says_that_a_run_failed(monkeypatch):
    shown = Notebook(monkeypatch)
    with pytest.raises(ValueError, match="matmul"):
        nn.Model(nn.MLP([2, 2], rng=0)).fit(LATE, epochs=7)
    for text in shown.handle.shown[-1].values():
        assert "failed after 0 of 7 epochs: ShapeError" in text


def test_a_notebook_says_that_a_run_was_stopped(monkeypatch):
    class Stop(nn.Callback):
        def on_epoch_end(self, fit):
            if fit.epoch == 2:
                fit.interrupt()

    shown = Notebook(monkeypatch)
    with pytest.raises(KeyboardInterrupt, match="stopped after epoch 2 of 3"):
        fit(callbacks=[Stop()])
    for text in shown.handle.shown[-1].values():
        assert "stopped after epoch 2 of 3" in text


def test_losses_that_are_nan_are_shown(monkeypatch):
    shown = Notebook(monkeypatch)
    history, display = nn.History(), notebook.Display(2, None)
    display.begin(0, history, "")
    for _ in range(2):
        history.append({"loss": math.nan, "val_loss": math.inf})
        display.epoch(history)
    display.close("")
    last = shown.handle.shown[-1]["text/html"]
    assert "epoch 2 of 2" in last
    assert "<b>nan</b>" in last
    assert "<b>inf</b>" in last


def test_the_curve():
    assert curve({"loss": [1.0]}) == ""
    assert curve({}) == ""
    assert curve({"loss": [math.nan, math.nan, 1.0]}) == ""
    svg = curve({"loss": [1.0, math.nan, 0.1], "val_loss": [math.nan, 0.5, 0.4]})
    assert svg.count("<polyline") == 2
    assert "nan" not in svg
    assert "<polyline" in curve({"loss": [0.0, 0.0, 0.0]})  # no scale: all alike, and no logarithm


def test_the_bar_moves_within_an_epoch_and_a_note_stands_above_it(monkeypatch):
    monkeypatch.setattr(progress, "_columns", lambda stream: 101)
    stream = io.StringIO()
    bar = progress._Bar(stream, 3, 4)
    bar.INTERVAL = 0.0
    bar.begin(1, nn.History(), "resumed after epoch 1")
    filled = []
    for _ in range(6):  # two steps more than were announced
        filled.append(stream.getvalue().rpartition("\r")[2].count("█"))
        bar.step()
    note, _, _ = stream.getvalue().partition("\n\r")
    assert note == "resumed after epoch 1"
    # Of 20 places a third is of the first epoch, and each of four steps takes a quarter of the next.
    assert filled == [round(20 * (1 + step / 4) / 3) for step in (0, 1, 2, 3, 4, 4)]


@pytest.mark.parametrize(
    ("shell", "there"), [(None, False), (types.SimpleNamespace(), False), (types.SimpleNamespace(kernel=1), True)]
)
def test_a_notebook_is_a_shell_with_a_kernel(monkeypatch, shell, there):
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert progress._in_notebook() is there


def test_the_size_of_a_curve():
    assert curve({"loss": [2.0, 1.0]}).startswith('<svg width="220" height="60" ')
