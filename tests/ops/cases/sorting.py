"""Sorting, diagonals, selection by condition, and writing at an index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad import DTypeError, ShapeError

from .rows import MASK, ROW, C, Case, K, R, S, real, row, seed, u

seed("sorting")


def on_a_copy(function: Callable[..., Any], copy: Callable[[Any], Any]) -> Any:
    """A function that writes to its first argument, turned into one that returns the written copy."""

    def written(y: Any, values: Any, *more: Any, **keywords: Any) -> Any:
        y = copy(y)
        function(y, values, *more, **keywords)
        return y

    return written


def along(y: Any, values: Any, indices: Any, axis: Any = -1) -> None:
    np.put_along_axis(y, indices, values, axis)


def along_ours(y: Any, values: Any, indices: Any, axis: Any = -1) -> None:
    tg.put_along_axis(y, indices, values, axis)


def added(x: Any, values: Any, key: Any) -> Any:
    result = np.array(x)
    np.add.at(result, key, values)
    return result


def largest(x: Any, k: int, axis: int = -1, largest: bool = True) -> Any:
    ordered = np.sort(x, axis)
    ordered = np.flip(ordered, axis) if largest else ordered
    return np.take(ordered, np.arange(k), axis)


def summed(function: Callable[..., Any], cumsum: Callable[..., Any]) -> Any:
    """The running sum of the result: its elements have weights ... 3, 2, 1, which show how ties share the gradient."""
    return lambda x, *more, axis=-1: cumsum(function(x, *more, axis=axis), axis=axis)


CASES: tuple[Case, ...] = (
    # --- sorting
    row(
        "sort",
        S(u(5)),
        S(u(2, 3)),
        S(u(2, 3), axis=0),
        S(u(2, 3), axis=None),
        S(u(2, 3), axis=-2, descending=True),
        S(u(0)),
        S(u(2, 0)),
        oracle=lambda x, descending=False, **axis: (
            np.flip(np.sort(x, **axis), **axis) if descending else np.sort(x, **axis)
        ),
        method="central",
        refusals=(R(lambda: tg.sort(np.ones(3), axis=1), ShapeError, "sort", "axis 1"), real("sort")),
    ),
    C(
        "sort",
        summed(np.sort, np.cumsum),
        S(u(2, 3)),
        op=summed(tg.sort, tg.cumsum),
        method="central",
        kinks=(
            K(S([2.0, 1.0, 2.0]), [1.5, 3.0, 1.5]),
            K(S([1.0, 1.0, 0.0]), [1.5, 1.5, 3.0]),
            K(S([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]]), [[2.0, 2.0, 2.0], [1.5, 3.0, 1.5]]),
            K(S([[1.0, 5.0], [1.0, 0.0]], axis=0), [[1.5, 1.0], [1.5, 2.0]]),
        ),
    ),
    row(
        "partition",
        S([3.0, 1.0, 2.0], more=(1,)),
        S([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]], more=(2,)),
        S(u(3, 2), more=([0, -1],), axis=0),
        S(u(2, 2), more=(1,), axis=None),
        method="central",
        refusals=(
            R(lambda: tg.partition(np.ones(3), 3), ShapeError, "partition", "3", "(3,)"),
            R(lambda: tg.partition([1j, 2.0], 1), DTypeError, "partition", "complex128"),
        ),
    ),
    C(
        "partition",
        summed(np.partition, np.cumsum),
        S([3.0, 1.0, 2.0], more=(1,)),
        op=summed(tg.partition, tg.cumsum),
        method="central",
        kinks=(K(S([2.0, 1.0, 2.0], more=(0,)), [1.5, 3.0, 1.5]),),
    ),
    C(
        "topk",
        largest,
        S(u(5), more=(2,)),
        S(u(3, 4), more=(2,), axis=0),
        S(u(3, 4), more=(3,), largest=False),
        S(u(3), more=(0,)),
        op=lambda *args, **keywords: tg.topk(*args, **keywords)[0],
        method="central",
        kinks=(
            K(S([2.0, 1.0, 2.0], more=(1,)), [0.5, 0.0, 0.5]),
            K(S([2.0, 1.0, 1.0, 1.0], more=(3,)), [1.0, 2 / 3, 2 / 3, 2 / 3]),
        ),
        refusals=(
            R(lambda: tg.topk(np.ones(3), 4), ShapeError, "topk", "4", "3"),
            R(lambda: tg.topk([1j, 2.0], 1), DTypeError, "topk", "complex128"),
        ),
    ),
    row("argsort", S(u(5)), S(u(2, 3), axis=0), S(u(2, 3), axis=None), orders=0, refusals=(real("argsort"),)),
    C(
        "argsort",
        lambda x: np.array([2, 0, 3, 1]),
        S([2.0, 1.0, 3.0, 2.0]),
        op=lambda x: tg.argsort(x, descending=True),  # equal elements keep their order
        orders=0,
    ),
    row(
        "argpartition",
        S([3.0, 1.0, 2.0], more=(1,)),
        orders=0,
        refusals=(R(lambda: tg.argpartition([1j, 2.0], 1), DTypeError, "argpartition", "complex128"),),
    ),
    row(
        "searchsorted",
        S([1.0, 2.0, 3.0], [0.5, 2.0, 9.0]),
        S([1.0, 2.0], 2.0, side="right"),
        S([3.0, 1.0, 2.0], [0.5, 2.0, 9.0], sorter=[1, 2, 0]),
        orders=0,
        refusals=(
            R(lambda: tg.searchsorted([1j], 1.0), DTypeError, "searchsorted", "complex128"),
            R(lambda: tg.searchsorted(np.ones((2, 2)), 1.0), ShapeError, "searchsorted", "(2, 2)"),
        ),
    ),
    row(
        "nonzero",
        S([0.0, 1.0, 2.0]),
        S([[0.0, 1.0], [2.0, 0.0]]),
        orders=0,
        refusals=(R(lambda: tg.nonzero(1.0), ShapeError, "nonzero", "x != 0"),),
    ),
    # --- diagonals
    row(
        "diagonal",
        S(u(3, 4)),
        S(u(3, 4), offset=1),
        S(u(3, 4), offset=-2),
        S(u(2, 3, 4), axis1=1, axis2=2),
        S(u(2, 3, 4), offset=1, axis1=-1, axis2=0),
        refusals=(R(lambda: tg.diagonal(np.ones(3)), ShapeError, "diagonal"),),
    ),
    row(
        "diag",
        S(u(3)),
        S(u(3), k=1),
        S(u(2, 3)),
        S(u(3, 3), k=-1),
        refusals=(R(lambda: tg.diag(1.0), ShapeError, "diag"),),
    ),
    row("diagflat", S(u(2, 2)), S(u(2), k=-1), S(u())),
    row("trace", S(u(3, 3)), S(u(2, 3), offset=1), S(u(2, 3, 3), axis1=1, axis2=2)),
    row("tril", S(u(3, 3)), S(u(2, 3), k=1), S(u(2, 3, 3), k=-1)),
    row("triu", S(u(3, 3)), S(u(2, 3), k=1), S(u(2, 3, 3), k=-1)),
    # --- selection by condition
    C(
        "compress",
        lambda x, condition, axis=None: np.compress(condition, x, axis),
        S(u(4), more=([True, False, True, True],)),
        S(u(2, 3), more=([True, False, True],), axis=1),
        S(u(2, 3), more=([False, True],), axis=0),
        S(u(2, 3), more=([False, True],)),
        op=lambda x, condition, axis=None: tg.compress(condition, x, axis),
        method="complex",
        refusals=(R(lambda: tg.compress([True] * 4, np.ones(3)), IndexError, "compress"),),
    ),
    C(
        "extract",
        lambda x, condition: np.extract(condition, x),
        S(u(2, 3), more=(MASK,)),
        S(u(3), more=(np.zeros(3, dtype=bool),)),
        op=lambda x, condition: tg.extract(condition, x),
        method="complex",
    ),
    # --- writing
    C(
        "scatter_add",
        added,
        S(u(3), u(4), more=([0, 2, 0, 0],)),
        S(u(2, 3), u(2, 3), more=((slice(None), ROW),)),
        S(u(2, 3), u(), more=(MASK,)),
        S(u(2, 3), u(3), more=(1,)),
        S(u(2, 3), u(3), more=(([1, 0, 1], ROW),)),
        op=lambda x, values, key: tg.scatter_add(x, key, values),
        method="complex",
        refusals=(
            R(lambda: tg.scatter_add(np.ones(2), [3], np.ones(1)), IndexError, "scatter_add", "3", "(2,)"),
            R(lambda: tg.scatter_add(np.ones(2), [0, 1], np.ones(3)), ShapeError, "scatter_add", "(3,)", "(2,)"),
        ),
    ),
    C(
        "put_along_axis",
        on_a_copy(along, np.copy),
        S(u(2, 3), u(2, 1), more=(np.array([[2], [0]]),), axis=1),
        S(u(2, 3), u(), more=(np.array([[1], [1]]),), axis=-1),
        S(u(2, 3), u(1, 3), more=(np.array([[1, 0, 1]]),), axis=0),
        S(u(3, 2), u(3, 1), more=(np.array([[1]]),), axis=1),
        op=on_a_copy(along_ours, tg.positive),
        method="complex",
        refusals=(
            R(lambda: tg.put_along_axis(tg.Tensor(np.ones((2, 3))), [0, 1], 1.0, axis=1), ShapeError, "put_along_axis"),
            R(lambda: tg.put_along_axis(tg.Tensor(np.ones(2)), [True, False], 1.0), DTypeError, "put_along_axis"),
            R(lambda: tg.put_along_axis(tg.Tensor(np.ones((3, 2))), [[0], [1]], 1.0), ShapeError, "(2, 1)", "(3, 2)"),
        ),
    ),
    C(
        "fill_diagonal",
        on_a_copy(np.fill_diagonal, np.copy),
        S(u(3, 3), u()),
        S(u(2, 3), u(2)),
        S(u(2, 2, 2), u()),
        op=on_a_copy(tg.fill_diagonal, tg.positive),
        method="complex",
        refusals=(
            R(lambda: tg.fill_diagonal(tg.Tensor(np.ones(3)), 0.0), ShapeError, "fill_diagonal", "(3,)"),
            R(lambda: tg.fill_diagonal(tg.Tensor(np.ones((2, 3, 3))), 0.0), ShapeError, "fill_diagonal", "(2, 3, 3)"),
            R(lambda: tg.fill_diagonal(tg.Tensor(np.ones((2, 3, 4))), 0.0), ShapeError, "fill_diagonal", "(2, 3, 4)"),
        ),
    ),
)
