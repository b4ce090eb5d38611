"""What does not fit is found before the first step, and the model is then as it was."""

import copy
import warnings

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .fits import Recorder, data, made

ONE_HOT = np.eye(3)[data(32)[1]]


class Noisy(nn.Module):
    """Draws random numbers and counts its calls, whatever its mode is."""

    def __init__(self):
        super().__init__()
        self.inner = nn.MLP([4, 8, 3], norm="batch", dropout=0.3, rng=0)
        self.rng = np.random.default_rng(5)
        self.register_buffer("calls", np.zeros(1))

    def forward(self, x):
        tg.writes_to(self.calls, by="test")[...] += 1
        self.rng.normal()
        return self.inner(x)


def state(model):
    generators = [model.rng, model.network.rng]
    generators += [module.rng for module in model.modules() if isinstance(module, nn.Dropout)]
    return {
        "state": model.state_dict(),
        "generators": [generator.bit_generator.state for generator in generators],
        "modes": [module.training for module in model.modules()],
        "optimizer": copy.deepcopy(model.optimizer.state_dict()),
        "history": dict(model.history),
    }


MISTAKES = {
    "one-hot rows as targets": ({"y": ONE_HOT.astype(int)}, {}, tg.ShapeError, "labels.argmax"),
    "one-hot rows in a metric": ({"y": ONE_HOT}, {"metrics": ["accuracy"]}, tg.ShapeError, "accuracy: .*labels.argmax"),
    "labels from 1": ({"y": data(32)[1] + 1}, {}, IndexError, "fit: label 3 in row .* the 3 outputs of the network"),
    "one label late": (
        {"y": np.r_[np.zeros(31, int), 9]},
        {"loss": {"name": "cross_entropy", "ignore_index": -1}},
        IndexError,
        "fit: label 9 in row 31 is out of range for the 3 outputs of the network; labels are numbers from 0 to 2",
    ),
    "strings as labels": ({"y": np.array(["a", "b"] * 16)}, {}, tg.DTypeError, "labels must be integers"),
    "a label of the validation data": (
        {"validation_data": (data(8)[0], np.r_[0, -1, 9, np.zeros(5, int)])},
        {},
        IndexError,
        "validation_data: label -1 in row 1",
    ),
    "the width of the inputs": ({"X": np.zeros((32, 5))}, {}, tg.ShapeError, "5"),
    "the width of the targets": ({"y": np.zeros((32, 2))}, {"loss": "mse"}, tg.ShapeError, r"\(8, 3\) and target"),
    "a metric for numbers": ({}, {"metrics": ["r2"]}, tg.ShapeError, "r2: prediction has shape"),
    "too many classes asked for": ({}, {"metrics": [{"name": "top_k_accuracy", "k": 3}]}, ValueError, "k must be less"),
    "a function of other arguments": ({}, {"metrics": {"mine": lambda a: 0.0}}, TypeError, "positional argument"),
    "a function of an array": ({}, {"metrics": {"mine": lambda p, t: p}}, TypeError, "'mine' must return a number"),
    "a function without weights": (
        {"sample_weight": np.arange(32.0)},
        {"metrics": {"mine": lambda p, t: 0.0}},
        TypeError,
        r"'mine' takes no sample_weight, but .* write def mine\(prediction, target, sample_weight=None\)",
    ),
    "a monitor without validation": (
        {"callbacks": [nn.EarlyStopping()]},
        {"metrics": ["accuracy"]},
        KeyError,
        "EarlyStopping: 'val_loss' is not among loss, accuracy, lr, grad_norm, seconds; give fit validation_data",
    ),
    "a monitor that is misspelt": (
        {"callbacks": [nn.EarlyStopping("val_acuracy", mode="max")], "validation_split": 0.25},
        {"metrics": ["accuracy"]},
        KeyError,
        "'val_acuracy' is not among loss, accuracy, val_loss, val_accuracy, lr",
    ),
    "one row for a variance": ({"X": np.zeros((1, 4)), "y": np.zeros((1, 3))}, {"loss": "mse", "metrics": ["r2"]},
                               tg.ShapeError, "r2: expected at least 2 samples"),
    "a loss that is not a scalar": (
        {}, {"loss": lambda p, t: p * 1.0}, tg.ShapeError, r"a single number, got shape \(8, 3\)"
    ),
    "rows of several labels": (
        {"y": (data(32)[0][:, :3] > 0).astype(int)},
        {},
        tg.ShapeError,
        "use binary_cross_entropy_with_logits for several labels per row",
    ),
    "a batch": ({"X": [(data(8)[0], ONE_HOT[:8].astype(int))], "y": None}, {}, tg.ShapeError, "labels.argmax"),
    "a batch for validation": (
        {"validation_data": [(data(8)[0], ONE_HOT[:8].astype(int))]}, {}, tg.ShapeError, "labels.argmax"
    ),
    "classes without a number": (
        {"y": ONE_HOT, "class_weight": "balanced"}, {}, tg.DTypeError, "class_weight needs one class number"
    ),
}  # fmt: skip


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_before_the_first_step(mistake, compile):
    changes, options, error, text = MISTAKES[mistake]
    model = nn.Model(Noisy(), rng=0, **options)
    model.network.inner.layers[0].eval()  # modes need not be all the same
    before = state(model)
    steps = Recorder()
    given = {"X": data(32)[0], "y": data(32)[1], "epochs": 2, "batch_size": 16, "compile": compile, **changes}
    given["callbacks"] = [*given.get("callbacks", ()), steps]
    with pytest.raises(error, match=text):
        model.fit(given.pop("X"), given.pop("y"), **given)
    np.testing.assert_equal(state(model), before)
    assert steps.steps == 0


