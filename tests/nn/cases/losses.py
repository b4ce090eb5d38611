"""Losses between arrays of the same shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

from nn import functional as F
from tensorgrad import ShapeError
from tests.ops.cases.rows import INF, K, R, S, Sample, positive, seed, u

from .rows import C, Case

seed("nn.losses")

WEIGHT = np.array([0.5, 2.0, 0.25])


def reduced(loss: Any, reduction: str) -> Any:
    return {"none": loss, "sum": np.sum(loss), "mean": np.mean(loss) if loss.size else np.nan}[reduction]


def each(*arrays: Any, more: tuple[Any, ...] = (), **keywords: Any) -> tuple[Sample, ...]:
    """A sample for every reduction."""
    return tuple(S(*arrays, more=more, reduction=r, **keywords) for r in ("mean", "sum", "none"))


def loss(name: str, formula: Any, *samples: Sample, **rest: Any) -> Case:
    """A loss between arrays of the same shape; the formula is for the reduction "none"."""
    function = getattr(F, name)

    def oracle(*arrays: Any, reduction: str = "mean", **keywords: Any) -> Any:
        return reduced(formula(*arrays, **keywords), reduction)

    count = len(samples[0].arrays) + len(samples[0].more)
    filled = [np.full((4, 1), 0.5)] * (count - 1)

    def called(*arrays: Any, **keywords: Any) -> Any:
        return lambda: function(*arrays, **samples[0].keywords | keywords)

    refusals = (
        R(called(np.full(4, 0.5), *filled), ShapeError, name, "(4,)", "(4, 1)"),
        R(called(*[np.ones((0, 2))] * count, reduction="mean"), ShapeError, name, "empty batch", "(0,"),
        R(called(*[np.ones((2, 2))] * count, reduction="average"), ValueError, name, "'average'"),
        *rest.pop("refusals", ()),
    )
    return C(name, oracle, *samples, refusals=refusals, **{"peer": name} | rest)


def signs(*shape: int) -> Any:
    return np.where(u(*shape) > 0, 1.0, -1.0)


def kl_div(x: Any, t: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    terms = np.exp(t) * (t - x) if log_target else scipy.special.xlogy(t, t) - t * x
    return terms.sum() / len(x) if reduction == "batchmean" else reduced(terms, reduction)


def poisson(x: Any, t: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8) -> Any:
    loss = np.exp(x) - t * x if log_input else x - t * np.log(x + eps)
    many = np.where(t > 1, t, 1.0)
    return loss + (t > 1) * (many * np.log(many) - many + np.log(2 * np.pi * many) / 2) if full else loss


def gaussian(x: Any, t: Any, var: Any, full: bool = False, eps: float = 1e-6) -> Any:
    var = np.maximum(var if var.ndim in (0, x.ndim) else var[..., None], eps)
    return (np.log(var) + (x - t) ** 2 / var + (np.log(2 * np.pi) if full else 0.0)) / 2


def triplet(a: Any, b: Any, c: Any, margin: float = 1.0, p: float = 2.0, swap: bool = False) -> Any:
    def distance(x: Any, y: Any) -> Any:
        return np.sum(abs(x - y + 1e-6) ** p, axis=-1) ** (1 / p)

    far = np.minimum(distance(a, c), distance(b, c)) if swap else distance(a, c)
    return np.maximum(distance(a, b) - far + margin, 0)


def cosine(a: Any, b: Any, t: Any, margin: float = 0.0) -> Any:
    c = np.sum(a * b, axis=-1) / np.sqrt((np.sum(a * a, axis=-1) + 1e-12) * (np.sum(b * b, axis=-1) + 1e-12))
    return np.where(t > 0, 1 - c, np.maximum(c - margin, 0))


def with_pos_weight(weight: Any) -> Any:
    return lambda: F.binary_cross_entropy_with_logits(np.ones((4, 3)), np.ones((4, 3)), pos_weight=weight)


def of_none(formula: Any) -> Any:
    return lambda *args, reduction="mean", **keywords: reduced(formula(*args, **keywords), reduction)


CASES: tuple[Case, ...] = (
    # --- between two arrays of the same shape
    loss("mse_loss", lambda a, b: (a - b) ** 2, *each(u(4, 3), u(4, 3))),
    loss("l1_loss", lambda a, b: abs(a - b), *each(u(4, 3), u(4, 3)), kinks=(K(S([1.0], [1.0]), [0.0], [0.0]),)),
    loss(
        "huber_loss",
        lambda a, b, delta=1.0: np.where(abs(a - b) < delta, (a - b) ** 2 / 2, delta * (abs(a - b) - delta / 2)),
        *each(u(4, 3), u(4, 3)),
        S(u(4, 3), u(4, 3), delta=0.4),
        kinks=(K(S([1.0, -1.0], [0.0, 0.0], reduction="sum"), [1.0, -1.0], [-1.0, 1.0]),),
        refusals=(R(lambda: F.huber_loss([1.0], [0.0], delta=0.0), ValueError, "huber_loss", "delta", "0.0"),),
    ),
    loss(
        "binary_cross_entropy",
        lambda p, t, weight=1.0: -weight * (t * np.log(p) + (1 - t) * np.log1p(-p)),
        *each(u(4, 3, low=0.1, high=0.9), more=(u(4, 3, low=0.0, high=1.0),)),
        *each(u(4, 3, low=0.1, high=0.9), more=(u(4, 3, low=0.0, high=1.0),), weight=WEIGHT),
        S(u(4, 3, low=0.1, high=0.9), more=(u(4, 3, low=0.0, high=1.0),), weight=positive(4, 1)),
        kinks=(
            K(
                S([0.0, 1.0, 0.0, 1.0], more=(np.array([0.0, 1.0, 1.0, 0.0]),), reduction="sum"),
                [1.0, -1.0, -1e12, 1e12],
            ),
        ),
        refusals=(
            R(lambda: F.binary_cross_entropy([1.5], [1.0]), ValueError, "1.5", "with_logits"),
            R(
                lambda: F.binary_cross_entropy([0.5, 0.5], [1.0, 0.0], weight=np.ones((2, 1))),
                ShapeError,
                "binary_cross_entropy: weight has shape (2, 1)",
                "(2,)",
            ),
        ),
    ),
    loss(
        "binary_cross_entropy_with_logits",
        lambda x, t, weight=1.0, pos_weight=1.0: (
            -weight * (pos_weight * t * scipy.special.log_expit(x) + (1 - t) * scipy.special.log_expit(-x))
        ),
        *each(u(4, 3), u(4, 3, low=0.0, high=1.0)),
        *each(u(4, 3), u(4, 3, low=0.0, high=1.0), pos_weight=WEIGHT),
        S(u(4, 3), u(4, 3, low=0.0, high=1.0), pos_weight=positive(4, 1)),
        *each(u(4, 3), u(4, 3, low=0.0, high=1.0), weight=WEIGHT),
        S(u(4, 3), u(4, 3, low=0.0, high=1.0), weight=positive(4, 3), pos_weight=WEIGHT),
        S(u(4, 3), u(4, 3, low=0.0, high=1.0), pos_weight=np.array(3.0)),
        kinks=(
            K(S([1e4, -1e4], more=(np.array([0.0, 0.0]),), reduction="sum"), [1.0, 0.0]),
            K(S([1e4, -1e4], more=(np.ones(2),), pos_weight=np.array([3.0]), reduction="sum"), [0.0, -3.0]),
        ),
        refusals=(
            R(with_pos_weight(np.ones(2)), ShapeError, "binary_cross_entropy_with_logits", "(2,)", "(4, 3)"),
            R(with_pos_weight(np.ones((1, 4, 3))), ShapeError, "pos_weight", "(1, 4, 3)", "(4, 3)"),
        ),
    ),
    loss(
        "smooth_l1_loss",
        lambda a, b, beta=1.0: np.where(abs(a - b) < beta, (a - b) ** 2 / (2 * beta or 1), abs(a - b) - beta / 2),
        *each(u(4, 3), u(4, 3)),
        S(u(4, 3), u(4, 3), beta=0.4),
        S(u(4, 3), u(4, 3), beta=0.0),
        kinks=(K(S([1.0, -1.0], [0.0, 0.0], reduction="sum"), [1.0, -1.0], [-1.0, 1.0]),),
        refusals=(R(lambda: F.smooth_l1_loss([1.0], [0.0], beta=-1.0), ValueError, "smooth_l1_loss", "beta", "-1.0"),),
    ),
    loss(
        "quantile_loss",
        lambda a, b, q=0.5: np.where(a < b, q * (b - a), (1 - q) * (a - b)),
        *each(u(4, 3), u(4, 3)),
        *each(u(4, 3), u(4, 3), q=0.9),
        peer=None,
        kinks=(K(S([1.0], [1.0], q=0.75, reduction="sum"), [-0.25], [0.25]),),
        refusals=(R(lambda: F.quantile_loss([1.0], [0.0], q=1.0), ValueError, "quantile_loss", "q", "1.0"),),
    ),
    # --- distributions
    C(
        "kl_div",
        kl_div,
        *each(-positive(4, 3), positive(4, 3)),
        S(-positive(4, 3), positive(4, 3), reduction="batchmean"),
        S(-positive(4, 3), -positive(4, 3), log_target=True),
        # PyTorch warns about its own "mean".
        peer=lambda F, x, t, reduction="mean", **keywords: (
            F.kl_div(x, t, reduction="none", **keywords).mean()
            if reduction == "mean"
            else F.kl_div(x, t, reduction=reduction, **keywords)
        ),
        kinks=(
            K(S([-INF, -1.0], [0.0, 1.0], reduction="sum"), [0.0, -1.0], [0.0, 2.0]),
            K(S([-1.0], [-INF], reduction="sum", log_target=True), [0.0], [0.0]),
        ),
        refusals=(
            R(lambda: F.kl_div(np.ones(4), np.ones((4, 1))), ShapeError, "kl_div", "(4,)", "(4, 1)"),
            R(
                lambda: F.kl_div(np.ones(4), np.ones(4), reduction="average"),
                ValueError,
                "kl_div",
                "'average'",
                "'batchmean'",
            ),
            R(lambda: F.kl_div(1.0, 1.0, reduction="batchmean"), ShapeError, "kl_div", "batchmean", "()"),
        ),
    ),
    loss(
        "poisson_nll_loss",
        poisson,
        *each(u(4, 3), u(4, 3, low=0.0, high=4.0)),
        S(u(4, 3), u(4, 3, low=0.0, high=4.0), full=True),
        S(positive(4, 3), u(4, 3, low=0.0, high=4.0), log_input=False),
        kinks=(K(S([0.0], [1.0], reduction="sum", full=True), [0.0], [0.0]),),
    ),
    loss(
        "gaussian_nll_loss",
        gaussian,
        *each(u(4, 3), u(4, 3), positive(4, 3)),
        S(u(4, 3), u(4, 3), positive(4, 1), full=True),
        S(u(4, 3), u(4, 3), positive(4)),
        kinks=(K(S([2.0], [1.0], [0.0], reduction="sum", eps=0.25), [4.0], [-4.0], [-6.0]),),
        refusals=(
            R(lambda: F.gaussian_nll_loss([1.0], [1.0], [-1.0]), ValueError, "gaussian_nll_loss", "-1.0"),
            R(lambda: F.gaussian_nll_loss(np.ones((4, 3)), np.ones((4, 3)), np.ones(3)), ShapeError, "(3,)", "(4, 3)"),
        ),
    ),
    # --- with a margin
    loss(
        "hinge_loss",
        lambda x, t: np.maximum(1 - t * x, 0),
        *each(u(4, 3), more=(signs(4, 3),)),
        peer=None,
        kinks=(K(S([1.0, 0.0], more=(np.array([1.0, -1.0]),), reduction="sum"), [0.0, 1.0]),),
        refusals=(
            R(lambda: F.hinge_loss([1.0, 0.5], [1, 0]), ValueError, "hinge_loss", "got 0", "(1,)", "2 * target"),
        ),
    ),
    loss(
        "soft_margin_loss",
        lambda x, t: np.logaddexp(0, -t * x),
        *each(u(4, 3), more=(signs(4, 3),)),
        kinks=(K(S([1e4, -1e4], more=(np.ones(2),), reduction="sum"), [0.0, -1.0]),),
    ),
    loss(
        "hinge_embedding_loss",
        lambda x, t, margin=1.0: np.where(t > 0, x, np.maximum(margin - x, 0)),
        *each(u(4, 3), more=(signs(4, 3),)),
        S(u(4, 3), more=(signs(4, 3),), margin=0.3),
        kinks=(K(S([1.0, 1.0], more=(np.array([-1.0, 1.0]),), reduction="sum"), [0.0, 1.0]),),
    ),
    loss(
        "margin_ranking_loss",
        lambda a, b, t, margin=0.0: np.maximum(margin - t * (a - b), 0),
        *each(u(4, 3), u(4, 3), more=(signs(4, 3),)),
        S(u(4, 3), u(4, 3), more=(signs(4, 3),), margin=0.7),
        kinks=(K(S([1.0], [1.0], more=(np.ones(1),)), [0.0], [0.0]),),
    ),
    loss(
        "triplet_margin_loss",
        triplet,
        *each(u(4, 3), u(4, 3), u(4, 3)),
        S(u(4, 3), u(4, 3), u(4, 3), p=3.0, margin=2.0, swap=True),
        S(u(2, 4, 3), u(2, 4, 3), u(2, 4, 3)),
    ),
    C(
        "cosine_embedding_loss",
        of_none(cosine),
        *each(u(4, 3), u(4, 3), more=(signs(4),)),
        S(u(4, 3), u(4, 3), more=(signs(4),), margin=0.2),
        S(u(3), u(3), more=(np.array(1.0),)),
        peer="cosine_embedding_loss",
        refusals=(
            R(lambda: F.cosine_embedding_loss(np.ones((4, 3)), np.ones((4, 3)), np.ones((4, 3))), ShapeError, "(4,)"),
            R(lambda: F.cosine_embedding_loss(np.ones((4, 3)), np.ones((4, 1)), np.ones(4)), ShapeError, "x1", "x2"),
        ),
    ),
)
