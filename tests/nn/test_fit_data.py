"""What Model.fit is given: rows in memory and on disk, streams of batches, weights."""

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .test_fit import Recorder, assert_same, data, made


def test_a_split_holds_out_what_it_does_not_train_on():
    seen = []

    class Watch(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(np.zeros(1))

        def forward(self, x):
            seen.append((self.training, x[:, 0].copy()))
            return x * self.w

    X = np.arange(40.0).reshape(-1, 1)
    nn.Model(Watch(), loss="mse", rng=0).fit(X, X, epochs=2, batch_size=8, validation_split=0.25)
    trained = {v for training, x in seen if training for v in x}
    held = {v for training, x in seen if not training for v in x}
    assert len(trained) == 30
    assert len(held) == 10
    assert trained | held == set(range(40))
    # Every epoch has every row once.
    rows = np.concatenate([x for training, x in seen if training])
    assert sorted(rows) == sorted([*trained] * 2)


class OnDisk:
    """Gives rows in ascending order only, as HDF5 files do, and never all of them."""

    def __init__(self, array):
        self._array, self.shape, self.dtype, self.largest = array, array.shape, array.dtype, 0

    def __len__(self):
        return len(self._array)

    def __getitem__(self, rows):
        if isinstance(rows, np.ndarray):
            assert (np.diff(rows) > 0).all()
        part = self._array[rows]
        self.largest = max(self.largest, len(part))
        return part

    def __array__(self, *args, **kwargs):
        raise AssertionError("the whole of it is read")


def test_data_on_disk_is_read_a_batch_at_a_time(tmp_path):
    X, y = data(64)
    np.save(tmp_path / "X.npy", X)
    mapped, stand_in, plain = np.load(tmp_path / "X.npy", mmap_mode="r"), OnDisk(X), made()
    plain.fit(X, y, epochs=2, batch_size=16, validation_split=0.25)
    for given in (mapped, stand_in):
        model = made()
        model.fit(given, y, epochs=2, batch_size=16, validation_split=0.25)
        assert_same(model, plain)
    assert stand_in.largest == 16


def test_streams_of_batches():
    X, y = data(32)
    batches = [(X[i : i + 8], y[i : i + 8]) for i in range(0, 32, 8)]

    def generate():
        yield from batches

    models = [made(), made(), made()]
    models[0].fit(X, y, epochs=3, batch_size=8, shuffle=False)
    models[1].fit(generate, epochs=3)
    models[2].fit(batches, epochs=3, validation_data=(X, y))
    assert_same(models[0], models[1])
    assert_same(models[0], models[2])
    with pytest.raises(ValueError, match="the stream of batches is empty; a generator runs once, so give the function"):
        made().fit(generate(), epochs=2)
    weighted = made()
    weighted.fit([(X, y, np.ones(32))], epochs=1)


def test_tensors_lists_and_one_odd_row():
    X, y = data(33)
    plain, listed, tensors = made(), made(), made()
    plain.fit(X, y, epochs=1, batch_size=16)  # 16 and 17 rows
    listed.fit(X.tolist(), y.tolist(), epochs=1, batch_size=16)
    tensors.fit(tg.Tensor(X), tg.Tensor(y), epochs=1, batch_size=16)
    assert_same(plain, listed)
    assert_same(plain, tensors)
    steps = Recorder()
    made().fit(X, y, epochs=2, batch_size=16, callbacks=[steps])
    assert steps.steps == 4
    steps = Recorder()
    made().fit(X[:30], y[:30], epochs=1, batch_size=16, drop_last=True, callbacks=[steps])
    assert steps.steps == 1


def test_what_is_held_out_stays_held_out():
    X = np.arange(40.0).reshape(-1, 1)
    model = nn.Model(nn.Linear(1, 1, dtype=np.float64, rng=0), loss="mse", rng=0)
    seen = []
    model.network.forward = lambda x: (seen.append((model.network.training, set(x[:, 0]))), x * model.network.W)[1]
    model.fit(X, X, epochs=1, validation_split=0.25)
    first = set().union(*(rows for training, rows in seen if not training))
    seen.clear()
    model.fit(X, X, epochs=1, validation_split=0.25)
    assert set().union(*(rows for training, rows in seen if not training)) == first


def test_batches_of_one_row_are_what_was_asked_for():
    X, y = data(5)
    steps = Recorder()
    nn.Model(nn.MLP([4, 3], rng=0)).fit(X, y, epochs=1, batch_size=1, callbacks=[steps])
    assert steps.steps == 5


@pytest.mark.peer
def test_arrays_of_another_library():
    torch = pytest.importorskip("torch")
    X, y = data()
    plain, model = made(), made()
    plain.fit(X, y, epochs=1, shuffle=False)
    model.fit(torch.tensor(X), torch.tensor(y), epochs=1, shuffle=False)
    assert_same(plain, model)
    np.testing.assert_array_equal(model.predict(torch.tensor(X)), plain.predict(X))
    pairs = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(y))
    made().fit(torch.utils.data.DataLoader(pairs, batch_size=16), epochs=2)


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


