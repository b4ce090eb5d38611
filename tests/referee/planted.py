"""Slips planted in the derived source of a form: (form, what stands there, what is written instead, what is said).

``AFTERWARDS`` was thought of after the referee was finished, ``LATER`` after it had been mended for those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tensorgrad as tg

from .. import derive_forms as forms

r = np.random.default_rng(5)
MLP = forms.mlp_arguments()
ARGUMENTS: dict[Any, tuple[Any, ...]] = {
    forms.batch_norm: (forms.X, forms.GAMMA, forms.BETA),
    forms.layer_norm: (forms.X, forms.GAMMA, forms.BETA),
    forms.batch_norm_images: (r.normal(size=(3, forms.D, 2, 4)), forms.GAMMA, forms.BETA),
    forms.attention: (forms.X, r.normal(size=(4, forms.D)), r.normal(size=(4, 3))),
    forms.linear: (forms.X, r.normal(size=(forms.D, 3)), r.normal(size=3)),
    forms.mlp: MLP,
    forms.cross_entropy: (forms.X, forms.ONE_HOT),
    forms.binary_cross_entropy: (forms.X, (forms.X > 0) * 1.0),
    forms.tanh: (forms.X,),
    forms.sigmoid: (forms.X,),
}
ARGNUMS: dict[Any, Any] = {forms.mlp: (1, 2, 3, 4), forms.cross_entropy: 0, forms.binary_cross_entropy: 0}
BN, LN, BN4, ATT = forms.batch_norm, forms.layer_norm, forms.batch_norm_images, forms.attention

PLANTED: list[tuple[Any, str, str, tuple[str, ...]]] = [
    (BN, " - dy.mean(0)", "", ("through mu is missing",)),
    (BN, " - xhat * (dy * xhat).mean(0)", "", ("is missing",)),
    (BN, "- dy.mean(0)", "+ dy.mean(0)", ("sign",)),
    (BN, "- xhat * (dy", "+ xhat * (dy", ("sign",)),
    (BN, "gamma / sigma *", "1 / sigma *", ("gamma is missing",)),
    (BN, "gamma / sigma *", "gamma * sigma *", ("multiplies by sigma", "where it should divide")),
    (BN, "gamma / sigma *", "gamma *", ("division by sigma is missing",)),
    (BN, "gamma / sigma *", "gamma / sigma ** 2 *", ("sigma twice", "sigma")),
    (BN, "dy - dy.mean(0)", "dy - dy.sum(0)", ("too large by the factor 6", "is a sum")),
    (BN, "(dy * xhat).mean(0))", "(dy * xhat).sum(0))", ("too large by the factor 6", "is a sum")),
    (BN, "dgamma = (dy * xhat).sum(0)", "dgamma = (dy * xhat).mean(0)", ("6 = x.shape[0]",)),
    (BN, "dgamma = (dy * xhat).sum(0)", "dgamma = (dy * xc).sum(0)", ("xc stands", "sigma")),
    (BN, "dbeta = dy.sum(0)", "dbeta = dy.sum(1)", ("shape",)),
    (BN, "+ 1e-05)", ")", ("",)),
    (BN, "xhat * (dy * xhat)", "xhat * (dy * xc)", ("xc", "sigma")),
    (LN, "dxhat = dy * gamma", "dxhat = dy", ("factor gamma is missing",)),
    (LN, " - dxhat.mean(1, keepdims=True)", "", ("through mu is missing",)),
    (LN, "dxhat - dxhat.mean(1, keepdims=True)", "dxhat - dxhat.mean(0)", ("wrong axis",)),
    (LN, "(dy * xhat).sum(0)", "(dy * xhat).sum(1)", ("shape",)),
    (
        BN4,
        "dy.mean((0, 2, 3), keepdims=True)",
        "dy.mean((2, 3), keepdims=True)",
        ("not taken over all its axes", "axis"),
    ),
    (BN4, "dbeta = dy.sum((0, 2, 3))", "dbeta = dy.sum((0, 2))", ("not summed over axis 1",)),
    (ATT, "(dp * p).sum(1, keepdims=True)", "dp * p", ("not taken over its axis",)),
    (ATT, "dv = p.T @ dy", "dv = dp.T @ dy", ("dp stands where p belongs",)),
    (ATT, "p / np.sqrt(5)", "p", ("sqrt(5)", "5")),
    (ATT, "dk = dt.T @ q", "dk = -dt.T @ q", ("the sign is wrong",)),
    (forms.linear, "dw = x.T @ dy", "dw = x.T @ dy / 6", ("6 = x.shape[0]",)),
    (forms.linear, "db = dy.sum(0)", "db = dy", ("not summed over axis 0",)),
    (forms.linear, "dw = x.T @ dy", "dw = dy.T @ x", ("it is transposed",)),
    (forms.mlp, "dz1 = dh * (z1 > 0)", "dz1 = dh", ("z1 > 0",)),
    (forms.mlp, "dh = dz2 @ w2.T", "dh = -dz2 @ w2.T", ("the sign is wrong",)),
    (forms.cross_entropy, "- y) / 6", "- y)", ("6 = z.shape[0]",)),
    (forms.binary_cross_entropy, "(p - y) / 30", "(y - p) / 30", ("the sign is wrong",)),
    (forms.tanh, "out ** 2", "out", ("exponent", "sqrt", "out")),
]
AFTERWARDS: list[tuple[Any, str, str, tuple[str, ...]]] = [
    (BN, "dx = gamma", "dx = gamma ** 2", ("gamma is there twice", "gamma is squared")),
    (BN, "dy - dy.mean(0) -", "dy - dy.mean() -", ("axes", "axis", "dy.mean(0)")),
    (BN, "xhat * (dy * xhat).mean(0)", "(dy * xhat * xhat).mean(0)", ("inside the mean",)),
    (BN, "dx = gamma / sigma * (dy -", "dx = beta / sigma * (dy -", ("beta stands where gamma belongs",)),
    (BN, "dbeta = dy.sum(0)", "dbeta = dx.sum(0)", ("zero", "dx")),
    (BN, "sigma = np.sqrt(var + 1e-05)", "sigma = var + 1e-05", ("square root", "sigma")),
    (BN, "mean(0))  #", "mean(0) / sigma)  #", ("sigma",)),
    (LN, "xhat * (dxhat * xhat)", "xhat * (dy * xhat)", ("dy stands where dxhat belongs", "gamma")),
    (LN, ") / sigma  #", ") / sigma / 5  #", ("too small by the factor 5",)),
    (LN, "- xhat * (dxhat", "- 2 * xhat * (dxhat", ("twice",)),
    (BN4, "dgamma = (dy * xhat).sum((0, 2, 3))", "dgamma = (dy * xhat).mean((0, 2, 3))", ("24",)),
    (BN4, "gamma[:, None, None] / sigma", "1 / sigma", ("gamma is missing",)),
    (ATT, "dq = dt @ k", "dq = dp @ k", ("dp stands where dt belongs",)),
    (ATT, "(dp * p).sum(1, keepdims=True)", "dp.sum(1, keepdims=True)", ("the factor p is missing",)),
    (ATT, "dp = dy @ v.T", "dp = 2 * dy @ v.T", ("twice too large", "2")),
    (forms.mlp, "dw1 = x.T @ dz1", "dw1 = x.T @ dh", ("dh stands where dz1 belongs", "z1 > 0")),
    (forms.mlp, "(z1 > 0)", "(z1 < 0)", ("z1",)),
    (forms.sigmoid, "dy * out * (1 - out)", "dy * out", ("1 - out",)),
    (forms.sigmoid, "out * (1 - out)", "(1 - out)", ("factor out is missing",)),
    (forms.tanh, "(1 - out ** 2)", "(1 + out ** 2)", ("sign",)),
]

LATER: list[tuple[Any, str, str, tuple[str, ...]]] = [
    (BN, "(xc ** 2).mean(0)", "(xc ** 2).sum(0) / 5", ("in var", "var")),
    (BN, "dgamma = (dy * xhat)", "dgamma = (dy * x)", ("x stands where xhat belongs",)),
    (BN, "dy - dy.mean(0)", "dy - dy.mean(1, keepdims=True)", ("wrong axis",)),
    (BN, "gamma / sigma *", "gamma / var *", ("var stands where sigma belongs",)),
    (BN, "dy - dy.mean(0)", "dy - dy.mean(0) / gamma", ("gamma is missing in the term dy.mean(0)",)),
    (BN, "(dy * xhat).mean(0))", "(dy * xhat).mean())", ("all axes",)),
    (BN, "dy - dy.mean(0)", "dy - sigma * dy.mean(0)", ("sigma is missing in the term dy.mean(0)",)),
    (LN, "(dxhat * xhat).mean(1", "dxhat.mean(1", ("factor xhat is missing",)),
    (LN, "- dxhat.mean(1, keepdims=True)", "- dxhat.mean(1, keepdims=True) * gamma", ("factor gamma too many",)),
    (LN, "dbeta = dy.sum(0)", "dbeta = dy.mean(0)", ("6 = x.shape[0]",)),
    (BN4, "(dy * xhat).mean((0, 2, 3), k", "(dy * xhat).mean(0, k", ("not taken over all its axes",)),
    (BN4, "dy.mean((0, 2, 3), keepdims=True)", "dy.mean((1, 2, 3), keepdims=True)", ("wrong axes",)),
    (ATT, "(dp * p).sum(1, keepdims=True)", "(dp * p).sum(0)", ("wrong axis",)),
    (ATT, "(dp - (dp * p).sum(1, keepdims=True))", "dp * (1 - p)", ("not taken over its axis",)),
    (ATT, "p / np.sqrt(5)", "p / 5", ("sqrt(5)",)),
    (ATT, "dk = dt.T @ q", "dk = dt.T @ q * 6", ("6 = q.shape[0]",)),
    (forms.linear, "db = dy.sum(0)", "db = dy.sum(0, keepdims=True)", ("it has shape (1, 3), expected (3,)",)),
    (forms.mlp, "dw2 = h.T @ dz2", "dw2 = z1.T @ dz2", ("z1 stands where h belongs",)),
    (forms.cross_entropy, "p * y.sum(1, keepdims=True) - y", "p * y - y", ("not taken over its axis",)),
    (forms.binary_cross_entropy, "/ 30", "/ 6", ("divided by 6", "30 is meant")),
]


def by_hand(form: Any, old: str, new: str) -> Callable[..., Any]:
    """The derived backward with another text in one place."""
    derivation = tg.derive(form, *ARGUMENTS[form], argnums=ARGNUMS.get(form))
    source = derivation.source
    assert old in source, f"{form.__name__} has no {old!r}:\n{source}"
    space: dict[str, Any] = {"np": np}
    exec(source.replace(old, new, 1), space)
    made: Callable[..., Any] = space["backward"]
    return made
