import json
import math
import pickle

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .fits import data


def halved(step):
    return 0.5 ** (step / 100)


def risen(step):
    return 1 - 0.9**step


# (name, arguments, the number of steps that PyTorch allows or for which its recursion stays close)
SCHEDULES = [
    ("StepLR", {"step_size": 7}, 300),
    ("StepLR", {"step_size": 30, "gamma": 0.7}, 300),
    ("MultiStepLR", {"milestones": [3, 50, 50, 120], "gamma": 0.5}, 300),
    ("ExponentialLR", {"gamma": 0.97}, 300),
    ("CosineAnnealingLR", {"T_max": 50}, 300),
    ("CosineAnnealingLR", {"T_max": 300, "eta_min": 0.001}, 300),
    ("CosineAnnealingWarmRestarts", {"T_0": 40}, 300),
    ("CosineAnnealingWarmRestarts", {"T_0": 10, "T_mult": 2, "eta_min": 0.001}, 300),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 3}, 300),
    ("LinearLR", {}, 300),
    ("LinearLR", {"start_factor": 0.01, "end_factor": 0.5, "total_iters": 100}, 300),
    ("PolynomialLR", {}, 300),
    ("PolynomialLR", {"total_iters": 200, "power": 0.9}, 300),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 7}, 300),
    ("CyclicLR", {"base_lr": [0.01, 0.0], "max_lr": 0.3, "step_size_up": 5, "step_size_down": 9}, 300),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": [0.3, 0.2], "step_size_up": 9, "mode": "triangular2"}, 300),
    (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 4, "mode": "exp_range", "gamma": 0.99, "base_momentum": 0.5},
        300,
    ),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 6, "cycle_momentum": False}, 300),
    ("LambdaLR", {"lr_lambda": halved}, 300),
    ("LambdaLR", {"lr_lambda": [halved, risen]}, 300),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 300}, 299),
    ("OneCycleLR", {"max_lr": [0.3, 0.1], "total_steps": 300, "pct_start": 0.4, "anneal_strategy": "linear"}, 299),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 250, "three_phase": True, "div_factor": 10.0}, 249),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 101, "pct_start": 0.0, "cycle_momentum": False}, 100),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 50, "base_momentum": 0.5, "final_div_factor": 10.0}, 49),
]
NAMES = list(dict.fromkeys(name for name, *_ in SCHEDULES))


def optimizer(kind=nn.SGD, **options):
    groups = [{"params": [nn.Parameter([1.0])]}, {"params": [nn.Parameter([2.0])], "lr": 0.02}]
    return kind(groups, lr=0.1, **options)


def arguments(name, options):
    """As positional and keyword arguments, which both libraries take."""
    if name == "CyclicLR":
        return {"base_lr": 0.01, "max_lr": 0.3, **options}
    return {"total_steps": 300, "max_lr": 0.3, **options} if name == "OneCycleLR" else options


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
@pytest.mark.parametrize(("name", "options", "steps"), SCHEDULES)
def test_rates_equal_pytorch(name, options, steps, kind):
    torch = pytest.importorskip("torch")
    momentum = {"momentum": 0.9} if kind == "SGD" and name == "CyclicLR" else {}
    ours = optimizer(getattr(nn, kind), **momentum)
    groups = [{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)], "lr": 0.02}]
    theirs = getattr(torch.optim, kind)(groups, lr=0.1, **momentum)
    schedule = getattr(nn, name)(ours, **options)
    peer = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    for _ in range(steps + 1):
        np.testing.assert_allclose(schedule.get_last_lr(), peer.get_last_lr(), rtol=1e-12, atol=1e-12)
        for group, other in zip(ours.param_groups, theirs.param_groups, strict=True):
            for key in ("momentum", "betas"):
                if key in group:
                    np.testing.assert_allclose(group[key], other[key], rtol=1e-12)
        if schedule.last_epoch < steps:
            schedule.step()
            peer.step()


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_a_sequence_equals_pytorch():
    torch = pytest.importorskip("torch")
    ours = optimizer()
    theirs = torch.optim.SGD([{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)], "lr": 0.02}], lr=0.1)

    def made(module, of):
        parts = [
            module.LinearLR(of, start_factor=0.1, total_iters=20),
            module.CosineAnnealingLR(of, T_max=100, eta_min=1e-3),
            module.ExponentialLR(of, gamma=0.9),
        ]
        return module.SequentialLR(of, parts, milestones=[20, 120])

    schedule, peer = made(nn, ours), made(torch.optim.lr_scheduler, theirs)
    for _ in range(200):
        np.testing.assert_allclose(schedule.get_last_lr(), peer.get_last_lr(), rtol=1e-12, atol=1e-12)
        schedule.step()
        peer.step()


