"""The memory of native code: what shares it, and when a result gets other memory."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nn
import tensorgrad as tg

pytest.importorskip("llvmlite")

from tensorgrad.compiler.native import arena, cache, code
from tensorgrad.compiler.native.arena import ARENA, Home, Life, Piece


def native(step: Any) -> Any:
    """The code of the last call."""
    assert step._latest.code.native
    return step._latest.code


# --- homes --------------------------------------------------------------------------------------------------


def test_lives_are_from_the_first_use_to_the_last() -> None:
    assert arena.lives_of([{1, 2}, {3}, {2}]) == {1: Life(0, 0), 2: Life(0, 2), 3: Life(1, 1)}


def test_one_after_another_is_in_the_same_memory() -> None:
    pieces = [Piece(slot, 1000, stays=True) for slot in range(5)]
    lives = {slot: Life(slot, slot + 1) for slot in range(5)}  # two at a time
    homes = arena.arranged(pieces, lives, {})
    assert {home.offset for home in homes.values()} == {0, 1024}
    assert arena.size_of(pieces, homes) == 2024


def test_the_memory_of_a_result_is_used_until_it_is_written_to() -> None:
    pieces = [Piece(1, 800, stays=False), Piece(2, 800, stays=False), Piece(3, 800, stays=True)]
    lives = {1: Life(0, 2), 2: Life(0, 3), 3: Life(0, 0), 9: Life(3, 3)}
    homes = arena.arranged(pieces, lives, {9: 900})
    assert homes[1] == Home(9, 0)  # the next one needs it when the result is written, and the last has an address
    assert homes[2].block == homes[3].block == ARENA


@pytest.mark.parametrize("seed", range(30))
def test_what_lives_at_the_same_time_is_apart(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arena, "_ARRANGED", 40 if seed % 3 else 10)
    rng = np.random.default_rng(seed)
    lives = {}
    for slot in range(45):
        first = int(rng.integers(0, 30))
        lives[slot] = Life(first, first + int(rng.integers(0, 8)))
    pieces = [Piece(slot, int(rng.integers(1, 500)) * 4, bool(rng.random() < 0.3)) for slot in range(40)]
    results = {slot: int(rng.integers(100, 4000)) for slot in range(40, 45)}
    homes = arena.arranged(pieces, lives, results)
    assert homes.keys() == set(range(40))
    for one, other in combinations(pieces, 2):
        a, b = homes[one.slot], homes[other.slot]
        if a.block == b.block and a.offset < b.offset + other.size and b.offset < a.offset + one.size:
            assert lives[one.slot].last < lives[other.slot].first or lives[other.slot].last < lives[one.slot].first
    for piece in pieces:
        block, offset = homes[piece.slot]
        assert offset % arena.ALIGNED == 0
        if block == ARENA:
            assert offset + piece.size <= arena.size_of(pieces, homes)
        else:
            assert not piece.stays
            assert offset + piece.size <= results[block]
            assert lives[piece.slot].last < lives[block].first


# --- programs -----------------------------------------------------------------------------------------------


def trained(dropout: float = 0.2) -> tuple[Any, Callable[[], Any], Any]:
    """A step with NumPy calls between its segments, and its model."""
    model = nn.MLP((8, 40, 40, 3), norm="batch", activation="tanh", dropout=dropout, rng=0)
    optimizer = nn.AdamW(model.parameters(), lr=1e-2)
    X, y = np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32), np.arange(32) % 3

    @tg.compile(backend="native")
    def step(X: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(model(X), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, lambda: step(X, y), model


def test_a_step_needs_less_memory_than_its_values() -> None:
    step, run, _ = trained()
    run()
    made = native(step)
    assert made._size < 0.6 * sum(piece.size for piece in made._pieces)


def test_a_stored_program_has_the_same_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENSORGRAD_CACHE", str(tmp_path))
    losses, homes = [], []
    for _ in range(2):
        monkeypatch.setattr(cache, "_entries", {})
        step, run, _ = trained()
        losses.append([run().item() for _ in range(5)])
        homes.append((native(step)._homes, native(step)._size, native(step).source))
        monkeypatch.setattr(code, "compiled", None)  # the second one is not compiled
    assert losses[0] == losses[1]
    assert homes[0] == homes[1]


def test_results_in_use_keep_their_numbers() -> None:
    _, run, model = trained(dropout=0.0)
    run()
    held = []
    for _ in range(6):
        loss = run()
        gradients = [p.grad for p in model.parameters()]
        held.append((loss, gradients, loss.item(), [g.copy() for g in gradients]))
    for loss, gradients, number, copies in held:
        assert loss.item() == number
        for gradient, copy in zip(gradients, copies, strict=True):
            np.testing.assert_array_equal(gradient, copy)


def test_gradients_are_in_the_same_memory_in_every_run() -> None:
    """Also while the loss of the run before is in use."""
    _, run, model = trained(dropout=0.0)
    run()
    addresses = set()
    for _ in range(6):
        loss = run()
        addresses.add(tuple(p.grad.ctypes.data for p in model.parameters()))
    assert loss is not None
    assert len(addresses) == 1


@pytest.mark.parametrize("name", ["plain", "begin", "results", "table", "run_segment0", "broken_off", "np"])
def test_a_tensor_may_have_the_name_of_a_part_of_the_code(name: str) -> None:
    weights = tg.Tensor(np.full(600, 2.0), name=name)
    step = tg.compile(lambda x: tg.tanh(x) * weights, backend="native")
    for k in range(3):
        np.testing.assert_allclose(np.asarray(step(np.full(600, 0.1 * k))), np.full(600, 2 * np.tanh(0.1 * k)))
    assert native(step)
