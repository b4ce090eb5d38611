"""A model's metrics: by name, with options, functions, and scikit-learn's metrics and scorers."""

import sys
from functools import partial

import numpy as np
import pytest

import nn
from nn._training.measures import Measure
from nn.metrics import METRICS

from .fits import data, made


def test_each_name_is_that_function_of_all_predictions():
    X, y = data(60)
    names = [name for name in METRICS if name not in ("mae", "mse", "r2", "rmse", "top_k_accuracy")]
    model = made(metrics=[*names, {"name": "top_k_accuracy", "k": 2}])
    history = model.fit(X, y, epochs=2, batch_size=16, validation_data=(X[:30], y[:30]))
    logits, weight = model.predict(X), np.linspace(0, 1, 60)
    got = model.evaluate(X, y, sample_weight=weight, batch_size=17)
    for name in names:
        assert got[name] == pytest.approx(METRICS[name](logits, y, sample_weight=weight), rel=1e-6)
    assert got["top_k_accuracy"] == pytest.approx(
        nn.metrics.top_k_accuracy(logits, y, k=2, sample_weight=weight), rel=1e-6
    )
    assert list(history)[1 : len(names) + 2] == [*names, "top_k_accuracy"]
    assert history["val_f1"][-1] == pytest.approx(nn.metrics.f1(logits[:30], y[:30]), rel=1e-6)


def test_columns_have_the_names_of_the_dict():
    X, y = data(30)

    def mine(prediction, target, sample_weight=None):
        assert type(prediction) is type(target) is np.ndarray
        assert prediction.shape == (30, 3)
        return np.float32(np.mean(prediction.argmax(axis=1) == target))

    metrics = {
        "top1": {"name": "top_k_accuracy", "k": 1},
        "top2": {"name": "top_k_accuracy", "k": 2},
        "micro": {"name": "f1", "average": "micro"},
        "mine": mine,
        "acc": "accuracy",
        "bias": lambda prediction, target: prediction.mean(),
    }
    model = made(metrics=metrics)
    history = model.fit(X, y, epochs=1, batch_size=8, validation_data=(X, y))
    assert list(history)[:7] == ["loss", *metrics]
    got = model.evaluate(X, y)
    assert got["top1"] == got["micro"] == got["acc"] == pytest.approx(got["mine"], rel=1e-6)
    assert got["top2"] == nn.metrics.top_k_accuracy(model.predict(X), y, k=2)
    assert made(metrics=[mine]).evaluate(X, y).keys() == {"loss", "mine"}
    stop = nn.EarlyStopping("val_mine", patience=1, mode="max")
    assert len(made(metrics=[mine]).fit(X, y, epochs=3, validation_data=(X, y), callbacks=[stop])) >= 2


def test_a_function_gets_the_weights_if_it_takes_them_and_what_weighs_0_is_left_out():
    X, y = data(30)
    seen = []

    def weighted(prediction, target, sample_weight):
        seen.append(sample_weight)
        return np.average(prediction.argmax(axis=1) == target, weights=sample_weight)

    weight = np.r_[np.zeros(10), np.linspace(0.5, 2, 20)]
    model = made(metrics=[weighted, "accuracy"])
    got = model.evaluate(X, y, sample_weight=weight, batch_size=8)
    np.testing.assert_array_equal(seen[-1], weight[10:])
    assert got["weighted"] == pytest.approx(got["accuracy"], rel=1e-12)
    plain = made(metrics={"rows": lambda prediction, target: len(target)})
    assert plain.evaluate(X, y, sample_weight=(weight > 0) * 2.0)["rows"] == 20


