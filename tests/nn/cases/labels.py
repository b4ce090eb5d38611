"""Losses between scores and labels."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import scipy.special

import tensorgrad as tg
from nn import functional as F
from tensorgrad import DTypeError, ShapeError
from tests.ops.cases.rows import INF, K, R, S, Sample, positive, seed, u

from .losses import WEIGHT, each, of_none, reduced
from .rows import C, Case

seed("nn.labels")

LABELS = np.array([0, 2, 1, 1])
LABEL = np.array(2)
SPELT, STEPS, COUNTS = np.array([[1, 2, 0], [2, 2, 0], [1, 0, 0]]), np.array([5, 4, 3]), np.array([2, 2, 1])


ONE = np.array([1])
HOLED, GRID = np.array([0, -100, 2, 1, -100]), np.array([[0, 2, 1, 1], [2, 2, 0, 1]])


def one_row(oracle: Any) -> Any:
    """Make an oracle of rows of scores also take a single one, with one label."""

    def called(scores: Any, labels: Any, reduction: str = "mean", **keywords: Any) -> Any:
        if scores.ndim > 1:
            return oracle(scores, labels, reduction=reduction, **keywords)
        loss = oracle(scores[None], labels[None], reduction=reduction, **keywords)
        return loss[0] if reduction == "none" else loss

    return called


def cross_entropy(
    logits: Any, labels: Any, weight: Any = None, label_smoothing: float = 0.0, reduction: str = "mean", **rest: Any
) -> Any:
    log_p = scipy.special.log_softmax(logits, axis=1)
    if labels.dtype.kind == "i":
        hard = nll_loss(log_p, labels, weight, reduction=reduction, **rest)
        # The share of each label spread over all classes: it counts like the label, with the weighted sum of all
        # log-probabilities.
        weight = np.ones(logits.shape[1]) if weight is None else weight
        summed = np.repeat(np.tensordot(log_p, weight, (1, 0))[:, None], logits.shape[1], axis=1)
        even = nll_loss(summed, labels, reduction="none", **rest)
        if reduction == "mean":
            even = even.sum() / nll_loss(-np.ones_like(log_p), labels, weight, reduction="sum", **rest)
        elif reduction == "sum":
            even = even.sum()
        return (1 - label_smoothing) * hard + label_smoothing / logits.shape[1] * even
    shares = (1 - label_smoothing) * labels + label_smoothing / logits.shape[1]
    return reduced(
        -np.moveaxis(log_p * shares, 1, -1) @ (np.ones(logits.shape[1]) if weight is None else weight), reduction
    )


def nll_loss(
    log_p: Any, labels: Any, weight: Any = None, ignore_index: int | None = None, reduction: str = "mean"
) -> Any:
    weight = np.ones(log_p.shape[1]) if weight is None else weight
    loss, total = np.zeros(labels.shape), 0.0
    for where, label in np.ndenumerate(labels):
        if label != ignore_index:
            loss[where] = -log_p[(where[0], label, *where[1:])] * weight[label]
            total += weight[label]
    return loss.sum() / total if reduction == "mean" else reduced(loss, reduction)


def margin_each(x: Any, labels: Any, p: int = 1, margin: float = 1.0, weight: Any = None) -> Any:
    terms = []
    for row, label in zip(x, labels):
        w = 1.0 if weight is None else weight[label]
        lacking = [max(0.0, margin - row[label] + s) for j, s in enumerate(row) if j != label]
        terms.append(sum(w * v**p for v in lacking) / len(row))
    return np.array(terms)


def focal(p: Any, labels: Any, alpha: float = 1.0, gamma: float = 0.0) -> Any:
    own = p[np.arange(len(labels)), labels]
    return -alpha * (1 - own) ** gamma * np.log(own)


def ctc(
    logits: Any, labels: Any, steps: Any, counts: Any, *, blank: int = 0, reduction: str = "mean", **keywords: Any
) -> Any:
    """Try every possible alignment, one by one."""
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


CASES: tuple[Case, ...] = (
    C(
        "multi_margin_loss",
        one_row(of_none(margin_each)),
        *each(u(4, 3), more=(LABELS,)),
        S(u(4, 3), more=(LABELS,), p=2, margin=0.5, weight=positive(3)),
        *each(u(3), more=(LABEL,)),
        peer="multi_margin_loss",
        kinks=(K(S([[1.0, 0.0]], more=(np.array([0]),), reduction="sum"), [[0.0, 0.0]]),),
        refusals=(
            R(lambda: F.multi_margin_loss(np.ones((2, 3)), [0, 1], p=3), ValueError, "multi_margin_loss", "3"),
            R(lambda: F.multi_margin_loss(np.ones((2, 3)), [0, 1], weight=np.ones(2)), ShapeError, "(2,)", "(3,)"),
        ),
    ),
    C(
        "focal_loss",
        one_row(of_none(focal)),
        *each(u(4, 3, low=0.1, high=0.9), more=(LABELS,), gamma=2.0),
        S(u(4, 3, low=0.1, high=0.9), more=(LABELS,), gamma=0.5, alpha=0.25),
        S(u(4, 3, low=0.1, high=0.9), more=(LABELS,)),
        *each(u(3, low=0.1, high=0.9), more=(LABEL,), gamma=2.0),
        kinks=(K(S([[1.0, 0.0]], more=(np.array([0]),), gamma=0.5), [[0.0, 0.0]]),),
        refusals=(
            R(lambda: F.focal_loss([[0.5, 1.5]], [0]), ValueError, "focal_loss", "1.5", "softmax_focal_loss"),
            R(lambda: F.focal_loss([[0.5, 0.5]], [0], gamma=-1.0), ValueError, "focal_loss", "gamma", "-1.0"),
        ),
    ),
    C(
        "softmax_focal_loss",
        lambda x, labels, **keywords: one_row(of_none(focal))(scipy.special.softmax(x, axis=-1), labels, **keywords),
        *each(u(4, 3), more=(LABELS,), gamma=2.0),
        S(u(4, 3), more=(LABELS,), gamma=0.5, alpha=0.25),
        *each(u(3), more=(LABEL,), gamma=2.0),
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
        one_row(cross_entropy),
        *each(u(4, 3), more=(LABELS,)),
        *each(u(4, 3), more=(LABELS,), weight=WEIGHT),
        *each(u(4, 3), more=(LABELS,), label_smoothing=0.3),
        *each(u(4, 3), more=(LABELS,), ignore_index=1),
        *each(u(5, 3), more=(HOLED,), weight=WEIGHT, label_smoothing=0.3, ignore_index=-100),
        S(u(4, 3), more=(LABELS,), label_smoothing=1.0),
        *each(u(2, 3, 4), more=(GRID,)),
        *each(u(2, 3, 4), more=(GRID,), weight=WEIGHT, label_smoothing=0.3, ignore_index=2),
        *each(u(3), more=(LABEL,)),
        *each(u(3), more=(LABEL,), weight=WEIGHT, label_smoothing=0.3, ignore_index=1),
        peer="cross_entropy",
        kinks=(
            K(S([[1e4, -1e4, 0.0]], more=(ONE,)), [[1.0, -1.0, 0.0]]),
            K(
                S([[1e4, -1e4, 0.0]], more=(ONE,), weight=np.array([9.0, 2.0, 9.0]), reduction="sum"),
                [[2.0, -2.0, 0.0]],
            ),
            K(S([[0.0, 0.0, -INF]], more=(ONE,)), [[0.5, -0.5, 0.0]]),
            K(S([[0.0, 0.0, -INF]], more=(ONE,), ignore_index=2), [[0.5, -0.5, 0.0]]),
            K(S([[0.0, 0.0, -INF]], [[0.0, 1.0, 0.0]]), [[0.5, -0.5, 0.0]], [[np.log(2), np.log(2), 0.0]]),
            K(S([[0.0, INF], [0.0, 0.0]], more=(np.array([-1, 0]),), ignore_index=-1), [[0.0, 0.0], [-0.5, 0.5]]),
        ),
        refusals=(
            R(lambda: F.cross_entropy(np.ones((2, 3)), [0, 3]), IndexError, "cross_entropy", "label 3", "3 classes"),
            R(lambda: F.cross_entropy(np.ones((2, 3)), [0.0, 1.0]), DTypeError, "cross_entropy", "float64", "astype"),
            R(lambda: F.cross_entropy(np.ones((1, 3)), [-1], ignore_index=-100), IndexError, "label -1"),
            R(lambda: F.cross_entropy(np.ones((1, 3, 2)), [[0, 3]], weight=WEIGHT), IndexError, "label 3", "0, 1"),
            R(
                lambda: F.cross_entropy(np.ones((1, 3, 2)), [0, 1]),
                ShapeError,
                "(2,)",
                "(1, 2)",
                "labels.reshape(1, 2)",
            ),
            R(lambda: F.cross_entropy(np.ones((1, 3, 0)), np.ones((1, 0), int)), ShapeError, "empty batch"),
            R(lambda: F.cross_entropy(np.ones((1, 3)), [0], weight=[1.0, 2.0]), ShapeError, "weight", "(2,)", "(3,)"),
            R(lambda: F.cross_entropy(np.ones((1, 3)), [0], label_smoothing=1.5), ValueError, "label_smoothing", "1.5"),
            R(
                lambda: F.cross_entropy(np.ones((1, 3)), [2], ignore_index=2),
                ShapeError,
                "cross_entropy",
                "empty batch",
            ),
            R(lambda: F.cross_entropy(np.ones((1, 2)), [0], weight=[0.0, 1.0]), ShapeError, "empty batch", "weight 0"),
            R(
                lambda: F.cross_entropy([[1.0, 2.0]], [[0.5, 0.6]]),
                ValueError,
                "position 0",
                "[0.5, 0.6]",
                "labels.sum",
            ),
            R(lambda: F.cross_entropy([1.0, 2.0], [0.5, 0.6]), ValueError, "[0.5, 0.6]", "labels.sum()"),
            R(lambda: F.cross_entropy([1.0, 2.0], [0, 1]), ShapeError, "(2,)", "expected ()", "argmax(axis=0)"),
            R(lambda: F.cross_entropy([1.0, 2.0], [1]), ShapeError, "(1,)", "expected ()", "reshape()"),
            R(lambda: F.cross_entropy([1.0, 2.0], 2), IndexError, "label 2"),
            R(lambda: F.cross_entropy(1.0, 0), ShapeError, "(classes,)", "()"),
            R(lambda: F.cross_entropy([1.0], 0, ignore_index=0), ShapeError, "empty batch"),
            R(lambda: F.cross_entropy([[1.0, 2.0]], [[1.5, -0.5]]), ValueError, "cross_entropy", "[1.5, -0.5]"),
            R(lambda: F.cross_entropy([[1.0, 2.0]], [[np.nan, 1.0]]), ValueError, "cross_entropy", "nan"),
            R(lambda: F.cross_entropy([[1.0, 2.0]], [[0.5, 0.5]], ignore_index=1), ValueError, "ignore_index=1"),
        ),
    ),
    C(
        "cross_entropy",
        lambda x, t, **keywords: one_row(cross_entropy)(
            x, t / t.sum(axis=min(1, t.ndim - 1), keepdims=True), **keywords
        ),
        *each(u(4, 3), positive(4, 3)),
        *each(u(4, 3), positive(4, 3), weight=WEIGHT, label_smoothing=0.3),
        S(u(2, 3, 4), positive(2, 3, 4), weight=WEIGHT),
        *each(u(3), positive(3), weight=WEIGHT, label_smoothing=0.3),
        op=lambda x, t, **keywords: F.cross_entropy(
            x, t / tg.sum(t, axis=min(1, t.ndim - 1), keepdims=True), **keywords
        ),
        peer=lambda F, x, t, **keywords: F.cross_entropy(x, t / t.sum(min(1, t.ndim - 1), keepdim=True), **keywords),
    ),
    C(
        "nll_loss",
        one_row(nll_loss),
        *each(-positive(4, 3), more=(LABELS,)),
        *each(-positive(4, 3), more=(LABELS,), weight=WEIGHT),
        *each(-positive(5, 3), more=(HOLED,), weight=WEIGHT, ignore_index=-100),
        S(-positive(2, 3, 4), more=(GRID,), ignore_index=0),
        *each(-positive(3), more=(LABEL,)),
        *each(-positive(3), more=(LABEL,), weight=WEIGHT),
        peer="nll_loss",
        method="complex",
        kinks=(
            K(S([[-1.0, -INF]], more=(np.array([0]),), weight=np.array([3.0, 1.0])), [[-1.0, 0.0]]),
            K(S([[-INF, -1.0]], more=(np.array([0]),), weight=np.array([0.0, 1.0]), reduction="sum"), [[0.0, 0.0]]),
        ),
        refusals=(
            R(lambda: F.nll_loss(np.ones((2, 3)), [[0], [1]]), ShapeError, "nll_loss", "(2, 1)", "(2,)"),
            R(lambda: F.nll_loss(np.ones((2, 3)), np.eye(2, 3)), DTypeError, "nll_loss", "float64"),
            R(lambda: F.nll_loss(np.ones((2, 3)), [7, 7], ignore_index=7), ShapeError, "nll_loss", "empty batch"),
            R(lambda: F.nll_loss(np.ones((2, 3)), [0, 1], weight=np.ones((3, 1))), ShapeError, "(3, 1)", "(3,)"),
            R(
                lambda: F.nll_loss(np.ones((1, 2)), [0], weight=np.ones(2), reduction="average"),
                ValueError,
                "'average'",
            ),
        ),
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
