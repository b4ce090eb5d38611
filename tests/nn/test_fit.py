"""Model.fit: what it computes, what it takes, how it ends."""

import numpy as np
import pytest

import nn
import tensorgrad as tg


def data(rows=50, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 4)).astype(np.float32)
    return X, (X @ rng.normal(size=(4, classes))).argmax(axis=1)


def made(rng=0, **options):
    network = nn.MLP([4, 8, 3], norm="batch", dropout=0.2, rng=rng)
    return nn.Model(network, **{"optimizer": {"name": "adamw", "lr": 0.01}, "rng": rng, **options})


def assert_same(a, b):
    for (name, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        np.testing.assert_array_equal(x, y, err_msg=name)


class Recorder(nn.Callback):
    """Ends a training after some steps, if asked, and remembers what was called."""

    def __init__(self, act=None, at=None):
        self.calls, self.act, self.at, self.steps = [], act, at, 0

    def on_fit_begin(self, fit):
        self.calls.append("begin")

    def on_step_end(self, fit):
        self.steps += 1
        if self.steps == self.at:
            self.act(fit)

    def on_epoch_end(self, fit):
        self.calls.append(fit.epoch)

    def on_fit_end(self, fit):
        self.calls.append("end")


@pytest.mark.parametrize("compile", [False, True])
def test_it_is_the_loop_one_would_write(compile):
    X, y = data()
    model = made(clip_norm=1.0)
    history = model.fit(X, y, epochs=3, batch_size=16, compile=compile)

    network = nn.MLP([4, 8, 3], norm="batch", dropout=0.2, rng=0)
    optimizer = nn.AdamW(nn.no_decay(network), lr=0.01)
    rng = np.random.default_rng(0)
    means = []
    for _ in range(3):
        losses = []
        order = rng.permutation(50)
        for start, stop in ((0, 16), (16, 32), (32, 48), (48, 50)):
            part = order[start:stop]
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(X[part]), y[part])
            loss.backward()
            nn.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item() * len(part))
        means.append(sum(losses) / 50)
    assert_same(model.network, network)
    np.testing.assert_allclose(history["loss"], means, rtol=1e-12)


@pytest.mark.parametrize("schedule", [None, {"name": "cosine", "T_max": 4}])
@pytest.mark.parametrize("weighted", [False, True])
def test_compiled_it_has_the_same_bits(schedule, weighted):
    X, y = data()
    weight = np.linspace(0.5, 1.5, 50) if weighted else None
    models = [made(schedule=schedule, schedule_every="step", clip_value=0.1) for _ in range(2)]
    for model, compile in zip(models, (False, True), strict=True):
        model.network.layers[0].l2 = 0.01
        model.fit(X, y, epochs=4, batch_size=16, sample_weight=weight, validation_split=0.2, compile=compile)
    assert_same(*models)
    for name in ("loss", "val_loss", "grad_norm", "lr"):
        assert models[0].history[name] == models[1].history[name]


def test_one_seed_gives_the_same_bits_and_leaves_numpys_state_alone():
    X, y = data()
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second, other = made(), made(), made(1)
    for model in (first, second, other):
        model.fit(X, y, epochs=2, validation_split=0.2)
    assert_same(first, second)
    assert (first.network.layers[0].W.data != other.network.layers[0].W.data).any()
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_history_and_mode_afterwards():
    X, y = data()
    model = made(metrics=["accuracy"])
    history = model.fit(X, y, epochs=2, validation_data=(X[:10], y[:10]))
    assert history is model.history
    names = ["loss", "accuracy", "val_loss", "val_accuracy", "lr", "grad_norm", "seconds"]
    assert list(history.columns) == names
    assert history.gradients.keys() == {name for name, _ in model.network.named_parameters()}
    total = np.hypot.reduce([norms[-1] for norms in history.gradients.values()])
    assert history["grad_norm"][-1] == pytest.approx(total)
    assert not any(module.training for module in model.modules())
    assert all(p.grad is None for p in model.parameters())
    scores = model.evaluate(X[:10], y[:10])
    assert scores == {"loss": history["val_loss"][-1], "accuracy": history["val_accuracy"][-1]}
    assert len(model.fit(X, y, epochs=3)) == 5
    assert np.isnan(history["val_loss"][2:]).all()


