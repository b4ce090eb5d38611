"""What the tests of model files share."""

import math

import numpy as np

import nn


class Net(nn.Module):
    """A class that no file can rebuild."""

    def __init__(self, rng=0):
        super().__init__()
        self.body = nn.MLP([4, 6, 3], norm="batch", dropout=0.3, rng=rng)
        self.squash = math.tanh  # not data, either

    def forward(self, x):
        return self.body(x)


def train(model, optimizer, steps=4):
    rng = np.random.default_rng(5)
    for _ in range(steps):
        x, y = rng.normal(size=(8, 4)).astype(np.float32), rng.integers(0, 3, 8)
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def bits(tree):
    """Everything in a state_dict, so that == compares bit by bit."""
    if isinstance(tree, dict):
        return {key: bits(value) for key, value in tree.items()}
    return (tree.dtype.str, tree.shape, tree.tobytes()) if isinstance(tree, np.ndarray) else tree


def require_equal(pair, other):
    for one, two in zip(pair, other, strict=True):
        assert bits(one.state_dict()) == bits(two.state_dict())
