"""Which parameters decay."""

import pytest

import nn


def test_no_decay_leaves_out_biases_norms_and_slopes():
    model = nn.Sequential(
        nn.Conv1d(2, 4, 3, rng=0),
        nn.GroupNorm(2, 4),
        nn.PReLU(4),
        nn.Flatten(),
        nn.Linear(4, 3, rng=0),
        nn.LayerNorm((1, 3)),  # two axes, and a norm's all the same
    )
    list(model.parameters())
    groups = nn.no_decay(model)
    names = [[p.name for p in group["params"]] for group in groups]
    assert names == [["0.W", "4.W"], ["0.b", "1.gamma", "1.beta", "2.slope", "4.b", "5.gamma", "5.beta"]]
    assert "weight_decay" not in groups[0]
    assert groups[1]["weight_decay"] == 0


def test_no_decay_has_no_empty_group_and_every_parameter_once():
    assert len(nn.no_decay(nn.Linear(2, 1, bias=False, rng=0))) == 1
    (biases,) = nn.no_decay(nn.BatchNorm(3))
    assert biases["weight_decay"] == 0
    shared = nn.Linear(2, 2, rng=0)
    groups = nn.no_decay(nn.Sequential(shared, nn.ReLU(), shared))
    assert sum(len(group["params"]) for group in groups) == 2
    with pytest.raises(ValueError, match="ReLU has no parameters"):
        nn.no_decay(nn.ReLU())