@pytest.mark.peer
@pytest.mark.parametrize(
    "options",
    [
        {"patience": 3},
        {"mode": "max", "patience": 2, "factor": 0.5, "threshold": 0.05},
        {"threshold_mode": "abs", "threshold": 0.1, "patience": 1, "cooldown": 4, "min_lr": [1e-3, 1e-2]},
        {"mode": "max", "threshold_mode": "abs", "threshold": 0.2, "patience": 0, "factor": 0.9, "min_lr": 0.01},
    ],
)
def test_plateaus_equal_pytorch(options):
    torch = pytest.importorskip("torch")
    ours = optimizer()
    theirs = torch.optim.SGD([{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)], "lr": 0.02}], lr=0.1)
    schedule = nn.ReduceLROnPlateau(ours, **options)
    peer = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    rng = np.random.default_rng(0)
    metrics = [*(rng.normal(size=60) * 0.3 - np.arange(60) / 30), math.nan, *rng.normal(size=20)]
    seen = set()
    for metric in metrics:
        schedule.step(metric)
        peer.step(metric)
        assert schedule.get_last_lr() == peer.get_last_lr()
        assert (schedule.best, schedule.num_bad_epochs) == (peer.best, peer.num_bad_epochs)
        seen.add(schedule.get_last_lr()[0])
    assert len(seen) > 2


def test_a_plateau_takes_a_tensor():
    given = optimizer()
    schedule = nn.ReduceLROnPlateau(given, patience=0)
    loss = nn.Parameter([2.0]).sum()
    schedule.step(loss)
    schedule.step(loss)
    assert given.lr == pytest.approx(0.01)


def made(name, options, of):
    if name == "SequentialLR":
        parts = [nn.LinearLR(of, total_iters=4), nn.OneCycleLR(of, 0.3, 20), nn.StepLR(of, 3)]
        return nn.SequentialLR(of, parts, milestones=[4, 15])
    return getattr(nn, name)(of, **options)


@pytest.mark.parametrize(("name", "options", "steps"), [*SCHEDULES, ("SequentialLR", {}, 30)])
@pytest.mark.promise("H7")
def test_resuming_goes_on_alike(name, options, steps):
    """Through JSON, into a schedule with other settings; the optimiser's state is loaded before or after it."""
    whole = optimizer()
    schedule = made(name, options, whole)
    for _ in range(10):
        schedule.step()
    saved, state = json.loads(json.dumps(schedule.state_dict())), whole.state_dict()
    expected = []
    for _ in range(min(steps, 30) - 10):
        schedule.step()
        expected.append(schedule.get_last_lr())
    for optimizer_first in (False, True):
        other = optimizer()
        resumed = made(name, options, other)
        if optimizer_first:
            other.load_state_dict(state)
        resumed.load_state_dict(saved)
        if not optimizer_first:
            other.load_state_dict(state)
        for lrs in expected:
            resumed.step()
            assert resumed.get_last_lr() == lrs
    assert pickle.loads(pickle.dumps(schedule)).get_last_lr() == schedule.get_last_lr()


def test_settings_come_with_the_state():
    schedule = nn.StepLR(optimizer(), step_size=2, gamma=0.5)
    for _ in range(3):
        schedule.step()
    other = optimizer()
    nn.StepLR(other, step_size=100).load_state_dict(schedule.state_dict())
    assert other.lr == schedule.get_last_lr()[0] == 0.05


def test_a_plateau_resumes():
    schedule = nn.ReduceLROnPlateau(optimizer(), patience=1)
    for metric in (1.0, 2.0):
        schedule.step(metric)
    other = optimizer()
    resumed = nn.ReduceLROnPlateau(other, patience=1)
    resumed.load_state_dict(schedule.state_dict())
    resumed.step(2.0)
    assert other.lr == pytest.approx(0.01)


@pytest.mark.parametrize(("name", "options"), [*((n, o) for n, o, _ in SCHEDULES), ("SequentialLR", {})])
def test_a_state_that_does_not_fit_changes_nothing(name, options):
    schedule = made(name, options, optimizer())
    before = schedule.state_dict()
    for bad in (
        {**before, "last_epoch": 5, "rate": 1},
        {**before, "last_epoch": 5, "base_lrs": [0.1]},
        {key: value for key, value in before.items() if key != "base_lrs"},
    ):
        with pytest.raises(ValueError, match=f"{name}.load_state_dict: nothing was loaded"):
            schedule.load_state_dict(bad)
        assert schedule.state_dict() == before


