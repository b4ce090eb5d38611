"""Shapes, joining and splitting."""

from __future__ import annotations

import numpy as np

import tensorgrad as tg
from tensorgrad import ShapeError

from .rows import (
    C,
    Case,
    R,
    S,
    joined,
    public,
    seed,
    u,
)

seed("shapes")


CASES: tuple[Case, ...] = (
    # --- shapes
    C(
        "reshape",
        np.reshape,
        S(u(2, 3), more=((3, 2),)),
        S(u(2, 3).T, more=((-1, 2),)),
        S(u(), more=((1, 1),)),
        S(u(6), more=(6,)),
        S(u(0, 3), more=((3, 0),)),
        method="complex",
        refusals=(
            R(lambda: tg.reshape(np.ones((2, 3)), (4,)), ShapeError, "reshape", "(2, 3)", "6", "(4,)", "4"),
            R(lambda: tg.reshape(np.ones((2, 3)), (-1, 4)), ShapeError, "reshape", "(2, 3)", "(-1, 4)"),
            R(lambda: tg.reshape(np.ones((2, 3)), (-1, -1)), ShapeError, "reshape", "(-1, -1)"),
            R(lambda: tg.reshape(np.ones((0, 3)), (-1, 0)), ShapeError, "reshape", "(-1, 0)"),
            R(lambda: tg.reshape(np.ones(2), (2.0,)), TypeError, "reshape", "integers"),
        ),
    ),
    C("ravel", np.ravel, S(u(2, 3)), S(u(2, 3).T), S(u()), S(u(0, 2)), method="complex"),
    C(
        "squeeze",
        np.squeeze,
        S(u(1, 3, 1)),
        S(u(1, 3, 1), axis=0),
        S(u(1, 3, 1), axis=(0, -1)),
        S(u(2)),
        method="complex",
        refusals=(
            R(lambda: tg.squeeze(np.ones((1, 3)), 1), ShapeError, "squeeze", "axis 1", "(1, 3)", "length 3"),
            R(lambda: tg.squeeze(np.ones((1, 3)), 2), ShapeError, "squeeze", "axis 2"),
        ),
    ),
    C(
        "expand_dims",
        np.expand_dims,
        S(u(2), axis=0),
        S(u(2, 3), axis=(1, -1)),
        S(u(), axis=0),
        method="complex",
        refusals=(R(lambda: tg.expand_dims(np.ones(2), 3), ShapeError, "expand_dims", "axis 3"),),
    ),
    C(
        "transpose",
        np.transpose,
        S(u(2, 3)),
        S(u(2, 3, 4), more=((1, 2, 0),)),
        S(u(2, 3, 4), more=((-1, 0, 1),)),
        S(u(3)),
        S(u()),
        method="complex",
        refusals=(
            R(lambda: tg.transpose(np.ones((2, 3)), (0,)), ShapeError, "transpose", "(0,)", "(2, 3)"),
            R(lambda: tg.transpose(np.ones((2, 3)), (0, 0)), ShapeError, "transpose", "twice"),
        ),
    ),
    C(
        "permute_dims",
        np.transpose,
        S(u(2, 3, 4), more=((2, 0, 1),)),
        method="complex",
        refusals=(R(lambda: tg.permute_dims(np.ones((2, 3)), (0, 2)), ShapeError, "permute_dims", "axis 2"),),
    ),
    C(
        "matrix_transpose",
        lambda x: np.swapaxes(x, -1, -2),
        S(u(2, 3)),
        S(u(2, 3, 4)),
        method="complex",
        refusals=(R(lambda: tg.matrix_transpose(np.ones(3)), ShapeError, "matrix_transpose", "(3,)"),),
    ),
    C(
        "swapaxes",
        np.swapaxes,
        S(u(2, 3, 4), more=(0, -1)),
        S(u(2, 3), more=(1, 1)),
        method="complex",
        refusals=(R(lambda: tg.swapaxes(np.ones((2, 3)), 0, 2), ShapeError, "swapaxes", "axis 2"),),
    ),
    C(
        "moveaxis",
        np.moveaxis,
        S(u(2, 3, 4), more=(0, -1)),
        S(u(2, 3, 4), more=((0, 1), (-1, 0))),
        method="complex",
        refusals=(R(lambda: tg.moveaxis(np.ones((2, 3)), (0, 1), 0), ShapeError, "moveaxis", "(0, 1)"),),
    ),
    C(
        "broadcast_to",
        np.broadcast_to,
        S(u(3), more=((2, 3),)),
        S(u(2, 1), more=((4, 2, 3),)),
        S(u(), more=(3,)),
        S(u(1), more=((0,),)),
        method="complex",
        refusals=(
            R(
                lambda: tg.broadcast_to(np.ones(3), (2, 4)),
                ShapeError,
                "broadcast_to",
                "(3,)",
                "(2, 4)",
                "axis -1",
            ),
            R(lambda: tg.broadcast_to(np.ones((2, 3)), (3,)), ShapeError, "broadcast_to", "(2, 3)", "(3,)"),
            R(lambda: tg.broadcast_to(np.ones(3), (2, 1)), ShapeError, "broadcast_to", "(3,)", "(2, 1)"),
        ),
    ),
    C(
        "flip",
        np.flip,
        S(u(2, 3)),
        S(u(2, 3), axis=0),
        S(u(2, 3, 2), axis=(0, -1)),
        method="complex",
        refusals=(R(lambda: tg.flip(np.ones(3), axis=1), ShapeError, "flip", "axis 1"),),
    ),
    C(
        "astype",
        lambda x, dtype: x.astype(dtype),
        S(u(2, 3), more=(np.float64,)),
        method="central",
        float32=False,
    ),
    # --- joining
    *(
        C(
            name,
            joined(np.concatenate),
            S(u(2, 3), u(1, 3)),
            S(u(2, 3), u(2, 1), u(2, 0), axis=-1),
            S(u(2, 3), u(2), axis=None),
            S(u(3)),
            op=joined(public(name)),
            method="complex",
            refusals=(
                R(
                    lambda name=name: public(name)([np.ones((2, 3)), np.ones((3, 2))]),
                    ShapeError,
                    name,
                    "(2, 3)",
                    "(3, 2)",
                    "axis 0",
                    "axis 1 has 2 and 3",
                ),
                R(
                    lambda name=name: public(name)([np.ones(2), np.ones((2, 1))]),
                    ShapeError,
                    name,
                    "(2,)",
                    "(2, 1)",
                ),
                R(lambda name=name: public(name)([]), ShapeError, name, "at least one"),
                R(lambda name=name: public(name)([1.0, 2.0]), ShapeError, name, "stack"),
                R(lambda name=name: public(name)([np.ones(2)], axis=1), ShapeError, name, "axis 1"),
            ),
        )
        for name in ("concatenate", "concat")
    ),
    C(
        "stack",
        joined(np.stack),
        S(u(2, 3), u(2, 3)),
        S(u(2, 3), u(2, 3), axis=-1),
        S(u(), u(), u()),
        op=joined(tg.stack),
        method="complex",
        refusals=(
            R(lambda: tg.stack([np.ones(2), np.ones(3)]), ShapeError, "stack", "(2,)", "(3,)"),
            R(lambda: tg.stack([]), ShapeError, "stack"),
            R(lambda: tg.stack([np.ones(2)], axis=2), ShapeError, "stack", "axis 2"),
        ),
    ),
    C(
        "split",
        np.split,
        S(u(6), more=(3,)),
        S(u(2, 5), more=([1, 3],), axis=1),
        S(u(2, 4), more=(2,), axis=-1),
        S(u(3), more=([1, 1],)),
        S(u(0), more=(2,)),
        method="complex",
        refusals=(
            R(
                lambda: tg.split(np.ones((2, 5)), 2, axis=1),
                ShapeError,
                "split",
                "axis 1",
                "(2, 5)",
                "5",
                "2",
            ),
            R(lambda: tg.split(np.ones(4), 0), ShapeError, "split", "0"),
            R(lambda: tg.split(np.ones(4), 2, axis=1), ShapeError, "split", "axis 1"),
        ),
    ),
)
