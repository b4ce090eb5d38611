import numpy as np
import pytest

import nn
import tensorgrad as tg

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
    # the three families are told apart by that
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
    for shape in ((3,), (2, 3, 4), (0, 3)):
        with pytest.raises(tg.ShapeError, match=f"{family}_{kind}"):
            init(shape)


@pytest.mark.parametrize(
    ("activation", "name"),
    [("relu", "he"), ("leaky_relu", "he"), ("tanh", "glorot"), ("sigmoid", "lecun")],
)
def test_mlp_chooses_by_activation(activation, name):
    model = nn.MLP([3, 4, 2], activation=activation, rng=3)
    rng = np.random.default_rng(3)
    want = [getattr(nn.init, f"{name}_normal")(shape, rng=rng) for shape in ((3, 4), (4, 2))]
    got = [p.data for p in model.parameters() if p.ndim == 2]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
