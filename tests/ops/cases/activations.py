"""Activation functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

import tensorgrad as tg
from tensorgrad import ShapeError

from .rows import (
    INF,
    C,
    Case,
    K,
    R,
    S,
    public,
    seed,
    u,
    unary,
)

seed("activations")


def along_last(function: Any) -> Any:
    """SciPy's function, with our default axis and for empty arrays too."""
    return lambda x, axis=-1: function(x, axis) if x.size else x.copy()


def loop_softplus(x: Any) -> Any:
    return np.vectorize(lambda v: v + np.log1p(np.exp(-v)) if v > 0 else np.log1p(np.exp(v)), otypes=[x.dtype])(x)


def glu(x: Any, axis: int = -1) -> Any:
    a, b = np.split(x, 2, axis)
    return a * scipy.special.expit(b)


def gelu_tanh(x: Any) -> Any:
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gumbel_softmax(x: Any, tau: float = 1.0, axis: int = -1, rng: int = 0) -> Any:
    return scipy.special.softmax((x + np.random.default_rng(rng).gumbel(size=x.shape)) / tau, axis)


def pieces(name: str, oracle: Any, *kinks: Any, more: tuple[Any, ...] = (), **rest: Any) -> Case:
    """A piecewise activation; ``more`` are parameters other than the defaults."""
    samples = (S(u(2, 3)), S(u()), S(u(0, 3)), S(3 * u(3, 1)[::-1].T), *((S(3 * u(2, 3), more=more),) if more else ()))
    return C(name, oracle, *samples, method="central", kinks=kinks, **rest)


