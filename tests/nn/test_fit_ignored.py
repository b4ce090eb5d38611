"""Labels that the loss ignores, and samples that weigh 0: what is counted, what is skipped, what is refused."""

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .fits import Recorder, assert_same, data, made

IGNORING = {"name": "cross_entropy", "ignore_index": -1}


class Fixed(nn.Module):
    """Predicts what it is given, plus a parameter that starts at 0."""

    def __init__(self, width=3):
        super().__init__()
        self.b = nn.Parameter(np.zeros(width))

    def forward(self, x):
        return x + tg.reshape(self.b, (-1, *(1,) * (x.ndim - 2)))


def still(metrics, loss=IGNORING, width=3, **options):
    optimizer = nn.SGD((network := Fixed(width)).parameters(), lr=0.0)
    return nn.Model(network, loss=loss, optimizer=optimizer, metrics=metrics, rng=0, **options)


def test_ignored_labels_do_not_count_as_misses():
    """The fault: two of four labels are right, and two are ignored."""
    X, y = np.eye(3)[[0, 1, 2, 0]], np.array([0, 1, -1, -1])
    model = still(["accuracy"])
    stop = nn.EarlyStopping("val_accuracy", patience=1)
    history = model.fit(X, y, epochs=3, batch_size=3, validation_data=(X, y), callbacks=[stop])
    assert history["accuracy"] == history["val_accuracy"] == [1.0, 1.0]
    assert model.evaluate(X, y)["accuracy"] == 1.0


NAMES = ["accuracy", "balanced_accuracy", "f1", "precision", "recall", "roc_auc", "average_precision", "log_loss"]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("axes", [(), (4,), (2, 3)])
def test_metrics_are_of_the_labels_that_the_loss_counts(axes, weighted):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3, *axes)), rng.integers(-1, 3, (20, *axes))
    weight = rng.uniform(size=20) * (rng.uniform(size=20) < 0.7) if weighted else None
    model = still(NAMES)
    scores = np.moveaxis(X, 1, -1).reshape(-1, 3)
    labels = y.reshape(-1)
    whole = np.ones(20) if weight is None else weight
    each = np.repeat(whole, labels.size // 20)
    kept = (labels >= 0) & (each > 0)
    want = {name: nn.metrics.METRICS[name](scores[kept], labels[kept], sample_weight=each[kept]) for name in NAMES}
    got = model.evaluate(X, y, sample_weight=weight, batch_size=7)
    assert {name: got[name] for name in NAMES} == pytest.approx(want, rel=1e-9)
    history = model.fit(X, y, epochs=1, batch_size=7, sample_weight=weight, validation_data=(X, y, whole))
    for name in NAMES:
        assert history[name] == [pytest.approx(want[name], rel=1e-9)]
        assert history[f"val_{name}"] == [pytest.approx(want[name], rel=1e-9)]


def test_a_class_of_weight_0_does_not_count_in_metrics_either():
    X, y = np.eye(3)[[0, 1, 1, 2]], np.array([0, 1, 2, 2])
    assert still(["accuracy"], {"name": "cross_entropy", "weight": [1.0, 1.0, 0.0]}).evaluate(X, y)["accuracy"] == 1.0
    assert still(["accuracy"], {"name": "cross_entropy", "weight": [1.0, 2.0, 1.0]}).evaluate(X, y)["accuracy"] == 0.75
    assert still(["accuracy"], {"name": "nll", "ignore_index": 2}).evaluate(X, y)["accuracy"] == 1.0


@pytest.mark.parametrize(
    "loss", [IGNORING, {**IGNORING, "weight": [1.0, 2.0, 0.5]}, {"name": "cross_entropy", "weight": [1.0, 2.0, 0.0]}]
)
@pytest.mark.parametrize("compile", [False, True])
def test_a_batch_without_labels_contributes_nothing(loss, compile):
    """Neither to the parameters, nor the optimiser's moments, nor running statistics, nor the dropout's generator."""
    X, y = data(48)
    void = -1 if "ignore_index" in loss else 2
    part = y.copy()
    part[part == 2] = 0
    part[16:32] = void
    options = {"loss": loss, "metrics": ["accuracy"], "schedule": {"name": "step", "step_size": 2}}
    steps = Recorder()
    model, twin = made(schedule_every="step", **options), made(schedule_every="step", **options)
    rows = np.r_[0:16, 32:48]
    run = {"epochs": 2, "batch_size": 16, "shuffle": False, "compile": compile}
    history = model.fit(X, part, callbacks=[steps], **run)
    expected = twin.fit(X[rows], part[rows], **run)
    assert_same(model, twin)
    np.testing.assert_equal(model.optimizer.state_dict(), twin.optimizer.state_dict())
    assert steps.steps == 4
    for name in ("loss", "accuracy", "lr"):
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-12)