@pytest.mark.parametrize(
    ("name", "options", "bad", "text"),
    [
        ("StepLR", {"step_size": 3}, {"step_size": 0}, "step_size"),
        ("StepLR", {"step_size": 3}, {"gamma": "x"}, "gamma"),
        ("StepLR", {"step_size": 3}, {"last_epoch": -1}, "last_epoch"),
        ("StepLR", {"step_size": 3}, {"base_lrs": ["x", 0.1]}, "base_lrs"),
        ("StepLR", {"step_size": 3}, {"base_lrs": None}, "base_lrs"),
        ("MultiStepLR", {"milestones": [2]}, {"milestones": 2}, "milestones"),
        ("PolynomialLR", {}, {"total_iters": 0}, "total_iters"),
        ("PolynomialLR", {}, {"power": -1.0}, "power"),
        ("CyclicLR", {}, {"max_lrs": [0.1]}, "max_lr"),
        ("CyclicLR", {}, {"min_lrs": -1.0}, "base_lr"),
        ("CyclicLR", {}, {"mode": "square"}, "mode must be 'triangular', 'triangular2', 'exp_range', got 'square'"),
        ("CyclicLR", {}, {"step_size_down": 0}, "step_size_down"),
        ("OneCycleLR", {}, {"last_epoch": 301}, "beyond the last of total_steps=300"),
        ("OneCycleLR", {}, {"max_lrs": [0.1]}, "max_lr"),
        ("ReduceLROnPlateau", {}, {"min_lrs": [0.1]}, "min_lr"),
        ("ReduceLROnPlateau", {}, {"patience": 2.5}, "patience"),
        ("ReduceLROnPlateau", {}, {"best": None}, "best"),
        ("SequentialLR", {}, {"milestones": [1]}, "milestones"),
        ("SequentialLR", {}, {"schedulers": 3}, "got 3, expected 3"),
        ("SequentialLR", {}, {"last_epoch": "1"}, "last_epoch"),
    ],
)
def test_settings_out_of_range_are_not_loaded(name, options, bad, text):
    schedule = made(name, arguments(name, options), optimizer())
    before, lrs = schedule.state_dict(), schedule.get_last_lr()
    for state in ({**before, **bad}, {k: v for k, v in before.items() if k not in bad}, None):
        with pytest.raises(ValueError, match=rf"{name}.load_state_dict: nothing was loaded: .*"):
            schedule.load_state_dict(state)
    with pytest.raises(ValueError, match=text):
        schedule.load_state_dict({**before, **bad})
    assert (schedule.state_dict(), schedule.get_last_lr()) == (before, lrs)


def test_a_sequence_looks_at_all_parts_before_it_takes_any():
    schedule = made("SequentialLR", {}, optimizer())
    before = schedule.state_dict()
    bad = schedule.state_dict()
    bad["schedulers"][0]["last_epoch"] = 3
    del bad["schedulers"][2]["gamma"]
    with pytest.raises(ValueError, match=r"StepLR.load_state_dict: nothing was loaded"):
        schedule.load_state_dict(bad)
    with pytest.raises(ValueError, match="2 schedulers, expected 3"):
        schedule.load_state_dict({**before, "schedulers": before["schedulers"][:2]})
    assert schedule.state_dict() == before


def test_schedules_start_from_the_rate_of_the_optimiser():
    """Whatever an earlier schedule has set; but a rate that was set by hand is the new base."""
    given = optimizer()
    for _ in range(2):
        schedule = nn.ExponentialLR(given, gamma=0.5)
        assert given.lr == 0.1
        schedule.step()
        assert given.lr == 0.05
    given.lr = 0.3
    assert nn.StepLR(given, step_size=1).base_lrs == [0.3, 0.3]


