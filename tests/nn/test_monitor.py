"""GradientMonitor: what it measures, in whose training."""

import math
import sys

import numpy as np
import pytest

import nn
import tensorgrad as tg

X = np.random.default_rng(0).standard_normal((64, 6)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 64)


def network(depth=3, activation="tanh", **options):
    return nn.MLP([6, *[5] * depth, 3], activation=activation, rng=0, **options)


def loss_of(model):
    return nn.functional.cross_entropy(model(X), Y)


def rms(array):
    return math.sqrt(np.mean(np.square(np.asarray(array, np.float64))))


def measured(model, **options):
    with nn.GradientMonitor(model, verbose=False, **options) as monitor:
        loss_of(model).backward()
        monitor.step()
    return monitor


# --- what is measured ---------------------------------------------------------------------------------------


def test_the_figures_are_those_of_the_arrays():
    model = network(depth=1)
    monitor = nn.GradientMonitor(model, verbose=False)
    optimizer = nn.SGD(model.parameters(), lr=0.5)
    before = model.layers[0].W.data.copy()
    with monitor:
        loss_of(model).backward()
        optimizer.step()
        monitor.step()
    first, last = model.layers[0], model.layers[2]
    gradient = first.W.grad
    h = np.tanh(X @ before)
    (figures, other) = monitor.measurements[0].figures.values()
    assert figures.act_rms == pytest.approx(rms(h), rel=1e-5)
    assert figures.spread == pytest.approx(rms(h - h.mean(axis=0)), rel=1e-5)
    assert figures.weight_rms == pytest.approx(rms(before), rel=1e-5)
    assert figures.weight_grad_rms == pytest.approx(rms(gradient), rel=1e-5)
    assert figures.update_rms == pytest.approx(0.5 * rms(gradient), rel=1e-5)
    assert figures.dead == 0
    assert figures.saturated == np.mean(abs(h) > 0.97)
    assert other.weight_grad_rms == pytest.approx(rms(last.W.grad), rel=1e-5)
    # dW = x'g, so that the gradient of the pre-activations gives that of the bias: its sum over the batch.
    out = tg.Tensor(h @ (last.W.data + 0.5 * last.W.grad) + last.b.data + 0.5 * last.b.grad, requires_grad=True)
    nn.functional.cross_entropy(out, Y).backward()
    assert other.grad_rms == pytest.approx(rms(out.grad), rel=1e-4)


def test_the_same_as_pytorch_with_batch_norm():
    torch = pytest.importorskip("torch")
    model = network(depth=2, activation="relu", norm="batch", dtype=np.float64)
    parts, kept, activated = [], [], []
    for part in model.layers:
        if isinstance(part, nn.Linear):
            parts.append(torch.nn.Linear(*part.W.shape, bias=part.b is not None, dtype=torch.float64))
            parts[-1].weight.data = torch.from_numpy(part.W.data.T.copy())
            if part.b is not None:
                parts[-1].bias.data = torch.from_numpy(part.b.data.copy())
        else:
            parts.append(
                torch.nn.BatchNorm1d(5, dtype=torch.float64) if isinstance(part, nn.BatchNorm) else torch.nn.ReLU()
            )
    theirs = torch.nn.Sequential(*parts)
    for module in theirs.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda m, i, out: (out.retain_grad(), kept.append(out))[0])
        elif isinstance(module, torch.nn.ReLU):
            module.register_forward_hook(lambda m, i, out: activated.append(out.detach().numpy()))
    torch.nn.functional.cross_entropy(theirs(torch.from_numpy(X.astype(np.float64))), torch.from_numpy(Y)).backward()
    with nn.GradientMonitor(model, verbose=False) as monitor:
        nn.functional.cross_entropy(model(X.astype(np.float64)), Y).backward()
        monitor.step()
    figures = list(monitor.measurements[0].figures.values())
    np.testing.assert_allclose([f.grad_rms for f in figures], [rms(z.grad) for z in kept], rtol=1e-8)
    np.testing.assert_allclose([f.act_rms for f in figures[:2]], [rms(a) for a in activated], rtol=1e-8)
    assert [f.dead for f in figures[:2]] == [np.mean(~(a != 0).any(axis=0)) for a in activated]
    assert [info.activation for info in monitor.layers] == ["relu", "relu", ""]
    assert [info.normed for info in monitor.layers] == [True, True, False]


