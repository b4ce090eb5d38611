"""What batch normalisation promises when things go wrong, and its running statistics."""

import warnings

import numpy as np
import pytest

import nn
import tensorgrad as tg


def batches(shape, count, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield rng.normal(rng.normal(size=shape[1]), rng.uniform(0.5, 3), (shape[0], *shape[2:], shape[1])).swapaxes(
            1, -1
        )


def unchanged(model, before):
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


# --- running statistics ---------------------------------------------------------------------------------


@pytest.mark.promise("G5")
@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("momentum", [0.0, 0.75, 1.0])
def test_running_statistics_are_weighted_means(unbiased, momentum):
    (x,) = batches((8, 7), 1)
    bn = nn.BatchNorm(7, momentum=momentum, unbiased=unbiased, dtype=np.float64)
    bn(x)
    new = 1 - momentum
    np.testing.assert_allclose(bn.running_mean.data, new * x.mean(axis=0), rtol=1e-13)
    want = momentum + new * x.var(axis=0, ddof=int(unbiased))
    np.testing.assert_allclose(bn.running_var.data, want, rtol=1e-13)


@pytest.mark.peer
@pytest.mark.promise("G5")
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(5, 7), (2, 7), (4, 7, 3)])
def test_training_and_then_evaluation_equal_pytorch_over_many_steps(shape, affine):
    torch = pytest.importorskip("torch")
    peer = torch.nn.BatchNorm1d(7, momentum=0.3, affine=affine, dtype=torch.float64)
    ours = nn.BatchNorm(7, momentum=0.7, affine=affine, dtype=np.float64)
    biased = nn.BatchNorm(7, momentum=0.7, affine=affine, unbiased=False, dtype=np.float64)
    running = torch.ones(7, dtype=torch.float64)
    for mode in (True, False, True):  # evaluation in between changes nothing
        for module in (peer, ours, biased):
            module.train(mode)
        for x in batches(shape, 100, seed=int(mode)):
            given = torch.from_numpy(x.copy())
            want = peer(given).detach().numpy()
            np.testing.assert_allclose(ours(x).data, want, rtol=0, atol=1e-12)
            if mode:
                axes = [0, *range(2, x.ndim)]
                running = 0.7 * running + 0.3 * torch.var(given, axes, correction=0)
                np.testing.assert_allclose(biased(x).data, want, rtol=0, atol=1e-12)
        np.testing.assert_allclose(ours.running_mean.data, peer.running_mean.numpy(), rtol=0, atol=1e-12)
        np.testing.assert_allclose(ours.running_var.data, peer.running_var.numpy(), rtol=1e-12)
        np.testing.assert_allclose(biased.running_mean.data, peer.running_mean.numpy(), rtol=0, atol=1e-12)
        np.testing.assert_allclose(biased.running_var.data, running.numpy(), rtol=1e-12)
    assert (np.abs(biased.running_var.data - ours.running_var.data) > 1e-3).all()


def test_a_compiled_step_keeps_the_same_statistics_to_the_bit():
    eager, compiled = (nn.BatchNorm(3) for _ in range(2))
    step = tg.compile(lambda x: compiled(x))
    for x in batches((6, 3, 4), 5):
        x = x.astype(np.float32)
        np.testing.assert_array_equal(step(x).data, eager(x).data)
    unchanged(compiled, eager.state_dict())


def test_a_training_forward_between_forward_and_backward_does_not_disturb_an_evaluation_graph():
    bn = nn.BatchNorm(2, dtype=np.float64).eval()
    x = tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = bn(x)
    bn.train()(np.array([[5.0, 6.0], [9.0, 7.0]]))
    y.sum().backward()
    np.testing.assert_allclose(x.grad, 1 / np.sqrt(1 + bn.eps), rtol=1e-14)


# --- batches of wrong shapes ----------------------------------------------------------------------------


@pytest.mark.promise("G1", "G2")
@pytest.mark.parametrize("n", [0, 1])
def test_a_training_batch_without_variance_is_refused(n):
    model = nn.Sequential(nn.Linear(4, 3, rng=0), nn.BatchNorm(3))
    before = model.state_dict()
    step = tg.compile(lambda x: model(x))
    for call in (model, step):
        with pytest.raises(tg.ShapeError, match=rf"^1: BatchNorm\(3.*more than 1.*\({n}, 3\).*eval\(\)"):
            call(np.ones((n, 4), np.float32))
    unchanged(model, before)
    assert model.eval()(np.ones((n, 4), np.float32)).shape == (n, 3)
    unchanged(model, before)


@pytest.mark.promise("G1", "G2")
def test_numbers_along_further_axes_count_as_well():
    bn = nn.BatchNorm(3, dtype=np.float64)
    before = bn.state_dict()
    for shape in ((1, 3, 1), (0, 3, 5), (4, 3, 0)):
        with pytest.raises(tg.ShapeError, match="more than 1"):
            bn(np.ones(shape))
    unchanged(bn, before)
    assert bn(np.arange(6.0).reshape(1, 3, 2)).data[0, 0].tolist() == pytest.approx([-1, 1], abs=1e-4)


