import math

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn._layers.activations import ACTIVATIONS

N_IN, N_OUT = 300, 500
VARIANCE = {"he": 2 / N_IN, "glorot": 2 / (N_IN + N_OUT), "lecun": 1 / N_IN}
CASES = [(family, kind) for family in VARIANCE for kind in ("normal", "uniform")]


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_mean_and_variance(family, kind):
    w = getattr(nn.init, f"{family}_{kind}")((N_IN, N_OUT), dtype=np.float64, rng=0)
    n, variance = w.size, VARIANCE[family]
    # Five standard errors of the mean and of the variance (whose own variance is (kurtosis - 1) / n).
    kurtosis = 3 if kind == "normal" else 1.8
    assert abs(w.mean()) < 5 * np.sqrt(variance / n)
    assert abs(w.var() / variance - 1) < 5 * np.sqrt((kurtosis - 1) / n)
    # this tells the three families apart
    assert min(abs(v / variance - 1) for f, v in VARIANCE.items() if f != family) > 10 * np.sqrt(2 / n)


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_distribution(family, kind):
    stats = pytest.importorskip("scipy.stats")
    w = getattr(nn.init, f"{family}_{kind}")((N_IN, N_OUT), dtype=np.float64, rng=1).ravel()
    sigma = np.sqrt(VARIANCE[family])
    limit = np.sqrt(3) * sigma
    want = stats.norm(0, sigma) if kind == "normal" else stats.uniform(-limit, 2 * limit)
    assert stats.kstest(w, want.cdf).pvalue > 1e-4


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_seeds_generators_and_dtypes(family, kind):
    init = getattr(nn.init, f"{family}_{kind}")
    a = init((3, 4), rng=5)
    assert a.dtype == np.float32
    np.testing.assert_array_equal(a, init((3, 4), rng=np.random.default_rng(5)))
    np.testing.assert_array_equal(a, init((3, 4), rng=5, dtype=np.float64).astype(np.float32))
    assert (a != init((3, 4), rng=6)).any()
    assert (init((3, 4)) != init((3, 4))).any()
    for shape in ((3,), (2, 0, 4), (0, 3)):
        with pytest.raises(tg.ShapeError, match=f"{family}_{kind}"):
            init(shape)


@pytest.mark.parametrize(
    ("activation", "name"),
    [("relu", "he"), ("leaky_relu", "he"), ("tanh", "glorot"), ("sigmoid", "lecun")],
)
def test_mlp_chooses_by_activation(activation, name):
    model = nn.MLP([3, 3, 4, 2], activation=activation, rng=3)
    rng = np.random.default_rng(3)
    usual = getattr(nn.init, f"{name}_normal")
    first = nn.init.glorot_uniform((3, 3), gain=0.5, rng=rng) if name == "he" else usual((3, 3), rng=rng)
    want = [first, usual((3, 4), rng=rng), nn.init.glorot_uniform((4, 2), rng=rng)]
    got = [p.data for p in model.parameters() if p.ndim == 2]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_kernels_count_their_elements(family, kind):
    """(outputs, channels / groups, *kernel): each output is a sum of channels / groups * prod(kernel) products."""
    init = getattr(nn.init, f"{family}_{kind}")
    kernels, plain = (init(shape, dtype=np.float64, rng=0) for shape in ((40, 6, 5, 10), (6 * 50, 40 * 50)))
    n_in, n_out = 6 * 50, 40 * 50
    variance = {"he": 2 / n_in, "glorot": 2 / (n_in + n_out), "lecun": 1 / n_in}[family]
    assert abs(kernels.var() / variance - 1) < 5 * np.sqrt(2 / kernels.size)
    assert abs(plain.var() / variance - 1) < 5 * np.sqrt(2 / plain.size)


@pytest.mark.peer
@pytest.mark.parametrize("shape", [(6, 3, 5), (8, 2, 3, 4), (4, 4, 1, 1)])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "selu"])
def test_the_spread_of_a_kernel_is_that_of_pytorch(shape, activation):
    """The same draws, scaled by the gain and the fans that PyTorch computes."""
    torch = pytest.importorskip("torch")
    n_in, n_out = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
    gain = torch.nn.init.calculate_gain(activation)
    drawn = {"dtype": np.float64, "rng": 0}
    plain = np.random.default_rng(0).standard_normal(shape)
    even = np.random.default_rng(0).uniform(-1, 1, shape)
    for name, start, want in (
        ("he_normal", plain, gain / np.sqrt(n_in)),
        ("lecun_normal", plain, gain / np.sqrt(n_in)),
        ("glorot_normal", plain, gain * np.sqrt(2 / (n_in + n_out))),
        ("he_uniform", even, gain * np.sqrt(3 / n_in)),
        ("lecun_uniform", even, gain * np.sqrt(3 / n_in)),
        ("glorot_uniform", even, gain * np.sqrt(6 / (n_in + n_out))),
    ):
        got = getattr(nn.init, name)(shape, gain=activation, **drawn)
        np.testing.assert_allclose(got, want * start, rtol=1e-13, atol=1e-15, err_msg=name)


