"""Steps that are skipped, compiled, pickled or minimise at once; and which parameters decay."""

import copy
import pickle

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .deviations import OPTIMIZERS, gradients, parameters

ALL = [*OPTIMIZERS, ("Lion", {"weight_decay": 0.1})]


@pytest.mark.promise("H3")
@pytest.mark.parametrize(("name", "options"), ALL)
def test_a_step_is_skipped_on_request(name, options):
    params = parameters()
    optimizer = getattr(nn, name)(params, lr=0.01, skip_nonfinite=True, **options)
    rng = np.random.default_rng(0)
    for p, g in zip(params, gradients(rng), strict=True):
        p.grad = g
    optimizer.step()
    before, state = [p.data.copy() for p in params], optimizer.state_dict()
    params[0].grad[2, 1] = np.nan
    optimizer.step()
    assert optimizer.skipped == 1
    for p, b in zip(params, before, strict=True):
        np.testing.assert_array_equal(p.data, b)
    np.testing.assert_equal(optimizer.state_dict(), state)
    params[0].grad[2, 1] = 1.0
    optimizer.step()
    assert optimizer.skipped == 1
    assert all((p.data != b).any() for p, b in zip(params, before, strict=True))


@pytest.mark.parametrize(("name", "options"), ALL)
def test_compiled_steps_have_the_eager_bits(name, options):
    def training():
        model = nn.MLP([3, 5, 2], norm="batch", dtype=np.float64, rng=0)
        optimizer = getattr(nn, name)(nn.no_decay(model), lr=0.01, **options)

        def step(x):
            optimizer.zero_grad()
            loss = (model(x) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss

        return model, optimizer, step

    model, optimizer, step = training()
    twin, twin_optimizer, twin_step = training()
    compiled = tg.compile(twin_step)
    rng = np.random.default_rng(0)
    for i in range(12):
        optimizer.lr = twin_optimizer.lr = 0.01 / (1 + i)
        x = rng.normal(size=(4, 3))
        assert step(x).item() == compiled(x).item()
    for (path, array), other in zip(model.state_dict().items(), twin.state_dict().values(), strict=True):
        np.testing.assert_array_equal(array, other, err_msg=path)
    np.testing.assert_equal(optimizer.state_dict(), twin_optimizer.state_dict())


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
@pytest.mark.parametrize(("name", "options"), ALL)
def test_copies_go_on_alike(name, options, duplicate):
    params = parameters()
    optimizer = getattr(nn, name)(params, lr=0.01, **options)
    rng = np.random.default_rng(3)

    def step(params, optimizer, given):
        for p, g in zip(params, given, strict=True):
            p.grad = g
        optimizer.step()

    step(params, optimizer, gradients(rng))
    twins, twin = duplicate((params, optimizer))
    for _ in range(3):
        given = gradients(rng)
        step(params, optimizer, [g.copy() for g in given])
        step(twins, twin, given)
    for p, q in zip(params, twins, strict=True):
        assert p is not q
        np.testing.assert_array_equal(p.data, q.data)


# --- L-BFGS ---------------------------------------------------------------------------------------------


def minimising(params, loss, **options):
    optimizer = nn.LBFGS(params, **options)

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    return optimizer, closure


def test_lbfgs_solves_least_squares():
    pytest.importorskip("scipy")
    rng = np.random.default_rng(0)
    A, b = rng.normal(size=(30, 4)), rng.normal(size=(30, 1))
    layer = nn.Linear(4, 1, bias=False, dtype=np.float64, rng=0)
    options = {"max_iter": 200, "tolerance_change": 0.0, "tolerance_grad": 1e-10}
    optimizer, closure = minimising(layer.parameters(), lambda: ((layer(A) - b) ** 2).sum(), **options)
    before = ((A @ layer.W.data - b) ** 2).sum()
    first = optimizer.step(closure)
    np.testing.assert_allclose(first.item(), before)
    np.testing.assert_allclose(layer.W.data, np.linalg.lstsq(A, b, rcond=None)[0], rtol=1e-7)


def test_lbfgs_goes_through_rosenbrocks_valley_in_float32():
    pytest.importorskip("scipy")
    w = nn.Parameter(np.array([-1.2, 1.0], np.float32))
    memory = w.data
    optimizer, closure = minimising([w], lambda: (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2, max_iter=200)
    optimizer.step(closure)
    assert w.data is memory
    assert w.dtype == np.float32
    np.testing.assert_allclose(w.data, 1, atol=1e-2)


def test_lbfgs_stays_at_the_best_where_the_loss_breaks_down():
    pytest.importorskip("scipy")
    w = nn.Parameter([3.0], name="w")
    values = []

    def loss():
        values.append(float(w.data[0]))
        # From the third evaluation on, there is no number.
        return (w * w).sum() if len(values) < 3 else (w * np.nan).sum()

    optimizer, closure = minimising([w], loss)
    with pytest.raises(tg.NonFiniteError, match=r"LBFGS.step: the gradient of 'w'"), pytest.warns(RuntimeWarning):
        optimizer.step(closure)
    assert w.data[0] == min(values[:2], key=abs)


def test_lbfgs_refuses():
    w, v = nn.Parameter([1.0]), nn.Parameter([1.0])
    with pytest.raises(TypeError, match="a closure is missing"):
        nn.LBFGS([w]).step()
    with pytest.raises(ValueError, match="in one group"):
        nn.LBFGS([{"params": [w]}, {"params": [v]}])


# --- what decays ----------------------------------------------------------------------------------------


def test_no_decay_leaves_out_biases_norms_and_slopes():
    model = nn.Sequential(
        nn.Conv1d(2, 4, 3, rng=0),
        nn.GroupNorm(2, 4),
        nn.PReLU(4),
        nn.Flatten(),
        nn.Linear(4, 3, rng=0),
        nn.LayerNorm((1, 3)),  # two axes, and a norm's all the same
    )
    list(model.parameters())
    groups = nn.no_decay(model)
    names = [[p.name for p in group["params"]] for group in groups]
    assert names == [["0.W", "4.W"], ["0.b", "1.gamma", "1.beta", "2.slope", "4.b", "5.gamma", "5.beta"]]
    assert "weight_decay" not in groups[0]
    assert groups[1]["weight_decay"] == 0


def test_no_decay_has_no_empty_group_and_every_parameter_once():
    assert len(nn.no_decay(nn.Linear(2, 1, bias=False, rng=0))) == 1
    (biases,) = nn.no_decay(nn.BatchNorm(3))
    assert biases["weight_decay"] == 0
    shared = nn.Linear(2, 2, rng=0)
    groups = nn.no_decay(nn.Sequential(shared, nn.ReLU(), shared))
    assert sum(len(group["params"]) for group in groups) == 2
    with pytest.raises(ValueError, match="ReLU has no parameters"):
        nn.no_decay(nn.ReLU())
