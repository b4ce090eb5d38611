"""The learning-rate range test."""

import copy
import math

import numpy as np
import pytest

import nn
from nn._training.lr_finder import LRCurve

from .fits import assert_same, data, made


def facts(model):
    """Everything that training changes."""
    return copy.deepcopy(
        (
            model.state_dict(),
            model.optimizer.state_dict(),
            None if model.schedule is None else model.schedule.state_dict(),
            model.rng.bit_generator.state,
            [module.rng.bit_generator.state for module in model.modules() if isinstance(module, nn.Dropout)],
            [module.training for module in model.modules()],
            dict(model.history),
            None if model.ema is None else (model.ema.state_dict(), model.ema.own),
            [p.grad for p in model.parameters()],
        )
    )


@pytest.mark.parametrize("fitted", [False, True])
def test_it_leaves_the_model_as_it_was(fitted):
    X, y = data(60)
    model = made(schedule={"name": "cosine", "T_max": 9}, ema=0.9, metrics=["accuracy"])
    twin = made(schedule={"name": "cosine", "T_max": 9}, ema=0.9, metrics=["accuracy"])
    if fitted:
        for each in (model, twin):
            each.fit(X, y, epochs=2)
    before = facts(model)
    model.lr_find(X, y, steps=30)
    np.testing.assert_equal(facts(model), before)
    for each in (model, twin):
        each.fit(X, y, epochs=2)
    assert_same(model, twin)


def test_the_rates_and_losses_of_a_quadratic():
    """With a loss of w²/2 and one row, each update multiplies w by 1 - lr."""
    network = nn.Linear(1, 1, bias=False, init={"name": "constant", "value": 1.0}, dtype=np.float64)

    def loss(output, target):
        return (output**2).sum() / 2.0

    model = nn.Model(network, loss=loss, optimizer={"name": "sgd", "lr": 0.1}, rng=0)
    found = model.lr_find(np.ones((1, 1)), np.zeros((1, 1)), start=1e-3, stop=1e4, steps=38)  # no rate is near 1
    rates = 1e-3 * 1e7 ** (np.arange(len(found.lrs)) / 37)
    np.testing.assert_allclose(found.lrs, rates, rtol=1e-12)
    w = np.cumprod(np.r_[1.0, 1 - rates[:-1]])
    np.testing.assert_allclose(found.losses, w**2 / 2, rtol=1e-9, atol=1e-12)
    assert found.diverged
    assert 21 <= len(found.lrs) < 38
    mean = 0.0
    for i, value in enumerate(found.losses):
        mean = 0.95 * mean + 0.05 * value
        assert found.smoothed[i] == pytest.approx(mean / (1 - 0.95 ** (i + 1)))
    n = len(found.lrs)
    half = n // 10
    windows = [slice(i - half, i + half + 1) for i in range(half, n - half)]
    slopes = [np.polyfit(np.log(found.lrs[each]), found.losses[each], 1)[0] for each in windows]
    assert found.suggestion == found.lrs[half + int(np.argmin(slopes))]
    assert 0.1 < found.suggestion < 1.0


def test_the_suggestion_trains():
    X, y = data(200)
    model = made()
    found = model.lr_find(X, y)
    assert 1e-4 < found.suggestion < 1.0
    model.optimizer.lr = found.suggestion
    assert model.fit(X, y, epochs=20)["loss"][-1] < 0.5
    assert "suggestion" in repr(found)


def test_losses_that_are_not_finite_end_it():
    X, y = data(30)
    model = nn.Model(nn.MLP([4, 3], rng=0), optimizer="sgd", rng=0)
    found = model.lr_find(X * 1e3, y, start=1.0, stop=1e38, steps=60)
    assert found.diverged
    assert all(map(math.isfinite, [*found.losses, *found.smoothed]))


