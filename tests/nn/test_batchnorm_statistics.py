"""What batch norm keeps of its batches: a decaying mean, the mean over all of them, or nothing."""

import copy

import numpy as np
import pytest

import nn
import tensorgrad as tg

OPTIONS = {
    "decaying": ({"momentum": 0.7}, {"momentum": 0.3}),
    "all so far": ({"momentum": None}, {"momentum": None}),
    "nothing": ({"track_running_stats": False}, {"track_running_stats": False}),
    "nothing, not affine": (
        {"track_running_stats": False, "affine": False},
        {"track_running_stats": False, "affine": False},
    ),
    "all so far, not affine": ({"momentum": None, "affine": False}, {"momentum": None, "affine": False}),
}


def batches(count=5, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(i, 1 + i, (4 + i, 3, 2)) for i in range(count)]


@pytest.mark.peer
@pytest.mark.parametrize("name", OPTIONS)
def test_training_and_evaluation_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    options, theirs = OPTIONS[name]
    ours = nn.BatchNorm(3, dtype=np.float64, **options)
    peer = torch.nn.BatchNorm1d(3, **theirs).double()
    for step, x in enumerate((*batches(), *batches(2, seed=1))):
        if step == 5:
            ours.eval(), peer.eval()
        leaf, other = tg.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        mine, result = ours(leaf), peer(other)
        np.testing.assert_allclose(mine.data, result.detach().numpy(), rtol=1e-12, atol=1e-13)
        (mine**3).sum().backward()
        (result**3).sum().backward()
        np.testing.assert_allclose(leaf.grad, other.grad.numpy(), rtol=1e-10, atol=1e-11)
        for mine, result in ((nn.to_torch(ours), peer.state_dict()),):
            assert list(mine) == list(result)
            for key in mine:
                if key == "num_batches_tracked" and ours.momentum is not None:
                    continue  # not counted where nothing depends on it
                assert mine[key].dtype == result[key].numpy().dtype
                np.testing.assert_allclose(mine[key], result[key].numpy(), rtol=1e-12, atol=1e-14)


def test_the_mean_over_all_batches_is_just_that():
    layer = nn.BatchNorm(3, momentum=None, dtype=np.float64)
    for x in batches():
        layer(x)
    means = [x.mean(axis=(0, 2)) for x in batches()]
    variances = [x.var(axis=(0, 2), ddof=1) for x in batches()]
    np.testing.assert_allclose(layer.running_mean.data, np.mean(means, axis=0), rtol=1e-13)
    np.testing.assert_allclose(layer.running_var.data, np.mean(variances, axis=0), rtol=1e-13)
    assert layer.num_batches_tracked.item() == 5
    assert layer.num_batches_tracked.dtype == np.int64
    layer.eval()(batches()[0])
    assert layer.num_batches_tracked.item() == 5


def test_a_batch_that_is_not_finite_does_not_count():
    layer = nn.BatchNorm(3, momentum=None, dtype=np.float64)
    first, *_ = batches()
    layer(first)
    before = {name: array.tobytes() for name, array in layer.state_dict().items()}
    with pytest.warns(RuntimeWarning, match="running statistics were not updated"):
        layer(np.full_like(first, np.nan))
    assert before == {name: array.tobytes() for name, array in layer.state_dict().items()}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_compiled_step_has_the_same_bits(name):
    options, _ = OPTIONS[name]

    def trained(compiled):
        layer = nn.BatchNorm(3, dtype=np.float64, **options)
        step = tg.compile(lambda x: layer(x).sum()) if compiled else lambda x: layer(x).sum()
        results = [step(x).item() for x in (*batches(), *batches())]
        if compiled:
            assert step.traces == 5  # one for each size of a batch
        layer.eval()
        return [*results, step(batches()[0]).item()], {n: a.tobytes() for n, a in layer.state_dict().items()}

    assert trained(False) == trained(True)


def test_without_statistics_evaluation_takes_the_batchs_own():
    layer = nn.BatchNorm(3, track_running_stats=False, dtype=np.float64)
    x = batches()[0]
    np.testing.assert_array_equal(layer.eval()(x).data, layer.train()(x).data)
    assert not list(layer.buffers())
    assert repr(layer) == "BatchNorm(3, momentum=0.9, eps=1e-05, track_running_stats=False)"
    with pytest.raises(tg.ShapeError, match="batch_norm: a batch needs more than 1 row"):
        layer.eval()(np.ones((1, 3)))