@pytest.mark.parametrize("loss", ["mse", "l1", "huber", "smooth_l1", "bce_with_logits", "hinge"])
@pytest.mark.parametrize("compile", [False, True])
def test_a_batch_of_weight_0_contributes_nothing(loss, compile):
    X, _ = data(48)
    y = np.sign(X[:, :3]) if loss == "hinge" else (X[:, :3] > 0).astype(np.float32)
    weight = np.r_[np.full(16, 0.5), np.zeros(16), np.full(16, 2.0)]
    rows = weight > 0
    model, twin = made(loss=loss), made(loss=loss)
    run = {"epochs": 2, "batch_size": 16, "shuffle": False, "compile": compile}
    history = model.fit(X, y, sample_weight=weight, **run)
    expected = twin.fit(X[rows], y[rows], sample_weight=weight[rows], **run)
    assert_same(model, twin)
    # The loss is a mean over all samples, whatever they weigh.
    np.testing.assert_allclose(np.array(history["loss"]) * 3, np.array(expected["loss"]) * 2, rtol=1e-5)


def test_whatever_the_order_is_it_runs_through():
    """The fault: only some orders had a batch with nothing in it."""
    X, y = data(24)
    y[:20] = -1
    for seed in range(5):
        model = made(seed, loss=IGNORING, metrics=["accuracy", "f1"])
        history = model.fit(X, y, epochs=2, batch_size=4, validation_data=(X, y))
        assert np.isfinite(history["loss"]).all()
        assert np.isfinite(history["val_loss"]).all()


def test_weights_and_ignored_labels_together_may_leave_nothing():
    X, y = data(32)
    y[:8], weight = -1, np.r_[np.ones(8), np.zeros(8), np.ones(16)]
    model, twin = made(loss=IGNORING), made(loss=IGNORING)
    run = {"epochs": 1, "batch_size": 16, "shuffle": False}
    model.fit(X, y, sample_weight=weight, **run)
    twin.fit(X[16:], y[16:], sample_weight=weight[16:], **run)
    assert_same(model, twin)


NOTHING = "every sample has weight 0, or every label is ignored or of a class of weight 0"


@pytest.mark.parametrize(
    ("changes", "by"),
    [
        ({"sample_weight": np.zeros(32)}, "fit"),
        ({"y": np.full(32, -1)}, "fit"),
        ({"validation_data": (*data(8), np.zeros(8))}, "validation_data"),
        ({"validation_data": (data(8)[0], np.full(8, -1))}, "validation_data"),
        ({"y": np.r_[np.full(16, -1), np.zeros(16, int)], "sample_weight": np.r_[np.ones(16), np.zeros(16)]}, "fit"),
        ({"X": [(data(8)[0], np.full(8, -1))], "y": None}, "fit"),
    ],
)
def test_if_nothing_counts_it_is_refused(changes, by):
    X, y = data(32)
    model = made(loss=IGNORING)
    before = model.state_dict()
    given = {"X": X, "y": y, "epochs": 2, **changes}
    with pytest.raises(ValueError, match=f"{by}: {NOTHING}.*check sample_weight"):
        model.fit(given.pop("X"), given.pop("y"), **given)
    np.testing.assert_equal(model.state_dict(), before)
    assert len(model.history) == 0


