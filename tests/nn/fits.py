"""Data, models and callbacks for tests of training."""

import numpy as np

import nn


def data(rows=50, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 4)).astype(np.float32)
    return X, (X @ rng.normal(size=(4, classes))).argmax(axis=1)


def made(rng=0, **options):
    network = nn.MLP([4, 8, 3], norm="batch", dropout=0.2, rng=rng)
    return nn.Model(network, **{"optimizer": {"name": "adamw", "lr": 0.01}, "rng": rng, **options})


def assert_same(a, b):
    for (name, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        np.testing.assert_array_equal(x, y, err_msg=name)


class Recorder(nn.Callback):
    """Ends a training run after some steps, if asked, and records the calls."""

    def __init__(self, act=None, at=None):
        self.calls, self.act, self.at, self.steps = [], act, at, 0

    def on_fit_begin(self, fit):
        self.calls.append("begin")

    def on_step_end(self, fit):
        self.steps += 1
        if self.steps == self.at:
            self.act(fit)

    def on_epoch_end(self, fit):
        self.calls.append(fit.epoch)

    def on_fit_end(self, fit):
        self.calls.append("end")