def test_a_mean_over_all_batches_needs_its_count():
    layer = nn.BatchNorm(3)
    layer.momentum = None
    with pytest.raises(ValueError, match=r"momentum=None.* needs num_batches_tracked.*nn\.BatchNorm\("):
        layer(np.ones((2, 3), np.float32))
    count, mean, var = np.array(0), np.zeros(3), np.ones(3)
    for x in batches(2):
        nn.functional.batch_norm(x, mean, var, training=True, momentum=None, num_batches_tracked=count)
    assert count == 2
    np.testing.assert_allclose(mean, np.mean([x.mean(axis=(0, 2)) for x in batches(2)], axis=0))


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
@pytest.mark.parametrize("name", OPTIONS)
def test_files_and_copies_go_on_where_they_left_off(name, ending, tmp_path):
    if ending == "safetensors":
        pytest.importorskip("safetensors")
    options, _ = OPTIONS[name]
    model = nn.Sequential(nn.BatchNorm(3, dtype=np.float64, **options))
    for x in batches(3):
        model(x)
    path = tmp_path / f"model.{ending}"
    nn.save(path, model)
    fresh = nn.Sequential(nn.BatchNorm(3, dtype=np.float64, **options))
    nn.load(path, fresh)
    for other in (nn.load(path)[0], fresh, copy.deepcopy(model)):
        assert repr(other) == repr(model)
        pair = [copy.deepcopy(m) for m in (model, other)]
        for x in batches(2, seed=3):
            first, second = (m(x).data for m in pair)
            np.testing.assert_array_equal(first, second)
        first, second = (m.state_dict() for m in pair)
        assert {n: a.tobytes() for n, a in first.items()} == {n: a.tobytes() for n, a in second.items()}


@pytest.mark.peer
@pytest.mark.parametrize("name", OPTIONS)
def test_models_of_pytorch_go_on_here_where_they_left_off(name):
    torch = pytest.importorskip("torch")
    options, theirs = OPTIONS[name]
    peer = torch.nn.Sequential(torch.nn.BatchNorm1d(3, **theirs)).double()
    for x in batches(3):
        peer(torch.tensor(x))
    ours = nn.from_torch(nn.Sequential(nn.BatchNorm(3, dtype=np.float64, **options)), peer)
    again = torch.nn.Sequential(torch.nn.BatchNorm1d(3, **theirs)).double()
    again.load_state_dict({key: torch.from_numpy(array) for key, array in nn.to_torch(ours).items()}, strict=True)
    for x in batches(2, seed=3):
        mine, result, third = ours(x).data, peer(torch.tensor(x)), again(torch.tensor(x))
    for model in (ours, peer, again):
        model.eval()
    x = batches(1, seed=4)[0]
    mine, result, third = ours(x).data, peer(torch.tensor(x)), again(torch.tensor(x))
    np.testing.assert_allclose(mine, result.detach().numpy(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(third.detach().numpy(), result.detach().numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.peer
def test_models_of_pytorch_that_keep_something_else_do_not_fit():
    torch = pytest.importorskip("torch")
    for here, there, text in (
        ({}, {"momentum": None}, "momentum: is None, expected a number"),
        ({"momentum": None}, {}, "momentum: is 0.1, expected None"),
        ({}, {"track_running_stats": False}, "missing: 0.running_mean"),
        ({"track_running_stats": False}, {}, "unexpected: 0.running_mean"),
        ({"track_running_stats": False, "affine": False}, {"affine": False}, "unexpected: 0.running_mean"),
    ):
        with pytest.raises(ValueError, match=text):
            nn.from_torch(nn.Sequential(nn.BatchNorm(3, **here)), torch.nn.Sequential(torch.nn.BatchNorm1d(3, **there)))


@pytest.mark.peer
@pytest.mark.parametrize("widths", [{"kdim": 3, "vdim": 5}, {"vdim": 5}])
@pytest.mark.parametrize("bias", [True, False])
def test_attention_to_other_widths_goes_to_pytorch_and_back(widths, bias, tmp_path):
    torch = pytest.importorskip("torch")
    peer = torch.nn.Sequential(torch.nn.MultiheadAttention(4, 2, bias=bias, **widths, batch_first=True))
    ours = nn.from_torch(nn.Sequential(nn.MultiheadAttention(4, 2, bias=bias, **widths)), peer)
    state = nn.to_torch(ours)
    assert {key: array.shape for key, array in state.items()} == {
        key: tuple(tensor.shape) for key, tensor in peer.state_dict().items()
    }
    for key, tensor in peer.state_dict().items():
        np.testing.assert_array_equal(state[key], tensor.numpy())
    nn.save(tmp_path / "model.npz", ours)
    loaded, *_ = nn.load(tmp_path / "model.npz")
    assert repr(loaded) == repr(ours)
    assert (loaded[0].kdim, loaded[0].vdim) == (widths.get("kdim", 4), 5)
