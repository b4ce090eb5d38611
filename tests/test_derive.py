"""Deriving a backward: the printed lines of every form, names, facts, verification, and what is refused."""

import re

import numpy as np
import pytest

import tensorgrad as tg

from . import derive_forms as forms
from .derive_forms import BETA, GAMMA, LABELS, ONE_HOT, D, X

IMAGES = np.random.default_rng(2).normal(size=(3, D, 2, 4))
BATCH_NORM = [
    "dx = gamma / sigma * (dy - dy.mean(0) - xhat * (dy * xhat).mean(0))",
    "dgamma = (dy * xhat).sum(0)",
    "dbeta = dy.sum(0)",
]
LAYER_NORM = [
    "dgamma = (dy * xhat).sum(0)",
    "dbeta = dy.sum(0)",
    "dxhat = dy * gamma",
    "dx = (dxhat - dxhat.mean(1, keepdims=True) - xhat * (dxhat * xhat).mean(1, keepdims=True)) / sigma",
]


def lines(derivation, part="backward"):
    """The lines of the printed function's second half, without comments."""
    rows = [re.sub(r" +# .*", "", row).strip() for row in derivation.source.splitlines()[1:-1]]
    if "" in rows:
        cut = rows.index("")
        return rows[cut + 1 :] if part == "backward" else rows[:cut]
    return rows if part == "backward" else []


@pytest.mark.parametrize(
    "form",
    [
        forms.batch_norm,
        forms.batch_norm_power,
        forms.batch_norm_var,
        forms.batch_norm_moments,
        forms.batch_norm_sums,
        forms.batch_norm_unnamed,
        forms.batch_norm_layer,
    ],
)
def test_batch_norm_in_every_spelling(form):
    assert lines(tg.derive(form, X, GAMMA, BETA)) == BATCH_NORM


def test_batch_norm_of_images():
    assert lines(tg.derive(forms.batch_norm_images, IMAGES, GAMMA, BETA)) == [
        "dx = gamma[:, None, None] / sigma * (dy - dy.mean((0, 2, 3), keepdims=True) "
        "- xhat * (dy * xhat).mean((0, 2, 3), keepdims=True))",
        "dgamma = (dy * xhat).sum((0, 2, 3))",
        "dbeta = dy.sum((0, 2, 3))",
    ]


def test_the_whole_of_batch_norm_is_printed():
    assert str(tg.derive(forms.batch_norm, X, GAMMA, BETA)).splitlines() == [
        "def backward(x, gamma, beta, dy):",
        "    mu = x.mean(0)                                                       # (5,)",
        "    xc = x - mu                                                          # (6, 5)",
        "    var = (xc ** 2).mean(0)                                              # (5,)",
        "    sigma = np.sqrt(var + 1e-05)                                         # (5,)",
        "    xhat = xc / sigma                                                    # (6, 5)",
        "    # backward",
        "    dx = gamma / sigma * (dy - dy.mean(0) - xhat * (dy * xhat).mean(0))  # (6, 5)",
        "    dgamma = (dy * xhat).sum(0)                                          # (5,)",
        "    dbeta = dy.sum(0)                                                    # (5,)",
        "    return dx, dgamma, dbeta",
    ]


@pytest.mark.parametrize("form", [forms.layer_norm, forms.layer_norm_layer])
def test_layer_norm(form):
    assert sorted(lines(tg.derive(form, X, GAMMA, BETA))) == sorted(LAYER_NORM)


@pytest.mark.parametrize(
    ("form", "arguments", "options", "expected"),
    [
        (
            forms.cross_entropy,
            (X, ONE_HOT),
            {"argnums": 0, "assume": "y.sum(1) == 1"},
            ["dz = (p - y) / 6"],
        ),
        (
            forms.cross_entropy,
            (X, ONE_HOT),
            {"argnums": 0},
            ["dz = (p * y.sum(1, keepdims=True) - y) / 6"],
        ),
        (forms.cross_entropy_labels, (X, LABELS), {}, ["dz = (p - onehot) / 6"]),
        (forms.binary_cross_entropy, (X, (X > 0) * 1.0), {"argnums": 0}, ["dz = (p - y) / 30"]),
        (forms.binary_cross_entropy_logits, (X, (X > 0) * 1.0), {"argnums": 0}, ["dz = (p - y) / 30"]),
        (forms.tanh, (X,), {}, ["dx = dy * (1 - out ** 2)"]),
        (forms.sigmoid, (X,), {}, ["dx = dy * out * (1 - out)"]),
        (forms.l2, (X,), {}, ["dw = w"]),
        (
            forms.linear,
            (X, np.ones((D, 3)), np.ones(3)),
            {},
            ["dx = dy @ w.T", "dw = x.T @ dy", "db = dy.sum(0)"],
        ),
        (
            forms.attention,
            (X, np.random.default_rng(3).normal(size=(4, D)), np.ones((4, 3))),
            {},
            [
                "dp = dy @ v.T",
                "dt = p / np.sqrt(5) * (dp - (dp * p).sum(1, keepdims=True))",
                "dq = dt @ k",
                "dk = dt.T @ q",
                "dv = p.T @ dy",
            ],
        ),
        (
            forms.mlp,
            forms.mlp_arguments(),
            {"argnums": (1, 2, 3, 4), "assume": "y.sum(1) == 1"},
            [
                "dz2 = (p - y) / 6",
                "dw2 = h.T @ dz2",
                "db2 = dz2.sum(0)",
                "dh = dz2 @ w2.T",
                "dz1 = dh * (z1 > 0)",
                "dw1 = x.T @ dz1",
                "db1 = dz1.sum(0)",
            ],
        ),
    ],
)
def test_the_printed_lines(form, arguments, options, expected):
    assert lines(tg.derive(form, *arguments, **options)) == expected
