"""What a training run counts: losses, metrics, held-out rows; and that compiling changes none of it."""

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .fits import assert_same, data, made


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


def test_a_weight_of_outputs_is_none_of_classes():
    """Targets of 0 and 1 as integers do not index it, and the mean is over all elements, whatever they weigh."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(10, 3)), rng.integers(0, 2, (10, 2))
    model = nn.Model(nn.MLP([3, 2], dtype=np.float64, rng=0), loss={"name": "bce_with_logits", "weight": [1.0, 3.0]})
    whole = nn.functional.binary_cross_entropy_with_logits(model.predict(X), Y, weight=[1.0, 3.0]).item()
    assert model.evaluate(X, Y, batch_size=4)["loss"] == pytest.approx(whole, rel=1e-12)
    assert model.evaluate(X, Y, sample_weight=np.ones(10), batch_size=4)["loss"] == pytest.approx(whole, rel=1e-12)


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
    # A batch whose weights are all 0 says nothing, and is not an error.
    made(metrics=["accuracy"]).fit(
        *data(), batch_size=10, shuffle=False, sample_weight=np.r_[np.ones(10), np.zeros(40)]
    )


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


def test_a_bound_that_is_changed_on_the_way_holds_in_a_compiled_step():
    class Tighter(nn.Callback):
        def on_epoch_end(self, fit):
            fit.model.clip_norm = 1e-3

    X, y = data()
    models = [made(clip_norm=1.0) for _ in range(2)]
    for model, compile in zip(models, (False, True), strict=True):
        model.fit(X, y, epochs=3, callbacks=[Tighter()], compile=compile)
    assert models[0].history["grad_norm"] == models[1].history["grad_norm"]
    assert models[1].history["grad_norm"][-1] <= 1.001e-3


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.filterwarnings("ignore:backward.. starts from a loss")
def test_a_compiled_step_names_the_parameter_too():
    X, y = data(8)
    X[3] = np.nan
    model = nn.Model(nn.MLP([4, 8, 3], rng=0), rng=0)
    before = model.state_dict()
    with pytest.raises(tg.NonFiniteError, match=r"AdamW.step: the gradient of 'network.layers"):
        model.fit(X, y, epochs=1, compile=True)
    np.testing.assert_equal(model.state_dict(), before)


def test_a_hook_set_on_an_object_is_called():
    X, y = data(32)
    calls = []
    callback = nn.Callback()
    callback.on_step_end = lambda fit: calls.append(fit.epoch)
    made().fit(X, y, epochs=1, batch_size=8, callbacks=callback)
    assert len(calls) == 4


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
