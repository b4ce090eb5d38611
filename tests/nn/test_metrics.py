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
LOGITS, BINARY = np.round(RNG.normal(size=40), 1), RNG.integers(0, 2, 40)  # some of them equal
FOUR, CLASSES = RNG.normal(size=(40, 4)), np.r_[np.arange(4), RNG.integers(0, 4, 36)]
SEVERAL_LABELS = RNG.normal(size=(40, 5)), RNG.integers(0, 2, (40, 5))
LONG_WEIGHTS = {"none": None, "some": RNG.random(40), "zeros": np.array([0.0, 2.0, 0.5, 1.0] * 10)}


def test_the_names_are_the_functions():
    own = {name for name, f in vars(metrics).items() if inspect.isfunction(f) and f.__module__.startswith("nn.metrics")}
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


# --- classes ----------------------------------------------------------------------------------------------


def softmax(scores):
    return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("weight", LONG_WEIGHTS)
@pytest.mark.parametrize("average", [None, "binary", "macro", "micro", "weighted"])
@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_precision_recall_and_f1_are_those_of_scikit_learn(name, average, weight):
    peer = getattr(pytest.importorskip("sklearn.metrics"), f"{name}_score")
    weight = LONG_WEIGHTS[weight]
    two = np.column_stack([np.zeros(40), LOGITS])
    cases = [
        (LOGITS, BINARY, LOGITS > 0, "binary", {}),
        (LOGITS[:, None], 2 * BINARY - 1, np.where(LOGITS > 0, 1, -1), "binary", {}),
        (two, BINARY, LOGITS > 0, "binary", {}),
        (FOUR, CLASSES, FOUR.argmax(axis=1), "macro", {}),
        (FOUR, CLASSES % 3, FOUR.argmax(axis=1), "macro", {}),
        (*SEVERAL_LABELS, SEVERAL_LABELS[0] > 0, "macro", {"multilabel": True}),
    ]
    for scores, labels, predicted, usual, options in cases:
        call = lambda scores=scores, labels=labels, options=options: METRICS[name](
            scores, labels, average=average, sample_weight=weight, **options
        )
        if average == "binary" and usual != "binary":
            with pytest.raises(ValueError, match=f"{name}: average='binary' is for two classes, got"):
                call()
            continue
        want = peer(labels, predicted, average=average or usual, sample_weight=weight, zero_division=0)
        got = call()
        assert type(got) is float
        np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_a_class_that_is_never_predicted_counts_as_0(name):
    assert METRICS[name]([-1.0, -2.0], [1, 1]) == 0.0
    assert METRICS[name]([-1.0, -2.0], [0, 0]) == 0.0
    assert METRICS[name]([[1.0, 0.0], [1.0, 0.0]], [0, 0], average="macro") == 1.0


@pytest.mark.parametrize("weight", LONG_WEIGHTS)
def test_other_metrics_of_classes_are_those_of_scikit_learn(weight):
    peers = pytest.importorskip("sklearn.metrics")
    weight = LONG_WEIGHTS[weight]
    two, probabilities = np.column_stack([0.5 - LOGITS, 0.5 + LOGITS]), softmax(FOUR)
    binary_cases = [(LOGITS, BINARY), (LOGITS[:, None], BINARY[:, None]), (two, BINARY), (LOGITS, 2 * BINARY - 1)]
    multi = {"multi_class": "ovr", "average": "macro"}
    binarized, several = np.eye(4)[CLASSES], {"multilabel": True}
    logits, marks = SEVERAL_LABELS
    both = np.column_stack([1 - sigmoid(2 * LOGITS), sigmoid(2 * LOGITS)])
    rows = [
        *(("roc_auc", *case, {}, peers.roc_auc_score(BINARY, LOGITS, sample_weight=weight)) for case in binary_cases),
        ("roc_auc", FOUR, CLASSES, {}, peers.roc_auc_score(CLASSES, probabilities, sample_weight=weight, **multi)),
        ("roc_auc", logits, marks, several, peers.roc_auc_score(marks, logits, sample_weight=weight)),
        *(
            ("average_precision", *case, {}, peers.average_precision_score(BINARY, LOGITS, sample_weight=weight))
            for case in binary_cases
        ),
        (
            *("average_precision", FOUR, CLASSES, {}),
            peers.average_precision_score(binarized, probabilities, sample_weight=weight),
        ),
        (
            *("average_precision", logits, marks, several),
            peers.average_precision_score(marks, logits, sample_weight=weight),
        ),
        ("log_loss", FOUR, CLASSES, {}, peers.log_loss(CLASSES, probabilities, sample_weight=weight)),
        ("log_loss", two, BINARY, {}, peers.log_loss(BINARY, both, sample_weight=weight)),
        ("log_loss", 2 * LOGITS[:, None], BINARY, {}, peers.log_loss(BINARY, both, sample_weight=weight)),
        (
            "balanced_accuracy",
            FOUR,
            CLASSES,
            {},
            peers.balanced_accuracy_score(CLASSES, FOUR.argmax(axis=1), sample_weight=weight),
        ),
        (
            "balanced_accuracy",
            LOGITS,
            BINARY,
            {},
            peers.balanced_accuracy_score(BINARY, LOGITS > 0, sample_weight=weight),
        ),
        *(
            (
                "top_k_accuracy",
                FOUR,
                CLASSES,
                {"k": k},
                peers.top_k_accuracy_score(CLASSES, FOUR, k=k, sample_weight=weight),
            )
            for k in (1, 2, 3)
        ),
        ("accuracy", logits, marks, several, peers.accuracy_score(marks, logits > 0, sample_weight=weight)),
    ]
    for name, prediction, target, options, want in rows:
        got = METRICS[name](prediction, target, sample_weight=weight, **options)
        assert type(got) is float
        np.testing.assert_allclose(got, want, rtol=1e-10, err_msg=f"{name} of {np.shape(prediction)}")


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "f1", "log_loss", "precision", "recall", "roc_auc"])
def test_labels_of_several_axes_are_counted_one_by_one(name):
    scores, labels, weight = RNG.normal(size=(6, 3, 2, 2)), RNG.integers(0, 3, (6, 2, 2)), RNG.random(6)
    rows = np.moveaxis(scores, 1, -1).reshape(-1, 3)
    want = METRICS[name](rows, labels.reshape(-1), sample_weight=np.repeat(weight, 4))
    assert METRICS[name](scores, labels, sample_weight=weight) == pytest.approx(want, rel=1e-12)