def test_a_penalty_enters_the_gradient_and_not_the_loss():
    X, y = np.zeros((4, 2)), np.zeros((4, 1))
    network = nn.Linear(2, 1, l1=0.5, l2=2.0, dtype=np.float64, rng=0)
    W = network.W.data.copy()
    model = nn.Model(network, loss="mse", optimizer={"name": "sgd", "lr": 0.1}, rng=0)
    assert model.fit(X, y, epochs=1, batch_size=4)["loss"] == [0.0]
    np.testing.assert_allclose(network.W.data, W - 0.1 * (0.5 * np.sign(W) + 4 * W), rtol=1e-12)


def test_gradients_are_clipped_by_value_and_then_by_norm():
    X, y = np.full((4, 2), 100.0), np.zeros((4, 1))
    for options, step in [
        ({"clip_value": 0.5}, [0.5, 0.5]),
        ({"clip_norm": 1.0}, [0.5**0.5, 0.5**0.5]),
        ({"clip_value": 0.5, "clip_norm": 0.1}, [0.1 * 0.5**0.5, 0.1 * 0.5**0.5]),
    ]:
        network = nn.Linear(2, 1, bias=False, init={"name": "constant", "value": 1.0}, dtype=np.float64)
        model = nn.Model(network, loss="mse", optimizer={"name": "sgd", "lr": 1.0}, rng=0, **options)
        history = model.fit(X, y, epochs=1)
        np.testing.assert_allclose(network.W.data[:, 0], 1 - np.array(step), rtol=1e-5)
        np.testing.assert_allclose(history["grad_norm"], [np.hypot(*step)], rtol=1e-5)


def test_schedules():
    X, y = data(32)
    by_epoch = made(schedule={"name": "step", "step_size": 1, "gamma": 0.5})
    assert by_epoch.fit(X, y, epochs=3)["lr"] == [0.01, 0.005, 0.0025]
    by_step = made(schedule={"name": "step", "step_size": 1, "gamma": 0.5}, schedule_every="step")
    assert by_step.fit(X, y, epochs=2, batch_size=8)["lr"] == [0.01, 0.01 * 0.5**4]
    given = []
    plateau = made(schedule="plateau")
    plateau.schedule.step = given.append
    history = plateau.fit(X, y, epochs=2, validation_split=0.25)
    assert given == history["val_loss"]
    given.clear()
    assert plateau.fit(X, y, epochs=2)["loss"][2:] == given  # without validation data


def test_lbfgs_fits_all_at_once():
    pytest.importorskip("scipy")
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    network = nn.Linear(3, 2, dtype=np.float64, rng=0)
    optimizer = {"name": "lbfgs", "max_iter": 100, "tolerance_change": 0.0}
    model = nn.Model(network, loss="mse", optimizer=optimizer, rng=0)
    history = model.fit(X, Y, epochs=1, batch_size=40)
    solution = np.linalg.lstsq(np.c_[X, np.ones(40)], Y, rcond=None)[0]
    np.testing.assert_allclose(np.r_[network.W.data, network.b.data[None]], solution, rtol=1e-6, atol=1e-8)
    assert np.isnan(history["lr"][0])
    with pytest.raises(ValueError, match="compile=True needs an optimiser that always does the same, got LBFGS"):
        model.fit(X, Y, compile=True)


@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul")
@pytest.mark.parametrize("compile", [False, True])
def test_a_gradient_that_is_not_finite_leaves_the_step_before(compile):
    X, y = data(32)
    X[20] = np.inf
    model = nn.Model(nn.MLP([4, 8, 3], rng=0), rng=0)
    twin = nn.Model(nn.MLP([4, 8, 3], rng=0), rng=0)
    twin.fit(X[:16], y[:16], epochs=1, batch_size=8, shuffle=False)
    starts = pytest.warns(RuntimeWarning, match="starts from a loss that is nan")
    with starts, pytest.raises(tg.NonFiniteError, match=r"AdamW.step: the gradient of 'layers"):
        model.fit(X, y, epochs=1, batch_size=8, shuffle=False, compile=compile)
    assert_same(model.network, twin.network)
    np.testing.assert_equal(model.optimizer.state_dict(), twin.optimizer.state_dict())
    assert not model.training
    assert all(p.grad is None for p in model.parameters())
    for each in (model, twin):
        each.fit(X[:16], y[:16], epochs=1, batch_size=8, shuffle=False)
    assert_same(model.network, twin.network)


# --- how it ends ----------------------------------------------------------------------------------------


def test_callbacks_are_called_in_order_and_may_end_it():
    X, y = data(32)
    watch = Recorder()
    made().fit(X, y, epochs=2, callbacks=[watch])
    assert watch.calls == ["begin", 1, 2, "end"]

    def stop(fit):
        fit.stopped = "enough"

    watch = Recorder(stop, at=5)
    history = made().fit(X, y, epochs=9, batch_size=8, callbacks=[watch])
    assert watch.calls == ["begin", 1, 2, "end"]
    assert watch.steps == 5
    assert history.stopped == "enough"


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


