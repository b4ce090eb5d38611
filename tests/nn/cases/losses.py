"""Losses, and the labels they are given."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import scipy.special

import tensorgrad as tg
from nn import functional as F
from tensorgrad import DTypeError, ShapeError
from tests.ops.cases.rows import INF, K, R, S, Sample, positive, seed, u

from .rows import C, Case

seed("nn.losses")

LABELS = np.array([0, 2, 1, 1])


def reduced(loss: Any, reduction: str) -> Any:
    return {"none": loss, "sum": np.sum(loss), "mean": np.mean(loss) if loss.size else np.nan}[reduction]


def each(*arrays: Any, more: tuple[Any, ...] = (), **keywords: Any) -> tuple[Sample, ...]:
    """A sample for every reduction."""
    return tuple(S(*arrays, more=more, reduction=r, **keywords) for r in ("mean", "sum", "none"))


def loss(name: str, formula: Any, *samples: Sample, **rest: Any) -> Case:
    """A loss between arrays of one shape; the formula is that of "none"."""
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


def cross_entropy(logits: Any, labels: Any, reduction: str = "mean") -> Any:
    return nll_loss(scipy.special.log_softmax(logits, axis=1), labels, reduction)


def nll_loss(log_p: Any, labels: Any, reduction: str = "mean") -> Any:
    return reduced(-log_p[np.arange(len(labels)), labels], reduction)


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


def margin_each(x: Any, labels: Any, p: int = 1, margin: float = 1.0, weight: Any = None) -> Any:
    terms = []
    for row, label in zip(x, labels):
        w = 1.0 if weight is None else weight[label]
        lacking = [max(0.0, margin - row[label] + s) for j, s in enumerate(row) if j != label]
        terms.append(sum(w * v**p for v in lacking) / len(row))
    return np.array(terms)


def triplet(a: Any, b: Any, c: Any, margin: float = 1.0, p: float = 2.0, swap: bool = False) -> Any:
    def distance(x: Any, y: Any) -> Any:
        return np.sum(abs(x - y + 1e-6) ** p, axis=-1) ** (1 / p)

    far = np.minimum(distance(a, c), distance(b, c)) if swap else distance(a, c)
    return np.maximum(distance(a, b) - far + margin, 0)


def cosine(a: Any, b: Any, t: Any, margin: float = 0.0) -> Any:
    c = np.sum(a * b, axis=-1) / np.sqrt((np.sum(a * a, axis=-1) + 1e-12) * (np.sum(b * b, axis=-1) + 1e-12))
    return np.where(t > 0, 1 - c, np.maximum(c - margin, 0))


def focal(p: Any, labels: Any, alpha: float = 1.0, gamma: float = 0.0) -> Any:
    own = p[np.arange(len(labels)), labels]
    return -alpha * (1 - own) ** gamma * np.log(own)


def of_none(formula: Any) -> Any:
    return lambda *args, reduction="mean", **keywords: reduced(formula(*args, **keywords), reduction)


def ctc(
    logits: Any, labels: Any, steps: Any, counts: Any, *, blank: int = 0, reduction: str = "mean", **keywords: Any
) -> Any:
    """Every way there is, gone through one by one."""
    single = logits.ndim == 2
    if single:
        logits, labels, steps, counts = logits[:, None], labels[None], steps[None], counts[None]
    log_p = scipy.special.log_softmax(logits, axis=-1)
    starts = np.cumsum(counts) - counts
    losses = []
    for n in range(logits.shape[1]):
        want = list((labels[starts[n] :] if labels.ndim == 1 else labels[n])[: counts[n]])
        total = 0.0
        for way in product(range(logits.shape[2]), repeat=int(steps[n])):
            spelt = [c for i, c in enumerate(way) if c != blank and (i == 0 or c != way[i - 1])]
            if spelt == want:
                total += np.exp(sum(log_p[t, n, c] for t, c in enumerate(way)))
        losses.append(-np.log(total) if total else (0.0 if keywords else np.inf))
    loss = np.array(losses)
    if reduction == "mean":
        loss = loss / np.maximum(counts, 1)
    return loss[0] if single and reduction == "none" else reduced(loss, reduction)


SPELT, STEPS, COUNTS = np.array([[1, 2, 0], [2, 2, 0], [1, 0, 0]]), np.array([5, 4, 3]), np.array([2, 2, 1])


CASES: tuple[Case, ...] = (
    # --- between two arrays of one shape
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
        lambda p, t: -(t * np.log(p) + (1 - t) * np.log1p(-p)),
        *each(u(4, 3, low=0.1, high=0.9), more=(u(4, 3, low=0.0, high=1.0),)),
        refusals=(R(lambda: F.binary_cross_entropy([1.5], [1.0]), ValueError, "1.5", "with_logits"),),
    ),
    loss(
        "binary_cross_entropy_with_logits",
        lambda x, t: -(t * scipy.special.log_expit(x) + (1 - t) * scipy.special.log_expit(-x)),
        *each(u(4, 3), u(4, 3, low=0.0, high=1.0)),
        kinks=(K(S([1e4, -1e4], more=(np.array([0.0, 0.0]),), reduction="sum"), [1.0, 0.0]),),
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
    # --- of distributions
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
            R(lambda: F.kl_div(np.ones(4), np.ones(4), reduction="average"), ValueError, "kl_div", "'average'"),
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
    C(
        "multi_margin_loss",
        of_none(margin_each),
        *each(u(4, 3), more=(LABELS,)),
        S(u(4, 3), more=(LABELS,), p=2, margin=0.5, weight=positive(3)),
        peer="multi_margin_loss",
        kinks=(K(S([[1.0, 0.0]], more=(np.array([0]),), reduction="sum"), [[0.0, 0.0]]),),
        refusals=(
            R(lambda: F.multi_margin_loss(np.ones((2, 3)), [0, 1], p=3), ValueError, "multi_margin_loss", "3"),
            R(lambda: F.multi_margin_loss(np.ones((2, 3)), [0, 1], weight=np.ones(2)), ShapeError, "(2,)", "(3,)"),
        ),
    ),
    # --- between scores and labels
    C(
        "focal_loss",
        of_none(focal),
        *each(u(4, 3, low=0.1, high=0.9), more=(LABELS,), gamma=2.0),
        S(u(4, 3, low=0.1, high=0.9), more=(LABELS,), gamma=0.5, alpha=0.25),
        S(u(4, 3, low=0.1, high=0.9), more=(LABELS,)),
        kinks=(K(S([[1.0, 0.0]], more=(np.array([0]),), gamma=0.5), [[0.0, 0.0]]),),
        refusals=(
            R(lambda: F.focal_loss([[0.5, 1.5]], [0]), ValueError, "focal_loss", "1.5", "softmax_focal_loss"),
            R(lambda: F.focal_loss([[0.5, 0.5]], [0], gamma=-1.0), ValueError, "focal_loss", "gamma", "-1.0"),
        ),
    ),
    C(
        "softmax_focal_loss",
        lambda x, labels, **keywords: of_none(focal)(scipy.special.softmax(x, axis=1), labels, **keywords),
        *each(u(4, 3), more=(LABELS,), gamma=2.0),
        S(u(4, 3), more=(LABELS,), gamma=0.5, alpha=0.25),
        kinks=(
            K(S([[1e4, -1e4]], more=(np.array([1]),), gamma=2.0), [[1.0, -1.0]]),
            K(S([[1e4, -1e4]], more=(np.array([0]),), gamma=0.5), [[0.0, 0.0]]),
        ),
    ),
    C(
        "ctc_loss",
        ctc,
        *each(u(5, 3, 3), more=(SPELT, STEPS, COUNTS)),
        S(u(5, 3, 3), more=(np.array([1, 2, 2, 2, 1]), STEPS, COUNTS)),
        S(u(5, 3, 3), more=(np.array([[0, 1], [1, 0], [0, 0]]), STEPS, np.array([2, 1, 0])), blank=2, reduction="sum"),
        S(u(3, 2, 3), more=(np.array([[1, 1], [1, 2]]), np.array([2, 3]), np.array([2, 2])), zero_infinity=True),
        S(u(4, 3), more=(np.array([1, 2]), np.array(4), np.array(2)), reduction="none"),
        op=lambda x, *more, **keywords: F.ctc_loss(tg.log_softmax(x), *more, **keywords),
        peer=lambda F, x, *more, **keywords: F.ctc_loss(F.log_softmax(x, -1), *more, **keywords),
        kinks=(
            K(S(np.zeros((2, 1, 2)), more=(np.array([[1, 1]]), np.array([2]), np.array([2]))), np.zeros((2, 1, 2))),
            K(
                S([[[1e4, -1e4, 0.0]]], more=(np.array([[1]]), np.array([1]), np.array([1])), reduction="sum"),
                [[[1.0, -1.0, 0.0]]],
            ),
        ),
        refusals=(
            R(lambda: F.ctc_loss(np.zeros((3, 1, 2)), [[2]], [3], [1]), IndexError, "ctc_loss", "label 2", "2 classes"),
            R(lambda: F.ctc_loss(np.zeros((3, 1, 2)), [[0]], [3], [1]), ValueError, "ctc_loss", "blank"),
            R(lambda: F.ctc_loss(np.zeros((3, 1, 2)), [[1]], [4], [1]), ValueError, "input_lengths", "1 to 3", "4"),
            R(lambda: F.ctc_loss(np.zeros((3, 1, 2)), [[1]], [3], [2]), ValueError, "target_lengths", "0 to 1", "2"),
            R(lambda: F.ctc_loss(np.zeros((3, 1, 2)), [1, 1], [3], [1]), ShapeError, "labels", "(2,)", "[1]"),
            R(lambda: F.ctc_loss(np.zeros((3, 1, 2)), [[1]], [3, 3], [1]), ShapeError, "(2,)", "(1,)"),
            R(lambda: F.ctc_loss(np.zeros((3, 1, 2)), [[1.0]], [3], [1]), DTypeError, "labels", "float64"),
            R(lambda: F.ctc_loss(np.zeros(3), [[1]], [3], [1]), ShapeError, "(steps, batch, classes)", "(3,)"),
        ),
    ),
    C(
        "cross_entropy",
        cross_entropy,
        *each(u(4, 3), more=(LABELS,)),
        peer="cross_entropy",
        refusals=(
            R(lambda: F.cross_entropy(np.ones((2, 3)), [0, 3]), IndexError, "cross_entropy", "label 3", "3 classes"),
            R(lambda: F.cross_entropy(np.ones((2, 3)), [0.0, 1.0]), DTypeError, "cross_entropy", "float64"),
        ),
    ),
    C(
        "nll_loss",
        nll_loss,
        *each(-positive(4, 3), more=(LABELS,)),
        peer="nll_loss",
        method="complex",
        refusals=(R(lambda: F.nll_loss(np.ones((2, 3)), [[0], [1]]), ShapeError, "nll_loss", "(2, 1)", "(2,)"),),
    ),
    C(
        "one_hot",
        lambda classes: np.eye(classes, dtype=np.float32)[LABELS],
        Sample((), (3,)),
        op=lambda classes: F.one_hot(LABELS, classes),
        orders=0,
        refusals=(R(lambda: F.one_hot([3], 3), IndexError, "one_hot", "label 3"),),
    ),
)
