"""Standardize compared with NumPy's mean and standard deviation, for data of every layout, and its errors."""

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn._layers import standardize


def data(shape, seed=0):
    rng = np.random.default_rng(seed)
    features = (1, shape[1]) + (1,) * (len(shape) - 2)
    return rng.normal(size=shape) * rng.uniform(0.1, 9, features) + rng.normal(0, 50, features)


def by_numpy(X):
    axes = (0, *range(2, X.ndim))
    return X.mean(axis=axes), X.std(axis=axes)


@pytest.mark.parametrize("shape", [(50, 3), (50, 3, 4), (7, 2, 3, 5), (1, 4, 9)])
def test_it_is_numpys_mean_and_deviation_and_its_inverse_gives_the_data_back(shape):
    X = data(shape)
    layer = nn.Standardize(shape[1], dtype=np.float64).fit(X)
    mean, scale = by_numpy(X)
    np.testing.assert_allclose(layer.mean.data, mean, rtol=1e-13)
    np.testing.assert_allclose(layer.scale.data, scale, rtol=1e-13)
    y = layer(X)
    got_mean, got_scale = by_numpy(y.data)
    np.testing.assert_allclose(got_mean, 0, atol=1e-12)
    np.testing.assert_allclose(got_scale, 1, rtol=1e-12)
    np.testing.assert_allclose(layer.inverse(y).data, X, rtol=1e-13)


def test_chunks_give_what_the_whole_gives(monkeypatch):
    X = data((101, 3, 2)) + 1e6  # far from 0, where sums of squares would have no digits left
    whole = nn.Standardize(3, dtype=np.float64).fit(X)
    monkeypatch.setattr(standardize, "_CHUNK", 60)
    parts = nn.Standardize(3, dtype=np.float64).fit(X)
    mean, scale = by_numpy(X)
    for layer in (whole, parts):
        np.testing.assert_allclose(layer.mean.data, mean, rtol=1e-14)
        np.testing.assert_allclose(layer.scale.data, scale, rtol=1e-9)
    np.testing.assert_allclose(parts.scale.data, whole.scale.data, rtol=1e-9)


def test_a_memory_mapped_file_is_read_a_few_rows_at_a_time(tmp_path, monkeypatch):
    X = data((1000, 4)).astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    monkeypatch.setattr(standardize, "_CHUNK", 4 * 64)
    seen = []

    class Rows:
        """An object with a shape whose slices are arrays; it records how many rows each slice reads."""

        def __init__(self, array):
            self.array, self.shape = array, array.shape

        def __getitem__(self, rows):
            seen.append(len(self.array[rows]))
            return self.array[rows]

    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    layer = nn.Standardize(4).fit(Rows(mapped))
    assert max(seen) == 64
    assert sum(seen) == 1000
    for got, want in zip((layer.mean, layer.scale), by_numpy(X.astype(np.float64)), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got.data, want.astype(np.float32))
    np.testing.assert_array_equal(layer.mean.data, nn.Standardize(4).fit(mapped).mean.data)


@pytest.mark.parametrize(
    "same",
    [
        lambda X: X.tolist(),
        lambda X: X.astype(">f8"),
        lambda X: np.asfortranarray(X),
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        lambda X: tg.Tensor(X, requires_grad=True),
        lambda X: X.astype(object),
        lambda X: X.astype(np.int16),
    ],
)
def test_every_form_of_the_data_is_taken(same):
    X = np.round(data((30, 3)))
    layer = nn.Standardize(3, dtype=np.float64).fit(same(X))
    np.testing.assert_allclose(layer.mean.data, X.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(layer.scale.data, X.std(axis=0), rtol=1e-13)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e300, -12345.678])
def test_a_constant_feature_has_scale_one_and_becomes_zero(constant):
    X = np.column_stack([np.full(77, constant), data((77, 1))])
    layer = nn.Standardize(2, dtype=np.float64).fit(X)
    assert layer.scale.data[0] == 1
    np.testing.assert_array_equal(layer(X).data[:, 0], 0)
    assert layer(np.array([[constant + 0.5, 0.0]])).data[0, 0] == (constant + 0.5) - constant


