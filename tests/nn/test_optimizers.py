import copy

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn._optim import OPTIMIZERS as CLASSES

from .deviations import OPTIMIZERS, deviation, gradients, parameters

KINDS = sorted(kind.__name__ for kind in CLASSES.values())
LION = [("Lion", {}), ("Lion", {"betas": (0.8, 0.9), "weight_decay": 0.1})]


@pytest.mark.promise("H6")
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
@pytest.mark.peer
def test_a_thousand_steps_equal_pytorch(name, options):
    """With a changing learning rate, and a parameter that has a gradient only in every third step."""
    pytest.importorskip("torch")
    assert deviation(name, options) <= 1e-12


@pytest.mark.parametrize(("name", "options"), LION)
def test_lion_is_its_algorithm(name, options):
    ours = parameters()
    plain = [p.data.copy() for p in ours]
    means = [np.zeros_like(p) for p in plain]
    optimizer = nn.Lion(ours, lr=0.01, **options)
    beta1, beta2 = options.get("betas", (0.9, 0.99))
    rng = np.random.default_rng(1)
    for _ in range(200):
        for i, (p, g) in enumerate(zip(ours, gradients(rng), strict=True)):
            p.grad = g
            plain[i] = plain[i] * (1 - 0.01 * options.get("weight_decay", 0.0))
            plain[i] = plain[i] - 0.01 * np.sign(beta1 * means[i] + (1 - beta1) * g)
            means[i] = beta2 * means[i] + (1 - beta2) * g
        optimizer.step()
    for p, want in zip(ours, plain, strict=True):
        np.testing.assert_allclose(p.data, want, rtol=1e-12, atol=1e-13)


@pytest.mark.peer
def test_groups_equal_pytorch():
    torch = pytest.importorskip("torch")
    ours = parameters()
    theirs = [torch.tensor(p.data.copy(), requires_grad=True) for p in ours]

    def groups(params):
        return [
            {"params": params[:2], "lr": 0.1},
            {"params": params[2:], "weight_decay": 0.0, "betas": (0.5, 0.9)},
        ]

    optimizer = nn.AdamW(groups(ours), lr=0.01, weight_decay=0.2)
    peer = torch.optim.AdamW(groups(theirs), lr=0.01, weight_decay=0.2)
    rng = np.random.default_rng(1)
    for _ in range(100):
        for p, q, g in zip(ours, theirs, gradients(rng), strict=True):
            p.grad, q.grad = g, torch.tensor(g)
        optimizer.step()
        peer.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-12)


def test_adam_counts_updates():
    """After ten equal gradients the tenth step is as long as the first: lr, for both corrections cancel."""
    w = nn.Parameter([0.0])
    optimizer = nn.Adam([w], lr=0.1)
    for _ in range(10):
        w.grad = [3.0]
        optimizer.step()
    np.testing.assert_allclose(w.data, [-1.0], rtol=1e-7)
    assert optimizer.state_dict()["state"][0]["t"] == 10


@pytest.mark.parametrize(("name", "options"), [*OPTIMIZERS, *LION])
def test_float32_stays_float32_and_the_array_its_own(name, options):
    params = parameters(dtype=np.float32)
    arrays = [p.data for p in params]
    optimizer = getattr(nn, name)(params, **options)
    for p, g in zip(params, gradients(np.random.default_rng(0)), strict=True):
        p.grad = g
    optimizer.step()
    for p, array in zip(params, arrays, strict=True):
        assert p.data is array
        assert p.dtype == np.float32


