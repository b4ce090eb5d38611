"""pickle and deepcopy (L10)."""

import copy
import gc
import pickle

import numpy as np
import pytest

import nn
import tensorgrad as tg

DUPLICATES = {"deepcopy": copy.deepcopy, "copy by pickle": lambda value: pickle.loads(pickle.dumps(value))}
pytestmark = pytest.mark.parametrize("duplicate", DUPLICATES.values(), ids=DUPLICATES)


@pytest.mark.promise("L10")
def test_a_leaf_and_a_result(duplicate):
    x = nn.Parameter([1.0, 2.0], name="x")
    y = x * x
    y.sum().backward()
    leaf, result = duplicate(x), duplicate(y)
    assert type(leaf) is nn.Parameter
    assert leaf.requires_grad
    assert leaf.name == "x"
    assert leaf.data.tolist() == [1.0, 2.0]
    assert not np.shares_memory(leaf.data, x.data)
    assert result.data.tolist() == [1.0, 4.0]
    assert not result.requires_grad
    assert result.is_leaf
    (leaf * 3).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


@pytest.mark.promise("L10")
def test_a_module_and_its_optimiser(duplicate):
    model = nn.MLP([4, 5, 3], norm="batch", dropout=0.2, rng=0)
    optimizer = nn.AdamW(model.parameters(), lr=0.1)
    x, labels = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32), np.arange(8) % 3

    def step(model, optimizer):
        loss = nn.functional.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    model.last = step(model, optimizer)  # a result that the module holds
    twin, twin_optimizer = duplicate((model, optimizer))
    assert not twin.last.requires_grad
    assert [p.name for p in twin.parameters()] == [p.name for p in model.parameters()]
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert a is not b
        assert not np.shares_memory(a.data, b.data)
    losses = [[step(*pair).item() for _ in range(3)] for pair in ((model, optimizer), (twin, twin_optimizer))]
    assert losses[0] == losses[1]
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, twin.state_dict()[name])


@pytest.mark.slow
@pytest.mark.promise("L10")
def test_the_end_of_a_graph_of_100000_operations(duplicate):
    x = tg.Tensor(1.0, requires_grad=True)
    y = x
    gc.disable()
    try:
        for _ in range(100_000):
            y = y * 1.0
        other, same = duplicate((y, y))
    finally:
        gc.enable()
    assert other is same
    assert other.data == 1.0
    assert other.node is None
    model = nn.Module()
    model.last = y
    assert duplicate(model).last.data == 1.0
