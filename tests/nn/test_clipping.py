"""Gradient clipping."""

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .deviations import gradients, parameters


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, np.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1e9])
@pytest.mark.peer
def test_clipping_equals_pytorch(norm_type, max_norm):
    torch = pytest.importorskip("torch")
    ours = parameters()
    theirs = [torch.tensor(p.data) for p in ours]
    for p, q, g in zip(ours, theirs, gradients(np.random.default_rng(0)), strict=True):
        p.grad, q.grad = g.copy(), torch.tensor(g)
    norm = nn.clip_grad_norm_(ours, max_norm, norm_type)
    want = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type).item()
    np.testing.assert_allclose(norm, want, rtol=1e-13)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-12)


@pytest.mark.promise("H4")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_is_an_error_by_default(value):
    params = parameters()
    params[0].grad, params[1].grad = np.ones((4, 3)), np.array([1.0, value, 1.0])
    with pytest.raises(tg.NonFiniteError, match=r"clip_grad_norm_.* p1"):
        nn.clip_grad_norm_(params, 1.0)
    np.testing.assert_array_equal(params[0].grad, 1)
    norm = nn.clip_grad_norm_(params, 1.0, error_if_nonfinite=False)
    np.testing.assert_equal(norm, value)


@pytest.mark.promise("H4")
def test_norms_without_overflow_and_of_nothing():
    w = nn.Parameter(np.zeros(2, np.float32))
    assert nn.clip_grad_norm_([w], 1.0) == 0.0
    w.grad = np.zeros(2)
    assert nn.clip_grad_norm_(w, 1.0) == 0.0
    np.testing.assert_array_equal(w.grad, 0)
    w.grad = np.full(2, 3e30)
    np.testing.assert_allclose(nn.clip_grad_norm_(w, 1.0), 3e30 * np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(w.grad, np.sqrt(0.5), rtol=1e-6)


@pytest.mark.parametrize("bound", [-1.0, np.nan])
def test_clipping_refuses_a_bound(bound):
    with pytest.raises(ValueError, match="max_norm"):
        nn.clip_grad_norm_(parameters(), bound)
    with pytest.raises(ValueError, match="clip_value"):
        nn.clip_grad_value_(parameters(), bound)


@pytest.mark.parametrize("bound", ["1", None, True, [1.0]])
def test_clipping_refuses_what_is_no_number(bound):
    for clip, name in ((nn.clip_grad_norm_, "max_norm"), (nn.clip_grad_value_, "clip_value")):
        with pytest.raises(ValueError, match=rf"{clip.__name__}: {name} must be a number .*got"):
            clip(parameters(), bound)
    with pytest.raises(ValueError, match="norm_type must be a number above 0"):
        nn.clip_grad_norm_(parameters(), 1.0, bound if bound is not True else "two")


def test_clipping_says_what_it_wants():
    model = nn.Linear(2, 1, rng=0)
    for clip in (nn.clip_grad_norm_, nn.clip_grad_value_):
        with pytest.raises(TypeError, match=r"expected parameters, got Linear 2→1; write model.parameters\(\)"):
            clip(model, 1.0)
        with pytest.raises(TypeError, match=r"parameters\[0\] must be a Parameter, got ndarray"):
            clip([np.ones(2)], 1.0)


def test_the_largest_element_is_a_norm_by_name():
    w = nn.Parameter(np.zeros(2))
    w.grad = np.array([-8.0, 2.0])
    assert nn.clip_grad_norm_(w, np.int64(4), "inf") == 8.0
    np.testing.assert_allclose(w.grad, [-4.0, 1.0], rtol=1e-6)


def test_clipping_values():
    w = nn.Parameter(np.zeros(4))
    w.grad = np.array([-5.0, -0.5, np.nan, np.inf])
    nn.clip_grad_value_([w, nn.Parameter([0.0])], 1.0)
    np.testing.assert_array_equal(w.grad, [-1, -0.5, np.nan, 1])
