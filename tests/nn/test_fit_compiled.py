"""Model.fit(compile="auto"), the default: when steps are compiled, and that nothing else changes."""

import functools
import types

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn._training.compiling import _is_own

from .fits import data

ROWS = 96  # six steps of 16 in an epoch
EPOCHS = 10


@pytest.fixture
def traces(monkeypatch):
    """The number of traces so far: of all steps that Model.fit compiles."""
    made, compile = [], tg.compile

    def compiled(*args, **kwargs):
        made.append(compile(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(tg, "compile", compiled)
    return lambda: sum(step.traces for step in made)


def network(**options):
    return nn.MLP([4, 8, 3], **{"norm": "batch", "dropout": 0.2, "rng": 0} | options)


def model_of(net=None, **options):
    return nn.Model(
        network() if net is None else net, **{"optimizer": {"name": "adamw", "lr": 0.01}, "rng": 0} | options
    )


def assert_alike(one, other):
    for (name, x), y in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6, err_msg=name)
    assert list(one.history) == list(other.history)
    for column in one.history.keys() - {"seconds"}:
        np.testing.assert_allclose(one.history[column], other.history[column], rtol=1e-5, err_msg=column)


def both(make=model_of, *, rows=ROWS, **options):
    """Two equal models, fitted with "auto" and eagerly; they must be alike."""
    X, y = data(rows)
    models = [make(), make()]
    for model, chosen in zip(models, ("auto", False), strict=True):
        model.fit(X, y, **{"epochs": EPOCHS, "batch_size": 16, "compile": chosen} | options)
    assert_alike(*models)
    return models


# --- compiled ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_model", "of_fit"),
    [
        ({}, {}),
        ({"clip_norm": 0.5, "clip_value": 0.1}, {"accumulate": 2, "epochs": 20}),
        ({"schedule": {"name": "cosine", "T_max": 30}, "schedule_every": "step"}, {"shuffle": False}),
        ({"ema": 0.9, "metrics": ["accuracy"]}, {"validation_split": 0.25}),
        ({"optimizer": "sgd", "loss": nn.functional.cross_entropy}, {"drop_last": True}),
        ({"loss": {"name": "cross_entropy", "ignore_index": 1}}, {"sample_weight": np.arange(ROWS) / ROWS}),
    ],
)
def test_it_compiles_what_is_of_nn_alone(traces, of_model, of_fit):
    both(lambda: model_of(**of_model), **of_fit)
    assert traces() > 0


def test_partial_batches_and_a_loss_that_weighs_classes(traces):
    both(rows=99, class_weight="balanced")
    assert traces() == 2  # 16 and 17 rows


def test_convolutions_and_recurrent_layers(traces):
    X, y = data(ROWS)
    for make, inputs in (
        (lambda: nn.Sequential(nn.Conv2d(1, 2, 2, rng=0), nn.ReLU(), nn.Flatten(), nn.Linear(2, 3, rng=0)), (1, 2, 2)),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 3, rng=0)), (2, 2)),
    ):
        models = [model_of(make()) for _ in range(2)]
        for model, chosen in zip(models, ("auto", False), strict=True):
            model.fit(X.reshape(-1, *inputs), y, epochs=EPOCHS, batch_size=16, compile=chosen)
        assert_alike(*models)
    assert traces() == 2


def test_the_public_layers_losses_and_optimisers_count_as_nns_own():
    modules = [
        nn.MLP([2, 3, 2], norm="layer", activation="prelu"),
        nn.TransformerEncoderLayer(4, 2, 8),
        nn.Sequential(nn.LSTM(2, 3), nn.Embedding(3, 2), nn.Conv1d(1, 1, 2), nn.Residual(nn.Linear(2, 2))),
        nn.CrossEntropyLoss(),
        nn.HuberLoss(),
    ]
    assert all(_is_own(module) for each in modules for module in each.modules())
    assert _is_own(nn.Lion(modules[0].parameters()))
    assert _is_own(nn.ExponentialMovingAverage(modules[0]))


@pytest.mark.parametrize("kind", [nn.FNNClassifier, nn.FNNRegressor])
def test_estimators_go_by_the_same_rule(traces, kind):
    X, y = data(ROWS)
    y = y if kind is nn.FNNClassifier else X[:, :2]
    settings = {"epochs": EPOCHS, "batch_size": 16, "random_state": 0}
    short = kind((8,), **settings | {"epochs": 2}).fit(X, y)
    assert traces() == 0
    kind((8,), **settings).fit(X, y)
    assert traces() == 1
    kind((8,), optimizer={"name": "adam", "skip_nonfinite": True}, **settings).fit(X, y)
    seen = []

    def loss(output, target):
        seen.append(1)
        mean = nn.functional.cross_entropy if kind is nn.FNNClassifier else nn.functional.mse_loss
        return mean(output, target)

    kind((8,), loss=loss, **settings).fit(X, y)
    assert len(seen) >= 60
    assert traces() == 1
    short.partial_fit(X, y)
    assert traces() == 1


