"""Losses as modules: the functions with stored options."""

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn import functional as F
from nn._losses import LOSSES

RNG = np.random.default_rng(0)
PREDICTION, TARGET, LOGITS = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 3)), RNG.normal(size=(6, 3)) * 3
P, SOFT, SIGNS = RNG.uniform(0.01, 0.99, (6, 3)), RNG.random((6, 3)), RNG.choice([-1.0, 1.0], (6, 3))
LABELS, WEIGHT = np.array([0, 2, 1, 1, 0, 2]), np.array([0.5, 2.0, 0.25])
FUNCTIONS = {
    "mse": ("mse_loss", (PREDICTION, TARGET), {}),
    "l1": ("l1_loss", (PREDICTION, TARGET), {}),
    "huber": ("huber_loss", (3 * PREDICTION, TARGET), {"delta": 0.5}),
    "smooth_l1": ("smooth_l1_loss", (3 * PREDICTION, TARGET), {"beta": 0.5}),
    "cross_entropy": (
        "cross_entropy",
        (LOGITS, LABELS),
        {"weight": WEIGHT, "label_smoothing": 0.2, "ignore_index": 1},
    ),
    "nll": ("nll_loss", (np.log(P), LABELS), {"weight": WEIGHT, "ignore_index": 1}),
    "bce": ("binary_cross_entropy", (P, SOFT), {"weight": WEIGHT}),
    "bce_with_logits": ("binary_cross_entropy_with_logits", (LOGITS, SOFT), {"weight": WEIGHT, "pos_weight": WEIGHT}),
    "kl_div": ("kl_div", (np.log(P), np.log(SOFT)), {"log_target": True}),
    "hinge": ("hinge_loss", (PREDICTION, SIGNS), {}),
    "quantile": ("quantile_loss", (PREDICTION, TARGET), {"q": 0.9}),
    "poisson": ("poisson_nll_loss", (P, 4 * SOFT), {"log_input": False, "full": True, "eps": 0.3}),
    "gaussian_nll": ("gaussian_nll_loss", (PREDICTION, TARGET, P), {"full": True, "eps": 0.3}),
}
OPTIONS = [(name, option) for name, (_, _, options) in FUNCTIONS.items() for option in options]


def test_each_module_has_its_row():
    assert FUNCTIONS.keys() == LOSSES.keys()
    assert all(cls is getattr(nn, cls.__name__) for cls in LOSSES.values())


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_modules_are_the_functions(name, reduction):
    function, arrays, options = FUNCTIONS[name]
    for held in ({}, options):
        want = getattr(F, function)(*arrays, **held, reduction=reduction)
        module = LOSSES[name](**held, reduction=reduction)
        np.testing.assert_array_equal(module(*arrays).data, want.data)
        assert f"reduction={reduction!r}" in repr(module)
    with pytest.raises(ValueError, match=f"{LOSSES[name].__name__}: reduction must be .*'average'"):
        LOSSES[name](reduction="average")


def test_layers_of_older_files_lack_what_is_new_and_work_as_before():
    bce, softplus = nn.BCELoss(), nn.Softplus(2.0)
    del bce.__dict__["weight"], softplus.__dict__["threshold"]
    assert bce([0.5], [1.0]).item() == nn.BCELoss()([0.5], [1.0]).item()
    assert softplus([0.5, 50.0]).data.tolist() == nn.Softplus(2.0)([0.5, 50.0]).data.tolist()
    assert repr(softplus) == "Softplus(beta=2.0)"


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_each_option_of_a_module_changes_its_loss(name, option):
    _, arrays, options = FUNCTIONS[name]
    rest = {key: value for key, value in options.items() if key != option}
    assert LOSSES[name](**options)(*arrays).item() != LOSSES[name](**rest)(*arrays).item()


@pytest.mark.peer
@pytest.mark.parametrize("name", [name for name in LOSSES if name not in ("hinge", "quantile")])
def test_modules_take_pytorchs_arguments(name):
    torch = pytest.importorskip("torch")
    _, arrays, options = FUNCTIONS[name]
    given = {key: torch.tensor(v) if isinstance(v, np.ndarray) else v for key, v in options.items()}
    peer = getattr(torch.nn, LOSSES[name].__name__)(reduction="sum", **given)
    got = LOSSES[name](reduction="sum", **options)(*arrays).item()
    np.testing.assert_allclose(got, peer(*map(torch.tensor, arrays)).item(), rtol=1e-13)


def test_batchmean_is_of_kl_div_alone():
    p, q = SOFT, P
    want = F.kl_div(np.log(q), p, reduction="sum").item() / len(p)
    assert nn.KLDivLoss(reduction="batchmean")(np.log(q), p).item() == want
    with pytest.raises(ValueError, match=r"MSELoss: .*'batchmean'"):
        nn.MSELoss(reduction="batchmean")


