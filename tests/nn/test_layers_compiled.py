"""Layers of all kinds in a compiled step."""

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn._layers.activations import ACTIVATIONS


def image_model():
    rng = np.random.default_rng(0)
    statistics = np.random.default_rng(5).normal(2, 3, (20, 2, 8, 8))
    return nn.Sequential(
        nn.Standardize(2).fit(statistics),
        nn.Conv2d(2, 4, 3, padding="same", l2=1e-3, rng=rng),
        nn.BatchNorm(4),
        nn.PReLU(4),
        nn.MaxPool2d(2),
        nn.Residual(nn.Conv2d(4, 4, 3, padding=1, groups=2, rng=rng)),
        nn.GroupNorm(2, 4),
        nn.AvgPool2d(2, padding=1, count_include_pad=False),
        nn.Dropout2d(0.2, rng=rng),
        nn.ConvTranspose2d(4, 4, 2, 2, groups=2, rng=rng),
        nn.AdaptiveAvgPool2d((4, None)),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(2),
        nn.Conv1d(4, 6, 2, stride=2, rng=rng),
        nn.MaxPool1d(2, 1),
        nn.AvgPool1d(2, 1),
        nn.Flatten(),
        nn.Linear(12, 8, init="orthogonal", l1=1e-3, rng=rng),
        nn.LayerNorm(8),
        *(make() for make in ACTIVATIONS.values()),
        nn.Softplus(2.0),
        nn.Dropout(0.2, rng=rng),
        nn.RMSNorm(8),
        nn.Linear(8, 3, rng=rng),
        nn.LogSoftmax(),
    )


def text_model():
    rng = np.random.default_rng(0)
    return nn.Sequential(
        nn.Embedding(9, 8, padding_idx=0, rng=rng),
        nn.Residual(nn.MultiheadAttention(8, 2, dropout=0.1, rng=rng)),
        nn.TransformerEncoderLayer(8, 2, 6, 0.1, rng=rng),
        nn.Dropout1d(0.1, rng=rng),
        nn.Identity(),
        nn.LayerNorm((5, 8)),
        nn.Flatten(),
        nn.Linear(40, 3, rng=rng),
        nn.Softmax(),
    )


@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (image_model, lambda rng: rng.normal(2, 3, (6, 2, 8, 8)).astype(np.float32)),
        (text_model, lambda rng: rng.integers(0, 9, (6, 5))),
    ],
)
def test_layers_of_all_kinds_have_equal_bits_compiled(make, draw):
    pytest.importorskip("scipy")

    def training():
        model = make()
        optimizer = nn.AdamW(model.parameters(), lr=1e-2)

        def step(x):
            optimizer.zero_grad()
            loss = (model(x) * np.arange(3, dtype=np.float32)).sum()
            penalty = nn.penalty(model)
            loss = loss if penalty is None else loss + penalty
            loss.backward()
            optimizer.step()
            return loss

        return model, step

    (eager, one), (compiled, other) = training(), training()
    other = tg.compile(other)
    rng = np.random.default_rng(2)
    for _ in range(5):
        x = draw(rng)
        assert one(x).data.tobytes() == other(x).data.tobytes()
    assert other.traces == 1
    for name, array in eager.state_dict().items():
        np.testing.assert_array_equal(array, compiled.state_dict()[name], err_msg=name)
    x = draw(rng)
    forward = tg.compile(lambda x: compiled.eval()(x))
    np.testing.assert_array_equal(forward(x).data, eager.eval()(x).data)
