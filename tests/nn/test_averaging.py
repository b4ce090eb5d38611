import copy

import numpy as np
import pytest

import nn
import tensorgrad as tg


def model(seed=0, dtype=np.float64):
    return nn.MLP([4, 5, 3], norm="batch", dtype=dtype, rng=seed)


def trained(net, optimizer, rng, steps=1, after=lambda: None):
    for _ in range(steps):
        x, y = rng.normal(size=(8, 4)), rng.integers(0, 3, 8)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        after()


@pytest.mark.peer
def test_averages_equal_pytorch():
    torch = pytest.importorskip("torch")
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    net = model()
    average = nn.ExponentialMovingAverage(net, decay=0.9)
    names = [name for name, _ in net.named_parameters()]
    theirs = torch.nn.ParameterList([torch.tensor(p.data) for p in net.parameters()])
    peer = AveragedModel(theirs, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    rng = np.random.default_rng(0)
    optimizer = nn.AdamW(net.parameters(), lr=0.05)

    def follow():
        average.update()
        with torch.no_grad():
            for p, q in zip(net.parameters(), theirs, strict=True):
                q.copy_(torch.tensor(p.data))
        peer.update_parameters(theirs)

    trained(net, optimizer, rng, 100, follow)
    for name, q in zip(names, peer.module, strict=True):
        np.testing.assert_allclose(average.averages[name], q.detach().numpy(), rtol=1e-12)
    for name, buffer in net.named_buffers():
        np.testing.assert_array_equal(average.averages[name], buffer.data)


def test_the_closed_form():
    w = nn.Linear(1, 1, bias=False, dtype=np.float64)
    average = nn.ExponentialMovingAverage(w, decay=0.75)
    values = np.random.default_rng(0).normal(size=20)
    for value in values:
        w.W.data[...] = value
        average.update()
    weights = 0.25 * 0.75 ** np.arange(19, -1, -1)
    weights[0] = 0.75**19
    np.testing.assert_allclose(average.averages["W"], [[weights @ values]], rtol=1e-12)


def test_the_first_update_takes_the_weights():
    net = model()
    average = nn.ExponentialMovingAverage(net, decay=0.999)
    trained(net, nn.SGD(net.parameters(), lr=1.0), np.random.default_rng(0), 3)
    average.update()
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(average.averages[name], array)


def test_applied_is_undone_also_after_an_exception():
    net = model()
    average = nn.ExponentialMovingAverage(net, decay=0.5)
    rng = np.random.default_rng(0)
    trained(net, nn.SGD(net.parameters(), lr=0.5), rng, 5, average.update)
    arrays = [p.data for p in net.parameters()]
    own, x = net.state_dict(), rng.normal(size=(6, 4))
    twin = copy.deepcopy(net)
    average.copy_to(twin)

    def fail():
        with average.applied() as the_same:
            assert the_same is net
            np.testing.assert_array_equal(net.eval()(x).data, twin.eval()(x).data)
            net.train()(x)  # moves the running statistics
            1 / 0

    with pytest.raises(ZeroDivisionError):
        fail()
    np.testing.assert_equal(net.state_dict(), own)
    assert all(p.data is array for p, array in zip(net.parameters(), arrays, strict=True))
    assert (twin.state_dict()["layers.0.W"] != own["layers.0.W"]).any()


def test_float32_stays_float32():
    net = model(dtype=np.float32)
    average = nn.ExponentialMovingAverage(net)
    average.update()
    average.update()
    assert {array.dtype for array in average.averages.values()} == {np.dtype(np.float32)}


@pytest.mark.promise("H7")
def test_resuming_is_bit_equal():
    net = model()
    average = nn.ExponentialMovingAverage(net, decay=0.9)
    optimizer, rng = nn.AdamW(net.parameters(), lr=0.05), np.random.default_rng(0)
    trained(net, optimizer, rng, 5, average.update)
    twin, twin_optimizer, twin_rng = copy.deepcopy((net, optimizer, rng))
    resumed = nn.ExponentialMovingAverage(twin, decay=0.1)
    resumed.load_state_dict(average.state_dict())
    trained(net, optimizer, rng, 5, average.update)
    trained(twin, twin_optimizer, twin_rng, 5, resumed.update)
    np.testing.assert_equal(resumed.state_dict(), average.state_dict())
    assert resumed.updates == 10


def test_a_compiled_step_averages_alike():
    def run(compiled):
        net = model()
        optimizer, average = nn.AdamW(net.parameters(), lr=0.05), nn.ExponentialMovingAverage(net, decay=0.9)

        def step(x, y):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            average.update()
            return loss

        call = tg.compile(step) if compiled else step
        rng = np.random.default_rng(0)
        for _ in range(6):
            call(rng.normal(size=(8, 4)), rng.integers(0, 3, 8))
        return average.state_dict(), net.state_dict()

    np.testing.assert_equal(run(True), run(False))


def test_what_does_not_fit_is_refused():
    net = model()
    average = nn.ExponentialMovingAverage(net)
    before = average.state_dict()
    bad = average.state_dict()
    bad["averages"]["layers.0.W"] = np.zeros((2, 2))
    bad["updates"] = 7
    del bad["averages"]["layers.3.b"]
    with pytest.raises(ValueError, match=r"nothing was loaded: .* layers.0.W, layers.3.b"):
        average.load_state_dict(bad)
    for name, value in (("decay", 5.0), ("decay", "x"), ("updates", -1), ("updates", 1.5), ("averages", None)):
        with pytest.raises(ValueError, match=f"nothing was loaded: {name} must be"):
            average.load_state_dict({**before, name: value})
        with pytest.raises(ValueError, match="nothing was loaded: got"):
            average.load_state_dict({key: v for key, v in before.items() if key != name})
    np.testing.assert_equal(average.state_dict(), before)
    with pytest.raises(tg.GraphError, match=r"differ in .*layers.0.W"):
        average.copy_to(nn.MLP([3, 5, 3], norm="batch", dtype=np.float64))
    net.to(np.float32)
    with pytest.raises(tg.GraphError, match="make the average after changing the model"):
        average.update()
    for decay in (-0.1, 1.5, np.nan, "x", None, True):
        with pytest.raises(ValueError, match="decay must be"):
            nn.ExponentialMovingAverage(net, decay=decay)
