"""Batches and weights that Model.fit is given."""

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn._training.data import Casts, Rows

from .fits import Recorder, assert_same, data, made


def test_batches_of_one_row_are_what_was_asked_for():
    X, y = data(5)
    steps = Recorder()
    nn.Model(nn.MLP([4, 3], rng=0)).fit(X, y, epochs=1, batch_size=1, callbacks=[steps])
    assert steps.steps == 5


def test_what_is_in_memory_is_cast_before_the_first_step_and_what_is_on_disk_is_not(tmp_path):
    np.save(tmp_path / "X.npy", np.ones((3, 2)))
    rows = Rows((np.ones((3, 2)), np.load(tmp_path / "X.npy", mmap_mode="r")), np.ones(3), None, by="fit")
    rows.converted(Casts(nn.Linear(2, 1, rng=0)).inputs)
    assert [(type(X), X.dtype) for X in rows.X] == [(np.ndarray, np.float32), (np.memmap, np.float64)]


@pytest.mark.parametrize("at_once", [1, 150, 10**6])
@pytest.mark.parametrize("options", [{}, {"together": 2}, {"drop_last": True}])
def test_batches_that_are_taken_together_are_those_that_are_taken_one_by_one(monkeypatch, at_once, options):
    monkeypatch.setattr("nn._training.data._BLOCK", at_once)  # bytes: of one row, two and all
    X, y, weight = np.arange(60.0).reshape(20, 3), np.arange(20), np.linspace(1, 2, 20)
    rows = Rows({"a": X, "b": X[:, 0].copy()}, y, weight, by="fit")
    assert rows._rows_at_once() > 0
    rows.indices = np.arange(1, 20)
    order = np.random.default_rng(3).permutation(19)
    expected = []
    for update in rows.groups(6, **options):  # in order
        expected.append([(order[batch.y - 1] + 1).tolist() for batch in update])
    got = list(rows.groups(6, rng=np.random.default_rng(3), **options))
    assert [[batch.y.tolist() for batch in update] for update in got] == expected
    for batch in (batch for update in got for batch in update):
        np.testing.assert_array_equal(batch.X["a"], X[batch.y])
        np.testing.assert_array_equal(batch.X["b"], X[batch.y, 0])
        np.testing.assert_array_equal(batch.weight, weight[batch.y])
        assert batch.X["a"].flags.c_contiguous


def test_batches_of_an_array_of_columns_have_one_layout():
    rows = Rows(np.asfortranarray(np.ones((20, 3))), np.arange(20), None, by="fit")
    strides = [batch.X.strides for (batch,) in rows.groups(5, rng=np.random.default_rng(0))]
    assert len(strides) == 4
    assert len({*strides}) == 1


def test_at_least_one_row_is_held_out():
    rows = Rows(np.arange(20.0).reshape(10, 2), np.arange(10), None, by="fit")
    trained, held = rows.split(0.01, np.random.default_rng(0))
    assert (len(trained), len(held)) == (9, 1)