# --- not compiled -----------------------------------------------------------------------------------------


class Loud(nn.Module):
    """A network of the user's, which looks at its numbers."""

    def __init__(self, seen):
        super().__init__()
        self.inner, self.seen = network(), seen

    def forward(self, x):
        out = self.inner(x)
        if self.training:
            self.seen.append(float(np.abs(out.data).max()))
        return out * 2 if self.seen and self.seen[-1] > 1e9 else out


class OwnLinear(nn.Linear):
    pass


class OwnAdam(nn.AdamW):
    pass


class OwnLoss(nn.CrossEntropyLoss):
    pass


def _own_loss(output, target):
    return nn.functional.cross_entropy(output, target)


@functools.wraps(nn.functional.cross_entropy)
def _wrapped_loss(output, target):
    return nn.functional.cross_entropy(output, target)


def _with_own_optimizer():
    net = network()
    return model_of(net, optimizer=OwnAdam(net.parameters(), lr=0.01))


def _with_own_step():
    model = model_of()
    model.optimizer.step = model.optimizer.step  # an attribute in the place of the method
    return model


def _with_own_forward():
    model = model_of()
    layer = model.network.layers[0]
    layer.forward = types.MethodType(nn.Linear.forward, layer)
    return model


def _with_hook(act):
    model = model_of()
    act(model.network.layers[0])
    return model


UNCOMPILED = {
    "own network": lambda: model_of(Loud([])),
    "own layer": lambda: model_of(nn.Sequential(OwnLinear(4, 3, rng=0))),
    "own forward": _with_own_forward,
    "own loss": lambda: model_of(loss=_own_loss),
    "own loss under the name of nn's": lambda: model_of(loss=_wrapped_loss),
    "own class of a loss": lambda: model_of(loss=OwnLoss()),
    "own optimiser": _with_own_optimizer,
    "own step": _with_own_step,
    "hook of a module": lambda: _with_hook(lambda layer: layer.register_forward_hook(lambda *_: None)),
    "hook of a parameter": lambda: _with_hook(lambda layer: layer.W.register_hook(lambda g: g * 2.0)),
    "skip_nonfinite": lambda: model_of(optimizer={"name": "adam", "skip_nonfinite": True}),
}


@pytest.mark.parametrize("reason", UNCOMPILED)
def test_it_does_not_compile_what_might_differ(traces, reason):
    both(UNCOMPILED[reason])
    assert traces() == 0


def test_lbfgs_is_not_compiled(traces):
    X, y = data(32)
    model = nn.Model(nn.MLP([4, 3], rng=0), optimizer={"name": "lbfgs", "max_iter": 3}, rng=0)
    model.fit(X, y, epochs=60, batch_size=32)
    assert traces() == 0


def test_a_few_steps_are_not_compiled(traces):
    both(epochs=5)
    assert traces() == 0


def test_code_of_the_user_runs_in_every_step(traces):
    X, y = data(ROWS)
    seen = []
    model_of(Loud(seen)).fit(X, y, epochs=EPOCHS, batch_size=16)
    assert len(seen) == 6 * EPOCHS
    assert len(set(seen)) > 1


def test_a_method_of_nn_that_was_replaced(traces, monkeypatch):
    calls, forward = [], nn.Linear.forward
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: calls.append(1) or forward(self, x))
    X, y = data(ROWS)
    model_of().fit(X, y, epochs=EPOCHS, batch_size=16)
    assert traces() == 0
    assert len(calls) >= 2 * 6 * EPOCHS


@pytest.mark.parametrize("switch", [tg.debug, tg.record_graph])
def test_switches_that_look_at_every_operation(traces, switch):
    X, y = data(ROWS)
    model, plain = model_of(), model_of()
    with switch():
        model.fit(X, y, epochs=EPOCHS, batch_size=16)
    assert traces() == 0
    plain.fit(X, y, epochs=EPOCHS, batch_size=16)
    assert_alike(model, plain)


def test_a_bad_option_is_refused_before_any_work():
    X, y = data(ROWS)
    for wrong in ("Auto", "yes", None, 2):
        with pytest.raises(ValueError, match="fit: compile must be True, False or 'auto', got"):
            model_of().fit(X, y, compile=wrong)


# --- what changes during a run ----------------------------------------------------------------------------


class AtStep(nn.Callback):
    """Acts after some steps."""

    def __init__(self, act, at):
        self.act, self.at, self.steps = act, at, 0

    def on_step_end(self, fit):
        self.steps += 1
        if self.at is None or self.steps == self.at:
            self.act(fit, self.steps)