def test_a_schedule_can_bring_the_rate_to_zero():
    w = nn.Parameter([1.0])
    given = nn.AdamW([w], lr=0.1)
    schedule = nn.CosineAnnealingLR(given, T_max=2)
    for _ in range(4):
        w.grad = [1.0]
        given.step()
        schedule.step()
    assert given.lr == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("StepLR", {"step_size": 0}, "step_size"),
        ("StepLR", {"step_size": 2.5}, "step_size"),
        ("StepLR", {"step_size": 2, "gamma": -1.0}, "gamma"),
        ("MultiStepLR", {"milestones": [3, 1]}, "milestones"),
        ("MultiStepLR", {"milestones": [0.5]}, "milestones"),
        ("ExponentialLR", {"gamma": math.nan}, "gamma"),
        ("ExponentialLR", {"gamma": math.inf}, "gamma"),
        ("CosineAnnealingLR", {"T_max": 0}, "T_max"),
        ("CosineAnnealingLR", {"T_max": 5, "eta_min": -1.0}, "eta_min"),
        ("CosineAnnealingWarmRestarts", {"T_0": 0}, "T_0"),
        ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 0}, "T_mult"),
        ("LinearLR", {"start_factor": 0.0}, "start_factor"),
        ("LinearLR", {"end_factor": 1.5}, "end_factor"),
        ("LinearLR", {"total_iters": 0}, "total_iters"),
        ("OneCycleLR", {"max_lr": -1.0}, "max_lr"),
        ("OneCycleLR", {"max_lr": [0.1, 0.2, 0.3]}, "max_lr"),
        ("OneCycleLR", {"total_steps": 0}, "total_steps"),
        ("OneCycleLR", {"pct_start": 1.5}, "pct_start"),
        ("OneCycleLR", {"anneal_strategy": "exp"}, "anneal_strategy"),
        ("OneCycleLR", {"base_momentum": 1.0}, "base_momentum"),
        ("OneCycleLR", {"div_factor": 0.0}, "div_factor"),
        ("ReduceLROnPlateau", {"mode": "best"}, "mode"),
        ("ReduceLROnPlateau", {"factor": 1.0}, "factor"),
        ("ReduceLROnPlateau", {"patience": -1}, "patience"),
        ("ReduceLROnPlateau", {"cooldown": 0.5}, "cooldown"),
        ("ReduceLROnPlateau", {"threshold_mode": "both"}, "threshold_mode"),
        ("ReduceLROnPlateau", {"min_lr": [0.1]}, "min_lr"),
        ("ReduceLROnPlateau", {"min_lr": "0.1"}, "min_lr"),
        ("ReduceLROnPlateau", {"threshold": math.inf}, "threshold"),
        ("ReduceLROnPlateau", {"factor": None}, "factor"),
        ("ReduceLROnPlateau", {"patience": True}, "patience"),
        ("StepLR", {"step_size": True}, "step_size"),
        ("StepLR", {"step_size": 2, "gamma": "x"}, "gamma"),
        ("MultiStepLR", {"milestones": 3}, "milestones"),
        ("MultiStepLR", {"milestones": "12"}, "milestones"),
        ("LinearLR", {"start_factor": "x"}, "start_factor"),
        ("LinearLR", {"end_factor": None}, "end_factor"),
        ("OneCycleLR", {"max_lr": "x"}, "max_lr"),
        ("OneCycleLR", {"max_lr": True}, "max_lr"),
        ("OneCycleLR", {"max_momentum": "x"}, "max_momentum"),
        ("OneCycleLR", {"final_div_factor": None}, "final_div_factor"),
    ],
)
def test_bad_arguments_are_refused(name, options, text):
    given = optimizer()
    with pytest.raises(ValueError, match=f"{name}: {text} must be .*got"):
        getattr(nn, name)(given, **arguments(name, options))
    assert [group["lr"] for group in given.param_groups] == [0.1, 0.02]


@pytest.mark.parametrize(
    ("name", "ours", "plain"),
    [
        ("StepLR", (np.int64(3), np.float32(0.5)), (3, 0.5)),
        ("MultiStepLR", (np.array([1, 2]), np.float64(0.5)), ([1, 2], 0.5)),
        ("CosineAnnealingLR", (np.int32(5),), (5,)),
        ("OneCycleLR", (np.float32(0.5), np.int64(10)), (0.5, 10)),
        ("OneCycleLR", (np.array([0.5, 0.25]), 10), ([0.5, 0.25], 10)),
    ],
)
def test_numbers_of_numpy_are_numbers(name, ours, plain):
    one, two = (getattr(nn, name)(optimizer(), *args) for args in (ours, plain))
    assert json.dumps(one.state_dict()) == json.dumps(two.state_dict())
    for _ in range(4):
        one.step()
        two.step()
        assert one.get_last_lr() == two.get_last_lr()


def test_a_plateau_takes_numbers_of_numpy():
    schedule = nn.ReduceLROnPlateau(optimizer(), patience=np.int64(1), min_lr=np.float32(0.5))
    assert schedule.state_dict()["min_lrs"] == [0.5, 0.5]
    assert type(schedule.state_dict()["patience"]) is int


