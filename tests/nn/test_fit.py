"""Model.fit: what it computes, what it takes, how it ends."""

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .fits import Recorder, assert_same, data, made


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
        for part in np.array_split(order, 4):
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
    assert history is not model.history
    assert history == model.history
    names = ["loss", "accuracy", "val_loss", "val_accuracy", "lr", "grad_norm", "seconds"]
    assert list(history) == names
    assert history.gradients.keys() == {name for name, _ in model.network.named_parameters()}
    total = np.hypot.reduce([norms[-1] for norms in history.gradients.values()])
    assert history["grad_norm"][-1] == pytest.approx(total)
    assert not any(module.training for module in model.modules())
    assert all(p.grad is None for p in model.parameters())
    scores = model.evaluate(X[:10], y[:10])
    assert scores == {"loss": history["val_loss"][-1], "accuracy": history["val_accuracy"][-1]}
    before, second = dict(history), model.fit(X, y, epochs=3)
    assert list(second) == ["loss", "accuracy", "lr", "grad_norm", "seconds"]
    assert [len(each) for each in (history, second, model.history)] == [2, 3, 5]
    assert history == before
    assert model.history["loss"] == history["loss"] + second["loss"]
    assert np.isnan(model.history["val_loss"][2:]).all()


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


def test_a_penalty_enters_the_gradient_and_not_the_loss():
    X, y = np.zeros((4, 2)), np.zeros((4, 1))
    network = nn.Linear(2, 1, l1=0.5, l2=2.0, dtype=np.float64, rng=0)
    W = network.W.data.copy()
    model = nn.Model(network, loss="mse", optimizer={"name": "sgd", "lr": 0.1}, rng=0)
    assert model.fit(X, y, epochs=1, batch_size=4)["loss"] == [0.0]
    np.testing.assert_allclose(network.W.data, W - 0.1 * (0.5 * np.sign(W) + 4 * W), rtol=1e-12)


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
    """Returns rows in ascending order only, as HDF5 files do, and never all of them."""

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
    with pytest.raises(ValueError, match="the stream of batches is empty; a generator runs only once, so give the"):
        made().fit(generate(), epochs=2)
    weighted = made()
    weighted.fit([(X, y, np.ones(32))], epochs=1)


def test_tensors_lists_and_one_odd_row():
    X, y = data(33)
    plain, listed, tensors = made(), made(), made()
    plain.fit(X, y, epochs=1, batch_size=16)  # 11 rows each
    listed.fit(X.tolist(), y.tolist(), epochs=1, batch_size=16)
    tensors.fit(tg.Tensor(X), tg.Tensor(y), epochs=1, batch_size=16)
    assert_same(plain, listed)
    assert_same(plain, tensors)
    steps = Recorder()
    made().fit(X, y, epochs=2, batch_size=16, callbacks=[steps])
    assert steps.steps == 6
    steps = Recorder()
    made().fit(X[:30], y[:30], epochs=1, batch_size=16, drop_last=True, callbacks=[steps])
    assert steps.steps == 1


def test_drop_last_needs_a_whole_batch():
    X, y = data(20)
    model = made()
    before = model.network.state_dict()
    with pytest.raises(
        ValueError, match=r"drop_last=True leaves out every row: got 15 .* at least batch_size=16; lower"
    ):
        model.fit(X, y, batch_size=16, drop_last=True, validation_split=0.25)
    assert all((value == before[name]).all() for name, value in model.network.state_dict().items())
    model.fit(X, y, epochs=1, batch_size=15, drop_last=True, validation_split=0.25)


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
    assert plateau.fit(X, y, epochs=2)["loss"] == given  # without validation data


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
    with pytest.raises(ValueError, match="compile=True needs an optimiser whose steps are all alike, got LBFGS"):
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


# --- use and refusals -----------------------------------------------------------------------------------


def test_predict_and_evaluate_leave_the_mode_alone():
    X, y = data()
    model = made()
    model.network.layers[0].eval()
    modes = [module.training for module in model.modules()]
    whole = model.predict(X)
    # Not to the bit: BLAS may choose another kernel for another number of rows.
    np.testing.assert_allclose(model.predict(X, batch_size=25), whole, rtol=1e-6, atol=1e-6 * np.abs(whole).max())
    assert model.evaluate(X, y, batch_size=7)["loss"] == pytest.approx(model.evaluate(X, y)["loss"], rel=1e-6)
    assert [module.training for module in model.modules()] == modes
    assert not isinstance(whole, tg.Tensor)


