"""Models from descriptions: keyword lists, layers, dicts; and errors that name layer and field."""

import json

import numpy as np
import pytest

import nn
from nn._layers.activations import ACTIVATIONS


def kinds(model):
    return [type(module).__name__ for module in model.layers]


def test_keyword_lists_have_an_entry_for_each_hidden_layer():
    model = nn.MLP(
        [4, 8, 6, 3],
        activation=["tanh", None],
        norm=[None, "layer"],
        dropout=[0.0, 0.5],
        l1=[0.1, 0.0],
        l2=0.2,
        init=["orthogonal", {"name": "constant", "value": 0.5}],
        rng=0,
    )
    assert kinds(model) == ["Linear", "Tanh", "Linear", "LayerNorm", "Dropout", "Linear"]
    first, second, last = (m for m in model.layers if isinstance(m, nn.Linear))
    np.testing.assert_allclose(first.W.data @ first.W.data.T, np.eye(4), atol=1e-6)
    assert (second.W.data == 0.5).all()
    assert (last.W.data == 0.5).all()
    assert [(m.l1, m.l2) for m in (first, second, last)] == [(0.1, 0.2), (0.0, 0.2), (0.0, 0.2)]


def test_layers_dicts_and_numbers_mix_and_come_from_json():
    description = {
        "sizes": [4, {"units": 8, "activation": {"name": "leaky_relu", "negative_slope": 0.3}, "norm": "rms"}, 6, 3],
        "activation": "selu",
        "dtype": "float64",
        "rng": 3,
    }
    model = nn.MLP(**json.loads(json.dumps(description)))
    assert kinds(model) == ["Linear", "RMSNorm", "LeakyReLU", "Linear", "SELU", "Linear"]
    assert model.layers[2].negative_slope == 0.3
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float64)}
    layer = nn.Layer(units=8, activation={"name": "leaky_relu", "negative_slope": 0.3}, norm="rms")
    twin = nn.MLP([4, layer, 6, 3], activation="selu", dtype=np.float64, rng=3)
    x = np.ones((2, 4))
    np.testing.assert_array_equal(model(x).data, twin(x).data)


def test_an_output_layer_may_be_described_too():
    model = nn.MLP([4, 8, nn.Layer(units=3, activation="sigmoid", l2=0.1)], rng=0)
    assert kinds(model) == ["Linear", "ReLU", "Linear", "Sigmoid"]
    assert model.layers[2].l2 == 0.1


def test_keywords_fill_in_what_a_dict_leaves_out_and_a_layer_is_taken_as_it_is():
    model = nn.MLP(
        [4, {"units": 8}, {"units": 6, "activation": "selu"}, nn.Layer(5), 3], norm="batch", activation="tanh", rng=0
    )
    assert kinds(model) == [
        *("Linear", "BatchNorm", "Tanh", "Linear", "BatchNorm", "SELU"),
        *("Linear", "ReLU", "Linear"),
    ]


@pytest.mark.parametrize("last", [3, {"units": 3}, nn.Layer(3)])
def test_the_last_layer_has_no_activation_unless_it_says_so(last):
    assert kinds(nn.MLP([4, nn.Layer(8), last], rng=0)) == ["Linear", "ReLU", "Linear"]


def test_numbers_of_numpy_are_numbers(tmp_path):
    model = nn.MLP(np.array([4, 8, 3]), dropout=np.float32(0.5), l2=np.float64(0.1), norm="layer", rng=0)
    nn.save(tmp_path / "model.npz", model)
    assert repr(nn.load(tmp_path / "model.npz").model) == repr(model)


def test_only_a_batch_norm_makes_a_bias_needless():
    norms = ["batch", "layer", "rms", {"name": "group", "num_groups": 2}, None]
    model = nn.MLP([4, *[8] * 5, 3], norm=norms, rng=0)
    assert [m.b is not None for m in model.layers if isinstance(m, nn.Linear)] == [False, True, True, True, True, True]


@pytest.mark.parametrize("activation", [*ACTIVATIONS, None, {"name": "prelu", "num_parameters": 8}, nn.PReLU])
@pytest.mark.parametrize("norm", [None, "batch", "layer", "rms", {"name": "group", "num_groups": 4}])
def test_every_activation_and_norm_trains(activation, norm):
    if activation == "gelu":
        pytest.importorskip("scipy")
    network = nn.MLP([3, 8, 2], activation=activation, norm=norm, dtype=np.float64, rng=0)
    model = nn.Model(network, loss="mse", optimizer={"name": "sgd", "lr": 0.01}, rng=0)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(16, 3))
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float64)}
    losses = model.fit(X, X[:, :2], epochs=5, batch_size=16)["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("activation", "variance"),
    [
        ("relu", 2 / 400),
        ("silu", 2 / 400),
        ("tanh", 2 / 1000),
        ("hardtanh", 2 / 1000),
        ("selu", 1 / 400),
        (None, 1 / 400),
    ],
)
def test_weights_are_drawn_for_the_activation(activation, variance):
    model = nn.MLP([1, nn.Layer(400), nn.Layer(units=600, activation=activation), 1], rng=0)
    assert model.layers[2].W.data.var() == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "first", "last"),
    [
        ({}, 0.25 * 2 / 1000, 2 / 1100),
        ({"activation": "leaky_relu"}, 0.25 * 2 / 1000, 2 / 1100),
        ({"activation": "tanh"}, 2 / 1000, 2 / 1100),
        ({"init": "he_normal"}, 2 / 400, 2 / 600),
        ({"init": ["he_normal"]}, 2 / 400, 2 / 600),
    ],
)
def test_first_and_last_layer_are_drawn_narrower_by_default(arguments, first, last):
    model = nn.MLP([400, 600, 500], **arguments, rng=0)
    assert model.layers[0].W.data.var() == pytest.approx(first, rel=0.02)
    assert model.layers[-1].W.data.var() == pytest.approx(last, rel=0.02)


