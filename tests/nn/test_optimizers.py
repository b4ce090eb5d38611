import copy

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn._optim import registry

from .deviations import NAMES, OPTIMIZERS, PEERS, deviation, gradients, parameters


@pytest.mark.promise("H6")
@pytest.mark.parametrize(("name", "options"), PEERS)
@pytest.mark.peer
def test_a_thousand_steps_equal_pytorch(name, options):
    assert deviation(name, options) <= 1e-12


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
    """After ten equal gradients the tenth step is as long as the first, lr: the two corrections cancel."""
    w = nn.Parameter([0.0])
    optimizer = nn.Adam([w], lr=0.1)
    for _ in range(10):
        w.grad = [3.0]
        optimizer.step()
    np.testing.assert_allclose(w.data, [-1.0], rtol=1e-7)
    assert optimizer.state_dict()["state"][0]["t"] == 10


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_no_gradient_is_no_step_in_float16(name, options):
    """An eps that float16 rounds to 0 causes no division by 0, and a square that underflows no giant step."""
    w = nn.Parameter([0.0, 0.0], dtype=np.float16)
    optimizer = getattr(nn, name)([w], lr=0.01, **options)
    for _ in range(3):
        w.grad = np.array([0, 1e-4], np.float16)
        optimizer.step()
    assert w.data[0] == 0
    assert abs(w.data[1]) < 0.1


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
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
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
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
    fresh = getattr(nn, name)(resumed, lr=0.5)  # options come with the state
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
    for part, value, text in (
        ("state", {**before["state"], 0: {**before["state"][0], "t": -1}}, "t must be an integer of at least 0"),
        ("state", {**before["state"], 0: {**before["state"][0], "t": 1.5}}, "t must be an integer of at least 0"),
        ("state", {0: 1}, "expected a dict of dicts"),
        ("param_groups", [{**before["param_groups"][0], "lr": "x"}], "lr must be a finite number"),
        ("param_groups", [{**before["param_groups"][0], "betas": None}], "betas must be"),
        ("param_groups", None, "expected dicts with 'params'"),
        ("param_groups", [{"lr": 1.0}], "expected dicts with 'params'"),
    ):
        with pytest.raises(ValueError, match=f"nothing was loaded:\n.*{text}"):
            optimizer.load_state_dict({**before, part: value})
        with pytest.raises(ValueError, match="expected 'state' and 'param_groups'"):
            optimizer.load_state_dict({key: value for key, value in before.items() if key != part})
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
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
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


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_a_read_only_parameter_changes_nothing(name, options):
    params = parameters()
    optimizer = getattr(nn, name)(params, **options)
    stepped(optimizer, params)
    weights, state = [p.data.copy() for p in params], optimizer.state_dict()
    params[2].data.flags.writeable = False
    with pytest.raises(ValueError, match=rf"{name}.step: the array of parameter 'p2' is read-only"):
        optimizer.step()
    for p, w in zip(params, weights, strict=True):
        np.testing.assert_array_equal(p.data, w)
    np.testing.assert_equal(optimizer.state_dict(), state)


def test_large_finite_gradients_pass():
    w = nn.Parameter(np.zeros(3, np.float32))
    w.grad = np.full(3, 1e30, np.float32)  # its square overflows float32
    nn.SGD([w], lr=1e-30).step()
    np.testing.assert_allclose(w.data, -1, rtol=1e-6)


@pytest.mark.promise("C9")
@pytest.mark.parametrize("name", NAMES)
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
    with pytest.raises(tg.GraphError, match=r"'W' had shape .* float32 .* float64 now"):
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
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("option", ["lr", "weight_decay"])
@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_bad_options_are_refused(name, option, value):
    with pytest.raises(ValueError, match=rf"{name}: {option} .*got {value}"):
        getattr(nn, name)(parameters(), **{option: value})


