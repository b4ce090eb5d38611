"""Live models of PyTorch that compute something else than the model here."""

import numpy as np
import pytest

import nn

pytestmark = pytest.mark.peer


@pytest.mark.parametrize(
    ("ours", "theirs", "text"),
    [
        (lambda: nn.MultiheadAttention(8, 2), lambda t: t.nn.MultiheadAttention(8, 4), "num_heads: is 4, expected 2"),
        (lambda: nn.GroupNorm(2, 8), lambda t: t.nn.GroupNorm(4, 8), "num_groups: is 4, expected 2"),
        (
            lambda: nn.Conv2d(2, 4, 3, stride=2),
            lambda t: t.nn.Conv2d(2, 4, 3),
            r"stride: is \(1, 1\), expected \(2, 2\)",
        ),
        (
            lambda: nn.Conv1d(2, 4, 3, padding=1),
            lambda t: t.nn.Conv1d(2, 4, 3, padding=1, padding_mode="reflect"),
            "padding_mode: is 'reflect', expected 'zeros'",
        ),
        (lambda: nn.MaxPool2d(2), lambda t: t.nn.MaxPool2d(3), r"kernel_size: is \(3, 3\), expected \(2, 2\)"),
        (lambda: nn.MaxPool2d(2), lambda t: t.nn.MaxPool2d(2, ceil_mode=True), "ceil_mode: is True, expected False"),
        (lambda: nn.MaxPool2d(2), lambda t: t.nn.AvgPool2d(2), "0: is a AvgPool2d, expected a MaxPool2d"),
        (lambda: nn.Flatten(), lambda t: t.nn.Flatten(2), "start_dim: is 2, expected 1"),
        (lambda: nn.Embedding(4, 2), lambda t: t.nn.Embedding(4, 2, padding_idx=1), "padding_idx: is 1, expected None"),
    ],
)
def test_a_live_module_that_computes_something_else_is_refused(ours, theirs, text):
    torch = pytest.importorskip("torch")
    model = nn.Sequential(ours())
    before = model.state_dict()
    with pytest.raises(ValueError, match=text):
        nn.from_torch(model, torch.nn.Sequential(theirs(torch)))
    np.testing.assert_equal(model.state_dict(), before)


def test_a_layer_that_only_pytorch_has_is_refused():
    torch = pytest.importorskip("torch")
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="1: is a ReLU, and there is nothing here at that path"):
        nn.from_torch(model, torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU()))
    nn.from_torch(model.to(np.float32), torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Identity()))
