"""The rule of GradientMonitor, on figures and on the networks of its calibration; and the forecast."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn._monitor.figures import Figures, histogram, rms, slope
from nn._monitor.verdict import Judged, judge

pytest.importorskip("sklearn")
_FILE = Path(__file__).parents[2] / "examples" / "calibrate_monitor.py"
_SPEC = importlib.util.spec_from_file_location("calibrate_monitor", _FILE)
calibration = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(calibration)


def layers(gradients, spreads=None, **changes):
    """Layers with these gradients (in decades) and usual other figures."""
    spreads = spreads or [0.0] * len(gradients)
    usual = {"act_rms": 1.0, "weight_rms": 0.1, "weight_grad_rms": 1e-3, "dead": 0.0, "saturated": 0.0}
    return [
        Judged(
            f"layers.{i}", "Linear", "relu", False, Figures(**{**usual, **changes, "grad_rms": 10**g, "spread": 10**s})
        )
        for i, (g, s) in enumerate(zip(gradients, spreads, strict=True))
    ]


@pytest.mark.parametrize(
    ("gradients", "expected"),
    [
        (np.linspace(-4.0, 0, 8), "vanishing"),
        (np.linspace(4.0, 0, 8), "exploding"),
        (np.linspace(0.1, 0, 8), "healthy"),
        ([-0.65, 0.0], "healthy"),  # steep, but once
        (np.linspace(-1.4, 0, 5), "healthy"),  # steep: below 1.5 in all
        (np.linspace(-1.6, 0, 6), "vanishing"),
        (np.linspace(-2.9, 0, 12), "healthy"),  # below 0.3 a layer, and below 3 in all
        (np.linspace(-3.1, 0, 12), "vanishing"),
        (np.linspace(3.1, 0, 64), "exploding"),
        (np.full(8, -12.0), "healthy"),  # small everywhere
        ([-1.0], "healthy"),
    ],
)
def test_the_slope_and_the_total(gradients, expected):
    verdict = judge(0, layers(list(gradients)))
    assert verdict.kind == expected
    assert verdict.sick == (expected != "healthy")
    assert bool(verdict.remedy) == verdict.sick
    if len(gradients) > 1:
        assert verdict.total == pytest.approx(gradients[-1] * -1 + gradients[0] * 1)


def test_other_signs():
    flat = [0.0] * 4
    assert judge(0, layers(flat, dead=0.5)).kind == "dead"
    assert judge(0, layers(flat, dead=0.49)).kind == "healthy"
    assert judge(0, layers(flat, saturated=0.5)).kind == "saturated"
    assert judge(0, layers(flat, spreads=[0.0, -0.4, -0.8, -1.2])).kind == "collapsing"
    assert not judge(0, layers(flat, spreads=[0.0, -0.4, -0.8, -1.2])).sick
    assert judge(0, layers(flat, spreads=[0.0, -0.3, -0.6, -0.9])).kind == "healthy"
    assert judge(0, layers(flat, dead=0.6, finite=False)).kind == "non-finite"
    assert judge(0, layers([math.nan] * 4)).kind == "no gradient"


def test_a_first_layer_that_hardly_learns():
    first, *others = layers([0.0] * 4)
    starved = first._replace(figures=first.figures._replace(weight_grad_rms=1e-9))
    assert judge(0, [starved, *others]).kind == "vanishing"
    assert judge(0, layers([0.0] * 4, weight_grad_rms=1e-9)).kind == "healthy"  # the end of training
    relative = first._replace(figures=first.figures._replace(weight_grad_rms=1e-9, weight_rms=1e-5))
    assert judge(0, [relative, *others]).kind == "healthy"


def test_a_gradient_that_is_cut():
    first, *others = layers([0.0] * 4)
    cut = first._replace(figures=first.figures._replace(grad_rms=0.0))
    assert judge(0, [cut, *others]).kind == "vanishing"
    dead = others[0]._replace(figures=others[0].figures._replace(dead=1.0))
    verdict = judge(0, [cut, dead, *others[1:]])
    assert verdict.kind == "dead"
    assert "layers.1 (Linear): 100% of the units" in verdict.why


def test_where_a_nan_arose():
    first, second, third = layers([0.0] * 3)

    def with_nan(layer, **changes):
        return layer._replace(figures=layer.figures._replace(finite=False, **changes))

    forward = judge(0, [with_nan(first), with_nan(second, act_rms=math.nan), with_nan(third, act_rms=math.nan)])
    assert "layers.1" in forward.why
    assert "layers.1" in judge(0, [with_nan(first), with_nan(second), third]).why


def test_a_last_layer_without_activation_is_not_judged():
    own = layers([0.0, 0.0, 3.0])
    assert judge(0, [*own[:2], own[2]._replace(activation="")]).kind == "healthy"
    assert judge(0, [layer._replace(activation="") for layer in own]).kind == "vanishing"  # there are no others


# --- the networks of the calibration --------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [None, "batch"])
@pytest.mark.parametrize("depth", calibration.DEPTHS)
@pytest.mark.parametrize("kind", calibration.KINDS)
def test_the_thirty_networks_and_their_forecasts(kind, depth, norm):
    x, y = calibration.batch_of(1, 128)
    model = calibration.network(kind, depth, norm, seed=1)
    monitor = calibration.measured(model, x, y)
    truth = "healthy" if norm else calibration.KINDS[kind][2]
    warned = {"healthy", "collapsing"} if (kind, depth, norm) == ("ReLU He", 16, None) else {"healthy"}
    assert monitor.verdict.kind in (warned if truth == "healthy" else {truth})
    forecast = nn.forecast(model, x)
    assert abs(forecast.slope - monitor.verdict.slope) < 0.1
    assert abs(forecast.spread_slope - monitor.verdict.spread_slope) < 0.1
    assert forecast.slope == pytest.approx(monitor.forecast.slope)


@pytest.mark.parametrize("hard", [h for h in calibration.HARD if "loss 0" not in h.name], ids=lambda hard: hard.name)
def test_the_hard_networks(hard):
    assert hard.make(1).verdict.kind in hard.expected


def test_a_network_trained_to_loss_0():
    model = calibration.network("ReLU He", 4, None, 0)
    x, y = calibration.batch_of(0, 64)
    optimizer = nn.Adam(model.parameters(), lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    for w in model.layers[8].parameters():  # much later: the logits are ten times as far apart
        w.data *= 10
    monitor = calibration.measured(model, x, y)
    first = next(iter(monitor.measurements[0].figures.values()))
    assert first.weight_grad_rms < 1e-8
    assert monitor.verdict.kind == "healthy"


# --- the forecast ---------------------------------------------------------------------------------------------


def test_closed_forms():
    x = np.random.default_rng(0).standard_normal((64, 512))
    for scale, expected in ((0.01, math.log10(0.01 * math.sqrt(256 / 2))), (1.0, math.log10(math.sqrt(256 / 2)))):
        model = nn.MLP([512, *[256] * 6, 2], init={"name": "normal", "std": scale}, dtype=np.float64, rng=0)
        assert nn.forecast(model, x).slope == pytest.approx(expected, abs=0.01)
    # A linear layer changes nothing but the factor sqrt(n) * std.
    model = nn.MLP([512, *[512] * 4, 512], activation=None, init="lecun_normal", dtype=np.float64, rng=0)
    found = nn.forecast(model, x)
    np.testing.assert_allclose([layer.gradient for layer in found.layers], 1.0, rtol=0.02)
    np.testing.assert_allclose([layer.spread for layer in found.layers], x.std(axis=0).mean(), rtol=0.05)
    # ReLU after a batch norm: the variance of half a normal, 1/2 - 1/(2 pi), and slopes of mean square 1/2.
    model = nn.MLP([512, *[256] * 6, 2], norm="batch", init="he_normal", dtype=np.float64, rng=0)
    found = nn.forecast(model, x)
    assert found.layers[3].spread ** 2 == pytest.approx(0.5 - 1 / (2 * math.pi), rel=0.03)
    grown = math.log10(found.layers[2].gradient / found.layers[3].gradient)
    assert grown == pytest.approx(-0.5 * math.log10(2 * (0.5 - 1 / (2 * math.pi))), abs=0.02)


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "gelu", "norm": "layer"},
        {"activation": "selu", "dropout": 0.2},
        {"activation": "leaky_relu", "norm": "rms"},
        {"activation": "softsign"},
    ],
    ids=str,
)
def test_other_activations_norms_and_dropout(options):
    if options["activation"] == "gelu":
        pytest.importorskip("scipy")
    x, y = calibration.batch_of(0, 256)
    model = nn.MLP([64, *[128] * 8, 10], dtype=np.float64, rng=0, **options)
    verdict = calibration.measured(model, x, y).verdict
    forecast = nn.forecast(model, x)
    assert abs(forecast.slope - verdict.slope) < 0.1
    assert abs(forecast.spread_slope - verdict.spread_slope) < 0.1


def test_the_model_is_left_as_it_was():
    model = nn.MLP([4, 8, 3], norm="batch", dropout=0.5, rng=0)
    model.layers[0].requires_grad_(False)
    state, x = model.state_dict(), np.ones((6, 4), np.float32)
    drawn = model.layers[3].rng.bit_generator.state
    nn.forecast(model, x)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    assert model.layers[3].rng.bit_generator.state == drawn
    assert not model.layers[0].W.requires_grad
    assert all(p.grad is None for p in model.parameters())
    with tg.no_grad():
        nn.forecast(model, x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.ReLU(), "no layer with weights"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.Residual(nn.Linear(4, 4))), "the result of 0 is not the input"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Residual(nn.Linear(4, 4))), "the result of 0 is not"),
        (lambda: nn.Sequential(nn.Residual(nn.Linear(4, 4)), nn.Linear(4, 4)), "the result of 0.module is not"),
        (lambda: nn.Sequential(nn.LSTM(4, 4)), "is a LSTM"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.GroupNorm(2, 4), nn.ReLU()), "group norm"),
    ],
)
def test_what_cannot_be_forecast(make, message):
    x = tg.Tensor(np.ones((5, 4), np.float32), requires_grad=True)
    x = np.ones((5, 3, 4), np.float32) if "LSTM" in message else x
    with pytest.raises(ValueError, match=f"forecast: .*{message}.*chain of nn.Linear"):
        nn.forecast(make(), x)


def test_a_forecast_is_shown():
    found = nn.forecast(nn.MLP([4, 8, 8, 3], activation="sigmoid", rng=0), np.eye(4, dtype=np.float32))
    lines = str(found).splitlines()
    assert lines[0].split() == ["path", "layer", "activation", "spread", "gradient"]
    assert len(lines) == 1 + 3 + 1
    assert lines[-1].startswith("gradient -0.")
    assert found._repr_html_().count("<tr>") == 4


# --- statistics -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e-40, 1.0, 1e25, 1e300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_rms_at_any_size(size, dtype):
    with np.errstate(all="ignore"):
        array = np.full((3, 4), size).astype(dtype)
        expected = float(array[0, 0])
        assert rms(array) == pytest.approx(expected, rel=1e-6)


def test_the_slope_and_histograms_of_numpy():
    values = [0.3, -1.0, 2.5, 0.0]
    assert slope(values) == pytest.approx(np.polyfit(range(4), values, 1)[0])
    assert math.isnan(slope([1.0, -math.inf]))
    sample = np.array([0.0, 0.0, 1.0, 10.0, np.inf])
    found = histogram(sample)
    assert (found.low, found.high, sum(found.counts), found.zeros) == (1.0, 10.0, 2, 0.4)
    assert histogram(np.zeros(3)) is None
    assert sum(histogram(np.full(5, 2.0)).counts) == 5