@pytest.mark.parametrize("name", ["he_normal", "glorot_uniform", "orthogonal", "truncated_normal", "normal", "uniform"])
def test_layers_hand_over_their_shape_dtype_and_generator(name):
    for make, shape in (
        (nn.Linear, (3, 4)),
        (lambda *_, **options: nn.Conv1d(4, 6, 3, groups=2, **options), (6, 2, 3)),
        (lambda *_, **options: nn.Conv2d(2, 3, (3, 2), **options), (3, 2, 3, 2)),
        (nn.Embedding, (3, 4)),
    ):
        layer = make(3, 4, init={"name": name}, dtype=np.float64, rng=5)
        want = getattr(nn.init, name)(shape, dtype=np.float64, rng=5)
        np.testing.assert_array_equal(layer.W.data, want)


# --- gains ----------------------------------------------------------------------------------------------


def mean_square(module):
    """E[f(z)²] for a standard normal z, by Gauss-Legendre quadrature on intervals without a kink inside."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    edges = np.array([-40, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 40.0])
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    z = middle[:, None] + half[:, None] * nodes
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return float((half[:, None] * weights * density * module(z).data ** 2).sum())


@pytest.mark.parametrize("name", [n for n in ACTIVATIONS if n not in ("sigmoid", "tanh", "selu")])
def test_a_gain_keeps_the_mean_square(name):
    if name == "gelu":
        pytest.importorskip("scipy")
    assert nn.init.gain(name) ** 2 * mean_square(ACTIVATIONS[name]().to(np.float64)) == pytest.approx(1, rel=1e-13)


@pytest.mark.peer
@pytest.mark.parametrize("name", ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"])
def test_gains_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    assert nn.init.gain(name) == pytest.approx(torch.nn.init.calculate_gain(name), rel=1e-15)
    if name == "leaky_relu":
        assert nn.init.gain(name, 0.3) == pytest.approx(torch.nn.init.calculate_gain(name, 0.3), rel=1e-15)


def test_every_activation_has_a_gain_and_only_slopes_take_a_param():
    for name in ACTIVATIONS:
        assert nn.init.gain(name) > 0
    with pytest.raises(ValueError, match=r"slope of leaky_relu or prelu; 'tanh' takes none, got 0\.1"):
        nn.init.gain("tanh", 0.1)
    with pytest.raises(ValueError, match=r"gain: got 'rleu', expected one of linear, .*prelu"):
        nn.init.gain("rleu")


@pytest.mark.parametrize("name", ["he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "lecun_normal"])
def test_a_gain_scales_and_may_be_a_name(name):
    init = getattr(nn.init, name)
    plain, tripled, named = (init((4, 5), gain=g, dtype=np.float64, rng=0) for g in (1.0, 3, "tanh"))
    np.testing.assert_allclose(tripled, 3 * plain, rtol=1e-15)
    np.testing.assert_allclose(named, 5 / 3 * plain, rtol=1e-15)
    for wrong in (0, -1.0, math.nan, None, True):
        with pytest.raises(ValueError, match=f"{name}: gain must be"):
            init((4, 5), gain=wrong)


# --- orthogonal -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (4, 3, 2, 2), (20, 3, 2, 2)])
def test_orthogonal_rows_or_columns(shape):
    W = nn.init.orthogonal(shape, gain=2.0, dtype=np.float64, rng=0)
    assert W.shape == shape
    flat = W.reshape(shape[0], -1)
    short = flat if flat.shape[0] <= flat.shape[1] else flat.T
    np.testing.assert_allclose(short @ short.T, 4 * np.eye(len(short)), atol=1e-14)


def test_orthogonal_matrices_are_uniformly_distributed():
    """Without the fixed signs, the diagonal of NumPy's factor is mostly negative; a uniform one has mean 0."""
    draws = np.stack([nn.init.orthogonal((2, 2), dtype=np.float64, rng=seed) for seed in range(2000)])
    assert np.abs(draws.mean(axis=0)).max() < 5 * np.sqrt(0.5 / len(draws))
    assert abs((np.linalg.det(draws) > 0).mean() - 0.5) < 5 * 0.5 / np.sqrt(len(draws))
    with pytest.raises(tg.ShapeError, match=r"orthogonal: .*got \(3,\)"):
        nn.init.orthogonal((3,))


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_deep_network_keeps_its_scale_as_the_family_promises(activation):
    """The mean square after 30 layers stays within a factor of 20 with the gain, and vanishes without."""
    x = np.random.default_rng(0).normal(size=(200, 128))
    spread = {}
    for gain in (activation, 0.5):
        model = nn.Sequential(
            *(
                module
                for seed in range(30)
                for module in (
                    nn.Linear(128, 128, init={"name": "orthogonal", "gain": gain}, dtype=np.float64, rng=seed),
                    ACTIVATIONS[activation](),
                )
            )
        )
        spread[gain] = float((model(x).data ** 2).mean())
    assert 0.05 < spread[activation] < 20
    assert spread[0.5] < 1e-4 * spread[activation]