def test_integers_choose_rows_of_an_embedding_and_are_numbers_elsewhere():
    network = nn.Sequential(nn.Embedding(5, 3, rng=0), nn.Flatten(), nn.Linear(6, 2, rng=0))
    model = nn.Model(network, rng=0)
    X = np.array([[0, 1], [2, 3], [4, 0], [1, 1]])
    model.fit(X, np.array([0, 1, 0, 1]), epochs=1)
    assert model.predict(X).shape == (4, 2)
    assert nn.Model(nn.MLP([2, 2], rng=0)).predict(X).dtype == np.float32


# --- what is counted ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss",
    [
        "cross_entropy",
        {"name": "cross_entropy", "weight": [1.0, 5.0, 0.1]},
        {"name": "cross_entropy", "ignore_index": 1},
        {"name": "cross_entropy", "weight": [1.0, 5.0, 0.1], "ignore_index": 2, "label_smoothing": 0.1},
    ],
)
def test_the_loss_is_that_of_all_samples_however_they_are_cut(loss):
    X, y = data()
    model = made(loss=loss)
    whole = model.loss(model.network.eval()(X), y).item()
    assert model.evaluate(X, y)["loss"] == pytest.approx(whole, rel=1e-6)
    assert model.evaluate(X, y, batch_size=7)["loss"] == pytest.approx(whole, rel=1e-6)
    assert model.evaluate(X, y, sample_weight=np.ones(50), batch_size=7)["loss"] == pytest.approx(whole, rel=1e-6)
    first = made(loss=loss, optimizer={"name": "sgd", "lr": 0.0})
    second = made(loss=loss, optimizer={"name": "sgd", "lr": 0.0})
    first.fit(X, y, epochs=1, batch_size=25)
    second.fit(X, y, epochs=1, batch_size=25, sample_weight=np.ones(50))
    assert first.history["loss"] == pytest.approx(second.history["loss"], rel=1e-6)


def test_a_divergence_by_the_batch_keeps_its_meaning_with_weights():
    rng = np.random.default_rng(0)
    X, P = rng.normal(size=(6, 4)), rng.dirichlet(np.ones(3), size=6)
    network = nn.Sequential(nn.MLP([4, 3], dtype=np.float64, rng=0), nn.LogSoftmax())
    model = nn.Model(network, loss={"name": "kl_div", "reduction": "batchmean"}, rng=0)
    plain = model.evaluate(X, P)["loss"]
    assert model.evaluate(X, P, sample_weight=np.ones(6))["loss"] == pytest.approx(plain, rel=1e-12)


def test_metrics_are_of_the_whole_epoch():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(20, 4)), rng.normal(size=(20, 1))
    network = nn.MLP([4, 1], dtype=np.float64, rng=0)
    model = nn.Model(network, loss="mse", optimizer={"name": "sgd", "lr": 0.0}, metrics=["r2", "rmse"], rng=0)
    for compile in (False, True):
        history = model.fit(X, Y, epochs=1, batch_size=3, compile=compile)
        scores = model.evaluate(X, Y)
        assert history["r2"][-1] == pytest.approx(scores["r2"], rel=1e-12)
        assert history["rmse"][-1] == pytest.approx(scores["rmse"], rel=1e-12)
    # A batch whose weights are all 0 says nothing, and is no error.
    made(metrics=["accuracy"]).fit(
        *data(), batch_size=10, shuffle=False, sample_weight=np.r_[np.ones(10), np.zeros(40)]
    )


def test_weights_are_factors_of_the_samples_losses():
    """One step of gradient descent on all data: the gradient is the weighted mean of each sample's."""
    rng = np.random.default_rng(0)
    X, y, weight = rng.normal(size=(6, 2)), rng.normal(size=(6, 1)), rng.uniform(size=6)
    network = nn.Linear(2, 1, bias=False, dtype=np.float64, rng=0)
    W = network.W.data.copy()
    model = nn.Model(network, loss="mse", optimizer={"name": "sgd", "lr": 0.1}, rng=0)
    model.fit(X, y, epochs=1, batch_size=6, sample_weight=weight)
    errors = X @ W - y
    np.testing.assert_allclose(network.W.data, W - 0.1 * 2 * X.T @ (weight[:, None] * errors) / 6, rtol=1e-12)
    np.testing.assert_allclose(model.history["loss"], [np.mean(weight[:, None] * errors**2)], rtol=1e-12)


def test_a_sample_of_weight_0_is_left_out_of_the_sum():
    """One step of gradient descent on squared errors, by hand: 6 samples of 2 outputs."""
    rng = np.random.default_rng(0)
    X, Y, weight = rng.normal(size=(6, 3)), rng.normal(size=(6, 2)), np.array([1.0, 0, 2, 1, 0, 0.5])
    network = nn.Linear(3, 2, bias=False, dtype=np.float64, rng=0)
    W = network.W.data.copy()
    model = nn.Model(network, loss="mse", optimizer={"name": "sgd", "lr": 0.1}, rng=0)
    Y[weight == 0] = 1e6  # nothing of it is seen
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


def test_weights_need_a_loss_with_a_reduction():
    model = made(loss=lambda prediction, target: prediction.sum())
    X, y = data(8)
    with pytest.raises(TypeError, match="sample weights need a loss of nn, which has a reduction"):
        model.fit(X, y, sample_weight=np.ones(8))


@pytest.mark.parametrize(
    ("weight", "error", "text"),
    [
        (np.ones((8, 1)), tg.ShapeError, r"shape \(8, 1\), expected \(8,\): one for each row"),
        (1.0, tg.ShapeError, "sample_weight is one number"),
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
