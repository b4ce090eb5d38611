"""Recurrent networks."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from nn import functional as F
from tensorgrad import ShapeError
from tests.ops.cases.rows import R, S, seed, u

from .rows import C, Case

seed("nn.recurrent")


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def gru_cell(x: Any, h: Any, w: Any, v: Any, b: Any = None, c: Any = None) -> Any:
    n = h.shape[1]
    zero = np.zeros(3 * n)
    b, c = zero if b is None else b, zero if c is None else c
    (wr, wz, wn), (vr, vz, vn) = np.split(w, 3), np.split(v, 3)
    (br, bz, bn), (cr, cz, cn) = np.split(b, 3), np.split(c, 3)
    r = sigmoid(x @ wr.T + br + h @ vr.T + cr)
    z = sigmoid(x @ wz.T + bz + h @ vz.T + cz)
    return (1 - z) * np.tanh(x @ wn.T + bn + r * (h @ vn.T + cn)) + z * h


def lstm_cell(x: Any, h: Any, cell: Any, w: Any, v: Any, b: Any = None, c: Any = None) -> Any:
    total = x @ w.T + h @ v.T + (0 if b is None else b) + (0 if c is None else c)
    i, f, g, o = np.split(total, 4, axis=1)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell), cell


def of_one(oracle: Any, count: int, axis: int = 0) -> Any:
    """Make a function of a batch, along an axis of x and the first of ``count`` states, also take one sample."""
    batch = (slice(None),) * axis

    def called(x: Any, *rest: Any, **keywords: Any) -> Any:
        if rest[0].ndim == 2:
            return oracle(x, *rest, **keywords)
        found = oracle(x[(*batch, None)], *(s[None] for s in rest[:count]), *rest[count:])
        if not isinstance(found, tuple):
            return found[0]
        return tuple(a[(*batch, 0)] if a.ndim == x.ndim + 1 else a[0] for a in found)

    return called


def peer_of_one(peer: Any, count: int, axis: int = 0) -> Any:
    """Do what PyTorch's modules do with one sample; its functions take batches alone."""
    return lambda functions, *args, **keywords: of_one(partial(peer, functions), count, axis)(*args, **keywords)


def along(step: Any, count: int) -> Any:
    """Make the oracle of a sequence from the oracle of one step with ``count`` states."""

    def oracle(x: Any, *rest: Any, batch_first: bool = False) -> Any:
        states: Any = rest[:count]
        shown = []
        for part in np.moveaxis(x, 1, 0) if batch_first else x:
            states = step(part, *states, *rest[count:])
            states = states if count > 1 else (states,)
            shown.append(states[0])
        return np.stack(shown, axis=1 if batch_first else 0), *states

    return oracle


def paired(name: str) -> Any:
    """Our LSTM function, or PyTorch's, with hidden state and cell as two separate arrays."""

    def of(functions: Any, x: Any, h: Any, c: Any, *weights: Any, **keywords: Any) -> Any:
        result, last = getattr(functions, name)(x, (h, c), *weights, **keywords)
        return (result, *last) if name == "lstm" else (result, last)

    return of


def torch_cell(name: str) -> Any:
    def of(_: Any, *arrays: Any) -> Any:
        import torch

        return paired(name)(torch, *arrays) if name == "lstm_cell" else getattr(torch, name)(*arrays)

    return of


def torch_sequence(name: str) -> Any:
    """PyTorch's own sequence functions, whose states have a leading axis of layers and directions."""

    def of(_: Any, x: Any, *rest: Any, batch_first: bool = False) -> Any:
        import torch

        count = len(rest) - 4
        states = [s[None] for s in rest[:count]]
        given: Any = states if count > 1 else states[0]
        result = getattr(torch, name)(x, given, rest[count:], True, 1, 0.0, False, False, batch_first)
        return result[0], *(s[0] for s in result[1:])

    return of


def weights(gates: int, features: int, hidden: int) -> tuple[Any, ...]:
    return u(gates * hidden, features), u(gates * hidden, hidden), u(gates * hidden), u(gates * hidden)


def ones(*shape: int) -> Any:
    return np.ones(shape)