@pytest.mark.promise("H1")
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
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov"),
        ("SGD", {"dampening": 1.5}, "dampening"),
        ("RMSprop", {"alpha": 1.0}, "alpha"),
        ("RMSprop", {"momentum": np.nan}, "momentum"),
        ("RMSprop", {"eps": -1.0}, "eps"),
        ("Adagrad", {"lr_decay": -1.0}, "lr_decay"),
        ("Adagrad", {"initial_accumulator_value": np.nan}, "initial_accumulator_value"),
        ("Adadelta", {"rho": -0.1}, "rho"),
        ("Adadelta", {"eps": np.nan}, "eps"),
        ("NAdam", {"betas": (0.9, 1.0)}, "betas"),
        ("NAdam", {"momentum_decay": -1.0}, "momentum_decay"),
        ("RAdam", {"betas": 0.9}, "betas"),
        ("Lion", {"betas": (0.9, 1.5)}, "betas"),
        ("LBFGS", {"max_iter": 0}, "max_iter"),
        ("LBFGS", {"max_eval": 1.5}, "max_eval"),
        ("LBFGS", {"history_size": None}, "history_size"),
        ("LBFGS", {"tolerance_grad": -1.0}, "tolerance_grad"),
        ("LBFGS", {"tolerance_change": "1"}, "tolerance_change"),
        ("LBFGS", {"max_iter": True}, "max_iter"),
        ("SGD", {"lr": "0.1"}, "lr"),
        ("SGD", {"lr": None}, "lr"),
        ("SGD", {"weight_decay": True}, "weight_decay"),
        ("SGD", {"momentum": "0.9"}, "momentum"),
        ("SGD", {"dampening": None}, "dampening"),
        ("Adam", {"betas": ("a", "b")}, "betas"),
        ("Adam", {"betas": (0.9, None)}, "betas"),
        ("Adam", {"betas": None}, "betas"),
        ("Adam", {"eps": np.inf}, "eps"),
        ("RMSprop", {"alpha": "x"}, "alpha"),
        ("Adagrad", {"lr_decay": np.inf}, "lr_decay"),
        ("Adadelta", {"rho": None}, "rho"),
        ("NAdam", {"momentum_decay": "x"}, "momentum_decay"),
    ],
)
def test_bad_options_of_one_are_refused(name, options, text):
    with pytest.raises(ValueError, match=f"{name}: {text}"):
        getattr(nn, name)(parameters(), **options)


@pytest.mark.parametrize("name", NAMES)
def test_options_may_be_numpy_numbers(name):
    """float16 holds these options exactly, so that the steps are equal to the bit."""
    for kind in (np.float16, np.float32, np.float64):
        params, others = parameters(), parameters()
        stepped(getattr(nn, name)(params, lr=0.25, weight_decay=0.5), params)
        stepped(getattr(nn, name)(others, lr=kind(0.25), weight_decay=kind(0.5)), others)
        for p, q in zip(params, others, strict=True):
            np.testing.assert_array_equal(p.data, q.data)


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


def stepped(optimizer, params, steps=1, seed=3):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        for p, g in zip(params, gradients(rng), strict=True):
            p.grad = g
        optimizer.step()


