"""Learning rates over time, beside closed forms and PyTorch's."""

import math

import numpy as np
import pytest

import nn

PEERS = [
    ("StepLR", {"step_size": 7, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [3, 10, 10, 50], "gamma": 0.3}),
    ("ExponentialLR", {"gamma": 0.97}),
    ("CosineAnnealingLR", {"T_max": 30}),
    ("CosineAnnealingLR", {"T_max": 17, "eta_min": 0.001}),
    ("CosineAnnealingWarmRestarts", {"T_0": 10}),
    ("CosineAnnealingWarmRestarts", {"T_0": 5, "T_mult": 2, "eta_min": 0.001}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.5, "total_iters": 40}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 200}),
    ("OneCycleLR", {"max_lr": [0.5, 0.1], "total_steps": 150, "anneal_strategy": "linear", "pct_start": 0.1}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 101, "cycle_momentum": False, "div_factor": 10.0}),
]


def optimizers(torch, kind="SGD", **options):
    ours = [nn.Parameter([0.0]), nn.Parameter([0.0])]
    theirs = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    groups = lambda params: [{"params": params[:1]}, {"params": params[1:], "lr": 0.03}]
    return getattr(nn, kind)(groups(ours), lr=0.1, **options), getattr(torch.optim, kind)(
        groups(theirs), lr=0.1, **options
    )


def rates(optimizer):
    return [(g["lr"], g.get("momentum"), g.get("betas", (None,))[0]) for g in optimizer.param_groups]


def assert_alike(ours, theirs):
    for own, other in zip(rates(ours), rates(theirs), strict=True):
        for a, b in zip(own, other, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert a == pytest.approx(b, rel=1e-11, abs=1e-14)


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore:Detected call of")
@pytest.mark.parametrize("kind", [("SGD", {"momentum": 0.9}), ("AdamW", {})])
@pytest.mark.parametrize(("name", "options"), PEERS)
def test_rates_and_momenta_equal_pytorch(name, options, kind):
    torch = pytest.importorskip("torch")
    ours, theirs = optimizers(torch, kind[0], **kind[1])
    schedule = getattr(nn, name)(ours, **options)
    peer = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    for _ in range(options.get("total_steps", 301) - 1):
        assert_alike(ours, theirs)
        assert schedule.get_last_lr() == [group["lr"] for group in ours.param_groups]
        schedule.step()
        peer.step()
    assert_alike(ours, theirs)


@pytest.mark.peer
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_plateaus_equal_pytorch(mode, threshold_mode):
    torch = pytest.importorskip("torch")
    ours, theirs = optimizers(torch)
    options = {"mode": mode, "factor": 0.7, "patience": 3, "threshold": 0.02, "threshold_mode": threshold_mode}
    more = {"cooldown": 2, "min_lr": 0.004}
    schedule = nn.ReduceLROnPlateau(ours, **options, **more)
    peer = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, eps=0.0, **options, **more)
    rng = np.random.default_rng(0)
    for i in range(300):
        figure = (1 if mode == "min" else -1) * math.exp(-i / 60) + 0.05 * rng.normal()
        schedule.step(figure)
        peer.step(figure)
        assert_alike(ours, theirs)
    assert ours.lr < 0.1


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_a_sequence_equals_pytorch():
    torch = pytest.importorskip("torch")
    from torch.optim import lr_scheduler

    ours, theirs = optimizers(torch)
    warm, down = nn.LinearLR(ours, 0.1, total_iters=5), nn.CosineAnnealingLR(ours, T_max=20)
    schedule = nn.SequentialLR([warm, down, nn.ExponentialLR(ours, 0.9)], milestones=[5, 25])
    parts = [
        lr_scheduler.LinearLR(theirs, 0.1, total_iters=5),
        lr_scheduler.CosineAnnealingLR(theirs, T_max=20),
        lr_scheduler.ExponentialLR(theirs, 0.9),
    ]
    peer = lr_scheduler.SequentialLR(theirs, parts, milestones=[5, 25])
    for _ in range(40):
        assert_alike(ours, theirs)
        theirs.step()
        schedule.step()
        peer.step()


def test_closed_forms():
    optimizer = nn.SGD([nn.Parameter([0.0])], lr=2.0)
    schedule = nn.CosineAnnealingLR(optimizer, T_max=10, eta_min=0.5)
    for t in range(11):
        assert optimizer.lr == pytest.approx(0.5 + 1.5 * (1 + math.cos(math.pi * t / 10)) / 2, rel=1e-14)
        schedule.step()


