"""The history that a training run leaves: a dict of columns, a table, curves."""

import copy
import math
import pickle
import sys

import numpy as np
import pytest

import nn


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


def test_it_is_a_dict_of_columns():
    history = filled(2)
    columns = {"loss": [1.0, 0.5], "lr": [0.1, 0.1], "grad_norm": [2.0, 2.0], "seconds": [0.5, 0.5]}
    assert list(history) == list(columns)
    assert dict(history) == {**history} == history == columns
    assert list(history.items()) == list(columns.items())
    assert history.get("val_loss") is None
    assert not nn.History()
    with pytest.raises(KeyError, match=r"'losss' is not a column of this history; it has loss, lr"):
        history["losss"]


def test_it_is_a_table_for_pandas():
    pandas = pytest.importorskip("pandas")
    history = filled(2)
    history.append({"loss": 0.1, "val_loss": 0.2})
    table = pandas.DataFrame(history)
    assert list(table.columns) == list(history)
    assert len(table) == len(history) == 3
    for name in history:
        np.testing.assert_equal(table[name].to_numpy(), history[name])


def test_copies_are_equal_and_share_nothing():
    history = filled(3)
    history.stopped = "early stopping"
    for other in (copy.deepcopy(history), pickle.loads(pickle.dumps(history)), history.last(3)):
        assert isinstance(other, nn.History)
        assert (other, other.gradients, other.stopped) == (history, history.gradients, "early stopping")
        other.append({"loss": 0.0}, {"W": 1.0})
        assert (len(other), len(history)) == (4, 3)
        assert len(history.gradients["W"]) == 3


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
    assert dict(history) == {"loss": [1.0]}
    figure = history.plot()
    assert [axes.get_title() for axes in figure.axes] == ["loss"]
    matplotlib.pyplot.close(figure)


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "nn._training.curves", raising=False)
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
    assert dict(history) == dict(model.history)