def test_what_a_schedule_cannot_be_made_of():
    given = optimizer()
    with pytest.raises(TypeError, match="StepLR: optimizer must be an Optimizer, got float"):
        nn.StepLR(0.1, step_size=2)
    with pytest.raises(AttributeError, match="LBFGS has no learning rate"):
        nn.StepLR(nn.LBFGS([nn.Parameter([1.0])]), step_size=2)
    with pytest.raises(ValueError, match="cycle_momentum must be False with Adagrad"):
        nn.OneCycleLR(optimizer(nn.Adagrad), 0.1, 10)
    parts = [nn.StepLR(given, 2), nn.StepLR(given, 3)]
    with pytest.raises(ValueError, match="milestones must be one fewer than the 2 schedulers"):
        nn.SequentialLR(given, parts, [1, 2])
    with pytest.raises(ValueError, match=r"schedulers\[1\], a StepLR, belongs to another optimiser"):
        nn.SequentialLR(given, [parts[0], nn.StepLR(optimizer(), 2)], [1])
    with pytest.raises(TypeError, match=r"schedulers\[0\] must be .*got ReduceLROnPlateau"):
        nn.SequentialLR(given, [nn.ReduceLROnPlateau(given), parts[0]], [1])


def test_one_cycle_ends():
    given = optimizer()
    schedule = nn.OneCycleLR(given, 1.0, total_steps=3, anneal_strategy="linear")
    for _ in range(3):
        schedule.step()
    assert given.lr == pytest.approx(1 / 25 / 1e4)
    with pytest.raises(ValueError, match="step 4 is beyond the last of total_steps=3"):
        schedule.step()
    assert schedule.last_epoch == 3


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_a_plateau_takes_an_improvement_by_just_the_threshold_for_none(mode, threshold_mode, threshold):
    given = nn.SGD([nn.Parameter([0.0])], lr=1.0)
    schedule = nn.ReduceLROnPlateau(given, mode, threshold=threshold, threshold_mode=threshold_mode)
    schedule.step(1.0)
    edge, beyond = (1.0 + threshold, 2.0) if mode == "max" else (1.0 - threshold, 0.25)
    schedule.step(edge)
    assert (schedule.best, schedule.num_bad_epochs) == (1.0, 1)
    schedule.step(beyond)
    assert (schedule.best, schedule.num_bad_epochs) == (beyond, 0)


def test_a_plateau_sees_the_first_figure_whatever_the_threshold():
    optimizer = nn.SGD([nn.Parameter([0.0])], lr=1.0)
    schedule = nn.ReduceLROnPlateau(optimizer, threshold=1.0, patience=1)
    schedule.step(1.0)
    assert schedule.best == 1.0


def test_what_a_lambda_schedule_refuses():
    for given, error, text in (
        (3, TypeError, "must be a function, or a list of them, got 3"),
        ([halved, 3], TypeError, "got 3"),
        ([halved], ValueError, "one function, or 2, one per group"),
        (lambda step: -1.0, ValueError, "the factor at step 0 must be a finite number of at least 0, got -1.0"),
        (lambda step: float("nan"), ValueError, "the factor at step 0"),
    ):
        of = optimizer()
        with pytest.raises(error, match=text):
            nn.LambdaLR(of, given)
        assert of.lr == 0.1


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({"name": "cosine", "T_max": 30}, "CosineAnnealingLR"),
        ({"name": "polynomial", "total_iters": 30, "power": 2.0}, "PolynomialLR"),
        ({"name": "exponential", "gamma": 0.9}, "ExponentialLR"),
    ],
)
def test_a_warm_up_by_name_equals_pytorch(spec, name):
    torch = pytest.importorskip("torch")
    network = nn.MLP([2, 3, 1], rng=0)
    model = nn.Model(network, loss="mse", optimizer={"name": "sgd", "lr": 0.1}, schedule={**spec, "warmup": 9})
    theirs = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    schedules = torch.optim.lr_scheduler
    rise = schedules.LinearLR(theirs, start_factor=0.1, total_iters=9)
    options = {key: value for key, value in spec.items() if key != "name"}
    peer = schedules.SequentialLR(theirs, [rise, getattr(schedules, name)(theirs, **options)], milestones=[9])
    for _ in range(40):
        np.testing.assert_allclose(model.optimizer.lr, peer.get_last_lr()[0], rtol=1e-12, atol=1e-12)
        model.schedule.step()
        peer.step()


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"name": "plateau", "warmup": 3}, "warmup needs a schedule that begins with .*, got ReduceLROnPlateau"),
        ({"name": "one_cycle", "max_lr": 1.0, "total_steps": 9, "warmup": 3}, "got OneCycleLR; leave it out, or take"),
        ({"name": "cosine", "T_max": 3, "warmup": -1}, "warmup must be an integer of at least 0, got -1"),
        ({"name": "cosine", "T_max": 3, "warmup": 0.5}, "warmup must be an integer of at least 0, got 0.5"),
        ({"name": "cosine", "T_max": 3, "warmpu": 3}, "unexpected keyword argument 'warmpu'"),
    ],
)
def test_a_warm_up_that_is_refused(spec, text):
    with pytest.raises(ValueError, match=text):
        nn.Model(nn.MLP([2, 3, 1], rng=0), loss="mse", schedule=spec)