def test_a_layer_keeps_its_own_initialiser_in_the_first_and_last_place():
    own = {"name": "constant", "value": 0.5}
    model = nn.MLP([4, nn.Layer(8, init=own), nn.Layer(3, init=own)], rng=0)
    assert {float(v) for i in (0, -1) for v in model.layers[i].W.data.ravel()} == {0.5}


@pytest.mark.parametrize("depth", [1, 3, 10])
def test_the_first_loss_is_near_that_of_a_guess(depth):
    X = np.random.default_rng(0).normal(size=(400, 20)).astype(np.float32)
    y = np.arange(400) % 8
    losses = [nn.Model(nn.MLP([20, *[64] * depth, 8], rng=seed)).evaluate(X, y)["loss"] for seed in range(5)]
    assert np.log(8) < np.mean(losses) < np.log(8) + 0.25


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"sizes": [4, 0, 1]}, r"sizes\[1\]: units must be an integer of at least 1, got 0"),
        ({"sizes": [4, 2.5, 1]}, r"sizes\[1\]: units must be an integer of at least 1, got 2.5"),
        ({"sizes": [4, True, 1]}, r"sizes\[1\]: units"),
        ({"sizes": [0, 2]}, r"sizes\[0\], the number of inputs, must be an integer"),
        ({"sizes": 4}, "sizes needs at least an input and an output, got 4"),
        ({"sizes": [4, 2, 1], "activation": nn.ReLU()}, r"activation is created for each layer.*write ReLU"),
        ({"sizes": [4, 2, 1], "norm": {"name": "batch", "num_features": 3}}, "'num_features' is already set"),
        ({"sizes": "4-2"}, "sizes needs at least an input and an output"),
        ({"sizes": None}, "sizes needs at least an input and an output, got None"),
        ({"sizes": [4]}, r"sizes needs at least an input and an output, got \[4\]"),
        ({"sizes": {"units": 4}}, "sizes needs at least an input and an output"),
        ({"sizes": [4, 5, 2, 1], "dropout": [0.0, "a"]}, r"sizes\[2\]: dropout, the probability.*got 'a'"),
        (
            {"sizes": [4, {"width": 2}, 1]},
            r"sizes\[1\]: 'width' is not a field of a layer; write one of units, activation",
        ),
        ({"sizes": [4, {"activation": "relu"}, 1]}, r"sizes\[1\]: units is missing"),
        ({"sizes": [4, 2, {"units": 1, "dropout": 1.0}]}, r"sizes\[2\]: dropout, the probability.*got 1.0"),
        ({"sizes": [4, 2, 1], "l1": -1.0}, r"sizes\[1\]: l1 must be a finite number of at least 0, got -1.0"),
        ({"sizes": [4, 2, 1], "l2": float("nan")}, r"sizes\[1\]: l2"),
        ({"sizes": [4, 2, 1], "norm": "bach"}, r"sizes\[1\]: norm 'bach' is not one of batch, layer, rms, group"),
        ({"sizes": [4, 2, 1], "norm": "group"}, r"sizes\[1\]: norm 'group'.*num_groups"),
        ({"sizes": [4, 2, 1], "norm": {"name": "group", "num_groups": 4}}, r"sizes\[1\].*2.*4|sizes\[1\].*4.*2"),
        ({"sizes": [4, 2, 1], "activation": {"name": "elu", "slope": 1}}, r"sizes\[1\]: activation .*'slope'"),
        (
            {"sizes": [4, 2, 1], "activation": {"alpha": 1}},
            r"sizes\[1\]: activation must be a name, a dict with 'name'",
        ),
        ({"sizes": [4, 2, 1], "activation": 3}, r"sizes\[1\]: activation must be a name"),
        (
            {"sizes": [4, 2, 1], "activation": ["relu", "relu"]},
            "activation has 2 entries, expected one for each of the 1 hidden",
        ),
        ({"sizes": [4, 2, 1], "init": "xavier"}, r"sizes\[1\]: init: got the name 'xavier'"),
    ],
)
def test_a_mistake_is_named_by_layer_and_field(arguments, text):
    with pytest.raises(ValueError, match=text):
        nn.MLP(**arguments)


def test_a_layer_says_what_is_wrong_when_it_is_made():
    with pytest.raises(ValueError, match="activation 'rleu' is not one of auto, relu"):
        nn.Layer(units=3, activation="rleu")