@pytest.mark.promise("G3")
@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((4, 5), r"expected 3 features, got 5 \(shape \(4, 5\)\)"),
        ((4, 2, 3), r"expected 3 features, got 2"),
        ((3,), r"expected shape \(batch, features\), got \(3,\)"),
        ((), r"expected shape \(batch, features\), got \(\)"),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_wrong_shapes_are_refused_with_the_path(shape, text, training):
    model = nn.Sequential(nn.Tanh(), nn.BatchNorm(3)).train(training)
    before = model.state_dict()
    with pytest.raises(tg.ShapeError, match=rf"^1: BatchNorm\(3.*{text}"):
        model(np.ones(shape))
    unchanged(model, before)


def forward_and_backward(bn, x, dy, compiled):
    """Return the result and the gradient of the input."""
    leaf = tg.Tensor(x, requires_grad=True)

    def step():
        y = bn(leaf)
        y.backward(dy)
        return y

    return (tg.compile(step) if compiled else step)().data, leaf.grad


@pytest.mark.promise("G3")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 2), (64, 2), (1000, 2), (9, 2, 7)])
@pytest.mark.parametrize("value", [0.0, 2.0, 0.1, -1000.1, 1e6 + 0.3])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_constant_feature_is_zero_and_so_is_the_gradient_of_its_sum(value, shape, dtype, compiled):
    """This holds for any value, although rounding of a mean would leave up to 1 in float32."""
    (x,) = batches(shape, 1)
    x[:, 0] = value
    bn = nn.BatchNorm(2, dtype=dtype)
    y, gradient = forward_and_backward(bn, x.astype(dtype), np.ones(shape, dtype), compiled)
    np.testing.assert_array_equal(y[:, 0], 0)
    rounding = bn.eps**-0.5 * x[:, 0].size * np.finfo(dtype).eps
    np.testing.assert_allclose(gradient[:, 0], 0, atol=rounding)
    assert bn.gamma.grad[0] == 0
    assert bn.running_mean.data[0] == pytest.approx(0.1 * value, rel=1e-6)
    assert bn.running_var.data[0] == dtype(0.9)


@pytest.mark.promise("G3")
@pytest.mark.parametrize("compiled", [False, True])
def test_without_eps_no_gradient_reaches_a_constant_feature(compiled):
    x = np.array([[0.1, 1.0], [0.1, 3.0], [0.1, 8.0]])
    bn = nn.BatchNorm(2, eps=0.0, dtype=np.float64)
    bn.beta.data[...] = 5
    y, gradient = forward_and_backward(bn, x, np.array([[1.0, 1.0], [2.0, 5.0], [4.0, -1.0]]), compiled)
    np.testing.assert_array_equal(y[:, 0], 5)
    np.testing.assert_array_equal(gradient[:, 0], 0)
    assert (gradient[:, 1] != 0).all()
    assert bn.gamma.grad[0] == 0
    assert bn.beta.grad[0] == 7


def test_integers_of_few_bits_do_not_wrap_around():
    x = np.array([[3], [5], [250]], np.uint8)
    bn = nn.BatchNorm(1, eps=0.0, dtype=np.float64)
    np.testing.assert_allclose(bn(x).data, (x - x.mean()) / x.std(), rtol=1e-14)


@pytest.mark.promise("G4")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # NumPy's, of inf - inf
def test_a_batch_that_is_not_finite_leaves_the_running_statistics_and_warns_with_the_path(bad, row, compiled):
    model = nn.Sequential(nn.BatchNorm(2), nn.ReLU())
    run = tg.compile(lambda x: model(x)) if compiled else model
    x = np.array([[1.0, 2.0], [2.0, 3.0]], np.float32)
    run(x)
    before = model.state_dict()
    wrong = x.copy()
    wrong[row, 1] = bad
    with pytest.warns(RuntimeWarning, match=r"^0: batch_norm: the batch contains NaN or infinity; .* not updated"):
        y = run(wrong)
    assert np.isnan(y.data[:, 1]).any()
    assert np.isfinite(y.data[:, 0]).all()
    unchanged(model, before)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(x)
    assert (model.state_dict()["0.running_mean"] != before["0.running_mean"]).all()


@pytest.mark.promise("G4")
def test_nan_in_evaluation_touches_nothing_and_does_not_warn():
    model = nn.Sequential(nn.BatchNorm(2)).eval()
    before = model.state_dict()
    assert np.isnan(model(np.full((2, 2), np.nan, np.float32)).data).all()
    unchanged(model, before)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"momentum": 1.5},
            ValueError,
            r"BatchNorm: momentum, the weight of the old value, must be in \[0, 1\], got 1.5",
        ),
        ({"momentum": -0.1}, ValueError, "BatchNorm: momentum must be .* at least 0, got -0.1"),
        ({"momentum": float("nan")}, ValueError, "BatchNorm: momentum must be .*, got nan"),
        ({"momentum": "0.9"}, ValueError, "BatchNorm: momentum must be .*, got '0.9'"),
        ({"eps": -1.0}, ValueError, "BatchNorm: eps must be a finite number of at least 0, got -1.0"),
        ({"dtype": np.int64, "affine": False}, tg.DTypeError, "BatchNorm: dtype must be floating point, got int64"),
    ],
)
def test_bad_options_are_refused(options, error, text):
    with pytest.raises(error, match=text):
        nn.BatchNorm(3, **options)