def test_a_part_of_the_split_in_which_nothing_counts_is_refused():
    X, y = data(8)
    weight = np.r_[1.0, np.zeros(7)]
    for seed in range(3):
        model = made(seed)
        with pytest.raises(ValueError, match=f"fit: {NOTHING}"):
            model.fit(X, y, sample_weight=weight, validation_split=0.5)


def test_evaluate_says_that_nothing_counts():
    X, y = data(8)
    model = made(loss=IGNORING, metrics=["accuracy"])
    for given in ((X, np.full(8, -1)), ([(X, np.full(8, -1))],)):
        with pytest.raises(ValueError, match=f"evaluate: {NOTHING}"):
            model.evaluate(*given)
    with pytest.raises(ValueError, match=f"evaluate: {NOTHING}"):
        model.evaluate(X, y, sample_weight=np.zeros(8))


def test_a_validation_stream_in_which_nothing_counts_is_named():
    X, y = data(8)
    with pytest.raises(ValueError, match=f"validation_data: {NOTHING}"):
        made(loss=IGNORING).fit(X, y, validation_data=[(X, np.full(8, -1))])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("axes", [(), (5,)])
@pytest.mark.parametrize(
    "loss", [IGNORING, {**IGNORING, "weight": [1.0, 2.0, 0.5]}, {"name": "cross_entropy", "weight": [1.0, 2.0, 0.5]}]
)
def test_compiled_each_batch_is_divided_by_what_counts_in_it(loss, axes, weighted):
    """The fault: the first batch's divisor was part of the program; or it was an error."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(64, 4, *axes)).astype(np.float32), rng.integers(-1, 3, (64, *axes))
    y = y if "ignore_index" in loss else abs(y)
    weight = rng.uniform(size=64) if weighted else None
    models = []
    for compile in (False, True):
        network = nn.Conv1d(4, 3, 1, rng=0) if axes else nn.Linear(4, 3, rng=0)
        model = nn.Model(network, loss=loss, optimizer={"name": "sgd", "lr": 0.1}, rng=0)
        model.fit(X, y, epochs=3, batch_size=16, sample_weight=weight, compile=compile)
        models.append(model)
    assert_same(*models)
    assert models[0].history["loss"] == models[1].history["loss"]


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("kind", ["ignored", "weightless"])
def test_accumulated_a_batch_of_nothing_leaves_the_others_as_they_are(kind, compile):
    """Two batches of an update are one of twice the size, also if one or both of them have nothing."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(64, 4)).astype(np.float32), rng.integers(0, 3, 64)
    void = np.r_[8:16, 48:64]
    weight = None
    if kind == "ignored":
        y[void] = -1
    else:
        weight = np.linspace(0.5, 1.5, 64)
        weight[void] = 0
    models = []
    for size, accumulate in ((8, 2), (16, 1)):
        model = nn.Model(nn.Linear(4, 3, rng=0), loss=IGNORING, optimizer={"name": "sgd", "lr": 0.1}, rng=0)
        run = {"epochs": 2, "batch_size": size, "accumulate": accumulate, "shuffle": False, "compile": compile}
        steps = Recorder()
        model.fit(X, y, sample_weight=weight, callbacks=[steps], **run)
        assert steps.steps == 6
        models.append(model)
    for (name, a), b in zip(models[0].state_dict().items(), models[1].state_dict().values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(models[0].history["loss"], models[1].history["loss"], rtol=1e-5)


def test_the_search_for_a_rate_skips_what_does_not_count():
    X, y = data(32)
    part = y.copy()
    part[:8] = -1
    curve = made(loss=IGNORING).lr_find([(X[i : i + 8], part[i : i + 8]) for i in range(0, 32, 8)], steps=20)
    assert np.isfinite(curve.losses).all()
    assert min(curve.losses) > 0
    for given in ((X, np.full(32, -1)), ([(X, np.full(32, -1))],)):
        with pytest.raises(ValueError, match=f"lr_find: {NOTHING}"):
            made(loss=IGNORING).lr_find(*given)
    with pytest.raises(IndexError, match="lr_find: label 3 in row"):
        made().lr_find(X, y + 1)