# --- plain distributions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "reference"),
    [
        ("normal", {"mean": 2.0, "std": 0.5}, lambda stats: stats.norm(2.0, 0.5)),
        ("uniform", {"low": -0.5, "high": 0.25}, lambda stats: stats.uniform(-0.5, 0.75)),
        ("truncated_normal", {}, lambda stats: stats.truncnorm(-2, 2)),
        (
            "truncated_normal",
            {"mean": 1.0, "std": 0.5, "low": 1.5, "high": 4.0},
            lambda stats: stats.truncnorm(1, 6, 1.0, 0.5),
        ),
    ],
)
def test_plain_distributions(name, options, reference):
    stats = pytest.importorskip("scipy.stats")
    draws = getattr(nn.init, name)((50, 40, 5), dtype=np.float64, rng=0, **options)
    assert draws.shape == (50, 40, 5)
    assert stats.kstest(draws.ravel(), reference(stats).cdf).pvalue > 1e-4
    one = getattr(nn.init, name)((), rng=0, **options)
    assert (one.shape, one.dtype) == ((), np.float32)


@pytest.mark.parametrize(
    ("mean", "std", "low", "high"), [(0.0, 1.0, -2.0, 2.0), (1.0, 0.5, 1.5, 4.0), (0.0, 1.0, 2.0, 2.5)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_truncated_normal_stays_in_its_interval_with_the_mean_of_the_formula(mean, std, low, high, dtype):
    draws = nn.init.truncated_normal((200_000,), mean=mean, std=std, low=low, high=high, dtype=dtype, rng=0)
    assert low <= draws.min() < draws.max() <= high
    a, b = (low - mean) / std, (high - mean) / std
    density = [math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) for z in (a, b)]
    share = (math.erf(b / math.sqrt(2)) - math.erf(a / math.sqrt(2))) / 2
    shift = (density[0] - density[1]) / share
    variance = std**2 * (1 + (a * density[0] - b * density[1]) / share - shift**2)
    assert abs(draws.mean(dtype=np.float64) - (mean + std * shift)) < 5 * math.sqrt(variance / draws.size)
    assert draws.var(dtype=np.float64) == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("normal", {"std": -1.0}, "normal: std must be a finite number of at least 0, got -1.0"),
        ("normal", {"mean": "0"}, "normal: mean must be a finite number, got '0'"),
        ("uniform", {"low": 1, "high": 1}, "uniform: low must be below high, got 1.0 and 1.0"),
        ("truncated_normal", {"std": 0.0}, "truncated_normal: std must be positive"),
        ("truncated_normal", {"low": 5, "high": 6}, r"low=5.0 to high=6.0 contains 2.9e-07 .*at least 0.01"),
        ("truncated_normal", {"low": 3, "high": -3}, "low must be below high"),
        ("constant", {"value": math.inf}, "constant: value must be a finite number, got inf"),
    ],
)
def test_bad_options_are_refused(name, options, text):
    with pytest.raises(ValueError, match=text):
        getattr(nn.init, name)((3, 4), **options)


# --- by name and by dict --------------------------------------------------------------------------------


def test_a_dict_is_a_name_and_its_options():
    a = nn.init.resolved({"name": "he_uniform", "gain": "selu"})((3, 4), rng=0)
    np.testing.assert_array_equal(a, nn.init.he_uniform((3, 4), gain=0.75, rng=0))
    assert nn.Linear(2, 3, init={"name": "constant", "value": 0.5}).W.data.tolist() == [[0.5] * 3] * 2
    assert nn.init.resolved("zeros") is nn.init.zeros
    assert nn.init.resolved(np.zeros) is np.zeros


@pytest.mark.parametrize(
    ("init", "text"),
    [
        ("xavier", r"the name 'xavier', expected one of he_normal, .*zeros"),
        ({"std": 0.02}, "the name None"),
        ({"name": ["normal"]}, r"the name \['normal'\]"),
        ({"name": "truncated_normal", "sdt": 0.02}, "has no field 'sdt'; its fields are mean, std, low, high"),
        ({"name": "zeros", "value": 1}, "'zeros' has no field 'value'; it has no fields"),
        ({"name": "normal", "rng": 0}, "no field 'rng'"),
        ({"name": "constant"}, r"'constant' needs the field 'value'; write \{'name': 'constant', 'value': \.\.\.\}"),
        ("constant", "needs the field 'value'"),
    ],
)
def test_a_dict_that_does_not_fit_names_its_field(init, text):
    with pytest.raises(ValueError, match=text):
        nn.init.resolved(init)


@pytest.mark.parametrize("name", nn.init._BY_NAME)
@pytest.mark.parametrize("dtype", [np.int64, bool, "complex64"])
def test_a_dtype_that_is_not_of_floating_point_is_refused(name, dtype):
    options = {"value": 1.5} if name == "constant" else {}
    with pytest.raises(tg.DTypeError, match=f"{name}: dtype must be floating point, got"):
        getattr(nn.init, name)((3, 2), dtype=dtype, **options)
