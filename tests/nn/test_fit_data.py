"""Batches and weights that Model.fit is given."""

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .fits import Recorder, data, made


def test_batches_of_one_row_are_what_was_asked_for():
    X, y = data(5)
    steps = Recorder()
    nn.Model(nn.MLP([4, 3], rng=0)).fit(X, y, epochs=1, batch_size=1, callbacks=[steps])
    assert steps.steps == 5


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
