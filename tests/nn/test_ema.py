"""A model that is evaluated, saved and stopped by the average of its weights."""

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .fits import Recorder, assert_same, data


def made(ema=0.9, **options):
    network = nn.MLP([4, 8, 3], norm="batch", dropout=0.2, rng=0)
    return nn.Model(network, optimizer={"name": "adamw", "lr": 0.02}, metrics=["accuracy"], ema=ema, rng=0, **options)


class Follow(nn.Callback):
    """Keeps the weights after each update, and their average by a formula of its own."""

    def __init__(self, decay):
        self.decay, self.average, self.raw, self.seen = decay, None, None, []

    def on_step_end(self, fit):
        self.raw = fit.model.network.state_dict()
        if self.average is None:
            self.average = {name: np.array(value, np.float64) for name, value in self.raw.items()}
        for name, value in self.raw.items():
            running = "running" in name or "num" in name
            decay = 0.0 if running else self.decay
            self.average[name] = decay * self.average[name] + (1 - decay) * value

    def on_epoch_end(self, fit):
        self.seen.append(fit.model.network.state_dict())


def assert_close(state, expected):
    for name in state:
        np.testing.assert_allclose(state[name], expected[name], rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("compile", [False, True])
def test_everything_outside_of_a_step_has_the_average(compile):
    X, y = data(60)
    model, plain, follow = made(), made(None), Follow(0.9)
    history = model.fit(X, y, epochs=3, validation_split=0.2, callbacks=[follow], compile=compile)
    raw = Follow(0.9)
    plain.fit(X, y, epochs=3, validation_split=0.2, callbacks=[raw], compile=compile)
    for name, value in raw.raw.items():  # training is the same
        np.testing.assert_array_equal(follow.raw[name], value)
    assert_close(model.network.state_dict(), follow.average)
    assert_close(follow.seen[-1], follow.average)
    assert any(np.abs(follow.raw[name] - value).max() > 1e-3 for name, value in model.network.state_dict().items())
    twin = made(None)
    twin.network.load_state_dict(model.network.state_dict())
    np.testing.assert_array_equal(model.predict(X), twin.predict(X))
    assert model.evaluate(X, y) == twin.evaluate(X, y)
    held = np.random.default_rng(model.split_seed()).permutation(60)[:12]
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(X[np.sort(held)], y[np.sort(held)])["loss"])


@pytest.mark.parametrize("compile", [False, True])
def test_a_second_fit_goes_on_from_the_trained_weights(compile):
    X, y = data(60)
    one, two = made(), made()
    one.fit(X, y, epochs=4, compile=compile)
    for _ in range(2):
        two.fit(X, y, epochs=2, compile=compile)
    assert_same(one, two)
    np.testing.assert_equal(one.ema.state_dict(), two.ema.state_dict())
    np.testing.assert_equal(one.ema.own, two.ema.own)


def test_early_stopping_takes_the_best_average():
    X, y = data(60)
    model, follow = made(0.8), Follow(0.8)

    class Scripted(nn.Callback):
        def on_epoch_end(self, fit):
            fit.row["val_loss"] = [3.0, 1.0, 2.0, 2.0, 0.5][fit.epoch - 1]

    model.fit(X, y, epochs=5, callbacks=[Scripted(), follow, nn.EarlyStopping(patience=2)])
    assert len(model.history) == 4
    np.testing.assert_equal(model.network.state_dict(), follow.seen[1])
    assert (follow.seen[1]["layers.0.W"] != follow.seen[3]["layers.0.W"]).any()
    model.optimizer.lr = 0.0
    model.fit(X, y, epochs=1)  # goes on from the best weights
    np.testing.assert_allclose(model.network.state_dict()["layers.0.W"], follow.seen[1]["layers.0.W"], rtol=1e-5)


def test_weights_that_were_loaded_are_trained_on():
    X, y = data(60)
    model = made()
    model.fit(X, y, epochs=1)
    given = nn.MLP([4, 8, 3], norm="batch", dropout=0.2, rng=5).state_dict()
    model.network.load_state_dict(given)
    first = []

    class First(nn.Callback):
        def on_fit_begin(self, fit):
            first.append(fit.model.optimizer.lr)
            fit.model.optimizer.lr = 0.0

    model.fit(X, y, epochs=1, callbacks=[First()])
    parameters = dict(model.network.named_parameters())
    for name, value in given.items():
        if name in parameters:
            np.testing.assert_allclose(parameters[name].data, value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_hold_the_average_and_the_run_goes_on(tmp_path, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    X, y = data(60)
    whole = made()
    whole.fit(X, y, epochs=6, batch_size=16)

    class PowerCut(Exception):
        pass

    def cut(fit):
        raise PowerCut

    def run(at):
        model = made()
        keep = nn.Checkpoint(tmp_path / f"run{suffix}", resume=True)
        model.fit(X, y, epochs=6, batch_size=16, callbacks=[Recorder(cut, at=at), keep])
        return model

    with pytest.raises(PowerCut):
        run(14)
    saved = nn.load(tmp_path / f"run{suffix}").model
    shorter = made()
    shorter.fit(X, y, epochs=3, batch_size=16)
    assert_same(saved, shorter)
    np.testing.assert_array_equal(saved.predict(X), shorter.predict(X))
    resumed = run(None)
    assert_same(resumed, whole)
    np.testing.assert_equal(resumed.ema.own, whole.ema.own)
    saved.fit(X, y, epochs=3, batch_size=16)  # so does the model in the file
    assert_same(saved, whole)


def test_an_error_leaves_the_average_in_place():
    X, y = data(60)
    model = made()

    def fail(fit):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        model.fit(X, y, epochs=2, callbacks=[Recorder(fail, at=3)])
    np.testing.assert_equal(model.network.state_dict(), model.ema.averages)
    model.fit(X, y, epochs=1)


@pytest.mark.parametrize("ema", [-0.1, 1.5, "0.9", True])
def test_refusals(ema):
    with pytest.raises(ValueError, match="Model: ema must be"):
        made(ema)


def test_apply_and_restore():
    network = nn.Linear(1, 1, bias=False, dtype=np.float64)
    average = nn.ExponentialMovingAverage(network, decay=0.5)
    for weight in (1.0, 3.0):
        network.W.data[...] = weight
        average.update()
    average.restore()  # nothing to restore
    assert network.W.data.item() == 3.0
    average.apply()
    average.apply()
    assert network.W.data.item() == 2.0
    with average.applied():
        assert network.W.data.item() == 2.0
    assert network.W.data.item() == 2.0
    with pytest.raises(tg.GraphError, match=r"call restore\(\) first"):
        average.update()
    average.restore()
    assert (network.W.data.item(), average.own) == (3.0, None)