def test_lion_equals_its_paper():
    """Algorithm 2 of Chen et al. (2023), written with NumPy."""
    params = parameters()
    want = [p.data.copy() for p in params]
    means = [np.zeros(p.shape) for p in params]
    optimizer = nn.Lion(params, lr=0.01, betas=(0.8, 0.95), weight_decay=0.1)
    rng = np.random.default_rng(1)
    for _ in range(1000):
        for i, (p, g) in enumerate(zip(params, gradients(rng), strict=True)):
            p.grad = g
            want[i] = want[i] - 0.01 * (np.sign(0.8 * means[i] + 0.2 * g) + 0.1 * want[i])
            means[i] = 0.95 * means[i] + 0.05 * g
        optimizer.step()
    for p, w in zip(params, want, strict=True):
        np.testing.assert_allclose(p.data, w, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_parts_and_layouts_do_not_matter(name, options, monkeypatch):
    """The same bits from concatenated parameters, from ones cut into rows, and from other memory orders."""
    results = []
    for block, order in ((1 << 18, "C"), (40, "C"), (40, "F")):
        monkeypatch.setattr("nn._optim.parts.BLOCK", block)
        params = [nn.Parameter(p.data.copy(order=order)) for p in parameters()]
        optimizer = getattr(nn, name)(params, lr=0.01, **options)
        rng = np.random.default_rng(3)
        for step in range(9):
            for i, (p, g) in enumerate(zip(params, gradients(rng), strict=True)):
                p.grad = None if step < 2 and i == 2 else g.copy(order=order)
            optimizer.step()
        results.append([p.data.tobytes() for p in params])
        assert all(p.grad is not None for p in params)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_a_step_does_not_write_to_gradients(name, options, monkeypatch):
    monkeypatch.setattr("nn._optim.parts.BLOCK", 40)  # rows of one are not copied
    params = parameters()
    optimizer = getattr(nn, name)(params, lr=0.01, **options)
    for p, g in zip(params, gradients(np.random.default_rng(3)), strict=True):
        p.grad = g
    before = [p.grad.copy() for p in params]
    optimizer.step()
    for p, g in zip(params, before, strict=True):
        np.testing.assert_array_equal(p.grad, g)


@pytest.mark.parametrize("block", [1 << 18, 200])
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_a_compiled_step_gives_the_same_bits(name, options, block, monkeypatch):
    monkeypatch.setattr("nn._optim.parts.BLOCK", block)
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(8, 6)), rng.integers(0, 3, 8)) for _ in range(9)]

    def trained(compiled):
        model = nn.MLP([6, 7, 3], dtype=np.float64, rng=0)
        optimizer = getattr(nn, name)(nn.no_decay(model), lr=0.01, **options)

        def step(X, y):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(X), y)
            loss.backward()
            optimizer.step()
            return loss

        run = tg.compile(step) if compiled else step
        for number, (X, y) in enumerate(batches):
            optimizer.lr = 0.01 / (1 + number)
            (step if number == 4 else run)(X, y)  # eager and compiled steps may take turns
        return model.state_dict(), optimizer.state_dict()

    np.testing.assert_equal(trained(True), trained(False))