class Functional(nn.Module):
    """The same network as ``network(depth=2)``, with functions as activations."""

    def __init__(self, like):
        super().__init__()
        self.parts = [like.layers[0], like.layers[2], like.layers[4]]

    def forward(self, x):
        first, second, last = self.parts
        return last(tg.tanh(second(tg.tanh(first(x)))))


def test_activations_that_are_functions_are_found_in_the_graph():
    model = network(depth=2)
    own, functional = measured(model), measured(Functional(model))
    assert [info.activation for info in functional.layers] == ["tanh", "tanh", ""]
    for ours, theirs in zip(
        own.measurements[0].figures.values(), functional.measurements[0].figures.values(), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, equal_nan=True)
    assert functional.forecast.slope == pytest.approx(own.forecast.slope)


class Gate(nn.Module):
    def forward(self, x):
        return x * tg.sigmoid(x)


def test_an_activation_of_the_users_own():
    model = nn.Sequential(nn.Linear(6, 5, rng=0), Gate(), nn.Linear(5, 3, rng=0))
    assert [info.activation for info in measured(model).layers] == ["Gate", ""]


def test_residual_blocks_and_convolutions():
    block = nn.Residual(nn.Sequential(nn.Linear(6, 6, rng=0), nn.ReLU()))
    monitor = measured(nn.Sequential(nn.Linear(6, 6, rng=0), nn.ReLU(), block, nn.Linear(6, 3, rng=0)))
    assert [info.activation for info in monitor.layers] == ["relu", "relu", ""]
    model = nn.Sequential(nn.Conv2d(1, 4, 3, rng=0), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 3, rng=0))
    with nn.GradientMonitor(model, verbose=False) as monitor:
        nn.functional.cross_entropy(model(X[:, None, :, None] * X[:, None, None]), Y).backward()
        monitor.step()
    assert len(monitor.layers[0].dead) == 4
    assert monitor.forecast is None


def test_dead_units_are_counted_by_unit():
    model = nn.Sequential(nn.Linear(6, 4, rng=0), nn.ReLU(), nn.Linear(4, 3, rng=0))
    model[0].b.data[...] = [-100, 1, 1, -100]
    monitor = nn.GradientMonitor(model, every=1, verbose=False)
    with monitor:
        for _ in range(3):
            loss_of(model).backward()
            monitor.step()
    assert monitor.layers[0].dead.tolist() == [3, 0, 0, 3]
    assert monitor.verdict.kind == "dead"


# --- in a loop of one's own -----------------------------------------------------------------------------------


def test_every_tenth_step_is_measured():
    model = network()
    with nn.GradientMonitor(model, every=10, verbose=False) as monitor:
        for _ in range(25):
            loss_of(model).backward()
            monitor.step()
    assert [m.step for m in monitor.measurements] == [0, 10, 20]
    assert monitor.steps == 25


def test_nothing_is_observed_at_other_steps_and_afterwards():
    model = network()
    with nn.GradientMonitor(model, every=3, verbose=False) as monitor:
        assert all(part._hooks for part in model.layers)
        for step in range(5):
            loss_of(model).backward()
            assert not any(module._hooks for module in model.modules())
            assert not any(p.node.extra is not None and p.node.extra.hooks for p in model.parameters())
            monitor.step()
            assert bool(model._hooks) == (step == 2)
    assert not any(module._hooks for module in model.modules())


def test_validation_within_a_step_is_not_measured():
    model = network()
    with nn.GradientMonitor(model, verbose=False) as monitor:
        with tg.no_grad():
            model(X[:7])
        loss_of(model).backward()
        loss_of(model).backward()  # the second pass neither
        monitor.step()
    (row,) = monitor.measurements
    assert row.figures["layers.0"].weight_grad_rms == pytest.approx(rms(model.layers[0].W.grad) / 2, rel=1e-5)