def test_a_split_that_fails_leaves_the_generator_alone():
    X, y = data(32)
    model = made()
    before = model.rng.bit_generator.state
    with pytest.raises(IndexError, match="out of range"):
        model.fit(X, y + 1, validation_split=0.25)
    assert model.rng.bit_generator.state == before
    twin = made()
    assert model.split_seed() == twin.split_seed()


def test_the_error_says_where_it_was_found():
    X, y = data(32)
    with pytest.raises(tg.ShapeError) as caught:
        made().fit(X, y, validation_data=(X, ONE_HOT.astype(int)))
    assert caught.value.__notes__[-1] == "validation_data: found in 8 rows, before the first step"


def test_a_run_that_fits_is_the_same_with_and_without_random_numbers_in_evaluation():
    """The dry run draws from the network's generators, and puts them back."""
    X, y = data(32)
    model, network = nn.Model(Noisy(), optimizer={"name": "sgd", "lr": 0.1}, rng=0), Noisy()
    model.fit(X, y, epochs=1, batch_size=32, shuffle=False)
    optimizer = nn.SGD(network.parameters(), lr=0.1)
    nn.functional.cross_entropy(network(X), y).backward()
    optimizer.step()
    np.testing.assert_equal(model.network.state_dict(), network.state_dict())
    assert model.network.rng.bit_generator.state == network.rng.bit_generator.state


def test_a_kind_of_rows_goes_through_the_network_once():
    X, y = data(32)
    model = nn.Model(Noisy(), rng=0)
    seen = []
    forward = model.network.forward
    model.network.forward = lambda x: (seen.append((model.network.training, len(x))), forward(x))[1]
    for _ in range(2):
        model.fit(X, y, epochs=1, batch_size=16)
    assert seen == [(False, 8), *[(True, 16)] * 4]
    seen.clear()
    with pytest.raises(IndexError, match="label 3 in row"):
        model.fit(X, y + 1, epochs=1)
    with pytest.raises(tg.ShapeError):
        model.fit(X, ONE_HOT.astype(int), epochs=1)
    assert seen == [(False, 8)] * 2
    # A network may get another width without anybody being told.
    model.network.forward = lambda x: tg.concatenate([forward(x), forward(x)], axis=1)
    model.fit(X, y + 1, epochs=1)
    assert len(model.history) == 3


