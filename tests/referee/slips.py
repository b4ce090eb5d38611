"""Backwards written by hand with one slip each: the kinds of mistakes that public projects have made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tensorgrad as tg

from ..derive_forms import attention, batch_norm, batch_norm_images, layer_norm

rng = np.random.default_rng(11)


@dataclass(frozen=True)
class Slip:
    """A forward, a wrong backward, the arguments, and what the referee has to say (any of these parts)."""

    name: str
    forward: Callable[..., Any]
    by_hand: Callable[..., Any]
    args: tuple[Any, ...]
    says: tuple[str, ...]
    argnums: Any = None


ROWS: dict[str, list[Slip]] = {}


def row(
    kind: str, name: str, forward: Any, by_hand: Any, args: tuple[Any, ...], *says: str, argnums: Any = None
) -> None:
    ROWS.setdefault(kind, []).append(Slip(name, forward, by_hand, args, says, argnums))


N, D, H = 7, 5, 4
X = rng.normal(size=(N, D))
GAMMA, BETA = rng.normal(size=D), rng.normal(size=D)
W, B = rng.normal(size=(D, H)), rng.normal(size=H)
ONE_HOT = np.eye(D)[[0, 1, 2, 3, 4, 0, 2]]
IDS = np.array([0, 2, 2, 5])


# --- batch norm -----------------------------------------------------------------------------------------


def batch_norm_by_hand(slip):
    def backward(x, gamma, beta, dy):
        xc = x - x.mean(0)
        var = (xc**2).mean(0)
        sigma = np.sqrt(var + 1e-5)
        xhat = xc / sigma
        a, b = dy.mean(0), xhat * (dy * xhat).mean(0)
        dgamma, dbeta = (dy * xhat).sum(0), dy.sum(0)
        dx = gamma / sigma * (dy - a - b)
        if slip == "mean":
            dx = gamma / sigma * (dy - b)
        elif slip == "variance":
            dx = gamma / sigma * (dy - a)
        elif slip == "gamma":
            dx = (dy - a - b) / sigma
        elif slip == "features":
            dx = gamma / sigma * (dy - dy.sum(0) / D - xhat * (dy * xhat).sum(0) / D)
        elif slip == "evaluation":
            dx = gamma / sigma * dy
        elif slip == "overwritten":
            dgamma, dbeta = (dx * xhat).sum(0), dx.sum(0)
        elif slip == "std":
            dx = gamma / sigma * (dy - a - xc * (dy * xhat).mean(0))
        return dx, dgamma, dbeta

    return backward


BN = (X, GAMMA, BETA)


def images_by_hand(slip):
    def backward(x, gamma, beta, dy):
        axes = (0, 2, 3)
        xc = x - x.mean(axes, keepdims=True)
        sigma = np.sqrt((xc**2).mean(axes, keepdims=True) + 1e-5)
        xhat = xc / sigma
        n = x.shape[0] if slip == "batch" else x.size / x.shape[1]
        a, b = dy.sum(axes, keepdims=True) / n, (dy * xhat).sum(axes, keepdims=True) / n
        dx = gamma[:, None, None] / sigma * (dy - a - xhat * b)
        summed = 0 if slip == "axes" else axes
        return dx, (dy * xhat).sum(summed), dy.sum(summed)

    return backward


IMAGES = (rng.normal(size=(3, 4, 2, 5)), rng.normal(size=4), rng.normal(size=4))


def layer_norm_by_hand(slip):
    def backward(x, gamma, beta, dy):
        xc = x - x.mean(1, keepdims=True)
        sigma = np.sqrt((xc**2).mean(1, keepdims=True) + 1e-5)
        xhat = xc / sigma
        dxhat = dy * gamma
        a, b = dxhat.mean(1, keepdims=True), xhat * (dxhat * xhat).mean(1, keepdims=True)
        dx = (dxhat - a - b) / sigma
        if slip == "mean":
            dx = (dxhat - b) / sigma
        elif slip == "batch":
            dx = (dxhat - dxhat.sum(1, keepdims=True) / N - xhat * (dxhat * xhat).sum(1, keepdims=True) / N) / sigma
        return dx, (dy * xhat).sum(0), dy.sum(0)

    return backward


# --- losses ---------------------------------------------------------------------------------------------


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def tempered(z, y):
    p = tg.softmax(z / 3.0, axis=1)
    return -(y * tg.log(p)).sum() / N


def cross_entropy(z, y):
    p = tg.softmax(z, axis=1)
    return -(y * tg.log(p)).sum() / N


def weighted(z, y, c):
    p = tg.softmax(z, axis=1)
    return -(y * c * tg.log(p)).sum() / N


def critic(real, fake):
    return fake.mean() - real.mean()


def logistic(w, x, y):
    z = x @ w
    return tg.log(1 + tg.exp(-y * z)).mean()


def softmin(x):
    return tg.softmin(x, axis=1)


def soft(x):
    return tg.softmax(x, axis=1)


def squared(w, x, y):
    e = x @ w - y
    return (e**2).mean()


def squared_by_hand(w, x, y):
    e = x @ w - y[:, None]
    return 2 * x.T @ e.mean(1) / N


SIGNS = np.array([1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0])
V = rng.normal(size=D)


# --- layers ---------------------------------------------------------------------------------------------


def network(x, w1, b1, w2):
    z1 = x @ w1 + b1
    h = tg.tanh(z1)
    return h @ w2


def network_by_hand(slip):
    def backward(x, w1, b1, w2, dy):
        h = np.tanh(x @ w1 + b1)
        dh = dy @ w2.T
        dz1 = dh * (1 - h**2)
        if slip == "activation":
            dz1 = dh
        elif slip == "twice":
            dz1 = dh * (1 - h**2) ** 2
        dw2 = h.T @ dy
        dw1, db1 = x.T @ dz1, dz1.sum(0)
        if slip == "averaged":
            dw1 = dw1 / N
        return dz1 @ w1.T, dw1, db1, dw2

    return backward


NET = (X, W, B, rng.normal(size=(H, 3)))


def two_layers(x, w):
    return (x @ w).mean()


def attention_by_hand(slip):
    def backward(q, k, v, dy):
        p = softmax(q @ k.T / np.sqrt(D))
        dp = dy @ v.T
        ds = p * (dp - (dp * p).sum(1, keepdims=True))
        if slip == "diagonal":
            ds = dp * p * (1 - p)
        dq, dk, dv = ds @ k / np.sqrt(D), ds.T @ q / np.sqrt(D), p.T @ dy
        if slip == "keys":
            dk = (q.T @ ds).reshape(k.shape) / np.sqrt(D)
        elif slip == "square":
            dk = ds @ q / np.sqrt(D)
        elif slip == "scale":
            dq = ds @ k
        return dq, dk, dv

    return backward


QKV = (X, rng.normal(size=(6, D)), rng.normal(size=(6, 3)))
SQUARE = (rng.normal(size=(D, D)), rng.normal(size=(D, D)), rng.normal(size=(D, 3)))


def recurrent(w, u, x):
    h = tg.tanh(x[0] @ w)
    for t in range(1, 3):
        h = tg.tanh(x[t] @ w + h @ u)
    return h


def recurrent_by_hand(slip):
    def backward(w, u, x, dy):
        hs = [np.tanh(x[0] @ w)]
        for t in range(1, 3):
            hs.append(np.tanh(x[t] @ w + hs[-1] @ u))
        dw, du, dh = np.zeros_like(w), np.zeros_like(u), dy
        for t in (2, 1, 0):
            dz = dh * (1 - hs[t] ** 2)
            dw += x[t].T @ dz * (2 if slip == "last" and t == 2 else 1)
            if t:
                du += hs[t - 1].T @ dz
                dh = dz @ u.T
            if slip == "stop" or (slip == "through" and t == 1):
                break
            if slip == "slope" and t == 2:
                dh = dy @ u.T
        return dw, du

    return backward


RNN = (rng.normal(size=(D, H)), rng.normal(size=(H, H)), rng.normal(size=(3, 2, D)))


def dropped(x, mask):
    return tg.tanh(x) * mask / 0.8


MASK = (rng.random((N, D)) < 0.8) * 1.0


def embedding(table, ids):
    return table[ids] ** 2


def lost(table, ids, dy):
    d = np.zeros_like(table)
    d[ids] += 2 * table[ids] * dy
    return d


def rows_and_columns(x, ids):
    return tg.sin(x)[:, ids]


def lost_columns(x, ids, dy):
    d = np.zeros_like(x)
    d[:, ids] += dy
    return np.cos(x) * d


def pooled(x):
    return tg.stack([x[t : t + 3].max() for t in range(0, 6)])


def pooled_by_hand(x, dy):
    d = np.zeros_like(x)
    for t in range(6):
        d[t + int(np.argmax(x[t : t + 3]))] = dy[t]
    return d


def upsampled(x):
    return tg.repeat(tg.repeat(x, 2, axis=0), 2, axis=1)


def over_time(x, b):
    return x * 2 + b


def gelu(x):
    return 0.5 * x * (1 + tg.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gelu_slope(x, dy):
    from scipy.special import ndtr

    return dy * (ndtr(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi))


def standardised(x):
    mu = x.mean(0)
    xc = x - mu
    var = (xc**2).mean(0)
    sigma = tg.sqrt(var + 1e-3)
    return xc / sigma


def standardised_outside(x, dy):
    xc = x - x.mean(0)
    sigma = np.sqrt((xc**2).mean(0)) + 1e-3
    xhat = xc / sigma
    return (dy - dy.mean(0) - xhat * (dy * xhat).mean(0)) / sigma


def normalised(x):
    n = tg.sqrt((x**2).sum(1, keepdims=True))
    return x / n


def normalised_by_hand(slip):
    def backward(x, dy):
        n = np.sqrt((x**2).sum(1, keepdims=True))
        u = x / n
        inner = dy - u * (dy * u).sum(1, keepdims=True)
        return inner * n if slip == "multiplied" else inner

    return backward


def arranged(x):
    return tg.transpose(x, (2, 0, 1)) ** 2


def arranged_by_hand(x, dy):
    return np.transpose(2 * np.transpose(x, (2, 0, 1)) * dy, (2, 0, 1))


CUBE = rng.normal(size=(4, 4, 4))


def rectified(x):
    return tg.relu(x) ** 2


def halved(x):
    return (x**2).sum() / 2


def pooled_mean(x):
    n, h, w = x.shape
    return x.reshape(n, h // 2, 2, w // 3, 3).mean((2, 4))


def pooled_mean_by_hand(slip):
    def backward(x, dy):
        if slip == "size":
            return np.repeat(np.repeat(dy, 2, axis=1), 3, axis=2) / 4
        return np.repeat(np.repeat(dy, 2, axis=1), 3, axis=2)

    return backward


row("a term is missing", "mean", batch_norm, batch_norm_by_hand("mean"), BN, "the term through mu is missing")
row("a term is missing", "variance", batch_norm, batch_norm_by_hand("variance"), BN, "(dy * xhat).mean(0)")
row("a term is missing", "later states", recurrent, recurrent_by_hand("stop"), RNN, "missing", "only", argnums=(0, 1))
row("a term is missing", "layer norm", layer_norm, layer_norm_by_hand("mean"), BN, "the term through mu is missing")
row(
    "a factor is missing",
    "temperature",
    tempered,
    lambda z, y: (softmax(z / 3) * y.sum(1, keepdims=True) - y) / N,
    (X, ONE_HOT),
    "3",
    argnums=0,
)
row(
    "a factor is missing",
    "mask",
    dropped,
    lambda x, m, dy: dy * (1 - np.tanh(x) ** 2) / 0.8,
    (X, MASK),
    "the factor mask is missing",
    argnums=0,
)
row("a factor is missing", "1/N", cross_entropy, lambda z, y: softmax(z) - y, (X, ONE_HOT), "7 = z.shape[0]", argnums=0)
row("a factor is missing", "gamma", batch_norm, batch_norm_by_hand("gamma"), BN, "the factor gamma is missing")
row("a factor is missing", "activation", network, network_by_hand("activation"), NET, "(1 - h ** 2)", "1 - h ** 2")
row("a factor is missing", "back in time", recurrent, recurrent_by_hand("slope"), RNN, "h", "missing", argnums=(0, 1))
row(
    "a factor is missing",
    "upstream",
    cross_entropy,
    lambda z, y, g: (softmax(z) - y) / N,
    (X, ONE_HOT),
    "upstream gradient is ignored",
    argnums=0,
)
row("a wrong N", "batch", batch_norm_images, images_by_hand("batch"), IMAGES, "3", "30")
row("a wrong N", "features", batch_norm, batch_norm_by_hand("features"), BN, "5")
row("a wrong N", "layer norm", layer_norm, layer_norm_by_hand("batch"), BN, "7")
row("a wrong N", "length for size", lambda x: (x**2).mean(), lambda x: 2 * x / len(x), (X,), "5 = x.shape[1]")
row("averaged here, summed there", "weights", network, network_by_hand("averaged"), NET, "7 = x.shape[0]")
row(
    "averaged here, summed there",
    "twice",
    two_layers,
    lambda x, w: (np.ones((N, H)) @ w.T / N / (N * H), x.T @ np.ones((N, H)) / N / H),
    (X, W),
    "7 = x.shape[0]",
)
row(
    "a sign",
    "critic",
    critic,
    lambda r, f: (np.ones(N) / N, -np.ones(4) / 4),
    (rng.normal(size=N), rng.normal(size=4)),
    "sign",
)
row(
    "a sign",
    "logistic",
    logistic,
    lambda w, x, y: x.T @ (y / (1 + np.exp(y * (x @ w)))) / N,
    (V, X, SIGNS),
    "sign",
    argnums=0,
)
row(
    "a sign",
    "softmin",
    softmin,
    lambda x, dy: (lambda p: p * (dy - (dy * p).sum(1, keepdims=True)))(softmax(-x)),
    (X,),
    "sign",
)
row("a transposed operand", "keys", attention, attention_by_hand("keys"), QKV, "transpose", "reshape", "exchanged")
row("a transposed operand", "square", attention, attention_by_hand("square"), SQUARE, "transposed")
row(
    "a transposed operand",
    "reshape",
    lambda x: tg.transpose(x, (1, 0)) ** 2,
    lambda x, dy: 2 * x * dy.reshape(x.shape),
    (rng.normal(size=(3, 4)),),
    "reshape",
    "exchanged",
    "transpose",
)
row("an index that occurs twice", "embedding", embedding, lost, (rng.normal(size=(6, 3)), IDS), "np.add.at", argnums=0)
row(
    "an index that occurs twice",
    "columns",
    rows_and_columns,
    lost_columns,
    (rng.normal(size=(3, 6)), IDS),
    "np.add.at",
    argnums=0,
)
row(
    "an index that occurs twice",
    "pooling",
    pooled,
    pooled_by_hand,
    (np.array([0.1, 0.3, 2.0, 0.5, 0.2, 3.0, 0.4, 0.0]),),
    "overwrites",
)
row("an axis not summed", "4-d", batch_norm_images, images_by_hand("axes"), IMAGES, "not summed over axes (1, 2)")
row(
    "an axis not summed",
    "over time",
    over_time,
    lambda x, b, dy: (2 * dy, dy.sum(0)),
    (rng.normal(size=(3, 4, D)), BETA),
    "not summed over axis 0",
)
row(
    "an axis not summed",
    "up-sampling",
    upsampled,
    lambda x, dy: dy[::2, ::2],
    (rng.normal(size=(3, 4)),),
    "the block has to be summed",
)
row(
    "the wrong weight",
    "by column",
    weighted,
    lambda z, y, c: (softmax(z) - y) * V / N,
    (X, ONE_HOT, (ONE_HOT @ V)[:, None]),
    "along axis 1 where one along axis 0 belongs",
    argnums=0,
)
row(
    "the wrong weight",
    "none",
    weighted,
    lambda z, y, c: (softmax(z) - y) / N,
    (X, ONE_HOT, (ONE_HOT @ V)[:, None]),
    "varies along axis 0 only",
    "factor c",
    argnums=0,
)
row(
    "only the diagonal",
    "softmax",
    soft,
    lambda x, dy: (lambda p: dy * p * (1 - p))(softmax(x)),
    (X,),
    "not taken over its axis",
    "diagonal",
)
row(
    "only the diagonal",
    "attention",
    attention,
    attention_by_hand("diagonal"),
    QKV,
    "not taken over its axis",
    "diagonal",
)
row("forward and backward disagree", "gelu", gelu, gelu_slope, (X,), "exact GELU")
row("forward and backward disagree", "eps", standardised, standardised_outside, (X,), "outside the square root")
row("forward and backward disagree", "std", batch_norm, batch_norm_by_hand("std"), BN, "sigma", "xc")
row("twice", "slope", network, network_by_hand("twice"), NET, "twice", "exponent", "squared")
row("twice", "last step", recurrent, recurrent_by_hand("last"), RNN, "twice", argnums=(0, 1))
row(
    "multiplied for divided",
    "norm",
    normalised,
    normalised_by_hand("multiplied"),
    (X,),
    "multiplies by",
    "where it should divide",
)
row("multiplied for divided", "not divided", normalised, normalised_by_hand("not"), (X,), "division by")
row("the wrong mode", "evaluation", batch_norm, batch_norm_by_hand("evaluation"), BN, "missing", "term")
row("an overwritten variable", "dx", batch_norm, batch_norm_by_hand("overwritten"), BN, "dx stands where dy belongs")
row("precedence, parentheses", "boolean", rectified, lambda x, dy: x > 0.0 + 2 * x * dy, (X,), "boolean")
row("precedence, parentheses", "sqrt(2)", halved, lambda x: np.sqrt(2) * x, (X,), "sqrt(2)")
row("silent broadcasting", "n x n", squared, squared_by_hand, (V, X, rng.normal(size=N)), "broadcast", argnums=0)
row("sizes swapped", "pooling", pooled_mean, pooled_mean_by_hand("size"), (rng.normal(size=(2, 4, 6)),), "divided by 4")
row("the inverse permutation", "cube", arranged, arranged_by_hand, (CUBE,), "inverse permutation")