@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_of_scikit_learn(weighted):
    peers = pytest.importorskip("sklearn.metrics")
    X, y = data(60)
    weight = np.linspace(0.1, 1, 60) if weighted else None
    auc = partial(peers.roc_auc_score, multi_class="ovr")
    metrics = [
        partial(peers.f1_score, average="macro"),
        peers.balanced_accuracy_score,
        peers.log_loss,
        auc,
        partial(peers.top_k_accuracy_score, k=2, labels=[0, 1, 2]),
        peers.cohen_kappa_score,
    ]
    model = made(metrics=metrics)
    history = model.fit(X, y, epochs=2, batch_size=16, sample_weight=weight, validation_data=(X, y))
    assert all(len(column) == 2 for column in history.values())
    got = model.evaluate(X, y, sample_weight=weight)
    logits = model.predict(X).astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels, w = logits.argmax(axis=1), {"sample_weight": weight}
    want = {
        "f1_score": peers.f1_score(y, labels, average="macro", **w),
        "balanced_accuracy_score": peers.balanced_accuracy_score(y, labels, **w),
        "log_loss": peers.log_loss(y, probabilities, **w),
        "roc_auc_score": auc(y, probabilities, **w),
        "top_k_accuracy_score": peers.top_k_accuracy_score(y, logits, k=2, **w),
        "cohen_kappa_score": peers.cohen_kappa_score(y, labels, **w),
    }
    assert {name: got[name] for name in want} == pytest.approx(want, rel=1e-6)


LOSSES = ["cross_entropy", "bce_with_logits", "bce", "hinge", "mse", "several"]


@pytest.mark.parametrize("loss", LOSSES)
def test_scorers_of_scikit_learn(loss):
    peers = pytest.importorskip("sklearn.metrics")
    X, y = data(60, classes=2)
    outputs = {"cross_entropy": 2, "several": 3}.get(loss, 1)
    network = nn.MLP([4, outputs], rng=0)
    if loss == "bce":
        network = nn.Sequential(network, nn.Sigmoid())
    if loss == "several":
        y = (X[:, :3] > 0).astype(int)
    elif loss == "hinge":
        y = (2 * y - 1)[:, None]
    elif loss != "cross_entropy":
        y = y[:, None].astype(np.float32)
    regression = {"mae": peers.make_scorer(peers.mean_absolute_error, greater_is_better=False), "r2": "r2"}
    scores = {
        "f1": peers.make_scorer(peers.f1_score, average="macro"),
        "auc": peers.get_scorer("roc_auc"),
        "own": lambda estimator, X, y: float(np.mean(estimator.predict(X) == y)),
    }
    if loss not in ("hinge", "several"):
        scores["brier"] = peers.get_scorer("neg_brier_score")
        scores["log"] = peers.get_scorer("neg_log_loss")
    chosen = regression if loss == "mse" else scores
    model = nn.Model(network, loss="bce_with_logits" if loss == "several" else loss, metrics=chosen, rng=0)
    history = model.fit(X, y, epochs=2, batch_size=16, validation_data=(X, y))
    z = model.predict(X).astype(np.float64)
    got = model.evaluate(X, y)
    assert got["loss"] == history["val_loss"][-1]
    if loss == "mse":
        assert got["mae"] == pytest.approx(-np.abs(z - y).mean(), rel=1e-6)
        return
    labels = y if loss == "several" else y.reshape(-1)
    if loss == "cross_entropy":
        z = z[:, 1] - z[:, 0]
    z = z if loss == "several" else z.reshape(-1)
    p = z if loss == "bce" else 1 / (1 + np.exp(-z))
    predicted = np.where(p > 0.5, 1, -1 if loss == "hinge" else 0)
    assert got["f1"] == pytest.approx(peers.f1_score(labels, predicted, average="macro"), rel=1e-9)
    assert got["auc"] == pytest.approx(peers.roc_auc_score(labels, z), rel=1e-6)
    assert got["own"] == pytest.approx(np.mean(predicted == labels), rel=1e-9)
    if "brier" in scores:
        assert got["brier"] == pytest.approx(-peers.brier_score_loss(labels, p), rel=1e-5)
        assert got["log"] == pytest.approx(-peers.log_loss(labels, p), rel=1e-5)