def test_hooks_that_come_later_see_every_step(traces):
    seen, gradients = [], []

    def hook(fit, step):
        layer = fit.model.network.layers[0]
        layer.register_forward_hook(lambda module, given, out: seen.append(out.shape) if module.training else None)
        layer.W.register_hook(lambda g: gradients.append(float(np.sum(g))))

    X, y = data(ROWS)
    model_of().fit(X, y, epochs=EPOCHS, batch_size=16, callbacks=[AtStep(hook, 20)])
    assert traces() == 1
    assert len(seen) == len(gradients) == 40
    assert len(set(gradients)) == 40


def test_a_loss_of_the_user_that_comes_later(traces):
    def change(fit, step):
        fit.model.loss = _own_loss if step == 20 else nn.CrossEntropyLoss(label_smoothing=0.3)

    for at in (20, 21):
        X, y = data(ROWS)
        models = [model_of(), model_of()]
        for model, chosen in zip(models, ("auto", False), strict=True):
            model.fit(X, y, epochs=EPOCHS, batch_size=16, callbacks=[AtStep(change, at)], compile=chosen)
        assert_alike(*models)
    assert traces() == 3  # once before the own loss; twice with another of nn's


def test_what_changes_again_and_again_is_not_traced_each_time(traces):
    def anneal(fit, step):
        fit.model.network.layers[3].p = 0.5 / (1 + step)

    models = [model_of(), model_of()]
    X, y = data(ROWS)
    for model, chosen in zip(models, ("auto", False), strict=True):
        model.fit(X, y, epochs=2 * EPOCHS, batch_size=16, callbacks=[AtStep(anneal, None)], compile=chosen)
    assert_alike(*models)
    assert 1 < traces() < 12


def _spoil(fit, step):
    fit.model.network.layers[0].W.data[0, 0] = np.nan


@pytest.mark.parametrize("compile", ["auto", True])
def test_debug_mode_names_the_operation(compile):
    X, y = data(ROWS)
    with tg.debug(), pytest.raises(tg.NonFiniteError, match=r"^layers.0: Linear.* matmul produced 16 NaN"):
        model_of().fit(X, y, epochs=EPOCHS, batch_size=16, callbacks=[AtStep(_spoil, 20)], compile=compile)


def test_a_gradient_that_is_not_finite_ends_it_as_before(traces):
    X, y = data(ROWS)
    models, messages = [model_of(network(norm=None)) for _ in range(2)], []
    for model, chosen in zip(models, ("auto", False), strict=True):
        starts = pytest.warns(RuntimeWarning, match="starts from a loss that is nan")
        with starts, pytest.raises(tg.NonFiniteError) as raised:
            model.fit(X, y, epochs=EPOCHS, batch_size=16, callbacks=[AtStep(_spoil, 20)], compile=chosen)
        messages.append(str(raised.value))
    assert traces() == 1
    assert messages[0] == messages[1]
    assert_alike(*models)


def test_gradients_that_a_callback_keeps(traces):
    kept = []

    class Keep(nn.Callback):
        def on_step_end(self, fit):
            kept[-1].append([p.grad for p in fit.model.network.parameters()])

    X, y = data(ROWS)
    for chosen in ("auto", False):
        kept.append([])
        model_of().fit(X, y, epochs=EPOCHS, batch_size=16, callbacks=[Keep()], compile=chosen)
    assert traces() == 1
    for compiled, eager in zip(*kept, strict=True):
        for one, other in zip(compiled, eager, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_a_monitor_measures_the_same(traces):
    X, y = data(ROWS)
    measured = []
    for chosen in ("auto", False):
        model = model_of()
        monitor = nn.GradientMonitor(model, every=7, verbose=False)
        model.fit(X, y, epochs=EPOCHS, batch_size=16, callbacks=[monitor], compile=chosen)
        measured.append(monitor.measurements)
    assert traces() == 1
    assert [m.step for m in measured[0]] == list(range(0, 60, 7))
    for one, other in zip(*measured, strict=True):
        for path, figures in one.figures.items():
            np.testing.assert_allclose(figures, other.figures[path], rtol=1e-4, atol=1e-6)


# --- streams ----------------------------------------------------------------------------------------------


def stream(sizes):
    X, y = data(sum(sizes))
    edges = np.cumsum(sizes)[:-1]
    return list(zip(np.split(X, edges), np.split(y, edges), strict=True))


def test_a_stream_of_one_shape_is_compiled_once_it_pays(traces):
    batches = stream([16] * 5)
    model_of().fit(batches, epochs=8)
    assert traces() == 0
    models = [model_of(), model_of()]
    for model, chosen in zip(models, ("auto", False), strict=True):
        model.fit(batches, epochs=12, compile=chosen)
    assert traces() == 1
    assert_alike(*models)


def test_shapes_that_rarely_come_are_not_traced(traces):
    batches = stream([*range(4, 44), *[16] * 20])
    models = [model_of(), model_of()]
    for model, chosen in zip(models, ("auto", False), strict=True):
        model.fit(batches, epochs=4, compile=chosen)
    assert traces() == 1
    assert_alike(*models)