def test_a_model_from_json():
    description = {
        "network": {"sizes": [4, {"units": 8, "norm": "batch", "dropout": 0.1}, 3], "rng": 0},
        "loss": {"name": "cross_entropy", "label_smoothing": 0.1},
        "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
        "schedule": {"name": "one_cycle", "max_lr": 0.02, "total_steps": 12},
        "schedule_every": "step",
        "metrics": ["accuracy"],
        "clip_norm": 1.0,
        "rng": 1,
    }
    model = nn.Model(**json.loads(json.dumps(description)))
    rng = np.random.default_rng(0)
    history = model.fit(rng.normal(size=(32, 4)), rng.integers(0, 3, 32), epochs=3, batch_size=8)
    assert list(history) == ["loss", "accuracy", "lr", "grad_norm", "seconds"]
    assert [group["weight_decay"] for group in model.optimizer.param_groups] == [0.1, 0.0]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"network": nn.ReLU}, TypeError, "network must be a Module or a dict"),
        ({"loss": "msee"}, ValueError, "loss 'msee' is not one of mse"),
        ({"loss": {"name": "huber", "beta": 1.0}}, ValueError, "loss .*'beta'"),
        ({"optimizer": "adm"}, ValueError, "optimizer 'adm' is not one of sgd"),
        ({"optimizer": {"name": "sgd", "lr": -1}}, ValueError, "lr must be"),
        ({"schedule": "cosin"}, ValueError, "schedule 'cosin' is not one of step"),
        ({"schedule": "cosine"}, ValueError, "schedule 'cosine'.*T_max"),
        ({"schedule_every": "batch"}, ValueError, "schedule_every must be 'epoch' or 'step', got 'batch'"),
        ({"metrics": ["acuracy"]}, ValueError, "metrics must be a list of names among accuracy"),
        ({"metrics": "accuracy"}, ValueError, "metrics must be a list of names among"),
        ({"loss": {"name": "mse", "reduction": "sum"}}, ValueError, "loss must be a mean.*got reduction='sum'"),
        ({"loss": "bce", "metrics": ["accuracy"]}, ValueError, "accuracy takes logits"),
        ({"loss": "gaussian_nll"}, ValueError, "gaussian_nll takes a mean and a variance"),
        ({"network": {"sizes": [2, 0]}}, ValueError, r"MLP: sizes\[1\]: units"),
        ({"network": {"sizes": [2, 2], "actvation": "relu"}}, TypeError, "'actvation'"),
        ({"schedule": nn.StepLR(nn.SGD(nn.Linear(3, 2).parameters()), 1)}, ValueError, "belongs to another optimiser"),
        ({"metrics": None}, ValueError, "metrics must be a list of names among accuracy, .*got None"),
        ({"metrics": [["accuracy"]]}, ValueError, "metrics must be a list of names among"),
        ({"clip_norm": "1"}, ValueError, "clip_norm must be positive or None, got '1'"),
        ({"clip_norm": 1.0, "optimizer": "lbfgs"}, ValueError, "clip_norm changes the gradient that LBFGS searches"),
        ({"schedule": {"name": "exponential", "gamma": 0.9}, "optimizer": "lbfgs"}, AttributeError, "no learning rate"),
        ({"clip_norm": 0.0}, ValueError, "clip_norm must be positive"),
        ({"clip_value": -1.0}, ValueError, "clip_value must be positive"),
    ],
)
def test_a_models_mistakes_are_named(arguments, error, text):
    with pytest.raises(error, match=text):
        nn.Model(**{"network": nn.MLP([2, 2], rng=0), **arguments})


def test_without_decay_there_is_one_group():
    assert len(nn.Model(nn.MLP([2, 2], rng=0), optimizer="adam").optimizer.param_groups) == 1
    assert len(nn.Model(nn.MLP([2, 2], rng=0), optimizer="adamw").optimizer.param_groups) == 2


def test_a_schedule_may_be_an_object():
    network = nn.Linear(2, 1, rng=0)
    optimizer = nn.SGD(network.parameters(), lr=0.5)
    schedule = nn.StepLR(optimizer, 1, 0.5)
    model = nn.Model(network, loss="mse", optimizer=optimizer, schedule=schedule, rng=0)
    assert model.schedule is schedule
    assert model.fit(np.eye(2), np.ones((2, 1)), epochs=2)["lr"] == [0.5, 0.25]


def test_objects_and_functions_are_taken_as_they_are():
    network = nn.Linear(2, 1, rng=0)
    optimizer = nn.SGD(network.parameters(), lr=0.5)
    model = nn.Model(
        network,
        loss=lambda prediction, target: ((prediction - target) ** 2).sum(),
        optimizer=optimizer,
        schedule=lambda optimizer: nn.StepLR(optimizer, 1, 0.5),
        rng=0,
    )
    assert model.optimizer is optimizer
    model.fit(np.eye(2, dtype=np.float32), np.ones((2, 1)), epochs=2)
    assert optimizer.lr == 0.125
    x = np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(model(x).data, network(x).data)