@pytest.mark.promise("H7")
@pytest.mark.parametrize(("name", "options"), [*OPTIMIZERS, *LION])
def test_resuming_is_bit_equal(name, options):
    def train(params, optimizer, rng, steps):
        for _ in range(steps):
            for p, g in zip(params, gradients(rng), strict=True):
                p.grad = g
            optimizer.step()

    whole = parameters()
    optimizer = getattr(nn, name)(whole, lr=0.01, **options)
    rng = np.random.default_rng(2)
    train(whole, optimizer, rng, 7)
    saved, weights, drawn = optimizer.state_dict(), [p.data.copy() for p in whole], copy.deepcopy(rng)
    train(whole, optimizer, rng, 5)

    resumed = parameters(seed=9)
    for p, w in zip(resumed, weights, strict=True):
        p.data[...] = w
    fresh = getattr(nn, name)(resumed, lr=0.5, **options)
    fresh.load_state_dict(saved)
    train(resumed, fresh, drawn, 5)
    for a, b in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_a_state_that_does_not_fit_changes_nothing():
    params = parameters()
    optimizer = nn.Adam(params)
    for p in params:
        p.grad = np.ones(p.shape)
    optimizer.step()
    before = optimizer.state_dict()
    bad = optimizer.state_dict()
    bad["state"][0]["m"] = np.ones((3, 4))
    bad["state"][1]["v"] = bad["state"][1]["v"].astype(np.float32)
    bad["state"][9] = bad["state"][2]
    with pytest.raises(ValueError, match="nothing was loaded") as caught:
        optimizer.load_state_dict(bad)
    for text in ("state[0]['m']: (3, 4) float64", "state[1]['v']: (3,) float32", "state[9]: no such"):
        assert text in str(caught.value)
    with pytest.raises(ValueError, match="parameters"):
        optimizer.load_state_dict(nn.Adam(params[:2]).state_dict())
    with pytest.raises(ValueError, match="options"):
        optimizer.load_state_dict(nn.SGD(params).state_dict())
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for i in range(4):
        for name in ("m", "v"):
            np.testing.assert_array_equal(after["state"][i][name], before["state"][i][name])


@pytest.mark.promise("H2")
def test_a_parameter_without_gradient_is_left_alone():
    params = parameters()
    optimizer = nn.AdamW(params, weight_decay=0.5)
    params[1].grad = np.ones(3)
    before = [p.data.copy() for p in params]
    optimizer.step()
    assert [bool((p.data != b).any()) for p, b in zip(params, before, strict=True)] == [
        False,
        True,
        False,
        False,
    ]
    assert list(optimizer.state_dict()["state"]) == [1]


@pytest.mark.promise("H3")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "options"), [*OPTIMIZERS, *LION])
def test_a_gradient_that_is_not_finite_changes_nothing(name, options, value):
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Linear(3, 1, rng=1))
    groups = [{"params": list(model[0].parameters())}, {"params": list(model[1].parameters())}]
    optimizer = getattr(nn, name)(groups, **options)
    list(model.parameters())
    for p in model.parameters():
        p.grad = np.ones(p.shape)
    optimizer.step()
    weights, state = model.state_dict(), optimizer.state_dict()
    model[1].W.grad[1, 0] = value
    with pytest.raises(tg.NonFiniteError, match=rf"{name}.step: .*'1.W'.*1 of 3 places"):
        optimizer.step()
    for key, array in model.state_dict().items():
        np.testing.assert_array_equal(array, weights[key])
    np.testing.assert_equal(optimizer.state_dict(), state)


def test_large_finite_gradients_pass():
    w = nn.Parameter(np.zeros(3, np.float32))
    w.grad = np.full(3, 1e30, np.float32)  # its square overflows float32
    nn.SGD([w], lr=1e-30).step()
    np.testing.assert_allclose(w.data, -1, rtol=1e-6)


@pytest.mark.promise("C9")
@pytest.mark.parametrize("name", [name for name in KINDS if name != "LBFGS"])
def test_stepping_before_backward_is_noticed(name):
    w = nn.Parameter([1.0, 2.0], name="w")
    loss = (w * w).sum()
    w.grad = np.ones(2)
    getattr(nn, name)([w], lr=0.1).step()
    words = rf"multiply.*saved its input 'w'.*optimizer\.step\(\) of {name} has written.*version 1, expected 0"
    with pytest.raises(tg.InplaceError, match=words):
        loss.backward()


