"""float64 data in a float32 model: a warning where a layer is called, a cast in everything that trains."""

import pickle
import warnings

import numpy as np
import pytest

import nn
import tensorgrad as tg

WIDE = np.random.default_rng(0).standard_normal((6, 4))
NARROW = WIDE.astype(np.float32)
TEXT = (
    r"computes in float64, two to three times slower: its input is float64, its parameters are float32; write "
    r"x\.astype\(np\.float32\), or model\.to\(np\.float64\)$"
)


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(np.ones(4, np.float32))
        self.inner = nn.Linear(4, 2, rng=0)

    def forward(self, x, *, cast=False):
        return self.inner(self.scale * x.astype(np.float32)) if cast else self.scale * x


@pytest.mark.parametrize(
    ("layer", "x", "name"),
    [
        (nn.Linear(4, 2, rng=0), WIDE, r"^Linear\(in=4, out=2\)"),
        (nn.Linear(4, 2, rng=0), tg.Tensor(WIDE), r"^Linear\(in=4, out=2\)"),
        (nn.Sequential(nn.ReLU(), nn.Linear(4, 2, rng=0)), WIDE, r"^1: Linear\(in=4, out=2\)"),
        (nn.MLP([4, 3, 2], rng=0), WIDE, r"^layers\.0: Linear\(in=4, out=3\)"),
        (nn.BatchNorm(4), WIDE, r"^BatchNorm\(4, "),
        (nn.LayerNorm(4), WIDE, r"^LayerNorm\(4, "),
        (nn.RMSNorm(4), WIDE, r"^RMSNorm\(4, "),
        (nn.GroupNorm(2, 4), WIDE, r"^GroupNorm\(2, 4, "),
        (nn.Conv1d(2, 3, 2, rng=0), WIDE.reshape(3, 2, 4), r"^Conv1d\(in=2, "),
        (nn.MultiheadAttention(4, 2, rng=0), WIDE[None], r"^query_proj: Linear\(in=4, out=4\)"),
        (nn.PReLU(), WIDE, r"^PReLU\("),
        (Own(), WIDE, r"^Own\(\)"),
    ],
)
def test_a_layer_warns_once_a_model_and_at_the_line_that_calls_it(layer, x, name):
    with pytest.warns(RuntimeWarning, match=name + r".*" + TEXT) as seen:
        layer(x)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    layer(x)  # warnings are errors: this one was told


def test_each_model_is_told_and_so_is_its_copy():
    model = nn.MLP([4, 3, 2], rng=0)
    for other in (model, pickle.loads(pickle.dumps(model)), nn.MLP([4, 3, 2], rng=0)):
        with pytest.warns(RuntimeWarning, match=TEXT):
            other(WIDE)


def test_the_line_is_that_of_the_users_own_forward():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.MLP([4, 3, 2], rng=0)

        def forward(self, x):
            return self.net(x)  # this one

    with pytest.warns(RuntimeWarning, match=r"^net\.layers\.0: ") as seen:
        tg.grad(lambda x: Outer()(x).sum())(WIDE)
    with open(__file__) as file:
        assert file.readlines()[seen[0].lineno - 1].endswith("# this one\n")


@pytest.mark.parametrize(
    "call",
    [
        lambda: nn.MLP([4, 3, 2], rng=0)(NARROW),
        lambda: nn.MLP([4, 3, 2], rng=0).to(np.float64)(WIDE),
        lambda: nn.MLP([4, 3, 2], rng=0, dtype=np.float64)(NARROW),
        lambda: nn.Sequential(nn.Tanh(), nn.Dropout(0.5))(WIDE),
        lambda: nn.BatchNorm(4, affine=False)(WIDE),
        lambda: nn.Embedding(5, 2, rng=0)(np.array([1, 2])),
        lambda: Own()(WIDE, cast=True),
        lambda: nn.Linear(2, 1, rng=0)([[1.0, 2.0]]),
        lambda: nn.MLP([4, 3, 2], rng=0).summary((5, 4)),
        lambda: nn.MultiheadAttention(4, 2, rng=0)(NARROW, mask=np.zeros((6, 6))),
    ],
)
def test_there_is_no_warning_where_nothing_is_made_wide_or_only_numbers_are_typed_in(call):
    call()


def test_a_compiled_step_warns_while_it_is_traced():
    model = nn.MLP([4, 3, 2], rng=0)
    step = tg.compile(lambda x: model(x).sum())
    with pytest.warns(RuntimeWarning, match=r"^layers\.0: Linear"):
        step(WIDE)
    step(WIDE)


def outputs_of_layers(network):
    """Record the dtype of every layer's result from now on."""
    dtypes = set()

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            out = self.network(x)
            dtypes.add(out.dtype)
            return out

    return Watched(), dtypes


@pytest.mark.parametrize("compiled", [False, True])
def test_a_model_casts_its_data_to_the_networks_dtype(compiled):
    network, dtypes = outputs_of_layers(nn.MLP([4, 3, 2], rng=0))
    model = nn.Model(network, loss="mse", optimizer="sgd", rng=0)
    y = np.zeros((6, 2))
    model.fit(WIDE, y, epochs=2, sample_weight=np.ones(6), validation_data=(WIDE, y), progress=False, compile=compiled)
    model.fit(lambda: [(WIDE, y)], epochs=1, progress=False)
    model.evaluate(WIDE, y)
    assert model.predict(WIDE).dtype == np.float32
    assert dtypes == {np.dtype(np.float32)}
    assert all(p.dtype == np.float32 for p in network.parameters())


def test_estimators_cast_later_data_to_the_dtype_they_were_fitted_with():
    pytest.importorskip("sklearn")
    labels = np.array([0, 1, 2, 0, 1, 2])
    classifier = nn.FNNClassifier((5,), epochs=1, random_state=0).fit(NARROW, labels)
    assert classifier.predict_proba(WIDE).dtype == np.float32
    classifier.partial_fit(WIDE, labels)
    regressor = nn.FNNRegressor((5,), epochs=1, random_state=0).fit(NARROW, WIDE[:, 0])
    assert regressor.predict(WIDE).dtype == np.float32
    regressor.partial_fit(WIDE, WIDE[:, 0])
    for estimator in (classifier, regressor):
        assert all(p.dtype == np.float32 for p in estimator.model_.parameters())


def test_a_warning_made_an_error_is_not_told_twice():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match=r"^0: Linear\(in=4, out=2\) " + TEXT):
            nn.Sequential(nn.Linear(4, 2, rng=0))(WIDE)