def test_a_compiled_step_follows_parameters_with_different_pasts():
    """A parameter that missed an eager step has a different t from its neighbour, even in a program traced before."""

    def trained(compiled):
        params = [nn.Parameter([1.0, 2.0]), nn.Parameter([3.0])]
        optimizer = nn.Adam(params, lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loss = ((params[0] * x) ** 2).sum() + (params[1] ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss

        run = tg.compile(step) if compiled else step
        for number in range(6):
            if number == 2:
                optimizer.zero_grad()
                params[1].grad = [0.5]
                optimizer.step()
            run(np.array([1.0 + number, 2.0]))
        return [p.data for p in params], optimizer.state_dict()

    np.testing.assert_equal(trained(True), trained(False))


@pytest.mark.promise("H3")
@pytest.mark.parametrize("name", NAMES)
def test_a_step_that_is_skipped_changes_nothing(name):
    params = parameters()
    optimizer = getattr(nn, name)([{"params": params[:2]}, {"params": params[2:]}], skip_nonfinite=True)
    stepped(optimizer, params)
    weights, state = [p.data.copy() for p in params], optimizer.state_dict()
    params[3].grad[1] = np.nan
    optimizer.step()
    assert optimizer.skipped == 1
    for p, w in zip(params, weights, strict=True):
        np.testing.assert_array_equal(p.data, w)
    np.testing.assert_equal(optimizer.state_dict(), state)
    stepped(optimizer, params)
    assert optimizer.skipped == 1
    assert (params[0].data != weights[0]).any()


def test_a_step_that_may_skip_runs_uncompiled():
    w = nn.Parameter([1.0, 2.0])
    optimizer = nn.SGD([w], lr=0.1, skip_nonfinite=True)

    @tg.compile
    def step(x):
        w.grad = tg.array_of(w) * 0.0 + x
        optimizer.step()

    with pytest.warns(RuntimeWarning, match=r"ran uncompiled .*SGD.step: skip_nonfinite branches on values"):
        step(np.ones(2))
    np.testing.assert_allclose(w.data, [0.9, 1.9])
    step(np.array([1.0, np.inf]))
    np.testing.assert_allclose(w.data, [0.9, 1.9])
    assert optimizer.skipped == 1


def test_a_closure_is_called_first_and_its_loss_returned():
    w = nn.Parameter([3.0])
    optimizer = nn.SGD([w], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9.0
    assert w.data.tolist() == [1.5]


def test_state_is_made_for_options_in_use():
    params = parameters()
    optimizer = nn.SGD(params)
    stepped(optimizer, params)
    assert set(optimizer.state_dict()["state"][0]) == {"t"}
    optimizer.param_groups[0]["momentum"] = 0.9
    stepped(optimizer, params)
    state = optimizer.state_dict()
    assert set(state["state"][0]) == {"t", "momentum"}
    fresh = nn.SGD(params)
    fresh.load_state_dict(state)
    np.testing.assert_equal(fresh.state_dict(), state)


@pytest.mark.promise("H7")
@pytest.mark.parametrize(
    ("name", "options"),
    [("SGD", {"momentum": 0.9}), ("RMSprop", {"momentum": 0.9, "centered": True}), ("Adam", {"amsgrad": True})],
)
def test_options_switched_on_since_the_last_step_are_resumed(name, options, tmp_path):
    model = nn.Linear(2, 1, rng=0)
    params = list(model.parameters())
    optimizer = getattr(nn, name)(params)
    for p in params:
        p.grad = np.ones(p.shape, p.dtype)
    optimizer.step()
    optimizer.param_groups[0].update(options)
    nn.save(tmp_path / "model.npz", model, optimizer)
    loaded = nn.load(tmp_path / "model.npz")
    others = list(loaded.model.parameters())
    loaded.optimizer.load_state_dict(optimizer.state_dict())
    for opt, members in ((optimizer, params), (loaded.optimizer, others)):
        for p in members:
            p.grad = np.full(p.shape, 3, p.dtype)
        opt.step()
    for p, q in zip(params, others, strict=True):
        np.testing.assert_array_equal(p.data, q.data)


@pytest.mark.parametrize(
    ("name", "options", "off"),
    [
        ("SGD", {"momentum": 0.9}, {"momentum": 0.0}),
        ("RMSprop", {"momentum": 0.9, "centered": True}, {"momentum": 0.0, "centered": False}),
        ("Adam", {"amsgrad": True}, {"amsgrad": False}),
    ],
)
def test_options_may_be_switched_off_and_on(name, options, off):
    """While they are off, a step is that of an optimiser that never had them on, given the same state."""
    params, others = parameters(), parameters()
    optimizer, plain = getattr(nn, name)(params, **options), getattr(nn, name)(others, **off)
    stepped(optimizer, params)
    for p, q in zip(params, others, strict=True):
        q.data[...] = p.data
    optimizer.param_groups[0].update(off)
    plain.load_state_dict(optimizer.state_dict())
    for opt, mine in ((optimizer, params), (plain, others)):
        stepped(opt, mine, seed=4)
    for p, q in zip(params, others, strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    optimizer.param_groups[0].update(options)
    stepped(optimizer, params)
    assert set(optimizer.state_dict()["state"][0]) > set(plain.state_dict()["state"][0])


def test_a_state_of_groups_that_need_different_arrays_goes_round():
    params = parameters()
    optimizer = nn.Adam([{"params": params[:2]}, {"params": params[2:], "amsgrad": True}])
    stepped(optimizer, params)
    state = optimizer.state_dict()
    assert [sorted(entry) for entry in state["state"].values()] == [["m", "t", "v"]] * 2 + [
        ["m", "t", "v", "v_max"]
    ] * 2
    others = parameters(1)
    fresh = nn.Adam([{"params": others[:2]}, {"params": others[2:], "amsgrad": True}])
    fresh.load_state_dict(state)
    np.testing.assert_equal(fresh.state_dict(), state)
    one, two = state["state"][0], state["state"][3]
    state["state"] |= {0: {**one, "v_max": one["v"]}, 3: {name: two[name] for name in ("t", "m", "v")}}
    with pytest.raises(ValueError, match=r"state\[0\]: .*'v_max'.*\n.*state\[3\]: .*expected .*'v_max'"):
        fresh.load_state_dict(state)


def test_a_state_with_options_out_of_range_is_refused():
    params = parameters()
    optimizer = nn.SGD(params, lr=0.1)
    state = optimizer.state_dict()
    state["param_groups"][0]["lr"] = -1.0
    with pytest.raises(ValueError, match=r"nothing was loaded:\n.*param_groups\[0\]: SGD: lr .* got -1.0"):
        optimizer.load_state_dict(state)
    assert optimizer.lr == 0.1


def test_optimizers_by_name():
    for name, kind in registry.OPTIMIZERS.items():
        assert kind is getattr(nn, kind.__name__)
        assert name == kind.__name__.lower()
    assert set(registry.OPTIMIZERS) == {name.lower() for name in NAMES} | {"lbfgs"}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "Adagrad"])
def test_a_parabola_is_descended(name):
    w = nn.Parameter([3.0, -2.0])
    optimizer = getattr(nn, name)([w])
    optimizer.lr = 1.0 if name == "Adadelta" else 0.02
    for _ in range(3000):
        optimizer.zero_grad()
        ((w - [1.0, 5.0]) ** 2).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(w.data, [1.0, 5.0], atol=0.05)


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


# --- groups added later --------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_group_added_later_is_updated_like_one_of_a_new_optimiser(name, options, compiled):
    """The first group goes on; the second has the updates of an optimiser that was made when it was added."""
    old, new, alone = parameters(), parameters(), parameters()
    whole = getattr(nn, name)(old, **options)
    other = getattr(nn, name)(alone, **options)

    def step():
        whole.zero_grad()
        sum(((p - 1.0) ** 2).sum() for p in (*old, *new)).backward()
        whole.step()

    run = tg.compile(step) if compiled else step
    for _ in range(2):
        run()
    assert all(np.array_equal(p.data, q.data) for p, q in zip(new, alone, strict=True))
    whole.add_param_group({"params": (p for p in new)})
    for _ in range(3):
        run()
        other.zero_grad()
        sum(((p - 1.0) ** 2).sum() for p in alone).backward()
        other.step()
    for p, q in zip(new, alone, strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-12, atol=1e-14)
    state = whole.state_dict()
    assert {entry["t"] for entry in state["state"].values()} == {3, 5}
    again = getattr(nn, name)([{"params": parameters()}, {"params": parameters()}], **options)
    again.load_state_dict(state)
    assert again.state_dict()["param_groups"] == state["param_groups"]


@pytest.mark.peer
def test_an_added_group_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    arrays = [np.array([1.0, -2.0]), np.array([0.5])]
    mine = [nn.Parameter(a) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    ours, peer = nn.AdamW(mine[:1], lr=0.1), torch.optim.AdamW(theirs[:1], lr=0.1)
    for i in range(5):
        if i == 2:
            for optimizer, (_, second) in ((ours, mine), (peer, theirs)):
                optimizer.add_param_group({"params": second, "lr": 0.02, "weight_decay": 0.0})
        for optimizer, params in ((ours, mine), (peer, theirs)):
            optimizer.zero_grad()
            sum((p**2).sum() for p in params).backward()
            optimizer.step()
    for p, q in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-12)


def test_an_added_group_goes_through_a_file_and_takes_no_decay(tmp_path):
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.BatchNorm(3), nn.Linear(3, 1, rng=1))
    optimizer = nn.AdamW(model[2].parameters(), lr=0.1, weight_decay=0.5)
    for group in nn.no_decay(model[:2]):
        optimizer.add_param_group({**group, "lr": 0.01})
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.5, 0.0]
    model(np.ones((4, 2), np.float32)).sum().backward()
    optimizer.step()
    nn.save(tmp_path / "model.npz", model, optimizer)
    loaded = nn.load(tmp_path / "model.npz")
    got, want = loaded.optimizer.state_dict(), optimizer.state_dict()
    assert got["param_groups"] == want["param_groups"]
    assert [p.name for p in loaded.optimizer.param_groups[1]["params"]] == ["0.W"]
    loaded.optimizer.add_param_group({"params": [nn.Parameter([1.0])]})
    assert loaded.optimizer.param_groups[3]["weight_decay"] == 0.5


