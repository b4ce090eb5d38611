"""Losses, and the labels they are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

from nn import functional as F
from tensorgrad import DTypeError, ShapeError
from tests.ops.cases.rows import K, R, S, Sample, positive, seed, u

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
        R(called(*[np.ones((0, 2))] * count, reduction="mean"), ShapeError, name, "empty batch", "(0, 2)"),
        R(called(*[np.ones((2, 2))] * count, reduction="average"), ValueError, name, "'average'"),
        *rest.pop("refusals", ()),
    )
    return C(name, oracle, *samples, refusals=refusals, **{"peer": name} | rest)


def cross_entropy(logits: Any, labels: Any, reduction: str = "mean") -> Any:
    return nll_loss(scipy.special.log_softmax(logits, axis=1), labels, reduction)


def nll_loss(log_p: Any, labels: Any, reduction: str = "mean") -> Any:
    return reduced(-log_p[np.arange(len(labels)), labels], reduction)


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
    # --- between scores and labels
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