MADE = {
    "StepLR": lambda o: nn.StepLR(o, 3),
    "MultiStepLR": lambda o: nn.MultiStepLR(o, [2, 5]),
    "ExponentialLR": lambda o: nn.ExponentialLR(o, 0.9),
    "CosineAnnealingLR": lambda o: nn.CosineAnnealingLR(o, 9),
    "CosineAnnealingWarmRestarts": lambda o: nn.CosineAnnealingWarmRestarts(o, 4, 2),
    "LinearLR": lambda o: nn.LinearLR(o, 0.2, total_iters=8),
    "OneCycleLR": lambda o: nn.OneCycleLR(o, 1.0, 30),
    "SequentialLR": lambda o: nn.SequentialLR([nn.LinearLR(o, 0.2), nn.ExponentialLR(o, 0.9)], [4]),
    "ReduceLROnPlateau": lambda o: nn.ReduceLROnPlateau(o, patience=1),
}


@pytest.mark.parametrize("name", MADE)
def test_a_state_goes_on_where_it_was(name):
    def made():
        optimizer = nn.SGD([nn.Parameter([0.0])], lr=0.1, momentum=0.9)
        return optimizer, MADE[name](optimizer)

    figures = iter([3.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0] * 2)

    def step(*schedules):
        figure = [next(figures)] if name == "ReduceLROnPlateau" else []
        for schedule in schedules:
            schedule.step(*figure)

    (optimizer, schedule), (other, resumed) = made(), made()
    for _ in range(5):
        step(schedule)
    resumed.load_state_dict(schedule.state_dict())
    other.load_state_dict(optimizer.state_dict())
    assert resumed.state_dict() == schedule.state_dict()
    for _ in range(6):
        step(schedule, resumed)
        assert rates(other) == rates(optimizer)
    with pytest.raises(ValueError, match="got the attributes"):
        resumed.load_state_dict({"steps": 3})


def test_two_schedules_start_from_the_rate_at_first():
    optimizer = nn.SGD([nn.Parameter([0.0])], lr=1.0)
    nn.LinearLR(optimizer, 0.1)
    assert optimizer.lr == pytest.approx(0.1)
    assert nn.ExponentialLR(optimizer, 0.5).base_lrs == [1.0]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda o: nn.StepLR(o, 0), "StepLR: step_size must be at least 1, got 0"),
        (lambda o: nn.StepLR([], 1), "StepLR: optimizer must be an Optimizer"),
        (lambda o: nn.MultiStepLR(o, [3, 1]), "milestones must be in ascending order"),
        (lambda o: nn.ExponentialLR(o, -1.0), "gamma"),
        (lambda o: nn.CosineAnnealingLR(o, 0), "T_max"),
        (lambda o: nn.CosineAnnealingWarmRestarts(o, 2.5), "T_0 must be an integer"),
        (lambda o: nn.CosineAnnealingWarmRestarts(o, 2, 0), "T_mult"),
        (lambda o: nn.LinearLR(o, 0.0), "start_factor"),
        (lambda o: nn.LinearLR(o, total_iters=0), "total_iters"),
        (lambda o: nn.OneCycleLR(o, 1.0, 0), "total_steps"),
        (lambda o: nn.OneCycleLR(o, [1.0, 2.0], 5), "max_lr"),
        (lambda o: nn.OneCycleLR(o, 1.0, 5, anneal_strategy="cosine"), "anneal_strategy"),
        (lambda o: nn.OneCycleLR(o, 1.0, 5), "cycle_momentum must be False"),
        (lambda o: nn.SequentialLR([nn.StepLR(o, 1)], []), "two or more schedules"),
        (lambda o: nn.SequentialLR([nn.StepLR(o, 1), nn.ReduceLROnPlateau(o)], [1]), "that count steps"),
        (lambda o: nn.SequentialLR([nn.StepLR(o, 1), nn.StepLR(o, 1)], [1, 2]), "1 steps in ascending order"),
        (lambda o: nn.ReduceLROnPlateau(o, "least"), "mode"),
        (lambda o: nn.ReduceLROnPlateau(o, factor=1.0), "factor"),
    ],
)
def test_bad_arguments_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make(nn.SGD([nn.Parameter([0.0])], lr=0.1))


def test_a_cycle_ends():
    optimizer = nn.AdamW([nn.Parameter([0.0])])
    schedule = nn.OneCycleLR(optimizer, 1.0, 3)
    for _ in range(3):
        schedule.step()
    with pytest.raises(ValueError, match="cycle of 3 steps"):
        schedule.step()