def test_groups_that_are_not_added():
    w, other = nn.Parameter([1.0]), nn.Parameter([2.0], name="other")
    optimizer = nn.SGD([w], lr=0.1)
    for group, error, text in (
        ([other], TypeError, r"add_param_group: expected a dict with 'params', got .*; write {"),
        ({"lr": 0.1}, TypeError, "expected a dict with 'params'"),
        ({"params": []}, ValueError, "'params' of a group is empty"),
        ({"params": w}, ValueError, r"params\[1\] is already in a group"),
        ({"params": [other, other]}, ValueError, r"params\[2\] \('other'\) is given twice"),
        ({"params": other, "betas": 3}, TypeError, "unknown option 'betas', expected lr, momentum"),
        ({"params": other, "lr": -1.0}, ValueError, "lr must be a finite number of at least 0, got -1.0"),
        ({"params": [3.0]}, TypeError, r"params\[1\] must be a Parameter, got float"),
        ({"params": other * 2}, tg.GraphError, "result of an operation"),
    ):
        with pytest.raises(error, match=text):
            optimizer.add_param_group(group)
    assert len(optimizer.param_groups) == 1
    assert optimizer.state_dict()["param_groups"][0]["params"] == [0]
    with pytest.raises(ValueError, match="in one group, got 2"):
        nn.LBFGS([w]).add_param_group({"params": other})


