"""The forms that tests/test_derive.py derives: what a user would write, with arguments whose axes differ in length."""

from __future__ import annotations

from typing import Any

import numpy as np

import nn
import tensorgrad as tg

N, D = 6, 5
rng = np.random.default_rng(0)
X, GAMMA, BETA = rng.normal(size=(N, D)), rng.normal(size=D), rng.normal(size=D)
LABELS = np.array([0, 1, 2, 3, 4, 0])
ONE_HOT = np.eye(D)[LABELS]


def batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
    mu = x.mean(0)
    xc = x - mu
    var = (xc**2).mean(0)
    sigma = tg.sqrt(var + 1e-5)
    xhat = xc / sigma
    return gamma * xhat + beta


def batch_norm_power(x: Any, gamma: Any, beta: Any) -> Any:
    mu = x.mean(0)
    xc = x - mu
    var = (xc**2).mean(0)
    xhat = xc * (var + 1e-5) ** -0.5
    return gamma * xhat + beta


def batch_norm_var(x: Any, gamma: Any, beta: Any) -> Any:
    xhat = (x - x.mean(0)) / tg.sqrt(tg.var(x, axis=0) + 1e-5)
    return gamma * xhat + beta


def batch_norm_moments(x: Any, gamma: Any, beta: Any) -> Any:
    mu = x.mean(0)
    var = (x**2).mean(0) - mu**2
    xhat = (x - mu) / tg.sqrt(var + 1e-5)
    return gamma * xhat + beta


def batch_norm_sums(x: Any, gamma: Any, beta: Any) -> Any:
    n = len(x)
    mu = x.sum(0) / n
    xc = x - mu
    var = (xc**2).sum(0) / n
    sigma = tg.sqrt(var + 1e-5)
    xhat = xc / sigma
    return gamma * xhat + beta


def batch_norm_unnamed(x: Any, gamma: Any, beta: Any) -> Any:
    return gamma * (x - x.mean(0)) / tg.sqrt(x.var(0) + 1e-5) + beta


def batch_norm_images(x: Any, gamma: Any, beta: Any) -> Any:
    mu = x.mean((0, 2, 3), keepdims=True)
    xc = x - mu
    var = (xc**2).mean((0, 2, 3), keepdims=True)
    sigma = tg.sqrt(var + 1e-5)
    xhat = xc / sigma
    return gamma[:, None, None] * xhat + beta[:, None, None]


def batch_norm_layer(x: Any, gamma: Any, beta: Any) -> Any:
    return nn.functional.batch_norm(x, gamma=gamma, beta=beta, training=True)


def layer_norm(x: Any, gamma: Any, beta: Any) -> Any:
    mu = x.mean(1, keepdims=True)
    xc = x - mu
    var = (xc**2).mean(1, keepdims=True)
    sigma = tg.sqrt(var + 1e-5)
    xhat = xc / sigma
    return gamma * xhat + beta


def layer_norm_layer(x: Any, gamma: Any, beta: Any) -> Any:
    return nn.functional.layer_norm(x, D, gamma, beta)


def cross_entropy(z: Any, y: Any) -> Any:
    p = tg.softmax(z, axis=1)
    return -(y * tg.log(p)).sum() / N


def cross_entropy_labels(z: Any, y: Any) -> Any:
    return nn.functional.cross_entropy(z, y)


def binary_cross_entropy(z: Any, y: Any) -> Any:
    p = tg.sigmoid(z)
    return -(y * tg.log(p) + (1 - y) * tg.log(1 - p)).mean()


def binary_cross_entropy_logits(z: Any, y: Any) -> Any:
    return nn.functional.binary_cross_entropy_with_logits(z, y)


def tanh(x: Any) -> Any:
    return tg.tanh(x)


def sigmoid(x: Any) -> Any:
    return tg.sigmoid(x)


def l2(w: Any) -> Any:
    return 0.5 * (w**2).sum()


def linear(x: Any, w: Any, b: Any) -> Any:
    return x @ w + b


def attention(q: Any, k: Any, v: Any) -> Any:
    s = q @ k.T / np.sqrt(D)
    p = tg.softmax(s, axis=1)
    return p @ v


def mlp(x: Any, w1: Any, b1: Any, w2: Any, b2: Any, y: Any) -> Any:
    z1 = x @ w1 + b1
    h = tg.relu(z1)
    z2 = h @ w2 + b2
    p = tg.softmax(z2)
    return -(y * tg.log(p)).sum() / N


def mlp_arguments() -> tuple[Any, ...]:
    r = np.random.default_rng(1)
    return X, r.normal(size=(D, 4)), r.normal(size=4), r.normal(size=(4, D)), r.normal(size=D), ONE_HOT
