"""Axes, repetition, padding, joining and splitting, beyond the basic operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad import DTypeError, ShapeError

from .rows import C, Case, K, R, S, Sample, joined, public, row, seed, u

seed("arranging")


def several(function: Callable[..., Any]) -> Any:
    """A function of one or several arrays, with its results in a list."""
    return lambda *arrays, **keywords: list(function(*arrays, **keywords))


def stacked(name: str, *samples: Sample) -> Case:
    mismatch = R(lambda: public(name)([np.ones((2, 3)), np.ones((3, 2))]), ShapeError, name)
    refusals = (mismatch, R(lambda: public(name)([]), ShapeError, name, "at least one"))
    return C(name, joined(getattr(np, name)), *samples, op=joined(public(name)), method="complex", refusals=refusals)


def unstacked(x: Any, axis: int = 0) -> Any:
    return [np.take(x, i, axis) for i in range(x.shape[axis])]


def padded(mode: str, *widths: Any, **more: Any) -> tuple[Sample, ...]:
    samples = []
    for width in widths or (1, (1, 2), ((0, 2), (1, 0))):
        samples.append(S(u(4, 3), more=(width,), mode=mode, **more))
    return tuple(samples)


def _padded_by_axis(a: Any, width: Any, **keywords: Any) -> Any:
    """NumPy's pad, which takes no dict of axes in its older versions."""
    if isinstance(width, dict):
        width = [width.get(axis, (0, 0)) for axis in range(a.ndim)]
    return np.pad(a, width, **keywords)