@pytest.mark.promise("H5")
def test_a_replaced_parameter_is_noticed():
    model = nn.Linear(2, 1, rng=0)
    optimizer = nn.SGD(model.parameters())
    model.W = nn.Parameter(np.ones((2, 1), np.float32))
    with pytest.raises(tg.GraphError, match="'W' was replaced"):
        optimizer.step()


@pytest.mark.promise("H5")
def test_a_cast_parameter_is_noticed():
    model = nn.Linear(2, 1, rng=0)
    optimizer = nn.SGD(model.parameters())
    model.to(np.float64)(np.ones((3, 2))).sum().backward()
    with pytest.raises(tg.GraphError, match=r"'W' was of shape .* float32 .* float64 now"):
        optimizer.step()


def test_lr_reads_and_sets_all_groups():
    params = parameters()
    optimizer = nn.SGD([{"params": params[:1]}, {"params": params[1:], "lr": 0.5}], lr=0.1)
    assert optimizer.lr == 0.1
    optimizer.lr = 0.2
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.2]
    with pytest.raises(ValueError, match="lr"):
        optimizer.lr = -1


def test_zero_grad_forgets():
    params = parameters()
    params[0].grad = np.ones((4, 3))
    nn.SGD(params).zero_grad()
    assert params[0].grad is None


@pytest.mark.promise("H1")
@pytest.mark.parametrize("name", [name for name in KINDS if name != "LBFGS"])
@pytest.mark.parametrize("option", ["lr", "weight_decay"])
@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_bad_options_are_refused(name, option, value):
    with pytest.raises(ValueError, match=rf"{name}: {option} .*got {value}"):
        getattr(nn, name)(parameters(), **{option: value})


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("Adam", {"betas": (0.9, 1.0)}, "betas"),
        ("AdamW", {"betas": (-0.1, 0.9)}, "betas"),
        ("Adam", {"betas": (0.9,)}, "betas"),
        ("Adam", {"betas": (0.9, np.nan)}, "betas"),
        ("Adam", {"eps": -1e-8}, "eps"),
        ("SGD", {"momentum": 1.0}, "momentum"),
        ("SGD", {"momentum": -0.5}, "momentum"),
        ("SGD", {"nesterov": True}, "nesterov"),
        ("SGD", {"momentum": 0.9, "nesterov": True, "dampening": 0.1}, "nesterov"),
        ("SGD", {"dampening": 2.0}, "dampening"),
        ("RMSprop", {"alpha": 1.0}, "alpha"),
        ("RMSprop", {"momentum": -1.0}, "momentum"),
        ("RMSprop", {"eps": -1.0}, "eps"),
        ("Adagrad", {"lr_decay": -1.0}, "lr_decay"),
        ("Adagrad", {"initial_accumulator_value": -1.0}, "initial_accumulator_value"),
        ("Adadelta", {"rho": 1.5}, "rho"),
        ("Adadelta", {"eps": 0.0}, "eps"),
        ("NAdam", {"betas": (1.0, 0.9)}, "betas"),
        ("NAdam", {"momentum_decay": -1.0}, "momentum_decay"),
        ("RAdam", {"betas": 0.9}, "betas"),
        ("Lion", {"betas": (0.9, 1.0)}, "betas"),
        ("LBFGS", {"max_iter": 0}, "max_iter"),
        ("LBFGS", {"history_size": 0}, "history_size"),
        ("LBFGS", {"tolerance_grad": -1.0}, "tolerance_grad"),
    ],
)
def test_bad_options_of_one_are_refused(name, options, text):
    with pytest.raises(ValueError, match=f"{name}: {text}"):
        getattr(nn, name)(parameters(), **options)


def used_up():
    generator = nn.Linear(2, 1).parameters()
    nn.SGD(generator)
    return generator


def twice():
    w = nn.Parameter([1.0], name="w")
    return [w, w]