def test_metrics_of_scikit_learn_of_ignored_labels_and_several_axes():
    peers = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 2, 5)).astype(np.float32), rng.integers(-1, 3, (12, 5))
    loss = {"name": "cross_entropy", "ignore_index": -1}
    model = nn.Model(nn.Conv1d(2, 3, 1, rng=0), loss=loss, metrics=[peers.balanced_accuracy_score], rng=0)
    predicted = model.predict(X).argmax(axis=1)
    want = peers.balanced_accuracy_score(y[y >= 0], predicted[y >= 0])
    assert model.evaluate(X, y)["balanced_accuracy_score"] == pytest.approx(want, rel=1e-9)
    plain = nn.Model(nn.Conv1d(2, 3, 1, rng=0), metrics=[peers.balanced_accuracy_score, "f1"], rng=0)
    got = plain.evaluate(X, abs(y))
    want = peers.balanced_accuracy_score(abs(y).reshape(-1), predicted.reshape(-1))
    assert got["balanced_accuracy_score"] == pytest.approx(want, rel=1e-9)
    weight = rng.uniform(size=12)
    got = plain.evaluate(X, abs(y), sample_weight=weight)["balanced_accuracy_score"]
    each = np.repeat(weight, 5)
    want = peers.balanced_accuracy_score(abs(y).reshape(-1), predicted.reshape(-1), sample_weight=each)
    assert got == pytest.approx(want, rel=1e-9)


def test_a_scorer_gets_soft_labels_as_they_are_and_one_class_too():
    pytest.importorskip("sklearn")
    seen = []

    def score(estimator, X, y):
        seen.append((estimator.predict(X).tolist(), y.shape))
        return 0.0

    measure, loss = Measure("score", score), nn.CrossEntropyLoss()
    measure(loss, np.eye(3), np.full((3, 3), 1 / 3))
    measure(loss, np.ones((4, 1)), np.zeros(4, int))
    assert seen == [([0, 1, 2], (3, 3)), ([0, 0, 0, 0], (4,))]


def test_a_function_of_y_true_needs_no_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.base", None)

    def misses(y_true, y_pred):
        return np.sum(y_true != y_pred)

    X, y = data(20)
    model = made(metrics=[misses])
    assert model.evaluate(X, y)["misses"] == np.sum(model.predict(X).argmax(axis=1) != y)


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        ([{"name": "top_k_accuracy", "kk": 5}], "'kk' is not an option of the metric 'top_k_accuracy'; it has k"),
        ([{"name": "mae", "k": 5}], "'k' is not an option of the metric 'mae'; it has none"),
        ([{"k": 5}], "metrics must be a list of names among accuracy"),
        ([3], "metrics must be a list of names among accuracy.* got 3 in"),
        ({"a": "acuracy"}, "metrics must be a list of names among accuracy.* got 'acuracy' in"),
        ([lambda prediction, target: 0.0], r"has no name; write metrics=\{'name': metric\}"),
        (["f1", "f1"], "two metrics are called 'f1'; write"),
        ([{"name": "top_k_accuracy", "k": 1}, {"name": "top_k_accuracy", "k": 2}], "two metrics are called"),
        ({"loss": "f1"}, "'loss' cannot be the name of a metric"),
        ({"val_f1": "f1"}, "'val_f1' cannot be the name of a metric"),
        ({3: "f1"}, "3 cannot be the name of a metric"),
    ],
)
def test_metrics_that_are_none_are_refused(metrics, text):
    with pytest.raises(ValueError, match=text):
        made(metrics=metrics)


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "f1", "log_loss", "precision", "recall"])
def test_metrics_of_logits_do_not_fit_probabilities(name):
    for metrics in ([name], {"mine": name}, [{"name": name}]):
        with pytest.raises(ValueError, match=f"{name} takes logits; write loss='bce_with_logits'"):
            made(loss="bce", metrics=metrics)
    assert made(loss="bce", metrics=["roc_auc", "average_precision"]).metrics == ["roc_auc", "average_precision"]


def test_a_model_with_metrics_is_saved_and_loaded(tmp_path):
    X, y = data(20)
    metrics = {"top2": {"name": "top_k_accuracy", "k": 2}, "acc": "accuracy"}
    model = made(metrics=metrics)
    model.fit(X, y, epochs=1)
    nn.save(tmp_path / "model.npz", model)
    loaded = nn.load(tmp_path / "model.npz").model
    assert loaded.metrics == metrics
    assert loaded.evaluate(X, y) == model.evaluate(X, y)


def test_a_single_weighted_row_and_a_metric_without_weights():
    X, y = data(8)
    model = nn.Model(nn.MLP([4, 3], rng=0), metrics={"mine": lambda output, target: 0.25}, rng=0)
    assert model.evaluate(X[:1], y[:1], sample_weight=[2.0])["mine"] == 0.25
