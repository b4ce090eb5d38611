"""Recurrent networks: one step of a GRU or an LSTM, and whole sequences.

Weights are laid out as in PyTorch, with the gates stacked: ``weight_ih`` has shape (gates * hidden, features).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorgrad as tg

from ._shared import operand

__all__ = ["gru", "gru_cell", "lstm", "lstm_cell"]

State = tuple[tg.TensorLike, tg.TensorLike]


@tg.scope(None, "gru_cell")
def gru_cell(
    x: tg.TensorLike,
    h: tg.TensorLike,
    weight_ih: tg.TensorLike,
    weight_hh: tg.TensorLike,
    bias_ih: tg.TensorLike | None = None,
    bias_hh: tg.TensorLike | None = None,
) -> tg.Tensor:
    """One step of a gated recurrent unit: the next hidden state (Cho et al., 2014; reset after the product).

    Args:
        x: shape (N, features), or (features,) for one sample; everything else then lacks N as well.
        h: the hidden state, shape (N, hidden).
        weight_ih: for x, shape (3 * hidden, features): reset gate, update gate, new state.
        weight_hh: for h, shape (3 * hidden, hidden).
        bias_ih: shape (3 * hidden,); None for 0.
        bias_hh: shape (3 * hidden,); None for 0.

    Returns:
        Shape (N, hidden).

    Raises:
        ShapeError: shapes do not match.

    >>> import numpy as np, nn
    >>> nn.functional.gru_cell([[1.0]], [[1.0]], np.zeros((3, 1)), np.zeros((3, 1)))
    Tensor([[0.5]], dtype=float64)
    """
    op = "gru_cell"
    (given, hidden), single = _batch(op, 2, operand(x), operand(h))
    _check(op, 3, given.shape, hidden, weight_ih, weight_hh, bias_ih, bias_hh)
    result = _gru_step(_projected(given, weight_ih, bias_ih), hidden, weight_hh, bias_hh)
    return result[0] if single else result


@tg.scope(None, "gru")
def gru(
    x: tg.TensorLike,
    h: tg.TensorLike,
    weight_ih: tg.TensorLike,
    weight_hh: tg.TensorLike,
    bias_ih: tg.TensorLike | None = None,
    bias_hh: tg.TensorLike | None = None,
    *,
    batch_first: bool = False,
) -> tuple[tg.Tensor, tg.Tensor]:
    """A gated recurrent unit along a sequence: all hidden states, and the last one.

    Args:
        x: shape (length, N, features), or (N, length, features) with batch_first; or (length, features) for one sample:
            everything else then lacks N as well.
        h: the initial hidden state, shape (N, hidden).
        weight_ih: as in :func:`gru_cell`.
        weight_hh: likewise.
        bias_ih: likewise.
        bias_hh: likewise.
        batch_first: samples are along the first axis of x and of the result.

    Returns:
        Hidden states (length, N, hidden), or (N, length, hidden) with batch_first; and the last (N, hidden).

    Raises:
        ShapeError: shapes do not match, or the sequence is empty.

    >>> import numpy as np, nn
    >>> states, last = nn.functional.gru(np.ones((2, 1, 1)), [[1.0]], np.zeros((3, 1)), np.zeros((3, 1)))
    >>> states.data.ravel().tolist(), last.item()
    ([0.5, 0.25], 0.25)
    """
    op = "gru"
    (given, hidden), single = _batch(op, 3, operand(x), operand(h))
    given = _sequence(op, given, batch_first and not single)
    _check(op, 3, given.shape[1:], hidden, weight_ih, weight_hh, bias_ih, bias_hh)
    inputs = _projected(given, weight_ih, bias_ih)
    states = _along(given.shape[0], lambda t, state: _gru_step(inputs[t], state, weight_hh, bias_hh), hidden)
    if single:
        states = [h[0] for h in states]
    return tg.stack(states, axis=1 if batch_first and not single else 0), states[-1]


@tg.scope(None, "lstm_cell")
def lstm_cell(
    x: tg.TensorLike,
    state: State,
    weight_ih: tg.TensorLike,
    weight_hh: tg.TensorLike,
    bias_ih: tg.TensorLike | None = None,
    bias_hh: tg.TensorLike | None = None,
) -> tuple[tg.Tensor, tg.Tensor]:
    """One step of a long short-term memory: the next hidden state and cell (Gers et al., 2000).

    Args:
        x: shape (N, features), or (features,) for one sample; everything else then lacks N as well.
        state: hidden state and cell, each of shape (N, hidden).
        weight_ih: for x, shape (4 * hidden, features): input gate, forget gate, new content, output gate.
        weight_hh: for the hidden state, shape (4 * hidden, hidden).
        bias_ih: shape (4 * hidden,); None for 0.
        bias_hh: shape (4 * hidden,); None for 0.

    Returns:
        Hidden state and cell, each of shape (N, hidden).

    Raises:
        ShapeError: shapes do not match.

    >>> import numpy as np, nn
    >>> h, c = nn.functional.lstm_cell([[1.0]], ([[0.0]], [[1.0]]), np.zeros((4, 1)), np.zeros((4, 1)))
    >>> c
    Tensor([[0.5]], dtype=float64)
    """
    op = "lstm_cell"
    (given, hidden, cell), single = _batch(op, 2, operand(x), *_pair(op, state))
    _check(op, 4, given.shape, hidden, weight_ih, weight_hh, bias_ih, bias_hh, cell)
    h, c = _lstm_step(_projected(given, weight_ih, bias_ih), (hidden, cell), weight_hh, bias_hh)
    return (h[0], c[0]) if single else (h, c)


@tg.scope(None, "lstm")
def lstm(
    x: tg.TensorLike,
    state: State,
    weight_ih: tg.TensorLike,
    weight_hh: tg.TensorLike,
    bias_ih: tg.TensorLike | None = None,
    bias_hh: tg.TensorLike | None = None,
    *,
    batch_first: bool = False,
) -> tuple[tg.Tensor, tuple[tg.Tensor, tg.Tensor]]:
    """A long short-term memory along a sequence: all hidden states, and the last with its cell.

    Args:
        x: shape (length, N, features), or (N, length, features) with batch_first; or (length, features) for one sample:
            everything else then lacks N as well.
        state: initial hidden state and cell, each of shape (N, hidden).
        weight_ih: as in :func:`lstm_cell`.
        weight_hh: likewise.
        bias_ih: likewise.
        bias_hh: likewise.
        batch_first: samples are along the first axis of x and of the result.

    Returns:
        Hidden states (length, N, hidden), or (N, length, hidden) with batch_first; and the last hidden state and cell.

    Raises:
        ShapeError: shapes do not match, or the sequence is empty.

    >>> import numpy as np, nn
    >>> zero = np.zeros((1, 1))
    >>> states, (h, c) = nn.functional.lstm(np.ones((3, 1, 1)), (zero, zero + 1), np.zeros((4, 1)), np.zeros((4, 1)))
    >>> states.shape, c.item()
    ((3, 1, 1), 0.125)
    """
    op = "lstm"
    (given, hidden, cell), single = _batch(op, 3, operand(x), *_pair(op, state))
    given = _sequence(op, given, batch_first and not single)
    _check(op, 4, given.shape[1:], hidden, weight_ih, weight_hh, bias_ih, bias_hh, cell)
    inputs = _projected(given, weight_ih, bias_ih)
    states = _along(given.shape[0], lambda t, last: _lstm_step(inputs[t], last, weight_hh, bias_hh), (hidden, cell))
    if single:
        states = [(h[0], c[0]) for h, c in states]
    return tg.stack([h for h, _ in states], axis=1 if batch_first and not single else 0), states[-1]


# --- shared ---------------------------------------------------------------------------------------------


def _batch(op: str, axes: int, x: Any, *states: Any) -> tuple[tuple[Any, ...], bool]:
    """Return x and the states with a batch axis before the last, and whether x is one sample, which had none."""
    if len(x.shape) != axes - 1:
        return (x, *states), False
    for name, state in zip("hc", states):
        if len(state.shape) != 1:
            raise tg.ShapeError(
                f"{op}: {name} has shape {state.shape}, expected (hidden,) for one sample: x of shape {x.shape}"
            )
    return tuple(tg.expand_dims(array, -2) for array in (x, *states)), True


def _projected(x: Any, weight: Any, bias: Any) -> tg.Tensor:
    product = tg.matmul(x, tg.transpose(weight))
    return product if bias is None else product + bias


def _gru_step(projected: tg.Tensor, h: Any, weight_hh: Any, bias_hh: Any) -> tg.Tensor:
    n = h.shape[-1]
    own = _projected(h, weight_hh, bias_hh)
    gates = tg.sigmoid(projected[:, : 2 * n] + own[:, : 2 * n])
    new = tg.tanh(projected[:, 2 * n :] + gates[:, :n] * own[:, 2 * n :])
    return new + gates[:, n:] * (h - new)


def _lstm_step(
    projected: tg.Tensor, state: tuple[Any, Any], weight_hh: Any, bias_hh: Any
) -> tuple[tg.Tensor, tg.Tensor]:
    h, c = state
    n = h.shape[-1]
    total = projected + _projected(h, weight_hh, bias_hh)
    gates = tg.sigmoid(total[:, : 2 * n])
    cell = gates[:, n:] * c + gates[:, :n] * tg.tanh(total[:, 2 * n : 3 * n])
    return tg.sigmoid(total[:, 3 * n :]) * tg.tanh(cell), cell


def _along(length: int, step: Callable[[int, Any], Any], state: Any) -> list[Any]:
    states = []
    for t in range(length):
        state = step(t, state)
        states.append(state)
    return states


def _sequence(op: str, x: Any, batch_first: bool) -> Any:
    given = operand(x)
    order = "(batch, length, features)" if batch_first else "(length, batch, features)"
    if len(given.shape) != 3:
        raise tg.ShapeError(f"{op}: expected x of shape {order}, got {given.shape}")
    if not given.shape[1 if batch_first else 0]:
        raise tg.ShapeError(f"{op}: x of shape {given.shape} {order} is an empty sequence, which has no last state")
    return tg.swapaxes(given, 0, 1) if batch_first else given


def _pair(op: str, state: Any) -> tuple[Any, Any]:
    if not isinstance(state, tuple | list) or len(state) != 2:
        raise TypeError(f"{op}: state must be a pair (hidden state, cell), got {type(state).__name__}")
    return operand(state[0]), operand(state[1])


def _check(
    op: str,
    gates: int,
    shape: tuple[int, ...],
    h: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any,
    bias_hh: Any,
    cell: Any = None,
) -> None:
    if len(shape) != 2:
        raise tg.ShapeError(f"{op}: expected x of shape (batch, features), got {shape}")
    (batch, features), hidden = shape, h.shape[-1] if h.shape else 0
    rows = gates * hidden
    for what, given, expected in (
        ("h", h, (batch, hidden)),
        ("c", cell, (batch, hidden)),
        ("weight_ih", weight_ih, (rows, features)),
        ("weight_hh", weight_hh, (rows, hidden)),
        ("bias_ih", bias_ih, (rows,)),
        ("bias_hh", bias_hh, (rows,)),
    ):
        if given is not None and operand(given).shape != expected:
            raise tg.ShapeError(
                f"{op}: {what} has shape {operand(given).shape}, expected {expected} (x has {batch} samples of "
                f"{features} features, h has {hidden} features, {gates} gates)"
            )