def test_a_model_with_a_warm_up_goes_through_a_file(tmp_path):
    def made():
        spec = {"name": "cosine", "T_max": 6, "warmup": 3}
        return nn.Model(nn.MLP([2, 3, 1], rng=0), loss="mse", schedule=spec, rng=0)

    model = made()
    x = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    model.fit(x, x[:, :1], epochs=2, progress=False)
    nn.save(tmp_path / "model.npz", model)
    for again in (nn.load(tmp_path / "model.npz").model, nn.load(tmp_path / "model.npz", model=made()).model):
        assert again.schedule.get_last_lr() == model.schedule.get_last_lr()
        again.schedule.step()
        assert again.optimizer.lr == pytest.approx(0.001)


@pytest.mark.parametrize("nested", [False, True])
def test_the_progress_of_a_function_is_loaded_into_a_model_made_the_same_way(tmp_path, nested):
    def schedule(of):
        function = nn.LambdaLR(of, halved)
        return nn.SequentialLR(of, [nn.StepLR(of, 1), function], milestones=[1]) if nested else function

    def made():
        return nn.Model(nn.MLP([2, 3, 1], rng=0), loss="mse", schedule=schedule, rng=0)

    model = made()
    for _ in range(5):
        model.schedule.step()
    nn.save(tmp_path / "model.npz", model)
    again = nn.load(tmp_path / "model.npz", model=made()).model
    assert (again.schedule.last_epoch, again.optimizer.lr) == (5, model.optimizer.lr)
    again.schedule.step()
    model.schedule.step()
    assert again.optimizer.lr == model.optimizer.lr
    with pytest.raises(tg.CheckpointError, match="halved is a function"):
        nn.load(tmp_path / "model.npz")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ExponentialLR", {"gamma": 0.5}),
        ("LambdaLR", {"lr_lambda": halved}),
        ("OneCycleLR", {"max_lr": 0.3, "total_steps": 300}),
        ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 7}),
        ("SequentialLR", {}),
    ],
)
def test_a_group_added_later_joins_the_schedule(name, options):
    of, whole = optimizer(), optimizer()
    schedule = made(name, options, of)
    whole.add_param_group({"params": [nn.Parameter([3.0])], "lr": 0.05})
    from_the_start = made(name, options, whole)
    for _ in range(3):
        schedule.step()
        from_the_start.step()
    of.add_param_group({"params": [nn.Parameter([3.0])], "lr": 0.05})
    if name == "ExponentialLR":
        assert schedule.state_dict()["base_lrs"] == [0.1, 0.02, 0.05]
    for _ in range(10):
        schedule.step()
        from_the_start.step()
        assert schedule.get_last_lr() == from_the_start.get_last_lr()
    again = made(name, options, of)
    again.load_state_dict(schedule.state_dict())
    assert again.get_last_lr() == schedule.get_last_lr()


def test_a_plateau_takes_a_group_added_later():
    of = optimizer()
    schedule = nn.ReduceLROnPlateau(of, patience=0, min_lr=0.004)
    of.add_param_group({"params": [nn.Parameter([3.0])], "lr": 0.02})
    for _ in range(2):
        schedule.step(1.0)
    assert schedule.get_last_lr() == pytest.approx([0.01, 0.004, 0.004])


def test_settings_for_each_group_do_not_fit_a_group_added_later():
    of = optimizer()
    schedule = nn.OneCycleLR(of, [0.3, 0.1], 300)
    of.add_param_group({"params": [nn.Parameter([3.0])]})
    before = schedule.get_last_lr()
    with pytest.raises(ValueError, match=r"max_lrs has 2 different values, and the optimiser now has 3 groups"):
        schedule.step()
    assert (schedule.get_last_lr(), schedule.last_epoch) == (before, 0)
    assert schedule.state_dict()["max_lrs"] == [0.3, 0.1]
    of = optimizer()
    plateau = nn.ReduceLROnPlateau(of, patience=0, min_lr=[0.01, 0.001])
    plateau.step(1.0)
    of.add_param_group({"params": [nn.Parameter([3.0])]})
    with pytest.raises(ValueError, match=r"min_lrs has 2 different values, and the optimiser now has 3 groups"):
        plateau.step(2.0)