def test_a_network_with_several_outputs_and_a_loss_of_ones_own():
    class Pair(nn.Linear):
        def forward(self, x):
            return super().forward(x), tg.sum(self.W * self.W)

    X, y = data(16)
    loss = lambda output, target: nn.functional.cross_entropy(output[0], target) + 0.1 * output[1]
    model = nn.Model(Pair(4, 3, rng=0), loss=loss, rng=0)
    assert len(model.fit(X, y, epochs=2, validation_data=(X, y))["val_loss"]) == 2
    with pytest.raises(TypeError, match="metrics need a network that returns a Tensor, got tuple"):
        nn.Model(Pair(4, 3, rng=0), loss=loss, metrics=["accuracy"], rng=0).fit(X, y)


def test_numbers_that_overflow_in_evaluation_are_no_mistake():
    """Before the first step, a batch norm's running variance is 1, and the outputs may be infinite."""
    X, y = data(32)
    network = nn.Sequential(nn.BatchNorm(4), nn.Linear(4, 4, rng=0), tg_exp(), nn.Linear(4, 3, rng=1))
    model = nn.Model(network, metrics=["accuracy", "roc_auc", "log_loss"], rng=0)
    assert len(model.fit(X * 1e4, y, epochs=1)) == 1


def tg_exp():
    class Exp(nn.Module):
        def forward(self, x):
            return tg.exp(x)

    return Exp()


def test_a_callback_may_add_the_column_that_another_monitors():
    class Adds(nn.Callback):
        def on_epoch_end(self, fit):
            fit.row["mine"] = fit.epoch

    X, y = data(16)
    history = made().fit(X, y, epochs=9, callbacks=[Adds(), nn.EarlyStopping("mine", patience=2, mode="min")])
    assert len(history) == 3
    with pytest.raises(KeyError, match="'mine' is not among"):
        made().fit(X, y, epochs=9, callbacks=[nn.EarlyStopping("mine", patience=2, mode="min"), Adds()])


def test_a_warning_about_made_up_predictions_is_not_shown():
    """The dry run hands a metric few rows, and predictions over and over."""
    calls = []

    def careful(output, target):
        calls.append(len(target))
        if len(calls) == 1:
            warnings.warn("of these rows it means nothing", RuntimeWarning, stacklevel=2)
        return 0.5

    X, y = data(16)
    model = nn.Model(nn.MLP([4, 3], rng=0), metrics={"careful": careful}, rng=0)
    model.fit(X, y, epochs=1)  # warnings are errors here
    assert len(calls) >= 2


def test_a_metric_meets_some_rows_of_each_class_beforehand(monkeypatch):
    """Also of a class that comes late, where there are more rows than the dry run keeps predictions for."""
    monkeypatch.setattr("nn._training.dry_run._NUMBERS", 0)
    seen = []

    def noted(output, target):
        seen.append(np.asarray(target))
        return 0.0

    X, _ = data(64)
    for y, expected in (
        (np.arange(64) // 30, [0, 1, 2, 3, 4, 5, 6, 7, 30, 60]),
        (np.arange(64) % 3, [0, 1, 2, 3, 4, 5, 6, 7]),
    ):
        seen.clear()
        nn.Model(nn.MLP([4, 3], rng=0), metrics={"noted": noted}, rng=0).fit(X, y, epochs=1, batch_size=64)
        assert seen[0].tolist() == y[expected].tolist()


def test_labels_of_a_loss_of_ones_own_may_be_any_numbers():
    X, _ = data(16)
    y = np.arange(16) - 3
    nn.Model(nn.MLP([4, 3], rng=0), loss=lambda output, target: ((output[:, 0] - target) ** 2).mean(), rng=0).fit(X, y)
