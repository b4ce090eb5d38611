"""Reading and writing by index."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad import DTypeError, ShapeError

from .rows import (
    MASK,
    ROW,
    C,
    Case,
    R,
    S,
    seed,
    u,
)

seed("indexing")


def numpy_scatter(values: Any, key: Any, shape: Any) -> Any:
    result = np.zeros(shape, dtype=values.dtype)
    np.add.at(result, key, values)
    return result


def written(copy: Any) -> Any:
    def write(y: Any, value: Any, key: Any) -> Any:
        y = copy(y)
        y[key] = value
        return y

    return write


CASES: tuple[Case, ...] = (
    # --- indexing
    C(
        "getitem",
        lambda x, key: x[key],
        S(u(2, 3), more=(1,)),
        S(u(2, 3), more=((slice(None), -1),)),
        S(u(5), more=(slice(4, 0, -2),)),
        S(u(2, 3), more=((None, Ellipsis, 0),)),
        S(u(2, 3), more=((1, 2),)),
        S(u(), more=((),)),
        S(u(3), more=([0, 0, -1],)),
        S(u(2, 3), more=((slice(None), ROW),)),
        S(u(2, 3), more=(([1, 0, 1], ROW),)),
        S(u(2, 3, 2), more=(([1, 1], slice(None), [0, 0]),)),
        S(u(2, 3, 2), more=(([[1], [1]], [0, 2], [0, 1]),)),
        S(u(2, 3), more=(MASK,)),
        S(u(2, 3), more=((slice(None), np.array([True, False, True])),)),
        S(u(3), more=(np.zeros(3, dtype=bool),)),
        S(u(3), more=([],)),
        S(u(3), more=(slice(2, 2),)),
        S(u(2, 3), more=(True,)),
        op=tg.ops.indexing.getitem,
        method="complex",
        refusals=(
            R(lambda: tg.Tensor([1.0, 2.0])[2], IndexError, "getitem", "2", "(2,)"),
            R(lambda: tg.Tensor([1.0, 2.0])[[0, 5]], IndexError, "getitem", "5", "(2,)"),
            R(lambda: tg.Tensor([1.0, 2.0])[0, 0], IndexError, "getitem", "(2,)"),
            R(lambda: tg.Tensor([1.0, 2.0])[1.0], DTypeError, "getitem", "float"),
            R(lambda: tg.Tensor([1.0, 2.0])[np.array([0.0])], DTypeError, "getitem", "float64"),
            R(lambda: tg.Tensor([1.0, 2.0])["a"], DTypeError, "getitem", "<U1"),
        ),
    ),
    C(
        "scatter",
        numpy_scatter,
        S(u(2), more=(slice(1, 3), (4,))),
        S(u(3), more=((ROW,), (4,))),
        S(u(2, 3), more=((slice(None), ROW), (2, 3))),
        S(u(3), more=(MASK, (2, 3))),
        S(u(), more=(1, (3,))),
        op=tg.ops.indexing.scatter,
        method="complex",
        refusals=(R(lambda: tg.ops.indexing.scatter(np.ones(1), [3], (2,)), IndexError, "scatter", "(2,)"),),
    ),
    C(
        "setitem",
        written(np.copy),
        S(u(3), u(), more=(1,)),
        S(u(2, 3), u(3), more=(slice(None),)),
        S(u(2, 3), u(2, 1), more=((slice(None), slice(0, 2)),)),
        S(u(4), u(3), more=([3, 0, 1],)),
        S(u(3), u(4), more=([0, 2, 0, 0],)),
        S(u(2, 3), u(), more=(MASK,)),
        S(u(2, 3), u(3), more=(([1, 0, 1], ROW),)),
        S(u(2, 3, 2), u(2), more=(([1, 0], [1, 1], [0, 0]),)),
        S(u(), u(), more=((),)),
        op=written(tg.positive),
        method="complex",
        refusals=(
            R(lambda: written(tg.Tensor)(np.ones(3), 1.0, 3), IndexError, "setitem", "3", "(3,)"),
            R(
                lambda: written(tg.Tensor)(np.ones(3), np.ones(2), slice(None)),
                ShapeError,
                "setitem",
                "(3,)",
                "(2,)",
            ),
            R(lambda: written(tg.Tensor)([1, 2], 0.5, 0), DTypeError, "setitem", "float64", "int64"),
            R(lambda: written(tg.Tensor)([1.0], 1j, 0), DTypeError, "setitem", "complex128"),
        ),
    ),
    C(
        "take",
        np.take,
        S(u(3), more=([0, 2, 0],)),
        S(u(2, 3), more=([[0, -1], [1, 1]],)),
        S(u(2, 3), more=([2, 0],), axis=1),
        S(u(2, 3), more=(1,), axis=-1),
        method="complex",
        refusals=(
            R(lambda: tg.take(np.ones((2, 3)), [3], axis=1), IndexError, "take", "3", "(2, 3)"),
            R(lambda: tg.take(np.ones(3), [0.5]), DTypeError, "take", "float64"),
            R(lambda: tg.take(np.ones(3), [True]), DTypeError, "take", "mask"),
            R(lambda: tg.take(np.ones(3), [0], axis=1), ShapeError, "take", "axis 1"),
        ),
    ),
    C(
        "take_along_axis",
        np.take_along_axis,
        S(u(2, 3), more=(np.array([[2], [-1]]),), axis=1),
        S(u(2, 3), more=(np.array([[2, 2], [0, 1]]),), axis=-1),
        S(u(2, 3), more=(np.array([[1, 0, 1]]),), axis=0),
        S(u(2, 3, 2), more=(np.array([[[1], [0], [1]]]),), axis=2),
        S(u(1, 3), more=(np.array([[2, 0], [1, 1]]),), axis=1),
        method="complex",
        refusals=(
            R(
                lambda: tg.take_along_axis(np.ones((2, 3)), [[3], [0]], axis=1),
                IndexError,
                "take_along_axis",
                "3",
            ),
            R(
                lambda: tg.take_along_axis(np.ones((2, 3)), [0, 1], axis=1),
                ShapeError,
                "(2,)",
                "(2, 3)",
                "axis 1",
            ),
            R(
                lambda: tg.take_along_axis(np.ones((2, 3)), [[0.0]], axis=1),
                DTypeError,
                "take_along_axis",
                "float64",
            ),
        ),
    ),
)