def test_how_schedules_show():
    schedule = nn.StepLR(optimizer(), step_size=2, gamma=0.5)
    schedule.step()
    assert repr(schedule) == "StepLR(base_lrs=[0.1, 0.02], step_size=2, gamma=0.5, last_epoch=1, lr=[0.1, 0.02])"
    of = optimizer()
    assert "lr_lambdas=[halved, halved]" in repr(nn.LambdaLR(of, halved))
    assert repr(nn.SequentialLR(of, [nn.LinearLR(of), nn.StepLR(of, 3)], [4])).splitlines() == [
        "SequentialLR(milestones=[4], last_epoch=0",
        f"  (0): {nn.LinearLR(of)!r}",
        f"  (1): {nn.SequentialLR(of, [nn.LinearLR(of), nn.StepLR(of, 3)], [4]).schedulers[1]!r}",
        ")",
    ]


# --- in a model -----------------------------------------------------------------------------------------


def model(schedule, **options):
    options = {"optimizer": {"name": "sgd", "lr": 0.1}, "metrics": ["accuracy"], "rng": 0, **options}
    return nn.Model(nn.MLP([4, 3], rng=0), schedule=schedule, **options)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ({"name": "cosine", "T_max": 3}, [0.1, 0.075, 0.025]),
        ({"name": "one_cycle", "max_lr": 0.4, "total_steps": 3, "cycle_momentum": False, "pct_start": 0.5}, None),
        ({"name": "polynomial", "total_iters": 3}, [0.1, 0.2 / 3, 0.1 / 3]),
        ({"name": "linear", "start_factor": 1.0, "end_factor": 0.0, "total_iters": 3}, [0.1, 0.2 / 3, 0.1 / 3]),
    ],
)
def test_a_schedule_that_has_ended_begins_anew_in_the_next_fit(schedule, rates):
    X, y = data(32)
    trained = model(schedule)
    first, second = trained.fit(X, y, epochs=3)["lr"], trained.fit(X, y, epochs=3)["lr"]
    assert first == second
    assert min(second) > 0
    if rates is not None:
        np.testing.assert_allclose(first, rates, rtol=1e-9)


def test_a_sequence_begins_anew_from_its_first_part():
    X, y = data(32)

    def warm_up_and_cosine(optimizer):
        warm_up = nn.LinearLR(optimizer, start_factor=0.5, total_iters=2)
        return nn.SequentialLR(optimizer, [warm_up, nn.CosineAnnealingLR(optimizer, T_max=2)], milestones=[2])

    trained = model(warm_up_and_cosine)
    first = trained.fit(X, y, epochs=4)["lr"]
    np.testing.assert_allclose(first, [0.05, 0.075, 0.1, 0.05], rtol=1e-9)
    assert trained.fit(X, y, epochs=4)["lr"] == first


def test_a_schedule_begins_anew_from_a_rate_that_was_set_by_hand():
    X, y = data(32)
    for schedule in ({"name": "cosine", "T_max": 2}, lambda o: nn.SequentialLR(o, [nn.CosineAnnealingLR(o, 2)], [])):
        trained = model(schedule)
        trained.fit(X, y, epochs=2)
        trained.optimizer.lr = 0.01
        np.testing.assert_allclose(trained.fit(X, y, epochs=2)["lr"], [0.01, 0.005], rtol=1e-9)


def test_a_schedule_of_ones_own_needs_a_step_and_no_more():
    class Halving:
        def __init__(self, optimizer):
            self.optimizer = optimizer

        def step(self):
            self.optimizer.lr /= 2

    X, y = data(32)
    trained = model(Halving)
    assert trained.fit(X, y, epochs=3)["lr"] == [0.1, 0.05, 0.025]


@pytest.mark.parametrize(
    "schedule",
    [
        {"name": "cosine", "T_max": 6},
        {"name": "step", "step_size": 2},
        {"name": "exponential", "gamma": 0.5},
        {"name": "linear", "start_factor": 0.5, "total_iters": 2},
        {"name": "cosine_restarts", "T_0": 2},
    ],
)
def test_a_schedule_that_has_not_ended_goes_on(schedule):
    X, y = data(32)
    parts, whole = model(schedule), model(schedule)
    rates = [*parts.fit(X, y, epochs=3)["lr"], *parts.fit(X, y, epochs=3)["lr"]]
    assert rates == whole.fit(X, y, epochs=6)["lr"]


@pytest.mark.parametrize("monitor", ["val_accuracy", "accuracy", "val_loss", "loss", "grad_norm"])
def test_a_plateau_follows_the_column_it_monitors(monitor):
    X, y = data(32)
    mode = "min" if monitor == "grad_norm" else "auto"
    trained = model({"name": "plateau", "monitor": monitor, "mode": mode, "patience": 0})
    given, step = [], trained.schedule.step
    trained.schedule.step = lambda value: (given.append(value), step(value))
    history = trained.fit(X, y, epochs=4, validation_split=0.25)
    assert given == history[monitor]
    assert trained.schedule.mode == ("max" if "accuracy" in monitor else "min")


