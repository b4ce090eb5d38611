"""The main job: a small classifier on scikit-learn's bundled digits."""

import copy
import pickle

import numpy as np
import pytest

import nn
import tensorgrad as tg


def digits(seed):
    """The real images, split by the seed, standardised with the training images' statistics."""
    pytest.importorskip("sklearn")
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=seed)
    mean, scale = x_train.mean(axis=0), x_train.std(axis=0)
    scale[scale == 0] = 1
    x_train, x_test = (((x - mean) / scale).astype(np.float32) for x in (x_train, x_test))
    return x_train, y_train, x_test, y_test


def train(seed, epochs):
    x_train, y_train, x_test, y_test = digits(seed)
    rng = np.random.default_rng(seed)
    model = nn.MLP([64, 128, 128, 10], norm="batch", rng=rng)
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    optimizer = nn.AdamW([{"params": weights}, {"params": others, "weight_decay": 0.0}], lr=2e-3)
    for _ in range(epochs):
        for batch in np.array_split(rng.permutation(len(x_train)), len(x_train) // 64):
            loss = nn.functional.cross_entropy(model(x_train[batch]), y_train[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    with tg.no_grad():
        return model, float((model(x_test).data.argmax(axis=1) == y_test).mean())


@pytest.mark.parametrize("seed", range(5))
def test_digits_are_learned(seed):
    _, accuracy = train(seed, epochs=30)
    assert accuracy >= 0.97


def test_training_is_reproducible_to_the_bit():
    first, second = (train(0, epochs=2)[0].state_dict() for _ in range(2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


@pytest.fixture
def batch():
    """Sixty-four images. Loading them imports scikit-learn, which leaves cycles of its own."""
    x, y, *_ = digits(0)
    return x[:64], y[:64]


def test_training_leaves_nothing_for_the_collector(batch, no_collector):
    x, y = batch
    model = nn.MLP([64, 32, 10], norm="batch", dropout=0.1, rng=0)
    optimizer = nn.AdamW(model.parameters())
    for _ in range(40):  # the update is compiled after twenty
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    del loss


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copy_of_model_and_optimiser_goes_on_alike_and_apart(duplicate):
    def train_on(model, optimizer):
        rng = np.random.default_rng(1)
        for _ in range(3):
            x, y = rng.normal(size=(8, 4)).astype(np.float32), rng.integers(0, 3, 8)
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    model = nn.MLP([4, 5, 3], norm="batch", dropout=0.2, rng=0)
    optimizer = nn.AdamW(model.parameters(), lr=0.1)
    train_on(model, optimizer)
    twin, twin_optimizer = duplicate((model, optimizer))
    before = model.state_dict()
    train_on(twin, twin_optimizer)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    train_on(model, optimizer)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, twin.state_dict()[name])
    np.testing.assert_equal(optimizer.state_dict(), twin_optimizer.state_dict())
    assert [p.name for p in twin.parameters()] == [p.name for p in model.parameters()]
    assert twin(np.ones((2, 4), np.float32)).node.scope[:2] == ("layers.4", "Linear 5→3 · 18 params")