CASES: tuple[Case, ...] = (
    # --- axes
    row("rollaxis", S(u(2, 3, 4), more=(2,)), S(u(2, 3, 4), more=(0, 3)), S(u(2, 3), more=(-1,))),
    row("fliplr", S(u(2, 3)), S(u(2, 3, 2)), refusals=(R(lambda: tg.fliplr(np.ones(3)), ShapeError, "fliplr"),)),
    row("flipud", S(u(2, 3)), S(u(3)), refusals=(R(lambda: tg.flipud(1.0), ShapeError, "flipud"),)),
    row(
        "rot90",
        S(u(2, 3)),
        S(u(2, 3), k=2),
        S(u(2, 3), k=-1),
        S(u(2, 3, 4), k=3, axes=(1, 2)),
        S(u(2, 3), k=4),
        refusals=(R(lambda: tg.rot90(np.ones((2, 2)), axes=(0, 0)), ShapeError, "rot90", "twice"),),
    ),
    *(row(name, S(u()), S(u(3)), S(u(2, 3)), S(u(2, 1, 3, 1))) for name in ("atleast_1d", "atleast_2d", "atleast_3d")),
    C(
        "broadcast_arrays",
        several(np.broadcast_arrays),
        S(u(2, 1), u(3)),
        S(u(), u(2), u(2, 2)),
        op=several(tg.broadcast_arrays),
        method="complex",
        refusals=(R(lambda: tg.broadcast_arrays(np.ones(2), np.ones(3)), ShapeError, "broadcast_arrays", "axis -1"),),
    ),
    # --- repetition
    row(
        "tile",
        S(u(2, 3), more=(2,)),
        S(u(3), more=((2, 2),)),
        S(u(2, 3), more=((2, 1, 2),)),
        S(u(), more=(3,)),
        S(u(2), more=(0,)),
    ),
    row(
        "repeat",
        S(u(2, 3), more=(2,)),
        S(u(2, 3), more=(2,), axis=1),
        S(u(2, 3), more=([1, 0, 2],), axis=-1),
        S(u(3), more=(np.array([2, 0, 1]),)),
        S(u(), more=(3,)),
        refusals=(
            R(lambda: tg.repeat(np.ones(3), [1, 2]), ShapeError, "repeat", "2", "3"),
            R(lambda: tg.repeat(np.ones(3), -1), ValueError, "repeat", "-1"),
        ),
    ),
    row(
        "roll",
        S(u(5), more=(2,)),
        S(u(2, 3), more=(-1,)),
        S(u(2, 3), more=(1,), axis=1),
        S(u(2, 3), more=((1, -2),), axis=(0, -1)),
        S(u(2, 3), more=(7,), axis=0),
    ),
    row("resize", S(u(2, 3), more=((3, 2),)), S(u(3), more=((2, 4),)), S(u(4), more=(2,)), S(u(2), more=((0,),))),
    C(
        "sliding_window_view",
        np.lib.stride_tricks.sliding_window_view,
        S(u(5), more=(3,)),
        S(u(4, 5), more=((2, 3),)),
        S(u(4, 5), more=(2,), axis=0),
        S(u(3, 4, 5), more=((2, 2),), axis=(-1, 0)),
        S(u(4), more=(4,)),
        S(u(4), more=(1,)),
        method="complex",
        refusals=(
            R(lambda: tg.sliding_window_view(np.ones(3), 4), ShapeError, "sliding_window_view", "4", "(3,)"),
            R(lambda: tg.sliding_window_view(np.ones((3, 3)), 2), ShapeError, "sliding_window_view", "(3, 3)"),
        ),
    ),
    # --- padding
    row(
        "pad",
        *padded("constant"),
        S(u(3), more=((1, 2),), constant_values=(5.0, -5.0)),
        S(u(2, 2), more=({1: (1, 1)},)),
        *padded("edge"),
        *padded("reflect", 1, (2, 2)),
        *padded("symmetric"),
        *padded("wrap"),
        S(u(2), more=(5,), mode="wrap"),
        S(u(3), more=(7,), mode="reflect"),
        S(u(1), more=(2,), mode="reflect"),
        *padded("linear_ramp", end_values=1.5),
        *padded("mean"),
        S(u(5), more=(2,), mode="mean", stat_length=2),
        *padded("reflect", 1, (2, 2), ((0, 7), (5, 6)), reflect_type="odd"),
        *padded("symmetric", 1, ((0, 9), (4, 8)), reflect_type="odd"),
        S(u(1), more=(2,), mode="reflect", reflect_type="odd"),
        S(u(), more=(2,)),
        S(u(), more=(2,), mode="wrap"),
        S(u(2, 2), more=(0,), mode="symmetric", reflect_type="odd"),
        oracle=_padded_by_axis,
        refusals=(
            R(lambda: tg.pad(np.ones(2), -1), ValueError, "pad", "-1"),
            R(lambda: tg.pad(np.ones(2), 1, "empty"), ValueError, "pad", "'empty'"),
            R(lambda: tg.pad(np.ones(2), ((1, 1), (1, 1))), ShapeError, "pad", "1 axes", "((1, 1), (1, 1))"),
        ),
    ),
    row(
        "pad",
        *padded("maximum"),
        *padded("minimum", ((1, 0), (2, 2)), stat_length=((1, 2), (2, 1))),
        *padded("median"),
        S(u(4), more=(1,), mode="median", stat_length=(3, 2)),
        method="central",
        kinks=(
            K(S([1.0, 1.0, 0.0], more=(2,), mode="maximum"), [3.0, 3.0, 1.0]),
            K(S([1.0, 1.0, 0.0], more=((0, 2),), mode="minimum", stat_length=1), [1.0, 1.0, 3.0]),
            K(S([1.0, 1.0, 0.0], more=((0, 2),), mode="median"), [2.0, 2.0, 1.0]),
        ),
        refusals=(
            R(lambda: tg.pad([1j, 2.0], 1, "maximum"), DTypeError, "pad", "maximum"),
            R(lambda: tg.pad([1, 2], 1, "mean"), DTypeError, "pad", "mean", "int64"),
            R(lambda: tg.pad([1.0, 2.0], 1, "mean", stat_length=0), ValueError, "pad", "stat_length"),
            R(lambda: tg.pad(np.ones((0, 2)), 1, "edge"), ShapeError, "pad", "axis 0", "'edge'"),
            R(lambda: tg.pad(np.ones(2), 1, reflect_type="none"), ValueError, "pad", "reflect_type"),  # type: ignore[arg-type]
        ),
    ),
    # --- joining
    stacked("hstack", S(u(2, 3), u(2, 1)), S(u(3), u(2)), S(u(), u())),
    stacked("vstack", S(u(2, 3), u(1, 3)), S(u(3), u(3)), S(u(), u())),
    stacked("dstack", S(u(2, 3), u(2, 3)), S(u(3), u(3)), S(u(2, 1, 2), u(2, 1, 1))),
    stacked("column_stack", S(u(3), u(3)), S(u(3, 2), u(3))),
    row("append", S(u(2, 3), u(4)), S(u(2, 3), u(1, 3), axis=0), S(u(), u(2))),
    C(
        "block",
        lambda a, b, c, d: np.block([[a, b], [c, d]]),
        S(u(2, 2), u(2, 1), u(1, 2), u(1, 1)),
        S(u(2), u(1), u(2), u(1)),
        op=lambda a, b, c, d: tg.block([[a, b], [c, d]]),
        method="complex",
        refusals=(R(lambda: tg.block([[np.ones(2)], np.ones(2)]), ValueError, "block"),),
    ),
    C(
        "meshgrid",
        several(np.meshgrid),
        S(u(2), u(3)),
        S(u(2), u(3), indexing="ij"),
        S(u(2), u(3), u(2), sparse=True),
        S(u(2)),
        S(u(), u(2)),
        op=several(tg.meshgrid),
        method="complex",
        refusals=(R(lambda: tg.meshgrid(np.ones(2), indexing="yx"), ValueError, "meshgrid", "'yx'"),),  # type: ignore[arg-type]
    ),
    # --- splitting
    row("array_split", S(u(7), more=(3,)), S(u(2, 5), more=(2,), axis=1), S(u(5), more=([1, 3],)), S(u(2), more=(3,))),
    row("hsplit", S(u(2, 4), more=(2,)), S(u(4), more=([1],))),
    row("vsplit", S(u(4, 2), more=(2,))),
    row("dsplit", S(u(2, 2, 4), more=(2,)), refusals=(R(lambda: tg.dsplit(np.ones((2, 2)), 2), ShapeError, "dsplit"),)),
    C(
        "unstack",
        unstacked,
        S(u(3, 2)),
        S(u(3, 2), axis=1),
        S(u(2, 3, 2), axis=-1),
        method="complex",
        refusals=(R(lambda: tg.unstack(1.0), ShapeError, "unstack"),),
    ),
    row(
        "delete",
        S(u(5), more=(1,)),
        S(u(2, 3), more=(-1,), axis=1),
        S(u(5), more=([0, 3],)),
        S(u(5), more=(slice(1, 4, 2),)),
        S(u(2, 3), more=(2,)),
        S(u(4), more=(np.array([True, False, True, False]),)),
        refusals=(R(lambda: tg.delete(np.ones(3), 3), IndexError, "delete", "3"),),
    ),
    C(
        "insert",
        lambda x, values, obj, axis=None: np.insert(x, obj, values, axis),
        S(u(3), u(), more=(1,)),
        S(u(3), u(2), more=([0, 2],)),
        S(u(3), u(2), more=([1, 1],)),
        S(u(2, 3), u(3), more=(1,), axis=0),
        S(u(2, 3), u(), more=(-1,), axis=1),
        S(u(2, 3), u(2), more=(6,)),
        S(u(3), u(2), more=(slice(0, 2),)),
        op=lambda x, values, obj, axis=None: tg.insert(x, obj, values, axis),
        method="complex",
        refusals=(R(lambda: tg.insert(np.ones(3), 4, 1.0), IndexError, "insert", "4"),),
    ),
)