# --- use and refusals -----------------------------------------------------------------------------------


def test_predict_and_evaluate_leave_the_mode_alone():
    X, y = data()
    model = made()
    model.network.layers[0].eval()
    modes = [module.training for module in model.modules()]
    whole = model.predict(X)
    np.testing.assert_array_equal(model.predict(X, batch_size=25), whole)
    assert model.evaluate(X, y, batch_size=7)["loss"] == pytest.approx(model.evaluate(X, y)["loss"], rel=1e-6)
    assert [module.training for module in model.modules()] == modes
    assert not isinstance(whole, tg.Tensor)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"y": np.zeros(3, int)}, tg.ShapeError, r"as many rows in each, got the shapes X \(8, 4\), y \(3,\)"),
        ({"sample_weight": np.ones(3)}, tg.ShapeError, r"sample_weight \(3,\)"),
        ({"sample_weight": np.ones((8, 1))}, tg.ShapeError, r"sample_weight has shape \(8, 1\), expected \(8,\)"),
        ({"sample_weight": -np.ones(8)}, ValueError, "sample_weight holds NaN, infinity or a negative number"),
        ({"callbacks": [nn.EarlyStopping]}, TypeError, r"callbacks lists objects.*write EarlyStopping\(\)"),
        ({"callbacks": [print]}, TypeError, "callbacks lists objects of nn.Callback"),
        ({"validation_data": np.zeros((8, 4))}, TypeError, r"validation_data is \(X, y\) or"),
        ({"X": np.zeros((0, 4)), "y": np.zeros(0, int)}, tg.ShapeError, r"X has no rows \(shape \(0, 4\)\)"),
        ({"X": 3.0}, tg.ShapeError, "X is one number"),
        ({"y": None}, TypeError, r"y is missing; write fit\(X, y\)"),
        ({"X": 3, "y": None}, TypeError, "X is an array, an iterable of batches or a function"),
        ({"X": [np.zeros(3)] * 2, "y": None}, TypeError, "y is missing"),
        (
            {"X": iter([np.zeros(3)]), "y": None},
            TypeError,
            r"a batch is \(X, y\) or \(X, y, sample_weight\), got ndarray",
        ),
        ({"X": iter([(1, 2, 3, 4)]), "y": None}, TypeError, "got 4 values"),
        ({"X": iter([]), "y": None, "sample_weight": np.ones(3)}, TypeError, "come with its batches"),
        ({"X": iter([]), "y": None, "validation_split": 0.5}, TypeError, "give validation_data"),
        ({"epochs": 0}, ValueError, "epochs must be an integer of at least 1, got 0"),
        ({"epochs": 2.5}, ValueError, "epochs"),
        ({"batch_size": True}, ValueError, "batch_size"),
        ({"validation_split": 1.0}, ValueError, "validation_split must be in"),
        ({"validation_split": 0.99}, ValueError, "leaves none to train on"),
        ({"validation_split": 0.5, "validation_data": (1, 2)}, ValueError, "not both"),
        ({"validation_data": (1, 2, 3, 4)}, TypeError, r"validation_data is .*, got 4 values"),
        ({"validation_data": (np.zeros((2, 4)), [1])}, tg.ShapeError, r"validation_data: expected as many rows"),
        ({"X": [(np.zeros((8, 4)), [1] * 4)], "y": None}, tg.ShapeError, "fit, a batch: expected as many rows in each"),
        ({"X": [(np.zeros((8, 4)), None)], "y": None}, TypeError, r"y of a batch is None; write \(X, X\)"),
    ],
)
def test_refusals(arguments, error, text):
    X, y = data(8)
    given = {"X": X, "y": y, "epochs": 1, **arguments}
    model = made()
    before = model.state_dict()
    with pytest.raises(error, match=text):
        model.fit(given.pop("X"), given.pop("y"), **given)
    np.testing.assert_equal(model.state_dict(), before)


def test_an_optimiser_of_other_parameters_is_refused():
    X, y = data(8)
    model = made(optimizer=nn.Adam(nn.Linear(2, 2).parameters()))
    with pytest.raises(ValueError, match="the optimiser has none of the network's parameters"):
        model.fit(X, y)


def test_a_loss_of_ones_own_must_be_a_tensor():
    X, y = data(8)
    with pytest.raises(TypeError, match="the loss must give a Tensor, got float32"):
        made(loss=lambda prediction, target: prediction.data.mean()).fit(X, y)
