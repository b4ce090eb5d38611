"""The running mean of a model's parameters."""

import numpy as np
import pytest

import nn
import tensorgrad as tg


def model():
    return nn.MLP([3, 4, 2], norm="batch", dtype=np.float64, rng=0)


def moved(network, rng):
    for p in network.parameters():
        p.data[...] += rng.normal(size=p.shape)


def test_it_is_the_mean_by_hand_and_takes_buffers_as_they_are():
    network, rng = model(), np.random.default_rng(0)
    average = nn.ExponentialMovingAverage(network, decay=0.9)
    by_hand = network.layers[0].W.data.copy()
    for _ in range(5):
        moved(network, rng)
        network(rng.normal(size=(8, 3)))
        average.update()
        by_hand = 0.9 * by_hand + 0.1 * network.layers[0].W.data
    np.testing.assert_allclose(average.mean["layers.0.W"], by_hand, rtol=1e-14)
    np.testing.assert_array_equal(average.mean["layers.1.running_mean"], network.layers[1].running_mean.data)


@pytest.mark.peer
def test_it_equals_pytorch():
    torch = pytest.importorskip("torch")
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    ours = nn.Linear(3, 2, dtype=np.float64, rng=0)
    theirs = torch.nn.Linear(3, 2, dtype=torch.float64)
    average = nn.ExponentialMovingAverage(ours, 0.95)
    peer = AveragedModel(theirs, multi_avg_fn=get_ema_multi_avg_fn(0.95))

    def copied():
        theirs.weight.data[...] = torch.tensor(ours.W.data.T)
        theirs.bias.data[...] = torch.tensor(ours.b.data)

    copied()
    peer.update_parameters(theirs)  # its first update is a copy
    rng = np.random.default_rng(1)
    for _ in range(20):
        moved(ours, rng)
        copied()
        average.update()
        peer.update_parameters(theirs)
    np.testing.assert_allclose(average.mean["W"], peer.module.weight.detach().numpy().T, rtol=1e-12)
    np.testing.assert_allclose(average.mean["b"], peer.module.bias.detach().numpy(), rtol=1e-12)


def test_it_is_applied_for_a_while_whatever_happens():
    network = model()
    average = nn.ExponentialMovingAverage(network)
    first = network.state_dict()
    moved(network, np.random.default_rng(0))
    own = network.state_dict()

    def fails():
        np.testing.assert_equal(network.state_dict(), first)
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), average.applied():
        fails()
    np.testing.assert_equal(network.state_dict(), own)
    other = model()
    average.copy_to(other)
    np.testing.assert_equal(other.state_dict(), first)


def test_its_state():
    network = model()
    average = nn.ExponentialMovingAverage(network)
    state = average.state_dict()
    moved(network, np.random.default_rng(0))
    average.update()
    assert (average.mean["layers.0.W"] != state["layers.0.W"]).any()
    average.load_state_dict(state)
    np.testing.assert_equal(average.state_dict(), state)
    with pytest.raises(ValueError, match=r"layers.0.W do not fit"):
        average.load_state_dict({**state, "layers.0.W": np.zeros((2, 2))})
    np.testing.assert_equal(average.state_dict(), state)


def test_refusals():
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\), got 1.0"):
        nn.ExponentialMovingAverage(model(), 1.0)
    network = model()
    average = nn.ExponentialMovingAverage(network)
    network.head = nn.Linear(2, 2)
    with pytest.raises(tg.GraphError, match="has got or lost parameters"):
        average.update()
