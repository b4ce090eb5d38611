"""Pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from nn import functional as F
from tensorgrad import ShapeError
from tests.ops.cases.convolution import loop_windows, tupled
from tests.ops.cases.rows import INF, K, R, Refusal, S, seed, u

from .rows import C, Case, also_single

seed("nn.pooling")


def pooled(count: int, reduce: Any, fill: float) -> Any:
    """An oracle that loops over windows and applies NumPy's reduction to each."""

    def oracle(
        x: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        count_include_pad: bool = True,
    ) -> Any:
        kernel = tupled(kernel_size, count)
        steps = kernel if stride is None else stride
        filling = fill if count_include_pad else np.nan
        windows = loop_windows(x, kernel, steps, dilation, padding, filling)
        return reduce(windows, axis=tuple(range(-count, 0)))

    return also_single(oracle, count + 2)


def refused(name: str, *shape: int) -> tuple[Refusal, ...]:
    function = getattr(F, name)
    x = np.ones(shape)
    return (
        R(lambda: function(x[0, 0], 2), ShapeError, name, str(shape[2:]), "one sample"),
        R(lambda: function(x, 9), ShapeError, name, str(shape), "(9,"),
        R(lambda: function(x, 0), ValueError, name, "kernel_size", "0"),
        R(lambda: function(x, 2, stride=0), ValueError, name, "stride"),
        R(lambda: function(x, 3, padding=2), ValueError, name, "half", "2"),
    )


TIED = [[[[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 2.0]]]]


def adapted(count: int) -> Any:
    """An oracle that takes the mean of each window by itself."""

    def oracle(x: Any, output_size: Any) -> Any:
        lengths = x.shape[2:]
        given = output_size if isinstance(output_size, tuple) else (output_size,) * count
        sizes = [n if size is None else size for n, size in zip(lengths, given)]
        result = np.empty((*x.shape[:2], *sizes))
        for place in np.ndindex(*sizes):
            ends = [(i * n // size, -(-(i + 1) * n // size)) for i, n, size in zip(place, lengths, sizes)]
            window = x[(..., *(slice(a, b) for a, b in ends))]
            result[(..., *place)] = window.mean(axis=tuple(range(2, 2 + count)))
        return result

    return also_single(oracle, count + 2)


CASES: tuple[Case, ...] = (
    C(
        "adaptive_avg_pool1d",
        adapted(1),
        S(u(2, 3, 6), more=(2,)),
        S(u(2, 2, 7), more=(3,)),
        S(u(1, 2, 3), more=(5,)),
        S(u(2, 7), more=((4,),)),
        S(u(0, 2, 4), more=(3,)),
        peer="adaptive_avg_pool1d",
        method="complex",
        kinks=(K(S([[[1.0, INF, 2.0, 0.0, 1.0]]], more=(2,)), [[[1 / 3, 1 / 3, 2 / 3, 1 / 3, 1 / 3]]]),),
        refusals=(
            R(lambda: F.adaptive_avg_pool1d(np.ones(3), 2), ShapeError, "adaptive_avg_pool1d", "(3,)", "one sample"),
            R(lambda: F.adaptive_avg_pool1d(np.ones((1, 2, 0)), 2), ShapeError, "(1, 2, 0)", "without elements"),
            R(lambda: F.adaptive_avg_pool1d(np.ones((1, 2, 3)), 0), ValueError, "output_size", "0"),
        ),
    ),
    C(
        "adaptive_avg_pool2d",
        adapted(2),
        S(u(2, 2, 4, 6), more=(2,)),
        S(u(1, 2, 5, 7), more=((3, 4),)),
        S(u(1, 2, 5, 3), more=((None, 2),)),
        S(u(2, 5, 3), more=((2, 1),)),
        peer="adaptive_avg_pool2d",
        method="complex",
        refusals=(
            R(lambda: F.adaptive_avg_pool2d(np.ones((2, 3)), 2), ShapeError, "adaptive_avg_pool2d", "(2, 3)"),
            R(lambda: F.adaptive_avg_pool2d(np.ones((1, 2, 3, 4)), (2, 2, 2)), ValueError, "output_size", "2 axes"),
            R(lambda: F.adaptive_avg_pool2d(np.ones((1, 2, 3, 4)), 1.5), TypeError, "output_size", "1.5"),
        ),
    ),
    C(
        "max_pool1d",
        pooled(1, np.max, -INF),
        S(u(2, 3, 6), more=(2,)),
        S(u(1, 2, 7), more=(3,), stride=2, padding=1, dilation=2),
        S(u(3, 6), more=(2,)),
        peer="max_pool1d",
        kinks=(K(S([[[1.0, 1.0, 0.0, 1.0]]], more=(2,)), [[[0.5, 0.5, 0.0, 1.0]]]),),
        refusals=refused("max_pool1d", 1, 2, 5),
    ),
    C(
        "max_pool2d",
        pooled(2, np.max, -INF),
        S(u(2, 2, 4, 6), more=(2,)),
        S(u(1, 2, 5, 5), more=(3,), stride=2, padding=1),
        S(u(1, 2, 5, 6), more=((2, 3),), stride=(1, 2), padding=(1, 0), dilation=(2, 1)),
        S(-u(1, 1, 2, 2, low=1.0, high=2.0), more=(2,), padding=1),
        S(u(0, 2, 4, 4), more=(2,)),
        S(u(2, 5, 4), more=(3,), stride=(1, 2), padding=1),
        peer="max_pool2d",
        kinks=(
            K(S(TIED, more=(2,), stride=1), [[[[1 / 3, 4 / 3, 0], [4 / 3, 0, 0], [0, 0, 1]]]]),
            K(S(np.zeros((1, 1, 1, 2)), more=((1, 2),)), [[[[0.5, 0.5]]]]),
        ),
        refusals=refused("max_pool2d", 1, 2, 5, 5),
    ),
    C(
        "avg_pool1d",
        pooled(1, np.nanmean, 0.0),
        S(u(2, 3, 6), more=(2,)),
        S(u(1, 2, 7), more=(3,), stride=2, padding=1),
        S(u(1, 2, 7), more=(3,), stride=2, padding=1, count_include_pad=False),
        S(u(2, 7), more=(3,), stride=2, padding=1, count_include_pad=False),
        peer="avg_pool1d",
        method="complex",
        refusals=refused("avg_pool1d", 1, 2, 5),
    ),
    C(
        "avg_pool2d",
        pooled(2, np.nanmean, 0.0),
        S(u(2, 2, 4, 6), more=(2,)),
        S(u(1, 2, 5, 5), more=(3,), stride=2, padding=1),
        S(u(1, 2, 5, 5), more=((2, 3),), stride=(1, 2), padding=1, count_include_pad=False),
        S(u(0, 2, 4, 4), more=(2,)),
        S(u(2, 4, 6), more=(2,)),
        S(u(2, 5, 4), more=((2, 3),), padding=1, count_include_pad=False),
        peer="avg_pool2d",
        method="complex",
        refusals=refused("avg_pool2d", 1, 2, 5, 5),
    ),
)
