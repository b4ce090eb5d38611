import inspect

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn import metrics
from nn.metrics import METRICS

RNG = np.random.default_rng(0)
N = 12
WEIGHTS = {"none": None, "some": RNG.random(N), "zeros": np.array([0.0, 2.0, 0.5] * 4)}
ONE = (RNG.normal(size=N), RNG.normal(size=N))
SEVERAL = (RNG.normal(size=(N, 3)), np.array([0.0, 5.0, -5.0]) + RNG.normal(size=(N, 3)))
CONSTANT = (np.column_stack([ONE[0], np.ones(N), np.zeros(N)]), np.column_stack([ONE[1], np.ones(N), np.ones(N)]))
REGRESSION = {"one": ONE, "several": SEVERAL, "constant": CONSTANT}
PEERS = {
    "mae": "mean_absolute_error",
    "mse": "mean_squared_error",
    "rmse": "root_mean_squared_error",
    "r2": "r2_score",
}
SCORES, LABELS = RNG.normal(size=(N, 3)), RNG.integers(0, 3, N)


def test_the_names_are_the_functions():
    own = {name for name, f in vars(metrics).items() if inspect.isfunction(f) and f.__module__ == "nn.metrics"}
    public = {name for name in own if not name.startswith("_")}
    assert public == METRICS.keys() == set(metrics.__all__) - {"METRICS"}
    assert all(f is getattr(nn.metrics, name) for name, f in METRICS.items())


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("data", REGRESSION)
@pytest.mark.parametrize("name", PEERS)
def test_errors_are_those_of_scikit_learn(name, data, weight):
    peer = getattr(pytest.importorskip("sklearn.metrics"), PEERS[name])
    prediction, target = REGRESSION[data]
    want = peer(target, prediction, sample_weight=WEIGHTS[weight])
    got = METRICS[name](prediction, target, sample_weight=WEIGHTS[weight])
    assert type(got) is float
    np.testing.assert_allclose(got, want, rtol=1e-14)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_accuracy_is_that_of_scikit_learn(weight):
    peer = pytest.importorskip("sklearn.metrics").accuracy_score
    weight = WEIGHTS[weight]
    got = nn.metrics.accuracy(SCORES, LABELS, sample_weight=weight)
    assert type(got) is float
    np.testing.assert_allclose(got, peer(LABELS, SCORES.argmax(axis=1), sample_weight=weight), rtol=1e-15)
    logits, binary = ONE[0], (ONE[1] > 0).astype(float)
    want = peer(binary, logits > 0, sample_weight=weight)
    for scores in (logits, logits[:, None]):
        for target in (binary, binary[:, None], binary.astype(int)):
            np.testing.assert_allclose(nn.metrics.accuracy(scores, target, sample_weight=weight), want, rtol=1e-15)


def test_accuracy_over_further_axes():
    scores = np.zeros((2, 3, 2))
    scores[0, 1, 0] = scores[0, 2, 1] = scores[1, 1, 0] = scores[1, 1, 1] = 1.0
    target = [[1, 2], [0, 1]]
    assert nn.metrics.accuracy(scores, target) == 0.75
    assert nn.metrics.accuracy(scores, target, sample_weight=[3.0, 1.0]) == 0.875


def test_small_integers_do_not_wrap_around():
    assert nn.metrics.mae(np.array([0], np.uint8), np.array([3], np.uint8)) == 3
    assert nn.metrics.mse(np.array([0, 200], np.uint8), np.array([3, 0], np.uint8)) == 20004.5


def test_float32_is_summed_as_float64():
    prediction = np.full(100_000, 0.1, np.float32)
    assert nn.metrics.mae(prediction, np.zeros_like(prediction)) == pytest.approx(float(np.float32(0.1)), rel=1e-13)


def test_tensors_are_taken_without_their_graph():
    x = tg.Tensor(SCORES, requires_grad=True) * 2.0
    assert nn.metrics.accuracy(x, LABELS) == nn.metrics.accuracy(SCORES, LABELS)
    assert nn.metrics.mae(x, SCORES) == pytest.approx(np.abs(SCORES).mean(), rel=1e-15)


@pytest.mark.parametrize(
    ("call", "texts"),
    [
        (lambda: nn.metrics.accuracy(SCORES, LABELS[:, None]), ("accuracy", "(12, 3)", "(12, 1)", "(12,)", "reshape")),
        (lambda: nn.metrics.accuracy(SCORES, SCORES), ("accuracy", "(12, 3)", "labels.argmax(axis=1)")),
        (lambda: nn.metrics.accuracy(ONE[0], LABELS[:5]), ("accuracy", "(12,)", "(5,)")),
        (lambda: nn.metrics.accuracy(1.0, 1), ("accuracy", "()")),
        (lambda: nn.metrics.accuracy(np.zeros((0, 3)), np.zeros(0, int)), ("accuracy", "empty batch")),
        (lambda: nn.metrics.accuracy(SCORES, LABELS, sample_weight=np.ones(3)), ("sample_weight", "(3,)", "(12,)")),
        (lambda: nn.metrics.mae(ONE[0], ONE[1][:, None]), ("mae", "(12,)", "(12, 1)")),
        (lambda: nn.metrics.mse(1.0, 1.0), ("mse", "()")),
        (lambda: nn.metrics.rmse(np.zeros((0, 2)), np.zeros((0, 2))), ("rmse", "empty batch")),
        (lambda: nn.metrics.r2([1.0], [1.0]), ("r2", "2 samples", "got 1")),
    ],
)
def test_shapes_that_do_not_fit_are_refused(call, texts):
    with pytest.raises(tg.ShapeError) as caught:
        call()
    for text in texts:
        assert text in str(caught.value)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("weight", [[-1.0, 2.0], [0.0, 0.0], [np.nan, 1.0]])
def test_weights_that_are_none_are_refused(name, weight):
    with pytest.raises(ValueError, match=f"{name}: sample_weight"):
        METRICS[name](np.array([1.0, -1.0]), np.array([1.0, 0.0]), sample_weight=weight)