def test_a_loss_that_never_falls_has_no_suggestion():
    class Rising:
        def __init__(self):
            self.calls = 0

        def __call__(self, output, target):
            self.calls += 1
            return (output * 0.0).sum() + 1.0 + 0.001 * self.calls

    loss = Rising()
    model = nn.Model(nn.MLP([4, 3], rng=0), loss=loss, rng=0)
    found = model.lr_find(*data(30), steps=20)
    assert found.suggestion is None
    assert not found.diverged
    assert repr(found).endswith("suggestion none: the loss never fell)")
    assert loss.calls == 0  # it was copied, too


def test_weights_and_streams():
    X, y = data(32)
    model = nn.Model(nn.MLP([4, 3], rng=0), rng=0)
    weighted = model.lr_find(X, y, sample_weight=np.full(32, 2.0), steps=10)
    plain = model.lr_find(X, y, steps=10)
    np.testing.assert_allclose(weighted.losses[0], 2 * plain.losses[0], rtol=1e-6)
    stream = model.lr_find(lambda: iter([(X, y)]), steps=10)
    np.testing.assert_allclose(stream.losses[0], plain.losses[0], rtol=1e-6)


def test_it_starts_from_the_weights_that_are_trained():
    X, y = data(60)
    averaged, plain = made(ema=0.99), made()
    for each in (averaged, plain):
        each.fit(X, y, epochs=3)
    assert averaged.lr_find(X, y, steps=5) == plain.lr_find(X, y, steps=5)


def test_a_stream_may_draw_from_the_models_generator():
    X, y = data(32)
    model = nn.Model(nn.MLP([4, 3], dropout=0.5, rng=0), rng=0)

    def batches():
        order = model.rng.permutation(32)
        yield X[order], y[order]

    before = facts(model)
    model.lr_find(batches, steps=5)
    np.testing.assert_equal(facts(model), before)


def test_the_plot(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    found = nn.Model(nn.MLP([4, 3], rng=0), rng=0).lr_find(*data(60), steps=40)
    figure = found.plot()
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert [line.get_label() for line in axes.lines] == [
        "loss",
        "smoothed",
        f"suggestion: {found.suggestion:.2g}",
    ]
    np.testing.assert_equal(axes.lines[1].get_ydata(), found.smoothed)
    figure.savefig(tmp_path / "rates.png")
    matplotlib.pyplot.close(figure)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"start": 0.0}, "start must be above 0 and below stop, got 0 and 10"),
        ({"start": 1.0, "stop": 0.1}, "start must be above 0 and below stop, got 1 and 0.1"),
        ({"steps": 1}, "steps must be an integer of at least 2, got 1"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
    ],
)
def test_refusals(options, text):
    with pytest.raises(ValueError, match=f"lr_find: {text}"):
        nn.Model(nn.MLP([4, 3], rng=0)).lr_find(*data(8), **options)


def test_lbfgs_has_no_rate_to_find():
    pytest.importorskip("scipy")
    with pytest.raises(ValueError, match="lr_find: LBFGS has no learning rate"):
        nn.Model(nn.MLP([4, 3], rng=0), optimizer="lbfgs").lr_find(*data(8))


def test_three_updates_are_enough_for_a_slope():
    rates, losses = [0.1, 1.0, 10.0], [3.0, 2.0, 1.5]
    assert LRCurve(rates, losses, losses, False).suggestion == 1.0
    assert LRCurve(rates[:2], losses[:2], losses[:2], False).suggestion is None


def test_a_loss_of_zero_has_not_diverged():
    model = nn.Model(nn.MLP([4, 3], rng=0), loss=lambda output, target: (output * 0.0).sum(), rng=0)
    found = model.lr_find(*data(30), steps=5)
    assert (len(found.losses), found.diverged) == (5, False)


def test_the_rates_must_grow():
    for start, stop in ((1.0, 1.0), (1.0, 0.1), (0.0, 1.0)):
        with pytest.raises(ValueError, match="start must be above 0 and below stop"):
            made().lr_find(*data(8), start=start, stop=stop)