def test_the_gradients_are_unchanged():
    one, two = network(), network()
    loss_of(one).backward()
    measured(two)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        np.testing.assert_allclose(a.grad, b.grad, rtol=1e-6, atol=1e-9)


def test_frozen_weights_and_create_graph():
    model = network()
    model.layers[0].requires_grad_(False)
    with nn.GradientMonitor(model, verbose=False) as monitor:
        loss_of(model).backward(create_graph=True)
        monitor.step()
    figures = monitor.measurements[0].figures
    assert list(figures) == ["layers.2", "layers.4", "layers.6"]  # nothing requires a gradient in the first
    assert all(f.grad_rms > 0 for f in figures.values())


def test_memory_is_fixed():
    model = network(depth=1)
    with nn.GradientMonitor(model, every=1, verbose=False) as monitor:
        for _ in range(700):
            loss_of(model).backward()
            monitor.step()
    steps = [m.step for m in monitor.measurements]
    assert len(steps) <= 257
    assert (steps[0], steps[-1]) == (0, 699)
    assert len(set(np.diff(steps[:-1]))) == 1


def test_very_small_gradients_in_float32():
    model = network(depth=2)
    with nn.GradientMonitor(model, verbose=False) as monitor:
        (loss_of(model) * 1e-30).backward()
        monitor.step()
    small, usual = monitor.measurements[0].figures, measured(network(depth=2)).measurements[0].figures
    for path, figures in small.items():
        assert figures.grad_rms == pytest.approx(usual[path].grad_rms * 1e-30, rel=1e-3)


# --- in Model.fit ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [False, True])
def test_fit_with_a_monitor_trains_the_same(compiled):
    models = [nn.Model(network(norm="batch", dropout=0.2), rng=0) for _ in range(2)]
    monitor = nn.GradientMonitor(models[1], every=3, verbose=False)
    histories = [
        model.fit(X, Y, epochs=4, batch_size=16, callbacks=chosen, progress=False, compile=compiled)
        for model, chosen in zip(models, ([], [monitor]), strict=True)
    ]
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-4)
    assert monitor.steps == 16
    assert [m.step for m in monitor.measurements] == [0, 3, 6, 9, 12, 15]
    assert all(f.update_rms > 0 for m in monitor.measurements for f in m.figures.values())


def test_a_compiled_fit_keeps_its_program_at_other_steps(monkeypatch):
    model, calls = nn.Model(network(), rng=0), []
    forward = nn.Linear.forward
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: calls.append(1) or forward(self, x))
    monitor = nn.GradientMonitor(model, every=10, verbose=False)
    model.fit(X, Y, epochs=30, batch_size=64, callbacks=[monitor], progress=False, compile=True)
    # Four layers: the trial, the steps 0, 10 and 20, and one trace. A trace of such a step ends in the first layer.
    assert len(calls) == 4 * 5 + 3


def test_two_fits_go_on_counting():
    model = nn.Model(network(), rng=0)
    monitor = nn.GradientMonitor(model, every=3, verbose=False)
    for _ in range(2):
        model.fit(X, Y, epochs=2, batch_size=32, callbacks=[monitor], progress=False)
    assert [m.step for m in monitor.measurements] == [0, 3, 6]


def test_a_gradient_that_is_not_finite():
    model = nn.Model(network(), rng=0)
    monitor = nn.GradientMonitor(model, verbose=False)
    model.network.layers[2].W.data[0, 0] = np.nan
    with pytest.raises(tg.NonFiniteError), pytest.warns(RuntimeWarning, match="a loss that is nan"):
        model.fit(X, Y, callbacks=[monitor], progress=False)
    assert monitor.verdict.kind == "non-finite"
    assert "layers.2" in monitor.verdict.why