def test_log_loss_is_the_cross_entropy_of_any_logits():
    for scores, labels in ((FOUR, CLASSES), (np.array([[1e4, 0.0], [0.0, 1e4]]), np.array([1, 1]))):
        want = nn.functional.cross_entropy(scores, labels).item()
        assert nn.metrics.log_loss(scores, labels) == pytest.approx(want, rel=1e-12)
    logits, marks = SEVERAL_LABELS
    want = nn.functional.binary_cross_entropy_with_logits(logits, marks).item()
    assert nn.metrics.log_loss(logits, marks, multilabel=True) == pytest.approx(want, rel=1e-12)
    assert nn.metrics.log_loss([1e4, -1e4], [1, 0]) == 0.0


def test_an_order_of_one_class_has_no_area():
    for name in ("roc_auc", "average_precision"):
        assert np.isnan(METRICS[name]([0.1, 0.2], [1, 1]))
        assert np.isnan(METRICS[name]([np.nan, 0.2], [0, 1]))
        # Class 2 does not occur, and is left out of the mean.
        three = np.column_stack([FOUR[:, :2], np.full(40, -1e3)])
        want = METRICS[name](FOUR[:, :2], BINARY)
        swapped = METRICS[name](FOUR[:, 1::-1], 1 - BINARY)
        assert METRICS[name](three, BINARY) == pytest.approx((want + swapped) / 2, rel=1e-12)


def test_of_equal_scores_the_first_is_in_front_and_nan_is_never_among_the_best():
    scores, labels = np.zeros((3, 3)), np.arange(3)
    assert nn.metrics.top_k_accuracy(scores, labels, k=1) == nn.metrics.accuracy(scores, labels)
    assert nn.metrics.top_k_accuracy(scores, labels, k=2) == pytest.approx(2 / 3)
    assert nn.metrics.top_k_accuracy(np.full((2, 3), np.nan), [0, 1], k=2) == 0.0


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.metrics.f1(FOUR, CLASSES, average="mean"), ValueError, "f1: average must be 'binary', .*'mean'"),
        (lambda: nn.metrics.top_k_accuracy(FOUR, CLASSES), ValueError, "k must be less than .* classes, 4, got 5"),
        (lambda: nn.metrics.top_k_accuracy(FOUR, CLASSES, k=0), ValueError, "k must be an integer of at least 1"),
        (lambda: nn.metrics.top_k_accuracy(LOGITS, BINARY, k=1), tg.ShapeError, "one logit per row; write accuracy"),
        (
            lambda: nn.metrics.top_k_accuracy(FOUR, CLASSES + 1, k=2),
            IndexError,
            "label 4 at position 3 is out of range",
        ),
        (lambda: nn.metrics.log_loss(FOUR, CLASSES - 1), IndexError, "label -1 at position 0 is out of range for 4"),
        (lambda: nn.metrics.recall(LOGITS, 2 * BINARY), ValueError, "labels must be 0 and 1, or -1 and 1"),
        (lambda: nn.metrics.f1(*SEVERAL_LABELS), tg.ShapeError, "write multilabel=True for several labels per row"),
        (lambda: nn.metrics.f1(FOUR, CLASSES, multilabel=True), tg.ShapeError, r"\(40, 4\) and target \(40,\)"),
        (lambda: nn.metrics.roc_auc(LOGITS, BINARY, multilabel=True), tg.ShapeError, r"shape \(batch, labels\)"),
        (lambda: nn.metrics.roc_auc(FOUR[:0], CLASSES[:0]), tg.ShapeError, "roc_auc: an empty batch"),
    ],
)
def test_what_does_not_fit_the_classes_is_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()