def test_how_optimisers_show():
    w = nn.Parameter([1.0])
    optimizer = nn.SGD([{"params": [w]}, {"params": parameters(), "lr": 0.5}], lr=0.1, skip_nonfinite=True)
    w.grad = [1.0]
    optimizer.step()
    count = len(parameters())
    options = "momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0"
    assert repr(optimizer).splitlines() == [
        "SGD(steps=1, skip_nonfinite=True",
        f"  (0): 1 parameter, lr=0.1, {options}",
        f"  (1): {count} parameters, lr=0.5, {options}",
        ")",
    ]
    assert repr(nn.LBFGS([w])).startswith("LBFGS(\n  (0): 1 parameter, max_iter=20,")


@pytest.mark.parametrize("gradient", [0.1, 0.3, 1 / 3, 0.7])
def test_a_variance_that_rounds_below_zero_is_zero(gradient):
    """Of a constant gradient the variance is zero; computed as a difference it may come out negative."""
    w = nn.Parameter(np.ones(5), dtype=np.float32)
    optimizer = nn.RMSprop([w], lr=1e-12, alpha=0.5, centered=True)
    for _ in range(60):
        w.grad = np.full(5, gradient, np.float32)
        optimizer.step()
    assert np.isfinite(w.data).all()
    state = optimizer.state_dict()["state"][0]
    assert np.isfinite(state["square_avg"]).all()