CASES: tuple[Case, ...] = (
    # --- activations
    unary(
        "sigmoid",
        scipy.special.expit,
        kinks=(K(S([1e4, -1e4]), [0.0, 0.0]), K(S([0.0]), [0.25])),
    ),
    unary(
        "relu",
        lambda x: np.maximum(x, 0),
        method="central",
        kinks=(
            K(S([0.0, -0.0, -1.0, 2.0]), [0, 0, 0, 1]),
            K(S([np.nan, np.inf, -np.inf]), [np.nan, 1, 0]),
            K(S([np.nan, 2.0, -np.inf] * 2000), [np.nan, 1, 0] * 2000),
        ),
    ),
    unary(
        "leaky_relu",
        lambda x: np.where(x > 0, x, 0.01 * x),
        method="central",
        kinks=(
            K(S([0.0, -1.0, 2.0]), [0.01, 0.01, 1.0]),
            K(S([0.0, -1.0, 2.0], alpha=0.2), [0.2, 0.2, 1.0]),
        ),
    ),
    C(
        "softplus",
        lambda x, beta=1.0, threshold=INF: np.where(
            beta * x > threshold, x, loop_softplus(beta * np.minimum(x, threshold / beta)) / beta
        ),
        S(u(2, 3)),
        S(u()),
        S(u(0, 3)),
        S(u(3, 1)[::-1].T),
        S(u(2, 3), beta=2.5),
        S(u(2, 3), threshold=20.0),
        S(np.array([-3.0, -0.3, 0.4, 0.6, 7.0]), beta=2.0, threshold=1.0),
        S(u(2, 3), threshold=0.0),
        method="central",
        kinks=(
            K(S([1e4, -1e4]), [1.0, 0.0]),
            K(S([1e4, -1e4], beta=0.5), [1.0, 0.0]),
            K(S([0.0], beta=3.0), [0.5]),
            K(S([1e4, 0.5, -1e4], beta=2.0, threshold=1.0), [1.0, 1 / (1 + np.exp(-1.0)), 0.0]),
        ),
        refusals=(
            R(lambda: tg.softplus([1.0], beta=0.0), ValueError, "softplus", "beta", "0.0"),
            R(lambda: tg.softplus([1.0], beta=np.nan), ValueError, "softplus", "beta", "nan"),
        ),
    ),
    unary("log_sigmoid", scipy.special.log_expit, method="central", kinks=(K(S([1e4, -1e4]), [0.0, 1.0]),)),
    *(
        C(
            name,
            oracle,
            S(u(2, 3)),
            S(u(2, 3), axis=0),
            S(u(2, 3, 2), axis=1),
            S(u(0, 3)),
            S(u(2, 0)),
            method="central",
            kinks=kinks,
            refusals=(R(lambda name=name: public(name)(np.ones(3), axis=1), ShapeError, name, "axis 1"),),
        )
        for name, oracle, kinks in (
            ("softmax", along_last(scipy.special.softmax), (K(S([1e4, -1e4, -INF]), [0.0, 0.0, 0.0]),)),
            ("log_softmax", along_last(scipy.special.log_softmax), (K(S([1e4, 0.0]), [-1.0, 1.0]),)),
        )
    ),
    C(
        "softmin",
        lambda x, axis=-1: scipy.special.softmax(-x, axis),
        S(u(2, 3)),
        S(u(2, 3), axis=0),
        method="central",
        refusals=(R(lambda: tg.softmin(np.ones(3), axis=1), ShapeError, "softm", "axis 1"),),
    ),
    # --- smooth
    unary(
        "silu",
        lambda x: x * scipy.special.expit(x),
        kinks=(K(S([1e4, -1e4, 0.0]), [1.0, 0.0, 0.5]),),
    ),
    unary(
        "mish",
        lambda x: x * np.tanh(np.log1p(np.exp(x))),
        method="central",
        kinks=(K(S([1e4, -1e4, 0.0]), [1.0, 0.0, 0.6]),),
    ),
    C(
        "gelu",
        lambda x, approximate="none": gelu_tanh(x) if approximate == "tanh" else x * scipy.special.ndtr(x),
        S(u(2, 3)),
        S(u()),
        S(u(0, 3)),
        S(u(2, 3), approximate="tanh"),
        S(u(), approximate="tanh"),
        method="complex",
        kinks=(
            K(S([1e4, -1e4, 0.0]), [1.0, 0.0, 0.5]),
            K(S([1e4, -1e4, 0.0], approximate="tanh"), [1.0, 0.0, 0.5]),
        ),
        refusals=(R(lambda: tg.gelu(1.0, approximate="erf"), ValueError, "gelu", "'none' or 'tanh'", "'erf'"),),
    ),
    unary("softsign", lambda x: x / (1 + abs(x)), method="central", kinks=(K(S([0.0, -1.0]), [1, 0.25]),)),
    unary("tanhshrink", lambda x: x - np.tanh(x), kinks=(K(S([1e4, -1e4, 0.0]), [1.0, 1.0, 0.0]),)),
    C(
        "glu",
        glu,
        S(u(2, 4)),
        S(u(4, 3), axis=0),
        S(u(2, 4, 3), axis=-2),
        S(u(0, 2)),
        refusals=(
            R(lambda: tg.glu(np.ones((2, 3))), ShapeError, "glu", "axis 1", "length 3"),
            R(lambda: tg.glu(1.0), ShapeError, "glu", "axis -1"),
        ),
        method="central",
    ),
    # --- piecewise
    pieces(
        "elu",
        lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(x)),
        K(S([0.0, 1e4, -1e4]), [1.0, 1.0, 0.0]),
        K(S([0.0], alpha=0.5), [0.5]),
        more=(0.5,),
    ),
    pieces(
        "selu",
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
        K(S([0.0, 1e4, -1e4]), [1.7580993408473766, 1.0507009873554805, 0.0]),
    ),
    pieces(
        "celu",
        lambda x, alpha=1.0: np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha)),
        K(S([0.0, 1e4, -1e4], alpha=0.5), [1.0, 1.0, 0.0]),
        more=(0.5,),
        refusals=(R(lambda: tg.celu(1.0, alpha=0.0), ValueError, "celu", "alpha"),),
    ),
    C(
        "prelu",
        lambda x, w: np.where(x > 0, x, (w[:, None] if w.size > 1 and x.ndim > 2 else w) * x),
        S(u(4, 3), u(3)),
        S(u(4, 3), u()),
        S(u(4, 3), u(1)),
        S(u(2, 3, 4), u(3)),
        S(u(), u()),
        method="central",
        kinks=(K(S([[0.0, -1.0, 2.0]], [0.1, 0.2, 0.3]), [[0.1, 0.2, 1.0]], [0.0, -1.0, 0.0]),),
        refusals=(
            R(lambda: tg.prelu(np.ones((4, 3)), np.ones(4)), ShapeError, "prelu", "(4,)", "(3,)", "(4, 3)", "axis"),
            R(lambda: tg.prelu(np.ones((4, 3)), np.ones((1, 3))), ShapeError, "prelu", "(1, 3)", "(channels,)"),
        ),
    ),
    C(
        "rrelu",
        lambda x, lower=1 / 8, upper=1 / 3, training=False, rng=None: np.where(
            x > 0,
            x,
            x * (np.random.default_rng(rng).uniform(lower, upper, x.shape) if training else (lower + upper) / 2),
        ),
        S(u(2, 3)),
        S(u(2, 3), lower=0.1, upper=0.9, training=True, rng=7),
        S(u(), training=True, rng=7),
        method="central",
        kinks=(K(S([0.0, 2.0], more=(0.25, 0.75)), [0.5, 1.0]),),
        refusals=(
            R(lambda: tg.rrelu([1.0], training=True), TypeError, "rrelu", "rng", "NoneType"),
            R(lambda: tg.rrelu([1.0], 0.5, 0.1), ValueError, "rrelu", "0.5", "0.1"),
        ),
    ),
    pieces(
        "hardtanh",
        lambda x, low=-1.0, high=1.0: np.clip(x, low, high),
        K(S([-1.0, 1.0, -2.0, 2.0, 0.0, np.nan]), [1, 1, 0, 0, 1, 1]),
        more=(-0.5, 2.0),
        refusals=(R(lambda: tg.hardtanh(1.0, 2.0, 1.0), ValueError, "hardtanh", "2.0", "1.0"),),
    ),
    pieces("relu6", lambda x: np.clip(x, 0, 6), K(S([0.0, 6.0, -1.0, 7.0]), [1, 1, 0, 0])),
    pieces(
        "hardsigmoid",
        lambda x: np.clip(x + 3, 0, 6) / 6,
        K(S([-3.0, 3.0, -3.1, 3.1, 0.0]), [1 / 6, 1 / 6, 0, 0, 1 / 6]),
    ),
    pieces(
        "hardswish",
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        K(S([-3.0, 3.0, -1e4, 1e4, 0.0]), [-0.5, 1.5, 0, 1, 0.5]),
    ),
    pieces(
        "softshrink",
        lambda x, lambd=0.5: np.sign(x) * np.maximum(abs(x) - lambd, 0),
        K(S([-0.5, 0.5, 0.0, 2.0, -2.0]), [0, 0, 0, 1, 1]),
        more=(1.5,),
        refusals=(R(lambda: tg.softshrink(1.0, -1.0), ValueError, "softshrink", "-1.0"),),
    ),
    pieces(
        "hardshrink",
        lambda x, lambd=0.5: np.where(abs(x) > lambd, x, 0),
        K(S([-0.5, 0.5, 0.0, 2.0, -2.0]), [0, 0, 0, 1, 1]),
        more=(1.5,),
        refusals=(R(lambda: tg.hardshrink(1.0, -1.0), ValueError, "hardshrink", "-1.0"),),
    ),
    C(
        "threshold",
        lambda x, threshold, value: np.where(x > threshold, x, value),
        *(S(x, more=(0.5, -7.0)) for x in (u(2, 3), u(), u(0, 3))),
        method="central",
        kinks=(K(S([0.5, 0.0, 2.0], more=(0.5, -7.0)), [0, 0, 1]),),
    ),
    # --- a random choice
    C(
        "gumbel_softmax",
        gumbel_softmax,
        S(u(2, 3), rng=7),
        S(u(2, 3), tau=0.5, axis=0, rng=7),
        method="central",
        refusals=(
            R(lambda: tg.gumbel_softmax([1.0], rng=None), TypeError, "gumbel_softmax", "rng"),  # type: ignore[arg-type]
            R(lambda: tg.gumbel_softmax([1.0], tau=0.0, rng=0), ValueError, "gumbel_softmax", "tau", "0.0"),
        ),
    ),
)
