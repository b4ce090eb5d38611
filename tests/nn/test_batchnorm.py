"""The gradient of BatchNorm, which the engine derives, compared with the formulas worked out by hand.

A relative error is the largest absolute difference of two arrays divided by the largest magnitude among the
terms that the formula adds up, ``gamma / sigma * |dy|`` for dx. (Those terms cancel: with two rows per batch,
all but about eps / var of them, so that dx itself carries fewer digits, in any order of evaluation.) Where
they do not, from three rows on, the error relative to the largest element of dx must meet the same bound.
"""

import numpy as np
import pytest

import nn
import tensorgrad as tg

SIZES = [2, 3, 5, 8, 16, 64, 257, 512]
RTOL = 1e-12


def case(n, features=7, seed=0):
    rng = np.random.default_rng([seed, n])
    x = rng.normal(rng.normal(size=features), rng.uniform(0.5, 3, features), (n, features))
    return x, rng.normal(size=(n, features)), rng.normal(1, 0.3, features), rng.normal(size=features)


def layer(features, gamma, beta, *, affine, training):
    bn = nn.BatchNorm(features, affine=affine, dtype=np.float64)
    if affine:
        bn.load_state_dict({**bn.state_dict(), "gamma": gamma, "beta": beta})
    bn.running_mean = np.linspace(-1, 1, features)
    bn.running_var = np.linspace(0.5, 2, features)
    return bn.train(training)


def derived(bn, x, dy):
    x = tg.Tensor(x, requires_grad=True)
    bn(x).backward(dy)
    return x.grad, *((bn.gamma.grad, bn.beta.grad) if bn.gamma is not None else (None, None))


def closed_form(x, dy, gamma, eps):
    mean, sigma = x.mean(axis=0), np.sqrt(x.var(axis=0) + eps)
    xhat = (x - mean) / sigma
    dx = gamma / sigma * (dy - dy.mean(axis=0) - xhat * (dy * xhat).mean(axis=0))
    return dx, (dy * xhat).sum(axis=0), dy.sum(axis=0)


def long_form(x, dy, gamma, eps):
    """Ioffe and Szegedy, 2015, section 3: via the gradients of the variance and the mean."""
    n = len(x)
    mean, var = x.mean(axis=0), x.var(axis=0)
    dxhat = dy * gamma
    dvar = (dxhat * (x - mean)).sum(axis=0) * -0.5 * (var + eps) ** -1.5
    dmean = (-dxhat / np.sqrt(var + eps)).sum(axis=0) + dvar * (-2 * (x - mean)).sum(axis=0) / n
    dx = dxhat / np.sqrt(var + eps) + dvar * 2 * (x - mean) / n + dmean / n
    xhat = (x - mean) / np.sqrt(var + eps)
    return dx, (dy * xhat).sum(axis=0), dy.sum(axis=0)


def errors(n, affine):
    """The largest relative error of dx, dgamma, dbeta against both forms; for dx also relative to dx itself."""
    x, dy, gamma, beta = case(n)
    gamma = gamma if affine else np.ones_like(gamma)
    bn = layer(x.shape[1], gamma, beta, affine=affine, training=True)
    dx, dgamma, dbeta = derived(bn, x, dy)
    terms = np.abs(gamma / np.sqrt(x.var(axis=0) + bn.eps) * dy).max()
    result, own = [], []
    for form in (closed_form, long_form):
        want_dx, want_dgamma, want_dbeta = form(x, dy, gamma, bn.eps)
        result.append(np.abs(dx - want_dx).max() / terms)
        own.append(np.abs(dx - want_dx).max() / np.abs(want_dx).max())
        if affine:
            result.append(np.abs(dgamma - want_dgamma).max() / np.abs(want_dgamma).max())
            result.append(np.abs(dbeta - want_dbeta).max() / np.abs(want_dbeta).max())
    return max(result), max(own)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("n", SIZES)
def test_training_gradient_is_the_closed_form_and_the_long_form(n, affine):
    error, own = errors(n, affine)
    assert error < RTOL
    if n >= 3:
        assert own < RTOL


def test_the_closed_form_can_tell_a_wrong_gradient():
    x, dy, gamma, _ = case(16)
    right, _, _ = closed_form(x, dy, gamma, 1e-5)
    xhat = (x - x.mean(axis=0)) / x.std(axis=0)
    without_variance = gamma / x.std(axis=0) * (dy - dy.mean(axis=0))
    assert np.abs(right - without_variance).max() > 1e-3
    assert np.abs((right * xhat).sum(axis=0)).max() < 1e-3  # the part that the missing term removes


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("n", [1, *SIZES])
def test_evaluation_gradient_is_that_of_an_affine_map(n, affine):
    x, dy, gamma, beta = case(n)
    gamma = gamma if affine else np.ones_like(gamma)
    bn = layer(x.shape[1], gamma, beta, affine=affine, training=False)
    mean, var = bn.running_mean.data.copy(), bn.running_var.data.copy()
    dx, dgamma, dbeta = derived(bn, x, dy)
    sigma = np.sqrt(var + bn.eps)
    np.testing.assert_allclose(dx, dy * gamma / sigma, rtol=RTOL)
    if affine:
        want = (dy * (x - mean) / sigma).sum(axis=0)
        np.testing.assert_allclose(dgamma, want, rtol=0, atol=RTOL * np.abs(want).max())
        np.testing.assert_allclose(dbeta, dy.sum(axis=0), rtol=0, atol=RTOL * np.abs(dy.sum(axis=0)).max())
    np.testing.assert_array_equal(bn.running_mean.data, mean)
    np.testing.assert_array_equal(bn.running_var.data, var)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("n", [2, 3, 8, 32])
def test_second_order_with_central_differences(n, affine, training):
    x, dy, gamma, beta = case(n, features=3)
    w = np.random.default_rng(1).normal(size=x.shape)  # the second derivative in one random direction
    bn = layer(3, gamma, beta, affine=affine, training=training)
    operands = [x, dy, *((gamma, beta) if affine else ())]

    def inner(*values):
        """<w, dx> as a function of x, dy, gamma and beta; dx by the engine."""
        tensors = [tg.Tensor(value, requires_grad=True) for value in values]
        leaf, cotangent = tensors[:2]
        rest = tensors[2:] or [None, None]
        out = nn.functional.batch_norm(leaf, bn.running_mean, bn.running_var, *rest, training=training)
        out.backward(cotangent, create_graph=True)
        return (leaf.grad * w).sum(), tensors

    value, tensors = inner(*operands)
    for tensor in tensors:
        tensor.grad = None
    analytic = [np.zeros_like(o) for o in operands]
    if value.requires_grad:
        value.backward()
        analytic = [np.zeros(t.shape) if t.grad is None else t.grad for t in tensors]
    h = 1e-5
    for k, operand in enumerate(operands):
        numeric = np.empty_like(operand)
        for index in np.ndindex(operand.shape):
            at = []
            for step in (h, -h):
                moved = [o.copy() for o in operands]
                moved[k][index] += step
                at.append(inner(*moved)[0].item())
            numeric[index] = (at[0] - at[1]) / (2 * h)
        np.testing.assert_allclose(analytic[k], numeric, rtol=1e-6, atol=2e-7 * max(1, np.abs(numeric).max()))


def test_output_has_mean_zero_and_variance_one():
    x, *_ = case(64)
    y = nn.BatchNorm(7, eps=0.0, dtype=np.float64)(x).data
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(y.var(axis=0), 1, rtol=1e-13)