class Climbing(nn.Module):
    """A network whose accuracy climbs while its loss gets worse."""

    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(np.zeros(1))
        self.epoch = 0

    def forward(self, x):
        right = np.arange(len(x)) < 8 * self.epoch
        return tg.asarray(np.where(right, 1.0, -1.0 - 2 * self.epoch)[:, None]) + 0.0 * self.W


class Next(nn.Callback):
    def on_epoch_end(self, fit):
        fit.model.network.epoch += 1


def test_the_rate_stays_while_the_accuracy_climbs():
    X, y = np.zeros((64, 1)), np.ones((64, 1))
    rates = {}
    for monitor in ("accuracy", "loss"):
        schedule = {"name": "plateau", "monitor": monitor, "patience": 0, "factor": 0.5}
        options = {"optimizer": {"name": "sgd", "lr": 0.1}, "schedule": schedule, "metrics": ["accuracy"], "rng": 0}
        trained = nn.Model(Climbing(), loss="bce_with_logits", **options)
        history = trained.fit(X, y, epochs=4, batch_size=64, callbacks=[Next()])
        assert history["accuracy"] == [0.0, 0.125, 0.25, 0.375]
        rates[monitor] = history["lr"]
    assert rates == {"accuracy": [0.1] * 4, "loss": [0.1, 0.1, 0.05, 0.025]}


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ({"name": "plateau", "mode": "max"}, "mode='max', but it follows the loss, .* monitor='val_accuracy'"),
        ({"name": "plateau", "monitor": "loss", "mode": "max"}, "mode='max' contradicts 'loss', of which less"),
        ({"name": "plateau", "monitor": "val_mae", "mode": "max"}, "mode='max' contradicts 'val_mae', of which less"),
        ({"name": "plateau", "monitor": "val_accuracy", "mode": "min"}, "contradicts 'val_accuracy', of which more"),
        ({"name": "plateau", "monitor": "val_f1_macro", "mode": "min"}, "contradicts 'val_f1_macro', of which more"),
        ({"name": "plateau", "monitor": "lr"}, "whether more or less of 'lr' is better cannot be told"),
        ({"name": "plateau", "mode": "least"}, "mode must be 'min' or 'max', got 'least'"),
        ({"name": "plateau", "monitor": 3}, "monitor must be the name of a column, or None, got 3"),
    ],
)
def test_a_plateau_that_goes_the_wrong_way_is_refused(schedule, text):
    with pytest.raises(ValueError, match=text):
        model(schedule)


@pytest.mark.parametrize(
    ("monitor", "options", "fit", "text"),
    [
        ("val_loss", {}, {}, "'val_loss', which is not among loss, accuracy, lr, grad_norm, seconds; give fit val"),
        ("val_r2", {}, {"validation_split": 0.5}, "'val_r2', which is not among loss, accuracy, val_loss, val_acc"),
        ("accuracy", {"schedule_every": "step"}, {}, "'accuracy', which is not among loss;"),
    ],
)
def test_a_column_that_will_not_be_there_is_named_before_training(monitor, options, fit, text):
    trained = model({"name": "plateau", "monitor": monitor}, **options)
    with pytest.raises(KeyError, match=text):
        trained.fit(*data(32), **fit)
    assert len(trained.history) == 0


@pytest.mark.parametrize(
    ("column", "mode"),
    [
        ("loss", "min"),
        ("val_log_loss", "min"),
        ("val_rmse", "min"),
        ("balanced_accuracy", "max"),
        ("top_5_accuracy", "max"),
        ("val_roc_auc", "max"),
        ("average_precision", "max"),
        ("F1", "max"),
        ("val_neg_log_loss", "max"),
        ("recall@3", "max"),
    ],
)
def test_the_names_of_columns_say_which_way_is_better(column, mode):
    assert nn.EarlyStopping(column).mode == mode
    other = {"min": "max", "max": "min"}[mode]
    with pytest.raises(ValueError, match=f"mode='{other}' contradicts"):
        nn.EarlyStopping(column, mode=other)


def test_a_plateaus_state_of_an_earlier_version_is_loaded():
    old, new = nn.ReduceLROnPlateau(optimizer()), nn.ReduceLROnPlateau(optimizer())
    old.step(1.0)
    state = old.state_dict()
    del state["monitor"]
    new.load_state_dict(state)
    assert new.state_dict() == old.state_dict()