def test_integers_choose_rows_of_an_embedding_and_are_numbers_elsewhere():
    network = nn.Sequential(nn.Embedding(5, 3, rng=0), nn.Flatten(), nn.Linear(6, 2, rng=0))
    model = nn.Model(network, rng=0)
    X = np.array([[0, 1], [2, 3], [4, 0], [1, 1]])
    model.fit(X, np.array([0, 1, 0, 1]), epochs=1)
    assert model.predict(X).shape == (4, 2)
    assert nn.Model(nn.MLP([2, 2], rng=0)).predict(X).dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (
            {"y": np.zeros(3, int)},
            tg.ShapeError,
            r"the same number of rows in each, got the shapes X \(8, 4\), y \(3,\)",
        ),
        ({"sample_weight": np.ones(3)}, tg.ShapeError, r"sample_weight \(3,\)"),
        ({"sample_weight": np.ones((8, 1))}, tg.ShapeError, r"sample_weight has shape \(8, 1\), expected \(8,\)"),
        ({"sample_weight": -np.ones(8)}, ValueError, "sample_weight holds NaN, infinity or a negative number"),
        (
            {"callbacks": [nn.EarlyStopping]},
            TypeError,
            r"callbacks must be nn.Callback objects.*write EarlyStopping\(\)",
        ),
        ({"callbacks": [print]}, TypeError, "callbacks must be nn.Callback objects"),
        ({"validation_data": np.zeros((8, 4))}, TypeError, r"validation_data must be \(X, y\) or"),
        ({"X": np.zeros((0, 4)), "y": np.zeros(0, int)}, tg.ShapeError, r"X has no rows \(shape \(0, 4\)\)"),
        ({"X": 3.0}, tg.ShapeError, "X is a single number"),
        ({"y": None}, TypeError, r"y is missing; write fit\(X, y\)"),
        ({"X": 3, "y": None}, TypeError, "X must be an array, an iterable of batches or a function"),
        ({"X": [np.zeros(3)] * 2, "y": None}, TypeError, "y is missing"),
        (
            {"X": iter([np.zeros(3)]), "y": None},
            TypeError,
            r"a batch must be \(X, y\) or \(X, y, sample_weight\), got ndarray",
        ),
        ({"X": iter([(1, 2, 3, 4)]), "y": None}, TypeError, "got 4 values"),
        ({"X": iter([]), "y": None, "sample_weight": np.ones(3)}, TypeError, "come with its batches"),
        ({"X": iter([]), "y": None, "validation_split": 0.5}, TypeError, "give validation_data"),
        ({"epochs": 0}, ValueError, "epochs must be an integer of at least 1, got 0"),
        ({"epochs": 2.5}, ValueError, "epochs"),
        ({"batch_size": True}, ValueError, "batch_size"),
        ({"validation_split": 1.0}, ValueError, "validation_split must be in"),
        ({"validation_split": "0.1"}, ValueError, "validation_split must be in .*got '0.1'"),
        ({"validation_split": 0.99}, ValueError, "leaves none to train on"),
        ({"validation_split": 0.5, "validation_data": (1, 2)}, ValueError, "not both"),
        ({"validation_data": (1, 2, 3, 4)}, TypeError, r"validation_data must be .*, got 4 values"),
        (
            {"validation_data": (np.zeros((2, 4)), [1])},
            tg.ShapeError,
            r"validation_data: expected the same number of rows",
        ),
        (
            {"X": [(np.zeros((8, 4)), [1] * 4)], "y": None},
            tg.ShapeError,
            "fit, in a batch: expected the same number of rows in each",
        ),
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


def test_weights_need_a_loss_with_a_reduction():
    model = made(loss=lambda prediction, target: prediction.sum())
    X, y = data(8)
    with pytest.raises(TypeError, match="sample weights need a loss that has a reduction"):
        model.fit(X, y, sample_weight=np.ones(8))


def test_a_loss_of_ones_own_must_be_a_tensor():
    X, y = data(8)
    with pytest.raises(TypeError, match="the loss must return a Tensor, got float32"):
        made(loss=lambda prediction, target: prediction.data.mean()).fit(X, y)