@pytest.mark.parametrize(("cls", "name"), [(nn.CrossEntropyLoss, "weight"), (nn.NLLLoss, "weight")])
def test_class_weights_are_a_buffer_or_nothing(cls, name):
    assert cls().state_dict() == {}
    module = cls([0.5, 2.0, 0.25])
    np.testing.assert_array_equal(module.state_dict()[name], WEIGHT)
    assert not list(module.parameters())
    assert module.to(np.float32).weight.dtype == np.float32


@pytest.mark.parametrize("name", ["cross_entropy", "nll", "bce_with_logits"])
def test_weights_do_not_widen_float32(name):
    _, arrays, options = FUNCTIONS[name]
    leaf = tg.Tensor(arrays[0], dtype=np.float32, requires_grad=True)
    target = arrays[1] if arrays[1].dtype.kind == "i" else arrays[1].astype(np.float32)
    loss = LOSSES[name](**options)(leaf, target)
    loss.backward()
    assert loss.dtype == leaf.grad.dtype == np.float32


def test_a_compiled_step_follows_the_options_and_the_weights():
    loss = nn.CrossEntropyLoss(WEIGHT, ignore_index=-1)
    x = tg.Tensor(LOGITS, requires_grad=True)

    def step(labels):
        x.grad = None
        value = loss(x, labels)
        value.backward()
        return value

    compiled = tg.compile(step)
    holed = np.where(LABELS == 1, -1, LABELS)
    for labels in (LABELS, holed, LABELS[::-1].copy()):
        assert compiled(labels).item() == loss(LOGITS, labels).item()
    loss.weight.data[...] = [1.0, 2.0, 3.0]
    assert compiled(holed).item() == loss(LOGITS, holed).item()
    assert compiled.traces == 1
    loss.label_smoothing = 0.5
    assert compiled(holed).item() == loss(LOGITS, holed).item()
    assert compiled.traces == 2
    with pytest.raises(tg.ShapeError, match="empty batch"):
        compiled(np.full(6, -1))


def test_a_compiled_step_follows_weights_that_are_replaced():
    loss = nn.CrossEntropyLoss()
    compiled = tg.compile(lambda labels: loss(LOGITS, labels))
    for weight in (None, WEIGHT, [1.0, 2.0, 3.0], None, WEIGHT):
        loss.weight = weight
        assert compiled(LABELS).item() == nn.CrossEntropyLoss(weight)(LOGITS, LABELS).item()
        assert list(loss.state_dict()) == ([] if weight is None else ["weight"])
    learned = nn.CrossEntropyLoss()
    learned.weight = nn.Parameter(WEIGHT)
    assert [name for name, _ in learned.named_parameters()] == list(learned.state_dict()) == ["weight"]


@pytest.mark.parametrize(
    ("cls", "options", "text"),
    [
        (nn.HuberLoss, {"delta": 0.0}, "delta must be positive, got 0.0"),
        (nn.HuberLoss, {"delta": "x"}, "delta must be a finite number, got 'x'"),
        (nn.QuantileLoss, {"q": 1.0}, "q must be between 0 and 1, got 1.0"),
        (nn.QuantileLoss, {"q": "median"}, "q must be a finite number, got 'median'"),
        (nn.PoissonNLLLoss, {"eps": -1.0}, "eps must be"),
        (nn.SmoothL1Loss, {"beta": -1.0}, "beta must be a finite number of at least 0, got -1.0"),
        (nn.SmoothL1Loss, {"beta": None}, "beta must be"),
        (nn.GaussianNLLLoss, {"eps": -1e-6}, "eps must be"),
        (nn.GaussianNLLLoss, {"eps": np.nan}, "eps must be"),
        (nn.CrossEntropyLoss, {"label_smoothing": -0.1}, "label_smoothing must be"),
        (nn.CrossEntropyLoss, {"label_smoothing": 1.5}, r"label_smoothing must be in \[0, 1\], got 1.5"),
        (nn.CrossEntropyLoss, {"ignore_index": 1.5}, "ignore_index must be an integer, got 1.5"),
        (nn.NLLLoss, {"ignore_index": "1"}, "ignore_index must be an integer, got '1'"),
        (nn.NLLLoss, {"ignore_index": True}, "ignore_index must be an integer, got True"),
        (nn.CrossEntropyLoss, {"weight": "sum"}, "weight must be numbers, got 'sum'; .*reduction='sum'"),
    ],
)
def test_options_out_of_range_are_refused(cls, options, text):
    with pytest.raises(ValueError, match=f"^{cls.__name__}: {text}"):
        cls(**options)


def test_options_are_held_as_plain_values():
    module = nn.CrossEntropyLoss(label_smoothing=np.float32(0.5), ignore_index=np.int64(3))
    assert type(module.label_smoothing) is float
    assert type(module.ignore_index) is int