def test_a_verdict_is_printed_when_it_changes(capsys):
    model = network()
    with nn.GradientMonitor(model, every=1) as monitor:
        for step in range(4):
            if step == 2:
                for layer in model.layers:
                    if isinstance(layer, nn.Linear):
                        layer.W.data *= 30
            loss_of(model).backward()
            monitor.step()
    assert [(v.step, v.kind) for v in monitor.verdicts] == [(0, "healthy"), (2, "saturated")]
    printed = capsys.readouterr().out
    assert printed == f"{monitor.verdicts[1]}\n"
    assert printed.startswith("SATURATED at step 2: layers.")
    assert "\nremedy: smaller weights" in printed


def test_a_healthy_start_prints_nothing(capsys):
    with nn.GradientMonitor(network()) as monitor:
        loss_of(monitor.model).backward()
        monitor.step()
    assert monitor.verdict.kind == "healthy"
    assert capsys.readouterr().out == ""


# --- misuse ---------------------------------------------------------------------------------------------------


def test_arguments():
    with pytest.raises(TypeError, match="must be a Module"):
        nn.GradientMonitor([1])
    with pytest.raises(ValueError, match="every"):
        nn.GradientMonitor(network(), every=0)
    model = nn.Model(network(), rng=0)
    with pytest.raises(ValueError, match="another network"):
        model.fit(X, Y, callbacks=[nn.GradientMonitor(network())], progress=False)


def test_nothing_measured_yet():
    monitor = nn.GradientMonitor(network())
    assert monitor.verdict is None
    for ask in (monitor.report, monitor.plot):
        with pytest.raises(RuntimeError, match=r"nothing has been measured.*monitor\.step"):
            ask()
    assert "nothing measured" in repr(monitor)
    assert "nothing measured" in monitor._repr_html_()


def test_no_backward_pass():
    model = network()
    with nn.GradientMonitor(model, verbose=False) as monitor:
        loss_of(model)
        monitor.step()
    assert monitor.verdict.kind == "no gradient"


# --- shown ----------------------------------------------------------------------------------------------------


def test_the_report_as_text_and_html():
    monitor = measured(network(depth=8, activation="sigmoid", init="lecun_normal"))
    report = monitor.report()
    lines = str(report).splitlines()
    assert lines[0] == "step 0"
    assert lines[1].split()[:3] == ["path", "layer", "activation"]
    assert len(lines) == 2 + 9 + 2
    assert lines[-2].startswith("VANISHING  gradient -0.6")
    assert "the slope of a sigmoid is at most 1/4" in lines[-2]
    assert lines[-1].startswith("remedy")
    html = report._repr_html_()
    assert html.count("<tr>") == 1 + 9
    assert "<b>VANISHING</b>" in html
    assert monitor._repr_html_() == html


ALL_VIEWS = ("map", "gradient", "spread", "activations", "dead", "updates", "gradients", "units")


@pytest.mark.parametrize(("steps", "views"), [(1, ()), (3, ALL_VIEWS)])
def test_the_figure(steps, views):
    plt = pytest.importorskip("matplotlib.pyplot")
    model = network(depth=2, activation="relu")
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    with nn.GradientMonitor(model, every=1, verbose=False) as monitor:
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
            monitor.step()
    figure = monitor.plot(*views)
    try:
        figure.canvas.draw()
        assert len([axes for axes in figure.axes if axes.get_visible() and axes.get_title()]) == (len(views) or 6)
        assert monitor.verdict.kind in figure.get_suptitle()
    finally:
        plt.close(figure)
    figure = monitor.plot("gradient")
    line = figure.axes[0].lines[0].get_ydata()
    plt.close(figure)
    np.testing.assert_allclose(line, [f.grad_rms for f in monitor.measurements[0].figures.values()])


def test_an_unknown_view():
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match=r"no view 'heat'.*'map'"):
        measured(network()).plot("heat")


def test_plot_without_matplotlib(monkeypatch):
    monitor = measured(network())
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    monkeypatch.delitem(sys.modules, "nn._monitor.views", raising=False)
    monkeypatch.delitem(sys.modules, "nn._training.curves", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'tensorgrad-np\[notebook\]'"):
        monitor.plot()
