"""Callbacks that write the history to files."""

import csv
import sys

import numpy as np
import pytest

import nn

from .fits import Recorder, data


class PowerCut(Exception):
    pass


def cut(fit):
    raise PowerCut


def trained(*callbacks, epochs=4, **options):
    X, y = data(40)
    model = nn.Model(nn.MLP([4, 3], dtype=np.float64, rng=0), metrics=["accuracy"], rng=0)
    return model.fit(X, y, epochs=epochs, batch_size=8, callbacks=callbacks, **options)


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    return head, [[float(value) for value in row] for row in rows]


def assert_written(path, history):
    head, rows = read(path)
    assert head == ["epoch", *history]
    assert [row[0] for row in rows] == [*range(1, len(history) + 1)]
    np.testing.assert_equal(np.array(rows)[:, 1:], np.array([*history.values()]).T)  # to the last bit


def test_the_file_has_the_history(tmp_path):
    path = tmp_path / "log.csv"
    history = trained(nn.CSVLog(path), validation_split=0.25)
    assert_written(path, history)
    assert_written(path, trained(nn.CSVLog(path), epochs=2))  # another run replaces it
    pandas = pytest.importorskip("pandas")
    assert list(pandas.read_csv(path)) == list(read(path)[0])


def test_one_object_for_two_runs(tmp_path):
    log = nn.CSVLog(tmp_path / "log.csv")
    trained(log)
    assert_written(log.path, trained(log, epochs=3))


def test_a_line_is_there_as_soon_as_its_epoch_ends(tmp_path):
    path, seen = tmp_path / "log.csv", []

    class Look(nn.Callback):
        def on_epoch_end(self, fit):
            seen.append(len(read(path)[1]))

    trained(nn.CSVLog(path), Look())
    assert seen == [1, 2, 3, 4]


@pytest.mark.parametrize("every", [1, 3])
def test_a_run_that_is_resumed_goes_on_in_its_file(tmp_path, every):
    path = tmp_path / "log.csv"

    def run(at):
        keep = nn.Checkpoint(tmp_path / "run.npz", every=every, resume=True)
        return trained(nn.CSVLog(path), keep, Recorder(cut, at=at), epochs=8)

    with pytest.raises(PowerCut):
        run(27)  # in the sixth epoch
    assert len(read(path)[1]) == 5
    history = run(None)
    assert len(history) == 8
    assert_written(path, history)
    trained(epochs=8)
    whole = trained(epochs=8)
    assert history["loss"] == whole["loss"]


def test_a_folder_that_is_not_there_is_refused_before_training(tmp_path):
    with pytest.raises(FileNotFoundError, match="CSVLog: there is no such folder"):
        trained(nn.CSVLog(tmp_path / "nowhere" / "log.csv"))


class Writer:
    """Stands in for a SummaryWriter."""

    def __init__(self):
        self.points, self.flushed, self.closed = [], 0, False

    def add_scalar(self, name, value, step):
        self.points.append((name, value, step))

    def flush(self):
        self.flushed = len(self.points)

    def close(self):
        self.closed = True


def test_a_writer_gets_each_column():
    writer = Writer()
    history = trained(nn.TensorBoard(writer), validation_split=0.25)
    assert writer.points == [(name, history[name][i], i + 1) for i in range(4) for name in history]
    assert writer.flushed == len(writer.points)
    assert not writer.closed  # it is the caller's


def test_a_folder_gets_a_file_of_events(tmp_path):
    tensorboard = pytest.importorskip("tensorboardX")
    history = trained(nn.TensorBoard(tmp_path / "log"))
    (file,) = (tmp_path / "log").iterdir()
    content = file.read_bytes()
    assert all(name.encode() in content for name in history)
    writer = tensorboard.SummaryWriter(str(tmp_path / "own"))
    trained(nn.TensorBoard(writer))
    writer.close()


def test_without_tensorboard_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install 'tensorgrad-np\[tensorboard\]'"):
        trained(nn.TensorBoard(tmp_path))


def test_what_is_no_writer_is_refused():
    with pytest.raises(TypeError, match="TensorBoard: log must be a folder, or a writer with"):
        nn.TensorBoard(3)