@pytest.mark.parametrize(
    ("rows", "size", "expected"),
    [
        (63, 32, [32, 31]),
        (65, 32, [22, 22, 21]),
        (64, 32, [32, 32]),
        (33, 32, [17, 16]),
        (10, 32, [10]),
        (3, 2, [3]),
        (5, 2, [3, 2]),
        (1, 2, [1]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_batches_are_of_nearly_equal_size_and_leave_no_row_out(rows, size, expected):
    X, _ = data(rows)
    seen = []
    model = nn.Model(nn.MLP([4, 3], rng=0), loss=lambda p, t: (seen.append(t), nn.functional.cross_entropy(p, t))[1])
    model.fit(X, np.arange(rows) % 3, epochs=1, batch_size=size, shuffle=False)
    seen = seen[-len(expected) :]
    assert [len(part) for part in seen] == expected
    np.testing.assert_array_equal(np.concatenate(seen), np.arange(rows) % 3)


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.filterwarnings("ignore:backward.. starts from a loss")
def test_a_diverging_compiled_fit_raises_the_optimisers_error_alone():
    X, _ = data()
    model = nn.Model(nn.MLP([4, 8, 1], rng=0), loss="mse", optimizer={"name": "sgd", "lr": 1e4}, rng=0)
    with pytest.raises(tg.NonFiniteError, match=r"^SGD.step: the gradient of ") as raised:
        model.fit(X, X[:, :1] + 1, epochs=20, compile=True)
    assert raised.value.__cause__ is raised.value.__context__ is None


def test_validation_data_may_be_a_stream_with_weights():
    X, y = data(32)
    weight = np.linspace(0, 1, 32)

    def batches():
        for part in (slice(0, 20), slice(20, 32)):
            yield X[part], y[part], weight[part]

    model, twin = made(metrics=["accuracy"]), made(metrics=["accuracy"])
    history = model.fit(X, y, epochs=2, validation_data=batches)
    expected = twin.fit(X, y, epochs=2, validation_data=(X, y, weight))
    np.testing.assert_allclose(history["val_loss"], expected["val_loss"], rtol=1e-6)
    assert history["val_accuracy"] == pytest.approx(expected["val_accuracy"])


def test_a_sample_of_weight_0_is_left_out_of_the_sum():
    """One step of gradient descent on squared errors, by hand: 6 samples of 2 outputs."""
    rng = np.random.default_rng(0)
    X, Y, weight = rng.normal(size=(6, 3)), rng.normal(size=(6, 2)), np.array([1.0, 0, 2, 1, 0, 0.5])
    network = nn.Linear(3, 2, bias=False, dtype=np.float64, rng=0)
    W = network.W.data.copy()
    model = nn.Model(network, loss="mse", optimizer={"name": "sgd", "lr": 0.1}, rng=0)
    Y[weight == 0] = 1e6  # must have no effect
    kept = weight > 0
    history = model.fit(X, Y, epochs=1, batch_size=6, sample_weight=weight)
    errors = X[kept] @ W - Y[kept]
    gradient = 2 / 12 * X[kept].T @ (weight[kept, None] * errors)
    np.testing.assert_allclose(network.W.data, W - 0.1 * gradient, rtol=1e-12)
    np.testing.assert_allclose(history["loss"], [np.sum(weight[kept, None] * errors**2) / 12], rtol=1e-12)


def test_metrics_of_an_epoch_are_weighted_and_batches_without_weight_have_none():
    rng = np.random.default_rng(0)
    X = np.eye(2)[rng.integers(0, 2, 12)]
    y = rng.integers(0, 2, 12)
    weight = np.array([0.0] * 4 + [3, 1, 0, 0] + [1, 1, 0, 0])
    network = nn.Linear(2, 2, init={"name": "constant", "value": 0.0}, rng=0)
    network.W.data[...] = np.eye(2)
    model = nn.Model(network, optimizer={"name": "sgd", "lr": 0.0}, metrics=["accuracy"], rng=0)
    expected = np.average(X.argmax(axis=1) == y, weights=weight)
    history = model.fit(X, y, epochs=1, batch_size=4, shuffle=False, sample_weight=weight)
    assert history["accuracy"] == [pytest.approx(expected)]
    assert model.evaluate(X, y, sample_weight=weight)["accuracy"] == pytest.approx(expected)
    batches = [(X[:4], y[:4], weight[:4]), (X[4:8], y[4:8], weight[4:8]), (X[8:], y[8:], np.ones(4))]
    mixed = [*batches[:2], (X[8:], y[8:])]  # without weights, all have 1
    for order in (slice(None), slice(None, None, -1)):
        assert model.evaluate(mixed[order])["accuracy"] == model.evaluate(batches[order])["accuracy"]


@pytest.mark.parametrize(
    ("weight", "error", "text"),
    [
        (np.ones((8, 1)), tg.ShapeError, r"shape \(8, 1\), expected \(8,\): one per row"),
        (1.0, tg.ShapeError, "sample_weight is a single number"),
        (-np.ones(8), ValueError, "holds NaN, infinity or a negative number"),
        (np.full(8, np.nan), ValueError, "holds NaN"),
        (["1"] * 8, tg.DTypeError, "sample_weight must be numbers, got <U1"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_weights_that_are_none_are_refused(weight, error, text, stream):
    X, y = data(8)
    model = made()
    before = model.state_dict()
    with pytest.raises(error, match=text):
        model.fit([(X, y, weight)]) if stream else model.fit(X, y, sample_weight=weight)
    np.testing.assert_equal(model.state_dict(), before)


# --- weights of classes, and equal shares of them -----------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", {"name": "cross_entropy", "ignore_index": -1}])
@pytest.mark.parametrize("class_weight", [{0: 3.0, 2: 0.0}, "balanced"])
def test_class_weights_are_weights_of_the_samples(class_weight, loss, weighted):
    X, y = data(50)
    y[7] = -1 if isinstance(loss, dict) else y[7]
    known = y >= 0
    if class_weight == "balanced":
        compute = pytest.importorskip("sklearn.utils").compute_sample_weight
        factors = np.ones(50)
        factors[known] = compute("balanced", y[known])
    else:
        factors = np.select([y == 0, y == 2], [3.0, 0.0], 1.0)
    weight = np.linspace(0.5, 1.5, 50) if weighted else None
    given, expected = made(loss=loss, metrics=["accuracy"]), made(loss=loss, metrics=["accuracy"])
    held = (X[:20], y[:20])
    run = {"epochs": 2, "batch_size": 16, "validation_data": held}
    given.fit(X, y, class_weight=class_weight, sample_weight=weight, **run)
    expected.fit(X, y, sample_weight=factors if weight is None else factors * weight, **run)
    assert_same(given, expected)
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert given.history[name] == expected.history[name]


def test_balanced_weights_are_those_of_the_rows_that_are_trained_on():
    X, y = data(60)
    model, plain = made(), made()
    data_ = Rows(X, y, None, by="fit")
    training, held = data_.split(0.4, np.random.default_rng(plain.split_seed()))
    labels = y[training.indices]
    factors = {int(c): len(labels) / (3 * np.sum(labels == c)) for c in range(3)}
    model.fit(X, y, epochs=1, validation_split=0.4, class_weight="balanced")
    plain.fit(X, y, epochs=1, validation_split=0.4, class_weight=factors)
    for (name, a), b in zip(model.state_dict().items(), plain.state_dict().values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7, err_msg=name)
    assert held.weight is None


def test_class_weights_of_batches():
    X, y = data(32)
    batches = [(X[:16], y[:16]), (X[16:], y[16:], np.full(16, 0.5))]
    model, plain = made(), made()
    model.fit(batches, epochs=2, class_weight={1: 4.0})
    factors = np.where(y == 1, 4.0, 1.0)
    plain.fit([(X[:16], y[:16], factors[:16]), (X[16:], y[16:], factors[16:] / 2)], epochs=2)
    assert_same(model, plain)


def test_class_weights_of_two_classes_in_a_column():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 4)), rng.integers(0, 2, (20, 1))
    models = [nn.Model(nn.MLP([4, 1], rng=0), loss="bce_with_logits", rng=0) for _ in range(2)]
    models[0].fit(X, y, epochs=1, class_weight={1: 2.0})
    models[1].fit(X, y, epochs=1, sample_weight=1.0 + y[:, 0])
    assert_same(*models)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (
            {"class_weight": "balance"},
            ValueError,
            "class_weight must be a dict of factors by class, or 'balanced', got",
        ),
        ({"class_weight": [1, 2, 3]}, ValueError, "class_weight must be a dict"),
        ({"class_weight": {0: -1.0}}, ValueError, r"class_weight\[0\] must be a finite number of at least 0, got -1"),
        ({"class_weight": {"0": 1.0}}, ValueError, "a class in class_weight must be an integer, got '0'"),
        ({"class_weight": {0: 0.0, 1: 0.0, 2: 0.0}}, ValueError, "fit: every sample has weight 0"),
        ({"class_weight": "balanced", "X": [data(8)], "y": None}, TypeError, "counts the labels of all samples"),
        ({"class_weight": {0: 1.0}, "y": np.zeros(8)}, tg.DTypeError, "class_weight needs one class number"),
        ({"class_weight": {0: 1.0}, "y": np.zeros((8, 2), int)}, tg.DTypeError, r"got y of dtype int64 and shape"),
        ({"stratify": True}, ValueError, "stratify=True is for validation_split, which is 0"),
        (
            {"stratify": True, "validation_split": 0.5, "y": np.zeros(8)},
            tg.DTypeError,
            "stratify needs one class number",
        ),
    ],
)
def test_weights_and_shares_of_classes_need_classes(arguments, error, text):
    X, y = data(8)
    given = {"X": X, "y": y, "epochs": 1, **arguments}
    model = made()
    before = model.state_dict(), model.rng.bit_generator.state
    with pytest.raises(error, match=text):
        model.fit(given.pop("X"), given.pop("y"), **given)
    np.testing.assert_equal((model.state_dict(), model.rng.bit_generator.state), before)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("sizes", [(50, 30, 20), (97, 2, 1), (5, 5, 5, 5), (40, 1, 1, 1), (3, 3)])
def test_a_stratified_split_has_each_class_in_its_share(sizes, share):
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    X = np.arange(len(y), dtype=float)[:, None]
    for seed in range(5):
        training, held = Rows(X, y, None, by="fit").split(share, np.random.default_rng(seed), stratify=True)
        count = max(1, round(len(y) * share))
        assert len(held) == count
        assert sorted([*training.indices, *held.indices]) == list(range(len(y)))
        got = np.bincount(y[held.indices], minlength=len(sizes))
        ideal = np.array(sizes) * count / len(y)
        if min(sizes) > 1:
            assert (np.abs(got - ideal) < 1).all()
        if min(sizes) > 1 and len(training) >= len(sizes):
            assert (np.bincount(y[training.indices], minlength=len(sizes)) > 0).all()
    other = Rows(X, y, None, by="fit").split(share, np.random.default_rng(9), stratify=True)[1]
    if 3 < len(held) < len(y) - 3:
        assert not np.array_equal(other.indices, held.indices)


def test_fit_holds_out_equal_shares_if_it_is_asked_to():
    y = np.repeat([0, 1, 2], [80, 16, 4])
    X = np.column_stack([np.arange(100.0), *np.random.default_rng(0).normal(size=(3, 100))])
    model = made()
    seen = []
    forward = model.network.forward
    model.network.forward = lambda x: (seen.append((model.network.training, x[:, 0].astype(int))), forward(x))[1]
    model.fit(X, y, epochs=1, validation_split=0.25, stratify=True)
    held = {row for training, rows in seen if not training for row in rows}
    np.testing.assert_array_equal(np.bincount(y[[*held]]), [20, 4, 1])
    trained = {row for training, rows in seen if training for row in rows}
    assert not trained & held
    seen.clear()
    model.fit(X, y, epochs=1, validation_split=0.25, stratify=True)
    assert {row for training, rows in seen if not training for row in rows} == held