CASES: tuple[Case, ...] = (
    C(
        "gru_cell",
        of_one(gru_cell, 1),
        S(u(2, 3), u(2, 2), *weights(3, 3, 2)),
        S(u(2, 3), u(2, 2), *weights(3, 3, 2)[:2]),
        S(u(3), u(2), *weights(3, 3, 2)),
        peer=peer_of_one(torch_cell("gru_cell"), 1),
        refusals=(
            R(
                lambda: F.gru_cell(ones(2, 3), ones(2, 4), ones(12, 5), ones(12, 4)),
                ShapeError,
                "gru_cell: weight_ih has shape (12, 5), expected (12, 3)",
            ),
            R(
                lambda: F.gru_cell(ones(2, 3), ones(5, 4), ones(12, 3), ones(12, 4)),
                ShapeError,
                "h has shape (5, 4), expected (2, 4)",
            ),
            R(
                lambda: F.gru_cell(ones(2, 3), ones(2, 4), ones(12, 3), ones(12, 4), None, ones(4)),
                ShapeError,
                "bias_hh has shape (4,), expected (12,)",
            ),
            R(lambda: F.gru_cell(ones(3), ones(1, 4), ones(12, 3), ones(12, 4)), ShapeError, "h has", "(1, 4)", "(3,)"),
            R(lambda: F.gru_cell(ones(1, 1, 3), ones(4), ones(12, 3), ones(12, 4)), ShapeError, "(1, 1, 3)"),
            R(lambda: F.gru_cell(ones(2), ones(4), ones(12, 3), ones(12, 4)), ShapeError, "weight_ih", "(12, 2)"),
        ),
    ),
    C(
        "lstm_cell",
        of_one(lstm_cell, 2),
        S(u(2, 3), u(2, 2), u(2, 2), *weights(4, 3, 2)),
        S(u(2, 3), u(2, 2), u(2, 2), *weights(4, 3, 2)[:2]),
        S(u(3), u(2), u(2), *weights(4, 3, 2)),
        op=lambda *arrays: paired("lstm_cell")(F, *arrays),
        peer=peer_of_one(torch_cell("lstm_cell"), 2),
        refusals=(
            R(
                lambda: F.lstm_cell(ones(2, 3), (ones(2, 4), ones(2, 3)), ones(16, 3), ones(16, 4)),
                ShapeError,
                "lstm_cell: c has shape (2, 3), expected (2, 4)",
            ),
            R(lambda: F.lstm_cell(ones(2, 3), ones(2, 4), ones(16, 3), ones(16, 4)), TypeError, "lstm_cell", "pair"),
        ),
    ),
    C(
        "gru",
        of_one(along(gru_cell, 1), 1, axis=1),
        S(u(3, 2, 2), u(2, 2), *weights(3, 2, 2)),
        S(u(2, 3, 2), u(2, 1), *weights(3, 2, 1), batch_first=True),
        S(u(3, 2), u(1), *weights(3, 2, 1)),
        S(u(3, 2), u(1), *weights(3, 2, 1), batch_first=True),
        peer=peer_of_one(torch_sequence("gru"), 1, axis=1),
        refusals=(
            R(lambda: F.gru(ones(2, 3), ones(2, 4), ones(12, 3), ones(12, 4)), ShapeError, "gru: h has", "(2, 4)"),
            R(lambda: F.gru(ones(3), ones(4), ones(12, 3), ones(12, 4)), ShapeError, "gru", "length", "(3,)"),
            R(
                lambda: F.gru(ones(0, 2, 3), ones(2, 4), ones(12, 3), ones(12, 4)),
                ShapeError,
                "(0, 2, 3)",
                "empty sequence",
            ),
        ),
    ),
    C(
        "lstm",
        of_one(along(lstm_cell, 2), 2, axis=1),
        S(u(3, 2, 2), u(2, 2), u(2, 2), *weights(4, 2, 2)),
        S(u(2, 3, 2), u(2, 1), u(2, 1), *weights(4, 2, 1), batch_first=True),
        S(u(3, 2), u(1), u(1), *weights(4, 2, 1)),
        op=lambda *arrays, **keywords: paired("lstm")(F, *arrays, **keywords),
        peer=peer_of_one(torch_sequence("lstm"), 2, axis=1),
        refusals=(
            R(
                lambda: F.lstm(ones(2, 2, 3), (ones(2, 4), ones(2, 4)), ones(12, 3), ones(16, 4)),
                ShapeError,
                "lstm: weight_ih has shape (12, 3), expected (16, 3)",
            ),
        ),
    ),
)