@pytest.mark.promise("H1")
@pytest.mark.parametrize(
    ("params", "error", "text"),
    [
        (list, ValueError, "empty"),
        (used_up, ValueError, "a generator can be used only once"),
        (lambda: [{"params": []}], ValueError, "empty"),
        (lambda: [np.ones(3)], TypeError, r"params\[0\] must be a Parameter, got ndarray"),
        (lambda: np.ones(3), TypeError, "ndarray"),
        (lambda: nn.Parameter([1.0]), TypeError, r"\[parameter\]"),
        (lambda: nn.Linear(2, 1), TypeError, r"model.parameters\(\)"),
        (lambda: [nn.Parameter([1.0]) * 2], tg.GraphError, r"params\[0\] is the result"),
        (twice, ValueError, r"params\[1\] \('w'\) is given twice"),
        (lambda: [{"params": twice()[:1], "rate": 1}], TypeError, "unknown option 'rate'"),
        (lambda: [{"params": twice()[:1]}, nn.Parameter([1.0])], TypeError, "mixes"),
        (lambda: [tg.Tensor([1, 2])], tg.DTypeError, "int64"),
    ],
)
def test_bad_parameters_are_refused(params, error, text):
    with pytest.raises(error, match=text):
        nn.AdamW(params())


# --- clipping -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, np.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1e9])
@pytest.mark.peer
def test_clipping_equals_pytorch(norm_type, max_norm):
    torch = pytest.importorskip("torch")
    ours = parameters()
    theirs = [torch.tensor(p.data) for p in ours]
    for p, q, g in zip(ours, theirs, gradients(np.random.default_rng(0)), strict=True):
        p.grad, q.grad = g.copy(), torch.tensor(g)
    norm = nn.clip_grad_norm_(ours, max_norm, norm_type)
    want = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type).item()
    np.testing.assert_allclose(norm, want, rtol=1e-13)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-12)


@pytest.mark.promise("H4")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_is_an_error_by_default(value):
    params = parameters()
    params[0].grad, params[1].grad = np.ones((4, 3)), np.array([1.0, value, 1.0])
    with pytest.raises(tg.NonFiniteError, match=r"clip_grad_norm_.* p1"):
        nn.clip_grad_norm_(params, 1.0)
    np.testing.assert_array_equal(params[0].grad, 1)
    norm = nn.clip_grad_norm_(params, 1.0, error_if_nonfinite=False)
    np.testing.assert_equal(norm, value)


@pytest.mark.promise("H4")
def test_norms_without_overflow_and_of_nothing():
    w = nn.Parameter(np.zeros(2, np.float32))
    assert nn.clip_grad_norm_([w], 1.0) == 0.0
    w.grad = np.zeros(2)
    assert nn.clip_grad_norm_(w, 1.0) == 0.0
    np.testing.assert_array_equal(w.grad, 0)
    w.grad = np.full(2, 3e30)
    np.testing.assert_allclose(nn.clip_grad_norm_(w, 1.0), 3e30 * np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(w.grad, np.sqrt(0.5), rtol=1e-6)


@pytest.mark.parametrize("bound", [-1.0, np.nan])
def test_clipping_refuses_a_bound(bound):
    with pytest.raises(ValueError, match="max_norm"):
        nn.clip_grad_norm_(parameters(), bound)
    with pytest.raises(ValueError, match="clip_value"):
        nn.clip_grad_value_(parameters(), bound)


def test_clipping_values():
    w = nn.Parameter(np.zeros(4))
    w.grad = np.array([-5.0, -0.5, np.nan, np.inf])
    nn.clip_grad_value_([w, nn.Parameter([0.0])], 1.0)
    np.testing.assert_array_equal(w.grad, [-1, -0.5, np.nan, 1])


@pytest.mark.parametrize("lr", [float("nan"), -1.0, float("inf")])
def test_an_option_that_was_spoilt_is_refused_at_the_next_step(lr):
    p = nn.Parameter([1.0])
    optimizer = nn.SGD([p], lr=0.1)
    optimizer.param_groups[0]["lr"] = lr
    p.grad = [1.0]
    with pytest.raises(ValueError, match="lr"):
        optimizer.step()
    with pytest.raises(ValueError, match="lr"):
        optimizer.lr = lr
    assert p.data.tolist() == [1.0]