def test_float32_stays_float32_and_the_gradient_is_one_over_the_scale():
    X = data((20, 2, 3)).astype(np.float32)
    layer = nn.Standardize(2).fit(X)
    x = tg.Tensor(X, requires_grad=True)
    y = layer(x)
    assert y.dtype == np.float32
    y.sum().backward()
    want = np.broadcast_to(1 / layer.scale.data[:, None], X.shape)
    np.testing.assert_allclose(x.grad, want, rtol=1e-6)
    assert list(layer.parameters()) == []
    assert list(layer.state_dict()) == ["mean", "scale"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named_by_row_and_feature_and_the_old_statistics_stay(bad, monkeypatch):
    monkeypatch.setattr(standardize, "_CHUNK", 30)
    layer = nn.Standardize(3).fit(data((40, 3)))
    before = layer.state_dict()
    X = data((40, 3), seed=1)
    X[23, 2] = X[31, 0] = bad
    with pytest.raises(tg.NonFiniteError, match=rf"Standardize: X contains {bad}, first in row 23, feature 2; drop"):
        layer.fit(X)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.Standardize(2)(np.ones((3, 2))), RuntimeError, r"Standardize\(2\).*not known yet; call fit\(X\)"),
        (lambda: nn.Standardize(2).inverse(np.ones((3, 2))), RuntimeError, r"call fit\(X\)"),
        (lambda: nn.Standardize(2).fit(np.ones((3, 4))), tg.ShapeError, r"expected 2 features, got 4 \(shape \(3, 4\)"),
        (lambda: nn.Standardize(2).fit(np.ones(2)), tg.ShapeError, r"expected shape \(N, features\), got \(2,\)"),
        (lambda: nn.Standardize(2).fit(np.ones((0, 2))), tg.ShapeError, r"at least one row, got shape \(0, 2\)"),
        (lambda: nn.Standardize(2).fit(np.ones((5, 2, 0))), tg.ShapeError, r"at least one row, got shape \(5, 2, 0\)"),
        (lambda: nn.Standardize(2).fit([["a", "b"]]), tg.DTypeError, "fit needs real numbers, got X of dtype <U1"),
        (lambda: nn.Standardize(1).fit([[1j]]), tg.DTypeError, "fit needs real numbers, got X of dtype complex128"),
        (lambda: nn.Standardize(1).fit([[1e300], [2e300]]), ValueError, "float32 cannot hold .*dtype=np.float64"),
        (lambda: nn.Standardize(1).fit([[1e-60], [2e-60]]), ValueError, "float32 cannot hold"),
        (lambda: nn.Standardize(2, dtype=np.int64), tg.DTypeError, "dtype must be floating point, got int64"),
        (lambda: nn.Standardize(0), ValueError, "num_features must be an integer of at least 1, got 0"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_an_unfitted_one_is_named_by_its_path_also_in_a_compiled_step():
    model = nn.Sequential(nn.Standardize(2), nn.Linear(2, 1, rng=0))
    x = np.ones((3, 2), np.float32)
    with pytest.raises(RuntimeError, match=r"^0: Standardize\(2\) with input \(3, 2\)"):
        model(x)
    model[0].fit(data((9, 2)))
    step = tg.compile(lambda x: model(x))
    first = step(x).data
    model[0].fit(data((9, 2), seed=1))
    assert (step(x).data != first).all()
    np.testing.assert_array_equal(step(x).data, model(x).data)


def test_it_is_saved_with_the_model(tmp_path):
    model = nn.Sequential(nn.Standardize(3).fit(data((30, 3))), nn.Linear(3, 1, rng=0))
    nn.save(tmp_path / "model.npz", model)
    x = data((5, 3)).astype(np.float32)
    np.testing.assert_array_equal(nn.load(tmp_path / "model.npz")[0](x).data, model(x).data)


def test_numbers_near_the_largest_have_a_deviation_too():
    """Their squares do not fit into float64, but mean and deviation do."""
    X = data((40, 3)) - data((40, 3)).mean(axis=0)
    factor = np.array([2.0**990, 1.0, 2.0**-300])
    layer, plain = nn.Standardize(3, dtype=np.float64).fit(X * factor), nn.Standardize(3, dtype=np.float64).fit(X)
    np.testing.assert_allclose(layer.scale.data, plain.scale.data * factor, rtol=1e-12)
    np.testing.assert_allclose(layer(X * factor).data[:, 0], plain(X).data[:, 0], rtol=1e-10, atol=1e-12)
    assert nn.Standardize(1, dtype=np.float64).fit(np.full((40, 1), 1.7e308)).mean.data[0] == 1.7e308
    with pytest.raises(ValueError, match="float32 cannot hold the statistics of X"):
        nn.Standardize(3).fit(X * factor)
